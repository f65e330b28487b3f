//! The validators' certificate over a root state.
//!
//! Signed is the canonical encoding of `{chain, height, state_root}`, so that a certificate stands
//! for one state of one network only.

use trilith_proof::certificate::{CertificateError, CertificateKey};
use trilith_proof::certificate::{KEY_BYTES, SIGNATURE_BYTES};
use trilith_types::cbor::MapBuilder;
use trilith_types::{Hash, Height};

use crate::bls::Domain;

/// A root state with the validators' signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsensusCertificate {
    /// The height after whose execution the state stood.
    pub height: Height,
    /// Root of the root ledger's state.
    pub state_root: Hash,
    /// Threshold signature of the consensus key.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl ConsensusCertificate {
    /// The message that is signed, without its separator.
    pub fn message(chain: &Hash, height: Height, state_root: &Hash) -> Vec<u8> {
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

    /// Checks the signature under the network's consensus key.
    ///
    /// # Errors
    /// [`CertificateError`] if the key is no key or the signature not its signature.
    pub fn verify(&self, chain: &Hash, key: &[u8; KEY_BYTES]) -> Result<(), CertificateError> {
        let message = Self::message(chain, self.height, &self.state_root);
        let signed = Domain::Consensus.signed_bytes(&message);
        CertificateKey::from_bytes(key)?.verify(&signed, &self.signature)
    }
}
