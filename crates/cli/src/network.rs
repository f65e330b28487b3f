//! A developer network with the canister runtime and the account runtime, from a data folder: of one
//! node, or of several (see [`crate::committee`]).
//!
//! ```text
//! DIR/seed    32 secret bytes from which the node's keys are dealt (developer network only)
//! DIR/state/  the store
//! DIR/code/   compiled modules; a cache, may be deleted
//! DIR/keys/   keys that follow from the seed, for commands
//! DIR/nodes/  store and compiled modules of the other nodes, if there are others
//! ```

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use candid::Principal;
use solana_pubkey::Pubkey;
use trilith_engine_account::{AccountConfig, AccountEngine, Genesis};
use trilith_engine_canister::api::Executor;
use trilith_engine_canister::sandbox::{Requirement, SandboxConfig, SandboxedExecutor};
use trilith_engine_canister::{CanisterEngine, EngineConfig};
use trilith_node::{
    Clock as _, Node, NodeConfig, NodeKeys, PoolLimits, RuntimeHandle, RuntimeRegistry, Snapshot,
    SystemClock,
};
use trilith_proof::CertificateKey;
use trilith_protocol::RootGenesis;
use trilith_root::{Root, genesis_write_log};
use trilith_store::{RecoveryReport, Store, StoreFault};
use trilith_types::{Hash, NodeId, RuntimeId, SecretKey};

use crate::account::begin::{AccountsAsked, AccountsBeginning};
use crate::begin::{self, Begun};
use crate::committee::{self, Committee, CommitteePlan};
use crate::genesis::{self, Beginning, EPOCH_HEIGHTS};
use crate::output::NextStep;

/// The canister runtime of developer networks.
pub const CANISTER_RUNTIME: RuntimeId = RuntimeId::test(1);

/// The account runtime of developer networks.
pub const ACCOUNT_RUNTIME: RuntimeId = RuntimeId::test(2);

/// Longest wait for the first round after a start. It may repeat a long one that was interrupted.
const FIRST_ROUND_WAIT: Duration = Duration::from_secs(120);

/// How often it is looked whether the nodes still work.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What to do about a network that cannot be continued.
pub(crate) const BEGIN_ANEW: NextStep =
    NextStep("restore the data folder, or forget the network in it with --clean");

/// The built-in runtimes, ascending.
pub const RUNTIMES: [RuntimeId; 2] = [CANISTER_RUNTIME, ACCOUNT_RUNTIME];

/// A running network.
pub struct Network {
    /// The node that serves the gateways. Declared first, so that it stops before the store closes.
    pub node: Node,
    /// The other nodes, in a network of several.
    pub committee: Option<Committee>,
    /// Its canister runtime.
    pub canisters: RuntimeHandle,
    /// Its account runtime; `None` in a network that was begun before there was one.
    pub accounts: Option<RuntimeHandle>,
    /// The key of the account that pays airdrops.
    pub faucet: SecretKey,
    /// The genesis document; it states the validators' keys.
    pub genesis: RootGenesis,
    /// DER encoding of the key under which the network's certificates verify.
    pub root_key_der: Vec<u8>,
    /// What was found in the data folder.
    pub recovery: RecoveryReport,
    /// Whether there was a network in the data folder.
    pub continued: bool,
}

/// How a network is started.
pub struct NetworkOptions<'a> {
    /// The data folder; made if it does not exist.
    pub data: &'a Path,
    /// Refuse to start where the host cannot isolate sandboxes completely.
    pub require_sandbox: bool,
    /// The document the network begins with; without one it is a developer network's own.
    pub genesis: Option<RootGenesis>,
    /// What a network of several nodes is to be like; `None` begins one of one node, and continues
    /// whatever there is.
    pub committee: Option<CommitteePlan>,
    /// What its account runtime is to begin with.
    pub accounts: AccountsAsked,
}

/// What a network is to begin with, if there is none in the data folder.
#[derive(Default)]
struct Asked {
    genesis: Option<RootGenesis>,
    committee: Option<CommitteePlan>,
    accounts: AccountsAsked,
}

/// Makes the sandboxes of a node's canisters.
type Executors<'a> = &'a dyn Fn(PathBuf) -> Result<Arc<dyn Executor>>;

impl Network {
    /// Continues the network in the data folder, or begins one there.
    ///
    /// # Errors
    /// If the folder cannot be used, holds damaged data, is in use by another process, or sandboxes
    /// cannot be started.
    pub fn start(options: &NetworkOptions<'_>) -> Result<Self> {
        let requirement = if options.require_sandbox {
            Requirement::Required
        } else {
            Requirement::BestEffort
        };
        make_folder(options.data)?;
        let executors = |code: PathBuf| -> Result<Arc<dyn Executor>> {
            let config = SandboxConfig::new(code, requirement);
            Ok(Arc::new(SandboxedExecutor::new(config)?))
        };
        let asked = Asked {
            genesis: options.genesis.clone(),
            committee: options.committee,
            accounts: options.accounts,
        };
        Self::open(options.data, asked, &executors)
    }

    /// Like [`Network::start`], with an executor of the caller's.
    ///
    /// # Errors
    /// As of [`Network::start`].
    pub fn start_with(data: &Path, executor: Arc<dyn Executor>) -> Result<Self> {
        Self::open(data, Asked::default(), &|_| Ok(executor.clone()))
    }

    fn open(data: &Path, asked: Asked, executors: Executors<'_>) -> Result<Self> {
        make_folder(data)?;
        let (store, recovery) = Store::open_dir(&data.join("state")).map_err(store_failure)?;
        let store = Arc::new(store);
        let continued = store.meta("genesis").is_some();
        let (plan, accounts_asked) = (asked.committee, asked.accounts);
        let (seed, genesis) = document(data, &store, asked)?;
        let keys = NodeKeys::for_developer_network(&seed);
        let found = CommitteePlan::of(&genesis, &seed);
        same_plan(plan, found)?;
        let beginning = AccountsBeginning::of(&store, &accounts_asked)?;
        begin::write_keys(data, &seed)?;
        let root_key_der = CertificateKey::from_bytes(&keys.certification.bytes())
            .context("the certification key is no point of G2")?
            .to_der()
            .to_vec();
        let faucet = faucet_key(&seed);
        let validator = keys.node.public();
        let runtimes = |executor| {
            let engine = account_engine((&validator, &faucet), beginning);
            runtimes(executor, &root_key_der, engine)
        };
        let registry = runtimes(executors(data.join("code"))?);
        let config = NodeConfig {
            root: Arc::new(Root::new()),
            root_state: genesis_write_log(&genesis)?,
            genesis: genesis.clone(),
            keys,
            pool: PoolLimits::default(),
        };
        let clock = Arc::new(SystemClock);
        let (node, committee) = match found {
            None => (Node::start(store, &registry, config, clock)?, None),
            Some(plan) => {
                let (mut others, membership) = Committee::begin(plan, &seed, store.clone());
                let node = Node::join(store, &registry, config, (membership, clock))?;
                others.start((data, &seed), &genesis, executors, &runtimes)?;
                (node, Some(others))
            }
        };
        let canisters = node
            .handle(&CANISTER_RUNTIME)
            .context("the network has no canister runtime")?;
        let accounts = node.handle(&ACCOUNT_RUNTIME);
        Ok(Self {
            node,
            committee,
            canisters,
            accounts,
            faucet,
            genesis,
            root_key_der,
            recovery,
            continued,
        })
    }

    /// Why the network cannot go on, if one of its nodes ended by itself.
    pub fn ended(&self) -> Option<String> {
        if !self.node.is_running() {
            return Some("the node ended by itself".into());
        }
        let ended = self.committee.as_ref().and_then(Committee::ended);
        ended.map(|number| format!("node {number} ended by itself"))
    }

    /// Stops every node.
    ///
    /// # Errors
    /// The first error that ended one.
    pub fn stop(self) -> Result<()> {
        let others = self.committee.map_or(Ok(()), Committee::stop);
        self.node.stop()?;
        others
    }

    /// Waits until the node has a certified state of each runtime: from then on its answers can be
    /// verified.
    ///
    /// # Errors
    /// If the node stops before, or cannot finish its first rounds.
    pub async fn certified(&self) -> Result<()> {
        tokio::select! {
            certified = self.first_rounds() => certified,
            reason = self.end() => bail!(reason),
        }
    }

    /// Completes when the network cannot go on; gives why.
    pub(crate) async fn end(&self) -> String {
        loop {
            if let Some(reason) = self.ended() {
                return reason;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn first_rounds(&self) -> Result<()> {
        first_round(&self.canisters, |snapshot| snapshot.attested.is_some()).await?;
        match &self.accounts {
            Some(accounts) => first_round(accounts, |snapshot| snapshot.evidence.is_some()).await,
            None => Ok(()),
        }
    }
}

/// The seed of the network in a data folder and the document it begins with, or began with.
fn document(data: &Path, store: &Store, asked: Asked) -> Result<([u8; 32], RootGenesis)> {
    let stored = store.meta("genesis");
    let seed = match &asked.genesis {
        Some(genesis) if stored.is_none() => begin::seed_of(data, genesis)?,
        _ => seed(data, stored.is_some()).context(BEGIN_ANEW)?,
    };
    let genesis = match begin::document(data, stored.as_deref(), asked.genesis)? {
        Begun::Continued(genesis) => *genesis,
        Begun::With(genesis) => {
            begin::check_states(data, store, &genesis)?;
            *genesis
        }
        Begun::Anew => match &asked.committee {
            Some(plan) => committee::genesis(plan, &seed, SystemClock.now()),
            None => genesis::developer_network(&Beginning {
                keys: &NodeKeys::for_developer_network(&seed),
                entity: &genesis::entity_key(&seed),
                time: SystemClock.now(),
                epoch_heights: EPOCH_HEIGHTS,
                runtimes: &RUNTIMES,
            }),
        },
    };
    Ok((seed, genesis))
}

/// Refuses to continue a network as another one than it is.
fn same_plan(asked: Option<CommitteePlan>, found: Option<CommitteePlan>) -> Result<()> {
    match (asked, found) {
        (None, _) => Ok(()),
        (Some(asked), Some(found)) if asked == found => Ok(()),
        (Some(asked), found) => {
            let found = found.map_or("one node".to_owned(), |found| found.to_string());
            let error = anyhow::anyhow!("the data folder has a network of {found}, not {asked}");
            Err(error.context(NextStep(
                "continue it without --committee, choose another folder with --data, or forget it with --clean",
            )))
        }
    }
}

/// The runtimes as a node executes them.
fn runtimes(
    executor: Arc<dyn Executor>,
    root_key_der: &[u8],
    accounts: AccountEngine,
) -> RuntimeRegistry {
    let engine = CanisterEngine::new(EngineConfig {
        executor,
        subnet_id: Principal::self_authenticating(root_key_der),
        root_key_der: root_key_der.to_vec(),
    });
    RuntimeRegistry::new()
        .with(CANISTER_RUNTIME, Arc::new(engine))
        .with(ACCOUNT_RUNTIME, Arc::new(accounts))
}

/// Waits for a state of a runtime that `is_certified`.
async fn first_round(
    runtime: &RuntimeHandle,
    is_certified: impl Fn(&Snapshot) -> bool,
) -> Result<()> {
    let mut snapshots = runtime.snapshots();
    let certified = snapshots.wait_for(|snapshot| is_certified(snapshot));
    match tokio::time::timeout(FIRST_ROUND_WAIT, certified).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => bail!("the node stopped in its first round"),
        Err(_) => bail!(
            "the node did not finish its first round within {} s",
            FIRST_ROUND_WAIT.as_secs()
        ),
    }
}

pub(crate) fn make_folder(data: &Path) -> Result<()> {
    fs::create_dir_all(data)
        .with_context(|| format!("the folder {} cannot be made", data.display()))
        .context(NextStep("choose another folder with --data"))
}

/// The store's fault with what can be done about it.
pub(crate) fn store_failure(fault: StoreFault) -> anyhow::Error {
    let step = match &fault {
        StoreFault::Locked { .. } => {
            NextStep("stop the other process, or choose another folder with --data")
        }
        StoreFault::Damaged { .. } => BEGIN_ANEW,
        _ => NextStep("see that the folder can be written and the disk has room, then try again"),
    };
    anyhow::Error::from(fault).context(step)
}

/// The account runtime. Its first state names the first node as the identity to which fees go.
fn account_engine(
    (validator, faucet): (&NodeId, &SecretKey),
    beginning: AccountsBeginning,
) -> AccountEngine {
    let key = |key: &NodeId| Pubkey::new_from_array(*key.as_bytes());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut genesis = Genesis::new(key(validator), Some(key(&faucet.public())));
    genesis.profile = beginning.profile;
    genesis.epoch_slots = beginning.epoch_slots;
    AccountEngine::new(AccountConfig { genesis, threads })
}

/// The key of the account that pays airdrops on a developer network.
fn faucet_key(seed: &[u8; 32]) -> SecretKey {
    let seed = Hash::of_parts(&[b"trilith/faucet key", seed]);
    SecretKey::from_seed(*seed.as_bytes())
}

/// The secret seed in the data folder, made from the system's entropy at the first start. It is
/// durable before it is used. A network that has `begun` is lost without it: its keys follow from
/// it.
pub(crate) fn seed(data: &Path, begun: bool) -> Result<[u8; 32]> {
    let path = data.join("seed");
    match fs::read(&path) {
        Ok(bytes) => {
            let Ok(seed) = <[u8; 32]>::try_from(&bytes[..]) else {
                bail!(
                    "{} has {} bytes, a seed has 32",
                    path.display(),
                    bytes.len()
                );
            };
            return Ok(seed);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !begun => {}
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let mut seed = [0u8; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut seed))
        .context("the system gives no entropy")?;
    let fresh = data.join("seed.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options
        .open(&fresh)
        .with_context(|| format!("making {}", fresh.display()))?;
    file.write_all(&seed)?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    fs::File::open(data)?.sync_all()?;
    Ok(seed)
}
