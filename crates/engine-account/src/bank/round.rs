//! One round: from a batch to an outcome.
//!
//! ```text
//! begin the slot of the round's time (the slot before it gets its hash, sysvars move on)
//! decode and check signatures        on all threads, from the bytes alone
//! resolve lookup tables              on the state the round starts from
//! for each level of transactions that do not conflict, in groups that fit the slot's work:
//!     check age, duplicates, budget  in the order of the batch
//!     run                            on all threads
//!     commit                         in the order of the batch
//! burn and hand out fees, write records, statuses and the chain
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_hash::Hash;
use solana_sdk_ids::system_program;
use solana_transaction_error::TransactionError;
use trilith_params::account::{BURN_PERCENT, RECORD_SLOTS, SLOT_UNITS_MAX};
use trilith_protocol::root::ActiveFeature;
use trilith_protocol::{Batch, Fault, Input, Outcome, Receipt, RoundContext, Usage};
use trilith_types::{StateRead, WriteLog, WriteLogEntry};

use super::accounts::{Accounts, Change, image_writes, lamports_added};
use super::chain::ChainState;
use super::decode::{self, Decoded, Sanitized, Tables, Verified};
use super::genesis::Genesis;
use super::processor::{Checked, Processed, Processor as _, Slot, Svm};
use super::told::{receipt, record};
use super::warm::{Rules, Warm};
use super::{check, features, leaf, plan, statuses, sysvar};
use crate::parallel::in_runs;
use crate::record::{BlockHeader, BlockPart};

/// Fewest transactions for which a thread is started.
const RUN_LEAST: usize = 16;

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
    pub(crate) threads: usize,
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
    let transactions = round.arrive(&batch.inputs);
    let processed = round.run(transactions)?;
    round.end(batch, processed)
}

/// A transaction that was run, or why it was not.
struct Ran {
    transaction: Sanitized,
    processed: Processed,
}

/// A round under way.
struct RoundRun<'a> {
    threads: usize,
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
            threads: circumstances.threads,
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
        round.accounts.check()?;
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

    /// Decodes, verifies and resolves the inputs.
    fn arrive(&self, inputs: &[Input]) -> Vec<Result<Sanitized, TransactionError>> {
        let bytes: Vec<&[u8]> = inputs.iter().map(|input| &input.bytes[..]).collect();
        let decoded = in_runs(self.threads, RUN_LEAST, bytes, |run| {
            run.into_iter()
                .map(|bytes| arrive_one(bytes, self.verified))
                .collect::<Vec<_>>()
        });
        let tables = Tables::new(&self.accounts, self.chain.slot, &self.warm.rules.reserved);
        decoded
            .into_iter()
            .flatten()
            .map(|decoded| decoded?.resolve(&tables))
            .collect()
    }

    /// Runs the transactions; the results stand in the order of the batch.
    fn run(
        &mut self,
        arrived: Vec<Result<Sanitized, TransactionError>>,
    ) -> Result<Vec<Result<Ran, TransactionError>>, Fault> {
        let mut results: Vec<Option<Result<Ran, TransactionError>>> = Vec::new();
        let mut waiting: Vec<Option<Sanitized>> = Vec::new();
        for arrived in arrived {
            let (result, transaction) = match arrived {
                Ok(transaction) => (None, Some(transaction)),
                Err(error) => (Some(Err(error)), None),
            };
            results.push(result);
            waiting.push(transaction);
        }
        for level in plan::levels(&waiting) {
            let mut rest = &level[..];
            while let Some((first, others)) = rest.split_first() {
                let count = self.fitting(rest, &waiting);
                if count == 0 {
                    waiting[*first] = None;
                    results[*first] = Some(Err(TransactionError::WouldExceedMaxBlockCostLimit));
                    rest = others;
                    continue;
                }
                let (group, after) = rest.split_at(count);
                rest = after;
                let transactions = group
                    .iter()
                    .filter_map(|position| waiting[*position].take())
                    .collect();
                let ran = self.run_group(transactions)?;
                for (position, ran) in group.iter().zip(ran) {
                    self.commit(&ran);
                    results[*position] = Some(Ok(ran));
                }
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// How many of the transactions, from the first on, together ask for no more work than the slot
    /// has left. What they do not use is left to those that follow.
    fn fitting(&self, positions: &[usize], waiting: &[Option<Sanitized>]) -> usize {
        let mut left = Some(SLOT_UNITS_MAX.saturating_sub(self.chain.slot_units));
        positions
            .iter()
            .take_while(|position| {
                let asked = waiting[**position].as_ref().map_or(0, |transaction| {
                    check::work_asked(transaction, &self.warm.rules)
                });
                left = left.and_then(|left| left.checked_sub(asked));
                left.is_some()
            })
            .count()
    }

    /// Runs transactions that do not conflict.
    fn run_group(&self, group: Vec<Sanitized>) -> Result<Vec<Ran>, Fault> {
        let rules = &self.warm.rules;
        let statuses = &self.warm.statuses;
        let runs = in_runs(self.threads, RUN_LEAST, group, |run| {
            let checked: Vec<Result<Checked, TransactionError>> = run
                .iter()
                .map(|transaction| {
                    check::check(transaction, &self.accounts, &self.chain, statuses, rules)
                })
                .collect();
            let processed = self.warm.svm.process(&self.accounts, &run, checked, true)?;
            Ok(run
                .into_iter()
                .zip(processed)
                .map(|(transaction, processed)| Ran {
                    transaction,
                    processed,
                })
                .collect::<Vec<_>>())
        });
        self.accounts.check()?;
        let runs: Result<Vec<_>, Fault> = runs.into_iter().collect();
        Ok(runs?.into_iter().flatten().collect())
    }

    /// Makes the writes of a transaction that was charged.
    fn commit(&mut self, ran: &Ran) {
        let Ok(charged) = &ran.processed else {
            return;
        };
        for (key, account) in &charged.writes {
            self.accounts.put(*key, account.clone());
        }
        let work = check::work(&ran.transaction, charged.units);
        self.chain.slot_units = self.chain.slot_units.saturating_add(work);
        let fees = &charged.fees;
        self.fees.0 = self.fees.0.saturating_add(fees.transaction_fee());
        self.fees.1 = self.fees.1.saturating_add(fees.prioritization_fee());
        let hash = ran.transaction.message_hash();
        self.warm.statuses.insert(self.chain.slot, hash);
        self.charged.push(*hash);
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

    fn end(
        mut self,
        batch: &Batch,
        results: Vec<Result<Ran, TransactionError>>,
    ) -> Result<(Outcome, Left), Fault> {
        let reward = self.hand_out_fees();
        let mut part = BlockPart {
            slot: self.chain.slot,
            round: self.round,
            time: self.chain.time,
            transactions: Vec::new(),
        };
        let mut receipts = Vec::with_capacity(batch.inputs.len());
        let mut usage = Usage::default();
        for (input, result) in batch.inputs.iter().zip(results) {
            let status = match result.and_then(|ran| Ok((ran.transaction, ran.processed?))) {
                Err(error) => Err(error),
                Ok((transaction, charged)) => {
                    usage.instructions = usage.instructions.saturating_add(charged.units);
                    let index = self.chain.slot_transactions + part.transactions.len() as u64;
                    let record = record(&input.bytes, &transaction, *charged, part.slot, index);
                    let output = leaf::encode(&record.status);
                    part.transactions.push(record);
                    Ok(output)
                }
            };
            receipts.push(receipt(input, status));
        }
        self.write_chain(&part, reward);
        self.seal(part, receipts, usage)
    }

    /// Writes what the round did beside accounts, but for the chain itself.
    fn write_chain(&mut self, part: &BlockPart, reward: u64) {
        let count = part.transactions.len() as u64;
        let chain = &mut self.chain;
        let encoded = leaf::encode(part);
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
        receipts: Vec<Receipt>,
        usage: Usage,
    ) -> Result<(Outcome, Left), Fault> {
        let Self {
            accounts,
            mut chain,
            mut warm,
            mut leaves,
            ..
        } = self;
        let changes = accounts.finish()?;
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
        for change in &changes {
            let leaf = change.after.as_ref().map(leaf::encode_account);
            leaves.insert(leaf::account_key(&change.key), leaf);
        }
        let write_log: WriteLog = leaves
            .into_iter()
            .map(|(key, value)| WriteLogEntry { key, value })
            .collect();
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

fn arrive_one(bytes: &[u8], verified: &Verified) -> Result<Decoded, TransactionError> {
    let decoded = decode::decode(bytes)?;
    verified.verify(bytes, &decoded)?;
    Ok(decoded)
}
