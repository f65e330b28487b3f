//! What a gateway holds of a node: one runtime's pool, newest state and signing of answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::{oneshot, watch};
use trilith_protocol::{CheckContext, QueryError, Receipt, Reject, Runtime};
use trilith_types::{Hash, NodeId, Round, RuntimeId, SecretKey, Signature, TimeNanos};

use crate::{Clock, Pool, PoolError, Snapshot};

/// A transaction is in a finalised, durable round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The round.
    pub round: Round,
    /// What became of it there.
    pub receipt: Receipt,
}

/// Why a transaction was not taken up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The runtime refuses it. It has no effect.
    #[error(transparent)]
    Rejected(Reject),
    /// The pool takes no more. It has no effect.
    #[error(transparent)]
    Pool(PoolError),
    /// It is larger than an input of a batch, or the whole batch, may be.
    #[error("the transaction has {len} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Who waits for the receipt of a transaction.
pub(crate) type Waiter = oneshot::Sender<Submitted>;

/// The part of a runtime's worker that others touch while a round runs.
pub(crate) struct Shared {
    pub(crate) id: RuntimeId,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) transaction_bytes_max: u64,
    pub(crate) intake: Mutex<Intake>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// Someone asked for a newer state than there is.
    pub(crate) refresh: AtomicBool,
    /// A round is being executed.
    pub(crate) busy: AtomicBool,
    /// The last round failed on this node.
    pub(crate) faulty: AtomicBool,
}

/// What waits for a batch, and who waits for receipts.
pub(crate) struct Intake {
    pub(crate) pool: Pool,
    /// Transactions of the batch that is being executed.
    pub(crate) in_flight: BTreeSet<Hash>,
    pub(crate) waiters: BTreeMap<Hash, Vec<Waiter>>,
    /// Identities of transactions that came through this node and that other nodes are to know;
    /// `None` where there are no others.
    pub(crate) fresh: Option<Vec<Hash>>,
}

impl Shared {
    /// A thread that panicked while holding the lock left the pool as it was between two calls.
    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One runtime of a node, for gateways. Cheap to clone.
#[derive(Clone)]
pub struct RuntimeHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) wake: SyncSender<()>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SecretKey,
}

impl RuntimeHandle {
    /// Checks a transaction on the newest state (on the caller's thread: signatures take time) and
    /// puts it into the pool. The receiver gets the receipt once a round that contains the
    /// transaction is finalised and durable; it closes without one if the node stops first.
    ///
    /// A transaction that already waits is not added again; its receipt goes to every caller.
    ///
    /// # Errors
    /// [`SubmitError`]; the transaction has no effect then.
    pub fn submit(
        &self,
        transaction: Vec<u8>,
    ) -> Result<oneshot::Receiver<Submitted>, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        self.take(transaction, Some(sender))?;
        Ok(receiver)
    }

    /// Does as [`RuntimeHandle::submit`] for a caller who learns from the state what became of the
    /// transaction, so that nobody has to be remembered for it.
    ///
    /// # Errors
    /// As of [`RuntimeHandle::submit`].
    pub fn offer(&self, transaction: Vec<u8>) -> Result<(), SubmitError> {
        self.take(transaction, None)
    }

    fn take(&self, transaction: Vec<u8>, waiter: Option<Waiter>) -> Result<(), SubmitError> {
        let (len, limit) = (transaction.len(), self.shared.transaction_bytes_max);
        if len as u64 > limit {
            return Err(SubmitError::TooLarge { len, limit });
        }
        let snapshot = self.snapshot();
        let context = CheckContext {
            runtime: self.shared.id,
            now: self.clock.now(),
        };
        let admission = self
            .shared
            .runtime
            .check(&*snapshot.view, &transaction, &context)
            .map_err(SubmitError::Rejected)?;
        let id = admission.id;
        {
            let mut intake = self.shared.intake();
            if !intake.in_flight.contains(&id) {
                match intake.pool.insert(transaction, admission) {
                    Ok(()) => {
                        if let Some(fresh) = &mut intake.fresh {
                            fresh.push(id);
                        }
                    }
                    Err(PoolError::Duplicate(_)) => {}
                    Err(error) => return Err(SubmitError::Pool(error)),
                }
            }
            if let Some(waiter) = waiter {
                let waiters = intake.waiters.entry(id).or_default();
                waiters.retain(|waiter| !waiter.is_closed());
                waiters.push(waiter);
            }
        }
        self.wake();
        Ok(())
    }

    /// Asks the runtime about `snapshot`.
    ///
    /// # Errors
    /// [`QueryError`] of the runtime.
    pub fn query(&self, snapshot: &Snapshot, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        let context = snapshot.query_context(self.clock.now());
        self.shared
            .runtime
            .query(&*snapshot.view, request, &context)
    }

    /// The newest state that is finalised, durable and certified.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshots.borrow().clone()
    }

    /// Changes with every new snapshot; closes when the node stops.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.subscribe()
    }

    /// Asks for a round even if nothing waits, so that a newer state will be published. Gives
    /// whether one is to be expected at once: not while a longer round is being executed.
    pub fn refresh(&self) -> bool {
        self.shared.refresh.store(true, Memory::Release);
        self.wake();
        !self.shared.busy.load(Memory::Acquire) && self.is_healthy()
    }

    /// Whether the last round succeeded on this node.
    pub fn is_healthy(&self) -> bool {
        !self.shared.faulty.load(Memory::Acquire)
    }

    /// How many transactions wait in the pool.
    pub fn waiting(&self) -> usize {
        self.shared.intake().pool.len()
    }

    /// Signs exactly `bytes`, which bring their own domain separation, with the node's key.
    pub fn sign_response(&self, bytes: &[u8]) -> (NodeId, Signature) {
        (self.key.public(), self.key.sign_raw(bytes))
    }

    /// The present, as this node knows it.
    pub fn now(&self) -> TimeNanos {
        self.clock.now()
    }

    fn wake(&self) {
        match self.wake.try_send(()) {
            // A full channel means that the node is to look anyway; a closed one that it stopped.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}
