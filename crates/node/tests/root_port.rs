//! The port of the root: transactions of an operator get into heights, receipts come when these are
//! durable, and queries see durable states only.

mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use network::*;
use simulated_disk::SimulatedDisk;
use tokio::sync::oneshot::error::TryRecvError;
use trilith_node::{RootHandle, RootSubmitError};
use trilith_protocol::root::staking::{ALLOW, Allow, TRANSFER, Transfer};
use trilith_protocol::root::{Address, Fee, Quantity, RawItem, TRANSACTION_BYTES_MAX, Transaction};
use trilith_protocol::{ReceiptStatus, RootAnswer, RootQuery};
use trilith_types::{Height, SecretKey};

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

/// A signed transaction: the account has nothing and needs nothing to allow something.
fn signed(root: &RootHandle, number: u8, nonce: u64, method: &str, body: Vec<u8>) -> Vec<u8> {
    let transaction = Transaction {
        nonce,
        fee: Some(Fee {
            amount: Quantity::ZERO,
            gas: 10_000,
        }),
        method: method.into(),
        body: RawItem(body),
    };
    let chain = root.genesis().chain_context();
    transaction.sign(&key(number), &chain).encode()
}

fn transfer(root: &RootHandle, number: u8, nonce: u64, amount: u128) -> Vec<u8> {
    let body = Transfer {
        to: Address::of_key(&key(99).public()),
        amount: Quantity::new(amount),
    };
    signed(root, number, nonce, TRANSFER, body.encode())
}

fn nonce(root: &RootHandle, number: u8) -> u64 {
    let query = RootQuery::Account(Address::of_key(&key(number).public()));
    let answer = root.query(&root.tip(), &query.encode()).unwrap();
    match RootAnswer::decode(&answer).unwrap() {
        RootAnswer::Account(account) => account.general.nonce,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_gets_a_receipt_of_its_height() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &Setup::default(), START);
    net.step().unwrap();
    let root = net.core.root();
    let before = root.tip().height;
    let mut one = root.submit(transfer(&root, 1, 0, 0)).unwrap();
    let mut two = root.submit(transfer(&root, 2, 0, 5)).unwrap();
    assert!(net.woken.try_recv().is_ok());
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    net.step().unwrap();
    let one = one.try_recv().unwrap();
    assert!(one.height > before);
    assert_eq!(one.receipt.status, ReceiptStatus::Accepted);
    let two = two.try_recv().unwrap();
    let refused = ReceiptStatus::Rejected {
        module: "staking".into(),
        code: 3,
        message: format!(
            "account {} has 0 base units, 5 were to be taken",
            Address::of_key(&key(2).public())
        ),
    };
    assert_eq!(two.receipt.status, refused);
    assert_eq!(root.tip().height, one.height.max(two.height));
    // Both count, also the one that failed.
    assert_eq!((nonce(&root, 1), nonce(&root, 2)), (1, 1));
    // A replayed one does not get into a height.
    let replayed = root.submit(transfer(&root, 1, 0, 0)).unwrap_err();
    assert!(matches!(replayed, RootSubmitError::Rejected(reject) if reject.code == 1));
    // A restarted node knows the same.
    let height = root.tip().height;
    drop((net, root));
    let net = Net::open(&disk, &Setup::default(), START + SECOND);
    let root = net.core.root();
    assert_eq!(root.tip().height, height);
    assert_eq!((nonce(&root, 1), nonce(&root, 2)), (1, 1));
}

#[test]
fn nobody_waits_for_a_node_that_has_stopped() {
    let mut net = Net::open(&SimulatedDisk::new(), &Setup::default(), START);
    net.step().unwrap();
    let root = net.core.root();
    let mut before = root.submit(transfer(&root, 1, 0, 0)).unwrap();
    drop(net);
    assert_eq!(before.try_recv(), Err(TryRecvError::Closed));
    let mut after = root.submit(transfer(&root, 1, 0, 0)).unwrap();
    assert_eq!(after.try_recv(), Err(TryRecvError::Closed));
    // What was durable can still be read.
    assert_eq!(nonce(&root, 1), 0);
}

#[test]
fn the_same_transaction_waits_once() {
    let mut net = Net::open(&SimulatedDisk::new(), &Setup::default(), START);
    net.step().unwrap();
    let root = net.core.root();
    let mut receipts: Vec<_> = (0..3)
        .map(|_| root.submit(transfer(&root, 1, 0, 0)).unwrap())
        .collect();
    net.step().unwrap();
    for receipt in &mut receipts {
        let status = receipt.try_recv().unwrap().receipt.status;
        assert_eq!(status, ReceiptStatus::Accepted);
    }
    assert_eq!(nonce(&root, 1), 1);
}

#[test]
fn what_cannot_be_taken_up_is_refused_with_numbers() {
    let mut net = Net::open(&SimulatedDisk::new(), &Setup::default(), START);
    net.step().unwrap();
    let root = net.core.root();
    let (len, limit) = (TRANSACTION_BYTES_MAX + 1, TRANSACTION_BYTES_MAX);
    assert_eq!(
        root.submit(vec![0; len]).unwrap_err(),
        RootSubmitError::TooLarge { len, limit }
    );
    let malformed = root.submit(b"nothing".to_vec()).unwrap_err();
    assert!(matches!(malformed, RootSubmitError::Rejected(_)));
    let mut full = None;
    for nonce in 0..2_000 {
        if let Err(error) = root.submit(transfer(&root, 1, nonce, 0)) {
            full = Some((nonce, error));
            break;
        }
    }
    let (taken, error) = full.unwrap();
    assert_eq!(taken, 1_024);
    assert!(
        matches!(error, RootSubmitError::Full { count: 1_024, .. }),
        "{error}"
    );
    // All that were taken up come into heights.
    for _ in 0..4 {
        net.step().unwrap();
    }
    assert_eq!(nonce(&root, 1), 1_024);
    assert!(root.submit(transfer(&root, 1, 1_024, 0)).is_ok());
}

#[test]
fn events_of_transactions_are_remembered() {
    let mut net = Net::open(&SimulatedDisk::new(), &Setup::default(), START);
    net.step().unwrap();
    let root = net.core.root();
    let body = Allow {
        beneficiary: Address::of_key(&key(2).public()),
        negative: false,
        amount_change: Quantity::ZERO,
    };
    let mut receipt = root
        .submit(signed(&root, 1, 0, ALLOW, body.encode()))
        .unwrap();
    net.step().unwrap();
    let receipt = receipt.try_recv().unwrap();
    let (since, events) = root.transaction_events(Height(0), root.tip().height);
    assert!(since <= receipt.height);
    let of_height = events.get(&receipt.height.0).map_or(0, Vec::len);
    let listed = trilith_protocol::RootEvent::decode_list(&receipt.receipt.output, 10).unwrap();
    assert!(of_height >= listed.len());
    assert!(root.state_root() == trilith_types::StateRead::root(&*root.tip().view));
}
