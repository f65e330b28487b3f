//! The account runtime in the process of a test.
//!
//! [`Local`] is the instance; what it can do is spread over the modules by subject: sending here,
//! time in `time`, programs in `programs`, snapshots in [`snapshot`], checks in [`checks`], units in
//! [`units`], the RPC address in [`rpc`].
//!
//! An instance's time stands still until it is moved, so that a test sees no clock but the one it
//! sets. While an RPC address is open, slots go on by default, because clients wait for them.

pub mod checks;
mod donors;
pub mod error;
mod instance;
mod programs;
pub mod rpc;
pub mod sent;
pub mod snapshot;
mod time;
pub mod units;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use solana_account::Account;
use solana_hash::Hash as BlockHash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use trilith_engine_account::query::{Answer, Chain, Question, Simulate, Simulated};
use trilith_engine_account::record::TransactionRecord;
use trilith_engine_account::{Edit, Profile, read_account};
use trilith_params::account::EPOCH_SLOTS;
use trilith_protocol::Fault;
use trilith_types::{Hash, StateRead as _, TimeNanos};

use self::error::{Failed, LocalError};
use self::instance::{Executed, Instance, Settings, other_answer};
use self::sent::Sent;

/// How an instance begins.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether signatures are checked, strictly. Without, transactions need none, but must still
    /// have a place for each.
    pub signature_checks: bool,
    /// Whether blockhashes must be recent. Without, the blockhash of a transaction is written among
    /// the recent ones before it is executed. Durable nonces work either way.
    pub blockhash_checks: bool,
    /// The generation of rules with which the network begins. The gates of our own lead on from
    /// there, as on a network: see [`Local::activate_gate`].
    pub profile: Profile,
    /// Slots of an epoch, from 32 to 4,320,000.
    pub epoch_slots: u64,
    /// Agreed time at which the network begins, seconds since 1970.
    pub start: u64,
    /// Threads for signatures and execution of batches. Any number gives the same results.
    pub threads: usize,
    /// Feature gates brought into force (`true`) or out of it, against those of the mainnet.
    pub gates: Vec<(Pubkey, bool)>,
    /// Accounts that are there from the beginning.
    pub accounts: Vec<(Pubkey, Account)>,
}

impl Default for Options {
    /// As on the mainnet, on one thread, beginning with the year 2026.
    fn default() -> Self {
        Self {
            signature_checks: true,
            blockhash_checks: true,
            profile: Profile::Today,
            epoch_slots: EPOCH_SLOTS,
            start: 1_767_225_600,
            threads: 1,
            gates: Vec::new(),
            accounts: Vec::new(),
        }
    }
}

/// An account runtime of its own in this process.
///
/// ```
/// use solana_pubkey::Pubkey;
/// use trilith_local::Local;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (alice, bob) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
/// let mut svm = Local::new();
/// svm.airdrop(&alice, 5_000_000_000)?;
/// let before = svm.snapshot();
/// svm.airdrop(&bob, 1)?;
/// svm.revert(&before);
/// assert_eq!(svm.balance(&bob), 0);
/// # Ok(())
/// # }
/// ```
pub struct Local {
    shared: Arc<Mutex<Instance>>,
    rpc: Option<rpc::Server>,
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Local {
    /// An instance as on the mainnet; see [`Options::default`].
    ///
    /// # Panics
    /// If this process cannot make files in memory.
    pub fn new() -> Self {
        Self::with(Options::default()).expect("the defaults are valid")
    }

    /// An instance with options.
    ///
    /// # Errors
    /// [`LocalError`] if an epoch has too few or too many slots, an account is too large, the
    /// lamports of all are too many, or a gate is not known.
    pub fn with(options: Options) -> Result<Self, LocalError> {
        time::check_start(options.start)?;
        let start = TimeNanos(options.start * 1_000_000_000);
        time::check_epoch_slots(options.epoch_slots)?;
        let mut line = donors::begin(donors::Kind {
            epoch_slots: options.epoch_slots,
            profile: options.profile,
            time: start,
        })?;
        let engine = line
            .runtime
            .fork()
            .trusting(!options.signature_checks)
            .on_threads(options.threads);
        line.runtime = Arc::new(engine);
        let settings = Settings {
            blockhash_checks: options.blockhash_checks,
            clock_shift: 0,
        };
        let mut instance = Instance::new(line, settings);
        time::check_gates(options.gates.iter().map(|(id, _)| id))?;
        if !options.gates.is_empty() || !options.accounts.is_empty() {
            instance.edit(&Edit {
                accounts: options.accounts,
                gates: options.gates,
                ..Edit::default()
            })?;
        }
        Ok(Self::of(instance))
    }

    fn of(instance: Instance) -> Self {
        Self {
            shared: Arc::new(Mutex::new(instance)),
            rpc: None,
        }
    }

    /// The instance. A thread that panicked while it had it left it between two rounds.
    fn instance(&self) -> MutexGuard<'_, Instance> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes a transaction.
    ///
    /// # Errors
    /// [`Failed`] if it did not succeed: refused without effect, or charged and rolled back.
    pub fn send(&mut self, transaction: impl Into<VersionedTransaction>) -> Result<Sent, Failed> {
        let transaction = transaction.into();
        let mut results = self.send_batch([transaction]);
        results
            .pop()
            .unwrap_or_else(|| Err(Fault("a transaction was lost".to_owned()).into()))
    }

    /// Executes transactions as one batch: in their order, those that do not conflict side by side
    /// on the instance's threads. Each [`Sent`] holds the state after the whole batch.
    pub fn send_batch(
        &mut self,
        transactions: impl IntoIterator<Item = VersionedTransaction>,
    ) -> Vec<Result<Sent, Failed>> {
        let mut encoded = Vec::new();
        for transaction in transactions {
            match wincode::serialize(&transaction) {
                Ok(bytes) => encoded.push(bytes),
                // What has no encoding is refused like what cannot be read.
                Err(_) => encoded.push(Vec::new()),
            }
        }
        let count = encoded.len();
        let mut instance = self.instance();
        match instance.execute(encoded) {
            Ok(results) => {
                let after = instance.line.state.clone();
                let sent = |record: TransactionRecord| Sent::new(record, after.clone());
                results
                    .into_iter()
                    .map(|result: Executed| match result {
                        Err(error) => Err(Failed::Refused(error)),
                        Ok(record) if record.status.is_ok() => Ok(sent(record)),
                        Ok(record) => Err(Failed::Charged(Box::new(sent(record)))),
                    })
                    .collect()
            }
            Err(fault) => (0..count)
                .map(|_| Err(Failed::Fault(fault.clone())))
                .collect(),
        }
    }

    /// What a transaction would come to. Nothing changes; signatures and the blockhash are not
    /// looked at.
    ///
    /// # Errors
    /// [`LocalError::Query`] if it is no transaction.
    pub fn simulate(
        &self,
        transaction: impl Into<VersionedTransaction>,
    ) -> Result<Simulated, LocalError> {
        let transaction = wincode::serialize(&transaction.into()).unwrap_or_default();
        let question = Question::Simulate(Simulate {
            transaction,
            verify_signatures: false,
            replace_blockhash: true,
            accounts: Vec::new(),
        });
        match self.instance().ask(&question)? {
            Answer::Simulated(simulated) => Ok(*simulated),
            _ => Err(other_answer().into()),
        }
    }

    /// Asks the engine anything that a gateway may ask: history, indexes, fees.
    ///
    /// # Errors
    /// [`LocalError::Query`] if the engine refuses the question.
    pub fn ask(&self, question: &Question) -> Result<Answer, LocalError> {
        Ok(self.instance().ask(question)?)
    }

    /// Moves lamports from the faucet to an account, which begins to exist if it does not.
    ///
    /// # Errors
    /// [`LocalError`] if the faucet has too little or the account would have too much.
    pub fn airdrop(&mut self, to: &Pubkey, lamports: u64) -> Result<(), LocalError> {
        let faucet = Pubkey::new_from_array(*donors::faucet().public().as_bytes());
        if *to == faucet {
            return Ok(());
        }
        let mut from = self.account(&faucet).unwrap_or_default();
        let mut account = self.account(to).unwrap_or_default();
        let (left, asked) = (from.lamports, lamports);
        from.lamports = left
            .checked_sub(asked)
            .ok_or(LocalError::Faucet { left, asked })?;
        account.lamports = account
            .lamports
            .checked_add(lamports)
            .ok_or(LocalError::Lamports { key: *to })?;
        self.set_accounts(vec![(faucet, from), (*to, account)])
    }

    /// An account; `None` if there is none.
    pub fn account(&self, key: &Pubkey) -> Option<Account> {
        let state = self.instance().line.state.clone();
        // The state is in memory.
        let account = read_account(&*state, key).ok().flatten();
        account.map(Account::from)
    }

    /// Lamports of an account; 0 if there is none.
    pub fn balance(&self, key: &Pubkey) -> u64 {
        self.account(key).map_or(0, |account| account.lamports)
    }

    /// Writes an account as it shall be, past all programs. Without lamports it vanishes. Writing a
    /// sysvar counts until the next slot writes it again.
    ///
    /// # Errors
    /// [`LocalError::Edit`] if it is too large or the lamports of all accounts are too many.
    pub fn set_account(&mut self, key: Pubkey, account: Account) -> Result<(), LocalError> {
        self.set_accounts(vec![(key, account)])
    }

    /// Writes several accounts at once.
    ///
    /// # Errors
    /// As [`Local::set_account`]; none is written then.
    pub fn set_accounts(&mut self, accounts: Vec<(Pubkey, Account)>) -> Result<(), LocalError> {
        self.instance().edit(&Edit {
            accounts,
            ..Edit::default()
        })
    }

    /// The blockhash for new transactions. Two transactions that are the same but for it are two.
    pub fn latest_blockhash(&self) -> BlockHash {
        self.chain()
            .map_or_else(|_| BlockHash::default(), |chain| chain.blockhash)
    }

    /// Lamports that exempt an account with so many bytes of data from rent.
    pub fn minimum_balance(&self, len: u64) -> u64 {
        match self.instance().ask(&Question::MinimumBalance { len }) {
            Ok(Answer::Lamports(lamports)) => lamports,
            _ => u64::MAX,
        }
    }

    /// A transaction that was charged, by its first signature.
    pub fn transaction(&self, signature: &Signature) -> Option<TransactionRecord> {
        match self.instance().ask(&Question::Transaction(*signature)) {
            Ok(Answer::Transaction(found)) => found.map(|(record, _)| *record),
            _ => None,
        }
    }

    /// The account that gets the fees.
    pub fn identity(&self) -> Pubkey {
        donors::identity()
    }

    /// The root over the whole state. The same calls give the same root.
    pub fn state_root(&self) -> Hash {
        self.instance().line.state.root()
    }

    /// Where the chain is: slot, epoch, blockhash, counters.
    ///
    /// # Errors
    /// [`LocalError`] if this process failed.
    pub fn chain(&self) -> Result<Arc<Chain>, LocalError> {
        Ok(self.instance().chain()?)
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Local")
            .field("root", &self.state_root())
            .finish_non_exhaustive()
    }
}
