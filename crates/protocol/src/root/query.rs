//! Questions to the root and their answers.

use trilith_params::root::{ACCOUNT_BYTES_MAX, PARAMETERS_BYTES_MAX};
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Epoch, Height, NodeId, PublicKey, RuntimeId, TimeNanos};

use super::registry::{Entity, Node, NodeStatus, RegistryParameters, Runtime};
use super::staking::{Account, Delegation, StakingParameters};
use super::{Address, Committee, FROM_ROOT_BYTES_MAX, FromRoot, Quantity, read_variant, variant};
use crate::BlockHeader;
use crate::wire::{self, Wire, put, wire_struct};

/// Most bytes of an encoded answer. The largest is what a round sees of the root.
const ANSWER_BYTES_MAX: usize = 1024 + FROM_ROOT_BYTES_MAX;

const _: () = assert!(
    ACCOUNT_BYTES_MAX <= FROM_ROOT_BYTES_MAX && PARAMETERS_BYTES_MAX <= FROM_ROOT_BYTES_MAX
);

/// Most bytes of an encoded question.
pub const QUERY_BYTES_MAX: usize = 256;

/// A question to the root's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootQuery {
    /// Who executes this runtime?
    Committee(RuntimeId),
    /// What is the newest block of this runtime?
    LatestBlock(RuntimeId),
    /// Which epoch is it?
    Epoch,
    /// Which height was executed last?
    Tip,
    /// What does this staking account have?
    Account(Address),
    /// How much has a delegator delegated?
    Delegation {
        /// To whom.
        delegate: Address,
        /// Who.
        delegator: Address,
    },
    /// All stake there is, and what the staking service's rules depend on.
    Staking,
    /// What is registered of this entity?
    Entity(PublicKey),
    /// What is registered of this node, and how does it stand?
    Node(NodeId),
    /// What is registered of this runtime, and is it suspended?
    Runtime(RuntimeId),
    /// What the registry's rules depend on.
    Registry,
    /// What does a round of this runtime see of the root?
    FromRoot(RuntimeId),
    /// What was committed to the running round of this runtime?
    RunningRound(RuntimeId),
}

impl RootQuery {
    /// Canonical encoding: `{kind: value}`.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Committee(runtime) => {
                MapBuilder::new().field("committee", put::bytes(runtime.as_bytes()))
            }
            Self::LatestBlock(runtime) => {
                MapBuilder::new().field("latest_block", put::bytes(runtime.as_bytes()))
            }
            Self::Epoch => MapBuilder::new().field("epoch", |encoder| {
                encoder.null();
            }),
            Self::Tip => MapBuilder::new().field("tip", |encoder| {
                encoder.null();
            }),
            Self::Account(address) => of("account", address),
            Self::Delegation {
                delegate,
                delegator,
            } => of("delegation", &vec![*delegate, *delegator]),
            Self::Staking => of("staking", &None::<u64>),
            Self::Entity(id) => of("entity", id),
            Self::Node(id) => of("node", id),
            Self::Runtime(id) => of("runtime", id),
            Self::Registry => of("registry", &None::<u64>),
            Self::FromRoot(id) => of("from_root", id),
            Self::RunningRound(id) => of("running_round", id),
        }
        .finish()
    }

    /// Reads what [`RootQuery::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a question.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "query", QUERY_BYTES_MAX, |decoder| {
            read_variant(decoder, "query", |name, d| match name {
                "committee" => Ok(Self::Committee(wire::runtime(d, "runtime")?)),
                "latest_block" => Ok(Self::LatestBlock(wire::runtime(d, "runtime")?)),
                "epoch" if d.null() => Ok(Self::Epoch),
                "tip" if d.null() => Ok(Self::Tip),
                "account" => Ok(Self::Account(Wire::read(d, "address")?)),
                "delegation" => match Vec::read(d, "addresses")?[..] {
                    [delegate, delegator] => Ok(Self::Delegation {
                        delegate,
                        delegator,
                    }),
                    _ => Err(DecodeError::Field("addresses")),
                },
                "staking" if d.null() => Ok(Self::Staking),
                "entity" => Ok(Self::Entity(Wire::read(d, "entity")?)),
                "node" => Ok(Self::Node(wire::node(d, "node")?)),
                "runtime" => Ok(Self::Runtime(wire::runtime(d, "runtime")?)),
                "registry" if d.null() => Ok(Self::Registry),
                "from_root" => Ok(Self::FromRoot(wire::runtime(d, "runtime")?)),
                "running_round" => Ok(Self::RunningRound(wire::runtime(d, "runtime")?)),
                _ => Err(DecodeError::Field("query")),
            })
        })
    }
}

/// A map of one field.
fn of(name: &'static str, value: &impl Wire) -> MapBuilder {
    MapBuilder::new().field(name, |encoder| value.put(encoder))
}

wire_struct! {
    /// The whole of stake.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StakingSummary as "staking summary", at most ANSWER_BYTES_MAX, {
        /// All stake there is, in base units.
        total_supply: Quantity = always "total_supply",
        /// What the rules depend on.
        params: StakingParameters = always "params",
    }
}

wire_struct! {
    /// A registered node and how it stands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NodeRecord as "node record", at most ANSWER_BYTES_MAX, {
        /// Its descriptor.
        descriptor: Node = always "descriptor",
        /// Frozen, expired, waiting.
        status: NodeStatus = always "status",
    }
}

wire_struct! {
    /// A registered runtime and whether it runs.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RuntimeRecord as "runtime record", at most ANSWER_BYTES_MAX, {
        /// Its descriptor.
        descriptor: Runtime = always "descriptor",
        /// Whether it is suspended.
        suspended: bool = always "suspended",
    }
}

wire_struct! {
    /// Whose vote for which proposal is there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VoteOf as "vote", at most 128, {
        /// Rank of the scheduler whose proposal was executed.
        rank: u64 = always "rank",
        /// Who committed.
        node: NodeId = always "node",
    }
}

wire_struct! {
    /// What was committed to the running round of a runtime.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RunningRound as "running round", at most ANSWER_BYTES_MAX, {
        /// The best rank whose scheduler has committed.
        best: Option<u64> = always "best",
        /// Whether it is disputed, so that the backups decide.
        disputed: bool = always "disputed",
        /// The votes that are there, by rank and node.
        votes: Vec<VoteOf> = unless_empty "votes",
    }
}

/// The answer to a [`RootQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootAnswer {
    /// The committee; `None` if the runtime has none or is unknown.
    Committee(Option<Committee>),
    /// The newest block; `None` if the runtime is unknown.
    LatestBlock(Option<BlockHeader>),
    /// The epoch and its first height.
    Epoch {
        /// The epoch.
        epoch: Epoch,
        /// Its first height.
        since: Height,
    },
    /// The newest height.
    Tip {
        /// The height.
        height: Height,
        /// Its agreed time.
        time: TimeNanos,
        /// The newest randomness the root was given; the chain context before the first.
        randomness: [u8; 32],
    },
    /// The account; an empty one if there is none.
    Account(Box<Account>),
    /// The shares of the active pool; none if nothing is delegated.
    Delegation(Delegation),
    /// The whole of stake.
    Staking(Box<StakingSummary>),
    /// The entity; `None` if it is not registered.
    Entity(Option<Entity>),
    /// The node; `None` if it is not registered.
    Node(Option<Box<NodeRecord>>),
    /// The runtime; `None` if it is not registered.
    Runtime(Option<Box<RuntimeRecord>>),
    /// The registry's parameters.
    Registry(Box<RegistryParameters>),
    /// What a round of the runtime sees of the root.
    FromRoot(Box<FromRoot>),
    /// What was committed to the running round.
    RunningRound(Box<RunningRound>),
}

/// A map of one field, null where there is no value.
fn boxed(name: &'static str, value: Option<&impl Wire>) -> Vec<u8> {
    let map = MapBuilder::new().field(name, |encoder| match value {
        None => {
            encoder.null();
        }
        Some(value) => value.put(encoder),
    });
    map.finish()
}

impl RootAnswer {
    /// Canonical encoding: `{kind: value}`, null where there is none.
    pub fn encode(&self) -> Vec<u8> {
        const NULL: &[u8] = &[0xf6];
        match self {
            Self::Committee(None) => variant("committee", NULL),
            Self::Committee(Some(committee)) => variant("committee", &committee.encode()),
            Self::LatestBlock(None) => variant("latest_block", NULL),
            Self::LatestBlock(Some(header)) => variant("latest_block", &header.encode()),
            Self::Epoch { epoch, since } => {
                let map = MapBuilder::new()
                    .field("epoch", put::uint(epoch.0))
                    .field("since", put::uint(since.0));
                variant("epoch", &map.finish())
            }
            Self::Tip {
                height,
                time,
                randomness,
            } => {
                let map = MapBuilder::new()
                    .field("height", put::uint(height.0))
                    .field("time", put::uint(time.0))
                    .field("randomness", put::bytes(randomness));
                variant("tip", &map.finish())
            }
            Self::Account(account) => of("account", &**account).finish(),
            Self::Delegation(delegation) => of("delegation", delegation).finish(),
            Self::Staking(summary) => of("staking", &**summary).finish(),
            Self::Entity(entity) => of("entity", entity).finish(),
            Self::Node(node) => boxed("node", node.as_deref()),
            Self::Runtime(runtime) => boxed("runtime", runtime.as_deref()),
            Self::Registry(params) => of("registry", &**params).finish(),
            Self::FromRoot(news) => of("from_root", &**news).finish(),
            Self::RunningRound(round) => of("running_round", &**round).finish(),
        }
    }

    /// Reads what [`RootAnswer::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "answer", ANSWER_BYTES_MAX, |decoder| {
            read_variant(decoder, "answer", |name, d| match name {
                "committee" if d.null() => Ok(Self::Committee(None)),
                "committee" => Ok(Self::Committee(Some(Committee::read(d)?))),
                "latest_block" if d.null() => Ok(Self::LatestBlock(None)),
                "latest_block" => Ok(Self::LatestBlock(Some(BlockHeader::read(d)?))),
                "epoch" => Self::read_epoch(d),
                "tip" => Self::read_tip(d),
                "account" => Ok(Self::Account(Box::new(Wire::read(d, "account")?))),
                "delegation" => Ok(Self::Delegation(Wire::read(d, "delegation")?)),
                "staking" => Ok(Self::Staking(Box::new(Wire::read(d, "staking")?))),
                "entity" => Ok(Self::Entity(Wire::read(d, "entity")?)),
                "node" => Ok(Self::Node(Option::read(d, "node")?.map(Box::new))),
                "runtime" => Ok(Self::Runtime(Option::read(d, "runtime")?.map(Box::new))),
                "registry" => Ok(Self::Registry(Box::new(Wire::read(d, "registry")?))),
                "from_root" => Ok(Self::FromRoot(Box::new(Wire::read(d, "from_root")?))),
                "running_round" => Ok(Self::RunningRound(Box::new(Wire::read(d, "round")?))),
                _ => Err(DecodeError::Field("answer")),
            })
        })
    }

    fn read_epoch(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut epoch, mut since) = (None, None);
        decoder.fields("epoch", 2, |name, d| {
            match name {
                "epoch" => epoch = Some(Epoch(d.uint()?)),
                "since" => since = Some(Height(d.uint()?)),
                _ => return Err(DecodeError::Field("epoch")),
            }
            Ok(())
        })?;
        Ok(Self::Epoch {
            epoch: wire::required(epoch, "epoch")?,
            since: wire::required(since, "since")?,
        })
    }

    fn read_tip(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut height, mut time, mut randomness) = (None, None, None);
        decoder.fields("tip", 3, |name, d| {
            match name {
                "height" => height = Some(Height(d.uint()?)),
                "time" => time = Some(TimeNanos(d.uint()?)),
                "randomness" => randomness = Some(d.bytes_exact("randomness")?),
                _ => return Err(DecodeError::Field("tip")),
            }
            Ok(())
        })?;
        Ok(Self::Tip {
            height: wire::required(height, "height")?,
            time: wire::required(time, "time")?,
            randomness: wire::required(randomness, "randomness")?,
        })
    }
}
