"""`ic-py` 1.0, unmodified: v2 calls that are polled for, v2 queries, read_state and status.

The client verifies neither certificates nor queries; certificates are verified beside it.
"""

import asyncio
import contextlib
import hashlib
import io
import itertools
import time
import unittest

import cbor2

import network
from ic import system_state
from ic.agent import Agent, sign_request
from ic.candid import Types, encode
from ic.canister import Canister
from ic.certificate import lookup
from ic.client import Client
from ic.common.management import Management
from ic.identity import DelegateIdentity, Identity
from ic.principal import Principal
from ic.utils import to_request_id

CLIENT = Client(network.URL)
HOUR = 3_600_000_000_000


def agent_of(identity):
    return Agent(identity, CLIENT)


OWNER = agent_of(Identity())
MANAGEMENT = Management(OWNER)


# The client sends no nonce and expiries in whole seconds: two equal calls within a second are one
# request, which a network takes up once. An amount of its own makes each creation another one.
AMOUNTS = itertools.count(10**14)


def create():
    """Makes an empty canister; the client's own wrapper does that."""
    (reply,) = MANAGEMENT.provisional_create_canister_with_cycles(
        {"amount": [next(AMOUNTS)], "settings": []}
    )
    return reply["canister_id"].to_str()


def install(canister, path, mode="install"):
    MANAGEMENT.install_code(
        {
            "mode": {mode: None},
            "canister_id": canister,
            "wasm_module": network.wasm(path),
            "arg": network.NO_ARGUMENTS,
        }
    )


def deploy(path):
    canister = create()
    install(canister, path)
    return canister, Canister(OWNER, canister, network.did(path))


def digest(tree):
    """The root hash of a tree, by the rules of the interface."""
    kind = tree[0]
    if kind == 0:
        data = b"\x11ic-hashtree-empty"
    elif kind == 1:
        data = b"\x10ic-hashtree-fork" + digest(tree[1]) + digest(tree[2])
    elif kind == 2:
        data = b"\x13ic-hashtree-labeled" + tree[1] + digest(tree[2])
    elif kind == 3:
        data = b"\x10ic-hashtree-leaf" + tree[1]
    else:
        return tree[1]
    return hashlib.sha256(data).digest()


def is_signed(certificate):
    return network.is_signed_by_root(certificate["signature"], digest(certificate["tree"]))


def delegated(giver, taker, expiration):
    """`taker` speaking for `giver`, in the form in which wallets export that."""
    delegation = {"pubkey": taker.der_pubkey, "expiration": expiration}
    _, signature = giver.sign(network.DELEGATION + to_request_id(delegation))
    link = {
        "delegation": {"pubkey": taker.der_pubkey.hex(), "expiration": hex(expiration)},
        "signature": signature.hex(),
    }
    return DelegateIdentity(taker, {"delegations": [link], "publicKey": giver.der_pubkey.hex()})


class Canisters(unittest.TestCase):
    def test_motoko(self):
        _, actor = deploy("motoko/counter")
        self.assertEqual(actor.inc(), [1])
        self.assertEqual(actor.add(41), [42])
        self.assertEqual(actor.get(), [42])
        self.assertEqual(actor.greet("ic-py"), ["Hello, ic-py!"])
        for method, message in [
            (actor.incThenTrap, "deliberate trap"),
            (actor.refuse, "deliberate reject"),
        ]:
            with self.assertRaisesRegex(Exception, f"Rejected: .*{message}"):
                method()
        self.assertEqual(actor.get(), [42])

    def test_the_asynchronous_half(self):
        canister, actor = deploy("c/counter")

        async def run():
            after = await actor.add_async(7)
            certificate = await OWNER.read_state_raw_async(canister, [[b"time"]])
            return after, await actor.get_async(), certificate

        after, read, certificate = asyncio.run(run())
        self.assertEqual((after, read), ([7], [7]))
        self.assertTrue(is_signed(certificate))

    def test_management(self):
        canister, actor = deploy("wat/counter")
        self.assertEqual(actor.inc(), [1])
        (status,) = MANAGEMENT.canister_status({"canister_id": canister})
        self.assertEqual(status["status"], {"running": None})
        install(canister, "wat/counter", "upgrade")
        self.assertEqual(actor.get(), [0])
        MANAGEMENT.stop_canister({"canister_id": canister})
        # Within the second it would be the request of above, with the answer of above.
        time.sleep(1)
        (status,) = MANAGEMENT.canister_status({"canister_id": canister})
        self.assertEqual(status["status"], {"stopped": None})
        # A refusal comes as the body of the answer, which the client does not look at: it polls for
        # a request that nobody took up, for as long as it is told to.
        with self.assertRaisesRegex(Exception, "Timeout"):
            OWNER.update_raw(canister, "inc", network.NO_ARGUMENTS, delay=0.1, timeout=0.5)
        MANAGEMENT.delete_canister({"canister_id": canister})

    def test_values_come_back(self):
        canister, _ = deploy("wat/counter")
        parts = Types.Record({"name": Types.Text, "tags": Types.Vec(Types.Text)})
        samples = [
            (Types.Nat, 1 << 100),
            (Types.Int, -(1 << 100)),
            (Types.Bool, True),
            (Types.Text, "ünï"),
            (Types.Opt(Types.Nat8), [9]),
            (parts, {"name": "n", "tags": ["a", "b"]}),
        ]
        arguments = [{"type": type_, "value": sample} for type_, sample in samples]
        answer = OWNER.query_raw(
            canister, "echo", encode(arguments), [type_ for type_, _ in samples]
        )
        received = [item["value"] for item in answer]
        self.assertEqual(received, [sample for _, sample in samples])


class Identities(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister, _ = deploy("motoko/counter")

    def check(self, identity):
        actor = Canister(agent_of(identity), self.canister, network.did("motoko/counter"))
        # The client leaves ECDSA signatures as they come, the upper half of them too.
        for _ in range(4):
            (caller,) = actor.whoami()
            self.assertEqual(caller.to_str(), identity.sender().to_str())
        self.assertGreater(actor.inc()[0], 0)

    def test_every_kind(self):
        for kind in ["ed25519", "secp256k1"]:
            with self.subTest(kind):
                identity = Identity(type=kind)
                self.check(identity)
                self.check(Identity.from_pem(identity.to_pem().decode()))
        self.check(Identity.from_seed("abandon " * 11 + "about"))
        self.check(Identity(anonymous=True))

    def test_delegations(self):
        giver, taker = Identity(type="secp256k1"), Identity()
        identity = delegated(giver, taker, time.time_ns() + HOUR)
        self.assertEqual(identity.sender().to_str(), giver.sender().to_str())
        self.check(identity)

    def test_an_expired_delegation_is_refused(self):
        expired = agent_of(delegated(Identity(), Identity(), time.time_ns() - HOUR))
        answer = expired.client.query(self.canister, query(expired, self.canister))
        self.assertIn(b"expired", answer)


def query(agent, canister):
    """The envelope of a query, as the agent makes it."""
    content = {
        "request_type": "query",
        "sender": agent.identity.sender().bytes,
        "canister_id": Principal.from_str(canister).bytes,
        "method_name": "get",
        "arg": network.NO_ARGUMENTS,
        "ingress_expiry": agent.get_expiry_date(),
    }
    return sign_request(content, agent.identity)[1]


class StateTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister, _ = deploy("c/counter")

    def test_every_path_that_the_client_knows(self):
        subnet = network.subnet()
        now = system_state.time(OWNER, self.canister)
        self.assertLess(abs(now - time.time_ns()), 60_000_000_000)
        key = system_state.subnet_public_key(OWNER, self.canister, subnet)
        self.assertEqual(key, network.ROOT_KEY.hex())
        ranges = system_state.subnet_canister_ranges(OWNER, self.canister, subnet)
        id = Principal.from_str(self.canister).bytes
        self.assertTrue(any(low.bytes <= id <= high.bytes for low, high in ranges))
        module_hash = system_state.canister_module_hash(OWNER, self.canister)
        self.assertEqual(module_hash, network.sha256(network.wasm("c/counter")))
        (controller,) = system_state.canister_controllers(OWNER, self.canister)
        self.assertEqual(controller.to_str(), OWNER.get_principal().to_str())

    def test_certificates_are_signed_by_the_root(self):
        id = Principal.from_str(self.canister).bytes
        path = [b"canister", id, b"metadata", b"candid:service"]
        certificate = OWNER.read_state_raw(self.canister, [path])
        self.assertEqual(lookup(path, certificate).decode(), network.did("c/counter"))
        self.assertTrue(is_signed(certificate))
        certificate["signature"] = certificate["signature"][:-1] + b"\0"
        self.assertFalse(is_signed(certificate))

    def test_the_status_names_the_root_key(self):
        # The client prints the answer, as text.
        with contextlib.redirect_stdout(io.StringIO()):
            answer = CLIENT.status()
        self.assertEqual(cbor2.loads(answer)["root_key"], network.ROOT_KEY)


if __name__ == "__main__":
    unittest.main()
