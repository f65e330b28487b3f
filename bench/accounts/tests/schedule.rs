//! The bank's plans beside the ecosystem's scheduling logic: what has to wait there, waits here.

use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;
use trilith_bench_accounts::random::Trial;
use trilith_bench_accounts::schedule::{Scheduler, runtime, sanitized};
use trilith_engine_account::conformance::Plan;

/// A generator that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A transaction of one of some payers that reads and writes some accounts.
fn transaction(random: &mut Random, payers: u64, accounts: u64) -> VersionedTransaction {
    let mut metas: Vec<AccountMeta> = Vec::new();
    for _ in 0..random.below(4) {
        let key = Pubkey::new_from_array([100 + random.below(accounts) as u8; 32]);
        if metas.iter().all(|meta| meta.pubkey != key) {
            metas.push(match random.below(2) {
                0 => AccountMeta::new(key, false),
                _ => AccountMeta::new_readonly(key, false),
            });
        }
    }
    let program = Pubkey::new_from_array([99; 32]);
    let data = random.below(u64::from(u32::MAX)).to_le_bytes();
    let instruction = Instruction::new_with_bytes(program, &data, metas);
    let payer = random.below(payers) as u16;
    Trial::new(Vec::new(), &[instruction], &[payer], Hash::default()).transaction
}

#[test]
fn what_waits_in_the_ecosystems_scheduler_waits_in_a_plan() {
    let mut random = Random(11);
    let (mut waiting, mut together) = (0u64, 0u64);
    Scheduler::on_thread(|mut scheduler| {
        for _ in 0..150 {
            let (payers, accounts) = (1 + random.below(30), 1 + random.below(40));
            let count = 1 + random.below(24);
            let batch: Vec<VersionedTransaction> = (0..count)
                .map(|_| transaction(&mut random, payers, accounts))
                .collect();
            let planned: Vec<_> = batch.iter().cloned().map(sanitized).collect();
            let levels = Plan::new(&planned).chains();
            let mut at = vec![(0, 0, 0); batch.len()];
            for (level, chains) in levels.iter().enumerate() {
                for (chain, members) in chains.iter().enumerate() {
                    for (position, member) in members.iter().enumerate() {
                        at[*member] = (level, chain, position);
                    }
                }
            }
            for first in 0..batch.len() {
                let tasks = batch.iter().cloned().map(runtime).collect();
                let waited = scheduler.run(tasks, Some(first));
                for second in first + 1..batch.len() {
                    let (one, other) = (at[first], at[second]);
                    let is_before = one.0 < other.0
                        || ((one.0, one.1) == (other.0, other.1) && one.2 < other.2);
                    if waited.contains(&second) {
                        waiting += 1;
                        assert!(is_before, "{first} {one:?}, {second} {other:?}");
                    } else {
                        together += u64::from(!is_before);
                    }
                }
                assert!(waited.iter().all(|second| *second > first));
            }
        }
    });
    // Both kinds occur, or nothing was compared.
    assert!(waiting > 1_000 && together > 1_000, "{waiting} {together}");
}
