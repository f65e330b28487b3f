//! The only adapter to the ordering engine, and the threshold signatures of validators.
//!
//! [`Ordering`] is what the rest of Trilith knows of consensus: transactions go in, blocks with an
//! agreed time come out, and once a block is executed its height's randomness becomes known. It is
//! a state machine without I/O; time is passed in. [`Solo`] is the engine of a network with one
//! validator, [`Follower`] what every other node of such a network runs.
//!
//! [`bls`] holds the threshold signatures; [`certifier`] decides what validators sign with them.
//!
//! This crate knows no runtime and no store. A validator's key shares never leave it.

pub mod bls;
pub mod certificate;
pub mod certifier;
pub mod follower;
pub mod solo;

pub use certificate::ConsensusCertificate;
pub use certifier::{LeafRequest, LeafSigner, ShareCollector};
pub use follower::{Follower, FollowerStart};
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

/// A block that the validators have executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBlock {
    /// The block.
    pub block: OrderedBlock,
    /// What the validators sign for after it.
    pub certificate: ConsensusCertificate,
}

/// Why a block from another node is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeliverError {
    /// The certificate is for another height.
    #[error("the certificate is for height {certified}, the block has height {height}")]
    OtherHeight {
        /// Height of the block.
        height: Height,
        /// Height of the certificate.
        certified: Height,
    },
    /// The certificate is not the validators'.
    #[error("the certificate of height {0} does not verify")]
    Certificate(Height),
    /// The block lies too far ahead to be kept until the ones before it are there.
    #[error("block {height} lies more than {limit} heights above the last one, {last}")]
    TooFarAhead {
        /// Height of the block.
        height: Height,
        /// The last height.
        last: Height,
        /// The limit.
        limit: u64,
    },
}

/// What a node that does not order blocks itself wants of the validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To order this transaction.
    Order(Vec<u8>),
    /// The blocks from this height on.
    Blocks(Height),
    /// A block after this height, although there may be no transaction.
    BlockAfter(Height),
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

    /// The root state that the block given last must lead to, if the validators have signed for it
    /// already.
    fn expected(&self) -> Option<Hash> {
        None
    }

    /// Signs for an earlier height whose block was executed, is durable and gave `root`. `None` if
    /// this node is no validator.
    fn certify(&self, _height: Height, _root: Hash) -> Option<ConsensusCertificate> {
        None
    }

    /// Takes a block that another node sent. One that is known already changes nothing.
    ///
    /// # Errors
    /// [`DeliverError`]; nothing changes then.
    fn deliver(&mut self, _block: CertifiedBlock) -> Result<(), DeliverError> {
        Ok(())
    }

    /// What this node wants of the validator at `now`; some of it again after a while, because
    /// messages get lost.
    fn wanted(&mut self, _now: TimeNanos) -> Vec<Wanted> {
        Vec::new()
    }
}
