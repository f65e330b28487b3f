//! Instructions beyond those of the engine's tests, written out byte by byte.

use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    address_lookup_table, bpf_loader_upgradeable, compute_budget, system_program, sysvar,
};

use crate::wire::{ASSOCIATED, RECENT_BLOCKHASHES, RENT};

/// The second token program.
pub const TOKEN_2022: Pubkey =
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// The memo programs, oldest first.
pub const MEMO: [Pubkey; 3] = [
    Pubkey::from_str_const("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH"),
];

fn write(key: &Pubkey) -> AccountMeta {
    AccountMeta::new(*key, false)
}

fn read(key: &Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(*key, false)
}

fn signs(key: &Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(*key, true)
}

fn pays(key: &Pubkey) -> AccountMeta {
    AccountMeta::new(*key, true)
}

/// The associated account of a token program.
pub fn associated(program: &Pubkey, holder: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [holder.as_ref(), program.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

/// Creates it; `idempotent` does not mind that it exists.
pub fn create_associated(
    program: &Pubkey,
    payer: &Pubkey,
    holder: &Pubkey,
    mint: &Pubkey,
    idempotent: bool,
) -> Instruction {
    let accounts = vec![
        pays(payer),
        write(&associated(program, holder, mint)),
        read(holder),
        read(mint),
        read(&system_program::ID),
        read(program),
    ];
    Instruction::new_with_bytes(ASSOCIATED, &[u8::from(idempotent)], accounts)
}

/// Makes an account a mint with six decimals (both token programs).
pub fn initialize_mint(program: &Pubkey, mint: &Pubkey, authority: &Pubkey) -> Instruction {
    let data = [&[20, 6][..], authority.as_ref(), &[0]].concat();
    Instruction::new_with_bytes(*program, &data, vec![write(mint)])
}

/// An instruction of a token program with an amount: 3 transfer, 4 approve, 7 mint, 8 burn.
pub fn token(program: &Pubkey, tag: u8, amount: u64, accounts: [&Pubkey; 3]) -> Instruction {
    let data = [&[tag][..], &amount.to_le_bytes()].concat();
    let [first, second, authority] = accounts;
    let second = if tag == 4 {
        read(second)
    } else {
        write(second)
    };
    Instruction::new_with_bytes(
        *program,
        &data,
        vec![write(first), second, signs(authority)],
    )
}

/// Transfers with a look at the mint.
pub fn transfer_checked(
    program: &Pubkey,
    amount: u64,
    decimals: u8,
    [from, mint, to, authority]: [&Pubkey; 4],
) -> Instruction {
    let data = [&[12][..], &amount.to_le_bytes(), &[decimals]].concat();
    let accounts = vec![write(from), read(mint), write(to), signs(authority)];
    Instruction::new_with_bytes(*program, &data, accounts)
}

/// Closes a token account.
pub fn close_token(
    program: &Pubkey,
    account: &Pubkey,
    to: &Pubkey,
    authority: &Pubkey,
) -> Instruction {
    let accounts = vec![write(account), write(to), signs(authority)];
    Instruction::new_with_bytes(*program, &[9], accounts)
}

/// Gives an account of the system program a size.
pub fn allocate(account: &Pubkey, space: u64) -> Instruction {
    let data = [&8u32.to_le_bytes()[..], &space.to_le_bytes()].concat();
    Instruction::new_with_bytes(system_program::ID, &data, vec![pays(account)])
}

/// Gives it to another program.
pub fn assign(account: &Pubkey, owner: &Pubkey) -> Instruction {
    let data = [&1u32.to_le_bytes()[..], owner.as_ref()].concat();
    Instruction::new_with_bytes(system_program::ID, &data, vec![pays(account)])
}

/// Creates an account at an address derived from `base` and a seed.
pub fn create_with_seed(
    payer: &Pubkey,
    seed: &str,
    lamports: u64,
    space: u64,
    owner: &Pubkey,
) -> Instruction {
    let new = Pubkey::create_with_seed(payer, seed, owner).unwrap_or_default();
    let data = [
        &3u32.to_le_bytes()[..],
        payer.as_ref(),
        &(seed.len() as u64).to_le_bytes(),
        seed.as_bytes(),
        &lamports.to_le_bytes(),
        &space.to_le_bytes(),
        owner.as_ref(),
    ]
    .concat();
    Instruction::new_with_bytes(system_program::ID, &data, vec![pays(payer), write(&new)])
}

/// Takes lamports out of a nonce account.
pub fn withdraw_nonce(
    nonce: &Pubkey,
    to: &Pubkey,
    authority: &Pubkey,
    lamports: u64,
) -> Instruction {
    let data = [&5u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
    let accounts = vec![
        write(nonce),
        write(to),
        read(&RECENT_BLOCKHASHES),
        read(&RENT),
        signs(authority),
    ];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

/// Gives a nonce account another authority.
pub fn authorize_nonce(nonce: &Pubkey, authority: &Pubkey, next: &Pubkey) -> Instruction {
    let data = [&7u32.to_le_bytes()[..], next.as_ref()].concat();
    let accounts = vec![write(nonce), signs(authority)];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

/// Asks for heap.
pub fn heap(bytes: u32) -> Instruction {
    let data = [&[1][..], &bytes.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

/// Limits what may be loaded.
pub fn loaded_bytes(bytes: u32) -> Instruction {
    let data = [&[4][..], &bytes.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

/// Where the lookup table of an authority and a slot is.
pub fn table(authority: &Pubkey, slot: u64) -> (Pubkey, u8) {
    let seeds = [authority.as_ref(), &slot.to_le_bytes()];
    Pubkey::find_program_address(&seeds, &address_lookup_table::ID)
}

/// Makes a lookup table.
pub fn create_table(authority: &Pubkey, slot: u64) -> Instruction {
    let (table, bump) = table(authority, slot);
    let data = [&0u32.to_le_bytes()[..], &slot.to_le_bytes(), &[bump]].concat();
    table_change(table, authority, &data)
}

/// Adds addresses to a lookup table.
pub fn extend_table(table: Pubkey, authority: &Pubkey, addresses: &[Pubkey]) -> Instruction {
    let count = (addresses.len() as u64).to_le_bytes();
    let mut data = [&2u32.to_le_bytes()[..], &count].concat();
    for address in addresses {
        data.extend(address.to_bytes());
    }
    table_change(table, authority, &data)
}

fn table_change(table: Pubkey, authority: &Pubkey, data: &[u8]) -> Instruction {
    let accounts = vec![
        write(&table),
        signs(authority),
        pays(authority),
        read(&system_program::ID),
    ];
    Instruction::new_with_bytes(address_lookup_table::ID, data, accounts)
}

fn loader(tag: u32, rest: &[u8], accounts: Vec<AccountMeta>) -> Instruction {
    let data = [&tag.to_le_bytes()[..], rest].concat();
    Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &data, accounts)
}

/// Where the upgradeable loader keeps the code of a program.
pub fn programdata(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::ID).0
}

/// Makes an account a buffer.
pub fn begin_buffer(buffer: &Pubkey, authority: &Pubkey) -> Instruction {
    loader(0, &[], vec![write(buffer), read(authority)])
}

/// Writes to a buffer.
pub fn write_buffer(buffer: &Pubkey, authority: &Pubkey, offset: u32, bytes: &[u8]) -> Instruction {
    let len = (bytes.len() as u64).to_le_bytes();
    let rest = [&offset.to_le_bytes()[..], &len, bytes].concat();
    loader(1, &rest, vec![write(buffer), signs(authority)])
}

/// Makes a program of a buffer.
pub fn deploy(payer: &Pubkey, program: &Pubkey, buffer: &Pubkey, space: u64) -> Instruction {
    let accounts = vec![
        pays(payer),
        write(&programdata(program)),
        write(program),
        write(buffer),
        read(&sysvar::rent::ID),
        read(&sysvar::clock::ID),
        read(&system_program::ID),
        signs(payer),
    ];
    loader(2, &space.to_le_bytes(), accounts)
}

/// Gives a program the code of a buffer.
pub fn upgrade(authority: &Pubkey, program: &Pubkey, buffer: &Pubkey) -> Instruction {
    let accounts = vec![
        write(&programdata(program)),
        write(program),
        write(buffer),
        write(authority),
        read(&sysvar::rent::ID),
        read(&sysvar::clock::ID),
        signs(authority),
    ];
    loader(3, &[], accounts)
}

/// Closes a program.
pub fn close_program(authority: &Pubkey, program: &Pubkey) -> Instruction {
    let accounts = vec![
        write(&programdata(program)),
        write(authority),
        signs(authority),
        write(program),
    ];
    loader(5, &[], accounts)
}
