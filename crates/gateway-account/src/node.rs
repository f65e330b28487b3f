//! A [`NodePort`] over the handle of a running node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_node::{Answer as NodeAnswer, NodeError, RuntimeHandle, Snapshot};
use trilith_protocol::{Fault, QueryError};
use trilith_types::{ImageId, Round};

use crate::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};

/// A state older than this is renewed before it is read: the length of a slot, so that slots,
/// heights and the age of blockhashes follow the present although nothing happens.
const STATE_AGE_MAX: Duration = Duration::from_millis(400);

/// Longest wait for the renewal; the older state is read then.
const RENEWAL_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long slots go on after somebody looked last. A network that nobody uses is at rest and its
/// log does not grow.
const ATTENTION: Duration = Duration::from_secs(30);

/// How often it is looked whether a slot is over.
const TICK: Duration = Duration::from_millis(100);

/// The account runtime of a node, as the gateway's port.
pub struct AccountPort {
    inner: Arc<Inner>,
    rounds: watch::Receiver<Round>,
}

struct Inner {
    handle: RuntimeHandle,
    /// Until when somebody is taken to look, nanoseconds of the node's clock.
    attention: AtomicU64,
    view: Mutex<Arc<View>>,
}

/// One snapshot, with what is asked of it again and again.
struct View {
    handle: RuntimeHandle,
    snapshot: Arc<Snapshot>,
    chain: OnceLock<Arc<Chain>>,
}

impl AccountPort {
    /// A port over `handle`. Must be called within a tokio runtime, on which two tasks follow the
    /// node until it stops or the port is dropped, and a third has the engine read its indexes.
    pub fn new(handle: RuntimeHandle) -> Self {
        let mut snapshots = handle.snapshots();
        let (sender, rounds) = watch::channel(handle.snapshot().round);
        tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let round = snapshots.borrow_and_update().round;
                sender.send_replace(round);
            }
        });
        let view = Mutex::new(View::new(&handle));
        let inner = Arc::new(Inner {
            handle,
            attention: AtomicU64::new(0),
            view,
        });
        tokio::spawn(go_on(Arc::downgrade(&inner), rounds.clone()));
        let first = inner.view();
        tokio::task::spawn_blocking(move || prepare(&first));
        Self { inner, rounds }
    }
}

/// Has the engine read its indexes, which takes seconds where there are many accounts, before
/// somebody waits for an answer from them.
fn prepare(view: &View) {
    let signatures = Vec::new();
    if let Err(error) = view.ask(&Question::Statuses { signatures }) {
        // Before the first round there is nothing to read.
        tracing::debug!(%error, "the indexes are not read ahead");
    }
}

/// Asks for a round in every slot while somebody looks.
async fn go_on(inner: std::sync::Weak<Inner>, rounds: watch::Receiver<Round>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The sender of rounds is gone when the node has stopped.
    while rounds.has_changed().is_ok() {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let now = inner.handle.now().0;
        if now < inner.attention.load(Ordering::Relaxed) && is_old(&inner.handle) {
            inner.handle.refresh();
        }
    }
}

fn is_old(handle: &RuntimeHandle) -> bool {
    let age = handle.now().0.saturating_sub(handle.snapshot().time.0);
    u128::from(age) >= STATE_AGE_MAX.as_nanos()
}

impl Inner {
    /// The view of the newest snapshot; the same one while the snapshot is.
    fn view(&self) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&view.snapshot, &self.handle.snapshot()) {
            *view = View::new(&self.handle);
        }
        view.clone()
    }

    fn look(&self) {
        let until = self.handle.now().0 + ATTENTION.as_nanos() as u64;
        self.attention.store(until, Ordering::Relaxed);
    }
}

impl View {
    fn new(handle: &RuntimeHandle) -> Arc<Self> {
        Arc::new(Self {
            handle: handle.clone(),
            snapshot: handle.snapshot(),
            chain: OnceLock::new(),
        })
    }
}

impl StateView for View {
    fn round(&self) -> Round {
        self.snapshot.round
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        let answer = self.handle.query(&self.snapshot, &question.encode())?;
        Answer::decode(&answer).map_err(|error| Fault(error.to_string()).into())
    }

    fn prove(&self, key: &[u8]) -> Result<Option<Proof>, QueryError> {
        proof(self.snapshot.answer(key))
    }

    fn prove_image(&self, image: &ImageId) -> Result<Option<Proof>, QueryError> {
        proof(self.snapshot.image_answer(image))
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        if let Some(chain) = self.chain.get() {
            return Ok(chain.clone());
        }
        match self.ask(&Question::Chain)? {
            Answer::Chain(chain) => Ok(self.chain.get_or_init(|| chain.into()).clone()),
            _ => Err(Fault("the engine answered another question".into()).into()),
        }
    }
}

fn proof(answer: Result<Option<NodeAnswer>, NodeError>) -> Result<Option<Proof>, QueryError> {
    let answer = answer.map_err(|error| Fault(error.to_string()))?;
    Ok(answer.map(|answer| Proof {
        key: answer.key,
        value_proof: answer.value_proof,
        header_proof: answer.header_proof,
        height: answer.height.0,
        root_state: *answer.root_state.as_bytes(),
        signature: answer.signature.to_vec(),
    }))
}

impl NodePort for AccountPort {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            inner.look();
            if is_old(&inner.handle) {
                let mut snapshots = inner.handle.snapshots();
                snapshots.borrow_and_update();
                if inner.handle.refresh() {
                    // Whether it timed out or the node stopped: what is newest then is read.
                    let _elapsed =
                        tokio::time::timeout(RENEWAL_WAIT_MAX, snapshots.changed()).await;
                }
            }
            inner.view() as Arc<dyn StateView>
        })
    }

    fn current(&self) -> Arc<dyn StateView> {
        self.inner.view()
    }

    fn submit(&self, transaction: Vec<u8>) -> Result<(), SubmitError> {
        self.inner.look();
        self.inner.handle.offer(transaction)
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        self.rounds.clone()
    }

    fn look(&self) {
        self.inner.look();
    }

    fn is_healthy(&self) -> bool {
        self.inner.handle.is_healthy() && self.inner.handle.snapshot().evidence.is_some()
    }
}
