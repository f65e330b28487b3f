//! The callbacks of the bank over any state, so that the harness and the tests that the transaction
//! processor ships with can be run against them.
//!
//! Nothing of a node uses it. It decides nothing: each call goes to what the bank itself gives the
//! processor.

use solana_account::AccountSharedData;
use solana_precompile_error::PrecompileError;
use solana_pubkey::Pubkey;
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};
use trilith_protocol::Fault;
use trilith_types::StateRead;

use crate::bank::accounts::{Accounts, nothing_known};
use crate::bank::processor::Callback;

/// What the bank gives the processor when it runs transactions on a state.
pub struct Callbacks<'a>(Accounts<'a>);

impl<'a> Callbacks<'a> {
    /// The callbacks on a state.
    pub fn new(view: &'a dyn StateRead) -> Self {
        Self(Accounts::new(view, nothing_known()))
    }

    /// Whether all reads so far succeeded.
    ///
    /// # Errors
    /// The first fault of a read; the account was given as missing then.
    pub fn check(&self) -> Result<(), Fault> {
        self.0.check()
    }
}

impl TransactionProcessingCallback for Callbacks<'_> {
    fn get_account_shared_data(&self, key: &Pubkey) -> Option<(AccountSharedData, u64)> {
        Callback(&self.0).get_account_shared_data(key)
    }
}

impl InvokeContextCallback for Callbacks<'_> {
    fn get_epoch_stake(&self) -> u64 {
        Callback(&self.0).get_epoch_stake()
    }

    fn get_epoch_stake_for_vote_account(&self, vote: &Pubkey) -> u64 {
        Callback(&self.0).get_epoch_stake_for_vote_account(vote)
    }

    fn is_precompile(&self, program: &Pubkey) -> bool {
        Callback(&self.0).is_precompile(program)
    }

    fn process_precompile(
        &self,
        program: &Pubkey,
        data: &[u8],
        instructions: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        Callback(&self.0).process_precompile(program, data, instructions)
    }
}
