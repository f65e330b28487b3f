//! Why the key manager service refuses. The numbers below 100 are Oasis Core's; no number is ever
//! reused, and gaps stay gaps: 3 and 4 are answers to questions there, and no answer here.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_types::cbor::DecodeError;
use trilith_types::{Epoch, NodeId, PublicKey, RuntimeId, SignatureError};

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "keymanager";

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgumentRule {
    /// It is no canonical encoding of what the method takes.
    #[error("the argument cannot be decoded: {0}")]
    Malformed(DecodeError),
    /// There are too many signatures.
    #[error("the policy has {count} signatures, the limit is {limit}")]
    Signatures {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The checksum has another length.
    #[error("the checksum has {0} bytes, it must have 32")]
    Checksum(usize),
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeymanagerError {
    /// The argument is wrong by itself.
    #[error(transparent)]
    Argument(#[from] ArgumentRule),
    /// The key manager has no status yet.
    #[error("key manager {0} has no status before the next epoch")]
    NoSuchStatus(RuntimeId),
    /// There is no key manager of this identifier that runs.
    #[error("runtime {0} is not a key manager that runs")]
    NotKeyManager(RuntimeId),
    /// The transaction is signed by somebody else than the owner.
    #[error("the transaction is signed by {found}, the key manager is of {expected}")]
    Owner {
        /// Who signed.
        found: PublicKey,
        /// Who owns the key manager.
        expected: PublicKey,
    },
    /// A signature of the argument does not stand.
    #[error("the {what} is wrongly signed: {error}")]
    Signature {
        /// Of what.
        what: &'static str,
        /// Why not.
        error: SignatureError,
    },
    /// Too few of those who may sign policies have.
    #[error("{found} of those who may have signed the policy, {needed} must")]
    Signers {
        /// How many.
        found: usize,
        /// How many must.
        needed: usize,
    },
    /// The policy is not newer.
    #[error("the policy has serial {found}, the one there is has {current}")]
    Serial {
        /// Its serial number.
        found: u32,
        /// That of the policy that counts.
        current: u32,
    },
    /// Whoever signed the transaction is no node of the key manager.
    #[error("node {node} is not one of key manager {id}")]
    NotMember {
        /// Who signed.
        node: NodeId,
        /// The key manager.
        id: RuntimeId,
    },
    /// There is a secret for the epoch already.
    #[error("a secret for epoch {0} is published already")]
    Published(Epoch),
    /// Master secrets do not change now.
    #[error("the next master secret is for epoch {epoch}, it can be for epoch {}", Never(.earliest))]
    Rotation {
        /// The epoch of the secret.
        epoch: Epoch,
        /// The first epoch it can be for; `None` if the policy keeps the secret there is.
        earliest: Option<Epoch>,
    },
    /// The secret is not the next one.
    #[error("the secret has generation {found}, the next one is {expected}")]
    Generation {
        /// Its generation.
        found: u64,
        /// What it must be.
        expected: u64,
    },
    /// The secret is not for the next epoch.
    #[error("the secret is for epoch {found}, it must be for epoch {expected}")]
    Epoch {
        /// What it is for.
        found: Epoch,
        /// What it must be for.
        expected: Epoch,
    },
    /// The secret is encrypted for somebody who is no node of the key manager.
    #[error("the secret is encrypted for {0}, which no enclave of the key manager has")]
    Stranger(PublicKey),
    /// The secret is encrypted for too few.
    #[error("the secret is encrypted for {found} of {all} enclaves, at least {percent} % must be")]
    TooFew {
        /// For how many.
        found: usize,
        /// How many there are.
        all: usize,
        /// The least part.
        percent: u64,
    },
}

/// Shows when something can be.
struct Never<'a>(&'a Option<Epoch>);

impl std::fmt::Display for Never<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => formatter.write_str("none, by the policy"),
            Some(epoch) => write!(formatter, "{epoch} at first"),
        }
    }
}

impl KeymanagerError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Argument(_) => 1,
            Self::NoSuchStatus(_) => 2,
            Self::NotKeyManager(_) => 101,
            Self::Owner { .. } => 102,
            Self::Signature { .. } => 103,
            Self::Signers { .. } => 104,
            Self::Serial { .. } => 105,
            Self::NotMember { .. } => 106,
            Self::Published(_) => 107,
            Self::Rotation { .. } => 108,
            Self::Generation { .. } => 109,
            Self::Epoch { .. } => 110,
            Self::Stranger(_) => 111,
            Self::TooFew { .. } => 112,
        }
    }
}

impl From<DecodeError> for KeymanagerError {
    fn from(error: DecodeError) -> Self {
        ArgumentRule::Malformed(error).into()
    }
}

impl From<KeymanagerError> for Reject {
    fn from(error: KeymanagerError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<KeymanagerError> for Refusal {
    fn from(error: KeymanagerError) -> Self {
        Self::Reject(error.into())
    }
}

impl From<ArgumentRule> for Refusal {
    fn from(rule: ArgumentRule) -> Self {
        KeymanagerError::from(rule).into()
    }
}
