//! Keys, instructions and signed transactions as clients make them.

use ed25519_dalek::{Signer as _, SigningKey};
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{compute_budget, system_program};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

pub(crate) const SOL: u64 = 1_000_000_000;
pub(crate) const TOKEN: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(crate) const ASSOCIATED: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
pub(crate) const MEMO: Pubkey =
    Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");

pub(crate) fn keypair(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn key(pair: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(pair.verifying_key().to_bytes())
}

/// A transaction; the first signer pays.
pub(crate) fn transaction(
    instructions: &[Instruction],
    signers: &[&SigningKey],
    blockhash: Hash,
) -> VersionedTransaction {
    let message = Message::new_with_blockhash(instructions, Some(&key(signers[0])), &blockhash);
    let message = VersionedMessage::Legacy(message);
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
    VersionedTransaction {
        signatures,
        message,
    }
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

pub(crate) fn memo(program: Pubkey, text: &str) -> Instruction {
    Instruction::new_with_bytes(program, text.as_bytes(), Vec::new())
}

pub(crate) fn unit_limit(units: u32) -> Instruction {
    let data = [&[2][..], &units.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

pub(crate) fn initialize_mint(mint: &Pubkey, authority: &Pubkey) -> Instruction {
    let data = [&[20, 6][..], authority.as_ref(), &[0]].concat();
    Instruction::new_with_bytes(TOKEN, &data, vec![AccountMeta::new(*mint, false)])
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

/// The bytes of the memo program, to be loaded once more.
pub(crate) fn memo_program() -> Vec<u8> {
    let rent = solana_rent::Rent::default();
    let accounts = solana_program_binaries::by_id(&MEMO, &rent).expect("it is there");
    solana_account::ReadableAccount::data(&accounts[1].1)[45..].to_vec()
}
