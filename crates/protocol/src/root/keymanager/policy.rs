//! Policies of key managers: which enclaves may have which secrets.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use sha3::{Digest as _, Sha3_256};
use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{Epoch, Hash, RuntimeId, SecretKey, SignatureContext, SignatureError};

use super::super::SignatureOf;
use crate::wire::wire_struct;

wire_struct! {
    /// What an enclave is: its code and who signed it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EnclaveIdentity as "enclave", at most 128, {
        /// Measurement of the code.
        mr_enclave: Hash = always "mr_enclave",
        /// Measurement of the signer's key.
        mr_signer: Hash = always "mr_signer",
    }
}

/// The order of encodings, in which the signer comes first.
impl Ord for EnclaveIdentity {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.mr_signer, self.mr_enclave).cmp(&(other.mr_signer, other.mr_enclave))
    }
}

impl PartialOrd for EnclaveIdentity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

wire_struct! {
    /// Who may have secrets of an enclave.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EnclavePolicy as "enclave policy", at most TRANSACTION_BYTES_MAX, {
        /// By runtime, the enclaves that may ask for its private keys.
        may_query: Option<BTreeMap<RuntimeId, Vec<EnclaveIdentity>>> = always "may_query",
        /// The enclaves that may have the master secrets, besides the enclave itself.
        may_replicate: Option<Vec<EnclaveIdentity>> = always "may_replicate",
    }
}

wire_struct! {
    /// The policy of a key manager.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PolicySgx as "policy", at most TRANSACTION_BYTES_MAX, {
        /// Number of the policy; each is higher than the one before.
        serial: u32 = always "serial",
        /// The key manager.
        id: RuntimeId = always "id",
        /// By enclave of the key manager, who may have its secrets.
        enclaves: Option<BTreeMap<EnclaveIdentity, EnclavePolicy>> = always "enclaves",
        /// Least epochs between two master secrets; 0 keeps the first one for ever.
        master_secret_rotation_interval: u64 = unless_empty "master_secret_rotation_interval",
        /// For how many epochs an ephemeral secret is used.
        max_ephemeral_secret_age: u64 = unless_empty "max_ephemeral_secret_age",
    }
}

wire_struct! {
    /// A signed policy.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SignedPolicySgx as "signed policy", at most TRANSACTION_BYTES_MAX, {
        /// The policy.
        policy: PolicySgx = always "policy",
        /// The signatures.
        signatures: Option<Vec<SignatureOf>> = always "signatures",
    }
}

impl PolicySgx {
    fn of(&self, keeper: &EnclaveIdentity) -> Option<&EnclavePolicy> {
        self.enclaves.as_ref()?.get(keeper)
    }

    /// Whether `enclave` may ask an enclave of the key manager for private keys of a runtime.
    pub fn may_query(
        &self,
        keeper: &EnclaveIdentity,
        runtime: &RuntimeId,
        enclave: &EnclaveIdentity,
    ) -> bool {
        let allowed = self.of(keeper).and_then(|policy| policy.may_query.as_ref());
        let allowed = allowed.and_then(|allowed| allowed.get(runtime));
        allowed.is_some_and(|enclaves| enclaves.contains(enclave))
    }

    /// Whether `enclave` may have the master secrets of an enclave of the key manager. Each may
    /// have those of its like.
    pub fn may_replicate(&self, keeper: &EnclaveIdentity, enclave: &EnclaveIdentity) -> bool {
        let allowed = self
            .of(keeper)
            .and_then(|policy| policy.may_replicate.as_ref());
        keeper == enclave || allowed.is_some_and(|enclaves| enclaves.contains(enclave))
    }

    /// Whether keys of an ephemeral secret may be derived in an epoch: not before the epoch that
    /// precedes the secret's own, and not after its age has run out.
    ///
    /// Source: Oasis Core `keymanager/src/runtime/secrets.rs` (`validate_ephemeral_key_epoch`),
    /// whose enclaves have an age of their own instead of the policy's.
    pub fn may_use_ephemeral(&self, of: Epoch, now: Epoch) -> bool {
        let last = of.0.saturating_add(self.max_ephemeral_secret_age);
        of.0 <= now.0.saturating_add(1) && now.0 <= last
    }
}

impl SignedPolicySgx {
    /// Signs a policy with every key.
    pub fn sign(policy: PolicySgx, keys: &[&SecretKey]) -> Self {
        let (context, raw) = (SignatureContext::KeyManagerPolicy, policy.encode());
        // The context carries no network.
        let signatures = keys
            .iter()
            .map(|key| SignatureOf::sign(key, context, &Hash::EMPTY, &raw))
            .collect();
        Self {
            policy,
            signatures: Some(signatures),
        }
    }

    /// The signatures.
    pub fn signatures(&self) -> &[SignatureOf] {
        self.signatures.as_deref().unwrap_or_default()
    }

    /// Checks every signature.
    ///
    /// # Errors
    /// [`SignatureError`] of the first signature that does not stand.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let raw = self.policy.encode();
        self.signatures().iter().try_for_each(|signature| {
            signature.verify(SignatureContext::KeyManagerPolicy, &Hash::EMPTY, &raw)
        })
    }

    /// SHA3-256 of the encoded signed policy, by which an enclave names the policy it follows.
    pub fn checksum(&self) -> [u8; 32] {
        Sha3_256::digest(self.encode()).into()
    }
}
