//! Errors of transactions that none of the other tests produces, one after the other.

use solana_instruction::{AccountMeta, Instruction};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{address_lookup_table, compute_budget, system_program};
use solana_transaction_error::TransactionError;

use super::harness::{Network, SOL};
use super::wire::{
    TOKEN, create, initialize_mint, key, keypair, sign, transaction, transfer, unit_limit,
    unit_price,
};

fn data_limit(bytes: u32) -> Instruction {
    let data = [&[4][..], &bytes.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

fn call(program: Pubkey) -> Instruction {
    Instruction::new_with_bytes(program, b"", Vec::new())
}

/// A network with Alice, who has 5 SOL.
fn network() -> Network {
    let mut network = Network::new();
    network.airdrop(&key(&keypair(10)), 5 * SOL);
    network
}

#[test]
pub(crate) fn what_cannot_be_loaded_is_charged() {
    let mut network = network();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&bob), SOL);
    let nowhere = Pubkey::new_from_array([77; 32]);
    let gift = || transfer(&key(&alice), &key(&bob), SOL);
    for (instructions, expected) in [
        (
            vec![call(nowhere)],
            TransactionError::ProgramAccountNotFound,
        ),
        (
            vec![call(key(&bob))],
            TransactionError::InvalidProgramForExecution,
        ),
        (
            vec![data_limit(1), gift()],
            TransactionError::MaxLoadedAccountsDataSizeExceeded,
        ),
        (
            vec![transfer(&key(&alice), &nowhere, 1)],
            TransactionError::InsufficientFundsForRent { account_index: 1 },
        ),
    ] {
        let before = network.balance(&key(&alice));
        let record = network.send(&instructions, &[&alice]);
        assert_eq!(record.status, Err(expected));
        assert_eq!(network.balance(&key(&alice)), before - 5_000);
        assert_eq!(network.balance(&key(&bob)), SOL);
    }
}

#[test]
pub(crate) fn who_cannot_pay_is_refused() {
    let mut network = network();
    let (alice, poor, mint) = (keypair(10), keypair(11), keypair(12));
    // Just enough to exist.
    network.airdrop(&key(&poor), 128 * 5_080);
    network.succeed(
        &[
            create(&key(&alice), &key(&mint), SOL / 100, 82, &TOKEN),
            initialize_mint(&key(&mint), &key(&alice)),
        ],
        &[&alice, &mint],
    );
    let blockhash = network.blockhash();
    let gift = |from| transfer(&key(from), &key(&alice), 1);
    for (instructions, payer, message) in [
        (
            vec![gift(&poor)],
            &poor,
            "Transaction results in an account (0) with insufficient funds for rent",
        ),
        (
            vec![unit_limit(1_000_000), unit_price(1_000_000), gift(&poor)],
            &poor,
            "Insufficient funds for fee",
        ),
        (
            vec![gift(&mint)],
            &mint,
            "This account may not be used to pay transaction fees",
        ),
        (
            vec![data_limit(0), gift(&alice)],
            &alice,
            "LoadedAccountsDataSizeLimit set for transaction must be greater than 0.",
        ),
    ] {
        let bytes = transaction(&instructions, &[payer], blockhash);
        assert_eq!(network.refusal(&bytes), message);
    }
}

#[test]
pub(crate) fn an_account_is_named_once() {
    let mut network = network();
    let (alice, bob) = (keypair(10), key(&keypair(11)));
    let message = Message {
        recent_blockhash: network.blockhash(),
        header: solana_message::MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 1,
        },
        account_keys: vec![key(&alice), bob, bob, system_program::ID],
        instructions: vec![CompiledInstruction {
            program_id_index: 3,
            accounts: vec![0, 1],
            data: transfer(&key(&alice), &bob, SOL).data,
        }],
    };
    let bytes = sign(VersionedMessage::Legacy(message), &[&alice]);
    assert_eq!(network.refusal(&bytes), "Account loaded twice");
}

#[test]
pub(crate) fn lookup_tables_must_be_tables() {
    let mut network = network();
    let (alice, fake) = (keypair(10), keypair(11));
    let empty = create(
        &key(&alice),
        &key(&fake),
        SOL / 10,
        56,
        &address_lookup_table::ID,
    );
    network.succeed(&[empty], &[&alice, &fake]);
    let blockhash = network.blockhash();
    let friend = Pubkey::new_from_array([44; 32]);
    for (table, message) in [
        (
            Pubkey::new_from_array([78; 32]),
            "Transaction loads an address table account that doesn't exist",
        ),
        (
            key(&alice),
            "Transaction loads an address table account with an invalid owner",
        ),
        (
            key(&fake),
            "Transaction loads an address table account with invalid data",
        ),
    ] {
        let tables = [AddressLookupTableAccount {
            key: table,
            addresses: vec![friend],
        }];
        let gift = [transfer(&key(&alice), &friend, SOL)];
        let compiled = v0::Message::try_compile(&key(&alice), &gift, &tables, blockhash);
        let compiled = compiled.expect("it fits");
        assert_eq!(compiled.address_table_lookups.len(), 1);
        let bytes = sign(VersionedMessage::V0(compiled), &[&alice]);
        assert_eq!(network.refusal(&bytes), message);
    }
}

#[test]
pub(crate) fn a_transaction_locks_at_most_64_accounts() {
    let mut network = network();
    let alice = keypair(10);
    network.pass(1);
    let recent = network.chain().parent;
    let (table, bump) = Pubkey::find_program_address(
        &[key(&alice).as_ref(), &recent.to_le_bytes()],
        &address_lookup_table::ID,
    );
    let table_call = |data: Vec<u8>| {
        let accounts = vec![
            AccountMeta::new(table, false),
            AccountMeta::new_readonly(key(&alice), true),
            AccountMeta::new(key(&alice), true),
            AccountMeta::new_readonly(system_program::ID, false),
        ];
        Instruction::new_with_bytes(address_lookup_table::ID, &data, accounts)
    };
    let made = [&0u32.to_le_bytes()[..], &recent.to_le_bytes(), &[bump]].concat();
    network.succeed(&[table_call(made)], &[&alice]);
    let friends: Vec<Pubkey> = (0..63)
        .map(|index| Pubkey::new_from_array([100 + index; 32]))
        .collect();
    for part in friends.chunks(21) {
        let mut data = [&2u32.to_le_bytes()[..], &21u64.to_le_bytes()].concat();
        part.iter()
            .for_each(|friend| data.extend(friend.to_bytes()));
        network.succeed(&[table_call(data)], &[&alice]);
    }
    network.pass(1);
    let blockhash = network.blockhash();
    let tables = [AddressLookupTableAccount {
        key: table,
        addresses: friends.clone(),
    }];
    // Alice and the program are two more.
    let reading = |count: usize| {
        let read = friends[..count]
            .iter()
            .map(|friend| AccountMeta::new_readonly(*friend, false));
        let mut instruction = transfer(&key(&alice), &key(&alice), 0);
        instruction.accounts.extend(read);
        let compiled = v0::Message::try_compile(&key(&alice), &[instruction], &tables, blockhash);
        sign(VersionedMessage::V0(compiled.expect("it fits")), &[&alice])
    };
    assert_eq!(
        network.refusal(&reading(63)),
        "Transaction locked too many accounts"
    );
    let record = network.send_bytes(&reading(62));
    assert_eq!(record.status, Ok(()));
    assert_eq!(record.keys.len(), 64);
}
