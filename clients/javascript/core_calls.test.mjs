// `@icp-sdk/core`, unmodified: the ways of a call and of a query, and answers that must not be
// believed.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import {
  Actor,
  Cbor,
  HttpAgent,
  ReplicaRejectCode,
  TrustError,
  UncertifiedRejectErrorCode,
  UncertifiedRejectUpdateErrorCode,
  pollForResponse,
} from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Principal } from "@icp-sdk/core/principal";

import { cCounter } from "./interfaces.mjs";
import { actorOf, connect, deploy, effectiveCanisterId, hex, managementOf } from "./network.mjs";

const sdk = { Actor, HttpAgent, Principal };
const NOTHING = IDL.encode([], []);

const owner = Ed25519KeyIdentity.generate();
let agent;
let canisterId;
let actor;

before(async () => {
  agent = await connect(sdk, owner);
  ({ canisterId, actor } = await deploy(sdk, agent, "c/counter", cCounter));
});

const number = (reply) => IDL.decode([IDL.Nat64], reply)[0];

// An agent whose requests and answers go through `through`, which is given the path, a function
// that asks the node, and the request.
const connectThrough = (through, options = {}) =>
  connect(sdk, owner, {
    fetch: async (url, request) => {
      const ask = (path) => fetch(new URL(path ?? url, url), request);
      return through(new URL(url).pathname, ask, request);
    },
    ...options,
  });

const PATHS = /^\/api\/(v\d)\/(canister|subnet)\/[^/]+\/(call|query|read_state)$/;

// Which kind of endpoint a path is, such as `v4 call`.
const kindOf = (path) => {
  const [, version, , endpoint] = PATHS.exec(path) ?? [];
  return endpoint ? `${version} ${endpoint}` : path;
};

describe("calls", () => {
  test("are answered at once, over v4", async () => {
    const kinds = [];
    const watched = await connectThrough((path, ask) => {
      kinds.push(kindOf(path));
      return ask();
    });
    const before = await actor.get();
    assert.equal(await actorOf(sdk, watched, canisterId, cCounter).inc(), before + 1n);
    assert.deepEqual(kinds, ["/api/v2/status", "v4 call"]);
  });

  test("are polled for, over v2, when the application asks for that", async () => {
    const before = await actor.get();
    const call = { methodName: "inc", arg: NOTHING, callSync: false };
    const { requestId, response } = await agent.call(canisterId, call);
    assert.equal(response.status, 202);
    const { reply, certificate } = await pollForResponse(agent, canisterId, requestId);
    assert.equal(number(reply), before + 1n);
    const path = ["request_status", requestId, "reply"];
    assert.equal(hex(certificate.lookup_path(path).value), hex(reply));
    const trap = { methodName: "inc_then_trap", arg: NOTHING, callSync: false };
    await assert.rejects(agent.update(canisterId, trap), (error) => {
      assert.equal(error.code.rejectCode, ReplicaRejectCode.CanisterError);
      assert.equal(error.code.rejectErrorCode, "IC0503");
      return true;
    });
    assert.equal(await actor.get(), before + 1n);
  });

  test("fall back to v2 where v4 is missing", async () => {
    const kinds = new Set();
    // An address that does not exist is what the agent takes for a missing v4.
    const old = await connectThrough((path, ask) => {
      kinds.add(kindOf(path));
      return ask(path.startsWith("/api/v4/") ? `/no-such-page${path}` : path);
    });
    const before = await actor.get();
    assert.equal(await actorOf(sdk, old, canisterId, cCounter).inc(), before + 1n);
    assert.ok(kinds.has("v2 call") && kinds.has("v3 read_state"), [...kinds].join());
  });

  test("that are sent twice are applied once", async () => {
    let sent;
    const recorder = await connectThrough((path, ask, request) => {
      if (path.endsWith("/call")) sent = { path, body: request.body };
      return ask();
    });
    const before = await actor.get();
    assert.equal(await actorOf(sdk, recorder, canisterId, cCounter).inc(), before + 1n);
    const again = await fetch(new URL(sent.path, agent.host), {
      method: "POST",
      headers: { "content-type": "application/cbor" },
      body: sent.body,
    });
    assert.equal(again.status, 200);
    assert.equal(await actor.get(), before + 1n);
  });

  test("many at once are all applied", async () => {
    const { actor } = await deploy(sdk, agent, "c/counter", cCounter);
    const counts = await Promise.all(Array.from({ length: 40 }, () => actor.inc()));
    counts.sort((left, right) => Number(left - right));
    assert.deepEqual(counts, Array.from({ length: 40 }, (_, at) => BigInt(at + 1)));
  });

  test("to a canister without code are refused without a certificate", async () => {
    const ic = managementOf(sdk, agent, await effectiveCanisterId(sdk));
    const { canister_id: empty } = await ic.provisional_create_canister_with_cycles({
      amount: [],
    });
    for (const callSync of [true, false]) {
      const call = { methodName: "inc", arg: NOTHING, callSync };
      await assert.rejects(agent.update(empty, call), (error) => {
        assert.ok(error.hasCode(UncertifiedRejectUpdateErrorCode), `${error}`);
        assert.equal(error.code.rejectErrorCode, "IC0537");
        return true;
      });
    }
    await assert.rejects(actorOf(sdk, agent, empty, cCounter).get(), (error) => {
      assert.ok(error.hasCode(UncertifiedRejectErrorCode), `${error}`);
      assert.equal(error.code.rejectErrorCode, "IC0537");
      return true;
    });
  });
});

describe("queries", () => {
  test("are signed by a node of the subnet", async () => {
    const kinds = [];
    const watched = await connectThrough((path, ask) => {
      kinds.push(kindOf(path));
      return ask();
    });
    const answer = await watched.query(canisterId, { methodName: "get", arg: NOTHING });
    assert.equal(answer.status, "replied");
    assert.equal(answer.signatures.length, 1);
    assert.ok(kinds.includes("v3 query") && kinds.includes("v3 read_state"), kinds.join());
  });

  test("may carry nonces", async () => {
    const counting = await connect(sdk, owner, { useQueryNonces: true });
    const value = await actorOf(sdk, counting, canisterId, cCounter).get();
    assert.equal(value, await actor.get());
  });
});

// Lets a change loose on the CBOR of an answer from an endpoint.
const forger = (endpoint, change) => async (path, ask) => {
  const response = await ask();
  if (!path.endsWith(endpoint) || response.status !== 200) return response;
  const answer = Cbor.decode(new Uint8Array(await response.arrayBuffer()));
  change(answer);
  return new Response(Cbor.encode(answer), { status: 200, headers: response.headers });
};

const flipLast = (bytes) => {
  bytes[bytes.length - 1] ^= 1;
};

describe("answers that were changed on the way are not believed", () => {
  const cases = [
    ["the reply of a query", "query", (answer) => flipLast(answer.reply.arg), "get"],
    ["its signature", "query", (answer) => flipLast(answer.signatures[0].signature), "get"],
    ["the certificate of a call", "call", (answer) => flipLast(answer.certificate), "inc"],
  ];
  for (const [name, endpoint, change, method] of cases) {
    test(name, async () => {
      const deceived = await connectThrough(forger(endpoint, change));
      const forged = actorOf(sdk, deceived, canisterId, cCounter)[method]();
      await assert.rejects(forged, (error) => error instanceof TrustError);
    });
  }

  test("a root key that is not that of the network", async () => {
    const rootKey = new Uint8Array(agent.rootKey);
    flipLast(rootKey);
    const deceived = await connect(sdk, owner, { rootKey, shouldFetchRootKey: false });
    await assert.rejects(actorOf(sdk, deceived, canisterId, cCounter).inc());
  });
});
