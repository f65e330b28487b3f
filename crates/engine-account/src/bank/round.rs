//! One round: from a batch to an outcome.
//!
//! ```text
//! begin the slot of the round's time (the slot before it gets its hash, sysvars move on)
//! take the inputs through [`super::flow`]
//! burn and hand out fees
//! gather the changes of accounts and, beside that, put together what is told of the inputs
//! write records, statuses and the chain
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_sdk_ids::system_program;
use trilith_params::account::{BURN_PERCENT, RECORD_SLOTS};
use trilith_protocol::root::ActiveFeature;
use trilith_protocol::{Batch, Fault, Input, Outcome, Receipt, RoundContext, Usage};
use trilith_types::{StateRead, WriteLog, WriteLogEntry};

use super::accounts::Accounts;
use super::chain::ChainState;
use super::changes::{Changes, image_writes};
use super::decode::{Tables, Verified};
use super::flow::{self, Course, Gate};
use super::genesis::Genesis;
use super::places::Place;
use super::plan::Planner;
use super::processor::{Processor as _, Slot, Svm};
use super::told::{Report, Told};
use super::warm::{Rules, Warm};
use super::{features, leaf, statuses, sysvar};
use crate::packed::{Of, PackedPart};
use crate::parallel::Workers;
use crate::record::BlockHeader;

/// What a round leaves for the caches, beside its outcome.
pub(crate) struct Left {
    /// The state it started from.
    pub(crate) parent: trilith_types::Hash,
    pub(crate) warm: Warm,
    /// The accounts that it wrote, whose changes the table of `warm` still has.
    pub(crate) written: Vec<Place>,
    pub(crate) part: PackedPart,
}

/// What all rounds of an instance share.
pub(crate) struct Circumstances<'a> {
    pub(crate) genesis: &'a Genesis,
    pub(crate) workers: &'a Workers,
    pub(crate) verified: &'a Verified,
}

/// Executes a batch.
///
/// # Errors
/// [`Fault`] if this node failed.
pub(crate) fn execute(
    circumstances: &Circumstances<'_>,
    warm: Warm,
    view: &dyn StateRead,
    batch: &Batch,
    context: &RoundContext,
) -> Result<(Outcome, Left), Fault> {
    let mut round = RoundRun::begin(circumstances, warm, view, context)?;
    let told = round.run(&batch.inputs)?;
    round.end(told, &batch.inputs)
}

/// A round under way.
struct RoundRun<'a> {
    workers: &'a Workers,
    verified: &'a Verified,
    view: &'a dyn StateRead,
    accounts: Accounts<'a>,
    chain: ChainState,
    warm: Warm,
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    round: u64,
    is_genesis: bool,
    /// Fees of signatures and priority fees of this round.
    fees: (u64, u64),
}

impl<'a> RoundRun<'a> {
    fn begin(
        circumstances: &Circumstances<'a>,
        mut warm: Warm,
        view: &'a dyn StateRead,
        context: &RoundContext,
    ) -> Result<Self, Fault> {
        warm.forget();
        let mut accounts = Accounts::new(view, std::mem::take(&mut warm.table));
        let mut leaves = BTreeMap::new();
        let (chain, is_genesis) = match warm.chain.take() {
            Some(chain) => (chain, false),
            None => {
                let genesis = circumstances.genesis;
                let (chain, gates) = genesis.begin(&mut accounts, context.runtime, context.time);
                leaves.insert(leaf::FEATURES.to_vec(), Some(leaf::encode(&gates)));
                warm.rules = Rules::new(gates);
                warm.svm = Svm::new(&warm.rules)?;
                (chain, true)
            }
        };
        let mut round = Self {
            workers: circumstances.workers,
            verified: circumstances.verified,
            view,
            accounts,
            chain,
            warm,
            leaves,
            round: context.round.0,
            is_genesis,
            fees: (0, 0),
        };
        round.chain.round = context.round.0;
        // The host never gives an earlier time than that of the round before.
        round.chain.time = round.chain.time.max(context.time.0);
        let slot = round.chain.slot_at(round.chain.time);
        if slot > round.chain.slot {
            round.begin_slot(slot, &context.from_root.features)?;
        }
        if round.warm.prepared != Some(round.chain.slot) {
            let slot = Slot {
                slot: round.chain.slot,
                epoch: round.chain.schedule().get_epoch(round.chain.slot),
                blockhash: round.chain.blockhash(),
            };
            round.warm.svm.begin(&slot, &round.accounts);
            round.warm.prepared = Some(slot.slot);
        }
        let places = round.accounts.len();
        round.warm.ledger.begin(&round.chain, places);
        round.accounts.check()?;
        round.accounts.start();
        Ok(round)
    }

    /// Ends the slot of the round before and begins a later one.
    fn begin_slot(&mut self, slot: u64, approved: &[ActiveFeature]) -> Result<(), Fault> {
        let chain = &mut self.chain;
        let (ended, previous) = (chain.slot, chain.blockhash());
        let is_genesis = ended == 0;
        let blockhash = if is_genesis {
            chain.genesis_hash
        } else {
            chain.blockhash_of_ended_slot()
        };
        let header = BlockHeader {
            slot: ended,
            parent: chain.parent,
            blockhash,
            previous_blockhash: previous,
            time: chain.slot_time,
            transactions: chain.slot_transactions,
            rewards: chain.slot_rewards,
            rewards_balance: self
                .accounts
                .get(&chain.identity)
                .map_or(0, |account| account.lamports()),
        };
        let key = leaf::slot_key(leaf::HEADER, ended);
        self.leaves.insert(key, Some(leaf::encode(&header)));
        if is_genesis {
            // The genesis hash is known already.
            chain.blockhashes.clear();
        }
        let seconds = i64::try_from(chain.time / 1_000_000_000).unwrap_or(i64::MAX);
        let schedule = chain.schedule();
        let epoch = schedule.get_epoch(slot);
        let is_new_epoch = epoch > schedule.get_epoch(ended);
        if is_new_epoch {
            chain.epoch_time = seconds;
        }
        chain.begin_slot(slot, blockhash);
        chain.slot_time = seconds;
        sysvar::begin_slot(&mut self.accounts, chain, (ended, blockhash));
        if is_new_epoch {
            self.activate(approved, (slot, epoch))?;
        }
        self.forget()
    }

    /// Puts approved gates into force in the first slot of an epoch.
    fn activate(&mut self, approved: &[ActiveFeature], at: (u64, u64)) -> Result<(), Fault> {
        let mut in_force = (*self.warm.rules.in_force).clone();
        if !features::activate(&mut in_force, &mut self.accounts, approved, at)? {
            return Ok(());
        }
        self.leaves
            .insert(leaf::FEATURES.to_vec(), Some(leaf::encode(&in_force)));
        self.chain.follow(&in_force);
        self.warm.rules = Rules::new(in_force);
        // Programs compiled under other rules are of no use.
        self.warm.svm = Svm::new(&self.warm.rules)?;
        self.warm.prepared = None;
        Ok(())
    }

    /// Removes what is too old to be needed.
    fn forget(&mut self) -> Result<(), Fault> {
        let slot = self.chain.slot;
        self.warm.statuses.forget(slot);
        let recorded = slot.saturating_sub(RECORD_SLOTS);
        let limits = [
            (leaf::STATUS, statuses::oldest(slot)),
            (leaf::PART, recorded),
            (leaf::HEADER, recorded),
        ];
        for (prefix, oldest) in limits {
            let leaves = &mut self.leaves;
            self.view.iterate(prefix, &mut |key, _| {
                if leaf::slot_of(key).is_none_or(|slot| slot >= oldest) {
                    return ControlFlow::Break(());
                }
                leaves.insert(key.to_vec(), None);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// Takes the inputs through the round.
    fn run(&mut self, inputs: &[Input]) -> Result<Told, Fault> {
        let (rules, chain) = (&self.warm.rules, &self.chain);
        let gate = Gate {
            workers: self.workers,
            verified: self.verified,
            tables: Tables::new(&self.accounts, chain.slot, &rules.reserved),
            rules,
            chain,
            places: self.accounts.places().clone(),
            planner: &mut self.warm.planner,
        };
        let course = Course {
            workers: self.workers,
            chain,
            svm: &self.warm.svm,
            is_quick: self.warm.is_quick,
            statuses: &self.warm.statuses,
            accounts: &mut self.accounts,
            ledger: &mut self.warm.ledger,
            told: Told::default(),
            planner: Planner::default(),
        };
        flow::run(gate, course, inputs)
    }

    /// Hands the fees to the identity, but for what is burnt. Gives the lamports handed out.
    fn hand_out_fees(&mut self) -> u64 {
        let (base, priority) = self.fees;
        let burnt =
            u64::try_from(u128::from(base) * u128::from(BURN_PERCENT) / 100).unwrap_or(base);
        let reward = (base - burnt).saturating_add(priority);
        let identity = self.chain.identity;
        let mut account = self
            .accounts
            .get(&identity)
            .unwrap_or_else(|| AccountSharedData::new(0, 0, &system_program::ID));
        let balance = account.lamports().saturating_add(reward);
        let is_fit = *account.owner() == system_program::ID
            && balance >= sysvar::rent().minimum_balance(account.data().len());
        if reward == 0 || !is_fit {
            // As in the ecosystem, fees that cannot be paid out are burnt.
            return 0;
        }
        account.set_lamports(balance);
        self.accounts.put(identity, account);
        reward
    }

    fn end(mut self, told: Told, inputs: &[Input]) -> Result<(Outcome, Left), Fault> {
        self.fees = told.fees;
        let usage = Usage {
            instructions: told.units,
        };
        let reward = self.hand_out_fees();
        let of = Of {
            slot: self.chain.slot,
            round: self.round,
            time: self.chain.time,
            first: u32::try_from(self.chain.slot_transactions).unwrap_or(u32::MAX),
        };
        self.warm.ledger.leave(&mut self.chain);
        let (workers, accounts) = (self.workers, &mut self.accounts);
        let (report, changes) =
            workers.both(|| told.report(of, inputs), || accounts.changes(workers));
        let Report {
            part,
            encoded,
            hash,
            messages,
            receipts,
        } = report;
        self.write_chain((part.len() as u64, reward), (encoded, &hash), messages);
        self.seal(part, changes?, receipts, usage)
    }

    /// Writes what the round did beside accounts, but for the chain itself: that it charged so many
    /// transactions, the leaf of its part with its hash, and message hashes.
    fn write_chain(
        &mut self,
        (count, reward): (u64, u64),
        (part, hash): (Vec<u8>, &blake3::Hash),
        messages: Vec<u8>,
    ) {
        let chain = &mut self.chain;
        chain.absorb(self.round, hash);
        chain.slot_transactions += count;
        chain.transactions = chain.transactions.saturating_add(count);
        chain.slot_rewards = chain.slot_rewards.saturating_add(reward);
        if count > 0 {
            chain.busy_slot = chain.slot;
            let key = leaf::round_key(leaf::STATUS, chain.slot, self.round);
            self.warm.statuses.note(chain.slot, &messages);
            self.leaves.insert(key, Some(messages));
        }
        let key = leaf::round_key(leaf::PART, chain.slot, self.round);
        self.leaves.insert(key, Some(part));
    }

    /// Checks the supply and puts the outcome together.
    fn seal(
        self,
        part: PackedPart,
        changes: Changes,
        receipts: Vec<Receipt>,
        usage: Usage,
    ) -> Result<(Outcome, Left), Fault> {
        let Self {
            mut chain,
            mut warm,
            mut leaves,
            accounts,
            ..
        } = self;
        let added = changes.lamports;
        let charged = i128::from(self.fees.0) + i128::from(self.fees.1);
        let range = if self.is_genesis {
            0..=i128::from(u64::MAX)
        } else {
            -charged..=0
        };
        let supply = u64::try_from(i128::from(chain.supply) + added);
        let (true, Ok(supply)) = (range.contains(&added), supply) else {
            return Err(Fault(format!(
                "the round would change the supply of {} lamports by {added}, with fees of \
                 {charged} lamports",
                chain.supply
            )));
        };
        chain.supply = supply;
        leaves.insert(leaf::CHAIN.to_vec(), Some(leaf::encode(&chain)));
        let images = image_writes(&changes)?;
        let outcome = Outcome {
            write_log: write_log(changes.leaves, leaves),
            images,
            receipts,
            usage,
            ..Outcome::default()
        };
        warm.chain = Some(chain);
        warm.table = accounts.into_table();
        let left = Left {
            parent: self.view.root(),
            warm,
            written: changes.written,
            part,
        };
        Ok((outcome, left))
    }
}

/// The leaves of accounts and the others, ascending by key.
pub(crate) fn write_log(
    accounts: Vec<WriteLogEntry>,
    mut leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> WriteLog {
    let after = leaves.split_off(leaf::ACCOUNT);
    let entry = |(key, value)| WriteLogEntry { key, value };
    // Accounts are many and stay where they are: none of the others comes before them so far.
    let mut log = accounts;
    log.splice(..0, leaves.into_iter().map(entry));
    log.extend(after.into_iter().map(entry));
    log
}
