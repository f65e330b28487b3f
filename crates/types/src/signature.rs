//! Ed25519 signatures and the one table of signature contexts.
//!
//! A signature of a node is made over `H(context ‖ message)`. The context names what is signed, so
//! that no signed statement can be presented as another one; contexts of statements that belong to
//! one runtime or one network carry its identifier (runtime suffix first, network suffix last).
//!
//! Source: Oasis Core `common/crypto/signature`, ADR 0009 (Ed25519 semantics).

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use crate::{Hash, RuntimeId};

/// What a signature is about. Every context any part of Trilith signs under stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureContext {
    /// An executor's commitment to the outcome of a round.
    ExecutorCommitment,
    /// A transaction scheduler's proposal of a batch.
    Proposal,
    /// A storage node's statement that it holds roots.
    StorageReceipt,
    /// A transaction of the root ledger.
    RootTransaction,
    /// An entity's descriptor.
    RegisterEntity,
    /// A node's descriptor, which each of the node's keys signs.
    RegisterNode,
    /// The policy of a key manager.
    KeyManagerPolicy,
    /// What a key manager's enclave says of itself.
    KeyManagerInitResponse,
    /// The next master secret of a key manager, encrypted.
    EncryptedMasterSecret,
    /// An ephemeral secret of a key manager, encrypted.
    EncryptedEphemeralSecret,
}

impl SignatureContext {
    /// Every context, for tests that look for collisions.
    pub const ALL: [Self; 10] = [
        Self::ExecutorCommitment,
        Self::Proposal,
        Self::StorageReceipt,
        Self::RootTransaction,
        Self::RegisterEntity,
        Self::RegisterNode,
        Self::KeyManagerPolicy,
        Self::KeyManagerInitResponse,
        Self::EncryptedMasterSecret,
        Self::EncryptedEphemeralSecret,
    ];

    /// The bytes before the suffixes.
    pub const fn base(self) -> &'static str {
        match self {
            Self::ExecutorCommitment => "oasis-core/roothash: executor commitment",
            Self::Proposal => "oasis-core/roothash: proposal",
            Self::StorageReceipt => "oasis-core/storage: receipt",
            Self::RootTransaction => "oasis-core/consensus: tx",
            Self::RegisterEntity => "oasis-core/registry: register entity",
            Self::RegisterNode => "oasis-core/registry: register node",
            Self::KeyManagerPolicy => "oasis-core/keymanager: policy",
            Self::KeyManagerInitResponse => "oasis-core/keymanager: init response",
            Self::EncryptedMasterSecret => "oasis-core/keymanager: encrypted master secret",
            Self::EncryptedEphemeralSecret => "oasis-core/keymanager: encrypted ephemeral secret",
        }
    }

    /// Whether statements under this context belong to one runtime.
    pub const fn of_runtime(self) -> bool {
        matches!(self, Self::ExecutorCommitment | Self::Proposal)
    }

    /// Whether statements under this context belong to one network. Descriptors and what concerns
    /// key managers do not, so that a genesis document can take them over from an older network.
    pub const fn of_network(self) -> bool {
        matches!(
            self,
            Self::ExecutorCommitment
                | Self::Proposal
                | Self::StorageReceipt
                | Self::RootTransaction
        )
    }

    /// The full context: base, runtime suffix where the context is one of a runtime, and network
    /// suffix where it is one of a network. `chain` is the hash of the genesis document.
    pub fn full(self, runtime: Option<&RuntimeId>, chain: &Hash) -> Vec<u8> {
        let mut context = self.base().as_bytes().to_vec();
        if self.of_runtime() {
            let runtime = runtime.expect("a context of a runtime is used with its identifier");
            context.extend_from_slice(format!(" for runtime {runtime}").as_bytes());
        }
        if self.of_network() {
            context.extend_from_slice(format!(" for chain {chain}").as_bytes());
        }
        context
    }
}

/// Why a signature does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The key is not a canonical encoding of a point, or one of small order.
    #[error("the public key is not a valid Ed25519 key")]
    InvalidKey,
    /// The signature does not verify.
    #[error("the signature does not verify under the given key and context")]
    Invalid,
}

/// An Ed25519 public key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key from its bytes. Whether they are a valid point is checked when it verifies.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from a slice; `None` unless it has exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies `signature` over `H(context ‖ message)`, strictly (no small-order keys, canonical
    /// scalars).
    ///
    /// # Errors
    /// [`SignatureError`] if the key or the signature is not valid.
    pub fn verify(
        &self,
        context: &[u8],
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_raw(Hash::of_parts(&[context, message]).as_bytes(), signature)
    }

    /// Verifies a signature over exactly `message`, for foreign formats that bring their own
    /// domain separation.
    ///
    /// # Errors
    /// [`SignatureError`] if the key or the signature is not valid.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError::InvalidKey)?;
        if key.is_weak() {
            return Err(SignatureError::InvalidKey);
        }
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature)
            .map_err(|_| SignatureError::Invalid)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// A signature from a slice; `None` unless it has exactly 64 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// An Ed25519 secret key. It has no `Display`, and its `Debug` shows the public key only.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed, to be stored.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `H(context ‖ message)`. Ed25519 is deterministic: the same call gives the same bytes.
    pub fn sign(&self, context: &[u8], message: &[u8]) -> Signature {
        self.sign_raw(Hash::of_parts(&[context, message]).as_bytes())
    }

    /// Signs exactly `message`, for foreign formats that bring their own domain separation.
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_stands_only_under_its_context_and_message() {
        let key = SecretKey::from_seed([7; 32]);
        let chain = Hash::of(b"genesis");
        let runtime = RuntimeId::test(1);
        let context = SignatureContext::ExecutorCommitment.full(Some(&runtime), &chain);
        let other = SignatureContext::Proposal.full(Some(&runtime), &chain);
        let signature = key.sign(&context, b"message");
        assert_eq!(
            key.public().verify(&context, b"message", &signature),
            Ok(())
        );
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(key.public().verify(&other, b"message", &signature), invalid);
        assert_eq!(
            key.public().verify(&context, b"massage", &signature),
            invalid
        );
    }

    #[test]
    fn no_context_is_a_prefix_of_another() {
        for (index, one) in SignatureContext::ALL.iter().enumerate() {
            for other in &SignatureContext::ALL[index + 1..] {
                assert!(!one.base().starts_with(other.base()));
                assert!(!other.base().starts_with(one.base()));
            }
        }
    }

    /// Source: RFC 8032 section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let bytes = |text| hex::decode(text).unwrap();
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SecretKey::from_seed(seed.try_into().unwrap());
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(key.public().to_string(), public);
        let signature = key.sign_raw(&[0x72]);
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(hex::encode(signature.as_bytes()), expected);
        assert_eq!(key.public().verify_raw(&[0x72], &signature), Ok(()));
    }

    #[test]
    fn a_signature_has_one_form() {
        let key = SecretKey::from_seed([7; 32]);
        let signature = key.sign_raw(b"message");
        let refused = |bytes| {
            let signature = Signature::from_bytes(bytes);
            key.public().verify_raw(b"message", &signature) == Err(SignatureError::Invalid)
        };
        for bit in 0..512 {
            let mut bent = *signature.as_bytes();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(bent), "bit {bit}");
        }
        // The same scalar with the order of the group added to it.
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let mut second = *signature.as_bytes();
        let mut carry = 0;
        for (byte, added) in second[32..].iter_mut().zip(hex::decode(order).unwrap()) {
            let sum = u16::from(*byte) + u16::from(added) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(refused(second));
    }

    #[test]
    fn weak_keys_verify_nothing() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let weak = PublicKey::from_bytes(identity);
        let signature = Signature::from_bytes([0; 64]);
        assert_eq!(
            weak.verify(b"", b"", &signature),
            Err(SignatureError::InvalidKey)
        );
    }
}
