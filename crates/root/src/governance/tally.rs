//! Counting votes.
//!
//! ```text
//! a voter's pool: all its shares go with the voter's vote
//! a delegator's vote: its shares of each voter's pool go with it instead
//! stake of a vote = shares * stake of the pool / shares of the pool, rounded down, for each pool
//! passed: stake for it * 100 / stake of all voters, rounded down, is at least the threshold
//! ```
//!
//! Source: Oasis Core `apps/governance` (`closeProposal`), `governance/api` (`CloseProposal`).

use std::collections::BTreeMap;

use trilith_protocol::root::governance::Vote;
use trilith_protocol::root::staking::SharePool;
use trilith_protocol::root::{Address, Quantity};

use super::voters::Voters;

/// By account, how it voted.
pub(super) type Votes = BTreeMap<Address, Vote>;

/// By voter, who has delegated to it how many shares.
pub(super) type Delegations = BTreeMap<Address, Vec<(Address, Quantity)>>;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By vote, the stake.
    pub(super) results: BTreeMap<Vote, Quantity>,
    /// Votes of accounts with no share of any voter's pool.
    pub(super) invalid: u64,
}

/// Counts votes. `None` if delegations do not fit the pools.
pub(super) fn tally(voters: &Voters, votes: &Votes, delegations: &Delegations) -> Option<Tally> {
    let mut counted = Tally::default();
    let mut delegated: BTreeMap<&Address, bool> =
        votes.keys().map(|account| (account, false)).collect();
    for (voter, pool) in voters {
        let own = votes.get(voter);
        let mut shares: BTreeMap<Vote, Quantity> = BTreeMap::new();
        if let Some(own) = own {
            shares.insert(*own, pool.total_shares);
        }
        for (delegator, part) in delegations.get(voter).into_iter().flatten() {
            let Some(vote) = votes.get(delegator) else {
                continue;
            };
            delegated.insert(delegator, true);
            if Some(vote) == own {
                continue;
            }
            if let Some(own) = own {
                let rest = shares.entry(*own).or_default();
                *rest = rest.minus(*part)?;
            }
            let sum = shares.entry(*vote).or_default();
            *sum = sum.plus(*part)?;
        }
        for (vote, shares) in shares {
            let sum = counted.results.entry(vote).or_default();
            *sum = sum.plus(stake(pool, shares)?)?;
        }
    }
    counted.invalid = delegated.values().filter(|delegated| !**delegated).count() as u64;
    Some(counted)
}

fn stake(pool: &SharePool, shares: Quantity) -> Option<Quantity> {
    if pool.total_shares.is_zero() {
        return Some(Quantity::ZERO);
    }
    shares.times_over(pool.balance, pool.total_shares)
}

/// The stake of all voters; `None` if it does not fit.
pub(super) fn total(voters: &Voters) -> Option<Quantity> {
    voters
        .values()
        .map(|pool| pool.balance)
        .try_fold(Quantity::ZERO, Quantity::plus)
}

/// Whether the stake that voted yes is enough.
pub(super) fn accepted(tally: &Tally, total: Quantity, threshold: u8) -> bool {
    let yes = tally.results.get(&Vote::Yes).copied().unwrap_or_default();
    if yes.is_zero() {
        return false;
    }
    // Where there is no stake at all, nothing passes.
    let percent = yes.times_over(Quantity::new(100), total);
    percent.is_some_and(|percent| percent >= Quantity::new(threshold.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> Address {
        Address::from_bytes([number; Address::LEN])
    }

    fn q(units: u128) -> Quantity {
        Quantity::new(units)
    }

    /// Pools and delegations: Oasis Core `apps/governance/governance_test.go`,
    /// `TestCloseProposal`.
    fn published() -> (Voters, Delegations) {
        let pool = |balance, shares| SharePool {
            balance: q(balance),
            total_shares: q(shares),
        };
        let voters = [
            (account(1), pool(100, 61)),
            (account(2), pool(60, 60)),
            (account(3), pool(35, 47)),
        ];
        let to = |list: &[(u8, u128)]| {
            let list = list.iter().map(|(of, shares)| (account(*of), q(*shares)));
            list.collect::<Vec<_>>()
        };
        let delegations = [
            (account(1), to(&[(1, 4), (3, 50), (5, 6), (6, 1)])),
            (account(2), to(&[(2, 60)])),
            (account(3), to(&[(1, 12), (3, 35)])),
        ];
        (voters.into(), delegations.into())
    }

    /// Who votes how, whether it passes, the votes that do not count, and the results.
    type Case = (&'static [(u8, Vote)], bool, u64, &'static [(Vote, u128)]);

    use Vote::{Abstain, No, Yes};

    /// Cases and figures: Oasis Core `apps/governance/governance_test.go`, `TestCloseProposal`.
    const CASES: [Case; 8] = [
        (&[], false, 0, &[]),
        (
            &[(1, No), (2, No), (3, No), (4, No)],
            false,
            1,
            &[(No, 195)],
        ),
        (&[(1, Yes)], false, 0, &[(Yes, 108)]),
        (
            &[(1, Yes), (2, No), (3, Yes)],
            false,
            0,
            &[(Yes, 135), (No, 60)],
        ),
        (&[(1, Yes), (3, No)], false, 0, &[(Yes, 26), (No, 107)]),
        (
            &[(1, No), (2, Yes), (3, Yes), (5, Yes)],
            true,
            0,
            &[(No, 16), (Yes, 177)],
        ),
        (
            &[(1, No), (2, Yes), (3, Yes), (4, No), (5, Yes), (6, Abstain)],
            true,
            1,
            &[(Yes, 177), (No, 14), (Abstain, 1)],
        ),
        (
            &[(2, Yes), (3, Yes), (4, No), (5, Yes), (6, Abstain)],
            true,
            1,
            &[(Yes, 186), (Abstain, 1)],
        ),
    ];

    #[test]
    fn votes_count_as_published() {
        let (voters, delegations) = published();
        assert_eq!(total(&voters), Some(q(195)));
        for (votes, passes, invalid, results) in CASES {
            let votes: Votes = votes
                .iter()
                .map(|(of, vote)| (account(*of), *vote))
                .collect();
            let counted = tally(&voters, &votes, &delegations).unwrap();
            let results = results.iter().map(|(vote, stake)| (*vote, q(*stake)));
            assert_eq!(counted.results, results.collect());
            assert_eq!(counted.invalid, invalid);
            assert_eq!(accepted(&counted, q(195), 90), passes);
        }
    }

    #[test]
    fn a_threshold_is_reached_exactly_and_nothing_passes_without_stake() {
        let of = |yes| Tally {
            results: [(Yes, q(yes))].into(),
            invalid: 0,
        };
        assert!(accepted(&of(68), q(100), 68));
        // 67.99 percent, rounded down.
        assert!(!accepted(&of(6_799), q(10_000), 68));
        assert!(accepted(&of(6_800), q(10_000), 68));
        assert!(!accepted(&of(0), q(0), 68));
        assert!(!accepted(&of(1), q(0), 68));
        // A voter whose pool lost all its stake counts for nothing.
        let (mut voters, delegations) = published();
        for pool in voters.values_mut() {
            pool.balance = Quantity::ZERO;
        }
        let votes: Votes = [(account(2), Yes)].into();
        let counted = tally(&voters, &votes, &delegations).unwrap();
        assert!(!accepted(&counted, q(0), 67));
    }
}
