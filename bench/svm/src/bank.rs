//! The account engine on a state in memory, taking signatures as checked.

use std::time::Duration;

use agave_feature_set::{FEATURE_NAMES, FeatureSet};
use solana_account::{Account, AccountSharedData};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;
use trilith_engine_account::conformance::Callbacks;
use trilith_engine_account::query::{Answer, Question};
use trilith_engine_account::record::TransactionRecord;
use trilith_engine_account::{AccountConfig, AccountEngine, Edit, Genesis, read_account};
use trilith_protocol::root::FromRoot;
use trilith_protocol::{
    Batch, Input, QueryContext, Receipt, RoundContext, RoundLimits, Runtime as _,
};
use trilith_types::{Epoch, Height, Round, RuntimeId, StateRead as _, TimeNanos};

use crate::state::State;

/// The slot length of the engine.
const SLOT: Duration = Duration::from_millis(400);
/// An arbitrary beginning: the first of January 2027.
const START: u64 = 1_798_761_600_000_000_000;
const RUNTIME: RuntimeId = RuntimeId::test(6);
/// To whom fees go; no case names it.
pub const IDENTITY: Pubkey = Pubkey::new_from_array([1; 32]);

/// A bank.
pub struct Bank {
    engine: AccountEngine,
    state: State,
    round: u64,
    time: u64,
}

/// What became of a transaction: what was recorded, or why it was refused.
pub type Told = Result<TransactionRecord, String>;

impl Bank {
    /// A bank in its second slot.
    pub fn new() -> Self {
        let genesis = Genesis::new(IDENTITY, None);
        let mut bank = Self {
            engine: AccountEngine::new(AccountConfig {
                genesis,
                threads: 1,
            })
            .trusting(true),
            state: State::empty(),
            round: 0,
            time: START,
        };
        bank.run(&[]);
        bank.next_slot();
        bank.next_slot();
        bank
    }

    /// Begins the next slot.
    pub fn next_slot(&mut self) {
        self.time += SLOT.as_nanos() as u64;
        self.run(&[]);
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the bank gives the processor.
    pub fn callbacks(&self) -> Callbacks<'_> {
        Callbacks::new(&self.state)
    }

    /// Executes transactions as one batch.
    pub fn run(&mut self, transactions: &[Vec<u8>]) -> Vec<Told> {
        let time = TimeNanos(self.time);
        let batch = Batch {
            time,
            inputs: transactions
                .iter()
                .map(|bytes| Input::new(bytes.clone()))
                .collect(),
        };
        self.round += 1;
        let context = RoundContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time,
            height: Height(self.round),
            epoch: Epoch(0),
            committee: Vec::new(),
            randomness: None,
            from_root: FromRoot::default(),
        };
        let limits = RoundLimits {
            batch_inputs_max: 10_000,
            batch_bytes_max: 100_000_000,
            messages_max: 0,
        };
        let outcome = self
            .engine
            .execute(&self.state, &batch, &context, &limits)
            .expect("the round executes");
        let told = self.engine.told().expect("it was not sealed");
        let receipts = outcome.receipts.clone();
        self.seal(outcome);
        let mut records = told.transactions.into_iter();
        receipts
            .iter()
            .map(|receipt| {
                refusal(receipt).map_or_else(|| Ok(records.next().expect("it was charged")), Err)
            })
            .collect()
    }

    /// Writes accounts directly. Those without lamports vanish.
    pub fn write(&mut self, accounts: impl IntoIterator<Item = (Pubkey, Account)>) {
        self.edit(&Edit {
            accounts: accounts.into_iter().collect(),
            ..Edit::default()
        });
    }

    /// Takes a blockhash for a recent one.
    pub fn accept(&mut self, blockhash: Hash) {
        self.edit(&Edit {
            blockhashes: vec![blockhash],
            ..Edit::default()
        });
    }

    fn edit(&mut self, edit: &Edit) {
        let outcome = self.engine.edit(&self.state, edit);
        self.seal(outcome.expect("accounts can be written"));
        self.round += 1;
    }

    fn seal(&mut self, outcome: trilith_protocol::Outcome) {
        self.state.apply(outcome);
        self.engine.sealed(self.state.root());
    }

    /// An account as the state has it.
    pub fn account(&self, key: &Pubkey) -> Option<Account> {
        let account = read_account(&self.state, key).expect("the state is sound");
        account.map(|account: AccountSharedData| account.into())
    }

    /// The blockhash that transactions name.
    pub fn blockhash(&self) -> Hash {
        let time = TimeNanos(self.time);
        let context = QueryContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time,
            now: time,
            attested: None,
        };
        let question = Question::Chain.encode();
        let answer = self.engine.query(&self.state, &question, &context);
        match Answer::decode(&answer.expect("an answer")) {
            Ok(Answer::Chain(chain)) => chain.blockhash,
            other => panic!("not the chain: {other:?}"),
        }
    }

    /// The gates in force, read from the accounts that show them.
    pub fn features(&self) -> FeatureSet {
        let mut set = FeatureSet::default();
        for id in FEATURE_NAMES.keys() {
            let shown = self
                .account(id)
                .filter(|account| account.owner == feature::ID);
            // Active is a one and the slot.
            if shown.is_some_and(|account| account.data.first() == Some(&1)) {
                set.activate(id, 0);
            }
        }
        set
    }

    /// Whether the bank could run a program, with the reason if not.
    pub fn check_program(&self, elf: &[u8]) -> Result<(), String> {
        self.engine.check_program(&self.state, elf)
    }
}

impl Default for Bank {
    fn default() -> Self {
        Self::new()
    }
}

/// Why an input was refused.
fn refusal(receipt: &Receipt) -> Option<String> {
    match &receipt.status {
        trilith_protocol::ReceiptStatus::Rejected { message, .. } => Some(message.clone()),
        trilith_protocol::ReceiptStatus::Accepted => None,
    }
}
