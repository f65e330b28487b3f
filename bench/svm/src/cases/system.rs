//! The system program, its nonces included.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{system_program, sysvar};

use super::{Random, SOL, choice, holding, key, meta, wallet};
use crate::harness::Case;
use crate::rent;

/// Accounts that cases name.
const ACCOUNTS: u8 = 6;
const NONCE_BYTES: usize = 80;
const SEED: &[u8] = b"seed";

pub(super) fn case(random: &mut Random) -> Case {
    let base = key(0);
    let mut keys: Vec<Pubkey> = (0..ACCOUNTS).map(key).collect();
    let seeded = Pubkey::create_with_seed(&base, "seed", &system_program::ID);
    keys.push(seeded.expect("the seed is short"));
    let mut accounts: Vec<_> = keys
        .iter()
        .map(|key| (*key, account(random, &keys)))
        .collect();
    let tag = random.below(14) as u32;
    let (data, accounts_named) = instruction(random, tag, &keys);
    if !random.one_in(3) {
        let first = accounts_named.first().map(|meta| meta.pubkey);
        let second = accounts_named.get(1).map(|meta| meta.pubkey);
        let authority = accounts_named.last().map(|meta| meta.pubkey);
        for (key, account) in &mut accounts {
            if Some(*key) == first {
                *account = fitting(random, tag, &authority.unwrap_or_default());
            } else if Some(*key) == second && matches!(tag, 0 | 3 | 13) {
                *account = wallet(0);
            }
        }
    }
    let data = [&tag.to_le_bytes()[..], &data].concat();
    let kind = KINDS[tag as usize];
    Case {
        kind,
        accounts,
        shared: Vec::new(),
        instruction: Instruction::new_with_bytes(system_program::ID, &data, accounts_named),
        units: 1_000 + random.below(2_000) as u32,
    }
}

const KINDS: [&str; 14] = [
    "system: create",
    "system: assign",
    "system: transfer",
    "system: create with seed",
    "system: advance nonce",
    "system: withdraw nonce",
    "system: initialise nonce",
    "system: authorise nonce",
    "system: allocate",
    "system: allocate with seed",
    "system: assign with seed",
    "system: transfer with seed",
    "system: upgrade nonce",
    "system: create, prefunded",
];

fn account(random: &mut Random, keys: &[Pubkey]) -> solana_account::Account {
    let nonce_lamports = rent::exempt(NONCE_BYTES) + random.below(2) * random.below(SOL);
    match random.below(8) {
        0 => wallet(0),
        1 | 2 => wallet(rent::exempt(0) + random.below(5 * SOL)),
        3 => wallet(rent::exempt(0)),
        4 => holding(nonce_lamports, vec![0; NONCE_BYTES], system_program::ID),
        5 | 6 => {
            // Version, state, authority, value, price of a signature.
            let mut data = [&1u32.to_le_bytes()[..], &1u32.to_le_bytes()].concat();
            data[0] = u8::from(!random.one_in(6));
            data.extend(random.pick(keys).to_bytes());
            data.extend([random.number() as u8; 32]);
            data.extend(5_000u64.to_le_bytes());
            holding(nonce_lamports, data, system_program::ID)
        }
        _ => {
            let data = vec![random.below(2) as u8; random.below(200) as usize];
            let owner = random.pick(&[key(40), system_program::ID]);
            holding(rent::exempt(data.len()) + random.below(SOL), data, owner)
        }
    }
}

/// The first account of an instruction as it likes it.
fn fitting(random: &mut Random, tag: u32, authority: &Pubkey) -> solana_account::Account {
    let lamports = rent::exempt(NONCE_BYTES) + SOL;
    match tag {
        4 | 5 | 7 | 12 => {
            let mut data = [&u32::from(tag != 12).to_le_bytes()[..], &1u32.to_le_bytes()].concat();
            data.extend(authority.to_bytes());
            data.extend([random.number() as u8; 32]);
            data.extend(5_000u64.to_le_bytes());
            holding(lamports, data, system_program::ID)
        }
        6 => holding(lamports, vec![0; NONCE_BYTES], system_program::ID),
        13 => wallet(random.pick(&[0, 0, SOL])),
        _ => wallet(rent::exempt(500) + random.below(100 * SOL)),
    }
}

/// The data behind the tag, and the accounts.
fn instruction(
    random: &mut Random,
    tag: u32,
    keys: &[Pubkey],
) -> (Vec<u8>, Vec<solana_instruction::AccountMeta>) {
    let (first, second, third) = (random.pick(keys), random.pick(keys), random.pick(keys));
    let seeded = keys[keys.len() - 1];
    let amount = if random.one_in(2) {
        rent::exempt(500)
    } else {
        random.lamports()
    };
    let (base, lamports) = (keys[0], amount.to_le_bytes());
    let few = random.below(500);
    let most = 10 * 1024 * 1024;
    let space = random.pick(&[0, 80, 200, most, most + 1, few]);
    let space = space.to_le_bytes();
    let owner = random.pick(&[key(40), system_program::ID]).to_bytes();
    let seed = [&(SEED.len() as u64).to_le_bytes()[..], SEED].concat();
    let recent = meta(sysvar::recent_blockhashes::ID, false, false);
    let rent = meta(sysvar::rent::ID, false, false);
    let signer = |key| meta(key, true, true);
    let written = |key| meta(key, false, true);
    match tag {
        0 | 13 => (
            [&lamports[..], &space, &owner].concat(),
            vec![signer(first), signer(second)],
        ),
        1 => (owner.to_vec(), vec![signer(first)]),
        2 => (lamports.to_vec(), vec![signer(first), written(second)]),
        3 => (
            [base.as_ref(), &seed, &lamports, &space, &owner].concat(),
            vec![signer(first), written(seeded), meta(base, true, false)],
        ),
        4 => (
            Vec::new(),
            vec![written(first), recent, meta(second, true, false)],
        ),
        5 => (
            lamports.to_vec(),
            vec![
                written(first),
                written(second),
                recent,
                rent,
                meta(third, true, false),
            ],
        ),
        6 => (
            second.to_bytes().to_vec(),
            vec![written(first), recent, rent],
        ),
        7 => (
            third.to_bytes().to_vec(),
            vec![written(first), meta(second, true, false)],
        ),
        8 => (space.to_vec(), vec![signer(first)]),
        9 => (
            [base.as_ref(), &seed, &space, &system_program::ID.to_bytes()].concat(),
            vec![written(seeded), meta(base, true, false)],
        ),
        10 => (
            [base.as_ref(), &seed, &system_program::ID.to_bytes()].concat(),
            vec![written(seeded), meta(base, true, false)],
        ),
        11 => (
            [&lamports[..], &seed, &system_program::ID.to_bytes()].concat(),
            vec![written(seeded), meta(base, true, false), written(second)],
        ),
        12 => (Vec::new(), vec![written(first)]),
        _ => (choice(Some(&first)), vec![signer(first)]),
    }
}
