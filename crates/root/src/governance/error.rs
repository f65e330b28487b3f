//! Why the governance service refuses. The numbers below 100 are Oasis Core's; no number is ever
//! reused, and gaps stay gaps.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_protocol::root::{Address, FeatureId};
use trilith_types::Epoch;
use trilith_types::cbor::DecodeError;

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "governance";

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgumentRule {
    /// It is no canonical encoding of what the method takes.
    #[error("the argument cannot be decoded: {0}")]
    Malformed(DecodeError),
    /// Not exactly one thing is proposed.
    #[error("{0} things are proposed, it must be 1")]
    Kinds(usize),
    /// There is metadata where there must be none, or none where there must be.
    #[error("the proposal has metadata: {found}, the parameters ask for it: {expected}")]
    Metadata {
        /// Whether it has.
        found: bool,
        /// Whether it must.
        expected: bool,
    },
    /// A text is too short or too long.
    #[error("the {what} has {len} bytes, it must have from {min} to {max}")]
    Length {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// The descriptor of the upgrade is of another version.
    #[error("the descriptor of the upgrade has version {found}, it must be {expected}")]
    Version {
        /// Its version.
        found: u16,
        /// What it must be.
        expected: u16,
    },
    /// A target version is 0.0.0.
    #[error("the upgrade's target has version 0.0.0 of the {0}")]
    Target(&'static str),
    /// The epoch of the upgrade is none there can be one at.
    #[error("the upgrade is at epoch {0}, it must be from 1 to 2^64 - 3")]
    Epoch(Epoch),
    /// Changes of parameters are switched off.
    #[error("changes of parameters are disabled")]
    ChangesDisabled,
    /// No service has this name and parameters that can be changed.
    #[error("no service `{0}` lets its parameters be changed")]
    NoSuchModule(String),
    /// Features are missing, too many, or not ascending.
    #[error(
        "{count} features, ascending: {ascending}; from 1 to {limit} in order can be activated"
    )]
    Features {
        /// How many.
        count: usize,
        /// Whether they are ascending without repetition.
        ascending: bool,
        /// The most.
        limit: usize,
    },
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GovernanceError {
    /// The argument is wrong by itself.
    #[error(transparent)]
    Argument(#[from] ArgumentRule),
    /// The upgrade is too soon, to be proposed or to be cancelled.
    #[error("the upgrade is at epoch {epoch}, the first that is possible is {earliest}")]
    UpgradeTooSoon {
        /// When it is.
        epoch: Epoch,
        /// The first epoch that is possible.
        earliest: Epoch,
    },
    /// Another upgrade is pending at about the same time.
    #[error(
        "an upgrade is pending at epoch {pending}, another at epoch {epoch} must be {diff} epochs \
         away"
    )]
    UpgradePending {
        /// When the other one is.
        pending: Epoch,
        /// When this one is.
        epoch: Epoch,
        /// How far apart they must be.
        diff: u64,
    },
    /// The proposal is of no pending upgrade.
    #[error("proposal {0} is of no pending upgrade")]
    NoSuchUpgrade(u64),
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    NoSuchProposal(u64),
    /// The account is no voter and has not delegated to one, or needs an entity.
    #[error("account {account} may not vote: registered entity: {entity}, needed: {needed}")]
    NotEligible {
        /// The account.
        account: Address,
        /// Whether it is of a registered entity.
        entity: bool,
        /// Whether it must be.
        needed: bool,
    },
    /// The proposal cannot be voted on any more.
    #[error("proposal {id} closed at epoch {closed}")]
    VotingClosed {
        /// The proposal.
        id: u64,
        /// When it closed.
        closed: Epoch,
    },
    /// The service does not take the changes.
    #[error("the parameters of `{module}` cannot change so: {reason}")]
    Changes {
        /// The service.
        module: &'static str,
        /// Why not.
        reason: String,
    },
    /// The feature is approved already.
    #[error("feature {} was approved in proposal {proposal}", Hex(.feature))]
    FeatureKnown {
        /// The feature.
        feature: FeatureId,
        /// In which proposal; 0 is the genesis document.
        proposal: u64,
    },
    /// Too many features would be approved.
    #[error("{count} features would be approved, the limit is {limit}")]
    TooManyFeatures {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many proposals can be voted on.
    #[error("{count} proposals can be voted on already, the limit is {limit}")]
    TooManyProposals {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// There are too many votes for the proposal.
    #[error("proposal {id} has {count} votes already, the limit is {limit}")]
    TooManyVotes {
        /// The proposal.
        id: u64,
        /// How many.
        count: u64,
        /// The limit.
        limit: u64,
    },
}

/// Shows a feature as people write it.
struct Hex<'a>(&'a FeatureId);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl GovernanceError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Argument(_) => 1,
            Self::UpgradeTooSoon { .. } => 2,
            Self::UpgradePending { .. } => 3,
            Self::NoSuchUpgrade(_) => 4,
            Self::NoSuchProposal(_) => 5,
            Self::NotEligible { .. } => 6,
            Self::VotingClosed { .. } => 7,
            Self::Changes { .. } => 101,
            Self::FeatureKnown { .. } => 102,
            Self::TooManyFeatures { .. } => 103,
            Self::TooManyProposals { .. } => 104,
            Self::TooManyVotes { .. } => 105,
        }
    }
}

impl From<DecodeError> for GovernanceError {
    fn from(error: DecodeError) -> Self {
        ArgumentRule::Malformed(error).into()
    }
}

impl From<GovernanceError> for Reject {
    fn from(error: GovernanceError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<GovernanceError> for Refusal {
    fn from(error: GovernanceError) -> Self {
        Self::Reject(error.into())
    }
}

impl From<ArgumentRule> for Refusal {
    fn from(rule: ArgumentRule) -> Self {
        GovernanceError::from(rule).into()
    }
}
