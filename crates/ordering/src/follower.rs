//! The ordering of a node that is no validator: it takes blocks that the validators have executed
//! and signed for, in order, and hands its own transactions to the validator.
//!
//! ```text
//! deliver(block):  refuse unless the group key verifies the certificate over the root state after it
//!                  keep it until the blocks before it are there
//! next:            the block after the last executed one, if it is there
//! executed(h, r):  certificate of h becomes the newest one
//! wanted(now):     own transactions that no block has shown yet, every [`REPEAT`], at most [`TRIES`]
//!                  times; missing blocks while there is a gap, and every [`POLL`] in case the newest
//!                  got lost; a block where one was requested for now
//! ```
//!
//! A certificate is over a root state, not over the bytes of a block. Whoever executes the block
//! compares the state that it gave with [`Ordering::expected`] before using it.
//!
//! Invariant: heights are given without gap, each once, and only with a certificate that verifies.

use std::collections::{BTreeMap, BTreeSet};

use trilith_params::root::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use trilith_proof::answer::root_state_statement;
use trilith_types::{Hash, Height, TimeNanos};

use crate::bls::{Domain, GroupKey};
use crate::{
    CertifiedBlock, ConsensusCertificate, DeliverError, OrderedBlock, Ordering, OrderingFull,
    Wanted,
};

/// After how many nanoseconds what was wanted is asked for again. Not a consensus number.
pub const REPEAT: u64 = 500_000_000;
/// After how many nanoseconds blocks are asked for although none is known to be missing. Not a
/// consensus number.
pub const POLL: u64 = 4 * REPEAT;
/// How often a transaction is handed to the validator. Not a consensus number.
const TRIES: u32 = 20;
/// How many heights above the last one a block is kept. Not a consensus number.
const AHEAD_MAX: u64 = 64;
/// Most own transactions that wait for a block: those of one. Not a consensus number.
const PENDING_MAX: usize = BLOCK_TRANSACTIONS_MAX;
/// Most bytes of them. Not a consensus number.
const PENDING_BYTES_MAX: usize = BLOCK_BYTES_MAX;

/// From where a node follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStart {
    /// The last height whose block was executed; 0 for a new node.
    pub height: Height,
}

/// An own transaction that no block has shown yet.
struct Pending {
    bytes: Vec<u8>,
    tries: u32,
    /// When it is to be handed over again.
    due: TimeNanos,
}

/// Ordering by others.
pub struct Follower {
    chain: Hash,
    group: GroupKey,
    height: Height,
    /// Whether the block of `height` is executed.
    executed: bool,
    /// Verified blocks above `height`.
    blocks: BTreeMap<Height, CertifiedBlock>,
    /// Certificate of the block given last.
    given: Option<ConsensusCertificate>,
    certificate: Option<ConsensusCertificate>,
    pending: BTreeMap<Hash, Pending>,
    pending_bytes: usize,
    requested: Option<TimeNanos>,
    /// When blocks may be asked for again.
    ask_again: TimeNanos,
    /// When a block may be requested of the validator again.
    request_again: TimeNanos,
    /// Whether later blocks are known of that are not kept, or may be: the node may have been away.
    behind: bool,
    /// When blocks are asked for although none is known to be missing.
    poll: TimeNanos,
}

impl Follower {
    /// Follows the network `chain`, whose validators sign under `group`, from `start` on.
    pub fn new(chain: Hash, group: GroupKey, start: FollowerStart) -> Self {
        Self {
            chain,
            group,
            height: start.height,
            executed: true,
            blocks: BTreeMap::new(),
            given: None,
            certificate: None,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            requested: None,
            ask_again: TimeNanos(0),
            request_again: TimeNanos(0),
            behind: true,
            poll: TimeNanos(0),
        }
    }

    fn forget_ordered(&mut self, block: &OrderedBlock) {
        let ordered: BTreeSet<Hash> = block
            .transactions
            .iter()
            .map(|bytes| Hash::of(bytes))
            .collect();
        for hash in ordered {
            if let Some(gone) = self.pending.remove(&hash) {
                self.pending_bytes -= gone.bytes.len();
            }
        }
    }

    fn due_transactions(&mut self, now: TimeNanos, wanted: &mut Vec<Wanted>) {
        let mut given_up = Vec::new();
        for (hash, pending) in &mut self.pending {
            // A clock that went back must not silence the node.
            let late = pending.due.0.saturating_sub(now.0) > REPEAT;
            if pending.due > now && !late {
                continue;
            }
            if pending.tries == TRIES {
                given_up.push(*hash);
                continue;
            }
            pending.tries += 1;
            pending.due = TimeNanos(now.0.saturating_add(REPEAT));
            wanted.push(Wanted::Order(pending.bytes.clone()));
        }
        for hash in given_up {
            if let Some(gone) = self.pending.remove(&hash) {
                self.pending_bytes -= gone.bytes.len();
            }
        }
    }
}

/// Whether something that may happen again at `at` may happen at `now`.
fn is_due(at: TimeNanos, now: TimeNanos) -> bool {
    at <= now || at.0 - now.0 > REPEAT
}

impl Ordering for Follower {
    fn submit(&mut self, transaction: Vec<u8>) -> Result<(), OrderingFull> {
        let (len, limit) = (transaction.len(), TRANSACTION_BYTES_MAX);
        if len > limit {
            return Err(OrderingFull::TransactionBytes { len, limit });
        }
        let hash = Hash::of(&transaction);
        if self.pending.contains_key(&hash) {
            return Ok(());
        }
        let (count, limit) = (self.pending.len(), PENDING_MAX);
        if count >= limit {
            return Err(OrderingFull::Count { count, limit });
        }
        let (bytes, limit) = (self.pending_bytes + len, PENDING_BYTES_MAX);
        if bytes > limit {
            return Err(OrderingFull::Bytes { bytes, limit });
        }
        self.pending_bytes = bytes;
        let pending = Pending {
            bytes: transaction,
            tries: 0,
            due: TimeNanos(0),
        };
        self.pending.insert(hash, pending);
        Ok(())
    }

    fn request_block(&mut self, at: TimeNanos) {
        self.requested = Some(self.requested.map_or(at, |earlier| earlier.min(at)));
    }

    fn next(&mut self, _: TimeNanos) -> Option<OrderedBlock> {
        if !self.executed {
            return None;
        }
        let CertifiedBlock { block, certificate } = self.blocks.remove(&self.height.next())?;
        self.height = block.height;
        self.executed = false;
        self.requested = None;
        self.given = Some(certificate);
        self.forget_ordered(&block);
        Some(block)
    }

    fn wake(&self) -> Option<TimeNanos> {
        let pending = self.pending.values().map(|pending| pending.due).min();
        let behind = (self.behind || !self.blocks.is_empty()).then_some(self.ask_again);
        let requested = self.requested.map(|at| at.max(self.request_again));
        [pending, behind, requested].into_iter().flatten().min()
    }

    fn executed(&mut self, height: Height, _: Hash) {
        if height == self.height && !self.executed {
            self.executed = true;
            self.certificate = self.given.take();
        }
    }

    fn certificate(&self) -> Option<&ConsensusCertificate> {
        self.certificate.as_ref()
    }

    fn expected(&self) -> Option<Hash> {
        self.given
            .as_ref()
            .map(|certificate| certificate.state_root)
    }

    fn deliver(&mut self, certified: CertifiedBlock) -> Result<(), DeliverError> {
        let height = certified.block.height;
        if height <= self.height || self.blocks.contains_key(&height) {
            return Ok(());
        }
        let certificate = &certified.certificate;
        if certificate.height != height {
            let certified = certificate.height;
            return Err(DeliverError::OtherHeight { height, certified });
        }
        if height.0 - self.height.0 > AHEAD_MAX {
            self.behind = true;
            let (last, limit) = (self.height, AHEAD_MAX);
            return Err(DeliverError::TooFarAhead {
                height,
                last,
                limit,
            });
        }
        let statement = root_state_statement(&self.chain, height, &certificate.state_root);
        let signature = &certificate.signature;
        if !self.group.verify(Domain::Consensus, &statement, signature) {
            return Err(DeliverError::Certificate(height));
        }
        self.behind = false;
        self.blocks.insert(height, certified);
        Ok(())
    }

    fn wanted(&mut self, now: TimeNanos) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        self.due_transactions(now, &mut wanted);
        let gap = self.executed && !self.blocks.is_empty();
        let poll = self.poll <= now || self.poll.0 - now.0 > POLL;
        if poll || ((gap || self.behind) && is_due(self.ask_again, now)) {
            self.behind = false;
            self.poll = TimeNanos(now.0.saturating_add(POLL));
            self.ask_again = TimeNanos(now.0.saturating_add(REPEAT));
            wanted.push(Wanted::Blocks(self.height.next()));
        }
        let requested = self.requested.is_some_and(|at| at <= now);
        if requested && is_due(self.request_again, now) {
            self.request_again = TimeNanos(now.0.saturating_add(REPEAT));
            wanted.push(Wanted::BlockAfter(self.height));
        }
        wanted
    }
}
