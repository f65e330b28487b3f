//! Every decoder of outside bytes: what was encoded comes back, what comes back encodes to the
//! bytes it came from, and no input panics.

use proptest::prelude::*;
use trilith_protocol::root::{
    BackupRule, ExecutorParameters, GenesisError, GenesisNode, NodeRoles, RoundFailure,
    RunningRound, RuntimeDescriptor, SchedulerParameters, Services, ThresholdKey, VoteOf,
};
use trilith_protocol::{
    Batch, BlockHeader, Committee, ComputeResultsHeader, ExecutorCommitment,
    ExecutorCommitmentHeader, Failure, HeaderType, Input, Proposal, ROOT_RUNTIME, RootAnswer,
    RootEvent, RootGenesis, RootQuery, RootTransaction, StorageReceipt,
};
use trilith_types::cbor::DecodeError;
use trilith_types::{Epoch, Hash, Height, NodeId, Round, RuntimeId, SecretKey, TimeNanos};

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

fn chain() -> Hash {
    Hash::of(b"chain")
}

const RUNTIME: RuntimeId = RuntimeId::test(3);

fn descriptor() -> RuntimeDescriptor {
    RuntimeDescriptor {
        id: RUNTIME,
        genesis_state_root: Hash::EMPTY,
        executor: ExecutorParameters {
            group_size: 2,
            backup_size: 3,
            allowed_stragglers: 0,
            round_timeout: 5,
            max_messages: 4,
            backup_rule: BackupRule::Separate,
        },
        txn_scheduler: SchedulerParameters {
            max_batch_size: 100,
            max_batch_size_bytes: 1 << 20,
            batch_flush_timeout_ms: 1_000,
            propose_batch_timeout_ms: 2_000,
        },
        storage_receipts_min: 0,
        storage_group_size: 0,
    }
}

fn genesis() -> RootGenesis {
    let mut nodes: Vec<GenesisNode> = (1..=5)
        .map(|number| GenesisNode {
            id: key(number).public(),
            roles: NodeRoles::COMPUTE | NodeRoles::VALIDATOR,
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    RootGenesis {
        chain: "test".into(),
        time: TimeNanos(1_000_000_007),
        epoch_interval: 10,
        nodes,
        runtimes: vec![descriptor()],
        consensus_key: ThresholdKey([1; 96]),
        certification_key: ThresholdKey([2; 96]),
        services: Services::default(),
    }
}

prop_compose! {
    fn hashes()(bytes in any::<[u8; 32]>()) -> Hash { Hash::from_bytes(bytes) }
}

prop_compose! {
    fn node()(bytes in any::<[u8; 32]>()) -> NodeId { NodeId::from_bytes(bytes) }
}

prop_compose! {
    fn commitment()(
        number in 1u8..5, scheduler in 1u8..5, round in any::<u64>(), parent in hashes(),
        state in proptest::option::of(hashes()), count in 0u32..3, failed in any::<bool>(),
        receipts in 0u8..3, messages in proptest::collection::vec(0u8..24, 0..4),
    ) -> ExecutorCommitment {
        let receipt = StorageReceipt { namespace: RUNTIME, round: Round(round), roots: vec![parent] };
        let header = ExecutorCommitmentHeader {
            scheduler_id: key(scheduler).public(),
            header: ComputeResultsHeader {
                round: Round(round),
                previous_hash: parent,
                io_root: state,
                state_root: state,
                messages_hash: None,
                in_msgs_hash: state,
                in_msgs_count: count,
            },
            failure: failed.then_some(Failure::StateUnavailable),
            rak_signature: failed.then(|| key(9).sign(b"", b"")),
            storage_signatures: (0..receipts).map(|n| receipt.sign(&key(n), &chain())).collect(),
        };
        let messages = messages.into_iter().map(|item| vec![item]).collect();
        ExecutorCommitment::sign(&key(number), header, messages, &RUNTIME, &chain())
    }
}

prop_compose! {
    fn committee()(
        epoch in any::<u64>(), workers in proptest::collection::vec(node(), 0..4),
        backups in proptest::collection::vec(node(), 0..4),
    ) -> Committee {
        Committee { epoch: Epoch(epoch), workers, backups, storage: Vec::new() }
    }
}

prop_compose! {
    fn header()(
        version in any::<u16>(), round in any::<u64>(), timestamp in any::<u64>(),
        kind in 1u64..5, hash in hashes(),
    ) -> BlockHeader {
        BlockHeader {
            version,
            namespace: RUNTIME,
            round: Round(round),
            timestamp,
            header_type: HeaderType::from_number(kind).unwrap(),
            previous_hash: hash,
            io_root: Hash::of(hash.as_bytes()),
            state_root: hash,
            messages_hash: Hash::EMPTY,
            in_msgs_hash: hash,
        }
    }
}

fn event() -> impl Strategy<Value = RootEvent> {
    let runtime = RUNTIME;
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, height)| RootEvent::EpochStarted {
            epoch: Epoch(epoch),
            height: Height(height),
        }),
        committee().prop_map(move |committee| RootEvent::CommitteeElected { runtime, committee }),
        header().prop_map(move |header| RootEvent::RoundFinalized { runtime, header }),
        any::<u64>().prop_map(move |round| RootEvent::RoundFailed {
            runtime,
            round: Round(round),
            reason: RoundFailure::NoMajority,
        }),
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(move |(round, rank, timeout)| {
            RootEvent::DiscrepancyDetected {
                runtime,
                round: Round(round),
                rank,
                timeout,
            }
        }),
        (any::<u64>(), node(), proptest::option::of(hashes())).prop_map(
            move |(round, node, vote)| RootEvent::CommitmentAccepted {
                runtime,
                round: Round(round),
                node,
                vote,
            }
        ),
        (any::<u32>(), proptest::option::of(node()), ".{0,40}").prop_map(
            move |(code, node, message)| RootEvent::CommitmentRejected {
                runtime,
                node,
                code,
                message,
            }
        ),
    ]
}

/// Decodes bytes with every decoder; each that accepts them must give them back.
fn decode_all(bytes: &[u8]) {
    fn check<T>(bytes: &[u8], value: Result<T, DecodeError>, encode: impl Fn(&T) -> Vec<u8>) {
        if let Ok(value) = value {
            assert_eq!(encode(&value), bytes);
        }
    }
    check(bytes, Batch::decode(bytes), Batch::encode);
    check(bytes, BlockHeader::decode(bytes), BlockHeader::encode);
    check(
        bytes,
        ExecutorCommitment::decode(bytes),
        ExecutorCommitment::encode,
    );
    check(bytes, Proposal::decode(bytes), Proposal::encode);
    check(bytes, StorageReceipt::decode(bytes), StorageReceipt::encode);
    check(bytes, Committee::decode(bytes), Committee::encode);
    check(
        bytes,
        RootTransaction::decode(bytes),
        RootTransaction::encode,
    );
    check(bytes, RootGenesis::decode(bytes), RootGenesis::encode);
    check(bytes, RootEvent::decode(bytes), RootEvent::encode);
    check(bytes, RootEvent::decode_list(bytes, 8), |events| {
        RootEvent::encode_list(events)
    });
    check(bytes, RootQuery::decode(bytes), RootQuery::encode);
    check(bytes, RootAnswer::decode(bytes), RootAnswer::encode);
    check(
        bytes,
        RuntimeDescriptor::decode(bytes),
        RuntimeDescriptor::encode,
    );
}

/// An encoding of something, to be damaged.
fn encoding() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        commitment().prop_map(|commitment| commitment.encode()),
        proptest::collection::vec(commitment(), 0..3).prop_map(|commitments| {
            RootTransaction::ExecutorCommit {
                runtime: RUNTIME,
                commitments,
            }
            .encode()
        }),
        event().prop_map(|event| event.encode()),
        header().prop_map(|header| header.encode()),
        Just(genesis().encode()),
        Just(
            Proposal::sign(
                &key(1),
                Round(1),
                chain(),
                &Batch::default(),
                &RUNTIME,
                &chain()
            )
            .encode()
        ),
        Just(RootQuery::Epoch.encode()),
        Just(RootQuery::Tip.encode()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn commitments_come_back(commitment in commitment()) {
        prop_assert_eq!(commitment.verify(&RUNTIME, &chain()), Ok(()));
        let encoded = commitment.encode();
        prop_assert_eq!(ExecutorCommitment::decode(&encoded), Ok(commitment.clone()));
        let transaction =
            RootTransaction::ExecutorCommit { runtime: RUNTIME, commitments: vec![commitment] };
        prop_assert_eq!(RootTransaction::decode(&transaction.encode()), Ok(transaction));
    }

    #[test]
    fn proposals_come_back(
        round in any::<u64>(), time in any::<u64>(),
        inputs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..4),
    ) {
        let inputs = inputs.into_iter().map(Input::new).collect();
        let batch = Batch { time: TimeNanos(time), inputs };
        let proposal = Proposal::sign(&key(1), Round(round), chain(), &batch, &RUNTIME, &chain());
        prop_assert_eq!(proposal.verify(&RUNTIME, &chain()), Ok(()));
        prop_assert!(proposal.verify(&RuntimeId::test(4), &chain()).is_err());
        prop_assert_eq!(proposal.header.batch_hash, batch.hash());
        prop_assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
        prop_assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    }

    #[test]
    fn events_come_back(events in proptest::collection::vec(event(), 0..5)) {
        for event in &events {
            prop_assert_eq!(RootEvent::decode(&event.encode()), Ok(event.clone()));
        }
        let list = RootEvent::encode_list(&events);
        prop_assert_eq!(RootEvent::decode_list(&list, 5), Ok(events));
    }

    #[test]
    fn answers_come_back(
        committee in proptest::option::of(committee()), header in proptest::option::of(header()),
        epoch in any::<u64>(),
    ) {
        let epoch = RootAnswer::Epoch { epoch: Epoch(epoch), since: Height(epoch) };
        let tip = RootAnswer::Tip {
            height: Height(1),
            time: TimeNanos(2),
            randomness: [3; 32],
        };
        for answer in [RootAnswer::Committee(committee), RootAnswer::LatestBlock(header), epoch, tip] {
            prop_assert_eq!(RootAnswer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_damaged_encoding_panics(
        mut bytes in encoding(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        decode_all(&bytes);
    }
}

#[test]
fn a_signature_is_of_one_runtime_and_one_network() {
    let header = ExecutorCommitmentHeader {
        scheduler_id: key(1).public(),
        header: ComputeResultsHeader {
            round: Round(1),
            previous_hash: chain(),
            io_root: None,
            state_root: None,
            messages_hash: None,
            in_msgs_hash: None,
            in_msgs_count: 0,
        },
        failure: None,
        rak_signature: None,
        storage_signatures: Vec::new(),
    };
    let commitment = ExecutorCommitment::sign(&key(1), header, Vec::new(), &RUNTIME, &chain());
    assert!(commitment.verify(&RUNTIME, &chain()).is_ok());
    assert!(commitment.verify(&RuntimeId::test(4), &chain()).is_err());
    assert!(commitment.verify(&RUNTIME, &Hash::EMPTY).is_err());
    let mut other = commitment.clone();
    other.header.failure = Some(Failure::Unknown);
    assert!(other.verify(&RUNTIME, &chain()).is_err());
    assert_eq!(commitment.vote(), Some(commitment.header.header.hash()));
    assert_eq!(other.vote(), None);
}

#[test]
fn queries_come_back() {
    for query in [
        RootQuery::Epoch,
        RootQuery::Tip,
        RootQuery::Committee(RUNTIME),
        RootQuery::LatestBlock(RUNTIME),
        RootQuery::RunningRound(RUNTIME),
    ] {
        assert_eq!(RootQuery::decode(&query.encode()), Ok(query));
    }
    for best in [None, Some(1)] {
        let node = key(1).public();
        let answer = RootAnswer::RunningRound(Box::new(RunningRound {
            best,
            disputed: best.is_some(),
            votes: best.map(|rank| VoteOf { rank, node }).into_iter().collect(),
        }));
        let bytes = answer.encode();
        assert_eq!(RootAnswer::decode(&bytes), Ok(answer));
        assert!(RootAnswer::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn a_genesis_document_names_its_network() {
    let genesis = genesis();
    assert_eq!(genesis.validate(), Ok(()));
    assert_eq!(RootGenesis::decode(&genesis.encode()), Ok(genesis.clone()));
    let mut other = genesis.clone();
    other.chain = "other".into();
    assert_ne!(genesis.chain_context(), other.chain_context());
    assert_eq!(genesis.nodes_with(NodeRoles::COMPUTE).len(), 5);
    assert_eq!(genesis.nodes_with(NodeRoles::STORAGE).len(), 0);
    assert_eq!(genesis.runtime(&RUNTIME), Some(&descriptor()));
}

#[test]
fn every_rule_of_a_genesis_document_is_enforced() {
    let refused = |change: &dyn Fn(&mut RootGenesis)| {
        let mut genesis = genesis();
        change(&mut genesis);
        genesis.validate().unwrap_err()
    };
    assert_eq!(
        refused(&|g| g.epoch_interval = 0),
        GenesisError::EpochInterval
    );
    assert!(matches!(
        refused(&|g| g.chain.clear()),
        GenesisError::ChainName { len: 0, .. }
    ));
    assert_eq!(
        refused(&|g| g.nodes.swap(0, 1)),
        GenesisError::Order { what: "nodes" }
    );
    let twice = refused(&|g| g.runtimes.push(descriptor()));
    assert_eq!(twice, GenesisError::Order { what: "runtimes" });
    assert_eq!(
        refused(&|g| g.runtimes[0].id = ROOT_RUNTIME),
        GenesisError::RootIdentifier
    );
    let node = genesis().nodes[0];
    let many = refused(&|g| g.nodes = vec![node; 4097]);
    assert!(matches!(
        many,
        GenesisError::TooMany {
            what: "nodes",
            count: 4097,
            limit: 4096
        }
    ));

    type Change = fn(&mut RuntimeDescriptor);
    let ranges: [(&str, Change); 12] = [
        ("group_size", |d| d.executor.group_size = 0),
        ("group_backup_size", |d| d.executor.backup_size = 2),
        ("allowed_stragglers", |d| d.executor.allowed_stragglers = 3),
        ("round_timeout", |d| d.executor.round_timeout = 0),
        ("max_messages", |d| d.executor.max_messages = 257),
        ("max_batch_size", |d| d.txn_scheduler.max_batch_size = 0),
        ("max_batch_size_bytes", |d| {
            d.txn_scheduler.max_batch_size_bytes = 1023
        }),
        ("batch_flush_timeout_ms", |d| {
            d.txn_scheduler.batch_flush_timeout_ms = 49
        }),
        ("propose_batch_timeout_ms", |d| {
            d.txn_scheduler.propose_batch_timeout_ms = 999
        }),
        ("storage_receipts_min", |d| d.storage_receipts_min = 65),
        // A group without receipts, and one that cannot give enough of them.
        ("storage_group_size", |d| d.storage_group_size = 1),
        ("storage_group_size", |d| {
            (d.storage_receipts_min, d.storage_group_size) = (3, 2);
        }),
    ];
    for (expected, change) in ranges {
        match refused(&|g| change(&mut g.runtimes[0])) {
            GenesisError::Range { name, .. } => assert_eq!(name, expected),
            other => panic!("{expected}: {other}"),
        }
    }
    let mut shared = descriptor();
    shared.executor.backup_size = 1;
    shared.executor.backup_rule = BackupRule::Shared;
    assert_eq!(shared.validate(), Ok(()));
    let mut alone = descriptor();
    alone.executor.group_size = 1;
    alone.executor.backup_size = 0;
    assert_eq!(alone.validate(), Ok(()));
}

#[test]
fn ranks_rotate_with_the_round() {
    let workers: Vec<NodeId> = (1..=3).map(|number| key(number).public()).collect();
    let committee = Committee {
        epoch: Epoch(0),
        workers: workers.clone(),
        backups: vec![],
        storage: Vec::new(),
    };
    for round in 0..7u64 {
        for (index, worker) in workers.iter().enumerate() {
            let rank = committee.rank(worker, Round(round)).unwrap();
            assert_eq!(rank, (round + index as u64) % 3);
            assert_eq!(committee.scheduler(rank, Round(round)), Some(*worker));
        }
    }
    assert_eq!(committee.rank(&key(9).public(), Round(0)), None);
    assert_eq!(committee.scheduler(3, Round(0)), None);
    let nobody = Committee {
        epoch: Epoch(0),
        workers: vec![],
        backups: vec![],
        storage: Vec::new(),
    };
    assert_eq!(nobody.rank(&workers[0], Round(0)), None);
    assert_eq!(nobody.scheduler(0, Round(0)), None);
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let long = vec![0u8; trilith_protocol::root::TRANSACTION_BYTES_MAX + 1];
    let refused = RootTransaction::decode(&long);
    assert!(matches!(
        refused,
        Err(DecodeError::TooLong {
            what: "root transaction",
            ..
        })
    ));
    // An array that declares more commitments than may be.
    let mut bytes = RootTransaction::ExecutorCommit {
        runtime: RUNTIME,
        commitments: vec![],
    };
    let RootTransaction::ExecutorCommit { commitments, .. } = &mut bytes;
    assert!(commitments.is_empty());
    let encoded = bytes.encode();
    let at = encoded
        .windows(8)
        .position(|part| part == b"gcommits")
        .unwrap()
        + 8;
    let mut many = encoded.clone();
    many.splice(at..=at, [0x9a, 0xff, 0xff, 0xff, 0xff]);
    assert!(RootTransaction::decode(&many).is_err());
}
