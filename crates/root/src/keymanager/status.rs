//! How a key manager stands in the next epoch, given what its nodes' enclaves say.
//!
//! Source: Oasis Core `apps/keymanager/secrets/status.go` (`generateStatus`).

use trilith_params::root::{KEY_MANAGER_NODES_MAX, SECRET_REPLICATION_MIN};
use trilith_protocol::root::keymanager::{
    EncryptedMasterSecret, InitResponse, SignedInitResponse, Status,
};
use trilith_protocol::root::registry::{Node, NodeRuntime, Runtime, TEE_NONE};
use trilith_protocol::root::{Blob, NodeRoles};
use trilith_types::{Epoch, NodeId, PublicKey};

/// A node and what its enclaves say, one for each version of the key manager that it has.
pub(super) type Candidate = (NodeId, Vec<InitResponse>);

/// What a node's enclaves say of a key manager; `None` if the node is none of the key manager's, or
/// if one of them says nothing that can be believed.
pub(super) fn responses(node: &Node, runtime: &Runtime, epoch: Epoch) -> Option<Vec<InitResponse>> {
    if node.is_expired(epoch) || !node.has_role(NodeRoles::KEY_MANAGER.bits()) {
        return None;
    }
    let of_runtime = node.runtimes().iter().filter(|of| of.id == runtime.id);
    let responses: Vec<InitResponse> = of_runtime
        .map(|of| response(of, runtime))
        .collect::<Option<_>>()?;
    (!responses.is_empty()).then_some(responses)
}

fn response(of_node: &NodeRuntime, runtime: &Runtime) -> Option<InitResponse> {
    let tee = of_node.capabilities.tee.as_ref();
    let hardware = tee.map_or(TEE_NONE, |tee| tee.hardware);
    let tee = tee.filter(|_| hardware == runtime.tee_hardware)?;
    let signed = SignedInitResponse::decode(&of_node.extra_info.as_ref()?.0).ok()?;
    signed.verify(&tee.rak).ok()?;
    Some(signed.init_response)
}

/// What is agreed on while nodes are looked at, one after the other.
struct Agreed {
    is_initialized: bool,
    is_secure: bool,
    rsk: Option<PublicKey>,
    next_rsk: Option<PublicKey>,
}

/// What all nodes must match.
struct Expected<'a> {
    policy_checksum: &'a [u8],
    checksum: &'a [u8],
    next_checksum: &'a [u8],
}

/// The status in an epoch that begins. `proposed` is the newest proposed master secret.
pub(super) fn next_status(
    old: &Status,
    proposed: Option<&EncryptedMasterSecret>,
    candidates: &[Candidate],
    epoch: Epoch,
) -> Status {
    let mut status = Status {
        policy: old.next_policy.as_ref().or(old.policy.as_ref()).cloned(),
        next_policy: None,
        nodes: None,
        rsk: None,
        ..old.clone()
    };
    let generation = status.next_generation();
    let next_checksum = proposed
        .filter(|secret| secret.generation == generation && secret.epoch == epoch)
        .map(|secret| secret.secret.checksum.0.clone());
    let policy_checksum = status.policy.as_ref().map(|policy| policy.checksum());
    let expected = Expected {
        policy_checksum: policy_checksum.as_ref().map_or(&[], <[u8; 32]>::as_slice),
        checksum: old.checksum(),
        next_checksum: next_checksum.as_deref().unwrap_or_default(),
    };
    let mut nodes = Vec::new();
    let mut replicated = Vec::new();
    let mut agreed = Agreed {
        is_initialized: old.is_initialized,
        is_secure: old.is_secure,
        rsk: None,
        next_rsk: None,
    };
    for (node, responses) in candidates {
        if nodes.len() == KEY_MANAGER_NODES_MAX {
            break;
        }
        let Some((with_node, has_next)) = admit(&agreed, &expected, responses) else {
            continue;
        };
        let next_rsk = agreed.next_rsk;
        agreed = with_node;
        if has_next {
            replicated.push(*node);
        } else {
            agreed.next_rsk = next_rsk;
        }
        nodes.push(*node);
    }
    status.is_initialized = agreed.is_initialized;
    status.is_secure = agreed.is_secure;
    status.rsk = agreed.rsk;
    let enough = replicated.len() as u64 * 100 >= nodes.len() as u64 * SECRET_REPLICATION_MIN;
    if let Some(checksum) = next_checksum.filter(|_| enough && !nodes.is_empty()) {
        status.generation = generation;
        status.rotation_epoch = epoch;
        status.checksum = Some(Blob(checksum));
        status.rsk = agreed.next_rsk;
        nodes = replicated;
    }
    status.nodes = (!nodes.is_empty()).then_some(nodes);
    status
}

/// Looks at one node. Gives what is agreed on with it, and whether it has the proposed master
/// secret; `None` if it is left out. The first node says what is not agreed on yet.
fn admit(
    before: &Agreed,
    expected: &Expected<'_>,
    responses: &[InitResponse],
) -> Option<(Agreed, bool)> {
    let mut agreed = Agreed { ..*before };
    let mut has_next = true;
    for response in responses {
        if response.policy_checksum() != expected.policy_checksum {
            return None;
        }
        if !agreed.is_initialized {
            agreed.is_initialized = true;
            agreed.is_secure = response.is_secure;
        }
        if response.is_secure != agreed.is_secure || response.checksum() != expected.checksum {
            return None;
        }
        agreed.rsk = agreed.rsk.or(response.rsk);
        if response.rsk.is_some() && response.rsk != agreed.rsk {
            return None;
        }
        has_next &= response.next_checksum.0 == expected.next_checksum;
        agreed.next_rsk = agreed.next_rsk.or(response.next_rsk);
        has_next &= response.next_rsk.is_none() || response.next_rsk == agreed.next_rsk;
    }
    Some((agreed, has_next))
}
