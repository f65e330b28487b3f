//! Elections: who may be elected and who is not, constraints, the order of lots, storage nodes,
//! validators, and what a genesis document must be.

mod elected;
mod network;
mod registered;

use std::collections::BTreeSet;

use elected::{Row, by_hash, drawn, elections, registered, row, set};
use network::{Network, RUNTIME, address, descriptor, genesis, node, rules};
use proptest::prelude::*;
use registered::{COMPUTE, OBSERVER, STORAGE, VALIDATOR, real, runtime_of};
use trilith_protocol::root::registry::{
    Fault, Limit, Marker, NodeStatus, Runtime, SchedulingConstraints, TEE_SGX,
};
use trilith_protocol::root::scheduler::{
    ElectionParameters, POWER_SQRT, SchedulerEvent, Validator,
};
use trilith_protocol::root::staking::RewardStep;
use trilith_protocol::root::{BackupRule, Blob, GenesisError, NodeRoles, Quantity};
use trilith_protocol::{Committee, HeaderType, Reject, RootEvent, RootGenesis};
use trilith_root::{beacon, export, genesis_write_log, registry, scheduler, state};
use trilith_types::hash::sha3_256;
use trilith_types::{Epoch, NodeId, RuntimeId};

const WORKER: &[u8] = b"EkS-ABCI-ComputeWorker";
const BACKUP: &[u8] = b"EkS-ABCI-ComputeBackup-Worker";
const KEEPER: &[u8] = b"EkS-ABCI-StorageWorker";

/// A runtime of so many primaries by Oasis Core's rule for backups.
fn shared(id: RuntimeId, workers: u16, backups: u16) -> Runtime {
    let mut runtime = runtime_of(10, id, 0);
    runtime.executor.group_size = workers;
    runtime.executor.group_backup_size = backups;
    runtime.executor.backup_rule = 1;
    runtime
}

fn constrained(mut runtime: Runtime, of_workers: SchedulingConstraints) -> Runtime {
    runtime.constraints = [(1, [(1, of_workers)].into())].into();
    runtime
}

fn pool_of(limit: u16) -> SchedulingConstraints {
    SchedulingConstraints {
        min_pool_size: Some(Limit { limit }),
        ..SchedulingConstraints::default()
    }
}

fn nodes_of_entity(limit: u16) -> SchedulingConstraints {
    SchedulingConstraints {
        max_nodes: Some(Limit { limit }),
        ..SchedulingConstraints::default()
    }
}

fn of_validators() -> SchedulingConstraints {
    SchedulingConstraints {
        validator_set: Some(Marker),
        ..SchedulingConstraints::default()
    }
}

fn suspended_until(epoch: u64) -> NodeStatus {
    let fault = Fault {
        failures: 1,
        suspended_until: epoch,
    };
    NodeStatus {
        faults: [(real(1), fault)].into(),
        ..NodeStatus::default()
    }
}

fn with_status(mut row: Row, status: NodeStatus) -> Row {
    row.status = status;
    row
}

/// One case: what it shows, the nodes, the runtime, and whether a committee is elected.
type Case = (&'static str, Vec<Row>, Runtime, bool);

fn compute(entity: u8, number: u8, id: RuntimeId) -> Row {
    row(entity, number, COMPUTE, &[id])
}

fn validator(entity: u8, number: u8) -> Row {
    row(entity, number, VALIDATOR, &[])
}

/// Two nodes of one entity for the runtime, and a validator.
fn pair() -> Vec<Row> {
    vec![
        compute(10, 41, real(1)),
        validator(10, 42),
        compute(10, 43, real(1)),
    ]
}

/// A runtime of two.
fn two() -> Runtime {
    shared(real(1), 2, 0)
}

fn by_size() -> Vec<Case> {
    let one = || shared(real(1), 1, 0);
    let mut mixed = pair();
    mixed[2].runtimes = vec![real(2)];
    let stray = vec![compute(10, 41, real(2))];
    vec![
        ("nobody is there", vec![], one(), false),
        ("one node without constraints", mixed.clone(), one(), true),
        ("the only node is for another runtime", stray, one(), false),
        ("not enough for the runtime", mixed, two(), false),
        ("enough for the runtime", pair(), two(), true),
    ]
}

fn by_constraints() -> Vec<Case> {
    let (one, with) = (real(1), |rules| constrained(two(), rules));
    let mut strangers = pair();
    (strangers[0].entity, strangers[2].entity) = (20, 30);
    let insiders = vec![
        compute(10, 41, one),
        validator(10, 42),
        compute(20, 43, one),
        validator(20, 44),
    ];
    let (enough, few) = (with(pool_of(2)), with(pool_of(3)));
    let (both, single) = (with(nodes_of_entity(2)), with(nodes_of_entity(1)));
    let trusted = || with(of_validators());
    vec![
        ("a pool large enough", pair(), enough, true),
        ("a pool too small", pair(), few, false),
        ("entities without validators", strangers, trusted(), false),
        ("entities with validators", insiders, trusted(), true),
        ("too many nodes of an entity", pair(), single, false),
        ("not too many nodes of an entity", pair(), both, true),
    ]
}

fn by_state() -> Vec<Case> {
    let pair_with = |status: NodeStatus| {
        let mut rows = pair();
        rows[0] = with_status(rows[0].clone(), status);
        rows
    };
    let frozen = pair_with(NodeStatus {
        freeze_end_time: 10,
        ..NodeStatus::default()
    });
    let (suspended, live) = (pair_with(suspended_until(2)), pair_with(suspended_until(1)));
    let mut outdated = pair();
    outdated[0].version = 2;
    vec![
        ("a frozen node", frozen, two(), false),
        ("a suspended node", suspended, two(), false),
        ("a node that is no longer suspended", live, two(), true),
        ("a node of another version", outdated, two(), false),
    ]
}

/// Cases that Oasis Core's table does not have.
fn by_our_own_rules() -> Vec<Case> {
    let mut waiting = pair();
    waiting[0].status.election_eligible_after = 1;
    let mut others = pair();
    others[2].roles = OBSERVER | STORAGE;
    let mut enclosed = pair();
    for row in &mut enclosed {
        row.enclave = true;
    }
    let mut in_enclaves = two();
    in_enclaves.tee_hardware = TEE_SGX;
    let constraints = b"\xa2\x61v\x01\x68enclaves\x81\xa0";
    in_enclaves.deployments[0].tee = Blob(constraints.to_vec());
    let outside = in_enclaves.clone();
    vec![
        ("a node that waits", waiting, two(), false),
        ("a node of another role", others, two(), false),
        (
            "enclaves for a runtime in none",
            enclosed.clone(),
            two(),
            false,
        ),
        ("a runtime in enclaves", enclosed, in_enclaves, false),
        (
            "a runtime in enclaves, nodes in none",
            pair(),
            outside,
            false,
        ),
    ]
}

/// The first three lists are the cases of Oasis Core's `apps/scheduler/scheduler_test.go`
/// (`TestElectCommittee`).
#[test]
fn committees_are_elected_where_oasis_core_elects_them() {
    let cases = [by_size(), by_constraints(), by_state(), by_our_own_rules()];
    for (name, rows, runtime, expected) in cases.into_iter().flatten() {
        let mut document = registered(&rows, vec![runtime, shared(real(2), 1, 0)]);
        if rows.iter().any(|row| row.roles & VALIDATOR != 0) {
            document.services.scheduler = Some(elections(1, 10, 1));
        }
        let mut network = Network::new(&document);
        network.agreed_epoch();
        let committee = state::committee(&network.view, &real(1)).unwrap();
        assert_eq!(committee.is_some(), expected, "{name}");
        network.sound();
    }
}

#[test]
fn lots_are_drawn_as_oasis_core_draws_them() {
    let numbers = 41..=52;
    let rows: Vec<Row> = numbers
        .clone()
        .map(|number| row(10 * (1 + number % 3), number, COMPUTE, &[real(1)]))
        .collect();
    let mut network = Network::new(&registered(&rows, vec![shared(real(1), 3, 4)]));
    for epoch in [1u64, 2] {
        network.agreed_epoch();
        let randomness = state::tip(&network.view).unwrap().randomness;
        let entropy = sha3_256(&[b"EkB-tmnt", &randomness, &epoch.to_le_bytes()]);
        let candidates = by_hash(numbers.clone());
        let committee = state::committee(&network.view, &real(1)).unwrap().unwrap();
        let workers = drawn(&entropy, &real(1), WORKER, &candidates);
        let backups = drawn(&entropy, &real(1), BACKUP, &candidates);
        assert_eq!(committee.workers, workers[..3]);
        assert_eq!(committee.backups, backups[..4]);
        let record = beacon::record(&network.view).unwrap();
        assert_eq!(
            (record.epoch, record.entropy.0),
            (Epoch(epoch), entropy.to_vec())
        );
    }
}

#[test]
fn separate_backups_are_drawn_from_the_rest() {
    let numbers = 41..=47;
    let rows: Vec<Row> = numbers
        .clone()
        .map(|number| row(10, number, COMPUTE, &[real(1)]))
        .collect();
    let mut runtime = shared(real(1), 3, 4);
    runtime.executor.backup_rule = BackupRule::Separate as u8;
    let mut network = Network::new(&registered(&rows, vec![runtime]));
    network.agreed_epoch();
    let committee = state::committee(&network.view, &real(1)).unwrap().unwrap();
    let entropy = beacon::record(&network.view).unwrap().entropy.0;
    let mut candidates = by_hash(numbers);
    candidates.retain(|id| !committee.workers.contains(id));
    let backups = drawn(&entropy, &real(1), BACKUP, &candidates);
    assert_eq!(committee.backups, backups);
    assert!(set(&committee.workers).is_disjoint(&set(&committee.backups)));
}

#[test]
fn storage_nodes_are_elected_where_receipts_are_asked_for() {
    let keepers = 51..=55;
    let mut rows = vec![row(10, 41, COMPUTE, &[real(1)])];
    rows.extend(
        keepers
            .clone()
            .map(|number| row(20, number, STORAGE, &[real(1)])),
    );
    // Of another runtime: not elected.
    rows.push(row(20, 56, STORAGE, &[real(2)]));
    let elect = |group: u16, least: u32| {
        let mut runtime = shared(real(1), 1, 0);
        runtime.storage.group_size = group;
        runtime.storage.min_write_replication = least;
        let document = registered(&rows, vec![runtime, shared(real(2), 1, 0)]);
        let mut network = Network::new(&document);
        network.agreed_epoch();
        let entropy = beacon::record(&network.view).unwrap().entropy.0;
        let candidates = by_hash(keepers.clone());
        let order = drawn(&entropy, &real(1), KEEPER, &candidates);
        let committee = state::committee(&network.view, &real(1)).unwrap();
        (committee.map(|committee| committee.storage), order)
    };
    assert_eq!(elect(0, 0).0, Some(vec![]), "nobody asks for receipts");
    let (elected, order) = elect(3, 2);
    assert_eq!(elected.as_deref(), Some(&order[..3]));
    // Without a size all are elected, in the order of lots.
    let (elected, order) = elect(0, 2);
    assert_eq!(elected, Some(order));
    assert_eq!(elect(6, 2).0, None, "there are five");
    assert_eq!(elect(0, 6).0, None, "six must sign");
}

#[test]
fn storage_nodes_of_the_plain_list_are_elected() {
    let mut asking = descriptor(RUNTIME, rules(1, 0, 0));
    (asking.storage_receipts_min, asking.storage_group_size) = (1, 1);
    let network = Network::new(&genesis(3, vec![asking]));
    let [keeper] = network.committee().storage[..] else {
        panic!("one storage node is elected: {:?}", network.committee());
    };
    assert!(keeper == node(101) || keeper == node(102));
    let mut asking = descriptor(RUNTIME, rules(1, 0, 0));
    (asking.storage_receipts_min, asking.storage_group_size) = (3, 3);
    let network = Network::new(&genesis(3, vec![asking]));
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
}

fn stake(document: &mut RootGenesis, entity: u8, units: u128) {
    let staking = &mut document.services.staking;
    let account = staking.ledger.get_mut(&address(entity)).unwrap();
    let pool = &mut account.escrow.active;
    let before = pool.balance.units();
    pool.balance = Quantity::new(units);
    let total = staking.total_supply.units() - before + units;
    staking.total_supply = Quantity::new(total);
}

/// Entity 10 has two nodes, 20 and 30 have one; they have 200, 100 and 150 thousand.
fn validating(parameters: ElectionParameters) -> RootGenesis {
    let rows = [(10, 41), (10, 42), (20, 43), (30, 44)]
        .map(|(entity, number)| row(entity, number, VALIDATOR, &[]));
    let mut document = registered(&rows, vec![]);
    stake(&mut document, 10, 200_000);
    stake(&mut document, 30, 150_000);
    document.services.scheduler = Some(parameters);
    document
}

fn powers(network: &Network) -> Vec<(NodeId, u64)> {
    let validators = network.validators().validators;
    assert!(
        validators
            .windows(2)
            .all(|pair| pair[0].consensus_id < pair[1].consensus_id)
    );
    let mut powers: Vec<(NodeId, u64)> = validators
        .iter()
        .map(|validator| (validator.entity_id, validator.voting_power))
        .collect();
    powers.sort_unstable();
    powers
}

fn sorted(mut powers: Vec<(NodeId, u64)>) -> Vec<(NodeId, u64)> {
    powers.sort_unstable();
    powers
}

#[test]
fn validators_are_elected_by_stake() {
    let network = Network::new(&validating(elections(1, 10, 1)));
    let expected = vec![(node(10), 12_500), (node(20), 6_250), (node(30), 9_375)];
    assert_eq!(powers(&network), sorted(expected));
    // The richest two.
    let network = Network::new(&validating(elections(1, 2, 1)));
    let expected = vec![(node(10), 12_500), (node(30), 9_375)];
    assert_eq!(powers(&network), sorted(expected));
    // Both nodes of the richest come first.
    let network = Network::new(&validating(elections(1, 3, 2)));
    let expected = vec![(node(10), 12_500), (node(10), 12_500), (node(30), 9_375)];
    assert_eq!(powers(&network), sorted(expected));
    let parameters = ElectionParameters {
        voting_power_distribution: POWER_SQRT,
        ..elections(1, 1, 1)
    };
    let network = Network::new(&validating(parameters));
    assert_eq!(powers(&network), [(node(10), 447)]);
    let event = SchedulerEvent::ValidatorsElected(
        trilith_protocol::root::scheduler::ValidatorsElectedEvent {
            epoch: Epoch(0),
            count: 1,
        },
    );
    assert!(network.events().contains(&RootEvent::Scheduler(event)));
    let [elected] = network.validators().validators[..] else {
        panic!("there is one validator");
    };
    let Validator { id, .. } = elected;
    let found = registry::node(&network.view, &id).unwrap().unwrap();
    assert_eq!(elected.consensus_id, found.consensus.id);
}

#[test]
fn a_network_without_elections_has_no_validators() {
    let mut document = validating(elections(1, 10, 1));
    document.services.scheduler = None;
    let mut network = Network::new(&document);
    network.agreed_epoch();
    assert_eq!(network.validators().validators, []);
    assert_eq!(scheduler::parameters(&network.view), Ok(None));
}

#[test]
fn validators_stay_where_too_few_could_follow() {
    let mut network = Network::new(&validating(elections(3, 10, 1)));
    let before = network.validators();
    assert_eq!(before.validators.len(), 3);
    network.agreed_epoch();
    let elected = network.validators();
    assert_eq!((elected.epoch, elected.validators.len()), (Epoch(1), 3));
    // Entity 30 takes its stake back: its claims are not covered any more.
    let reclaim = trilith_protocol::root::staking::ReclaimEscrow {
        account: address(30),
        shares: Quantity::new(99_999),
    };
    let method = trilith_protocol::root::staking::RECLAIM_ESCROW;
    registered::ok(&network.call(30, method, reclaim.encode()));
    network.agreed_epoch();
    assert_eq!(network.validators().validators, elected.validators);
    let stays = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Scheduler(SchedulerEvent::ValidatorsStay(event))
            if event.found == 2 && event.min == 3)
    });
    assert!(stays);
}

fn refused(document: &RootGenesis) -> Reject {
    match genesis_write_log(document) {
        Err(GenesisError::Service(reject)) => reject,
        other => panic!("a service refuses the document: {other:?}"),
    }
}

#[test]
fn every_error_of_a_document_has_its_number() {
    let changed = |change: &dyn Fn(&mut ElectionParameters)| {
        let mut parameters = elections(1, 10, 1);
        change(&mut parameters);
        refused(&validating(parameters))
    };
    let ranges: [&dyn Fn(&mut ElectionParameters); 4] = [
        &|p| p.min_validators = 0,
        &|p| p.max_validators = 0,
        &|p| p.max_validators_per_entity = 0,
        &|p| p.voting_power_distribution = 2,
    ];
    for change in ranges {
        let reject = changed(change);
        assert_eq!((reject.module, reject.code), (scheduler::MODULE, 101));
    }
    let reject = changed(&|p| p.min_validators = 4);
    assert_eq!((reject.module, reject.code), (scheduler::MODULE, 102));
    assert!(reject.message.starts_with("3 nodes"), "{}", reject.message);
    let mut rich = validating(elections(1, 10, 1));
    let pool = &mut rich.services.staking;
    let more = u128::from(u64::MAX) * 2;
    pool.common_pool = Quantity::new(pool.common_pool.units() + more);
    pool.total_supply = Quantity::new(pool.total_supply.units() + more);
    let reject = refused(&rich);
    assert_eq!((reject.module, reject.code), (scheduler::MODULE, 103));
    // The square root of the same supply is small.
    let parameters = rich.services.scheduler.as_mut().unwrap();
    parameters.voting_power_distribution = POWER_SQRT;
    assert!(genesis_write_log(&rich).is_ok());
}

#[test]
fn who_could_be_elected_is_rewarded() {
    let rows = [
        row(10, 41, COMPUTE, &[real(1)]),
        row(20, 42, VALIDATOR, &[]),
        row(30, 43, OBSERVER, &[real(1)]),
    ];
    let mut document = registered(&rows, vec![shared(real(1), 1, 0)]);
    document.services.scheduler = Some(ElectionParameters {
        reward_factor_epoch_election_any: Quantity::new(1),
        ..elections(1, 10, 1)
    });
    document.services.staking.params.reward_schedule = vec![RewardStep {
        until: Epoch(10),
        scale: Quantity::new(1_000_000),
    }];
    let mut network = Network::new(&document);
    let active = |network: &Network, entity| {
        let account = network.account(&address(entity));
        account.escrow.active.balance.units()
    };
    network.agreed_epoch();
    // One percent of a hundred thousand.
    assert_eq!(active(&network, 10), 101_000);
    assert_eq!(active(&network, 20), 101_000);
    assert_eq!(active(&network, 30), 100_000);
    network.sound();
}

#[test]
fn elections_are_exported() {
    let document = validating(elections(1, 10, 1));
    let mut network = Network::new(&document);
    network.agreed_epoch();
    let services = export(&network.view).unwrap();
    assert_eq!(services.scheduler, document.services.scheduler);
    assert_eq!(services.beacon, document.services.beacon);
    let mut again = document.clone();
    again.services = services;
    let network = Network::new(&again);
    assert_eq!(network.validators().validators.len(), 3);
}

#[test]
fn a_runtime_that_loses_its_committee_is_suspended() {
    let rows = [row(10, 41, COMPUTE, &[real(1)])];
    let mut document = registered(&rows, vec![shared(real(1), 1, 0)]);
    document.services.registry.runtimes[0].deployments =
        vec![registered::deployment(1, 0), registered::deployment(2, 1)];
    let mut network = Network::new(&document);
    assert!(state::committee(&network.view, &real(1)).unwrap().is_some());
    // Version 2 runs from epoch 1 on; the node has version 1.
    network.agreed_epoch();
    assert_eq!(state::committee(&network.view, &real(1)), Ok(None));
    let block = state::latest_block(&network.view, &real(1))
        .unwrap()
        .unwrap();
    assert_eq!(block.header_type, HeaderType::Suspended);
    let suspended = registry::suspended_runtime(&network.view, &real(1));
    assert!(suspended.unwrap().is_some());
}

/// What a node of a random network is.
fn any_row() -> impl Strategy<Value = (u8, u32, bool, NodeStatus, u16)> {
    let roles = prop_oneof![
        6 => Just(COMPUTE),
        2 => Just(COMPUTE | VALIDATOR),
        2 => Just(COMPUTE | STORAGE),
        2 => Just(STORAGE),
        1 => Just(VALIDATOR),
        1 => Just(OBSERVER),
    ];
    let status = prop_oneof![
        10 => Just(NodeStatus::default()),
        1 => Just(NodeStatus { freeze_end_time: 9, ..NodeStatus::default() }),
        1 => (0..4u64).prop_map(suspended_until),
        1 => (0..3u64).prop_map(|after| NodeStatus {
            election_eligible_after: after,
            ..NodeStatus::default()
        }),
    ];
    let entity = prop_oneof![Just(10u8), Just(20), Just(30)];
    let version = prop_oneof![8 => Just(1u16), 1 => Just(2)];
    (entity, roles, any::<bool>(), status, version)
}

fn any_constraints() -> impl Strategy<Value = SchedulingConstraints> {
    let limit = || proptest::option::weighted(0.3, (1..4u16).prop_map(|limit| Limit { limit }));
    let marker = proptest::option::weighted(0.2, Just(Marker));
    (marker, limit(), limit()).prop_map(|(validator_set, max_nodes, min_pool_size)| {
        SchedulingConstraints {
            validator_set,
            max_nodes,
            min_pool_size,
        }
    })
}

/// Whether a node of a document may be elected in an epoch, said another way than the product does.
fn electable(row: &Row, role: u32, epoch: u64) -> bool {
    let status = &row.status;
    let waits = status.election_eligible_after;
    let suspended = status.faults.get(&real(1)).map_or(0, |f| f.suspended_until);
    let frozen = status.freeze_end_time != 0;
    let passed = waits == 0 || waits < epoch;
    let for_runtime = row.runtimes.contains(&real(1)) && row.version == 1;
    let live = role == STORAGE || suspended <= epoch;
    row.roles & role != 0 && !frozen && passed && for_runtime && live
}

fn check_committee(
    committee: &Committee,
    rows: &[Row],
    runtime: &Runtime,
    validators: &BTreeSet<NodeId>,
) -> Result<(), TestCaseError> {
    let executor = &runtime.executor;
    let epoch = committee.epoch.0;
    prop_assert_eq!(committee.workers.len(), usize::from(executor.group_size));
    prop_assert_eq!(
        committee.backups.len(),
        usize::from(executor.group_backup_size)
    );
    let (workers, backups) = (set(&committee.workers), set(&committee.backups));
    if executor.backup_rule == 0 {
        prop_assert!(workers.is_disjoint(&backups));
    }
    let roles = [
        (1u8, 1u8, &committee.workers, COMPUTE),
        (1, 2, &committee.backups, COMPUTE),
        (2, 1, &committee.storage, STORAGE),
    ];
    for (kind, number, members, role) in roles {
        prop_assert_eq!(set(members).len(), members.len(), "nobody twice");
        let of_kind = runtime.constraints.get(&kind);
        let rules = of_kind.and_then(|roles| roles.get(&number)).copied();
        let rules = rules.unwrap_or_default();
        let find = |id: &NodeId| rows.iter().find(|row| node(row.number) == *id).unwrap();
        for member in members {
            let row = find(member);
            prop_assert!(electable(row, role, epoch), "{:?}", row);
            let has_validator = validators.contains(&node(row.entity));
            prop_assert!(rules.validator_set.is_none() || has_validator);
        }
        if let Some(most) = rules.max_nodes {
            for entity in [10, 20, 30] {
                let own = members.iter().filter(|id| find(id).entity == entity);
                prop_assert!(own.count() <= usize::from(most.limit));
            }
        }
    }
    let storage = usize::from(runtime.storage.group_size);
    prop_assert!(committee.storage.len() >= storage);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nobody_is_elected_who_may_not_be(
        nodes in proptest::collection::vec(any_row(), 4..14),
        (workers, backups, rule) in (1..4u16, 0..5u16, 0..2u8),
        constraints in proptest::collection::vec(any_constraints(), 3),
        (group, least) in (0..3u16, 0..3u32),
    ) {
        let rows: Vec<Row> = nodes
            .into_iter()
            .zip(41..)
            .map(|((entity, roles, runs, status, version), number)| {
                // A role for runtimes needs one; validators have none.
                let id = if runs { real(1) } else { real(2) };
                let ids = [id];
                let ids: &[RuntimeId] = if roles == VALIDATOR { &[] } else { &ids };
                let mut row = row(entity, number, roles, ids);
                (row.status, row.version) = (status, version);
                row
            })
            .collect();
        let mut runtime = shared(real(1), workers, backups);
        runtime.executor.backup_rule = rule;
        if rule == 0 && workers > 1 {
            runtime.executor.group_backup_size = workers + 1;
        }
        if least > 0 {
            runtime.storage.min_write_replication = least;
            let wanted = u32::from(group);
            runtime.storage.group_size = if wanted >= least { group } else { 0 };
        }
        let of_executors = [(1, constraints[0]), (2, constraints[1])].into();
        runtime.constraints = [(1, of_executors), (2, [(1, constraints[2])].into())].into();
        let mut document = registered(&rows, vec![runtime.clone(), shared(real(2), 1, 0)]);
        let can_validate = |row: &Row| row.roles & VALIDATOR != 0 && row.status.freeze_end_time == 0;
        if rows.iter().any(can_validate) {
            document.services.scheduler = Some(elections(1, 2, 1));
        }
        let mut network = Network::new(&document);
        for _ in 0..3 {
            let committee = state::committee(&network.view, &real(1)).unwrap();
            let validators: BTreeSet<NodeId> = network
                .validators()
                .validators
                .iter()
                .map(|validator| validator.entity_id)
                .collect();
            prop_assert!(validators.len() <= 2);
            if let Some(committee) = committee {
                check_committee(&committee, &rows, &runtime, &validators)?;
            }
            network.agreed_epoch();
        }
    }

    /// Two networks with the same candidates and the same entropy elect the same nodes in the same
    /// order, whatever else differs: order of registration, time, transactions.
    #[test]
    fn lots_are_a_function_of_entropy(
        randomness in any::<[u8; 32]>(),
        later in 1..1_000_000u64,
        busy in any::<bool>(),
    ) {
        let rows: Vec<Row> = (41..49).map(|number| row(10, number, COMPUTE, &[real(1)])).collect();
        let elect = |randomness: [u8; 32], later: u64, busy: bool| {
            let document = registered(&rows, vec![shared(real(1), 4, 4)]);
            let mut network = Network::new(&document);
            network.idle(registered::EPOCH - 2);
            if busy {
                network.register_entity(30, &[99]);
            } else {
                network.idle(1);
            }
            let mut context = network.context();
            context.randomness = Some(randomness);
            context.time.0 += later;
            let outcome = network.execute(&[], &context).unwrap();
            network.view.apply(&outcome.write_log);
            state::committee(&network.view, &real(1)).unwrap().unwrap()
        };
        let one = elect(randomness, 0, false);
        prop_assert_eq!(&one, &elect(randomness, later, busy));
        let mut other = randomness;
        other[0] ^= 1;
        let other = elect(other, 0, false);
        // Of 1,680 orders of four workers and as many of backups, two are rarely the same.
        prop_assert!(other != one);
    }
}

#[test]
fn roles_of_the_plain_list_are_kept_apart() {
    // So that a storage node is never drawn to execute.
    let mut document = genesis(1, vec![descriptor(RUNTIME, rules(1, 0, 0))]);
    let mut network = Network::new(&document);
    network.agreed_epoch();
    assert_eq!(network.committee().workers, [node(1)]);
    document
        .nodes
        .retain(|node| !node.roles.has(NodeRoles::COMPUTE));
    let network = Network::new(&document);
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
}
