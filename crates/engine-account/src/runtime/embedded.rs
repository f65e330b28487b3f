//! What an instance in the process of a test may do beyond a node: fork, write state directly,
//! take signatures as checked.
//!
//! None of it is reachable from a batch. A node never calls it, and everything it changes goes
//! through an [`Outcome`] that is checked and sealed like that of a round.

use std::collections::BTreeMap;
use std::sync::Mutex;

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, native_loader};
use thiserror::Error;
use trilith_protocol::{Fault, Outcome};
use trilith_types::StateRead;

use super::{AccountEngine, lock};
use crate::answer::Desk;
use crate::bank::accounts::Accounts;
use crate::bank::chain::ChainState;
use crate::bank::changes::image_writes;
use crate::bank::decode::Verified;
use crate::bank::features::{self, InForce};
use crate::bank::leaf;
use crate::bank::places::Place;
use crate::bank::plan::Planner;
use crate::bank::processor::Svm;
use crate::bank::round::{Left, write_log};
use crate::bank::warm::{Rules, Warm};
use crate::gates;
use crate::packed::{Of, PackedPart};
use crate::parallel::Workers;
use crate::record::BlockPart;

/// Most bytes of an account's data. Source: Solana `system-interface`,
/// `MAX_PERMITTED_DATA_LENGTH`.
pub const ACCOUNT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// What is written to a state directly, past all programs. All of it together is one round
/// without transactions.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Accounts as they shall be. One without lamports vanishes.
    pub accounts: Vec<(Pubkey, Account)>,
    /// Blockhashes that transactions may name from now on, for as long as one of this slot.
    pub blockhashes: Vec<Hash>,
    /// Gates that come into force or go out of it, with the accounts that show them.
    pub gates: Vec<(Pubkey, bool)>,
}

/// Why a state was not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// An account is too large.
    #[error("account {key} would have {len} bytes of data, the limit is {ACCOUNT_BYTES_MAX}")]
    TooLarge {
        /// The account.
        key: Pubkey,
        /// Its bytes.
        len: usize,
    },
    /// All accounts together would have more lamports than 64 bits hold.
    #[error(
        "all accounts together would have {supply} lamports, the limit is {}",
        u64::MAX
    )]
    Supply {
        /// Lamports of all accounts.
        supply: i128,
    },
    /// This node failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<trilith_types::StateFault> for EditError {
    fn from(fault: trilith_types::StateFault) -> Self {
        Self::Fault(fault.into())
    }
}

impl AccountEngine {
    /// The engine, taking all signatures as checked elsewhere if `trusting`. For instances of tests
    /// that have no keys; what it executes would be refused by others.
    #[must_use]
    pub fn trusting(mut self, trusting: bool) -> Self {
        self.verified = Verified::new(trusting);
        self
    }

    /// Whether it takes signatures as checked.
    pub fn is_trusting(&self) -> bool {
        self.verified.is_trusting()
    }

    /// The engine, running every transaction by the ecosystem's processor if `judging`, also those
    /// for which it has a loop of its own. Changes no result; for tests that compare the two.
    #[must_use]
    pub fn judging(mut self, judging: bool) -> Self {
        self.is_judging = judging;
        self
    }

    /// The engine on so many threads.
    #[must_use]
    pub fn on_threads(mut self, threads: usize) -> Self {
        self.config.threads = threads.max(1);
        self.workers = Workers::new(threads);
        self
    }

    /// Threads for signatures and execution.
    pub fn threads(&self) -> usize {
        self.config.threads
    }

    /// An engine of its own that remembers the same state with the same compiled programs. Both go
    /// on independently.
    pub fn fork(&self) -> Self {
        let warm = lock(&self.warm)
            .as_ref()
            .map(|(root, warm)| (*root, warm.fork()));
        Self {
            config: self.config.clone(),
            warm: Mutex::new(warm),
            pending: Mutex::default(),
            desk: Desk::default(),
            verified: Verified::new(self.verified.is_trusting()),
            workers: Workers::new(self.config.threads),
            is_judging: self.is_judging,
        }
    }

    /// Takes programs over that `other` compiled on `theirs` and this engine lacks, where the
    /// accounts of a program are the same in `mine`. Changes no result.
    ///
    /// # Errors
    /// [`Fault`] if a state cannot be read.
    pub fn adopt_programs(
        &self,
        mine: &dyn StateRead,
        other: &Self,
        theirs: &dyn StateRead,
    ) -> Result<(), Fault> {
        let others = lock(&other.warm);
        let mut warm = lock(&self.warm);
        let (Some((root, warm)), Some((their_root, others))) = (&mut *warm, &*others) else {
            return Ok(());
        };
        if *root != mine.root() || *their_root != theirs.root() {
            return Ok(());
        }
        warm.svm.adopt(&others.svm, &|key| {
            let data = programdata(key);
            [*key, data].iter().all(|key| {
                let accounts = [mine, theirs].map(|view| leaf::read_account(view, key));
                matches!(&accounts, [Ok(mine), Ok(theirs)] if mine == theirs)
            })
        });
        Ok(())
    }

    /// What the outcome returned last recorded, until it is sealed.
    pub fn told(&self) -> Option<BlockPart> {
        lock(&self.pending).as_ref()?.part.unpack().ok()
    }

    /// Whether `elf` is a program that this state could run.
    ///
    /// # Errors
    /// What the loader says against it; [`Fault`] of this node as text.
    pub fn check_program(&self, view: &dyn StateRead, elf: &[u8]) -> Result<(), String> {
        let rules = Rules::load(view).map_err(|fault| fault.to_string())?;
        let svm = Svm::new(&rules).map_err(|fault| fault.to_string())?;
        svm.check_program(elf)
    }

    /// What writing to a state directly comes to. Seal it like the outcome of a round, one after
    /// that of the state.
    ///
    /// # Errors
    /// [`EditError`]; nothing is written then.
    pub fn edit(&self, view: &dyn StateRead, edit: &Edit) -> Result<Outcome, EditError> {
        *lock(&self.pending) = None;
        if let Some((key, account)) = edit
            .accounts
            .iter()
            .find(|(_, account)| account.data.len() > ACCOUNT_BYTES_MAX)
        {
            let (key, len) = (*key, account.data.len());
            return Err(EditError::TooLarge { key, len });
        }
        let mut warm = self.warm_of(view)?;
        let accounts = Accounts::new(view, std::mem::take(&mut warm.table));
        let mut editing = Editing::begin(warm, accounts)?;
        editing.gates(view, &edit.gates)?;
        for (key, account) in &edit.accounts {
            let account = AccountSharedData::from(account.clone());
            editing.accounts.put(*key, account);
        }
        let slot = editing.chain.slot;
        for blockhash in &edit.blockhashes {
            // The newest stays the newest.
            let known = slot.saturating_sub(1);
            editing.chain.blockhashes.insert(0, (*blockhash, known));
        }
        let (outcome, left) = editing.end(&self.workers, view)?;
        *lock(&self.pending) = Some(left);
        Ok(outcome)
    }

    /// What is remembered of a state; read from it if nothing is.
    fn warm_of(&self, view: &dyn StateRead) -> Result<Warm, Fault> {
        let warm = lock(&self.warm)
            .take()
            .filter(|(root, _)| *root == view.root())
            .map(|(_, warm)| warm);
        warm.map_or_else(|| Warm::load(view), Ok)
    }
}

/// Whether this version knows a feature gate and can do what it asks.
pub fn is_known_gate(id: &Pubkey) -> bool {
    gates::find(id).is_some_and(|gate| gate.is_supported)
}

/// A state that is being written to.
struct Editing<'a> {
    warm: Warm,
    chain: ChainState,
    accounts: Accounts<'a>,
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Editing<'a> {
    fn begin(mut warm: Warm, accounts: Accounts<'a>) -> Result<Self, Fault> {
        let chain = warm.chain.take();
        Ok(Self {
            chain: chain.ok_or_else(|| Fault("the state has had no round yet".to_owned()))?,
            warm,
            accounts,
            leaves: BTreeMap::new(),
        })
    }

    /// Changes the gates in force.
    fn gates(&mut self, view: &dyn StateRead, gates: &[(Pubkey, bool)]) -> Result<(), Fault> {
        if gates.is_empty() {
            return Ok(());
        }
        let in_force: Option<InForce> = leaf::read(view, leaf::FEATURES, "feature gates")?;
        let mut in_force: BTreeMap<Pubkey, u64> =
            in_force.into_iter().flatten().collect::<BTreeMap<_, _>>();
        for (id, active) in gates {
            if *active {
                in_force.entry(*id).or_insert(self.chain.slot);
            } else if in_force.remove(id).is_some() {
                self.accounts.put(*id, AccountSharedData::default());
            }
        }
        let in_force: InForce = in_force.into_iter().collect();
        for (id, account) in features::accounts(&in_force) {
            if gates.contains(&(id, true)) {
                self.accounts.put(id, account);
            }
        }
        let leaf = Some(leaf::encode(&in_force));
        self.leaves.insert(leaf::FEATURES.to_vec(), leaf);
        self.chain.follow(&in_force);
        self.warm.rules = Rules::new(in_force);
        self.warm.svm = Svm::new(&self.warm.rules)?;
        Ok(())
    }

    fn end(self, workers: &Workers, view: &dyn StateRead) -> Result<(Outcome, Left), EditError> {
        let Self {
            mut warm,
            mut chain,
            mut accounts,
            mut leaves,
        } = self;
        let changes = accounts.changes(workers)?;
        warm.table = accounts.into_table();
        let supply = i128::from(chain.supply) + changes.lamports;
        chain.supply = u64::try_from(supply).map_err(|_| EditError::Supply { supply })?;
        chain.round += 1;
        let of = Of {
            slot: chain.slot,
            round: chain.round,
            time: chain.time,
            first: 0,
        };
        let part = PackedPart::new(of, std::iter::empty());
        let encoded = leaf::encode(&part);
        chain.absorb(chain.round, &blake3::hash(&encoded));
        let key = leaf::round_key(leaf::PART, chain.slot, chain.round);
        leaves.insert(key, Some(encoded));
        leaves.insert(leaf::CHAIN.to_vec(), Some(leaf::encode(&chain)));
        let images = image_writes(&changes)?;
        let outcome = Outcome {
            write_log: write_log(changes.leaves, leaves),
            images,
            ..Outcome::default()
        };
        warm.chain = Some(chain);
        warm.forget_programs(&changes.written);
        // Sysvars may have been written.
        warm.prepared = None;
        let left = Left {
            parent: view.root(),
            warm,
            written: changes.written,
            part,
        };
        Ok((outcome, left))
    }
}

impl Warm {
    /// The same memory for an instance that goes on by itself.
    fn fork(&self) -> Self {
        let ledger = &self.ledger;
        let (table, places) = self.table.only(|place| ledger.is_written(place));
        Self {
            chain: self.chain.clone(),
            rules: self.rules.clone(),
            table,
            statuses: self.statuses.clone(),
            ledger: ledger.moved(&places),
            planner: Planner::default(),
            svm: self.svm.fork(&|_| true),
            prepared: None,
            is_quick: self.is_quick,
        }
    }

    /// Forgets compiled programs whose accounts were written directly.
    fn forget_programs(&mut self, written: &[Place]) {
        let is_of_program = |place: &&Place| {
            self.table.compare(**place, |before, after| {
                [before, after].into_iter().flatten().any(is_of_program)
            })
        };
        let programs = written.iter().filter(is_of_program);
        let written: Vec<Pubkey> = programs.map(|place| *self.table.key(*place)).collect();
        if !written.is_empty() {
            let keep =
                |key: &Pubkey| !written.contains(key) && !written.contains(&programdata(key));
            self.svm = self.svm.fork(&keep);
        }
    }
}

/// Whether compiled programs may have come from the account.
fn is_of_program(account: &AccountSharedData) -> bool {
    let loaders = [
        native_loader::ID,
        bpf_loader_deprecated::ID,
        bpf_loader::ID,
        bpf_loader_upgradeable::ID,
    ];
    account.executable() || loaders.contains(account.owner())
}

/// Where the upgradeable loader keeps the code of a program.
fn programdata(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::ID).0
}
