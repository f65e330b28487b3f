// The stake and vote programs, as the library's own instructions drive them. Stake earns nothing
// here and chooses nobody: the programs run as they are, for those that build on them.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Authorized,
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  Lockup,
  PublicKey,
  StakeAuthorizationLayout,
  StakeProgram,
  Transaction,
  VoteInit,
  VoteProgram,
  sendAndConfirmTransaction,
} from "@solana/web3.js";

import { rpcUrl } from "./network.mjs";

const connection = new Connection(rpcUrl, "confirmed");

async function funded(sol) {
  const keypair = Keypair.generate();
  const signature = await connection.requestAirdrop(keypair.publicKey, sol * LAMPORTS_PER_SOL);
  const latest = await connection.getLatestBlockhash();
  await connection.confirmTransaction({ signature, ...latest }, "confirmed");
  return keypair;
}

const send = (instructions, signers) =>
  sendAndConfirmTransaction(connection, new Transaction().add(...instructions), signers);

async function staked(payer, lamports) {
  const stake = Keypair.generate();
  const create = StakeProgram.createAccount({
    fromPubkey: payer.publicKey,
    stakePubkey: stake.publicKey,
    authorized: new Authorized(payer.publicKey, payer.publicKey),
    lockup: new Lockup(0, 0, PublicKey.default),
    lamports,
  });
  await send([create], [payer, stake]);
  return stake.publicKey;
}

const parsed = async (key) => (await connection.getParsedAccountInfo(key)).value.data.parsed;

test("stake is made, split, handed over and withdrawn", async () => {
  const [payer, heir] = [await funded(10), await funded(1)];
  const stake = await staked(payer, 4 * LAMPORTS_PER_SOL);
  const before = await parsed(stake);
  assert.equal(before.type, "initialized");
  assert.equal(before.info.meta.authorized.withdrawer, payer.publicKey.toBase58());

  const part = Keypair.generate();
  const rent = await connection.getMinimumBalanceForRentExemption(StakeProgram.space);
  const split = StakeProgram.split(
    {
      stakePubkey: stake,
      authorizedPubkey: payer.publicKey,
      splitStakePubkey: part.publicKey,
      lamports: LAMPORTS_PER_SOL,
    },
    rent,
  );
  await send(split.instructions, [payer, part]);
  assert.equal(await connection.getBalance(stake), 3 * LAMPORTS_PER_SOL);
  assert.equal(await connection.getBalance(part.publicKey), LAMPORTS_PER_SOL + rent);

  const hand = StakeProgram.authorize({
    stakePubkey: part.publicKey,
    authorizedPubkey: payer.publicKey,
    newAuthorizedPubkey: heir.publicKey,
    stakeAuthorizationType: StakeAuthorizationLayout.Withdrawer,
  });
  await send(hand.instructions, [payer]);
  const to = Keypair.generate().publicKey;
  const withdraw = (owner) =>
    StakeProgram.withdraw({
      stakePubkey: part.publicKey,
      authorizedPubkey: owner.publicKey,
      toPubkey: to,
      lamports: LAMPORTS_PER_SOL + rent,
    }).instructions;
  await assert.rejects(send(withdraw(payer), [payer]), /missing required signature/);
  await send(withdraw(heir), [heir]);
  assert.equal(await connection.getBalance(to), LAMPORTS_PER_SOL + rent);
  assert.equal(await connection.getAccountInfo(part.publicKey), null);
});

test("stake is delegated to a vote account and taken back", async () => {
  const payer = await funded(10);
  const [node, vote] = [Keypair.generate(), Keypair.generate()];
  const rent = await connection.getMinimumBalanceForRentExemption(VoteProgram.space);
  const open = VoteProgram.createAccount({
    fromPubkey: payer.publicKey,
    votePubkey: vote.publicKey,
    voteInit: new VoteInit(node.publicKey, payer.publicKey, payer.publicKey, 5),
    lamports: rent,
  });
  await send(open.instructions, [payer, vote, node]);
  assert.equal((await parsed(vote.publicKey)).info.nodePubkey, node.publicKey.toBase58());

  const stake = await staked(payer, 4 * LAMPORTS_PER_SOL);
  const delegate = StakeProgram.delegate({
    stakePubkey: stake,
    authorizedPubkey: payer.publicKey,
    votePubkey: vote.publicKey,
  });
  await send(delegate.instructions, [payer]);
  const { type, info } = await parsed(stake);
  assert.equal(type, "delegated");
  assert.equal(info.stake.delegation.voter, vote.publicKey.toBase58());
  const deactivate = StakeProgram.deactivate({
    stakePubkey: stake,
    authorizedPubkey: payer.publicKey,
  });
  await send(deactivate.instructions, [payer]);
  const { epoch } = await connection.getEpochInfo();
  const ended = (await parsed(stake)).info.stake.delegation.deactivationEpoch;
  assert.equal(Number(ended), epoch);
});
