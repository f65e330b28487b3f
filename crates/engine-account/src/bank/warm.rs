//! What an instance remembers between rounds. All of it can be read from the state again; it is
//! valid for one state root only.

use std::sync::Arc;

use agave_feature_set::FeatureSet;
use agave_reserved_account_keys::ReservedAccountKeys;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::chain::ChainState;
use super::cost::Ledger;
use super::features::{self, InForce};
use super::leaf;
use super::plan::Planner;
use super::processor::Svm;
use super::profile::Profile;
use super::statuses::Statuses;
use super::table::{BYTES_MAX, Table};

/// Memory of one version of the state.
pub(crate) struct Warm {
    /// `None` before the first round.
    pub(crate) chain: Option<ChainState>,
    pub(crate) rules: Rules,
    /// Accounts that were read or written lately.
    pub(crate) table: Table,
    pub(crate) statuses: Statuses,
    /// What the slot has taken, by the places in `table`.
    pub(crate) ledger: Ledger,
    pub(crate) planner: Planner,
    pub(crate) svm: Svm,
    /// The slot for which `svm` is prepared.
    pub(crate) prepared: Option<u64>,
    /// Whether plain transactions are run in less time; see [`crate::AccountEngine::judging`].
    pub(crate) is_quick: bool,
}

/// What the gates in force mean.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) in_force: Arc<InForce>,
    pub(crate) profile: Profile,
    pub(crate) features: Arc<FeatureSet>,
    pub(crate) reserved: Arc<ReservedAccountKeys>,
}

impl Rules {
    /// The rules under these gates.
    pub(crate) fn new(in_force: InForce) -> Self {
        let features = features::set_of(&in_force);
        let mut reserved = ReservedAccountKeys::default();
        reserved.update_active_set(&features);
        Self {
            profile: Profile::of(&in_force),
            in_force: Arc::new(in_force),
            features: Arc::new(features),
            reserved: Arc::new(reserved),
        }
    }

    /// The rules of a state. Before the first round they are of no account, as the genesis sets
    /// them.
    ///
    /// # Errors
    /// [`Fault`] if this build does not know a gate that is in force.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let in_force = leaf::read(view, leaf::FEATURES, "feature gates")?;
        let in_force = in_force.unwrap_or_else(|| features::at_genesis(Profile::Today));
        features::require_known(&in_force)?;
        Ok(Self::new(in_force))
    }
}

impl Warm {
    /// Reads what a round needs.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let rules = Rules::load(view)?;
        let chain: Option<ChainState> = leaf::read(view, leaf::CHAIN, "the chain")?;
        let mut table = Table::default();
        let ledger = match &chain {
            Some(chain) => Ledger::load(view, chain, &mut table)?,
            None => Ledger::default(),
        };
        Ok(Self {
            chain,
            ledger,
            planner: Planner::default(),
            svm: Svm::new(&rules)?,
            rules,
            table,
            statuses: Statuses::load(view)?,
            prepared: None,
            is_quick: true,
        })
    }

    /// Forgets accounts where there are too many.
    pub(crate) fn forget(&mut self) {
        if self.table.is_full() {
            let ledger = &self.ledger;
            let (table, places) = self
                .table
                .shrink(BYTES_MAX / 2, |place| ledger.is_written(place));
            self.ledger = ledger.moved(&places);
            self.table = table;
        }
    }
}

#[cfg(test)]
mod tests {
    use solana_pubkey::Pubkey;

    use super::*;

    #[test]
    fn what_the_slot_counts_stays_with_its_account() {
        let key = |number| Pubkey::new_from_array([number; 32]);
        let mut table = Table::default();
        table.begin();
        let places: Vec<_> = (0..5).map(|number| table.give(&key(number))).collect();
        let mut ledger = Ledger::default();
        ledger.extend(table.len());
        ledger.count(70, &[(places[3], true), (places[4], false)]);
        let (table, had) = table.shrink(0, |place| ledger.is_written(place));
        let ledger = ledger.moved(&had);
        assert_eq!((table.len(), ledger.places()), (1, 1));
        let place = table.place_of(&key(3)).expect("it stays");
        assert!(ledger.is_written(place.index()));
    }
}
