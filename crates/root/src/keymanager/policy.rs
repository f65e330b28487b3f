//! Setting policies.
//!
//! Source: Oasis Core `apps/keymanager/secrets/txs.go` (`updatePolicy`),
//! `keymanager/secrets/policy_sgx.go`.

use std::collections::BTreeSet;

use trilith_params::root::POLICY_SIGNATURES_MAX;
use trilith_protocol::root::keymanager::{
    GAS_UPDATE_POLICY, KeymanagerParameters, SignedPolicySgx, Status,
};
use trilith_types::PublicKey;

use super::epoch::save;
use super::store::{STATUSES, charge, key, parameters_of, running};
use super::{ArgumentRule, KeymanagerError};
use crate::Refusal;
use crate::scope::{Call, Scope};

/// `keymanager.UpdatePolicy`.
pub(super) fn update(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let signed = SignedPolicySgx::decode(body).map_err(KeymanagerError::from)?;
    charge(scope, call, GAS_UPDATE_POLICY)?;
    let id = signed.policy.id;
    let runtime = running(scope, &id)?;
    if call.signer != runtime.entity_id {
        return Err(KeymanagerError::Owner {
            found: call.signer,
            expected: runtime.entity_id,
        }
        .into());
    }
    let status: Option<Status> = scope.overlay.record(&key(STATUSES, &id))?;
    let mut status = status.unwrap_or_else(|| Status::new(id));
    if let Some(current) = &status.policy {
        let (found, current) = (signed.policy.serial, current.policy.serial);
        if found <= current {
            return Err(KeymanagerError::Serial { found, current }.into());
        }
    }
    check(&signed, &parameters_of(scope)?)?;
    status.next_policy = Some(signed);
    save(scope, &status);
    Ok(())
}

/// Checks that a policy is signed as it must be.
pub(super) fn check(
    signed: &SignedPolicySgx,
    parameters: &KeymanagerParameters,
) -> Result<(), KeymanagerError> {
    // Their count bounds the work.
    let (count, limit) = (signed.signatures().len(), POLICY_SIGNATURES_MAX);
    if count > limit {
        return Err(ArgumentRule::Signatures { count, limit }.into());
    }
    let signers: BTreeSet<PublicKey> = signed
        .signatures()
        .iter()
        .map(|signature| signature.public_key)
        .filter(|signer| parameters.policy_signers.contains(signer))
        .collect();
    let (found, needed) = (signers.len(), usize::from(parameters.policy_threshold));
    if found < needed {
        return Err(KeymanagerError::Signers { found, needed });
    }
    let what = "policy";
    signed
        .verify()
        .map_err(|error| KeymanagerError::Signature { what, error })
}
