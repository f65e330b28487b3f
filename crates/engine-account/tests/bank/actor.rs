//! The program of the tests that does what it is told, and a stage of accounts for it.

use solana_account::Account;
use solana_instruction::error::InstructionError;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, system_program};
use solana_transaction_error::TransactionError;
use trilith_engine_account::Profile;
use trilith_engine_account::record::TransactionRecord;

use super::cases;
use super::harness::{self, Network, SOL};
use super::wire::{key, keypair};

/// The oldest rules and today's.
pub(crate) const PROFILES: [Profile; 2] = [Profile::Classic, Profile::Today];
/// The program.
pub(crate) const ACTOR: Pubkey = Pubkey::new_from_array([0xa1; 32]);
/// The same program under another key.
pub(crate) const OTHER: Pubkey = Pubkey::new_from_array([0xa2; 32]);
/// Of the actor, with 8 zero bytes.
pub(crate) const OWNED: Pubkey = Pubkey::new_from_array([0xb1; 32]);
/// Of the actor, with 8 bytes that are not zero.
pub(crate) const FULL: Pubkey = Pubkey::new_from_array([0xb2; 32]);
/// Of the other program, with 8 zero bytes.
pub(crate) const FOREIGN: Pubkey = Pubkey::new_from_array([0xb3; 32]);
/// Of the actor, executable, with 8 zero bytes.
pub(crate) const EXECUTABLE: Pubkey = Pubkey::new_from_array([0xb4; 32]);
/// What each of them holds.
pub(crate) const LAMPORTS: u64 = 10_000_000;

/// The file of the program.
pub(crate) fn file() -> Vec<u8> {
    cases::actor()
}

/// A program account of the second loader.
pub(crate) fn program(file: Vec<u8>) -> Account {
    Account {
        lamports: SOL,
        data: file,
        owner: bpf_loader::ID,
        executable: true,
        rent_epoch: u64::MAX,
    }
}

/// A network with the stage and further accounts, and Alice (key 10) with 5 SOL.
pub(crate) fn stage(profile: Profile, further: Vec<(Pubkey, Account)>) -> Network {
    let account = |owner, data: [u8; 8], executable| Account {
        lamports: LAMPORTS,
        data: data.to_vec(),
        owner,
        executable,
        rent_epoch: u64::MAX,
    };
    let wallet = Account {
        lamports: 5 * SOL,
        owner: system_program::ID,
        rent_epoch: u64::MAX,
        ..Account::default()
    };
    let mut genesis = harness::genesis();
    genesis.profile = profile;
    genesis.accounts = vec![
        (ACTOR, program(file())),
        (OTHER, program(file())),
        (OWNED, account(ACTOR, [0; 8], false)),
        (FULL, account(ACTOR, [1; 8], false)),
        (FOREIGN, account(OTHER, [0; 8], false)),
        (EXECUTABLE, account(ACTOR, [0; 8], true)),
        (key(&keypair(10)), wallet),
    ];
    genesis.accounts.extend(further);
    Network::with(genesis)
}

/// What the actor is told to do. Accounts are named by their position in the instruction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(pub(crate) Vec<u8>);

impl Script {
    fn then(mut self, action: u8, operands: &[&[u8]]) -> Self {
        self.0.push(action);
        self.0.extend(operands.concat());
        self
    }

    pub(crate) fn lamports(self, account: u8, added: i64) -> Self {
        self.then(1, &[&[account], &added.to_le_bytes()])
    }

    pub(crate) fn write(self, account: u8, at: u32, byte: u8) -> Self {
        self.then(2, &[&[account], &at.to_le_bytes(), &[byte]])
    }

    pub(crate) fn len(self, account: u8, len: u64) -> Self {
        self.then(3, &[&[account], &len.to_le_bytes()])
    }

    pub(crate) fn owner(self, account: u8, owner: &Pubkey) -> Self {
        self.then(4, &[&[account], owner.as_ref()])
    }

    pub(crate) fn executable(self, account: u8, flag: u8) -> Self {
        self.then(5, &[&[account, flag]])
    }

    pub(crate) fn rent_epoch(self, account: u8, epoch: u64) -> Self {
        self.then(6, &[&[account], &epoch.to_le_bytes()])
    }

    pub(crate) fn log_remaining(self) -> Self {
        self.then(7, &[])
    }

    pub(crate) fn log(self, bytes: u64) -> Self {
        self.then(8, &[&bytes.to_le_bytes()])
    }

    pub(crate) fn spin(self, times: u64) -> Self {
        self.then(9, &[&times.to_le_bytes()])
    }

    /// Invokes the program at a position with accounts, each with whether it signs and is written.
    pub(crate) fn invoke(self, program: u8, accounts: &[(u8, bool, bool)], data: &[u8]) -> Self {
        let metas: Vec<u8> = accounts
            .iter()
            .flat_map(|(account, signs, written)| {
                [*account, u8::from(*signs) | u8::from(*written) << 1]
            })
            .collect();
        let count = u8::try_from(accounts.len()).expect("few accounts");
        let len = u16::try_from(data.len()).expect("few bytes");
        self.then(10, &[&[program, count], &metas, &len.to_le_bytes(), data])
    }

    pub(crate) fn status(self, status: u64) -> Self {
        self.then(11, &[&status.to_le_bytes()])
    }

    pub(crate) fn recurse(self, depth: u64) -> Self {
        self.then(15, &[&depth.to_le_bytes()])
    }

    pub(crate) fn store(self, address: u64, number: u64) -> Self {
        self.then(16, &[&address.to_le_bytes(), &number.to_le_bytes()])
    }

    pub(crate) fn heap(self, offset: u64) -> Self {
        self.then(17, &[&offset.to_le_bytes()])
    }

    /// The instruction for the actor with accounts, each with whether it is written.
    pub(crate) fn on(self, accounts: &[(Pubkey, bool)]) -> Instruction {
        self.for_program(ACTOR, accounts)
    }

    pub(crate) fn for_program(self, program: Pubkey, accounts: &[(Pubkey, bool)]) -> Instruction {
        let accounts = accounts
            .iter()
            .map(|(key, written)| {
                if *written {
                    AccountMeta::new(*key, false)
                } else {
                    AccountMeta::new_readonly(*key, false)
                }
            })
            .collect();
        Instruction::new_with_bytes(program, &self.0, accounts)
    }
}

/// An instruction of a program without accounts and data.
pub(crate) fn bare(program: Pubkey) -> Instruction {
    Instruction::new_with_bytes(program, &[], Vec::new())
}

/// The error of an instruction.
pub(crate) fn failed(index: u8, error: InstructionError) -> Result<(), TransactionError> {
    Err(TransactionError::InstructionError(index, error))
}

/// What the lines about remaining units say.
pub(crate) fn remaining(record: &TransactionRecord) -> Vec<u64> {
    record
        .logs
        .iter()
        .filter_map(|line| {
            let number = line.strip_prefix("Program consumption: ")?;
            number.strip_suffix(" units remaining")?.parse().ok()
        })
        .collect()
}
