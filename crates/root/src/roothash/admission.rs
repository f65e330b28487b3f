//! What a commitment must be before it enters the pool: for the running round, from a member of
//! the committee, signed, and well-formed. Cheap checks come first, signatures last.
//!
//! Source: Oasis Core `roothash/api/commitment` (`VerifyExecutorCommitment`).

use std::collections::BTreeSet;

use trilith_protocol::root::RuntimeDescriptor;
use trilith_protocol::{
    BlockHeader, Committee, ExecutorCommitment, ExecutorCommitmentHeader, StorageReceipt, io,
};
use trilith_types::{Hash, RuntimeId};

use super::{Rejection, incoming};
use crate::Refusal;
use crate::overlay::Overlay;
use crate::state::OfRuntime;

/// What commitments of a runtime are checked against.
pub(crate) struct Running {
    pub(crate) chain: Hash,
    pub(crate) descriptor: RuntimeDescriptor,
    pub(crate) committee: Committee,
    pub(crate) last: BlockHeader,
    pub(crate) last_hash: Hash,
    /// How many incoming messages wait.
    pub(crate) waiting: u64,
}

impl Running {
    /// Reads what there is of a runtime, which must have a committee.
    pub(crate) fn load(
        overlay: &mut Overlay<'_>,
        chain: Hash,
        runtime: &RuntimeId,
    ) -> Result<Self, Refusal> {
        let descriptor = overlay
            .record(&OfRuntime::Descriptor.key(runtime))?
            .ok_or(Rejection::UnknownRuntime(*runtime))?;
        let committee = overlay
            .record(&OfRuntime::Committee.key(runtime))?
            .ok_or(Rejection::Suspended(*runtime))?;
        let last: BlockHeader = overlay.required(&OfRuntime::Block.key(runtime))?;
        let last_hash = last.hash();
        let waiting = incoming::len(overlay, runtime)?;
        Ok(Self {
            chain,
            descriptor,
            committee,
            last,
            last_hash,
            waiting,
        })
    }
}

/// Checks one commitment.
pub(crate) fn check(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
    position(running, commitment)?;
    form(running, commitment)?;
    messages(running, commitment)?;
    let (node, runtime) = (commitment.node_id, &running.descriptor.id);
    commitment
        .verify(runtime, &running.chain)
        .map_err(|error| Rejection::Signature { node, error })?;
    storage_receipts(running, commitment)
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
pub(super) fn fields(header: &ExecutorCommitmentHeader) -> Result<(), Rejection> {
    let results = &header.header;
    let hashes = [
        results.io_root,
        results.state_root,
        results.messages_hash,
        results.in_msgs_hash,
    ];
    let found = hashes.iter().flatten().count();
    let expected = match header.failure {
        Some(_) => 0,
        None => hashes.len(),
    };
    if found != expected {
        return Err(Rejection::Fields { found, expected });
    }
    let (count, len) = (results.in_msgs_count, 0);
    if header.failure.is_some() && count > 0 {
        return Err(Rejection::IncomingMessages { count, len });
    }
    if header.rak_signature.is_some() {
        return Err(Rejection::UnexpectedEnclave);
    }
    Ok(())
}

fn form(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
    let header = &commitment.header;
    fields(header)?;
    let failed = header.failure.is_some();
    if failed && commitment.node_id == header.scheduler_id {
        return Err(Rejection::SchedulerFailure(commitment.node_id));
    }
    // Whether the hash is of the oldest messages is seen where the round is finalised: the queue
    // only grows until then.
    let (count, len) = (header.header.in_msgs_count, running.waiting);
    let some = header
        .header
        .in_msgs_hash
        .is_some_and(|hash| !hash.is_empty());
    if u64::from(count) > len || some != (count > 0) {
        return Err(Rejection::IncomingMessages { count, len });
    }
    let (found, required) = (
        header.storage_signatures.len(),
        running.descriptor.storage_receipts_min,
    );
    if found > 0 && (required == 0 || failed) {
        let valid = 0;
        return Err(Rejection::StorageReceipts {
            found,
            valid,
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

/// Every receipt must be of another elected storage node, over exactly the round's roots.
fn storage_receipts(running: &Running, commitment: &ExecutorCommitment) -> Result<(), Rejection> {
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
        let elected = running.committee.storage.contains(&signature.node);
        let signed = elected && receipt.verify(signature, &running.chain).is_ok();
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
        });
    }
    Ok(())
}
