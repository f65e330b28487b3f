//! What a node does about a scheduler that contradicts itself: it shows the root the two proposals,
//! so that the scheduler's entity pays for them.
//!
//! Every node that sees both tells the root; the root takes the first and refuses the others, and a
//! node is punished once for a round however often it is told. Nothing needs to be stored before it
//! is sent: what is shown was signed by somebody else.
//!
//! It must not judge: whether the proposals are evidence is for the root to say.
//!
//! Source: Oasis Core `worker/compute/executor` (`submitEvidence`).

use trilith_protocol::root::{Evidence, GAS_EVIDENCE, SUBMIT_EVIDENCE};
use trilith_types::NodeId;

use crate::NodeError;
use crate::ledger::Equivocation;
use crate::own::OwnCall;
use crate::root::RootState;

/// The calls that show what was seen to the root. The node `own` does not accuse itself.
///
/// # Errors
/// [`NodeError`] if the root's state cannot be read.
pub(crate) fn calls(
    own: &NodeId,
    root: &RootState,
    seen: &[Equivocation],
) -> Result<Vec<OwnCall>, NodeError> {
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let costs = root.roothash_parameters()?.gas_costs;
    let gas = costs.get(&GAS_EVIDENCE.into()).copied().unwrap_or_default();
    let accused = seen.iter().filter(|of| of.first.node_id != *own);
    let calls = accused.map(|of| OwnCall {
        method: SUBMIT_EVIDENCE,
        body: Evidence::of_proposals(of.runtime, &of.first, &of.second).encode(),
        gas,
    });
    Ok(calls.collect())
}
