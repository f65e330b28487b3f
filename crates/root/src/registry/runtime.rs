//! Registering runtimes, suspending them, and letting them run again.

use trilith_params::root::RUNTIMES_MAX;
use trilith_protocol::RootEvent;
use trilith_protocol::root::Address;
use trilith_protocol::root::registry::{
    GAS_REGISTER_RUNTIME, GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME, KIND_COMPUTE, KIND_KEY_MANAGER,
    RegistryEvent, Runtime, RuntimeEvent,
};
use trilith_types::{PublicKey, RuntimeId, StateFault};

use super::entity::{charge, must_be};
use super::epoch::Coverage;
use super::error::malformed;
use super::runtime_rules::{check_form, check_key_manager, check_new, check_update};
use super::store::{MARK, RUNTIMES, RUNTIMES_OF, SUSPENDED, index_key, key, parameters_of};
use super::{Forbidden, RegistryError, stake};
use crate::Refusal;
use crate::scope::{Call, Scope};
use crate::state::{Record as _, decoded};
use crate::{roothash, staking};

/// Who asks for a registration.
#[derive(Clone, Copy)]
enum Asking {
    /// Who signed a transaction.
    Signer(PublicKey),
    /// A runtime, by a message.
    Runtime(RuntimeId),
}

/// `registry.RegisterRuntime`.
pub(super) fn register(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let runtime = Runtime::decode(body).map_err(malformed("runtime"))?;
    let asking = Asking::Signer(call.signer);
    put(scope, call, runtime, asking)
}

/// Changes a runtime that governs itself, by a message of that runtime.
pub(crate) fn update_by_runtime(
    scope: &mut Scope<'_>,
    call: &mut Call,
    sender: &RuntimeId,
    runtime: Runtime,
) -> Result<(), Refusal> {
    put(scope, call, runtime, Asking::Runtime(*sender))
}

fn put(
    scope: &mut Scope<'_>,
    call: &mut Call,
    runtime: Runtime,
    asking: Asking,
) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let epoch = scope.epoch;
    if parameters.disable_runtime_registration {
        return Err(RegistryError::from(Forbidden::Runtimes).into());
    }
    check_form(&runtime, &parameters, epoch)?;
    let keeps_secrets = runtime.kind == KIND_KEY_MANAGER;
    if keeps_secrets && parameters.disable_km_runtime_registration {
        return Err(RegistryError::from(Forbidden::KeyManagers).into());
    }
    check_key_manager(&mut scope.overlay, &runtime)?;
    charge(scope, call, &parameters, GAS_REGISTER_RUNTIME, 1)?;
    let existing = scope.overlay.any_runtime(&runtime.id)?;
    match &existing {
        Some((old, _)) => check_update(old, &runtime, epoch).map_err(RegistryError::from)?,
        None => {
            check_new(&runtime, &parameters, epoch).map_err(RegistryError::from)?;
            room(scope, &runtime.id)?;
        }
    }
    // Who may change it is whoever governs it now.
    governs(asking, existing.as_ref().map_or(&runtime, |(old, _)| old))?;
    owner_exists(scope, &runtime)?;
    roothash::check_runtime(scope, &runtime)?;
    move_claim(scope, existing.as_ref().map(|(old, _)| old), &runtime)?;
    save(scope, existing, &runtime)?;
    Ok(())
}

/// Whether there is room for another runtime, of this identifier.
fn room(scope: &mut Scope<'_>, id: &RuntimeId) -> Result<(), Refusal> {
    if scope.network.runtimes.contains(id) {
        return Err(RegistryError::Unowned(*id).into());
    }
    let registered = scope.overlay.all(RUNTIMES)?.len() + scope.overlay.all(SUSPENDED)?.len();
    let count = registered.max(scope.network.runtimes.len());
    if count >= RUNTIMES_MAX {
        return Err(RegistryError::TooManyRuntimes(count).into());
    }
    Ok(())
}

fn governs(asking: Asking, runtime: &Runtime) -> Result<(), RegistryError> {
    match (runtime.governance_model, asking) {
        (GOVERNANCE_ENTITY, Asking::Signer(signer)) => must_be(&signer, &runtime.entity_id),
        (GOVERNANCE_RUNTIME, Asking::Runtime(sender)) if sender == runtime.id => Ok(()),
        (GOVERNANCE_RUNTIME, _) => Err(Forbidden::GovernsItself(runtime.id).into()),
        (model, _) => Err(Forbidden::GovernanceModel(model).into()),
    }
}

/// The owner must be registered: whoever registers a runtime, and whoever it is given to.
fn owner_exists(scope: &mut Scope<'_>, runtime: &Runtime) -> Result<(), Refusal> {
    match scope.overlay.entity(&runtime.entity_id)? {
        Some(_) => Ok(()),
        None => Err(RegistryError::NoSuchEntity(runtime.entity_id).into()),
    }
}

/// Puts the claim on the account whose stake the runtime needs now.
fn move_claim(scope: &mut Scope<'_>, old: Option<&Runtime>, new: &Runtime) -> Result<(), Refusal> {
    let claim = stake::runtime_claim(&new.id);
    let from: Option<Address> = old.and_then(stake::account_of);
    let to = stake::account_of(new);
    if let Some(address) = &to {
        staking::add_claim(scope, address, claim.clone(), stake::of_runtime(new))?;
    }
    if let Some(address) = from.filter(|from| Some(*from) != to) {
        staking::remove_claim(scope, &address, &claim)?;
    }
    Ok(())
}

/// Writes a descriptor and its index. Nothing fails after this: what is made here outside the
/// overlay stays.
fn save(
    scope: &mut Scope<'_>,
    existing: Option<(Runtime, bool)>,
    runtime: &Runtime,
) -> Result<(), StateFault> {
    let (id, suspended) = (runtime.id, matches!(existing, Some((_, true))));
    let prefix = if suspended { SUSPENDED } else { RUNTIMES };
    scope
        .overlay
        .put_record(key(prefix, id.as_bytes()), runtime);
    if let Some((old, _)) = &existing {
        let index = index_key(RUNTIMES_OF, &old.entity_id, id.as_bytes());
        scope.overlay.put(index, None);
    }
    let index = index_key(RUNTIMES_OF, &runtime.entity_id, id.as_bytes());
    scope.overlay.put(index, Some(MARK.to_vec()));
    if existing.is_none() && runtime.kind == KIND_COMPUTE {
        roothash::create(scope, &runtime.descriptor(), runtime.genesis.round)?;
    }
    emit(scope, id, suspended);
    Ok(())
}

fn emit(scope: &mut Scope<'_>, id: RuntimeId, is_suspended: bool) {
    scope.emit(RootEvent::Registry(RegistryEvent::Runtime(RuntimeEvent {
        id,
        is_suspended,
    })));
}

/// Whether a registered runtime is suspended.
pub(crate) fn is_suspended(scope: &mut Scope<'_>, id: &RuntimeId) -> Result<bool, StateFault> {
    let found = scope.overlay.get(&key(SUSPENDED, id.as_bytes()))?;
    Ok(found.is_some())
}

/// Suspends a runtime, if it is registered and runs.
pub(crate) fn suspend(scope: &mut Scope<'_>, id: &RuntimeId) -> Result<(), StateFault> {
    shift(scope, id, RUNTIMES, SUSPENDED)
}

/// Lets a runtime run again, if it is suspended.
pub(super) fn resume(scope: &mut Scope<'_>, id: &RuntimeId) -> Result<(), StateFault> {
    shift(scope, id, SUSPENDED, RUNTIMES)
}

fn shift(scope: &mut Scope<'_>, id: &RuntimeId, from: &[u8], to: &[u8]) -> Result<(), StateFault> {
    let from = key(from, id.as_bytes());
    let Some(bytes) = scope.overlay.get(&from)? else {
        return Ok(());
    };
    let runtime: Runtime = decoded(&bytes)?;
    scope.overlay.put(from, None);
    scope
        .overlay
        .put(key(to, id.as_bytes()), Some(runtime.to_bytes()));
    emit(scope, *id, to == SUSPENDED);
    Ok(())
}

/// Suspends the runtimes whose owners have less stake than they must.
pub(crate) fn suspend_without_stake(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let mut coverage = Coverage::default();
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        let Some(account) = stake::account_of(&runtime) else {
            continue;
        };
        if !coverage.of(scope, account)? {
            suspend(scope, &runtime.id)?;
        }
    }
    Ok(())
}
