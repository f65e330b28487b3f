//! Encrypted secrets, which key managers publish on the root.

use std::collections::BTreeMap;

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{
    Epoch, Hash, PublicKey, RuntimeId, SecretKey, Signature, SignatureContext, SignatureError,
};

use crate::wire::{Blob, wire_struct};

wire_struct! {
    /// A secret, encrypted for enclaves. The keys are X25519 keys.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EncryptedSecret as "encrypted secret", at most TRANSACTION_BYTES_MAX, {
        /// The checksum by which whoever decrypts it sees that it is right.
        checksum: Blob = always "checksum",
        /// The public key from which the symmetric keys are derived.
        pub_key: PublicKey = always "pub_key",
        /// By the enclaves' keys for encryption, the encrypted secret.
        ciphertexts: BTreeMap<PublicKey, Blob> = always "ciphertexts",
    }
}

wire_struct! {
    /// An encrypted master secret.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EncryptedMasterSecret as "master secret", at most TRANSACTION_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "runtime_id",
        /// Number of the secret, from 0.
        generation: u64 = always "generation",
        /// The epoch at whose begin it is accepted or not.
        epoch: Epoch = always "epoch",
        /// The secret.
        secret: EncryptedSecret = always "secret",
    }
}

wire_struct! {
    /// An encrypted ephemeral secret.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EncryptedEphemeralSecret as "ephemeral secret", at most TRANSACTION_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "runtime_id",
        /// The epoch it is for.
        epoch: Epoch = always "epoch",
        /// The secret.
        secret: EncryptedSecret = always "secret",
    }
}

wire_struct! {
    /// An encrypted master secret, signed with the enclave's key for attestations.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SignedEncryptedMasterSecret as "signed master secret",
        at most TRANSACTION_BYTES_MAX, {
        /// The secret.
        secret: EncryptedMasterSecret = always "secret",
        /// The signature.
        signature: Signature = always "signature",
    }
}

wire_struct! {
    /// An encrypted ephemeral secret, signed with the enclave's key for attestations.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SignedEncryptedEphemeralSecret as "signed ephemeral secret",
        at most TRANSACTION_BYTES_MAX, {
        /// The secret.
        secret: EncryptedEphemeralSecret = always "secret",
        /// The signature.
        signature: Signature = always "signature",
    }
}

/// Signs under a context that carries no network.
pub(super) fn sign(key: &SecretKey, context: SignatureContext, raw: &[u8]) -> Signature {
    key.sign(&context.full(None, &Hash::EMPTY), raw)
}

/// Checks a signature under a context that carries no network.
pub(super) fn verify(
    rak: &PublicKey,
    context: SignatureContext,
    raw: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    rak.verify(&context.full(None, &Hash::EMPTY), raw, signature)
}

impl SignedEncryptedMasterSecret {
    /// Signs a secret with an enclave's key for attestations.
    pub fn sign(secret: EncryptedMasterSecret, rak: &SecretKey) -> Self {
        let context = SignatureContext::EncryptedMasterSecret;
        let signature = sign(rak, context, &secret.encode());
        Self { secret, signature }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] if it does not stand.
    pub fn verify(&self, rak: &PublicKey) -> Result<(), SignatureError> {
        let context = SignatureContext::EncryptedMasterSecret;
        verify(rak, context, &self.secret.encode(), &self.signature)
    }
}

impl SignedEncryptedEphemeralSecret {
    /// Signs a secret with an enclave's key for attestations.
    pub fn sign(secret: EncryptedEphemeralSecret, rak: &SecretKey) -> Self {
        let context = SignatureContext::EncryptedEphemeralSecret;
        let signature = sign(rak, context, &secret.encode());
        Self { secret, signature }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] if it does not stand.
    pub fn verify(&self, rak: &PublicKey) -> Result<(), SignatureError> {
        let context = SignatureContext::EncryptedEphemeralSecret;
        verify(rak, context, &self.secret.encode(), &self.signature)
    }
}
