//! Transactions on their way through a round: as they arrive, as a thread runs them, and what they
//! come to.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;
use solana_account::AccountSharedData;
use solana_hash::Hash as MessageHash;
use solana_message::AccountKeys;
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
use super::processor::{Charged, Processor as _, Svm};
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
    pub(crate) charged: Option<Box<Effect>>,
}

/// What a transaction that was charged does to the state.
pub(crate) struct Effect {
    pub(crate) record: Record,
    /// Compute units that were used.
    pub(crate) units: u64,
    pub(crate) message: MessageHash,
    pub(crate) cost: cost::Cost,
    /// Lamports of signatures and of priority.
    pub(crate) fees: (u64, u64),
    /// What it wrote, in message order.
    pub(crate) writes: Vec<(Place, AccountSharedData)>,
    /// What it locked, which is charged for its work.
    pub(crate) locks: Locked,
}

/// A packed record, among those of its lane.
pub(crate) struct Record {
    lane: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Record {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.lane[self.range.clone()]
    }
}

impl Refused {
    pub(crate) fn done(self) -> Done {
        Done {
            receipt: receipt(self.hash, Err(self.error)),
            charged: None,
        }
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
    /// Runs transactions one after the other, each on what those before it wrote.
    ///
    /// # Errors
    /// [`Fault`] if this node failed.
    pub(crate) fn run(&self, lane: Vec<Arrived<'_>>) -> Result<Vec<Done>, Fault> {
        let mut transactions = Vec::with_capacity(lane.len());
        let mut checked = Vec::with_capacity(lane.len());
        let mut rest = Vec::with_capacity(lane.len());
        for arrived in lane {
            let Arrived {
                input,
                hash,
                transaction,
                limits,
                asked,
                locks,
            } = arrived;
            checked.push(check::check(
                &transaction,
                limits,
                self.accounts,
                self.chain,
                self.statuses,
            ));
            transactions.push(transaction);
            rest.push((input, hash, asked, locks));
        }
        let (svm, accounts) = (self.svm, self.accounts);
        let processed = if self.is_quick {
            let locks: Vec<&Locked> = rest.iter().map(|(.., locks)| locks).collect();
            svm.process_quickly(accounts, &transactions, &locks, checked)?
        } else {
            svm.process(accounts, &transactions, checked, true)?
        };
        // All records of the lane in one piece of memory, each before what it is of is given away.
        let mut records = Records::with_capacity(RECORD_BYTES * transactions.len());
        let mut ends = Vec::with_capacity(transactions.len());
        let ran = transactions.iter().zip(&processed).zip(&rest);
        for ((transaction, processed), (input, _, _, locks)) in ran {
            if let Ok(charged) = processed {
                let work = cost::work(transaction, charged.units);
                let locked = locks.iter().map(|(_, is_written)| *is_written);
                let bytes = input.bytes();
                records.add(bytes, transaction, charged, work, locked);
            }
            ends.push(records.bytes.len());
        }
        // They stay to the end of the round.
        records.bytes.shrink_to_fit();
        let records = Arc::new(records.bytes);
        let mut start = 0;
        let ran = transactions.iter().zip(processed).zip(rest).zip(ends);
        let done = ran.map(
            |(((transaction, processed), (_, hash, asked, locks)), end)| {
                let range = std::mem::replace(&mut start, end)..end;
                let charged = match processed {
                    Ok(charged) => *charged,
                    Err(error) => return Refused { hash, error }.done(),
                };
                Done {
                    receipt: receipt(hash, Ok(told::status(&charged.status))),
                    charged: Some(Box::new(Effect {
                        message: *transaction.message_hash(),
                        cost: cost::used(transaction, charged.units, asked),
                        units: charged.units,
                        fees: (
                            charged.fees.transaction_fee(),
                            charged.fees.prioritization_fee(),
                        ),
                        writes: self.placed(transaction, charged, &locks),
                        locks,
                        record: Record {
                            lane: records.clone(),
                            range,
                        },
                    })),
                }
            },
        );
        Ok(done.collect())
    }

    /// What a transaction wrote, by place.
    fn placed(
        &self,
        transaction: &Sanitized,
        charged: Charged,
        locks: &Locked,
    ) -> Vec<(Place, AccountSharedData)> {
        let keys = transaction.account_keys();
        let mut next = 0;
        let writes = charged.writes.into_iter();
        let placed = writes.filter_map(|(key, account)| {
            let place = match position(&keys, &key, next) {
                Some(position) => {
                    next = position + 1;
                    locks.get(position).map(|(place, _)| *place)
                }
                None => self.accounts.place_of(&key),
            };
            // Every account of a message has a place.
            Some((place?, account))
        });
        placed.collect()
    }
}

/// Where a key stands, at `first` or later. What is written is in the order of the message.
fn position(keys: &AccountKeys<'_>, key: &Pubkey, first: usize) -> Option<usize> {
    (first..keys.len()).find(|position| keys.get(*position) == Some(key))
}

/// Keys of a transaction with whether it writes them.
pub(crate) fn locked(transaction: &impl SVMMessage) -> impl Iterator<Item = (&Pubkey, bool)> {
    let keys = transaction.account_keys();
    (0..keys.len()).filter_map(move |index| {
        let key = keys.get(index)?;
        Some((key, transaction.is_writable(index)))
    })
}
