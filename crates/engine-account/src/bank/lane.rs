//! Transactions on their way through a round: as they arrive, as a thread runs them, and what they
//! come to.

use std::ops::Range;

use smallvec::SmallVec;
use solana_hash::Hash as MessageHash;
use solana_pubkey::Pubkey;
use solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage as _};
use solana_transaction_error::TransactionError;
use trilith_protocol::{Fault, Input, Receipt};
use trilith_types::Hash;

use super::accounts::Accounts;
use super::budget::Limits;
use super::chain::ChainState;
use super::decode::{self, Decoded, Sanitized, Tables, Verified};
use super::places::Place;
use super::processor::{Checked, Processed, Processor as _, Svm};
use super::statuses::Statuses;
use super::told::{self, Records, receipt};
use super::warm::Rules;
use super::{check, cost};

/// What a record takes, for the memory that those of a lane are given at first.
const RECORD_BYTES: usize = 384;

/// A transaction that may be run.
pub(crate) struct Arrived<'a> {
    pub(crate) input: &'a Input,
    /// [`Input::hash`].
    pub(crate) hash: Hash,
    pub(crate) transaction: Sanitized<'a>,
    pub(crate) limits: Limits,
    /// The most it may cost its slot.
    pub(crate) asked: cost::Cost,
    /// Its accounts and whether it writes them, in message order.
    pub(crate) locks: Locked,
}

/// Accounts that a transaction locks: their places, and whether it writes them.
pub(crate) type Locked = SmallVec<[(Place, bool); 8]>;

/// An input that is not run, and why.
pub(crate) struct Refused {
    /// [`Input::hash`].
    pub(crate) hash: Hash,
    pub(crate) error: TransactionError,
}

/// Decodes an input and checks what its bytes say by themselves.
pub(crate) fn decode<'a>(
    input: &'a Input,
    verified: &Verified,
) -> (&'a Input, Hash, Result<Decoded<'a>, TransactionError>) {
    let decoded = decode::decode(input.bytes()).and_then(|decoded| {
        verified.verify(input.bytes(), &decoded)?;
        Ok(decoded)
    });
    (input, input.hash(), decoded)
}

impl<'a> Arrived<'a> {
    /// Resolves the lookup tables of a decoded input and reads what it asks for.
    pub(crate) fn resolve(
        (input, hash, decoded): (&'a Input, Hash, Result<Decoded<'a>, TransactionError>),
        tables: &Tables<'_>,
        rules: &Rules,
    ) -> Result<Self, Refused> {
        let refused = |error| Refused { hash, error };
        let transaction = decoded
            .and_then(|decoded| decoded.resolve(tables))
            .map_err(refused)?;
        let limits = check::limits(&transaction, rules).map_err(refused)?;
        Ok(Self {
            input,
            hash,
            asked: cost::asked(&transaction, &limits),
            transaction,
            limits,
            locks: Locked::new(),
        })
    }

    /// Whether its checks look at nothing that a transaction before it can change.
    pub(crate) fn may_follow(&self, chain: &ChainState) -> bool {
        chain.is_recent(self.transaction.recent_blockhash(), chain.slot)
    }

    /// It without being run.
    pub(crate) fn refuse(self, error: TransactionError) -> Refused {
        Refused {
            hash: self.hash,
            error,
        }
    }
}

impl Refused {
    /// What is answered.
    pub(crate) fn receipt(self) -> Receipt {
        receipt(self.hash, Err(self.error))
    }
}

/// What a transaction that was charged did, beside writing accounts.
pub(crate) struct Effect {
    /// Where its packed record stands among those of its lane.
    range: Range<usize>,
    /// Compute units that were used.
    units: u64,
    message: MessageHash,
    pub(crate) cost: cost::Cost,
    /// Lamports of signatures and of priority.
    pub(crate) fees: (u64, u64),
    /// What it locked, which is charged for its work.
    pub(crate) locks: Locked,
}

/// Transactions that are run one after the other, each with its position in the batch.
pub(crate) type Lane<'b> = Vec<(usize, Box<Arrived<'b>>)>;

/// What the transactions of a lane came to.
pub(crate) struct Ran {
    /// By position in the batch.
    pub(crate) done: Vec<(usize, Receipt, Option<Effect>)>,
    /// Their records, one after the other.
    pub(crate) records: Vec<u8>,
    /// What they wrote for the first time in this round.
    pub(crate) written: Vec<Place>,
}

/// What is told of a batch, by the positions of its inputs.
pub(crate) struct Told {
    receipts: Vec<Option<Receipt>>,
    charged: Vec<Option<Kept>>,
    /// What the lanes packed.
    lanes: Vec<Vec<u8>>,
    /// Compute units that were used.
    pub(crate) units: u64,
}

/// What is kept of a transaction that was charged until the round ends.
#[derive(Clone)]
struct Kept {
    message: MessageHash,
    /// Where its record stands: the number of the lane, and where in what that packed.
    lane: usize,
    range: Range<usize>,
}

impl Told {
    /// Nothing yet of so many inputs.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            receipts: vec![None; count],
            charged: vec![None; count],
            lanes: Vec::new(),
            units: 0,
        }
    }

    /// Learns of an input that was not run.
    pub(crate) fn refuse(&mut self, position: usize, refused: Refused) {
        self.receipts[position] = Some(refused.receipt());
    }

    /// Learns what a lane came to; `take` is given the effects.
    pub(crate) fn take(&mut self, ran: Ran, mut take: impl FnMut(&Effect)) {
        let lane = self.lanes.len();
        self.lanes.push(ran.records);
        for (position, receipt, effect) in ran.done {
            self.receipts[position] = Some(receipt);
            if let Some(effect) = effect {
                take(&effect);
                self.units = self.units.saturating_add(effect.units);
                self.charged[position] = Some(Kept {
                    message: effect.message,
                    lane,
                    range: effect.range,
                });
            }
        }
    }

    /// The records of the transactions that were charged, in the order of the batch.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let charged = self.charged.iter().flatten();
        charged.map(|kept| &self.lanes[kept.lane][kept.range.clone()])
    }

    /// Their message hashes.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &MessageHash> {
        self.charged.iter().flatten().map(|kept| &kept.message)
    }

    /// The receipts of all inputs.
    pub(crate) fn receipts(self) -> Vec<Receipt> {
        self.receipts.into_iter().flatten().collect()
    }
}

/// What all lanes of a level share.
pub(crate) struct Road<'a, 'v> {
    pub(crate) accounts: &'a Accounts<'v>,
    pub(crate) chain: &'a ChainState,
    pub(crate) statuses: &'a Statuses,
    pub(crate) svm: &'a Svm,
    /// Whether plain transactions are run in less time.
    pub(crate) is_quick: bool,
}

impl Road<'_, '_> {
    /// Runs the transactions of a lane one after the other, and writes what they write. No other lane has to do with the same accounts.
    ///
    /// # Errors
    /// [`Fault`] if this node failed.
    pub(crate) fn run(&self, transactions: Lane<'_>) -> Result<Ran, Fault> {
        let count = transactions.len();
        let mut ran = Running {
            road: self,
            records: Records::with_capacity(RECORD_BYTES * count),
            done: Vec::with_capacity(count),
            written: Vec::with_capacity(2 * count),
        };
        let mut transactions = transactions.into_iter();
        let mut rest = None;
        if self.is_quick {
            rest = self
                .svm
                .quickly(self.accounts, |quick| {
                    transactions.find_map(|(position, mut arrived)| {
                        let checked = self.check(&arrived);
                        match quick.process(&arrived.transaction, &arrived.locks, &checked) {
                            Some(processed) => {
                                let run = arrived.run(position);
                                ran.take(&arrived.transaction, run, processed);
                                None
                            }
                            None => Some((position, arrived)),
                        }
                    })
                })
                .flatten();
        }
        let rest: Lane<'_> = rest.into_iter().chain(transactions).collect();
        if !rest.is_empty() {
            self.run_rest(&mut ran, rest)?;
        }
        Ok(Ran {
            done: ran.done,
            records: ran.records.bytes,
            written: ran.written,
        })
    }

    /// Runs transactions with what runs everything.
    fn run_rest(&self, ran: &mut Running<'_, '_>, rest: Lane<'_>) -> Result<(), Fault> {
        let checked = rest
            .iter()
            .map(|(_, arrived)| self.check(arrived))
            .collect();
        let (transactions, runs): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .map(|(position, mut arrived)| {
                let run = arrived.run(position);
                (arrived.transaction, run)
            })
            .unzip();
        let processed = self
            .svm
            .process(self.accounts, &transactions, checked, true)?;
        for ((transaction, run), processed) in transactions.iter().zip(runs).zip(processed) {
            ran.take(transaction, run, processed);
        }
        Ok(())
    }

    fn check(&self, arrived: &Arrived<'_>) -> Result<Checked, TransactionError> {
        check::check(
            &arrived.transaction,
            &arrived.limits,
            self.accounts,
            self.chain,
            self.statuses,
        )
    }
}

/// An input that is run, without its transaction.
struct Run<'a> {
    position: usize,
    input: &'a Input,
    hash: Hash,
    asked: cost::Cost,
    locks: Locked,
}

impl<'a> Arrived<'a> {
    /// What is needed of it once its transaction ran. Takes its locks.
    fn run(&mut self, position: usize) -> Run<'a> {
        Run {
            position,
            input: self.input,
            hash: self.hash,
            asked: self.asked,
            locks: std::mem::take(&mut self.locks),
        }
    }
}

/// A lane under way.
struct Running<'a, 'v> {
    road: &'a Road<'a, 'v>,
    records: Records,
    done: Vec<(usize, Receipt, Option<Effect>)>,
    written: Vec<Place>,
}

impl Running<'_, '_> {
    /// Takes what a transaction came to.
    fn take(&mut self, transaction: &Sanitized<'_>, run: Run<'_>, processed: Processed) {
        let hash = run.hash;
        let charged = match processed {
            Ok(charged) => charged,
            Err(error) => {
                let refused = Refused { hash, error };
                self.done.push((run.position, refused.receipt(), None));
                return;
            }
        };
        let start = self.records.bytes.len();
        let cost = cost::used(transaction, charged.units, run.asked);
        let locked = run.locks.iter().map(|(_, is_written)| *is_written);
        self.records
            .add(run.input.bytes(), transaction, &charged, cost.work, locked);
        for (index, account) in charged.writes {
            // Every account of a message has a place.
            if let Some((place, _)) = run.locks.get(index)
                && self.road.accounts.put_at(*place, account)
            {
                self.written.push(*place);
            }
        }
        let message = *transaction.message_hash();
        // No other transaction of the level has the same message.
        self.road.statuses.insert(&message);
        let effect = Effect {
            range: start..self.records.bytes.len(),
            units: charged.units,
            message,
            cost,
            fees: (
                charged.fees.transaction_fee(),
                charged.fees.prioritization_fee(),
            ),
            locks: run.locks,
        };
        let receipt = receipt(hash, Ok(told::status(&charged.status)));
        self.done.push((run.position, receipt, Some(effect)));
    }
}

/// Keys of a transaction with whether it writes them.
pub(crate) fn locked(transaction: &impl SVMMessage) -> impl Iterator<Item = (&Pubkey, bool)> {
    let keys = transaction.account_keys();
    (0..keys.len()).filter_map(move |index| {
        let key = keys.get(index)?;
        Some((key, transaction.is_writable(index)))
    })
}
