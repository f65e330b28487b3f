//! What a node does for a beacon of verifiable random functions: once an epoch it proves its output
//! for the epoch's input, and delivers the proof when it is taken.
//!
//! ```text
//! each step: is there an input this node has proven nothing for?  has its delay passed?
//!            then sign `beacon.VRFProve` with the node's key, once
//! ```
//!
//! Nothing needs to be stored before it is sent: a key has one output for one input, so a node that
//! forgot that it proved it proves the same again, and the root says which proof it has.
//!
//! It must not know how elections use outputs, nor how transactions travel.
//!
//! Source: Oasis Core `worker/beacon`.

use trilith_protocol::RootGenesis;
use trilith_protocol::root::Blob;
use trilith_protocol::root::beacon::{BeaconSource, GAS_VRF_PROVE, VRF_PROVE, VrfProve};
use trilith_types::{Epoch, SecretKey};

use crate::own::OwnCall;
use crate::root::RootState;
use crate::{NodeError, NodeKeys};

/// Delivers a node's proofs.
pub(crate) struct Prover {
    node: SecretKey,
    vrf: SecretKey,
    /// Whether the genesis document's plain list has this node, which then proves with its own key.
    is_plain: bool,
    /// Whether the network's beacon takes proofs.
    is_asked: bool,
    /// The epoch whose proof was handed out or needs none.
    done: Option<Epoch>,
}

impl Prover {
    /// The prover of a node in a network.
    pub(crate) fn new(keys: &NodeKeys, genesis: &RootGenesis) -> Self {
        let own = keys.node.public();
        Self {
            node: keys.node.clone(),
            vrf: keys.vrf(),
            is_plain: genesis.nodes.iter().any(|node| node.id == own),
            is_asked: genesis.services.beacon.backend == BeaconSource::Vrf,
            done: None,
        }
    }

    /// The call to submit now, if it is time.
    ///
    /// # Errors
    /// [`NodeError`] if the root's state cannot be read.
    pub(crate) fn due(&mut self, root: &RootState) -> Result<Option<OwnCall>, NodeError> {
        if !self.is_asked {
            return Ok(None);
        }
        let beacon = root.beacon()?;
        let Some(state) = beacon.vrf else {
            return Ok(None);
        };
        // The transaction is executed in the next height at the earliest.
        if self.done == Some(state.epoch) || root.tip()?.height < state.submit_after {
            return Ok(None);
        }
        self.done = Some(state.epoch);
        let own = self.node.public();
        if root.vrf_proof(&own)?.is_some() {
            return Ok(None);
        }
        let Some(key) = self.key(root)? else {
            return Ok(None);
        };
        let proof = VrfProve {
            epoch: state.epoch,
            pi: Blob(key.prove_vrf(&state.alpha.0).as_bytes().to_vec()),
        };
        let vrf = beacon.params.vrf_parameters.as_ref();
        let costs = vrf.and_then(|vrf| vrf.gas_costs.get(&GAS_VRF_PROVE.into()));
        tracing::debug!(epoch = state.epoch.0, "delivering the proof of this epoch");
        Ok(Some(OwnCall {
            method: VRF_PROVE,
            body: proof.encode(),
            gas: costs.copied().unwrap_or_default(),
        }))
    }

    /// The key this node proves with; `None` if the root would take no proof of it.
    fn key(&self, root: &RootState) -> Result<Option<&SecretKey>, NodeError> {
        let own = self.node.public();
        let Some(record) = root.node(&own)? else {
            return Ok(self.is_plain.then_some(&self.node));
        };
        let registered = record.descriptor.vrf.id;
        let known = [&self.vrf, &self.node];
        let key = known.into_iter().find(|key| key.public() == registered);
        if key.is_none() {
            tracing::warn!(%registered, "the node is registered with a key it does not have");
        }
        Ok(key)
    }
}
