//! Two replicas of an account runtime over real stores. The first stays up and uses one thread;
//! the second is restarted before every round, uses several, and runs every transaction by the
//! ecosystem's processor, also those for which the engine has a loop of its own. Every round and
//! every answer must be the same on both.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use solana_hash::Hash as BlockHash;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;
use tempfile::TempDir;
use trilith_engine_account::query::{Account, Answer, Chain, Question};
use trilith_engine_account::record::TransactionRecord;
use trilith_engine_account::{AccountConfig, AccountEngine, Genesis, Profile, read_account};
use trilith_host::{Host, HostFault};
use trilith_protocol::root::{ActiveFeature, FeatureId, FromRoot};
use trilith_protocol::{
    Admission, Batch, CheckContext, Input, QueryContext, Receipt, ReceiptStatus, Reject,
    RoundContext, RoundLimits, Runtime as _,
};
use trilith_store::Store;
use trilith_types::{Epoch, Hash, Height, Round, RuntimeId, TimeNanos};

use super::table;
use super::wire::{key, keypair, signature, transaction};
use super::witness::{self, Witnessed};

const RUNTIME: RuntimeId = RuntimeId::test(5);
const START: u64 = 1_800_000_000_000_000_000;
pub(crate) const SLOT: u64 = 400_000_000;
pub(crate) const SOL: u64 = 1_000_000_000;

struct Replica {
    folder: TempDir,
    host: Option<Host>,
    engine: AccountEngine,
    genesis: Genesis,
    threads: usize,
    /// Whether the ecosystem's processor runs everything.
    is_judge: bool,
}

impl Replica {
    fn new(genesis: Genesis, threads: usize) -> Self {
        let mut replica = Self {
            folder: TempDir::new().expect("a temporary folder"),
            host: None,
            engine: engine(&genesis, threads),
            genesis,
            threads,
            is_judge: false,
        };
        replica.restart();
        replica
    }

    /// The replica, on which the ecosystem's processor runs everything.
    fn judging(mut self) -> Self {
        self.is_judge = true;
        self.restart();
        self
    }

    fn restart(&mut self) {
        self.host = None;
        let (store, _) = Store::open_dir(self.folder.path()).expect("a store");
        self.host = Some(Host::new(Arc::new(store)));
        self.engine = engine(&self.genesis, self.threads).judging(self.is_judge);
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("open between restarts")
    }
}

fn engine(genesis: &Genesis, threads: usize) -> AccountEngine {
    let genesis = genesis.clone();
    AccountEngine::new(AccountConfig { genesis, threads })
}

/// The genesis of a network with short epochs.
pub(crate) fn genesis() -> Genesis {
    let mut genesis = Genesis::new(key(&keypair(1)), Some(key(&keypair(2))));
    genesis.epoch_slots = 64;
    genesis
}

/// The approval of a feature from root epoch 3 on.
fn approval(id: &Pubkey) -> ActiveFeature {
    ActiveFeature {
        id: FeatureId(id.to_bytes()),
        since: Epoch(3),
    }
}

/// A network of two replicas.
pub(crate) struct Network {
    steady: Replica,
    restarted: Replica,
    /// More replicas, each with the number of rounds after which it is restarted.
    further: Vec<(Replica, u64)>,
    root: Hash,
    round: u64,
    /// Agreed time since the start, nanoseconds.
    pub(crate) elapsed: u64,
    /// Features that the root approved.
    pub(crate) approved: Vec<Pubkey>,
    /// Whether the witness of a batch is shown the state before it as the state after it.
    pub(crate) is_lying: bool,
}

impl Network {
    /// A network that has had its first round.
    pub(crate) fn new() -> Self {
        Self::with(genesis())
    }

    /// A network with a genesis of its own that has had its first round.
    pub(crate) fn with(genesis: Genesis) -> Self {
        Self::with_further(genesis, &[])
    }

    /// The same with more replicas of so many threads, each restarted after so many rounds.
    pub(crate) fn with_further(genesis: Genesis, replicas: &[(usize, u64)]) -> Self {
        let mut network = Self {
            steady: Replica::new(genesis.clone(), 1),
            restarted: Replica::new(genesis.clone(), 3).judging(),
            further: replicas
                .iter()
                .map(|(threads, rounds)| (Replica::new(genesis.clone(), *threads), *rounds))
                .collect(),
            root: Hash::EMPTY,
            round: 0,
            elapsed: 0,
            approved: Vec::new(),
            is_lying: false,
        };
        network.round(&[]);
        network
    }

    /// The payer of airdrops.
    pub(crate) fn faucet(&self) -> SigningKey {
        keypair(2)
    }

    /// The batch of the next round and its circumstances.
    fn next(&self, transactions: &[Vec<u8>]) -> (Batch, RoundContext) {
        let time = TimeNanos(START + self.elapsed);
        let batch = Batch {
            time,
            inputs: transactions
                .iter()
                .map(|bytes| Input::new(bytes.clone()))
                .collect(),
        };
        let context = RoundContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time,
            height: Height(self.round),
            epoch: Epoch(0),
            committee: Vec::new(),
            randomness: None,
            from_root: FromRoot {
                features: self.approved.iter().map(approval).collect(),
                ..FromRoot::default()
            },
        };
        (batch, context)
    }

    /// What both replicas say that cannot execute the next round. Nothing changes.
    pub(crate) fn fault(&mut self) -> String {
        self.round += 1;
        let (batch, context) = self.next(&[]);
        self.round -= 1;
        let faults = [&self.steady, &self.restarted].map(|replica| {
            let view = replica.host().view(RUNTIME, self.root).expect("the state");
            let limits = RoundLimits {
                batch_inputs_max: 1,
                batch_bytes_max: 1,
                messages_max: 0,
            };
            let executed = replica.engine.execute(&*view, &batch, &context, &limits);
            let fault = executed.expect_err("the round does not execute");
            // So a node ends with the same words, instead of trying again.
            let run = replica
                .host()
                .run(&replica.engine, self.root, &batch, &context, &limits);
            assert!(matches!(
                run,
                Err(HostFault::Outdated { reason, .. }) if reason == fault.0
            ));
            fault.to_string()
        });
        assert_eq!(faults[0], faults[1]);
        faults[0].clone()
    }

    /// Executes a batch on both replicas.
    pub(crate) fn round(&mut self, transactions: &[Vec<u8>]) -> Vec<Receipt> {
        self.round += 1;
        self.restarted.restart();
        let parent = self
            .steady
            .host()
            .view(RUNTIME, self.root)
            .expect("the state");
        let (batch, context) = self.next(transactions);
        let limits = RoundLimits {
            batch_inputs_max: 10_000,
            batch_bytes_max: 10_000_000,
            messages_max: 0,
        };
        let outdated = self.steady.engine.outdated(&*parent, &context);
        assert_eq!(outdated, None, "what executes is known");
        let is_checked = self.steady.genesis.profile == Profile::Today && !batch.inputs.is_empty();
        let witness = is_checked.then(|| self.steady.engine.fork());
        for (replica, rounds) in &mut self.further {
            if self.round.is_multiple_of(*rounds) {
                replica.restart();
            }
        }
        let run = |replica: &Replica| {
            let host = replica.host();
            let executed = host
                .execute(&replica.engine, self.root, &batch, &context, &limits)
                .expect("the round executes");
            host.store()
                .finalise(RUNTIME, self.round, executed.state_root)
                .expect("the round is final");
            (
                executed.state_root,
                executed.io_root,
                executed.outcome.receipts,
            )
        };
        let first = run(&self.steady);
        let further = self.further.iter().map(|(replica, _)| replica);
        for replica in std::iter::once(&self.restarted).chain(further) {
            let (threads, other) = (replica.threads, run(replica));
            assert_eq!(
                first.0, other.0,
                "state roots of round {}, {threads} threads",
                self.round
            );
            assert_eq!(
                first.1, other.1,
                "I/O roots of round {}, {threads} threads",
                self.round
            );
        }
        self.root = first.0;
        if let Some(engine) = witness {
            let after = self.steady.host().view(RUNTIME, self.root);
            let after = after.expect("the state");
            let witnessed = Witnessed {
                before: &*parent,
                after: if self.is_lying { &*parent } else { &*after },
                batch: &batch,
                context: &context,
                receipts: &first.2,
                identity: self.steady.genesis.identity,
            };
            witness::witness(&engine, &witnessed);
        }
        table::note(&first.2);
        first.2
    }

    /// An account as the state has it.
    pub(crate) fn raw(&self, key: &Pubkey) -> Option<solana_account::Account> {
        let view = self.steady.host().view(RUNTIME, self.root);
        let account = read_account(&*view.expect("the state"), key);
        account.expect("the state is sound").map(Into::into)
    }

    /// What the steady replica's pool says to a transaction.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<Admission, Reject> {
        let context = CheckContext {
            runtime: RUNTIME,
            now: TimeNanos(START + self.elapsed),
        };
        let view = self.steady.host().view(RUNTIME, self.root);
        let view = view.expect("the state");
        self.steady.engine.check(&*view, bytes, &context)
    }

    fn context(&self) -> QueryContext {
        let time = TimeNanos(START + self.elapsed);
        QueryContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time,
            now: time,
            attested: None,
        }
    }

    /// Lets agreed time pass and executes an empty batch.
    pub(crate) fn pass(&mut self, slots: u64) {
        self.elapsed += slots * SLOT;
        self.round(&[]);
    }

    /// Signs and executes one transaction with the newest blockhash; the first signer pays.
    pub(crate) fn send(
        &mut self,
        instructions: &[Instruction],
        signers: &[&SigningKey],
    ) -> TransactionRecord {
        let bytes = transaction(instructions, signers, self.blockhash());
        self.send_bytes(&bytes)
    }

    /// Executes one transaction that must be charged.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> TransactionRecord {
        let receipts = self.round(&[bytes.to_vec()]);
        assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
        self.record(signature(bytes)).expect("it was recorded")
    }

    /// Executes one transaction that must succeed.
    pub(crate) fn succeed(
        &mut self,
        instructions: &[Instruction],
        signers: &[&SigningKey],
    ) -> TransactionRecord {
        let record = self.send(instructions, signers);
        assert_eq!(record.status, Ok(()), "{:#?}", record.logs);
        record
    }

    pub(crate) fn record(&self, signature: Signature) -> Option<TransactionRecord> {
        match self.ask(&Question::Transaction(signature)) {
            Answer::Transaction(found) => found.map(|(record, _)| *record),
            other => panic!("not a transaction: {other:?}"),
        }
    }

    /// Asks both replicas, which must agree.
    pub(crate) fn ask(&self, question: &Question) -> Answer {
        let [first, second] = self.ask_bytes(&question.encode());
        assert_eq!(first, second, "{question:?}");
        Answer::decode(&first.expect("the question is answered")).expect("an answer")
    }

    /// What both replicas say to the bytes of a question.
    pub(crate) fn ask_bytes(
        &self,
        question: &[u8],
    ) -> [Result<Vec<u8>, trilith_protocol::QueryError>; 2] {
        let context = self.context();
        [&self.steady, &self.restarted].map(|replica| {
            let view = replica.host().view(RUNTIME, self.root).expect("the state");
            replica.engine.query(&*view, question, &context)
        })
    }

    pub(crate) fn chain(&self) -> Chain {
        match self.ask(&Question::Chain) {
            Answer::Chain(chain) => *chain,
            other => panic!("not the chain: {other:?}"),
        }
    }

    pub(crate) fn blockhash(&self) -> BlockHash {
        self.chain().blockhash
    }

    pub(crate) fn account(&self, key: &Pubkey) -> Option<Account> {
        let question = Question::Accounts {
            keys: vec![*key],
            slice: None,
        };
        match self.ask(&question) {
            Answer::Accounts(mut accounts) => accounts.remove(0),
            other => panic!("not accounts: {other:?}"),
        }
    }

    pub(crate) fn balance(&self, key: &Pubkey) -> u64 {
        self.account(key).map_or(0, |account| account.lamports)
    }

    /// Gives an account lamports from the faucet.
    pub(crate) fn airdrop(&mut self, to: &Pubkey, lamports: u64) {
        let faucet = self.faucet();
        let instruction = super::wire::transfer(&key(&faucet), to, lamports);
        self.succeed(&[instruction], &[&faucet]);
    }

    /// What a receipt says of a transaction.
    pub(crate) fn statuses(receipts: &[Receipt]) -> Vec<Option<TransactionResult<()>>> {
        receipts
            .iter()
            .map(|receipt| match receipt.status {
                ReceiptStatus::Accepted => {
                    let status = bincode::deserialize(&receipt.output).expect("a status");
                    Some(status)
                }
                ReceiptStatus::Rejected { .. } => None,
            })
            .collect()
    }

    /// The message with which a transaction is refused.
    pub(crate) fn refusal(&mut self, bytes: &[u8]) -> String {
        let receipts = self.round(&[bytes.to_vec()]);
        match &receipts[0].status {
            ReceiptStatus::Rejected { message, .. } => message.clone(),
            ReceiptStatus::Accepted => panic!("it was charged"),
        }
    }
}
