//! Transactions on their way through a round: as they arrive, and as a thread runs them.

use smallvec::SmallVec;
use solana_pubkey::Pubkey;
use solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage as _};
use solana_transaction_error::TransactionError;
use trilith_protocol::{Fault, Input};

use super::accounts::Accounts;
use super::budget::Limits;
use super::chain::ChainState;
use super::cost::Ledger;
use super::decode::{self, Decoded, Sanitized, Tables, Verified};
use super::places::Place;
use super::processor::{Checked, Processed, Processor as _, Svm};
use super::statuses::Statuses;
use super::told::{Effect, Ran};
use super::warm::Rules;
use super::{check, cost};

/// A transaction that may be run.
pub(crate) struct Arrived<'a> {
    pub(crate) input: &'a Input,
    pub(crate) transaction: Sanitized<'a>,
    pub(crate) limits: Limits,
    /// The most it may cost its slot.
    pub(crate) asked: cost::Cost,
    /// Its accounts and whether it writes them, in message order.
    pub(crate) locks: Locked,
}

/// Accounts that a transaction locks: their places, and whether it writes them.
pub(crate) type Locked = SmallVec<[(Place, bool); 8]>;

/// An input before it is run, or why it is not; nothing once it was taken to where it is run.
pub(crate) type Waiting<'b> = Option<Result<Arrived<'b>, TransactionError>>;

/// Decodes an input and checks what its bytes say by themselves.
pub(crate) fn decode<'a>(
    input: &'a Input,
    verified: &Verified,
) -> (&'a Input, Result<Decoded<'a>, TransactionError>) {
    let decoded = decode::decode(input.bytes()).and_then(|decoded| {
        verified.verify(input.bytes(), &decoded)?;
        Ok(decoded)
    });
    // Receipts name inputs. One that was not named yet is named on this thread, and keeps it.
    input.hash();
    (input, decoded)
}

impl<'a> Arrived<'a> {
    /// Resolves the lookup tables of a decoded input and reads what it asks for.
    pub(crate) fn resolve(
        (input, decoded): (&'a Input, Result<Decoded<'a>, TransactionError>),
        tables: &Tables<'_>,
        rules: &Rules,
    ) -> Result<Self, TransactionError> {
        let transaction = decoded.and_then(|decoded| decoded.resolve(tables))?;
        let limits = check::limits(&transaction, rules)?;
        Ok(Self {
            input,
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
}

/// Transactions that are run one after the other, each with its position in the batch.
pub(crate) type Lane<'w, 'b> = Vec<(usize, &'w mut Waiting<'b>)>;

/// What all lanes of a level share.
pub(crate) struct Road<'a, 'v> {
    pub(crate) accounts: &'a Accounts<'v>,
    pub(crate) chain: &'a ChainState,
    pub(crate) statuses: &'a Statuses,
    pub(crate) ledger: &'a Ledger,
    pub(crate) svm: &'a Svm,
    /// Whether plain transactions are run in less time.
    pub(crate) is_quick: bool,
}

impl Road<'_, '_> {
    /// Runs the transactions of a lane one after the other, and writes what they write. No other lane
    /// has to do with the accounts that it writes.
    ///
    /// # Errors
    /// [`Fault`] if this node failed.
    pub(crate) fn run(&self, transactions: Lane<'_, '_>) -> Result<Ran, Fault> {
        let mut running = Running {
            road: self,
            ran: Ran::with_capacity(transactions.len()),
        };
        let mut transactions = transactions.into_iter();
        let mut rest = None;
        if self.is_quick {
            rest = self
                .svm
                .quickly(self.accounts, |quick| {
                    transactions.find(|(position, waiting)| {
                        let Some(Ok(arrived)) = waiting else {
                            return false;
                        };
                        let checked = self.check(arrived);
                        let transaction = &arrived.transaction;
                        match quick.process(transaction, &arrived.locks, &checked) {
                            Some(processed) => {
                                let run = arrived.run(*position);
                                running.take(transaction, &run, processed);
                                false
                            }
                            None => true,
                        }
                    })
                })
                .flatten();
        }
        let rest: Vec<(usize, Arrived<'_>)> = rest
            .into_iter()
            .chain(transactions)
            .filter_map(|(position, waiting)| Some((position, waiting.take()?.ok()?)))
            .collect();
        if !rest.is_empty() {
            self.run_rest(&mut running, rest)?;
        }
        Ok(running.ran)
    }

    /// Runs transactions with what runs everything.
    fn run_rest(
        &self,
        running: &mut Running<'_, '_>,
        rest: Vec<(usize, Arrived<'_>)>,
    ) -> Result<(), Fault> {
        let checked = rest
            .iter()
            .map(|(_, arrived)| self.check(arrived))
            .collect();
        let (transactions, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .map(|(position, arrived)| {
                let (input, asked, locks) = (arrived.input, arrived.asked, arrived.locks);
                (arrived.transaction, (position, input, asked, locks))
            })
            .unzip();
        let processed = self
            .svm
            .process(self.accounts, &transactions, checked, true)?;
        for ((transaction, rest), processed) in transactions.iter().zip(&rest).zip(processed) {
            let (position, input, asked, locks) = rest;
            let run = Run {
                position: *position,
                input,
                asked: *asked,
                locks,
            };
            running.take(transaction, &run, processed);
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

/// A transaction that is run, without what is run.
struct Run<'a> {
    position: usize,
    input: &'a Input,
    asked: cost::Cost,
    locks: &'a Locked,
}

impl Arrived<'_> {
    fn run(&self, position: usize) -> Run<'_> {
        Run {
            position,
            input: self.input,
            asked: self.asked,
            locks: &self.locks,
        }
    }
}

/// A lane under way.
struct Running<'a, 'v> {
    road: &'a Road<'a, 'v>,
    ran: Ran,
}

impl Running<'_, '_> {
    /// Takes what a transaction came to.
    fn take(&mut self, transaction: &Sanitized<'_>, run: &Run<'_>, processed: Processed) {
        let ran = &mut self.ran;
        let charged = match processed {
            Ok(charged) => charged,
            Err(error) => {
                ran.done.push((run.position, Err(error)));
                return;
            }
        };
        let start = ran.records.bytes.len();
        let cost = cost::used(transaction, charged.units, run.asked);
        let locked = run.locks.iter().map(|(_, is_written)| *is_written);
        ran.records
            .add(run.input.bytes(), transaction, &charged, cost.work, locked);
        for (index, account) in charged.writes {
            // Every account of a message has a place.
            if let Some((place, _)) = run.locks.get(index)
                && self.road.accounts.put_at(*place, account)
            {
                ran.written.push(*place);
            }
        }
        let message = *transaction.message_hash();
        // No other transaction of the level has the same message.
        self.road.statuses.insert(&message);
        self.road.ledger.count(cost.work, run.locks);
        ran.count(charged.units, cost, &charged.fees);
        let effect = Effect {
            status: charged.status,
            range: start..ran.records.bytes.len(),
            message,
        };
        ran.done.push((run.position, Ok(effect)));
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
