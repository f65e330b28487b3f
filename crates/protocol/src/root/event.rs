//! What the root tells about itself.

use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Epoch, Hash, Height, NodeId, Round, RuntimeId};

use super::governance::GovernanceEvent;
use super::keymanager::KeymanagerEvent;
use super::registry::RegistryEvent;
use super::staking::StakingEvent;
use super::{Committee, read_variant, variant};
use crate::BlockHeader;
use crate::wire::{self, Wire, put};

/// Most bytes of an encoded event: a committee of the most members, or a message of a rejection.
pub const EVENT_BYTES_MAX: usize = 2 * super::COMMITTEE_MEMBERS_MAX * 34 + 4096;

/// Most bytes of the message of a rejection.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Why a round failed. The numbers are those of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RoundFailure {
    /// No scheduler committed to a proposal of its own in time.
    NoSchedulerCommitment = 1,
    /// Too few backups agree for a majority.
    NoMajority = 2,
    /// The backups' majority contradicts the scheduler.
    BadSchedulerCommitment = 3,
}

impl RoundFailure {
    fn from_number(number: u64) -> Option<Self> {
        [
            Self::NoSchedulerCommitment,
            Self::NoMajority,
            Self::BadSchedulerCommitment,
        ]
        .into_iter()
        .find(|failure| *failure as u64 == number)
    }
}

/// Something that happened on the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootEvent {
    /// An epoch began.
    EpochStarted {
        /// The epoch.
        epoch: Epoch,
        /// Its first height.
        height: Height,
    },
    /// A runtime has a committee for an epoch.
    CommitteeElected {
        /// The runtime.
        runtime: RuntimeId,
        /// The committee, with its epoch.
        committee: Committee,
    },
    /// A runtime has a new block. Its type says whether the round gave an outcome, failed, or was
    /// ended by an epoch or by suspension.
    RoundFinalized {
        /// The runtime.
        runtime: RuntimeId,
        /// The block's header.
        header: BlockHeader,
    },
    /// A round gave no outcome; the `RoundFinalized` of its empty block follows.
    RoundFailed {
        /// The runtime.
        runtime: RuntimeId,
        /// The round.
        round: Round,
        /// Why.
        reason: RoundFailure,
    },
    /// Executors disagree, or too few answered in time; the backups decide.
    DiscrepancyDetected {
        /// The runtime.
        runtime: RuntimeId,
        /// The round.
        round: Round,
        /// Rank of the scheduler whose proposal is disputed.
        rank: u64,
        /// Whether it was detected because time ran out.
        timeout: bool,
    },
    /// A commitment was taken up.
    CommitmentAccepted {
        /// The runtime.
        runtime: RuntimeId,
        /// The round.
        round: Round,
        /// Whose.
        node: NodeId,
        /// The vote; `None` if the executor failed.
        vote: Option<Hash>,
    },
    /// A transaction with commitments was refused, without effect.
    CommitmentRejected {
        /// The runtime.
        runtime: RuntimeId,
        /// Whose commitment was at fault; `None` if the transaction as a whole was.
        node: Option<NodeId>,
        /// Number of the reason.
        code: u32,
        /// States fact, value and limit.
        message: String,
    },
    /// Something happened to stake.
    Staking(StakingEvent),
    /// Something happened to what is registered.
    Registry(RegistryEvent),
    /// Something happened to proposals, or because of them.
    Governance(GovernanceEvent),
    /// Something happened to a key manager.
    KeyManager(KeymanagerEvent),
}

impl RootEvent {
    /// Canonical encoding: `{kind: {fields}}`.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Staking(event) => variant("staking", &encoded(event)),
            Self::Registry(event) => variant("registry", &encoded(event)),
            Self::Governance(event) => variant("governance", &encoded(event)),
            Self::KeyManager(event) => variant("keymanager", &encoded(event)),
            _ => {
                let (name, map) = self.parts();
                variant(name, &map.finish())
            }
        }
    }

    /// The kind's name and its fields.
    fn parts(&self) -> (&'static str, MapBuilder) {
        match self {
            Self::EpochStarted { epoch, height } => (
                "epoch_started",
                MapBuilder::new()
                    .field("epoch", put::uint(epoch.0))
                    .field("height", put::uint(height.0)),
            ),
            Self::CommitteeElected { runtime, committee } => (
                "committee_elected",
                of_runtime(runtime).field("committee", put::raw(&committee.encode())),
            ),
            Self::RoundFinalized { runtime, header } => (
                "round_finalized",
                of_runtime(runtime).field("header", put::raw(&header.encode())),
            ),
            Self::RoundFailed {
                runtime,
                round,
                reason,
            } => (
                "round_failed",
                of_runtime(runtime)
                    .field("round", put::uint(round.0))
                    .field("reason", put::uint(*reason as u64)),
            ),
            Self::DiscrepancyDetected {
                runtime,
                round,
                rank,
                timeout,
            } => (
                "discrepancy_detected",
                of_runtime(runtime)
                    .field("round", put::uint(round.0))
                    .field("rank", put::uint(*rank))
                    .field("timeout", put::bool(*timeout)),
            ),
            Self::CommitmentAccepted {
                runtime,
                round,
                node,
                vote,
            } => (
                "commitment_accepted",
                with_bytes(
                    of_runtime(runtime),
                    "vote",
                    vote.as_ref().map(Hash::as_bytes),
                )
                .field("round", put::uint(round.0))
                .field("node", put::bytes(node.as_bytes())),
            ),
            Self::CommitmentRejected {
                runtime,
                node,
                code,
                message,
            } => (
                "commitment_rejected",
                with_bytes(
                    of_runtime(runtime),
                    "node",
                    node.as_ref().map(NodeId::as_bytes),
                )
                .field("code", put::uint((*code).into()))
                .field("message", put::text(message)),
            ),
            // Events of services have forms of their own.
            _ => ("service", MapBuilder::new()),
        }
    }

    /// Reads what [`RootEvent::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of an event.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let event = wire::whole(bytes, "event", EVENT_BYTES_MAX, |decoder| {
            read_variant(decoder, "event", |name, d| match name {
                "staking" => Ok(Self::Staking(Wire::read(d, "staking")?)),
                "registry" => Ok(Self::Registry(Wire::read(d, "registry")?)),
                "governance" => Ok(Self::Governance(Wire::read(d, "governance")?)),
                "keymanager" => Ok(Self::KeyManager(Wire::read(d, "keymanager")?)),
                _ => Fields::read(d)?.event(name),
            })
        })?;
        // A field that the kind does not have would be lost.
        if event.encode() == bytes {
            Ok(event)
        } else {
            Err(DecodeError::Field("event"))
        }
    }

    /// Reads a canonical array of at most `limit` events.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not one.
    pub fn decode_list(bytes: &[u8], limit: usize) -> Result<Vec<Self>, DecodeError> {
        wire::whole(
            bytes,
            "events",
            limit.saturating_mul(EVENT_BYTES_MAX),
            |decoder| wire::list(decoder, "events", limit, |d| Self::decode(d.skip()?)),
        )
    }

    /// The canonical array of `events`, which [`RootEvent::decode_list`] reads.
    pub fn encode_list(events: &[Self]) -> Vec<u8> {
        let mut encoder = trilith_types::cbor::Encoder::new();
        encoder.array(events.len());
        for event in events {
            encoder.raw(&event.encode());
        }
        encoder.finish()
    }
}

fn encoded(event: &impl Wire) -> Vec<u8> {
    let mut encoder = trilith_types::cbor::Encoder::new();
    event.put(&mut encoder);
    encoder.finish()
}

/// Adds a field of 32 bytes if it is there.
fn with_bytes(map: MapBuilder, name: &'static str, bytes: Option<&[u8; 32]>) -> MapBuilder {
    match bytes {
        None => map,
        Some(bytes) => map.field(name, put::bytes(bytes)),
    }
}

fn of_runtime(runtime: &RuntimeId) -> MapBuilder {
    MapBuilder::new().field("runtime", put::bytes(runtime.as_bytes()))
}

/// The fields of all kinds of events; which of them must and may be there is up to the kind.
#[derive(Default)]
struct Fields {
    runtime: Option<RuntimeId>,
    epoch: Option<u64>,
    height: Option<u64>,
    committee: Option<Committee>,
    header: Option<BlockHeader>,
    round: Option<u64>,
    reason: Option<RoundFailure>,
    rank: Option<u64>,
    timeout: Option<bool>,
    node: Option<NodeId>,
    vote: Option<Hash>,
    code: Option<u32>,
    message: Option<String>,
}

impl Fields {
    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = Self::default();
        decoder.fields("event", 8, |name, d| {
            match name {
                "runtime" => fields.runtime = Some(wire::runtime(d, "runtime")?),
                "epoch" => fields.epoch = Some(d.uint()?),
                "height" => fields.height = Some(d.uint()?),
                "committee" => fields.committee = Some(Committee::read(d)?),
                "header" => fields.header = Some(BlockHeader::read(d)?),
                "round" => fields.round = Some(d.uint()?),
                "reason" => fields.reason = RoundFailure::from_number(d.uint()?),
                "rank" => fields.rank = Some(d.uint()?),
                "timeout" => fields.timeout = Some(d.bool()?),
                "node" => fields.node = Some(wire::node(d, "node")?),
                "vote" => fields.vote = Some(wire::hash(d, "vote")?),
                "code" => fields.code = Some(wire::narrow(d, "code")?),
                "message" => {
                    fields.message = Some(d.text("message", MESSAGE_BYTES_MAX)?.to_owned());
                }
                _ => return Err(DecodeError::Field("event")),
            }
            Ok(())
        })?;
        Ok(fields)
    }

    /// Takes the fields that the kind `name` has.
    fn event(self, name: &str) -> Result<RootEvent, DecodeError> {
        if name == "epoch_started" {
            let epoch = Epoch(wire::required(self.epoch, "epoch")?);
            let height = Height(wire::required(self.height, "height")?);
            return Ok(RootEvent::EpochStarted { epoch, height });
        }
        let runtime = wire::required(self.runtime, "runtime")?;
        match name {
            "committee_elected" => {
                let committee = wire::required(self.committee, "committee")?;
                return Ok(RootEvent::CommitteeElected { runtime, committee });
            }
            "round_finalized" => {
                let header = wire::required(self.header, "header")?;
                return Ok(RootEvent::RoundFinalized { runtime, header });
            }
            "commitment_rejected" => {
                let code = wire::required(self.code, "code")?;
                let message = wire::required(self.message, "message")?;
                let node = self.node;
                return Ok(RootEvent::CommitmentRejected {
                    runtime,
                    node,
                    code,
                    message,
                });
            }
            _ => {}
        }
        let round = Round(wire::required(self.round, "round")?);
        match name {
            "round_failed" => {
                let reason = wire::required(self.reason, "reason")?;
                Ok(RootEvent::RoundFailed {
                    runtime,
                    round,
                    reason,
                })
            }
            "discrepancy_detected" => {
                let rank = wire::required(self.rank, "rank")?;
                let timeout = wire::required(self.timeout, "timeout")?;
                Ok(RootEvent::DiscrepancyDetected {
                    runtime,
                    round,
                    rank,
                    timeout,
                })
            }
            "commitment_accepted" => {
                let node = wire::required(self.node, "node")?;
                Ok(RootEvent::CommitmentAccepted {
                    runtime,
                    round,
                    node,
                    vote: self.vote,
                })
            }
            _ => Err(DecodeError::Field("event")),
        }
    }
}
