//! Following the blocks of a validator: verified, in order, each once.

use std::num::NonZeroU32;

use trilith_ordering::bls::{GroupKey, deal_for_developer_network};
use trilith_ordering::{
    CertifiedBlock, DeliverError, Follower, FollowerStart, Ordering, OrderingFull, Solo, SoloStart,
    Wanted,
};
use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{Hash, Height, TimeNanos};

const SECOND: u64 = 1_000_000_000;

fn chain() -> Hash {
    Hash::of(b"chain")
}

fn group() -> GroupKey {
    deal_for_developer_network(&[3; 32], "consensus", NonZeroU32::MIN).0
}

fn validator() -> Solo {
    let (group, shares) = deal_for_developer_network(&[3; 32], "consensus", NonZeroU32::MIN);
    let start = SoloStart {
        height: Height(0),
        time: TimeNanos(5),
        state_root: Hash::EMPTY,
    };
    Solo::new(chain(), group, shares, start)
}

fn follower() -> Follower {
    Follower::new(chain(), group(), FollowerStart { height: Height(0) })
}

fn root_of(height: u64) -> Hash {
    Hash::of(&height.to_be_bytes())
}

/// The next block of a validator, executed.
fn certified(solo: &mut Solo, transaction: &[u8]) -> CertifiedBlock {
    solo.submit(transaction.to_vec()).unwrap();
    let block = solo.next(TimeNanos(10)).expect("something waits");
    let root = root_of(block.height.0);
    solo.executed(block.height, root);
    let certificate = solo.certificate().expect("it signs").clone();
    assert_eq!(solo.certify(block.height, root), Some(certificate.clone()));
    CertifiedBlock { block, certificate }
}

#[test]
fn blocks_are_given_in_order_however_they_arrive() {
    let mut solo = validator();
    let blocks: Vec<_> = (0..3u8)
        .map(|number| certified(&mut solo, &[number]))
        .collect();
    let mut follower = follower();
    for index in [2, 0, 0, 1] {
        follower.deliver(blocks[index].clone()).unwrap();
    }
    for (index, certified) in blocks.iter().enumerate() {
        assert_eq!(follower.next(TimeNanos(0)), Some(certified.block.clone()));
        assert_eq!(follower.expected(), Some(root_of(index as u64 + 1)));
        assert_eq!(
            follower.next(TimeNanos(0)),
            None,
            "not before it is executed"
        );
        follower.executed(certified.block.height, root_of(index as u64 + 1));
        assert_eq!(follower.certificate(), Some(&certified.certificate));
    }
    follower.deliver(blocks[0].clone()).unwrap();
    assert_eq!(follower.next(TimeNanos(0)), None, "each once");
}

#[test]
fn what_the_validators_did_not_sign_is_refused() {
    let mut solo = validator();
    let good = certified(&mut solo, b"one");
    let mut follower = follower();
    let mut other_root = good.clone();
    other_root.certificate.state_root = Hash::of(b"other");
    let refused = follower.deliver(other_root);
    assert_eq!(refused, Err(DeliverError::Certificate(Height(1))));
    let mut other_height = good.clone();
    other_height.block.height = Height(2);
    assert!(matches!(
        follower.deliver(other_height),
        Err(DeliverError::OtherHeight { .. })
    ));
    let mut far = good.clone();
    far.block.height = Height(1_000);
    far.certificate.height = Height(1_000);
    assert!(matches!(
        follower.deliver(far),
        Err(DeliverError::TooFarAhead { .. })
    ));
    let mut of_another_chain =
        Follower::new(Hash::of(b"x"), group(), FollowerStart { height: Height(0) });
    assert_eq!(
        of_another_chain.deliver(good.clone()),
        Err(DeliverError::Certificate(Height(1)))
    );
    assert_eq!(follower.next(TimeNanos(0)), None);
    follower.deliver(good).unwrap();
    assert!(follower.next(TimeNanos(0)).is_some());
}

#[test]
fn transactions_are_handed_over_again_until_a_block_has_them() {
    let mut solo = validator();
    let mut follower = follower();
    let order = |wanted: Vec<Wanted>| {
        wanted
            .into_iter()
            .filter(|wanted| matches!(wanted, Wanted::Order(_)))
            .count()
    };
    follower.submit(b"one".to_vec()).unwrap();
    follower.submit(b"one".to_vec()).unwrap();
    assert_eq!(order(follower.wanted(TimeNanos(SECOND))), 1);
    assert_eq!(
        order(follower.wanted(TimeNanos(SECOND + 1))),
        0,
        "not at once"
    );
    assert_eq!(order(follower.wanted(TimeNanos(2 * SECOND))), 1);
    assert_eq!(
        order(follower.wanted(TimeNanos(0))),
        1,
        "the clock went back"
    );
    follower.deliver(certified(&mut solo, b"one")).unwrap();
    follower.next(TimeNanos(0)).unwrap();
    assert_eq!(order(follower.wanted(TimeNanos(9 * SECOND))), 0);
    // Given up after a while: whoever needs it hands it in again.
    follower.submit(b"two".to_vec()).unwrap();
    let handed: usize = (10..60)
        .map(|at| order(follower.wanted(TimeNanos(at * SECOND))))
        .sum();
    assert_eq!(handed, 20);
    let (len, limit) = (TRANSACTION_BYTES_MAX + 1, TRANSACTION_BYTES_MAX);
    let refused = follower.submit(vec![0; len]);
    assert_eq!(refused, Err(OrderingFull::TransactionBytes { len, limit }));
}

#[test]
fn what_is_missing_is_asked_for() {
    let mut solo = validator();
    let blocks: Vec<_> = (0..3u8)
        .map(|number| certified(&mut solo, &[number]))
        .collect();
    let mut follower = follower();
    let first = Wanted::Blocks(Height(1));
    assert_eq!(
        follower.wanted(TimeNanos(SECOND)),
        std::slice::from_ref(&first),
        "it may have been away"
    );
    assert_eq!(follower.wanted(TimeNanos(SECOND + 1)), []);
    follower.deliver(blocks[2].clone()).unwrap();
    assert_eq!(follower.wanted(TimeNanos(2 * SECOND)), [first]);
    follower.deliver(blocks[0].clone()).unwrap();
    follower.next(TimeNanos(0)).unwrap();
    follower.executed(Height(1), root_of(1));
    assert_eq!(
        follower.wanted(TimeNanos(3 * SECOND)),
        [Wanted::Blocks(Height(2))]
    );
    follower.request_block(TimeNanos(4 * SECOND));
    let wanted = follower.wanted(TimeNanos(4 * SECOND));
    assert!(
        wanted.contains(&Wanted::BlockAfter(Height(1))),
        "{wanted:?}"
    );
}

#[test]
fn a_validator_with_an_interval_leaves_time_between_blocks() {
    let mut solo = validator().with_interval(SECOND);
    solo.submit(vec![1]).unwrap();
    let first = solo.next(TimeNanos(10)).unwrap();
    solo.executed(first.height, Hash::EMPTY);
    solo.submit(vec![2]).unwrap();
    assert_eq!(solo.next(TimeNanos(11)), None);
    assert_eq!(solo.wake(), Some(TimeNanos(10 + SECOND)));
    assert!(solo.next(TimeNanos(10 + SECOND)).is_some());
    solo.executed(Height(2), Hash::EMPTY);
    solo.submit(vec![3]).unwrap();
    assert!(
        solo.next(TimeNanos(5)).is_some(),
        "a clock that went back holds nothing up"
    );
}
