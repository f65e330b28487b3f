//! Why the beacon refuses. The numbers below 100 are Oasis Core's; no number is ever reused, and
//! gaps stay gaps.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_protocol::root::beacon::{BeaconParameters, BeaconSource};
use trilith_types::cbor::DecodeError;
use trilith_types::{Epoch, Height, NodeId, VrfError};

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "beacon";

/// A rule of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BeaconRule {
    /// Parameters of functions are there exactly where functions are the source.
    #[error(
        "the source is `{0}`, which must have parameters of random functions if it is `vrf` \
             and must not otherwise"
    )]
    Source(&'static str),
    /// The threshold is 0.
    #[error("an input is good with 0 proofs, there must be at least 1")]
    Threshold,
    /// The delay is out of its range.
    #[error("proofs are taken {delay} heights after an epoch's first, it must be from 1 to {max}")]
    Delay {
        /// The delay.
        delay: u64,
        /// The most it may be: one less than the heights of an epoch.
        max: u64,
    },
}

/// Why a transaction or a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BeaconError {
    /// The argument is no canonical encoding of what it should be.
    #[error("the argument cannot be decoded: {0}")]
    Malformed(DecodeError),
    /// The network's entropy does not come from functions.
    #[error("the network's source of entropy is `{0}`, which takes no proofs")]
    NoProofs(&'static str),
    /// It is too early in the epoch.
    #[error("it is height {height}, proofs are taken after height {after}")]
    Early {
        /// The running height.
        height: Height,
        /// The last height in which none is taken.
        after: Height,
    },
    /// Who signed is no node.
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    /// The proof is for another epoch.
    #[error("the proof is for epoch {found}, it is epoch {expected}")]
    OtherEpoch {
        /// Its epoch.
        found: Epoch,
        /// The running epoch.
        expected: Epoch,
    },
    /// The proof does not stand.
    #[error("the proof of node {node} is refused: {error}")]
    Proof {
        /// The node.
        node: NodeId,
        /// Why.
        error: VrfError,
    },
    /// The node has delivered a proof of another output.
    #[error("node {0} has delivered a proof of another output in this epoch")]
    OtherOutput(NodeId),
    /// The parameters break a rule.
    #[error(transparent)]
    Parameters(#[from] BeaconRule),
}

impl BeaconError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Malformed(_) => 1,
            Self::NoProofs(_) => 101,
            Self::Early { .. } => 102,
            Self::NoSuchNode(_) => 103,
            Self::OtherEpoch { .. } => 104,
            Self::Proof { .. } => 105,
            Self::OtherOutput(_) => 106,
            Self::Parameters(_) => 107,
        }
    }
}

impl From<BeaconError> for Reject {
    fn from(error: BeaconError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<BeaconError> for Refusal {
    fn from(error: BeaconError) -> Self {
        Self::Reject(error.into())
    }
}

/// Checks parameters for epochs of so many heights.
///
/// Source: Oasis Core `beacon/api` (`SanityCheck`).
pub(super) fn check(parameters: &BeaconParameters, epoch_interval: u64) -> Result<(), BeaconError> {
    let by_functions = parameters.backend == BeaconSource::Vrf;
    if by_functions != parameters.vrf_parameters.is_some() {
        return Err(BeaconRule::Source(parameters.backend.name()).into());
    }
    let Some(vrf) = &parameters.vrf_parameters else {
        return Ok(());
    };
    if vrf.alpha_hq_threshold == 0 {
        return Err(BeaconRule::Threshold.into());
    }
    let (delay, max) = (vrf.proof_delay, epoch_interval.saturating_sub(1));
    if delay == 0 || delay > max {
        return Err(BeaconRule::Delay { delay, max }.into());
    }
    Ok(())
}
