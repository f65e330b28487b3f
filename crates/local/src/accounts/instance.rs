//! One instance: the engine, the state it is at, and what tests have set.
//!
//! Shared by [`super::Local`] and the server of its RPC address, under one lock: a call is one
//! step for both.

use std::sync::Arc;

use solana_hash::Hash as BlockHash;
use solana_transaction_error::TransactionError;
use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_engine_account::record::TransactionRecord;
use trilith_engine_account::{AccountEngine, Edit};
use trilith_protocol::{
    Batch, CheckContext, Fault, Input, QueryContext, QueryError, ReceiptStatus, Runtime as _,
};
use trilith_types::{Hash, Round, RuntimeId, StateRead as _};

use super::donors;
use super::error::LocalError;
use super::units::UnitReport;
use crate::line::Line;
use crate::memory::Memory;

/// The runtime of instances. Part of what genesis hashes.
pub(crate) const RUNTIME: RuntimeId = RuntimeId::test(2);

/// What became of one transaction.
pub(crate) type Executed = Result<TransactionRecord, TransactionError>;

/// An instance.
pub(crate) struct Instance {
    pub(crate) line: Line<AccountEngine>,
    pub(crate) settings: Settings,
    pub(crate) rounds: watch::Sender<Round>,
    /// Units are counted here, if at all.
    pub(crate) units: Option<UnitReport>,
    /// Whether programs were loaded that others may load too.
    pub(crate) has_programs: bool,
    chain: Option<(Hash, Arc<Chain>)>,
}

/// What tests have set; a snapshot holds it too.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether blockhashes must be recent.
    pub(crate) blockhash_checks: bool,
    /// Seconds by which the clock's time is moved against agreed time.
    pub(crate) clock_shift: i64,
}

impl Instance {
    pub(crate) fn new(line: Line<AccountEngine>, settings: Settings) -> Self {
        let (rounds, _) = watch::channel(Round(line.round));
        Self {
            line,
            settings,
            rounds,
            units: None,
            has_programs: false,
            chain: None,
        }
    }

    /// Executes transactions as one round; the results stand in their order.
    pub(crate) fn execute(&mut self, transactions: Vec<Vec<u8>>) -> Result<Vec<Executed>, Fault> {
        if !self.settings.blockhash_checks {
            self.know_blockhashes(&transactions)?;
        }
        let mut results = self.round(transactions.clone())?;
        // A slot has only so much room; what did not fit comes with the next one.
        let over = Err(TransactionError::WouldExceedMaxBlockCostLimit);
        loop {
            let left: Vec<usize> = (0..results.len())
                .filter(|index| results[*index] == over)
                .collect();
            if left.is_empty() || left.len() == transactions.len() && !self.is_slot_used()? {
                return Ok(results);
            }
            self.advance(1)
                .map_err(|error| Fault(format!("the next slot did not begin: {error}")))?;
            let again = left.iter().map(|index| transactions[*index].clone());
            let again = self.round(again.collect())?;
            if again.iter().all(|result| *result == over) {
                return Ok(results);
            }
            for (index, result) in left.into_iter().zip(again) {
                results[index] = result;
            }
        }
    }

    /// Whether transactions were executed in this slot.
    fn is_slot_used(&mut self) -> Result<bool, Fault> {
        let slot = self.chain().map_err(as_fault)?.slot;
        let question = Question::Rounds {
            after: 0,
            limit: 256,
        };
        match self.ask(&question).map_err(as_fault)? {
            Answer::Rounds(parts) => Ok(parts
                .iter()
                .any(|part| part.slot == slot && !part.transactions.is_empty())),
            _ => Err(other_answer()),
        }
    }

    /// One round, at the time where the instance is.
    fn round(&mut self, transactions: Vec<Vec<u8>>) -> Result<Vec<Executed>, Fault> {
        let batch = Batch {
            time: self.line.time,
            inputs: transactions.into_iter().map(Input::new).collect(),
        };
        let (outcome, told) = self.line.round(&batch, AccountEngine::told)?;
        self.rounds.send_replace(Round(self.line.round));
        let part = told.ok_or_else(|| Fault("the engine told nothing of a round".to_owned()))?;
        let mut records = part.transactions.into_iter();
        let lost = || Fault("the engine recorded other transactions".to_owned());
        let mut results = Vec::with_capacity(outcome.receipts.len());
        for receipt in outcome.receipts {
            results.push(match receipt.status {
                ReceiptStatus::Accepted => Ok(records.next().ok_or_else(lost)?),
                ReceiptStatus::Rejected { .. } => {
                    Err(bincode::deserialize(&receipt.output).map_err(|_| lost())?)
                }
            });
        }
        if let Some(units) = &mut self.units {
            for record in results.iter().flatten() {
                units.add_record(record);
            }
        }
        Ok(results)
    }

    /// Moves agreed time to `time` by a round without transactions.
    pub(crate) fn round_at(&mut self, time: trilith_types::TimeNanos) -> Result<(), Fault> {
        self.line.time = time;
        self.round(Vec::new()).map(drop)
    }

    /// Writes state directly.
    pub(crate) fn edit(&mut self, edit: &Edit) -> Result<(), LocalError> {
        let outcome = self.line.runtime.edit(&*self.line.state, edit)?;
        self.line.seal(&outcome, self.line.time)?;
        self.rounds.send_replace(Round(self.line.round));
        Ok(())
    }

    /// Makes the blockhashes of transactions known, but for those that are nonces.
    fn know_blockhashes(&mut self, transactions: &[Vec<u8>]) -> Result<(), Fault> {
        let mut unknown: Vec<BlockHash> = Vec::new();
        for bytes in transactions {
            let Some(blockhash) = super::wire::blockhash_unless_nonce(bytes) else {
                continue;
            };
            let question = Question::IsBlockhashValid(blockhash);
            let answer = self.ask(&question).map_err(as_fault)?;
            if answer == Answer::Bool(false) && !unknown.contains(&blockhash) {
                unknown.push(blockhash);
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let edit = Edit {
            blockhashes: unknown,
            ..Edit::default()
        };
        self.edit(&edit).map_err(|error| Fault(error.to_string()))
    }

    /// What the pool of a node would say to a transaction.
    pub(crate) fn admit(&mut self, bytes: &[u8]) -> Result<(), trilith_protocol::Reject> {
        if !self.settings.blockhash_checks
            && let Err(fault) = self.know_blockhashes(&[bytes.to_vec()])
        {
            return Err(trilith_protocol::Reject {
                module: trilith_engine_account::MODULE,
                code: trilith_engine_account::CODE_FAULT,
                message: fault.to_string(),
            });
        }
        let context = CheckContext {
            runtime: RUNTIME,
            now: self.line.time,
        };
        let line = &self.line;
        line.runtime.check(&*line.state, bytes, &context).map(drop)
    }

    /// Asks the engine about the newest state.
    pub(crate) fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        let line = &self.line;
        ask(
            &line.runtime,
            &line.state,
            (line.round, line.time),
            question,
        )
    }

    /// Where the chain is.
    pub(crate) fn chain(&mut self) -> Result<Arc<Chain>, QueryError> {
        let root = self.line.state.root();
        if let Some((of, chain)) = &self.chain
            && *of == root
        {
            return Ok(chain.clone());
        }
        let Answer::Chain(chain) = self.ask(&Question::Chain)? else {
            return Err(other_answer().into());
        };
        let chain = Arc::new(*chain);
        self.chain = Some((root, chain.clone()));
        Ok(chain)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        donors::give(&self.line, self.has_programs);
    }
}

/// Asks an engine about a state.
pub(crate) fn ask(
    engine: &AccountEngine,
    state: &Memory,
    (round, time): (u64, trilith_types::TimeNanos),
    question: &Question,
) -> Result<Answer, QueryError> {
    let context = QueryContext {
        runtime: RUNTIME,
        round: Round(round),
        time,
        now: time,
        attested: None,
    };
    let answer = engine.query(state, &question.encode(), &context)?;
    Answer::decode(&answer).map_err(|error| Fault(error.to_string()).into())
}

pub(crate) fn other_answer() -> Fault {
    Fault("the engine answered another question".to_owned())
}

fn as_fault(error: QueryError) -> Fault {
    Fault(error.to_string())
}
