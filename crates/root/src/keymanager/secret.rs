//! Publishing secrets.
//!
//! Source: Oasis Core `apps/keymanager/secrets/txs.go` (`publishMasterSecret`,
//! `publishEphemeralSecret`, `fetchKeys`), `keymanager/secrets/secret.go`.

use std::collections::BTreeSet;

use trilith_params::root::SECRET_ENCLAVES_MIN;
use trilith_protocol::RootEvent;
use trilith_protocol::root::keymanager::{
    EncryptedSecret, EphemeralSecretEvent, GAS_PUBLISH_EPHEMERAL_SECRET, GAS_PUBLISH_MASTER_SECRET,
    KeymanagerEvent, MasterSecretEvent, SignedEncryptedEphemeralSecret,
    SignedEncryptedMasterSecret, Status,
};
use trilith_protocol::root::registry::CapabilityTee;
use trilith_types::{Epoch, NodeId, PublicKey, RuntimeId, SignatureError, StateFault};

use super::store::{EPHEMERAL, MASTER, STATUSES, charge, key, running};
use super::{ArgumentRule, KeymanagerError};
use crate::scope::{Call, Scope};
use crate::{Refusal, registry};

/// `keymanager.PublishMasterSecret`.
pub(super) fn publish_master(
    scope: &mut Scope<'_>,
    call: &mut Call,
    body: &[u8],
) -> Result<(), Refusal> {
    let signed = SignedEncryptedMasterSecret::decode(body).map_err(KeymanagerError::from)?;
    charge(scope, call, GAS_PUBLISH_MASTER_SECRET)?;
    let secret = &signed.secret;
    let (id, epoch) = (secret.id, secret.epoch);
    let (status, rak) = member(scope, call, &id)?;
    let place = key(MASTER, &id);
    let last: Option<SignedEncryptedMasterSecret> = scope.overlay.record(&place)?;
    if last.is_some_and(|last| last.secret.epoch == epoch) {
        return Err(KeymanagerError::Published(epoch).into());
    }
    let earliest = status.next_rotation();
    if earliest.is_none_or(|earliest| epoch < earliest) {
        return Err(KeymanagerError::Rotation { epoch, earliest }.into());
    }
    let (found, expected) = (secret.generation, status.next_generation());
    if found != expected {
        return Err(KeymanagerError::Generation { found, expected }.into());
    }
    let enclaves = enclaves(scope, &status)?;
    check(scope.epoch, epoch, &secret.secret, &enclaves)?;
    signed.verify(&rak).map_err(wrongly_signed)?;
    scope.overlay.put_record(place, &signed);
    scope.emit(RootEvent::KeyManager(KeymanagerEvent::MasterSecret(
        MasterSecretEvent {
            id,
            node: call.signer,
            generation: expected,
            epoch,
        },
    )));
    Ok(())
}

/// `keymanager.PublishEphemeralSecret`.
pub(super) fn publish_ephemeral(
    scope: &mut Scope<'_>,
    call: &mut Call,
    body: &[u8],
) -> Result<(), Refusal> {
    let signed = SignedEncryptedEphemeralSecret::decode(body).map_err(KeymanagerError::from)?;
    charge(scope, call, GAS_PUBLISH_EPHEMERAL_SECRET)?;
    let secret = &signed.secret;
    let (id, epoch) = (secret.id, secret.epoch);
    let (status, rak) = member(scope, call, &id)?;
    let place = key(EPHEMERAL, &id);
    let last: Option<SignedEncryptedEphemeralSecret> = scope.overlay.record(&place)?;
    if last.is_some_and(|last| last.secret.epoch == epoch) {
        return Err(KeymanagerError::Published(epoch).into());
    }
    let enclaves = enclaves(scope, &status)?;
    check(scope.epoch, epoch, &secret.secret, &enclaves)?;
    signed.verify(&rak).map_err(wrongly_signed)?;
    scope.overlay.put_record(place, &signed);
    scope.emit(RootEvent::KeyManager(KeymanagerEvent::EphemeralSecret(
        EphemeralSecretEvent {
            id,
            node: call.signer,
            epoch,
        },
    )));
    Ok(())
}

fn wrongly_signed(error: SignatureError) -> KeymanagerError {
    let what = "secret";
    KeymanagerError::Signature { what, error }
}

/// The status of the key manager whose node signed the transaction, and that node's key for
/// attestations.
fn member(
    scope: &mut Scope<'_>,
    call: &Call,
    id: &RuntimeId,
) -> Result<(Status, PublicKey), Refusal> {
    running(scope, id)?;
    let status: Option<Status> = scope.overlay.record(&key(STATUSES, id))?;
    let status = status.ok_or(KeymanagerError::NoSuchStatus(*id))?;
    let node = call.signer;
    let known = status.nodes().contains(&node);
    let tee = match known {
        true => capability(scope, &node, id)?,
        false => None,
    };
    let tee = tee.ok_or(KeymanagerError::NotMember { node, id: *id })?;
    Ok((status, tee.rak))
}

/// The keys that a node's enclave has for a key manager.
fn capability(
    scope: &mut Scope<'_>,
    node: &NodeId,
    id: &RuntimeId,
) -> Result<Option<CapabilityTee>, StateFault> {
    let node = registry::descriptor_of(scope, node)?;
    let of_runtime = node.and_then(|node| {
        let mut runtimes = node.runtimes().iter();
        runtimes.find(|of| of.id == *id).cloned()
    });
    Ok(of_runtime.and_then(|of| of.capabilities.tee))
}

/// The keys for encryption of all nodes of a key manager.
fn enclaves(scope: &mut Scope<'_>, status: &Status) -> Result<BTreeSet<PublicKey>, StateFault> {
    let mut keys = BTreeSet::new();
    for node in status.nodes() {
        let tee = capability(scope, node, &status.id)?;
        keys.extend(tee.and_then(|tee| tee.rek));
    }
    Ok(keys)
}

/// Checks that a secret is for the next epoch and that enough enclaves can decrypt it.
fn check(
    running: Epoch,
    found: Epoch,
    secret: &EncryptedSecret,
    enclaves: &BTreeSet<PublicKey>,
) -> Result<(), KeymanagerError> {
    let expected = Epoch(running.0.saturating_add(1));
    if found != expected {
        return Err(KeymanagerError::Epoch { found, expected });
    }
    let checksum = secret.checksum.0.len();
    if checksum != 32 {
        return Err(ArgumentRule::Checksum(checksum).into());
    }
    let mut keys = secret.ciphertexts.keys();
    if let Some(stranger) = keys.find(|key| !enclaves.contains(key)) {
        return Err(KeymanagerError::Stranger(*stranger));
    }
    let (found, all) = (secret.ciphertexts.len(), enclaves.len());
    let percent = SECRET_ENCLAVES_MIN;
    if all == 0 || (found as u64 * 100) / (all as u64) < percent {
        return Err(KeymanagerError::TooFew {
            found,
            all,
            percent,
        });
    }
    Ok(())
}
