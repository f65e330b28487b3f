//! What always holds of the registry's state, checked over all of it.

use std::collections::{BTreeMap, BTreeSet};

use trilith_protocol::root::{Address, Name};
use trilith_types::StateRead;

use super::genesis::{export, import};
use super::{stake, store};
use crate::overlay::{Overlay, Values};
use crate::staking::{self, Violation};

/// Checks the whole state of the service at the end of a height: its indexes, and that accounts
/// have the claims of what is registered and no others.
///
/// # Errors
/// [`Violation`] naming the first rule that does not hold.
pub fn check(view: &dyn StateRead) -> Result<(), Violation> {
    let registry = export(view)?;
    let mut stakes = staking::export(view)?;
    let mut expected: BTreeSet<(Address, Name)> = BTreeSet::new();
    for signed in &registry.entities {
        let entity = store::opened_entity(signed)?;
        expected.insert((Address::of_key(&entity.id), stake::entity_claim()));
    }
    for signed in &registry.nodes {
        let node = store::opened_node(signed)?;
        let account = Address::of_key(&node.entity_id);
        expected.insert((account, stake::node_claim(&node.id)));
    }
    for runtime in registry.runtimes.iter().chain(&registry.suspended_runtimes) {
        if let Some(account) = stake::account_of(runtime) {
            expected.insert((account, stake::runtime_claim(&runtime.id)));
        }
    }
    let accounts = stakes.ledger.iter();
    let found: BTreeSet<(Address, Name)> = accounts
        .flat_map(|(address, account)| {
            let claims = account.escrow.stake_accumulator.claims.keys();
            claims.map(|name| (*address, name.clone()))
        })
        .collect();
    if found != expected {
        return Err(Violation::Entries {
            service: "claims",
            found: found.len(),
            expected: expected.len(),
        });
    }
    let entries: BTreeMap<Vec<u8>, Vec<u8>> = import(&registry, &mut stakes)?.into_iter().collect();
    let overlay = Overlay::new(view, Values::new());
    let found: BTreeMap<Vec<u8>, Vec<u8>> = overlay.all(b"R")?.into_iter().collect();
    if found == entries {
        return Ok(());
    }
    Err(Violation::Entries {
        service: "registry",
        found: found.len(),
        expected: entries.len(),
    })
}
