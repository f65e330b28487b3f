//! What the instances of a process share: the first state, and programs that were compiled.
//!
//! Nothing here changes a result: a compiled program goes from one instance to another only where
//! both states hold the same bytes for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use solana_pubkey::Pubkey;
use trilith_engine_account::{AccountConfig, AccountEngine, Genesis, Profile};
use trilith_protocol::{Batch, Fault};
use trilith_types::{Hash, SecretKey, StateRead as _, TimeNanos};

use super::instance::RUNTIME;
use crate::line::Line;
use crate::memory::Memory;

/// Different first states that are kept.
const FIRST_STATES_MAX: usize = 16;
/// Instances with programs of their own that are kept for those programs.
const DONORS_MAX: usize = 8;

/// What different networks begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Slots of an epoch.
    pub(crate) epoch_slots: u64,
    /// The generation of rules.
    pub(crate) profile: Profile,
    /// Agreed time.
    pub(crate) time: TimeNanos,
}

/// What is shared.
struct Shared {
    first: BTreeMap<Kind, Line<AccountEngine>>,
    donors: VecDeque<(Arc<AccountEngine>, Arc<Memory>)>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    first: BTreeMap::new(),
    donors: VecDeque::new(),
});

/// Whoever panicked left a cache that is checked before it is used.
fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The secret key of the account that pays airdrops. Known to everyone: instances are for tests.
pub(crate) fn faucet() -> SecretKey {
    SecretKey::from_seed(*Hash::of(b"trilith-local/faucet").as_bytes())
}

/// The account to which fees go.
pub(crate) fn identity() -> Pubkey {
    let secret = SecretKey::from_seed(*Hash::of(b"trilith-local/identity").as_bytes());
    Pubkey::new_from_array(*secret.public().as_bytes())
}

/// A line of its own after the first round of a network.
pub(crate) fn begin(kind: Kind) -> Result<Line<AccountEngine>, Fault> {
    let mut shared = shared();
    if let Some(first) = shared.first.get(&kind) {
        return Ok(fork(first));
    }
    let time = kind.time;
    let faucet = Pubkey::new_from_array(*faucet().public().as_bytes());
    let mut genesis = Genesis::new(identity(), Some(faucet));
    genesis.epoch_slots = kind.epoch_slots;
    genesis.profile = kind.profile;
    let threads = 1;
    let engine = AccountEngine::new(AccountConfig { genesis, threads });
    let mut first = Line::new(RUNTIME, engine, time);
    let inputs = Vec::new();
    first.round(&Batch { time, inputs }, |_| ())?;
    let line = fork(&first);
    if shared.first.len() < FIRST_STATES_MAX {
        shared.first.insert(kind, first);
    }
    Ok(line)
}

/// A line that goes on by itself from where another is.
pub(crate) fn fork(line: &Line<AccountEngine>) -> Line<AccountEngine> {
    Line {
        id: line.id,
        runtime: Arc::new(line.runtime.fork()),
        state: Arc::new(line.state.fork()),
        round: line.round,
        time: line.time,
        from_root: line.from_root.clone(),
    }
}

/// Keeps what an instance that ends has compiled.
pub(crate) fn give(line: &Line<AccountEngine>, has_programs: bool) {
    let mut shared = shared();
    let root = line.state.root();
    for first in shared.first.values() {
        // An instance is dropped whether or not its programs can be kept.
        let _kept = first
            .runtime
            .adopt_programs(&*first.state, &line.runtime, &*line.state);
    }
    let is_known = shared.donors.iter().any(|(_, state)| state.root() == root);
    if has_programs && !is_known {
        if shared.donors.len() >= DONORS_MAX {
            shared.donors.pop_front();
        }
        let donor = (line.runtime.clone(), line.state.clone());
        shared.donors.push_back(donor);
    }
}

/// Takes programs over that other instances have compiled.
pub(crate) fn take(line: &Line<AccountEngine>) -> Result<(), Fault> {
    for (engine, state) in &shared().donors {
        line.runtime
            .adopt_programs(&*line.state, engine, &**state)?;
    }
    Ok(())
}
