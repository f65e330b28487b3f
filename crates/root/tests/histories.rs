//! What holds over long random histories of all transactions of all services.
//!
//! A history is a list of acts. Each service has a generator of its own below; a further service
//! adds one, and a line to `act`. After every height it is checked that the whole state is sound,
//! that stake is conserved, that whoever registered something has the stake for it, and that nobody
//! is elected who is not eligible. The same history runs on a root that remembers, on one that
//! forgets, and on one that is restarted every few heights; all three write the same. At the end
//! the state is exported, imported and exported again.

mod network;
mod registered;

use network::{Network, address, header, key, node, rejection, results, transaction};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use registered::{
    COMPUTE, FREE, OBSERVER, STORAGE, VALIDATOR, document, entity_of, node_of, real, runtime_of,
    signed_entity, signed_node,
};
use trilith_protocol::root::governance::{
    ActivateFeatures, CAST_VOTE, CancelUpgrade, ChangeParameters, ProposalContent, ProposalVote,
    ProtocolVersions, SUBMIT_PROPOSAL, StakingChanges, UPGRADE_VERSION, Upgrade, Vote,
};
use trilith_protocol::root::registry::{
    DEREGISTER_ENTITY, REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, UNFREEZE_NODE,
    UnfreezeNode,
};
use trilith_protocol::root::staking::{
    ADD_ESCROW, ALLOW, AMEND_COMMISSION_SCHEDULE, Allow, AmendCommissionSchedule, BURN, Burn,
    CommissionBoundStep, CommissionRateStep, CommissionSchedule, Escrow, RECLAIM_ESCROW,
    ReclaimEscrow, RewardStep, Slash, SlashReason, StakingEvent, TRANSFER, Transfer, WITHDRAW,
    Withdraw,
};
use trilith_protocol::root::{Address, FeatureId, Fee, Quantity, RawItem, Signed};
use trilith_protocol::{ExecutorCommitment, Outcome, RootEvent, RootGenesis, Runtime as _};
use trilith_root::{
    Root, check, check_genesis, export_genesis, genesis_write_log, registry, staking, state,
};
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId, StateRead as _};

const ENTITIES: [u8; 3] = [10, 20, 30];
/// Runtimes there may be.
const RUNTIMES: u8 = 3;

fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// What may happen in a height.
#[derive(Clone, Debug)]
enum Act {
    /// Somebody signs a transaction, for a fee and gas.
    Call(u8, &'static str, Vec<u8>, Fee),
    /// Executors commit to the running round of a runtime.
    Commit(u8, Votes),
    /// Nothing, for some heights.
    Idle(u64),
}

/// How executors vote.
#[derive(Clone, Copy, Debug)]
enum Votes {
    /// All of them, for one result.
    Agree,
    /// One primary for another result.
    OneLies,
    /// All but one primary.
    OneMissing,
    /// Only the backups, as after a dispute.
    Backups,
    /// Only a scheduler that it is not the turn of.
    WrongScheduler,
    /// The vote of somebody who is in no committee.
    Stranger,
}

fn entity() -> impl Strategy<Value = u8> {
    select(ENTITIES.to_vec())
}

/// An entity, a node of one, or somebody else.
fn anybody() -> impl Strategy<Value = u8> {
    prop_oneof![4 => entity(), 2 => (entity(), 1..5u8).prop_map(|(e, n)| e + n), 1 => Just(90u8)]
}

fn fee() -> impl Strategy<Value = Fee> {
    prop_oneof![
        3 => Just(FREE),
        2 => (0..2_000u128, 0..40_000u64).prop_map(|(amount, gas)| Fee { amount: q(amount), gas }),
    ]
}

/// The staking service.
fn staking_act() -> impl Strategy<Value = Act> {
    let amount = || prop_oneof![3 => 0..60_000u128, 1 => Just(u128::MAX), 1 => 0..2_000_000u128];
    let step = (0..12u64, 0..120_000u128);
    let body = prop_oneof![
        (anybody(), amount()).prop_map(|(to, amount)| {
            let body = Transfer {
                to: address(to),
                amount: q(amount),
            };
            (TRANSFER, body.encode())
        }),
        amount().prop_map(|amount| (BURN, Burn { amount: q(amount) }.encode())),
        (anybody(), amount()).prop_map(|(to, amount)| {
            let body = Escrow {
                account: address(to),
                amount: q(amount),
            };
            (ADD_ESCROW, body.encode())
        }),
        (anybody(), amount()).prop_map(|(from, shares)| {
            let body = ReclaimEscrow {
                account: address(from),
                shares: q(shares),
            };
            (RECLAIM_ESCROW, body.encode())
        }),
        (anybody(), any::<bool>(), amount()).prop_map(|(to, negative, amount)| {
            let beneficiary = address(to);
            let body = Allow {
                beneficiary,
                negative,
                amount_change: q(amount),
            };
            (ALLOW, body.encode())
        }),
        (anybody(), amount()).prop_map(|(from, amount)| {
            let body = Withdraw {
                from: address(from),
                amount: q(amount),
            };
            (WITHDRAW, body.encode())
        }),
        (step, 0..12u64).prop_map(|((start, rate), lead)| {
            let rates = vec![CommissionRateStep {
                start: Epoch(start),
                rate: q(rate),
            }];
            let (rate_min, rate_max) = (q(rate / 2), q(rate.saturating_mul(2)));
            let start = Epoch(lead);
            let bounds = vec![CommissionBoundStep {
                start,
                rate_min,
                rate_max,
            }];
            let amendment = CommissionSchedule { rates, bounds };
            (
                AMEND_COMMISSION_SCHEDULE,
                AmendCommissionSchedule { amendment }.encode(),
            )
        }),
    ];
    (anybody(), body, fee())
        .prop_map(|(who, (method, body), fee)| Act::Call(who, method, body, fee))
}

/// The registry: nodes 1 to 3 of an entity may be listed, 4 never is.
fn registry_act() -> impl Strategy<Value = Act> {
    let listed = proptest::collection::btree_set(1..4u8, 0..4);
    let runtimes = prop_oneof![
        4 => Just([1u8].into()),
        3 => Just([1u8, 2].into()),
        2 => proptest::collection::btree_set(1..=RUNTIMES, 0..3),
    ];
    let roles = prop_oneof![
        6 => Just(COMPUTE),
        1 => Just(VALIDATOR),
        1 => Just(STORAGE | COMPUTE),
        1 => Just(COMPUTE | OBSERVER | VALIDATOR),
    ];
    prop_oneof![
        2 => (entity(), listed, fee()).prop_map(|(e, listed, fee)| {
            let nodes: Vec<u8> = listed.into_iter().map(|n| e + n).collect();
            let signed = signed_entity(&entity_of(e, &nodes), e);
            Act::Call(e, REGISTER_ENTITY, signed.encode(), fee)
        }),
        1 => (entity(), fee()).prop_map(|(e, fee)| Act::Call(e, DEREGISTER_ENTITY, Vec::new(), fee)),
        16 => (entity(), 1..5u8, 0..14u64, roles, runtimes).prop_map(|(e, n, until, roles, ids)| {
            let ids: Vec<_> = ids.into_iter().map(real).collect();
            let signed = signed_node(&node_of(e, e + n, until, (roles, &ids)), e + n);
            Act::Call(e + n, REGISTER_NODE, signed.encode(), FREE)
        }),
        2 => (entity(), 1..=RUNTIMES, 0..6u64).prop_map(|(e, id, from)| {
            Act::Call(e, REGISTER_RUNTIME, runtime(e, id, from).encode(), FREE)
        }),
        1 => (entity(), 1..4u8).prop_map(|(e, n)| {
            let body = UnfreezeNode { node_id: node(e + n) };
            Act::Call(e, UNFREEZE_NODE, body.encode(), FREE)
        }),
    ]
}

/// Governance: parameters, upgrades, features, and votes on the first proposals.
fn governance_act() -> impl Strategy<Value = Act> {
    let content = prop_oneof![
        (0..50u128).prop_map(|least| {
            let changes = StakingChanges {
                min_transfer: Some(q(least)),
                debonding_interval: Some(1 + (least % 3) as u64),
                ..StakingChanges::default()
            };
            let changes = RawItem(changes.encode());
            let module = "staking".into();
            ProposalContent {
                change_parameters: Some(ChangeParameters { module, changes }),
                ..ProposalContent::default()
            }
        }),
        (0..6u8).prop_map(|id| {
            let ids = vec![FeatureId([id; 32])];
            ProposalContent {
                activate_features: Some(ActivateFeatures { ids }),
                ..ProposalContent::default()
            }
        }),
        (1..8u64).prop_map(|proposal_id| ProposalContent {
            cancel_upgrade: Some(CancelUpgrade { proposal_id }),
            ..ProposalContent::default()
        }),
        (0..30u64).prop_map(|epoch| {
            let version = registered::version(1);
            let upgrade = Upgrade {
                v: UPGRADE_VERSION,
                handler: "next".into(),
                target: ProtocolVersions {
                    consensus_protocol: version,
                    runtime_host_protocol: version,
                    runtime_committee_protocol: version,
                },
                epoch: Epoch(epoch),
            };
            ProposalContent {
                upgrade: Some(upgrade),
                ..ProposalContent::default()
            }
        }),
    ];
    let vote = prop_oneof![4 => Just(Vote::Yes), 1 => Just(Vote::No), 1 => Just(Vote::Abstain)];
    prop_oneof![
        1 => (anybody(), content).prop_map(|(who, content)| {
            Act::Call(who, SUBMIT_PROPOSAL, content.encode(), FREE)
        }),
        3 => (anybody(), 1..8u64, vote).prop_map(|(who, id, vote)| {
            Act::Call(who, CAST_VOTE, ProposalVote { id, vote }.encode(), FREE)
        }),
    ]
}

/// Rounds of runtimes.
fn roothash_act() -> impl Strategy<Value = Act> {
    let votes = prop_oneof![
        6 => Just(Votes::Agree),
        3 => Just(Votes::OneLies),
        2 => Just(Votes::OneMissing),
        3 => Just(Votes::Backups),
        1 => Just(Votes::WrongScheduler),
        1 => Just(Votes::Stranger),
    ];
    (1..=RUNTIMES, votes).prop_map(|(id, votes)| Act::Commit(id, votes))
}

/// A transaction of any service with a byte changed.
fn damaged_act() -> impl Strategy<Value = Act> {
    let act = prop_oneof![staking_act(), registry_act(), governance_act()];
    (act, any::<u8>(), any::<Index>()).prop_map(|(act, byte, at)| match act {
        Act::Call(who, method, mut body, fee) if !body.is_empty() => {
            let at = at.index(body.len());
            body[at] = byte;
            Act::Call(who, method, body, fee)
        }
        other => other,
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => staking_act(),
        8 => registry_act(),
        6 => roothash_act(),
        4 => governance_act(),
        1 => damaged_act(),
        5 => (1..12u64).prop_map(Act::Idle),
    ]
}

/// Runtime 2 has two primaries and three backups, and who lies there loses stake; others have one.
fn runtime(entity: u8, number: u8, from: u64) -> trilith_protocol::root::registry::Runtime {
    let mut runtime = runtime_of(entity, real(number), from);
    if number == 2 {
        runtime.executor.group_size = 2;
        runtime.executor.group_backup_size = 3;
        let penalty = Slash {
            amount: q(30_000),
            freeze_interval: 1,
        };
        let reason = SlashReason::RuntimeIncorrectResults;
        runtime.staking.slashing.insert(reason, penalty);
        runtime.staking.reward_bad_results = 50;
    }
    runtime
}

/// Three entities that list three nodes each, and two runtimes that run as soon as nodes do.
fn beginning() -> RootGenesis {
    let mut document = document();
    let registry = &mut document.services.registry;
    registry.params.max_node_expiration = 6;
    let mut entities: Vec<(PublicKey, Signed)> = ENTITIES
        .into_iter()
        .map(|e| {
            let entity = entity_of(e, &[e + 1, e + 2, e + 3]);
            (entity.id, signed_entity(&entity, e))
        })
        .collect();
    entities.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.runtimes = vec![runtime(10, 1, 0), runtime(20, 2, 0)];
    let params = &mut document.services.staking.params;
    params.reward_schedule = vec![RewardStep {
        until: Epoch(50),
        scale: q(10_000),
    }];
    params.commission_schedule_rules.rate_bound_lead = 2;
    let params = &mut document.services.governance.params;
    params.min_proposal_deposit = q(100);
    params.voting_period = 1;
    params.upgrade_min_epoch_diff = 3;
    params.upgrade_cancel_min_epoch_diff = 2;
    document
}

/// The commitments of an act, in a transaction; none if nobody may commit.
fn commitments(network: &Network, id: RuntimeId, votes: Votes) -> Option<Vec<u8>> {
    let committee = state::committee(&network.view, &id).unwrap()?;
    let last = state::latest_block(&network.view, &id).unwrap()?;
    let right = committee.scheduler(0, last.round.next()).unwrap();
    let scheduler = match votes {
        Votes::WrongScheduler => *committee.workers.last().unwrap(),
        _ => right,
    };
    let vote = |member: &PublicKey, state: &[u8]| {
        let header = header(scheduler, results(&last, state));
        let key = network.key_of(member);
        ExecutorCommitment::sign(&key, header, Vec::new(), &id, &network.chain)
    };
    let others = committee.workers.iter().filter(|member| **member != right);
    let others: Vec<_> = others.collect();
    let mut found = Vec::new();
    match votes {
        Votes::Agree => found.extend(committee.workers.iter().map(|of| vote(of, b"right"))),
        Votes::OneLies => {
            found.push(vote(&right, b"right"));
            found.extend(others.first().map(|of| vote(of, b"wrong")));
        }
        Votes::OneMissing => found.push(vote(&right, b"right")),
        Votes::Backups => found.extend(committee.backups.iter().map(|of| vote(of, b"right"))),
        Votes::WrongScheduler => found.push(vote(&scheduler, b"other")),
        Votes::Stranger => found.push(vote(&node(99), b"right")),
    }
    Some(transaction(id, &found))
}

/// The same history on three roots.
struct Replicas {
    remembering: Network,
    forgetful: Network,
    restarted: Network,
    heights: u64,
}

impl Replicas {
    fn new(document: &RootGenesis) -> Self {
        let mut forgetful = Network::new(document);
        forgetful.remember = false;
        Self {
            remembering: Network::new(document),
            forgetful,
            restarted: Network::new(document),
            heights: 0,
        }
    }

    /// One height. All write the same and answer the same.
    fn height(&mut self, inputs: &[Vec<u8>]) -> Result<Outcome, TestCaseError> {
        self.heights += 1;
        if self.heights.is_multiple_of(7) {
            self.restarted.root = Root::new();
        }
        // Who made the height before: some of the validators, and one that is not registered.
        let validators = [11, 21, 99].map(node).to_vec();
        let mut outcomes = Vec::new();
        for network in [
            &mut self.remembering,
            &mut self.forgetful,
            &mut self.restarted,
        ] {
            let mut context = network.context();
            context.committee.clone_from(&validators);
            let outcome = network.execute(inputs, &context).unwrap();
            network.view.apply(&outcome.write_log);
            if network.remember {
                network.root.sealed(network.view.root());
            }
            outcomes.push(outcome);
        }
        prop_assert_eq!(&outcomes[0].write_log, &outcomes[1].write_log);
        prop_assert_eq!(&outcomes[0].write_log, &outcomes[2].write_log);
        prop_assert_eq!(&outcomes[0].receipts, &outcomes[1].receipts);
        prop_assert_eq!(self.remembering.view.root(), self.restarted.view.root());
        Ok(outcomes.swap_remove(0))
    }

    /// One act, and what must hold after each of its heights.
    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        let (heights, input) = match act {
            Act::Idle(heights) => (*heights, None),
            Act::Commit(id, votes) => (1, commitments(&self.remembering, real(*id), *votes)),
            Act::Call(who, method, body, fee) => {
                let call = self
                    .remembering
                    .signed(*who, method, body.clone(), Some(*fee));
                (1, Some(call))
            }
        };
        for _ in 0..heights {
            let before = staking::total_supply(&self.remembering.view).unwrap();
            let inputs: Vec<_> = input.clone().into_iter().collect();
            let outcome = self.height(&inputs)?;
            let view = &self.remembering.view;
            prop_assert_eq!(check(view), Ok(()));
            let after = staking::total_supply(view).unwrap();
            prop_assert_eq!(before.minus(after), Some(burnt(&outcome)));
            elected_were_eligible(&self.remembering)?;
            if let (Act::Call(who, method, ..), [receipt]) = (act, &outcome.receipts[..])
                && rejection(receipt).is_none()
                && [REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME].contains(method)
            {
                prop_assert!(covered(&self.remembering, who - who % 10), "{method}");
            }
        }
        Ok(())
    }
}

/// What ceased to exist in a height.
fn burnt(outcome: &Outcome) -> Quantity {
    let mut sum = q(0);
    for receipt in &outcome.receipts {
        for event in RootEvent::decode_list(&receipt.output, 1_000).unwrap() {
            if let RootEvent::Staking(StakingEvent::Burn(event)) = event {
                sum = sum.plus(event.amount).unwrap();
            }
        }
    }
    sum
}

/// Whether an entity's active stake covers all claims on it.
fn covered(network: &Network, entity: u8) -> bool {
    let account = network.account(&address(entity));
    let params = staking::parameters(&network.view).unwrap();
    let thresholds = account.escrow.stake_accumulator.claims.values().flatten();
    let needed = thresholds.map(|threshold| match (threshold.global, threshold.constant) {
        (Some(kind), _) => params.thresholds.get(&kind).copied().unwrap_or_default(),
        (None, constant) => constant.unwrap_or_default(),
    });
    let needed: u128 = needed.map(Quantity::units).sum();
    needed <= account.escrow.active.balance.units()
}

/// At the first height of an epoch, every member of a committee is a registered compute node with
/// the active version, has waited, is not frozen, and its entity's stake covers all claims.
fn elected_were_eligible(network: &Network) -> Result<(), TestCaseError> {
    let record = state::epoch(&network.view).unwrap();
    if record.since != state::tip(&network.view).unwrap().height || record.since.0 == 0 {
        return Ok(());
    }
    for id in (1..=RUNTIMES).map(real) {
        let Some(committee) = state::committee(&network.view, &id).unwrap() else {
            continue;
        };
        let runtime = registry::runtime(&network.view, &id).unwrap();
        prop_assert!(runtime.is_some(), "a committee of one that does not run");
        let runtime = runtime.unwrap();
        let active = runtime.active_deployment(record.epoch).unwrap();
        for member in committee.workers.iter().chain(&committee.backups) {
            let found = registry::node(&network.view, member).unwrap().unwrap();
            let status = registry::node_status(&network.view, member).unwrap();
            let status = status.unwrap();
            prop_assert!(!found.is_expired(record.epoch));
            prop_assert!(found.roles & COMPUTE != 0);
            prop_assert_eq!(status.freeze_end_time, 0);
            prop_assert!(status.election_eligible_after < record.epoch.0);
            let mut versions = found.runtimes().iter();
            prop_assert!(versions.any(|of| of.id == id && of.version == active.version));
            let owner = ENTITIES.into_iter().find(|e| node(*e) == found.entity_id);
            prop_assert!(covered(network, owner.unwrap()), "elected without stake");
        }
    }
    Ok(())
}

/// Exports, imports and exports again; the new network goes on, and stays sound.
fn goes_on_elsewhere(network: &Network, began: &RootGenesis) -> Result<(), TestCaseError> {
    let exported = export_genesis(&network.view, began).unwrap();
    prop_assert_eq!(check_genesis(&exported), Ok(()));
    prop_assert_eq!(
        RootGenesis::decode(&exported.encode()),
        Ok(exported.clone())
    );
    prop_assert!(genesis_write_log(&exported).is_ok());
    let mut next = Network::new(&exported);
    let again = export_genesis(&next.view, &exported).unwrap();
    prop_assert_eq!(&again, &exported);
    for id in (1..=RUNTIMES).map(real) {
        let standing = |view: &network::MapView| {
            let block = state::latest_block(view, &id).unwrap();
            block.map(|block| (block.round, block.state_root))
        };
        prop_assert_eq!(standing(&network.view), standing(&next.view));
    }
    prop_assert_eq!(
        root_of_services(&network.view),
        root_of_services(&next.view)
    );
    let epoch = next.epoch();
    prop_assert_eq!(epoch, network.epoch());
    next.next_epoch();
    prop_assert_eq!(next.epoch(), epoch + 1);
    prop_assert_eq!(check(&next.view), Ok(()));
    elected_were_eligible(&next)
}

/// The root over what staking, registry and governance keep.
fn root_of_services(view: &network::MapView) -> Hash {
    let entries = view.entries.iter();
    let entries = entries.filter(|(key, _)| matches!(key[0], b'S' | b'R' | b'G'));
    trilith_mkvs::root_of(entries.map(|(key, value)| (key.clone(), value.clone()))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn all_invariants_hold_over_random_histories(
        acts in proptest::collection::vec(act(), 1..160),
    ) {
        let document = beginning();
        let mut replicas = Replicas::new(&document);
        for (place, act) in acts.iter().enumerate() {
            replicas.act(act)?;
            if place % 50 == 49 {
                goes_on_elsewhere(&replicas.remembering, &document)?;
            }
        }
        goes_on_elsewhere(&replicas.remembering, &document)?;
    }
}

/// So that the property above is about something: a history of its acts in which runtimes elect,
/// finalise, dispute and are suspended, and stake is slashed, burnt and paid out.
#[test]
fn histories_come_to_everything() {
    let document = beginning();
    let mut replicas = Replicas::new(&document);
    let mut run = |act: Act| replicas.act(&act).unwrap();
    let register = |e: u8, n: u8, until: u64| {
        let descriptor = node_of(e, e + n, until, (COMPUTE, &[real(1), real(2)]));
        let signed = signed_node(&descriptor, e + n);
        Act::Call(e + n, REGISTER_NODE, signed.encode(), FREE)
    };
    let nodes = [(10, 1), (10, 2), (20, 1), (20, 2), (30, 1), (30, 2)];
    // Nobody may be elected at the first epoch, so that the runtimes are suspended, and run again
    // when nodes register once more.
    for until in [6, 7] {
        for (e, n) in nodes {
            run(register(e, n, until));
        }
        run(Act::Idle(4));
    }
    for _ in 0..3 {
        run(Act::Commit(1, Votes::Agree));
    }
    run(Act::Commit(2, Votes::Agree));
    run(Act::Commit(2, Votes::OneLies));
    run(Act::Commit(2, Votes::Backups));
    let body = Burn { amount: q(500) };
    run(Act::Call(10, BURN, body.encode(), FREE));
    let account = address(20);
    let shares = q(10_000);
    let body = ReclaimEscrow { account, shares };
    run(Act::Call(20, RECLAIM_ESCROW, body.encode(), FREE));
    let network = &replicas.remembering;
    let round = |number| {
        let block = state::latest_block(&network.view, &real(number)).unwrap();
        block.unwrap().round.0
    };
    assert!(round(1) >= 5 + 3, "{}", round(1));
    assert!(round(2) >= 5 + 2, "{}", round(2));
    let of_runtime = network.account(&Address::of_runtime(&real(2)));
    assert_eq!(of_runtime.general.balance, q(15_000), "half of a slash");
    assert_eq!(staking::total_supply(&network.view), Ok(q(4_300_000 - 500)));
    goes_on_elsewhere(network, &document).unwrap();
    let mut run = |act: Act| replicas.act(&act).unwrap();
    run(Act::Idle(70));
    let network = &replicas.remembering;
    assert_eq!(state::committee(&network.view, &real(1)), Ok(None));
    assert!(
        registry::suspended_runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    goes_on_elsewhere(network, &document).unwrap();
    // Two networks of two documents do not take each other's transactions.
    let exported = export_genesis(&network.view, &document).unwrap();
    assert_ne!(exported.chain_context(), document.chain_context());
    assert!(key(1).public() != key(2).public());
}
