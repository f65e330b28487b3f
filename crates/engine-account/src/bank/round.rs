//! One round: from a batch to an outcome.
//!
//! ```text
//! begin the slot of the round's time (the slot before it gets its hash, sysvars move on)
//! for each group of inputs:
//!     decode, check signatures       on all threads, from the bytes alone
//!     resolve lookup tables          on all threads, on the state the round starts from
//!     for each run of transactions that the slot takes:
//!         for each level of its plan, on all threads:
//!             check age and duplicates, run, make records
//!             commit                 in the order of the batch
//! burn and hand out fees, write records, statuses and the chain
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_hash::Hash;
use solana_sdk_ids::system_program;
use trilith_params::account::{BURN_PERCENT, RECORD_SLOTS};
use trilith_protocol::root::ActiveFeature;
use trilith_protocol::{Batch, Fault, Input, Outcome, Receipt, RoundContext, Usage};
use trilith_types::{StateRead, WriteLog, WriteLogEntry};

use super::accounts::{Accounts, Change, image_writes, lamports_added};
use super::chain::ChainState;
use super::cost::{Asking, Ledger};
use super::decode::{Tables, Verified};
use super::genesis::Genesis;
use super::lane::{self, Arrived, Done, Effect, Refused, Road};
use super::processor::{Processor as _, Slot, Svm};
use super::warm::{Rules, Warm};
use super::{features, leaf, plan, statuses, sysvar};
use crate::keyed::Keyed;
use crate::parallel::Workers;
use crate::record::{BlockHeader, BlockPart};

/// Fewest transactions that a thread takes at a time.
const TAKEN_LEAST: usize = 32;

/// Inputs that go through the steps of a round together: enough for all threads, few enough that
/// what one step leaves is still in the processor's caches in the next. It changes no result.
const GROUP: usize = 1_024;

/// Transactions that are run together on one thread, unless a chain is longer.
const LANE: usize = 64;

/// What a round leaves for the caches, beside its outcome.
pub(crate) struct Left {
    /// The state it started from.
    pub(crate) parent: trilith_types::Hash,
    pub(crate) warm: Warm,
    pub(crate) changes: Vec<Change>,
    pub(crate) part: BlockPart,
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
    let mut done = Vec::with_capacity(batch.inputs.len());
    for inputs in batch.inputs.chunks(GROUP) {
        let arrived = round.arrive(inputs);
        round.run(arrived, &mut done)?;
    }
    round.accounts.check()?;
    round.end(done)
}

/// An input before it is run.
type Waiting<'b> = Result<Box<Arrived<'b>>, Refused>;

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
    /// Message hashes of the transactions that were charged.
    charged: Vec<Hash>,
    ledger: Ledger,
    planner: plan::Planner,
}

impl<'a> RoundRun<'a> {
    fn begin(
        circumstances: &Circumstances<'a>,
        mut warm: Warm,
        view: &'a dyn StateRead,
        context: &RoundContext,
    ) -> Result<Self, Fault> {
        let mut accounts = Accounts::new(view, warm.known.clone());
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
            charged: Vec::new(),
            ledger: Ledger::default(),
            planner: plan::Planner::default(),
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
        round.warm.writers.begin(round.chain.slot);
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

    /// Decodes, verifies and resolves the inputs, and gives the accounts of those that may be run
    /// their places.
    fn arrive<'b>(&mut self, inputs: &'b [Input]) -> Vec<Waiting<'b>> {
        let tables = Tables::new(&self.accounts, self.chain.slot, &self.warm.rules.reserved);
        let rules = &self.warm.rules;
        let mut arrived = self
            .workers
            .map(TAKEN_LEAST, inputs.iter().collect(), |input| {
                Arrived::resolve(lane::decode(input, self.verified), &tables, rules).map(Box::new)
            });
        drop(tables);
        let first = self.accounts.places();
        for arrived in arrived.iter_mut().flatten() {
            arrived.locks = lane::locked(&arrived.transaction)
                .map(|(key, is_written)| (self.accounts.lock(key, is_written), is_written))
                .collect();
        }
        self.accounts.read_ahead(self.workers, first);
        let keys = self.accounts.keys_from(self.ledger.places());
        self.ledger.extend(keys, &self.warm.writers);
        arrived
    }

    /// Runs the transactions; what became of them stands in the order of the batch.
    fn run(&mut self, arrived: Vec<Waiting<'_>>, done: &mut Vec<Done>) -> Result<(), Fault> {
        let mut waiting: Vec<Option<Waiting<'_>>> = arrived.into_iter().map(Some).collect();
        let mut rest = &mut waiting[..];
        while !rest.is_empty() {
            let asking = rest.iter().map(|waiting| match waiting {
                Some(Ok(arrived)) => Some(Asking {
                    cost: arrived.asked,
                    locks: &arrived.locks,
                }),
                _ => None,
            });
            let count = match self.ledger.fitting(&self.chain, asking) {
                Ok(count) => count,
                Err(error) => {
                    if let Some(Ok(arrived)) = rest[0].take() {
                        rest[0] = Some(Err(arrived.refuse(error)));
                    }
                    1
                }
            };
            let (group, after) = rest.split_at_mut(count);
            rest = after;
            self.run_group(group, done)?;
        }
        Ok(())
    }

    /// Runs transactions that the slot takes.
    fn run_group(
        &mut self,
        group: &mut [Option<Waiting<'_>>],
        done: &mut Vec<Done>,
    ) -> Result<(), Fault> {
        let mut results: Vec<Option<Done>> = Vec::new();
        results.resize_with(group.len(), || None);
        let numbers = runnable(group, &mut results);
        for level in self.plan(group, &numbers) {
            let lanes = lanes(&level, |number| group[numbers[number]].take()?.ok());
            let road = Road {
                accounts: &self.accounts,
                chain: &self.chain,
                statuses: &self.warm.statuses,
                svm: &self.warm.svm,
            };
            let ran = self.workers.map(1, lanes, |(members, lane)| {
                road.run(lane).map(|done| (members, done))
            });
            self.accounts.check()?;
            for ran in ran {
                let (members, lane) = ran?;
                for (number, done) in members.into_iter().zip(lane) {
                    results[numbers[number]] = Some(done);
                }
            }
            self.commit(&mut results, level.numbers().map(|number| numbers[number]));
        }
        done.extend(results.into_iter().flatten());
        Ok(())
    }

    /// Plans the transactions of a group that are to be run.
    fn plan(&mut self, group: &[Option<Waiting<'_>>], numbers: &[usize]) -> Vec<plan::Level> {
        let chain = &self.chain;
        let mut messages: Keyed<usize> = Keyed::default();
        let waiting = numbers.iter().filter_map(|number| match &group[*number] {
            Some(Ok(arrived)) => Some(arrived),
            _ => None,
        });
        let locks = waiting.enumerate().map(|(number, arrived)| plan::Locks {
            accounts: &arrived.locks,
            may_follow: arrived.may_follow(chain),
            repeats: messages.insert(*arrived.transaction.message_hash().as_bytes(), number),
        });
        self.planner.levels(self.accounts.places(), locks)
    }

    /// Makes the writes of the transactions that were charged.
    fn commit(&mut self, results: &mut [Option<Done>], ran: impl Iterator<Item = usize>) {
        for position in ran {
            let Some(Done {
                charged: Some(effect),
                ..
            }) = &mut results[position]
            else {
                continue;
            };
            for (place, account) in std::mem::take(&mut effect.writes) {
                self.accounts.put_at(place, account);
            }
            self.ledger
                .take(&mut self.chain, effect.cost, &effect.locks);
            self.fees.0 = self.fees.0.saturating_add(effect.fees.0);
            self.fees.1 = self.fees.1.saturating_add(effect.fees.1);
            self.warm.statuses.insert(self.chain.slot, &effect.message);
        }
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

    fn end(mut self, done: Vec<Done>) -> Result<(Outcome, Left), Fault> {
        let reward = self.hand_out_fees();
        let mut part = BlockPart {
            slot: self.chain.slot,
            round: self.round,
            time: self.chain.time,
            transactions: Vec::with_capacity(done.len()),
        };
        let mut receipts = Vec::with_capacity(done.len());
        let mut usage = Usage::default();
        for Done { receipt, charged } in done {
            if let Some(effect) = charged {
                let Effect {
                    mut record,
                    message,
                    ..
                } = *effect;
                usage.instructions = usage.instructions.saturating_add(record.units);
                let index = self.chain.slot_transactions + part.transactions.len() as u64;
                record.index = u32::try_from(index).unwrap_or(u32::MAX);
                part.transactions.push(record);
                self.charged.push(message);
            }
            receipts.push(receipt);
        }
        self.ledger
            .leave(self.accounts.keys_from(0), &mut self.warm.writers);
        let (workers, accounts) = (self.workers, &mut self.accounts);
        let (encoded, changes) = self
            .workers
            .both(|| leaf::encode(&part), || accounts.finish(workers));
        self.write_chain(&part, encoded, reward);
        self.seal(part, changes?, receipts, usage)
    }

    /// Writes what the round did beside accounts, but for the chain itself.
    fn write_chain(&mut self, part: &BlockPart, encoded: Vec<u8>, reward: u64) {
        let count = part.transactions.len() as u64;
        let chain = &mut self.chain;
        chain.absorb(self.round, &encoded);
        chain.slot_transactions += count;
        chain.transactions = chain.transactions.saturating_add(count);
        chain.slot_rewards = chain.slot_rewards.saturating_add(reward);
        if count > 0 {
            chain.busy_slot = chain.slot;
            let key = leaf::round_key(leaf::STATUS, chain.slot, self.round);
            let hashes = statuses::encode(&self.charged);
            self.leaves.insert(key, Some(hashes));
        }
        let key = leaf::round_key(leaf::PART, chain.slot, self.round);
        self.leaves.insert(key, Some(encoded));
    }

    /// Checks the supply and puts the outcome together.
    fn seal(
        self,
        part: BlockPart,
        changes: Vec<Change>,
        receipts: Vec<Receipt>,
        usage: Usage,
    ) -> Result<(Outcome, Left), Fault> {
        let Self {
            mut chain,
            mut warm,
            mut leaves,
            workers,
            ..
        } = self;
        let added = lamports_added(&changes);
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
        let write_log = write_log(workers, &changes, leaves);
        let outcome = Outcome {
            write_log,
            images: image_writes(&changes)?,
            receipts,
            usage,
            ..Outcome::default()
        };
        warm.chain = Some(chain);
        let left = Left {
            parent: self.view.root(),
            warm,
            changes,
            part,
        };
        Ok((outcome, left))
    }
}

/// Positions in a group of the transactions that are to be run; the results of the others.
fn runnable(group: &mut [Option<Waiting<'_>>], results: &mut [Option<Done>]) -> Vec<usize> {
    let mut numbers = Vec::with_capacity(group.len());
    for (position, (waiting, result)) in group.iter_mut().zip(results).enumerate() {
        match waiting {
            Some(Ok(_)) => numbers.push(position),
            _ => {
                if let Some(Err(refused)) = waiting.take() {
                    *result = Some(refused.done());
                }
            }
        }
    }
    numbers
}

/// Packs the chains of a level into lanes: numbers of the transactions, and these.
fn lanes<'b>(
    level: &plan::Level,
    mut take: impl FnMut(usize) -> Option<Box<Arrived<'b>>>,
) -> Vec<(Vec<usize>, Vec<Arrived<'b>>)> {
    let mut lanes: Vec<(Vec<usize>, Vec<Arrived<'b>>)> = Vec::new();
    for chain in level.chains() {
        let is_full = lanes
            .last()
            .is_none_or(|(members, _)| members.len() + chain.len() > LANE);
        if is_full {
            lanes.push((Vec::with_capacity(LANE), Vec::with_capacity(LANE)));
        }
        let Some((members, lane)) = lanes.last_mut() else {
            continue;
        };
        for number in chain {
            members.push(*number);
            lane.extend(take(*number).map(|arrived| *arrived));
        }
    }
    lanes
}

/// The changes of accounts and the other leaves, ascending by key.
fn write_log(
    workers: &Workers,
    changes: &[Change],
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> WriteLog {
    let changes = changes.iter().collect();
    let mut entries = workers.map(TAKEN_LEAST, changes, |change: &Change| WriteLogEntry {
        key: leaf::account_key(&change.key),
        value: change.after.as_ref().map(leaf::encode_account),
    });
    let others = leaves
        .into_iter()
        .map(|(key, value)| WriteLogEntry { key, value });
    entries.extend(others);
    // Two runs that ascend each, of which one may lie within the other.
    entries.sort_by(|first, second| first.key.cmp(&second.key));
    entries
}
