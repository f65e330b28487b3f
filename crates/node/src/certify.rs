//! Signing the attested leaf of a finalised state with this node's shares.

use trilith_ordering::bls::{Domain, GroupKey, KeyShare, ShareError};
use trilith_ordering::certifier::LeafError;
use trilith_ordering::{LeafRequest, LeafSigner, ShareCollector};
use trilith_protocol::{AttestedForm, AttestedLeaf, AttestedSignature};
use trilith_store::View;
use trilith_types::{Round, RuntimeId, StateRead};

use crate::NodeError;

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

    /// Signs `leaf` of the state `view`, which the root finalised as `round` of `runtime`. `None`
    /// while this node's shares are not enough and others' have not arrived.
    pub(crate) fn certify(
        &mut self,
        (runtime, round): (RuntimeId, Round),
        view: &View,
        leaf: &AttestedLeaf,
    ) -> Result<Option<AttestedSignature>, NodeError> {
        let AttestedForm::IcStateRoot = leaf.form;
        let proof = view
            .prove(&leaf.key)
            .map_err(|error| NodeError::State(error.to_string()))?;
        let state_root = view.root();
        let request = LeafRequest {
            runtime,
            state_root,
            key: &leaf.key,
            value: leaf.value,
            proof: &proof.encode(),
        };
        let mut collector =
            ShareCollector::new(self.group.clone(), Domain::IcStateRoot, leaf.value.to_vec());
        for signer in &mut self.signers {
            signer.finalized(runtime, round, state_root);
            if let Some(signature) = collector.add(signer.sign(&request)?)? {
                let signature = signature.to_vec();
                return Ok(Some(AttestedSignature {
                    state_root,
                    value: leaf.value,
                    signature,
                }));
            }
        }
        Ok(None)
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
