//! What is said to the registry: methods and their arguments, descriptors of entities, nodes and
//! runtimes, parameters, the service's part of a genesis document, and its events, in Oasis Core's
//! forms.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//!
//! Source: Oasis Core `registry/api`, `common/entity`, `common/node`.

mod admission;
mod entity;
mod genesis;
mod node;
mod runtime;

pub use admission::{
    AdmissionPolicy, EntityWhitelist, Marker, PerRolePolicy, RoleWhitelist, RoleWhitelistConfig,
    WhitelistConfig,
};
pub use entity::{ENTITY_VERSION, Entity};
pub use genesis::{
    Fault, GAS_DEREGISTER_ENTITY, GAS_MAINTENANCE, GAS_OPERATIONS, GAS_REGISTER_ENTITY,
    GAS_REGISTER_NODE, GAS_REGISTER_RUNTIME, GAS_UNFREEZE_NODE, NodeStatus, RegistryGenesis,
    RegistryParameters,
};
pub use node::{
    Capabilities, CapabilityTee, ConsensusAddress, ConsensusInfo, NODE_VERSION, Node, NodeAddress,
    NodeRuntime, P2pInfo, TlsInfo, Version, VrfInfo,
};
pub use runtime::{
    Deployment, Executor, GOVERNANCE_CONSENSUS, GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME,
    KIND_COMPUTE, KIND_KEY_MANAGER, Limit, RUNTIME_VERSION, Runtime, RuntimeGenesis,
    RuntimeStaking, SchedulingConstraints, Storage, TEE_NONE, TEE_SGX, TxnScheduler,
};

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{PublicKey, RuntimeId};

use crate::wire::{wire_choice, wire_struct};

/// Registers an entity or changes it; the body is a signed [`Entity`].
pub const REGISTER_ENTITY: &str = "registry.RegisterEntity";
/// Removes the entity that signs; there is no body.
pub const DEREGISTER_ENTITY: &str = "registry.DeregisterEntity";
/// Registers a node or extends it; the body is a multi-signed [`Node`].
pub const REGISTER_NODE: &str = "registry.RegisterNode";
/// Thaws a frozen node; the body is an [`UnfreezeNode`].
pub const UNFREEZE_NODE: &str = "registry.UnfreezeNode";
/// Registers a runtime or changes it; the body is a [`Runtime`].
pub const REGISTER_RUNTIME: &str = "registry.RegisterRuntime";

wire_struct! {
    /// Argument of [`UNFREEZE_NODE`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UnfreezeNode as "unfreeze node", at most TRANSACTION_BYTES_MAX, {
        /// The node.
        node_id: PublicKey = always "node_id",
    }
}

wire_struct! {
    /// An entity was registered or removed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EntityEvent as "entity event", at most 256, {
        /// The entity.
        id: PublicKey = always "id",
        /// Whether it was registered.
        is_registration: bool = always "is_registration",
    }
}

wire_struct! {
    /// A node was registered, or its registration ran out.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NodeEvent as "node event", at most 256, {
        /// The node.
        id: PublicKey = always "id",
        /// Its entity.
        entity: PublicKey = always "entity",
        /// Whether it was registered.
        is_registration: bool = always "is_registration",
    }
}

wire_struct! {
    /// A node is frozen or thawed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FreezeEvent as "freeze event", at most 256, {
        /// The node.
        node: PublicKey = always "node",
        /// From which epoch on it may be thawed; 0 if it was.
        until: u64 = always "until",
    }
}

wire_struct! {
    /// A runtime runs or is suspended.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RuntimeEvent as "runtime event", at most 256, {
        /// The runtime.
        id: RuntimeId = always "id",
        /// Whether it is suspended.
        is_suspended: bool = always "is_suspended",
    }
}

wire_choice! {
    /// Something that happened to what is registered. Deviation from Oasis Core, whose events
    /// carry whole descriptors: these name them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RegistryEvent as "registry event" {
        /// An entity was registered or removed.
        Entity(EntityEvent) = "entity",
        /// A node was registered, or its registration ran out.
        Node(NodeEvent) = "node",
        /// A node is frozen or thawed.
        Freeze(FreezeEvent) = "freeze",
        /// A runtime runs or is suspended.
        Runtime(RuntimeEvent) = "runtime",
    }
}
