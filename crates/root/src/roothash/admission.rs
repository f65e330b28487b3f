//! What a commitment must be before it enters the pool: for the running round, from a member of
//! the committee, signed, and well-formed. Cheap checks come first, signatures last.
//!
//! Source: Oasis Core `roothash/api/commitment` (`VerifyExecutorCommitment`).

use std::collections::BTreeSet;

use trilith_protocol::root::{NodeRoles, RuntimeDescriptor};
use trilith_protocol::{BlockHeader, Committee, ExecutorCommitment, StorageReceipt, io};
use trilith_types::{Hash, NodeId, StateFault};

use super::Rejection;
use crate::Refusal;

/// What commitments of a runtime are checked against.
pub(crate) struct Running {
    pub(crate) chain: Hash,
    pub(crate) descriptor: RuntimeDescriptor,
    pub(crate) committee: Committee,
    pub(crate) last: BlockHeader,
    pub(crate) last_hash: Hash,
}

/// Checks one commitment. `roles` gives the roles of a node the root knows.
pub(crate) fn check(
    running: &Running,
    commitment: &ExecutorCommitment,
    roles: &mut dyn FnMut(&NodeId) -> Result<Option<NodeRoles>, StateFault>,
) -> Result<(), Refusal> {
    position(running, commitment)?;
    form(running, commitment)?;
    messages(running, commitment)?;
    let (node, runtime) = (commitment.node_id, &running.descriptor.id);
    commitment
        .verify(runtime, &running.chain)
        .map_err(|error| Rejection::Signature { node, error })?;
    storage_receipts(running, commitment, roles)
}

/// Round, parent, membership.
fn position(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
    let header = &commitment.header.header;
    let expected = running.last.round.next();
    if header.round != expected {
        return Err(Rejection::WrongRound {
            found: header.round,
            expected,
        });
    }
    if header.previous_hash != running.last_hash {
        let (found, expected) = (header.previous_hash, running.last_hash);
        return Err(Rejection::WrongParent { found, expected });
    }
    if !running.committee.has(&commitment.node_id) {
        return Err(Rejection::NotMember(commitment.node_id));
    }
    let scheduler = commitment.header.scheduler_id;
    if !running.committee.workers.contains(&scheduler) {
        return Err(Rejection::NotScheduler(scheduler));
    }
    Ok(())
}

/// Which fields an outcome and a failure have.
fn form(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
    let header = &commitment.header.header;
    let hashes = [
        header.io_root,
        header.state_root,
        header.messages_hash,
        header.in_msgs_hash,
    ];
    let found = hashes.iter().flatten().count();
    let failed = commitment.header.failure.is_some();
    let expected = if failed { 0 } else { hashes.len() };
    if found != expected {
        return Err(Rejection::Fields { found, expected });
    }
    if failed && commitment.node_id == commitment.header.scheduler_id {
        return Err(Rejection::SchedulerFailure(commitment.node_id));
    }
    // The root has no incoming messages yet, so no outcome can have taken one up.
    let none = header.in_msgs_hash.is_none_or(|hash| hash.is_empty()) && header.in_msgs_count == 0;
    if !none {
        return Err(Rejection::IncomingMessages {
            count: header.in_msgs_count,
        });
    }
    if commitment.header.rak_signature.is_some() {
        return Err(Rejection::UnexpectedEnclave);
    }
    let (found, required) = (
        commitment.header.storage_signatures.len(),
        running.descriptor.storage_receipts_min,
    );
    let may_have = if required == 0 || failed {
        0
    } else {
        usize::MAX
    };
    if found > may_have {
        return Err(Rejection::StorageReceipts {
            found,
            valid: 0,
            required,
        });
    }
    Ok(())
}

fn messages(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
    let count = commitment.messages.len();
    if commitment.node_id != commitment.header.scheduler_id {
        if count == 0 {
            return Ok(());
        }
        return Err(Rejection::MessagesNotOfScheduler {
            node: commitment.node_id,
            count,
        });
    }
    let limit = running.descriptor.executor.max_messages;
    if count > limit as usize {
        return Err(Rejection::TooManyMessages { count, limit });
    }
    let payloads: Vec<&[u8]> = commitment
        .messages
        .iter()
        .map(|message| &message[..])
        .collect();
    let found = io::messages_hash(&payloads);
    match commitment.header.header.messages_hash {
        Some(expected) if expected != found => Err(Rejection::MessagesHash { found, expected }),
        _ => Ok(()),
    }
}

fn storage_receipts(
    running: &Running,
    commitment: &ExecutorCommitment,
    roles: &mut dyn FnMut(&NodeId) -> Result<Option<NodeRoles>, StateFault>,
) -> Result<(), Refusal> {
    let required = running.descriptor.storage_receipts_min;
    let header = &commitment.header.header;
    let (Some(io_root), Some(state_root)) = (header.io_root, header.state_root) else {
        return Ok(());
    };
    let receipt = StorageReceipt {
        namespace: running.descriptor.id,
        round: header.round,
        roots: vec![io_root, state_root],
    };
    let signatures = &commitment.header.storage_signatures;
    let mut signers = BTreeSet::new();
    for signature in signatures {
        let holds = roles(&signature.node)?.is_some_and(|roles| roles.has(NodeRoles::STORAGE));
        let signed = holds && receipt.verify(signature, &running.chain).is_ok();
        if !signed || !signers.insert(signature.node) {
            break;
        }
    }
    let (found, valid) = (signatures.len(), signers.len());
    if valid < found || (valid as u64) < u64::from(required) {
        return Err(Rejection::StorageReceipts {
            found,
            valid,
            required,
        }
        .into());
    }
    Ok(())
}
