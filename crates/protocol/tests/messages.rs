//! Messages between runtimes and the root, results of rounds, evidence and parameters against
//! published figures of Oasis Core, and as round trips.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trilith_protocol::root::registry::{
    AdmissionPolicy, Deployment, EntityWhitelist, Executor, GOVERNANCE_ENTITY, KIND_COMPUTE, Limit,
    Marker, Runtime, RuntimeGenesis, RuntimeStaking, SchedulingConstraints, Storage, TxnScheduler,
    Version, WhitelistConfig,
};
use trilith_protocol::root::staking::{Escrow, ReclaimEscrow, ThresholdKind, Transfer, Withdraw};
use trilith_protocol::root::{
    Address, Blob, CarriedRuntime, Evidence, GovernanceMessage, IncomingMessage,
    LivenessStatistics, MessageResult, Quantity, RawItem, RegistryMessage, RoothashGenesis,
    RoothashParameterChanges, RoothashParameters, RoundResults, RoundRoots, RuntimeMessage,
    Services, StakingMessage, SubmitMessage,
};
use trilith_protocol::{
    Batch, ComputeResultsHeader, ExecutorCommitment, ExecutorCommitmentHeader, Failure, Input,
    Proposal, io,
};
use trilith_types::cbor::DecodeError;
use trilith_types::{Epoch, Hash, PublicKey, Round, RuntimeId, SecretKey, TimeNanos};

const NOWHERE: Address = Address::from_bytes([0; Address::LEN]);
const ZERO: Quantity = Quantity::ZERO;

fn zero_key() -> PublicKey {
    PublicKey::from_bytes([0; 32])
}

/// A descriptor in which everything has its zero value.
fn zero_runtime() -> Runtime {
    Runtime {
        v: 0,
        id: RuntimeId::from_bytes([0; 32]),
        entity_id: zero_key(),
        genesis: RuntimeGenesis {
            state_root: Hash::from_bytes([0; 32]),
            round: 0,
        },
        kind: 0,
        tee_hardware: 0,
        key_manager: None,
        executor: Executor {
            group_size: 0,
            group_backup_size: 0,
            allowed_stragglers: 0,
            round_timeout: 0,
            max_messages: 0,
            min_live_rounds_percent: 0,
            max_missed_proposals_percent: 0,
            min_live_rounds_eval: 0,
            max_liveness_fails: 0,
            backup_rule: 0,
        },
        txn_scheduler: TxnScheduler::default(),
        storage: Storage::default(),
        admission_policy: AdmissionPolicy::default(),
        constraints: BTreeMap::new(),
        staking: RuntimeStaking::default(),
        governance_model: 0,
        deployments: Vec::new(),
    }
}

/// The descriptor of `newTestRuntime` in `message_test.go`. The key of the test entity stands in
/// Oasis Core's `runtime/src/consensus/roothash/message.rs`.
fn published_runtime() -> Runtime {
    let entity = "4ea5328f943ef6f66daaed74cb0e99c3b1c45f76307b425003dbc7cb3638ed35";
    let entity = PublicKey::from_slice(&hex::decode(entity).unwrap()).unwrap();
    let pool_of = |limit| SchedulingConstraints {
        min_pool_size: Some(Limit { limit }),
        ..SchedulingConstraints::default()
    };
    let workers = SchedulingConstraints {
        validator_set: Some(Marker),
        ..pool_of(1)
    };
    let whitelist = WhitelistConfig {
        max_nodes: [(1, 2)].into(),
    };
    Runtime {
        v: 3,
        entity_id: entity,
        genesis: RuntimeGenesis {
            state_root: Hash::EMPTY,
            round: 0,
        },
        kind: KIND_COMPUTE,
        executor: Executor {
            group_size: 3,
            group_backup_size: 5,
            allowed_stragglers: 1,
            round_timeout: 10,
            max_messages: 32,
            ..zero_runtime().executor
        },
        txn_scheduler: TxnScheduler {
            batch_flush_timeout: 1_000_000_000,
            max_batch_size: 1,
            max_batch_size_bytes: 1024,
            max_in_messages: 0,
            propose_batch_timeout: 2_000_000_000,
        },
        admission_policy: AdmissionPolicy {
            entity_whitelist: Some(EntityWhitelist {
                entities: [(entity, whitelist)].into(),
            }),
            ..AdmissionPolicy::default()
        },
        constraints: [(1, [(1, workers), (2, pool_of(2))].into())].into(),
        staking: RuntimeStaking {
            thresholds: [(ThresholdKind::NodeCompute, Quantity::new(1_000))].into(),
            ..RuntimeStaking::default()
        },
        governance_model: GOVERNANCE_ENTITY,
        deployments: vec![Deployment {
            version: Version {
                major: 0,
                minor: 0,
                patch: 0,
            },
            valid_from: Epoch(0),
            tee: Blob::default(),
            bundle_checksum: Blob::default(),
        }],
        ..zero_runtime()
    }
}

/// Figures: Oasis Core `go/roothash/api/message/message_test.go`, `TestMessageHash`, at commit
/// f9f1fdc60. The first two of its ten cases are both no messages.
#[test]
fn messages_have_the_published_hashes() {
    let any_node = AdmissionPolicy {
        any_node: Some(Marker),
        ..AdmissionPolicy::default()
    };
    let open = Runtime {
        admission_policy: any_node,
        ..zero_runtime()
    };
    let staking = RuntimeMessage::Staking;
    let update = |of| RuntimeMessage::Registry(RegistryMessage::UpdateRuntime(Box::new(of)));
    let item = |hex: &str| RawItem(hex::decode(hex).unwrap());
    // {"id": 32, "vote": 1}, and {"cancel_upgrade": {"proposal_id": 32}}.
    let vote = item("a2626964182064766f746501");
    let cancel = item("a16e63616e63656c5f75706772616465a16b70726f706f73616c5f69641820");
    let cases = [
        (
            staking(StakingMessage::Transfer(Transfer {
                to: NOWHERE,
                amount: ZERO,
            })),
            "a6b91f974b34a9192efd12025659a768520d2f04e1dae9839677456412cdb2be",
        ),
        (
            staking(StakingMessage::Withdraw(Withdraw {
                from: NOWHERE,
                amount: ZERO,
            })),
            "069b0fda76d804e3fd65d4bbd875c646f15798fb573ac613100df67f5ba4c3fd",
        ),
        (
            staking(StakingMessage::AddEscrow(Escrow {
                account: NOWHERE,
                amount: ZERO,
            })),
            "65049870b9dae657390e44065df0c78176816876e67b96dac7791ee6a1aa42e2",
        ),
        (
            staking(StakingMessage::ReclaimEscrow(ReclaimEscrow {
                account: NOWHERE,
                shares: ZERO,
            })),
            "c78547eae2f104268e49827cbe624cf2b350ee59e8d693dec0673a70a4664a2e",
        ),
        (
            update(open),
            "e6e170fb771583147255e0c96dc88615d4fd2fd28488ae489df01da201affe72",
        ),
        (
            update(published_runtime()),
            "03e77fbeda1a2291c87c06c59335a49fe18852266d58608c1ddec8ef64209458",
        ),
        (
            RuntimeMessage::Governance(GovernanceMessage::CastVote(vote)),
            "f45e26eb8ace807ad5bd02966cde1f012d1d978d4cbddd59e9bfd742dcf39b90",
        ),
        (
            RuntimeMessage::Governance(GovernanceMessage::SubmitProposal(cancel)),
            "03312ddb5c41a30fbd29fb91cf6bf26d58073996f89657ca4f3b3a43a98bfd0b",
        ),
    ];
    for (message, expected) in cases {
        let payload = message.encode();
        assert_eq!(io::messages_hash(&[&payload]).to_string(), expected);
        assert_eq!(RuntimeMessage::decode(&payload), Ok(message));
    }
    assert_eq!(
        io::messages_hash(&[]).to_string(),
        "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a"
    );
}

/// Cases: Oasis Core `message_test.go`, `TestMessageValidateBasic`, and what this build adds.
#[test]
fn messages_that_mean_nothing_or_two_things_are_refused() {
    let transfer = StakingMessage::Transfer(Transfer {
        to: NOWHERE,
        amount: ZERO,
    });
    let good = RuntimeMessage::Staking(transfer).encode();
    let version = good
        .windows(3)
        .position(|bytes| bytes == b"\x61v\x00")
        .unwrap()
        + 2;
    let mut newer = good.clone();
    newer[version] = 1;
    let argument = format!("a262746f55{}66616d6f756e7440", "00".repeat(21));
    let bad = [
        "a0".to_owned(),
        // {staking: {v: 0}}, {registry: {v: 0}}, {governance: {v: 0}}
        "a1677374616b696e67a1617600".into(),
        "a1687265676973747279a1617600".into(),
        "a16a676f7665726e616e6365a1617600".into(),
        // {governance: {v: 0, cast_vote: {}, submit_proposal: {}}}
        "a16a676f7665726e616e6365a361760069636173745f766f7465a06f7375626d69745f70726f706f73616ca0"
            .into(),
        // {registry: {v: 0, update_runtime: null}}
        "a1687265676973747279a26176006e7570646174655f72756e74696d65f6".into(),
        // {staking: {transfer: …}} without a version
        format!("a1677374616b696e67a1687472616e73666572{argument}"),
        hex::encode(newer),
        hex::encode(&good) + "00",
    ];
    for form in bad {
        let bytes = hex::decode(&form).unwrap();
        assert!(RuntimeMessage::decode(&bytes).is_err(), "{form}");
    }
    assert!(RuntimeMessage::decode(&good).is_ok());
    let long = vec![0; 64 * 1024 + 1];
    let found = RuntimeMessage::decode(&long);
    assert!(matches!(found, Err(DecodeError::TooLong { .. })));
}

fn numbered(number: u8) -> PublicKey {
    let mut bytes = [0; 32];
    bytes[31] = number;
    PublicKey::from_bytes(bytes)
}

/// Figures: Oasis Core `go/roothash/api/results_test.go`, `TestRoundResultsSerialization`.
#[test]
fn results_of_rounds_have_the_published_form() {
    // The text "test-result".
    let result = RawItem(b"\x6btest-result".to_vec());
    let message = |code, index, result| MessageResult {
        module: "test".into(),
        code,
        index,
        result,
    };
    let one = "a1686d6573736167657381a264636f646501666d6f64756c656474657374";
    let many = "686d6573736167657381a464636f6465182a65696e64657801666d6f64756c656474657374\
                66726573756c746b746573742d726573756c74";
    let key = |number: u8| format!("5820{}{number:02x}", "00".repeat(31));
    let good = "75676f6f645f636f6d707574655f656e746974696573";
    let bad = "746261645f636f6d707574655f656e746974696573";
    let cases = [
        (RoundResults::default(), "a0".to_owned()),
        (
            RoundResults {
                messages: vec![message(1, 0, RawItem::default())],
                ..RoundResults::default()
            },
            one.into(),
        ),
        (
            RoundResults {
                messages: vec![message(42, 1, result.clone())],
                good_compute_entities: [0, 1, 2].map(numbered).into(),
                bad_compute_entities: Vec::new(),
            },
            format!("a2{many}{good}83{}{}{}", key(0), key(1), key(2)),
        ),
        (
            RoundResults {
                messages: vec![message(42, 1, result)],
                good_compute_entities: [0, 2].map(numbered).into(),
                bad_compute_entities: [1].map(numbered).into(),
            },
            format!("a3{many}{bad}81{}{good}82{}{}", key(1), key(0), key(2)),
        ),
    ];
    for (results, form) in cases {
        assert_eq!(hex::encode(results.encode()), form);
        assert_eq!(RoundResults::decode(&results.encode()), Ok(results));
    }
}

/// Figures: Oasis Core `executor_test.go`, `TestConsistentHash`.
#[test]
fn results_headers_have_the_published_hashes() {
    let empty = ComputeResultsHeader {
        round: Round(0),
        previous_hash: Hash::from_bytes([0; 32]),
        io_root: None,
        state_root: None,
        messages_hash: None,
        in_msgs_hash: None,
        in_msgs_count: 0,
    };
    assert_eq!(
        empty.hash().to_string(),
        "57d73e02609a00fcf4ca43cbf8c9f12867c46942d246fb2b0bce42cbdb8db844"
    );
    let full = ComputeResultsHeader {
        round: Round(42),
        previous_hash: empty.hash(),
        io_root: Some(Hash::EMPTY),
        state_root: Some(Hash::EMPTY),
        messages_hash: Some(Hash::EMPTY),
        in_msgs_hash: Some(Hash::EMPTY),
        in_msgs_count: 0,
    };
    assert_eq!(
        full.hash().to_string(),
        "8459a9e6e3341cd2df5ada5737469a505baf92397aaa88b7100915324506d843"
    );
}

fn incoming(id: u64, data: &[u8]) -> IncomingMessage {
    IncomingMessage {
        id,
        caller: NOWHERE,
        tag: 0,
        fee: ZERO,
        tokens: Quantity::new(7),
        data: Blob(data.to_vec()),
    }
}

#[test]
fn incoming_messages_are_bound_by_their_hash() {
    assert_eq!(io::incoming_hash(&[]), Hash::EMPTY);
    let (one, two) = (incoming(0, b"a"), incoming(1, b"b"));
    let both = io::incoming_hash(&[one.clone(), two.clone()]);
    let mut form = vec![0x82];
    form.extend(one.encode());
    form.extend(two.encode());
    assert_eq!(both, Hash::of(&form));
    assert_ne!(both, io::incoming_hash(&[two, one.clone()]));
    assert_ne!(both, io::incoming_hash(&[one]));
    // A quantity of nothing and no bytes are left out, as Go leaves them out.
    let least = IncomingMessage {
        tokens: ZERO,
        ..incoming(3, b"")
    };
    let form = format!("a2626964036663616c6c657255{}", "00".repeat(21));
    assert_eq!(hex::encode(least.encode()), form);
}

fn commitment(key: &SecretKey, failure: Option<Failure>) -> ExecutorCommitment {
    let hash = failure.is_none().then_some(Hash::EMPTY);
    let header = ComputeResultsHeader {
        round: Round(4),
        previous_hash: Hash::EMPTY,
        io_root: hash,
        state_root: hash,
        messages_hash: hash,
        in_msgs_hash: hash,
        in_msgs_count: 0,
    };
    let header = ExecutorCommitmentHeader {
        scheduler_id: zero_key(),
        header,
        failure,
        rak_signature: None,
        storage_signatures: Vec::new(),
    };
    let runtime = RuntimeId::test(1);
    ExecutorCommitment::sign(key, header, vec![vec![1]], &runtime, &Hash::EMPTY)
}

fn evidence() -> [Evidence; 2] {
    let key = SecretKey::from_seed([3; 32]);
    let runtime = RuntimeId::test(1);
    let proposal = |byte| {
        let batch = Batch {
            time: TimeNanos(9),
            inputs: vec![Input::new(vec![byte])],
        };
        Proposal::sign(&key, Round(4), Hash::EMPTY, &batch, &runtime, &Hash::EMPTY)
    };
    let (first, second) = (proposal(1), proposal(2));
    let proposals = Evidence::of_proposals(runtime, &first, &second);
    let pair = proposals.proposals.clone().unwrap();
    assert_eq!(pair.first.verify(&runtime, &Hash::EMPTY), Ok(()));
    assert!(
        pair.second
            .verify(&RuntimeId::test(2), &Hash::EMPTY)
            .is_err()
    );
    let first = commitment(&key, None);
    let second = commitment(&key, Some(Failure::Unknown));
    [proposals, Evidence::of_commitments(runtime, first, second)]
}

#[test]
fn evidence_carries_what_was_signed_and_nothing_else() {
    for evidence in evidence() {
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence.clone()));
        if let Some(pair) = evidence.commitments {
            assert!(pair.first.messages.is_empty() && pair.second.messages.is_empty());
            assert_eq!(pair.first.verify(&RuntimeId::test(1), &Hash::EMPTY), Ok(()));
        }
    }
    // H(1 ‖ key): one hash for all that a node may have signed.
    let node = numbered(5);
    let mut bytes = vec![1];
    bytes.extend_from_slice(node.as_bytes());
    assert_eq!(Evidence::hash(&node), Hash::of(&bytes));
}

fn carried() -> RoothashGenesis {
    RoothashGenesis {
        params: RoothashParameters {
            max_evidence_age: 7,
            max_past_roots_stored: 0,
            ..RoothashParameters::default()
        },
        runtimes: [(
            RuntimeId::test(1),
            CarriedRuntime {
                results: Some(RoundResults::default()),
                incoming: vec![incoming(4, b"x"), incoming(5, b"")],
                next_message: 6,
            },
        )]
        .into(),
    }
}

#[test]
fn a_document_leaves_out_the_default() {
    let default = RoothashGenesis::default();
    assert_eq!(default.encode(), [0xa0]);
    let services = Services::default();
    assert!(
        !services
            .encode()
            .windows(8)
            .any(|bytes| bytes == b"roothash")
    );
    let mut services = services;
    services.roothash = carried();
    assert_eq!(Services::decode(&services.encode()), Ok(services));
    // One form: parameters that are the default are not written.
    let mut form = vec![0xa1];
    form.extend(b"\x66params");
    form.extend(RoothashParameters::default().encode());
    assert_eq!(
        RoothashGenesis::decode(&form),
        Err(DecodeError::Field("params"))
    );
}

#[test]
fn changes_of_parameters_have_the_form_of_the_source() {
    // Pointers that are not set are null, unless the field is left out then.
    let none = RoothashParameterChanges::default();
    let form = "a3706d61785f65766964656e63655f616765f6746d61785f72756e74696d655f6d65737361676573f6\
                776d61785f696e5f72756e74696d655f6d65737361676573f6";
    assert_eq!(hex::encode(none.encode()), form);
    let some = RoothashParameterChanges {
        max_past_roots_stored: Some(3),
        gas_costs: Some([("evidence".into(), 9)].into()),
        ..none
    };
    assert_eq!(RoothashParameterChanges::decode(&some.encode()), Ok(some));
}

/// Every form of this file, for what is done with all of them.
fn encodings() -> Vec<Vec<u8>> {
    let submit = SubmitMessage {
        id: RuntimeId::test(1),
        tag: 3,
        fee: Quantity::new(300),
        tokens: ZERO,
        data: Blob(vec![1, 2]),
    };
    let update = RegistryMessage::UpdateRuntime(Box::new(published_runtime()));
    let roots = RoundRoots {
        state_root: Hash::of(b"s"),
        io_root: Hash::of(b"i"),
    };
    let mut all = vec![
        submit.encode(),
        RuntimeMessage::Registry(update).encode(),
        LivenessStatistics::new(3).encode(),
        roots.encode(),
        carried().encode(),
        carried().params.encode(),
        incoming(1, b"data").encode(),
    ];
    all.extend(evidence().iter().map(Evidence::encode));
    all
}

/// Decodes as everything; what decodes encodes back.
fn decode_all(bytes: &[u8]) -> usize {
    fn back<T>(value: Result<T, DecodeError>, encode: fn(&T) -> Vec<u8>, bytes: &[u8]) -> usize {
        match value {
            Ok(value) => {
                assert_eq!(encode(&value), bytes);
                1
            }
            Err(_) => 0,
        }
    }
    back(SubmitMessage::decode(bytes), SubmitMessage::encode, bytes)
        + back(RuntimeMessage::decode(bytes), RuntimeMessage::encode, bytes)
        + back(
            LivenessStatistics::decode(bytes),
            LivenessStatistics::encode,
            bytes,
        )
        + back(RoundRoots::decode(bytes), RoundRoots::encode, bytes)
        + back(
            RoothashGenesis::decode(bytes),
            RoothashGenesis::encode,
            bytes,
        )
        + back(
            RoothashParameters::decode(bytes),
            RoothashParameters::encode,
            bytes,
        )
        + back(
            RoothashParameterChanges::decode(bytes),
            RoothashParameterChanges::encode,
            bytes,
        )
        + back(
            IncomingMessage::decode(bytes),
            IncomingMessage::encode,
            bytes,
        )
        + back(RoundResults::decode(bytes), RoundResults::encode, bytes)
        + back(Evidence::decode(bytes), Evidence::encode, bytes)
}

#[test]
fn every_form_is_read_back() {
    for bytes in encodings() {
        // Parameters can be read as a change to just these.
        assert!(decode_all(&bytes) >= 1, "{}", hex::encode(&bytes));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_damaged_form_panics(which in 0usize..9, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = encodings().swap_remove(which);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        decode_all(&bytes);
        bytes.truncate(at);
        prop_assert_eq!(decode_all(&bytes), 0);
    }

    #[test]
    fn messages_come_back(
        to in any::<[u8; 21]>(), amount in any::<u128>(), kind in 0u8..6, item in any::<u64>(),
    ) {
        let (to, amount) = (Address::from_bytes(to), Quantity::new(amount));
        let item = RawItem({
            let mut encoder = trilith_types::cbor::Encoder::new();
            encoder.uint(item);
            encoder.finish()
        });
        let staking = RuntimeMessage::Staking;
        let governance = RuntimeMessage::Governance;
        let message = match kind {
            0 => staking(StakingMessage::Transfer(Transfer { to, amount })),
            1 => staking(StakingMessage::Withdraw(Withdraw { from: to, amount })),
            2 => staking(StakingMessage::AddEscrow(Escrow { account: to, amount })),
            3 => staking(StakingMessage::ReclaimEscrow(ReclaimEscrow {
                account: to,
                shares: amount,
            })),
            4 => governance(GovernanceMessage::CastVote(item)),
            _ => governance(GovernanceMessage::SubmitProposal(item)),
        };
        prop_assert_eq!(RuntimeMessage::decode(&message.encode()), Ok(message));
    }
}
