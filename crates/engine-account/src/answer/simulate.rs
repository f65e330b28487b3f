//! What a transaction would come to, and what it would cost.

use std::sync::{MutexGuard, PoisonError};

use solana_account::ReadableAccount;
use solana_fee_structure::FeeDetails;
use solana_hash::Hash as BlockHash;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_svm_transaction::svm_message::SVMMessage as _;
use solana_svm_transaction::svm_transaction::SVMTransaction as _;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use trilith_protocol::{Fault, QueryError, Reject};
use trilith_types::Hash;

use super::accounts::shown;
use super::{Session, bounded};
use crate::MODULE;
use crate::bank::accounts::Accounts;
use crate::bank::decode::{Decoded, Sanitized, Tables};
use crate::bank::processor::{Charged, Checked, Processor as _, Slot, Svm};
use crate::bank::statuses::Statuses;
use crate::bank::table::Table;
use crate::bank::told::Records;
use crate::bank::warm::Rules;
use crate::bank::{budget, check, cost, decode, lane};
use crate::packed::unpack_record;
use crate::query::{Account, CODE_MALFORMED, Simulate, Simulated};
use crate::record::TransactionRecord;

/// Most accounts that may be asked for.
const ACCOUNTS_MAX: usize = 64;

/// A processor for simulations, with the programs it has compiled.
pub(super) struct Simulator {
    /// Digest of its rules.
    digest: BlockHash,
    rules: Rules,
    svm: Svm,
    /// The state for which it is prepared.
    prepared: Option<Hash>,
}

impl Session<'_> {
    /// The fee of a message; `None` if its blockhash is not recent.
    pub(super) fn fee(&self, message: &[u8]) -> Result<Option<u64>, QueryError> {
        let message: VersionedMessage =
            wincode::deserialize_exact(message).map_err(|error| malformed(error.to_string()))?;
        if !self
            .chain
            .is_recent(message.recent_blockhash(), self.chain.slot)
        {
            return Ok(None);
        }
        let signatures = usize::from(message.header().num_required_signatures);
        let transaction = wincode::serialize(&VersionedTransaction {
            signatures: vec![Signature::default(); signatures],
            message,
        })
        .map_err(|error| malformed(error.to_string()))?;
        let decoded = decode::decode(&transaction).map_err(|error| malformed(error.to_string()))?;
        let rules = Rules::load(self.view)?;
        let accounts = Accounts::new(self.view, Table::default());
        let tables = Tables::new(&accounts, self.chain.slot, &rules.reserved);
        let resolved = decoded.resolve(&tables);
        accounts.check()?;
        let budget = resolved.and_then(|resolved| budget::limits(&resolved, &rules));
        let budget = budget.map_err(|error| malformed(error.to_string()))?;
        Ok(Some(budget.fee_details.total_fee()))
    }

    /// Runs a transaction on this state without keeping what it does.
    pub(super) fn simulate(&self, simulate: Simulate) -> Result<Simulated, QueryError> {
        bounded("accounts", simulate.accounts.len(), ACCOUNTS_MAX)?;
        let mut decoded = decode::decode(&simulate.transaction)
            .map_err(|error| malformed(format!("the transaction is malformed: {error}")))?;
        let replacement = simulate.replace_blockhash.then(|| {
            let blockhash = self.chain.blockhash();
            (blockhash, self.last_valid(&blockhash))
        });
        let verified = if simulate.verify_signatures {
            self.verify(&simulate.transaction, &decoded)
        } else {
            Ok(())
        };
        let signature = decoded.view().signatures().first().copied();
        let keys = decoded.view().static_account_keys().to_vec();
        let replaced;
        if let Some((blockhash, _)) = replacement {
            replaced = decode::with_blockhash(&decoded, &blockhash);
            decoded = decode::decode(&replaced).map_err(|error| malformed(error.to_string()))?;
        }
        let accounts = Accounts::new(self.view, Table::default());
        let run = verified.map(|()| self.run(decoded, &accounts, replacement.is_some()));
        let ran = match run {
            Ok(ran) => ran?,
            Err(error) => Err(error),
        };
        let mut shown_accounts = self.accounts(&simulate.accounts, None)?;
        let record = match ran {
            Err(error) => refused(
                &simulate.transaction,
                (signature, keys),
                self.chain.slot,
                error,
            ),
            Ok((resolved, charged)) => {
                if charged.status.is_ok() {
                    overlay(&simulate, (&resolved, &charged), &mut shown_accounts);
                }
                let work = cost::work(&resolved, charged.units);
                let locked = lane::locked(&resolved).map(|(_, is_written)| is_written);
                let mut record = Records::with_capacity(0);
                let bytes = &simulate.transaction;
                record.add(bytes, &resolved, &charged, work, locked);
                unpack_record(&record.bytes, self.chain.slot).map_err(Fault::from)?
            }
        };
        Ok(Simulated {
            record,
            accounts: shown_accounts,
            replacement,
            slot: self.chain.slot,
        })
    }

    /// Checks signatures. Those that hold are remembered for the pool, which a transaction that is
    /// simulated is often brought into next. Asked for, they are checked even where the engine takes
    /// signatures as checked.
    fn verify(&self, bytes: &[u8], decoded: &Decoded<'_>) -> Result<(), TransactionError> {
        if self.verified.is_trusting() {
            return decoded.verify();
        }
        self.verified.verify(bytes, decoded)
    }

    /// Runs a transaction.
    fn run<'b>(
        &self,
        decoded: Decoded<'b>,
        accounts: &Accounts<'_>,
        replaced: bool,
    ) -> Result<Result<(Sanitized<'b>, Charged), TransactionError>, Fault> {
        let chain = &self.chain;
        let mut desk = self.lock_simulator();
        let kept = desk.take().filter(|kept| kept.digest == chain.rules);
        let mut simulator = match kept {
            Some(kept) => kept,
            None => {
                let rules = Rules::load(self.view)?;
                Simulator {
                    digest: chain.rules,
                    svm: Svm::new(&rules)?,
                    rules,
                    prepared: None,
                }
            }
        };
        let root = self.view.root();
        if simulator.prepared != Some(root) {
            let slot = Slot {
                slot: chain.slot,
                epoch: chain.schedule().get_epoch(chain.slot),
                blockhash: chain.blockhash(),
            };
            simulator.svm.begin(&slot, accounts);
            simulator.prepared = Some(root);
        }
        let rules = &simulator.rules;
        let tables = Tables::new(accounts, chain.slot, &rules.reserved);
        let resolved = match decoded.resolve(&tables) {
            Ok(resolved) => resolved,
            Err(error) => {
                accounts.check()?;
                *desk = Some(simulator);
                return Ok(Err(error));
            }
        };
        let statuses = self.known(&resolved, replaced)?;
        let checked: Result<Checked, TransactionError> = check::limits(&resolved, rules)
            .and_then(|limits| check::check(&resolved, &limits, accounts, chain, &statuses));
        let group = vec![resolved];
        let svm = &simulator.svm;
        let processed = svm.process(accounts, &group, vec![checked], false)?;
        accounts.check()?;
        // Kept only where the state could be read: what was read in between is remembered in it.
        *desk = Some(simulator);
        let resolved = group.into_iter().next();
        let processed = processed.into_iter().next();
        let (Some(resolved), Some(processed)) = (resolved, processed) else {
            return Err(Fault("the processor lost a transaction".to_owned()));
        };
        Ok(processed.map(|charged| (resolved, charged)))
    }

    fn lock_simulator(&self) -> MutexGuard<'_, Option<Simulator>> {
        let simulator = &self.desk.simulator;
        simulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transaction's own status, if it was charged before and is simulated as it is.
    fn known(&self, transaction: &Sanitized, replaced: bool) -> Result<Statuses, Fault> {
        let statuses = Statuses::default();
        let signature = *transaction.signature();
        let known = self.index(|index| index.transaction(&signature).is_some())?;
        if known && !replaced {
            statuses.insert(transaction.message_hash());
        }
        Ok(statuses)
    }
}

fn malformed(message: String) -> QueryError {
    QueryError::Reject(Reject {
        module: MODULE,
        code: CODE_MALFORMED,
        message,
    })
}

/// Shows accounts as the transaction would leave them.
fn overlay(
    simulate: &Simulate,
    (transaction, charged): (&Sanitized<'_>, &Charged),
    shown_accounts: &mut [Option<Account>],
) {
    let keys = transaction.account_keys();
    for (key, account) in simulate.accounts.iter().zip(shown_accounts) {
        let mut writes = charged.writes.iter();
        if let Some((_, written)) = writes.find(|(index, _)| keys.get(*index) == Some(key)) {
            *account = (written.lamports() > 0).then(|| shown(written, None));
        }
    }
}

/// The record of a transaction that could not be charged.
fn refused(
    bytes: &[u8],
    (signature, keys): (Option<Signature>, Vec<Pubkey>),
    slot: u64,
    error: TransactionError,
) -> TransactionRecord {
    TransactionRecord {
        transaction: bytes.to_vec(),
        signature: signature.unwrap_or_default(),
        slot,
        index: 0,
        status: Err(error),
        fee: FeeDetails::default().total_fee(),
        units: 0,
        loaded_bytes: 0,
        logs: Vec::new(),
        inner: Vec::new(),
        returned: None,
        static_keys: u16::try_from(keys.len()).unwrap_or(u16::MAX),
        keys,
        loaded_writable: 0,
        balances_before: Vec::new(),
        balances_after: Vec::new(),
        tokens_before: Vec::new(),
        tokens_after: Vec::new(),
        written: Vec::new(),
        work: 0,
        locked: 0,
    }
}
