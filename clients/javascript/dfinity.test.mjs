// `@dfinity/agent` 3, the older generation, unmodified: v3 calls, v2 queries, read_state and
// status.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import {
  Actor,
  AnonymousIdentity,
  CanisterStatus,
  Certificate,
  HttpAgent,
  ReplicaRejectCode,
  fetchCandid,
  lookupResultToBuffer,
  polling,
} from "@dfinity/agent";
import { IDL } from "@dfinity/candid";
import {
  DelegationChain,
  DelegationIdentity,
  ECDSAKeyIdentity,
  Ed25519KeyIdentity,
  WebAuthnIdentity,
} from "@dfinity/identity";
import { Secp256k1KeyIdentity } from "@dfinity/identity-secp256k1";
import { Principal } from "@dfinity/principal";

import { cCounter, motokoCounter } from "./interfaces.mjs";
import {
  actorOf,
  connect,
  deploy,
  did,
  hex,
  refused,
  rejects,
  sha256,
  subnetId,
  utf8,
  wasm,
} from "./network.mjs";
import { Authenticator } from "./signers.mjs";

const sdk = { Actor, HttpAgent, Principal };
const NOTHING = IDL.encode([], []);
const owner = Ed25519KeyIdentity.generate();
let agent;

before(async () => {
  agent = await connect(sdk, owner);
});

test("the status names the root key", async () => {
  const status = await agent.status();
  assert.equal(hex(new Uint8Array(status.root_key)), hex(agent.rootKey));
});

test("creates, installs, updates and queries", async () => {
  const { actor } = await deploy(sdk, agent, "motoko/counter", motokoCounter);
  assert.equal(await actor.inc(), 1n);
  assert.equal(await actor.get(), 1n);
  assert.equal(await actor.greet("v3"), "Hello, v3!");
  await rejects(actor.incThenTrap(), ReplicaRejectCode.CanisterError, "IC0503", /deliberate trap/);
  await rejects(actor.refuse(), ReplicaRejectCode.CanisterReject, "IC0406", /deliberate reject/);
  await rejects(actor.version(), ReplicaRejectCode.CanisterError, "IC0536", /version/);
  assert.equal(await actor.get(), 1n);
});

describe("calls", () => {
  let canisterId;

  before(async () => {
    ({ canisterId } = await deploy(sdk, agent, "c/counter", cCounter));
  });

  test("use the older endpoints, with signed queries", async () => {
    const kinds = new Set();
    const watched = await connect(sdk, owner, {
      fetch: (url, request) => {
        const [, version, endpoint] = /\/api\/(v\d)\/.*?(\w+)$/.exec(new URL(url).pathname);
        kinds.add(`${version} ${endpoint}`);
        return fetch(url, request);
      },
    });
    const actor = actorOf(sdk, watched, canisterId, cCounter);
    const count = await actor.inc();
    assert.equal(await actor.get(), count);
    const used = ["v2 query", "v2 read_state", "v2 status", "v3 call"];
    assert.deepEqual([...kinds].sort(), used);
  });

  test("are polled for when the application asks for that", async () => {
    const call = { methodName: "add", arg: IDL.encode([IDL.Nat64], [0n]), callSync: false };
    const { requestId, response } = await agent.call(canisterId, call);
    assert.equal(response.status, 202);
    const { certificate, reply } = await polling.pollForResponse(agent, canisterId, requestId);
    const path = [utf8("request_status"), requestId, utf8("reply")];
    assert.equal(hex(lookupResultToBuffer(certificate.lookup_path(path))), hex(reply));
  });

  test("leave a status that only their sender may read", async () => {
    const { requestId } = await agent.call(canisterId, { methodName: "inc", arg: NOTHING });
    const paths = [[utf8("request_status"), requestId]];
    const { certificate } = await agent.readState(canisterId, { paths });
    const verified = await Certificate.create({
      certificate,
      rootKey: agent.rootKey,
      canisterId,
    });
    const status = lookupResultToBuffer(verified.lookup_path([...paths[0], utf8("status")]));
    assert.equal(new TextDecoder().decode(status), "replied");
    const stranger = await connect(sdk, Ed25519KeyIdentity.generate());
    await refused(stranger.readState(canisterId, { paths }), [403]);
  });
});

test("reads the state", async () => {
  const { canisterId } = await deploy(sdk, agent, "motoko/counter", motokoCounter);
  const types = new CanisterStatus.CustomPath("types", "motoko:stable-types", "utf-8");
  const status = await CanisterStatus.request({
    agent,
    canisterId,
    paths: ["time", "module_hash", "controllers", "candid", "subnet", types],
  });
  assert.equal(status.get("module_hash"), sha256(wasm("motoko/counter")));
  assert.ok(Math.abs(status.get("time").getTime() - Date.now()) < 60_000);
  assert.deepEqual(status.get("controllers").map(String), [String(owner.getPrincipal())]);
  assert.equal(status.get("candid"), did("motoko/counter"));
  assert.equal(status.get("subnet").subnetId, String(await subnetId(sdk)));
  assert.ok(status.get("subnet").nodeKeys.size >= 1);
  assert.match(status.get("types"), /actor/);
  assert.equal(await fetchCandid(String(canisterId), agent), did("motoko/counter"));
  const stranger = await connect(sdk, new AnonymousIdentity());
  const paths = [["canister", canisterId.toUint8Array(), "metadata", "motoko:stable-types"]];
  const encoded = paths.map((path) => path.map((x) => (typeof x === "string" ? utf8(x) : x)));
  await refused(stranger.readState(canisterId, { paths: encoded }), [403]);
});

describe("identities", () => {
  let canisterId;

  before(async () => {
    ({ canisterId } = await deploy(sdk, agent, "motoko/counter", motokoCounter));
  });

  async function checks(identity, principal = identity.getPrincipal()) {
    const actor = actorOf(sdk, await connect(sdk, identity), canisterId, motokoCounter);
    assert.equal(String(await actor.whoami()), String(principal));
    assert.ok((await actor.inc()) > 0n);
  }

  test("every kind of key", async () => {
    await checks(Ed25519KeyIdentity.generate());
    await checks(Secp256k1KeyIdentity.generate());
    await checks(await ECDSAKeyIdentity.generate());
    await checks(new AnonymousIdentity());
  });

  test("webauthn", async () => {
    const authenticator = new Authenticator(-7);
    await authenticator.during(async () => checks(await WebAuthnIdentity.create()));
  });

  test("delegations", async () => {
    const [root, session] = [0, 1].map(() => Ed25519KeyIdentity.generate());
    const until = (time) => new Date(Date.now() + time);
    const delegated = async (time, targets) => {
      const key = session.getPublicKey();
      const chain = await DelegationChain.create(root, key, until(time), { targets });
      return DelegationIdentity.fromDelegation(session, chain);
    };
    const HOUR = 3_600_000;
    await checks(await delegated(HOUR), root.getPrincipal());
    await checks(await delegated(HOUR, [canisterId]), root.getPrincipal());
    for (const wrong of [
      await delegated(-HOUR),
      await delegated(HOUR, [Principal.managementCanister()]),
    ]) {
      const actor = actorOf(sdk, await connect(sdk, wrong), canisterId, motokoCounter);
      await refused(actor.inc(), [400, 403]);
    }
  });
});
