//! Nodes' verifiable random functions: alphas, proofs, outputs.
//!
//! Source: Oasis Core `apps/beacon/backend_vrf.go`.

use std::collections::BTreeMap;

use trilith_protocol::RootEvent;
use trilith_protocol::root::Blob;
use trilith_protocol::root::beacon::{
    BeaconEvent, GAS_VRF_PROVE, VrfDelivered, VrfEvent, VrfParameters, VrfProve, VrfState,
};
use trilith_types::{
    Epoch, Hash, Height, NodeId, PublicKey, StateFault, TupleHash, VrfError, VrfOutput, VrfProof,
};

use super::store::{PROOFS, VRF, parameters_of, proof_key, proofs_of};
use super::{BeaconError, block_entropy};
use crate::scope::{Call, Scope, broken};
use crate::state::decoded;
use crate::{Refusal, registry};

/// What an alpha is hashed for. Source: Oasis Core `apps/beacon` (`vrfAlphaDomainsep`).
const ALPHA: &[u8] = b"oasis-core:vrf/alpha";

/// Outputs by node.
pub(crate) type Outputs = BTreeMap<NodeId, VrfOutput>;

/// Makes the alpha of a new epoch, and of the first.
pub(super) fn start_epoch(
    scope: &mut Scope<'_>,
    parameters: &VrfParameters,
) -> Result<(), StateFault> {
    let epoch = scope.epoch;
    let before: Option<VrfState> = scope.overlay.record(VRF)?;
    let (items, alpha_hq, can_elect) = match &before {
        // The document's alpha: see the service.
        None => (vec![block_entropy(scope).to_vec()], true, true),
        Some(before) if before.proofs >= parameters.alpha_hq_threshold => {
            let outputs = outputs_of(scope, before.epoch)?;
            let items = outputs.values().map(|output| output.as_bytes().to_vec());
            (items.collect(), true, before.alpha_hq)
        }
        Some(before) => (vec![block_entropy(scope).to_vec()], false, before.alpha_hq),
    };
    let alpha = alpha(&scope.network.chain_context, epoch, &items);
    if let Some(before) = &before {
        forget_before(scope, before.epoch)?;
    }
    let state = VrfState {
        epoch,
        alpha: Blob(alpha.to_vec()),
        alpha_hq,
        submit_after: Height(scope.height.0.saturating_add(parameters.proof_delay)),
        proofs: 0,
        can_elect,
    };
    scope.overlay.put_record(VRF.to_vec(), &state);
    scope.emit(RootEvent::Beacon(BeaconEvent::Vrf(VrfEvent {
        epoch,
        alpha: state.alpha,
        submit_after: state.submit_after,
    })));
    Ok(())
}

fn alpha(chain: &Hash, epoch: Epoch, items: &[Vec<u8>]) -> [u8; 32] {
    // The name of the network is hashed as text, as in Oasis Core.
    let start = TupleHash::new(ALPHA)
        .item(chain.to_string().as_bytes())
        .item(&epoch.0.to_be_bytes());
    let hash = items.iter().fold(start, |hash, item| hash.item(item));
    hash.finish()
}

/// Drops the proofs for the alphas of earlier epochs than this one.
fn forget_before(scope: &mut Scope<'_>, epoch: Epoch) -> Result<(), StateFault> {
    let from = proofs_of(epoch);
    for (key, _) in scope.overlay.all(PROOFS)? {
        if key < from {
            scope.overlay.put(key, None);
        }
    }
    Ok(())
}

/// The outputs that decide the elections of the running epoch, and whether they are good.
pub(super) fn outputs(scope: &mut Scope<'_>) -> Result<(Outputs, bool), StateFault> {
    let state: VrfState = scope.overlay.required(VRF)?;
    let outputs = match state.epoch.0.checked_sub(1) {
        None => Outputs::new(),
        Some(before) => outputs_of(scope, Epoch(before))?,
    };
    Ok((outputs, state.can_elect))
}

fn outputs_of(scope: &Scope<'_>, epoch: Epoch) -> Result<Outputs, StateFault> {
    let prefix = proofs_of(epoch);
    let mut outputs = Outputs::new();
    for (key, value) in scope.overlay.all(&prefix)? {
        let node = PublicKey::from_slice(&key[prefix.len()..]);
        let output = VrfOutput::from_slice(&decoded::<VrfDelivered>(&value)?.beta.0);
        let (Some(node), Some(output)) = (node, output) else {
            return Err(broken("a proof has another key or output than it can have"));
        };
        outputs.insert(node, output);
    }
    Ok(outputs)
}

/// `beacon.VRFProve`: takes up a node's proof for the running epoch's alpha.
pub(super) fn prove(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let Some(vrf) = &parameters.vrf_parameters else {
        return Err(BeaconError::NoProofs(parameters.backend.name()).into());
    };
    let gas = vrf.gas_costs.get(&GAS_VRF_PROVE.into());
    call.charge(scope, gas.copied().unwrap_or_default())?;
    let mut state: VrfState = scope.overlay.required(VRF)?;
    let (height, after) = (scope.height, state.submit_after);
    if height <= after {
        return Err(BeaconError::Early { height, after }.into());
    }
    let node = call.signer;
    let key = registry::vrf_key(scope, &node)?.ok_or(BeaconError::NoSuchNode(node))?;
    let body = VrfProve::decode(body).map_err(BeaconError::Malformed)?;
    let (found, expected) = (body.epoch, state.epoch);
    if found != expected {
        return Err(BeaconError::OtherEpoch { found, expected }.into());
    }
    let output = VrfProof::from_slice(&body.pi.0)
        .ok_or(VrfError::Form)
        .and_then(|proof| key.verify_vrf(&state.alpha.0, &proof))
        .map_err(|error| BeaconError::Proof { node, error })?;
    let beta = Blob(output.as_bytes().to_vec());
    let at = proof_key(expected, &node);
    if let Some(before) = scope.overlay.record::<VrfDelivered>(&at)? {
        // Only a node that has another key now can prove another output.
        if before.beta != beta {
            return Err(BeaconError::OtherOutput(node).into());
        }
        return Ok(());
    }
    let delivered = VrfDelivered { pi: body.pi, beta };
    scope.overlay.put_record(at, &delivered);
    state.proofs = state
        .proofs
        .checked_add(1)
        .ok_or_else(|| broken("a count of proofs has run out"))?;
    scope.overlay.put_record(VRF.to_vec(), &state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A figure that Oasis Core's `tuplehash` package gave with Go 1.27.3, for six outputs of which
    /// the n-th is 64 bytes n.
    #[test]
    fn an_alpha_is_that_of_oasis_core() {
        let items: Vec<Vec<u8>> = (0..6).map(|number| vec![number; 64]).collect();
        let found = alpha(&Hash::from_bytes([1; 32]), Epoch(7), &items);
        assert_eq!(
            Hash::from_bytes(found).to_string(),
            "9b84df479ae269d0002a19b7a0e6be56763fbb489a5bfff87b1ef36cfeebfb67"
        );
    }
}
