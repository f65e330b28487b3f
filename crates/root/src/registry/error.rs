//! Why the registry refuses. The numbers below 100 are Oasis Core's; no number is ever reused, and
//! gaps stay gaps.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_types::cbor::DecodeError;
use trilith_types::{Epoch, NodeId, PublicKey, RuntimeId, SignatureError};

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "registry";

/// A policy that forbids something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// Runtimes cannot be registered.
    #[error("registration of runtimes is disabled")]
    Runtimes,
    /// Key managers cannot be registered.
    #[error("registration of key managers is disabled")]
    KeyManagers,
    /// The governance model is not enabled, or cannot be asked for by a transaction.
    #[error("runtimes with governance model {0} cannot be registered by this transaction")]
    GovernanceModel(u8),
    /// The runtime governs itself.
    #[error("runtime {0} governs itself, a transaction cannot change it")]
    GovernsItself(RuntimeId),
    /// The runtime does not take nodes of the entity, or no more of them in this role.
    #[error("runtime {runtime} takes {limit} nodes of entity {entity} in role {role}, not more")]
    Admission {
        /// The runtime.
        runtime: RuntimeId,
        /// The entity.
        entity: PublicKey,
        /// The role's bit; 0 for any role.
        role: u32,
        /// How many nodes it takes.
        limit: u16,
    },
}

/// What is wrong with a node's descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeRule {
    /// The node has no role, or one that does not exist.
    #[error("the roles are {0:#b}: there must be some, and only known ones")]
    Roles(u32),
    /// The software version is too long.
    #[error("the software version has {len} bytes, the limit is {limit}")]
    SoftwareVersion {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// A key of the node has not signed.
    #[error("key {0} has not signed the descriptor")]
    NotSigned(PublicKey),
    /// There are signatures of other keys, or several of one.
    #[error("the descriptor has {found} signatures, one of each of the node's {expected} keys")]
    Signatures {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Two keys of the node are the same.
    #[error("key {0} stands for two purposes")]
    KeyTwice(PublicKey),
    /// A key is one of another node.
    #[error("key {key} is one of node {node}")]
    KeyOfOther {
        /// The key.
        key: PublicKey,
        /// The other node.
        node: NodeId,
    },
    /// A role needs a runtime.
    #[error("the roles {0:#b} need a runtime, there is none")]
    NoRuntime(u32),
    /// A version of a runtime stands twice.
    #[error("a version of runtime {0} stands twice")]
    VersionTwice(RuntimeId),
    /// The roles do not fit the kind of a runtime.
    #[error("runtime {0} is of a kind that none of the node's roles is for")]
    RuntimeKind(RuntimeId),
    /// A role needs an address.
    #[error("the roles {roles:#b} need a {what} address, there is none")]
    NoAddress {
        /// The roles.
        roles: u32,
        /// Which address.
        what: &'static str,
    },
    /// An address cannot be reached from everywhere.
    #[error("an Internet address of {0} bytes is not one that can be reached from everywhere")]
    Unroutable(usize),
    /// The descriptor says another version of a runtime than any that is deployed, in an enclave.
    #[error("no deployment of runtime {0} has the enclave's version")]
    UnknownVersion(RuntimeId),
}

/// What cannot be changed of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NodeChange {
    /// The entity.
    #[error("the entity of a node cannot change")]
    Entity,
    /// The consensus key.
    #[error("the consensus key of a node cannot change")]
    ConsensusKey,
    /// A runtime or version is given up.
    #[error("a registered node cannot give up a runtime or version that runs or will")]
    Runtimes,
    /// The enclave is given up or added.
    #[error("a registered node cannot change the hardware of a runtime")]
    Hardware,
    /// Roles are given up.
    #[error("a registered node cannot give up all its roles")]
    Roles,
}

/// What is wrong with a runtime's descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuntimeRule {
    /// A number is out of its range.
    #[error("{name} is {value}, it must be from {min} to {max}")]
    Range {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The kind and the flags of the identifier differ, or the identifier is the root's.
    #[error("the identifier {0} is not one of a runtime of this kind")]
    Identifier(RuntimeId),
    /// Test runtimes are not allowed.
    #[error("runtime {0} is a test runtime, which this network does not allow")]
    TestRuntime(RuntimeId),
    /// The key manager is not one, is the runtime itself, or a key manager has one.
    #[error("runtime {0} is not a key manager that the runtime can have")]
    KeyManager(RuntimeId),
    /// A key manager, or a runtime with one, needs an enclave.
    #[error("a runtime with secrets needs an enclave, unless it is a test runtime")]
    NoEnclave,
    /// A threshold that the kind of runtime has no nodes for.
    #[error("threshold {0} is of nodes that this kind of runtime does not have")]
    Threshold(u8),
    /// The admission policy does not give exactly one of any node, and lists.
    #[error("the admission policy must give either any node, or lists")]
    Admission,
    /// A role of a policy or constraint is not one role.
    #[error("{0:#b} is not one role")]
    Role(u32),
    /// A runtime that governs itself must execute transactions.
    #[error("only a compute runtime can govern itself")]
    SelfGovernance,
}

/// What is wrong with a runtime's deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeploymentRule {
    /// There are none, or too many.
    #[error("there are {count} deployments, there must be from 1 to {limit}")]
    Count {
        /// How many.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// A version stands twice.
    #[error("a version stands twice")]
    VersionTwice,
    /// A higher version is not valid later.
    #[error("a higher version is valid from epoch {later}, a lower one from epoch {earlier}")]
    Order {
        /// From when the lower version is valid.
        earlier: Epoch,
        /// From when the higher version is valid.
        later: Epoch,
    },
    /// More than one deployment is in the future.
    #[error("{0} deployments are in the future, at most 1 may be")]
    Future(usize),
    /// There are constraints of enclaves where there are none.
    #[error("a deployment has constraints of enclaves, the runtime runs in none")]
    UnexpectedTee,
    /// The checksum is not one.
    #[error("a checksum has {0} bytes, it must have 0 or 32")]
    Checksum(usize),
}

/// What cannot be changed of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RuntimeChange {
    /// What it does.
    #[error("the kind of a runtime cannot change")]
    Kind,
    /// What it started from.
    #[error("the genesis of a runtime cannot change")]
    Genesis,
    /// Its key manager.
    #[error("the key manager of a runtime cannot change")]
    KeyManager,
    /// Its governance, but from its entity to itself.
    #[error("the governance model can change from the entity to the runtime only")]
    Governance,
    /// A deployment that runs or ran.
    #[error("a deployment that is valid already cannot change or go")]
    Deployment,
    /// A version would run at once.
    #[error("a version cannot run from the running epoch on")]
    AtOnce,
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// The argument or a descriptor is no canonical encoding of what it should be.
    #[error("the {what} cannot be decoded: {error}")]
    Malformed {
        /// What.
        what: &'static str,
        /// Why not.
        error: DecodeError,
    },
    /// A descriptor is wrongly signed.
    #[error("the descriptor is wrongly signed: {0}")]
    Signature(SignatureError),
    /// The node is of another entity.
    #[error("node {node} is not one of {signer}")]
    OtherEntity {
        /// The node.
        node: NodeId,
        /// Who signed.
        signer: PublicKey,
    },
    /// A deployment for enclaves names none.
    #[error("a deployment of a runtime in enclaves names no enclave")]
    NoEnclaves,
    /// The node and the runtime do not need and have the same hardware.
    #[error("runtime {runtime} needs hardware {needed}, the node says {found}")]
    HardwareMismatch {
        /// The runtime.
        runtime: RuntimeId,
        /// What it needs.
        needed: u8,
        /// What the node has.
        found: u8,
    },
    /// There is no such entity.
    #[error("there is no entity {0}")]
    NoSuchEntity(PublicKey),
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    /// There is no such runtime.
    #[error("there is no runtime {0}")]
    NoSuchRuntime(RuntimeId),
    /// The transaction is signed by somebody else.
    #[error("the transaction is signed by {found}, it must be by {expected}")]
    Signer {
        /// Who signed.
        found: PublicKey,
        /// Who must sign.
        expected: PublicKey,
    },
    /// The registration would be over.
    #[error("the registration is until epoch {expiration}, it is epoch {epoch}")]
    Expired {
        /// Until when.
        expiration: Epoch,
        /// The running epoch.
        epoch: Epoch,
    },
    /// The node stays frozen.
    #[error("the node is frozen until epoch {until}, it is epoch {epoch}")]
    Frozen {
        /// Until when.
        until: u64,
        /// The running epoch.
        epoch: Epoch,
    },
    /// The entity has nodes.
    #[error("entity {0} has nodes")]
    HasNodes(PublicKey),
    /// A policy forbids it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The node cannot change like this.
    #[error(transparent)]
    NodeChange(#[from] NodeChange),
    /// The runtime cannot change like this.
    #[error(transparent)]
    RuntimeChange(#[from] RuntimeChange),
    /// The entity has runtimes.
    #[error("entity {0} has runtimes")]
    HasRuntimes(PublicKey),
    /// The descriptor is of another version.
    #[error("the {what} descriptor has version {found}, it must be {expected}")]
    Version {
        /// Of what.
        what: &'static str,
        /// Its version.
        found: u16,
        /// What it must be.
        expected: u16,
    },
    /// The entity lists a node twice.
    #[error("the entity lists node {0} twice")]
    NodeTwice(NodeId),
    /// Attestations of enclaves cannot be verified.
    #[error("runtime {0} runs in enclaves, and this version cannot verify their attestations")]
    Attestation(RuntimeId),
    /// The node's descriptor breaks a rule.
    #[error(transparent)]
    Node(#[from] NodeRule),
    /// The entity does not list the node.
    #[error("entity {entity} does not list node {node}")]
    NotListed {
        /// The entity.
        entity: PublicKey,
        /// The node.
        node: NodeId,
    },
    /// The registration is for too long.
    #[error("the registration is until epoch {expiration}, the last possible is {limit}")]
    TooLong {
        /// Until when.
        expiration: Epoch,
        /// The last epoch it may be until.
        limit: Epoch,
    },
    /// The runtime's descriptor breaks a rule.
    #[error(transparent)]
    Runtime(#[from] RuntimeRule),
    /// The runtime's deployments break a rule.
    #[error(transparent)]
    Deployment(#[from] DeploymentRule),
    /// There are too many runtimes.
    #[error("there are {0} runtimes already, which is the limit")]
    TooManyRuntimes(usize),
    /// The identifier is taken by a runtime of the genesis document that nobody owns.
    #[error("runtime {0} is one of the genesis document, which nobody owns")]
    Unowned(RuntimeId),
}

impl RegistryError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Malformed { .. } => 1,
            Self::Signature(_) => 2,
            Self::OtherEntity { .. } => 3,
            Self::NoEnclaves => 5,
            Self::HardwareMismatch { .. } => 8,
            Self::NoSuchEntity(_) => 9,
            Self::NoSuchNode(_) => 10,
            Self::NoSuchRuntime(_) => 11,
            Self::Signer { .. } => 12,
            Self::Expired { .. } => 13,
            Self::Frozen { .. } => 14,
            Self::HasNodes(_) => 15,
            Self::Forbidden(_) => 16,
            Self::NodeChange(_) => 17,
            Self::RuntimeChange(_) => 18,
            Self::HasRuntimes(_) => 19,
            Self::Version { .. } => 101,
            Self::NodeTwice(_) => 102,
            Self::Attestation(_) => 103,
            Self::Node(_) => 104,
            Self::NotListed { .. } => 105,
            Self::TooLong { .. } => 106,
            Self::Runtime(_) => 107,
            Self::Deployment(_) => 108,
            Self::TooManyRuntimes(_) => 109,
            Self::Unowned(_) => 110,
        }
    }
}

impl From<SignatureError> for RegistryError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<RegistryError> for Reject {
    fn from(error: RegistryError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Reject(error.into())
    }
}

/// Names what could not be decoded.
pub(super) fn malformed(what: &'static str) -> impl FnOnce(DecodeError) -> RegistryError {
    move |error| RegistryError::Malformed { what, error }
}
