//! What an operator's interface holds of a node: the root's newest durable state, and a way to get
//! transactions of its own into it.
//!
//! ```text
//! submit ─ check ─> waiting ─ step ─> ordering ─> height executed ─ durable ─> receipt
//! ```
//!
//! It knows the root as a runtime among others, and what it answers as bytes. Invariants: what it
//! answers is of a durable height; nobody gets a receipt of a height that is not; what waits is
//! bounded in count and bytes, and so is what is remembered.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::{oneshot, watch};
use trilith_params::root::{
    BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, EVENTS_HEIGHT_MAX, EVENTS_KEPT, TRANSACTION_BYTES_MAX,
};
use trilith_protocol::root::ROOT_RUNTIME;
use trilith_protocol::{
    CheckContext, Input, QueryContext, QueryError, Receipt, Reject, RootEvent, RootGenesis, Runtime,
};
use trilith_store::View;
use trilith_types::{Hash, Height, Round, StateRead as _, TimeNanos};

use crate::Clock;

/// Most bytes of transactions' events that are remembered. Own choice: a thousand heights of 4 KiB.
const EVENTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most events that are read of one transaction.
const EVENTS_TRANSACTION_MAX: usize = EVENTS_HEIGHT_MAX;

/// A root transaction is in a durable height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootReceipt {
    /// The height.
    pub height: Height,
    /// What became of it there.
    pub receipt: Receipt,
}

/// Why a root transaction is not taken up. It has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RootSubmitError {
    /// The root refuses it.
    #[error(transparent)]
    Rejected(Reject),
    /// It is too large.
    #[error("the transaction has {len} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Too many wait already.
    #[error("{count} transactions with {bytes} bytes wait already; try again later")]
    Full {
        /// How many.
        count: usize,
        /// Their bytes.
        bytes: usize,
    },
}

/// A durable version of the root's state.
#[derive(Clone)]
pub struct RootTip {
    /// Its height.
    pub height: Height,
    /// The state.
    pub view: Arc<View>,
}

/// Who waits for the receipt of a transaction.
type Waiter = oneshot::Sender<RootReceipt>;

#[derive(Default)]
struct Intake {
    /// Transactions that no height has yet, in the order they came.
    waiting: Vec<Vec<u8>>,
    waiting_bytes: usize,
    waiters: BTreeMap<Hash, Vec<Waiter>>,
    /// Receipts of executed heights that are not durable yet.
    executed: Vec<RootReceipt>,
    recent: Recent,
    /// The node has stopped: nothing is taken any more.
    closed: bool,
}

/// What transactions of late heights caused.
#[derive(Default)]
struct Recent {
    by_height: BTreeMap<u64, Vec<RootEvent>>,
    /// By height, how many bytes count for it.
    sizes: BTreeMap<u64, usize>,
    bytes: usize,
    /// Events before this height were forgotten, or never known.
    since: u64,
}

impl Recent {
    fn add(&mut self, height: u64, output: &[u8]) {
        let Ok(events) = RootEvent::decode_list(output, EVENTS_TRANSACTION_MAX) else {
            return;
        };
        if events.is_empty() {
            return;
        }
        self.by_height.entry(height).or_default().extend(events);
        *self.sizes.entry(height).or_default() += output.len();
        self.bytes += output.len();
        while self.bytes > EVENTS_BYTES_MAX || self.sizes.len() as u64 > EVENTS_KEPT {
            let Some((oldest, size)) = self.sizes.pop_first() else {
                break;
            };
            self.by_height.remove(&oldest);
            self.bytes -= size;
            self.since = oldest + 1;
        }
    }
}

/// The node's side of the port.
pub(crate) struct RootPort {
    runtime: Arc<dyn Runtime>,
    genesis: RootGenesis,
    intake: Mutex<Intake>,
    tips: watch::Sender<RootTip>,
}

impl RootPort {
    /// A port of a root that is at `tip`, which is durable.
    pub(crate) fn new(runtime: Arc<dyn Runtime>, genesis: RootGenesis, tip: RootTip) -> Self {
        let mut intake = Intake::default();
        intake.recent.since = tip.height.0.saturating_add(1);
        let (tips, _) = watch::channel(tip);
        Self {
            runtime,
            genesis,
            intake: Mutex::new(intake),
            tips,
        }
    }

    /// A thread that panicked while holding the lock left the intake as it was between two calls.
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits, for a height.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        let mut intake = self.intake();
        intake.waiting_bytes = 0;
        std::mem::take(&mut intake.waiting)
    }

    /// Gives back what found no place, to be taken again.
    pub(crate) fn put_back(&self, transactions: Vec<Vec<u8>>) {
        let mut intake = self.intake();
        intake.waiting_bytes += transactions.iter().map(Vec::len).sum::<usize>();
        intake.waiting.splice(0..0, transactions);
    }

    /// Notes what became of transactions in a height that is not durable yet.
    pub(crate) fn executed(&self, height: Height, receipts: &[Receipt]) {
        let mut intake = self.intake();
        for receipt in receipts {
            intake.recent.add(height.0, &receipt.output);
            if intake.waiters.contains_key(&receipt.input) {
                let receipt = receipt.clone();
                intake.executed.push(RootReceipt { height, receipt });
            }
        }
    }

    /// The node stops: whoever waits gets no receipt.
    pub(crate) fn close(&self) {
        let mut intake = self.intake();
        intake.closed = true;
        intake.waiting.clear();
        intake.waiters.clear();
    }

    /// Everything up to this height is durable: it is what queries see, and who waits is answered.
    pub(crate) fn durable(&self, tip: RootTip) {
        self.tips.send_replace(tip);
        let mut intake = self.intake();
        for done in std::mem::take(&mut intake.executed) {
            let waiters = intake.waiters.remove(&done.receipt.input);
            for waiter in waiters.into_iter().flatten() {
                // A caller that has gone away needs no answer.
                let _gone = waiter.send(done.clone());
            }
        }
    }
}

/// The root of a node, for an operator's interface. Cheap to clone.
#[derive(Clone)]
pub struct RootHandle {
    pub(crate) port: Arc<RootPort>,
    pub(crate) wake: SyncSender<()>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl RootHandle {
    /// The document the network began with.
    pub fn genesis(&self) -> &RootGenesis {
        &self.port.genesis
    }

    /// The newest durable state.
    pub fn tip(&self) -> RootTip {
        self.port.tips.borrow().clone()
    }

    /// Changes with every durable height; closes when the node stops.
    pub fn tips(&self) -> watch::Receiver<RootTip> {
        self.port.tips.subscribe()
    }

    /// Asks a state.
    ///
    /// # Errors
    /// [`QueryError`] of the root.
    pub fn query(&self, tip: &RootTip, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        // The root's answers depend on its state alone.
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(tip.height.0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        self.port.runtime.query(&*tip.view, request, &context)
    }

    /// Checks a transaction on the newest durable state, on the caller's thread, and lets the node
    /// put it into a height. The receiver gets the receipt once that height is durable; it closes
    /// without one if the node stops first.
    ///
    /// A transaction that already waits is not added again; its receipt goes to every caller.
    ///
    /// # Errors
    /// [`RootSubmitError`]; the transaction has no effect then.
    pub fn submit(
        &self,
        transaction: Vec<u8>,
    ) -> Result<oneshot::Receiver<RootReceipt>, RootSubmitError> {
        let (len, limit) = (transaction.len(), TRANSACTION_BYTES_MAX);
        if len > limit {
            return Err(RootSubmitError::TooLarge { len, limit });
        }
        let context = CheckContext {
            runtime: ROOT_RUNTIME,
            now: self.clock.now(),
        };
        self.port
            .runtime
            .check(&*self.tip().view, &transaction, &context)
            .map_err(RootSubmitError::Rejected)?;
        let input = Input::new(transaction);
        let (id, transaction) = (input.hash(), input.into_bytes());
        let (sender, receiver) = oneshot::channel();
        {
            let mut intake = self.port.intake();
            if intake.closed {
                return Ok(receiver);
            }
            let is_new = !intake.waiters.contains_key(&id);
            if is_new {
                let (count, bytes) = (intake.waiters.len(), intake.waiting_bytes);
                if count >= BLOCK_TRANSACTIONS_MAX || bytes + len > BLOCK_BYTES_MAX {
                    return Err(RootSubmitError::Full { count, bytes });
                }
                intake.waiting_bytes += len;
                intake.waiting.push(transaction);
            }
            let waiters = intake.waiters.entry(id).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
        }
        match self.wake.try_send(()) {
            // A full channel means that the node is to look anyway; a closed one that it stopped.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
        Ok(receiver)
    }

    /// The height before which transactions' events are not remembered, and those of the heights
    /// from `since` to `until`, by height.
    pub fn transaction_events(
        &self,
        since: Height,
        until: Height,
    ) -> (Height, BTreeMap<u64, Vec<RootEvent>>) {
        let intake = self.port.intake();
        let recent = &intake.recent;
        let found = recent
            .by_height
            .range(since.0..)
            .take_while(|(height, _)| **height <= until.0)
            .map(|(height, events)| (*height, events.clone()));
        (Height(recent.since), found.collect())
    }

    /// Root of the newest durable state.
    pub fn state_root(&self) -> Hash {
        self.tip().view.root()
    }
}
