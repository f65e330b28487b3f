// `@solana/spl-stake-pool`, unmodified, with the stake pool program it is made for: a pool is
// initialised, SOL goes in and out of it, its token gets metadata through it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  STAKE_POOL_PROGRAM_ID,
  createPoolTokenMetadata,
  depositSol,
  getStakePoolAccount,
  stakePoolInfo,
  updatePoolTokenMetadata,
  updateStakePool,
  withdrawSol,
  withdrawStake,
} from "@solana/spl-stake-pool";
import {
  TOKEN_PROGRAM_ID,
  createAssociatedTokenAccount,
  createMint,
  getAccount,
  getAssociatedTokenAddressSync,
  getMint,
} from "@solana/spl-token";
import {
  Authorized,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  StakeProgram,
  SystemProgram,
  TransactionInstruction,
} from "@solana/web3.js";

import { connection, funded, readMetadata, send } from "./pools.mjs";

// Sizes of the pool's accounts, and of an entry of the list. Source: crate `spl-stake-pool` 2.2.0,
// `state.rs`.
const POOL_BYTES = 611;
const LIST_HEAD_BYTES = 9;
const VALIDATOR_BYTES = 73;
const VALIDATORS_MAX = 10;

const meta = (pubkey, isSigner, isWritable) => ({ pubkey, isSigner, isWritable });
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
// Encoded with the denominator first.
const fee = (numerator, denominator) => Buffer.concat([u64(denominator), u64(numerator)]);

const addressOf = (pool, seed) =>
  PublicKey.findProgramAddressSync([pool.toBuffer(), Buffer.from(seed)], STAKE_POOL_PROGRAM_ID)[0];

async function account(payer, bytes, programId) {
  const keypair = Keypair.generate();
  const lamports = await connection.getMinimumBalanceForRentExemption(bytes);
  const instruction = SystemProgram.createAccount({
    fromPubkey: payer.publicKey,
    newAccountPubkey: keypair.publicKey,
    lamports,
    space: bytes,
    programId,
  });
  return { keypair, instruction };
}

// The library leaves this one instruction to the command-line tool. A share of 1 in 100 of rewards
// and of withdrawals, nothing on deposits.
function initialize({ pool, list, reserve, mint, fees, manager }) {
  const max = Buffer.alloc(4);
  max.writeUInt32LE(VALIDATORS_MAX);
  return new TransactionInstruction({
    programId: STAKE_POOL_PROGRAM_ID,
    keys: [
      meta(pool, false, true),
      meta(manager, true, false),
      meta(manager, false, false),
      meta(addressOf(pool, "withdraw"), false, false),
      meta(list, false, true),
      meta(reserve, false, false),
      meta(mint, false, true),
      meta(fees, false, true),
      meta(TOKEN_PROGRAM_ID, false, false),
    ],
    data: Buffer.concat([
      Buffer.from([0]), fee(1, 100), fee(1, 100), fee(0, 100), Buffer.from([0]), max,
    ]),
  });
}

// A pool keeps what a stake account says of itself that it needs, which is more than today's rent.
async function fillReserve(payer, reserve) {
  const { value } = await connection.getParsedAccountInfo(reserve);
  const kept = Number(value.data.parsed.info.meta.rentExemptReserve);
  const lamports = kept - value.lamports;
  if (lamports <= 0) return;
  const fill = SystemProgram.transfer({
    fromPubkey: payer.publicKey, toPubkey: reserve, lamports,
  });
  await send([fill], [payer]);
}

async function newPool(manager) {
  const pool = await account(manager, POOL_BYTES, STAKE_POOL_PROGRAM_ID);
  const authority = addressOf(pool.keypair.publicKey, "withdraw");
  const listBytes = LIST_HEAD_BYTES + VALIDATORS_MAX * VALIDATOR_BYTES;
  const list = await account(manager, listBytes, STAKE_POOL_PROGRAM_ID);
  const reserve = await account(manager, StakeProgram.space, StakeProgram.programId);
  const owned = StakeProgram.initialize({
    stakePubkey: reserve.keypair.publicKey,
    authorized: new Authorized(authority, authority),
  });
  await send([reserve.instruction, owned], [manager, reserve.keypair]);
  await fillReserve(manager, reserve.keypair.publicKey);
  const mint = await createMint(connection, manager, authority, null, 9);
  const fees = await createAssociatedTokenAccount(connection, manager, mint, manager.publicKey);
  const keys = {
    pool: pool.keypair.publicKey,
    list: list.keypair.publicKey,
    reserve: reserve.keypair.publicKey,
    manager: manager.publicKey,
    mint,
    fees,
  };
  await send(
    [pool.instruction, list.instruction, initialize(keys)],
    [manager, pool.keypair, list.keypair],
  );
  return keys;
}

test("a pool takes SOL and gives it back, as SOL and as stake", async () => {
  const manager = await funded(20);
  const { pool, reserve, mint, fees } = await newPool(manager);
  const made = (await getStakePoolAccount(connection, pool)).account.data;
  assert.ok(made.manager.equals(manager.publicKey) && made.poolMint.equals(mint));
  assert.equal(made.totalLamports.toNumber(), 0);

  const user = await funded(20);
  const before = await connection.getBalance(reserve);
  const deposit = await depositSol(connection, pool, user.publicKey, 8 * LAMPORTS_PER_SOL);
  await send(deposit.instructions, [user, ...deposit.signers]);
  const tokens = getAssociatedTokenAddressSync(mint, user.publicKey);
  assert.equal((await getAccount(connection, tokens)).amount, 8_000_000_000n);
  assert.equal(await connection.getBalance(reserve), before + 8 * LAMPORTS_PER_SOL);

  // The share of 1 in 100 was set for stake and SOL alike, and goes to the manager in tokens.
  const receiver = Keypair.generate().publicKey;
  const out = await withdrawSol(connection, pool, user.publicKey, receiver, 2);
  await send(out.instructions, [user, ...out.signers]);
  const info = await stakePoolInfo(connection, pool);
  const share = BigInt((await getAccount(connection, fees)).amount);
  assert.equal(share, 20_000_000n);
  assert.equal(await connection.getBalance(receiver), 1_980_000_000);
  assert.equal((await getAccount(connection, tokens)).amount, 6_000_000_000n);
  assert.equal((await getMint(connection, mint)).supply, 6_020_000_000n);
  assert.equal(Number(info.totalLamports), 6_020_000_000);

  // Stake comes as an account split off the reserve, and is the user's.
  const stake = await withdrawStake(connection, pool, user.publicKey, 3, true);
  await send(stake.instructions, [user, ...stake.signers]);
  const [, receiving] = stake.signers;
  const state = await connection.getParsedAccountInfo(receiving.publicKey);
  const { type, info: split } = state.value.data.parsed;
  assert.equal(type, "initialized");
  assert.equal(split.meta.authorized.withdrawer, user.publicKey.toBase58());
  assert.equal((await getAccount(connection, tokens)).amount, 3_000_000_000n);

  const current = await getStakePoolAccount(connection, pool);
  const { updateListInstructions, finalInstructions } = await updateStakePool(connection, current);
  await send([...updateListInstructions, ...finalInstructions], [user]);
  const last = (await getStakePoolAccount(connection, pool)).account.data;
  const held = (await connection.getBalance(reserve)) - before;
  assert.equal(last.totalLamports.toNumber(), held);
  assert.equal(last.poolTokenSupply.toString(), (await getMint(connection, mint)).supply.toString());
});

test("more than the pool has, and what is not one's own, is refused", async () => {
  const manager = await funded(20);
  const { pool, fees } = await newPool(manager);
  const user = await funded(5);
  const deposit = await depositSol(connection, pool, user.publicKey, LAMPORTS_PER_SOL);
  await send(deposit.instructions, [user, ...deposit.signers]);
  const receiver = Keypair.generate().publicKey;
  await assert.rejects(
    withdrawSol(connection, pool, user.publicKey, receiver, 2),
    /Not enough token balance/,
  );
  const out = await withdrawSol(connection, pool, user.publicKey, receiver, 1);
  const stolen = out.instructions.at(-1);
  // The manager's tokens instead of the user's.
  stolen.keys[3].pubkey = fees;
  await assert.rejects(send(out.instructions, [user, ...out.signers]), /custom program error/);
  assert.equal(await connection.getBalance(receiver), 0);
});

test("the pool's token gets metadata through the pool", async () => {
  const manager = await funded(20);
  const { pool, mint } = await newPool(manager);
  const first = ["Three Stones Staked", "3SOL", "https://example.org/pool.json"];
  const create = await createPoolTokenMetadata(connection, pool, manager.publicKey, ...first);
  await send(create.instructions, [manager]);
  const expected = {
    authority: addressOf(pool, "withdraw").toBase58(),
    mint: mint.toBase58(),
  };
  assert.deepEqual(await readMetadata(mint), {
    ...expected, name: first[0], symbol: first[1], uri: first[2],
  });
  const second = ["Stones", "STONE", "https://example.org/stones.json"];
  const update = await updatePoolTokenMetadata(connection, pool, ...second);
  await send(update.instructions, [manager]);
  assert.deepEqual(await readMetadata(mint), {
    ...expected, name: second[0], symbol: second[1], uri: second[2],
  });
  const stranger = await funded(1);
  for (const key of update.instructions[0].keys) {
    if (key.pubkey.equals(manager.publicKey)) key.pubkey = stranger.publicKey;
  }
  await assert.rejects(send(update.instructions, [stranger]), /custom program error/);
});
