//! Random instructions, valid and broken, with the accounts they meet.

mod actors;
mod claims;
mod loader;
mod system;
mod tokens;

use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program};

use crate::harness::Case;
use crate::rent;

pub use actors::programs;

/// Lamports of a SOL.
pub const SOL: u64 = 1_000_000_000;

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Whether a chance of one in so many came.
    pub fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    /// One of a list.
    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize].clone()
    }

    /// A number of lamports, often one at a limit.
    pub fn lamports(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => rent::exempt(0),
            3 => rent::exempt(self.below(300) as usize),
            4 => u64::MAX - self.below(2),
            _ => self.below(5 * SOL),
        }
    }
}

/// One of the keys that cases share.
pub fn key(number: u8) -> Pubkey {
    let mut bytes = [0x51; 32];
    bytes[31] = number;
    Pubkey::new_from_array(bytes)
}

/// Cases of all kinds, in an order that is the same in every run.
pub fn all(seed: u64, count: usize) -> impl Iterator<Item = Case> {
    let mut random = Random(seed);
    let scripts = actors::Scripts::new();
    (0..count).map(move |index| {
        let mut case = match index % 10 {
            0..=2 => system::case(&mut random),
            3 | 4 => tokens::case(&mut random, tokens::TOKEN),
            5 | 6 => tokens::case(&mut random, tokens::TOKEN_2022),
            7 => loader::case(&mut random),
            8 => scripts.case(&mut random),
            _ => claims::case(&mut random),
        };
        spoil(&mut case, &mut random);
        case
    })
}

/// Breaks one case in three a little.
fn spoil(case: &mut Case, random: &mut Random) {
    let Instruction { accounts, data, .. } = &mut case.instruction;
    let any = random.below(accounts.len().max(1) as u64) as usize;
    match random.below(24) {
        0 => drop(accounts.pop()),
        1 => accounts
            .iter_mut()
            .skip(any)
            .take(1)
            .for_each(|meta| meta.is_signer = false),
        2 => accounts
            .iter_mut()
            .skip(any)
            .take(1)
            .for_each(|meta| meta.is_writable = false),
        3 if accounts.len() > 1 => accounts[any] = accounts[0].clone(),
        4 => {
            let len = random.below(data.len() as u64 + 1) as usize;
            data.truncate(len);
        }
        5 if !data.is_empty() => {
            let at = random.below(data.len().min(24) as u64) as usize;
            data[at] ^= 1 << random.below(8);
        }
        6 => case.units = random.below(u64::from(case.units) / 20 + 200) as u32,
        7 => data.push(random.number() as u8),
        _ => {}
    }
}

/// An account of the system program without data.
fn wallet(lamports: u64) -> Account {
    holding(lamports, Vec::new(), system_program::ID)
}

fn holding(lamports: u64, data: Vec<u8>, owner: Pubkey) -> Account {
    Account {
        lamports,
        data,
        owner,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

/// An account of a program with lamports to be exempt from rent, and seldom with fewer.
fn owned(random: &mut Random, data: Vec<u8>, owner: Pubkey) -> Account {
    let exempt = rent::exempt(data.len());
    let lamports = match random.below(12) {
        0 => exempt - 1,
        1 => exempt + random.below(SOL),
        _ => exempt,
    };
    holding(lamports, data, owner)
}

fn meta(key: Pubkey, is_signer: bool, is_writable: bool) -> AccountMeta {
    AccountMeta {
        pubkey: key,
        is_signer,
        is_writable,
    }
}

/// Where the upgradeable loader keeps the code of a program.
fn programdata(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::ID).0
}

/// A choice that is empty or a key, in the four-byte form.
fn choice(key: Option<&Pubkey>) -> Vec<u8> {
    let tag = u32::from(key.is_some()).to_le_bytes();
    let key = key.map_or([0; 32], |key| key.to_bytes());
    [&tag[..], &key].concat()
}
