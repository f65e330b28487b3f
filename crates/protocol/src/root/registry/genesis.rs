//! Parameters of the registry, what it knows of a node beside its descriptor, and its part of a
//! genesis document.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_types::{PublicKey, RuntimeId};

use super::super::{MultiSigned, Signed};
use super::runtime::{GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME, Runtime};
use crate::wire::{Name, wire_struct};

/// Registering an entity.
pub const GAS_REGISTER_ENTITY: &str = "register_entity";
/// Removing an entity.
pub const GAS_DEREGISTER_ENTITY: &str = "deregister_entity";
/// Each node that an entity lists.
pub const GAS_REGISTER_NODE: &str = "register_node";
/// Thawing a node.
pub const GAS_UNFREEZE_NODE: &str = "unfreeze_node";
/// Registering a runtime.
pub const GAS_REGISTER_RUNTIME: &str = "register_runtime";
/// A node for a runtime, for an epoch.
pub const GAS_MAINTENANCE: &str = "runtime_epoch_maintenance";

/// The operations that cost gas, with what they cost by default.
pub const GAS_OPERATIONS: [(&str, u64); 6] = [
    (GAS_REGISTER_ENTITY, params::GAS_REGISTER_ENTITY),
    (GAS_DEREGISTER_ENTITY, params::GAS_DEREGISTER_ENTITY),
    (GAS_REGISTER_NODE, params::GAS_REGISTER_NODE),
    (GAS_UNFREEZE_NODE, params::GAS_UNFREEZE_NODE),
    (GAS_REGISTER_RUNTIME, params::GAS_REGISTER_RUNTIME),
    (GAS_MAINTENANCE, params::GAS_RUNTIME_EPOCH_MAINTENANCE),
];

wire_struct! {
    /// What the registry's rules depend on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RegistryParameters as "registry parameters", at most params::PARAMETERS_BYTES_MAX, {
        /// Whether nodes may give addresses that cannot be reached from everywhere.
        debug_allow_unroutable_addresses: bool =
            unless_empty "debug_allow_unroutable_addresses",
        /// Whether runtimes may have identifiers of test runtimes.
        debug_allow_test_runtimes: bool = unless_empty "debug_allow_test_runtimes",
        /// Whether a new runtime may run from the epoch it is registered in.
        debug_deploy_immediately: bool = unless_empty "debug_deploy_immediately",
        /// Whether no runtime can be registered.
        disable_runtime_registration: bool = unless_empty "disable_runtime_registration",
        /// Whether no key manager can be registered.
        disable_km_runtime_registration: bool = unless_empty "disable_km_runtime_registration",
        /// Gas of each operation; one that is not there is free.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// For how many epochs a node can be registered at most; 0 is any number.
        max_node_expiration: u64 = unless_empty "max_node_expiration",
        /// Who may govern runtimes.
        enable_runtime_governance_models: BTreeMap<u8, bool> =
            unless_empty "enable_runtime_governance_models",
        /// Most deployments of a runtime; at least 2 are always allowed.
        max_runtime_deployments: u8 = unless_empty "max_runtime_deployments",
    }
}

impl Default for RegistryParameters {
    fn default() -> Self {
        Self {
            debug_allow_unroutable_addresses: false,
            debug_allow_test_runtimes: false,
            debug_deploy_immediately: false,
            disable_runtime_registration: false,
            disable_km_runtime_registration: false,
            gas_costs: GAS_OPERATIONS.map(|(name, gas)| (name.into(), gas)).into(),
            max_node_expiration: params::NODE_EXPIRATION_MAX,
            enable_runtime_governance_models: [GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME]
                .map(|model| (model, true))
                .into(),
            max_runtime_deployments: params::RUNTIME_DEPLOYMENTS_MAX,
        }
    }
}

wire_struct! {
    /// How often a node was not live in a runtime.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Fault as "fault", at most 64, {
        /// How often, less the times it was live since.
        failures: u8 = unless_empty "failures",
        /// The first epoch it may be elected in again.
        suspended_until: u64 = unless_empty "suspended_until",
    }
}

wire_struct! {
    /// What the registry knows of a node beside its descriptor.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct NodeStatus as "node status", at most params::ACCOUNT_BYTES_MAX, {
        /// Whether it was told that the registration ran out.
        expiration_processed: bool = always "expiration_processed",
        /// From which epoch on it may be thawed; 0 if it is not frozen.
        freeze_end_time: u64 = always "freeze_end_time",
        /// After which epoch it may be elected; 0 if it was in the genesis document, 2^64 - 1
        /// until the first epoch after its registration.
        election_eligible_after: u64 = always "election_eligible_after",
        /// By runtime, how often it was not live.
        faults: BTreeMap<RuntimeId, Fault> = unless_empty "faults",
    }
}

wire_struct! {
    /// The registry's part of a genesis document, and what is exported of its state.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RegistryGenesis as "registry genesis", at most GENESIS_BYTES_MAX, {
        /// The parameters.
        params: RegistryParameters = always "params",
        /// The entities, ascending by key.
        entities: Vec<Signed> = unless_empty "entities",
        /// The runtimes, ascending by identifier.
        runtimes: Vec<Runtime> = unless_empty "runtimes",
        /// The suspended runtimes, ascending by identifier.
        suspended_runtimes: Vec<Runtime> = unless_empty "suspended_runtimes",
        /// The nodes, ascending by key.
        nodes: Vec<MultiSigned> = unless_empty "nodes",
        /// What is known of nodes; one that is not there has the default status.
        node_statuses: BTreeMap<PublicKey, NodeStatus> = unless_empty "node_statuses",
    }
}
