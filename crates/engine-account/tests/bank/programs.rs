//! Real programs: tokens, calls between programs, lookup tables, deployment.

use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, system_program, sysvar};
use solana_transaction_error::TransactionError;
use trilith_engine_account::Profile;
use trilith_engine_account::query::{Account, Answer, Filter, Question, Simulate, TokenScope};

use trilith_engine_account::record::{TokenBalance, TransactionRecord};

use super::harness::{Network, SOL};
use super::wire::{
    TOKEN, associated, create, create_associated, initialize_mint, key, keypair, mint_to, sign,
    token_transfer, transaction, transfer,
};

const MEMO_4: Pubkey = Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");

/// Alice with 1,000 units of a mint of hers, and Bob with an account for them.
fn minted(network: &mut Network) -> TransactionRecord {
    let (alice, bob, mint) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    network.succeed(
        &[
            create(&key(&alice), &key(&mint), SOL / 100, 82, &TOKEN),
            initialize_mint(&key(&mint), &key(&alice)),
            create_associated(&key(&alice), &key(&alice), &key(&mint)),
            create_associated(&key(&alice), &key(&bob), &key(&mint)),
            mint_to(
                &key(&mint),
                &associated(&key(&alice), &key(&mint)),
                &key(&alice),
                1_000,
            ),
        ],
        &[&alice, &mint],
    )
}

#[test]
fn tokens_are_minted_and_sent() {
    let mut network = Network::new();
    let (alice, bob, mint) = (keypair(10), keypair(11), keypair(12));
    let record = minted(&mut network);
    // The associated token program calls the token and the system program.
    assert_eq!(record.inner.len(), 2);
    assert_eq!(record.inner[0].index, 2);
    assert!(record.inner[0].instructions.len() >= 3);
    assert!(record.logs.iter().any(|line| line.ends_with("invoke [2]")));
    let (from, to) = (
        associated(&key(&alice), &key(&mint)),
        associated(&key(&bob), &key(&mint)),
    );
    let record = network.succeed(&[token_transfer(&from, &to, &key(&alice), 300)], &[&alice]);
    let amounts = |list: &[TokenBalance]| {
        let mut amounts: Vec<_> = list
            .iter()
            .map(|token| (token.owner, token.amount))
            .collect();
        amounts.sort();
        amounts
    };
    let mut expected = vec![(key(&alice), 700), (key(&bob), 300)];
    expected.sort();
    assert_eq!(amounts(&record.tokens_after), expected);
    assert_eq!(
        network.ask(&Question::TokenLargest { mint: key(&mint) }),
        Answer::Balances(vec![(from, 700), (to, 300)])
    );
    let held = |of| {
        let question = Question::TokenAccounts {
            holder: key(&bob),
            by_delegate: false,
            of,
            slice: None,
        };
        match network.ask(&question) {
            Answer::Keyed(found) => found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            other => panic!("not accounts: {other:?}"),
        }
    };
    assert_eq!(held(TokenScope::Mint(key(&mint))), [to]);
    assert_eq!(held(TokenScope::Program(TOKEN)), [to]);
    assert!(held(TokenScope::Mint(key(&alice))).is_empty());
    let question = Question::ProgramAccounts {
        program: TOKEN,
        filters: vec![
            Filter::DataSize(165),
            Filter::Bytes {
                offset: 32,
                bytes: key(&bob).to_bytes().to_vec(),
            },
        ],
        slice: None,
    };
    let Answer::Keyed(found) = network.ask(&question) else {
        panic!("not accounts");
    };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, to);
    // More than there is fails and is charged.
    let record = network.send(&[token_transfer(&from, &to, &key(&alice), 701)], &[&alice]);
    assert!(record.status.is_err());
    assert_eq!(amounts(&record.tokens_after), expected);
}

#[test]
pub(crate) fn lookup_tables_serve_from_the_slot_after() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    network.pass(1);
    let recent = network.chain().parent;
    let (table, bump) = Pubkey::find_program_address(
        &[key(&alice).as_ref(), &recent.to_le_bytes()],
        &address_lookup_table::ID,
    );
    let data = [&0u32.to_le_bytes()[..], &recent.to_le_bytes(), &[bump]].concat();
    let make = Instruction::new_with_bytes(
        address_lookup_table::ID,
        &data,
        vec![
            AccountMeta::new(table, false),
            AccountMeta::new_readonly(key(&alice), true),
            AccountMeta::new(key(&alice), true),
            AccountMeta::new_readonly(system_program::ID, false),
        ],
    );
    let friends: Vec<Pubkey> = (0..20)
        .map(|index| Pubkey::new_from_array([50 + index; 32]))
        .collect();
    let mut data = [&2u32.to_le_bytes()[..], &20u64.to_le_bytes()].concat();
    friends
        .iter()
        .for_each(|friend| data.extend(friend.to_bytes()));
    let extend = Instruction::new_with_bytes(
        address_lookup_table::ID,
        &data,
        vec![
            AccountMeta::new(table, false),
            AccountMeta::new_readonly(key(&alice), true),
            AccountMeta::new(key(&alice), true),
            AccountMeta::new_readonly(system_program::ID, false),
        ],
    );
    network.succeed(&[make, extend], &[&alice]);
    let gifts: Vec<_> = friends
        .iter()
        .map(|friend| transfer(&key(&alice), friend, SOL / 50))
        .collect();
    let looked_up = |blockhash| {
        let tables = [AddressLookupTableAccount {
            key: table,
            addresses: friends.clone(),
        }];
        let message = v0::Message::try_compile(&key(&alice), &gifts, &tables, blockhash);
        sign(VersionedMessage::V0(message.expect("it fits")), &[&alice])
    };
    let early = looked_up(network.blockhash());
    assert_eq!(
        network.refusal(&early),
        "Transaction address table lookup uses an invalid index"
    );
    network.pass(1);
    let record = network.send_bytes(&looked_up(network.blockhash()));
    assert_eq!(record.status, Ok(()));
    assert_eq!(record.loaded_writable_keys().len(), 20);
    assert!(record.loaded_readonly_keys().is_empty());
    assert!(
        friends
            .iter()
            .all(|friend| network.balance(friend) == SOL / 50)
    );
}

/// The bytes of the memo program, to be deployed once more.
fn memo_program() -> Vec<u8> {
    let rent = solana_rent::Rent::default();
    let accounts = solana_program_binaries::by_id(&MEMO_4, &rent).expect("it is there");
    solana_account::ReadableAccount::data(&accounts[1].1)[45..].to_vec()
}

fn loader(tag: u32, rest: &[u8], accounts: Vec<AccountMeta>) -> Instruction {
    let data = [&tag.to_le_bytes()[..], rest].concat();
    Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &data, accounts)
}

#[test]
fn a_program_is_deployed_and_called_from_the_next_slot() {
    let mut network = Network::new();
    let (alice, buffer, program) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    let elf = memo_program();
    let owner = bpf_loader_upgradeable::ID;
    let begin = loader(
        0,
        &[],
        vec![
            AccountMeta::new(key(&buffer), false),
            AccountMeta::new_readonly(key(&alice), false),
        ],
    );
    let space = 37 + elf.len() as u64;
    let made = create(&key(&alice), &key(&buffer), SOL, space, &owner);
    network.succeed(&[made, begin], &[&alice, &buffer]);
    for (index, chunk) in elf.chunks(900).enumerate() {
        let rest = [
            &(index as u32 * 900).to_le_bytes()[..],
            &(chunk.len() as u64).to_le_bytes(),
            chunk,
        ]
        .concat();
        let write = loader(
            1,
            &rest,
            vec![
                AccountMeta::new(key(&buffer), false),
                AccountMeta::new_readonly(key(&alice), true),
            ],
        );
        network.succeed(&[write], &[&alice]);
    }
    let (data, _) = Pubkey::find_program_address(&[key(&program).as_ref()], &owner);
    // Room for growth makes the data large enough to be an image.
    let deploy = loader(
        2,
        &(100_000u64).to_le_bytes(),
        vec![
            AccountMeta::new(key(&alice), true),
            AccountMeta::new(data, false),
            AccountMeta::new(key(&program), false),
            AccountMeta::new(key(&buffer), false),
            AccountMeta::new_readonly(sysvar::rent::ID, false),
            AccountMeta::new_readonly(sysvar::clock::ID, false),
            AccountMeta::new_readonly(system_program::ID, false),
            AccountMeta::new_readonly(key(&alice), true),
        ],
    );
    let made = create(&key(&alice), &key(&program), SOL, 36, &owner);
    network.succeed(&[made, deploy], &[&alice, &program]);
    assert_eq!(
        network.account(&data).expect("it exists").data.len(),
        100_045
    );
    assert_eq!(network.account(&key(&buffer)), None);
    let call = Instruction::new_with_bytes(key(&program), b"hello", Vec::new());
    let record = network.send(std::slice::from_ref(&call), &[&alice]);
    assert_eq!(
        record.status,
        Err(TransactionError::InstructionError(
            0,
            solana_instruction::error::InstructionError::UnsupportedProgramId
        )),
        "{:?}",
        record.logs
    );
    network.pass(1);
    let record = network.succeed(&[call], &[&alice]);
    assert!(record.units > 0);
    assert!(record.logs.iter().any(|line| line.ends_with("hello")));
}

#[test]
fn a_simulation_shows_what_would_be_and_changes_nothing() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let instructions = [transfer(&key(&alice), &key(&bob), SOL)];
    let stale = transaction(&instructions, &[&alice], solana_hash::Hash::default());
    let simulate = |verify_signatures, replace_blockhash| {
        let question = Question::Simulate(Simulate {
            transaction: stale.clone(),
            verify_signatures,
            replace_blockhash,
            accounts: vec![key(&bob), key(&alice)],
        });
        match network.ask(&question) {
            Answer::Simulated(simulated) => *simulated,
            other => panic!("not a simulation: {other:?}"),
        }
    };
    let refused = simulate(true, false);
    assert_eq!(
        refused.record.status,
        Err(TransactionError::BlockhashNotFound)
    );
    let run = simulate(false, true);
    assert_eq!(run.record.status, Ok(()));
    assert_eq!(run.record.fee, 5_000);
    let lamports = |account: &Option<Account>| account.as_ref().map(|account| account.lamports);
    assert_eq!(lamports(&run.accounts[0]), Some(SOL));
    assert_eq!(lamports(&run.accounts[1]), Some(4 * SOL - 5_000));
    assert_eq!(
        run.replacement.map(|(hash, _)| hash),
        Some(network.blockhash())
    );
    assert_eq!(network.account(&key(&bob)), None);
}

#[test]
fn programs_are_deployed_upgraded_and_closed_under_the_classic_rules() {
    let mut genesis = super::harness::genesis();
    genesis.profile = Profile::Classic;
    let elf = memo_program();
    let (alice, program) = (keypair(10), keypair(12));
    let owner = bpf_loader_upgradeable::ID;
    // Two buffers of Alice's, ready.
    let buffers = [61, 62].map(|byte| Pubkey::new_from_array([byte; 32]));
    for buffer in buffers {
        let mut data = vec![1, 0, 0, 0, 1];
        data.extend(key(&alice).as_ref());
        data.extend(&elf);
        let account = solana_account::Account {
            lamports: SOL,
            data,
            owner,
            executable: false,
            rent_epoch: u64::MAX,
        };
        genesis.accounts.push((buffer, account));
    }
    let mut network = Network::with(genesis);
    network.airdrop(&key(&alice), 5 * SOL);
    let (data, _) = Pubkey::find_program_address(&[key(&program).as_ref()], &owner);
    let readonly = |key| AccountMeta::new_readonly(key, false);
    let deploy = loader(
        2,
        &(elf.len() as u64).to_le_bytes(),
        vec![
            AccountMeta::new(key(&alice), true),
            AccountMeta::new(data, false),
            AccountMeta::new(key(&program), false),
            AccountMeta::new(buffers[0], false),
            readonly(sysvar::rent::ID),
            readonly(sysvar::clock::ID),
            readonly(system_program::ID),
            AccountMeta::new_readonly(key(&alice), true),
        ],
    );
    let made = create(&key(&alice), &key(&program), SOL, 36, &owner);
    network.succeed(&[made, deploy], &[&alice, &program]);
    assert!(
        network
            .account(&key(&program))
            .expect("it exists")
            .executable
    );
    assert_eq!(network.account(&buffers[0]), None);
    network.pass(1);
    let call = Instruction::new_with_bytes(key(&program), b"hello", Vec::new());
    network.succeed(std::slice::from_ref(&call), &[&alice]);
    let upgrade = loader(
        3,
        &[],
        vec![
            AccountMeta::new(data, false),
            AccountMeta::new(key(&program), false),
            AccountMeta::new(buffers[1], false),
            AccountMeta::new(key(&alice), false),
            readonly(sysvar::rent::ID),
            readonly(sysvar::clock::ID),
            AccountMeta::new_readonly(key(&alice), true),
        ],
    );
    network.succeed(&[upgrade], &[&alice]);
    assert_eq!(network.account(&buffers[1]), None);
    network.pass(1);
    network.succeed(std::slice::from_ref(&call), &[&alice]);
    let close = loader(
        5,
        &[],
        vec![
            AccountMeta::new(data, false),
            AccountMeta::new(key(&alice), false),
            AccountMeta::new_readonly(key(&alice), true),
            AccountMeta::new(key(&program), false),
        ],
    );
    network.succeed(&[close], &[&alice]);
    assert_eq!(network.account(&data), None);
    network.pass(1);
    let record = network.send(&[call], &[&alice]);
    assert!(record.status.is_err());
}
