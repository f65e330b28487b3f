//! What a gateway asks of a node.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_protocol::QueryError;
use trilith_types::{ImageId, Round};

pub use trilith_node::SubmitError;

/// A future that a port hands out.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A node, as a gateway sees it. Dropping a future abandons the wait, not what was begun.
pub trait NodePort: Send + Sync + 'static {
    /// The newest finalised state, renewed first if it is older than a slot and a round can be had
    /// at once. Also tells the node that somebody looks, so that slots go on for a while although
    /// nothing happens in them.
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>>;

    /// The newest finalised state as it is.
    fn current(&self) -> Arc<dyn StateView>;

    /// Checks a transaction and brings it into the pool. May take as long as checking a signature
    /// does. Does not wait for a round.
    ///
    /// # Errors
    /// [`SubmitError`]; the transaction has no effect then.
    fn submit(&self, transaction: Vec<u8>) -> Result<(), SubmitError>;

    /// The newest finalised round. The value changes with every such round; the sender is gone when
    /// the node stops.
    fn rounds(&self) -> watch::Receiver<Round>;

    /// Tells the node that somebody waits for slots to go on.
    fn look(&self);

    /// Whether the node serves requests from a current state.
    fn is_healthy(&self) -> bool;
}

/// One finalised state of the account runtime.
pub trait StateView: Send + Sync {
    /// Its round.
    fn round(&self) -> Round;

    /// Asks the engine about this state.
    ///
    /// # Errors
    /// [`QueryError`] of the engine.
    fn ask(&self, question: &Question) -> Result<Answer, QueryError>;

    /// What proves the value of a key in this state, or its absence; `None` where this node has no
    /// certificate of the state.
    ///
    /// # Errors
    /// [`QueryError`] if the state cannot be read.
    fn prove(&self, key: &[u8]) -> Result<Option<Proof>, QueryError>;

    /// What proves the length and the root of an image in this state, likewise.
    ///
    /// # Errors
    /// [`QueryError`] if the state cannot be read.
    fn prove_image(&self, image: &ImageId) -> Result<Option<Proof>, QueryError>;

    /// Where the chain is in this state; asked once for all who hold the view.
    ///
    /// # Errors
    /// [`QueryError`] of the engine.
    fn chain(&self) -> Result<Arc<Chain>, QueryError>;
}

/// What proves the value of a key up to the validators' certificate, in the forms of the crate
/// that verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The key.
    pub key: Vec<u8>,
    /// Encoded proof from the runtime's state root to the key.
    pub value_proof: Vec<u8>,
    /// Encoded proof from the root state to the header of the runtime's block.
    pub header_proof: Vec<u8>,
    /// The height after whose execution the root state stood.
    pub height: u64,
    /// Root of the root state.
    pub root_state: [u8; 32],
    /// The validators' signature over it.
    pub signature: Vec<u8>,
}
