//! A verifiable random function over a node's Ed25519 key: ECVRF-EDWARDS25519-SHA512-ELL2.
//!
//! ```text
//! H     = encode_to_curve(public key ‖ alpha)
//! Gamma = x * H                        x: the scalar of the Ed25519 key
//! proof = Gamma ‖ c ‖ s                32 + 16 + 32 bytes
//! beta  = SHA-512(04 03 ‖ 8 * Gamma ‖ 00)
//! ```
//!
//! One key gives one output for one input, and nobody can tell it without the key or a proof. What
//! comes from outside is decoded strictly: points in their one canonical form, `s` below the
//! group's order, no key of small order; then the output is unique even where the key's owner
//! chose the key to have two.
//!
//! It must not know what the outputs are for.
//!
//! Source: RFC 9381, suite 4; RFC 9380 for the encoding to the curve. Oasis Core uses the same one
//! (`curve25519-voi` since draft 13).

use std::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use sha2_of_curve::{Digest as _, Sha512};
use thiserror::Error;

use crate::{PublicKey, SecretKey};

/// Number of the suite in everything that is hashed. Source: RFC 9381 section 5.5.
const SUITE: u8 = 4;
/// What hashes are for. Source: RFC 9381 sections 5.4.3 and 5.2.
const CHALLENGE: u8 = 2;
const OUTPUT: u8 = 3;
const END: u8 = 0;
/// The domain of the encoding to the curve, before the suite's number. Source: RFC 9381 section
/// 5.4.1.2.
const ENCODING: &[u8] = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_";
/// Bytes of a challenge.
const CHALLENGE_LEN: usize = 16;

/// Why a proof does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VrfError {
    /// The key is not a canonical encoding of a point, or one of small order.
    #[error("the public key is not a valid key of the random function")]
    Key,
    /// The proof is not three canonical parts.
    #[error("the proof is not a point, a challenge and a scalar in canonical form")]
    Form,
    /// The proof is not one of this key for this input.
    #[error("the proof does not verify under the given key and input")]
    Invalid,
}

/// A proof that an output is that of a key and an input, 80 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VrfProof([u8; Self::LEN]);

/// An output: 64 bytes that look random to everyone but the key's owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VrfOutput([u8; Self::LEN]);

/// The parts of a proof.
struct Parts {
    gamma: EdwardsPoint,
    challenge: [u8; CHALLENGE_LEN],
    response: Scalar,
}

impl VrfProof {
    /// Bytes of a proof.
    pub const LEN: usize = 80;

    /// A proof from a slice; `None` unless it has exactly [`Self::LEN`] bytes. Whether they are a
    /// proof is checked when it is used.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The output that the proof is for, which means nothing before the proof is verified.
    ///
    /// # Errors
    /// [`VrfError::Form`] if the bytes cannot be those of a proof.
    pub fn output(&self) -> Result<VrfOutput, VrfError> {
        Ok(output(&self.parts()?.gamma))
    }

    fn parts(&self) -> Result<Parts, VrfError> {
        let (gamma, rest) = self.0.split_first_chunk::<32>().ok_or(VrfError::Form)?;
        let (challenge, rest) = rest
            .split_first_chunk::<CHALLENGE_LEN>()
            .ok_or(VrfError::Form)?;
        let response: [u8; 32] = rest.try_into().map_err(|_| VrfError::Form)?;
        let response: Option<Scalar> = Scalar::from_canonical_bytes(response).into();
        Ok(Parts {
            gamma: point(gamma).ok_or(VrfError::Form)?,
            challenge: *challenge,
            response: response.ok_or(VrfError::Form)?,
        })
    }
}

impl VrfOutput {
    /// Bytes of an output.
    pub const LEN: usize = 64;

    /// An output from a slice; `None` unless it has exactly [`Self::LEN`] bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl SecretKey {
    /// Proves the output of this key for `alpha`. The same call gives the same bytes.
    pub fn prove_vrf(&self, alpha: &[u8]) -> VrfProof {
        let expanded: [u8; 64] = Sha512::digest(self.seed()).into();
        let (scalar, prefix) = expanded.split_at(32);
        let scalar: [u8; 32] = scalar.try_into().unwrap_or_default();
        // Multiples of points of the prime-order group depend on the scalar modulo its order only.
        let x = Scalar::from_bytes_mod_order(clamp_integer(scalar));
        let public = self.public();
        let h = encode(&public, alpha);
        let gamma = h * x;
        let nonce = Sha512::new()
            .chain_update(prefix)
            .chain_update(h.compress().as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&nonce.finalize().into());
        let points = [h, gamma, EdwardsPoint::mul_base(&k), h * k];
        let challenge = challenge(&public, &points);
        let response = k + scalar_of(&challenge) * x;
        let mut proof = [0; VrfProof::LEN];
        proof[..32].copy_from_slice(gamma.compress().as_bytes());
        proof[32..48].copy_from_slice(&challenge);
        proof[48..].copy_from_slice(response.as_bytes());
        VrfProof(proof)
    }
}

impl PublicKey {
    /// Verifies a proof of this key for `alpha` and gives the output.
    ///
    /// # Errors
    /// [`VrfError`] if the key, the proof's form or the proof is not valid.
    pub fn verify_vrf(&self, alpha: &[u8], proof: &VrfProof) -> Result<VrfOutput, VrfError> {
        let parts = proof.parts()?;
        let key = point(self.as_bytes()).ok_or(VrfError::Key)?;
        if key.is_small_order() {
            return Err(VrfError::Key);
        }
        let h = encode(self, alpha);
        let minus_c = -scalar_of(&parts.challenge);
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&minus_c, &key, &parts.response);
        let v = EdwardsPoint::vartime_multiscalar_mul([parts.response, minus_c], [h, parts.gamma]);
        if challenge(self, &[h, parts.gamma, u, v]) != parts.challenge {
            return Err(VrfError::Invalid);
        }
        Ok(output(&parts.gamma))
    }
}

/// The point of an encoding, if this is its canonical one.
fn point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    // Decompression reduces what it reads: a second encoding of a point is one that compression
    // does not give.
    (point.compress().as_bytes() == bytes).then_some(point)
}

fn encode(key: &PublicKey, alpha: &[u8]) -> EdwardsPoint {
    EdwardsPoint::encode_to_curve::<Sha512>(&[key.as_bytes(), alpha], &[ENCODING, &[SUITE]])
}

fn challenge(key: &PublicKey, points: &[EdwardsPoint; 4]) -> [u8; CHALLENGE_LEN] {
    let mut hasher = Sha512::new();
    hasher.update([SUITE, CHALLENGE]);
    hasher.update(key.as_bytes());
    for point in points {
        hasher.update(point.compress().as_bytes());
    }
    hasher.update([END]);
    let digest: [u8; 64] = hasher.finalize().into();
    let mut challenge = [0; CHALLENGE_LEN];
    challenge.copy_from_slice(&digest[..CHALLENGE_LEN]);
    challenge
}

fn scalar_of(challenge: &[u8; CHALLENGE_LEN]) -> Scalar {
    Scalar::from(u128::from_le_bytes(*challenge))
}

fn output(gamma: &EdwardsPoint) -> VrfOutput {
    let hasher = Sha512::new()
        .chain_update([SUITE, OUTPUT])
        .chain_update(gamma.mul_by_cofactor().compress().as_bytes())
        .chain_update([END]);
    VrfOutput(hasher.finalize().into())
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for VrfOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seed, public key, input, proof and output. Source: RFC 9381 appendix B.4, examples 19 to 21.
    const EXAMPLES: [[&str; 5]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f\
             14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2\
             fb37831e00f0acaa6d73bc9997b06501",
            "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cc\
             cf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef\
             055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6b\
             c064dbfc75a6a57379ef855dc6733801",
            "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e463598\
             7cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce\
             35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe054\
             67bb286cc2c9d7fde29120a0b2320d04",
            "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a\
             7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58",
        ],
    ];

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn key(seed: &str) -> SecretKey {
        SecretKey::from_seed(bytes(seed).try_into().unwrap())
    }

    #[test]
    fn the_published_examples_are_proven_and_verified() {
        for [seed, public, alpha, proof, output] in EXAMPLES {
            let (key, alpha) = (key(seed), bytes(alpha));
            assert_eq!(hex::encode(key.public().as_bytes()), public);
            let found = key.prove_vrf(&alpha);
            assert_eq!(hex::encode(found.as_bytes()), proof);
            let verified = key.public().verify_vrf(&alpha, &found).unwrap();
            assert_eq!(hex::encode(verified.as_bytes()), output);
            assert_eq!(found.output(), Ok(verified));
        }
    }

    /// The point an input is encoded as. Source: RFC 9381 appendix B.4, the values of H.
    #[test]
    fn inputs_are_encoded_as_the_published_points() {
        let points = [
            "b8066ebbb706c72b64390324e4a3276f129569eab100c26b9f05011200c1bad9",
            "76ac3ccb86158a9104dff819b1ca293426d305fd76b39b13c9356d9b58c08e57",
            "13d2a8b5ca32db7e98094a61f656a08c6c964344e058879a386a947a4e189ed1",
        ];
        for ([seed, _, alpha, ..], expected) in EXAMPLES.iter().zip(points) {
            let point = encode(&key(seed).public(), &bytes(alpha)).compress();
            assert_eq!(hex::encode(point.as_bytes()), expected);
        }
    }

    /// Before draft 11 the challenge did not cover the key. Such proofs do not stand. Source: the
    /// first example of draft 10.
    #[test]
    fn a_proof_of_an_older_draft_is_refused() {
        let [seed, _, alpha, ..] = EXAMPLES[0];
        let old = bytes(
            "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f\
             25898f6bd7d4ed4c75f0282b0f7bb9d0e61b387b76db60b3cbf34bf09109ccb3\
             3fab742a8bddc0c8ba3caf5c0b75bb04",
        );
        let proof = VrfProof::from_slice(&old).unwrap();
        let found = key(seed).public().verify_vrf(&bytes(alpha), &proof);
        assert_eq!(found, Err(VrfError::Invalid));
    }

    #[test]
    fn forms_that_are_not_canonical_are_refused() {
        let key = key(EXAMPLES[0][0]);
        let good = key.prove_vrf(b"alpha");
        // The group's order, as RFC 8032 section 5.1 gives it, is no canonical scalar.
        let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut with_order = *good.as_bytes();
        with_order[48..].copy_from_slice(&order);
        // 2^255 - 19 + 1 stands for 1, the neutral element, whose canonical encoding is 1.
        let mut reduced = *good.as_bytes();
        reduced[..32].fill(0xff);
        (reduced[0], reduced[31]) = (0xee, 0x7f);
        // No point has this coordinate.
        let mut off_curve = *good.as_bytes();
        off_curve[..32].fill(0);
        off_curve[0] = 2;
        for bad in [with_order, reduced, off_curve] {
            let proof = VrfProof(bad);
            assert_eq!(proof.output(), Err(VrfError::Form));
            let found = key.public().verify_vrf(b"alpha", &proof);
            assert_eq!(found, Err(VrfError::Form));
        }
        assert_eq!(VrfProof::from_slice(&good.as_bytes()[1..]), None);
    }

    #[test]
    fn keys_of_small_order_verify_nothing() {
        let proof = key(EXAMPLES[0][0]).prove_vrf(b"alpha");
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut second = [0xff; 32];
        (second[0], second[31]) = (0xee, 0x7f);
        for weak in [neutral, second, [0; 32]] {
            let found = PublicKey::from_bytes(weak).verify_vrf(b"alpha", &proof);
            assert_eq!(found, Err(VrfError::Key));
        }
    }

    proptest! {
        #[test]
        fn a_proof_stands_for_its_key_and_input_only(
            seed: [u8; 32],
            other: [u8; 32],
            alpha: Vec<u8>,
            bit in 0..VrfProof::LEN * 8,
        ) {
            let key = SecretKey::from_seed(seed);
            let proof = key.prove_vrf(&alpha);
            prop_assert_eq!(key.public().verify_vrf(&alpha, &proof), proof.output());
            let mut flipped = *proof.as_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(key.public().verify_vrf(&alpha, &VrfProof(flipped)).is_err());
            let longer = [alpha.as_slice(), &[0]].concat();
            prop_assert!(key.public().verify_vrf(&longer, &proof).is_err());
            if other != seed {
                let other = SecretKey::from_seed(other).public();
                prop_assert!(other.verify_vrf(&alpha, &proof).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_proof(
            public: [u8; 32],
            proof in proptest::collection::vec(any::<u8>(), VrfProof::LEN),
        ) {
            let proof = VrfProof::from_slice(&proof).unwrap();
            prop_assert!(PublicKey::from_bytes(public).verify_vrf(b"alpha", &proof).is_err());
        }
    }
}
