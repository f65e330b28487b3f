//! Messages between the root and a runtime: the queue to it, what it takes up, and what it asks of
//! the root's services.

mod network;
mod registered;
mod rounds;

use network::{FEE, Network, OTHER, RUNTIME, address, descriptor, node, rejection, rules};
use proptest::prelude::*;
use registered::{EPOCH, ok, real};
use rounds::{alone, q, refused_as, told_by};
use trilith_protocol::root::registry::{GOVERNANCE_RUNTIME, Runtime};
use trilith_protocol::root::staking::{
    Account, AddEscrowEvent, Escrow, ReclaimEscrow, Transfer, Withdraw,
};
use trilith_protocol::root::{
    Address, Blob, EXECUTOR_COMMIT, Fee, GovernanceMessage, IncomingMessage, MessageHandledEvent,
    MessageQueuedEvent, MessageResult, MessageTakenEvent, Quantity, RawItem, ReclaimEscrowResult,
    RegistryMessage, RoothashEvent, RoundFailure, RuntimeMessage, SUBMIT_MESSAGE, StakingMessage,
    SubmitMessage, TransferResult, WithdrawResult,
};
use trilith_protocol::{HeaderType, Receipt, RootEvent, RootGenesis, io};
use trilith_root::{registry, state};
use trilith_types::{Epoch, Hash, RuntimeId};

/// The runtime's own account.
fn treasury() -> Address {
    Address::of_runtime(&RUNTIME)
}

/// A runtime that lets three messages wait, for a fee of at least 10, and owns 50,000.
fn document(change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    let mut document = alone(|runtime| {
        runtime.txn_scheduler.max_in_messages = 3;
        runtime.staking.min_in_message_fee = q(10);
        change(runtime);
    });
    let staking = &mut document.services.staking;
    let mut account = Account::default();
    account.general.balance = q(50_000);
    staking.ledger.insert(treasury(), account);
    staking.total_supply = q(4_350_000);
    staking.params.allow_escrow_messages = true;
    document
}

fn network() -> Network {
    Network::new(&document(|_| ()))
}

fn message(id: RuntimeId, fee: u128, tokens: u128) -> SubmitMessage {
    SubmitMessage {
        id,
        tag: 9,
        fee: q(fee),
        tokens: q(tokens),
        data: Blob(b"data".to_vec()),
    }
}

fn submit(network: &mut Network, message: &SubmitMessage) -> Receipt {
    network.send(10, SUBMIT_MESSAGE, message.encode())
}

#[test]
fn a_message_waits_is_shown_and_is_taken_up() {
    let mut network = network();
    assert!(network.news().incoming.is_empty());
    let receipt = submit(&mut network, &message(RUNTIME, 10, 90));
    ok(&receipt);
    let queued = MessageQueuedEvent {
        runtime_id: RUNTIME,
        id: 0,
        caller: address(10),
        tag: 9,
    };
    assert_eq!(told_by(&receipt), [RoothashEvent::MessageQueued(queued)]);
    assert_eq!(network.account(&treasury()).general.balance, q(50_100));
    for _ in 0..2 {
        ok(&submit(&mut network, &message(RUNTIME, 10, 0)));
    }
    let shown = network.news().incoming;
    let first = IncomingMessage {
        id: 0,
        caller: address(10),
        tag: 9,
        fee: q(10),
        tokens: q(90),
        data: Blob(b"data".to_vec()),
    };
    assert_eq!(shown[0], first);
    assert_eq!(shown.iter().map(|of| of.id).collect::<Vec<_>>(), [0, 1, 2]);
    // The queue is full until a round takes some up.
    refused_as(&submit(&mut network, &message(RUNTIME, 10, 0)), "root", 27);
    let outcome = network.outcome(2, Vec::new());
    let round = outcome.header.header.round;
    network.deliver(&[outcome]);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    assert_eq!(
        network.latest().in_msgs_hash,
        io::incoming_hash(&shown[..2])
    );
    let taken = |id| {
        RoothashEvent::MessageTaken(MessageTakenEvent {
            runtime_id: RUNTIME,
            id,
            round: round.0,
            caller: address(10),
            tag: 9,
        })
    };
    assert_eq!(network.told(), [taken(0), taken(1)]);
    assert_eq!(network.news().incoming, shown[2..]);
    // Numbers go on.
    ok(&submit(&mut network, &message(RUNTIME, 10, 0)));
    let ids: Vec<u64> = network.news().incoming.iter().map(|of| of.id).collect();
    assert_eq!(ids, [2, 3]);
    network.deliver(&[network.outcome(2, Vec::new())]);
    assert!(network.news().incoming.is_empty());
    // What waits outlives an epoch.
    ok(&submit(&mut network, &message(RUNTIME, 10, 0)));
    network.next_epoch();
    assert_eq!(network.news().incoming.len(), 1);
    assert_eq!(network.supply(), q(4_350_000));
    network.sound();
}

#[test]
fn other_messages_than_wait_fail_the_round() {
    let mut network = network();
    for _ in 0..2 {
        ok(&submit(&mut network, &message(RUNTIME, 10, 0)));
    }
    let shown = network.news().incoming;
    let scheduler = network.scheduler(0);
    let with = |network: &Network, count, hash| {
        let mut results = network.results(b"state");
        results.in_msgs_count = count;
        results.in_msgs_hash = Some(hash);
        let header = network::header(scheduler, results);
        network.sign(&scheduler, header)
    };
    // More than wait, none with a hash, some without one: refused as they arrive.
    let bad = [
        (3, io::incoming_hash(&shown)),
        (0, io::incoming_hash(&shown)),
        (1, Hash::EMPTY),
    ];
    for (count, hash) in bad {
        let commitment = with(&network, count, hash);
        refused_as(&network.commit(&[commitment]), "root", 15);
    }
    // Not the oldest: seen where the round is finalised.
    let commitment = with(&network, 1, io::incoming_hash(&shown[1..]));
    network.deliver(&[commitment]);
    assert_eq!(network.latest().header_type, HeaderType::RoundFailed);
    let why = network.events().into_iter().find_map(|event| match event {
        RootEvent::RoundFailed { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(why, Some(RoundFailure::IncomingMessages));
    assert_eq!(network.news().incoming, shown);
    network.deliver(&[network.outcome(1, Vec::new())]);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    network.sound();
}

#[test]
fn messages_that_cannot_wait_are_refused_and_paid_for() {
    let mut document = document(|_| ());
    document.runtimes = vec![descriptor(OTHER, rules(1, 0, 0))];
    document.nodes = vec![trilith_protocol::root::GenesisNode {
        id: node(81),
        roles: trilith_protocol::root::NodeRoles::COMPUTE,
    }];
    let mut network = Network::new(&document);
    let all = u128::MAX;
    let cases = [
        ("no runtime", message(real(9), 10, 0), ("root", 2)),
        ("of the plain list", message(OTHER, 10, 0), ("root", 27)),
        ("too low a fee", message(RUNTIME, 9, 100), ("root", 28)),
        (
            "more than it has",
            message(RUNTIME, 10, 2_000_000),
            ("staking", 3),
        ),
        (
            "more than there can be",
            message(RUNTIME, all, all),
            ("staking", 103),
        ),
    ];
    for (name, message, expected) in cases {
        let balance = network.account(&address(10)).general.balance;
        let held = network.account(&treasury());
        let transaction = network.signed(10, SUBMIT_MESSAGE, message.encode(), Some(FEE));
        let receipt = network.agreed(&[transaction]).receipts.remove(0);
        let (module, code) = rejection(&receipt).unwrap();
        assert_eq!((module, code), expected, "{name}: {:?}", receipt.status);
        let after = network.account(&address(10)).general.balance;
        assert_eq!(after.plus(FEE.amount), Some(balance), "{name}");
        assert_eq!(network.account(&treasury()), held, "{name}");
        assert!(network.news().incoming.is_empty(), "{name}");
    }
    refused_as(&network.send(10, SUBMIT_MESSAGE, vec![1]), "root", 1);
    let mut long = message(RUNTIME, 10, 0);
    long.data = Blob(vec![0; 128 * 1024]);
    let outcome = network.send(10, SUBMIT_MESSAGE, long.encode());
    assert!(rejection(&outcome).is_some(), "longer than a transaction");
    let poor = Fee { gas: 1_000, ..FEE };
    let body = message(RUNTIME, 10, 0).encode();
    let transaction = network.signed(10, SUBMIT_MESSAGE, body, Some(poor));
    let receipt = network.agreed(&[transaction]).receipts.remove(0);
    refused_as(&receipt, "consensus/transaction", 103);
    // A replay has the nonce of before.
    let body = message(RUNTIME, 10, 0).encode();
    let transaction = network.signed(10, SUBMIT_MESSAGE, body, Some(FEE));
    let receipts = network.agreed(std::slice::from_ref(&transaction)).receipts;
    ok(&receipts[0]);
    let again = network.agreed(&[transaction]).receipts.remove(0);
    refused_as(&again, "consensus/transaction", 1);
    assert_eq!(network.news().incoming.len(), 1);
    network.sound();
}

#[test]
fn a_suspended_runtime_takes_no_messages() {
    // There are not as many nodes.
    let mut network = Network::new(&document(|runtime| {
        runtime.executor.group_size = 50;
        runtime.executor.group_backup_size = 51;
    }));
    refused_as(&submit(&mut network, &message(RUNTIME, 10, 0)), "root", 3);
}

#[test]
fn a_round_is_shown_a_bounded_part_of_a_long_queue() {
    let mut document = document(|runtime| runtime.txn_scheduler.max_in_messages = 100);
    document.services.transactions.gas_per_byte = 0;
    let mut network = Network::new(&document);
    let mut long = message(RUNTIME, 10, 0);
    long.data = Blob(vec![7; 120 * 1024]);
    for _ in 0..36 {
        ok(&submit(&mut network, &long));
    }
    let shown = network.news().incoming;
    // 34 messages of 120 KiB and some bytes are within 4 MiB.
    assert_eq!(shown.len(), 34);
    network.deliver(&[network.outcome(34, Vec::new())]);
    assert_eq!(network.news().incoming.len(), 2);
}

fn staking(message: StakingMessage) -> Vec<u8> {
    RuntimeMessage::Staking(message).encode()
}

fn transfer(to: Address, amount: u128) -> Vec<u8> {
    let amount = q(amount);
    staking(StakingMessage::Transfer(Transfer { to, amount }))
}

/// Finalises a round that sends `messages`. Gives what the next round is told of them.
fn send(network: &mut Network, messages: Vec<Vec<u8>>) -> Vec<MessageResult> {
    let count = messages.len();
    let outcome = network.outcome(0, messages);
    let (round, entity) = (outcome.header.header.round, rounds::owner(&outcome.node_id));
    network.deliver(&[outcome]);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    let results = network.news().results.unwrap();
    assert_eq!(results.good_compute_entities, [node(entity)]);
    assert!(results.bad_compute_entities.is_empty());
    assert_eq!(results.messages.len(), count);
    let handled: Vec<RoothashEvent> = results
        .messages
        .iter()
        .map(|of| {
            RoothashEvent::MessageHandled(MessageHandledEvent {
                runtime_id: RUNTIME,
                round: round.0,
                index: of.index,
                module: of.module.clone(),
                code: of.code,
            })
        })
        .collect();
    assert_eq!(network.told(), handled);
    network.sound();
    results.messages
}

/// Module and code of each.
fn codes(results: &[MessageResult]) -> Vec<(&str, u32)> {
    let code = |result: &MessageResult| result.code;
    let module = results.iter().map(|result| result.module.as_str());
    module.zip(results.iter().map(code)).collect()
}

#[test]
fn a_runtime_moves_its_stake() {
    let mut document = document(|_| ());
    let ledger = &mut document.services.staking.ledger;
    let owner = ledger.get_mut(&address(20)).unwrap();
    owner.general.allowances.insert(treasury(), q(300));
    let mut network = Network::new(&document);
    let messages = vec![
        transfer(address(30), 700),
        staking(StakingMessage::Withdraw(Withdraw {
            from: address(20),
            amount: q(200),
        })),
        staking(StakingMessage::AddEscrow(Escrow {
            account: address(30),
            amount: q(1_000),
        })),
        staking(StakingMessage::ReclaimEscrow(ReclaimEscrow {
            account: address(30),
            shares: q(400),
        })),
    ];
    let results = send(&mut network, messages);
    let expected = [
        TransferResult {
            from: treasury(),
            to: address(30),
            amount: q(700),
        }
        .encode(),
        WithdrawResult {
            owner: address(20),
            beneficiary: treasury(),
            allowance: q(100),
            amount_change: q(200),
        }
        .encode(),
        AddEscrowEvent {
            owner: treasury(),
            escrow: address(30),
            amount: q(1_000),
            new_shares: q(1_000),
        }
        .encode(),
        ReclaimEscrowResult {
            owner: treasury(),
            escrow: address(30),
            amount: q(400),
            debonding_shares: q(400),
            remaining_shares: q(600),
            debond_end_time: Epoch(2),
        }
        .encode(),
    ];
    for (index, (result, expected)) in (0u32..).zip(results.iter().zip(expected)) {
        let good = MessageResult {
            index,
            result: RawItem(expected),
            ..MessageResult::default()
        };
        assert_eq!(*result, good);
    }
    assert_eq!(network.account(&address(30)).general.balance, q(1_000_700));
    assert_eq!(network.account(&treasury()).general.balance, q(48_500));
    assert_eq!(network.account(&address(20)).general.balance, q(999_800));
    assert_eq!(network.stake(30), 100_600);
    // It has no transactions of its own, so no nonce.
    assert_eq!(network.account(&treasury()).general.nonce, 0);
    for _ in 0..3 {
        network.next_epoch();
    }
    assert_eq!(network.account(&treasury()).general.balance, q(48_900));
    assert_eq!(network.supply(), q(4_350_000));
    network.sound();
}

#[test]
fn each_message_takes_effect_by_itself() {
    let mut network = network();
    let cast = GovernanceMessage::CastVote(RawItem(vec![0xa0]));
    let propose = GovernanceMessage::SubmitProposal(RawItem(vec![0xa0]));
    let foreign = registry::runtime(&network.view, &RUNTIME).unwrap().unwrap();
    let foreign = RegistryMessage::UpdateRuntime(Box::new(foreign));
    let messages = vec![
        transfer(address(30), 50_001),
        transfer(address(30), 1),
        vec![0x01],
        RuntimeMessage::Governance(cast).encode(),
        RuntimeMessage::Governance(propose).encode(),
        // The entity governs the runtime, not the runtime itself.
        RuntimeMessage::Registry(foreign).encode(),
        transfer(trilith_protocol::root::COMMON_POOL, 1),
        transfer(address(30), 2),
    ];
    let results = send(&mut network, messages);
    let found = codes(&results);
    let refused: Vec<bool> = found.iter().map(|(_, code)| *code != 0).collect();
    assert_eq!(refused, [true, false, true, true, true, true, true, false]);
    assert_eq!(found[0], ("staking", 3));
    assert_eq!(
        found[2..5],
        [("root", 29), ("governance", 1), ("governance", 1)]
    );
    assert_eq!(found[5..7], [("registry", 16), ("staking", 5)]);
    assert!(
        results
            .iter()
            .all(|of| (of.code == 0) != of.result.0.is_empty())
    );
    assert_eq!(network.account(&treasury()).general.balance, q(49_997));
    // Only what was executed is told as having happened.
    let moved = network
        .events()
        .into_iter()
        .filter(|event| matches!(event, RootEvent::Staking(_)));
    assert_eq!(moved.count(), 2);
    // The next round with an outcome replaces the results; one that fails keeps them.
    let before = network.news().results;
    network.next_epoch();
    assert_eq!(network.news().results, before);
    assert!(send(&mut network, Vec::new()).is_empty());
}

#[test]
fn runtimes_delegate_only_where_the_network_lets_them() {
    let mut document = document(|_| ());
    document.services.staking.params.allow_escrow_messages = false;
    let mut network = Network::new(&document);
    let escrow = StakingMessage::AddEscrow(Escrow {
        account: address(30),
        amount: q(1_000),
    });
    let reclaim = StakingMessage::ReclaimEscrow(ReclaimEscrow {
        account: address(30),
        shares: q(1),
    });
    let results = send(&mut network, vec![staking(escrow), staking(reclaim)]);
    let found = codes(&results);
    assert!(
        found
            .iter()
            .all(|(module, code)| *module == "staking" && *code != 0)
    );
    assert_eq!(found[0], found[1], "both are forbidden");
    assert_eq!(network.stake(30), 100_000);
}

#[test]
fn a_runtime_that_governs_itself_changes_itself() {
    let mut document = document(|runtime| runtime.governance_model = GOVERNANCE_RUNTIME);
    // Its own account has the claim of a runtime.
    let staking = &mut document.services.staking;
    let account = staking.ledger.get_mut(&treasury()).unwrap();
    account.escrow.active.balance = q(500);
    account.escrow.active.total_shares = q(500);
    let own = trilith_protocol::root::staking::Delegation { shares: q(500) };
    staking
        .delegations
        .insert(treasury(), [(treasury(), own)].into());
    staking.total_supply = q(4_350_500);
    let mut network = Network::new(&document);
    let now = registry::runtime(&network.view, &RUNTIME).unwrap().unwrap();
    let mut changed = now.clone();
    changed.executor.max_messages = 3;
    changed.txn_scheduler.max_in_messages = 1;
    let update = |of: &Runtime| {
        RuntimeMessage::Registry(RegistryMessage::UpdateRuntime(Box::new(of.clone()))).encode()
    };
    // Another runtime is not its business; a new one cannot be made so; the network's limits hold.
    let mut other = changed.clone();
    other.id = real(5);
    let mut greedy = changed.clone();
    greedy.executor.max_messages = 129;
    let mut long = changed.clone();
    long.txn_scheduler.max_in_messages = 129;
    let messages = [&other, &greedy, &long, &changed].map(update);
    let results = send(&mut network, messages.to_vec());
    let found = codes(&results);
    assert_eq!(found[0].0, "registry");
    assert_eq!(found[1..], [("root", 31), ("root", 32), ("", 0)]);
    assert_eq!(results[3].result.0, changed.encode());
    assert_eq!(
        registry::runtime(&network.view, &RUNTIME),
        Ok(Some(changed))
    );
    assert_eq!(registry::runtime(&network.view, &real(5)), Ok(None));
    // Its entity cannot change it.
    let receipt = network.register_runtime(10, &now);
    assert_eq!(
        rejection(&receipt).map(|(module, _)| module),
        Some("registry")
    );
    network.sound();
}

#[test]
fn who_delivers_a_commitment_pays_for_its_messages() {
    let mut network = network();
    let messages = vec![
        transfer(address(30), 1),
        transfer(address(30), 2),
        vec![0x01],
    ];
    let commitment = network.outcome(0, messages);
    let body = {
        let bytes = network::transaction(RUNTIME, &[commitment]);
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
    // The bytes, the commitment, two transfers; what is no message is free.
    let signed = |network: &Network, gas| {
        let fee = Fee {
            amount: Quantity::ZERO,
            gas,
        };
        network.signed(10, EXECUTOR_COMMIT, body.clone(), Some(fee))
    };
    let bytes = signed(&network, 10_000).len() as u64;
    let needed = bytes + 1_000 + 2 * 1_000;
    assert_eq!(signed(&network, needed).len() as u64, bytes);
    let poor = network.agreed(&[signed(&network, needed - 1)]);
    refused_as(&poor.receipts[0], "consensus/transaction", 103);
    let enough = network.agreed(&[signed(&network, needed)]);
    ok(&enough.receipts[0]);
    assert_eq!(network.account(&treasury()).general.balance, q(49_997));
    network.sound();
}

#[test]
fn messages_cost_no_gas_of_the_height() {
    let mut document = document(|_| ());
    document.services.transactions.max_block_gas = 1;
    let mut network = Network::new(&document);
    let results = send(&mut network, vec![transfer(address(30), 1)]);
    assert_eq!(codes(&results), [("", 0)]);
}

/// What happens at a height of a random history.
#[derive(Clone, Debug)]
enum Act {
    /// An entity submits a message.
    Submit { by: u8, fee: u128, tokens: u128 },
    /// A round takes up messages and sends some.
    Round { taken: usize, sent: Vec<(u8, u128)> },
    /// An epoch begins.
    Epoch,
}

fn act() -> impl Strategy<Value = Act> {
    let sent = proptest::collection::vec((0u8..6, 0u128..30_000), 0..4);
    prop_oneof![
        4 => (0usize..3, 0u128..20, 0u128..600_000).prop_map(|(by, fee, tokens)| Act::Submit {
            by: [10, 20, 30][by],
            fee,
            tokens,
        }),
        4 => (0usize..4, sent).prop_map(|(taken, sent)| Act::Round { taken, sent }),
        1 => Just(Act::Epoch),
    ]
}

fn sent((kind, amount): (u8, u128)) -> Vec<u8> {
    let amount = q(amount);
    match kind {
        0 => transfer(address(30), amount.units()),
        1 => staking(StakingMessage::AddEscrow(Escrow {
            account: address(20),
            amount,
        })),
        2 => staking(StakingMessage::ReclaimEscrow(ReclaimEscrow {
            account: address(20),
            shares: amount,
        })),
        3 => staking(StakingMessage::Withdraw(Withdraw {
            from: address(10),
            amount,
        })),
        4 => transfer(trilith_protocol::root::BURN_ADDRESS, amount.units()),
        _ => vec![0x01],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is submitted, taken up and sent: both roots agree at every height, no stake is lost
    /// but what is burnt, and what waits is what was submitted and not taken up.
    #[test]
    fn random_histories_keep_stake_and_queue(acts in proptest::collection::vec(act(), 1..25)) {
        let mut network = network();
        let mut waiting = 0;
        for act in acts {
            match act {
                Act::Submit { by, fee, tokens } => {
                    let body = message(RUNTIME, fee, tokens).encode();
                    let receipt = network.send(by, SUBMIT_MESSAGE, body);
                    if rejection(&receipt).is_none() {
                        waiting += 1;
                    }
                }
                Act::Round { taken, sent: list } => {
                    // At the first height of an epoch the round that ran is over.
                    let next = state::tip(&network.view).unwrap().height.next();
                    if next.0.is_multiple_of(EPOCH) {
                        network.next_epoch();
                    }
                    let taken = taken.min(waiting);
                    let before = network.supply();
                    let messages: Vec<Vec<u8>> = list.iter().copied().map(sent).collect();
                    network.deliver(&[network.outcome(taken, messages)]);
                    prop_assert_eq!(network.latest().header_type, HeaderType::Normal);
                    waiting -= taken;
                    let results = network.news().results.unwrap().messages;
                    let burnt = list.iter().zip(&results);
                    let burnt = burnt.filter(|((kind, _), result)| *kind == 4 && result.code == 0);
                    let burnt: u128 = burnt.map(|((_, amount), _)| *amount).sum();
                    prop_assert_eq!(network.supply().units() + burnt, before.units());
                }
                Act::Epoch => network.next_epoch(),
            }
            prop_assert_eq!(network.news().incoming.len(), waiting);
            network.sound();
        }
    }
}
