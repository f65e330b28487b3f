// What the suites of loaded programs share: funded keys, and token metadata as the program keeps
// it.

import assert from "node:assert/strict";
import {
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  Transaction,
  sendAndConfirmTransaction,
} from "@solana/web3.js";

import { rpcUrl } from "../network.mjs";

export const connection = new Connection(rpcUrl, "confirmed");
export const METADATA = new PublicKey("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s");

// First byte of a metadata account of version 1.
const METADATA_V1 = 4;

export async function funded(sol) {
  const keypair = Keypair.generate();
  const signature = await connection.requestAirdrop(keypair.publicKey, sol * LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature, ...latest }, "confirmed");
  return keypair;
}

export const send = (instructions, signers) =>
  sendAndConfirmTransaction(connection, new Transaction().add(...instructions), signers);

export const metadataOf = (mint) =>
  PublicKey.findProgramAddressSync(
    [Buffer.from("metadata"), METADATA.toBuffer(), mint.toBuffer()],
    METADATA,
  )[0];

// Texts are preceded by their length and filled up with zeros.
export async function readMetadata(mint) {
  const { owner, data } = await connection.getAccountInfo(metadataOf(mint));
  assert.ok(owner.equals(METADATA));
  assert.equal(data[0], METADATA_V1);
  let at = 65;
  const text = () => {
    const len = data.readUInt32LE(at);
    const bytes = data.subarray(at + 4, at + 4 + len);
    at += 4 + len;
    return bytes.toString().replaceAll("\0", "");
  };
  return {
    authority: new PublicKey(data.subarray(1, 33)).toBase58(),
    mint: new PublicKey(data.subarray(33, 65)).toBase58(),
    name: text(),
    symbol: text(),
    uri: text(),
  };
}
