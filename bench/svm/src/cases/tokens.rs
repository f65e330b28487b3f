//! Both token programs.

use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::sysvar;

use super::{Random, SOL, choice, key, meta, owned, wallet};
use crate::harness::Case;
use crate::rent;

pub(super) const TOKEN: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(super) const TOKEN_2022: Pubkey =
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const NATIVE: Pubkey = Pubkey::from_str_const("So11111111111111111111111111111111111111112");

const MINT_BYTES: usize = 82;
const HOLDING_BYTES: usize = 165;
/// Tags of the instructions that are drawn.
const TAGS: [u8; 25] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 99,
];

pub(super) fn case(random: &mut Random, program: Pubkey) -> Case {
    let mints = [key(10), key(11)];
    let holdings = [key(12), key(13), key(14)];
    let people = [key(15), key(16), key(17)];
    let mut accounts: Vec<(Pubkey, Account)> = Vec::new();
    for mint in mints {
        let data = mint_data(random, &people);
        accounts.push((mint, owned(random, data, program)));
    }
    for holding in holdings {
        let mint = random.pick(&[mints[0], mints[0], mints[1], NATIVE]);
        let data = holding_data(random, mint, &people);
        let owner = if random.one_in(20) { key(40) } else { program };
        accounts.push((holding, owned(random, data, owner)));
    }
    for person in people {
        let lamports = random.pick(&[0, rent::exempt(0), SOL]);
        accounts.push((person, wallet(lamports)));
    }
    let (mint, other) = (random.pick(&mints), random.pick(&mints));
    let who = People {
        mint,
        other,
        from: random.pick(&holdings),
        to: random.pick(&holdings),
        signer: random.pick(&people),
        second: random.pick(&people),
    };
    let tag = random.pick(&TAGS);
    let (data, named) = instruction(random, tag, &who);
    let data = [&[tag][..], &data].concat();
    Case {
        kind: if program == TOKEN {
            "token"
        } else {
            "token-2022"
        },
        accounts,
        shared: vec![program, super::programdata(&program)],
        instruction: Instruction::new_with_bytes(program, &data, named),
        units: 20_000 + random.below(20_000) as u32,
    }
}

/// Whom an instruction names.
struct People {
    mint: Pubkey,
    other: Pubkey,
    from: Pubkey,
    to: Pubkey,
    signer: Pubkey,
    second: Pubkey,
}

fn mint_data(random: &mut Random, people: &[Pubkey]) -> Vec<u8> {
    if random.one_in(6) {
        return vec![0; MINT_BYTES];
    }
    let authority = random.pick(people);
    let freezer = random.pick(people);
    let mut data = choice((!random.one_in(6)).then_some(&authority));
    data.extend(random.pick(&[0u64, 1_000_000, u64::MAX - 5]).to_le_bytes());
    data.extend([6, 1]);
    data.extend(choice((!random.one_in(3)).then_some(&freezer)));
    data
}

fn holding_data(random: &mut Random, mint: Pubkey, people: &[Pubkey]) -> Vec<u8> {
    match random.below(12) {
        0 | 1 => return vec![0; HOLDING_BYTES],
        2 => return vec![random.number() as u8; random.below(200) as usize],
        _ => {}
    }
    let owner = random.pick(people);
    let delegate = random.pick(people);
    let mut data = [mint.as_ref(), owner.as_ref()].concat();
    data.extend(random.pick(&[0u64, 0, 500, 1_000_000]).to_le_bytes());
    data.extend(choice(random.one_in(3).then_some(&delegate)));
    data.push(if random.one_in(5) { 2 } else { 1 });
    let reserve = (mint == NATIVE).then_some(rent::exempt(HOLDING_BYTES));
    data.extend(u32::from(reserve.is_some()).to_le_bytes());
    data.extend(reserve.unwrap_or(0).to_le_bytes());
    data.extend(random.below(1_000).to_le_bytes());
    data.extend(choice(random.one_in(5).then_some(&delegate)));
    data
}

/// The data behind the tag, and the accounts.
fn instruction(random: &mut Random, tag: u8, who: &People) -> (Vec<u8>, Vec<AccountMeta>) {
    let amount = random
        .pick(&[0u64, 1, 400, 1_000_000, u64::MAX])
        .to_le_bytes();
    let decimals = if random.one_in(5) { 9 } else { 6 };
    let checked = [&amount[..], &[decimals]].concat();
    let written = |key| meta(key, false, true);
    let read = |key| meta(key, false, false);
    let signer = meta(who.signer, true, false);
    let People {
        mint,
        from,
        to,
        second,
        ..
    } = *who;
    let rent_sysvar = read(sysvar::rent::ID);
    match tag {
        0 | 20 => {
            let mut data = vec![6];
            data.extend(who.signer.as_ref());
            data.push(random.below(2) as u8);
            data.extend(second.as_ref());
            let named = if tag == 0 {
                vec![written(mint), rent_sysvar]
            } else {
                vec![written(mint)]
            };
            (data, named)
        }
        1 => (
            Vec::new(),
            vec![written(from), read(mint), read(second), rent_sysvar],
        ),
        2 => (
            vec![1],
            vec![written(from), rent_sysvar, read(second), read(who.signer)],
        ),
        3 => (amount.to_vec(), vec![written(from), written(to), signer]),
        4 => (amount.to_vec(), vec![written(from), read(second), signer]),
        5 => (Vec::new(), vec![written(from), signer]),
        6 => {
            let mut data = vec![random.below(5) as u8, random.below(2) as u8];
            data.extend(second.as_ref());
            (data, vec![written(random.pick(&[from, mint])), signer])
        }
        7 => (amount.to_vec(), vec![written(mint), written(to), signer]),
        8 => (amount.to_vec(), vec![written(from), written(mint), signer]),
        9 => (Vec::new(), vec![written(from), written(second), signer]),
        10 | 11 => (Vec::new(), vec![written(from), read(mint), signer]),
        12 => (
            checked,
            vec![written(from), read(mint), written(to), signer],
        ),
        13 => (
            checked,
            vec![written(from), read(mint), read(second), signer],
        ),
        14 => (checked, vec![written(mint), written(to), signer]),
        15 => (checked, vec![written(from), written(mint), signer]),
        16 | 18 => {
            let mut named = vec![written(from), read(mint)];
            if tag == 16 {
                named.push(rent_sysvar);
            }
            (second.to_bytes().to_vec(), named)
        }
        17 | 22 => (Vec::new(), vec![written(from)]),
        21 => (Vec::new(), vec![read(who.other)]),
        23 => (amount.to_vec(), vec![read(mint)]),
        24 => (
            random
                .pick(&[&b"1.5"[..], b"0.0000001", b"x", b""])
                .to_vec(),
            vec![read(mint)],
        ),
        _ => (checked, vec![written(from), signer]),
    }
}
