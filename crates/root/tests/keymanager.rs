//! Key managers: policies, the nodes' statements, generations of master secrets, ephemeral secrets,
//! and every reason for refusal.

mod network;
mod registered;

use network::{Network, RUNTIME, key, node, rejection};
use proptest::prelude::*;
use registered::{COMPUTE, document, entity_of, node_of, ok, runtime_of, signed_entity};
use trilith_protocol::root::keymanager::{
    EncryptedEphemeralSecret, EncryptedMasterSecret, EncryptedSecret, EphemeralSecretEvent,
    InitResponse, KeymanagerEvent, MasterSecretEvent, PUBLISH_EPHEMERAL_SECRET,
    PUBLISH_MASTER_SECRET, PolicySgx, SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret,
    SignedInitResponse, SignedPolicySgx, Status, UPDATE_POLICY, master_secret_checksum,
};
use trilith_protocol::root::registry::{CapabilityTee, KIND_KEY_MANAGER, Node, Runtime, TEE_NONE};
use trilith_protocol::root::{Blob, GenesisError, Quantity, RootAnswer, RootQuery};
use trilith_protocol::{QueryContext, ROOT_RUNTIME, Receipt, RootEvent, RootGenesis, Runtime as _};
use trilith_root::{export, genesis_write_log, keymanager, registry, staking};
use trilith_types::{Epoch, PublicKey, Round, RuntimeId, SecretKey, StateRead as _, TimeNanos};

const KEY_MANAGER: u32 = 4;
/// The key manager's nodes, of entity 10.
const NODES: [u8; 3] = [41, 42, 43];

/// A key manager that is a test runtime, so that it needs no enclaves.
fn keeper() -> RuntimeId {
    let mut bytes = [0; 32];
    bytes[0] = 0xc0;
    bytes[31] = 9;
    RuntimeId::from_bytes(bytes)
}

fn keeper_of(entity: u8) -> Runtime {
    Runtime {
        kind: KIND_KEY_MANAGER,
        ..runtime_of(entity, keeper(), 0)
    }
}

/// The key for attestations of a node's enclave.
fn rak(number: u8) -> SecretKey {
    let mut seed = [number; 32];
    seed[0] = 0xbb;
    SecretKey::from_seed(seed)
}

/// The key for encryption of a node's enclave.
fn rek(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn signer(number: u8) -> SecretKey {
    key(number)
}

/// A node of the key manager whose enclave says something.
fn keeps(number: u8, says: &InitResponse) -> Node {
    keeps_signed(
        number,
        &SignedInitResponse::sign(says.clone(), &rak(number)),
    )
}

fn keeps_signed(number: u8, says: &SignedInitResponse) -> Node {
    let mut node = node_of(10, number, 200, (KEY_MANAGER, &[keeper()]));
    for runtime in node.runtimes.as_mut().unwrap() {
        runtime.capabilities.tee = Some(CapabilityTee {
            hardware: TEE_NONE,
            rak: rak(number).public(),
            rek: Some(rek(number)),
            attestation: None,
        });
        runtime.extra_info = Some(Blob(says.encode()));
    }
    node
}

/// Entity 10 owns the key manager; two of 61, 62 and 63 must sign its policies.
fn kept_document() -> RootGenesis {
    let mut document = document();
    // All that a test does in one epoch fits.
    document.epoch_interval = 30;
    let services = &mut document.services;
    let params = &mut services.registry.params;
    params.max_node_expiration = 0;
    params.debug_allow_test_runtimes = true;
    services.registry.entities = vec![signed_entity(&entity_of(10, &[41, 42, 43, 44, 45]), 10)];
    services.registry.runtimes = vec![runtime_of(10, RUNTIME, 0), keeper_of(10)];
    let mut signers: Vec<PublicKey> = [61, 62, 63].map(|number| signer(number).public()).into();
    signers.sort();
    let params = &mut services.keymanager.params;
    params.policy_signers = signers;
    params.policy_threshold = 2;
    document
}

fn kept() -> Network {
    Network::new(&kept_document())
}

fn policy(serial: u32, interval: u64) -> PolicySgx {
    PolicySgx {
        serial,
        id: keeper(),
        enclaves: None,
        master_secret_rotation_interval: interval,
        max_ephemeral_secret_age: 10,
    }
}

fn signed_policy(policy: PolicySgx, signers: &[u8]) -> SignedPolicySgx {
    let keys: Vec<SecretKey> = signers.iter().map(|number| signer(*number)).collect();
    let keys: Vec<&SecretKey> = keys.iter().collect();
    SignedPolicySgx::sign(policy, &keys)
}

/// What an enclave says that follows the policy and has the newest secret.
fn follows(status: &Status) -> InitResponse {
    let policy = status.next_policy.as_ref().or(status.policy.as_ref());
    InitResponse {
        is_secure: false,
        checksum: status.checksum.clone(),
        policy_checksum: policy.map(|policy| Blob(policy.checksum().to_vec())),
        rsk: Some(signer(70 + status.generation as u8).public()),
        ..InitResponse::default()
    }
}

/// The secret of a generation.
fn secret(generation: u64) -> [u8; 32] {
    [100 + generation as u8; 32]
}

fn encrypted(checksum: [u8; 32], nodes: &[u8]) -> EncryptedSecret {
    EncryptedSecret {
        checksum: Blob(checksum.to_vec()),
        pub_key: rek(99),
        ciphertexts: nodes
            .iter()
            .map(|number| (rek(*number), Blob(vec![*number; 48])))
            .collect(),
    }
}

fn refused(receipt: &Receipt, code: u32) {
    let found = rejection(receipt);
    assert_eq!(found, Some(("keymanager", code)), "{:?}", receipt.status);
}

impl Network {
    fn status(&self) -> Status {
        keymanager::status(&self.view, &keeper()).unwrap().unwrap()
    }

    fn set_policy(&mut self, signed: &SignedPolicySgx) -> Receipt {
        self.free(10, UPDATE_POLICY, signed.encode())
    }

    /// Registers nodes whose enclaves say something.
    fn keep(&mut self, numbers: &[u8], says: &InitResponse) {
        for number in numbers {
            ok(&self.register_node(*number, &keeps(*number, says)));
        }
    }

    /// The next master secret, for the next epoch, encrypted for some nodes.
    fn next_secret(&self, nodes: &[u8]) -> EncryptedMasterSecret {
        let status = self.status();
        let generation = status.next_generation();
        let last = (!status.checksum().is_empty()).then(|| status.checksum());
        let checksum = master_secret_checksum(&secret(generation), last, &keeper(), false);
        EncryptedMasterSecret {
            id: keeper(),
            generation,
            epoch: Epoch(self.epoch() + 1),
            secret: encrypted(checksum, nodes),
        }
    }

    fn publish(&mut self, number: u8, secret: EncryptedMasterSecret) -> Receipt {
        let signed = SignedEncryptedMasterSecret::sign(secret, &rak(number));
        self.free(number, PUBLISH_MASTER_SECRET, signed.encode())
    }

    fn publish_ephemeral(&mut self, number: u8, epoch: u64, nodes: &[u8]) -> Receipt {
        let secret = EncryptedEphemeralSecret {
            id: keeper(),
            epoch: Epoch(epoch),
            secret: encrypted([7; 32], nodes),
        };
        let signed = SignedEncryptedEphemeralSecret::sign(secret, &rak(number));
        self.free(number, PUBLISH_EPHEMERAL_SECRET, signed.encode())
    }

    /// Publishes the next master secret, lets some nodes have it, and goes to the next epoch.
    fn rotate(&mut self, have: &[u8]) {
        let proposed = self.next_secret(&NODES);
        ok(&self.publish(NODES[0], proposed.clone()));
        let has = InitResponse {
            next_checksum: proposed.secret.checksum,
            next_rsk: Some(signer(70 + proposed.generation as u8).public()),
            ..follows(&self.status())
        };
        self.keep(have, &has);
        self.next_epoch();
    }

    fn kept_sound(&self) {
        self.sound();
        assert_eq!(keymanager::check(&self.view), Ok(()));
    }

    fn ask(&self, query: &RootQuery) -> RootAnswer {
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        let bytes = query.encode();
        assert_eq!(RootQuery::decode(&bytes).as_ref(), Ok(query));
        let answer = self.root.query(&self.view, &bytes, &context).unwrap();
        let decoded = RootAnswer::decode(&answer).unwrap();
        assert_eq!(decoded.encode(), answer);
        decoded
    }
}

fn ids(numbers: &[u8]) -> Vec<PublicKey> {
    let mut ids: Vec<PublicKey> = numbers.iter().map(|number| node(*number)).collect();
    ids.sort();
    ids
}

/// A key manager with a policy that lets secrets change every third epoch, and three nodes.
fn running() -> Network {
    let mut network = kept();
    ok(&network.set_policy(&signed_policy(policy(1, 3), &[61, 62])));
    let says = follows(&network.status());
    network.keep(&NODES, &says);
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&NODES));
    network
}

#[test]
fn the_first_policy_counts_from_the_next_epoch_on() {
    let mut network = kept();
    assert_eq!(keymanager::status(&network.view, &keeper()), Ok(None));
    let signed = signed_policy(policy(1, 3), &[61, 62]);
    let receipt = network.set_policy(&signed);
    ok(&receipt);
    let told = RootEvent::decode_list(&receipt.output, 10).unwrap();
    assert!(matches!(
        &told[..],
        [RootEvent::KeyManager(KeymanagerEvent::Status(event))] if event.id == keeper()
    ));
    let status = network.status();
    assert_eq!(
        (status.policy, status.next_policy),
        (None, Some(signed.clone()))
    );
    assert!(!status.is_initialized);
    // Nodes that know of it already are its nodes at once; the others are left out.
    let says = follows(&network.status());
    network.keep(&[41, 42], &says);
    let ignorant = InitResponse {
        policy_checksum: None,
        ..says
    };
    network.keep(&[43], &ignorant);
    network.next_epoch();
    let status = network.status();
    assert_eq!(
        (status.policy.as_ref(), status.next_policy.as_ref()),
        (Some(&signed), None)
    );
    assert_eq!(status.nodes(), ids(&[41, 42]));
    assert!(status.is_initialized && !status.is_secure);
    assert_eq!((status.checksum(), status.generation), (&[][..], 0));
    assert_eq!(status.rsk, Some(signer(70).public()));
    network.kept_sound();
}

#[test]
fn a_key_manager_without_policy_has_the_nodes_that_follow_none() {
    let mut network = kept();
    let says = InitResponse::default();
    network.keep(&NODES, &says);
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&NODES));
    // One that expires is none of them any more.
    let mut short = keeps(44, &says);
    short.expiration = Epoch(2);
    ok(&network.register_node(44, &short));
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&[41, 42, 43, 44]));
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&NODES));
    network.kept_sound();
}

#[test]
fn a_newer_policy_replaces_an_older_one_at_the_next_epoch() {
    let mut network = running();
    let second = signed_policy(policy(2, 1), &[63, 61, 62]);
    // 105: not newer.
    refused(
        &network.set_policy(&signed_policy(policy(1, 1), &[61, 62])),
        105,
    );
    refused(
        &network.set_policy(&signed_policy(policy(0, 1), &[61, 62])),
        105,
    );
    ok(&network.set_policy(&second));
    let old = network.status();
    assert_eq!(
        old.policy.as_ref().map(|policy| policy.policy.serial),
        Some(1)
    );
    // Only 41 and 42 hear of it in time.
    let says = follows(&old);
    network.keep(&[41, 42], &says);
    network.next_epoch();
    let status = network.status();
    assert_eq!(status.policy, Some(second));
    assert_eq!(status.nodes(), ids(&[41, 42]));
    network.keep(&[43], &says);
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&NODES));
    network.kept_sound();
}

#[test]
fn policies_need_their_owner_and_enough_of_their_signers() {
    let mut network = kept();
    let good = signed_policy(policy(1, 3), &[61, 62]);
    // 1: nothing that can be decoded, and more signatures than are looked at.
    refused(&network.free(10, UPDATE_POLICY, vec![0x01]), 1);
    let many = signed_policy(policy(1, 3), &[61; 65]);
    refused(&network.set_policy(&many), 1);
    // 101: no key manager.
    let mut other = policy(1, 3);
    other.id = RUNTIME;
    refused(&network.set_policy(&signed_policy(other, &[61, 62])), 101);
    // 102: not the owner.
    refused(&network.free(20, UPDATE_POLICY, good.encode()), 102);
    // 104: one signer, twice, or somebody else.
    for signers in [&[][..], &[61], &[61, 61], &[61, 64]] {
        refused(
            &network.set_policy(&signed_policy(policy(1, 3), signers)),
            104,
        );
    }
    // 103: signed for another policy.
    let mut forged = good.clone();
    forged.policy.serial = 5;
    refused(&network.set_policy(&forged), 103);
    // Somebody else may sign too.
    ok(&network.set_policy(&signed_policy(policy(1, 3), &[61, 64, 62])));
    network.kept_sound();

    // Where the document names no signers, the owner is enough, as in Oasis Core.
    let mut document = kept_document();
    document.services.keymanager = Default::default();
    let mut network = Network::new(&document);
    ok(&network.set_policy(&signed_policy(policy(1, 3), &[])));
    network.kept_sound();
}

#[test]
fn the_first_master_secret_needs_two_thirds_of_the_nodes() {
    let mut network = running();
    let proposed = network.next_secret(&NODES);
    let receipt = network.publish(42, proposed.clone());
    ok(&receipt);
    let event = RootEvent::KeyManager(KeymanagerEvent::MasterSecret(MasterSecretEvent {
        id: keeper(),
        node: node(42),
        generation: 0,
        epoch: Epoch(2),
    }));
    assert_eq!(RootEvent::decode_list(&receipt.output, 10), Ok(vec![event]));
    // One of three has it at the next epoch: it is not accepted.
    let has = InitResponse {
        next_checksum: proposed.secret.checksum.clone(),
        next_rsk: Some(signer(80).public()),
        ..follows(&network.status())
    };
    network.keep(&[41], &has);
    network.next_epoch();
    let status = network.status();
    assert_eq!(
        (status.checksum(), status.nodes()),
        (&[][..], &ids(&NODES)[..])
    );
    // The next epoch is too late for it; another one may be published, which two have in time.
    network.keep(&[42, 43], &has);
    network.next_epoch();
    assert_eq!(network.status().checksum(), &[][..]);
    let again = network.next_secret(&NODES);
    assert_eq!((again.generation, again.epoch), (0, Epoch(4)));
    ok(&network.publish(43, again.clone()));
    network.next_epoch();
    let status = network.status();
    assert_eq!(status.checksum(), &again.secret.checksum.0[..]);
    assert_eq!((status.generation, status.rotation_epoch), (0, Epoch(4)));
    assert_eq!(status.rsk, Some(signer(80).public()));
    assert_eq!(status.nodes(), ids(&NODES));
    network.kept_sound();
}

#[test]
fn two_of_three_are_enough_and_the_third_is_left_out_until_it_has_the_secret() {
    let mut network = running();
    network.rotate(&[41, 43]);
    let status = network.status();
    assert_eq!(status.nodes(), ids(&[41, 43]));
    assert_eq!(status.next_generation(), 1);
    // A node with another checksum stays out.
    let says = follows(&status);
    let other = InitResponse {
        checksum: Some(Blob(vec![1; 32])),
        ..says.clone()
    };
    network.keep(&[41, 43], &says);
    network.keep(&[42], &other);
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&[41, 43]));
    // With the right one it is back.
    network.keep(&[42], &says);
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&NODES));
    network.kept_sound();
}

#[test]
fn master_secrets_change_at_the_interval_of_the_policy() {
    let mut network = running();
    network.rotate(&NODES);
    let first = network.status();
    assert_eq!((first.generation, first.rotation_epoch), (0, Epoch(2)));
    let says = follows(&first);
    network.keep(&NODES, &says);
    // 108: the interval is three epochs; the secret of epoch 5 is the next one.
    refused(&network.publish(41, network.next_secret(&NODES)), 108);
    network.next_epoch();
    refused(&network.publish(41, network.next_secret(&NODES)), 108);
    network.next_epoch();
    assert_eq!(network.epoch(), 4);
    network.rotate(&NODES);
    let second = network.status();
    assert_eq!((second.generation, second.rotation_epoch), (1, Epoch(5)));
    // Its checksum vouches for both secrets.
    let one = master_secret_checksum(&secret(0), None, &keeper(), false);
    let two = master_secret_checksum(&secret(1), Some(&one), &keeper(), false);
    assert_eq!((first.checksum(), second.checksum()), (&one[..], &two[..]));
    network.kept_sound();
    // 108: with no interval the secret stays for ever.
    ok(&network.set_policy(&signed_policy(policy(2, 0), &[61, 62])));
    let says = follows(&network.status());
    network.keep(&NODES, &says);
    for _ in 0..4 {
        network.next_epoch();
    }
    assert_eq!(network.status().nodes(), ids(&NODES));
    refused(&network.publish(41, network.next_secret(&NODES)), 108);
}

#[test]
fn every_reason_to_refuse_a_master_secret() {
    let mut network = kept();
    // 2: no status before the first epoch.
    let early = EncryptedMasterSecret {
        id: keeper(),
        generation: 0,
        epoch: Epoch(1),
        secret: encrypted([1; 32], &NODES),
    };
    refused(&network.publish(41, early), 2);
    let mut network = running();
    let good = network.next_secret(&NODES);
    let with = |change: &dyn Fn(&mut EncryptedMasterSecret)| {
        let mut secret = good.clone();
        change(&mut secret);
        secret
    };
    refused(&network.free(41, PUBLISH_MASTER_SECRET, vec![0x01]), 1);
    let short = with(&|secret| secret.secret.checksum = Blob(vec![1; 31]));
    refused(&network.publish(41, short), 1);
    refused(
        &network.publish(41, with(&|secret| secret.id = RUNTIME)),
        101,
    );
    // 106: a node that is not one of the key manager's, and its owner.
    refused(&network.publish(44, good.clone()), 106);
    refused(&network.publish(10, good.clone()), 106);
    refused(
        &network.publish(41, with(&|secret| secret.generation = 1)),
        109,
    );
    refused(
        &network.publish(41, with(&|secret| secret.epoch = Epoch(1))),
        110,
    );
    refused(
        &network.publish(41, with(&|secret| secret.epoch = Epoch(3))),
        110,
    );
    // 111: for somebody else; 112: for one of three.
    let stranger = with(&|secret| {
        let ciphertexts = &mut secret.secret.ciphertexts;
        ciphertexts.insert(rek(44), Blob(vec![1]));
    });
    refused(&network.publish(41, stranger), 111);
    let few = with(&|secret| secret.secret = encrypted([1; 32], &[41]));
    refused(&network.publish(41, few), 112);
    // 103: signed with another enclave's key.
    let signed = SignedEncryptedMasterSecret::sign(good.clone(), &rak(42));
    refused(
        &network.free(41, PUBLISH_MASTER_SECRET, signed.encode()),
        103,
    );
    // 107: once an epoch; two thirds are enough.
    let enough = with(&|secret| secret.secret = encrypted([1; 32], &[41, 42]));
    ok(&network.publish(41, enough));
    refused(&network.publish(42, good.clone()), 107);
    network.kept_sound();
}

#[test]
fn an_ephemeral_secret_is_published_once_for_each_next_epoch() {
    let mut network = running();
    // Before any master secret, and at every epoch.
    for epoch in 2..5 {
        refused(&network.publish_ephemeral(41, 0, &NODES), 110);
        refused(&network.publish_ephemeral(41, epoch + 1, &NODES), 110);
        let receipt = network.publish_ephemeral(43, epoch, &NODES);
        ok(&receipt);
        let event = RootEvent::KeyManager(KeymanagerEvent::EphemeralSecret(EphemeralSecretEvent {
            id: keeper(),
            node: node(43),
            epoch: Epoch(epoch),
        }));
        assert_eq!(RootEvent::decode_list(&receipt.output, 10), Ok(vec![event]));
        refused(&network.publish_ephemeral(41, epoch, &NODES), 107);
        network.next_epoch();
    }
    refused(&network.free(41, PUBLISH_EPHEMERAL_SECRET, vec![0x01]), 1);
    refused(&network.publish_ephemeral(44, 5, &NODES), 106);
    refused(&network.publish_ephemeral(41, 5, &[41]), 112);
    refused(&network.publish_ephemeral(41, 5, &[41, 42, 44]), 111);
    let secret = EncryptedEphemeralSecret {
        id: keeper(),
        epoch: Epoch(5),
        secret: encrypted([7; 32], &NODES),
    };
    let signed = SignedEncryptedEphemeralSecret::sign(secret, &rak(42));
    refused(
        &network.free(41, PUBLISH_EPHEMERAL_SECRET, signed.encode()),
        103,
    );
    network.kept_sound();
}

#[test]
fn statements_that_cannot_be_believed_leave_a_node_out() {
    let mut network = kept();
    let says = InitResponse::default();
    network.keep(&[41], &says);
    // Signed with another key; no statement at all; no keys; not secure like the first.
    let forged = keeps_signed(42, &SignedInitResponse::sign(says.clone(), &rak(41)));
    ok(&network.register_node(42, &forged));
    let mut silent = keeps(43, &says);
    silent.runtimes.as_mut().unwrap()[0].extra_info = None;
    ok(&network.register_node(43, &silent));
    let mut bare = keeps(44, &says);
    bare.runtimes.as_mut().unwrap()[0].capabilities.tee = None;
    ok(&network.register_node(44, &bare));
    network.next_epoch();
    assert_eq!(network.status().nodes(), ids(&[41]));
    let secure = InitResponse {
        is_secure: true,
        ..says.clone()
    };
    network.keep(&[42], &secure);
    let other_key = InitResponse {
        rsk: Some(signer(71).public()),
        ..says.clone()
    };
    network.keep(&[43], &other_key);
    network.next_epoch();
    // Whoever says a key first says which it is.
    assert_eq!(network.status().nodes(), ids(&[41, 43]));
    assert_eq!(network.status().rsk, Some(signer(71).public()));
    let third = InitResponse {
        rsk: Some(signer(72).public()),
        ..says
    };
    network.keep(&[42], &third);
    network.next_epoch();
    assert_eq!(network.status().nodes().len(), 2);
    network.kept_sound();
}

#[test]
fn only_test_key_managers_take_keys_without_hardware() {
    let mut network = kept();
    // A node with keys of hardware that the key manager does not have.
    let says = InitResponse::default();
    let mut wrong = keeps(41, &says);
    let of_keeper = &mut wrong.runtimes.as_mut().unwrap()[0];
    of_keeper.capabilities.tee.as_mut().unwrap().hardware = 1;
    registered::refused(&network.register_node(41, &wrong), 8);
    // With an attestation that nobody can verify.
    let mut attested = keeps(41, &says);
    let of_keeper = &mut attested.runtimes.as_mut().unwrap()[0];
    of_keeper.capabilities.tee.as_mut().unwrap().attestation = Some(Blob(vec![1]));
    registered::refused(&network.register_node(41, &attested), 103);
    // A compute runtime takes no such keys.
    let mut compute = node_of(10, 41, 200, (COMPUTE, &[RUNTIME]));
    let of_runtime = &mut compute.runtimes.as_mut().unwrap()[0];
    of_runtime.capabilities = keeps(41, &says).runtimes()[0].capabilities.clone();
    registered::refused(&network.register_node(41, &compute), 103);
    // A key manager that is no test runtime needs enclaves.
    let mut bytes = [0; 32];
    bytes[0] = 0x40;
    let real = Runtime {
        id: RuntimeId::from_bytes(bytes),
        ..keeper_of(10)
    };
    registered::refused(&network.register_runtime(10, &real), 107);
}

#[test]
fn a_suspended_key_manager_stands_still() {
    let mut network = running();
    let before = network.status();
    // Its owner loses the stake that it needs.
    let all = trilith_protocol::root::staking::ReclaimEscrow {
        account: network::address(10),
        shares: Quantity::new(100_000),
    };
    let method = trilith_protocol::root::staking::RECLAIM_ESCROW;
    ok(&network.free(10, method, all.encode()));
    network.next_epoch();
    assert!(
        registry::suspended_runtime(&network.view, &keeper())
            .unwrap()
            .is_some()
    );
    assert_eq!(network.status(), before);
    refused(&network.publish(41, network.next_secret(&NODES)), 101);
    refused(
        &network.set_policy(&signed_policy(policy(2, 3), &[61, 62])),
        101,
    );
    network.kept_sound();
}

#[test]
fn the_service_answers_questions() {
    let mut network = kept();
    assert_eq!(
        network.ask(&RootQuery::KeyManager(keeper())),
        RootAnswer::KeyManager(None)
    );
    network.next_epoch();
    let RootAnswer::KeyManagers(summary) = network.ask(&RootQuery::KeyManagers) else {
        panic!("the service was asked for");
    };
    assert_eq!(summary.ids, vec![keeper()]);
    assert_eq!(summary.params.policy_threshold, 2);
    let mut network = running();
    let proposed = network.next_secret(&NODES);
    ok(&network.publish(41, proposed.clone()));
    ok(&network.publish_ephemeral(42, 2, &NODES));
    let RootAnswer::KeyManager(Some(record)) = network.ask(&RootQuery::KeyManager(keeper())) else {
        panic!("a key manager was asked for");
    };
    assert_eq!(record.status, network.status());
    assert_eq!(
        record.master_secret.map(|signed| signed.secret),
        Some(proposed)
    );
    assert_eq!(
        record.ephemeral_secret.map(|signed| signed.secret.epoch),
        Some(Epoch(2))
    );
}

#[test]
fn an_export_starts_a_network_that_stands_where_the_old_one_did() {
    let mut network = running();
    network.rotate(&[41, 43]);
    ok(&network.set_policy(&signed_policy(policy(2, 1), &[61, 62])));
    ok(&network.publish_ephemeral(41, 3, &[41, 43]));
    network.kept_sound();
    let mut document = kept_document();
    document.services = export(&network.view).unwrap();
    let bytes = document.encode();
    assert_eq!(RootGenesis::decode(&bytes), Ok(document.clone()));
    let imported = Network::new(&document);
    let of = |network: &Network| {
        let entries = network.view.entries.iter();
        let entries = entries.filter(|(key, _)| b"SRGK".contains(&key[0]));
        trilith_mkvs::root_of(entries.map(|(key, value)| (key.clone(), value.clone()))).unwrap()
    };
    assert_eq!(of(&network), of(&imported));
    assert_eq!(staking::check(&imported.view), Ok(()));

    let refused = |change: &dyn Fn(&mut RootGenesis)| {
        let mut document = document.clone();
        change(&mut document);
        genesis_write_log(&document).unwrap_err()
    };
    let rule = |error: GenesisError| matches!(error, GenesisError::Rule { .. });
    let order = |error: GenesisError| matches!(error, GenesisError::Order { .. });
    assert!(rule(refused(&|d| d
        .services
        .keymanager
        .params
        .policy_threshold = 0)));
    assert!(rule(refused(&|d| d
        .services
        .keymanager
        .params
        .policy_threshold = 4)));
    assert!(order(refused(&|d| {
        d.services.keymanager.params.policy_signers.swap(0, 1);
    })));
    assert!(rule(refused(
        &|d| d.services.keymanager.statuses[0].id = RUNTIME
    )));
    assert!(order(refused(&|d| {
        let status = d.services.keymanager.statuses[0].clone();
        d.services.keymanager.statuses.push(status);
    })));
    assert!(rule(refused(&|d| d.services.keymanager.statuses.clear())));
    assert!(rule(refused(&|d| {
        d.services.keymanager.statuses[0]
            .nodes
            .as_mut()
            .unwrap()
            .swap(0, 1);
    })));
    // A policy with a signature too few, a next one that is older, and one of another key manager.
    assert!(rule(refused(&|d| {
        let policy = d.services.keymanager.statuses[0].policy.as_mut().unwrap();
        policy.signatures.as_mut().unwrap().pop();
    })));
    assert!(rule(refused(&|d| {
        let older = signed_policy(policy(0, 1), &[61, 62]);
        d.services.keymanager.statuses[0].next_policy = Some(older);
    })));
    assert!(rule(refused(&|d| {
        let mut other = policy(9, 1);
        other.id = RUNTIME;
        let other = signed_policy(other, &[61, 62]);
        d.services.keymanager.statuses[0].next_policy = Some(other);
    })));
    assert!(rule(refused(&|d| {
        d.services.keymanager.master_secrets[0].secret.id = RUNTIME;
    })));
}

#[test]
fn two_replicas_agree_on_every_height() {
    let mut one = kept();
    let mut two = kept();
    two.remember = false;
    let both = [&mut one, &mut two];
    for network in both {
        ok(&network.set_policy(&signed_policy(policy(1, 2), &[61, 62])));
        let says = follows(&network.status());
        network.keep(&NODES, &says);
        network.next_epoch();
        network.rotate(&NODES);
        let says = follows(&network.status());
        network.keep(&NODES, &says);
        ok(&network.publish_ephemeral(43, 3, &NODES));
        network.next_epoch();
        network.rotate(&[41, 42]);
        assert_eq!(network.status().generation, 1);
        assert_eq!(network.status().nodes(), ids(&[41, 42]));
    }
    assert_eq!(one.view.root(), two.view.root());
}

/// What the owner and the nodes do.
#[derive(Clone, Debug)]
enum Act {
    Policy(u32, u64, Vec<u8>),
    Says(u8, u8),
    Master(u8, Vec<u8>, u64),
    Ephemeral(u8, u64, Vec<u8>),
    Idle(u64),
    Epoch,
}

fn act() -> impl Strategy<Value = Act> {
    let number = || 41..46u8;
    let some = || proptest::collection::btree_set(41..46u8, 0..5);
    let signers = proptest::collection::btree_set(61..65u8, 1..4);
    prop_oneof![
        1 => (0..6u32, 0..3u64, signers)
            .prop_map(|(serial, every, of)| Act::Policy(serial, every, of.into_iter().collect())),
        8 => (number(), prop_oneof![6 => Just(0u8), 6 => Just(1), 1 => 2..6u8])
            .prop_map(|(number, what)| Act::Says(number, what)),
        3 => (number(), some(), prop_oneof![5 => Just(0u64), 1 => Just(1)])
            .prop_map(|(number, of, more)| Act::Master(number, of.into_iter().collect(), more)),
        1 => (number(), 0..3u64, some())
            .prop_map(|(number, more, of)| Act::Ephemeral(number, more, of.into_iter().collect())),
        1 => (1..8u64).prop_map(Act::Idle),
        3 => Just(Act::Epoch),
    ]
}

impl Network {
    /// What an enclave says: 0 the truth, 1 the truth with the proposed secret, others lies.
    fn statement(&self, what: u8) -> InitResponse {
        let record = keymanager::record(&self.view, &keeper()).unwrap();
        let status = record
            .as_ref()
            .map_or(Status::new(keeper()), |record| record.status.clone());
        let truth = follows(&status);
        let proposed = record.and_then(|record| record.master_secret);
        let proposed = proposed.map(|signed| signed.secret);
        match what {
            0 => truth,
            1 => InitResponse {
                next_checksum: proposed
                    .map(|secret| secret.secret.checksum)
                    .unwrap_or_default(),
                ..truth
            },
            2 => InitResponse {
                checksum: Some(Blob(vec![4; 32])),
                ..truth
            },
            3 => InitResponse {
                policy_checksum: None,
                ..truth
            },
            4 => InitResponse {
                is_secure: true,
                ..truth
            },
            _ => InitResponse {
                rsk: Some(signer(90).public()),
                ..truth
            },
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Policy(serial, every, of) => {
                self.set_policy(&signed_policy(policy(*serial, *every), of));
            }
            Act::Says(number, what) => {
                let says = self.statement(*what);
                self.register_node(*number, &keeps(*number, &says));
            }
            Act::Master(number, of, more) => {
                let status = keymanager::status(&self.view, &keeper()).unwrap();
                if status.is_none() {
                    return;
                }
                let mut secret = self.next_secret(of);
                secret.generation += more;
                self.publish(*number, secret);
            }
            Act::Ephemeral(number, more, of) => {
                let epoch = self.epoch() + more;
                self.publish_ephemeral(*number, epoch, of);
            }
            Act::Idle(heights) => self.idle(*heights),
            Act::Epoch => self.next_epoch(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Over any history: the state is sound, generations go up one by one, whoever is one of the
    /// nodes follows the policy and has the newest secret, replicas agree, and an export gives the
    /// same state of the services.
    #[test]
    fn key_managers_keep_their_invariants(acts in proptest::collection::vec(act(), 1..60)) {
        let document = kept_document();
        let mut network = Network::new(&document);
        let mut forgetful = Network::new(&document);
        forgetful.remember = false;
        let mut generations = 0;
        for act in &acts {
            network.act(act);
            forgetful.act(act);
            prop_assert_eq!(network.view.root(), forgetful.view.root());
            prop_assert_eq!(keymanager::check(&network.view), Ok(()));
            prop_assert_eq!(staking::check(&network.view), Ok(()));
            let status = keymanager::status(&network.view, &keeper()).unwrap();
            let next = status.as_ref().map_or(0, Status::next_generation);
            prop_assert!(next == generations || next == generations + 1);
            generations = next;
        }
        let mut other = document.clone();
        other.services = export(&network.view).unwrap();
        let imported = Network::new(&other);
        let of = |network: &Network| {
            let entries = network.view.entries.iter();
            let entries = entries.filter(|(key, _)| b"SRGK".contains(&key[0]));
            let entries = entries.map(|(key, value)| (key.clone(), value.clone()));
            trilith_mkvs::root_of(entries).unwrap()
        };
        prop_assert_eq!(of(&network), of(&imported));
    }
}
