// Identities that a browser or a canister provides, built by hand: a software authenticator behind
// `navigator.credentials`, and a canister that signs with its certified data. The agent library is
// a parameter where more than one generation of it is used.

import { createHash, createSign, generateKeyPairSync, randomBytes, sign } from "node:crypto";

const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));

// The key pairs that authenticators use, by their number in the registry of COSE algorithms. `cose`
// gives the public key as COSE_Key (RFC 9052 and 8230), by hand: the agent's encoder knows no maps
// with integer keys.
const ALGORITHMS = {
  "-7": {
    generate: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
    cose({ x, y }) {
      const header = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
      return concat(header, fromBase64(x), [0x22, 0x58, 0x20], fromBase64(y));
    },
    sign: (key, data) => createSign("sha256").update(data).sign(key),
  },
  "-8": {
    generate: () => generateKeyPairSync("ed25519"),
    cose: ({ x }) =>
      concat([0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20], fromBase64(x)),
    sign: (key, data) => sign(null, data, key),
  },
  "-257": {
    generate: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
    cose({ n, e }) {
      const header = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00];
      return concat(header, fromBase64(n), [0x21, 0x43], fromBase64(e));
    },
    sign: (key, data) => createSign("sha256").update(data).sign(key),
  },
};

const fromBase64 = (text) => Buffer.from(text, "base64url");

// What a browser offers as `navigator.credentials`, with keys of one algorithm.
export class Authenticator {
  #keys = new Map();

  constructor(algorithm, origin = "http://localhost:8080") {
    this.algorithm = ALGORITHMS[algorithm];
    this.origin = origin;
  }

  // Authenticator data: hash of the relying party, flags, signature counter, and for a new
  // credential its id and key.
  #data(flags, rest = []) {
    return concat(sha256(Buffer.from(new URL(this.origin).hostname)), [flags, 0, 0, 0, 1], rest);
  }

  #clientData(type, challenge) {
    const encoded = Buffer.from(challenge).toString("base64url");
    return Buffer.from(
      JSON.stringify({ type, challenge: encoded, origin: this.origin, crossOrigin: false }),
    );
  }

  async create() {
    const { publicKey, privateKey } = this.algorithm.generate();
    const rawId = new Uint8Array(randomBytes(32));
    this.#keys.set(Buffer.from(rawId).toString("hex"), privateKey);
    const cose = this.algorithm.cose(publicKey.export({ format: "jwk" }));
    const authData = this.#data(0x45, concat(new Uint8Array(16), [0, rawId.length], rawId, cose));
    // {"fmt": "none", "attStmt": {}, "authData": bytes}
    const size = [authData.length >> 8, authData.length & 0xff];
    const attestationObject = concat(
      [0xa3, 0x63, ...Buffer.from("fmt"), 0x64, ...Buffer.from("none")],
      [0x67, ...Buffer.from("attStmt"), 0xa0, 0x68, ...Buffer.from("authData"), 0x59, ...size],
      authData,
    );
    return {
      type: "public-key",
      id: Buffer.from(rawId).toString("base64url"),
      rawId,
      authenticatorAttachment: "platform",
      response: { attestationObject },
      toJSON() {},
    };
  }

  async get({ publicKey: { allowCredentials, challenge } }) {
    const [{ id }] = allowCredentials;
    const privateKey = this.#keys.get(Buffer.from(id).toString("hex"));
    const authenticatorData = this.#data(0x05);
    const clientDataJSON = this.#clientData("webauthn.get", challenge);
    const signed = concat(authenticatorData, sha256(clientDataJSON));
    const signature = new Uint8Array(this.algorithm.sign(privateKey, signed));
    return {
      authenticatorAttachment: "platform",
      response: { authenticatorData, clientDataJSON, signature },
    };
  }

  // Puts it in the place where the agent looks, for as long as `work` takes.
  async during(work) {
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    Object.defineProperty(globalThis, "navigator", {
      value: { credentials: this },
      configurable: true,
    });
    try {
      return await work();
    } finally {
      if (before) Object.defineProperty(globalThis, "navigator", before);
      else delete globalThis.navigator;
    }
  }
}

// The DER encoding of a canister's public key: the algorithm 1.3.6.1.4.1.56387.1.2, then the
// canister's id after its length, and the seed.
export function canisterKey(canisterId, seed) {
  const id = canisterId.toUint8Array();
  const raw = concat([id.length], id, seed);
  const oid = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];
  const algorithm = [0x30, oid.length, ...oid];
  const bits = [0x03, raw.length + 1, 0x00, ...raw];
  return new Uint8Array([0x30, algorithm.length + bits.length, ...algorithm, ...bits]);
}

const separated = (name) => concat([name.length], Buffer.from(name));

// An identity whose signatures are made by a canister that certifies any data it is given: the data
// is the root of a hash tree with the path sig/<hash of seed>/<hash of message>.
export function canisterSigner({ SignIdentity, Cbor }, actor, canisterId, seed) {
  const der = canisterKey(canisterId, seed);
  return new (class extends SignIdentity {
    getPublicKey() {
      return { toDer: () => der };
    }

    async sign(message) {
      const leaf = sha256(separated("ic-hashtree-leaf"));
      const labeled = (label, digest) => sha256(separated("ic-hashtree-labeled"), label, digest);
      const labels = [Buffer.from("sig"), sha256(seed), sha256(message)];
      const root = labels.reduceRight((digest, label) => labeled(label, digest), leaf);
      await actor.setCertified(root);
      const [certificate] = await actor.certificate();
      let tree = [3, new Uint8Array()];
      for (const label of labels.reverse()) tree = [2, new Uint8Array(label), tree];
      return Cbor.encode({ certificate: new Uint8Array(certificate), tree });
    }
  })();
}
