//! What always holds of the service's state, checked over all of it.

use std::collections::BTreeMap;

use thiserror::Error;
use trilith_protocol::root::GenesisError;
use trilith_types::{RuntimeId, StateFault, StateRead};

use super::genesis::{export, import};
use crate::overlay::{Overlay, Values};

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Sums, shares or accounts are not what they must be.
    #[error(transparent)]
    Rule(#[from] GenesisError),
    /// The state has entries that no document gives, or lacks some.
    #[error("the state has {found} entries of the service {service}, its export gives {expected}")]
    Entries {
        /// The service.
        service: &'static str,
        /// Entries there are.
        found: usize,
        /// Entries there should be.
        expected: usize,
    },
    /// What is kept of a runtime does not fit together.
    #[error("runtime {runtime}: {reason}")]
    Runtime {
        /// The runtime.
        runtime: RuntimeId,
        /// What does not fit.
        reason: &'static str,
    },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateFault),
}

/// Checks the whole state of the service at the end of a height: conservation of stake, shares of
/// all pools, the queue, and that nothing else is there.
///
/// # Errors
/// [`Violation`] naming the first rule that does not hold.
pub fn check(view: &dyn StateRead) -> Result<(), Violation> {
    let entries: BTreeMap<Vec<u8>, Vec<u8>> = import(&export(view)?)?.into_iter().collect();
    let overlay = Overlay::new(view, Values::new());
    let found: BTreeMap<Vec<u8>, Vec<u8>> = overlay.all(b"S")?.into_iter().collect();
    if found == entries {
        return Ok(());
    }
    Err(Violation::Entries {
        service: "staking",
        found: found.len(),
        expected: entries.len(),
    })
}
