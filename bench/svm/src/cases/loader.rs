//! The upgradeable loader: buffers, deployments, upgrades, closing, with sound and broken programs.

use std::sync::LazyLock;

use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program, sysvar};

use super::{Random, SOL, holding, key, meta, owned, programdata, wallet};
use crate::harness::Case;
use crate::rent;
use crate::sbpf::Program;

const KINDS: [&str; 10] = [
    "loader: initialise buffer",
    "loader: write",
    "loader: deploy",
    "loader: upgrade",
    "loader: set authority",
    "loader: close",
    "loader: extend",
    "loader: set authority, checked",
    "loader: migrate",
    "loader: extend, checked",
];

/// A small program that logs and succeeds.
static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    Program::default()
        .address_of(1, b"small")
        .set(2, 5)
        .call("sol_log_")
        .finish()
});

pub(super) fn case(random: &mut Random) -> Case {
    let program = key(20);
    let data = programdata(&program);
    let (buffer, other) = (key(21), key(22));
    let people = [key(23), key(24)];
    let mut accounts = vec![
        (program, program_account(random, &data)),
        (data, data_account(random, &people)),
        (buffer, buffer_account(random, &people)),
        (other, buffer_account(random, &people)),
    ];
    for person in people {
        let lamports = random.pick(&[rent::exempt(0), SOL, SOL]);
        accounts.push((person, wallet(lamports)));
    }
    let tag = random.pick(&[0, 1, 2, 2, 2, 3, 3, 3, 4, 5, 5, 6, 6, 7, 8, 9]) as u32;
    let names = Names {
        program,
        data,
        buffer: random.pick(&[buffer, buffer, other]),
        authority: random.pick(&people),
        payer: random.pick(&people),
    };
    if !random.one_in(3) {
        for (key, account) in fitting(random, tag, &names) {
            let place = accounts.iter_mut().find(|(known, _)| *known == key);
            place.expect("it is an account of the case").1 = account;
        }
    }
    let (bytes, named) = instruction(random, tag, &names);
    let bytes = [&tag.to_le_bytes()[..], &bytes].concat();
    Case {
        kind: KINDS[tag as usize],
        accounts,
        shared: Vec::new(),
        instruction: Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &bytes, named),
        units: 5_000 + random.below(10_000) as u32,
    }
}

/// Accounts as an instruction likes them, but for the soundness of the program.
fn fitting(random: &mut Random, tag: u32, names: &Names) -> Vec<(Pubkey, Account)> {
    let owner = bpf_loader_upgradeable::ID;
    let held = |data: Vec<u8>| holding(rent::exempt(data.len() + 1_000), data, owner);
    let authority = [&[1][..], names.authority.as_ref()].concat();
    let buffer = match tag {
        0 => vec![0; 500],
        _ => [&1u32.to_le_bytes()[..], &authority, &elf(random)].concat(),
    };
    let code = [
        &3u32.to_le_bytes()[..],
        &[0; 8],
        &authority,
        &SMALL,
        &[0; 300],
    ]
    .concat();
    let named = [&2u32.to_le_bytes()[..], names.data.as_ref()].concat();
    let named = Account {
        executable: true,
        ..held(named)
    };
    let is_new = tag == 2;
    vec![
        (
            names.program,
            if is_new { held(vec![0; 36]) } else { named },
        ),
        (names.data, if is_new { wallet(0) } else { held(code) }),
        (names.buffer, held(buffer)),
        (names.authority, wallet(SOL)),
        (names.payer, wallet(SOL)),
    ]
}

struct Names {
    program: Pubkey,
    data: Pubkey,
    buffer: Pubkey,
    authority: Pubkey,
    payer: Pubkey,
}

/// A program that may be damaged.
fn elf(random: &mut Random) -> Vec<u8> {
    let mut elf = SMALL.clone();
    for _ in 0..random.pick(&[0, 0, 0, 1, 3]) {
        let at = random.below(elf.len() as u64) as usize;
        elf[at] ^= 1 << random.below(8);
    }
    if random.one_in(8) {
        elf.truncate(random.below(elf.len() as u64) as usize);
    }
    elf
}

fn program_account(random: &mut Random, data: &Pubkey) -> Account {
    let owner = bpf_loader_upgradeable::ID;
    match random.below(6) {
        0 => wallet(random.pick(&[0, SOL])),
        1 | 2 => owned(random, vec![0; 36], owner),
        3 => owned(random, vec![0; 30], owner),
        _ => {
            let bytes = [&2u32.to_le_bytes()[..], data.as_ref()].concat();
            Account {
                executable: true,
                ..owned(random, bytes, owner)
            }
        }
    }
}

fn data_account(random: &mut Random, people: &[Pubkey]) -> Account {
    let owner = bpf_loader_upgradeable::ID;
    match random.below(6) {
        0 | 1 => wallet(0),
        2 => wallet(SOL / 100),
        _ => {
            // Deployed at genesis, or in the slot of the case.
            let slot = random.pick(&[0u64, 0, 0, 2]);
            let authority = random.pick(people);
            let mut data = [&3u32.to_le_bytes()[..], &slot.to_le_bytes()].concat();
            data.extend(option(random, &authority));
            data.extend(elf(random));
            data.extend(vec![0; random.below(300) as usize]);
            owned(random, data, owner)
        }
    }
}

fn buffer_account(random: &mut Random, people: &[Pubkey]) -> Account {
    let owner = bpf_loader_upgradeable::ID;
    match random.below(8) {
        0 => owned(random, vec![0; 1_000], owner),
        1 => wallet(0),
        2 => holding(SOL, vec![1, 0, 0, 0], key(40)),
        _ => {
            let authority = random.pick(people);
            let mut data = 1u32.to_le_bytes().to_vec();
            data.extend(option(random, &authority));
            data.extend(elf(random));
            owned(random, data, owner)
        }
    }
}

/// An authority, seldom none, in 33 bytes.
fn option(random: &mut Random, authority: &Pubkey) -> Vec<u8> {
    if random.one_in(8) {
        return vec![0; 33];
    }
    [&[1][..], authority.as_ref()].concat()
}

/// The data behind the tag, and the accounts.
fn instruction(random: &mut Random, tag: u32, names: &Names) -> (Vec<u8>, Vec<AccountMeta>) {
    let Names {
        program,
        data,
        buffer,
        authority,
        payer,
    } = *names;
    let written = |key| meta(key, false, true);
    let read = |key| meta(key, false, false);
    let signer = meta(authority, true, false);
    let sysvars = || [read(sysvar::rent::ID), read(sysvar::clock::ID)];
    let more = random
        .pick(&[0u32, 1, 1_000, 10_240, 20_000])
        .to_le_bytes()
        .to_vec();
    match tag {
        0 => (Vec::new(), vec![written(buffer), read(authority)]),
        1 => {
            let bytes = vec![random.number() as u8; random.below(400) as usize];
            let offset = random.below(500) as u32;
            let len = bytes.len() as u64;
            let data = [&offset.to_le_bytes()[..], &len.to_le_bytes(), &bytes].concat();
            (data, vec![written(buffer), signer])
        }
        2 => {
            let room = random
                .pick(&[1_000u64, 2_000, 2_000, 10])
                .to_le_bytes()
                .to_vec();
            let mut named = vec![
                meta(payer, true, true),
                written(data),
                written(program),
                written(buffer),
            ];
            named.extend(sysvars());
            named.extend([read(system_program::ID), signer]);
            (room, named)
        }
        3 => {
            let mut named = vec![
                written(data),
                written(program),
                written(buffer),
                written(payer),
            ];
            named.extend(sysvars());
            named.push(signer);
            (Vec::new(), named)
        }
        4 | 7 => {
            let target = random.pick(&[buffer, data]);
            let next = meta(payer, tag == 7, false);
            (Vec::new(), vec![written(target), signer, next])
        }
        5 => {
            let target = random.pick(&[buffer, data]);
            (
                Vec::new(),
                vec![written(target), written(payer), signer, written(program)],
            )
        }
        6 => (
            more,
            vec![
                written(data),
                written(program),
                read(system_program::ID),
                meta(payer, true, true),
            ],
        ),
        8 => (Vec::new(), vec![written(data), written(program), signer]),
        _ => (
            more,
            vec![
                written(data),
                written(program),
                signer,
                read(system_program::ID),
                meta(payer, true, true),
            ],
        ),
    }
}
