//! Shares and what they are worth.
//!
//! ```text
//! shares for stake = stake * shares of the pool / stake of the pool   (stake, in a new pool)
//! stake for shares = shares * stake of the pool / shares of the pool
//! ```
//!
//! Both are rounded down, so that who comes or goes never takes from who stays.
//!
//! Source: Oasis Core `staking/api` (`SharePool`).

use trilith_protocol::root::Quantity;
use trilith_protocol::root::staking::SharePool;

/// Why stake gives no shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoShares {
    /// The pool has shares but no stake.
    EmptyPool,
    /// A number does not fit.
    Overflow,
}

/// Puts stake into a pool and gives the shares for it. The pool is unchanged on failure.
pub(super) fn deposit(pool: &mut SharePool, stake: Quantity) -> Result<Quantity, NoShares> {
    let shares = if pool.total_shares.is_zero() {
        stake
    } else if pool.balance.is_zero() {
        return Err(NoShares::EmptyPool);
    } else {
        stake
            .times_over(pool.total_shares, pool.balance)
            .ok_or(NoShares::Overflow)?
    };
    let balance = pool.balance.plus(stake).ok_or(NoShares::Overflow)?;
    let total_shares = pool.total_shares.plus(shares).ok_or(NoShares::Overflow)?;
    *pool = SharePool {
        balance,
        total_shares,
    };
    Ok(shares)
}

/// Takes the stake for shares out of a pool. `None` if the pool has fewer shares.
pub(super) fn withdraw(pool: &mut SharePool, shares: Quantity) -> Option<Quantity> {
    let total_shares = pool.total_shares.minus(shares)?;
    let stake = if pool.total_shares.is_zero() {
        Quantity::ZERO
    } else {
        shares.times_over(pool.balance, pool.total_shares)?
    };
    *pool = SharePool {
        balance: pool.balance.minus(stake)?,
        total_shares,
    };
    Some(stake)
}
