//! Everything this crate reads from bytes that others made: arbitrary bytes and altered good ones
//! never panic, and what is read encodes to the bytes it came from.

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0, v1};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use trilith_engine_account::gates::FeatureState;
use trilith_engine_account::query::{
    Account, Answer, Filter, Question, Simulate, Slice, Status, TokenScope,
};
use trilith_engine_account::record::{BlockHeader, BlockPart, TransactionRecord};
use trilith_engine_account::{
    TRANSACTION_BYTES_MAX, fuzz_leaves, fuzz_lookup_table, fuzz_precompile, fuzz_token_account,
    fuzz_transaction,
};

const SOME: Pubkey = Pubkey::new_from_array([7; 32]);

fn instruction(payer: &Pubkey) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*payer, true),
        AccountMeta::new(SOME, false),
        AccountMeta::new_readonly(Pubkey::new_from_array([9; 32]), false),
    ];
    Instruction::new_with_bytes(Pubkey::default(), &[2, 0, 0, 0, 5], accounts)
}

/// A good transaction of each version.
fn transactions() -> Vec<Vec<u8>> {
    let pair = SigningKey::from_bytes(&[1; 32]);
    let payer = Pubkey::new_from_array(pair.verifying_key().to_bytes());
    let blockhash = Hash::new_from_array([3; 32]);
    let instructions = [instruction(&payer)];
    let table = AddressLookupTableAccount {
        key: Pubkey::new_from_array([8; 32]),
        addresses: vec![SOME],
    };
    let legacy = Message::new_with_blockhash(&instructions, Some(&payer), &blockhash);
    let v0 = v0::Message::try_compile(&payer, &instructions, &[table], blockhash).unwrap();
    let v1 = v1::Message::try_compile(&payer, &instructions, blockhash).unwrap();
    [
        VersionedMessage::Legacy(legacy),
        VersionedMessage::V0(v0),
        VersionedMessage::V1(v1),
    ]
    .into_iter()
    .map(|message| {
        let signature = Signature::from(pair.sign(&message.serialize()).to_bytes());
        let transaction = VersionedTransaction {
            signatures: vec![signature],
            message,
        };
        wincode::serialize(&transaction).unwrap()
    })
    .collect()
}

fn record() -> TransactionRecord {
    TransactionRecord {
        transaction: transactions().remove(0),
        signature: Signature::from([4; 64]),
        slot: 7,
        index: 1,
        status: Err(TransactionError::InstructionError(
            1,
            solana_instruction::error::InstructionError::Custom(6),
        )),
        fee: 5_000,
        units: 150,
        loaded_bytes: 14,
        logs: vec!["Program log: hello".into()],
        inner: Vec::new(),
        returned: None,
        keys: vec![SOME],
        static_keys: 1,
        loaded_writable: 0,
        balances_before: vec![3],
        balances_after: vec![2],
        tokens_before: Vec::new(),
        tokens_after: Vec::new(),
        written: vec![SOME],
        work: 1_470,
        locked: 3,
    }
}

fn part() -> BlockPart {
    BlockPart {
        slot: 7,
        round: 9,
        time: 11,
        transactions: vec![record()],
    }
}

fn header() -> BlockHeader {
    BlockHeader {
        slot: 7,
        parent: 6,
        blockhash: Hash::new_from_array([1; 32]),
        previous_blockhash: Hash::new_from_array([2; 32]),
        time: 5,
        transactions: 1,
        rewards: 2,
        rewards_balance: 3,
    }
}

fn questions() -> Vec<Vec<u8>> {
    let slice = Some(Slice { offset: 1, len: 2 });
    let bytes = Filter::Bytes {
        offset: 3,
        bytes: vec![4, 5],
    };
    let all = [
        Question::Accounts {
            keys: vec![SOME, SOME],
            slice,
        },
        Question::ProgramAccounts {
            program: SOME,
            filters: vec![Filter::DataSize(165), bytes, Filter::TokenAccount],
            slice,
        },
        Question::TokenAccounts {
            holder: SOME,
            by_delegate: true,
            of: TokenScope::Mint(SOME),
            slice: None,
        },
        Question::Chain,
        Question::Transaction(Signature::from([1; 64])),
        Question::Simulate(Simulate {
            transaction: transactions().remove(0),
            verify_signatures: true,
            replace_blockhash: false,
            accounts: vec![SOME],
        }),
        Question::Rounds { after: 3, limit: 4 },
    ];
    all.iter().map(Question::encode).collect()
}

fn answers() -> Vec<Vec<u8>> {
    let account = Account {
        lamports: 1,
        owner: SOME,
        executable: false,
        rent_epoch: u64::MAX,
        space: 3,
        data: vec![1, 2, 3],
    };
    let status = Status {
        slot: 7,
        status: Err(TransactionError::AccountInUse),
    };
    let all = [
        Answer::Accounts(vec![None, Some(account.clone())]),
        Answer::Keyed(vec![(SOME, account)]),
        Answer::Balances(vec![(SOME, 5)]),
        Answer::Transaction(Some((Box::new(record()), 9))),
        Answer::Statuses(vec![Some(status), None]),
        Answer::Block(Some((header(), vec![record()]))),
        Answer::Rounds(vec![part()]),
    ];
    all.iter().map(Answer::encode).collect()
}

/// The leaf of an account, a part of a block, a header, gates in force.
fn leaves() -> Vec<Vec<u8>> {
    let mut account = vec![0];
    account.extend(5u64.to_le_bytes());
    account.extend(u64::MAX.to_le_bytes());
    account.extend([1; 32]);
    account.push(0);
    account.extend(3u64.to_le_bytes());
    account.extend([1, 2, 3]);
    let plain = |bytes: bincode::Result<Vec<u8>>| bytes.unwrap();
    vec![
        account,
        plain(bincode::serialize(&part())),
        plain(bincode::serialize(&header())),
        plain(bincode::serialize(&vec![(SOME, 5u64)])),
    ]
}

/// A slot, how many addresses are looked up, and a table with three.
fn lookups() -> Vec<Vec<u8>> {
    let mut bytes = 9u64.to_le_bytes().to_vec();
    bytes.push(3);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.extend(8u64.to_le_bytes());
    bytes.extend([0; 36]);
    bytes.extend((0..96).map(|index| index as u8));
    vec![bytes]
}

/// Claims of one signature: a count, then offsets that point behind them, in the two layouts.
fn claims() -> Vec<Vec<u8>> {
    let mut wide = vec![1, 0];
    for number in [48u16, u16::MAX, 16, u16::MAX, 112, 8, u16::MAX] {
        wide.extend(number.to_le_bytes());
    }
    wide.extend([3; 104]);
    let narrow = [1, 32, 0, 0, 12, 0, 0, 97, 0, 8, 0, 0];
    vec![wide, [&narrow[..], &[4; 93]].concat()]
}

/// Accounts of both token programs: plain, and with an extension behind.
fn token_accounts() -> Vec<Vec<u8>> {
    let mut plain = vec![5; 165];
    plain[108] = 1;
    let extended = [&plain[..], &[2, 7, 0, 0, 0]].concat();
    vec![plain, extended]
}

/// One of the good encodings with some bytes set or bits flipped, cut, repeated or extended.
fn altered(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let place = any::<prop::sample::Index>();
    let edits = prop::collection::vec((place, any::<u8>(), any::<bool>()), 0..6);
    let tail = prop::collection::vec(any::<u8>(), 0..9);
    let cut = prop::option::weighted(0.3, any::<prop::sample::Index>());
    (prop::sample::select(good), edits, cut, tail).prop_map(|(mut bytes, edits, cut, tail)| {
        for (place, byte, flip) in edits {
            let at = place.index(bytes.len());
            bytes[at] = if flip {
                bytes[at] ^ (1 << (byte % 8))
            } else {
                byte
            };
        }
        if let Some(cut) = cut {
            let len = cut.index(bytes.len());
            bytes.truncate(len);
            bytes.extend(tail);
        }
        bytes
    })
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

fn question_is_strict(bytes: &[u8]) {
    if let Ok(question) = Question::decode(bytes) {
        assert_eq!(question.encode(), bytes);
    }
}

fn answer_is_strict(bytes: &[u8]) {
    if let Ok(answer) = Answer::decode(bytes) {
        assert_eq!(answer.encode(), bytes);
    }
}

#[test]
fn good_encodings_are_read() {
    assert!(transactions().iter().all(|bytes| fuzz_transaction(bytes)));
    assert!(
        questions()
            .iter()
            .all(|bytes| Question::decode(bytes).is_ok())
    );
    assert!(answers().iter().all(|bytes| Answer::decode(bytes).is_ok()));
    assert!(leaves().iter().all(|bytes| fuzz_leaves(bytes) == 1));
    assert_eq!(fuzz_lookup_table(&lookups()[0]), 4);
    assert!(
        token_accounts()
            .iter()
            .all(|bytes| fuzz_token_account(bytes))
    );
    let long = vec![0x81; TRANSACTION_BYTES_MAX + 1];
    assert!(!fuzz_transaction(&long));
}

#[test]
fn lookups_stay_within_what_a_slot_may_see() {
    let mut bytes = lookups().remove(0);
    // Looked up in the slot of the last extension, which began at the first address: none is there.
    bytes[..8].copy_from_slice(&8u64.to_le_bytes());
    assert_eq!(fuzz_lookup_table(&bytes), 0);
    // One more than there are.
    let mut bytes = lookups().remove(0);
    bytes[8] = 4;
    assert_eq!(fuzz_lookup_table(&bytes), 0);
}

proptest! {
    #[test]
    fn altered_transactions(bytes in altered(transactions())) {
        fuzz_transaction(&bytes);
    }

    #[test]
    fn altered_questions(bytes in altered(questions())) {
        question_is_strict(&bytes);
    }

    #[test]
    fn altered_answers(bytes in altered(answers())) {
        answer_is_strict(&bytes);
    }

    #[test]
    fn altered_leaves(bytes in altered(leaves())) {
        fuzz_leaves(&bytes);
    }

    #[test]
    fn altered_lookup_tables(bytes in altered(lookups())) {
        fuzz_lookup_table(&bytes);
    }

    #[test]
    fn altered_claims(bytes in altered(claims())) {
        fuzz_precompile(&bytes);
    }

    #[test]
    fn altered_token_accounts(bytes in altered(token_accounts())) {
        fuzz_token_account(&bytes);
    }

    #[test]
    fn any_bytes(bytes in some_bytes()) {
        fuzz_transaction(&bytes);
        question_is_strict(&bytes);
        answer_is_strict(&bytes);
        fuzz_leaves(&bytes);
        fuzz_lookup_table(&bytes);
        fuzz_precompile(&bytes);
        fuzz_token_account(&bytes);
    }

    #[test]
    fn features(bytes in prop::collection::vec(0u8..3, 0..12)) {
        if let Some(state) = FeatureState::decode(&bytes) {
            prop_assert_eq!(FeatureState::decode(&state.encode()), Some(state));
        }
    }
}
