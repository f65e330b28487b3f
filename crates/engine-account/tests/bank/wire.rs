//! Instructions and transactions as clients make them, written out byte by byte.

use ed25519_dalek::{Signer as _, SigningKey};
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{compute_budget, system_program};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

pub(crate) const TOKEN: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(crate) const ASSOCIATED: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
pub(crate) const RECENT_BLOCKHASHES: Pubkey =
    Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");
pub(crate) const RENT: Pubkey =
    Pubkey::from_str_const("SysvarRent111111111111111111111111111111111");

pub(crate) fn keypair(seed: u16) -> SigningKey {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&seed.to_le_bytes());
    SigningKey::from_bytes(&bytes)
}

pub(crate) fn key(pair: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(pair.verifying_key().to_bytes())
}

pub(crate) fn sign(message: VersionedMessage, signers: &[&SigningKey]) -> Vec<u8> {
    let bytes = message.serialize();
    let signatures = message
        .static_account_keys()
        .iter()
        .take(usize::from(message.header().num_required_signatures))
        .map(|wanted| {
            let signer = signers.iter().find(|pair| key(pair) == *wanted);
            signer.map_or_else(Signature::default, |pair| {
                Signature::from(pair.sign(&bytes).to_bytes())
            })
        })
        .collect();
    let transaction = VersionedTransaction {
        signatures,
        message,
    };
    wincode::serialize(&transaction).expect("a transaction has an encoding")
}

/// A legacy transaction; the first signer pays.
pub(crate) fn transaction(
    instructions: &[Instruction],
    signers: &[&SigningKey],
    blockhash: Hash,
) -> Vec<u8> {
    let message = Message::new_with_blockhash(instructions, Some(&key(signers[0])), &blockhash);
    sign(VersionedMessage::Legacy(message), signers)
}

pub(crate) fn signature(transaction: &[u8]) -> Signature {
    Signature::try_from(&transaction[1..65]).expect("64 bytes")
}

pub(crate) fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let data = [&2u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

pub(crate) fn create(
    from: &Pubkey,
    new: &Pubkey,
    lamports: u64,
    space: u64,
    owner: &Pubkey,
) -> Instruction {
    let data = [
        &0u32.to_le_bytes()[..],
        &lamports.to_le_bytes(),
        &space.to_le_bytes(),
        owner.as_ref(),
    ]
    .concat();
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*new, true)];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

pub(crate) fn initialize_nonce(nonce: &Pubkey, authority: &Pubkey) -> Instruction {
    let data = [&6u32.to_le_bytes()[..], authority.as_ref()].concat();
    let accounts = vec![
        AccountMeta::new(*nonce, false),
        AccountMeta::new_readonly(RECENT_BLOCKHASHES, false),
        AccountMeta::new_readonly(RENT, false),
    ];
    Instruction::new_with_bytes(system_program::ID, &data, accounts)
}

pub(crate) fn advance_nonce(nonce: &Pubkey, authority: &Pubkey) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*nonce, false),
        AccountMeta::new_readonly(RECENT_BLOCKHASHES, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    Instruction::new_with_bytes(system_program::ID, &4u32.to_le_bytes(), accounts)
}

pub(crate) fn initialize_mint(mint: &Pubkey, authority: &Pubkey) -> Instruction {
    let data = [&[20, 6][..], authority.as_ref(), &[0]].concat();
    let accounts = vec![AccountMeta::new(*mint, false)];
    Instruction::new_with_bytes(TOKEN, &data, accounts)
}

pub(crate) fn associated(holder: &Pubkey, mint: &Pubkey) -> Pubkey {
    let seeds = [holder.as_ref(), TOKEN.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

pub(crate) fn create_associated(payer: &Pubkey, holder: &Pubkey, mint: &Pubkey) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*payer, true),
        AccountMeta::new(associated(holder, mint), false),
        AccountMeta::new_readonly(*holder, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new_readonly(system_program::ID, false),
        AccountMeta::new_readonly(TOKEN, false),
    ];
    Instruction::new_with_bytes(ASSOCIATED, &[0], accounts)
}

pub(crate) fn mint_to(mint: &Pubkey, to: &Pubkey, authority: &Pubkey, amount: u64) -> Instruction {
    let data = [&[7][..], &amount.to_le_bytes()].concat();
    let accounts = vec![
        AccountMeta::new(*mint, false),
        AccountMeta::new(*to, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    Instruction::new_with_bytes(TOKEN, &data, accounts)
}

pub(crate) fn token_transfer(
    from: &Pubkey,
    to: &Pubkey,
    authority: &Pubkey,
    amount: u64,
) -> Instruction {
    let data = [&[3][..], &amount.to_le_bytes()].concat();
    let accounts = vec![
        AccountMeta::new(*from, false),
        AccountMeta::new(*to, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    Instruction::new_with_bytes(TOKEN, &data, accounts)
}

pub(crate) fn unit_limit(units: u32) -> Instruction {
    let data = [&[2][..], &units.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

pub(crate) fn unit_price(price: u64) -> Instruction {
    let data = [&[3][..], &price.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
