// `@solana/web3.js` as applications use it: airdrops, transfers, confirmation, history,
// subscriptions, nonces, lookup tables, errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AddressLookupTableProgram,
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  NONCE_ACCOUNT_LENGTH,
  NonceAccount,
  PublicKey,
  SendTransactionError,
  SystemProgram,
  Transaction,
  TransactionExpiredBlockheightExceededError,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
  sendAndConfirmTransaction,
} from "@solana/web3.js";

import { call, rpcUrl } from "./network.mjs";

const connection = new Connection(rpcUrl, "confirmed");

async function funded(sol = 10) {
  const keypair = Keypair.generate();
  const signature = await connection.requestAirdrop(keypair.publicKey, sol * LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature, ...latest }, "confirmed");
  return keypair;
}

const transfer = (from, to, lamports) =>
  SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: to, lamports });

test("airdrop, transfer, confirmation, balances", async () => {
  const payer = await funded();
  assert.equal(await connection.getBalance(payer.publicKey), 10 * LAMPORTS_PER_SOL);
  const to = Keypair.generate().publicKey;
  const transaction = new Transaction().add(transfer(payer, to, LAMPORTS_PER_SOL));
  const signature = await sendAndConfirmTransaction(connection, transaction, [payer]);
  assert.equal(await connection.getBalance(to), LAMPORTS_PER_SOL);
  assert.equal(await connection.getBalance(payer.publicKey), 9 * LAMPORTS_PER_SOL - 5000);
  const { value } = await connection.getSignatureStatus(signature);
  assert.equal(value.err, null);
  assert.equal(value.confirmationStatus, "finalized");
  assert.equal(value.confirmations, null);
});

test("many transfers at once are all confirmed", async () => {
  const payer = await funded();
  const signatures = await Promise.all(
    Array.from({ length: 20 }, (_, index) => {
      const to = Keypair.generate().publicKey;
      const transaction = new Transaction().add(transfer(payer, to, 1_000_000 + index));
      return sendAndConfirmTransaction(connection, transaction, [payer]);
    }),
  );
  assert.equal(new Set(signatures).size, 20);
  const { value } = await connection.getSignatureStatuses(signatures);
  assert.ok(value.every((status) => status.err === null));
});

test("history: transaction, signatures of an address, block", async () => {
  const payer = await funded();
  const to = Keypair.generate().publicKey;
  const first = await sendAndConfirmTransaction(
    connection,
    new Transaction().add(transfer(payer, to, 2_000_000)),
    [payer],
  );
  const second = await sendAndConfirmTransaction(
    connection,
    new Transaction().add(transfer(payer, to, 3_000_000)),
    [payer],
  );
  const entries = await connection.getSignaturesForAddress(to);
  assert.deepEqual(entries.map((entry) => entry.signature), [second, first]);
  const older = await connection.getSignaturesForAddress(to, { before: second });
  assert.deepEqual(older.map((entry) => entry.signature), [first]);
  const newer = await connection.getSignaturesForAddress(to, { until: first, limit: 5 });
  assert.deepEqual(newer.map((entry) => entry.signature), [second]);

  const found = await connection.getTransaction(first, { maxSupportedTransactionVersion: 0 });
  assert.equal(found.meta.fee, 5000);
  assert.equal(found.meta.err, null);
  assert.deepEqual(found.meta.logMessages, [
    "Program 11111111111111111111111111111111 invoke [1]",
    "Program 11111111111111111111111111111111 success",
  ]);
  assert.equal(found.meta.postBalances[1] - found.meta.preBalances[1], 2_000_000);
  const parsed = await connection.getParsedTransaction(second);
  const [instruction] = parsed.transaction.message.instructions;
  assert.equal(instruction.parsed.type, "transfer");
  assert.equal(instruction.parsed.info.lamports, 3_000_000);
  assert.equal(instruction.parsed.info.destination, to.toBase58());

  // A block is there once its slot has ended.
  while ((await connection.getSlot("finalized")) < found.slot) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const block = await connection.getBlock(found.slot, { maxSupportedTransactionVersion: 0 });
  const signatures = block.transactions.map((entry) => entry.transaction.signatures[0]);
  assert.ok(signatures.includes(first));
  assert.equal(block.blockHeight, found.slot);
  assert.ok((await connection.getBlocks(found.slot, found.slot)).includes(found.slot));
  assert.equal(await connection.getBlockTime(found.slot), block.blockTime);
});

test("subscriptions: account, program, logs, signature, slot, root", async () => {
  const payer = await funded();
  const watched = Keypair.generate().publicKey;
  const seen = {};
  const wait = (name) => new Promise((resolve) => (seen[name] = resolve));
  const account = wait("account");
  const program = wait("program");
  const logs = wait("logs");
  const slot = wait("slot");
  const root = wait("root");
  const ids = [
    connection.onAccountChange(watched, (info) => seen.account(info)),
    connection.onProgramAccountChange(SystemProgram.programId, (info) => {
      if (info.accountId.equals(watched)) seen.program(info);
    }),
    connection.onLogs(watched, (entry) => seen.logs(entry)),
    connection.onSlotChange((info) => seen.slot(info)),
    connection.onRootChange((info) => seen.root(info)),
  ];
  // The library subscribes behind the scenes; until its socket is open, notices are missed.
  await slot;
  const signature = await connection.sendTransaction(
    new Transaction().add(transfer(payer, watched, 5_000_000)),
    [payer],
  );
  assert.equal((await account).lamports, 5_000_000);
  assert.equal((await program).accountInfo.lamports, 5_000_000);
  assert.equal((await logs).signature, signature);
  const { parent, root: rooted } = await slot;
  assert.ok(rooted <= parent);
  assert.equal(typeof (await root), "number");
  const done = await new Promise((resolve) => connection.onSignature(signature, resolve));
  assert.equal(done.err, null);
  await connection.removeAccountChangeListener(ids[0]);
  await connection.removeProgramAccountChangeListener(ids[1]);
  await connection.removeOnLogsListener(ids[2]);
  await connection.removeSlotChangeListener(ids[3]);
  await connection.removeRootChangeListener(ids[4]);
});

test("a durable nonce outlives blockhashes", async () => {
  const payer = await funded();
  const nonce = Keypair.generate();
  const rent = await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH);
  const create = SystemProgram.createNonceAccount({
    fromPubkey: payer.publicKey,
    noncePubkey: nonce.publicKey,
    authorizedPubkey: payer.publicKey,
    lamports: rent,
  });
  await sendAndConfirmTransaction(connection, create, [payer, nonce]);
  const info = await connection.getAccountInfo(nonce.publicKey);
  const stored = NonceAccount.fromAccountData(info.data);
  const to = Keypair.generate().publicKey;
  const transaction = new Transaction({
    feePayer: payer.publicKey,
    nonceInfo: {
      nonce: stored.nonce,
      nonceInstruction: SystemProgram.nonceAdvance({
        noncePubkey: nonce.publicKey,
        authorizedPubkey: payer.publicKey,
      }),
    },
  }).add(transfer(payer, to, 1_000_000));
  // A nonce cannot be used in the slot in which it was made.
  const made = await connection.getSlot("processed");
  while ((await connection.getSlot("processed")) <= made) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await sendAndConfirmTransaction(connection, transaction, [payer]);
  assert.equal(await connection.getBalance(to), 1_000_000);
  const advanced = NonceAccount.fromAccountData(
    (await connection.getAccountInfo(nonce.publicKey)).data,
  );
  assert.notEqual(advanced.nonce, stored.nonce);
});

test("versioned transactions with a lookup table", async () => {
  const payer = await funded();
  const recentSlot = await connection.getSlot("finalized");
  const [create, table] = AddressLookupTableProgram.createLookupTable({
    authority: payer.publicKey,
    payer: payer.publicKey,
    recentSlot,
  });
  const targets = Array.from({ length: 20 }, () => Keypair.generate().publicKey);
  const extend = AddressLookupTableProgram.extendLookupTable({
    payer: payer.publicKey,
    authority: payer.publicKey,
    lookupTable: table,
    addresses: targets,
  });
  await sendAndConfirmTransaction(connection, new Transaction().add(create, extend), [payer]);
  const extended = await connection.getSlot("processed");
  // Addresses can be used from the slot after the one that added them.
  while ((await connection.getSlot("processed")) <= extended) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const lookup = (await connection.getAddressLookupTable(table)).value;
  assert.equal(lookup.state.addresses.length, 20);
  const latest = await connection.getLatestBlockhash();
  const message = new TransactionMessage({
    payerKey: payer.publicKey,
    recentBlockhash: latest.blockhash,
    instructions: targets.map((target) => transfer(payer, target, 1_000_000)),
  }).compileToV0Message([lookup]);
  const transaction = new VersionedTransaction(message);
  transaction.sign([payer]);
  assert.ok(transaction.serialize().length < 700);
  const signature = await connection.sendTransaction(transaction);
  const { value } = await connection.confirmTransaction({ signature, ...latest }, "confirmed");
  assert.equal(value.err, null);
  assert.equal(await connection.getBalance(targets[19]), 1_000_000);
  await assert.rejects(connection.getTransaction(signature), /version \(0\) is not supported/);
  const found = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  assert.equal(found.meta.loadedAddresses.writable.length, 20);
});

test("simulation says what would happen and changes nothing", async () => {
  const payer = await funded();
  const to = Keypair.generate().publicKey;
  const transaction = new Transaction().add(transfer(payer, to, 1_000_000));
  const { value } = await connection.simulateTransaction(transaction, [payer], [to]);
  assert.equal(value.err, null);
  assert.equal(value.unitsConsumed, 150);
  assert.equal(value.accounts[0].lamports, 1_000_000);
  assert.equal(await connection.getBalance(to), 0);
});

test("preflight failures carry logs, and their code and data", async () => {
  const payer = await funded(1);
  const to = Keypair.generate().publicKey;
  const transaction = new Transaction().add(transfer(payer, to, 5 * LAMPORTS_PER_SOL));
  const failed = await connection.sendTransaction(transaction, [payer]).catch((error) => error);
  assert.ok(failed instanceof SendTransactionError, String(failed));
  assert.match(failed.message, /Simulation failed.*custom program error: 0x1/s);
  assert.ok(failed.logs.some((line) => line.includes("insufficient lamports")));
  const raw = await call("sendTransaction", [
    transaction.serialize().toString("base64"),
    { encoding: "base64" },
  ]);
  assert.equal(raw.error.code, -32002);
  assert.deepEqual(raw.error.data.err, { InstructionError: [0, { Custom: 1 }] });
  assert.equal(raw.error.data.unitsConsumed, 150);
});

test("a transaction sent twice is executed once", async () => {
  const payer = await funded();
  const to = Keypair.generate().publicKey;
  const latest = await connection.getLatestBlockhash();
  const transaction = new Transaction({ feePayer: payer.publicKey, ...latest }).add(
    transfer(payer, to, 1_000_000),
  );
  transaction.sign(payer);
  const wire = transaction.serialize();
  const signature = await connection.sendRawTransaction(wire, { skipPreflight: true });
  assert.equal(await connection.sendRawTransaction(wire, { skipPreflight: true }), signature);
  await connection.confirmTransaction({ signature, ...latest });
  assert.equal(await connection.getBalance(to), 1_000_000);
  await assert.rejects(connection.sendRawTransaction(wire), /already been processed/);
});

test("a program that is missing, a blockhash that is unknown", async () => {
  const payer = await funded();
  const nowhere = new TransactionInstruction({
    programId: Keypair.generate().publicKey,
    keys: [],
  });
  await assert.rejects(
    connection.sendTransaction(new Transaction().add(nowhere), [payer]),
    /program that does not exist/,
  );
  const stale = new Transaction({
    feePayer: payer.publicKey,
    blockhash: PublicKey.unique().toBase58(),
    lastValidBlockHeight: 1,
  }).add(transfer(payer, Keypair.generate().publicKey, 1_000_000));
  stale.sign(payer);
  await assert.rejects(connection.sendRawTransaction(stale.serialize()), /Blockhash not found/);
  const signature = await connection.sendRawTransaction(stale.serialize(), {
    skipPreflight: true,
  });
  await assert.rejects(
    connection.confirmTransaction({
      signature,
      blockhash: stale.recentBlockhash,
      lastValidBlockHeight: 1,
    }),
    TransactionExpiredBlockheightExceededError,
  );
});

test("where the chain is", async () => {
  const version = await connection.getVersion();
  assert.equal(version["solana-core"], "4.2.2");
  const epoch = await connection.getEpochInfo("processed");
  const schedule = await connection.getEpochSchedule();
  assert.equal(epoch.slotsInEpoch, schedule.slotsPerEpoch);
  assert.ok(epoch.absoluteSlot >= epoch.slotIndex);
  assert.equal((await connection.getGenesisHash()).length > 30, true);
  const [node] = await connection.getClusterNodes();
  const leader = await connection.getSlotLeader();
  assert.equal(node.pubkey, leader);
  const supply = await connection.getSupply();
  assert.equal(supply.value.total, supply.value.circulating);
  const before = await connection.getTransactionCount();
  await funded(1);
  assert.ok((await connection.getTransactionCount()) > before);
  const slot = await connection.getSlot("processed");
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.ok((await connection.getSlot("processed")) >= slot + 2, "slots go on");
  const blockhash = (await connection.getLatestBlockhash()).blockhash;
  assert.equal((await connection.isBlockhashValid(blockhash)).value, true);
});
