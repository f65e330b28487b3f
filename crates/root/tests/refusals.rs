//! Every numbered reason to refuse of the registry, of staking and of transactions is produced
//! here once, and leaves nothing behind but a counted nonce.
//!
//! The lists of numbers cannot fall behind: a list does not compile without every variant of its
//! error, and the test does not pass without a case for every number of a list. What lies within a
//! reason (the rules of a descriptor, say) is tested beside the service.

mod network;
mod registered;

use std::collections::{BTreeMap, BTreeSet};

use network::{Network, OTHER, RUNTIME, address, descriptor, key, node, rejection, rules};
use registered::{
    COMPUTE, FREE, STORAGE, VALIDATOR, deployment, document, entity_of, node_of, of_runtime, ok,
    real, runtime_of, signed_entity, signed_node,
};
use trilith_params::root::ACCOUNT_BYTES_MAX;
use trilith_protocol::root::registry::{
    CapabilityTee, DEREGISTER_ENTITY, GOVERNANCE_RUNTIME, KIND_KEY_MANAGER, Node, NodeStatus,
    REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, Runtime, TEE_SGX, UNFREEZE_NODE,
    UnfreezeNode,
};
use trilith_protocol::root::staking::{
    ADD_ESCROW, ALLOW, AMEND_COMMISSION_SCHEDULE, Account, Allow, AmendCommissionSchedule, BURN,
    Burn, CommissionRateStep, CommissionSchedule, Delegation, Escrow, RECLAIM_ESCROW,
    ReclaimEscrow, TRANSFER, Transfer, WITHDRAW, Withdraw,
};
use trilith_protocol::root::{
    Address, Blob, COMMON_POOL, Fee, Name, Quantity, RawItem, Signed, TRANSACTION_BYTES_MAX,
    Transaction,
};
use trilith_protocol::{
    CheckContext, ROOT_RUNTIME, Receipt, ReceiptStatus, RootGenesis, Runtime as _,
};
use trilith_root::registry::{RegistryError, RuntimeChange, RuntimeRule};
use trilith_root::staking::StakingError;
use trilith_root::{Root, TransactionError, registry, staking};
use trilith_types::{Epoch, Hash, RuntimeId, SignatureContext, TimeNanos};

/// Lists the numbers of an error. A variant that is missing here does not compile.
macro_rules! numbers {
    ($name:ident of $error:ident: $($code:literal $variant:ident),* $(,)?) => {
        const $name: &[(u32, &str)] = &[$(($code, stringify!($variant))),*];
        const _: fn(&$error) -> u32 = |error| match error {
            $($error::$variant { .. } => $code,)*
        };
    };
}

numbers! { OF_REGISTRY of RegistryError:
    1 Malformed, 2 Signature, 3 OtherEntity, 5 NoEnclaves, 8 HardwareMismatch, 9 NoSuchEntity,
    10 NoSuchNode, 11 NoSuchRuntime, 12 Signer, 13 Expired, 14 Frozen, 15 HasNodes, 16 Forbidden,
    17 NodeChange, 18 RuntimeChange, 19 HasRuntimes, 101 Version, 102 NodeTwice, 103 Attestation,
    104 Node, 105 NotListed, 106 TooLong, 107 Runtime, 108 Deployment, 109 TooManyRuntimes,
    110 Unowned,
}

numbers! { OF_STAKING of StakingError:
    1 Malformed, 3 InsufficientBalance, 4 InsufficientStake, 5 Forbidden, 7 TooManyAllowances,
    8 UnderMinDelegation, 9 UnderMinTransfer, 10 BalanceTooLow, 11 AllowanceOverSupply,
    101 NoShares, 102 EmptyPool, 103 Overflow, 104 SameAccount, 105 Commission,
    106 InsufficientShares, 107 AccountTooLarge,
}

numbers! { OF_TRANSACTION of TransactionError:
    1 Nonce, 2 FeeBalance, 3 GasPrice, 5 MethodUnknown, 101 Malformed, 102 Signature, 103 OutOfGas,
    104 BlockOutOfGas,
}

/// A transaction on a network. Where it is authentic, its signer's nonce is counted.
struct Attempt {
    network: Network,
    input: Vec<u8>,
    authentic: Option<u8>,
}

/// Makes the attempt that is refused for the reason of a number.
type Case = (u32, fn() -> Attempt);

/// An attempt of somebody who may make it, for no fee.
fn by(network: Network, number: u8, method: &str, body: Vec<u8>) -> Attempt {
    Attempt {
        input: network.signed(number, method, body, Some(FREE)),
        network,
        authentic: Some(number),
    }
}

/// Makes an attempt, and holds what it changed against what a height without it changes.
fn refuse(attempt: Attempt, expected: (&str, u32)) {
    let Attempt {
        mut network,
        input,
        authentic,
    } = attempt;
    let mut idle = Network {
        root: Root::new(),
        view: network.view.clone(),
        chain: network.chain,
        remember: false,
    };
    let signer = authentic.map(address);
    let before = signer.map(|signer| network.account(&signer));
    // One case has claims of nothing that is registered.
    let claims = registry::check(&network.view);
    let receipt = network.height(&[input]).receipts.remove(0);
    assert_eq!(rejection(&receipt), Some(expected), "{:?}", receipt.status);
    idle.idle(1);
    let changed: BTreeSet<_> = {
        let (left, right) = (&network.view.entries, &idle.view.entries);
        let keys = left.keys().chain(right.keys());
        keys.filter(|key| left.get(*key) != right.get(*key))
            .collect()
    };
    assert_eq!(
        changed.len(),
        usize::from(authentic.is_some()),
        "{expected:?}"
    );
    if let (Some(signer), Some(mut account)) = (signer, before) {
        account.general.nonce += 1;
        assert_eq!(network.account(&signer), account, "{expected:?}");
    }
    assert_eq!(staking::check(&network.view), Ok(()));
    assert_eq!(registry::check(&network.view), claims);
}

/// Refuses what the cases attempt; there must be one for every number.
fn every_number(module: &str, numbers: &[(u32, &str)], cases: &[Case]) {
    let listed: BTreeMap<u32, &str> = numbers.iter().copied().collect();
    assert_eq!(
        listed.len(),
        numbers.len(),
        "{module}: a number stands twice"
    );
    let produced: BTreeSet<u32> = cases.iter().map(|(code, _)| *code).collect();
    let silent: Vec<_> = listed
        .iter()
        .filter(|(code, _)| !produced.contains(code))
        .collect();
    assert!(silent.is_empty(), "{module}: nothing produces {silent:?}");
    for (code, attempt) in cases {
        assert!(
            listed.contains_key(code),
            "{module}: {code} is no number of it"
        );
        refuse(attempt(), (module, *code));
    }
}

/// A network whose first epoch outlasts a test.
fn network_of(change: impl FnOnce(&mut RootGenesis)) -> Network {
    let mut document = document();
    document.epoch_interval = 100_000;
    change(&mut document);
    Network::new(&document)
}

/// Entity 10 with nodes 11 to 14, and a runtime.
fn ready() -> Network {
    let mut network = network_of(|_| ());
    ok(&network.register_entity(10, &[11, 12, 13, 14]));
    ok(&network.register_runtime(10, &runtime_of(10, real(1), 1)));
    network
}

fn good() -> Node {
    node_of(10, 11, 2, (COMPUTE, &[real(1)]))
}

/// The registration of a node that is good but for one thing.
fn with_node(network: Network, change: impl FnOnce(&mut Node)) -> Attempt {
    let mut node = good();
    change(&mut node);
    by(network, 11, REGISTER_NODE, signed_node(&node, 11).encode())
}

/// The registration of a runtime that is good but for one thing.
fn with_runtime(network: Network, change: impl FnOnce(&mut Runtime)) -> Attempt {
    let mut runtime = runtime_of(10, real(5), 1);
    change(&mut runtime);
    by(network, 10, REGISTER_RUNTIME, runtime.encode())
}

fn enclave() -> CapabilityTee {
    CapabilityTee {
        hardware: TEE_SGX,
        rak: node(1),
        rek: None,
        attestation: None,
    }
}

/// A runtime in enclaves, of which it names one.
fn in_enclaves(id: RuntimeId) -> Runtime {
    let mut runtime = runtime_of(10, id, 1);
    runtime.tee_hardware = TEE_SGX;
    let constraints = b"\xa2\x61v\x01\x68enclaves\x81\xa0";
    runtime.deployments[0].tee = Blob(constraints.to_vec());
    runtime
}

fn thaw(number: u8) -> Vec<u8> {
    let node_id = node(number);
    UnfreezeNode { node_id }.encode()
}

fn frozen() -> Network {
    network_of(|document| {
        let registry = &mut document.services.registry;
        registry.entities = vec![signed_entity(&entity_of(10, &[11]), 10)];
        registry.nodes = vec![signed_node(&node_of(10, 11, 9, (VALIDATOR, &[])), 11)];
        let status = NodeStatus {
            freeze_end_time: 2,
            ..NodeStatus::default()
        };
        registry.node_statuses = [(node(11), status)].into();
    })
}

const REGISTRY: &[Case] = &[
    (1, || by(ready(), 10, REGISTER_ENTITY, vec![0x01])),
    (2, || {
        let mut forged = signed_entity(&entity_of(10, &[]), 10);
        forged.raw.0[10] ^= 1;
        by(ready(), 10, REGISTER_ENTITY, forged.encode())
    }),
    // The same descriptor, signed as something else.
    (2, || {
        let context = SignatureContext::RootTransaction;
        let entity = entity_of(10, &[]).encode();
        let signed = Signed::sign(&key(10), context, &Hash::EMPTY, entity);
        by(ready(), 10, REGISTER_ENTITY, signed.encode())
    }),
    (3, || {
        let mut network = ready();
        ok(&network.register_node(11, &good()));
        by(network, 20, UNFREEZE_NODE, thaw(11))
    }),
    (5, || {
        with_runtime(ready(), |runtime| runtime.tee_hardware = TEE_SGX)
    }),
    (8, || {
        with_node(ready(), |node| {
            let runtimes = node.runtimes.as_mut().unwrap();
            runtimes[0].capabilities.tee = Some(enclave());
        })
    }),
    (9, || by(ready(), 30, DEREGISTER_ENTITY, Vec::new())),
    (10, || by(ready(), 10, UNFREEZE_NODE, thaw(12))),
    (11, || {
        with_node(ready(), |node| {
            node.runtimes = Some(vec![of_runtime(real(9), 1)])
        })
    }),
    (12, || {
        let signed = signed_entity(&entity_of(10, &[]), 10);
        by(ready(), 20, REGISTER_ENTITY, signed.encode())
    }),
    (13, || with_node(ready(), |node| node.expiration = Epoch(0))),
    (14, || by(frozen(), 10, UNFREEZE_NODE, thaw(11))),
    (15, || by(frozen(), 10, DEREGISTER_ENTITY, Vec::new())),
    (16, || {
        let mut network = network_of(|document| {
            let params = &mut document.services.registry.params;
            params.disable_runtime_registration = true;
        });
        ok(&network.register_entity(10, &[]));
        with_runtime(network, |_| ())
    }),
    (17, || {
        let mut network = ready();
        ok(&network.register_node(11, &good()));
        with_node(network, |node| node.roles = STORAGE)
    }),
    (18, || {
        with_runtime(ready(), |runtime| {
            runtime.deployments[0].valid_from = Epoch(0)
        })
    }),
    (19, || by(ready(), 10, DEREGISTER_ENTITY, Vec::new())),
    (101, || {
        let mut old = entity_of(10, &[]);
        old.v = 1;
        by(
            ready(),
            10,
            REGISTER_ENTITY,
            signed_entity(&old, 10).encode(),
        )
    }),
    (102, || {
        let twice = signed_entity(&entity_of(10, &[1, 2, 1]), 10);
        by(ready(), 10, REGISTER_ENTITY, twice.encode())
    }),
    (103, || {
        let mut network = ready();
        ok(&network.register_runtime(10, &in_enclaves(real(3))));
        with_node(network, |node| {
            let mut of = of_runtime(real(3), 1);
            of.capabilities.tee = Some(enclave());
            node.runtimes = Some(vec![of]);
        })
    }),
    (104, || with_node(ready(), |node| node.roles = 0)),
    (105, || {
        let mut network = ready();
        ok(&network.register_entity(20, &[21]));
        with_node(network, |of| of.entity_id = node(20))
    }),
    (106, || {
        with_node(ready(), |node| node.expiration = Epoch(3))
    }),
    (107, || {
        with_runtime(ready(), |runtime| runtime.executor.group_size = 0)
    }),
    (108, || {
        with_runtime(ready(), |runtime| {
            runtime.deployments.push(deployment(2, 1))
        })
    }),
    (109, || {
        let mut network = network_of(|document| {
            let plain = (0..1_024).map(|n| descriptor(RuntimeId::test(n), rules(1, 0, 0)));
            document.runtimes = plain.collect();
        });
        ok(&network.register_entity(10, &[]));
        with_runtime(network, |_| ())
    }),
    (110, || {
        let mut network = network_of(|document| {
            document.runtimes = vec![descriptor(RUNTIME, rules(1, 0, 0))];
            let params = &mut document.services.registry.params;
            params.debug_allow_test_runtimes = true;
        });
        ok(&network.register_entity(10, &[]));
        with_runtime(network, |runtime| runtime.id = RUNTIME)
    }),
];

#[test]
fn every_number_of_the_registry_is_produced() {
    every_number("registry", OF_REGISTRY, REGISTRY);
}

/// The rules within a reason that no other test breaks. Two more can be broken by nothing that
/// comes so far: the kind of a runtime is a part of its identifier, and nodes in enclaves are
/// refused before their hardware could change.
#[test]
fn key_managers_do_not_change_and_do_not_govern_themselves() {
    let mut bytes = [0; 32];
    bytes[0] = 0x40;
    let mut keeper = in_enclaves(RuntimeId::from_bytes(bytes));
    keeper.kind = KIND_KEY_MANAGER;
    let mut own = keeper.clone();
    own.governance_model = GOVERNANCE_RUNTIME;
    let rule = RegistryError::Runtime(RuntimeRule::SelfGovernance);
    let mut network = ready();
    let said = |receipt: &Receipt| match &receipt.status {
        ReceiptStatus::Rejected { code, message, .. } => (*code, message.clone()),
        ReceiptStatus::Accepted => panic!("it was accepted"),
    };
    let receipt = network.register_runtime(10, &own);
    assert_eq!(said(&receipt), (rule.code(), rule.to_string()));
    ok(&network.register_runtime(10, &keeper));
    // A runtime may get a key manager, but not lose it.
    let without = in_enclaves(real(3));
    let mut with = without.clone();
    with.key_manager = Some(keeper.id);
    ok(&network.register_runtime(10, &without));
    ok(&network.register_runtime(10, &with));
    let rule = RegistryError::RuntimeChange(RuntimeChange::KeyManager);
    let receipt = network.register_runtime(10, &without);
    assert_eq!(said(&receipt), (rule.code(), rule.to_string()));
    network.sound();
}

fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// Entities 10, 20 and 30 have a million; some limits are low.
fn poor() -> Network {
    network_of(|document| {
        let params = &mut document.services.staking.params;
        params.min_transfer = q(5);
        params.min_delegation = q(7);
        params.min_transact_balance = q(100);
        params.max_allowances = 1;
    })
}

fn transfer(to: Address, amount: u128) -> Vec<u8> {
    let amount = q(amount);
    Transfer { to, amount }.encode()
}

fn escrow(to: u8, amount: u128) -> Vec<u8> {
    Escrow {
        account: address(to),
        amount: q(amount),
    }
    .encode()
}

fn reclaim(from: u8, shares: u128) -> Vec<u8> {
    ReclaimEscrow {
        account: address(from),
        shares: q(shares),
    }
    .encode()
}

fn allow(to: u8, amount: u128) -> Vec<u8> {
    Allow {
        beneficiary: address(to),
        negative: false,
        amount_change: q(amount),
    }
    .encode()
}

/// Entity 10 has claims of so many bytes that an allowance more does not fit.
fn full() -> Network {
    network_of(|document| {
        let staking = &mut document.services.staking;
        staking.params.max_allowances = 1;
        let account = staking.ledger.get_mut(&address(10)).unwrap();
        let claim = |account: &mut Account, number: u32, len: usize| {
            let claims = &mut account.escrow.stake_accumulator.claims;
            claims.insert(Name(format!("{number:0>len$}")), Vec::new());
        };
        let mut number = 0;
        while account.encode().len() + 2_000 < ACCOUNT_BYTES_MAX {
            claim(account, number, 1_000);
            number += 1;
        }
        let left = ACCOUNT_BYTES_MAX - account.encode().len();
        claim(account, number, left / 2 - 10);
        claim(account, number + 1, left / 2 - 10);
    })
}

const STAKING: &[Case] = &[
    (1, || by(poor(), 10, TRANSFER, vec![0xa0])),
    (3, || {
        by(poor(), 10, TRANSFER, transfer(address(20), 2_000_000))
    }),
    (3, || {
        let amount = q(2_000_000);
        by(poor(), 10, BURN, Burn { amount }.encode())
    }),
    (4, || {
        let signed = signed_entity(&entity_of(40, &[]), 40);
        by(network_of(|_| ()), 40, REGISTER_ENTITY, signed.encode())
    }),
    (5, || by(poor(), 10, TRANSFER, transfer(COMMON_POOL, 99))),
    (5, || {
        let body = Withdraw {
            from: address(20),
            amount: q(50),
        };
        by(poor(), 10, WITHDRAW, body.encode())
    }),
    (7, || {
        let mut network = poor();
        ok(&network.free(10, ALLOW, allow(20, 10)));
        by(network, 10, ALLOW, allow(30, 10))
    }),
    (8, || by(poor(), 10, ADD_ESCROW, escrow(20, 6))),
    (9, || by(poor(), 10, TRANSFER, transfer(address(20), 4))),
    (10, || by(poor(), 10, TRANSFER, transfer(address(9), 99))),
    (11, || by(poor(), 10, ALLOW, allow(20, 4_300_001))),
    (101, || by(poor(), 10, RECLAIM_ESCROW, reclaim(10, 0))),
    (102, || {
        let network = network_of(|document| {
            let staking = &mut document.services.staking;
            let mut lost = Account::default();
            lost.escrow.active.total_shares = q(10);
            let shares = Delegation { shares: q(10) };
            staking.ledger.insert(address(50), lost);
            staking
                .delegations
                .insert(address(50), [(address(10), shares)].into());
        });
        by(network, 10, ADD_ESCROW, escrow(50, 10))
    }),
    (103, || {
        let mut network = poor();
        ok(&network.free(10, ALLOW, allow(20, 10)));
        by(network, 10, ALLOW, allow(20, u128::MAX))
    }),
    (104, || by(poor(), 10, ALLOW, allow(10, 5))),
    (105, || {
        let rates = vec![CommissionRateStep {
            start: Epoch(1),
            rate: q(1_000_000),
        }];
        let amendment = CommissionSchedule {
            rates,
            bounds: Vec::new(),
        };
        let body = AmendCommissionSchedule { amendment };
        by(poor(), 10, AMEND_COMMISSION_SCHEDULE, body.encode())
    }),
    (106, || by(poor(), 10, RECLAIM_ESCROW, reclaim(20, 1))),
    (107, || by(full(), 10, ALLOW, allow(20, 10))),
];

#[test]
fn every_number_of_staking_is_produced() {
    every_number("staking", OF_STAKING, STAKING);
}

/// A transaction that is good but for one thing.
fn with_transaction(
    network: Network,
    change: impl FnOnce(&mut Transaction),
    chain: impl FnOnce(&Network) -> Hash,
) -> Attempt {
    let mut transaction = Transaction {
        nonce: 0,
        fee: Some(FREE),
        method: TRANSFER.into(),
        body: RawItem(transfer(address(20), 5)),
    };
    change(&mut transaction);
    let chain = chain(&network);
    Attempt {
        input: transaction.sign(&key(10), &chain).encode(),
        network,
        authentic: None,
    }
}

fn own(network: &Network) -> Hash {
    network.chain
}

/// A transaction with so much gas, which stands in a network but may not have enough.
fn with_gas(network: Network, gas: u64) -> Attempt {
    let amount = Quantity::ZERO;
    let fee = |transaction: &mut Transaction| transaction.fee = Some(Fee { amount, gas });
    Attempt {
        authentic: Some(10),
        ..with_transaction(network, fee, own)
    }
}

fn plain() -> Network {
    network_of(|_| ())
}

const TRANSACTIONS: &[Case] = &[
    (1, || with_transaction(plain(), |of| of.nonce = 1, own)),
    (2, || {
        let amount = q(2_000_000);
        let fee = Fee {
            amount,
            gas: 100_000,
        };
        with_transaction(plain(), |of| of.fee = Some(fee), own)
    }),
    (3, || {
        let network = network_of(|document| document.services.transactions.min_gas_price = 1);
        with_transaction(network, |_| (), own)
    }),
    (5, || {
        with_transaction(plain(), |of| of.method = "staking.Mint".into(), own)
    }),
    (101, || {
        with_transaction(plain(), |of| of.method = "".into(), own)
    }),
    // The network's name is the hash of its genesis document: another one's signatures are void.
    (102, || {
        let other = |_: &Network| network_of(|document| document.chain = "other".into()).chain;
        with_transaction(plain(), |_| (), other)
    }),
    (103, || with_gas(plain(), 10)),
    (104, || {
        let network = network_of(|document| document.services.transactions.max_block_gas = 50);
        with_gas(network, 100_000)
    }),
];

#[test]
fn every_number_of_transactions_is_produced() {
    every_number("consensus/transaction", OF_TRANSACTION, TRANSACTIONS);
}

/// A transaction that is refused has used the gas of its height, one that is not authentic has not.
#[test]
fn gas_is_charged_for_what_fails_and_not_for_what_is_forged() {
    let call = |network: &Network, number: u8, amount| {
        let body = transfer(address(30), amount);
        network.signed(number, TRANSFER, body, Some(FREE))
    };
    let len = call(&plain(), 10, 2_000_000).len() as u64;
    let tight = || {
        // Enough for one transfer and its bytes, not for two.
        network_of(|document| {
            document.services.transactions.max_block_gas = 2 * (1_000 + len) - 100;
        })
    };
    let mut network = tight();
    let inputs = [call(&network, 10, 2_000_000), call(&network, 20, 5)];
    let outcome = network.height(&inputs);
    assert_eq!(rejection(&outcome.receipts[0]), Some(("staking", 3)));
    let found = rejection(&outcome.receipts[1]);
    assert_eq!(found, Some(("consensus/transaction", 104)));
    let nonce = |network: &Network, number| network.account(&address(number)).general.nonce;
    assert_eq!((nonce(&network, 10), nonce(&network, 20)), (1, 1));
    let mut network = tight();
    let mut forged = call(&network, 10, 5);
    *forged.last_mut().unwrap() ^= 1;
    let inputs = [forged, call(&network, 20, 5)];
    let outcome = network.height(&inputs);
    assert!(rejection(&outcome.receipts[0]).is_some());
    assert_eq!(rejection(&outcome.receipts[1]), None);
    assert_eq!((nonce(&network, 10), nonce(&network, 20)), (0, 1));
    network.sound();
}

/// The fee of a transaction that fails is paid; whoever did not sign pays nothing.
#[test]
fn the_fee_of_a_failure_goes_where_fees_go() {
    let mut network = plain();
    let before = network.account(&address(10)).general.balance;
    let failed = network.call(10, TRANSFER, transfer(address(20), 2_000_000));
    assert_eq!(rejection(&failed), Some(("staking", 3)));
    let after = network.account(&address(10)).general.balance;
    assert_eq!(before.minus(after), Some(q(1_000)));
    assert_eq!(network.account(&address(20)).general.balance, before);
    network.sound();
}

#[test]
fn what_was_executed_is_executed_once_and_in_one_network() {
    let mut network = plain();
    let input = network.signed(10, TRANSFER, transfer(address(20), 5), Some(FREE));
    // In a network that differs in nothing but its name it says nothing.
    let other = network_of(|document| document.chain = "other".into());
    let elsewhere = Attempt {
        network: other,
        input: input.clone(),
        authentic: None,
    };
    refuse(elsewhere, ("consensus/transaction", 102));
    let receipts = network.height(&[input.clone(), input.clone()]).receipts;
    assert_eq!(rejection(&receipts[0]), None);
    let again = Some(("consensus/transaction", 1));
    assert_eq!(rejection(&receipts[1]), again);
    let later = Attempt {
        network,
        input,
        authentic: None,
    };
    refuse(later, ("consensus/transaction", 1));
}

/// Commitments are bound to their runtime and network by what is signed.
#[test]
fn commitments_for_elsewhere_are_refused() {
    let two = |chain: &str| {
        let mut document = network::genesis(3, Vec::new());
        document.chain = chain.into();
        document.runtimes = vec![
            descriptor(RUNTIME, rules(1, 0, 0)),
            descriptor(OTHER, rules(1, 0, 0)),
        ];
        Network::new(&document)
    };
    let here = two("test");
    let scheduler = here.scheduler(0);
    let vote = here.vote(&scheduler, 0, b"state");
    // The other runtime starts from another block. Even with all that right, the signature says
    // which runtime it is for.
    let deliver = |network, runtime, vote| Attempt {
        network,
        input: network::transaction(runtime, &[vote]),
        authentic: None,
    };
    let of_other = trilith_root::state::latest_block(&here.view, &OTHER)
        .unwrap()
        .unwrap();
    let elected = trilith_root::state::committee(&here.view, &OTHER)
        .unwrap()
        .unwrap();
    let first = elected.scheduler(0, of_other.round.next()).unwrap();
    let header = network::header(first, network::results(&of_other, b"state"));
    let for_runtime = here.sign(&first, header);
    let refused = |attempt: Attempt, code| {
        let Attempt {
            mut network, input, ..
        } = attempt;
        let pools = |network: &Network| {
            [RUNTIME, OTHER].map(|id| trilith_root::state::pool(&network.view, &id).unwrap())
        };
        let before = pools(&network);
        let receipt = network.height(&[input]).receipts.remove(0);
        assert_eq!(
            rejection(&receipt),
            Some(("root", code)),
            "{:?}",
            receipt.status
        );
        assert_eq!(pools(&network), before);
        assert_eq!(network.latest().round.0, 0);
    };
    refused(deliver(two("test"), OTHER, for_runtime), 9);
    refused(deliver(two("test"), OTHER, vote.clone()), 6);
    refused(deliver(two("test"), RuntimeId::test(7), vote.clone()), 2);
    let mut network = two("test");
    assert_eq!(rejection(&network.commit(&[vote])), None);
    // In the other network the newest block is another one, and so is the name in the signature.
    let there = two("other");
    let header = network::header(there.scheduler(0), there.results(b"state"));
    let key = there.key_of(&there.scheduler(0));
    let foreign =
        trilith_protocol::ExecutorCommitment::sign(&key, header, Vec::new(), &RUNTIME, &here.chain);
    refused(deliver(there, RUNTIME, foreign), 9);
}

#[test]
fn what_is_too_large_is_refused_unread() {
    let oversized = |len: usize| {
        let network = plain();
        let transaction = Transaction {
            nonce: 0,
            fee: Some(FREE),
            method: TRANSFER.into(),
            body: {
                let mut encoder = trilith_types::cbor::Encoder::new();
                encoder.bytes(&vec![0; len]);
                RawItem(encoder.finish())
            },
        };
        let input = transaction.sign(&key(10), &network.chain).encode();
        (network, input)
    };
    let (network, input) = oversized(TRANSACTION_BYTES_MAX);
    assert!(input.len() > TRANSACTION_BYTES_MAX);
    let context = CheckContext {
        runtime: ROOT_RUNTIME,
        now: TimeNanos(0),
    };
    let refused = network
        .root
        .check(&network.view, &input, &context)
        .unwrap_err();
    assert_eq!((refused.module, refused.code), ("root", 1));
    let attempt = Attempt {
        network,
        input,
        authentic: None,
    };
    refuse(attempt, ("root", 1));
    // One that is not too large is read, and fails for what it says.
    let (network, input) = oversized(TRANSACTION_BYTES_MAX - 500);
    assert!(input.len() <= TRANSACTION_BYTES_MAX);
    let attempt = Attempt {
        network,
        input,
        authentic: Some(10),
    };
    refuse(attempt, ("staking", 1));
}
