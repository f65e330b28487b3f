//! The validators' certificate over a root state.
//!
//! What is signed is [`root_state_message`], which names the network and the height, so that a
//! certificate stands for one state of one network only.

use trilith_proof::answer::root_state_message;
use trilith_proof::certificate::{CertificateError, CertificateKey};
use trilith_proof::certificate::{KEY_BYTES, SIGNATURE_BYTES};
use trilith_types::{Hash, Height};

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
    /// Checks the signature under the network's consensus key.
    ///
    /// # Errors
    /// [`CertificateError`] if the key is no key or the signature not its signature.
    pub fn verify(&self, chain: &Hash, key: &[u8; KEY_BYTES]) -> Result<(), CertificateError> {
        let signed = root_state_message(chain, self.height, &self.state_root);
        CertificateKey::from_bytes(key)?.verify(&signed, &self.signature)
    }
}
