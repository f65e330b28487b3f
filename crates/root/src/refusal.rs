//! Why something is not done: it is not allowed, or this node cannot tell.

use trilith_protocol::Reject;
use trilith_types::StateFault;

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is invalid: all nodes say so.
    Reject(Reject),
    /// This node cannot read its state.
    Fault(StateFault),
}

impl From<StateFault> for Refusal {
    fn from(fault: StateFault) -> Self {
        Self::Fault(fault)
    }
}
