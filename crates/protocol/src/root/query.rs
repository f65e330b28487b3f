//! Questions to the root and their answers.

use trilith_params::root::{ACCOUNT_BYTES_MAX, EVENTS_HEIGHT_MAX, PARAMETERS_BYTES_MAX};
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Epoch, Height, NodeId, PublicKey, RuntimeId, TimeNanos};

use super::beacon::{BeaconRecord, VrfDelivered};
use super::governance::{FeatureRecord, GovernanceParameters, Proposal, VoteEntry};
use super::keymanager::{
    KeymanagerParameters, SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret, Status,
};
use super::registry::{Entity, Node, NodeStatus, RegistryParameters, Runtime};
use super::scheduler::Validators;
use super::staking::{Account, Delegation, StakingParameters};
use super::{
    Address, Committee, FROM_ROOT_BYTES_MAX, FromRoot, Quantity, RootEvent, RoothashParameters,
    read_variant, variant,
};
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
    /// What are elections of the running epoch decided by?
    Beacon,
    /// Which proof did this node deliver for the running epoch's input?
    VrfProof(NodeId),
    /// Who orders blocks?
    Validators,
    /// Which entities are registered, after this one?
    Entities(Option<PublicKey>),
    /// Which nodes are registered, after this one?
    Nodes(Option<NodeId>),
    /// Which runtimes are registered, suspended ones included, after this one?
    Runtimes(Option<RuntimeId>),
    /// Which stake of this account is being taken back?
    Debonding(Address),
    /// What happened at this height that no transaction caused by itself?
    Events(Height),
    /// What do the governance service's rules depend on, and which upgrades are pending?
    Governance,
    /// Which proposals are there from this number on? Gives at most a page of them.
    Proposals(u64),
    /// Who voted how on a proposal? Gives at most a page of them.
    Votes(VotesOf),
    /// Which features are approved?
    Features,
    /// What do the key manager service's rules depend on, and which key managers are there?
    KeyManagers,
    /// How does this key manager stand?
    KeyManager(RuntimeId),
    /// What was committed to the running round of this runtime?
    RunningRound(RuntimeId),
    /// What do the roothash service's rules depend on?
    Roothash,
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
            Self::Beacon => of("beacon", &None::<u64>),
            Self::VrfProof(id) => of("vrf_proof", id),
            Self::Validators => of("validators", &None::<u64>),
            Self::Entities(after) => of("entities", after),
            Self::Nodes(after) => of("nodes", after),
            Self::Runtimes(after) => of("runtimes", after),
            Self::Debonding(address) => of("debonding", address),
            Self::Events(height) => of("events", &height.0),
            Self::Governance => of("governance", &None::<u64>),
            Self::Proposals(first) => of("proposals", first),
            Self::Votes(votes) => of("votes", votes),
            Self::Features => of("features", &None::<u64>),
            Self::KeyManagers => of("keymanagers", &None::<u64>),
            Self::KeyManager(id) => of("keymanager", id),
            Self::RunningRound(id) => of("running_round", id),
            Self::Roothash => of("roothash", &None::<u64>),
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
                "beacon" if d.null() => Ok(Self::Beacon),
                "vrf_proof" => Ok(Self::VrfProof(wire::node(d, "node")?)),
                "validators" if d.null() => Ok(Self::Validators),
                "entities" => Ok(Self::Entities(Wire::read(d, "entity")?)),
                "nodes" => Ok(Self::Nodes(Wire::read(d, "node")?)),
                "runtimes" => Ok(Self::Runtimes(Wire::read(d, "runtime")?)),
                "debonding" => Ok(Self::Debonding(Wire::read(d, "address")?)),
                "events" => Ok(Self::Events(Height(d.uint()?))),
                "governance" if d.null() => Ok(Self::Governance),
                "proposals" => Ok(Self::Proposals(d.uint()?)),
                "votes" => Ok(Self::Votes(Wire::read(d, "votes")?)),
                "features" if d.null() => Ok(Self::Features),
                "keymanagers" if d.null() => Ok(Self::KeyManagers),
                "keymanager" => Ok(Self::KeyManager(wire::runtime(d, "runtime")?)),
                "running_round" => Ok(Self::RunningRound(wire::runtime(d, "runtime")?)),
                "roothash" if d.null() => Ok(Self::Roothash),
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

/// Most items of one answer that lists: whoever wants more asks for those after the last.
pub const LISTED_MAX: usize = 1_024;

wire_struct! {
    /// Stake that is being taken back.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Debonding as "debonding", at most 256, {
        /// To whom it was delegated.
        delegate: Address = always "delegate",
        /// Shares of the delegate's debonding pool.
        shares: Quantity = always "shares",
        /// The epoch at whose start it is paid out.
        debond_end: Epoch = always "debond_end",
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
    /// Which votes are asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VotesOf as "votes of", at most QUERY_BYTES_MAX, {
        /// Number of the proposal.
        proposal: u64 = always "proposal",
        /// The last voter of the page before, if there was one.
        after: Option<Address> = unless_empty "after",
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

wire_struct! {
    /// How the governance service stands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GovernanceSummary as "governance summary", at most ANSWER_BYTES_MAX, {
        /// What the rules depend on.
        params: GovernanceParameters = always "params",
        /// Number of the next proposal.
        next_proposal: u64 = always "next_proposal",
        /// Numbers of the proposals that can be voted on, those that close first before others.
        active: Vec<u64> = always "active",
        /// Numbers of the proposals of pending upgrades, the next one first.
        pending_upgrades: Vec<u64> = always "pending_upgrades",
    }
}

wire_struct! {
    /// The approved features. Those whose epoch has not come are pending.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FeatureList as "features", at most ANSWER_BYTES_MAX, {
        /// The running epoch.
        epoch: Epoch = always "epoch",
        /// The features, ascending by identifier.
        features: Vec<FeatureRecord> = always "features",
    }
}

wire_struct! {
    /// How the key manager service stands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeymanagerSummary as "key manager summary", at most ANSWER_BYTES_MAX, {
        /// What the rules depend on.
        params: KeymanagerParameters = always "params",
        /// The key managers with a status, ascending.
        ids: Vec<RuntimeId> = always "ids",
    }
}

wire_struct! {
    /// How a key manager stands, and what it published.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeymanagerRecord as "key manager record", at most ANSWER_BYTES_MAX, {
        /// How it stands.
        status: Status = always "status",
        /// The newest proposed master secret.
        master_secret: Option<SignedEncryptedMasterSecret> = unless_empty "master_secret",
        /// The newest ephemeral secret.
        ephemeral_secret: Option<SignedEncryptedEphemeralSecret> = unless_empty "ephemeral_secret",
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
    /// What elections of the running epoch are decided by.
    Beacon(Box<BeaconRecord>),
    /// The proof; `None` if the node delivered none.
    VrfProof(Option<VrfDelivered>),
    /// Who orders blocks.
    Validators(Validators),
    /// The entities, ascending, at most [`LISTED_MAX`].
    Entities(Vec<PublicKey>),
    /// The nodes, ascending, at most [`LISTED_MAX`].
    Nodes(Vec<NodeId>),
    /// The runtimes, ascending, at most [`LISTED_MAX`].
    Runtimes(Vec<RuntimeId>),
    /// What is being taken back, at most [`LISTED_MAX`].
    Debonding(Vec<Debonding>),
    /// The events, in order; none if they are too old.
    Events(Vec<RootEvent>),
    /// How the governance service stands.
    Governance(Box<GovernanceSummary>),
    /// A page of proposals, ascending by number; empty if there are no more.
    Proposals(Vec<Proposal>),
    /// A page of votes, ascending by voter; empty if there are no more.
    Votes(Vec<VoteEntry>),
    /// The features.
    Features(FeatureList),
    /// How the key manager service stands.
    KeyManagers(Box<KeymanagerSummary>),
    /// The key manager; `None` if it has no status.
    KeyManager(Option<Box<KeymanagerRecord>>),
    /// What was committed to the running round.
    RunningRound(Box<RunningRound>),
    /// The roothash service's parameters.
    Roothash(Box<RoothashParameters>),
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
            Self::Beacon(record) => of("beacon", &**record).finish(),
            Self::VrfProof(delivered) => of("vrf_proof", delivered).finish(),
            Self::Validators(validators) => of("validators", validators).finish(),
            Self::Entities(ids) => of("entities", ids).finish(),
            Self::Nodes(ids) => of("nodes", ids).finish(),
            Self::Runtimes(ids) => of("runtimes", ids).finish(),
            Self::Debonding(list) => of("debonding", list).finish(),
            Self::Events(events) => variant("events", &RootEvent::encode_list(events)),
            Self::Governance(summary) => of("governance", &**summary).finish(),
            Self::Proposals(proposals) => of("proposals", proposals).finish(),
            Self::Votes(votes) => of("votes", votes).finish(),
            Self::Features(features) => of("features", features).finish(),
            Self::KeyManagers(summary) => of("keymanagers", &**summary).finish(),
            Self::KeyManager(record) => boxed("keymanager", record.as_deref()),
            Self::RunningRound(round) => of("running_round", &**round).finish(),
            Self::Roothash(params) => of("roothash", &**params).finish(),
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
                "beacon" => Ok(Self::Beacon(Box::new(Wire::read(d, "beacon")?))),
                "vrf_proof" => Ok(Self::VrfProof(Wire::read(d, "vrf_proof")?)),
                "validators" => Ok(Self::Validators(Wire::read(d, "validators")?)),
                "entities" => Ok(Self::Entities(Wire::read(d, "entities")?)),
                "nodes" => Ok(Self::Nodes(Wire::read(d, "nodes")?)),
                "runtimes" => Ok(Self::Runtimes(Wire::read(d, "runtimes")?)),
                "debonding" => Ok(Self::Debonding(Wire::read(d, "debonding")?)),
                "events" => {
                    let read = |d: &mut Decoder<'_>| RootEvent::decode(d.skip()?);
                    Ok(Self::Events(wire::list(
                        d,
                        "events",
                        EVENTS_HEIGHT_MAX,
                        read,
                    )?))
                }
                "governance" => Ok(Self::Governance(Box::new(Wire::read(d, "governance")?))),
                "proposals" => Ok(Self::Proposals(Wire::read(d, "proposals")?)),
                "votes" => Ok(Self::Votes(Wire::read(d, "votes")?)),
                "features" => Ok(Self::Features(Wire::read(d, "features")?)),
                "keymanagers" => Ok(Self::KeyManagers(Box::new(Wire::read(d, "keymanagers")?))),
                "keymanager" => Ok(Self::KeyManager(
                    Option::read(d, "keymanager")?.map(Box::new),
                )),
                "running_round" => Ok(Self::RunningRound(Box::new(Wire::read(d, "round")?))),
                "roothash" => Ok(Self::Roothash(Box::new(Wire::read(d, "roothash")?))),
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
