//! Threshold BLS12-381 signatures of the validators, in the form the Internet Computer verifies.
//!
//! Signatures are points of G1 (48 bytes), keys points of G2 (96 bytes). What is signed is always
//! `length of separator ‖ separator ‖ message`; [`Domain`] is the one table of separators. A
//! threshold signature is unique: whichever shares it is combined from, its bytes are the same.
//!
//! Source: Internet Computer interface specification, "Certificate"; RFC 9380;
//! draft-irtf-cfrg-bls-signature, ciphersuite `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt;
use commonware_cryptography::bls12381::primitives::group::{DST, G1, G2, GT, Share};
use commonware_cryptography::bls12381::primitives::ops::{self, threshold};
use commonware_cryptography::bls12381::primitives::sharing::{Mode, Sharing};
use commonware_cryptography::bls12381::primitives::variant::{MinSig, PartialSignature, Variant};
use commonware_parallel::{Sequential, Strategy};
use commonware_utils::{N3f1, Participant};
use rand_chacha_bls::ChaCha20Rng;
use rand_chacha_bls::rand_core::{CryptoRng, SeedableRng as _};
use thiserror::Error;
use trilith_proof::certificate::{KEY_BYTES, SIGNATURE_BYTES, SIGNATURE_DST};
use trilith_types::Hash;

/// What a threshold signature is about. No separator is the same as, or begins with, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// The digest of a hash tree, as the Internet Computer certifies it.
    IcStateRoot,
    /// The randomness of a height.
    Randomness,
    /// A root state.
    Consensus,
}

impl Domain {
    /// Every domain, for tests that look for collisions.
    pub const ALL: [Self; 3] = [Self::IcStateRoot, Self::Randomness, Self::Consensus];

    /// The separator without its length.
    pub const fn separator(self) -> &'static [u8] {
        match self {
            Self::IcStateRoot => b"ic-state-root",
            Self::Randomness => b"trilith/randomness of a height",
            Self::Consensus => b"trilith/root state of a height",
        }
    }

    /// The bytes that are signed for `message`.
    pub fn signed_bytes(self, message: &[u8]) -> Vec<u8> {
        let separator = self.separator();
        let mut bytes = vec![separator.len() as u8];
        bytes.extend_from_slice(separator);
        bytes.extend_from_slice(message);
        bytes
    }
}

/// The Internet Computer's variant of BLS: the groups of [`MinSig`] under the domain separation tag
/// of signatures without proof of possession. Keys come from a dealer or a distributed key
/// generation, both of which make a rogue key impossible, so none is needed.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum IcMinSig {}

impl Variant for IcMinSig {
    type Public = G2;
    type Signature = G1;

    const PROOF_OF_POSSESSION: DST = MinSig::PROOF_OF_POSSESSION;
    const MESSAGE: DST = SIGNATURE_DST;

    fn verify(
        public: &Self::Public,
        hm: &Self::Signature,
        signature: &Self::Signature,
    ) -> Result<(), commonware_cryptography::bls12381::primitives::Error> {
        MinSig::verify(public, hm, signature)
    }

    fn batch_verify(
        rng: &mut impl CryptoRng,
        publics: &[Self::Public],
        hms: &[Self::Signature],
        signatures: &[Self::Signature],
        strategy: &impl Strategy,
    ) -> Result<(), commonware_cryptography::bls12381::primitives::Error> {
        MinSig::batch_verify(rng, publics, hms, signatures, strategy)
    }

    fn pairing(public: &Self::Public, signature: &Self::Signature) -> GT {
        MinSig::pairing(public, signature)
    }
}

/// Why shares give no signature.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShareError {
    /// The signer is not in the group.
    #[error("share {index} is not of this group of {total}")]
    UnknownSigner {
        /// The signer's index.
        index: u32,
        /// Members of the group.
        total: u32,
    },
    /// The share is not the signer's signature over the message.
    #[error("the share of signer {index} does not verify")]
    Invalid {
        /// The signer's index.
        index: u32,
    },
    /// Too few signers.
    #[error("{count} shares, {required} are needed")]
    TooFew {
        /// Distinct shares there are.
        count: usize,
        /// Shares needed.
        required: u32,
    },
}

/// A signer's part of a threshold signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureShare {
    /// Which signer of the group, from 0.
    pub index: u32,
    /// A compressed point of G1. Whether it is one is checked when it is verified.
    pub bytes: [u8; SIGNATURE_BYTES],
}

/// A share that is its signer's over some message.
#[derive(Clone, Debug)]
pub struct VerifiedShare(PartialSignature<IcMinSig>);

/// A signer's secret share. Its `Debug` shows the index only.
#[derive(Clone)]
pub struct KeyShare(Share);

impl KeyShare {
    /// Which signer of the group, from 0.
    pub fn index(&self) -> u32 {
        self.0.index.get()
    }

    /// Signs. Deterministic.
    pub(crate) fn sign(&self, domain: Domain, message: &[u8]) -> SignatureShare {
        let VerifiedShare(PartialSignature { value, .. }) = self.sign_own(domain, message);
        SignatureShare {
            index: self.index(),
            bytes: point_bytes(&value),
        }
    }

    /// Signs, for a group that holds this share.
    pub(crate) fn sign_own(&self, domain: Domain, message: &[u8]) -> VerifiedShare {
        let value = ops::sign::<IcMinSig>(
            &self.0.private,
            SIGNATURE_DST,
            &domain.signed_bytes(message),
        );
        VerifiedShare(PartialSignature {
            index: self.0.index,
            value,
        })
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyShare(of signer {})", self.index())
    }
}

/// The public side of a group of signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupKey(Sharing<IcMinSig>);

impl GroupKey {
    /// The group's public key, a compressed point of G2. `trilith_proof::certificate` wraps it in
    /// DER.
    pub fn bytes(&self) -> [u8; KEY_BYTES] {
        let encoded = self.0.public().encode();
        encoded
            .as_ref()
            .try_into()
            .expect("a point of G2 encodes to 96 bytes")
    }

    /// How many shares make a signature.
    pub fn required(&self) -> u32 {
        self.0.required()
    }

    /// How many signers there are.
    pub fn total(&self) -> u32 {
        self.0.total().get()
    }

    /// Checks one signer's share.
    ///
    /// # Errors
    /// [`ShareError`] if it is not that signer's share over the message.
    pub fn verify_share(
        &self,
        domain: Domain,
        message: &[u8],
        share: &SignatureShare,
    ) -> Result<VerifiedShare, ShareError> {
        let hashed = ops::hash::<IcMinSig>(SIGNATURE_DST, &domain.signed_bytes(message));
        let index = Participant::new(share.index);
        let unknown = ShareError::UnknownSigner {
            index: share.index,
            total: self.total(),
        };
        let public = self.0.partial_public(index).map_err(|_| unknown)?;
        let invalid = ShareError::Invalid { index: share.index };
        let value = G1::decode(Copying(&share.bytes)).map_err(|_| invalid.clone())?;
        IcMinSig::verify(&public, &hashed, &value).map_err(|_| invalid)?;
        Ok(VerifiedShare(PartialSignature { index, value }))
    }

    /// Whether `share` is a secret share of this group. Its signatures need no check then.
    pub fn holds(&self, share: &KeyShare) -> bool {
        self.0
            .partial_public(share.0.index)
            .is_ok_and(|public| public == share.0.public::<IcMinSig>())
    }

    /// Combines shares into the group's signature. Each was verified over the same message, because
    /// errors of several shares could cancel out and hide their signers.
    ///
    /// # Errors
    /// [`ShareError::TooFew`] if there are not shares of enough signers.
    pub fn recover(&self, shares: &[VerifiedShare]) -> Result<[u8; SIGNATURE_BYTES], ShareError> {
        let partials: BTreeMap<u32, _> = shares
            .iter()
            .map(|VerifiedShare(partial)| (partial.index.get(), partial))
            .collect();
        let too_few = ShareError::TooFew {
            count: partials.len(),
            required: self.required(),
        };
        threshold::recover::<IcMinSig, _>(&self.0, partials.into_values(), &Sequential)
            .map(|signature| point_bytes(&signature))
            .map_err(|_| too_few)
    }

    /// Combines shares into the group's signature, each verified first.
    ///
    /// # Errors
    /// [`ShareError`] if a share is not its signer's, or there are too few.
    pub fn combine(
        &self,
        domain: Domain,
        message: &[u8],
        shares: &[SignatureShare],
    ) -> Result<[u8; SIGNATURE_BYTES], ShareError> {
        let verified = shares
            .iter()
            .map(|share| self.verify_share(domain, message, share))
            .collect::<Result<Vec<_>, _>>()?;
        self.recover(&verified)
    }

    /// Whether `signature` is the group's signature over `message`.
    pub fn verify(
        &self,
        domain: Domain,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        let Ok(signature) = G1::decode(Copying(signature)) else {
            return false;
        };
        let bytes = domain.signed_bytes(message);
        ops::verify::<IcMinSig>(self.0.public(), SIGNATURE_DST, &bytes, &signature).is_ok()
    }
}

fn point_bytes(point: &G1) -> [u8; SIGNATURE_BYTES] {
    let encoded = point.encode();
    encoded
        .as_ref()
        .try_into()
        .expect("a point of G1 encodes to 48 bytes")
}

/// Deals the shares of a group of `signers` from a seed: whoever knows the seed knows every share.
/// For the single-node developer network only, where the one node holds all shares anyway; a
/// network of several nodes generates its keys without a dealer.
///
/// `purpose` separates the keys that are made from one seed: consensus and certification keys must
/// differ. Of `n` signers, as many are needed as leaves a third out: `n - (n - 1) / 3`.
pub fn deal_for_developer_network(
    seed: &[u8; 32],
    purpose: &str,
    signers: NonZeroU32,
) -> (GroupKey, Vec<KeyShare>) {
    let seed = Hash::of_parts(&[b"trilith/dealer", seed, purpose.as_bytes()]);
    let rng = ChaCha20Rng::from_seed(*seed.as_bytes());
    let (sharing, shares) =
        feldman_desmedt::deal_anonymous::<IcMinSig, N3f1>(rng, Mode::NonZeroCounter, signers);
    (
        GroupKey(sharing),
        shares.into_iter().map(KeyShare).collect(),
    )
}
