//! Parts with everything in them, and damaged ones.

use std::str::FromStr as _;

use proptest::prelude::*;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use super::*;
use crate::bank::leaf;
use crate::record::{InnerInstruction, InnerInstructions, ReturnData, TokenBalance};

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn pack(part: &BlockPart) -> Vec<u8> {
    PackedPart::pack(part).bytes
}

fn unpack(bytes: &[u8]) -> Result<BlockPart, PackedError> {
    PackedPart::read(bytes.to_vec())?.unpack()
}

/// A transaction of two signatures with three keys, as far as its form is looked at.
fn transaction(versioned: bool) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend([5; 64]);
    bytes.extend([6; 64]);
    bytes.extend(versioned.then_some(0x80));
    bytes.extend([2, 0, 1, 3]);
    for key in 1..=3 {
        bytes.extend([key; 32]);
    }
    bytes.extend([9; 40]);
    bytes
}

fn record(index: u32) -> TransactionRecord {
    TransactionRecord {
        transaction: transaction(index.is_multiple_of(2)),
        signature: Signature::from([5; 64]),
        slot: 7,
        index,
        status: Ok(()),
        fee: 5_000,
        units: 150,
        loaded_bytes: 14,
        logs: vec![
            format!("Program {} invoke [1]", key(3)),
            format!("Program {} consumed 150 of 200000 compute units", key(3)),
            format!("Program {} success", key(3)),
        ],
        inner: Vec::new(),
        returned: None,
        keys: [1, 2, 3]
            .map(|key| Pubkey::new_from_array([key; 32]))
            .to_vec(),
        static_keys: 3,
        loaded_writable: 0,
        balances_before: vec![1_000_000_000, 0, 1],
        balances_after: vec![999_995_000, u64::MAX, 1],
        tokens_before: Vec::new(),
        tokens_after: Vec::new(),
        written: vec![Pubkey::new_from_array([2; 32])],
        work: 1_470,
        locked: 3,
    }
}

/// Lines of every kind, and some that are nearly of one.
fn lines() -> Vec<String> {
    let (known, unknown) = (key(2), key(99));
    let mut lines = vec![
        String::new(),
        "Program ".to_owned(),
        "Program log: ".to_owned(),
        "Program log: Instruction: Transfer".to_owned(),
        "Program data: AAAA".to_owned(),
        "Log truncated".to_owned(),
        "Program 11111111111111111111111111111111 success".to_owned(),
        "Program 111111111111111111111111111111111 success".to_owned(),
        "Program 1111111111111111111111111111111 success".to_owned(),
        "Program log:  success".to_owned(),
        "Program  success".to_owned(),
        "Program \u{1F980} success".to_owned(),
    ];
    for name in [known, unknown] {
        let deeds = [
            "invoke [1]",
            "invoke [0]",
            "invoke [01]",
            "invoke [+1]",
            "invoke []",
            "invoke [18446744073709551615]",
            "invoke [18446744073709551616]",
            "invoke [1] ",
            "success",
            "success ",
            "consumed 0 of 200000 compute units",
            "consumed 00 of 200000 compute units",
            "consumed 1 of 2 of 3 compute units",
            "consumed 1 of  compute units",
            "consumed 1 of 2 compute unit",
            "failed: custom program error: 0x1",
            "failed: ",
            "failed",
        ];
        lines.extend(deeds.map(|deed| format!("Program {name} {deed}")));
        lines.push(format!("Program  {name} success"));
        lines.push(format!("Program return: {name} AAAA"));
    }
    lines
}

/// A part in which everything occurs that has a form of its own.
fn part() -> BlockPart {
    let mut transactions: Vec<TransactionRecord> = (3..9).map(record).collect();
    let strange = &mut transactions[1];
    strange.signature = Signature::from([1; 64]);
    strange.status = Err(TransactionError::InstructionError(
        1,
        InstructionError::Custom(42),
    ));
    strange.keys.swap(0, 1);
    strange.keys.push(key(77));
    strange.written.push(key(77));
    strange.written.push(key(78));
    strange.balances_after.push(u64::MAX);
    strange.logs = lines();
    let rich = &mut transactions[2];
    rich.locked = u128::MAX - 5;
    rich.transaction = vec![0x81; 30];
    rich.inner = vec![InnerInstructions {
        index: 2,
        instructions: vec![InnerInstruction {
            program: 1,
            accounts: vec![0, 2],
            data: vec![1; 200],
            stack_height: 2,
        }],
    }];
    rich.returned = Some(ReturnData {
        program: key(3),
        data: vec![4; 20],
    });
    let token = TokenBalance {
        account: 1,
        mint: key(90),
        owner: key(78),
        program: key(90),
        amount: 1 << 40,
        decimals: 6,
    };
    let grown = TokenBalance {
        amount: 3,
        ..token.clone()
    };
    let other = TokenBalance {
        owner: key(2),
        ..token.clone()
    };
    rich.tokens_before = vec![token.clone(), token.clone()];
    rich.tokens_after = vec![grown, other, token];
    let loaded = &mut transactions[3];
    loaded.keys.extend([key(50), key(51)]);
    loaded.loaded_writable = 1;
    // Longer than two bytes of length tell, and shorter than two take.
    transactions[4].transaction = vec![7; 20_000];
    let bare = &mut transactions[5];
    bare.transaction.clear();
    bare.logs.clear();
    bare.keys.clear();
    bare.balances_before.clear();
    bare.balances_after.clear();
    bare.written.clear();
    BlockPart {
        slot: 7,
        round: 300,
        time: u64::MAX,
        transactions,
    }
}

#[test]
fn a_part_comes_back_as_it_was() {
    let empty = BlockPart {
        transactions: Vec::new(),
        ..part()
    };
    for part in [part(), empty] {
        let bytes = pack(&part);
        assert_eq!(unpack(&bytes).as_ref(), Ok(&part));
        let leaf = leaf::encode(&part);
        assert_eq!(
            leaf::decode::<BlockPart>(&leaf, "a part").as_ref(),
            Ok(&part)
        );
    }
}

/// Of a transfer's record, what is left beside the transaction is small.
#[test]
fn a_transfer_takes_little_beside_its_transaction() {
    let len = |count: u32| {
        let transactions = (0..count).map(record).collect();
        pack(&BlockPart {
            transactions,
            ..part()
        })
        .len()
    };
    let each = (len(11) - len(1)) / 10;
    assert!(each < transaction(true).len() + 50, "{each} bytes");
}

/// What is read of a record by itself is what all of the part says.
#[test]
fn records_are_read_one_by_one() {
    let part = part();
    let packed = PackedPart::pack(&part);
    assert_eq!(packed.len(), part.transactions.len());
    for (position, record) in part.transactions.iter().enumerate() {
        assert_eq!(packed.record(position), Ok(Some(record.clone())));
        let head = packed.heads().nth(position).unwrap().unwrap();
        assert_eq!(head.transaction, record.transaction);
        assert_eq!(head.signature, record.signature.as_array());
        assert_eq!((&head.status, head.work), (&record.status, record.work));
        assert!(head.keys().eq(record.keys.iter().map(Pubkey::as_array)));
        for index in 0..130 {
            let is_locked = record.is_locked_for_writing(index);
            assert_eq!(head.is_locked_for_writing(index), is_locked);
        }
    }
    assert_eq!(packed.record(part.transactions.len()), Ok(None));
}

#[test]
fn a_part_without_records_has_no_first_index() {
    let of = Of {
        slot: 7,
        round: 300,
        time: 9,
        first: 5,
    };
    let empty = PackedPart::new(of, std::iter::empty());
    assert_eq!(unpack(&empty.bytes).map(|part| part.slot), Ok(7));
    let bytes = &empty.bytes[..empty.bytes.len() - 2];
    assert_eq!(unpack(&[bytes, &[1, 0]].concat()), Err(PackedError::Form));
}

/// A packed key has one name: otherwise a line would not come back as it was.
#[test]
fn names_with_other_zeros_are_no_names() {
    let zeros = key(0).to_string();
    assert_eq!(zeros, "1".repeat(32));
    let some = key(9).to_string();
    for name in [&zeros[1..], &format!("1{zeros}"), &format!("1{some}")] {
        assert!(Pubkey::from_str(name).is_err(), "{name}");
    }
}

#[test]
fn lines_of_programs_take_few_bytes() {
    let len = |lines: &[String]| {
        let mut part = part();
        part.transactions.truncate(1);
        part.transactions[0].logs = lines.to_vec();
        pack(&part).len()
    };
    let lines = record(0).logs;
    assert_eq!(len(&lines) - len(&[]), 3 + (2 + 2 + 3) + 2);
}

#[test]
fn damaged_bytes_are_refused_or_are_another_part() {
    let bytes = pack(&part());
    assert_eq!(unpack(&[]), Err(PackedError::Short));
    assert_eq!(unpack(&[1, 0]), Err(PackedError::Version(1)));
    for len in (0..bytes.len()).filter(|len| len % 100 == 0 || len + 200 > bytes.len()) {
        assert!(unpack(&bytes[..len]).is_err(), "cut after {len}");
    }
    let mut accepted = 0;
    // But for the long transaction, of which any bit is like the others.
    let long = bytes
        .windows(100)
        .position(|window| window == [7; 100])
        .unwrap();
    for bit in (0..bytes.len() * 8).filter(|bit| !(long + 8..long + 19_990).contains(&(bit / 8))) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(part) = unpack(&damaged) {
            assert_eq!(pack(&part), damaged, "bit {bit}");
            accepted += 1;
        }
    }
    assert!(accepted > 0, "bytes of transactions may be any");
    // Arbitrary bytes behind a good version, from a generator that is always the same.
    let mut state = 1u64;
    for len in 0..2_000 {
        let mut bytes = vec![VERSION];
        bytes.extend((0..len % 300).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8 & if len % 2 == 0 { 0xff } else { 0x07 }
        }));
        if let Ok(part) = unpack(&bytes) {
            assert_eq!(pack(&part), bytes);
        }
    }
}

proptest! {
    /// Lines made of the pieces that those of programs are made of.
    #[test]
    fn lines_come_back(pieces in prop::collection::vec(0usize..16, 0..9)) {
        let [known, unknown] = [key(2), key(99)].map(|key| key.to_string());
        let all: [&str; 16] = [
            "Program ", "log: ", &known, &unknown, " ", "invoke [", "]", "success", "consumed ",
            " of ", " compute units", "failed: ", "0", "1", "18446744073709551615", "\u{e9}",
        ];
        let line: String = pieces.iter().map(|piece| all[*piece]).collect();
        let mut part = part();
        part.transactions.truncate(1);
        part.transactions[0].logs = vec![line.clone(), line];
        prop_assert_eq!(unpack(&pack(&part)), Ok(part));
    }

    #[test]
    fn altered_parts(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut part = part();
        part.transactions.remove(4);
        let mut bytes = pack(&part);
        for (place, byte) in edits {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(part) = unpack(&bytes) {
            prop_assert_eq!(pack(&part), bytes);
        }
    }
}
