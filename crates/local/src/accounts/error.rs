//! What can go wrong, said so that a test's output is enough to find it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;
use thiserror::Error;
use trilith_engine_account::{EPOCH_SLOTS_MAX, EPOCH_SLOTS_MIN, EditError};
use trilith_protocol::{Fault, QueryError};

use super::sent::Sent;

/// Why an instance did not do what it was asked, other than executing a transaction.
#[derive(Debug, Error)]
pub enum LocalError {
    /// Time does not go backwards. To go back, revert to a snapshot.
    #[error(
        "{what} {asked} is before {what} {at}, where the instance is; revert to a snapshot to go back"
    )]
    Backwards {
        /// Slot, epoch or second.
        what: &'static str,
        /// What was asked for.
        asked: i128,
        /// Where the instance is.
        at: i128,
    },
    /// Agreed time has no room for it.
    #[error("{what} {asked} is after the last one, {last}")]
    TooFar {
        /// Slot, epoch or second.
        what: &'static str,
        /// What was asked for.
        asked: u64,
        /// The last there is.
        last: u64,
    },
    /// An epoch cannot have so many slots.
    #[error(
        "an epoch has from {EPOCH_SLOTS_MIN} to {EPOCH_SLOTS_MAX} slots, {asked} were asked for"
    )]
    EpochSlots {
        /// What was asked for.
        asked: u64,
    },
    /// The faucet has too little.
    #[error("the faucet has {left} lamports, {asked} were asked for")]
    Faucet {
        /// What it has.
        left: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The account would have more lamports than 64 bits hold.
    #[error("account {key} would have more than {} lamports", u64::MAX)]
    Lamports {
        /// The account.
        key: Pubkey,
    },
    /// The bytes are no program.
    #[error("{key} was not loaded: {reason}")]
    Program {
        /// Where it should stand.
        key: Pubkey,
        /// What the loader says.
        reason: String,
    },
    /// The gate is not known to this version.
    #[error("{id} is no feature gate that this version knows")]
    Gate {
        /// The identifier.
        id: Pubkey,
    },
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is no report of compute units.
    #[error("{}: {reason}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The RPC address could not be opened.
    #[error("the RPC address could not be opened: {0}")]
    Rpc(io::Error),
    /// State could not be written directly.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The engine refuses the question.
    #[error("the question was refused: {0}")]
    Query(#[from] QueryError),
    /// This process failed: memory or files in memory.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a transaction did not succeed.
pub enum Failed {
    /// It could not be charged and had no effect.
    Refused(TransactionError),
    /// It was executed, charged and rolled back.
    Charged(Box<Sent>),
    /// This process failed; nothing happened.
    Fault(Fault),
}

impl Failed {
    /// The error of the transaction; `None` if this process failed.
    pub fn error(&self) -> Option<&TransactionError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Charged(sent) => sent.status().as_ref().err(),
            Self::Fault(_) => None,
        }
    }

    /// What the transaction came to, if it was charged.
    pub fn sent(&self) -> Option<&Sent> {
        match self {
            Self::Charged(sent) => Some(sent),
            _ => None,
        }
    }

    /// The log lines; none if it was not executed.
    pub fn logs(&self) -> &[String] {
        self.sent().map_or(&[], Sent::logs)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(formatter, "the transaction was refused: {error}"),
            Self::Fault(fault) => fault.fmt(formatter),
            Self::Charged(sent) => {
                match sent.status() {
                    Err(error) => write!(formatter, "the transaction failed: {error}")?,
                    Ok(()) => formatter.write_str("the transaction succeeded")?,
                }
                for line in sent.logs() {
                    write!(formatter, "\n  {line}")?;
                }
                Ok(())
            }
        }
    }
}

/// As the text, because that is what a failed test shows.
impl fmt::Debug for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Failed {}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
