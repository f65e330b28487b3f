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

use super::accounts::{Accounts, Before};
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
const RECORD_BYTES: usize = 512;

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

/// What became of an input.
pub(crate) struct Done {
    pub(crate) receipt: Receipt,
    pub(crate) charged: Option<Effect>,
}

/// What a transaction that was charged did, beside writing accounts.
pub(crate) struct Effect {
    pub(crate) record: Record,
    /// Compute units that were used.
    pub(crate) units: u64,
    pub(crate) message: MessageHash,
    pub(crate) cost: cost::Cost,
    /// Lamports of signatures and of priority.
    pub(crate) fees: (u64, u64),
    /// What it locked, which is charged for its work.
    pub(crate) locks: Locked,
}

/// Where a packed record stands among those of the round.
pub(crate) struct Record {
    /// Number of the lane.
    pub(crate) lane: usize,
    /// Where in what the lane packed.
    pub(crate) range: Range<usize>,
}

impl Refused {
    pub(crate) fn done(self) -> Done {
        Done {
            receipt: receipt(self.hash, Err(self.error)),
            charged: None,
        }
    }
}

/// Transactions that are run one after the other, each with its number.
pub(crate) type Lane<'b> = Vec<(usize, Box<Arrived<'b>>)>;

/// What the transactions of a lane came to.
pub(crate) struct Ran {
    pub(crate) done: Vec<(usize, Done)>,
    /// Their records, one after the other.
    pub(crate) records: Vec<u8>,
    /// What they wrote for the first time in this round.
    pub(crate) written: Vec<Before>,
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
    /// Runs the transactions of a lane, whose number is `lane`, one after the other, and writes
    /// what they write. No other lane has to do with the same accounts.
    ///
    /// # Errors
    /// [`Fault`] if this node failed.
    pub(crate) fn run(&self, lane: usize, transactions: Lane<'_>) -> Result<Ran, Fault> {
        let count = transactions.len();
        let mut ran = Running {
            accounts: self.accounts,
            lane,
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
                    transactions.find_map(|(number, arrived)| {
                        let checked = self.check(&arrived);
                        match quick.process(&arrived.transaction, &arrived.locks, &checked) {
                            Some(processed) => {
                                ran.take(number, *arrived, processed);
                                None
                            }
                            None => Some((number, arrived)),
                        }
                    })
                })
                .flatten();
        }
        let rest: Lane<'_> = rest.into_iter().chain(transactions).collect();
        if !rest.is_empty() {
            self.run_rest(&mut ran, rest)?;
        }
        let mut records = ran.records.bytes;
        // They stay to the end of the round.
        records.shrink_to_fit();
        Ok(Ran {
            done: ran.done,
            records,
            written: ran.written,
        })
    }

    /// Runs transactions with what runs everything.
    fn run_rest(&self, ran: &mut Running<'_, '_>, rest: Lane<'_>) -> Result<(), Fault> {
        let checked = rest
            .iter()
            .map(|(_, arrived)| self.check(arrived))
            .collect();
        let (transactions, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .map(|(number, arrived)| arrived.apart(number))
            .unzip();
        let processed = self
            .svm
            .process(self.accounts, &transactions, checked, true)?;
        for ((transaction, other), processed) in transactions.into_iter().zip(others).zip(processed)
        {
            ran.take_parts(&transaction, other, processed);
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
    number: usize,
    input: &'a Input,
    hash: Hash,
    asked: cost::Cost,
    locks: Locked,
}

impl<'a> Arrived<'a> {
    /// Its transaction by itself.
    fn apart(self, number: usize) -> (Sanitized<'a>, Run<'a>) {
        let run = Run {
            number,
            input: self.input,
            hash: self.hash,
            asked: self.asked,
            locks: self.locks,
        };
        (self.transaction, run)
    }
}

/// A lane under way.
struct Running<'a, 'v> {
    accounts: &'a Accounts<'v>,
    lane: usize,
    records: Records,
    done: Vec<(usize, Done)>,
    written: Vec<Before>,
}

impl Running<'_, '_> {
    /// Takes what a transaction came to.
    fn take(&mut self, number: usize, arrived: Arrived<'_>, processed: Processed) {
        let (transaction, run) = arrived.apart(number);
        self.take_parts(&transaction, run, processed);
    }

    fn take_parts(&mut self, transaction: &Sanitized<'_>, run: Run<'_>, processed: Processed) {
        let hash = run.hash;
        let charged = match processed {
            Ok(charged) => charged,
            Err(error) => {
                self.done.push((run.number, Refused { hash, error }.done()));
                return;
            }
        };
        let start = self.records.bytes.len();
        let cost = cost::used(transaction, charged.units, run.asked);
        let locked = run.locks.iter().map(|(_, is_written)| *is_written);
        self.records
            .add(run.input.bytes(), transaction, &charged, cost.work, locked);
        let range = start..self.records.bytes.len();
        for (index, account) in charged.writes {
            // Every account of a message has a place.
            if let Some((place, _)) = run.locks.get(index) {
                self.written.extend(self.accounts.put_at(*place, account));
            }
        }
        let done = Done {
            receipt: receipt(hash, Ok(told::status(&charged.status))),
            charged: Some(Effect {
                message: *transaction.message_hash(),
                cost,
                units: charged.units,
                fees: (
                    charged.fees.transaction_fee(),
                    charged.fees.prioritization_fee(),
                ),
                record: Record {
                    lane: self.lane,
                    range,
                },
                locks: run.locks,
            }),
        };
        self.done.push((run.number, done));
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
