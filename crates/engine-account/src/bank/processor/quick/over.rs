//! What `solana-svm` sees when it goes on where the loop stopped.

use solana_account::AccountSharedData;
use solana_precompile_error::PrecompileError;
use solana_pubkey::Pubkey;
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};

use super::super::Callback;
use super::held::Held;

/// The accounts of the bank under those that a call has written.
pub(super) struct Over<'a, 'b> {
    pub(super) held: &'a Held,
    pub(super) below: Callback<'a, 'b>,
}

impl TransactionProcessingCallback for Over<'_, '_> {
    fn get_account_shared_data(&self, key: &Pubkey) -> Option<(AccountSharedData, u64)> {
        match self.held.get(key, self.below.0) {
            Some(account) => account.clone().map(|account| (account, 0)),
            None => self.below.get_account_shared_data(key),
        }
    }
}

impl InvokeContextCallback for Over<'_, '_> {
    fn get_epoch_stake(&self) -> u64 {
        self.below.get_epoch_stake()
    }

    fn get_epoch_stake_for_vote_account(&self, vote: &Pubkey) -> u64 {
        self.below.get_epoch_stake_for_vote_account(vote)
    }

    fn is_precompile(&self, program: &Pubkey) -> bool {
        self.below.is_precompile(program)
    }

    fn process_precompile(
        &self,
        program: &Pubkey,
        data: &[u8],
        instructions: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        self.below.process_precompile(program, data, instructions)
    }
}
