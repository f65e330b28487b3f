//! Elections after a slash, which nothing outside can ask for yet: no fault of a validator is
//! punished at the begin of a height so far.

use trilith_protocol::root::staking::TakeEscrowEvent;
use trilith_protocol::root::{
    ExecutorParameters, GenesisNode, RootGenesis, SchedulerParameters, Services, ThresholdKey,
};
use trilith_protocol::{BlockHeader, root::BackupRule};
use trilith_types::{Epoch, Height, SecretKey, TimeNanos};

use super::*;
use crate::genesis::{Document, genesis_write_log};
use crate::overlay::{Overlay, Values};
use crate::state::node_key;

/// Two runtimes of three workers, on four nodes of the plain list.
fn genesis() -> RootGenesis {
    let mut nodes: Vec<GenesisNode> = (1..=4)
        .map(|number| GenesisNode {
            id: SecretKey::from_seed([number; 32]).public(),
            roles: NodeRoles::COMPUTE,
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    let runtime = |number, workers| RuntimeDescriptor {
        id: RuntimeId::test(number),
        genesis_state_root: Hash::EMPTY,
        executor: ExecutorParameters {
            group_size: workers,
            backup_size: 0,
            allowed_stragglers: 0,
            round_timeout: 4,
            max_messages: 0,
            backup_rule: BackupRule::Shared,
        },
        txn_scheduler: SchedulerParameters {
            max_batch_size: 10,
            max_batch_size_bytes: 1 << 20,
            batch_flush_timeout_ms: 1_000,
            propose_batch_timeout_ms: 2_000,
        },
        storage_receipts_min: 0,
        storage_group_size: 0,
    };
    RootGenesis {
        chain: "test".into(),
        time: TimeNanos(1_000_000_000_000),
        epoch_interval: 100,
        nodes,
        runtimes: vec![runtime(1, 3), runtime(2, 4)],
        consensus_key: ThresholdKey([1; 96]),
        certification_key: ThresholdKey([2; 96]),
        services: Services::default(),
    }
}

fn view() -> Document {
    Document::of(genesis_write_log(&genesis()).expect("the document keeps the rules"))
}

fn scope(view: &Document) -> Scope<'_> {
    let network = state::network(view).expect("the state has a network");
    let randomness = *network.chain_context.as_bytes();
    Scope::new(
        Overlay::new(view, Values::new()),
        network,
        (Height(5), TimeNanos(1_005_000_000_000)),
        (Epoch(0), randomness),
    )
}

fn slash(scope: &mut Scope<'_>) {
    let event = StakingEvent::TakeEscrow(TakeEscrowEvent {
        owner: Address::of_key(&SecretKey::from_seed([9; 32]).public()),
        amount: Quantity::new(1),
        debonding_amount: Quantity::ZERO,
    });
    scope.emit(RootEvent::Staking(event));
}

fn committee(scope: &mut Scope<'_>, number: u64) -> Option<Committee> {
    let key = OfRuntime::Committee.key(&RuntimeId::test(number));
    scope.overlay.record(&key).expect("a committee is readable")
}

fn block(scope: &mut Scope<'_>, number: u64) -> BlockHeader {
    let key = OfRuntime::Block.key(&RuntimeId::test(number));
    scope.overlay.required(&key).expect("a block is readable")
}

#[test]
fn nothing_is_elected_where_nothing_was_slashed() {
    let view = view();
    let mut scope = scope(&view);
    let node = genesis().nodes[0].id;
    scope.overlay.put(node_key(&node), None);
    let before = committee(&mut scope, 1);
    assert_eq!(begin_height(&mut scope), Ok(()));
    assert_eq!(committee(&mut scope, 1), before);
}

#[test]
fn after_a_slash_committees_that_stay_the_same_are_left_alone() {
    let view = view();
    let mut scope = scope(&view);
    let before = block(&mut scope, 1);
    slash(&mut scope);
    assert_eq!(begin_height(&mut scope), Ok(()));
    assert_eq!(block(&mut scope, 1), before);
    assert_eq!(scope.events_len(), 1);
}

#[test]
fn after_a_slash_who_cannot_be_elected_any_more_is_out() {
    let view = view();
    let mut scope = scope(&view);
    let member = committee(&mut scope, 1)
        .expect("there is a committee")
        .workers[0];
    let first = block(&mut scope, 1);
    scope.overlay.put(node_key(&member), None);
    slash(&mut scope);
    assert_eq!(begin_height(&mut scope), Ok(()));
    let elected = committee(&mut scope, 1).expect("three nodes are left");
    assert!(!elected.has(&member));
    assert_eq!(elected.epoch, Epoch(0));
    let ended = block(&mut scope, 1);
    assert_eq!(ended.header_type, HeaderType::EpochTransition);
    assert_eq!(ended.previous_hash, first.hash());
    // The other runtime needs four.
    assert_eq!(committee(&mut scope, 2), None);
    assert_eq!(block(&mut scope, 2).header_type, HeaderType::Suspended);
}
