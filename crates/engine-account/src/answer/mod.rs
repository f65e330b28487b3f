//! Answers to questions, each about one version of the state.

mod accounts;
mod history;
mod simulate;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use solana_hash::Hash as BlockHash;
use solana_signature::Signature;
use trilith_params::account::{BLOCKHASH_SLOTS, SIGNATURE_LAMPORTS, SLOT_NANOS};
use trilith_protocol::{Fault, QueryError, Reject};
use trilith_types::{Hash, StateRead};

use self::simulate::Simulator;
use crate::MODULE;
use crate::bank::chain::ChainState;
use crate::bank::decode::Verified;
use crate::bank::{features, leaf, sysvar};
use crate::index::Index;
use crate::packed::PackedPart;
use crate::query::{
    Answer, CODE_NOT_STARTED, CODE_QUESTION, Chain, EpochSchedule, ITEMS_MAX, Question,
};

/// Parts of blocks that are kept.
const PARTS_MAX: usize = 64;

/// Decoded states of the chain that are kept: questions are asked of the newest state, and of those
/// that were the newest when a connection asked first.
const CHAINS_MAX: usize = 4;

/// A part of a block under its slot and round.
type KnownPart = ((u64, u64), Arc<PackedPart>);

/// What answering remembers.
#[derive(Default)]
pub(crate) struct Desk {
    index: RwLock<Index>,
    parts: Mutex<Vec<KnownPart>>,
    /// The state of the chain under the root it was read from, newest last.
    chains: RwLock<VecDeque<(Hash, Arc<ChainState>)>>,
    simulator: Mutex<Option<Simulator>>,
}

/// One question being answered.
pub(crate) struct Session<'a> {
    desk: &'a Desk,
    view: &'a dyn StateRead,
    chain: Arc<ChainState>,
    verified: &'a Verified,
}

impl Desk {
    /// Keeps the index up with a round that was sealed.
    pub(crate) fn advance(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the index, if it is of this state, names the transaction. Only a filter: it does not
    /// wait for an index that is being read or brought up to date, and the round decides.
    pub(crate) fn is_recorded(&self, view: &dyn StateRead, signature: &Signature) -> bool {
        let index = match self.index.try_read() {
            Ok(index) => index,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        index.serves(&view.root()) && index.transaction(signature).is_some()
    }

    /// The state of the chain; `None` before the first round.
    ///
    /// # Errors
    /// [`Fault`] if it cannot be read.
    pub(crate) fn chain(&self, view: &dyn StateRead) -> Result<Option<Arc<ChainState>>, Fault> {
        let root = view.root();
        {
            let chains = self.chains.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, chain)) = chains.iter().rev().find(|(of, _)| *of == root) {
                return Ok(Some(chain.clone()));
            }
        }
        let Some(chain) = leaf::read::<ChainState>(view, leaf::CHAIN, "the chain")? else {
            return Ok(None);
        };
        let chain = Arc::new(chain);
        let mut chains = self.chains.write().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= CHAINS_MAX {
            chains.pop_front();
        }
        chains.push_back((root, chain.clone()));
        Ok(Some(chain))
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`QueryError`] if the question is invalid or this node failed.
    pub(crate) fn answer(
        &self,
        view: &dyn StateRead,
        question: &[u8],
        verified: &Verified,
    ) -> Result<Answer, QueryError> {
        let question = Question::decode(question).map_err(|error| invalid(error.to_string()))?;
        let chain = self.chain(view)?;
        let chain = chain.ok_or_else(|| Reject {
            module: MODULE,
            code: CODE_NOT_STARTED,
            message: "the account runtime has had no round yet".to_owned(),
        })?;
        let session = Session {
            desk: self,
            view,
            chain,
            verified,
        };
        session.answer(question)
    }
}

/// The refusal of a question.
fn invalid(message: String) -> QueryError {
    QueryError::Reject(Reject {
        module: MODULE,
        code: CODE_QUESTION,
        message,
    })
}

/// Refuses a list that is too long.
fn bounded(what: &str, len: usize, limit: usize) -> Result<(), QueryError> {
    if len > limit {
        return Err(invalid(format!("{len} {what}, over the limit of {limit}")));
    }
    Ok(())
}

impl Session<'_> {
    fn answer(&self, question: Question) -> Result<Answer, QueryError> {
        Ok(match question {
            Question::Accounts { keys, slice } => {
                bounded("keys", keys.len(), ITEMS_MAX)?;
                Answer::Accounts(self.accounts(&keys, slice)?)
            }
            Question::ProgramAccounts {
                program,
                filters,
                slice,
            } => Answer::Keyed(self.program_accounts(&program, &filters, slice)?),
            Question::TokenAccounts {
                holder,
                by_delegate,
                of,
                slice,
            } => Answer::Keyed(self.token_accounts(&holder, by_delegate, of, slice)?),
            Question::TokenLargest { mint } => Answer::Balances(self.token_largest(&mint)?),
            Question::Largest => Answer::Balances(self.largest()?),
            Question::Chain => Answer::Chain(Box::new(self.chain()?)),
            Question::IsBlockhashValid(blockhash) => {
                Answer::Bool(self.chain.is_recent(&blockhash, self.chain.slot))
            }
            Question::Fee { message } => Answer::Fee(self.fee(&message)?),
            Question::MinimumBalance { len } => Answer::Lamports(minimum_balance(len)),
            Question::Transaction(signature) => Answer::Transaction(self.transaction(&signature)?),
            Question::Statuses { signatures } => {
                bounded("signatures", signatures.len(), ITEMS_MAX)?;
                Answer::Statuses(self.statuses(&signatures)?)
            }
            Question::Signatures {
                address,
                before,
                until,
                limit,
            } => Answer::Signatures(self.signatures(&address, before, until, limit)?),
            Question::Block(slot) => Answer::Block(self.block(slot)?),
            Question::Header(slot) => Answer::Header(self.header(slot)?),
            Question::Blocks { first, last, limit } => {
                Answer::Slots(self.blocks(first, last, limit)?)
            }
            Question::Samples { limit } => Answer::Samples(self.samples(limit)?),
            Question::PriorityFees { keys } => {
                bounded("keys", keys.len(), 128)?;
                Answer::PriorityFees(self.priority_fees(&keys)?)
            }
            Question::Simulate(simulate) => Answer::Simulated(Box::new(self.simulate(simulate)?)),
            Question::Rounds { after, limit } => Answer::Rounds(self.rounds(after, limit)?),
        })
    }

    /// Asks the index of this state, or of a newer one not long after it.
    fn index<T>(&self, ask: impl FnOnce(&Index) -> T) -> Result<T, Fault> {
        let root = self.view.root();
        let index = &self.desk.index;
        {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            if index.serves(&root) {
                return Ok(ask(&index));
            }
        }
        // Whoever else finds it missing waits for this one to be read.
        let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
        if !index.serves(&root) {
            *index = Index::load(self.view)?;
        }
        Ok(ask(&index))
    }

    fn chain(&self) -> Result<Chain, Fault> {
        let chain = &self.chain;
        let schedule = chain.schedule();
        let epoch = schedule.get_epoch(chain.slot);
        let blockhash = chain.blockhash();
        Ok(Chain {
            genesis_hash: chain.genesis_hash,
            identity: chain.identity,
            feature_set: features::known_set_id(),
            round: chain.round,
            time: chain.time,
            genesis_time: chain.genesis_time,
            slot_nanos: SLOT_NANOS,
            slot: chain.slot,
            parent: chain.parent,
            epoch,
            epoch_start: schedule.get_first_slot_in_epoch(epoch),
            epoch_slots: schedule.get_slots_in_epoch(epoch),
            schedule: EpochSchedule {
                slots_per_epoch: schedule.slots_per_epoch,
                leader_schedule_slot_offset: schedule.leader_schedule_slot_offset,
                warmup: schedule.warmup,
                first_normal_epoch: schedule.first_normal_epoch,
                first_normal_slot: schedule.first_normal_slot,
            },
            blockhash,
            last_valid_height: self.last_valid(&blockhash),
            first_block: self.first_block()?,
            transactions: chain.transactions,
            supply: chain.supply,
            faucet: chain.faucet,
            inflation_millionths: 0,
            lamports_per_signature: SIGNATURE_LAMPORTS,
        })
    }

    /// The last slot at which a blockhash is accepted, which is its last valid height.
    fn last_valid(&self, blockhash: &BlockHash) -> u64 {
        self.chain
            .valid_until(blockhash)
            .unwrap_or(self.chain.slot + BLOCKHASH_SLOTS)
    }

    /// The oldest slot that is remembered.
    fn first_block(&self) -> Result<u64, Fault> {
        let mut first = 0;
        self.view.iterate(leaf::HEADER, &mut |key, _| {
            first = leaf::slot_of(key).unwrap_or(0);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }
}

fn minimum_balance(len: u64) -> u64 {
    usize::try_from(len).map_or(u64::MAX, |len| {
        // Longer accounts than this do not exist, and the product must not overflow. The checked
        // form panics above the longest account.
        sysvar::rent().minimum_balance_unchecked(len.min(u32::MAX as usize))
    })
}
