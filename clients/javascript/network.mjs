// What every suite does first: find the node, make agents, create and install canisters. The
// functions take the agent library as a parameter, so that two generations of it share them.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { management } from "./interfaces.mjs";

export const host = process.env.TRILITH_URL;
assert.ok(host, "TRILITH_URL must hold the node's endpoint, for example http://127.0.0.1:4943");

// A sample canister's module.
export const wasm = (path) =>
  new Uint8Array(readFileSync(new URL(`../../canisters/${path}.wasm`, import.meta.url)));

// A sample canister's interface.
export const did = (path) =>
  readFileSync(new URL(`../../canisters/${path}.did`, import.meta.url), "utf8");

export const utf8 = (text) => new TextEncoder().encode(text);

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

export const hex = (bytes) => Buffer.from(bytes).toString("hex");

// The id under which calls that create canisters are sent.
export async function effectiveCanisterId({ Principal }) {
  const response = await fetch(new URL("/_/topology", host));
  assert.equal(response.status, 200);
  const topology = await response.json();
  const bytes = Buffer.from(topology.default_effective_canister_id.canister_id, "base64");
  return Principal.fromUint8Array(new Uint8Array(bytes));
}

// The id of the one subnet.
export async function subnetId({ Principal }) {
  const response = await fetch(new URL("/_/topology", host));
  const topology = await response.json();
  const [text] = Object.keys(topology.subnet_configs);
  return Principal.fromText(text);
}

// An agent as an application would make it: query signatures are verified, the root key is fetched
// as for any network but the main one.
export async function connect({ HttpAgent }, identity, options = {}) {
  return HttpAgent.create({
    host,
    identity,
    shouldFetchRootKey: true,
    verifyQuerySignatures: true,
    retryTimes: 0,
    ...options,
  });
}

// Asserts that a request is refused with one of these statuses and a text.
export async function refused(promise, statuses, text = /./) {
  await assert.rejects(promise, (error) => {
    const status = error.code?.status ?? error.cause?.code?.status;
    assert.ok(statuses.includes(status), `${status}: ${error}`);
    assert.match(error.code?.bodyText ?? error.cause?.code?.bodyText ?? "", text);
    return true;
  });
}

// The management canister, with calls routed to the canister that they are about.
export function managementOf({ Actor, Principal }, agent, fallback) {
  const route = (_method, [argument]) => ({
    effectiveCanisterId: argument?.canister_id ?? fallback,
  });
  return Actor.createActor(management, {
    agent,
    canisterId: Principal.managementCanister(),
    callTransform: route,
    queryTransform: route,
  });
}

// Creates a canister, installs a module in it and returns an actor for it.
export async function deploy(sdk, agent, path, factory) {
  const ic = managementOf(sdk, agent, await effectiveCanisterId(sdk));
  const { canister_id: canisterId } = await ic.provisional_create_canister_with_cycles({
    amount: [],
  });
  await install(ic, canisterId, path, { install: null });
  return { canisterId, actor: actorOf(sdk, agent, canisterId, factory) };
}

export async function install(ic, canisterId, path, mode) {
  await ic.install_code({
    mode,
    canister_id: canisterId,
    wasm_module: wasm(path),
    arg: new Uint8Array([0x44, 0x49, 0x44, 0x4c, 0, 0]),
  });
}

export const actorOf = ({ Actor }, agent, canisterId, factory) =>
  Actor.createActor(factory, { agent, canisterId });

// Asserts that a call is rejected with a code, an error code and a message.
export async function rejects(promise, rejectCode, errorCode, message) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code?.rejectCode, rejectCode, `${error}`);
    assert.equal(error.code.rejectErrorCode, errorCode, `${error}`);
    assert.match(error.code.rejectMessage, message);
    return true;
  });
}
