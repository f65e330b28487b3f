"""`icp-py-core` 2.3, unmodified: v4 calls, v3 queries and read_state, v2 status.

Its verification of certificates needs the module `blst`, which no registry carries, and knows one
root key, that of the main network. So most tests pass `verify_certificate=False`, as its users do
on a local network, and certificates are verified beside it (`network.is_signed_by_root`); the class
`ItsOwnVerification` gives it the module and the key, and then leaves it to itself.
"""

import asyncio
import time
import unittest
from unittest import mock

import cbor2

import network
from icp_agent import system_state
from icp_agent.agent import sign_request, to_request_id
from icp_core import (
    Agent,
    Canister,
    Certificate,
    CertificateVerificationError,
    Client,
    DelegateIdentity,
    Identity,
    Management,
    Principal,
    QuerySignatureVerificationFailed,
    ReplicaReject,
    TransportError,
    Types,
    decode,
    encode,
)

CLIENT = Client(network.URL)
UNVERIFIED = {"verify_certificate": False}
HOUR = 3_600_000_000_000
# The key that the client has built in, which is not that of this network.
BUILT_IN_KEY = Certificate({"tree": [0]}).read_root_key()


def agent_of(identity):
    return Agent(identity, CLIENT, root_key=network.ROOT_KEY)


OWNER = agent_of(Identity())
MANAGEMENT = Management(OWNER)


def create():
    """Makes an empty canister; the client's own wrapper does that."""
    (reply,) = MANAGEMENT.provisional_create_canister_with_cycles(
        {"amount": [], "settings": []}, **UNVERIFIED
    )
    return reply["value"]["canister_id"].to_str()


def manage(method, argument, agent=OWNER):
    """A management call about one canister.

    The wrapper sends it to the address of the management canister itself, where it would be refused
    on any network; so the types are the wrapper's and the address is that of the canister.
    """
    function = MANAGEMENT.methods[method]
    return agent.update(
        "aaaaa-aa",
        method,
        [{"type": function.argTypes[0], "value": argument}],
        return_type=function.retTypes,
        effective_canister_id=argument["canister_id"],
        **UNVERIFIED,
    )


def install(canister, path, mode="install", agent=OWNER):
    manage(
        "install_code",
        {
            "mode": {mode: None},
            "canister_id": canister,
            "wasm_module": network.wasm(path),
            "arg": network.NO_ARGUMENTS,
        },
        agent,
    )


def deploy(path):
    canister = create()
    install(canister, path)
    return canister


def value(answer):
    """The one value of an answer."""
    (item,) = answer
    return item["value"]


def call_envelope(identity, canister, method, argument):
    """What the agent signs for a call, to be sent by hand."""
    agent = agent_of(identity)
    content = {
        "request_type": "call",
        "sender": identity.sender().bytes,
        "canister_id": Principal.from_str(canister).bytes,
        "method_name": method,
        "arg": argument,
        "ingress_expiry": agent.get_expiry_date(),
    }
    return sign_request(content, identity)


def delegated(*keys, expiration):
    """The last of `keys` speaking for the first, over a chain of delegations."""
    links = []
    for giver, taker in zip(keys, keys[1:]):
        delegation = {"pubkey": taker.der_pubkey, "expiration": expiration}
        _, signature = giver.sign(network.DELEGATION + to_request_id(delegation))
        links.append({"delegation": delegation, "signature": signature})
    chain = {"delegations": links, "publicKey": keys[0].der_pubkey}
    return DelegateIdentity(keys[-1], chain)


class Motoko(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister = deploy("motoko/counter")
        cls.actor = Canister(OWNER, cls.canister, auto_fetch_candid=True)

    def test_the_interface_comes_from_the_state_tree(self):
        self.assertEqual(self.actor.candid_str, network.did("motoko/counter"))
        self.assertIn("callTrap", self.actor.methods)

    def test_updates_and_queries(self):
        before = value(self.actor.get())
        self.assertEqual(value(self.actor.inc(**UNVERIFIED)), before + 1)
        self.assertEqual(value(self.actor.add(1 << 70, **UNVERIFIED)), before + 1 + (1 << 70))
        self.assertEqual(value(self.actor.get()), before + 1 + (1 << 70))
        self.assertEqual(value(self.actor.greet("wörld")), "Hello, wörld!")

    def test_the_asynchronous_half(self):
        async def run():
            before = value(await self.actor.get_async())
            after = value(await self.actor.inc_async(**UNVERIFIED))
            cert = await OWNER.read_state_raw_async(self.canister, [[b"time"]], **UNVERIFIED)
            signed = await OWNER.query_async(self.canister, "get", verify_query_signatures=True)
            return before, after, cert, signed

        before, after, certificate, signed = asyncio.run(run())
        self.assertEqual(after, before + 1)
        self.assertEqual(value(signed), after)
        self.assertLess(abs(certificate.lookup_time() - time.time_ns()), 60_000_000_000)

    def test_rejects_carry_code_message_and_error_code(self):
        before = value(self.actor.get())
        for method, code, error_code, message in [
            ("incThenTrap", 5, "IC0503", "deliberate trap"),
            ("refuse", 4, "IC0406", "deliberate reject"),
            ("missing", 5, "IC0536", "missing"),
        ]:
            with self.subTest(method), self.assertRaises(ReplicaReject) as caught:
                OWNER.update(self.canister, method, **UNVERIFIED)
            self.assertEqual(caught.exception.reject_code, code)
            self.assertEqual(caught.exception.error_code, error_code)
            self.assertIn(message, caught.exception.reject_message)
        with self.assertRaises(ReplicaReject) as caught:
            OWNER.query(self.canister, "missing")
        self.assertEqual(caught.exception.error_code, "IC0536")
        self.assertEqual(value(self.actor.get()), before)

    def test_calls_to_another_canister(self):
        peer = deploy("motoko/counter")
        self.assertEqual(value(self.actor.callInc(peer, **UNVERIFIED)), 1)
        self.assertIn("deliberate trap", value(self.actor.callTrap(peer, **UNVERIFIED)))

    def test_certified_data(self):
        self.actor.setCertified(bytes(range(32)), **UNVERIFIED)
        (certificate,) = value(self.actor.certificate())
        certificate = Certificate(cbor2.loads(bytes(certificate)))
        path = [b"canister", Principal.from_str(self.canister).bytes, b"certified_data"]
        self.assertEqual(certificate.lookup(path), bytes(range(32)))
        self.assertTrue(
            network.is_signed_by_root(certificate.signature, certificate.root_hash())
        )


class QuerySignatures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister = deploy("c/counter")

    def test_they_are_verified_with_the_keys_of_the_subnet(self):
        agent = Agent(
            Identity(), CLIENT, root_key=network.ROOT_KEY, verify_query_signatures=True
        )
        self.assertEqual(value(agent.query(self.canister, "get")), 0)
        self.assertEqual(len(agent.node_key_cache.cache), 1)

    def test_another_answer_is_not_believed(self):
        agent = agent_of(Identity())
        true_answer = agent.query_endpoint

        def forged(*arguments, **options):
            answer = dict(true_answer(*arguments, **options))
            answer["reply"] = {"arg": answer["reply"]["arg"][:-1] + b"\x07"}
            return answer

        with mock.patch.object(agent, "query_endpoint", forged):
            self.assertNotEqual(value(agent.query(self.canister, "get")), 0)
            with self.assertRaises(QuerySignatureVerificationFailed):
                agent.query(self.canister, "get", verify_query_signatures=True)


class Candid(unittest.TestCase):
    def test_values_of_every_kind_come_back(self):
        canister = deploy("wat/counter")
        parts = Types.Record({"name": Types.Text, "tags": Types.Vec(Types.Text)})
        choice = Types.Variant({"none": Types.Null, "some": Types.Int64})
        owner = OWNER.get_principal()
        samples = [
            (Types.Bool, True),
            (Types.Nat, 1 << 200),
            (Types.Int, -(1 << 200)),
            (Types.Nat8, 255),
            (Types.Int16, -32768),
            (Types.Nat64, (1 << 64) - 1),
            (Types.Float64, -0.5),
            (Types.Text, "zwölf Boxkämpfer 🥊"),
            (Types.Vec(Types.Nat8), bytes(range(256))),
            (Types.Opt(Types.Text), ["some"]),
            (Types.Opt(Types.Text), []),
            (parts, {"name": "n", "tags": ["a", "b"]}),
            (choice, {"some": -5}),
            (Types.Principal, owner),
        ]
        arguments = [{"type": type_, "value": sample} for type_, sample in samples]
        types = [type_ for type_, _ in samples]
        answer = OWNER.query(canister, "echo", arguments, return_type=types)
        for (type_, sent), item in zip(samples, answer, strict=True):
            received = item["value"]
            if isinstance(sent, bytes):
                received = bytes(received)
            self.assertEqual(str(received), str(sent), type_.name)


class Calls(unittest.TestCase):
    def test_a_call_sent_without_waiting_is_polled_for(self):
        canister = deploy("c/counter")
        identity = Identity()
        agent = agent_of(identity)
        for method in ["inc", "inc_then_trap"]:
            request, envelope = call_envelope(identity, canister, method, encode([]))
            answer = network.post("v2", canister, "call", envelope)
            self.assertEqual((answer.status_code, answer.content), (202, b""))
            status, result = agent.poll(canister, request, verify_certificate=False)
            if method == "inc":
                self.assertEqual((status, value(decode(result))), ("replied", 1))
            else:
                self.assertEqual((status, result["error_code"]), ("rejected", "IC0503"))
                self.assertEqual(result["reject_code"], 5)

    def test_management(self):
        canister = deploy("wat/counter")
        self.assertEqual(value(OWNER.update(canister, "inc", **UNVERIFIED)), 1)
        status = value(manage("canister_status", {"canister_id": canister}))
        self.assertEqual(status["status"], {"running": None})
        self.assertEqual(
            bytes(status["module_hash"][0]).hex(), network.sha256(network.wasm("wat/counter"))
        )
        manage("stop_canister", {"canister_id": canister})
        with self.assertRaises(ReplicaReject) as caught:
            OWNER.update(canister, "inc", **UNVERIFIED)
        self.assertEqual(caught.exception.error_code, "IC0508")
        manage("start_canister", {"canister_id": canister})
        install(canister, "wat/counter", "upgrade")
        self.assertEqual(value(OWNER.query(canister, "get")), 0)
        with self.assertRaises(ReplicaReject) as caught:
            install(canister, "wat/counter", "reinstall", agent_of(Identity()))
        self.assertEqual(caught.exception.error_code, "IC0512")
        manage("uninstall_code", {"canister_id": canister})
        with self.assertRaises(ReplicaReject) as caught:
            OWNER.update(canister, "inc", **UNVERIFIED)
        self.assertEqual(caught.exception.error_code, "IC0537")


class Identities(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister = deploy("motoko/counter")

    def check(self, identity):
        agent = agent_of(identity)
        # Signatures of the elliptic curves are of two kinds, half of each: several are tried.
        for _ in range(4):
            caller = value(agent.query(self.canister, "whoami"))
            self.assertEqual(caller.to_str(), identity.sender().to_str())
        self.assertGreater(value(agent.update(self.canister, "inc", **UNVERIFIED)), 0)

    def test_every_kind_of_key(self):
        for kind in ["ed25519", "secp256k1", "p256"]:
            with self.subTest(kind):
                self.check(Identity(type=kind))

    def test_keys_from_pem_files_and_seed_phrases(self):
        for kind in ["ed25519", "secp256k1", "p256"]:
            with self.subTest(kind):
                identity = Identity(type=kind)
                again = Identity.from_pem(identity.to_pem().decode())
                self.assertEqual(again.sender().to_str(), identity.sender().to_str())
                self.check(again)
        self.check(Identity.from_seed("abandon " * 11 + "about"))

    def test_the_anonymous_one(self):
        self.check(Identity(anonymous=True))

    def test_delegations(self):
        keys = [Identity(), Identity(type="secp256k1"), Identity(type="p256"), Identity()]
        inside = time.time_ns() + HOUR
        for count in range(2, 5):
            identity = delegated(*keys[:count], expiration=inside)
            self.assertEqual(identity.sender().to_str(), keys[0].sender().to_str())
            self.check(identity)

    def test_delegations_that_are_refused(self):
        first, second = Identity(), Identity()
        expired = delegated(first, second, expiration=time.time_ns() - HOUR)
        stolen = delegated(first, second, expiration=time.time_ns() + HOUR)
        stolen.identity = Identity()
        for identity in [expired, stolen]:
            with self.assertRaises(TransportError) as caught:
                agent_of(identity).update(self.canister, "inc", **UNVERIFIED)
            answer = caught.exception.original_error.response
            self.assertIn(answer.status_code, [400, 403], answer.text)


class StateTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.canister = deploy("motoko/counter")
        cls.id = Principal.from_str(cls.canister).bytes

    def read(self, path, agent=OWNER):
        return agent.read_state_raw(self.canister, [path], **UNVERIFIED)

    def refused(self, path, agent=OWNER):
        with self.assertRaises(TransportError) as caught:
            self.read(path, agent)
        return caught.exception.original_error.response.status_code

    def test_certificates_are_signed_by_the_root(self):
        certificate = self.read([b"time"])
        signature, root_hash = certificate.signature, certificate.root_hash()
        self.assertTrue(network.is_signed_by_root(signature, root_hash))
        self.assertFalse(network.is_signed_by_root(signature, bytes(32)))
        other = self.read([b"canister", self.id, b"module_hash"])
        self.assertFalse(network.is_signed_by_root(other.signature[:-1] + b"\0", root_hash))

    def test_what_anyone_may_read(self):
        stranger = agent_of(Identity())
        subnet = Principal.from_str(network.subnet()).bytes
        path = [b"canister", self.id, b"module_hash"]
        module_hash = self.read(path, stranger).lookup(path)
        self.assertEqual(module_hash.hex(), network.sha256(network.wasm("motoko/counter")))
        path = [b"canister", self.id, b"controllers"]
        controllers = cbor2.loads(self.read(path, stranger).lookup(path))
        self.assertEqual([bytes(id) for id in controllers], [OWNER.get_principal().bytes])
        path = [b"canister", self.id, b"metadata", b"candid:service"]
        interface = self.read(path, stranger).lookup(path)
        self.assertEqual(interface.decode(), network.did("motoko/counter"))
        path = [b"subnet", subnet, b"public_key"]
        self.assertEqual(self.read(path, stranger).lookup(path), network.ROOT_KEY)
        path = [b"subnet", subnet, b"canister_ranges"]
        ranges = cbor2.loads(self.read(path, stranger).lookup(path))
        self.assertTrue(any(bytes(low) <= self.id <= bytes(high) for low, high in ranges))

    def test_the_tree_of_the_subnet(self):
        subnet = Principal.from_str(network.subnet())
        prefix = [b"subnet", subnet.bytes]
        certificate = OWNER.read_state_subnet_raw(
            subnet.to_str(), [prefix + [b"node"], prefix + [b"type"]], **UNVERIFIED
        )
        nodes = certificate.lookup_tree(prefix + [b"node"])
        keys = [path for path in certificate.list_paths(nodes) if path[-1] == b"public_key"]
        self.assertGreaterEqual(len(keys), 1)

    def test_private_metadata_is_for_controllers(self):
        path = [b"canister", self.id, b"metadata", b"motoko:stable-types"]
        self.assertIn(b"actor", self.read(path).lookup(path))
        self.assertEqual(self.refused(path, agent_of(Identity())), 403)
        self.assertEqual(self.refused(path, agent_of(Identity(anonymous=True))), 403)

    def test_certified_data_is_for_nobody(self):
        self.assertIn(self.refused([b"canister", self.id, b"certified_data"]), [400, 403, 404])

    def test_the_status_of_a_request_is_for_its_sender(self):
        identity = Identity()
        request, envelope = call_envelope(identity, self.canister, "inc", encode([]))
        answer = network.post("v4", self.canister, "call", envelope)
        self.assertEqual(answer.status_code, 200)
        certificate = Certificate(cbor2.loads(cbor2.loads(answer.content)["certificate"]))
        self.assertTrue(
            network.is_signed_by_root(certificate.signature, certificate.root_hash())
        )
        self.assertEqual(certificate.lookup_request_status(request), b"replied")
        status, again = agent_of(identity).request_status_raw(
            self.canister, request, **UNVERIFIED
        )
        self.assertEqual(status, "replied")
        self.assertEqual(again.lookup_reply(request), certificate.lookup_reply(request))
        self.assertEqual(self.refused([b"request_status", request]), 403)
        unknown, _ = OWNER.request_status_raw(self.canister, bytes(32), **UNVERIFIED)
        self.assertIsNone(unknown)


class ItsOwnVerification(unittest.TestCase):
    """The client verifies by itself, once it has a BLS library and the key of this network."""

    @classmethod
    def setUpClass(cls):
        network.provide_blst()
        cls.canister = deploy("wat/counter")
        key = mock.patch.object(Certificate, "read_root_key", lambda _: network.ROOT_KEY)
        key.start()
        cls.addClassCleanup(key.stop)

    def test_calls_and_state(self):
        actor = Canister(OWNER, self.canister, network.did("wat/counter"))
        self.assertEqual(value(actor.inc()), 1)
        self.assertEqual(value(asyncio.run(actor.inc_async())), 2)
        subnet = network.subnet()
        module_hash = system_state.canister_module_hash(OWNER, self.canister)
        self.assertEqual(module_hash, network.sha256(network.wasm("wat/counter")))
        (controller,) = system_state.canister_controllers(OWNER, self.canister)
        self.assertEqual(controller.to_str(), OWNER.get_principal().to_str())
        key = network.ROOT_KEY.hex()
        self.assertEqual(system_state.subnet_public_key(OWNER, self.canister, subnet), key)
        self.assertEqual(system_state.subnet_public_key_direct(OWNER, subnet), key)
        ranges = system_state.subnet_canister_ranges(OWNER, self.canister, subnet)
        direct = system_state.subnet_canister_ranges_direct(OWNER, subnet)
        self.assertEqual(str(ranges), str(direct))

    def test_another_key_is_not_believed(self):
        other = mock.patch.object(Certificate, "read_root_key", lambda _: BUILT_IN_KEY)
        with other, self.assertRaises(CertificateVerificationError):
            OWNER.read_state_raw(self.canister, [[b"time"]])


class Endpoint(unittest.TestCase):
    def test_the_status_names_the_root_key(self):
        status = cbor2.loads(CLIENT.status())
        self.assertEqual(bytes(status["root_key"]), network.ROOT_KEY)
        self.assertEqual(status["replica_health_status"], "healthy")


if __name__ == "__main__":
    unittest.main()
