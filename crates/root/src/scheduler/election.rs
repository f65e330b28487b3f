//! Who executes a runtime in an epoch.
//!
//! ```text
//! entropy = H(domain ‖ randomness ‖ epoch ‖ runtime)
//! order of a role = eligible nodes by H(entropy ‖ role ‖ node)
//! workers = the first group_size in the order of role 1
//! backups = the first backup_size in the order of role 2, of all eligible nodes or, by the
//!           default rule, of those that are not workers
//! ```
//!
//! Too few nodes for either role: no committee. Every node with the compute role is eligible; stake
//! and liveness will narrow that.
//!
//! Deviation from Oasis Core, whose entropy-based order needs Go's random number generator: the
//! order is by hash. The rules around it are the same but for separate backups.

use std::collections::BTreeSet;

use trilith_protocol::Committee;
use trilith_protocol::root::{BackupRule, RuntimeDescriptor};
use trilith_types::{Epoch, Hash, NodeId};

const DOMAIN: &[u8] = b"trilith/root: committee election";
/// Numbers of the roles. Source: Oasis Core `scheduler/api`.
const ROLE_WORKER: u8 = 1;
const ROLE_BACKUP: u8 = 2;

/// Elects the committee of a runtime; `None` if the eligible nodes are too few.
pub(crate) fn elect(
    descriptor: &RuntimeDescriptor,
    eligible: &BTreeSet<NodeId>,
    epoch: Epoch,
    randomness: &[u8; 32],
) -> Option<Committee> {
    let parts: [&[u8]; 4] = [
        DOMAIN,
        randomness,
        &epoch.0.to_be_bytes(),
        descriptor.id.as_bytes(),
    ];
    let entropy = Hash::of_parts(&parts);
    let executor = &descriptor.executor;
    let workers = draw(&entropy, ROLE_WORKER, executor.group_size, eligible.iter())?;
    let candidates = eligible
        .iter()
        .filter(|node| executor.backup_rule == BackupRule::Shared || !workers.contains(node));
    let backups = draw(&entropy, ROLE_BACKUP, executor.backup_size, candidates)?;
    Some(Committee {
        epoch,
        workers,
        backups,
        storage: Vec::new(),
    })
}

fn draw<'a>(
    entropy: &Hash,
    role: u8,
    count: u32,
    candidates: impl Iterator<Item = &'a NodeId>,
) -> Option<Vec<NodeId>> {
    let mut order: Vec<(Hash, NodeId)> = candidates
        .map(|node| {
            (
                Hash::of_parts(&[entropy.as_bytes(), &[role], node.as_bytes()]),
                *node,
            )
        })
        .collect();
    order.sort_unstable();
    order.truncate(count as usize);
    (order.len() == count as usize).then(|| order.into_iter().map(|(_, node)| node).collect())
}
