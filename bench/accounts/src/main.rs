//! Times the account engine and LiteSVM on the same transactions in one run, and prints a table
//! with ratios. Wall times mean something on a machine that does nothing else; the processor time
//! beside them, of all threads together, is steadier.
//!
//! Each side of a comparison runs in processes of its own, so that neither finds memory that the
//! other left, and they take turns, so that a machine whose speed changes is as fast for both. A row
//! shows the median of the processes, each of which gives the median of its batches.
//!
//! ```text
//! accounts-bench [--quick] [transfers] [tokens] [signed] [durable] [start] [plan]
//! ```

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use litesvm::LiteSVM;
use solana_account::Account;
use solana_hash::Hash as BlockHash;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_transaction::versioned::VersionedTransaction;
use tempfile::TempDir;
use trilith_bench_accounts::instructions::token;
use trilith_bench_accounts::key;
use trilith_bench_accounts::random::Trial;
use trilith_bench_accounts::schedule::{Scheduler, runtime, sanitized};
use trilith_engine_account::conformance::Plan;
use trilith_engine_account::query::{Answer, Question};
use trilith_engine_account::{AccountConfig, AccountEngine, Genesis};
use trilith_host::Host;
use trilith_local::Local;
use trilith_local::memory::Memory;
use trilith_protocol::root::FromRoot;
use trilith_protocol::{Batch, Input, QueryContext, RoundContext, RoundLimits, Runtime as _};
use trilith_store::Store;
use trilith_types::{Epoch, Hash, Height, Round, RuntimeId, StateRead, TimeNanos};

/// Another allocator than the C library's, which the node has, for both sides.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNTIME: RuntimeId = RuntimeId::test(7);
const START: u64 = 1_800_000_000_000_000_000;
const SLOT: u64 = 400_000_000;
const SOL: u64 = 1_000_000_000;
const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");

/// How much is measured.
struct Size {
    /// Transactions of a batch; each has a payer of its own.
    batch: u16,
    /// Batches that are timed, after one that is not.
    batches: usize,
    /// Transactions of a batch of the durable run: what comes in a third of a second at the rate
    /// that is asked for.
    durable: u16,
    /// Accounts of the durable run.
    accounts: u32,
}

impl Size {
    fn new(quick: bool) -> Self {
        if quick {
            Self {
                batch: 500,
                batches: 3,
                durable: 500,
                accounts: 20_000,
            }
        } else {
            Self {
                batch: 5_000,
                batches: 15,
                durable: 20_000,
                accounts: 1_000_000,
            }
        }
    }
}

/// What is transferred.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Lamports,
    Tokens,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, threads, quick] = &arguments[..]
        && first == TURN
    {
        return turn(name, threads, quick == "true");
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|name| !name.starts_with("--"))
        .collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| *wanted == name);
    let size = Size::new(quick);
    println!(
        "| what | ours, µs (processor) | LiteSVM, µs (processor) | ours, a second | ratio \
         (processor) | target |"
    );
    println!("|---|---|---|---|---|---|");
    for name in ["transfers", "tokens", "signed"] {
        if wanted(name) {
            compare(name, quick);
        }
    }
    if wanted("durable") {
        durable(&size);
    }
    if wanted("start") {
        start(&size);
    }
    if wanted("plan") {
        plan(&size);
    }
}

/// First argument of a process that takes one turn.
const TURN: &str = "--turn";
/// Processes of each side of a comparison.
const TURNS: usize = 5;
/// What stands for LiteSVM where others have a number of threads.
const THEIRS: &str = "0";

/// Compares ours on one thread and on two with LiteSVM.
fn compare(name: &str, quick: bool) {
    let (what, targets) = match name {
        "signed" => ("transfers, strict signatures, sealed", ["-", "1.4"]),
        "tokens" => ("tokens, execution alone", ["0.95", "1.7"]),
        _ => ("transfers, execution alone", ["0.95", "1.7"]),
    };
    let turns = if quick { 1 } else { TURNS };
    let sides = [THEIRS, "1", "2"];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..turns {
        for (side, times) in sides.iter().zip(&mut times) {
            times.push(ask(name, side, quick));
        }
    }
    let [theirs, one_thread, two_threads] = times.map(|times| one(&times, 1));
    row(
        &format!("{what}, 1 threads"),
        one_thread,
        theirs,
        targets[0],
    );
    row(
        &format!("{what}, 2 threads"),
        two_threads,
        theirs,
        targets[1],
    );
}

/// Has another process take a turn.
fn ask(name: &str, side: &str, quick: bool) -> Took {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args([TURN, name, side, &quick.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("it starts");
    let text = String::from_utf8(output.stdout).expect("numbers");
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert!(output.status.success() && numbers.len() == 2, "{text}");
    Took {
        wall: Duration::from_nanos(numbers[0]),
        processor: Duration::from_nanos(numbers[1]),
    }
}

/// Takes a turn, and prints nanoseconds of a transaction on the wall and of the processor.
fn turn(name: &str, side: &str, quick: bool) {
    let size = Size::new(quick);
    let work = match name {
        "tokens" => Work::Tokens,
        _ => Work::Lamports,
    };
    let (mode, signatures) = match name {
        "signed" => (Mode::Signed, true),
        _ => (Mode::Alone, false),
    };
    let took = match side {
        THEIRS => litesvm(work, &size, signatures),
        threads => executed(work, &size, threads.parse().expect("threads"), mode),
    };
    println!("{} {}", took.wall.as_nanos(), took.processor.as_nanos());
}

/// A time on the wall, and of the processor on all threads of this process.
#[derive(Clone, Copy, Default)]
struct Took {
    wall: Duration,
    processor: Duration,
}

/// A measurement that has begun.
struct Watch {
    wall: Instant,
    processor: Duration,
}

impl Watch {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            processor: processor(),
        }
    }

    fn took(&self) -> Took {
        Took {
            wall: self.wall.elapsed(),
            processor: processor().saturating_sub(self.processor),
        }
    }
}

fn processor() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Prints a row of times for one transaction.
fn row(name: &str, ours: Took, theirs: Took, target: &str) {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "| {name} | {:.2} ({:.2}) | {:.2} ({:.2}) | {:.0} | {:.2} ({:.2}) | {target} |",
        us(ours.wall),
        us(ours.processor),
        us(theirs.wall),
        us(theirs.processor),
        1e6 / us(ours.wall),
        us(theirs.wall) / us(ours.wall),
        us(theirs.processor) / us(ours.processor)
    );
}

/// The median of each, for one of `count` transactions.
fn one(times: &[Took], count: u16) -> Took {
    let of = |pick: fn(&Took) -> Duration| median(times.iter().map(pick).collect());
    Took {
        wall: of(|took| took.wall) / u32::from(count),
        processor: of(|took| took.processor) / u32::from(count),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Accounts with which the work can begin: wallets, and where tokens are moved, a mint and an
/// account of each wallet.
fn accounts(work: Work, size: &Size) -> Vec<(Pubkey, Account)> {
    let mut accounts: Vec<(Pubkey, Account)> = (0..size.batch)
        .map(|index| (key(index), wallet(1_000 * SOL)))
        .collect();
    if work == Work::Tokens {
        let mint = key(u16::MAX);
        let mut data = vec![0; 82];
        data[36..44].copy_from_slice(&u64::MAX.to_le_bytes());
        data[44..46].copy_from_slice(&[6, 1]);
        accounts.push((mint, of_token(data)));
        for index in 0..size.batch {
            for side in 0..2 {
                let mut data = vec![0; 165];
                data[..32].copy_from_slice(mint.as_ref());
                data[32..64].copy_from_slice(key(index).as_ref());
                data[64..72].copy_from_slice(&1_000_000_000u64.to_le_bytes());
                data[108] = 1;
                accounts.push((token_account(index, side), of_token(data)));
            }
        }
    }
    accounts
}

fn wallet(lamports: u64) -> Account {
    Account {
        lamports,
        data: Vec::new(),
        owner: system_program::ID,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

fn of_token(data: Vec<u8>) -> Account {
    Account {
        lamports: SOL,
        data,
        owner: TOKEN,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

fn token_account(index: u16, side: u8) -> Pubkey {
    let mut bytes = [side + 3; 32];
    bytes[..2].copy_from_slice(&index.to_le_bytes());
    Pubkey::new_from_array(bytes)
}

fn receiver(index: u16) -> Pubkey {
    let mut bytes = [200; 32];
    bytes[..2].copy_from_slice(&index.to_le_bytes());
    Pubkey::new_from_array(bytes)
}

/// A batch of transactions that do not conflict.
fn batch(work: Work, size: &Size, blockhash: BlockHash) -> Vec<VersionedTransaction> {
    (0..size.batch)
        .map(|index| {
            let instruction = match work {
                Work::Lamports => transfer(&key(index), &receiver(index), SOL / 100),
                Work::Tokens => {
                    let [from, to] = [0, 1].map(|side| token_account(index, side));
                    token(&TOKEN, 3, 5, [&from, &to, &key(index)])
                }
            };
            Trial::new(Vec::new(), &[instruction], &[index], blockhash).transaction
        })
        .collect()
}

fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let data = [&2u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
    let accounts = vec![
        solana_instruction::AccountMeta::new(*from, true),
        solana_instruction::AccountMeta::new(*to, false),
    ];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// From a batch to an outcome; signatures are taken as checked.
    Alone,
    /// With strict signature checks, to a new state root in memory.
    Signed,
}

fn engine(threads: usize, accounts: Vec<(Pubkey, Account)>) -> AccountEngine {
    let mut genesis = Genesis::new(Pubkey::new_from_array([250; 32]), None);
    genesis.accounts = accounts;
    AccountEngine::new(AccountConfig { genesis, threads })
}

fn context(round: u64, time: TimeNanos) -> RoundContext {
    RoundContext {
        runtime: RUNTIME,
        round: Round(round),
        time,
        height: Height(round),
        epoch: Epoch(0),
        committee: Vec::new(),
        randomness: None,
        from_root: FromRoot::default(),
    }
}

fn limits() -> RoundLimits {
    RoundLimits {
        batch_inputs_max: u32::MAX,
        batch_bytes_max: u64::MAX,
        messages_max: 0,
    }
}

fn blockhash(engine: &AccountEngine, view: &dyn StateRead, round: u64) -> BlockHash {
    let context = QueryContext {
        runtime: RUNTIME,
        round: Round(round),
        time: TimeNanos(START),
        now: TimeNanos(START),
        attested: None,
    };
    let answer = engine.query(view, &Question::Chain.encode(), &context);
    match answer.map(|answer| Answer::decode(&answer)) {
        Ok(Ok(Answer::Chain(chain))) => chain.blockhash,
        other => panic!("not the chain: {other:?}"),
    }
}

fn inputs(transactions: &[VersionedTransaction]) -> Vec<Input> {
    transactions
        .iter()
        .map(|transaction| Input::new(wincode::serialize(transaction).expect("it has an encoding")))
        .collect()
}

/// Our time for one transaction: the median batch, by its transactions.
fn executed(work: Work, size: &Size, threads: usize, mode: Mode) -> Took {
    let engine = engine(threads, accounts(work, size)).trusting(mode == Mode::Alone);
    let mut state = Memory::default();
    let mut times = Vec::new();
    for round in 1..=size.batches as u64 + 2 {
        let time = TimeNanos(START + round * SLOT);
        let transactions = if round == 1 {
            Vec::new()
        } else {
            batch(work, size, blockhash(&engine, &state, round - 1))
        };
        let batch = Batch {
            time,
            inputs: inputs(&transactions),
        };
        if mode == Mode::Alone {
            // A host names inputs before it has them executed, to find those that come twice.
            let named: Vec<Hash> = batch.inputs.iter().map(Input::hash).collect();
            assert_eq!(named.len(), transactions.len());
        }
        let start = Watch::start();
        let outcome = engine
            .execute(&state, &batch, &context(round, time), &limits())
            .expect("the round executes");
        let alone = start.took();
        state = state
            .next(&outcome.write_log, &outcome.images)
            .expect("it is sealed");
        let root = state.root();
        let sealed = start.took();
        engine.sealed(root);
        check(&outcome.receipts);
        if round > 2 {
            times.push(if mode == Mode::Alone { alone } else { sealed });
        }
    }
    one(&times, size.batch)
}

/// Every transaction succeeded.
fn check(receipts: &[trilith_protocol::Receipt]) {
    for receipt in receipts {
        let status = bincode::deserialize::<solana_transaction_error::TransactionResult<()>>(
            &receipt.output,
        );
        let is_accepted = receipt.status == trilith_protocol::ReceiptStatus::Accepted;
        assert!(is_accepted && matches!(status, Ok(Ok(()))), "{receipt:?}");
    }
}

/// LiteSVM's time for one transaction.
fn litesvm(work: Work, size: &Size, signatures: bool) -> Took {
    let mut svm = LiteSVM::new()
        .with_sigverify(signatures)
        .with_blockhash_check(false)
        .with_transaction_history(0);
    for (key, account) in accounts(work, size) {
        svm.set_account(key, account).expect("it is good");
    }
    let mut times = Vec::new();
    for round in 0..=size.batches as u8 {
        let transactions = batch(work, size, BlockHash::new_from_array([round; 32]));
        let start = Watch::start();
        for transaction in transactions {
            assert!(svm.send_transaction(transaction).is_ok());
        }
        if round > 0 {
            times.push(start.took());
        }
    }
    one(&times, size.batch)
}

/// Transfers between many accounts on disk: executed, sealed, and on the disk before the next.
fn durable(size: &Size) {
    let size = &Size {
        batch: size.durable,
        ..*size
    };
    let folder = TempDir::new().expect("a folder");
    let (store, _) = Store::open_dir(folder.path()).expect("a store");
    let host = Host::new(Arc::new(store));
    let others = (0..size.accounts).map(|index| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&index.wrapping_mul(0x9e37_79b9).to_le_bytes());
        bytes[4..8].copy_from_slice(&index.to_le_bytes());
        (Pubkey::new_from_array(bytes), wallet(SOL))
    });
    let all = accounts(Work::Lamports, size).into_iter().chain(others);
    let engine = engine(2, all.collect()).trusting(true);
    let (mut root, mut times) = (Hash::EMPTY, Vec::new());
    for round in 1..=size.batches as u64 + 2 {
        let time = TimeNanos(START + round * SLOT);
        let transactions = if round == 1 {
            Vec::new()
        } else {
            let view = host.view(RUNTIME, root).expect("the state");
            batch(Work::Lamports, size, blockhash(&engine, &*view, round - 1))
        };
        let batch = Batch {
            time,
            inputs: inputs(&transactions),
        };
        let start = Watch::start();
        let executed = host
            .execute(&engine, root, &batch, &context(round, time), &limits())
            .expect("the round executes");
        host.store().sync().expect("it is durable");
        root = executed.state_root;
        host.store()
            .finalise(RUNTIME, round, root)
            .expect("the round is final");
        if round > 2 {
            times.push(start.took());
        }
        check(&executed.outcome.receipts);
    }
    let took = one(&times, size.batch);
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "| transfers, sealed and durable, {} accounts, 2 threads | {:.2} ({:.2}) | - | {:.0} | - \
         | 60,000 a second |",
        size.accounts,
        us(took.wall),
        us(took.processor),
        1e6 / us(took.wall)
    );
}

/// What deciding takes what may run side by side, ours beside the ecosystem's scheduling logic.
fn plan(size: &Size) {
    let batch = batch(Work::Lamports, size, BlockHash::default());
    let planned: Vec<_> = batch.iter().cloned().map(sanitized).collect();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    Scheduler::on_thread(|mut scheduler| {
        for _ in 0..size.batches {
            let start = Watch::start();
            let plan = Plan::new(&planned);
            ours.push(start.took());
            assert_eq!(plan.chains().len(), 1);
            let tasks = batch.iter().cloned().map(runtime).collect();
            let start = Watch::start();
            let waited = scheduler.run(tasks, None);
            theirs.push(start.took());
            assert!(waited.is_empty());
        }
    });
    row(
        "planning a transfer; theirs: solana-unified-scheduler-logic",
        one(&ours, size.batch),
        one(&theirs, size.batch),
        "-",
    );
}

/// How long an instance takes to begin, and to begin and execute a first transaction.
fn start(size: &Size) {
    let times = |begin: &dyn Fn()| {
        let begun = (0..size.batches * 4).map(|_| {
            let start = Instant::now();
            begin();
            start.elapsed()
        });
        median(begun.collect())
    };
    let first = Instant::now();
    drop(Local::new());
    let first = first.elapsed();
    let ours = times(&|| drop(Local::new()));
    let theirs = times(&|| drop(LiteSVM::new()));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| start of an instance, ms (the first of ours {:.2}) | {:.3} | {:.3} | - | {:.1} | 5 ms |",
        ms(first),
        ms(ours),
        ms(theirs),
        ms(theirs) / ms(ours)
    );
    let call = |blockhash| {
        let to = Pubkey::new_from_array([8; 32]);
        let gift = transfer(&key(3), &to, SOL);
        Trial::new(Vec::new(), &[gift], &[3], blockhash).transaction
    };
    let ours = times(&|| {
        let mut svm = Local::new();
        svm.airdrop(&key(3), 5 * SOL).expect("lamports");
        let blockhash = svm.latest_blockhash();
        assert!(svm.send(call(blockhash)).is_ok());
    });
    let theirs = times(&|| {
        let mut svm = LiteSVM::new();
        svm.set_account(key(3), wallet(5 * SOL)).expect("lamports");
        let blockhash = svm.latest_blockhash();
        assert!(svm.send_transaction(call(blockhash)).is_ok());
    });
    println!(
        "| start, lamports and a signed transfer, ms | {:.3} | {:.3} | - | {:.1} | - |",
        ms(ours),
        ms(theirs),
        ms(theirs) / ms(ours)
    );
}
