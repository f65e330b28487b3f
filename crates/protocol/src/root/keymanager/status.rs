//! How a key manager stands, and what its enclaves say of themselves.

use trilith_params::root::{KEY_MANAGER_STATUS_BYTES_MAX, TRANSACTION_BYTES_MAX};
use trilith_types::{
    Epoch, PublicKey, RuntimeId, SecretKey, Signature, SignatureContext, SignatureError,
};

use super::SignedPolicySgx;
use super::secret::{sign, verify};
use crate::wire::{Blob, wire_struct};

wire_struct! {
    /// How a key manager stands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Status as "key manager status", at most KEY_MANAGER_STATUS_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "id",
        /// Whether it had a node once, which then said whether it is secure.
        is_initialized: bool = always "is_initialized",
        /// Whether its enclaves keep secrets from everybody.
        is_secure: bool = always "is_secure",
        /// Number of the newest master secret; 0 before there is one, too.
        generation: u64 = unless_empty "generation",
        /// The epoch in which the newest master secret was accepted.
        rotation_epoch: Epoch = unless_empty "rotation_epoch",
        /// Checksum of the newest master secret; `None` before there is one.
        checksum: Option<Blob> = always "checksum",
        /// The nodes that follow the policy and have the newest master secret, ascending.
        nodes: Option<Vec<PublicKey>> = always "nodes",
        /// The policy; `None` before there is one.
        policy: Option<SignedPolicySgx> = always "policy",
        /// The policy from the next epoch on, if it changes.
        next_policy: Option<SignedPolicySgx> = unless_empty "next_policy",
        /// The key with which the key manager signs public keys.
        rsk: Option<PublicKey> = unless_empty "rsk",
    }
}

impl Status {
    /// The status of a key manager that nothing is known of.
    pub const fn new(id: RuntimeId) -> Self {
        Self {
            id,
            is_initialized: false,
            is_secure: false,
            generation: 0,
            rotation_epoch: Epoch(0),
            checksum: None,
            nodes: None,
            policy: None,
            next_policy: None,
            rsk: None,
        }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[PublicKey] {
        self.nodes.as_deref().unwrap_or_default()
    }

    /// Checksum of the newest master secret; no bytes before there is one.
    pub fn checksum(&self) -> &[u8] {
        bytes(self.checksum.as_ref())
    }

    /// Number of the next master secret.
    pub fn next_generation(&self) -> u64 {
        if self.checksum().is_empty() {
            return 0;
        }
        self.generation.saturating_add(1)
    }

    /// The first epoch in which another master secret can be accepted; `None` if there is none,
    /// because the policy, or that there is none, keeps the one there is.
    pub fn next_rotation(&self) -> Option<Epoch> {
        if self.checksum().is_empty() {
            return Some(Epoch(0));
        }
        let policy = self.policy.as_ref()?;
        match policy.policy.master_secret_rotation_interval {
            0 => None,
            interval => self.rotation_epoch.0.checked_add(interval).map(Epoch),
        }
    }
}

wire_struct! {
    /// What an enclave of a key manager says of itself.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct InitResponse as "init response", at most TRANSACTION_BYTES_MAX, {
        /// Whether it keeps secrets from everybody.
        is_secure: bool = always "is_secure",
        /// Checksum of the newest master secret it has.
        checksum: Option<Blob> = always "checksum",
        /// Checksum of the proposed master secret, if it has it.
        next_checksum: Blob = unless_empty "next_checksum",
        /// Checksum of the policy it follows, of the next one if it knows that.
        policy_checksum: Option<Blob> = always "policy_checksum",
        /// The key with which it signs public keys.
        rsk: Option<PublicKey> = unless_empty "rsk",
        /// That key with the proposed master secret.
        next_rsk: Option<PublicKey> = unless_empty "next_rsk",
    }
}

impl InitResponse {
    /// Checksum of the newest master secret it has; no bytes if there is none.
    pub fn checksum(&self) -> &[u8] {
        bytes(self.checksum.as_ref())
    }

    /// Checksum of the policy it follows; no bytes if it follows none.
    pub fn policy_checksum(&self) -> &[u8] {
        bytes(self.policy_checksum.as_ref())
    }
}

wire_struct! {
    /// What an enclave says of itself, signed with its key for attestations. It stands in the
    /// node's descriptor, as the runtime's own information.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SignedInitResponse as "signed init response", at most TRANSACTION_BYTES_MAX, {
        /// What it says.
        init_response: InitResponse = always "init_response",
        /// The signature.
        signature: Signature = always "signature",
    }
}

impl SignedInitResponse {
    /// Signs with an enclave's key for attestations.
    pub fn sign(init_response: InitResponse, rak: &SecretKey) -> Self {
        let context = SignatureContext::KeyManagerInitResponse;
        let signature = sign(rak, context, &init_response.encode());
        Self {
            init_response,
            signature,
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] if it does not stand.
    pub fn verify(&self, rak: &PublicKey) -> Result<(), SignatureError> {
        let context = SignatureContext::KeyManagerInitResponse;
        verify(rak, context, &self.init_response.encode(), &self.signature)
    }
}

/// Null and no bytes are the same here: Oasis Core's enclaves write one, its nodes the other.
fn bytes(blob: Option<&Blob>) -> &[u8] {
    blob.map_or(&[], |blob| &blob.0)
}
