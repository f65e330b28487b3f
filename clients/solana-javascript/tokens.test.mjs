// `@solana/spl-token` with both token programs, associated accounts and memos.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
  approve,
  burn,
  closeAccount,
  createMint,
  getAccount,
  getMint,
  getOrCreateAssociatedTokenAccount,
  mintTo,
  transfer,
} from "@solana/spl-token";
import { Connection, Keypair, LAMPORTS_PER_SOL } from "@solana/web3.js";

import { rpcUrl } from "./network.mjs";

const connection = new Connection(rpcUrl, "confirmed");

async function funded() {
  const keypair = Keypair.generate();
  const signature = await connection.requestAirdrop(keypair.publicKey, 10 * LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature, ...latest }, "confirmed");
  return keypair;
}

for (const [name, program] of [
  ["token", TOKEN_PROGRAM_ID],
  ["token-2022", TOKEN_2022_PROGRAM_ID],
]) {
  test(`${name}: mint, transfer, delegate, burn, close, and the calls about them`, async () => {
    const payer = await funded();
    const other = Keypair.generate();
    const mint = await createMint(
      connection, payer, payer.publicKey, null, 6, undefined, undefined, program,
    );
    const account = (owner) =>
      getOrCreateAssociatedTokenAccount(
        connection, payer, mint, owner, false, "confirmed", undefined, program,
      );
    const mine = (await account(payer.publicKey)).address;
    const theirs = (await account(other.publicKey)).address;
    const rest = [[], undefined, program];
    await mintTo(connection, payer, mint, mine, payer, 5_000_000n, ...rest);
    const signature = await transfer(
      connection, payer, mine, theirs, payer, 1_500_000n, ...rest,
    );
    await approve(connection, payer, mine, other.publicKey, payer, 7n, ...rest);

    assert.equal((await getAccount(connection, theirs, "confirmed", program)).amount, 1_500_000n);
    const balance = await connection.getTokenAccountBalance(theirs);
    assert.equal(balance.value.uiAmountString, "1.5");
    const supply = await connection.getTokenSupply(mint);
    assert.equal(supply.value.amount, "5000000");
    const largest = await connection.getTokenLargestAccounts(mint);
    assert.deepEqual(
      largest.value.map((entry) => [entry.address.toBase58(), entry.amount]),
      [[mine.toBase58(), "3500000"], [theirs.toBase58(), "1500000"]],
    );
    const owned = await connection.getParsedTokenAccountsByOwner(other.publicKey, { mint });
    assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.uiAmount, 1.5);
    const byProgram = await connection.getTokenAccountsByOwner(payer.publicKey, {
      programId: program,
    });
    assert.equal(byProgram.value.length, 1);
    const all = await connection.getProgramAccounts(program, {
      filters: [{ memcmp: { offset: 0, bytes: mint.toBase58() } }],
      dataSlice: { offset: 64, length: 8 },
    });
    const amounts = all.map((entry) => entry.account.data.readBigUInt64LE()).sort();
    assert.deepEqual(amounts, [1_500_000n, 3_500_000n]);

    const parsed = await connection.getParsedTransaction(signature);
    assert.equal(parsed.meta.postTokenBalances.length, 2);
    assert.ok(parsed.meta.postTokenBalances.some((entry) => entry.uiTokenAmount.uiAmount === 1.5));
    assert.equal(parsed.transaction.message.instructions[0].parsed.type, "transfer");

    await burn(connection, payer, mine, mint, payer, 3_500_000n, ...rest);
    assert.equal((await getMint(connection, mint, "confirmed", program)).supply, 1_500_000n);
    await closeAccount(connection, payer, mine, payer.publicKey, payer, ...rest);
    assert.equal(await connection.getAccountInfo(mine), null);
  });
}
