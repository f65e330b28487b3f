//! Takes the fee and loads the accounts of a plain transaction.

use solana_account::{AccountSharedData, ReadableAccount, WritableAccount};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, native_loader};
use solana_svm::account_loader::{
    PROGRAM_OWNERS, update_rent_exempt_status_for_account, validate_fee_payer,
};
use solana_svm::rent_calculator::RENT_EXEMPT_RENT_EPOCH;
use solana_svm::transaction_processor::TransactionProcessingEnvironment;
use solana_svm_transaction::svm_message::SVMMessage;
use solana_transaction_error::TransactionError;

use super::Kit;
use crate::bank::accounts::Accounts;
use crate::bank::budget::Limits;

/// What an account counts beside its data (SIMD-186).
const ACCOUNT_BYTES: usize = 64;
/// What a lookup table counts (SIMD-186): 8,192 bytes and 56 of metadata.
const TABLE_BYTES: usize = 8_248;
/// Bytes of data up to which a program is shown to a transaction although nothing in it can look.
const SHOWN_BYTES_MAX: usize = 1_024;
/// The tag of an account of the upgradeable loader that names where the code of a program is.
const PROGRAM_TAG: [u8; 4] = 2u32.to_le_bytes();

/// What was loaded for a transaction that is charged.
pub(super) struct Loaded {
    /// Its accounts in message order; why it pays without being executed.
    pub(super) accounts: Result<Vec<(Pubkey, AccountSharedData)>, TransactionError>,
    /// What the payer has left if the transaction fails.
    pub(super) paid: u64,
    /// Bytes that were loaded, as the limit counts them.
    pub(super) bytes: u32,
}

/// Takes the fee from the payer and loads all accounts.
///
/// Follows `validate_transaction_fee_payer` and `load_transaction`.
///
/// # Errors
/// [`TransactionError`] if the payer cannot pay; the transaction then has no effect.
pub(super) fn load(
    kit: &mut Kit,
    accounts: &Accounts<'_>,
    environment: &TransactionProcessingEnvironment,
    (message, limits): (&impl SVMMessage, &Limits),
) -> Result<Loaded, TransactionError> {
    let rent = &environment.rent;
    let payer = kit.held.at(kit.places[0]).account.as_ref();
    let mut payer = payer.ok_or(TransactionError::AccountNotFound)?.clone();
    update_rent_exempt_status_for_account(rent, &mut payer);
    validate_fee_payer(
        &mut payer,
        0,
        &mut kit.metrics,
        rent,
        limits.fee_details.total_fee(),
        environment.feature_set.relax_post_exec_min_balance_check,
    )?;
    let (paid, payer_bytes) = (payer.lamports(), payer.data().len());
    let mut loading = Loading {
        kit,
        accounts,
        environment,
        bytes: 0,
        bytes_max: limits.loaded_accounts_data_size_limit,
    };
    let loaded = loading.all(message, payer);
    let bytes = if loaded.is_ok() || environment.feature_set.define_ltds_fee_only_semantics {
        loading.bytes.min(loading.bytes_max)
    } else {
        // Accounts are far smaller.
        u32::try_from(payer_bytes).unwrap_or(u32::MAX)
    };
    Ok(Loaded {
        accounts: loaded,
        paid,
        bytes,
    })
}

/// Accounts being loaded, and how many bytes they are.
struct Loading<'a, 'b> {
    kit: &'a mut Kit,
    accounts: &'a Accounts<'b>,
    environment: &'a TransactionProcessingEnvironment,
    bytes: u32,
    bytes_max: u32,
}

impl Loading<'_, '_> {
    /// Loads all accounts, of which the payer is the first.
    ///
    /// Follows `load_transaction_accounts`.
    fn all(
        &mut self,
        message: &impl SVMMessage,
        payer: AccountSharedData,
    ) -> Result<Vec<(Pubkey, AccountSharedData)>, TransactionError> {
        self.count(message.num_lookup_tables().saturating_mul(TABLE_BYTES))?;
        let keys = message.account_keys();
        let mut loaded = Vec::with_capacity(keys.len());
        let mut code = Vec::new();
        let mut payer = Some(payer);
        for (index, key) in keys.iter().enumerate() {
            let (account, bytes) = match payer.take() {
                Some(payer) => {
                    let bytes = ACCOUNT_BYTES.saturating_add(payer.data().len());
                    (payer, bytes)
                }
                None => self.one(message, index),
            };
            self.count(bytes)?;
            // The account that was loaded may lack its data.
            let held = self.kit.held.at(self.kit.places[index]).account.as_ref();
            if let Some(address) = held.and_then(code_address) {
                let is_counted = keys.iter().any(|key| *key == address) || code.contains(&address);
                if !is_counted {
                    self.count_code(address, &mut code)?;
                }
            }
            loaded.push((*key, account));
        }
        for instruction in message.instructions_iter() {
            self.check_program(usize::from(instruction.program_id_index))?;
        }
        Ok(loaded)
    }

    /// An account that is not the payer, and what it counts.
    ///
    /// Follows `load_transaction_account`.
    fn one(&mut self, message: &impl SVMMessage, index: usize) -> (AccountSharedData, usize) {
        let entry = self.kit.held.at_mut(self.kit.places[index]);
        match &entry.account {
            Some(account) => {
                let bytes = ACCOUNT_BYTES.saturating_add(account.data().len());
                if message.is_writable(index) {
                    let mut account = account.clone();
                    update_rent_exempt_status_for_account(&self.environment.rent, &mut account);
                    return (account, bytes);
                }
                let is_seen = account.data().len() <= SHOWN_BYTES_MAX
                    || !message.is_invoked(index)
                    || message.is_instruction_account(index);
                let account = if is_seen { account } else { entry.shell() };
                (account.clone(), bytes)
            }
            None => {
                let mut account = AccountSharedData::default();
                account.set_rent_epoch(RENT_EXEMPT_RENT_EPOCH);
                (account, 0)
            }
        }
    }

    /// Counts the account that holds the code of a program, if there is one.
    fn count_code(
        &mut self,
        address: Pubkey,
        code: &mut Vec<Pubkey>,
    ) -> Result<(), TransactionError> {
        let place = self.kit.held.find(&address, self.accounts);
        if let Some(account) = &self.kit.held.at(place).account {
            let bytes = ACCOUNT_BYTES.saturating_add(account.data().len());
            self.count(bytes)?;
            code.push(address);
        }
        Ok(())
    }

    /// Checks that the account at this position can be a program.
    fn check_program(&self, index: usize) -> Result<(), TransactionError> {
        let place = self.kit.places.get(index);
        let account = place.and_then(|place| self.kit.held.at(*place).account.as_ref());
        let owner = account
            .ok_or(TransactionError::ProgramAccountNotFound)?
            .owner();
        if !native_loader::check_id(owner) && !PROGRAM_OWNERS.contains(owner) {
            return Err(TransactionError::InvalidProgramForExecution);
        }
        Ok(())
    }

    /// Counts bytes.
    ///
    /// Follows `LoadedTransactionDataSize::increase_calculated_data_size`.
    fn count(&mut self, bytes: usize) -> Result<(), TransactionError> {
        // What does not fit into 32 bits exceeds every limit.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max {
            return Err(TransactionError::MaxLoadedAccountsDataSizeExceeded);
        }
        Ok(())
    }
}

/// Where the code of a program of the upgradeable loader is.
///
/// Layout: crate `solana-loader-v3-interface` 7.0, `UpgradeableLoaderState::Program`: a 32-bit tag
/// and a key; what follows is not looked at.
pub(super) fn code_address(account: &AccountSharedData) -> Option<Pubkey> {
    if !bpf_loader_upgradeable::check_id(account.owner()) {
        return None;
    }
    let address = account.data().strip_prefix(&PROGRAM_TAG)?;
    Some(Pubkey::from(*address.first_chunk::<32>()?))
}
