// `@solana/kit` as applications use it: signers, transaction messages, confirmation over
// subscriptions, and every u64 as a bigint.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  address,
  airdropFactory,
  appendTransactionMessageInstructions,
  assertIsTransactionWithBlockhashLifetime,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  generateKeyPairSigner,
  getBase64EncodedWireTransaction,
  getSignatureFromTransaction,
  isSolanaError,
  lamports,
  pipe,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE,
} from "@solana/kit";
import { getTransferSolInstruction } from "@solana-program/system";
import { getAddMemoInstruction } from "@solana-program/memo";

import { pubsubUrl, rpcUrl } from "./network.mjs";

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(pubsubUrl);
const airdrop = airdropFactory({ rpc, rpcSubscriptions });
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const SOL = 1_000_000_000n;

async function funded() {
  const signer = await generateKeyPairSigner();
  await airdrop({
    commitment: "confirmed",
    lamports: lamports(10n * SOL),
    recipientAddress: signer.address,
  });
  return signer;
}

async function signed(payer, instructions) {
  const { value: latest } = await rpc.getLatestBlockhash().send();
  const transaction = await pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(payer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(latest, message),
    (message) => appendTransactionMessageInstructions(instructions, message),
    (message) => signTransactionMessageWithSigners(message),
  );
  assertIsTransactionWithBlockhashLifetime(transaction);
  return transaction;
}

test("airdrop, transfer with a memo, confirmation", async () => {
  const payer = await funded();
  const { address: to } = await generateKeyPairSigner();
  const transaction = await signed(payer, [
    getTransferSolInstruction({ source: payer, destination: to, amount: lamports(SOL) }),
    getAddMemoInstruction({ memo: "three stones" }),
  ]);
  await sendAndConfirm(transaction, { commitment: "confirmed" });
  const { value } = await rpc.getBalance(to).send();
  assert.equal(value, SOL);
  const signature = getSignatureFromTransaction(transaction);
  const found = await rpc
    .getTransaction(signature, { maxSupportedTransactionVersion: 0, encoding: "json" })
    .send();
  assert.equal(found.meta.fee, 5000n);
  assert.ok(found.meta.logMessages.some((line) => line.includes("three stones")));
  const [entry] = await rpc.getSignaturesForAddress(to).send();
  assert.equal(entry.memo, "[12] three stones");
});

test("subscriptions are iterators", async () => {
  const payer = await funded();
  const { address: to } = await generateKeyPairSigner();
  const abort = new AbortController();
  const accounts = await rpcSubscriptions
    .accountNotifications(to, { commitment: "confirmed", encoding: "base64" })
    .subscribe({ abortSignal: abort.signal });
  const slots = await rpcSubscriptions
    .slotNotifications()
    .subscribe({ abortSignal: abort.signal });
  const next = accounts[Symbol.asyncIterator]().next();
  const nextSlot = slots[Symbol.asyncIterator]().next();
  const transaction = await signed(payer, [
    getTransferSolInstruction({ source: payer, destination: to, amount: lamports(SOL) }),
  ]);
  await sendAndConfirm(transaction, { commitment: "finalized" });
  assert.equal((await next).value.value.lamports, SOL);
  const slot = (await nextSlot).value;
  assert.ok(slot.slot > slot.parent);
  abort.abort();
});

test("a failing transaction is refused with its program error", async () => {
  const payer = await funded();
  const { address: to } = await generateKeyPairSigner();
  const transaction = await signed(payer, [
    getTransferSolInstruction({ source: payer, destination: to, amount: lamports(100n * SOL) }),
  ]);
  const wire = getBase64EncodedWireTransaction(transaction);
  const failed = await rpc
    .sendTransaction(wire, { encoding: "base64" })
    .send()
    .catch((error) => error);
  assert.ok(
    isSolanaError(failed, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE),
    String(failed),
  );
  assert.equal(failed.context.unitsConsumed, 150n);
});

test("numbers are as large as they are", async () => {
  const clock = address("SysvarC1ock11111111111111111111111111111111");
  const { value } = await rpc.getAccountInfo(clock, { encoding: "jsonParsed" }).send();
  assert.equal(value.data.program, "sysvar");
  assert.equal(typeof value.data.parsed.info.slot, "bigint");
  assert.equal(typeof (await rpc.getSlot().send()), "bigint");
  const epoch = await rpc.getEpochInfo().send();
  assert.ok(epoch.slotsInEpoch > 0n);
});
