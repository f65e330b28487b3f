//! Why commitments are refused. The numbers are never reused; gaps stay gaps.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_types::{Hash, NodeId, Round, RuntimeId};

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "root";

/// Why a transaction is refused. It has no effect then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The bytes are no transaction.
    #[error("the transaction cannot be decoded: {0}")]
    Malformed(String),
    /// There is no such runtime.
    #[error("there is no runtime {0}")]
    UnknownRuntime(RuntimeId),
    /// The runtime has no committee.
    #[error("runtime {0} is suspended: it has no committee in this epoch")]
    Suspended(RuntimeId),
    /// The transaction delivers nothing.
    #[error("the transaction has 0 commitments, it must have at least 1")]
    Empty,
    /// The commitment is for another round than the running one.
    #[error("the commitment is for round {found}, the running round is {expected}")]
    WrongRound {
        /// The commitment's round.
        found: Round,
        /// The running round.
        expected: Round,
    },
    /// The commitment builds on another block than the newest.
    #[error("the commitment builds on block {found}, the newest block is {expected}")]
    WrongParent {
        /// The commitment's parent.
        found: Hash,
        /// The newest block.
        expected: Hash,
    },
    /// The node is not in the committee.
    #[error("node {0} is not in the committee")]
    NotMember(NodeId),
    /// The scheduler is not a primary.
    #[error("node {0} is named as scheduler but is not a primary of the committee")]
    NotScheduler(NodeId),
    /// The signature does not stand.
    #[error("the commitment of node {node} is wrongly signed: {error}")]
    Signature {
        /// The node.
        node: NodeId,
        /// What is wrong.
        error: trilith_types::SignatureError,
    },
    /// Hashes are missing from an outcome, or stand in a failure.
    #[error("the commitment has {found} of the 4 hashes of an outcome, it must have {expected}")]
    Fields {
        /// Hashes there are.
        found: usize,
        /// Hashes there must be: 4 of an outcome, 0 of a failure.
        expected: usize,
    },
    /// A scheduler says that it could not execute its own proposal.
    #[error("scheduler {0} commits to the failure of its own proposal")]
    SchedulerFailure(NodeId),
    /// Somebody else than the scheduler delivers messages.
    #[error("node {node} delivers {count} messages, only the scheduler may")]
    MessagesNotOfScheduler {
        /// The node.
        node: NodeId,
        /// How many messages.
        count: usize,
    },
    /// Too many messages.
    #[error("{count} messages to the root, the runtime's limit is {limit}")]
    TooManyMessages {
        /// How many.
        count: usize,
        /// The limit.
        limit: u32,
    },
    /// The messages are not those of the outcome.
    #[error("the messages have the hash {found}, the outcome says {expected}")]
    MessagesHash {
        /// Hash of the messages delivered.
        found: Hash,
        /// Hash in the outcome.
        expected: Hash,
    },
    /// Incoming messages are claimed to be taken up, but there are none.
    #[error("the commitment takes up {count} incoming messages, the queue holds 0")]
    IncomingMessages {
        /// How many are claimed.
        count: u32,
    },
    /// A signature of an enclave, for a runtime that has none.
    #[error("the commitment has an enclave's signature, but the runtime runs in no enclave")]
    UnexpectedEnclave,
    /// Too few storage nodes signed for the roots, or one did not.
    #[error(
        "{valid} of {found} storage receipts are valid, distinct and of storage nodes, {required} are needed and none may be invalid"
    )]
    StorageReceipts {
        /// Receipts there are.
        found: usize,
        /// Receipts before the first that is not valid.
        valid: usize,
        /// Receipts that are needed.
        required: u32,
    },
    /// A scheduler of better rank has committed.
    #[error("the commitment is for the proposal of rank {found}, one of rank {best} is there")]
    WorseRank {
        /// The rank.
        found: u64,
        /// The best rank whose scheduler has committed.
        best: u64,
    },
    /// The node has committed already.
    #[error("node {node} has already committed for rank {rank}")]
    AlreadyCommitted {
        /// The node.
        node: NodeId,
        /// The rank.
        rank: u64,
    },
    /// The backups decide, and the node is none.
    #[error("the round is disputed, and node {0} is not a backup")]
    NotBackup(NodeId),
    /// The backups decide about another proposal.
    #[error("the commitment is for rank {found}, disputed is rank {disputed}")]
    NotDisputed {
        /// The rank.
        found: u64,
        /// The disputed rank.
        disputed: u64,
    },
}

impl Rejection {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Malformed(_) => 1,
            Self::UnknownRuntime(_) => 2,
            Self::Suspended(_) => 3,
            Self::Empty => 4,
            Self::WrongRound { .. } => 5,
            Self::WrongParent { .. } => 6,
            Self::NotMember(_) => 7,
            Self::NotScheduler(_) => 8,
            Self::Signature { .. } => 9,
            Self::Fields { .. } => 10,
            Self::SchedulerFailure(_) => 11,
            Self::MessagesNotOfScheduler { .. } => 12,
            Self::TooManyMessages { .. } => 13,
            Self::MessagesHash { .. } => 14,
            Self::IncomingMessages { .. } => 15,
            Self::UnexpectedEnclave => 16,
            Self::StorageReceipts { .. } => 17,
            Self::WorseRank { .. } => 18,
            Self::AlreadyCommitted { .. } => 19,
            Self::NotBackup(_) => 20,
            Self::NotDisputed { .. } => 21,
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection.into())
    }
}

impl From<Rejection> for Reject {
    fn from(rejection: Rejection) -> Self {
        Self {
            module: MODULE,
            code: rejection.code(),
            message: rejection.to_string(),
        }
    }
}
