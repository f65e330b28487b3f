//! The staking service through transactions: what each method does, every reason to refuse, and
//! what holds over random histories.

mod network;

use std::collections::BTreeMap;

use network::{FEE, Network, address, genesis, key, rejection};
use proptest::prelude::*;
use trilith_protocol::root::staking::{
    ADD_ESCROW, ALLOW, AMEND_COMMISSION_SCHEDULE, Account, Allow, AmendCommissionSchedule, BURN,
    Burn, CommissionBoundStep, CommissionRateStep, CommissionSchedule, Delegation, Escrow,
    RECLAIM_ESCROW, ReclaimEscrow, SharePool, StakingEvent, StakingGenesis, StakingParameters,
    TRANSFER, ThresholdKind, Transfer, WITHDRAW, Withdraw,
};
use trilith_protocol::root::{
    AccountRule, Address, BURN_ADDRESS, COMMON_POOL, Fee, GenesisError, Quantity, RawItem, Signed,
    Transaction,
};
use trilith_protocol::{
    CheckContext, ROOT_RUNTIME, Receipt, ReceiptStatus, RootEvent, RootGenesis, Runtime as _,
};
use trilith_root::{Root, genesis_write_log, staking, state};
use trilith_types::{Epoch, Hash, StateRead as _, TimeNanos};

const ALICE: u8 = 1;
const BOB: u8 = 2;
const CAROL: u8 = 3;

fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// Alice, Bob and Carol have a million base units each, and the common pool a hundred million.
fn stakes() -> StakingGenesis {
    let ledger: BTreeMap<Address, Account> = [ALICE, BOB, CAROL]
        .into_iter()
        .map(|number| {
            let mut account = Account::default();
            account.general.balance = q(1_000_000);
            (address(number), account)
        })
        .collect();
    StakingGenesis {
        params: StakingParameters {
            debonding_interval: 2,
            ..StakingParameters::default()
        },
        total_supply: q(103_000_000),
        common_pool: q(100_000_000),
        ledger,
        ..StakingGenesis::default()
    }
}

fn document(change: impl FnOnce(&mut StakingGenesis)) -> RootGenesis {
    let mut document = genesis(0, Vec::new());
    document.services.staking = stakes();
    document.epoch_interval = 10;
    change(&mut document.services.staking);
    document
}

fn network(change: impl FnOnce(&mut StakingGenesis)) -> Network {
    Network::new(&document(change))
}

fn plain() -> Network {
    network(|_| ())
}

fn transfer(to: u8, amount: u128) -> Vec<u8> {
    Transfer {
        to: address(to),
        amount: q(amount),
    }
    .encode()
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

fn allow(to: u8, amount: u128, negative: bool) -> Vec<u8> {
    Allow {
        beneficiary: address(to),
        negative,
        amount_change: q(amount),
    }
    .encode()
}

fn withdraw(from: u8, amount: u128) -> Vec<u8> {
    Withdraw {
        from: address(from),
        amount: q(amount),
    }
    .encode()
}

fn ok(receipt: &Receipt) {
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
}

fn refused(receipt: &Receipt, code: u32) {
    assert_eq!(
        rejection(receipt),
        Some(("staking", code)),
        "{:?}",
        receipt.status
    );
}

fn balance(network: &Network, number: u8) -> u128 {
    network.account(&address(number)).general.balance.units()
}

fn active(network: &Network, number: u8) -> SharePool {
    network.account(&address(number)).escrow.active
}

fn sound(network: &Network) {
    assert_eq!(staking::check(&network.view), Ok(()));
}

#[test]
fn a_transfer_moves_stake_and_costs_its_fee() {
    let mut network = plain();
    let receipt = network.call(ALICE, TRANSFER, transfer(BOB, 500));
    ok(&receipt);
    assert_eq!(balance(&network, ALICE), 1_000_000 - 500 - 1_000);
    assert_eq!(balance(&network, BOB), 1_000_500);
    assert_eq!(network.account(&address(ALICE)).general.nonce, 1);
    let events = RootEvent::decode_list(&receipt.output, 9).unwrap();
    let amounts: Vec<u128> = events
        .iter()
        .map(|event| match event {
            RootEvent::Staking(StakingEvent::Transfer(event)) => event.amount.units(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(amounts, [1_000, 500]);
    sound(&network);
    // To oneself it moves nothing, but the stake must be there.
    ok(&network.call(ALICE, TRANSFER, transfer(ALICE, 5)));
    refused(
        &network.call(ALICE, TRANSFER, transfer(ALICE, 1_000_000)),
        3,
    );
    sound(&network);
}

#[test]
fn what_is_burnt_is_gone() {
    let mut network = plain();
    ok(&network.call(ALICE, BURN, Burn { amount: q(10) }.encode()));
    let to_nobody = Transfer {
        to: BURN_ADDRESS,
        amount: q(20),
    };
    ok(&network.call(BOB, TRANSFER, to_nobody.encode()));
    assert_eq!(
        staking::total_supply(&network.view),
        Ok(q(103_000_000 - 30))
    );
    refused(
        &network.call(BOB, BURN, Burn { amount: q(1 << 40) }.encode()),
        3,
    );
    sound(&network);
}

#[test]
fn allowances_are_spent() {
    let mut network = plain();
    ok(&network.call(ALICE, ALLOW, allow(BOB, 100, false)));
    ok(&network.call(ALICE, ALLOW, allow(BOB, 30, true)));
    ok(&network.call(BOB, WITHDRAW, withdraw(ALICE, 50)));
    let left = &network.account(&address(ALICE)).general.allowances;
    assert_eq!(left.get(&address(BOB)), Some(&q(20)));
    refused(&network.call(BOB, WITHDRAW, withdraw(ALICE, 21)), 5);
    ok(&network.call(BOB, WITHDRAW, withdraw(ALICE, 20)));
    refused(&network.call(BOB, WITHDRAW, withdraw(ALICE, 0)), 5);
    assert!(
        network
            .account(&address(ALICE))
            .general
            .allowances
            .is_empty()
    );
    assert_eq!(balance(&network, BOB), 1_000_000 + 70 - 4 * 1_000);
    // Less than nothing is nothing.
    ok(&network.call(ALICE, ALLOW, allow(BOB, 30, true)));
    sound(&network);
}

#[test]
fn shares_are_worth_their_part_of_the_pool() {
    let mut network = network(|staking| {
        // A pool in which a share is worth a unit and a half.
        let carol = staking.ledger.get_mut(&address(CAROL)).unwrap();
        carol.escrow.active = SharePool {
            balance: q(1_500),
            total_shares: q(1_000),
        };
        let shares = Delegation { shares: q(1_000) };
        staking.delegations =
            BTreeMap::from([(address(CAROL), BTreeMap::from([(address(CAROL), shares)]))]);
        staking.total_supply = staking.total_supply.plus(q(1_500)).unwrap();
    });
    // 100 units are 66.7 shares: 66.
    ok(&network.call(ALICE, ADD_ESCROW, escrow(CAROL, 100)));
    let found = staking::delegation(&network.view, &address(CAROL), &address(ALICE));
    assert_eq!(found, Ok(Delegation { shares: q(66) }));
    assert_eq!(active(&network, CAROL).balance, q(1_600));
    assert_eq!(active(&network, CAROL).total_shares, q(1_066));
    // 66 shares are 99.06 units: 99.
    let before = balance(&network, ALICE);
    ok(&network.call(ALICE, RECLAIM_ESCROW, reclaim(CAROL, 66)));
    assert_eq!(active(&network, CAROL).balance, q(1_501));
    let debonding = network.account(&address(CAROL)).escrow.debonding;
    assert_eq!(debonding.balance, q(99));
    assert_eq!(debonding.total_shares, q(99));
    sound(&network);
    // Two epochs of ten heights later they are back.
    network.idle(17);
    assert_eq!(balance(&network, ALICE), before - 1_000);
    network.idle(1);
    assert_eq!(state::epoch(&network.view).unwrap().epoch, Epoch(2));
    assert_eq!(balance(&network, ALICE), before - 1_000 + 99);
    let released = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Staking(StakingEvent::ReclaimEscrow(event))
            if event.amount == q(99) && event.owner == address(ALICE))
    });
    assert!(released);
    sound(&network);
}

#[test]
fn what_ends_at_one_epoch_is_paid_together() {
    let mut network = plain();
    ok(&network.call(ALICE, ADD_ESCROW, escrow(ALICE, 1_000)));
    ok(&network.call(ALICE, RECLAIM_ESCROW, reclaim(ALICE, 300)));
    ok(&network.call(ALICE, RECLAIM_ESCROW, reclaim(ALICE, 200)));
    network.idle(8);
    ok(&network.call(ALICE, RECLAIM_ESCROW, reclaim(ALICE, 500)));
    assert!(active(&network, ALICE).balance.is_zero());
    sound(&network);
    network.idle(8);
    let debonding = network.account(&address(ALICE)).escrow.debonding;
    assert_eq!(debonding.balance, q(500));
    network.idle(10);
    assert_eq!(balance(&network, ALICE), 1_000_000 - 4 * 1_000);
    assert_eq!(
        network.account(&address(ALICE)).escrow.debonding,
        SharePool::default()
    );
    sound(&network);
}

#[test]
fn every_reason_to_refuse_has_its_number() {
    let mut network = network(|staking| {
        staking.params.min_transfer = q(5);
        staking.params.min_delegation = q(7);
        staking.params.min_transact_balance = q(100);
        staking.params.max_allowances = 1;
    });
    let dust = Transfer {
        to: address(9),
        amount: q(99),
    };
    let reserved = Transfer {
        to: COMMON_POOL,
        amount: q(99),
    };
    let cases = [
        (TRANSFER, vec![0xa0], 1),
        (RECLAIM_ESCROW, vec![0x01], 1),
        (TRANSFER, transfer(BOB, 999_950), 3),
        (TRANSFER, reserved.encode(), 5),
        (WITHDRAW, withdraw(BOB, 50), 5),
        (ADD_ESCROW, escrow(BOB, 6), 8),
        (TRANSFER, transfer(BOB, 4), 9),
        (BURN, Burn { amount: q(4) }.encode(), 9),
        (WITHDRAW, withdraw(BOB, 4), 9),
        (TRANSFER, dust.encode(), 10),
        (ADD_ESCROW, escrow(BOB, 988_950), 10),
        (ALLOW, allow(BOB, 103_000_001, false), 11),
        (RECLAIM_ESCROW, reclaim(BOB, 0), 101),
        (ALLOW, allow(ALICE, 5, false), 104),
        (WITHDRAW, withdraw(ALICE, 5), 104),
        (RECLAIM_ESCROW, reclaim(BOB, 1), 106),
    ];
    for (method, body, code) in cases {
        let nonce = network.account(&address(ALICE)).general.nonce;
        let receipt = network.call(ALICE, method, body);
        refused(&receipt, code);
        // Nonce and fee are taken all the same, and only they.
        let general = network.account(&address(ALICE)).general;
        assert_eq!(general.nonce, nonce + 1);
        assert_eq!(
            general.balance,
            q(1_000_000 - 1_000 * u128::from(nonce + 1))
        );
        let events = RootEvent::decode_list(&receipt.output, 9).unwrap();
        assert_eq!(events.len(), 1, "the fee: {events:?}");
        sound(&network);
    }
    ok(&network.call(ALICE, ALLOW, allow(BOB, 10, false)));
    refused(&network.call(ALICE, ALLOW, allow(CAROL, 10, false)), 7);
    refused(
        &network.call(ALICE, ALLOW, allow(BOB, u128::MAX, false)),
        103,
    );
}

#[test]
fn a_pool_without_stake_gives_no_shares() {
    let mut network = network(|staking| {
        let carol = staking.ledger.get_mut(&address(CAROL)).unwrap();
        carol.escrow.active.total_shares = q(10);
        let of_carol = [(address(ALICE), Delegation { shares: q(10) })];
        staking.delegations = BTreeMap::from([(address(CAROL), of_carol.into())]);
    });
    refused(&network.call(ALICE, ADD_ESCROW, escrow(CAROL, 10)), 102);
    // Shares that are worth nothing can be given back, for nothing.
    ok(&network.call(ALICE, RECLAIM_ESCROW, reclaim(CAROL, 10)));
    ok(&network.call(ALICE, ADD_ESCROW, escrow(CAROL, 10)));
    network.idle(30);
    sound(&network);
}

#[test]
fn shares_that_do_not_fit_are_refused() {
    let mut network = network(|staking| {
        let carol = staking.ledger.get_mut(&address(CAROL)).unwrap();
        carol.escrow.active = SharePool {
            balance: q(1),
            total_shares: q(u128::MAX - 1),
        };
        let shares = Delegation {
            shares: q(u128::MAX - 1),
        };
        staking.delegations =
            BTreeMap::from([(address(CAROL), BTreeMap::from([(address(CAROL), shares)]))]);
        staking.total_supply = staking.total_supply.plus(q(1)).unwrap();
    });
    refused(&network.call(ALICE, ADD_ESCROW, escrow(CAROL, 10)), 103);
    sound(&network);
}

#[test]
fn policies_forbid() {
    let mut network = network(|staking| {
        staking.params.disable_transfers = true;
        staking.params.disable_delegation = true;
        staking.params.undisable_transfers_from = BTreeMap::from([(address(BOB), true)]);
    });
    refused(&network.call(ALICE, TRANSFER, transfer(BOB, 5)), 5);
    ok(&network.call(BOB, TRANSFER, transfer(ALICE, 5)));
    refused(&network.call(ALICE, ALLOW, allow(BOB, 5, false)), 5);
    refused(&network.call(ALICE, WITHDRAW, withdraw(BOB, 5)), 5);
    refused(&network.call(ALICE, ADD_ESCROW, escrow(BOB, 5)), 5);
    refused(&network.call(ALICE, RECLAIM_ESCROW, reclaim(BOB, 5)), 5);
    ok(&network.call(ALICE, ADD_ESCROW, escrow(ALICE, 5)));
}

fn schedule(rates: &[(u64, u64)], bounds: &[(u64, u64, u64)]) -> CommissionSchedule {
    CommissionSchedule {
        rates: rates
            .iter()
            .map(|(start, rate)| CommissionRateStep {
                start: Epoch(*start),
                rate: (*rate).into(),
            })
            .collect(),
        bounds: bounds
            .iter()
            .map(|(start, min, max)| CommissionBoundStep {
                start: Epoch(*start),
                rate_min: (*min).into(),
                rate_max: (*max).into(),
            })
            .collect(),
    }
}

fn amend(amendment: CommissionSchedule) -> Vec<u8> {
    AmendCommissionSchedule { amendment }.encode()
}

#[test]
fn commission_schedules_keep_their_rules() {
    let mut network = network(|staking| {
        let rules = &mut staking.params.commission_schedule_rules;
        rules.rate_change_interval = 2;
        rules.rate_bound_lead = 4;
        rules.max_rate_steps = 2;
        rules.max_bound_steps = 2;
        rules.min_commission_rate = q(10);
        let thresholds = &mut staking.params.thresholds;
        thresholds.insert(ThresholdKind::Entity, q(30));
        thresholds.insert(ThresholdKind::NodeValidator, q(70));
    });
    let first = schedule(&[(2, 50)], &[(2, 10, 100)]);
    refused(
        &network.call(ALICE, AMEND_COMMISSION_SCHEDULE, amend(first.clone())),
        4,
    );
    ok(&network.call(ALICE, ADD_ESCROW, escrow(ALICE, 100)));
    let bad = [
        schedule(&[(2, 50), (4, 50), (6, 50)], &[]),
        schedule(&[], &[(2, 10, 20), (4, 10, 20), (6, 10, 20)]),
        schedule(&[(3, 50)], &[(3, 10, 100)]),
        schedule(&[(2, 50), (2, 60)], &[(2, 10, 100)]),
        schedule(&[(2, 50)], &[(4, 10, 100), (2, 10, 100)]),
        schedule(&[(2, 9)], &[(2, 10, 100)]),
        schedule(&[(2, 100_001)], &[(2, 10, 100)]),
        schedule(&[(2, 50)], &[(2, 9, 100)]),
        schedule(&[(2, 50)], &[(2, 60, 50)]),
        schedule(&[(0, 50)], &[(2, 10, 100)]),
        schedule(&[(2, 50)], &[(0, 10, 100)]),
        schedule(&[(2, 50)], &[]),
        schedule(&[], &[(2, 10, 100)]),
        schedule(&[(2, 50)], &[(4, 10, 100)]),
        schedule(&[(2, 50)], &[(2, 60, 100)]),
        schedule(&[(2, 50), (4, 101)], &[(2, 10, 100)]),
    ];
    for amendment in bad {
        refused(
            &network.call(ALICE, AMEND_COMMISSION_SCHEDULE, amend(amendment.clone())),
            105,
        );
    }
    network.idle(2);
    ok(&network.call(
        ALICE,
        AMEND_COMMISSION_SCHEDULE,
        amend(schedule(&[(4, 50)], &[(4, 10, 100)])),
    ));
    network.idle(40);
    // Now it is epoch 6: bounds need four epochs, rates one.
    let bounds = |start| schedule(&[], &[(start, 10, 60)]);
    refused(
        &network.call(ALICE, AMEND_COMMISSION_SCHEDULE, amend(bounds(8))),
        105,
    );
    refused(
        &network.call(ALICE, AMEND_COMMISSION_SCHEDULE, amend(bounds(10))),
        105,
    );
    ok(&network.call(ALICE, AMEND_COMMISSION_SCHEDULE, amend(bounds(12))));
    refused(
        &network.call(
            ALICE,
            AMEND_COMMISSION_SCHEDULE,
            amend(schedule(&[(12, 61)], &[])),
        ),
        105,
    );
    ok(&network.call(
        ALICE,
        AMEND_COMMISSION_SCHEDULE,
        amend(schedule(&[(8, 60)], &[])),
    ));
    let found = network.account(&address(ALICE)).escrow.commission_schedule;
    assert_eq!(
        found,
        schedule(&[(4, 50), (8, 60)], &[(4, 10, 100), (12, 10, 60)])
    );
    sound(&network);
    network.idle(80);
    // Steps that are over go when the schedule changes.
    ok(&network.call(
        ALICE,
        AMEND_COMMISSION_SCHEDULE,
        amend(schedule(&[(30, 20)], &[])),
    ));
    let found = network.account(&address(ALICE)).escrow.commission_schedule;
    assert_eq!(found, schedule(&[(8, 60), (30, 20)], &[(12, 10, 60)]));
    sound(&network);
}

fn of_transaction(receipt: &Receipt, code: u32) {
    assert_eq!(
        rejection(receipt),
        Some(("consensus/transaction", code)),
        "{:?}",
        receipt.status
    );
}

#[test]
fn a_transaction_that_is_not_authentic_changes_nothing() {
    let mut document = document(|staking| staking.params.min_transact_balance = q(100));
    document.services.transactions.min_gas_price = 1;
    let mut network = Network::new(&document);
    let body = transfer(BOB, 500);
    let fee = |amount, gas| Fee {
        amount: q(amount),
        gas,
    };
    let make = |nonce, fee, method: &str, chain: &Hash| {
        let transaction = Transaction {
            nonce,
            fee,
            method: method.into(),
            body: RawItem(body.clone()),
        };
        transaction.sign(&key(ALICE), chain).encode()
    };
    let chain = network.chain;
    let good = Some(fee(100_000, 100_000));
    let no_transaction = Signed::sign(
        &key(ALICE),
        trilith_types::SignatureContext::RootTransaction,
        &chain,
        vec![0xa0],
    );
    let cases = [
        (1, make(1, good, TRANSFER, &chain)),
        (2, make(0, Some(fee(999_901, 100)), TRANSFER, &chain)),
        (3, make(0, Some(fee(99_999, 100_000)), TRANSFER, &chain)),
        (3, make(0, None, TRANSFER, &chain)),
        (5, make(0, good, "staking.Mint", &chain)),
        (101, make(0, good, "", &chain)),
        (101, no_transaction.encode()),
        (102, make(0, good, TRANSFER, &Hash::EMPTY)),
    ];
    let before = network.account(&address(ALICE));
    for (code, bytes) in cases {
        let receipt = network.height(&[bytes]).receipts.remove(0);
        of_transaction(&receipt, code);
        assert_eq!(network.account(&address(ALICE)), before);
        assert_eq!(RootEvent::decode_list(&receipt.output, 9), Ok(vec![]));
    }
    // The same transaction twice, in one height and later: once.
    let bytes = make(0, good, TRANSFER, &chain);
    let outcome = network.height(&[bytes.clone(), bytes.clone()]);
    ok(&outcome.receipts[0]);
    of_transaction(&outcome.receipts[1], 1);
    of_transaction(&network.height(&[bytes]).receipts[0], 1);
    assert_eq!(balance(&network, BOB), 1_000_500);
    sound(&network);
}

#[test]
fn gas_is_limited_by_transaction_and_by_height() {
    let mut document = document(|_| ());
    document.services.transactions.max_block_gas = 3_000;
    let mut network = Network::new(&document);
    let with_gas = |network: &Network, number, gas| {
        let fee = Fee { amount: q(10), gas };
        network.signed(number, TRANSFER, transfer(CAROL, 5), Some(fee))
    };
    let len = with_gas(&network, ALICE, 2_000).len() as u64;
    // The bytes alone, and the bytes with the method.
    for gas in [len - 1, len + 999] {
        let receipt = network
            .height(&[with_gas(&network, ALICE, gas)])
            .receipts
            .remove(0);
        of_transaction(&receipt, 103);
    }
    let enough = with_gas(&network, ALICE, len + 1_000);
    ok(&network.height(&[enough]).receipts[0]);
    let general = network.account(&address(ALICE)).general;
    assert_eq!((general.nonce, general.balance), (3, q(1_000_000 - 35)));
    let three = [ALICE, BOB, CAROL].map(|number| with_gas(&network, number, 2_000));
    let outcome = network.height(&three);
    ok(&outcome.receipts[0]);
    ok(&outcome.receipts[1]);
    of_transaction(&outcome.receipts[2], 104);
    assert_eq!(network.account(&address(CAROL)).general.nonce, 1);
    sound(&network);
}

#[test]
fn the_pool_takes_what_may_be_executed_later() {
    let network = plain();
    let context = CheckContext {
        runtime: ROOT_RUNTIME,
        now: TimeNanos(0),
    };
    let check = |bytes: &[u8]| network.root.check(&network.view, bytes, &context);
    let make = |nonce| {
        let transaction = Transaction {
            nonce,
            fee: Some(FEE),
            method: TRANSFER.into(),
            body: RawItem(transfer(BOB, 5)),
        };
        transaction.sign(&key(ALICE), &network.chain).encode()
    };
    let admission = check(&make(3)).unwrap();
    assert_eq!(admission.sender, address(ALICE).as_bytes());
    assert_eq!((admission.priority, admission.id), (0, Hash::of(&make(3))));
    let mut expensive = network.signed(ALICE, TRANSFER, transfer(BOB, 5), None);
    assert!(check(&expensive).is_ok());
    let last = expensive.len() - 1;
    expensive[last] ^= 1;
    assert_eq!(check(&expensive).unwrap_err().code, 102);
    let mut poor = plain();
    poor.call(ALICE, TRANSFER, transfer(BOB, 998_500));
    let bytes = poor.signed(ALICE, TRANSFER, transfer(BOB, 5), Some(FEE));
    let checked = poor.root.check(&poor.view, &bytes, &context).unwrap_err();
    assert_eq!((checked.module, checked.code), ("consensus/transaction", 2));
    let checked = poor.root.check(&poor.view, &make(0), &context).unwrap_err();
    assert_eq!((checked.module, checked.code), ("consensus/transaction", 1));
}

#[test]
fn fees_without_validators_go_to_the_common_pool() {
    let mut network = plain();
    ok(&network.call(ALICE, TRANSFER, transfer(BOB, 5)));
    let kept = staking::export(&network.view).unwrap();
    // Weights 2, 1 and 1: half of it waits for the voters.
    assert_eq!(kept.last_block_fees, q(500));
    assert_eq!(kept.common_pool, q(100_000_500));
    network.idle(1);
    let paid = staking::export(&network.view).unwrap();
    assert_eq!(paid.last_block_fees, Quantity::ZERO);
    assert_eq!(paid.common_pool, q(100_001_000));
    sound(&network);
}

/// Claims of so many bytes that another does not fit.
fn full(account: &mut Account, count: u32) {
    let claims = &mut account.escrow.stake_accumulator.claims;
    for number in 0..count {
        let name = format!("{number:0>1000}");
        claims.insert(trilith_protocol::root::Name(name), Vec::new());
    }
}

#[test]
fn an_account_does_not_grow_without_limit() {
    let mut network = network(|staking| {
        full(staking.ledger.get_mut(&address(ALICE)).unwrap(), 521);
        staking.params.max_allowances = 1_000;
    });
    let mut refused_at = 0;
    for other in 1..120u8 {
        let beneficiary = Address::from_bytes([other; 21]);
        let body = Allow {
            beneficiary,
            negative: false,
            amount_change: q(1),
        };
        let receipt = network.call(ALICE, ALLOW, body.encode());
        if rejection(&receipt).is_some() {
            refused(&receipt, 107);
            refused_at = other;
            break;
        }
    }
    assert!(refused_at > 1);
    let allowances = network.account(&address(ALICE)).general.allowances.len();
    assert_eq!(allowances, usize::from(refused_at) - 1);
    // What does not make it grow still works.
    ok(&network.call(ALICE, TRANSFER, transfer(BOB, 5)));
    let too_large = document(|staking| {
        full(staking.ledger.get_mut(&address(ALICE)).unwrap(), 530);
    });
    let error = genesis_write_log(&too_large).unwrap_err();
    let rule = AccountRule::TooLarge;
    assert_eq!(
        error,
        GenesisError::Account {
            account: address(ALICE),
            rule
        }
    );
}

#[test]
fn a_nonce_that_has_run_out_is_refused() {
    let mut network = network(|staking| {
        let alice = staking.ledger.get_mut(&address(ALICE)).unwrap();
        alice.general.nonce = u64::MAX;
    });
    of_transaction(&network.call(ALICE, TRANSFER, transfer(BOB, 5)), 1);
    sound(&network);
}

#[test]
fn a_document_that_does_not_add_up_is_refused() {
    let refused = |change: &dyn Fn(&mut StakingGenesis)| {
        genesis_write_log(&document(|staking| change(staking))).unwrap_err()
    };
    let sum = |what: &str, error: GenesisError| {
        assert!(matches!(error, GenesisError::Sum { what: found, .. } if found == what));
    };
    let rule = |expected: AccountRule, error: GenesisError| {
        assert!(matches!(error, GenesisError::Account { rule, .. } if rule == expected));
    };
    sum(
        "base units of total supply",
        refused(&|s| s.total_supply = q(1)),
    );
    sum(
        "base units of total supply",
        refused(&|s| s.common_pool = Quantity::MAX),
    );
    sum(
        "shares of an active pool",
        refused(&|s| {
            let alice = s.ledger.get_mut(&address(ALICE)).unwrap();
            alice.escrow.active.total_shares = q(1);
        }),
    );
    sum(
        "shares of a debonding pool",
        refused(&|s| {
            let alice = s.ledger.get_mut(&address(ALICE)).unwrap();
            alice.escrow.debonding.total_shares = q(1);
        }),
    );
    sum(
        "base units of total supply",
        refused(&|s| {
            s.common_pool = Quantity::MAX;
            s.total_supply = Quantity::MAX;
        }),
    );
    let parameters = refused(&|s| {
        let costs = &mut s.params.gas_costs;
        costs.extend((0..100_000).map(|n| (format!("{n:0>100}").as_str().into(), 1)));
    });
    assert!(matches!(parameters, GenesisError::TooLarge { .. }));
    rule(
        AccountRule::Reserved,
        refused(&|s| {
            s.ledger.insert(COMMON_POOL, Account::default());
        }),
    );
    rule(
        AccountRule::Empty,
        refused(&|s| {
            s.ledger.insert(address(9), Account::default());
        }),
    );
    rule(
        AccountRule::Commission,
        refused(&|s| {
            let alice = s.ledger.get_mut(&address(ALICE)).unwrap();
            alice.escrow.commission_schedule = schedule(&[(1, 5)], &[]);
        }),
    );
}

/// What one of five accounts does.
#[derive(Clone, Debug)]
enum Act {
    Call(u8, &'static str, Vec<u8>),
    Raw(u8, &'static str, Vec<u8>),
    Idle(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 1..=5u8;
    let amount = || prop_oneof![0..50u128, 0..200_000u128, Just(u128::MAX)];
    prop_oneof![
        3 => (who(), who(), amount()).prop_map(|(a, b, n)| Act::Call(a, TRANSFER, transfer(b, n))),
        1 => (who(), amount()).prop_map(|(a, n)| {
            Act::Call(a, BURN, Burn { amount: q(n) }.encode())
        }),
        4 => (who(), who(), amount()).prop_map(|(a, b, n)| Act::Call(a, ADD_ESCROW, escrow(b, n))),
        4 => (who(), who(), amount()).prop_map(|(a, b, n)| {
            Act::Call(a, RECLAIM_ESCROW, reclaim(b, n))
        }),
        1 => (who(), who(), amount(), any::<bool>()).prop_map(|(a, b, n, negative)| {
            Act::Call(a, ALLOW, allow(b, n, negative))
        }),
        1 => (who(), who(), amount()).prop_map(|(a, b, n)| Act::Call(a, WITHDRAW, withdraw(b, n))),
        1 => (who(), 0..30u64, 0..150u64).prop_map(|(a, start, rate)| {
            let amendment = schedule(&[(start, rate)], &[(start, 0, 100)]);
            Act::Call(a, AMEND_COMMISSION_SCHEDULE, amend(amendment))
        }),
        1 => (who(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(a, bytes)| {
            Act::Raw(a, ADD_ESCROW, bytes)
        }),
        1 => (1..15u64).prop_map(Act::Idle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Stake is conserved at every height, the export imports to the same entries, and what a root
    /// remembers changes nothing.
    #[test]
    fn stake_is_conserved(acts in proptest::collection::vec(act(), 1..60)) {
        let mut network = plain();
        let mut forgetful = plain();
        forgetful.remember = false;
        for act in acts {
            let inputs = match act {
                Act::Call(who, method, body) => {
                    vec![network.signed(who, method, body, Some(FEE))]
                }
                // A body that is no CBOR makes the transaction malformed.
                Act::Raw(who, method, body) => vec![network.signed(who, method, body, Some(FEE))],
                Act::Idle(heights) => {
                    network.idle(heights);
                    forgetful.idle(heights);
                    Vec::new()
                }
            };
            let one = network.height(&inputs);
            let fresh = Network { root: Root::new(), view: forgetful.view.clone(), ..plain() };
            let three = fresh.execute(&inputs, &fresh.context()).unwrap();
            let two = forgetful.height(&inputs);
            prop_assert_eq!(&one.write_log, &two.write_log);
            prop_assert_eq!(&one.receipts, &two.receipts);
            prop_assert_eq!(&one.write_log, &three.write_log);
            prop_assert_eq!(staking::check(&network.view), Ok(()));
        }
        prop_assert_eq!(network.view.root(), forgetful.view.root());
        // The exported document starts a network with the same staking state.
        let exported = staking::export(&network.view).unwrap();
        let other = Network::new(&document(|staking| *staking = exported.clone()));
        let of = |network: &Network| {
            let entries = network.view.entries.iter();
            let entries = entries.filter(|(key, _)| key.starts_with(b"S"));
            trilith_mkvs::root_of(entries.map(|(key, value)| (key.clone(), value.clone()))).unwrap()
        };
        prop_assert_eq!(of(&network), of(&other));
    }
}
