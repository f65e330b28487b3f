//! Decides what a validator signs with its share of the certification key: only a leaf that is
//! proven to stand under the state root which the root ledger finalised for the runtime.
//!
//! ```text
//! finalized(runtime, round, root):  remember the newest
//! sign(request):  refuse unless request.state_root is the remembered one
//!                 refuse unless the proof shows request.key = request.value under that root
//!                 share over the value, in the leaf's foreign form
//! ```
//!
//! Whose outcome it was does not matter here, nor what this node itself computed: the finalised
//! root and the proof are all that counts. [`ShareCollector`] puts shares together.

use std::collections::BTreeMap;

use thiserror::Error;
use trilith_proof::certificate::SIGNATURE_BYTES;
use trilith_proof::mkvs::{ProofError, verify_value};
use trilith_types::{Hash, Round, RuntimeId};

use crate::bls::{Domain, GroupKey, KeyShare, ShareError, SignatureShare, VerifiedShare};

/// Most bytes of the proof of a leaf: a path of 128 nodes with their siblings, and the value.
pub const PROOF_BYTES_MAX: usize = 256 * 1024;

/// A leaf that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct LeafRequest<'a> {
    /// The runtime whose state has the leaf.
    pub runtime: RuntimeId,
    /// Root of that state.
    pub state_root: Hash,
    /// The leaf's key.
    pub key: &'a [u8],
    /// The leaf's value.
    pub value: [u8; 32],
    /// An encoded MKVS proof that the leaf stands under the root.
    pub proof: &'a [u8],
}

/// Why a leaf is not signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeafError {
    /// The root ledger did not finalise that state, or it finalised a later one since.
    #[error("state root {asked} of runtime {runtime} is not the finalised one ({finalized:?})")]
    NotFinalized {
        /// The runtime.
        runtime: RuntimeId,
        /// The root that was asked for.
        asked: Hash,
        /// The newest finalised root, if there is one.
        finalized: Option<Hash>,
    },
    /// The proof is too long.
    #[error("the proof has {len} bytes, the limit is {limit}")]
    ProofBytes {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The proof is not one of this root, or shows nothing about the key.
    #[error("the proof of the leaf fails: {0}")]
    Proof(#[from] ProofError),
    /// The proof shows another value, or that there is none.
    #[error("the state has another value under the leaf's key, or none")]
    OtherValue,
}

/// A validator's share of the certification key, and what it may be used for.
#[derive(Debug)]
pub struct LeafSigner {
    share: KeyShare,
    finalized: BTreeMap<RuntimeId, (Round, Hash)>,
}

impl LeafSigner {
    /// A signer that knows of no finalised state yet.
    pub fn new(share: KeyShare) -> Self {
        Self {
            share,
            finalized: BTreeMap::new(),
        }
    }

    /// Takes note that the root ledger finalised `state_root` as the state of `runtime` after
    /// `round`. A round before the newest known one changes nothing.
    pub fn finalized(&mut self, runtime: RuntimeId, round: Round, state_root: Hash) {
        let newest = self.finalized.entry(runtime).or_insert((round, state_root));
        if round > newest.0 {
            *newest = (round, state_root);
        }
    }

    /// Signs a leaf in the form of the Internet Computer's state root. Deterministic: the same
    /// leaf gives the same share, also after a restart.
    ///
    /// # Errors
    /// [`LeafError`] if the leaf is not proven to stand in the finalised state.
    pub fn sign(&self, request: &LeafRequest<'_>) -> Result<SignatureShare, LeafError> {
        let finalized = self.finalized.get(&request.runtime).map(|(_, root)| *root);
        if finalized != Some(request.state_root) {
            let (runtime, asked) = (request.runtime, request.state_root);
            return Err(LeafError::NotFinalized {
                runtime,
                asked,
                finalized,
            });
        }
        let (len, limit) = (request.proof.len(), PROOF_BYTES_MAX);
        if len > limit {
            return Err(LeafError::ProofBytes { len, limit });
        }
        let shown = verify_value(&request.state_root, request.key, request.proof)?;
        if shown.as_deref() != Some(&request.value[..]) {
            return Err(LeafError::OtherValue);
        }
        Ok(self.share.sign(Domain::IcStateRoot, &request.value))
    }
}

/// Collects shares over one message until they make a signature.
#[derive(Debug)]
pub struct ShareCollector {
    group: GroupKey,
    domain: Domain,
    message: Vec<u8>,
    shares: BTreeMap<u32, VerifiedShare>,
    signature: Option<[u8; SIGNATURE_BYTES]>,
}

impl ShareCollector {
    /// A collector without shares.
    pub fn new(group: GroupKey, domain: Domain, message: Vec<u8>) -> Self {
        Self {
            group,
            domain,
            message,
            shares: BTreeMap::new(),
            signature: None,
        }
    }

    /// Takes a share; gives the signature as soon as there are enough, and from then on.
    ///
    /// # Errors
    /// [`ShareError`] if the share is not its signer's over this message; it is not taken.
    pub fn add(
        &mut self,
        share: SignatureShare,
    ) -> Result<Option<[u8; SIGNATURE_BYTES]>, ShareError> {
        if self.signature.is_none() {
            let verified = self
                .group
                .verify_share(self.domain, &self.message, &share)?;
            self.shares.insert(share.index, verified);
            if self.shares.len() >= self.group.required() as usize {
                let shares: Vec<_> = self.shares.values().cloned().collect();
                self.signature = Some(self.group.recover(&shares)?);
            }
        }
        Ok(self.signature)
    }
}
