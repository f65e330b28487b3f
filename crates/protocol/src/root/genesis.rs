//! The document a network starts from. Its hash names the network in every signature.

use std::collections::BTreeSet;
use std::ops::BitOr;

use thiserror::Error;
use trilith_params::host::{
    BATCH_BYTES_MAX, BATCH_BYTES_MIN, BATCH_FLUSH_TIMEOUT_MIN, BATCH_INPUTS_MAX, MESSAGES_MAX,
    PROPOSE_BATCH_TIMEOUT_MIN,
};
pub use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_params::root::{
    CHAIN_NAME_BYTES_MAX, GENESIS_NODES_MAX as NODES_MAX, GENESIS_RUNTIMES_MAX as RUNTIMES_MAX,
    STORAGE_RECEIPTS_MAX,
};
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Hash, NodeId, RuntimeId, TimeNanos};

use super::{Address, COMMITTEE_MEMBERS_MAX, Quantity, ROOT_RUNTIME, Services};
use crate::wire::{self, FieldShape, Shape, put};
use crate::{Reject, RoundLimits};

/// What a node does, as a set of bits. Source of the numbers: Oasis Core `common/node`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeRoles(u32);

impl NodeRoles {
    /// Executes runtimes.
    pub const COMPUTE: Self = Self(1);
    /// Executes runtimes for itself, outside committees.
    pub const OBSERVER: Self = Self(2);
    /// Keeps secrets of runtimes.
    pub const KEY_MANAGER: Self = Self(4);
    /// Orders root blocks.
    pub const VALIDATOR: Self = Self(8);
    /// Keeps states and signs storage receipts.
    pub const STORAGE: Self = Self(32);

    /// Whether every role of `other` is among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The roles with these bits; `None` if one of them is no role.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        let known = Self::COMPUTE.0
            | Self::OBSERVER.0
            | Self::KEY_MANAGER.0
            | Self::VALIDATOR.0
            | Self::STORAGE.0;
        if bits & !known == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for NodeRoles {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A node of the genesis document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisNode {
    /// The key with which it signs commitments and by which it is known.
    pub id: NodeId,
    /// What it does.
    pub roles: NodeRoles,
}

/// Where the backups of a committee come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BackupRule {
    /// From the nodes that are not primaries, and there are more of them than primaries. A
    /// committee of one needs no backups: it cannot disagree with itself.
    Separate = 0,
    /// From all eligible nodes: one node may be both. Oasis Core's rule.
    Shared = 1,
}

/// How a runtime's rounds are executed. Source: Oasis Core `registry/api` (`ExecutorParameters`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorParameters {
    /// How many primaries execute every round; at least 1.
    pub group_size: u32,
    /// How many backups settle discrepancies.
    pub backup_size: u32,
    /// How many primaries may be missing or fail without a discrepancy; at most the group size,
    /// and at most the backup size if that is not 0.
    pub allowed_stragglers: u32,
    /// How long to wait for commitments after a scheduler's, in heights; at least 1.
    pub round_timeout: u64,
    /// Most messages to the root in one round.
    pub max_messages: u32,
    /// Where backups come from.
    pub backup_rule: BackupRule,
}

/// How a runtime's batches are cut. Source: Oasis Core `registry/api` (`TxnSchedulerParameters`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerParameters {
    /// Most inputs of a batch; at least 1.
    pub max_batch_size: u32,
    /// Most bytes of all inputs of a batch together; at least 1024.
    pub max_batch_size_bytes: u64,
    /// Longest wait before a batch that is not full is cut, in milliseconds; at least 50.
    pub batch_flush_timeout_ms: u64,
    /// How long the scheduler of one rank is waited for before the next may propose, in
    /// milliseconds; at least 1,000 and at least the flush timeout.
    pub propose_batch_timeout_ms: u64,
}

/// What the root knows of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeDescriptor {
    /// Its identifier.
    pub id: RuntimeId,
    /// Root of the state it starts from.
    pub genesis_state_root: Hash,
    /// How its rounds are executed.
    pub executor: ExecutorParameters,
    /// How its batches are cut.
    pub txn_scheduler: SchedulerParameters,
    /// How many storage nodes must have signed a receipt of a round's roots before an executor may
    /// commit to them; 0 asks for none.
    pub storage_receipts_min: u32,
    /// How many storage nodes are elected whose receipts count, where any are asked for; 0 elects
    /// all that can be.
    pub storage_group_size: u32,
}

impl RuntimeDescriptor {
    /// The bounds of a round as the runtime sees them.
    pub fn round_limits(&self) -> RoundLimits {
        RoundLimits {
            batch_inputs_max: self.txn_scheduler.max_batch_size,
            batch_bytes_max: self.txn_scheduler.max_batch_size_bytes,
            messages_max: self.executor.max_messages,
        }
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let (executor, scheduler) = (&self.executor, &self.txn_scheduler);
        let executor = MapBuilder::new()
            .field("group_size", put::uint(executor.group_size.into()))
            .field("group_backup_size", put::uint(executor.backup_size.into()))
            .field(
                "allowed_stragglers",
                put::uint(executor.allowed_stragglers.into()),
            )
            .field("round_timeout", put::uint(executor.round_timeout))
            .field("max_messages", put::uint(executor.max_messages.into()))
            .field("backup_rule", put::uint(executor.backup_rule as u64));
        let scheduler = MapBuilder::new()
            .field("max_batch_size", put::uint(scheduler.max_batch_size.into()))
            .field(
                "max_batch_size_bytes",
                put::uint(scheduler.max_batch_size_bytes),
            )
            .field(
                "batch_flush_timeout_ms",
                put::uint(scheduler.batch_flush_timeout_ms),
            )
            .field(
                "propose_batch_timeout_ms",
                put::uint(scheduler.propose_batch_timeout_ms),
            );
        MapBuilder::new()
            .field("id", put::bytes(self.id.as_bytes()))
            .field(
                "genesis_state_root",
                put::bytes(self.genesis_state_root.as_bytes()),
            )
            .field("executor", put::raw(&executor.finish()))
            .field("txn_scheduler", put::raw(&scheduler.finish()))
            .field(
                "storage_receipts_min",
                put::uint(self.storage_receipts_min.into()),
            )
            .field_if(
                self.storage_group_size > 0,
                "storage_group_size",
                put::uint(self.storage_group_size.into()),
            )
            .finish()
    }

    /// Reads what [`RuntimeDescriptor::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a descriptor.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "descriptor", 1024, Self::read)
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut id, mut state_root, mut executor) = (None, None, None);
        let (mut scheduler, mut receipts, mut storage) = (None, None, 0);
        decoder.fields("descriptor", 6, |name, d| {
            match name {
                "id" => id = Some(wire::runtime(d, "id")?),
                "genesis_state_root" => state_root = Some(wire::hash(d, "genesis_state_root")?),
                "executor" => executor = Some(read_executor(d)?),
                "txn_scheduler" => scheduler = Some(read_scheduler(d)?),
                "storage_receipts_min" => {
                    receipts = Some(wire::narrow(d, "storage_receipts_min")?);
                }
                "storage_group_size" => {
                    storage = wire::narrow(d, "storage_group_size")?;
                    if storage == 0 {
                        return Err(DecodeError::Field("storage_group_size"));
                    }
                }
                _ => return Err(DecodeError::Field("descriptor")),
            }
            Ok(())
        })?;
        Ok(Self {
            id: wire::required(id, "id")?,
            genesis_state_root: wire::required(state_root, "genesis_state_root")?,
            executor: wire::required(executor, "executor")?,
            txn_scheduler: wire::required(scheduler, "txn_scheduler")?,
            storage_receipts_min: wire::required(receipts, "storage_receipts_min")?,
            storage_group_size: storage,
        })
    }

    /// What the encoding looks like.
    pub fn shape() -> Shape {
        let numbers = |names: &[&'static str]| {
            let fields = names.iter().map(|name| FieldShape::always(name, uint()));
            Shape::Struct(fields.collect())
        };
        let executor = numbers(&[
            "group_size",
            "group_backup_size",
            "allowed_stragglers",
            "round_timeout",
            "max_messages",
            "backup_rule",
        ]);
        let scheduler = numbers(&[
            "max_batch_size",
            "max_batch_size_bytes",
            "batch_flush_timeout_ms",
            "propose_batch_timeout_ms",
        ]);
        Shape::Struct(vec![
            FieldShape::always("id", Shape::Exact(RuntimeId::LEN)),
            FieldShape::always("genesis_state_root", Shape::Exact(Hash::LEN)),
            FieldShape::always("executor", executor),
            FieldShape::always("txn_scheduler", scheduler),
            FieldShape::always("storage_receipts_min", uint()),
        ])
    }

    /// Checks the relations between the numbers.
    ///
    /// # Errors
    /// [`GenesisError`] naming the first that does not hold.
    pub fn validate(&self) -> Result<(), GenesisError> {
        for (name, value, min, max) in self.executor.ranges() {
            self.check(name, value, min, max)?;
        }
        for (name, value, min, max) in self.txn_scheduler.ranges() {
            self.check(name, value, min, max)?;
        }
        let (receipts, receipts_max) = (self.storage_receipts_min, STORAGE_RECEIPTS_MAX as u64);
        self.check("storage_receipts_min", receipts.into(), 0, receipts_max)?;
        // A group that nobody asks for signatures, or that cannot give enough of them, is a mistake.
        let (group, members_max) = (self.storage_group_size, COMMITTEE_MEMBERS_MAX as u64);
        let (group_min, group_max) = match (receipts, group) {
            (0, _) => (0, 0),
            (_, 0) => (0, members_max),
            (receipts, _) => (receipts.into(), members_max),
        };
        self.check("storage_group_size", group.into(), group_min, group_max)
    }

    fn check(
        &self,
        name: &'static str,
        value: u64,
        min: u64,
        max: u64,
    ) -> Result<(), GenesisError> {
        let runtime = self.id;
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(GenesisError::Range {
            runtime,
            name,
            value,
            min,
            max,
        })
    }
}

/// A field, its value, and the least and the most it may be.
type Range = (&'static str, u64, u64, u64);

/// Longest timeout of any kind, in its unit.
const TIMEOUT_MAX: u64 = u32::MAX as u64;

impl ExecutorParameters {
    fn ranges(&self) -> [Range; 5] {
        let (group, backups) = (u64::from(self.group_size), u64::from(self.backup_size));
        let members_max = COMMITTEE_MEMBERS_MAX as u64;
        let separate = self.backup_rule == BackupRule::Separate && group > 1;
        let backups_min = if separate { group + 1 } else { 0 };
        let stragglers_max = if backups == 0 {
            group
        } else {
            group.min(backups)
        };
        let stragglers = u64::from(self.allowed_stragglers);
        let messages = u64::from(self.max_messages);
        [
            ("group_size", group, 1, members_max),
            ("group_backup_size", backups, backups_min, members_max),
            ("allowed_stragglers", stragglers, 0, stragglers_max),
            ("round_timeout", self.round_timeout, 1, TIMEOUT_MAX),
            ("max_messages", messages, 0, MESSAGES_MAX as u64),
        ]
    }
}

impl SchedulerParameters {
    fn ranges(&self) -> [Range; 4] {
        let size = u64::from(self.max_batch_size);
        let bytes = self.max_batch_size_bytes;
        let (flush, propose) = (self.batch_flush_timeout_ms, self.propose_batch_timeout_ms);
        let propose_min = flush.max(PROPOSE_BATCH_TIMEOUT_MIN);
        [
            ("max_batch_size", size, 1, BATCH_INPUTS_MAX as u64),
            (
                "max_batch_size_bytes",
                bytes,
                BATCH_BYTES_MIN,
                BATCH_BYTES_MAX,
            ),
            (
                "batch_flush_timeout_ms",
                flush,
                BATCH_FLUSH_TIMEOUT_MIN,
                TIMEOUT_MAX,
            ),
            (
                "propose_batch_timeout_ms",
                propose,
                propose_min,
                TIMEOUT_MAX,
            ),
        ]
    }
}

fn read_executor(decoder: &mut Decoder<'_>) -> Result<ExecutorParameters, DecodeError> {
    let (mut group, mut backups, mut stragglers) = (None, None, None);
    let (mut timeout, mut messages, mut rule) = (None, None, None);
    decoder.fields("executor", 6, |name, d| {
        match name {
            "group_size" => group = Some(wire::narrow(d, "group_size")?),
            "group_backup_size" => backups = Some(wire::narrow(d, "group_backup_size")?),
            "allowed_stragglers" => stragglers = Some(wire::narrow(d, "allowed_stragglers")?),
            "round_timeout" => timeout = Some(d.uint()?),
            "max_messages" => messages = Some(wire::narrow(d, "max_messages")?),
            "backup_rule" => {
                rule = Some(match d.uint()? {
                    0 => BackupRule::Separate,
                    1 => BackupRule::Shared,
                    _ => return Err(DecodeError::Field("backup_rule")),
                });
            }
            _ => return Err(DecodeError::Field("executor")),
        }
        Ok(())
    })?;
    Ok(ExecutorParameters {
        group_size: wire::required(group, "group_size")?,
        backup_size: wire::required(backups, "group_backup_size")?,
        allowed_stragglers: wire::required(stragglers, "allowed_stragglers")?,
        round_timeout: wire::required(timeout, "round_timeout")?,
        max_messages: wire::required(messages, "max_messages")?,
        backup_rule: wire::required(rule, "backup_rule")?,
    })
}

fn read_scheduler(decoder: &mut Decoder<'_>) -> Result<SchedulerParameters, DecodeError> {
    let (mut size, mut bytes, mut flush, mut propose) = (None, None, None, None);
    decoder.fields("txn_scheduler", 4, |name, d| {
        match name {
            "max_batch_size" => size = Some(wire::narrow(d, "max_batch_size")?),
            "max_batch_size_bytes" => bytes = Some(d.uint()?),
            "batch_flush_timeout_ms" => flush = Some(d.uint()?),
            "propose_batch_timeout_ms" => propose = Some(d.uint()?),
            _ => return Err(DecodeError::Field("txn_scheduler")),
        }
        Ok(())
    })?;
    Ok(SchedulerParameters {
        max_batch_size: wire::required(size, "max_batch_size")?,
        max_batch_size_bytes: wire::required(bytes, "max_batch_size_bytes")?,
        batch_flush_timeout_ms: wire::required(flush, "batch_flush_timeout_ms")?,
        propose_batch_timeout_ms: wire::required(propose, "propose_batch_timeout_ms")?,
    })
}

/// A BLS12-381 public key of a group: a compressed point of G2, 96 bytes. Whether it is a valid
/// point is checked where it verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThresholdKey(pub [u8; 96]);

/// The genesis document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootGenesis {
    /// Name of the network, at most 64 bytes, for people.
    pub chain: String,
    /// Agreed time of height 0.
    pub time: TimeNanos,
    /// Heights between two elections; at least 1.
    pub epoch_interval: u64,
    /// The first nodes, ascending by key.
    pub nodes: Vec<GenesisNode>,
    /// The first runtimes, ascending by identifier.
    pub runtimes: Vec<RuntimeDescriptor>,
    /// The validators' group key for consensus certificates and randomness.
    pub consensus_key: ThresholdKey,
    /// The validators' group key for attested leaves.
    pub certification_key: ThresholdKey,
    /// What the services of the root start from; not in the document if it is the default.
    pub services: Services,
}

/// A rule of accounts in a genesis document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccountRule {
    /// The address must not be reserved.
    #[error("its address is reserved")]
    Reserved,
    /// The commission schedule must be acceptable.
    #[error("its commission schedule breaks the rules")]
    Commission,
    /// An account, delegation or claim must not be empty.
    #[error("it is there but empty")]
    Empty,
    /// An account must not be too large.
    #[error("its encoding is over the limit of an account")]
    TooLarge,
    /// Delegations that end must be ascending by epoch.
    #[error("delegations to it that end are not ascending by epoch")]
    Order,
    /// A claim gives exactly one of two amounts.
    #[error("a claim of it gives not exactly one amount")]
    Claim,
}

/// Why a genesis document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// A number of a runtime is out of its range.
    #[error("runtime {runtime}: {name} is {value}, it must be from {min} to {max}")]
    Range {
        /// The runtime.
        runtime: RuntimeId,
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// The epoch interval is 0.
    #[error("the epoch interval is 0 heights, it must be at least 1")]
    EpochInterval,
    /// The name is too long.
    #[error("the name of the network has {len} bytes, it must have from 1 to {limit}")]
    ChainName {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many nodes or runtimes.
    #[error("{count} {what}, the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A list is not strictly ascending.
    #[error("the {what} are not ascending without repetition")]
    Order {
        /// Which list.
        what: &'static str,
    },
    /// Something is too large.
    #[error("{what} with {len} bytes, the limit is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The parts of something do not add up.
    #[error("the {what} are {found}, the parts add up to {expected}")]
    Sum {
        /// What does not add up.
        what: &'static str,
        /// What the document says.
        found: Quantity,
        /// What the parts are; the largest quantity if they do not fit.
        expected: Quantity,
    },
    /// An account cannot be as the document says.
    #[error("account {account}: {rule}")]
    Account {
        /// The account.
        account: Address,
        /// What it breaks.
        rule: AccountRule,
    },
    /// A runtime cannot stand where the document says.
    #[error("runtime {runtime} cannot stand in round {round}, at most {limit}: {reason}")]
    Standing {
        /// The runtime.
        runtime: RuntimeId,
        /// The round it is said to stand in.
        round: u64,
        /// The latest round it may.
        limit: u64,
        /// What it breaks.
        reason: &'static str,
    },
    /// The registry's part breaks a rule.
    #[error("the registry's part of the document: {0}")]
    Registry(Reject),
    /// The part of another service breaks a rule.
    #[error("the part of a service in the document: {0}")]
    Service(Reject),
    /// A service's part breaks a rule.
    #[error("the {part} of the document break a rule: {rule}")]
    Rule {
        /// What of the document.
        part: &'static str,
        /// Which rule, with the values where there are any.
        rule: String,
    },
    /// A runtime has the root's identifier.
    #[error("a runtime has the identifier {ROOT_RUNTIME}, which is the root's")]
    RootIdentifier,
}

impl RootGenesis {
    /// Checks everything about the document that its encoding does not.
    ///
    /// # Errors
    /// [`GenesisError`] naming the first fault.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let (len, limit) = (self.chain.len(), CHAIN_NAME_BYTES_MAX);
        if len == 0 || len > limit {
            return Err(GenesisError::ChainName { len, limit });
        }
        if self.epoch_interval == 0 {
            return Err(GenesisError::EpochInterval);
        }
        let counts = [
            ("nodes", self.nodes.len(), NODES_MAX),
            ("runtimes", self.runtimes.len(), RUNTIMES_MAX),
        ];
        for (what, count, limit) in counts {
            if count > limit {
                return Err(GenesisError::TooMany { what, count, limit });
            }
        }
        if !self.nodes.windows(2).all(|pair| pair[0].id < pair[1].id) {
            return Err(GenesisError::Order { what: "nodes" });
        }
        if !self.runtimes.windows(2).all(|pair| pair[0].id < pair[1].id) {
            return Err(GenesisError::Order { what: "runtimes" });
        }
        for runtime in &self.runtimes {
            if runtime.id == ROOT_RUNTIME {
                return Err(GenesisError::RootIdentifier);
            }
            runtime.validate()?;
        }
        Ok(())
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("chain", put::text(&self.chain))
            .field("time", put::uint(self.time.0))
            .field("epoch_interval", put::uint(self.epoch_interval))
            .field(
                "nodes",
                put::list(&self.nodes, |encoder, node| {
                    let map = MapBuilder::new()
                        .field("id", put::bytes(node.id.as_bytes()))
                        .field("roles", put::uint(node.roles.bits().into()));
                    encoder.raw(&map.finish());
                }),
            )
            .field(
                "runtimes",
                put::list(&self.runtimes, |encoder, runtime| {
                    encoder.raw(&runtime.encode());
                }),
            )
            .field("consensus_key", put::bytes(&self.consensus_key.0))
            .field("certification_key", put::bytes(&self.certification_key.0))
            .field_if(
                self.services != Services::default(),
                "services",
                put::raw(&self.services.encode()),
            )
            .finish()
    }

    /// Reads what [`RootGenesis::encode`] wrote. Call [`RootGenesis::validate`] before use.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a document or exceed
    /// [`GENESIS_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "genesis", GENESIS_BYTES_MAX, |decoder| {
            let (mut chain, mut time, mut interval) = (None, None, None);
            let (mut nodes, mut runtimes) = (None, None);
            let (mut consensus, mut certification) = (None, None);
            let mut services = Services::default();
            decoder.fields("genesis", 8, |name, d| {
                match name {
                    "chain" => chain = Some(d.text("chain", CHAIN_NAME_BYTES_MAX)?.to_owned()),
                    "time" => time = Some(TimeNanos(d.uint()?)),
                    "epoch_interval" => interval = Some(d.uint()?),
                    "nodes" => nodes = Some(wire::list(d, "nodes", NODES_MAX, read_node)?),
                    "runtimes" => {
                        let read = RuntimeDescriptor::read;
                        runtimes = Some(wire::list(d, "runtimes", RUNTIMES_MAX, read)?);
                    }
                    "consensus_key" => consensus = Some(d.bytes_exact("consensus_key")?),
                    "certification_key" => {
                        certification = Some(d.bytes_exact("certification_key")?);
                    }
                    "services" => {
                        services = Services::decode(d.skip()?)?;
                        if services == Services::default() {
                            return Err(DecodeError::Field("services"));
                        }
                    }
                    _ => return Err(DecodeError::Field("genesis")),
                }
                Ok(())
            })?;
            Ok(Self {
                chain: wire::required(chain, "chain")?,
                time: wire::required(time, "time")?,
                epoch_interval: wire::required(interval, "epoch_interval")?,
                nodes: wire::required(nodes, "nodes")?,
                runtimes: wire::required(runtimes, "runtimes")?,
                consensus_key: ThresholdKey(wire::required(consensus, "consensus_key")?),
                certification_key: ThresholdKey(wire::required(
                    certification,
                    "certification_key",
                )?),
                services,
            })
        })
    }

    /// What the encoding looks like, all of it but the field `services`, which is there unless it
    /// is the default.
    pub fn shape() -> Shape {
        let node = Shape::Struct(vec![
            FieldShape::always("id", Shape::Exact(size_of::<NodeId>())),
            FieldShape::always("roles", uint()),
        ]);
        Shape::Struct(vec![
            FieldShape::always("chain", Shape::Text),
            FieldShape::always("time", uint()),
            FieldShape::always("epoch_interval", uint()),
            FieldShape::always("nodes", Shape::list_of(node)),
            FieldShape::always("runtimes", Shape::list_of(RuntimeDescriptor::shape())),
            FieldShape::always("consensus_key", Shape::Exact(96)),
            FieldShape::always("certification_key", Shape::Exact(96)),
        ])
    }

    /// What the root knows of every compute runtime at height 0, ascending: those of the plain
    /// list and those that are registered, suspended ones included.
    pub fn compute_runtimes(&self) -> Vec<RuntimeDescriptor> {
        let registry = &self.services.registry;
        let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
        let registered = registered.filter(|runtime| runtime.is_compute());
        let registered = registered.map(super::registry::Runtime::descriptor);
        let mut all: Vec<_> = self.runtimes.iter().cloned().chain(registered).collect();
        all.sort_by_key(|descriptor| descriptor.id);
        all
    }

    /// The hash that names the network in every signature.
    pub fn chain_context(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// The descriptor of a runtime.
    pub fn runtime(&self, id: &RuntimeId) -> Option<&RuntimeDescriptor> {
        self.runtimes.iter().find(|runtime| runtime.id == *id)
    }

    /// The nodes that have all of `roles`.
    pub fn nodes_with(&self, roles: NodeRoles) -> BTreeSet<NodeId> {
        self.nodes
            .iter()
            .filter(|node| node.roles.has(roles))
            .map(|node| node.id)
            .collect()
    }
}

/// The shape of a number.
const fn uint() -> Shape {
    Shape::Uint(u64::MAX)
}

fn read_node(decoder: &mut Decoder<'_>) -> Result<GenesisNode, DecodeError> {
    let (mut id, mut roles) = (None, None);
    decoder.fields("node", 2, |name, d| {
        match name {
            "id" => id = Some(wire::node(d, "id")?),
            "roles" => roles = NodeRoles::from_bits(wire::narrow(d, "roles")?),
            _ => return Err(DecodeError::Field("node")),
        }
        Ok(())
    })?;
    Ok(GenesisNode {
        id: wire::required(id, "id")?,
        roles: wire::required(roles, "roles")?,
    })
}
