//! One runtime on this node: cutting batches, executing rounds, committing, holding states for
//! others, applying what the root finalised, publishing.
//!
//! ```text
//! advance:  tell the others of new transactions
//!           repeat: follow   take up what the root did; apply outcomes it finalised, from what this
//!                            node executed or holds, else by executing, else ask for the batch
//!                   work     one step of the round that runs, by role:
//!                            primary    propose when its rank's turn has come; execute the best
//!                                       proposal; have storage nodes hold it; commit
//!                            backup     the same for a disputed proposal
//! take:     a message: proposal, state to hold, receipt, batch, signature
//! ```
//!
//! Beside the step that is due there is no order between the parts: each looks at what is known and
//! does what follows from it, so that lost and reordered messages only delay.

mod exchange;
mod execute;
mod finish;
mod running;
mod schedule;
mod storage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use trilith_params::host::INPUT_BYTES_MAX;
use trilith_protocol::root::RuntimeDescriptor;
use trilith_protocol::{BlockHeader, Receipt, RoundLimits, Runtime};
use trilith_store::{Store, View};
use trilith_types::{Hash, NodeId, Round, RuntimeId, TimeNanos};

use self::finish::Publication;
use self::running::{Backlog, Left, Owed, Running};
use crate::handle::{Intake, Shared};
use crate::ledger::Ledger;
use crate::net::Message;
use crate::signed::{Certified, Slot, slot};
use crate::{Clock, NodeError, Pool, PoolLimits, Snapshot};

/// After how many nanoseconds what got no answer is sent or asked for again. Not a consensus
/// number.
const REPEAT: u64 = 500_000_000;
/// How often a node of a network looks at a round that is under way, in nanoseconds, if no message
/// arrives. Not a consensus number.
const TICK: u64 = 50_000_000;

/// The newest state that this node has applied.
struct Head {
    round: Round,
    time: TimeNanos,
    view: Arc<View>,
}

/// One runtime's worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    id: RuntimeId,
    limits: RoundLimits,
    /// How long the scheduler of one rank is waited for, in nanoseconds.
    propose_timeout: u64,
    /// How many storage nodes must sign before a commitment.
    receipts_min: usize,
    /// After a fault: not before this time.
    retry: Option<TimeNanos>,
    running: Running,
    owed: Backlog,
    head: Head,
    /// Messages about a round or height that this node has not reached.
    early: VecDeque<(NodeId, Message)>,
    /// Identities of transactions by the hash of their bytes, where others may execute them.
    names: BTreeMap<Hash, Hash>,
    /// Receipts that are final and not delivered yet.
    answers: Vec<(Hash, Round, Receipt)>,
    /// A state that waits for the validators' signature.
    publication: Option<Box<Publication>>,
    /// Somebody asked for a round.
    asked: bool,
    /// When waiting transactions were told to the others last.
    told: TimeNanos,
    /// Whether the last advance applied something, so that there may be more to do at once.
    moved: bool,
    /// Rounds kept for nodes that lag, with the bytes of their records.
    kept: VecDeque<(Round, usize)>,
}

impl Worker {
    /// Restores the worker from the store: finalises what the root finalised, and publishes the
    /// newest state.
    pub(crate) fn open(
        ledger: &mut Ledger,
        runtime: Arc<dyn Runtime>,
        descriptor: &RuntimeDescriptor,
        pool: PoolLimits,
    ) -> Result<Self, NodeError> {
        let id = descriptor.id;
        let store = ledger.host.store().clone();
        let block = ledger.root()?.latest_block(&id)?;
        ledger.watch(id, block.round);
        ledger
            .certifier
            .finalized(id, block.round, block.state_root);
        let owed = backlog(ledger, &store, &id, &block)?;
        let current = store.current(id);
        let finished = current.map_or(Round(0), |(round, _)| Round(round));
        let view = ledger
            .host
            .view(id, current.map_or(block.state_root, |(_, root)| root))?;
        let certified = certified(&store, &id, finished, &block)?;
        let snapshot = Snapshot {
            runtime: id,
            round: finished,
            time: certified.time,
            view: view.clone(),
            evidence: None,
            attested: certified.attested,
        };
        let limits = descriptor.round_limits();
        let networked = ledger.net.is_some();
        let intake = Intake {
            pool: Pool::new(pool),
            in_flight: BTreeSet::new(),
            waiters: BTreeMap::new(),
            fresh: networked.then(Vec::new),
        };
        let shared = Arc::new(Shared {
            id,
            runtime,
            transaction_bytes_max: limits.batch_bytes_max.min(INPUT_BYTES_MAX as u64),
            intake: Mutex::new(intake),
            snapshots: watch::channel(Arc::new(snapshot)).0,
            // A first round gives a new or restarted network a fresh, certified state.
            refresh: AtomicBool::new(true),
            busy: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
        });
        Ok(Self {
            shared,
            id,
            limits,
            propose_timeout: descriptor.txn_scheduler.propose_batch_timeout_ms * 1_000_000,
            receipts_min: descriptor.storage_receipts_min as usize,
            retry: None,
            running: Running::after(ledger, block)?,
            owed,
            head: Head {
                round: finished,
                time: certified.time,
                view,
            },
            early: VecDeque::new(),
            names: BTreeMap::new(),
            answers: Vec::new(),
            publication: None,
            asked: false,
            told: TimeNanos(0),
            moved: false,
            kept: VecDeque::new(),
        })
    }

    /// Does what is due; begins or continues at most one proposal of its own. Gives how many rounds
    /// were applied.
    ///
    /// # Errors
    /// [`NodeError`] if the node cannot go on. A fault of execution is not one: the node abstains
    /// and tries again later.
    pub(crate) fn advance(
        &mut self,
        ledger: &mut Ledger,
        clock: &dyn Clock,
    ) -> Result<u64, NodeError> {
        self.tell(ledger, clock.now());
        let mut applied = 0;
        let mut began = false;
        loop {
            applied += self.follow(ledger, clock.now())?;
            if !self.work(ledger, clock.now(), &mut began)? {
                break;
            }
        }
        self.moved = applied > 0;
        Ok(applied)
    }

    /// Takes up what the root did since the last look. Gives how many outcomes were applied.
    fn follow(&mut self, ledger: &mut Ledger, now: TimeNanos) -> Result<u64, NodeError> {
        for block in ledger.take_blocks(&self.id) {
            self.ended(ledger, block)?;
        }
        if ledger.net.is_some() {
            self.running.status = ledger.root()?.running_round(&self.id)?;
            self.take_early(ledger, now)?;
        }
        let mut applied = 0;
        while self.settle_owed(ledger, now)? {
            applied += 1;
        }
        self.ask_for_leaf(ledger, now);
        Ok(applied)
    }

    /// The root ended the running round with `block`.
    fn ended(&mut self, ledger: &Ledger, block: BlockHeader) -> Result<(), NodeError> {
        let next = Running::after(ledger, block.clone())?;
        let running = std::mem::replace(&mut self.running, next);
        self.retry = None;
        match running.end(block) {
            Left::Outcome(owed) => self.owed.push_back(*owed),
            Left::Nothing(batch) => {
                if let Some(batch) = batch {
                    tracing::warn!(round = %self.running.block.round, "the root did not finalise the round");
                    self.put_back(batch);
                }
            }
        }
        Ok(())
    }

    /// When a step is due if nothing happens.
    pub(crate) fn wake(
        &self,
        ledger: &Ledger,
        now: TimeNanos,
    ) -> Result<Option<TimeNanos>, NodeError> {
        if ledger.net.is_some() {
            if self.moved {
                return Ok(Some(TimeNanos(0)));
            }
            let under_way = self.running.since.is_some()
                || !self.owed.is_empty()
                || self.publication.is_some()
                || self.shared.refresh.load(Memory::Acquire)
                || !self.shared.intake().pool.is_empty();
            if under_way {
                return Ok(Some(TimeNanos(now.0.saturating_add(TICK))));
            }
            return self.demand();
        }
        let waiting = self.running.own.is_some() || !self.shared.intake().pool.is_empty();
        match (self.retry, waiting) {
            (Some(at), _) => Ok(Some(at)),
            (None, true) => Ok(Some(TimeNanos(0))),
            (None, false) => self.demand(),
        }
    }
}

/// What the root finalised and the store does not have as current. On the only node of a network
/// that can be the last round alone, whose candidate is there.
fn backlog(
    ledger: &Ledger,
    store: &Arc<Store>,
    id: &RuntimeId,
    block: &BlockHeader,
) -> Result<Backlog, NodeError> {
    let mut owed = Backlog::new();
    if ledger.net.is_some() {
        let applied = store.current(*id).map_or(0, |(round, _)| round);
        for round in applied + 1..=block.round.0 {
            if let Some(header) = ledger.header(id, Round(round))? {
                owed.push_back(Owed::restored(ledger, header)?);
            }
        }
        return Ok(owed);
    }
    let state_root = block.state_root;
    if store.current(*id).map(|(_, root)| root) != Some(state_root)
        && let Some((round, root)) = store
            .candidates(*id)
            .into_iter()
            .filter(|(_, root)| *root == state_root)
            .max()
    {
        store.finalise(*id, round, root)?;
    }
    Ok(owed)
}

/// How the newest finished round ended. If a restart came before its end was signed, it has no
/// certificate, and its time is that of its batch; `block` dates the state of a new network.
fn certified(
    store: &Store,
    runtime: &RuntimeId,
    finished: Round,
    block: &BlockHeader,
) -> Result<Certified, NodeError> {
    if let Some(bytes) = store.signed(&slot(runtime, finished, Slot::Certified)) {
        return Certified::decode(&bytes).map_err(|error| NodeError::Damaged {
            what: "certified round",
            reason: error.to_string(),
        });
    }
    let time = match finish::time_of(store, runtime, finished)? {
        Some(time) => time,
        None => TimeNanos(block.timestamp * 1_000_000_000),
    };
    Ok(Certified {
        time,
        attested: None,
    })
}
