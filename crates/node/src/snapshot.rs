//! What a node publishes of a runtime: its newest finalised, durable and certified state.

use std::sync::Arc;

use trilith_proof::Answer;
use trilith_proof::certificate::SIGNATURE_BYTES;
use trilith_proof::pages::image_key;
use trilith_protocol::{AttestedSignature, QueryContext};
use trilith_store::View;
use trilith_types::{Hash, Height, ImageId, Round, RuntimeId, TimeNanos};

use crate::NodeError;

/// One finalised round as readers see it. Everything in it belongs to the same state.
#[derive(Clone)]
pub struct Snapshot {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round.
    pub round: Round,
    /// The agreed time of the round.
    pub time: TimeNanos,
    /// Its state.
    pub view: Arc<View>,
    /// What ties this state to the validators' consensus certificate; `None` after a restart, until
    /// the first new round.
    pub evidence: Option<Evidence>,
    /// The validators' signature over the attested leaf of this state, if it has one.
    pub attested: Option<AttestedSignature>,
}

/// The upper links of the chain from a value to the validators' certificate.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The height after which the round was the runtime's newest.
    pub height: Height,
    /// Root of the root state after that height.
    pub root_state: Hash,
    /// Encoded proof of the runtime's block header under that root.
    pub header_proof: Vec<u8>,
    /// The validators' signature over that root state.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Snapshot {
    /// The value of `key` in this state, or its absence, with everything a client needs to verify
    /// it under the network's consensus key. `None` where there is no [`Evidence`].
    ///
    /// # Errors
    /// [`NodeError::State`] if the key is longer than keys may be.
    pub fn answer(&self, key: &[u8]) -> Result<Option<Answer>, NodeError> {
        let Some(evidence) = self.evidence.clone() else {
            return Ok(None);
        };
        let proof = self
            .view
            .prove(key)
            .map_err(|error| NodeError::State(error.to_string()))?;
        Ok(Some(Answer {
            key: key.to_vec(),
            value_proof: proof.encode(),
            header_proof: evidence.header_proof,
            height: evidence.height,
            root_state: evidence.root_state,
            signature: evidence.signature,
        }))
    }

    /// The length and the root of an image in this state, or its absence, likewise.
    ///
    /// # Errors
    /// As of [`Snapshot::answer`].
    pub fn image_answer(&self, image: &ImageId) -> Result<Option<Answer>, NodeError> {
        self.answer(&image_key(image))
    }

    /// The context of a query on this state, asked when this node's clock says `now`.
    pub fn query_context(&self, now: TimeNanos) -> QueryContext {
        QueryContext {
            runtime: self.runtime,
            round: self.round,
            time: self.time,
            now,
            attested: self.attested.clone(),
        }
    }
}
