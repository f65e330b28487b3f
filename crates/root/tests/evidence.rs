//! Evidence that a node signed two different things: whom it punishes, whom it rewards, and all that
//! is refused.

mod network;
mod registered;
mod rounds;

use network::{FEE, Network, OTHER, RUNTIME, address, descriptor, failed, header, node, rules};
use registered::{FREE, ok, real};
use rounds::{owner, q, refused_as, registered, told_by};
use trilith_protocol::root::staking::{Slash, SlashReason};
use trilith_protocol::root::{
    Address, CommitmentEquivocation, EquivocationEvent, Evidence, ProposalEquivocation,
    RootTransaction, RoothashEvent, SUBMIT_EVIDENCE,
};
use trilith_protocol::{
    Batch, ExecutorCommitment, ExecutorCommitmentHeader, Failure, Input, Proposal, RootGenesis,
};
use trilith_root::registry;
use trilith_types::{Hash, NodeId, RuntimeId, TimeNanos};

const PENALTY: Slash = Slash {
    amount: trilith_protocol::root::Quantity::new(10_000),
    freeze_interval: 2,
};

fn punishing() -> RootGenesis {
    let mut document = registered(|runtime| {
        let rules = &mut runtime.staking;
        rules
            .slashing
            .insert(SlashReason::RuntimeEquivocation, PENALTY);
        rules.reward_equivocation = 40;
    });
    document.services.roothash.params.max_evidence_age = 3;
    document
}

fn crowd() -> Network {
    Network::new(&punishing())
}

/// A primary of an entity that is not entity 30.
fn culprit(network: &Network) -> NodeId {
    let workers = network.committee().workers;
    *workers.iter().find(|worker| owner(worker) != 30).unwrap()
}

/// Two votes of a node for the running round that differ.
fn two_votes(network: &Network, of: &NodeId) -> (ExecutorCommitment, ExecutorCommitment) {
    let votes = [b"one", b"two"].map(|state| network.vote(of, 0, state));
    let [first, second] = votes;
    (first, second)
}

fn evidence(network: &Network, of: &NodeId) -> Evidence {
    let (first, second) = two_votes(network, of);
    Evidence::of_commitments(RUNTIME, first, second)
}

fn proposal(network: &Network, of: &NodeId, input: u8) -> Proposal {
    let last = network.latest();
    let batch = Batch {
        time: TimeNanos(9),
        inputs: vec![Input::new(vec![input])],
    };
    let (key, round) = (network.key_of(of), last.round.next());
    Proposal::sign(&key, round, last.hash(), &batch, &RUNTIME, &network.chain)
}

fn two_proposals(network: &Network, of: &NodeId) -> Evidence {
    let [first, second] = [1, 2].map(|input| proposal(network, of, input));
    Evidence::of_proposals(RUNTIME, &first, &second)
}

#[test]
fn two_commitments_cost_the_node_its_stake_and_reward_who_shows_them() {
    let mut network = crowd();
    let supply = network.supply();
    let of = culprit(&network);
    let guilty = owner(&of);
    let body = evidence(&network, &of).encode();
    // Node 46 is of entity 30, which gets what the runtime does not.
    let receipt = network.send(46, SUBMIT_EVIDENCE, body);
    ok(&receipt);
    let event = EquivocationEvent {
        runtime_id: RUNTIME,
        round: network.latest().round.0 + 1,
        node_id: of,
    };
    assert_eq!(told_by(&receipt), [RoothashEvent::Equivocation(event)]);
    assert_eq!(network.stake(guilty), 90_000);
    assert_eq!(network.stake(30), 106_000);
    let of_runtime = network.account(&Address::of_runtime(&RUNTIME));
    assert_eq!(of_runtime.general.balance, q(4_000));
    let status = registry::node_status(&network.view, &of).unwrap().unwrap();
    assert_eq!(status.freeze_end_time, 2);
    assert_eq!(network.supply(), supply);
    network.sound();
    // It is gone from the next committee: seven are needed, six are left.
    network.next_epoch();
    assert_eq!(
        trilith_root::state::committee(&network.view, &RUNTIME),
        Ok(None)
    );
    network.sound();
}

#[test]
fn two_proposals_are_an_equivocation_too_and_anyone_may_show_them() {
    let mut network = crowd();
    let of = culprit(&network);
    let body = two_proposals(&network, &of).encode();
    // Somebody who is no node is rewarded himself.
    ok(&network.send(99, SUBMIT_EVIDENCE, body));
    assert_eq!(network.stake(owner(&of)), 90_000);
    let rewarded = network.account(&address(99)).escrow.active.balance;
    assert_eq!(rewarded, q(6_000));
    network.sound();
    // For this round the node is punished, whatever else it signed.
    let body = evidence(&network, &of).encode();
    refused_as(&network.send(99, SUBMIT_EVIDENCE, body), "root", 24);
    // For the next round it can be punished again.
    network.round();
    let body = evidence(&network, &of).encode();
    ok(&network.send(99, SUBMIT_EVIDENCE, body));
    assert_eq!(network.stake(owner(&of)), 80_000);
    network.sound();
}

fn with_failure(header: ExecutorCommitmentHeader, failure: Failure) -> ExecutorCommitmentHeader {
    ExecutorCommitmentHeader {
        failure: Some(failure),
        ..failed(header)
    }
}

/// What is and what is not an equivocation of commitments.
#[test]
fn what_differs_decides() {
    let network = crowd();
    let workers = network.committee().workers;
    let first = network.scheduler(0);
    let of = *workers.iter().find(|worker| **worker != first).unwrap();
    let outcome = |rank, state: &[u8]| header(network.scheduler(rank), network.results(state));
    let with_incoming = |count| {
        let mut header = outcome(0, b"one");
        header.header.in_msgs_count = count;
        header
    };
    let unknown = with_failure(outcome(0, b"one"), Failure::Unknown);
    let unavailable = with_failure(outcome(0, b"one"), Failure::StateUnavailable);
    let mut elsewhere = unknown.clone();
    elsewhere.header.previous_hash = Hash::of(b"another block");
    let mut forked = outcome(0, b"one");
    forked.header.previous_hash = Hash::of(b"another block");
    let cases = [
        ("two outcomes", outcome(0, b"one"), outcome(0, b"two"), None),
        ("on two blocks", outcome(0, b"one"), forked, None),
        (
            "of other messages",
            with_incoming(0),
            with_incoming(1),
            None,
        ),
        (
            "an outcome and a failure",
            outcome(0, b"one"),
            unknown.clone(),
            None,
        ),
        ("two kinds of failure", unknown.clone(), unavailable, None),
        (
            "one failure twice",
            unknown.clone(),
            unknown.clone(),
            Some(22),
        ),
        ("one failure on two blocks", unknown, elsewhere, Some(22)),
        (
            "one outcome twice",
            outcome(0, b"one"),
            outcome(0, b"one"),
            Some(22),
        ),
        (
            "two schedulers",
            outcome(0, b"one"),
            outcome(1, b"two"),
            Some(22),
        ),
    ];
    for (name, one, other, expected) in cases {
        let mut network = crowd();
        let [one, other] = [one, other].map(|header| network.sign(&of, header));
        let body = Evidence::of_commitments(RUNTIME, one, other).encode();
        let receipt = network.send(46, SUBMIT_EVIDENCE, body);
        let found = network::rejection(&receipt);
        assert_eq!(found, expected.map(|code| ("root", code)), "{name}");
    }
}

/// Evidence against `of` that is wrong in one way each, with the number of the refusal.
fn wrong(network: &Network, of: &NodeId) -> Vec<(&'static str, u32, Evidence)> {
    let (first, second) = two_votes(network, of);
    let pair = |first: &ExecutorCommitment, second: &ExecutorCommitment| Evidence {
        id: RUNTIME,
        commitments: Some(CommitmentEquivocation {
            first: first.clone(),
            second: second.clone(),
        }),
        proposals: None,
    };
    let changed = |change: &dyn Fn(&mut ExecutorCommitment)| {
        let mut second = second.clone();
        change(&mut second);
        pair(&first, &second)
    };
    let another = network.committee().workers;
    let another = another.into_iter().find(|worker| worker != of).unwrap();
    let good = pair(&first, &second);
    let proposals = two_proposals(network, of);
    let both = Evidence {
        proposals: proposals.proposals.clone(),
        ..good.clone()
    };
    let none = Evidence {
        commitments: None,
        ..good.clone()
    };
    let proposals_of = |change: &dyn Fn(&mut ProposalEquivocation)| {
        let mut pair = proposals.proposals.clone().unwrap();
        change(&mut pair);
        Evidence {
            proposals: Some(pair),
            ..none.clone()
        }
    };
    let stranger = network::key(99);
    let [one, two] = [&first, &second].map(|commitment| {
        let header = commitment.header.clone();
        ExecutorCommitment::sign(&stranger, header, Vec::new(), &RUNTIME, &network.chain)
    });
    let [here, there] = [&first, &second].map(|commitment| {
        let key = network.key_of(of);
        let header = commitment.header.clone();
        ExecutorCommitment::sign(
            &key,
            header,
            Vec::new(),
            &RUNTIME,
            &Hash::of(b"other chain"),
        )
    });
    let mut of_other = good.clone();
    of_other.id = OTHER;
    let mut unknown = good.clone();
    unknown.id = real(77);
    vec![
        ("no pair", 22, none.clone()),
        ("two pairs", 22, both),
        ("one statement", 22, pair(&first, &first)),
        ("two nodes", 22, changed(&|c| c.node_id = another)),
        ("two rounds", 22, changed(&|c| c.header.header.round.0 += 1)),
        (
            "with messages",
            22,
            changed(&|c| c.messages = vec![vec![1]]),
        ),
        (
            "not well-formed",
            22,
            changed(&|c| c.header.header.io_root = None),
        ),
        (
            "an enclave",
            22,
            changed(&|c| c.header.rak_signature = Some(c.signature)),
        ),
        ("forged", 22, changed(&|c| c.signature = first.signature)),
        (
            "changed",
            22,
            changed(&|c| c.header.header.state_root = Some(Hash::EMPTY)),
        ),
        ("of another network", 22, pair(&here, &there)),
        (
            "proposed once",
            22,
            proposals_of(&|pair| pair.second = pair.first.clone()),
        ),
        (
            "proposals of two",
            22,
            proposals_of(&|pair| pair.second.node_id = another),
        ),
        (
            "proposals for two rounds",
            22,
            proposals_of(&|pair| pair.second.header.round.0 += 1),
        ),
        (
            "a forged proposal",
            22,
            proposals_of(&|pair| pair.second.signature = pair.first.signature),
        ),
        ("of a stranger", 26, pair(&one, &two)),
        ("of a runtime that does not punish", 25, of_other),
        ("of no runtime", 2, unknown),
    ]
}

/// The services' entries but the submitter's own account.
fn entries(network: &Network, submitter: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
    let account = [b"Sa".as_slice(), address(submitter).as_bytes()].concat();
    let fees = [b"Sf", b"Sc"];
    let kept = network.view.entries.iter().filter(|(key, _)| {
        let of_service = [b"S", b"R", b"H"]
            .iter()
            .any(|prefix| key.starts_with(*prefix));
        let fee = fees.iter().any(|total| key.as_slice() == *total);
        of_service && !fee && **key != account
    });
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[test]
fn wrong_evidence_is_refused_without_effect_and_paid_for() {
    let mut document = punishing();
    // A runtime of the plain list has no rules of slashing.
    document.runtimes = vec![descriptor(OTHER, rules(1, 0, 0))];
    document.nodes.clear();
    for number in [81, 82] {
        document.nodes.push(trilith_protocol::root::GenesisNode {
            id: node(number),
            roles: trilith_protocol::root::NodeRoles::COMPUTE,
        });
    }
    document.nodes.sort_by_key(|node| node.id);
    let mut network = Network::new(&document);
    let of = culprit(&network);
    for (name, code, evidence) in wrong(&network, &of) {
        let before = entries(&network, 30);
        let balance = network.account(&address(30)).general.balance;
        let transaction = network.signed(30, SUBMIT_EVIDENCE, evidence.encode(), Some(FEE));
        let receipt = network.agreed(&[transaction]).receipts.remove(0);
        let found = network::rejection(&receipt);
        assert_eq!(found, Some(("root", code)), "{name}: {:?}", receipt.status);
        assert_eq!(entries(&network, 30), before, "{name}");
        let after = network.account(&address(30)).general.balance;
        assert_eq!(after.plus(FEE.amount), Some(balance), "{name}");
    }
    refused_as(&network.send(30, SUBMIT_EVIDENCE, vec![0x01]), "root", 1);
    // Too little gas for the operation.
    let body = evidence(&network, &of).encode();
    let poor = trilith_protocol::root::Fee {
        gas: body.len() as u64 + 1_000,
        ..FEE
    };
    let transaction = network.signed(30, SUBMIT_EVIDENCE, body, Some(poor));
    let receipt = network.agreed(&[transaction]).receipts.remove(0);
    refused_as(&receipt, "consensus/transaction", 103);
    // After all that the evidence is still as good as it was.
    let body = evidence(&network, &of).encode();
    ok(&network.send(30, SUBMIT_EVIDENCE, body));
    network.sound();
}

#[test]
fn evidence_is_heard_for_some_rounds_and_then_forgotten() {
    let mut network = crowd();
    let of = culprit(&network);
    let at_once = evidence(&network, &of).encode();
    let later = two_proposals(&network, &of).encode();
    ok(&network.send(46, SUBMIT_EVIDENCE, at_once.clone()));
    // The statements are for the round after the newest. It may be three rounds old.
    for _ in 0..4 {
        network.round();
    }
    refused_as(
        &network.send(46, SUBMIT_EVIDENCE, later.clone()),
        "root",
        24,
    );
    network.round();
    for body in [at_once, later] {
        refused_as(&network.send(46, SUBMIT_EVIDENCE, body), "root", 23);
    }
    let kept = |network: &Network| {
        let entries = network.view.entries.keys();
        entries.filter(|key| key.starts_with(b"He")).count()
    };
    assert_eq!(kept(&network), 1);
    network.next_epoch();
    assert_eq!(kept(&network), 0);
    network.sound();
}

#[test]
fn a_runtime_that_does_not_punish_or_does_not_run_hears_none() {
    let mut network = Network::new(&registered(|_| ()));
    let of = culprit(&network);
    let body = evidence(&network, &of).encode();
    refused_as(&network.send(46, SUBMIT_EVIDENCE, body), "root", 25);
    // Suspended: too few nodes for a committee.
    let mut network = Network::new(&{
        let mut document = punishing();
        document.services.registry.runtimes[0]
            .executor
            .group_backup_size = 90;
        document
    });
    let id: RuntimeId = RUNTIME;
    let last = network.latest();
    let statement = |state: &[u8]| {
        let header = header(node(41), network::results(&last, state));
        let key = network::key(41);
        ExecutorCommitment::sign(&key, header, Vec::new(), &id, &network.chain)
    };
    let body = Evidence::of_commitments(id, statement(b"one"), statement(b"two")).encode();
    refused_as(&network.send(46, SUBMIT_EVIDENCE, body), "root", 3);
}

#[test]
fn a_transaction_of_another_network_is_nobodys() {
    let mut network = crowd();
    let of = culprit(&network);
    let body = evidence(&network, &of).encode();
    let chain = std::mem::replace(&mut network.chain, Hash::of(b"other chain"));
    let transaction = network.signed(46, SUBMIT_EVIDENCE, body, Some(FREE));
    network.chain = chain;
    let before = entries(&network, 0);
    let receipt = network.agreed(&[transaction]).receipts.remove(0);
    refused_as(&receipt, "consensus/transaction", 102);
    assert_eq!(entries(&network, 0), before);
}

#[test]
fn evidence_is_no_commitment() {
    let mut network = crowd();
    let of = culprit(&network);
    let bytes = evidence(&network, &of).encode();
    assert!(RootTransaction::decode(&bytes).is_err());
    let outcome = network.agreed(&[bytes]);
    refused_as(&outcome.receipts[0], "root", 1);
}
