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

#[cfg(test)]
mod tests {
    use trilith_protocol::root::keymanager::{PolicySgx, SignedPolicySgx};
    use trilith_types::RuntimeId;

    use super::*;

    const EPOCH: Epoch = Epoch(10);
    const CHECKSUM: [u8; 5] = [1, 2, 3, 4, 5];

    fn policy() -> SignedPolicySgx {
        let policy = PolicySgx {
            serial: 1,
            id: RuntimeId::from_bytes([0; 32]),
            enclaves: None,
            master_secret_rotation_interval: 0,
            max_ephemeral_secret_age: 0,
        };
        SignedPolicySgx {
            policy,
            signatures: None,
        }
    }

    fn initialized() -> Status {
        Status {
            is_initialized: true,
            is_secure: true,
            checksum: Some(Blob(CHECKSUM.to_vec())),
            ..uninitialized()
        }
    }

    fn uninitialized() -> Status {
        Status {
            policy: Some(policy()),
            ..Status::new(RuntimeId::test(1))
        }
    }

    fn says(is_secure: bool, checksum: Option<&[u8]>) -> InitResponse {
        InitResponse {
            is_secure,
            checksum: checksum.map(|checksum| Blob(checksum.to_vec())),
            policy_checksum: Some(Blob(policy().checksum().to_vec())),
            ..InitResponse::default()
        }
    }

    fn node(number: u8) -> NodeId {
        PublicKey::from_bytes([number; 32])
    }

    /// Nodes 5 to 9 of Oasis Core `apps/keymanager/secrets/status_test.go`,
    /// `TestGenerateStatus`, as what their enclaves say: insecure, secure, secure with the
    /// checksum.
    fn published() -> Vec<Candidate> {
        let insecure = says(false, None);
        let secure = says(true, None);
        let newest = says(true, Some(&CHECKSUM));
        vec![
            (
                node(5),
                vec![
                    insecure.clone(),
                    secure.clone(),
                    newest.clone(),
                    newest.clone(),
                ],
            ),
            (node(6), vec![insecure]),
            (node(7), vec![secure]),
            (node(8), vec![newest.clone(), newest.clone()]),
            (node(9), vec![newest.clone(), newest]),
        ]
    }

    fn nodes_of(status: &Status, candidates: &[Candidate]) -> (bool, bool, Vec<NodeId>) {
        let next = next_status(status, None, candidates, EPOCH);
        assert_eq!(next.checksum(), status.checksum());
        (next.is_initialized, next.is_secure, next.nodes().to_vec())
    }

    /// Cases: Oasis Core `apps/keymanager/secrets/status_test.go`, `TestGenerateStatus`.
    #[test]
    fn nodes_are_found_as_published() {
        let all = published();
        // Nobody: nothing changes.
        assert_eq!(
            next_status(&uninitialized(), None, &all[..1], EPOCH),
            uninitialized()
        );
        assert_eq!(
            next_status(&initialized(), None, &all[..1], EPOCH),
            initialized()
        );
        // The first node says whether the key manager is secure.
        let found = nodes_of(&uninitialized(), &all[1..2]);
        assert_eq!(found, (true, false, vec![node(6)]));
        let found = nodes_of(&initialized(), &all[1..2]);
        assert_eq!(found, (true, true, vec![]));
        let found = nodes_of(&uninitialized(), &all);
        assert_eq!(found, (true, false, vec![node(6)]));
        let reversed: Vec<Candidate> = all.iter().rev().cloned().collect();
        let found = nodes_of(&uninitialized(), &reversed);
        assert_eq!(found, (true, true, vec![node(7)]));
        let found = nodes_of(&initialized(), &all);
        assert_eq!(found, (true, true, vec![node(8), node(9)]));
    }

    fn proposed(generation: u64, epoch: Epoch) -> EncryptedMasterSecret {
        EncryptedMasterSecret {
            id: RuntimeId::test(1),
            generation,
            epoch,
            secret: trilith_protocol::root::keymanager::EncryptedSecret {
                checksum: Blob(vec![9; 32]),
                pub_key: node(0),
                ciphertexts: [].into(),
            },
        }
    }

    #[test]
    fn a_secret_is_accepted_from_66_percent_on() {
        let has = InitResponse {
            next_checksum: Blob(vec![9; 32]),
            next_rsk: Some(node(77)),
            ..says(true, Some(&CHECKSUM))
        };
        let has_not = says(true, Some(&CHECKSUM));
        // How many have it, how many have not, and whether it is accepted.
        let cases = [
            (2, 1, true),
            (1, 1, false),
            (33, 17, true),
            (65, 35, false),
            (66, 34, true),
            (1, 0, true),
            (0, 3, false),
        ];
        for (with, without, accepted) in cases {
            let says = |number: u8| if number < with { &has } else { &has_not };
            let candidates: Vec<Candidate> = (0..with + without)
                .map(|number| (node(number), vec![says(number).clone()]))
                .collect();
            let secret = proposed(1, EPOCH);
            let next = next_status(&initialized(), Some(&secret), &candidates, EPOCH);
            assert_eq!(
                next.generation == 1,
                accepted,
                "{with} of {}",
                with + without
            );
            let count = if accepted { with } else { with + without };
            assert_eq!(next.nodes().len(), usize::from(count));
            assert_eq!(next.rsk, accepted.then_some(node(77)));
            // Not one of another epoch, and not of another generation.
            for secret in [
                proposed(1, Epoch(9)),
                proposed(2, EPOCH),
                proposed(0, EPOCH),
            ] {
                let next = next_status(&initialized(), Some(&secret), &candidates, EPOCH);
                assert_eq!((next.generation, next.checksum()), (0, &CHECKSUM[..]));
            }
        }
    }

    #[test]
    fn a_node_that_derives_another_key_does_not_have_the_secret() {
        let has = |key: u8| InitResponse {
            next_checksum: Blob(vec![9; 32]),
            next_rsk: Some(node(key)),
            ..says(true, Some(&CHECKSUM))
        };
        let candidates = [(node(1), vec![has(77)]), (node(2), vec![has(78)])];
        let secret = proposed(1, EPOCH);
        let next = next_status(&initialized(), Some(&secret), &candidates, EPOCH);
        // One of two.
        assert_eq!((next.generation, next.nodes().len()), (0, 2));
        let more = [&candidates[..], &[(node(3), vec![has(77)])]].concat();
        let next = next_status(&initialized(), Some(&secret), &more, EPOCH);
        assert_eq!((next.generation, next.rsk), (1, Some(node(77))));
        assert_eq!(next.nodes(), [node(1), node(3)]);
    }

    #[test]
    fn a_committee_is_bounded() {
        let candidates: Vec<Candidate> = (0..KEY_MANAGER_NODES_MAX as u64 + 5)
            .map(|number| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&number.to_be_bytes());
                let says = says(true, Some(&CHECKSUM));
                (PublicKey::from_bytes(id), vec![says])
            })
            .collect();
        let next = next_status(&initialized(), None, &candidates, EPOCH);
        assert_eq!(next.nodes().len(), KEY_MANAGER_NODES_MAX);
    }
}
