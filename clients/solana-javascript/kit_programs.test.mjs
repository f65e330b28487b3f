// Programs as `@solana/kit` and its clients drive them: tokens of both programs, lookup tables,
// nonces, history, and a program's life under the upgradeable loader.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AccountRole,
  address,
  airdropFactory,
  appendTransactionMessageInstructions,
  assertIsTransactionWithBlockhashLifetime,
  compressTransactionMessageUsingAddressLookupTables,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  fetchAddressesForLookupTables,
  generateKeyPairSigner,
  getAddressEncoder,
  getProgramDerivedAddress,
  getSignatureFromTransaction,
  getU32Encoder,
  getU64Encoder,
  lamports,
  pipe,
  sendAndConfirmDurableNonceTransactionFactory,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  setTransactionMessageLifetimeUsingDurableNonce,
  signTransactionMessageWithSigners,
} from "@solana/kit";
import {
  SYSTEM_PROGRAM_ADDRESS,
  fetchNonce,
  getCreateAccountInstruction,
  getInitializeNonceAccountInstruction,
  getNonceSize,
  getTransferSolInstruction,
} from "@solana-program/system";
import {
  TOKEN_PROGRAM_ADDRESS,
  findAssociatedTokenPda,
  getCreateAssociatedTokenIdempotentInstruction,
  getInitializeMint2Instruction,
  getMintSize,
  getMintToInstruction,
  getTransferCheckedInstruction,
} from "@solana-program/token";

import { pubsubUrl, rpcUrl } from "./network.mjs";

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(pubsubUrl);
const airdrop = airdropFactory({ rpc, rpcSubscriptions });
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const sendAndConfirmNonce = sendAndConfirmDurableNonceTransactionFactory({ rpc, rpcSubscriptions });
const SOL = 1_000_000_000n;
const TOKEN_2022 = address("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const TABLES = address("AddressLookupTab1e1111111111111111111111111");
const LOADER = address("BPFLoaderUpgradeab1e11111111111111111111111");
const MEMO = address("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");
const CLOCK = address("SysvarC1ock11111111111111111111111111111111");
const RENT = address("SysvarRent111111111111111111111111111111111");

const { READONLY, READONLY_SIGNER, WRITABLE, WRITABLE_SIGNER } = AccountRole;
const key = (of) => getAddressEncoder().encode(of);
const u32 = (value) => getU32Encoder().encode(value);
const u64 = (value) => getU64Encoder().encode(BigInt(value));
const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

async function funded(sol = 10n) {
  const signer = await generateKeyPairSigner();
  const amount = lamports(sol * SOL);
  await airdrop({ commitment: "confirmed", lamports: amount, recipientAddress: signer.address });
  return signer;
}

async function message(payer, instructions) {
  const { value: latest } = await rpc.getLatestBlockhash().send();
  return pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayerSigner(payer, empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash(latest, paid),
    (dated) => appendTransactionMessageInstructions(instructions, dated),
  );
}

async function send(payer, instructions, change = (same) => same) {
  const unsigned = change(await message(payer, instructions));
  const transaction = await signTransactionMessageWithSigners(unsigned);
  assertIsTransactionWithBlockhashLifetime(transaction);
  await sendAndConfirm(transaction, { commitment: "confirmed" });
  return getSignatureFromTransaction(transaction);
}

// An instruction whose accounts are pairs of an address or a signer, and a role.
const instruction = (programAddress, accounts, ...data) => ({
  programAddress,
  accounts: accounts.map(([of, role]) =>
    typeof of === "string" ? { address: of, role } : { address: of.address, role, signer: of },
  ),
  data: bytes(...data),
});

async function created(payer, space, programAddress) {
  const newAccount = await generateKeyPairSigner();
  const rent = await rpc.getMinimumBalanceForRentExemption(BigInt(space)).send();
  const made = getCreateAccountInstruction({
    payer, newAccount, lamports: rent, space, programAddress,
  });
  return [newAccount, made];
}

// Tables, nonces and programs serve from the slot after they were made.
async function nextSlot() {
  const now = () => rpc.getSlot({ commitment: "processed" }).send();
  const slot = await now();
  while ((await now()) <= slot) await new Promise((resolve) => setTimeout(resolve, 50));
}

for (const [name, program] of [["token", TOKEN_PROGRAM_ADDRESS], ["token-2022", TOKEN_2022]]) {
  test(`${name}: a mint, associated accounts, a checked transfer`, async () => {
    const payer = await funded();
    const { address: other } = await generateKeyPairSigner();
    const [mint, made] = await created(payer, getMintSize(), program);
    const config = { programAddress: program };
    const of = (owner) =>
      findAssociatedTokenPda({ owner, mint: mint.address, tokenProgram: program });
    const [[mine], [theirs]] = await Promise.all([of(payer.address), of(other)]);
    const open = (ata, owner) =>
      getCreateAssociatedTokenIdempotentInstruction({
        payer, ata, owner, mint: mint.address, tokenProgram: program,
      });
    const move = (amount) =>
      getTransferCheckedInstruction(
        {
          source: mine, mint: mint.address, destination: theirs, authority: payer,
          amount, decimals: 6,
        },
        config,
      );
    await send(payer, [
      made,
      getInitializeMint2Instruction(
        { mint: mint.address, decimals: 6, mintAuthority: payer.address }, config,
      ),
      open(mine, payer.address),
      open(theirs, other),
      getMintToInstruction(
        { mint: mint.address, token: mine, mintAuthority: payer, amount: 900n }, config,
      ),
    ]);
    const signature = await send(payer, [move(250n)]);
    const { value: balance } = await rpc.getTokenAccountBalance(theirs).send();
    assert.deepEqual([balance.amount, balance.uiAmountString], ["250", "0.00025"]);
    const { value: supply } = await rpc.getTokenSupply(mint.address).send();
    assert.equal(supply.amount, "900");
    const { value: owned } = await rpc
      .getTokenAccountsByOwner(other, { mint: mint.address }, { encoding: "jsonParsed" })
      .send();
    assert.equal(owned[0].account.data.parsed.info.tokenAmount.amount, "250");
    const found = await rpc
      .getTransaction(signature, { maxSupportedTransactionVersion: 0, encoding: "jsonParsed" })
      .send();
    assert.equal(found.transaction.message.instructions[0].parsed.type, "transferChecked");
    await assert.rejects(send(payer, [move(651n)]));
  });
}

test("a lookup table compresses a message", async () => {
  const payer = await funded();
  const slot = await rpc.getSlot({ commitment: "finalized" }).send();
  const [table, bump] = await getProgramDerivedAddress({
    programAddress: TABLES,
    seeds: [key(payer.address), u64(slot)],
  });
  const accounts = [
    [table, WRITABLE],
    [payer, READONLY_SIGNER],
    [payer, WRITABLE_SIGNER],
    [SYSTEM_PROGRAM_ADDRESS, READONLY],
  ];
  const signers = await Promise.all(Array.from({ length: 20 }, () => generateKeyPairSigner()));
  const targets = signers.map((signer) => signer.address);
  await send(payer, [
    instruction(TABLES, accounts, u32(0), u64(slot), [bump]),
    instruction(TABLES, accounts, u32(2), u64(targets.length), ...targets.map(key)),
  ]);
  await nextSlot();
  const tables = await fetchAddressesForLookupTables([table], rpc);
  assert.deepEqual(tables[table], targets);
  const gifts = targets.map((destination) =>
    getTransferSolInstruction({ source: payer, destination, amount: lamports(1_000_000n) }),
  );
  const signature = await send(payer, gifts, (full) =>
    compressTransactionMessageUsingAddressLookupTables(full, tables),
  );
  const { value } = await rpc.getBalance(targets[19]).send();
  assert.equal(value, 1_000_000n);
  const found = await rpc
    .getTransaction(signature, { maxSupportedTransactionVersion: 0, encoding: "json" })
    .send();
  assert.equal(found.meta.loadedAddresses.writable.length, 20);
});

test("a durable nonce is used up by its transaction", async () => {
  const payer = await funded();
  const [nonce, made] = await created(payer, getNonceSize(), SYSTEM_PROGRAM_ADDRESS);
  const begin = getInitializeNonceAccountInstruction({
    nonceAccount: nonce.address,
    nonceAuthority: payer.address,
  });
  await send(payer, [made, begin]);
  await nextSlot();
  const stored = (await fetchNonce(rpc, nonce.address)).data.blockhash;
  const { address: to } = await generateKeyPairSigner();
  const unsigned = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayerSigner(payer, empty),
    (paid) =>
      setTransactionMessageLifetimeUsingDurableNonce(
        { nonce: stored, nonceAccountAddress: nonce.address, nonceAuthorityAddress: payer.address },
        paid,
      ),
    (dated) =>
      appendTransactionMessageInstructions(
        [getTransferSolInstruction({ source: payer, destination: to, amount: lamports(SOL) })],
        dated,
      ),
  );
  const transaction = await signTransactionMessageWithSigners(unsigned);
  await sendAndConfirmNonce(transaction, { commitment: "confirmed" });
  assert.equal((await rpc.getBalance(to).send()).value, SOL);
  assert.notEqual((await fetchNonce(rpc, nonce.address)).data.blockhash, stored);
  await assert.rejects(sendAndConfirmNonce(transaction, { commitment: "confirmed" }));
});

test("history: signatures, statuses, a block", async () => {
  const payer = await funded();
  const { address: to } = await generateKeyPairSigner();
  const gift = (amount) =>
    getTransferSolInstruction({ source: payer, destination: to, amount: lamports(amount) });
  const first = await send(payer, [gift(SOL)]);
  const second = await send(payer, [gift(2n * SOL)]);
  const entries = await rpc.getSignaturesForAddress(to).send();
  assert.deepEqual(entries.map((entry) => entry.signature), [second, first]);
  const older = await rpc.getSignaturesForAddress(to, { before: second }).send();
  assert.deepEqual(older.map((entry) => entry.signature), [first]);
  const { value: statuses } = await rpc
    .getSignatureStatuses([first, second], { searchTransactionHistory: true })
    .send();
  assert.ok(statuses.every((status) => status.confirmationStatus === "finalized"));
  const { slot } = entries[0];
  while ((await rpc.getSlot({ commitment: "finalized" }).send()) < slot) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const block = await rpc
    .getBlock(slot, { maxSupportedTransactionVersion: 0, transactionDetails: "signatures" })
    .send();
  assert.ok(block.signatures.includes(second));
  assert.equal(block.blockHeight, slot);
});

async function buffer(payer, code) {
  const [account, made] = await created(payer, 37 + code.length, LOADER);
  const at = account.address;
  const begin = instruction(LOADER, [[at, WRITABLE], [payer.address, READONLY]], u32(0));
  await send(payer, [made, begin]);
  for (let offset = 0; offset < code.length; offset += 900) {
    const chunk = code.subarray(offset, offset + 900);
    const accounts = [[at, WRITABLE], [payer, READONLY_SIGNER]];
    const rest = [u32(1), u32(offset), u64(chunk.length), chunk];
    await send(payer, [instruction(LOADER, accounts, ...rest)]);
  }
  return at;
}

test("deploy, call, upgrade, close", async () => {
  const payer = await funded(100n);
  const dataOf = (program) =>
    getProgramDerivedAddress({ programAddress: LOADER, seeds: [key(program)] });
  // A small program that the network has anyway.
  const [known] = await dataOf(MEMO);
  const { value: info } = await rpc.getAccountInfo(known, { encoding: "base64" }).send();
  const code = Buffer.from(info.data[0], "base64").subarray(45);
  const first = await buffer(payer, code);
  const [program, made] = await created(payer, 36, LOADER);
  const [data] = await dataOf(program.address);
  const deploy = [
    [payer, WRITABLE_SIGNER],
    [data, WRITABLE],
    [program.address, WRITABLE],
    [first, WRITABLE],
    [RENT, READONLY],
    [CLOCK, READONLY],
    [SYSTEM_PROGRAM_ADDRESS, READONLY],
    [payer, READONLY_SIGNER],
  ];
  await send(payer, [made, instruction(LOADER, deploy, u32(2), u64(code.length))]);
  await nextSlot();
  const call = instruction(program.address, [], Buffer.from("hello"));
  const signature = await send(payer, [call]);
  const found = await rpc
    .getTransaction(signature, { maxSupportedTransactionVersion: 0, encoding: "json" })
    .send();
  assert.ok(found.meta.logMessages.at(-1).endsWith("success"));
  const second = await buffer(payer, code);
  const upgrade = [
    [data, WRITABLE],
    [program.address, WRITABLE],
    [second, WRITABLE],
    [payer.address, WRITABLE],
    [RENT, READONLY],
    [CLOCK, READONLY],
    [payer, READONLY_SIGNER],
  ];
  await send(payer, [instruction(LOADER, upgrade, u32(3))]);
  await nextSlot();
  await send(payer, [call]);
  const close = [
    [data, WRITABLE],
    [payer.address, WRITABLE],
    [payer, READONLY_SIGNER],
    [program.address, WRITABLE],
  ];
  await send(payer, [instruction(LOADER, close, u32(5))]);
  await nextSlot();
  await assert.rejects(send(payer, [call]));
});
