// The token program of release 3.5.0 in the place of its faster successor: units tell which one it
// is, and the results are the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createAssociatedTokenAccount,
  createMint,
  createTransferInstruction,
  getAccount,
  mintTo,
} from "@solana/spl-token";
import { Keypair } from "@solana/web3.js";

import { connection, funded, send } from "./pools.mjs";

// Units of a transfer: 76 in the successor.
const UNITS_LEAST = 4_000;
const UNITS_MOST = 5_000;

test("a transfer costs what it cost in release 3.5.0", async () => {
  const payer = await funded(10);
  const other = Keypair.generate().publicKey;
  const mint = await createMint(connection, payer, payer.publicKey, null, 6);
  const mine = await createAssociatedTokenAccount(connection, payer, mint, payer.publicKey);
  const theirs = await createAssociatedTokenAccount(connection, payer, mint, other);
  await mintTo(connection, payer, mint, mine, payer, 900n);
  const signature = await send(
    [createTransferInstruction(mine, theirs, payer.publicKey, 250n)],
    [payer],
  );
  const { meta } = await connection.getTransaction(signature);
  const units = meta.computeUnitsConsumed;
  assert.ok(UNITS_LEAST < units && units < UNITS_MOST, `${units} units`);
  assert.ok(meta.logMessages.includes("Program log: Instruction: Transfer"));
  assert.equal((await getAccount(connection, mine)).amount, 650n);
  assert.equal((await getAccount(connection, theirs)).amount, 250n);
});
