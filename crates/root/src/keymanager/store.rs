//! Where things of the key manager service stand in the state. See the service for the table.

use trilith_protocol::root::keymanager::{
    KeymanagerParameters, SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret, Status,
};
use trilith_protocol::root::registry::{KIND_KEY_MANAGER, Runtime};
use trilith_protocol::root::{KeymanagerRecord, KeymanagerSummary};
use trilith_types::{RuntimeId, StateFault, StateRead};

use super::KeymanagerError;
use crate::overlay::{Overlay, Values};
use crate::scope::{Call, Scope, broken};
use crate::state::{Record, read, record_of_encoded};
use crate::{Refusal, registry};

pub(super) const PARAMETERS: &[u8] = b"Kp";
pub(super) const STATUSES: &[u8] = b"Ks";
pub(super) const MASTER: &[u8] = b"Km";
pub(super) const EPHEMERAL: &[u8] = b"Ke";

record_of_encoded!(KeymanagerParameters, "key manager parameters");
record_of_encoded!(Status, "key manager status");
record_of_encoded!(SignedEncryptedMasterSecret, "master secret");
record_of_encoded!(SignedEncryptedEphemeralSecret, "ephemeral secret");

pub(super) fn key(prefix: &[u8], id: &RuntimeId) -> Vec<u8> {
    [prefix, id.as_bytes()].concat()
}

/// The parameters in a height in the making.
pub(super) fn parameters_of(scope: &mut Scope<'_>) -> Result<KeymanagerParameters, StateFault> {
    Ok(scope.overlay.record(PARAMETERS)?.unwrap_or_default())
}

/// Writes the parameters, unless they are the default.
pub(super) fn save_parameters(scope: &mut Scope<'_>, parameters: &KeymanagerParameters) {
    let is_default = *parameters == KeymanagerParameters::default();
    let value = (!is_default).then(|| parameters.to_bytes());
    scope.overlay.put(PARAMETERS.to_vec(), value);
}

/// Charges the gas of an operation.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    operation: &str,
) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0))?;
    Ok(())
}

/// The key manager of an identifier, which must run.
pub(super) fn running(scope: &mut Scope<'_>, id: &RuntimeId) -> Result<Runtime, Refusal> {
    registry::running(scope, id)?
        .filter(|runtime| runtime.kind == KIND_KEY_MANAGER)
        .ok_or_else(|| KeymanagerError::NotKeyManager(*id).into())
}

/// The parameters.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<KeymanagerParameters, StateFault> {
    Ok(read(view, PARAMETERS)?.unwrap_or_default())
}

/// The status of a key manager; `None` before the first epoch after its registration, unless it
/// has a policy already.
///
/// # Errors
/// See [`parameters`].
pub fn status(view: &dyn StateRead, id: &RuntimeId) -> Result<Option<Status>, StateFault> {
    read(view, &key(STATUSES, id))
}

/// What is known of a key manager; `None` if it has no status.
///
/// # Errors
/// See [`parameters`].
pub fn record(
    view: &dyn StateRead,
    id: &RuntimeId,
) -> Result<Option<KeymanagerRecord>, StateFault> {
    let Some(status) = status(view, id)? else {
        return Ok(None);
    };
    Ok(Some(KeymanagerRecord {
        status,
        master_secret: read(view, &key(MASTER, id))?,
        ephemeral_secret: read(view, &key(EPHEMERAL, id))?,
    }))
}

/// How the service stands.
///
/// # Errors
/// See [`parameters`].
pub fn summary(view: &dyn StateRead) -> Result<KeymanagerSummary, StateFault> {
    let statuses = Overlay::new(view, Values::new()).all(STATUSES)?;
    let ids: Result<Vec<RuntimeId>, StateFault> = statuses
        .iter()
        .map(|(key, _)| {
            let id = key[STATUSES.len()..].try_into();
            id.map(RuntimeId::from_bytes)
                .map_err(|_| broken("a key of the key manager service has another length"))
        })
        .collect();
    Ok(KeymanagerSummary {
        params: parameters(view)?,
        ids: ids?,
    })
}
