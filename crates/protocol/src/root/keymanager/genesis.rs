//! Parameters of the key manager service, and its part of a genesis document.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_types::PublicKey;

use super::{SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret, Status};
use crate::wire::{Name, wire_struct};

/// Setting a policy.
pub const GAS_UPDATE_POLICY: &str = "update_policy";
/// Proposing a master secret.
pub const GAS_PUBLISH_MASTER_SECRET: &str = "publish_master_secret";
/// Publishing an ephemeral secret.
pub const GAS_PUBLISH_EPHEMERAL_SECRET: &str = "publish_ephemeral_secret";

/// The operations that cost gas, with what they cost by default.
pub const GAS_OPERATIONS: [(&str, u64); 3] = [
    (GAS_UPDATE_POLICY, params::GAS_UPDATE_POLICY),
    (GAS_PUBLISH_MASTER_SECRET, params::GAS_PUBLISH_MASTER_SECRET),
    (
        GAS_PUBLISH_EPHEMERAL_SECRET,
        params::GAS_PUBLISH_EPHEMERAL_SECRET,
    ),
];

wire_struct! {
    /// What the key manager service's rules depend on. In Oasis Core the signers of policies are
    /// built into the enclaves, and the root asks for none; here it asks for those of the
    /// genesis document, if that has any.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeymanagerParameters as "key manager parameters",
        at most params::PARAMETERS_BYTES_MAX, {
        /// Gas of each operation; one that is not there is free.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// Who may sign policies, ascending. It cannot be changed.
        policy_signers: Vec<PublicKey> = unless_empty "policy_signers",
        /// How many of them must sign a policy, at least 1 if there are any. It cannot be changed.
        policy_threshold: u16 = unless_empty "policy_threshold",
    }
}

impl Default for KeymanagerParameters {
    fn default() -> Self {
        Self {
            gas_costs: GAS_OPERATIONS.map(|(name, gas)| (name.into(), gas)).into(),
            policy_signers: Vec::new(),
            policy_threshold: 0,
        }
    }
}

wire_struct! {
    /// The key manager service's part of a genesis document, and what is exported of its state.
    /// Oasis Core exports neither the nodes of a status nor secrets; here a network that starts
    /// from an export stands where the old one did.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct KeymanagerGenesis as "key manager genesis", at most GENESIS_BYTES_MAX, {
        /// The parameters.
        params: KeymanagerParameters = unless_default "params",
        /// How the key managers stand, ascending by identifier.
        statuses: Vec<Status> = unless_empty "statuses",
        /// The newest proposed master secrets, ascending by key manager.
        master_secrets: Vec<SignedEncryptedMasterSecret> = unless_empty "master_secrets",
        /// The newest ephemeral secrets, ascending by key manager.
        ephemeral_secrets: Vec<SignedEncryptedEphemeralSecret> = unless_empty "ephemeral_secrets",
    }
}
