//! Scripts for a program of ours that keeps and breaks every rule, and calls its twin.

use solana_account::Account;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader;

use super::{Random, SOL, holding, meta};
use crate::harness::Case;

#[allow(dead_code)]
#[path = "../../../../crates/engine-account/tests/bank/cases.rs"]
mod scripts;

use crate::sbpf;

/// The actor and its twin, as accounts.
pub fn programs() -> Vec<(Pubkey, Account)> {
    let file = scripts::actor();
    let account = Account {
        executable: true,
        ..holding(SOL, file, bpf_loader::ID)
    };
    [0, 1].map(|index| (key(index), account.clone())).to_vec()
}

fn key(index: usize) -> Pubkey {
    Pubkey::new_from_array(scripts::KEYS[index])
}

/// All instructions of the scripts.
pub(super) struct Scripts(Vec<scripts::Call>);

impl Scripts {
    pub(super) fn new() -> Self {
        let scripts = scripts::all().into_iter().skip(scripts::PROGRAMS);
        Self(scripts.flat_map(|case| case.instructions).collect())
    }

    pub(super) fn case(&self, random: &mut Random) -> Case {
        let (data, accounts) = random.pick(&self.0);
        let account = |index: usize, byte: u8, owner: usize| {
            (key(index), holding(SOL, vec![byte; 8], key(owner)))
        };
        Case {
            kind: "actor",
            accounts: vec![account(2, 0, 0), account(3, 1, 0), account(4, 0, 1)],
            shared: vec![key(0), key(1)],
            instruction: Instruction::new_with_bytes(
                key(0),
                &data,
                accounts
                    .iter()
                    .map(|(index, is_writable)| meta(key(*index), false, *is_writable))
                    .collect(),
            ),
            units: 20_000 + random.below(180_000) as u32,
        }
    }
}
