//! What always holds of the root's whole state, at the end of every height.
//!
//! ```text
//! staking:   conservation of stake, shares of all pools, and nothing else is there
//! registry:  indexes and claims are those of what is registered
//! governance, key managers: what they say of themselves
//! roothash:  every runtime has a descriptor and a block of its own, and only runtimes have any;
//!            commitments are only there where somebody may commit; queues have all their messages
//! scheduler: committees are of the running epoch and of the size that is asked for, nobody is in
//!            one twice, all members are known, separate backups are separate, and there are enough
//!            storage nodes for the receipts that are asked for
//! ```
//!
//! It reads all of the state: it is for tests, for documents and for operators who ask, not for
//! every height of a network that runs.

use std::collections::BTreeSet;

use trilith_protocol::root::{BackupRule, RuntimeDescriptor};
use trilith_protocol::{Committee, RootGenesis};
use trilith_types::{Epoch, NodeId, RuntimeId, StateFault, StateRead};

use crate::genesis::{Document, genesis_write_log};
use crate::overlay::{Overlay, Values};
use crate::staking::Violation;
use crate::state::OfRuntime;
use crate::{governance, keymanager, registry, roothash, staking, state};

/// Checks the whole state at the end of a height.
///
/// # Errors
/// [`Violation`] naming the first rule that does not hold.
pub fn check(view: &dyn StateRead) -> Result<(), Violation> {
    staking::check(view)?;
    registry::check(view)?;
    governance::check(view)?;
    keymanager::check(view)?;
    let network = state::network(view)?;
    let known: BTreeSet<RuntimeId> = network.runtimes.iter().copied().collect();
    only_of(view, &known)?;
    let epoch = state::epoch(view)?.epoch;
    for id in known {
        let broken = |reason| Violation::Runtime {
            runtime: id,
            reason,
        };
        let descriptor = state::descriptor(view, &id)?;
        let descriptor = descriptor.ok_or_else(|| broken("it has no descriptor"))?;
        let block = state::latest_block(view, &id)?;
        let block = block.ok_or_else(|| broken("it has no block"))?;
        if descriptor.id != id || block.namespace != id {
            return Err(broken("its descriptor or block is another one's"));
        }
        if !roothash::queue_is_whole(view, &id)? {
            return Err(broken(
                "the messages that wait for it are not those of its queue",
            ));
        }
        let committee = state::committee(view, &id)?;
        match &committee {
            Some(committee) => elected(view, &descriptor, committee, epoch)?,
            None if view.get(&OfRuntime::Pool.key(&id))?.is_some() => {
                return Err(broken("it has commitments and no committee"));
            }
            None => {}
        }
    }
    Ok(())
}

/// What is kept of one runtime is kept of runtimes only.
fn only_of(view: &dyn StateRead, known: &BTreeSet<RuntimeId>) -> Result<(), Violation> {
    let kinds = [
        OfRuntime::Descriptor,
        OfRuntime::Committee,
        OfRuntime::Block,
        OfRuntime::Pool,
        OfRuntime::Results,
    ];
    let overlay = Overlay::new(view, Values::new());
    for kind in kinds {
        for (key, _) in overlay.all(&[kind as u8])? {
            let id = RuntimeId::from_slice(&key[1..])
                .ok_or_else(|| StateFault("a key of a runtime has another length".into()))?;
            if !known.contains(&id) {
                let reason = "something is kept of it, and there is no such runtime";
                return Err(Violation::Runtime {
                    runtime: id,
                    reason,
                });
            }
        }
    }
    Ok(())
}

/// Checks a committee beside what its runtime asks for.
fn elected(
    view: &dyn StateRead,
    descriptor: &RuntimeDescriptor,
    committee: &Committee,
    epoch: Epoch,
) -> Result<(), Violation> {
    let broken = |reason| Violation::Runtime {
        runtime: descriptor.id,
        reason,
    };
    if committee.epoch != epoch {
        return Err(broken("its committee is of another epoch"));
    }
    let executor = &descriptor.executor;
    let (workers, backups) = (committee.workers.len(), committee.backups.len());
    if workers != executor.group_size as usize || backups != executor.backup_size as usize {
        return Err(broken("its committee has another size than it asks for"));
    }
    let primary: BTreeSet<&NodeId> = committee.workers.iter().collect();
    let backup: BTreeSet<&NodeId> = committee.backups.iter().collect();
    if primary.len() != workers || backup.len() != backups {
        return Err(broken("somebody is in its committee twice"));
    }
    if executor.backup_rule == BackupRule::Separate && !primary.is_disjoint(&backup) {
        return Err(broken("a primary of its committee is a backup too"));
    }
    let storage: BTreeSet<&NodeId> = committee.storage.iter().collect();
    if storage.len() != committee.storage.len() {
        return Err(broken("somebody is in its storage committee twice"));
    }
    if (storage.len() as u64) < u64::from(descriptor.storage_receipts_min) {
        return Err(broken(
            "its storage committee cannot give the receipts it asks for",
        ));
    }
    for member in primary.union(&backup).chain(storage.iter()) {
        let registered = registry::node(view, member)?.is_some();
        if !registered && state::node(view, member)?.is_none() {
            return Err(broken("somebody in its committee is not known"));
        }
    }
    Ok(())
}

/// Checks a document as far as a network can: that a network can begin with it, and that the state
/// it then has is sound.
///
/// # Errors
/// [`Violation`] naming the first rule that does not hold.
pub fn check_genesis(genesis: &RootGenesis) -> Result<(), Violation> {
    check(&Document::of(genesis_write_log(genesis)?))
}
