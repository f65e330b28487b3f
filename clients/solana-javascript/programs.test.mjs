// Programs that need no client of their own: the three memo programs, and a program's life under
// the upgradeable loader, as deploying tools drive it over JSON-RPC: buffer, writes, deployment,
// call, upgrade, close.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  SYSVAR_CLOCK_PUBKEY,
  SYSVAR_RENT_PUBKEY,
  SystemProgram,
  Transaction,
  TransactionInstruction,
  sendAndConfirmTransaction,
} from "@solana/web3.js";

import { rpcUrl } from "./network.mjs";

const connection = new Connection(rpcUrl, "confirmed");
const LOADER = new PublicKey("BPFLoaderUpgradeab1e11111111111111111111111");
const MEMO = new PublicKey("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");
// The memo programs of releases 1, 3 and 4.
const MEMOS = [
  new PublicKey("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
  new PublicKey("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
  MEMO,
];

// Bytes of the loader's states before the program's own.
const BUFFER_BYTES = 37;
const PROGRAM_BYTES = 36;
const PROGRAM_DATA_BYTES = 45;
const CHUNK_BYTES = 900;

const meta = (pubkey, isSigner, isWritable) => ({ pubkey, isSigner, isWritable });
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const loader = (keys, ...data) =>
  new TransactionInstruction({ programId: LOADER, keys, data: Buffer.concat(data) });

// A small program that the network has anyway: the bytes of a memo program.
async function elf() {
  const program = await connection.getAccountInfo(MEMO);
  if (!program.owner.equals(LOADER)) return program.data;
  const data = new PublicKey(program.data.subarray(4, 36));
  return (await connection.getAccountInfo(data)).data.subarray(PROGRAM_DATA_BYTES);
}

async function write(payer, bytes) {
  const buffer = Keypair.generate();
  const space = BUFFER_BYTES + bytes.length;
  const create = SystemProgram.createAccount({
    fromPubkey: payer.publicKey,
    newAccountPubkey: buffer.publicKey,
    lamports: await connection.getMinimumBalanceForRentExemption(space),
    space,
    programId: LOADER,
  });
  const initialise = loader(
    [meta(buffer.publicKey, false, true), meta(payer.publicKey, false, false)],
    u32(0),
  );
  const both = new Transaction().add(create, initialise);
  await sendAndConfirmTransaction(connection, both, [payer, buffer]);
  const writes = [];
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
    const chunk = bytes.subarray(offset, offset + CHUNK_BYTES);
    const instruction = loader(
      [meta(buffer.publicKey, false, true), meta(payer.publicKey, true, false)],
      u32(1),
      u32(offset),
      u64(chunk.length),
      chunk,
    );
    const transaction = new Transaction().add(instruction);
    writes.push(sendAndConfirmTransaction(connection, transaction, [payer]));
  }
  await Promise.all(writes);
  return buffer.publicKey;
}

async function nextSlot() {
  const slot = await connection.getSlot("processed");
  while ((await connection.getSlot("processed")) <= slot) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function funded(sol) {
  const payer = Keypair.generate();
  const airdrop = await connection.requestAirdrop(payer.publicKey, sol * LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature: airdrop, ...latest });
  return payer;
}

test("deploy, call, upgrade, close", async () => {
  const payer = await funded(100);
  const bytes = await elf();
  const buffer = await write(payer, bytes);
  const program = Keypair.generate();
  const [data] = PublicKey.findProgramAddressSync([program.publicKey.toBuffer()], LOADER);
  const deploy = new Transaction().add(
    SystemProgram.createAccount({
      fromPubkey: payer.publicKey,
      newAccountPubkey: program.publicKey,
      lamports: await connection.getMinimumBalanceForRentExemption(PROGRAM_BYTES),
      space: PROGRAM_BYTES,
      programId: LOADER,
    }),
    loader(
      [
        meta(payer.publicKey, true, true),
        meta(data, false, true),
        meta(program.publicKey, false, true),
        meta(buffer, false, true),
        meta(SYSVAR_RENT_PUBKEY, false, false),
        meta(SYSVAR_CLOCK_PUBKEY, false, false),
        meta(SystemProgram.programId, false, false),
        meta(payer.publicKey, true, false),
      ],
      u32(2),
      u64(bytes.length),
    ),
  );
  await sendAndConfirmTransaction(connection, deploy, [payer, program]);
  assert.equal((await connection.getAccountInfo(program.publicKey)).executable, true);
  assert.equal(await connection.getAccountInfo(buffer), null);

  // A program can be called from the slot after its deployment.
  await nextSlot();
  const call = () =>
    new Transaction().add(
      new TransactionInstruction({
        programId: program.publicKey,
        keys: [],
        data: Buffer.from("hello"),
      }),
    );
  const signature = await sendAndConfirmTransaction(connection, call(), [payer]);
  const called = await connection.getTransaction(signature);
  assert.ok(called.meta.computeUnitsConsumed > 0);
  assert.ok(called.meta.logMessages.at(-1).endsWith("success"), called.meta.logMessages.at(-1));

  const newer = await write(payer, bytes);
  const upgrade = loader(
    [
      meta(data, false, true),
      meta(program.publicKey, false, true),
      meta(newer, false, true),
      meta(payer.publicKey, false, true),
      meta(SYSVAR_RENT_PUBKEY, false, false),
      meta(SYSVAR_CLOCK_PUBKEY, false, false),
      meta(payer.publicKey, true, false),
    ],
    u32(3),
  );
  await sendAndConfirmTransaction(connection, new Transaction().add(upgrade), [payer]);
  await nextSlot();
  await sendAndConfirmTransaction(connection, call(), [payer]);

  const close = loader(
    [
      meta(data, false, true),
      meta(payer.publicKey, false, true),
      meta(payer.publicKey, true, false),
      meta(program.publicKey, false, true),
    ],
    u32(5),
  );
  await sendAndConfirmTransaction(connection, new Transaction().add(close), [payer]);
  await nextSlot();
  await assert.rejects(sendAndConfirmTransaction(connection, call(), [payer]));
});

test("memos of all three programs", async () => {
  const payer = await funded(1);
  for (const programId of MEMOS) {
    const memo = (bytes, keys) => new TransactionInstruction({ programId, keys, data: bytes });
    const signed = [meta(payer.publicKey, true, false)];
    // The first release takes no signers.
    const keys = programId === MEMOS[0] ? [] : signed;
    const good = new Transaction().add(memo(Buffer.from("three stones"), keys));
    const signature = await sendAndConfirmTransaction(connection, good, [payer]);
    const found = await connection.getTransaction(signature);
    assert.ok(found.meta.computeUnitsConsumed > 0);
    assert.ok(found.meta.logMessages.at(-1).endsWith("success"));
    const entries = await connection.getSignaturesForAddress(payer.publicKey, { limit: 1 });
    assert.equal(entries[0].memo, "[12] three stones");
    // Memos are text.
    const bad = new Transaction().add(memo(Buffer.from([0xff, 0xfe]), keys));
    await assert.rejects(sendAndConfirmTransaction(connection, bad, [payer]), `${programId}`);
  }
});
