//! Developer networks of several nodes in one process: how they are asked for, and their nodes.
//!
//! ```text
//! node 0            orders blocks, serves the account gateway; DIR/state, DIR/code
//! node 1 ..         compute nodes, as many as the committees have members, then storage nodes;
//!                   each with DIR/nodes/<n>/state, DIR/nodes/<n>/code and sandboxes of its own
//! ```
//!
//! The canister gateway goes through a primary, whose answers to queries agents believe.
//!
//! All keys follow from the network's seed. The nodes trust each other no more than nodes on
//! different machines would; what they have in common is the process.

mod genesis;
mod port;
mod view;

use std::collections::BTreeSet;
use std::fmt;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use thiserror::Error;
use trilith_engine_canister::api::Executor;
use trilith_gateway_canister::CanisterPort;
use trilith_node::net::Hub;
use trilith_node::{
    Membership, Node, NodeConfig, NodeKeys, PoolLimits, RuntimeRegistry, SystemClock,
};
use trilith_protocol::RootGenesis;
use trilith_protocol::root::registry::{self, RegistryGenesis};
use trilith_protocol::root::{NodeRoles, ROOT_RUNTIME};
use trilith_root::{Root, genesis_write_log, state};
use trilith_store::Store;
use trilith_types::NodeId;

use crate::network::{CANISTER_RUNTIME, store_failure};

pub(crate) use genesis::genesis;
pub(crate) use port::CommitteePort;
pub(crate) use view::{Watched, roster, watch_rounds};

/// Most members of both committees together, so that a network fits a developer's machine.
const MEMBERS_MAX: u32 = 32;
/// Most storage nodes.
const STORAGE_MAX: u32 = 8;
/// Least nanoseconds between two root blocks: with [`genesis::ROUND_TIMEOUT_HEIGHTS`] heights, a
/// slow member has a second even while other runtimes keep the root busy.
const BLOCK_INTERVAL: u64 = 50_000_000;

/// How many primaries and backups: `3+4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitteeSize {
    /// Executors of every round.
    pub primaries: u16,
    /// Executors that settle disputes.
    pub backups: u16,
}

/// Why a size is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// It has another form.
    #[error("a committee is given as primaries+backups, 3+4 for example")]
    Form,
    /// One of the numbers is none.
    #[error(transparent)]
    Number(#[from] ParseIntError),
    /// There are no primaries.
    #[error("a committee has at least 1 primary")]
    NoPrimaries,
    /// Backups do not outnumber the primaries.
    #[error(
        "{backups} backups: several primaries need more backups than there are primaries, at least {least}"
    )]
    TooFewBackups {
        /// How many were asked for.
        backups: u16,
        /// The least.
        least: u32,
    },
    /// More than a machine should run.
    #[error("{members} members, the limit is {MEMBERS_MAX}")]
    TooMany {
        /// How many were asked for.
        members: u32,
    },
}

impl FromStr for CommitteeSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let (primaries, backups) = text.split_once('+').ok_or(SizeError::Form)?;
        let (primaries, backups) = (primaries.trim().parse()?, backups.trim().parse()?);
        if primaries == 0 {
            return Err(SizeError::NoPrimaries);
        }
        let least = u32::from(primaries) + 1;
        if primaries > 1 && u32::from(backups) < least {
            return Err(SizeError::TooFewBackups { backups, least });
        }
        let members = u32::from(primaries) + u32::from(backups);
        if members > MEMBERS_MAX {
            return Err(SizeError::TooMany { members });
        }
        Ok(Self { primaries, backups })
    }
}

/// A network of several nodes, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitteePlan {
    /// Size of the committees.
    pub size: CommitteeSize,
    /// How many primaries may be missing without a dispute.
    pub stragglers: u16,
    /// How many storage nodes; a commitment needs the receipt of one, if there are any.
    pub storage: u32,
}

impl fmt::Display for CommitteePlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommitteeSize { primaries, backups } = self.size;
        write!(
            formatter,
            "--committee {primaries}+{backups} --storage {}",
            self.storage
        )?;
        if self.stragglers > 0 {
            write!(formatter, " --stragglers {}", self.stragglers)?;
        }
        Ok(())
    }
}

impl CommitteePlan {
    /// A plan, checked.
    ///
    /// # Errors
    /// If there are more storage nodes or stragglers than may be.
    pub fn new(size: CommitteeSize, stragglers: u16, storage: u32) -> Result<Self> {
        if storage > STORAGE_MAX {
            bail!("--storage {storage}: the limit is {STORAGE_MAX}");
        }
        if stragglers > size.primaries || (size.backups > 0 && stragglers > size.backups) {
            bail!("--stragglers {stragglers}: more than there are primaries or backups");
        }
        Ok(Self {
            size,
            stragglers,
            storage,
        })
    }

    /// The plan that a genesis document was made from; `None` for a network of one node, and for
    /// one whose nodes are not those of this seed.
    pub(crate) fn of(genesis: &RootGenesis, seed: &[u8; 32]) -> Option<Self> {
        let registry = &genesis.services.registry;
        let runtime = registry.runtimes.first()?;
        let executor = &runtime.executor;
        let nodes = u32::try_from(registry.nodes.len()).ok()?;
        let members = u32::from(executor.group_size) + u32::from(executor.group_backup_size);
        let storage = nodes.checked_sub(members + 1)?;
        let plan = Self {
            size: CommitteeSize {
                primaries: executor.group_size,
                backups: executor.group_backup_size,
            },
            stragglers: executor.allowed_stragglers,
            storage,
        };
        (nodes > 1 && plan.registers(registry, seed)).then_some(plan)
    }

    /// Whether the registered nodes are those of this plan on the network with this seed.
    fn registers(&self, registry: &RegistryGenesis, seed: &[u8; 32]) -> bool {
        let id = |index| NodeKeys::of_developer_network(seed, index).node.public();
        let own: BTreeSet<NodeId> = (0..self.nodes()).map(id).collect();
        let found = registry.nodes.iter().map(|node| {
            let descriptor = registry::Node::decode(&node.raw.0);
            descriptor.ok().map(|descriptor| descriptor.id)
        });
        found.collect::<Option<BTreeSet<_>>>() == Some(own)
    }

    /// How many compute nodes there are.
    pub(crate) fn compute(&self) -> u32 {
        u32::from(self.size.primaries) + u32::from(self.size.backups)
    }

    /// How many nodes there are, with the validator.
    pub(crate) fn nodes(&self) -> u32 {
        1 + self.compute() + self.storage
    }

    /// What a node does.
    pub(crate) fn roles(&self, index: u32) -> NodeRoles {
        match index {
            0 => NodeRoles::VALIDATOR,
            _ if index <= self.compute() => NodeRoles::COMPUTE,
            _ => NodeRoles::STORAGE,
        }
    }
}

/// Makes the executor of a node's canisters, with its compiled modules in a folder.
pub(crate) type MakeExecutor<'a> = &'a dyn Fn(PathBuf) -> Result<Arc<dyn Executor>>;

/// Makes the runtimes of a node around the executor of its canisters.
pub(crate) type MakeRuntimes<'a> = &'a dyn Fn(Arc<dyn Executor>) -> RuntimeRegistry;

/// The nodes of a network beside the one that serves the gateways.
pub struct Committee {
    /// What was asked for.
    pub plan: CommitteePlan,
    /// Ids of all nodes, by number.
    pub ids: Vec<NodeId>,
    nodes: Vec<Node>,
    hub: Hub,
    pub(crate) elected: Elected,
}

impl Committee {
    /// Connects node 0, which orders blocks and has its state in `store`.
    pub(crate) fn begin(
        plan: CommitteePlan,
        seed: &[u8; 32],
        store: Arc<Store>,
    ) -> (Self, Membership) {
        let id = |index| NodeKeys::of_developer_network(seed, index).node.public();
        let ids: Vec<NodeId> = (0..plan.nodes()).map(id).collect();
        let hub = Hub::new();
        let membership = Membership {
            link: Box::new(hub.connect(ids[0])),
            validator: None,
            block_interval: BLOCK_INTERVAL,
        };
        let committee = Self {
            plan,
            ids,
            nodes: Vec::new(),
            hub,
            elected: Elected(store),
        };
        (committee, membership)
    }

    /// Starts the other nodes.
    ///
    /// # Errors
    /// If a folder cannot be used, or a node cannot be started.
    pub(crate) fn start(
        &mut self,
        (data, seed): (&Path, &[u8; 32]),
        genesis: &RootGenesis,
        executor: MakeExecutor<'_>,
        runtimes: MakeRuntimes<'_>,
    ) -> Result<()> {
        let root_state = genesis_write_log(genesis)?;
        for index in 1..self.plan.nodes() {
            let folder = data.join("nodes").join(index.to_string());
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
            let (store, _) = Store::open_dir(&folder.join("state")).map_err(store_failure)?;
            let keys = NodeKeys::of_developer_network(seed, index);
            let membership = Membership {
                link: Box::new(self.hub.connect(self.ids[index as usize])),
                validator: Some(self.ids[0]),
                block_interval: BLOCK_INTERVAL,
            };
            let registry = runtimes(executor(folder.join("code"))?);
            let config = NodeConfig {
                genesis: genesis.clone(),
                root: Arc::new(Root::new()),
                root_state: root_state.clone(),
                keys,
                pool: PoolLimits::default(),
            };
            let joined = (membership, Arc::new(SystemClock) as _);
            let node = Node::join(Arc::new(store), &registry, config, joined)?;
            self.nodes.push(node);
        }
        Ok(())
    }

    /// The number of the first node that ended by itself, if one did.
    pub(crate) fn ended(&self) -> Option<usize> {
        let ended = self.nodes.iter().position(|node| !node.is_running());
        ended.map(|index| index + 1)
    }

    /// Stops all of its nodes.
    ///
    /// # Errors
    /// The first error that ended a node.
    pub(crate) fn stop(self) -> Result<()> {
        let results: Vec<_> = self.nodes.into_iter().map(Node::stop).collect();
        for (index, result) in results.into_iter().enumerate() {
            result.with_context(|| format!("node {}", index + 1))?;
        }
        Ok(())
    }

    /// The port of the canister gateway, over all nodes.
    pub(crate) fn port(&self, validator: &Node, root_key_der: &[u8]) -> Result<CommitteePort> {
        let mut ports = Vec::new();
        for node in std::iter::once(validator).chain(&self.nodes) {
            let handle = node
                .handle(&CANISTER_RUNTIME)
                .context("a node has no canister runtime")?;
            ports.push(CanisterPort::new(handle, root_key_der.to_vec()));
        }
        let elected = self.elected.committee();
        let primary = elected.and_then(|of| of.workers.first().copied());
        let number = primary.and_then(|id| self.ids.iter().position(|known| *known == id));
        Ok(CommitteePort::new(ports, number.unwrap_or(0)))
    }
}

/// Where the elected committee of the canister runtime stands: in the validator's root state.
#[derive(Clone)]
pub struct Elected(Arc<Store>);

impl Elected {
    /// The committee of this epoch; `None` while the runtime is suspended.
    pub(crate) fn committee(&self) -> Option<trilith_protocol::Committee> {
        let (_, root) = self.0.current(ROOT_RUNTIME)?;
        let view = self.0.view(ROOT_RUNTIME, root)?;
        state::committee(&*view, &CANISTER_RUNTIME).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_checked() {
        let size = |text: &str| text.parse::<CommitteeSize>();
        assert_eq!(
            size("3+4"),
            Ok(CommitteeSize {
                primaries: 3,
                backups: 4
            })
        );
        assert!(size("1+0").is_ok());
        assert_eq!(size("3"), Err(SizeError::Form));
        assert_eq!(size("0+4"), Err(SizeError::NoPrimaries));
        assert_eq!(
            size("3+3"),
            Err(SizeError::TooFewBackups {
                backups: 3,
                least: 4
            })
        );
        assert_eq!(size("16+17"), Err(SizeError::TooMany { members: 33 }));
        assert!(matches!(size("x+4"), Err(SizeError::Number(_))));
    }
}
