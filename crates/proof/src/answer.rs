//! One proof shape for every answer of the network: a value in the state of a runtime, the header
//! of the runtime's block that names this state, and the validators' certificate over the root
//! state in which the header stands.
//!
//! ```text
//! consensus key     signs   {chain, height, root state}        (certificate)
//! root state        proves  b ‖ runtime = header               (header proof)
//! header            names   runtime, round, runtime state
//! runtime state     proves  key = value, or key is absent      (value proof)
//! ```
//!
//! A verifier brings three things it trusts: the network (hash of its genesis document), the
//! validators' consensus key and the id of the runtime it asks about. How old an answer may be is
//! its own decision; height and round tell.

use thiserror::Error;
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Hash, Height, Round, RuntimeId};

use crate::certificate::{CertificateError, CertificateKey, SIGNATURE_BYTES};
use crate::mkvs::{ProofError, verify_value};

/// Domain separator of certified root states, its length first.
pub const ROOT_STATE_SEPARATOR: &[u8; 31] = b"\x1Etrilith/root state of a height";
/// Prefix of the keys under which the root state holds the headers of runtimes' newest blocks; the
/// runtime's id follows.
pub const HEADER_KEY_PREFIX: u8 = b'b';
/// Most fields of a header. Source: Oasis Core `roothash/api/block`.
const HEADER_FIELDS_MAX: usize = 10;

/// What a verifier trusts.
#[derive(Clone, Copy, Debug)]
pub struct RootTrust<'a> {
    /// Hash of the network's genesis document.
    pub chain: &'a Hash,
    /// The key under which the validators certify root states.
    pub consensus_key: &'a CertificateKey,
}

/// An answer with all that proves it, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The key that was asked for, in the state of the runtime.
    pub key: Vec<u8>,
    /// Encoded MKVS proof from the runtime's state root to the key.
    pub value_proof: Vec<u8>,
    /// Encoded MKVS proof from the root state to the header of the runtime's block.
    pub header_proof: Vec<u8>,
    /// The height after whose execution the root state stood.
    pub height: Height,
    /// Root of the root state.
    pub root_state: Hash,
    /// The validators' signature over [`root_state_message`].
    pub signature: [u8; SIGNATURE_BYTES],
}

/// What a verified answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAnswer {
    /// The value of the key; `None` if it is proven to have none.
    pub value: Option<Vec<u8>>,
    /// The runtime's round in whose state it stands.
    pub round: Round,
    /// The root of this state.
    pub state_root: Hash,
    /// The height in whose root state the round was the runtime's newest.
    pub height: Height,
}

/// Why an answer is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The validators did not sign this root state.
    #[error("the certificate of the root state is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// The root state does not prove the header.
    #[error("the proof of the runtime's block is refused: {0}")]
    HeaderProof(ProofError),
    /// The root state proves that it knows no such runtime.
    #[error("the root state has no block of runtime {0}")]
    NoRuntime(RuntimeId),
    /// What stands in place of the header is none.
    #[error("the header of the runtime's block cannot be decoded: {0}")]
    Header(#[from] DecodeError),
    /// The header is that of another runtime.
    #[error("the header is that of runtime {found}, not {asked}")]
    OtherRuntime {
        /// The runtime of the header.
        found: RuntimeId,
        /// The runtime that was asked.
        asked: RuntimeId,
    },
    /// The runtime's state does not prove the value.
    #[error("the proof of the value is refused: {0}")]
    ValueProof(ProofError),
}

/// The bytes that validators sign to certify that `state_root` is the root of the root state after
/// `height` on the network `chain`.
pub fn root_state_message(chain: &Hash, height: Height, state_root: &Hash) -> Vec<u8> {
    let statement = root_state_statement(chain, height, state_root);
    [&ROOT_STATE_SEPARATOR[..], &statement].concat()
}

/// The statement in [`root_state_message`], without the separator before it.
pub fn root_state_statement(chain: &Hash, height: Height, state_root: &Hash) -> Vec<u8> {
    MapBuilder::new()
        .field("chain", |encoder| {
            encoder.bytes(chain.as_bytes());
        })
        .field("height", |encoder| {
            encoder.uint(height.0);
        })
        .field("state_root", |encoder| {
            encoder.bytes(state_root.as_bytes());
        })
        .finish()
}

/// The key of the root state under which the header of `runtime`'s newest block stands.
pub fn header_key(runtime: &RuntimeId) -> Vec<u8> {
    [&[HEADER_KEY_PREFIX][..], runtime.as_bytes()].concat()
}

impl Answer {
    /// Verifies the whole chain for `runtime`.
    ///
    /// # Errors
    /// [`AnswerError`] with the first link that does not hold.
    pub fn verify(
        &self,
        runtime: &RuntimeId,
        trust: &RootTrust<'_>,
    ) -> Result<VerifiedAnswer, AnswerError> {
        let message = root_state_message(trust.chain, self.height, &self.root_state);
        trust.consensus_key.verify(&message, &self.signature)?;
        let header = verify_value(&self.root_state, &header_key(runtime), &self.header_proof)
            .map_err(AnswerError::HeaderProof)?
            .ok_or(AnswerError::NoRuntime(*runtime))?;
        let header = HeaderView::decode(&header)?;
        if header.runtime != *runtime {
            let (found, asked) = (header.runtime, *runtime);
            return Err(AnswerError::OtherRuntime { found, asked });
        }
        let value = verify_value(&header.state_root, &self.key, &self.value_proof)
            .map_err(AnswerError::ValueProof)?;
        let (round, state_root) = (header.round, header.state_root);
        Ok(VerifiedAnswer {
            value,
            round,
            state_root,
            height: self.height,
        })
    }
}

/// What the chain needs of a block header.
struct HeaderView {
    runtime: RuntimeId,
    round: Round,
    state_root: Hash,
}

impl HeaderView {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut runtime, mut round, mut state_root) = (None, None, None);
        let mut decoder = Decoder::new(bytes);
        decoder.fields("block header", HEADER_FIELDS_MAX, |name, decoder| {
            match name {
                "namespace" => {
                    runtime = Some(RuntimeId::from_bytes(decoder.bytes_exact("namespace")?));
                }
                "round" => round = Some(Round(decoder.uint()?)),
                "state_root" => {
                    state_root = Some(Hash::from_bytes(decoder.bytes_exact("state_root")?));
                }
                _ => {
                    decoder.skip()?;
                }
            }
            Ok(())
        })?;
        decoder.finish()?;
        Ok(Self {
            runtime: runtime.ok_or(DecodeError::Field("namespace"))?,
            round: round.ok_or(DecodeError::Field("round"))?,
            state_root: state_root.ok_or(DecodeError::Field("state_root"))?,
        })
    }
}
