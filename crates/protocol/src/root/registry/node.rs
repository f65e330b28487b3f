//! Descriptors of nodes, version 3.
//!
//! A list that is null was never set, which is another value than a list without items.

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{Epoch, PublicKey, RuntimeId};

use crate::wire::{Blob, wire_struct};

/// The version of node descriptors that can be registered.
///
/// Source: Oasis Core `common/node` (`LatestNodeDescriptorVersion`).
pub const NODE_VERSION: u16 = 3;

wire_struct! {
    /// Where a node can be reached.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NodeAddress as "address", at most 4096, {
        /// The 4 or 16 bytes of an Internet address.
        ip: Blob = always "IP",
        /// The port.
        port: u16 = always "Port",
        /// The zone of an address that needs one.
        zone: String = always "Zone",
    }
}

wire_struct! {
    /// Where a node can be reached for consensus.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ConsensusAddress as "consensus address", at most 4096, {
        /// The key of who answers there.
        id: PublicKey = always "id",
        /// Where.
        address: NodeAddress = always "address",
    }
}

wire_struct! {
    /// The key of a node's TLS certificate.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TlsInfo as "tls", at most 256, {
        /// The key.
        pub_key: PublicKey = always "pub_key",
    }
}

wire_struct! {
    /// How a node takes part in gossip.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct P2pInfo as "p2p", at most TRANSACTION_BYTES_MAX, {
        /// The node's key there.
        id: PublicKey = always "id",
        /// Where it can be reached.
        addresses: Option<Vec<NodeAddress>> = always "addresses",
    }
}

wire_struct! {
    /// How a node takes part in consensus.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ConsensusInfo as "consensus", at most TRANSACTION_BYTES_MAX, {
        /// The node's key there.
        id: PublicKey = always "id",
        /// Where it can be reached.
        addresses: Option<Vec<ConsensusAddress>> = always "addresses",
    }
}

wire_struct! {
    /// The key with which a node takes part in the beacon.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfInfo as "vrf", at most 256, {
        /// The key.
        id: PublicKey = always "id",
    }
}

wire_struct! {
    /// A version: numbers that are 0 are left out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Version as "version", at most 64, {
        /// The first number.
        major: u16 = unless_empty "major",
        /// The second number.
        minor: u16 = unless_empty "minor",
        /// The third number.
        patch: u16 = unless_empty "patch",
    }
}

wire_struct! {
    /// What a node says about its trusted execution environment.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CapabilityTee as "tee", at most TRANSACTION_BYTES_MAX, {
        /// The kind of hardware.
        hardware: u8 = always "hardware",
        /// The enclave's key for attestations.
        rak: PublicKey = always "rak",
        /// The enclave's X25519 key for encryption.
        rek: Option<PublicKey> = unless_empty "rek",
        /// The attestation.
        attestation: Option<Blob> = always "attestation",
    }
}

wire_struct! {
    /// What a node can do for a runtime.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Capabilities as "capabilities", at most TRANSACTION_BYTES_MAX, {
        /// Its trusted execution environment.
        tee: Option<CapabilityTee> = unless_empty "tee",
    }
}

wire_struct! {
    /// A version of a runtime that a node has.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NodeRuntime as "node runtime", at most TRANSACTION_BYTES_MAX, {
        /// The runtime.
        id: RuntimeId = always "id",
        /// The version.
        version: Version = always "version",
        /// What the node can do for it.
        capabilities: Capabilities = always "capabilities",
        /// What the runtime's own rules ask for.
        extra_info: Option<Blob> = always "extra_info",
    }
}

wire_struct! {
    /// A node.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Node as "node", at most TRANSACTION_BYTES_MAX, {
        /// Version of the descriptor.
        v: u16 = always "v",
        /// The node's key.
        id: PublicKey = always "id",
        /// Whose it is.
        entity_id: PublicKey = always "entity_id",
        /// The last epoch in which it is registered.
        expiration: Epoch = always "expiration",
        /// Its TLS certificate.
        tls: TlsInfo = always "tls",
        /// How it takes part in gossip.
        p2p: P2pInfo = always "p2p",
        /// How it takes part in consensus.
        consensus: ConsensusInfo = always "consensus",
        /// How it takes part in the beacon.
        vrf: VrfInfo = always "vrf",
        /// Which runtimes it has.
        runtimes: Option<Vec<NodeRuntime>> = always "runtimes",
        /// What it does, as bits.
        roles: u32 = always "roles",
        /// What it runs, for people.
        software_version: String = unless_empty "software_version",
    }
}

impl Node {
    /// The runtimes the node has, one item for each version.
    pub fn runtimes(&self) -> &[NodeRuntime] {
        self.runtimes.as_deref().unwrap_or_default()
    }

    /// Whether the node has a version of a runtime.
    pub fn has_runtime(&self, runtime: &RuntimeId) -> bool {
        self.runtimes().iter().any(|of| of.id == *runtime)
    }

    /// Whether the registration has run out at the begin of an epoch.
    pub fn is_expired(&self, epoch: Epoch) -> bool {
        self.expiration < epoch
    }

    /// Whether the node has a role of these.
    pub const fn has_role(&self, roles: u32) -> bool {
        self.roles & roles != 0
    }

    /// The keys beside the node's own, in the order of Oasis Core: consensus, VRF, TLS, P2P.
    pub const fn sub_keys(&self) -> [PublicKey; 4] {
        [
            self.consensus.id,
            self.vrf.id,
            self.tls.pub_key,
            self.p2p.id,
        ]
    }
}
