//! The services together: networks that start registered, fees and rewards of validators, slashing
//! of wrong executors, and what holds over random histories of all transactions.

mod network;
mod registered;

use network::{Network, OTHER, RUNTIME, address, node, rejection, transaction};
use proptest::prelude::*;
use registered::{
    COMPUTE, FREE, OBSERVER, VALIDATOR, document, entity_of, node_of, ok, real, runtime_of,
    signed_entity, signed_node,
};
use trilith_protocol::root::registry::{
    DEREGISTER_ENTITY, REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, RegistryEvent, Runtime,
    UNFREEZE_NODE, UnfreezeNode,
};
use trilith_protocol::root::staking::{
    ADD_ESCROW, Delegation, Escrow, RECLAIM_ESCROW, ReclaimEscrow, RewardStep, Slash, SlashReason,
    StakingEvent, TRANSFER, ThresholdKind, Transfer,
};
use trilith_protocol::root::{
    Address, EXECUTOR_COMMIT, Fee, GenesisError, Quantity, RootAnswer, RootQuery, Signed,
};
use trilith_protocol::{
    ExecutorCommitment, HeaderType, QueryContext, ROOT_RUNTIME, RootEvent, RootGenesis,
    Runtime as _,
};
use trilith_root::{Root, export, genesis_write_log, registry, staking, state};
use trilith_types::{Epoch, NodeId, PublicKey, Round, StateRead as _, TimeNanos};

fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// By entity, its nodes.
const NODES: [(u8, &[u8]); 3] = [(10, &[41, 42, 43]), (20, &[44, 45]), (30, &[46, 47])];

/// Three entities with seven nodes, and a runtime of three primaries and four backups, all
/// registered in the document.
fn registered(change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    let mut document = document();
    document.epoch_interval = 20;
    // Registered for long: renewals may be for as long.
    document.services.registry.params.max_node_expiration = 0;
    let mut runtime = runtime_of(10, RUNTIME, 0);
    runtime.executor.group_size = 3;
    runtime.executor.group_backup_size = 4;
    change(&mut runtime);
    let registry = &mut document.services.registry;
    registry.params.debug_allow_test_runtimes = true;
    registry.runtimes = vec![runtime];
    let roles = COMPUTE | VALIDATOR;
    let mut entities: Vec<(PublicKey, _)> = Vec::new();
    let mut nodes: Vec<(PublicKey, _)> = Vec::new();
    for (entity, numbers) in NODES {
        entities.push((
            node(entity),
            signed_entity(&entity_of(entity, numbers), entity),
        ));
        for number in numbers {
            let descriptor = node_of(entity, *number, 1_000, (roles, &[RUNTIME]));
            nodes.push((node(*number), signed_node(&descriptor, *number)));
        }
    }
    entities.sort_by_key(|(id, _)| *id);
    nodes.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

fn entity_number(id: &NodeId) -> u8 {
    let owns = |numbers: &[u8]| numbers.iter().any(|number| node(*number) == *id);
    let found = NODES.iter().find(|(_, numbers)| owns(numbers));
    found.map(|(entity, _)| *entity).unwrap()
}

fn active(network: &Network, entity: u8) -> u128 {
    let account = network.account(&address(entity));
    account.escrow.active.balance.units()
}

#[test]
fn a_document_with_registered_nodes_elects_at_once() {
    let mut network = Network::new(&registered(|_| ()));
    network.sound();
    let committee = network.committee();
    assert_eq!((committee.workers.len(), committee.backups.len()), (3, 4));
    // The entity, its runtime, and three nodes.
    assert_eq!(network.claims(10), 5);
    let votes: Vec<ExecutorCommitment> = committee
        .workers
        .iter()
        .map(|member| network.vote(member, 0, b"state"))
        .collect();
    let receipt = network.commit(&votes);
    assert_eq!(rejection(&receipt), None);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    assert_eq!(network.latest().round.0, 6);
    // The next epoch elects the same nodes anew.
    network.next_epoch();
    assert_eq!(network.committee().epoch, Epoch(1));
    network.sound();
}

#[test]
fn commitments_can_come_in_signed_transactions() {
    let mut network = Network::new(&registered(|_| ()));
    let votes: Vec<ExecutorCommitment> = network
        .committee()
        .workers
        .iter()
        .map(|member| network.vote(member, 0, b"state"))
        .collect();
    let body = |votes: &[ExecutorCommitment]| {
        // The body of the unsigned form.
        let bytes = transaction(RUNTIME, votes);
        let mut decoder = trilith_types::cbor::Decoder::new(&bytes);
        let mut body = Vec::new();
        decoder
            .fields("transaction", 2, |name, d| {
                let item = d.skip()?;
                if name == "body" {
                    body = item.to_vec();
                }
                Ok(())
            })
            .unwrap();
        body
    };
    let bad = network.free(10, EXECUTOR_COMMIT, vec![0x01]);
    assert_eq!(rejection(&bad), Some(("root", 1)));
    let empty = network.free(10, EXECUTOR_COMMIT, body(&[]));
    assert_eq!(rejection(&empty), Some(("root", 4)));
    ok(&network.free(10, EXECUTOR_COMMIT, body(&votes)));
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    let general = network.account(&address(10)).general;
    assert_eq!(general.nonce, 3);
}

/// One primary lies, and the backups settle it. Gives who.
fn dispute(network: &mut Network) -> NodeId {
    let committee = network.committee();
    let scheduler = network.scheduler(0);
    let mut others = committee
        .workers
        .iter()
        .filter(|worker| **worker != scheduler);
    let (liar, third) = (*others.next().unwrap(), *others.next().unwrap());
    let votes = [
        network.vote(&scheduler, 0, b"right"),
        network.vote(&third, 0, b"right"),
        network.vote(&liar, 0, b"wrong"),
    ];
    assert_eq!(rejection(&network.commit(&votes)), None);
    let votes: Vec<_> = committee
        .backups
        .iter()
        .map(|member| network.vote(member, 0, b"right"))
        .collect();
    assert_eq!(rejection(&network.commit(&votes)), None);
    liar
}

#[test]
fn slashing_takes_from_active_and_debonding_stake_in_proportion() {
    let penalty = Slash {
        amount: q(50_001),
        freeze_interval: 0,
    };
    let mut network = Network::new(&registered(|runtime| {
        let reason = SlashReason::RuntimeIncorrectResults;
        runtime.staking.slashing.insert(reason, penalty);
        runtime.staking.reward_bad_results = 100;
    }));
    for entity in [10, 20, 30] {
        let body = ReclaimEscrow {
            account: address(entity),
            shares: q(40_000),
        };
        ok(&network.free(entity, RECLAIM_ESCROW, body.encode()));
    }
    let liar = dispute(&mut network);
    let wrong = address(entity_number(&liar));
    let escrow = network.account(&wrong).escrow;
    // Of 50,001, three fifths and two fifths, each rounded down.
    assert_eq!(escrow.active.balance, q(60_000 - 30_000));
    assert_eq!(escrow.debonding.balance, q(40_000 - 20_000));
    let of_runtime = network.account(&Address::of_runtime(&RUNTIME));
    assert_eq!(of_runtime.general.balance, q(50_000));
    network.sound();
    // What is paid out in the end is what is left.
    for _ in 0..3 {
        network.next_epoch();
    }
    assert_eq!(network.account(&wrong).general.balance, q(1_020_000));
    network.sound();
}

#[test]
fn wrong_executors_are_frozen_where_the_runtime_says_so() {
    let penalty = Slash {
        amount: q(1),
        freeze_interval: 2,
    };
    let mut network = Network::new(&registered(|runtime| {
        let reason = SlashReason::RuntimeIncorrectResults;
        runtime.staking.slashing.insert(reason, penalty);
    }));
    let liar = dispute(&mut network);
    let status = |network: &Network| registry::node_status(&network.view, &liar).unwrap();
    assert_eq!(status(&network).unwrap().freeze_end_time, 2);
    let frozen = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Registry(RegistryEvent::Freeze(event))
            if event.node == liar && event.until == 2)
    });
    assert!(frozen);
    // Six nodes are too few for 3 + 4.
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    let entity = entity_number(&liar);
    let thaw = UnfreezeNode { node_id: liar };
    ok(&network.free(entity, UNFREEZE_NODE, thaw.encode()));
    assert_eq!(status(&network).unwrap().freeze_end_time, 0);
    // The runtime is suspended: a node must register for it before it runs again.
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    let number = NODES[0].1[0];
    let again = node_of(10, number, 1_000, (COMPUTE | VALIDATOR, &[RUNTIME]));
    ok(&network.register_node(number, &again));
    network.next_epoch();
    let committee = network.committee();
    assert!(committee.has(&liar), "all seven are needed");
    network.sound();
}

#[test]
fn wrong_executors_lose_stake_to_the_runtime_and_to_those_who_were_right() {
    let penalty = Slash {
        amount: q(99_000),
        freeze_interval: 0,
    };
    let mut document = registered(|runtime| {
        let rules = &mut runtime.staking;
        let reason = SlashReason::RuntimeIncorrectResults;
        rules.slashing.insert(reason, penalty);
        rules.reward_bad_results = 50;
    });
    let thresholds = &mut document.services.staking.params.thresholds;
    thresholds.insert(ThresholdKind::NodeCompute, q(30_000));
    let mut network = Network::new(&document);
    let liar = dispute(&mut network);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    let results = state::round_results(&network.view, &RUNTIME).unwrap();
    assert_eq!(results.map(|results| results.bad), Some(vec![liar]));
    let wrong = entity_number(&liar);
    let slashed = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Staking(StakingEvent::TakeEscrow(event))
            if event.owner == address(wrong) && event.amount == penalty.amount)
    });
    assert!(slashed);
    // Half of it goes to the runtime, the rest in equal parts to the six who were right.
    let of_runtime = network.account(&Address::of_runtime(&RUNTIME));
    assert_eq!(of_runtime.general.balance, q(49_500));
    for (entity, numbers) in NODES {
        let right = numbers.iter().filter(|number| node(**number) != liar);
        let lost = if entity == wrong { 99_000 } else { 0 };
        let expected = 100_000 - lost + 8_250 * right.count() as u128;
        assert_eq!(active(&network, entity), expected);
    }
    assert_eq!(staking::total_supply(&network.view), Ok(q(4_300_000)));
    network.sound();
    // Its entity's stake does not cover its nodes any more: none of them is elected, and without
    // them the others are too few.
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    assert_eq!(network.latest().header_type, HeaderType::Suspended);
    network.sound();
}

/// Executes a height that says who made the one before, with one transfer for a fee of 1,000.
fn height_by(network: &mut Network, validators: &[u8]) {
    let fee = Fee {
        amount: q(1_000),
        gas: 100_000,
    };
    let body = Transfer {
        to: address(20),
        amount: q(1),
    };
    let transfer = network.signed(10, TRANSFER, body.encode(), Some(fee));
    let mut context = network.context();
    context.committee = validators.iter().map(|number| node(*number)).collect();
    let outcome = network.execute(&[transfer], &context).unwrap();
    network.view.apply(&outcome.write_log);
    assert_eq!(rejection(&outcome.receipts[0]), None);
}

#[test]
fn fees_go_to_proposer_voters_and_next_proposer() {
    let mut network = Network::new(&registered(|_| ()));
    let balance = |network: &Network, entity: u8| {
        let account = network.account(&address(entity));
        account.general.balance.units()
    };
    // Entity 20 proposes; of the fee it gets half at once.
    height_by(&mut network, &[44, 46, 47, 41]);
    assert_eq!(balance(&network, 20), 1_000_000 + 1 + 500);
    assert_eq!(
        staking::export(&network.view).unwrap().last_block_fees,
        q(500)
    );
    // Of the rest each of four validators has 125: 62 for whoever proposes next, 63 for itself.
    // One that is not registered signs for nobody.
    height_by(&mut network, &[46, 44, 47, 99]);
    assert_eq!(balance(&network, 20), 1_000_000 + 2 + 500 + 63);
    assert_eq!(balance(&network, 30), 1_000_000 + 3 * 62 + 2 * 63 + 500);
    let pool = staking::export(&network.view).unwrap().common_pool;
    assert_eq!(pool, q(1_000_000 + 500 - 3 * 62 - 3 * 63));
    network.sound();
}

#[test]
fn rewards_are_for_who_signs_and_proposes() {
    let mut document = registered(|_| ());
    let params = &mut document.services.staking.params;
    params.reward_schedule = vec![RewardStep {
        until: Epoch(2),
        scale: q(1_000_000),
    }];
    params.reward_factor_epoch_signed = q(2);
    params.reward_factor_block_proposed = q(1);
    params.commission_schedule_rules.min_commission_rate = q(20_000);
    let mut network = Network::new(&document);
    // A hundredth of its stake for each height it proposes, times the part that signed.
    height_by(&mut network, &[41, 44]);
    assert_eq!(active(&network, 10), 101_000);
    let own = staking::delegation(&network.view, &address(10), &address(10)).unwrap();
    // A fifth of the reward bought new shares at 1.008.
    assert_eq!(own.shares, q(100_000 + 198));
    for _ in 0..18 {
        height_by(&mut network, &[99, 41, 44]);
    }
    // At the epoch, twice a hundredth for who signed three of four heights.
    let before = active(&network, 20);
    let thirty = active(&network, 30);
    network.idle(1);
    assert_eq!(network.epoch(), 1);
    assert_eq!(active(&network, 20), before + before / 50);
    assert_eq!(active(&network, 30), thirty);
    assert!(staking::export(&network.view).unwrap().epoch_signing.total == 0);
    network.sound();
    // The schedule ends.
    network.next_epoch();
    let before = active(&network, 10);
    height_by(&mut network, &[41, 44]);
    assert_eq!(active(&network, 10), before);
    network.sound();
}

#[test]
fn an_empty_common_pool_pays_nothing() {
    let mut document = registered(|_| ());
    let staking = &mut document.services.staking;
    staking.common_pool = q(999);
    staking.total_supply = q(3_300_999);
    staking.params.reward_schedule = vec![RewardStep {
        until: Epoch(2),
        scale: q(1_000_000),
    }];
    staking.params.reward_factor_block_proposed = q(1);
    let mut network = Network::new(&document);
    height_by(&mut network, &[41]);
    assert_eq!(active(&network, 10), 100_000);
    network.sound();
}

#[test]
fn registered_parts_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut RootGenesis)| {
        let mut document = registered(|_| ());
        change(&mut document);
        genesis_write_log(&document).unwrap_err()
    };
    let code = |error: GenesisError| match error {
        GenesisError::Registry(reject) => (reject.module, reject.code),
        other => panic!("{other:?}"),
    };
    let order = |error: GenesisError| assert!(matches!(error, GenesisError::Order { .. }));
    order(refused(&|d| d.services.registry.entities.swap(0, 1)));
    order(refused(&|d| d.services.registry.nodes.swap(0, 1)));
    order(refused(&|d| {
        let runtime = d.services.registry.runtimes[0].clone();
        d.services.registry.suspended_runtimes = vec![runtime];
    }));
    order(refused(&|d| {
        d.runtimes = vec![network::descriptor(RUNTIME, network::rules(1, 0, 0))];
    }));
    let unknown = refused(&|d| d.services.registry.entities.clear());
    assert_eq!(code(unknown), ("registry", 9));
    let unknown = refused(&|d| d.services.registry.runtimes.clear());
    assert_eq!(code(unknown), ("registry", 11));
    let stray = refused(&|d| {
        let statuses = &mut d.services.registry.node_statuses;
        statuses.insert(node(99), Default::default());
    });
    assert_eq!(code(stray), ("registry", 10));
    let keeper = refused(&|d| {
        let runtime = &mut d.services.registry.runtimes[0];
        runtime.key_manager = Some(OTHER);
    });
    assert_eq!(code(keeper), ("registry", 11));
    let bad = refused(&|d| d.services.registry.runtimes[0].executor.group_size = 0);
    assert_eq!(code(bad), ("registry", 107));
    let poor = refused(&|d| {
        let params = &mut d.services.staking.params;
        params
            .thresholds
            .insert(ThresholdKind::Entity, q(1_000_000));
    });
    assert_eq!(code(poor), ("staking", 4));
}

#[test]
fn the_services_answer_questions() {
    let mut network = Network::new(&registered(|_| ()));
    let mut ask = |query: RootQuery| {
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        assert_eq!(RootQuery::decode(&query.encode()), Ok(query.clone()));
        let bytes = query.encode();
        let answer = network.root.query(&network.view, &bytes, &context).unwrap();
        let decoded = RootAnswer::decode(&answer).unwrap();
        assert_eq!(decoded.encode(), answer);
        network.idle(1);
        decoded
    };
    let (delegate, delegator) = (address(10), address(10));
    let delegation = ask(RootQuery::Delegation {
        delegate,
        delegator,
    });
    let RootAnswer::Account(account) = ask(RootQuery::Account(address(10))) else {
        panic!("an account was asked for");
    };
    let shares = account.escrow.active.total_shares;
    assert_eq!(delegation, RootAnswer::Delegation(Delegation { shares }));
    let RootAnswer::Staking(summary) = ask(RootQuery::Staking) else {
        panic!("the sum of stake was asked for");
    };
    assert_eq!(summary.total_supply, q(4_300_000));
    let entity = entity_of(10, NODES[0].1);
    assert_eq!(
        ask(RootQuery::Entity(node(10))),
        RootAnswer::Entity(Some(entity))
    );
    assert_eq!(ask(RootQuery::Entity(node(99))), RootAnswer::Entity(None));
    let RootAnswer::Node(Some(record)) = ask(RootQuery::Node(node(41))) else {
        panic!("a node was asked for");
    };
    assert_eq!(record.descriptor.entity_id, node(10));
    assert_eq!(ask(RootQuery::Node(node(99))), RootAnswer::Node(None));
    let RootAnswer::Runtime(Some(record)) = ask(RootQuery::Runtime(RUNTIME)) else {
        panic!("a runtime was asked for");
    };
    assert!(!record.suspended && record.descriptor.entity_id == node(10));
    assert_eq!(ask(RootQuery::Runtime(OTHER)), RootAnswer::Runtime(None));
    let RootAnswer::Registry(params) = ask(RootQuery::Registry) else {
        panic!("the parameters were asked for");
    };
    assert!(params.debug_allow_test_runtimes);
}

/// What entities 10, 20, 30 and their nodes do.
#[derive(Clone, Debug)]
enum Act {
    Call(u8, &'static str, Vec<u8>),
    Idle(u64),
}

/// Nodes 11 to 13 are of entity 10, and so on; 14 is of nobody.
fn act() -> impl Strategy<Value = Act> {
    let entity = || prop_oneof![Just(10u8), Just(20), Just(30)];
    let listed = proptest::collection::btree_set(1..4u8, 0..4);
    let runtimes = prop_oneof![
        4 => Just([1u8].into()),
        2 => proptest::collection::btree_set(1..4u8, 0..3),
    ];
    let roles = prop_oneof![
        4 => Just(COMPUTE),
        1 => Just(VALIDATOR),
        1 => Just(COMPUTE | OBSERVER | VALIDATOR),
    ];
    prop_oneof![
        2 => (entity(), listed).prop_map(|(e, listed)| {
            let nodes: Vec<u8> = listed.into_iter().map(|n| e + n).collect();
            let signed = signed_entity(&entity_of(e, &nodes), e);
            Act::Call(e, REGISTER_ENTITY, signed.encode())
        }),
        1 => entity().prop_map(|e| Act::Call(e, DEREGISTER_ENTITY, Vec::new())),
        12 => (entity(), 1..5u8, 0..14u64, roles, runtimes).prop_map(|(e, n, until, roles, ids)| {
            let ids: Vec<_> = ids.into_iter().map(real).collect();
            let signed = signed_node(&node_of(e, e + n, until, (roles, &ids)), e + n);
            Act::Call(e + n, REGISTER_NODE, signed.encode())
        }),
        2 => (entity(), 1..4u8, 0..6u64).prop_map(|(e, id, from)| {
            Act::Call(e, REGISTER_RUNTIME, runtime_of(e, real(id), from).encode())
        }),
        1 => (entity(), 1..4u8).prop_map(|(e, n)| {
            let body = UnfreezeNode { node_id: node(e + n) };
            Act::Call(e, UNFREEZE_NODE, body.encode())
        }),
        1 => (entity(), 0..40_000u128).prop_map(|(e, amount)| {
            let body = ReclaimEscrow { account: address(e), shares: q(amount) };
            Act::Call(e, RECLAIM_ESCROW, body.encode())
        }),
        1 => (entity(), 0..50_000u128).prop_map(|(e, amount)| {
            let body = Escrow { account: address(e), amount: q(amount) };
            Act::Call(e, ADD_ESCROW, body.encode())
        }),
        1 => (entity(), proptest::sample::select(vec![
            REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, UNFREEZE_NODE,
        ]), any::<u8>(), any::<proptest::sample::Index>()).prop_map(|(e, method, byte, at)| {
            // A descriptor with a changed byte.
            let mut body = match method {
                REGISTER_ENTITY => signed_entity(&entity_of(e, &[e + 1]), e).encode(),
                REGISTER_NODE => {
                    let node = node_of(e, e + 1, 2, (COMPUTE, &[real(1)]));
                    signed_node(&node, e + 1).encode()
                }
                REGISTER_RUNTIME => runtime_of(e, real(1), 2).encode(),
                _ => vec![0xa0],
            };
            let at = at.index(body.len());
            body[at] = byte;
            Act::Call(e, method, body)
        }),
        4 => (1..12u64).prop_map(Act::Idle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Over any history: stake is conserved, claims are those of what is registered, whoever is
    /// elected was eligible, what a root remembers changes nothing, and a document made of the
    /// state gives the same state of the services.
    #[test]
    fn the_services_keep_their_invariants(acts in proptest::collection::vec(act(), 1..100)) {
        let document = lively();
        let mut network = Network::new(&document);
        let mut forgetful = Network::new(&document);
        forgetful.remember = false;
        for act in acts {
            let inputs = match act {
                Act::Call(who, method, body) => {
                    vec![network.signed(who, method, body, Some(FREE))]
                }
                Act::Idle(heights) => {
                    network.idle(heights);
                    forgetful.idle(heights);
                    Vec::new()
                }
            };
            let one = network.height(&inputs);
            let fresh = Network {
                root: Root::new(),
                view: forgetful.view.clone(),
                chain: forgetful.chain,
                remember: false,
            };
            let three = fresh.execute(&inputs, &fresh.context()).unwrap();
            let two = forgetful.height(&inputs);
            prop_assert_eq!(&one.write_log, &two.write_log);
            prop_assert_eq!(&one.receipts, &two.receipts);
            prop_assert_eq!(&one.write_log, &three.write_log);
            prop_assert_eq!(staking::check(&network.view), Ok(()));
            prop_assert_eq!(registry::check(&network.view), Ok(()));
            elected_were_eligible(&network)?;
        }
        prop_assert_eq!(network.view.root(), forgetful.view.root());
        let mut other = document.clone();
        other.services = export(&network.view).unwrap();
        let bytes = other.encode();
        prop_assert_eq!(RootGenesis::decode(&bytes), Ok(other.clone()));
        let imported = Network::new(&other);
        prop_assert_eq!(root_of_services(&network), root_of_services(&imported));
    }
}

/// Three entities that list three nodes each, and two runtimes that run as soon as a node does.
fn lively() -> RootGenesis {
    let mut document = document();
    let registry = &mut document.services.registry;
    registry.params.max_node_expiration = 6;
    let mut entities: Vec<(PublicKey, Signed)> = [10, 20, 30]
        .into_iter()
        .map(|e| {
            let entity = entity_of(e, &[e + 1, e + 2, e + 3]);
            (entity.id, signed_entity(&entity, e))
        })
        .collect();
    entities.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.runtimes = vec![runtime_of(10, real(1), 0), runtime_of(20, real(2), 0)];
    document
}

#[test]
fn random_histories_elect() {
    // So that the property below is about something: this is how its networks come to elect.
    let mut network = Network::new(&lively());
    let again = |until| node_of(10, 11, until, (COMPUTE, &[real(1)]));
    ok(&network.register_node(11, &again(6)));
    network.next_epoch();
    ok(&network.register_node(11, &again(7)));
    network.next_epoch();
    let committee = state::committee(&network.view, &real(1)).unwrap();
    assert_eq!(
        committee.map(|committee| committee.workers),
        Some(vec![node(11)])
    );
    assert!(elected_were_eligible(&network).is_ok());
}

/// The root over what staking and registry keep.
fn root_of_services(network: &Network) -> trilith_types::Hash {
    let entries = network.view.entries.iter();
    let entries = entries.filter(|(key, _)| key.starts_with(b"S") || key.starts_with(b"R"));
    trilith_mkvs::root_of(entries.map(|(key, value)| (key.clone(), value.clone()))).unwrap()
}

/// At the first height of an epoch, every member of a committee is a registered compute node with
/// the active version, has waited, is not frozen, and its entity's stake covers all claims.
fn elected_were_eligible(network: &Network) -> Result<(), TestCaseError> {
    let record = state::epoch(&network.view).unwrap();
    if record.since != state::tip(&network.view).unwrap().height || record.epoch == Epoch(0) {
        return Ok(());
    }
    for id in [real(1), real(2), real(3), OTHER] {
        let Some(committee) = state::committee(&network.view, &id).unwrap() else {
            continue;
        };
        let runtime = registry::runtime(&network.view, &id).unwrap();
        prop_assert!(
            runtime.is_some(),
            "a committee of a runtime that does not run"
        );
        let runtime = runtime.unwrap();
        let active = runtime.active_deployment(record.epoch).unwrap();
        for member in committee.workers.iter().chain(&committee.backups) {
            let found = registry::node(&network.view, member).unwrap().unwrap();
            let status = registry::node_status(&network.view, member)
                .unwrap()
                .unwrap();
            prop_assert!(!found.is_expired(record.epoch));
            prop_assert!(found.roles & COMPUTE != 0);
            prop_assert_eq!(status.freeze_end_time, 0);
            prop_assert!(status.election_eligible_after < record.epoch.0);
            let version = |of: &trilith_protocol::root::registry::NodeRuntime| {
                of.id == id && of.version == active.version
            };
            prop_assert!(found.runtimes().iter().any(version));
        }
    }
    Ok(())
}
