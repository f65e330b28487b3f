//! The ordering of one validator.

use std::num::NonZeroU32;

use trilith_ordering::bls::{GroupKey, KeyShare, deal_for_developer_network};
use trilith_ordering::{Ordering as _, OrderingFull, Solo, SoloStart};
use trilith_params::root::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use trilith_types::{Hash, Height, TimeNanos};

fn keys() -> (GroupKey, Vec<KeyShare>) {
    deal_for_developer_network(&[1; 32], "consensus", NonZeroU32::new(1).unwrap())
}

fn chain() -> Hash {
    Hash::of(b"genesis")
}

fn solo(height: u64, time: u64, root: Hash) -> Solo {
    let (group, shares) = keys();
    let start = SoloStart {
        height: Height(height),
        time: TimeNanos(time),
        state_root: root,
    };
    Solo::new(chain(), group, shares, start)
}

#[test]
fn a_block_comes_when_there_is_a_transaction_or_a_request_is_due() {
    let mut solo = solo(0, 100, Hash::EMPTY);
    assert_eq!(solo.next(TimeNanos(200)), None);
    solo.submit(vec![1]).unwrap();
    solo.submit(vec![2]).unwrap();
    solo.submit(vec![1]).unwrap();
    let block = solo.next(TimeNanos(50)).unwrap();
    assert_eq!((block.height, block.time), (Height(1), TimeNanos(101)));
    assert_eq!(block.transactions, [[1], [2]]);

    solo.submit(vec![3]).unwrap();
    assert_eq!(
        solo.next(TimeNanos(300)),
        None,
        "the block before is not executed"
    );
    solo.executed(Height(1), Hash::of(b"1"));
    let block = solo.next(TimeNanos(300)).unwrap();
    assert_eq!((block.height, block.time), (Height(2), TimeNanos(300)));
    solo.executed(Height(2), Hash::of(b"2"));

    solo.request_block(TimeNanos(500));
    solo.request_block(TimeNanos(400));
    solo.request_block(TimeNanos(600));
    assert_eq!(solo.wake(), Some(TimeNanos(400)));
    assert_eq!(solo.next(TimeNanos(399)), None);
    let block = solo.next(TimeNanos(400)).unwrap();
    assert_eq!((block.height, block.transactions.len()), (Height(3), 0));
    assert_eq!(solo.wake(), None);
}

#[test]
fn randomness_follows_execution_and_is_the_same_after_a_restart() {
    let mut first = solo(0, 0, Hash::EMPTY);
    let mut seen = Vec::new();
    for height in 1..=3u64 {
        first.submit(height.to_be_bytes().to_vec()).unwrap();
        let block = first.next(TimeNanos(height * 10)).unwrap();
        seen.push(block.randomness.unwrap());
        first.executed(Height(height), Hash::of(&[height as u8]));
    }
    let mut distinct = seen.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), 3);

    // A node that stopped after it had executed height 2, and was about to execute 3.
    let mut second = solo(2, 20, Hash::of(&[2]));
    assert_eq!(second.certificate().unwrap().height, Height(2));
    second.submit(vec![9]).unwrap();
    let block = second.next(TimeNanos(0)).unwrap();
    assert_eq!((block.height, block.time), (Height(3), TimeNanos(21)));
    assert_eq!(block.randomness, Some(seen[2]));
}

#[test]
fn the_certificate_is_over_the_executed_state_of_this_chain() {
    let mut solo = solo(0, 0, Hash::EMPTY);
    solo.request_block(TimeNanos(0));
    solo.next(TimeNanos(1)).unwrap();
    assert_eq!(solo.certificate().unwrap().height, Height(0));
    solo.executed(Height(2), Hash::of(b"not the last height"));
    assert_eq!(solo.certificate().unwrap().height, Height(0));
    solo.executed(Height(1), Hash::of(b"state"));
    let certificate = solo.certificate().unwrap().clone();
    assert_eq!(
        (certificate.height, certificate.state_root),
        (Height(1), Hash::of(b"state"))
    );
    let key = keys().0.bytes();
    assert_eq!(certificate.verify(&chain(), &key), Ok(()));
    assert!(certificate.verify(&Hash::of(b"other"), &key).is_err());
    let mut forged = certificate.clone();
    forged.height = Height(2);
    assert!(forged.verify(&chain(), &key).is_err());
}

#[test]
fn every_bound_holds() {
    let mut solo = solo(0, 0, Hash::EMPTY);
    let long = vec![0; TRANSACTION_BYTES_MAX + 1];
    let refused = OrderingFull::TransactionBytes {
        len: long.len(),
        limit: TRANSACTION_BYTES_MAX,
    };
    assert_eq!(solo.submit(long), Err(refused));

    let mut number = 0u32;
    let full = loop {
        number += 1;
        if let Err(full) = solo.submit(number.to_be_bytes().to_vec()) {
            break full;
        }
    };
    let limit = 8 * BLOCK_TRANSACTIONS_MAX;
    assert_eq!(
        full,
        OrderingFull::Count {
            count: limit,
            limit
        }
    );
    let block = solo.next(TimeNanos(1)).unwrap();
    assert_eq!(block.transactions.len(), BLOCK_TRANSACTIONS_MAX);
    assert_eq!(block.transactions[0], 1u32.to_be_bytes());

    let mut solo = self::solo(0, 0, Hash::EMPTY);
    let mut index = 0u64;
    let full = loop {
        index += 1;
        let mut transaction = vec![0; TRANSACTION_BYTES_MAX];
        transaction[..8].copy_from_slice(&index.to_be_bytes());
        if let Err(full) = solo.submit(transaction) {
            break full;
        }
    };
    let limit = 8 * BLOCK_BYTES_MAX;
    let bytes = limit + TRANSACTION_BYTES_MAX;
    assert_eq!(full, OrderingFull::Bytes { bytes, limit });
    let block = solo.next(TimeNanos(1)).unwrap();
    assert_eq!(
        block.transactions.len(),
        BLOCK_BYTES_MAX / TRANSACTION_BYTES_MAX
    );
}
