"""What every suite needs: where the node is, its root key, sample canisters, and a verifier.

The clients under test are used as they are installed. What is here and not part of them is said
where it is used.
"""

import faulthandler
import hashlib
import os
import pathlib
import sys
import types

import cbor2
import httpx
import pyblst

URL = os.environ.get("TRILITH_URL", "").rstrip("/")
if not URL:
    raise SystemExit(
        "TRILITH_URL must hold the node's endpoint, for example http://127.0.0.1:4943"
    )

# One of the clients polls for ever for what it has not noticed to be refused. A suite that takes
# longer than this many seconds shows where it hangs, and ends.
faulthandler.dump_traceback_later(300, exit=True)

CANISTERS = pathlib.Path(__file__).resolve().parents[2] / "canisters"

# Candid bytes of no values.
NO_ARGUMENTS = b"DIDL\x00\x00"

# The domain separators of the interface: a length byte and a name.
STATE_ROOT = b"\x0dic-state-root"
DELEGATION = b"\x1aic-request-auth-delegation"

# The suite of BLS12-381 in which certificates are signed: signatures in G1, keys in G2.
BLS_SUITE = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

# The compressed generator of G2, from the definition of BLS12-381.
G2_GENERATOR = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049"
    "334cf11213945d57e5ac7d055d042b7e024aa2b2f08f0a91260805272dc51051"
    "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)

# Length of a BLS key; what precedes it in its DER encoding says what it is.
BLS_KEY_SIZE = 96


def status():
    """The node's status, decoded."""
    answer = httpx.get(f"{URL}/api/v2/status")
    answer.raise_for_status()
    return cbor2.loads(answer.content)


ROOT_KEY = bytes(status()["root_key"])


def subnet():
    """The text of the id of the one subnet."""
    topology = httpx.get(f"{URL}/_/topology").raise_for_status().json()
    (name,) = topology["subnet_configs"]
    return name


def wasm(path):
    """A sample canister's module."""
    return (CANISTERS / f"{path}.wasm").read_bytes()


def did(path):
    """A sample canister's interface."""
    return (CANISTERS / f"{path}.did").read_text()


def sha256(data):
    """The digest, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def post(version, canister, endpoint, envelope):
    """Posts an envelope to an endpoint that a client does not use by itself."""
    return httpx.post(
        f"{URL}/api/{version}/canister/{canister}/{endpoint}",
        content=envelope,
        headers={"Content-Type": "application/cbor"},
    )


def is_bls_signature(signature, message, key):
    """Whether `signature` (48 bytes) is that of `message` under `key` (96 bytes).

    It is if e(signature, generator) = e(hash of the message, key).
    """
    try:
        signature = pyblst.BlstP1Element().uncompress(signature)
        key = pyblst.BlstP2Element().uncompress(key)
    except ValueError:
        return False
    generator = pyblst.BlstP2Element().uncompress(G2_GENERATOR)
    hashed = pyblst.BlstP1Element().hash_to_group(message, BLS_SUITE)
    left = pyblst.miller_loop(signature, generator)
    return pyblst.final_verify(left, pyblst.miller_loop(hashed, key))


def is_signed_by_root(signature, root_hash):
    """Whether a certificate's signature over its root hash is that of this network."""
    return is_bls_signature(signature, STATE_ROOT + root_hash, ROOT_KEY[-BLS_KEY_SIZE:])


def provide_blst():
    """Puts a module `blst` in place, with as much of that library's interface as icp-py-core uses.

    The library's own bindings are in no registry: users build them from its sources.
    """

    class Point:
        def __init__(self, compressed):
            self.compressed = bytes(compressed)

    class Signature(Point):
        def core_verify(self, key, _hash_or_encode, message, suite, _augmentation):
            if suite != BLS_SUITE:
                raise ValueError(f"the suite is {suite!r}, not {BLS_SUITE!r}")
            return 0 if is_bls_signature(self.compressed, message, key.compressed) else 5

    class Pairing:
        def __init__(self, *_arguments):
            raise ValueError("the adapter knows only `core_verify`")

    blst = types.ModuleType("blst")
    blst.BLST_SUCCESS = 0
    blst.P1_Affine = Signature
    blst.P2_Affine = Point
    blst.Pairing = Pairing
    sys.modules["blst"] = blst
