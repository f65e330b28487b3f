// The token metadata program, called as its own clients call it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createMint } from "@solana/spl-token";
import { SYSVAR_RENT_PUBKEY, SystemProgram, TransactionInstruction } from "@solana/web3.js";

import { METADATA, connection, funded, metadataOf, readMetadata, send } from "./pools.mjs";

// Numbers of the program's instructions.
const CREATE_V3 = 33;
const UPDATE_V2 = 15;

const text = (value) => {
  const bytes = Buffer.alloc(4 + value.length);
  bytes.writeUInt32LE(value.length);
  bytes.write(value, 4);
  return bytes;
};
// Name, symbol, address; no share of sales, no creators, no collection, no uses.
const described = (name, symbol, uri) =>
  Buffer.concat([text(name), text(symbol), text(uri), Buffer.from([0, 0, 0, 0, 0])]);
const meta = (pubkey, isSigner, isWritable) => ({ pubkey, isSigner, isWritable });

const create = (mint, payer, ...words) =>
  new TransactionInstruction({
    programId: METADATA,
    keys: [
      meta(metadataOf(mint), false, true),
      meta(mint, false, false),
      meta(payer, true, false),
      meta(payer, true, true),
      meta(payer, true, false),
      meta(SystemProgram.programId, false, false),
      meta(SYSVAR_RENT_PUBKEY, false, false),
    ],
    // Changeable, and no details of a collection.
    data: Buffer.concat([Buffer.from([CREATE_V3]), described(...words), Buffer.from([1, 0])]),
  });

const update = (mint, authority, ...words) =>
  new TransactionInstruction({
    programId: METADATA,
    keys: [meta(metadataOf(mint), false, true), meta(authority, true, false)],
    // A description; the authority, the first sale and whether it is changeable stay.
    data: Buffer.concat([Buffer.from([UPDATE_V2, 1]), described(...words), Buffer.from([0, 0, 0])]),
  });

test("metadata of a mint is created once and updated by its authority only", async () => {
  const payer = await funded(10);
  const stranger = await funded(1);
  const mint = await createMint(connection, payer, payer.publicKey, null, 9);
  const first = ["Three Stones", "STONE", "https://example.org/1.json"];
  await send([create(mint, payer.publicKey, ...first)], [payer]);
  const expected = { authority: payer.publicKey.toBase58(), mint: mint.toBase58() };
  assert.deepEqual(await readMetadata(mint), {
    ...expected, name: first[0], symbol: first[1], uri: first[2],
  });
  const second = ["Four Stones", "STONES", "https://example.org/2.json"];
  await assert.rejects(
    send([update(mint, stranger.publicKey, ...second)], [stranger]),
    /custom program error: 0x7/,
  );
  assert.equal((await readMetadata(mint)).name, first[0]);
  await send([update(mint, payer.publicKey, ...second)], [payer]);
  assert.deepEqual(await readMetadata(mint), {
    ...expected, name: second[0], symbol: second[1], uri: second[2],
  });
  await assert.rejects(
    send([create(mint, payer.publicKey, ...first)], [payer]),
    /custom program error/,
  );
});
