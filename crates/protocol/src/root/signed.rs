//! Signed transactions of the root, and the envelopes of signed statements.
//!
//! ```text
//! signed       = {signature: {public_key, signature}, untrusted_raw_value: bytes}
//! multi-signed = {signatures: [{public_key, signature}], untrusted_raw_value: bytes}
//! transaction  = {nonce, fee: {amount, gas} unless free, method, body unless empty}
//! ```
//!
//! A signature is over exactly the bytes of the envelope. Deviation from Oasis Core: the bytes
//! inside must be canonical too.
//!
//! Source: Oasis Core `consensus/api/transaction`, `common/crypto/signature` (`Signed`).

pub use trilith_params::root::{METHOD_BYTES_MAX, TRANSACTION_BYTES_MAX};

use trilith_types::cbor::DecodeError;
use trilith_types::{Hash, PublicKey, SecretKey, Signature, SignatureContext, SignatureError};

use super::Quantity;
use crate::wire::{Blob, RawItem, wire_struct};

wire_struct! {
    /// A signature and whose it is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SignatureOf as "signature", at most 256, {
        /// The signer's key.
        public_key: PublicKey = always "public_key",
        /// The signature.
        signature: Signature = always "signature",
    }
}

wire_struct! {
    /// A statement with one signature.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Signed as "signed statement", at most TRANSACTION_BYTES_MAX, {
        /// The statement's bytes, not to be trusted before the signature is checked.
        raw: Blob = always "untrusted_raw_value",
        /// The signature.
        signature: SignatureOf = always "signature",
    }
}

wire_struct! {
    /// A statement with several signatures.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MultiSigned as "multi-signed statement", at most TRANSACTION_BYTES_MAX, {
        /// The statement's bytes, not to be trusted before the signatures are checked.
        raw: Blob = always "untrusted_raw_value",
        /// The signatures.
        signatures: Vec<SignatureOf> = always "signatures",
    }
}

wire_struct! {
    /// What a sender pays.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Fee as "fee", at most 64, {
        /// How many base units, whatever is used.
        amount: Quantity = always "amount",
        /// Most gas the transaction may use.
        gas: u64 = always "gas",
    }
}

wire_struct! {
    /// A transaction as it is signed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Transaction as "transaction", at most TRANSACTION_BYTES_MAX, {
        /// How many transactions of this sender the root has taken before.
        nonce: u64 = always "nonce",
        /// What the sender pays; `None` is nothing, for no gas.
        fee: Option<Fee> = unless_empty "fee",
        /// Who handles it: `service.Method`.
        method: String = always "method",
        /// The method's argument.
        body: RawItem = unless_empty "body",
    }
}

impl Signed {
    /// Signs `raw`.
    pub fn sign(key: &SecretKey, context: SignatureContext, chain: &Hash, raw: Vec<u8>) -> Self {
        let signature = SignatureOf::sign(key, context, chain, &raw);
        Self {
            raw: Blob(raw),
            signature,
        }
    }

    /// Checks the signature and gives the statement's bytes.
    ///
    /// # Errors
    /// [`SignatureError`] if the signature does not stand.
    pub fn open(&self, context: SignatureContext, chain: &Hash) -> Result<&[u8], SignatureError> {
        self.signature.verify(context, chain, &self.raw.0)?;
        Ok(&self.raw.0)
    }
}

impl SignatureOf {
    pub(super) fn sign(
        key: &SecretKey,
        context: SignatureContext,
        chain: &Hash,
        raw: &[u8],
    ) -> Self {
        Self {
            public_key: key.public(),
            signature: key.sign(&context.full(None, chain), raw),
        }
    }

    pub(super) fn verify(
        &self,
        context: SignatureContext,
        chain: &Hash,
        raw: &[u8],
    ) -> Result<(), SignatureError> {
        self.public_key
            .verify(&context.full(None, chain), raw, &self.signature)
    }
}

impl MultiSigned {
    /// Signs `raw` with every key.
    pub fn sign(
        keys: &[&SecretKey],
        context: SignatureContext,
        chain: &Hash,
        raw: Vec<u8>,
    ) -> Self {
        let signatures = keys
            .iter()
            .map(|key| SignatureOf::sign(key, context, chain, &raw))
            .collect();
        Self {
            raw: Blob(raw),
            signatures,
        }
    }

    /// Checks all signatures and gives the statement's bytes.
    ///
    /// # Errors
    /// [`SignatureError`] of the first signature that does not stand.
    pub fn open(&self, context: SignatureContext, chain: &Hash) -> Result<&[u8], SignatureError> {
        for signature in &self.signatures {
            signature.verify(context, chain, &self.raw.0)?;
        }
        Ok(&self.raw.0)
    }

    /// Whether a signature claims to be of this key. Says nothing about whether it stands.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signatures
            .iter()
            .any(|signature| signature.public_key == *key)
    }
}

impl Transaction {
    /// Signs the transaction for the network of `chain`.
    pub fn sign(&self, key: &SecretKey, chain: &Hash) -> Signed {
        Signed::sign(key, SignatureContext::RootTransaction, chain, self.encode())
    }

    /// The gas price the fee implies, rounded down; 0 without gas.
    pub fn gas_price(&self) -> Quantity {
        let fee = self.fee.unwrap_or_default();
        fee.amount
            .times_over(Quantity::new(1), fee.gas.into())
            .unwrap_or(Quantity::ZERO)
    }

    /// Checks what the form does not say.
    ///
    /// # Errors
    /// [`DecodeError`] if the method's name is empty or too long.
    pub fn check_form(&self) -> Result<(), DecodeError> {
        if self.method.is_empty() || self.method.len() > METHOD_BYTES_MAX {
            return Err(DecodeError::Field("method"));
        }
        Ok(())
    }
}
