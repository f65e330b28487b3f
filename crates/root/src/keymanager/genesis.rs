//! The key manager service's part of a genesis document: into the state, and out of it.
//!
//! Source: Oasis Core `apps/keymanager/secrets/genesis.go`, `keymanager/secrets/sanity_check.go`.

use std::collections::BTreeSet;

use trilith_params::root::KEY_MANAGER_NODES_MAX;
use trilith_protocol::Reject;
use trilith_protocol::root::GenesisError;
use trilith_protocol::root::keymanager::{KeymanagerGenesis, KeymanagerParameters, Status};
use trilith_protocol::root::registry::{KIND_KEY_MANAGER, RegistryGenesis};
use trilith_types::{RuntimeId, StateFault, StateRead};

use super::store::{self, EPHEMERAL, MASTER, PARAMETERS, STATUSES, key};
use super::{KeymanagerError, policy};
use crate::overlay::{Entry, Overlay, Values};
use crate::state::{Record, decoded};

/// The entries of the state that a document gives.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub(crate) fn import(
    genesis: &KeymanagerGenesis,
    registry: &RegistryGenesis,
) -> Result<Vec<Entry>, GenesisError> {
    let parameters = &genesis.params;
    signers(parameters)?;
    let mut entries = Vec::new();
    if *parameters != KeymanagerParameters::default() {
        entries.push((PARAMETERS.to_vec(), parameters.to_bytes()));
    }
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    let known: BTreeSet<RuntimeId> = registered
        .filter(|runtime| runtime.kind == KIND_KEY_MANAGER)
        .map(|runtime| runtime.id)
        .collect();
    let ids: Vec<RuntimeId> = genesis.statuses.iter().map(|status| status.id).collect();
    of_known("statuses of key managers", &ids, &known)?;
    for status in &genesis.statuses {
        check(status, parameters).map_err(|error| {
            let id = status.id;
            refused(format!("key manager {id}: {}", Reject::from(error).message))
        })?;
        let nodes = status.nodes();
        let ascending = nodes.windows(2).all(|pair| pair[0] < pair[1]);
        let count = nodes.len();
        if !ascending || count > KEY_MANAGER_NODES_MAX {
            let (id, limit) = (status.id, KEY_MANAGER_NODES_MAX);
            let rule = format!("key manager {id}: {count} nodes, at most {limit} in order may be");
            return Err(refused(rule));
        }
        entries.push((key(STATUSES, &status.id), status.to_bytes()));
    }
    // Who publishes a secret has a status before.
    let known: BTreeSet<RuntimeId> = ids.into_iter().collect();
    let secrets = &genesis.master_secrets;
    let ids: Vec<RuntimeId> = secrets.iter().map(|secret| secret.secret.id).collect();
    of_known("master secrets", &ids, &known)?;
    let records = secrets.iter().zip(&ids);
    entries.extend(records.map(|(secret, id)| (key(MASTER, id), secret.to_bytes())));
    let secrets = &genesis.ephemeral_secrets;
    let ids: Vec<RuntimeId> = secrets.iter().map(|secret| secret.secret.id).collect();
    of_known("ephemeral secrets", &ids, &known)?;
    let records = secrets.iter().zip(&ids);
    entries.extend(records.map(|(secret, id)| (key(EPHEMERAL, id), secret.to_bytes())));
    Ok(entries)
}

fn refused(rule: String) -> GenesisError {
    let part = "key managers";
    GenesisError::Rule { part, rule }
}

/// Who signs policies.
fn signers(parameters: &KeymanagerParameters) -> Result<(), GenesisError> {
    let signers = &parameters.policy_signers;
    if !signers.windows(2).all(|pair| pair[0] < pair[1]) {
        let what = "signers of policies";
        return Err(GenesisError::Order { what });
    }
    let (threshold, count) = (usize::from(parameters.policy_threshold), signers.len());
    let least = usize::from(count > 0);
    if !(least..=count).contains(&threshold) {
        let rule = format!("{threshold} of {count} must sign policies, it must be from {least}");
        return Err(refused(rule));
    }
    Ok(())
}

fn of_known(
    what: &'static str,
    ids: &[RuntimeId],
    known: &BTreeSet<RuntimeId>,
) -> Result<(), GenesisError> {
    if !ids.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(GenesisError::Order { what });
    }
    match ids.iter().find(|id| !known.contains(id)) {
        Some(id) => Err(refused(format!(
            "runtime {id} has one of the {what} and is no key manager, or has no status"
        ))),
        None => Ok(()),
    }
}

fn check(status: &Status, parameters: &KeymanagerParameters) -> Result<(), KeymanagerError> {
    let policies = [&status.policy, &status.next_policy];
    for signed in policies.into_iter().flatten() {
        if signed.policy.id != status.id {
            return Err(KeymanagerError::NotKeyManager(signed.policy.id));
        }
        policy::check(signed, parameters)?;
    }
    if let (Some(current), Some(next)) = (&status.policy, &status.next_policy) {
        let (current, found) = (current.policy.serial, next.policy.serial);
        if found <= current {
            return Err(KeymanagerError::Serial { found, current });
        }
    }
    Ok(())
}

/// What the state holds, as a part of a genesis document. Importing it gives the same entries.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<KeymanagerGenesis, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    Ok(KeymanagerGenesis {
        params: store::parameters(view)?,
        statuses: list(&overlay, STATUSES)?,
        master_secrets: list(&overlay, MASTER)?,
        ephemeral_secrets: list(&overlay, EPHEMERAL)?,
    })
}

fn list<R: Record>(overlay: &Overlay<'_>, prefix: &[u8]) -> Result<Vec<R>, StateFault> {
    let entries = overlay.all(prefix)?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}
