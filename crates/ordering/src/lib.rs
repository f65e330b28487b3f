//! The only adapter to the ordering engine, and the threshold signatures of validators.
//!
//! [`Ordering`] is what the rest of Trilith knows of consensus: transactions go in, blocks with an
//! agreed time come out, and once a block is executed its height's randomness becomes known. It is
//! a state machine without I/O; time is passed in. [`Solo`] is the engine of a network with one
//! validator.
//!
//! [`bls`] holds the threshold signatures; [`certifier`] decides what validators sign with them.
//!
//! This crate knows no runtime and no store. A validator's key shares never leave it.

pub mod bls;
pub mod certificate;
pub mod certifier;
pub mod solo;

pub use certificate::ConsensusCertificate;
pub use certifier::{LeafRequest, LeafSigner, ShareCollector};
pub use solo::{Solo, SoloStart};

use thiserror::Error;
use trilith_types::{Hash, Height, TimeNanos};

/// A block of root transactions, in agreed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedBlock {
    /// Its number: one more than that of the block before.
    pub height: Height,
    /// Its agreed time: later than that of the block before.
    pub time: TimeNanos,
    /// The transactions, in order.
    pub transactions: Vec<Vec<u8>>,
    /// Randomness of the height before, which nobody knew before that height was final; `None`
    /// where the height before has none.
    pub randomness: Option<[u8; 32]>,
}

/// No room for another transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderingFull {
    /// Too many transactions wait.
    #[error("{count} root transactions wait to be ordered, the limit is {limit}")]
    Count {
        /// How many wait.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many bytes wait.
    #[error("root transactions that wait would have {bytes} bytes, the limit is {limit}")]
    Bytes {
        /// How many there would be.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The transaction is too long.
    #[error("the root transaction has {len} bytes, the limit is {limit}")]
    TransactionBytes {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

/// Orders root transactions into blocks.
///
/// Contract: heights follow each other without gap and are never given twice, also across restarts
/// that continue from what was executed; times increase; the next block comes only after the last
/// one was reported as executed. What was submitted but not ordered is forgotten at a restart:
/// whoever submitted it submits it again.
pub trait Ordering: Send {
    /// Hands in a transaction. Handing in one that waits already changes nothing.
    ///
    /// # Errors
    /// [`OrderingFull`] if there is no room; nothing changes then.
    fn submit(&mut self, transaction: Vec<u8>) -> Result<(), OrderingFull>;

    /// Asks for a block at `at` even if there is no transaction. The earliest request counts until
    /// a block is cut.
    fn request_block(&mut self, at: TimeNanos);

    /// The next block, if there is one at `now`, this node's clock.
    fn next(&mut self, now: TimeNanos) -> Option<OrderedBlock>;

    /// When [`Ordering::next`] may have a block although nothing is submitted.
    fn wake(&self) -> Option<TimeNanos>;

    /// Reports that the block of `height`, the last one given, is executed and durable, and gave
    /// the root state `root`. Only from now on may its randomness and certificate be made.
    fn executed(&mut self, height: Height, root: Hash);

    /// The newest certificate over an executed root state.
    fn certificate(&self) -> Option<&ConsensusCertificate>;
}
