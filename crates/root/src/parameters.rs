//! Changes of a service's parameters by governance.
//!
//! A service that lets its parameters be changed has a function of the type [`Change`]: it decodes
//! its own form of changes, makes the new parameters, refuses them as a whole if they break a rule,
//! and writes them if it is told to. So a proposal is checked when it is submitted by the very
//! function that later does it.

use trilith_params::root::PARAMETERS_BYTES_MAX;
use trilith_types::StateFault;
use trilith_types::cbor::DecodeError;

use crate::scope::Scope;
use crate::state::Record;

/// Checks changes, and writes them if `Apply` says so.
pub(crate) type Change = fn(&mut Scope<'_>, &[u8], Apply) -> Result<(), NoChange>;

/// Whether changes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apply {
    /// They are only checked.
    Check,
    /// They are checked and written.
    Write,
}

/// Why parameters do not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoChange {
    /// The changes are not acceptable: why.
    Refused(String),
    /// This node cannot read its state.
    Fault(StateFault),
}

impl NoChange {
    /// Refuses for a reason.
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<StateFault> for NoChange {
    fn from(fault: StateFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<DecodeError> for NoChange {
    fn from(error: DecodeError) -> Self {
        Self::Refused(format!("the changes cannot be decoded: {error}"))
    }
}

/// Takes a value that is given.
pub(crate) fn set<T>(parameter: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *parameter = value;
    }
}

/// Refuses changes that change nothing, and parameters that are too large. Gives whether they are
/// to be written.
pub(crate) fn check<R: Record>(
    is_empty: bool,
    parameters: &R,
    apply: Apply,
) -> Result<bool, NoChange> {
    if is_empty {
        return Err(NoChange::because("there are no changes"));
    }
    let (len, limit) = (parameters.to_bytes().len(), PARAMETERS_BYTES_MAX);
    if len > limit {
        return Err(NoChange::Refused(format!(
            "the parameters would have {len} bytes, the limit is {limit}"
        )));
    }
    Ok(apply == Apply::Write)
}
