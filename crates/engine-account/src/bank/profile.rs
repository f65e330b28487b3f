//! The generation of rules that a network follows.
//!
//! Two gates of our own lead from the classic rules to those of today:
//!
//! | profile | budget | access | gate to it |
//! |---|---|---|---|
//! | classic | 200,000 units for each instruction | [`crate::policy`] after every instruction | |
//! | transaction-wide | 200,000 units for the transaction, more on request | the same | `transaction_wide_budget` |
//! | today | the ecosystem's | the ecosystem's | `rules_of_today` |

use serde::{Deserialize, Serialize};

use super::features::InForce;
use crate::gates::{self, Gate};

/// A generation of rules.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Profile {
    /// Each instruction has a budget of its own, and the policy of the first runtimes holds.
    Classic,
    /// As classic, but one budget for the whole transaction, which may request more.
    TransactionWide,
    /// What the ecosystem's network does today.
    #[default]
    Today,
}

impl Profile {
    /// The profile to which the gates in force have led.
    pub(crate) fn of(in_force: &InForce) -> Self {
        let is_in_force = |gate| in_force.binary_search_by_key(&gate, |(id, _)| *id).is_ok();
        if is_in_force(gates::rules_of_today()) {
            Self::Today
        } else if is_in_force(gates::transaction_wide_budget()) {
            Self::TransactionWide
        } else {
            Self::Classic
        }
    }

    /// The gates that lead to the profile.
    pub(crate) fn gates(self) -> &'static [Gate] {
        let count = match self {
            Self::Classic => 0,
            Self::TransactionWide => 1,
            Self::Today => 2,
        };
        gates::own().get(..count).unwrap_or_default()
    }

    /// Whether [`crate::policy`] holds.
    pub(crate) fn is_watched(self) -> bool {
        self != Self::Today
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;
    use crate::bank::features;
    use crate::gates;

    #[test]
    fn gates_lead_from_one_profile_to_the_next() {
        for profile in [Profile::Classic, Profile::TransactionWide, Profile::Today] {
            assert_eq!(Profile::of(&features::at_genesis(profile)), profile);
        }
        let mut skipped = features::at_genesis(Profile::Classic);
        skipped.push((gates::rules_of_today(), 7));
        skipped.sort();
        assert_eq!(Profile::of(&skipped), Profile::Today);
    }
}
