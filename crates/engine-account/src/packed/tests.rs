//! Parts with everything in them, and damaged ones.

use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

use super::*;

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
        logs: vec!["Program 1 invoke [1]".into(), "Program 1 success".into()],
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

/// A part in which everything occurs that has a form of its own.
fn part() -> BlockPart {
    let mut transactions: Vec<TransactionRecord> = (3..9).map(record).collect();
    let strange = &mut transactions[1];
    strange.signature = Signature::from([1; 64]);
    strange.slot = 6;
    strange.status = Err(TransactionError::InstructionError(
        1,
        InstructionError::Custom(42),
    ));
    strange.keys.swap(0, 1);
    strange.keys.push(Pubkey::new_from_array([77; 32]));
    strange.written.push(Pubkey::new_from_array([77; 32]));
    strange.written.push(Pubkey::new_from_array([78; 32]));
    strange.balances_after.push(u64::MAX);
    strange.logs.push("x".repeat(LINE_BYTES_MAX + 1));
    strange.logs.push("x".repeat(LINE_BYTES_MAX + 1));
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
        program: Pubkey::new_from_array([3; 32]),
        data: vec![4; 20],
    });
    let token = TokenBalance {
        account: 1,
        mint: Pubkey::new_from_array([90; 32]),
        owner: Pubkey::new_from_array([78; 32]),
        program: Pubkey::new_from_array([90; 32]),
        amount: 1 << 40,
        decimals: 6,
    };
    rich.tokens_before = vec![token.clone()];
    rich.tokens_after = vec![token.clone(), token];
    transactions[5].index = u32::MAX;
    transactions.push(record(0));
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

#[test]
fn damaged_bytes_are_refused_or_are_another_part() {
    let bytes = pack(&part());
    assert_eq!(unpack(&[]), Err(PackedError::Short));
    assert_eq!(unpack(&[2, 0]), Err(PackedError::Version(2)));
    for len in 0..bytes.len() {
        assert!(unpack(&bytes[..len]).is_err(), "cut after {len}");
    }
    let mut accepted = 0;
    for bit in 0..bytes.len() * 8 {
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
