//! Why the roothash service refuses. The numbers are never reused; gaps stay gaps.
//!
//! Deviation from Oasis Core, whose modules `roothash` and `roothash/commitment` have coarser
//! numbers: here is one module, and a number for each reason.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_protocol::root::Quantity;
use trilith_types::{Hash, NodeId, Round, RuntimeId};

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "root";

/// Why two statements do not show that a node equivocated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceRule {
    /// There must be one pair of statements.
    #[error("it has {0} pairs of statements, it must have exactly 1")]
    Pairs(u8),
    /// Both are of one node.
    #[error("the statements are of two nodes, {0} and {1}")]
    Nodes(NodeId, NodeId),
    /// Both are for one round.
    #[error("the statements are for two rounds, {0} and {1}")]
    Rounds(Round, Round),
    /// Both are about one proposal: a member may follow several schedulers in a round.
    #[error("the commitments are to the proposals of two schedulers, {0} and {1}")]
    Schedulers(NodeId, NodeId),
    /// They differ.
    #[error("the statements say the same")]
    Same,
    /// They deliver nothing.
    #[error("the commitments deliver {0} messages, evidence must have none")]
    Messages(usize),
    /// Each could have been taken up.
    #[error("a commitment is not well-formed: {0}")]
    Form(String),
    /// The node has signed both, for this runtime and network.
    #[error("a statement is wrongly signed: {0}")]
    Signature(trilith_types::SignatureError),
}

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
    /// More incoming messages are claimed to be taken up than there are, or none with a hash of
    /// some.
    #[error("the commitment takes up {count} incoming messages with a hash, the queue holds {len}")]
    IncomingMessages {
        /// How many are claimed.
        count: u32,
        /// How many wait.
        len: u64,
    },
    /// A signature of an enclave, for a runtime that has none.
    #[error("the commitment has an enclave's signature, but the runtime runs in no enclave")]
    UnexpectedEnclave,
    /// Too few storage nodes signed for the roots, or one did not.
    #[error(
        "{valid} of {found} storage receipts are valid, distinct and of elected storage nodes, \
         {required} are needed and none may be invalid"
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
    /// The statements do not show an equivocation.
    #[error("the evidence is not valid: {0}")]
    Evidence(EvidenceRule),
    /// The evidence is too old.
    #[error("the evidence is of round {found}, the oldest that is heard is {oldest}")]
    EvidenceExpired {
        /// The round of the statements.
        found: Round,
        /// The oldest round that counts.
        oldest: Round,
    },
    /// The node is punished for this round already.
    #[error("there is evidence against node {node} for round {round} already")]
    EvidenceDuplicate {
        /// The node.
        node: NodeId,
        /// The round.
        round: Round,
    },
    /// The runtime's descriptor does not punish equivocation.
    #[error("runtime {0} does not slash for equivocation")]
    DoesNotSlash(RuntimeId),
    /// Who signed is not registered, so there is nobody to punish.
    #[error("node {0} is not registered")]
    EvidenceStranger(NodeId),
    /// No more messages to the runtime may wait.
    #[error("{len} messages to runtime {runtime} wait, the limit is {limit}")]
    QueueFull {
        /// The runtime.
        runtime: RuntimeId,
        /// How many wait.
        len: u64,
        /// The runtime's limit.
        limit: u32,
    },
    /// The fee of a message to a runtime is too low.
    #[error("the fee of the message is {found} base units, the runtime's least is {min}")]
    MessageFee {
        /// What is paid.
        found: Quantity,
        /// The least.
        min: Quantity,
    },
    /// A message of a runtime is none that the root knows.
    #[error("the message to the root cannot be decoded: {0}")]
    MessageUnknown(String),
    /// A runtime asks for more messages of a round than the network allows.
    #[error("the runtime asks for {found} messages of a round, the network's limit is {limit}")]
    MaxMessages {
        /// What it asks for.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// A runtime asks for a longer queue of messages than the network allows.
    #[error("the runtime asks for a queue of {found} messages, the network's limit is {limit}")]
    MaxInMessages {
        /// What it asks for.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// A change of parameters changes nothing.
    #[error("the change of parameters names none")]
    NoChange,
    /// A parameter is out of its range.
    #[error("{name} is {value}, the limit is {limit}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The most it may be.
        limit: u64,
    },
    /// What a document carries over of a runtime does not fit together.
    #[error("what is carried over of runtime {runtime} is wrong: {what}")]
    Carried {
        /// The runtime.
        runtime: RuntimeId,
        /// What is wrong.
        what: &'static str,
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
            Self::Evidence(_) => 22,
            Self::EvidenceExpired { .. } => 23,
            Self::EvidenceDuplicate { .. } => 24,
            Self::DoesNotSlash(_) => 25,
            Self::EvidenceStranger(_) => 26,
            Self::QueueFull { .. } => 27,
            Self::MessageFee { .. } => 28,
            Self::MessageUnknown(_) => 29,
            Self::MaxMessages { .. } => 31,
            Self::MaxInMessages { .. } => 32,
            Self::NoChange => 33,
            Self::Parameter { .. } => 34,
            Self::Carried { .. } => 35,
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
