//! What an epoch does to key managers.
//!
//! Source: Oasis Core `apps/keymanager/secrets/epoch.go`.

use trilith_protocol::RootEvent;
use trilith_protocol::root::keymanager::{
    KeymanagerEvent, SignedEncryptedMasterSecret, Status, StatusEvent,
};
use trilith_types::{Hash, StateFault};

use super::status::{Candidate, next_status, responses};
use super::store::{MASTER, STATUSES, key};
use crate::registry;
use crate::scope::Scope;

/// Finds out how every key manager that runs stands now.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let key_managers = registry::key_managers(scope)?;
    if key_managers.is_empty() {
        return Ok(());
    }
    let nodes = registry::all_nodes(scope)?;
    for runtime in key_managers {
        let id = runtime.id;
        let old: Option<Status> = scope.overlay.record(&key(STATUSES, &id))?;
        let proposed: Option<SignedEncryptedMasterSecret> =
            scope.overlay.record(&key(MASTER, &id))?;
        let candidates: Vec<Candidate> = nodes
            .iter()
            .filter_map(|node| Some((node.id, responses(node, &runtime, scope.epoch)?)))
            .collect();
        let before = old.clone().unwrap_or_else(|| Status::new(id));
        let proposed = proposed.as_ref().map(|signed| &signed.secret);
        let status = next_status(&before, proposed, &candidates, scope.epoch);
        if old.as_ref() != Some(&status) {
            save(scope, &status);
        }
    }
    Ok(())
}

/// Writes a status and tells that it changed.
pub(super) fn save(scope: &mut Scope<'_>, status: &Status) {
    scope.overlay.put_record(key(STATUSES, &status.id), status);
    scope.emit(RootEvent::KeyManager(KeymanagerEvent::Status(
        StatusEvent {
            id: status.id,
            nodes: u32::try_from(status.nodes().len()).unwrap_or(u32::MAX),
            generation: status.generation,
            rotation_epoch: status.rotation_epoch,
            hash: Hash::of(&status.encode()),
        },
    )));
}
