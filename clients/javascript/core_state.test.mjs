// `@icp-sdk/core`, unmodified: what the certified state shows, and to whom.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import {
  Actor,
  CanisterStatus,
  Certificate,
  HttpAgent,
  LookupPathStatus,
  StatePaths,
  SubnetStatus,
  fetchCandid,
  lookupResultToBuffer,
  lookup_subtree,
} from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Principal } from "@icp-sdk/core/principal";

import { cCounter, motokoCounter, watCounter } from "./interfaces.mjs";
import {
  connect,
  deploy,
  did,
  effectiveCanisterId,
  hex,
  managementOf,
  refused,
  sha256,
  subnetId,
  utf8,
  wasm,
} from "./network.mjs";

const sdk = { Actor, HttpAgent, Principal };
const MINUTE = 60_000;

const owner = Ed25519KeyIdentity.generate();
let agent;
let stranger;
let subnet;

before(async () => {
  agent = await connect(sdk, owner);
  stranger = await connect(sdk, Ed25519KeyIdentity.generate());
  subnet = await subnetId(sdk);
});

// Reads paths of a canister and verifies the certificate as an application would.
async function certified(by, canisterId, paths) {
  const { certificate } = await by.readState({ canisterId }, { paths });
  const principal = { canisterId };
  return Certificate.create({ certificate, rootKey: by.rootKey, principal, agent: by });
}

const valueAt = (certificate, path) => lookupResultToBuffer(certificate.lookup_path(path));

describe("of a canister", () => {
  let canisterId;

  before(async () => {
    ({ canisterId } = await deploy(sdk, agent, "motoko/counter", motokoCounter));
  });

  test("the paths that the library names", async () => {
    const paths = {
      time: StatePaths.time,
      hash: StatePaths.canisterModuleHash(canisterId),
      controllers: StatePaths.canisterControllers(canisterId),
      candid: StatePaths.canisterCandid(canisterId),
      same: StatePaths.canisterMetadataString(canisterId, "candid:service"),
    };
    const { values } = await stranger.readState({ canisterId }, { paths: Object.values(paths) });
    assert.ok(Math.abs(values.get(paths.time).getTime() - Date.now()) < MINUTE);
    assert.equal(hex(values.get(paths.hash)), sha256(wasm("motoko/counter")));
    assert.deepEqual(values.get(paths.controllers).map(String), [String(owner.getPrincipal())]);
    assert.equal(values.get(paths.candid), did("motoko/counter"));
    assert.equal(values.get(paths.same), did("motoko/counter"));
    assert.equal(await fetchCandid(String(canisterId), stranger), did("motoko/counter"));
  });

  test("the canister status, with the keys of its subnet's nodes", async () => {
    const compiler = new CanisterStatus.CustomPath("compiler", "motoko:compiler", "utf-8");
    const paths = ["time", "controllers", "subnet", "module_hash", "candid", compiler];
    const status = await CanisterStatus.request({ agent, canisterId, paths });
    assert.equal(status.get("module_hash"), sha256(wasm("motoko/counter")));
    assert.equal(status.get("candid"), did("motoko/counter"));
    assert.match(status.get("compiler"), /\d/);
    assert.equal(status.get("subnet").subnetId, String(subnet));
    assert.ok(status.get("subnet").nodeKeys.size >= 1);
    assert.equal(String(await agent.getSubnetIdFromCanister(canisterId)), String(subnet));
    const keys = await agent.fetchSubnetKeys(canisterId);
    assert.deepEqual([...keys.keys()], [...status.get("subnet").nodeKeys.keys()]);
  });

  test("agrees with the management canister", async () => {
    const { canisterId } = await deploy(sdk, agent, "wat/counter", watCounter);
    const ic = managementOf(sdk, agent, await effectiveCanisterId(sdk));
    const status = await ic.canister_status({ canister_id: canisterId });
    assert.deepEqual(status.status, { running: null });
    assert.equal(hex(status.module_hash[0]), sha256(wasm("wat/counter")));
    assert.equal(String(status.settings.controllers[0]), String(owner.getPrincipal()));
    assert.ok(status.cycles > 0n);
  });

  test("private metadata is for controllers", async () => {
    const path = ["canister", canisterId.toUint8Array(), "metadata", "motoko:stable-types"];
    const encoded = path.map((label) => (typeof label === "string" ? utf8(label) : label));
    const certificate = await certified(agent, canisterId, [encoded]);
    assert.match(new TextDecoder().decode(valueAt(certificate, path)), /actor/);
    await refused(stranger.readState({ canisterId }, { paths: [encoded] }), [403]);
  });

  test("what nobody may read", async () => {
    const id = canisterId.toUint8Array();
    const { canisterId: peer } = await deploy(sdk, agent, "c/counter", cCounter);
    const paths = [
      [utf8("canister"), id, utf8("certified_data")],
      [utf8("canister"), peer.toUint8Array(), utf8("module_hash")],
      [utf8("no_such_label")],
    ];
    for (const path of paths) {
      await refused(agent.readState({ canisterId }, { paths: [path] }), [400, 403, 404]);
    }
  });

  test("what is not there is proven to be absent", async () => {
    const ic = managementOf(sdk, agent, await effectiveCanisterId(sdk));
    const { canister_id: empty } = await ic.provisional_create_canister_with_cycles({
      amount: [],
    });
    const path = [utf8("canister"), empty.toUint8Array(), utf8("module_hash")];
    const certificate = await certified(stranger, empty, [path]);
    assert.equal(certificate.lookup_path(path).status, LookupPathStatus.Absent);
  });
});

describe("of a request", () => {
  test("its status is for its sender", async () => {
    const { canisterId } = await deploy(sdk, agent, "c/counter", cCounter);
    const call = { methodName: "inc", arg: IDL.encode([], []) };
    const { requestId, response } = await agent.call(canisterId, call);
    assert.equal(response.status, 200);
    const path = [utf8("request_status"), requestId];
    const certificate = await certified(agent, canisterId, [path]);
    const status = valueAt(certificate, [...path, "status"]);
    assert.equal(new TextDecoder().decode(status), "replied");
    const reply = valueAt(certificate, [...path, "reply"]);
    assert.equal(IDL.decode([IDL.Nat64], reply)[0], 1n);
    await refused(stranger.readState({ canisterId }, { paths: [path] }), [403]);
    const unknown = [utf8("request_status"), new Uint8Array(32)];
    const nothing = await certified(stranger, canisterId, [unknown]);
    assert.equal(nothing.lookup_path([...unknown, "status"]).status, LookupPathStatus.Absent);
    const both = { paths: [path, unknown] };
    await refused(stranger.readState({ canisterId }, both), [400, 403]);
  });
});

describe("of the subnet", () => {
  test("the paths that the library names", async () => {
    const paths = ["time", "canisterRanges", "publicKey", "nodeKeys"];
    const status = await SubnetStatus.request({ agent: stranger, subnetId: subnet, paths });
    assert.ok(Math.abs(status.get("time").getTime() - Date.now()) < MINUTE);
    assert.equal(hex(status.get("publicKey")), hex(agent.rootKey));
    assert.ok(status.get("nodeKeys").size >= 1);
    const id = (await effectiveCanisterId(sdk)).toHex();
    const ranges = status.get("canisterRanges");
    assert.ok(ranges.some(([low, high]) => low.toHex() <= id && id <= high.toHex()));
    const known = [StatePaths.subnetCanisterRanges(subnet), StatePaths.subnetPublicKey(subnet)];
    const { values } = await stranger.readSubnetState(subnet, { paths: known });
    assert.equal(hex(values.get(known[1])), hex(agent.rootKey));
    assert.deepEqual(String(values.get(known[0])), String(ranges));
  });

  test("the rest of its tree", async () => {
    const read = async (...paths) => {
      const { certificate } = await stranger.readSubnetState(subnet, { paths });
      const principal = { subnetId: subnet };
      return Certificate.create({ certificate, rootKey: agent.rootKey, principal, agent });
    };
    const id = subnet.toUint8Array();
    const kind = [utf8("subnet"), id, utf8("type")];
    const shards = [utf8("canister_ranges"), id];
    const metrics = [utf8("subnet"), id, utf8("metrics")];
    const certificate = await read(kind, shards, metrics);
    // A map that holds one with numbers for keys, which the agent's decoder of CBOR does not know.
    assert.ok(valueAt(certificate, metrics).length > 10);
    assert.equal(new TextDecoder().decode(valueAt(certificate, kind)), "application");
    assert.equal(lookup_subtree(shards, certificate.cert.tree).status, "Found");
    // Read by itself: the proof of its absence shows the label `canister`, and the library takes
    // that for a proof that the longer `canister_ranges` is absent too.
    const boundary = [utf8("api_boundary_nodes")];
    const status = (await read(boundary)).lookup_path(boundary).status;
    assert.equal(status, LookupPathStatus.Absent);
  });

  test("the time is that of the network", async () => {
    const fresh = await connect(sdk, owner);
    await fresh.syncTime();
    assert.ok(fresh.hasSyncedTime());
    assert.ok(Math.abs(fresh.getTimeDiffMsecs()) < MINUTE);
    await fresh.syncTimeWithSubnet(subnet);
  });
});
