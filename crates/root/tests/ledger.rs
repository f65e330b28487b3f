//! The root as a runtime: heights, epochs, rounds, rejections.

mod network;

use network::{
    MapView, Network, OTHER, RUNTIME, SECOND, descriptor, failed, genesis, header, key, node,
    results, rules, transaction,
};
use proptest::prelude::*;
use trilith_protocol::root::RoundFailure;
use trilith_protocol::{
    CheckContext, Demand, ExecutorCommitment, HeaderType, QueryContext, ROOT_RUNTIME, Receipt,
    ReceiptStatus, RootAnswer, RootEvent, RootQuery, Runtime as _, StorageReceipt, io,
};
use trilith_root::{Root, genesis_write_log, state};
use trilith_types::{Epoch, Hash, Height, NodeId, Round, RuntimeId, StateRead as _, TimeNanos};

/// A network of one node and one runtime.
fn alone() -> Network {
    Network::new(&genesis(1, vec![descriptor(RUNTIME, rules(1, 0, 0))]))
}

/// Three primaries and four backups, of nine nodes.
fn crowd() -> Network {
    Network::new(&genesis(9, vec![descriptor(RUNTIME, rules(3, 4, 0))]))
}

fn code(receipt: &Receipt) -> u32 {
    match &receipt.status {
        ReceiptStatus::Accepted => 0,
        ReceiptStatus::Rejected { module, code, .. } => {
            assert_eq!(module, "root");
            *code
        }
    }
}

#[test]
fn genesis_elects_and_writes_ascending_keys_outside_the_reserved_range() {
    let genesis = genesis(9, vec![descriptor(RUNTIME, rules(3, 4, 0))]);
    let log = genesis_write_log(&genesis).unwrap();
    assert!(log.windows(2).all(|pair| pair[0].key < pair[1].key));
    assert!(
        log.iter()
            .all(|entry| entry.key[0] != 0 && entry.value.is_some())
    );

    let network = Network::new(&genesis);
    let committee = network.committee();
    assert_eq!((committee.workers.len(), committee.backups.len()), (3, 4));
    assert!(
        committee
            .workers
            .iter()
            .all(|worker| !committee.backups.contains(worker))
    );
    assert!(
        committee
            .workers
            .iter()
            .all(|worker| (1..=9).any(|n| node(n) == *worker))
    );
    let latest = network.latest();
    assert_eq!(
        (latest.round, latest.state_root),
        (Round(0), Hash::of(b"genesis state"))
    );
    assert_eq!(latest.timestamp, 1_000);
    let view = &network.view;
    assert_eq!(
        state::network(view).unwrap().chain_context,
        genesis.chain_context()
    );
    assert_eq!(state::keys(view).unwrap().1, genesis.certification_key);
    assert_eq!(
        state::descriptor(view, &RUNTIME).unwrap().as_ref(),
        genesis.runtimes.first()
    );
    let elected = RootEvent::CommitteeElected {
        runtime: RUNTIME,
        committee,
    };
    let started = RootEvent::EpochStarted {
        epoch: Epoch(0),
        height: Height(0),
    };
    assert_eq!(network.events(), [started, elected]);
    assert_eq!(state::committee(view, &OTHER), Ok(None));
    assert_eq!(state::latest_block(view, &OTHER), Ok(None));
}

#[test]
fn a_committee_of_one_finalises_in_the_height_of_its_commitment() {
    let mut network = alone();
    let genesis_block = network.latest();
    let scheduler = network.scheduler(0);
    let vote = network.vote(&scheduler, 0, b"state 1");
    let receipt = network.commit(std::slice::from_ref(&vote));
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
    let accepted = RootEvent::CommitmentAccepted {
        runtime: RUNTIME,
        round: Round(1),
        node: scheduler,
        vote: vote.vote(),
    };
    assert_eq!(
        RootEvent::decode_list(&receipt.output, 9),
        Ok(vec![accepted])
    );

    let block = network.latest();
    assert_eq!(block.header_type, HeaderType::Normal);
    assert_eq!(block.round, Round(1));
    assert_eq!(block.previous_hash, genesis_block.hash());
    assert_eq!(block.state_root, Hash::of(b"state 1"));
    assert_eq!(block.io_root, Hash::of(b"inputs and outputs"));
    assert_eq!(block.timestamp, 1_001);
    let finalized = RootEvent::RoundFinalized {
        runtime: RUNTIME,
        header: block,
    };
    assert_eq!(network.events(), [finalized]);
    let results = state::round_results(&network.view, &RUNTIME)
        .unwrap()
        .unwrap();
    assert_eq!(
        (results.round, results.good, results.bad),
        (Round(1), vec![scheduler], vec![])
    );

    for round in 2..5u64 {
        let vote = network.vote(&scheduler, 0, &round.to_be_bytes());
        assert_eq!(code(&network.commit(&[vote])), 0);
        assert_eq!(network.latest().round, Round(round));
    }
    // The same commitment again is for a round that is over.
    assert_eq!(code(&network.commit(&[vote])), 5);
}

#[test]
fn a_discrepancy_goes_to_the_backups_and_names_the_wrong() {
    let mut network = crowd();
    let committee = network.committee();
    let scheduler = network.scheduler(0);
    let others: Vec<NodeId> = committee
        .workers
        .iter()
        .copied()
        .filter(|worker| *worker != scheduler)
        .collect();
    let honest = [
        network.vote(&scheduler, 0, b"right"),
        network.vote(&others[0], 0, b"right"),
    ];
    assert_eq!(code(&network.commit(&honest)), 0);
    assert_eq!(network.latest().round, Round(0));
    let liar = network.vote(&others[1], 0, b"wrong");
    assert_eq!(code(&network.commit(&[liar])), 0);
    let (round, rank) = (Round(1), 0);
    let disputed = RootEvent::DiscrepancyDetected {
        runtime: RUNTIME,
        round,
        rank,
        timeout: false,
    };
    assert_eq!(network.events(), [disputed]);
    assert!(state::pool(&network.view, &RUNTIME).unwrap().is_disputed());

    let backups: Vec<ExecutorCommitment> = committee.backups[..3]
        .iter()
        .map(|node| network.vote(node, 0, b"right"))
        .collect();
    assert_eq!(code(&network.commit(&backups)), 0);
    assert_eq!(network.latest().state_root, Hash::of(b"right"));
    let results = state::round_results(&network.view, &RUNTIME)
        .unwrap()
        .unwrap();
    assert_eq!((results.good.len(), results.bad), (5, vec![others[1]]));
    assert_eq!(state::pool(&network.view, &RUNTIME), Ok(Default::default()));
}

#[test]
fn silence_ends_a_round_by_timeouts_in_heights() {
    let mut network = crowd();
    let scheduler = network.scheduler(0);
    let root = &network.root;
    assert_eq!(root.demand(&network.view), Ok(Demand::Idle));
    let vote = network.vote(&scheduler, 0, b"state");
    network.commit(&[vote]);
    let demand = network.root.demand(&network.view).unwrap();
    assert_eq!(demand, Demand::At(TimeNanos(1_002 * SECOND)));
    network.idle(3);
    assert_eq!(network.events(), []);
    network.idle(1);
    let dispute = |events: Vec<RootEvent>| {
        matches!(
            events[..],
            [RootEvent::DiscrepancyDetected {
                rank: 0,
                timeout: true,
                ..
            }]
        )
    };
    assert!(dispute(network.events()));
    network.idle(6);
    let header = network.latest();
    let (runtime, round) = (RUNTIME, Round(1));
    let failed = RootEvent::RoundFailed {
        runtime,
        round,
        reason: RoundFailure::NoMajority,
    };
    let finalized = RootEvent::RoundFinalized {
        runtime,
        header: header.clone(),
    };
    assert_eq!(network.events(), [failed, finalized]);
    assert_eq!(header.header_type, HeaderType::RoundFailed);
    assert_eq!(header.state_root, Hash::of(b"genesis state"));
    assert_eq!(network.root.demand(&network.view), Ok(Demand::Idle));
    assert_eq!(state::round_results(&network.view, &RUNTIME), Ok(None));
}

#[test]
fn an_epoch_ends_the_running_round_and_elects_anew() {
    let mut network = crowd();
    let first = network.committee();
    network.idle(98);
    let scheduler = network.scheduler(0);
    let vote = network.vote(&scheduler, 0, b"state");
    assert_eq!(code(&network.commit(std::slice::from_ref(&vote))), 0);
    network.idle(1);
    let block = network.latest();
    assert_eq!(
        (block.round, block.header_type),
        (Round(1), HeaderType::EpochTransition)
    );
    assert_eq!(block.state_root, Hash::of(b"genesis state"));
    let record = state::epoch(&network.view).unwrap();
    assert_eq!((record.epoch, record.since), (Epoch(1), Height(100)));
    let second = network.committee();
    assert_eq!(second.epoch, Epoch(1));
    assert_ne!(first.workers, second.workers);
    assert_eq!(state::pool(&network.view, &RUNTIME), Ok(Default::default()));
    assert_eq!(network.events().len(), 3);
    // What was committed before is stale.
    assert_eq!(code(&network.commit(&[vote])), 5);
}

#[test]
fn elections_follow_the_randomness_of_the_height() {
    let elected = |randomness: Option<[u8; 32]>| {
        let mut network = crowd();
        network.idle(99);
        let mut context = network.context();
        context.randomness = randomness;
        let outcome = network.execute(&[], &context).unwrap();
        network.view.apply(&outcome.write_log);
        network.committee()
    };
    let committees: Vec<_> = (0..6u8)
        .map(|byte| elected(Some([byte; 32])).workers)
        .collect();
    assert!(committees.iter().any(|workers| *workers != committees[0]));
    assert_eq!(elected(Some([1; 32])), elected(Some([1; 32])));
    // Without new randomness the newest known is used.
    assert_eq!(
        elected(None),
        elected(Some(*Hash::of(&99u64.to_be_bytes()).as_bytes()))
    );
}

#[test]
fn a_runtime_without_enough_nodes_is_suspended() {
    let mut network = Network::new(&genesis(2, vec![descriptor(RUNTIME, rules(2, 3, 0))]));
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    let header = header(node(1), results(&network.latest(), b"state"));
    let vote = network.sign(&node(1), header);
    assert_eq!(code(&network.commit(&[vote])), 3);
    network.idle(120);
    assert_eq!(network.latest().round, Round(0));
    assert_eq!(state::epoch(&network.view).unwrap().epoch, Epoch(1));
}

/// One bad commitment for every reason that admission has, with its code.
fn bad_commitments(network: &Network) -> Vec<(u32, ExecutorCommitment)> {
    let scheduler = network.scheduler(0);
    let worker = network.scheduler(1);
    let stranger = node(120);
    let good = || header(scheduler, network.results(b"state"));
    let changed = |member: &NodeId, change: &dyn Fn(&mut ExecutorCommitment)| {
        let mut commitment = network.sign(member, good());
        change(&mut commitment);
        let messages = commitment.messages;
        let key = network.key_of(member);
        ExecutorCommitment::sign(&key, commitment.header, messages, &RUNTIME, &network.chain)
    };
    let mut unsigned = network.sign(&scheduler, good());
    unsigned.header.header.state_root = Some(Hash::of(b"other"));
    let message = vec![0x01];
    vec![
        (
            5,
            changed(&scheduler, &|c| c.header.header.round = Round(2)),
        ),
        (
            6,
            changed(&scheduler, &|c| c.header.header.previous_hash = Hash::EMPTY),
        ),
        (7, changed(&stranger, &|_| ())),
        (8, changed(&worker, &|c| c.header.scheduler_id = stranger)),
        (9, unsigned),
        (10, changed(&scheduler, &|c| c.header.header.io_root = None)),
        (
            11,
            changed(&scheduler, &|c| c.header = failed(c.header.clone())),
        ),
        (
            12,
            changed(&worker, &|c| c.messages = vec![message.clone()]),
        ),
        (
            13,
            changed(&scheduler, &|c| c.messages = vec![message.clone(); 3]),
        ),
        (
            14,
            changed(&scheduler, &|c| c.messages = vec![message.clone()]),
        ),
        (
            15,
            changed(&scheduler, &|c| c.header.header.in_msgs_count = 1),
        ),
        (
            16,
            changed(&scheduler, &|c| c.header.rak_signature = Some(c.signature)),
        ),
        (
            17,
            changed(&scheduler, &|c| {
                let receipt = receipt(c);
                c.header.storage_signatures = vec![receipt.sign(&key(101), &network.chain)];
            }),
        ),
    ]
}

fn receipt(commitment: &ExecutorCommitment) -> StorageReceipt {
    let header = &commitment.header.header;
    StorageReceipt {
        namespace: RUNTIME,
        round: header.round,
        roots: vec![header.io_root.unwrap(), header.state_root.unwrap()],
    }
}

#[test]
fn every_bad_commitment_is_rejected_without_effect() {
    let mut network = crowd();
    for (expected, commitment) in bad_commitments(&network) {
        let before = state::pool(&network.view, &RUNTIME).unwrap();
        let node = commitment.node_id;
        let receipt = network.commit(std::slice::from_ref(&commitment));
        assert_eq!(code(&receipt), expected, "{:?}", receipt.status);
        assert_eq!(state::pool(&network.view, &RUNTIME).unwrap(), before);
        let events = RootEvent::decode_list(&receipt.output, 1).unwrap();
        let named = matches!(&events[..], [RootEvent::CommitmentRejected { code, node: Some(of), .. }]
            if *code == expected && *of == node);
        assert!(named, "{events:?}");
        let context = CheckContext {
            runtime: ROOT_RUNTIME,
            now: TimeNanos(0),
        };
        let transaction = transaction(RUNTIME, &[commitment]);
        let checked = network.root.check(&network.view, &transaction, &context);
        assert_eq!(checked.unwrap_err().code, expected);
    }
}

#[test]
fn bad_transactions_are_rejected() {
    let mut network = alone();
    let scheduler = network.scheduler(0);
    let vote = network.vote(&scheduler, 0, b"state");
    let cases = [
        (1, vec![0xff]),
        (1, Vec::new()),
        (2, transaction(OTHER, std::slice::from_ref(&vote))),
        (4, transaction(RUNTIME, &[])),
    ];
    let context = CheckContext {
        runtime: ROOT_RUNTIME,
        now: TimeNanos(0),
    };
    for (expected, bytes) in cases {
        let checked = network.root.check(&network.view, &bytes, &context);
        assert_eq!(checked.unwrap_err().code, expected);
        let outcome = network.height(&[bytes]);
        assert_eq!(code(&outcome.receipts[0]), expected);
    }
    let good = transaction(RUNTIME, &[vote]);
    let admission = network.root.check(&network.view, &good, &context).unwrap();
    assert_eq!(admission.id, Hash::of(&good));
    assert_eq!(admission.sender, scheduler.as_bytes());
}

#[test]
fn pool_refusals_are_receipts_too() {
    let mut network = crowd();
    let (first, second) = (network.scheduler(0), network.scheduler(1));
    let backup = network.committee().backups[0];
    let vote = network.vote(&second, 1, b"state");
    assert_eq!(code(&network.commit(std::slice::from_ref(&vote))), 0);
    assert_eq!(code(&network.commit(&[vote])), 19);
    let worse = network.vote(&first, 2, b"state");
    assert_eq!(code(&network.commit(&[worse])), 18);
    let dispute = [
        network.vote(&first, 0, b"right"),
        network.vote(&second, 0, b"wrong"),
    ];
    assert_eq!(code(&network.commit(&dispute)), 0);
    let third = network.scheduler(2);
    let late = network.vote(&third, 0, b"right");
    assert_eq!(code(&network.commit(&[late])), 20);
    let elsewhere = network.vote(&backup, 1, b"right");
    assert_eq!(code(&network.commit(&[elsewhere])), 21);
}

#[test]
fn a_transaction_takes_effect_as_a_whole() {
    let mut network = crowd();
    let (first, second) = (network.scheduler(0), network.scheduler(1));
    let good = network.vote(&first, 0, b"state");
    let bad = bad_commitments(&network).remove(0).1;
    assert_eq!(code(&network.commit(&[good.clone(), bad])), 5);
    assert_eq!(state::pool(&network.view, &RUNTIME), Ok(Default::default()));
    let other = network.vote(&second, 0, b"state");
    let inputs = [
        transaction(RUNTIME, std::slice::from_ref(&good)),
        transaction(RUNTIME, &[other.clone(), good]),
        transaction(RUNTIME, &[other]),
    ];
    let outcome = network.height(&inputs);
    let codes: Vec<u32> = outcome.receipts.iter().map(code).collect();
    assert_eq!(codes, [0, 19, 0]);
}

#[test]
fn failures_and_messages() {
    let mut network = crowd();
    let (first, second) = (network.scheduler(0), network.scheduler(1));
    let failure = network.failure(&second, 0);
    assert_eq!(code(&network.commit(&[failure])), 0);

    let mut results = network.results(b"state");
    let message = vec![0x01];
    results.messages_hash = Some(io::messages_hash(&[&message]));
    let (key, header) = (network.key_of(&first), header(first, results));
    let vote = ExecutorCommitment::sign(&key, header, vec![message], &RUNTIME, &network.chain);
    assert_eq!(code(&network.commit(&[vote])), 0);
    let backups = network.committee().backups;
    let votes: Vec<_> = backups[..3]
        .iter()
        .map(|node| {
            let mut results = network.results(b"state");
            results.messages_hash = Some(io::messages_hash(&[&[0x01]]));
            network.sign(node, network::header(first, results))
        })
        .collect();
    assert_eq!(code(&network.commit(&votes)), 0);
    let results = state::round_results(&network.view, &RUNTIME)
        .unwrap()
        .unwrap();
    let answers: Vec<u32> = results.results.messages.iter().map(|of| of.code).collect();
    assert_eq!(answers, [29], "the root knows no such message");
    assert!(results.bad.is_empty());
    assert_eq!(
        network.latest().messages_hash,
        io::messages_hash(&[&[0x01]])
    );
}

#[test]
fn storage_receipts_are_asked_for_and_checked() {
    let mut asking = descriptor(RUNTIME, rules(1, 0, 0));
    asking.storage_receipts_min = 2;
    let mut network = Network::new(&genesis(1, vec![asking]));
    let scheduler = network.scheduler(0);
    let signed_by = |network: &Network, signers: &[u8], chain: &Hash| {
        let plain = network.vote(&scheduler, 0, b"state");
        let mut header = plain.header.clone();
        header.storage_signatures = signers
            .iter()
            .map(|number| receipt(&plain).sign(&key(*number), chain))
            .collect();
        network.sign(&scheduler, header)
    };
    let chain = network.chain;
    // None, too few, one twice, one that is no storage node, one for another network.
    for signers in [&[][..], &[101], &[101, 101], &[101, 1], &[101, 102, 1]] {
        let commitment = signed_by(&network, signers, &chain);
        assert_eq!(code(&network.commit(&[commitment])), 17, "{signers:?}");
    }
    let elsewhere = signed_by(&network, &[101, 102], &Hash::EMPTY);
    assert_eq!(code(&network.commit(&[elsewhere])), 17);
    let enough = signed_by(&network, &[102, 101], &chain);
    assert_eq!(code(&network.commit(&[enough])), 0);
    assert_eq!(network.latest().round, Round(1));
}

#[test]
fn a_height_out_of_order_is_a_fault() {
    let network = alone();
    let good = network.context();
    let mut skipped = good.clone();
    skipped.round = Round(2);
    let fault = network.execute(&[], &skipped).unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("height 2 was to be executed after height 0")
    );
    let mut early = good.clone();
    early.time = TimeNanos(0);
    assert!(network.execute(&[], &early).is_err());
    assert!(network.execute(&[], &good).is_ok());
    let mut empty = network;
    empty.view = MapView::default();
    assert!(
        empty
            .execute(&[], &good)
            .unwrap_err()
            .to_string()
            .contains("has no")
    );
}

#[test]
fn events_are_forgotten_after_their_time() {
    let mut network = alone();
    network.idle(999);
    assert_eq!(state::events(&network.view, Height(0)).unwrap().len(), 2);
    assert_eq!(state::events(&network.view, Height(100)).unwrap().len(), 3);
    network.idle(1);
    assert_eq!(state::events(&network.view, Height(0)), Ok(vec![]));
    assert_eq!(state::events(&network.view, Height(100)).unwrap().len(), 3);
}

#[test]
fn queries() {
    let network = alone();
    let context = QueryContext {
        runtime: ROOT_RUNTIME,
        round: Round(0),
        time: TimeNanos(0),
        now: TimeNanos(0),
        attested: None,
    };
    let ask = |query: RootQuery| {
        let answer = network
            .root
            .query(&network.view, &query.encode(), &context)
            .unwrap();
        RootAnswer::decode(&answer).unwrap()
    };
    let committee = Some(network.committee());
    assert_eq!(
        ask(RootQuery::Committee(RUNTIME)),
        RootAnswer::Committee(committee)
    );
    assert_eq!(
        ask(RootQuery::Committee(OTHER)),
        RootAnswer::Committee(None)
    );
    let block = Some(network.latest());
    assert_eq!(
        ask(RootQuery::LatestBlock(RUNTIME)),
        RootAnswer::LatestBlock(block)
    );
    let epoch = RootAnswer::Epoch {
        epoch: Epoch(0),
        since: Height(0),
    };
    assert_eq!(ask(RootQuery::Epoch), epoch);
    assert!(network.root.query(&network.view, b"?", &context).is_err());
}

/// What a random transaction is about.
#[derive(Clone, Debug)]
enum Act {
    Vote { member: usize, rank: u64, state: u8 },
    Fail { member: usize, rank: u64 },
    Garbage(Vec<u8>),
    Stranger(RuntimeId),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..7, 0u64..3, 0u8..2).prop_map(|(member, rank, state)| {
            Act::Vote { member, rank: rank.saturating_sub(1), state }
        }),
        1 => (0usize..7, 0u64..3).prop_map(|(member, rank)| Act::Fail { member, rank }),
        1 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Act::Garbage),
        1 => Just(Act::Stranger(OTHER)),
    ]
}

fn encode(network: &Network, act: &Act) -> Vec<u8> {
    let committee = network.committee();
    let members = [committee.workers, committee.backups].concat();
    match act {
        Act::Vote {
            member,
            rank,
            state,
        } => transaction(
            RUNTIME,
            &[network.vote(&members[*member], *rank, &[*state])],
        ),
        Act::Fail { member, rank } => {
            transaction(RUNTIME, &[network.failure(&members[*member], *rank)])
        }
        Act::Garbage(bytes) => bytes.clone(),
        Act::Stranger(runtime) => transaction(*runtime, &[network.vote(&members[0], 0, b"")]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A root that remembers what it wrote, one that reads everything anew, and one that was
    /// started only now give the same outcome of every height.
    #[test]
    fn memory_changes_no_outcome(
        heights in proptest::collection::vec(proptest::collection::vec(act(), 0..5), 1..30)
    ) {
        let mut genesis = genesis(9, vec![descriptor(RUNTIME, rules(3, 4, 1))]);
        genesis.epoch_interval = 11;
        let mut remembering = Network::new(&genesis);
        let mut reading = Network::new(&genesis);
        reading.remember = false;
        for acts in heights {
            let inputs: Vec<_> = acts.iter().map(|act| encode(&remembering, act)).collect();
            // An outcome that is dropped is a rollback, also of what is remembered.
            remembering.execute(&inputs[..inputs.len() / 2], &remembering.context()).unwrap();
            let one = remembering.height(&inputs);
            let fresh = Network { root: Root::new(), view: reading.view.clone(), ..alone() };
            let three = fresh.execute(&inputs, &fresh.context()).unwrap();
            let two = reading.height(&inputs);
            prop_assert_eq!(&one.write_log, &two.write_log);
            prop_assert_eq!(&one.receipts, &two.receipts);
            prop_assert_eq!(&one.write_log, &three.write_log);
            prop_assert_eq!(remembering.view.root(), reading.view.root());
            prop_assert!(one.write_log.windows(2).all(|pair| pair[0].key < pair[1].key));
        }
    }

    #[test]
    fn no_transaction_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut network = alone();
        let outcome = network.height(&[bytes]);
        prop_assert_eq!(code(&outcome.receipts[0]), 1);
    }
}
