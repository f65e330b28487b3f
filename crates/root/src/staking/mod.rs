//! The staking service: accounts, delegation, rewards, slashing and fees.
//!
//! Stake is in an account's general balance, in the active or debonding pool of an account it is
//! delegated to, in the common pool, in the fees of a height that are not paid out yet, or in the
//! governance deposits; together that is the total supply. Delegators own shares of pools, and
//! what a share is worth rises with rewards and falls with slashing. Stake that is taken back stays
//! in the debonding pool, where it can be slashed, for the debonding interval.
//!
//! What an entity registers makes claims on its active stake, which are summed. Stake can fall
//! below the claims, by slashing or because delegators take it back; then nothing more can be
//! registered, and who elects must look.
//!
//! | key | value |
//! |---|---|
//! | `Sp` | parameters |
//! | `St`, `Sc`, `Sf`, `Sg` | total supply, common pool, fees of the newest height, deposits |
//! | `Sa` ‖ address | account |
//! | `Sd` ‖ delegate ‖ delegator | shares of the active pool |
//! | `Sb` ‖ delegator ‖ delegate ‖ epoch | shares of the debonding pool, to be paid out then |
//! | `Sq` ‖ epoch ‖ delegator ‖ delegate | that there are such shares |
//! | `Ss` | who signed how many heights of the running epoch |
//!
//! It must not know what is registered, only the claims. Invariants, which [`check`] checks over
//! the whole state: the parts add up to the total supply; the delegations to an account add up to
//! the shares of its pools; the queue has exactly the debonding delegations.
//!
//! Deviations from Oasis Core: quantities are 128 bits, and a reward whose shares do not fit is
//! left out; delegations that end are paid out at the first height of an epoch before its
//! elections, not after them; there are no account hooks.
//!
//! Source: Oasis Core `staking/api`, `consensus/cometbft/apps/staking`.

mod change;
mod claims;
mod commission;
mod error;
mod escrow;
mod fees;
mod genesis;
mod invariants;
mod rewards;
mod shares;
mod slash;
mod store;
mod transfer;
mod voting;

pub use error::{CommissionError, Forbidden, MODULE, StakingError};
pub use genesis::export;
pub use invariants::{Violation, check};
pub use store::{account, debonding, delegation, parameters, total_supply};

pub(crate) use change::change_parameters;
pub(crate) use claims::{active_stake, add_claim, claims_covered, cover_claims, remove_claim};
pub(crate) use fees::{Participants, check_fee, end_height, pay_fee};
pub(crate) use genesis::import;
pub(crate) use rewards::for_electability;
pub(crate) use slash::{distribute, slash};
pub(crate) use store::{parameters_of, shares_of, supply_of};
pub(crate) use transfer::pay;
pub(crate) use voting::{
    active_pool, delegators, deposit, discard_deposit, has_delegated, return_deposit,
};

use trilith_protocol::root::staking as methods;
use trilith_types::StateFault;

use crate::scope::{Handler, Scope};

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    (methods::TRANSFER, transfer::transfer),
    (methods::BURN, transfer::burn),
    (methods::ADD_ESCROW, escrow::add),
    (methods::RECLAIM_ESCROW, escrow::reclaim),
    (methods::AMEND_COMMISSION_SCHEDULE, commission::amend),
    (methods::ALLOW, transfer::allow),
    (methods::WITHDRAW, transfer::withdraw),
];

/// Pays out what is left of the fees of the height before, and rewards who made it.
pub(crate) fn begin_height(
    scope: &mut Scope<'_>,
    participants: &Participants,
) -> Result<(), StateFault> {
    fees::pay_voters(scope, participants)?;
    rewards::for_proposing(scope, participants)?;
    rewards::count_signatures(scope, participants)
}

/// Pays out delegations that end, and rewards for the epoch before.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    escrow::release(scope)?;
    rewards::for_signing(scope)
}
