//! What always holds of the service's state, checked over all of it.

use std::collections::BTreeMap;

use trilith_types::StateRead;

use super::genesis::{export, import};
use crate::overlay::{Overlay, Values};
use crate::staking::{self, Violation};

/// Checks the whole state of the service at the end of a height: its indexes, and that the deposits
/// of active proposals are the deposits of the staking service.
///
/// # Errors
/// [`Violation`] naming the first rule that does not hold.
pub fn check(view: &dyn StateRead) -> Result<(), Violation> {
    let stakes = staking::export(view)?;
    let entries: BTreeMap<Vec<u8>, Vec<u8>> =
        import(&export(view)?, &stakes)?.into_iter().collect();
    let overlay = Overlay::new(view, Values::new());
    let found: BTreeMap<Vec<u8>, Vec<u8>> = overlay.all(b"G")?.into_iter().collect();
    if found == entries {
        return Ok(());
    }
    Err(Violation::Entries {
        service: "governance",
        found: found.len(),
        expected: entries.len(),
    })
}
