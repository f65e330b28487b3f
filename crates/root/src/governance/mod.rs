//! The governance service: proposals, votes by stake, upgrades, parameters of services, and the
//! features of runtimes.
//!
//! Anyone proposes, for a deposit. The voters are the entities with a validator, each with the
//! stake that is delegated to it; who has delegated to a voter may vote too, and then his part of
//! the voter's stake goes with his vote. At the first height of the epoch at which a proposal
//! closes, votes are counted; it passes if the stake for it is the threshold's part of the stake of
//! all voters, whoever voted or not. Then it is done at once, as a whole or not at all, and the
//! deposit goes back; the deposit of a rejected one goes into the common pool.
//!
//! ```text
//! epoch E:      proposed, voted on, voted on again: a later vote takes the place of the earlier
//! E + period:   at the end of the first height, votes are counted
//!               passed:   done; a feature is approved and pending
//!               failed:   enough were for it, but it cannot be done any more
//!               rejected: too few were for it
//! one epoch on: the feature is active, for all runtimes and for ever
//! ```
//!
//! | key | value |
//! |---|---|
//! | `Gp` | parameters; absent while they are the default |
//! | `Gi` | number of the next proposal; absent before the first |
//! | `Gn` ‖ number | proposal |
//! | `Ga` ‖ closing epoch ‖ number | that it can be voted on, and how many votes there are |
//! | `Gv` ‖ number ‖ voter | vote |
//! | `Gu` ‖ epoch ‖ number | that its upgrade is pending |
//! | `Gf` ‖ feature | that it is approved, by which proposal, and since when it is active |
//!
//! It must not know what parameters and features mean. Invariants, which [`check`] checks over the
//! whole state: the deposits of active proposals are the deposits of the staking service; exactly
//! the active proposals can be voted on; every pending upgrade passed.
//!
//! Deviations from Oasis Core: proposals can activate features; where voters have no stake at all a
//! proposal is rejected instead of stopping the network; the number of active proposals and of the
//! votes for one is bounded; pending upgrades are in the genesis document; an upgrade asks for a
//! version of the root's protocol, not for a handler; a vote with an unknown number is refused.
//!
//! Source: Oasis Core `governance/api`, `consensus/cometbft/apps/governance`.

mod change;
mod closing;
mod error;
mod execute;
mod features;
mod genesis;
mod invariants;
mod rules;
mod store;
// Handlers of runtimes' messages propose and vote too.
pub(crate) mod submit;
mod tally;
pub(crate) mod vote;
mod voters;

pub use error::{ArgumentRule, GovernanceError, MODULE};
pub use features::{active_features, features};
pub use genesis::export;
pub use invariants::check;
pub use store::{parameters, proposal, proposals, summary, votes};

pub(crate) use closing::{end_height, start_epoch};
pub(crate) use genesis::import;
pub(crate) use store::parameters_of;
pub(crate) use submit::submit_proposal_as;
pub(crate) use vote::cast_vote_as;

use trilith_protocol::root::governance as methods;

use crate::scope::Handler;

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    (methods::SUBMIT_PROPOSAL, submit::submit),
    (methods::CAST_VOTE, vote::cast),
];
