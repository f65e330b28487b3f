//! What only the inside shows: the state is the store's, and no cache reaches it.

use std::sync::Arc;

use solana_instruction::AccountMeta;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, system_program};
use tempfile::TempDir;
use trilith_engine_account::{AccountConfig, AccountEngine, Genesis};
use trilith_host::Host;
use trilith_protocol::root::FromRoot;
use trilith_protocol::{Batch, Input, RoundContext, RoundLimits};
use trilith_store::Store;
use trilith_types::{Epoch, Hash, Height, Round, TimeNanos};

use super::instance::RUNTIME;
use super::{Local, Options, donors};
use crate::line::Line;

#[path = "../../tests/local/wire.rs"]
#[allow(dead_code, reason = "shared with the tests from outside")]
mod wire;

use wire::{SOL, create, key, keypair, memo, memo_program, transaction, transfer};

const START: u64 = 1_800_000_000_000_000_000;

fn engine(threads: usize) -> AccountEngine {
    let mut genesis = Genesis::new(donors::identity(), Some(key(&keypair(2))));
    genesis.epoch_slots = 64;
    AccountEngine::new(AccountConfig { genesis, threads })
}

/// A round on a store that was opened anew, by an engine that remembers nothing.
fn on_disk(folder: &TempDir, parent: Hash, round: u64, batch: &Batch) -> Hash {
    let (store, _) = Store::open_dir(folder.path()).expect("a store");
    let host = Host::new(Arc::new(store));
    let context = RoundContext {
        runtime: RUNTIME,
        round: Round(round),
        time: batch.time,
        height: Height(round),
        epoch: Epoch(0),
        committee: Vec::new(),
        randomness: None,
        from_root: FromRoot::default(),
    };
    let limits = RoundLimits {
        batch_inputs_max: 1_000,
        batch_bytes_max: 10_000_000,
        messages_max: 0,
    };
    let executed = host
        .execute(&engine(3), parent, batch, &context, &limits)
        .expect("the round executes");
    host.store()
        .finalise(RUNTIME, round, executed.state_root)
        .expect("the round is final");
    executed.state_root
}

#[test]
fn a_state_in_memory_has_the_root_it_has_on_disk() {
    let folder = TempDir::new().expect("a folder");
    let mut line = Line::new(RUNTIME, engine(1), TimeNanos(START));
    let mut root = Hash::EMPTY;
    let (faucet, alice) = (keypair(2), keypair(3));
    // Large data is an image: it begins, shrinks to an account of another kind, and vanishes.
    let assign = |owner: &Pubkey| {
        let data = [&1u32.to_le_bytes()[..], owner.as_ref()].concat();
        let accounts = vec![AccountMeta::new(key(&alice), true)];
        solana_instruction::Instruction::new_with_bytes(system_program::ID, &data, accounts)
    };
    for round in 1..12u64 {
        let time = TimeNanos(START + (round / 3) * 400_000_000 * if round > 8 { 70 } else { 1 });
        let blockhash = line_blockhash(&line);
        let inputs = match round {
            2 => vec![transaction(
                &[create(
                    &key(&faucet),
                    &key(&alice),
                    SOL,
                    100_000,
                    &system_program::ID,
                )],
                &[&faucet, &alice],
                blockhash,
            )],
            4 => vec![transaction(
                &[assign(&bpf_loader::ID)],
                &[&faucet, &alice],
                blockhash,
            )],
            6 | 10 => (0..40)
                .map(|index| {
                    let to = Pubkey::new_from_array([index + 50; 32]);
                    transaction(&[transfer(&key(&faucet), &to, SOL)], &[&faucet], blockhash)
                })
                .collect(),
            _ => Vec::new(),
        };
        let inputs = inputs
            .iter()
            .map(|transaction| {
                Input::new(wincode::serialize(transaction).expect("it has an encoding"))
            })
            .collect();
        let batch = Batch { time, inputs };
        let (outcome, told) = line
            .round(&batch, AccountEngine::told)
            .expect("the round executes");
        let told = told.expect("something was told");
        assert_eq!(told.transactions.len(), batch.inputs.len());
        assert!(told.transactions.iter().all(|record| record.status.is_ok()));
        root = on_disk(&folder, root, round, &batch);
        assert_eq!(
            trilith_types::StateRead::root(&*line.state),
            root,
            "round {round}, {} images",
            outcome.images.len()
        );
    }
}

fn line_blockhash(line: &Line<AccountEngine>) -> solana_hash::Hash {
    if line.round == 0 {
        return solana_hash::Hash::default();
    }
    let question = trilith_engine_account::query::Question::Chain;
    let at = (line.round, line.time);
    match super::instance::ask(&line.runtime, &line.state, at, &question) {
        Ok(trilith_engine_account::query::Answer::Chain(chain)) => chain.blockhash,
        other => panic!("not the chain: {other:?}"),
    }
}

/// Does the same calls again and again; `before` comes before each.
fn roots(threads: usize, before: impl Fn(&mut Local)) -> Vec<Hash> {
    let mut svm = Local::with(Options {
        threads,
        epoch_slots: 64,
        ..Options::default()
    })
    .expect("an instance");
    let alice = keypair(1);
    let program = Pubkey::new_from_array([77; 32]);
    let mut roots = vec![svm.state_root()];
    let steps: [&dyn Fn(&mut Local); 12] = [
        &|svm| svm.airdrop(&key(&alice), 1_000 * SOL).expect("lamports"),
        &|svm| {
            let batch: Vec<_> = (0..100u8)
                .map(|index| {
                    let to = Pubkey::new_from_array([index + 100; 32]);
                    let instructions = [transfer(&key(&alice), &to, SOL)];
                    transaction(&instructions, &[&alice], svm.latest_blockhash())
                })
                .collect();
            assert!(svm.send_batch(batch).iter().all(Result::is_ok));
        },
        &|svm| svm.next_slot().expect("a slot"),
        &|svm| {
            svm.add_program(program, &memo_program())
                .expect("a program");
        },
        &|svm| {
            let call = [memo(program, "hello")];
            let call = transaction(&call, &[&alice], svm.latest_blockhash());
            svm.expect(call).log("hello").verify().expect("it runs");
        },
        &|svm| svm.set_unix_timestamp(5).expect("a clock"),
        &|svm| svm.advance_slots(3).expect("slots"),
        &|svm| {
            let gate = agave_gate();
            svm.activate_gate(gate).expect("a gate");
        },
        &|svm| svm.warp_to_epoch(3).expect("an epoch"),
        &|svm| {
            let call = [memo(program, "again")];
            let call = transaction(&call, &[&alice], svm.latest_blockhash());
            svm.send(call).expect("it runs");
        },
        &|svm| svm.set_account(program, Default::default()).expect("gone"),
        &|svm| {
            let call = [memo(program, "gone")];
            let call = transaction(&call, &[&alice], svm.latest_blockhash());
            let failed = svm.send(call).expect_err("it is gone");
            let error = solana_transaction_error::TransactionError::ProgramAccountNotFound;
            assert_eq!(failed.error(), Some(&error));
        },
    ];
    for step in steps {
        before(&mut svm);
        step(&mut svm);
        roots.push(svm.state_root());
    }
    roots
}

/// A gate that this version knows and the mainnet has not in force.
fn agave_gate() -> Pubkey {
    Pubkey::from_str_const("6TkHkRmP7JZy1fdM6fg5uXn76wChQBWGokHBJzrLB3mj")
}

#[test]
fn the_same_calls_reach_the_same_roots_whatever_is_remembered() {
    let expected = roots(1, |_| ());
    let again = roots(3, |_| ());
    assert_eq!(expected, again, "other threads, programs from elsewhere");
    let restarted = roots(2, |svm| {
        let mut instance = svm.instance();
        let config = AccountConfig {
            genesis: Genesis::new(donors::identity(), None),
            threads: 2,
        };
        instance.line.runtime = Arc::new(AccountEngine::new(config));
    });
    assert_eq!(expected, restarted, "an engine that remembers nothing");
    let reverted = roots(1, |svm| {
        let snapshot = svm.snapshot();
        svm.next_slot().expect("a slot");
        svm.revert(&snapshot);
    });
    assert_eq!(expected, reverted, "after going back");
    let mut unique = expected.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), expected.len(), "every step changes the state");
}
