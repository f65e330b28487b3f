//! What a gateway asks of a node.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;
use tokio::sync::watch;
use trilith_protocol::{QueryError, Receipt, Reject};
use trilith_types::{NodeId, Round, Signature, TimeNanos};

/// A future that a port hands out.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A node, as a gateway sees it. Dropping a future abandons the wait, not what was begun.
pub trait NodePort: Send + Sync + 'static {
    /// Brings a transaction into the runtime's state, and waits until a round that contains it is
    /// finalised and durable. The same transaction may be submitted again: it is applied once.
    fn submit(&self, transaction: Vec<u8>) -> BoxFuture<Result<Submitted, SubmitError>>;

    /// Asks the runtime about its newest certified state.
    fn query(&self, request: Vec<u8>) -> BoxFuture<Result<Vec<u8>, QueryError>>;

    /// Asks the runtime about its newest certified state as it stands, on the caller's thread: for
    /// questions that take microseconds.
    ///
    /// # Errors
    /// [`QueryError`] of the runtime.
    fn query_now(&self, request: &[u8]) -> Result<Vec<u8>, QueryError>;

    /// Whether the newest certified state is young enough for reads. If not, [`NodePort::query`]
    /// renews it first.
    fn is_fresh(&self) -> bool;

    /// The newest round whose state is certified. The value changes with every such round.
    fn certified_rounds(&self) -> watch::Receiver<Round>;

    /// Signs `bytes`, which bring their own domain separation, with the node's key.
    fn sign_response(&self, bytes: &[u8]) -> (NodeId, Signature);

    /// The present, as this node knows it.
    fn now(&self) -> TimeNanos;

    /// How the node is.
    fn status(&self) -> NodeStatus;
}

/// A transaction is in a finalised, durable round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The round.
    pub round: Round,
    /// What became of it there.
    pub receipt: Receipt,
}

/// Why a transaction is not known to be in a round.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The runtime refuses it. It has no effect.
    #[error(transparent)]
    Rejected(Reject),
    /// The pool takes no more. It has no effect.
    #[error("the pool has {held} {unit}, its limit is {limit}")]
    PoolFull {
        /// What waits, with what was submitted.
        held: u64,
        /// Most that may wait.
        limit: u64,
        /// What is counted: transactions or bytes.
        unit: &'static str,
    },
    /// The pool takes no more of this sender. It has no effect.
    #[error(
        "this sender has {waiting} transactions waiting, the limit is {limit}; try again when some of them are done"
    )]
    SenderFull {
        /// Transactions of the sender that wait.
        waiting: u64,
        /// Most of one sender that may wait.
        limit: u64,
    },
    /// The node gave up waiting, or is shutting down. It may still come into a round.
    #[error("the transaction was not taken up: {0}")]
    NotAccepted(String),
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// DER encoding of the key under which certificates verify.
    pub root_key_der: Vec<u8>,
    /// Whether the node serves requests from a current state.
    pub healthy: bool,
    /// The newest certified round.
    pub round: Round,
}
