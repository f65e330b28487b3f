//! The callbacks of the bank over any state, so that the harness and the tests that the transaction
//! processor ships with can be run against them; and its plans, so that they can be compared with
//! those of the ecosystem's scheduler.
//!
//! Nothing of a node uses it. It decides nothing: each call goes to what the bank itself gives the
//! processor.

use solana_account::AccountSharedData;
use solana_precompile_error::PrecompileError;
use solana_pubkey::Pubkey;
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};
use solana_transaction::sanitized::SanitizedTransaction;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use crate::bank::accounts::Accounts;
use crate::bank::lane;
use crate::bank::places::{Place, Places};
use crate::bank::plan::{Level, Locks, Planner};
use crate::bank::processor::Callback;
use crate::bank::table::Table;

/// What the bank gives the processor when it runs transactions on a state.
pub struct Callbacks<'a>(Accounts<'a>);

impl<'a> Callbacks<'a> {
    /// The callbacks on a state.
    pub fn new(view: &'a dyn StateRead) -> Self {
        Self(Accounts::new(view, Table::default()))
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

/// What the bank may run side by side.
pub struct Plan(Vec<Level>);

impl Plan {
    /// Plans transactions that the bank would let into a slot together, none of which repeats
    /// another or uses a durable nonce.
    pub fn new(transactions: &[SanitizedTransaction]) -> Self {
        let mut places = Places::default();
        let locks: Vec<Vec<(Place, bool)>> = transactions
            .iter()
            .map(|transaction| {
                lane::locked(transaction)
                    .map(|(key, is_written)| (places.give(key), is_written))
                    .collect()
            })
            .collect();
        let locks = locks.iter().map(|accounts| Locks {
            accounts,
            may_follow: true,
            repeats: None,
        });
        Self(Planner::default().levels(places.len(), locks))
    }

    /// The numbers of the transactions by level and, in it, by chain. Levels run one after the
    /// other, chains of a level side by side, and the transactions of a chain in their order.
    pub fn chains(&self) -> Vec<Vec<Vec<usize>>> {
        self.0
            .iter()
            .map(|level| level.chains().map(<[usize]>::to_vec).collect())
            .collect()
    }
}
