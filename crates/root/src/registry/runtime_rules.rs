//! What a runtime's descriptor must be, by itself and beside the one before.
//!
//! Source: Oasis Core `registry/api` (`VerifyRuntime`, `VerifyRuntimeUpdate`), `runtime.go`
//! (`ValidateBasic`, `ValidateDeployments`).

use std::collections::BTreeSet;

use trilith_params::root::{
    CHECKPOINT_CHUNK_BYTES_MIN, CHECKPOINT_INTERVAL_MIN, GENESIS_ROUND_MAX, INCOMING_MESSAGES_MAX,
    RUNTIME_DEPLOYMENTS_MIN,
};
use trilith_protocol::root::registry::{
    Deployment, GOVERNANCE_CONSENSUS, GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME, KIND_COMPUTE,
    KIND_KEY_MANAGER, RUNTIME_VERSION, RegistryParameters, Runtime, TEE_NONE, TEE_SGX,
};
use trilith_protocol::root::staking::ThresholdKind;
use trilith_protocol::root::{GenesisError, ROOT_RUNTIME};
use trilith_types::cbor::{DecodeError, Decoder};
use trilith_types::{Epoch, RuntimeId};

use super::admission::{self, is_role};
use super::{DeploymentRule, Forbidden, RegistryError, RuntimeChange, RuntimeRule};
use crate::Refusal;
use crate::overlay::Overlay;

/// Flags in the first byte of an identifier. Source: Oasis Core `common/namespace`.
const TEST: u8 = 0x80;
const KEY_MANAGER: u8 = 0x40;
const FLAGS_UNUSED: u8 = 0x3f;
/// Kinds of committees there are constraints for, and their roles: executors, as workers and as
/// backups, and storage nodes. Source: Oasis Core `scheduler/api`, until release 22.0.
const EXECUTORS: u8 = 1;
const STORAGE: u8 = 2;
const EXECUTOR_ROLES: &[u8] = &[1, 2];
const STORAGE_ROLES: &[u8] = &[1];

fn is_test(id: &RuntimeId) -> bool {
    id.as_bytes()[0] & TEST != 0
}

/// Checks a descriptor by itself.
pub(super) fn check_form(
    runtime: &Runtime,
    parameters: &RegistryParameters,
    epoch: Epoch,
) -> Result<(), RegistryError> {
    if runtime.v != RUNTIME_VERSION {
        return Err(RegistryError::Version {
            what: "runtime",
            found: runtime.v,
            expected: RUNTIME_VERSION,
        });
    }
    identity(runtime, parameters)?;
    numbers(runtime)?;
    thresholds(runtime)?;
    admission::check_form(&runtime.admission_policy)?;
    constraints(runtime)?;
    let model = runtime.governance_model;
    let enabled = &parameters.enable_runtime_governance_models;
    if enabled.get(&model) != Some(&true) {
        return Err(Forbidden::GovernanceModel(model).into());
    }
    if model == GOVERNANCE_RUNTIME && runtime.kind != KIND_COMPUTE {
        return Err(RuntimeRule::SelfGovernance.into());
    }
    deployments(runtime, parameters, epoch)
}

/// Identifier, kind, enclave, key manager: what they say of each other.
fn identity(runtime: &Runtime, parameters: &RegistryParameters) -> Result<(), RuntimeRule> {
    let id = runtime.id;
    in_range("kind", runtime.kind.into(), 1, KIND_KEY_MANAGER.into())?;
    in_range(
        "tee_hardware",
        runtime.tee_hardware.into(),
        0,
        TEE_SGX.into(),
    )?;
    in_range(
        "governance_model",
        runtime.governance_model.into(),
        GOVERNANCE_ENTITY.into(),
        GOVERNANCE_CONSENSUS.into(),
    )?;
    let flags = id.as_bytes()[0];
    let keeps_secrets = runtime.kind == KIND_KEY_MANAGER;
    let flag_fits = (flags & KEY_MANAGER != 0) == keeps_secrets;
    if id == ROOT_RUNTIME || !flag_fits || flags & FLAGS_UNUSED != 0 {
        return Err(RuntimeRule::Identifier(id));
    }
    if is_test(&id) && !parameters.debug_allow_test_runtimes {
        return Err(RuntimeRule::TestRuntime(id));
    }
    if let Some(of) = runtime.key_manager.filter(|of| keeps_secrets || *of == id) {
        return Err(RuntimeRule::KeyManager(of));
    }
    let has_secrets = keeps_secrets || runtime.key_manager.is_some();
    if has_secrets && !is_test(&id) && runtime.tee_hardware == TEE_NONE {
        return Err(RuntimeRule::NoEnclave);
    }
    Ok(())
}

fn in_range(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), RuntimeRule> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(RuntimeRule::Range {
        name,
        value,
        min,
        max,
    })
}

fn numbers(runtime: &Runtime) -> Result<(), RuntimeRule> {
    let staking = &runtime.staking;
    in_range(
        "reward_equivocation",
        staking.reward_equivocation.into(),
        0,
        100,
    )?;
    in_range(
        "reward_bad_results",
        staking.reward_bad_results.into(),
        0,
        100,
    )?;
    // Rounds count up from here for ever.
    in_range("genesis.round", runtime.genesis.round, 0, GENESIS_ROUND_MAX)?;
    if runtime.kind != KIND_COMPUTE {
        return Ok(());
    }
    let (executor, scheduler) = (&runtime.executor, &runtime.txn_scheduler);
    in_range("backup_rule", executor.backup_rule.into(), 0, 1)?;
    match runtime.descriptor().validate() {
        Ok(()) => {}
        Err(GenesisError::Range {
            name,
            value,
            min,
            max,
            ..
        }) => {
            return Err(RuntimeRule::Range {
                name,
                value,
                min,
                max,
            });
        }
        Err(_) => return Err(RuntimeRule::Identifier(runtime.id)),
    }
    let (live, missed) = (
        executor.min_live_rounds_percent,
        executor.max_missed_proposals_percent,
    );
    in_range("min_live_rounds_percent", live.into(), 0, 100)?;
    in_range("max_missed_proposals_percent", missed.into(), 0, 100)?;
    let (incoming, incoming_max) = (scheduler.max_in_messages, INCOMING_MESSAGES_MAX);
    in_range("max_in_messages", incoming.into(), 0, incoming_max.into())?;
    // The descriptor has milliseconds, this has nanoseconds.
    let (flush, propose) = (
        scheduler.batch_flush_timeout,
        scheduler.propose_batch_timeout,
    );
    in_range("batch_flush_timeout", flush, 0, propose)?;
    let storage = &runtime.storage;
    if storage.checkpoint_interval > 0 {
        let chunk = storage.checkpoint_chunk_size;
        let interval = storage.checkpoint_interval;
        in_range(
            "checkpoint_interval",
            interval,
            CHECKPOINT_INTERVAL_MIN,
            u64::MAX,
        )?;
        in_range(
            "checkpoint_num_kept",
            storage.checkpoint_num_kept,
            1,
            u64::MAX,
        )?;
        in_range(
            "checkpoint_chunk_size",
            chunk,
            CHECKPOINT_CHUNK_BYTES_MIN,
            u64::MAX,
        )?;
    }
    Ok(())
}

fn thresholds(runtime: &Runtime) -> Result<(), RuntimeRule> {
    let compute = runtime.kind == KIND_COMPUTE;
    for kind in runtime.staking.thresholds.keys() {
        let fits = match kind {
            ThresholdKind::NodeCompute | ThresholdKind::NodeObserver => compute,
            ThresholdKind::NodeKeyManager => !compute,
            _ => false,
        };
        if !fits {
            return Err(RuntimeRule::Threshold(*kind as u8));
        }
    }
    Ok(())
}

fn constraints(runtime: &Runtime) -> Result<(), RuntimeRule> {
    for (kind, roles) in &runtime.constraints {
        in_range(
            "constraints",
            (*kind).into(),
            EXECUTORS.into(),
            STORAGE.into(),
        )?;
        let known = if *kind == EXECUTORS {
            EXECUTOR_ROLES
        } else {
            STORAGE_ROLES
        };
        if let Some(role) = roles.keys().find(|role| !known.contains(role)) {
            return Err(RuntimeRule::Role((*role).into()));
        }
    }
    let mut roles = runtime.admission_policy.per_role.keys();
    match roles.find(|role| !is_role(**role)) {
        Some(role) => Err(RuntimeRule::Role(*role)),
        None => Ok(()),
    }
}

fn deployments(
    runtime: &Runtime,
    parameters: &RegistryParameters,
    epoch: Epoch,
) -> Result<(), RegistryError> {
    let count = runtime.deployments.len();
    let limit = parameters
        .max_runtime_deployments
        .max(RUNTIME_DEPLOYMENTS_MIN);
    let limit = usize::from(limit);
    if count == 0 || count > limit {
        return Err(DeploymentRule::Count { count, limit }.into());
    }
    let mut ascending: Vec<&Deployment> = runtime.deployments.iter().collect();
    ascending.sort_by_key(|deployment| deployment.version);
    for pair in ascending.windows(2) {
        if pair[0].version == pair[1].version {
            return Err(DeploymentRule::VersionTwice.into());
        }
        let (earlier, later) = (pair[0].valid_from, pair[1].valid_from);
        if earlier >= later {
            return Err(DeploymentRule::Order { earlier, later }.into());
        }
    }
    let valid_from = ascending.iter().map(|deployment| deployment.valid_from);
    let future = valid_from.filter(|from| *from > epoch).count();
    if future > 1 {
        return Err(DeploymentRule::Future(future).into());
    }
    for deployment in &runtime.deployments {
        let checksum = deployment.bundle_checksum.0.len();
        if checksum != 0 && checksum != 32 {
            return Err(DeploymentRule::Checksum(checksum).into());
        }
        let tee = deployment.tee.0.as_slice();
        if runtime.tee_hardware == TEE_NONE && !tee.is_empty() {
            return Err(DeploymentRule::UnexpectedTee.into());
        }
        if runtime.tee_hardware == TEE_SGX && !matches!(enclaves(tee), Ok(1..)) {
            return Err(RegistryError::NoEnclaves);
        }
    }
    Ok(())
}

/// How many enclaves constraints name.
fn enclaves(constraints: &[u8]) -> Result<usize, DecodeError> {
    let mut decoder = Decoder::new(constraints);
    let mut count = 0;
    decoder.fields("constraints", 16, |name, d| {
        let item = d.skip()?;
        if name == "enclaves" {
            count = Decoder::new(item).array("enclaves", item.len())?;
        }
        Ok(())
    })?;
    decoder.finish()?;
    Ok(count)
}

/// Checks the key manager of a compute runtime.
pub(super) fn check_key_manager(
    overlay: &mut Overlay<'_>,
    runtime: &Runtime,
) -> Result<(), Refusal> {
    let Some(id) = runtime.key_manager else {
        return Ok(());
    };
    let (found, _) = overlay
        .any_runtime(&id)?
        .ok_or(RegistryError::NoSuchRuntime(id))?;
    if found.kind != KIND_KEY_MANAGER {
        return Err(RegistryError::from(RuntimeRule::KeyManager(id)).into());
    }
    Ok(())
}

/// Checks a new runtime: it does not run at once, so that nodes can register for it before.
pub(super) fn check_new(
    runtime: &Runtime,
    parameters: &RegistryParameters,
    epoch: Epoch,
) -> Result<(), RuntimeChange> {
    let at_once = runtime.active_deployment(epoch).is_some();
    if at_once && !parameters.debug_deploy_immediately {
        return Err(RuntimeChange::AtOnce);
    }
    Ok(())
}

/// Checks a descriptor beside the one that is registered.
pub(super) fn check_update(
    old: &Runtime,
    new: &Runtime,
    epoch: Epoch,
) -> Result<(), RuntimeChange> {
    if old.kind != new.kind {
        return Err(RuntimeChange::Kind);
    }
    if old.genesis != new.genesis {
        return Err(RuntimeChange::Genesis);
    }
    if old.key_manager.is_some() && old.key_manager != new.key_manager {
        return Err(RuntimeChange::KeyManager);
    }
    let to_itself =
        old.governance_model == GOVERNANCE_ENTITY && new.governance_model == GOVERNANCE_RUNTIME;
    if old.governance_model != new.governance_model && !to_itself {
        return Err(RuntimeChange::Governance);
    }
    let known: BTreeSet<_> = old
        .deployments
        .iter()
        .map(|deployment| deployment.version)
        .collect();
    for deployment in &new.deployments {
        if old.deployments.contains(deployment) || deployment.valid_from > epoch {
            continue;
        }
        return Err(if known.contains(&deployment.version) {
            RuntimeChange::Deployment
        } else {
            RuntimeChange::AtOnce
        });
    }
    if old.active_deployment(epoch) != new.active_deployment(epoch) {
        return Err(RuntimeChange::Deployment);
    }
    Ok(())
}
