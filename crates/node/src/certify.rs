//! Signing attested leaves of finalised states: with this node's shares, for itself and for others.

use trilith_ordering::bls::{Domain, GroupKey, KeyShare, ShareError};
use trilith_ordering::certifier::LeafError;
use trilith_ordering::{LeafRequest, LeafSigner, ShareCollector};
use trilith_protocol::{AttestedForm, AttestedLeaf, AttestedSignature};
use trilith_store::View;
use trilith_types::{Hash, Round, RuntimeId, StateRead};

use crate::NodeError;
use crate::net::message::{Leaf, WantLeaf};

/// This node's part in certifying states.
pub(crate) struct Certifier {
    group: GroupKey,
    signers: Vec<LeafSigner>,
}

impl Certifier {
    pub(crate) fn new(group: GroupKey, shares: Vec<KeyShare>) -> Self {
        Self {
            group,
            signers: shares.into_iter().map(LeafSigner::new).collect(),
        }
    }

    /// Takes note of what the root finalised.
    pub(crate) fn finalized(&mut self, runtime: RuntimeId, round: Round, state_root: Hash) {
        for signer in &mut self.signers {
            signer.finalized(runtime, round, state_root);
        }
    }

    /// What the validators are asked for: to sign `leaf` of the state `view`, which the root
    /// finalised as `round` of `runtime`.
    pub(crate) fn request(
        (runtime, round): (RuntimeId, Round),
        view: &View,
        leaf: &AttestedLeaf,
    ) -> Result<WantLeaf, NodeError> {
        let AttestedForm::IcStateRoot = leaf.form;
        let proof = view
            .prove(&leaf.key)
            .map_err(|error| NodeError::State(error.to_string()))?;
        Ok(WantLeaf {
            runtime,
            round,
            state_root: view.root(),
            key: leaf.key.clone(),
            value: leaf.value,
            proof: proof.encode(),
        })
    }

    /// Signs a leaf. `None` while this node's shares are not enough.
    ///
    /// # Errors
    /// [`NodeError::Certification`] if the leaf does not stand in the newest finalised state.
    pub(crate) fn sign(
        &mut self,
        wanted: &WantLeaf,
    ) -> Result<Option<AttestedSignature>, NodeError> {
        let request = LeafRequest {
            runtime: wanted.runtime,
            state_root: wanted.state_root,
            key: &wanted.key,
            value: wanted.value,
            proof: &wanted.proof,
        };
        let message = wanted.value.to_vec();
        let mut collector = ShareCollector::new(self.group.clone(), Domain::IcStateRoot, message);
        for signer in &mut self.signers {
            if let Some(signature) = collector.add(signer.sign(&request)?)? {
                let signature = signature.to_vec();
                return Ok(Some(AttestedSignature {
                    state_root: wanted.state_root,
                    value: wanted.value,
                    signature,
                }));
            }
        }
        Ok(None)
    }

    /// Whether what another node sent is the validators' signature.
    pub(crate) fn verifies(&self, leaf: &Leaf) -> bool {
        self.group
            .verify(Domain::IcStateRoot, &leaf.value, &leaf.signature)
    }
}

impl From<LeafError> for NodeError {
    fn from(error: LeafError) -> Self {
        Self::Certification(error.to_string())
    }
}

impl From<ShareError> for NodeError {
    fn from(error: ShareError) -> Self {
        Self::Certification(error.to_string())
    }
}
