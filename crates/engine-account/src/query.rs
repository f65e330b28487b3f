//! Questions to the account engine and its answers: what gateways are built on.
//!
//! [`Question::encode`] gives the bytes for [`trilith_protocol::Runtime::query`],
//! [`Answer::decode`] reads what comes back. Both are `bincode` of these types; questions are
//! untrusted and bounded by [`QUESTION_BYTES_MAX`] before anything is allocated.
//!
//! An answer is about one version of the state: the one the node calls current. Questions about
//! many accounts go through indexes that are caches, never through a scan of all accounts.

use bincode::Options as _;
use serde::{Deserialize, Serialize};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::{TransactionError, TransactionResult};

use crate::record::{BlockHeader, BlockPart, TransactionRecord};

/// Most bytes of an encoded question. A request body of the gateway has at most 50 kB.
pub const QUESTION_BYTES_MAX: usize = 128 * 1024;

/// Most keys, signatures or slots one question may name or ask for, where no lower limit is said.
pub const ITEMS_MAX: usize = 1_000;

/// Most slots a range of blocks may span.
pub const BLOCKS_MAX: u64 = 500_000;

/// Reject code: the question is malformed or over a limit.
pub const CODE_QUESTION: u32 = 1;
/// Reject code: the runtime has had no round yet, so it has no slot.
pub const CODE_NOT_STARTED: u32 = 2;
/// Reject code: the transaction of a simulation or fee question is malformed.
pub const CODE_MALFORMED: u32 = 3;

/// What a gateway may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Accounts by key, at most [`ITEMS_MAX`]. Answer: [`Answer::Accounts`].
    Accounts {
        /// The keys.
        keys: Vec<Pubkey>,
        /// Which part of the data is wanted.
        slice: Option<Slice>,
    },
    /// Accounts that a program owns. Answer: [`Answer::Keyed`].
    ProgramAccounts {
        /// The owner.
        program: Pubkey,
        /// All must match.
        filters: Vec<Filter>,
        /// Which part of the data is wanted.
        slice: Option<Slice>,
    },
    /// Token accounts (of both token programs) of an owner or of a delegate, and of one mint or
    /// one program. Answer: [`Answer::Keyed`].
    TokenAccounts {
        /// Owner or delegate.
        holder: Pubkey,
        /// Whether `holder` is the delegate.
        by_delegate: bool,
        /// Mint or program.
        of: TokenScope,
        /// Which part of the data is wanted.
        slice: Option<Slice>,
    },
    /// The twenty token accounts of a mint that hold most. Answer: [`Answer::Balances`].
    TokenLargest {
        /// The mint.
        mint: Pubkey,
    },
    /// The twenty accounts with most lamports. Answer: [`Answer::Balances`].
    Largest,
    /// Where the chain is. Answer: [`Answer::Chain`].
    Chain,
    /// Whether a blockhash is young enough. Answer: [`Answer::Bool`].
    IsBlockhashValid(Hash),
    /// The fee of an encoded message; `None` where its blockhash is not known. Answer:
    /// [`Answer::Fee`].
    Fee {
        /// The message without signatures.
        message: Vec<u8>,
    },
    /// Lamports that exempt an account with so many bytes of data from rent. Answer:
    /// [`Answer::Lamports`].
    MinimumBalance {
        /// Bytes of data.
        len: u64,
    },
    /// A transaction by its first signature. Answer: [`Answer::Transaction`].
    Transaction(Signature),
    /// Statuses by first signature, at most [`ITEMS_MAX`]. Answer: [`Answer::Statuses`].
    Statuses {
        /// The signatures.
        signatures: Vec<Signature>,
    },
    /// Transactions that name an account, newest first. Answer: [`Answer::Signatures`].
    Signatures {
        /// The account.
        address: Pubkey,
        /// Start after this transaction.
        before: Option<Signature>,
        /// End before this transaction.
        until: Option<Signature>,
        /// Most entries, 1 to [`ITEMS_MAX`].
        limit: u32,
    },
    /// The block of a slot. Answer: [`Answer::Block`].
    Block(u64),
    /// The header of the block of a slot. Answer: [`Answer::Header`].
    Header(u64),
    /// Slots with blocks from one to another inclusive, ascending. Answer: [`Answer::Slots`].
    Blocks {
        /// First slot.
        first: u64,
        /// Last slot; at most [`BLOCKS_MAX`] after the first.
        last: u64,
        /// Most slots.
        limit: u32,
    },
    /// Transactions and slots of the last minutes, newest first. Answer: [`Answer::Samples`].
    Samples {
        /// Most samples.
        limit: u32,
    },
    /// Priority fees of the last slots, for transactions that write all these accounts. Answer:
    /// [`Answer::PriorityFees`].
    PriorityFees {
        /// Accounts, at most 128.
        keys: Vec<Pubkey>,
    },
    /// What a transaction would come to. Answer: [`Answer::Simulated`].
    Simulate(Simulate),
    /// What rounds did, ascending. A subscription asks for the rounds after the last it knows.
    /// Answer: [`Answer::Rounds`].
    Rounds {
        /// Rounds after this one.
        after: u64,
        /// Most rounds.
        limit: u32,
    },
}

/// Part of an account's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// First byte.
    pub offset: u64,
    /// Bytes; what is past the end of the data is left out.
    pub len: u64,
}

/// A condition on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// The data has exactly this many bytes.
    DataSize(u64),
    /// The data has these bytes there.
    Bytes {
        /// Where.
        offset: u64,
        /// The bytes, at most 128.
        bytes: Vec<u8>,
    },
    /// The data is that of a token account.
    TokenAccount,
}

/// Which token accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenScope {
    /// Of one mint.
    Mint(Pubkey),
    /// Of one token program.
    Program(Pubkey),
}

/// A simulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulate {
    /// The transaction in wire format.
    pub transaction: Vec<u8>,
    /// Whether signatures are checked.
    pub verify_signatures: bool,
    /// Whether the newest blockhash takes the place of the transaction's.
    pub replace_blockhash: bool,
    /// Accounts wanted afterwards, at most 64.
    pub accounts: Vec<Pubkey>,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// One for each key asked; `None` where there is no account.
    Accounts(Vec<Option<Account>>),
    /// Accounts with their keys, ascending by key.
    Keyed(Vec<(Pubkey, Account)>),
    /// Accounts with a balance (lamports or token units), largest first.
    Balances(Vec<(Pubkey, u64)>),
    /// Where the chain is.
    Chain(Box<Chain>),
    /// Yes or no.
    Bool(bool),
    /// A fee in lamports.
    Fee(Option<u64>),
    /// Lamports.
    Lamports(u64),
    /// A transaction and the time of its block, seconds since 1970.
    Transaction(Option<(Box<TransactionRecord>, i64)>),
    /// One for each signature asked.
    Statuses(Vec<Option<Status>>),
    /// Transactions, newest first.
    Signatures(Vec<SignatureEntry>),
    /// A block: header and transactions. `None` where the slot has no block, has not ended, or is
    /// no longer remembered.
    Block(Option<(BlockHeader, Vec<TransactionRecord>)>),
    /// A header, under the same conditions.
    Header(Option<BlockHeader>),
    /// Slots.
    Slots(Vec<u64>),
    /// Samples.
    Samples(Vec<Sample>),
    /// Slots with the lowest priority fee that was paid, micro-lamports a compute unit.
    PriorityFees(Vec<(u64, u64)>),
    /// A simulation.
    Simulated(Box<Simulated>),
    /// Rounds.
    Rounds(Vec<BlockPart>),
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Lamports.
    pub lamports: u64,
    /// Owner.
    pub owner: Pubkey,
    /// Whether it is a program.
    pub executable: bool,
    /// `u64::MAX` for accounts exempt from rent.
    pub rent_epoch: u64,
    /// Bytes of its data.
    pub space: u64,
    /// The data, or the slice that was asked.
    pub data: Vec<u8>,
}

/// Where the chain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Hash that names the network.
    pub genesis_hash: Hash,
    /// Key to which fees go; the identity of the network as one validator.
    pub identity: Pubkey,
    /// Version of the gates this binary knows.
    pub feature_set: u32,
    /// The round of the state that is asked.
    pub round: u64,
    /// Its agreed time, nanoseconds since 1970.
    pub time: u64,
    /// Agreed time at which slot 0 began.
    pub genesis_time: u64,
    /// Length of a slot, nanoseconds.
    pub slot_nanos: u64,
    /// The slot of that round. Also the height.
    pub slot: u64,
    /// The slot before it in which there was a round.
    pub parent: u64,
    /// Epoch of the slot.
    pub epoch: u64,
    /// First slot of the epoch.
    pub epoch_start: u64,
    /// Slots of the epoch.
    pub epoch_slots: u64,
    /// The schedule of epochs.
    pub schedule: EpochSchedule,
    /// The newest blockhash.
    pub blockhash: Hash,
    /// The last height at which a transaction with that blockhash is accepted.
    pub last_valid_height: u64,
    /// The oldest slot whose block is remembered.
    pub first_block: u64,
    /// Transactions recorded since genesis.
    pub transactions: u64,
    /// Lamports of all accounts.
    pub supply: u64,
    /// Key of the account that pays airdrops, on developer networks.
    pub faucet: Option<Pubkey>,
    /// Inflation of the epoch in millionths, all of it to validators. 0 unless a genesis says so.
    pub inflation_millionths: u64,
    /// Lamports for each signature.
    pub lamports_per_signature: u64,
}

/// The schedule of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochSchedule {
    /// Slots of an epoch.
    pub slots_per_epoch: u64,
    /// Slots before an epoch at which its leaders are known.
    pub leader_schedule_slot_offset: u64,
    /// Whether the first epochs are shorter.
    pub warmup: bool,
    /// First epoch of full length.
    pub first_normal_epoch: u64,
    /// First slot of that epoch.
    pub first_normal_slot: u64,
}

/// The status of a transaction. Every status is of a finalised round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Slot in which it was executed.
    pub slot: u64,
    /// What it came to.
    pub status: TransactionResult<()>,
}

/// An entry of an account's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureEntry {
    /// First signature.
    pub signature: Signature,
    /// Slot.
    pub slot: u64,
    /// Position in the slot.
    pub index: u32,
    /// What failed, if it did.
    pub error: Option<TransactionError>,
    /// Memo, in the form `[len] text`, several joined by `; `.
    pub memo: Option<String>,
    /// Time of the block, seconds since 1970.
    pub time: i64,
}

/// Throughput of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Last slot of the minute.
    pub slot: u64,
    /// Slots.
    pub slots: u64,
    /// Transactions.
    pub transactions: u64,
    /// Seconds.
    pub seconds: u16,
}

/// What a transaction would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// Status, fee, logs, units, balances. A transaction that could not be charged has the error,
    /// no fee, no logs and no balances.
    pub record: TransactionRecord,
    /// The accounts that were asked for, as they would be.
    pub accounts: Vec<Option<Account>>,
    /// The blockhash that took the place of the transaction's, and its last valid height.
    pub replacement: Option<(Hash, u64)>,
    /// Slot at which it was simulated.
    pub slot: u64,
}

/// Why bytes are no question or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {what} of the account engine: {reason}")]
pub struct FormatError {
    /// Question or answer.
    pub what: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl Question {
    /// The bytes for [`trilith_protocol::Runtime::query`].
    ///
    /// # Panics
    /// Never: these types have an encoding.
    pub fn encode(&self) -> Vec<u8> {
        format(u64::MAX)
            .serialize(self)
            .expect("writing to memory does not fail")
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`FormatError`] if the bytes are malformed or more than [`QUESTION_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > QUESTION_BYTES_MAX {
            let len = bytes.len();
            return Err(FormatError {
                what: "question",
                reason: format!("{len} bytes, over the limit of {QUESTION_BYTES_MAX}"),
            });
        }
        read(bytes, "question")
    }
}

impl Answer {
    /// The bytes that [`trilith_protocol::Runtime::query`] returns.
    ///
    /// # Panics
    /// Never: these types have an encoding.
    pub fn encode(&self) -> Vec<u8> {
        format(u64::MAX)
            .serialize(self)
            .expect("writing to memory does not fail")
    }

    /// Reads an answer of this node's own engine.
    ///
    /// # Errors
    /// [`FormatError`] if the bytes are malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        read(bytes, "answer")
    }
}

/// The encoding: fixed-width integers, nothing after the value, and no allocation over the bytes
/// that are there.
fn format(limit: u64) -> impl bincode::Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .reject_trailing_bytes()
        .with_limit(limit)
}

fn read<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, FormatError> {
    format(bytes.len() as u64)
        .deserialize(bytes)
        .map_err(|error| FormatError {
            what,
            reason: error.to_string(),
        })
}
