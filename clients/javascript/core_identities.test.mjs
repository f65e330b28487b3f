// `@icp-sdk/core`, unmodified: every kind of key that it has, and delegations.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import {
  Actor,
  AnonymousIdentity,
  Cbor,
  HttpAgent,
  ReplicaRejectCode,
  SignIdentity,
} from "@icp-sdk/core/agent";
import {
  DelegationChain,
  DelegationIdentity,
  ECDSAKeyIdentity,
  Ed25519KeyIdentity,
  WebAuthnIdentity,
} from "@icp-sdk/core/identity";
import { Secp256k1KeyIdentity } from "@icp-sdk/core/identity/secp256k1";
import { Principal } from "@icp-sdk/core/principal";

import { motokoCounter } from "./interfaces.mjs";
import { actorOf, connect, deploy, install, managementOf, refused, rejects } from "./network.mjs";
import { Authenticator, canisterSigner } from "./signers.mjs";

const sdk = { Actor, HttpAgent, Principal };
const HOUR = 3_600_000;

let canisterId;

before(async () => {
  const owner = await connect(sdk, Ed25519KeyIdentity.generate());
  ({ canisterId } = await deploy(sdk, owner, "motoko/counter", motokoCounter));
});

const actorFor = async (identity) =>
  actorOf(sdk, await connect(sdk, identity), canisterId, motokoCounter);

// The canister knows the caller, in a query and in an update.
async function checks(identity, principal) {
  const actor = await actorFor(identity);
  for (let times = 0; times < 3; times++) {
    assert.equal(String(await actor.whoami()), String(principal));
  }
  assert.ok((await actor.inc()) > 0n);
}

describe("keys", () => {
  test("ed25519", async () => {
    const identity = Ed25519KeyIdentity.generate();
    await checks(identity, identity.getPrincipal());
    const again = Ed25519KeyIdentity.fromJSON(JSON.stringify(identity.toJSON()));
    await checks(again, identity.getPrincipal());
  });

  test("secp256k1", async () => {
    const identity = Secp256k1KeyIdentity.generate();
    await checks(identity, identity.getPrincipal());
    const phrase = `${"abandon ".repeat(11)}about`;
    const derived = Secp256k1KeyIdentity.fromSeedPhrase(phrase);
    await checks(derived, derived.getPrincipal());
  });

  test("p-256, from the browser's cryptography", async () => {
    const identity = await ECDSAKeyIdentity.generate();
    await checks(identity, identity.getPrincipal());
  });

  test("anonymous", async () => {
    await checks(new AnonymousIdentity(), Principal.anonymous());
  });

  for (const [name, algorithm] of [
    ["p-256", -7],
    ["ed25519", -8],
    ["rsa", -257],
  ]) {
    test(`webauthn with ${name}`, async () => {
      const authenticator = new Authenticator(algorithm);
      await authenticator.during(async () => {
        const identity = await WebAuthnIdentity.create();
        await checks(identity, identity.getPrincipal());
        const session = Ed25519KeyIdentity.generate();
        const key = session.getPublicKey();
        const chain = await DelegationChain.create(identity, key, inAnHour());
        const delegated = DelegationIdentity.fromDelegation(session, chain);
        await checks(delegated, identity.getPrincipal());
      });
    });
  }

  test("a canister", async () => {
    const signer = await connect(sdk, Ed25519KeyIdentity.generate());
    const signing = await deploy(sdk, signer, "motoko/counter", motokoCounter);
    const seed = new TextEncoder().encode("a seed of any length");
    const library = { SignIdentity, Cbor };
    const identity = canisterSigner(library, signing.actor, signing.canisterId, seed);
    const session = Ed25519KeyIdentity.generate();
    const chain = await DelegationChain.create(identity, session.getPublicKey(), inAnHour());
    const delegated = DelegationIdentity.fromDelegation(session, chain);
    await checks(delegated, identity.getPrincipal());
    // Another seed is another user.
    const other = canisterSigner(library, signing.actor, signing.canisterId, seed.slice(1));
    assert.notEqual(String(other.getPrincipal()), String(identity.getPrincipal()));
    const forged = DelegationChain.fromDelegations(
      chain.delegations,
      other.getPublicKey().toDer(),
    );
    const refusal = (await actorFor(DelegationIdentity.fromDelegation(session, forged))).inc();
    await refused(refusal, [400, 403]);
  });
});

const inAnHour = () => new Date(Date.now() + HOUR);

// A chain over the given identities, each of which speaks for the first.
async function chainOver(identities, { expiration = inAnHour(), ...options } = {}) {
  let chain;
  for (let at = 1; at < identities.length; at++) {
    const key = identities[at].getPublicKey();
    const last = at === identities.length - 1 ? options : {};
    const all = { ...last, ...(chain && { previous: chain }) };
    chain = await DelegationChain.create(identities[at - 1], key, expiration, all);
  }
  return DelegationIdentity.fromDelegation(identities.at(-1), chain);
}

const generate = (count) => Array.from({ length: count }, () => Ed25519KeyIdentity.generate());

describe("delegations", () => {
  test("a chain of two, the second bound to the canister", async () => {
    const keys = generate(3);
    const identity = await chainOver(keys, { targets: [canisterId] });
    await checks(identity, keys[0].getPrincipal());
  });

  test("a chain over keys of every kind", async () => {
    const keys = [
      Secp256k1KeyIdentity.generate(),
      await ECDSAKeyIdentity.generate(),
      Ed25519KeyIdentity.generate(),
    ];
    await checks(await chainOver(keys), keys[0].getPrincipal());
  });

  test("one that went through JSON", async () => {
    const [root, session] = generate(2);
    const chain = await DelegationChain.create(root, session.getPublicKey(), inAnHour(), {
      targets: [canisterId, Principal.managementCanister()],
    });
    const text = JSON.stringify(chain.toJSON());
    const again = DelegationIdentity.fromDelegation(session, DelegationChain.fromJSON(text));
    await checks(again, root.getPrincipal());
  });

  test("up to twenty", async () => {
    const keys = generate(21);
    await checks(await chainOver(keys), keys[0].getPrincipal());
    const tooMany = await actorFor(await chainOver(generate(22)));
    await refused(tooMany.inc(), [400, 403], /20/);
  });

  test("none for another canister", async () => {
    const identity = await chainOver(generate(2), { targets: [Principal.managementCanister()] });
    const actor = await actorFor(identity);
    await refused(actor.inc(), [400, 403], new RegExp(String(canisterId)));
    await refused(actor.get(), [400, 403]);
  });

  test("none that has expired", async () => {
    const expiration = new Date(Date.now() - HOUR);
    const actor = await actorFor(await chainOver(generate(2), { expiration }));
    await refused(actor.inc(), [400, 403], /expire/);
  });

  test("no key twice", async () => {
    const [root, session] = generate(2);
    const actor = await actorFor(await chainOver([root, session, root, session]));
    await refused(actor.inc(), [400, 403]);
  });

  test("none that another key signed", async () => {
    const [root, session, thief] = generate(3);
    const { delegations } = (await chainOver([thief, session])).getDelegation();
    const chain = DelegationChain.fromDelegations(delegations, root.getPublicKey().toDer());
    const actor = await actorFor(DelegationIdentity.fromDelegation(session, chain));
    await refused(actor.inc(), [400, 403]);
  });

  test("one for queries makes queries only", async () => {
    const keys = generate(2);
    const actor = await actorFor(await chainOver(keys, { permissions: "queries" }));
    assert.equal(String(await actor.whoami()), String(keys[0].getPrincipal()));
    await refused(actor.inc(), [400, 403]);
  });
});

test("only a controller may install code", async () => {
  const stranger = await connect(sdk, Ed25519KeyIdentity.generate());
  const theirs = managementOf(sdk, stranger, canisterId);
  await rejects(
    install(theirs, canisterId, "motoko/counter", { reinstall: null }),
    ReplicaRejectCode.CanisterError,
    "IC0512",
    /controller/,
  );
});
