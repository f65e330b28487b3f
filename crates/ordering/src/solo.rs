//! The ordering of a network with one validator.
//!
//! ```text
//! next(now):      if the last block is not executed: nothing
//!                 if nothing waits and no request is due: nothing
//!                 block (last height + 1, max(now, last time + 1), what waits up to the limits)
//! executed(h, r): sign the randomness of h and the certificate of (h, r)
//! ```
//!
//! The one validator's word is final, so a height is final when its block was executed and made
//! durable, and only then is its randomness made. Since threshold signatures are unique, a restart
//! makes the same randomness again.

use std::collections::{BTreeSet, VecDeque};

use trilith_params::root::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use trilith_proof::answer::root_state_statement;
use trilith_types::{Hash, Height, TimeNanos};

use crate::bls::{Domain, GroupKey, KeyShare};
use crate::{ConsensusCertificate, OrderedBlock, Ordering, OrderingFull};

/// Most transactions that wait to be ordered: those of eight full blocks. Not a consensus number.
const PENDING_MAX: usize = 8 * BLOCK_TRANSACTIONS_MAX;
/// Most bytes of them. Not a consensus number.
const PENDING_BYTES_MAX: usize = 8 * BLOCK_BYTES_MAX;

/// From where ordering goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoloStart {
    /// The last height whose block was executed; 0 for a new network.
    pub height: Height,
    /// The agreed time of that height.
    pub time: TimeNanos,
    /// The root state after that height.
    pub state_root: Hash,
}

/// Ordering by one validator.
pub struct Solo {
    chain: Hash,
    group: GroupKey,
    shares: Vec<KeyShare>,
    height: Height,
    time: TimeNanos,
    /// Whether the block of `height` is executed.
    executed: bool,
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
    known: BTreeSet<Hash>,
    requested: Option<TimeNanos>,
    /// Nanoseconds between two blocks.
    interval: u64,
    /// When the last block was cut, on this node's clock.
    cut: Option<TimeNanos>,
    randomness: Option<[u8; 32]>,
    certificate: Option<ConsensusCertificate>,
}

impl Solo {
    /// Ordering of the network `chain` that goes on after `start`, with the consensus key `group`
    /// and enough of its shares to sign.
    pub fn new(chain: Hash, group: GroupKey, shares: Vec<KeyShare>, start: SoloStart) -> Self {
        // Checked once here: what they sign needs no check then.
        let shares = shares.into_iter().filter(|share| group.holds(share));
        let shares = shares.collect();
        let mut solo = Self {
            chain,
            group,
            shares,
            height: start.height,
            time: start.time,
            executed: true,
            pending: VecDeque::new(),
            pending_bytes: 0,
            known: BTreeSet::new(),
            requested: None,
            interval: 0,
            cut: None,
            randomness: None,
            certificate: None,
        };
        solo.sign(start.state_root);
        solo
    }

    /// Leaves at least `interval` nanoseconds between two blocks, so that timeouts that count
    /// heights leave other nodes some time. Without it a block is cut whenever something waits.
    #[must_use]
    pub fn with_interval(mut self, interval: u64) -> Self {
        self.interval = interval;
        self
    }

    /// When the next block may be cut. A clock that went back does not make it later.
    fn earliest(&self, now: TimeNanos) -> TimeNanos {
        match self.cut {
            Some(cut) if cut <= now => TimeNanos(cut.0.saturating_add(self.interval)),
            _ => now,
        }
    }

    fn sign(&mut self, state_root: Hash) {
        let message = [self.chain.as_bytes(), &self.height.0.to_be_bytes()[..]].concat();
        self.randomness = self
            .signature(Domain::Randomness, &message)
            .map(|signature| *Hash::of(&signature).as_bytes());
        self.certificate = self.certify(self.height, state_root);
    }

    /// `None` if the shares this validator holds are too few or not the group's.
    fn signature(&self, domain: Domain, message: &[u8]) -> Option<[u8; 48]> {
        let shares = self.shares.iter().take(self.group.required() as usize);
        let shares: Vec<_> = shares
            .map(|share| share.sign_own(domain, message))
            .collect();
        self.group.recover(&shares).ok()
    }

    fn cut(&mut self) -> Vec<Vec<u8>> {
        let mut transactions = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.pending.front() {
            bytes += next.len();
            if transactions.len() == BLOCK_TRANSACTIONS_MAX || bytes > BLOCK_BYTES_MAX {
                break;
            }
            self.known.remove(&Hash::of(next));
            self.pending_bytes -= next.len();
            transactions.extend(self.pending.pop_front());
        }
        transactions
    }
}

impl Ordering for Solo {
    fn submit(&mut self, transaction: Vec<u8>) -> Result<(), OrderingFull> {
        let (len, limit) = (transaction.len(), TRANSACTION_BYTES_MAX);
        if len > limit {
            return Err(OrderingFull::TransactionBytes { len, limit });
        }
        let hash = Hash::of(&transaction);
        if self.known.contains(&hash) {
            return Ok(());
        }
        let count = self.pending.len();
        if count >= PENDING_MAX {
            return Err(OrderingFull::Count {
                count,
                limit: PENDING_MAX,
            });
        }
        let (bytes, limit) = (self.pending_bytes + len, PENDING_BYTES_MAX);
        if bytes > limit {
            return Err(OrderingFull::Bytes { bytes, limit });
        }
        self.pending_bytes = bytes;
        self.known.insert(hash);
        self.pending.push_back(transaction);
        Ok(())
    }

    fn request_block(&mut self, at: TimeNanos) {
        self.requested = Some(self.requested.map_or(at, |earlier| earlier.min(at)));
    }

    fn next(&mut self, now: TimeNanos) -> Option<OrderedBlock> {
        let due = self.requested.is_some_and(|at| at <= now);
        if !self.executed || (self.pending.is_empty() && !due) || now < self.earliest(now) {
            return None;
        }
        self.cut = Some(now);
        self.height = self.height.next();
        self.time = now.max(TimeNanos(self.time.0.saturating_add(1)));
        self.executed = false;
        self.requested = None;
        let transactions = self.cut();
        let randomness = self.randomness;
        Some(OrderedBlock {
            height: self.height,
            time: self.time,
            transactions,
            randomness,
        })
    }

    fn wake(&self) -> Option<TimeNanos> {
        if !self.executed {
            return None;
        }
        let waiting = !self.pending.is_empty();
        let earliest = self
            .cut
            .map(|cut| TimeNanos(cut.0.saturating_add(self.interval)));
        let at_once = waiting.then_some(TimeNanos(0));
        let at = self.requested.into_iter().chain(at_once).min()?;
        Some(earliest.map_or(at, |earliest| at.max(earliest)))
    }

    fn executed(&mut self, height: Height, root: Hash) {
        if height == self.height && !self.executed {
            self.executed = true;
            self.sign(root);
        }
    }

    fn certificate(&self) -> Option<&ConsensusCertificate> {
        self.certificate.as_ref()
    }

    fn certify(&self, height: Height, state_root: Hash) -> Option<ConsensusCertificate> {
        let message = root_state_statement(&self.chain, height, &state_root);
        let signature = self.signature(Domain::Consensus, &message)?;
        Some(ConsensusCertificate {
            height,
            state_root,
            signature,
        })
    }
}
