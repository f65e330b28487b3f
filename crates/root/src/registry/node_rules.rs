//! What a node's descriptor must be, by itself, beside what is registered, and beside the one
//! before.
//!
//! Source: Oasis Core `registry/api` (`VerifyRegisterNodeArgs`, `VerifyNodeUpdate`), `common`
//! (`IsProbablyGloballyReachable`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use trilith_params::root::SOFTWARE_VERSION_BYTES_MAX;
use trilith_protocol::root::registry::{
    KIND_KEY_MANAGER, NODE_VERSION, Node, NodeAddress, NodeRuntime, RegistryParameters, Runtime,
    TEE_NONE,
};
use trilith_protocol::root::{MultiSigned, NodeRoles};
use trilith_types::{Epoch, Hash, RuntimeId, SignatureContext};

use super::admission::ROLES;
use super::error::malformed;
use super::{NodeChange, NodeRule, RegistryError};
use crate::Refusal;
use crate::overlay::Overlay;

const RUNTIME_ROLES: u32 = NodeRoles::COMPUTE.bits()
    | NodeRoles::OBSERVER.bits()
    | NodeRoles::KEY_MANAGER.bits()
    | NodeRoles::STORAGE.bits();
/// Deviation from Oasis Core, where nodes of the storage role also have another one.
const COMPUTE_RUNTIME_ROLES: u32 =
    NodeRoles::COMPUTE.bits() | NodeRoles::OBSERVER.bits() | NodeRoles::STORAGE.bits();
const P2P_ROLES: u32 = NodeRoles::COMPUTE.bits()
    | NodeRoles::KEY_MANAGER.bits()
    | NodeRoles::VALIDATOR.bits()
    | NodeRoles::STORAGE.bits();

/// Keys of a node: its own, and those for consensus, beacon, TLS and gossip.
const KEYS: usize = 5;

/// Checks a multi-signed descriptor by itself.
pub(super) fn open(signed: &MultiSigned) -> Result<Node, RegistryError> {
    // Their count bounds the work that is done before anything else is known.
    let (found, expected) = (signed.signatures.len(), KEYS);
    if found > expected {
        return Err(NodeRule::Signatures { found, expected }.into());
    }
    // The context of descriptors carries no network.
    let raw = signed.open(SignatureContext::RegisterNode, &Hash::EMPTY)?;
    let node = Node::decode(raw).map_err(malformed("node"))?;
    if node.v != NODE_VERSION {
        return Err(RegistryError::Version {
            what: "node",
            found: node.v,
            expected: NODE_VERSION,
        });
    }
    let known = ROLES.iter().fold(0, |all, role| all | role);
    if node.roles == 0 || node.roles & !known != 0 {
        return Err(NodeRule::Roles(node.roles).into());
    }
    let (len, limit) = (node.software_version.len(), SOFTWARE_VERSION_BYTES_MAX);
    if len > limit {
        return Err(NodeRule::SoftwareVersion { len, limit }.into());
    }
    signers(signed, &node)?;
    Ok(node)
}

/// Each key signs once, and nobody else.
fn signers(signed: &MultiSigned, node: &Node) -> Result<(), NodeRule> {
    let sub_keys = node.sub_keys();
    let mut keys = BTreeSet::new();
    for key in sub_keys.iter().chain([&node.id]) {
        if !signed.is_signed_by(key) {
            return Err(NodeRule::NotSigned(*key));
        }
    }
    if let Some(twice) = sub_keys.iter().find(|key| !keys.insert(**key)) {
        return Err(NodeRule::KeyTwice(*twice));
    }
    // Oasis Core asks for this too, by counting the signers.
    if !keys.insert(node.id) {
        return Err(NodeRule::KeyTwice(node.id));
    }
    // All five keys have signed and differ, and there are no more signatures: each signed once.
    Ok(())
}

/// Checks a descriptor beside what is registered. Gives its runtimes.
pub(super) fn check(
    overlay: &mut Overlay<'_>,
    node: &Node,
    parameters: &RegistryParameters,
    epoch: Epoch,
) -> Result<BTreeMap<RuntimeId, Runtime>, Refusal> {
    let (entity, id) = (node.entity_id, node.id);
    let owner = overlay
        .entity(&entity)?
        .ok_or(RegistryError::NoSuchEntity(entity))?;
    if !owner.nodes.contains(&id) {
        return Err(RegistryError::NotListed { entity, node: id }.into());
    }
    let longest = parameters.max_node_expiration;
    let limit = Epoch(epoch.0.saturating_add(longest));
    if longest > 0 && node.expiration > limit {
        let expiration = node.expiration;
        return Err(RegistryError::TooLong { expiration, limit }.into());
    }
    let runtimes = runtimes(overlay, node)?;
    addresses(node, parameters).map_err(RegistryError::from)?;
    for key in node.sub_keys() {
        match overlay.node_of_sub_key(&key)? {
            Some(other) if other != id => {
                let rule = NodeRule::KeyOfOther { key, node: other };
                return Err(RegistryError::from(rule).into());
            }
            _ => {}
        }
    }
    Ok(runtimes)
}

fn runtimes(
    overlay: &mut Overlay<'_>,
    node: &Node,
) -> Result<BTreeMap<RuntimeId, Runtime>, Refusal> {
    if node.runtimes().is_empty() && node.has_role(RUNTIME_ROLES) {
        let rule = NodeRule::NoRuntime(node.roles & RUNTIME_ROLES);
        return Err(RegistryError::from(rule).into());
    }
    let mut versions = BTreeSet::new();
    let mut runtimes = BTreeMap::new();
    for of_node in node.runtimes() {
        let id = of_node.id;
        if !versions.insert((id, of_node.version)) {
            return Err(RegistryError::from(NodeRule::VersionTwice(id)).into());
        }
        let (runtime, _) = overlay
            .any_runtime(&id)?
            .ok_or(RegistryError::NoSuchRuntime(id))?;
        enclave(of_node, &runtime)?;
        let allowed = if runtime.kind == KIND_KEY_MANAGER {
            NodeRoles::KEY_MANAGER.bits()
        } else {
            COMPUTE_RUNTIME_ROLES
        };
        if !node.has_role(allowed) {
            return Err(RegistryError::from(NodeRule::RuntimeKind(id)).into());
        }
        runtimes.insert(id, runtime);
    }
    Ok(runtimes)
}

/// The hardware must be that of the runtime. Attestations cannot be verified yet.
fn enclave(of_node: &NodeRuntime, runtime: &Runtime) -> Result<(), RegistryError> {
    let tee = of_node.capabilities.tee.as_ref();
    let found = tee.map_or(TEE_NONE, |tee| tee.hardware);
    let (id, needed) = (runtime.id, runtime.tee_hardware);
    if found != needed {
        return Err(RegistryError::HardwareMismatch {
            runtime: id,
            needed,
            found,
        });
    }
    // A test key manager's nodes say their keys without hardware that could vouch for them.
    let plain = needed == TEE_NONE && runtime.kind == KIND_KEY_MANAGER;
    if tee.is_none_or(|tee| plain && tee.attestation.is_none()) {
        return Ok(());
    }
    let mut deployments = runtime.deployments.iter();
    if deployments.any(|deployment| deployment.version == of_node.version) {
        Err(RegistryError::Attestation(id))
    } else {
        Err(NodeRule::UnknownVersion(id).into())
    }
}

fn addresses(node: &Node, parameters: &RegistryParameters) -> Result<(), NodeRule> {
    let consensus = node.consensus.addresses.as_deref().unwrap_or_default();
    let p2p = node.p2p.addresses.as_deref().unwrap_or_default();
    let needed = [
        (
            "consensus",
            NodeRoles::VALIDATOR.bits(),
            consensus.is_empty(),
        ),
        ("P2P", P2P_ROLES, p2p.is_empty()),
    ];
    for (what, of_roles, missing) in needed {
        let roles = node.roles & of_roles;
        if missing && roles != 0 {
            return Err(NodeRule::NoAddress { roles, what });
        }
    }
    if parameters.debug_allow_unroutable_addresses {
        return Ok(());
    }
    let all = consensus.iter().map(|of| &of.address).chain(p2p);
    let mut unroutable = all.filter(|address| !is_routable(address));
    match unroutable.next() {
        Some(address) => Err(NodeRule::Unroutable(address.ip.0.len())),
        None => Ok(()),
    }
}

fn is_routable(address: &NodeAddress) -> bool {
    let bytes = address.ip.0.as_slice();
    let ip = if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        IpAddr::V4(bytes.into())
    } else if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
        // Go keeps addresses of 4 bytes in 16.
        Ipv6Addr::from(bytes).to_canonical()
    } else {
        return false;
    };
    match ip {
        IpAddr::V4(ip) => is_routable_v4(ip),
        IpAddr::V6(ip) => is_routable_v6(ip),
    }
}

/// Address ranges that are not for everyone: the first address, and how many bits count.
const RESERVED_V4: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast.
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

fn is_routable_v4(ip: Ipv4Addr) -> bool {
    let bits = ip.to_bits();
    RESERVED_V4.iter().all(|(first, count)| {
        let first = u32::from_be_bytes(*first);
        (bits ^ first)
            .checked_shr(32 - count)
            .unwrap_or(bits ^ first)
            != 0
    })
}

/// As [`RESERVED_V4`], by the first four groups.
const RESERVED_V6: [([u16; 4], u32); 8] = [
    ([0x64, 0xff9b, 1, 0], 48),
    ([0x100, 0, 0, 0], 64),
    ([0x2001, 2, 0, 0], 48),
    ([0x2001, 0xdb8, 0, 0], 32),
    ([0x2001, 0, 0, 0], 23),
    ([0xfc00, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0], 10),
    // Multicast.
    ([0xff00, 0, 0, 0], 8),
];

fn is_routable_v6(ip: Ipv6Addr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return false;
    }
    let high = (ip.to_bits() >> 64) as u64;
    RESERVED_V6.iter().all(|(first, count)| {
        let first = first
            .iter()
            .fold(0u64, |bits, group| (bits << 16) | u64::from(*group));
        (high ^ first) >> (64 - count) != 0
    })
}

/// Checks a descriptor beside the one that is registered.
pub(super) fn check_update(
    overlay: &mut Overlay<'_>,
    old: &Node,
    new: &Node,
    epoch: Epoch,
) -> Result<(), Refusal> {
    let refused = |change| Err(RegistryError::from(change).into());
    if old.entity_id != new.entity_id {
        return refused(NodeChange::Entity);
    }
    if old.consensus.id != new.consensus.id {
        return refused(NodeChange::ConsensusKey);
    }
    // The rest is only for nodes whose registration has not run out.
    if old.is_expired(epoch) {
        return Ok(());
    }
    for of_old in old.runtimes() {
        if !new.has_runtime(&of_old.id) {
            return refused(NodeChange::Runtimes);
        }
        let same = |of: &&NodeRuntime| of.id == of_old.id && of.version == of_old.version;
        match new.runtimes().iter().find(same) {
            Some(of_new) => {
                let hardware = |of: &NodeRuntime| of.capabilities.tee.as_ref().map(|t| t.hardware);
                if hardware(of_old) != hardware(of_new) {
                    return refused(NodeChange::Hardware);
                }
            }
            None => {
                if still_runs(overlay, of_old, epoch)? {
                    return refused(NodeChange::Runtimes);
                }
            }
        }
    }
    if !new.has_role(old.roles) {
        return refused(NodeChange::Roles);
    }
    Ok(())
}

/// Whether a version runs, or will.
fn still_runs(
    overlay: &mut Overlay<'_>,
    of_node: &NodeRuntime,
    epoch: Epoch,
) -> Result<bool, Refusal> {
    let Some((runtime, _)) = overlay.any_runtime(&of_node.id)? else {
        return Ok(true);
    };
    let Some(active) = runtime.active_deployment(epoch) else {
        return Ok(false);
    };
    let mut deployments = runtime.deployments.iter();
    let known = deployments.any(|deployment| deployment.version == of_node.version);
    Ok(of_node.version >= active.version && known)
}
