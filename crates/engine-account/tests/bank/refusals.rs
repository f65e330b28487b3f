//! Transactions that have no effect.

use solana_pubkey::Pubkey;
use trilith_engine_account::fuzz_transaction;
use trilith_engine_account::query::{CODE_QUESTION, Question};
use trilith_protocol::QueryError;

use super::harness::{Network, SOL};
use super::wire::{Random, key, keypair, transaction, transfer, unit_limit};

#[test]
pub(crate) fn a_transaction_is_charged_once() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let instructions = [transfer(&key(&alice), &key(&bob), SOL)];
    let bytes = transaction(&instructions, &[&alice], network.blockhash());
    network.send_bytes(&bytes);
    for slots in [0, 1, 100, 40] {
        network.pass(slots);
        assert_eq!(
            network.refusal(&bytes),
            "This transaction has already been processed"
        );
    }
    network.pass(100);
    assert_eq!(network.refusal(&bytes), "Blockhash not found");
    assert_eq!(network.balance(&key(&bob)), SOL);
}

#[test]
fn a_blockhash_is_accepted_for_150_slots() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    network.pass(7);
    let chain = network.chain();
    let at = |slot: u64| {
        let to = Pubkey::new_from_array([9; 32]);
        let transfer = transfer(&key(&alice), &to, SOL / 10 + slot);
        transaction(&[transfer], &[&alice], chain.blockhash)
    };
    assert_eq!(chain.last_valid_height, chain.slot + 150);
    network.pass(150);
    assert_eq!(network.chain().slot, chain.last_valid_height);
    network.send_bytes(&at(150));
    network.pass(1);
    assert_eq!(network.refusal(&at(151)), "Blockhash not found");
}

#[test]
pub(crate) fn broken_transactions_are_refused() {
    let mut network = Network::new();
    let (alice, bob, nobody) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    let blockhash = network.blockhash();
    let good = transaction(
        &[transfer(&key(&alice), &key(&bob), SOL)],
        &[&alice],
        blockhash,
    );
    let failed = "Transaction failed to sanitize accounts offsets correctly";
    assert_eq!(network.refusal(&[]), failed);
    assert_eq!(network.refusal(&good[..good.len() - 1]), failed);
    assert_eq!(network.refusal(&[&good[..], &[0]].concat()), failed);
    let mut long = good.clone();
    long.resize(1_233, 0);
    assert_eq!(network.refusal(&long), failed);
    for byte in [1, 40, 64] {
        let mut forged = good.clone();
        forged[byte] ^= 1;
        assert_eq!(
            network.refusal(&forged),
            "Transaction did not pass signature verification"
        );
    }
    let unsigned = transaction(
        &[transfer(&key(&bob), &key(&alice), SOL)],
        &[&alice],
        blockhash,
    );
    assert_eq!(
        network.refusal(&unsigned),
        "Transaction did not pass signature verification"
    );
    let penniless = transaction(
        &[transfer(&key(&nobody), &key(&alice), SOL)],
        &[&nobody],
        blockhash,
    );
    assert_eq!(
        network.refusal(&penniless),
        "Attempt to debit an account but found no record of a prior credit."
    );
    let twice = transaction(
        &[
            unit_limit(1_000),
            unit_limit(1_000),
            transfer(&key(&alice), &key(&bob), SOL),
        ],
        &[&alice],
        blockhash,
    );
    assert_eq!(
        network.refusal(&twice),
        "Transaction contains a duplicate instruction (1) that is not allowed"
    );
    let many: Vec<_> = (0..64)
        .map(|index| Pubkey::new_from_array([100 + index; 32]))
        .collect();
    let metas = many
        .iter()
        .map(|key| solana_instruction::AccountMeta::new_readonly(*key, false))
        .collect();
    let greedy = solana_instruction::Instruction::new_with_bytes(
        Pubkey::new_from_array([3; 32]),
        &[],
        metas,
    );
    let greedy = transaction(&[greedy], &[&alice], blockhash);
    assert!(greedy.len() > 1_232);
    assert_eq!(network.refusal(&greedy), failed);
    assert_eq!(network.balance(&key(&alice)), 5 * SOL);
}

#[test]
fn flipped_bits_never_stop_a_round() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    let good = transaction(
        &[transfer(&key(&alice), &key(&keypair(11)), SOL)],
        &[&alice],
        network.blockhash(),
    );
    let flipped: Vec<Vec<u8>> = (0..good.len() * 8)
        .step_by(3)
        .map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        })
        .collect();
    let receipts = network.round(&flipped);
    assert!(Network::statuses(&receipts).iter().all(Option::is_none));
    assert_eq!(network.balance(&key(&alice)), 5 * SOL);
}

#[test]
fn malformed_questions_are_refused() {
    let network = Network::new();
    let good = Question::Accounts {
        keys: vec![key(&keypair(1)); 3],
        slice: None,
    }
    .encode();
    let mut lying = good.clone();
    lying[4..12].copy_from_slice(&u64::MAX.to_le_bytes());
    let too_many = Question::Accounts {
        keys: vec![key(&keypair(1)); 1_001],
        slice: None,
    }
    .encode();
    let too_long = vec![0; 200_000];
    let longer = [&good[..], &[0]].concat();
    for bytes in [&[][..], &good[..20], &longer, &lying, &too_many, &too_long] {
        for answer in network.ask_bytes(bytes) {
            let Err(QueryError::Reject(reject)) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(reject.code, CODE_QUESTION, "{reject}");
        }
    }
}

#[test]
fn a_transaction_has_one_encoding() {
    let (alice, bob) = (keypair(10), keypair(11));
    let instructions = [unit_limit(9), transfer(&key(&alice), &key(&bob), SOL)];
    let good = transaction(&instructions, &[&alice], solana_hash::Hash::default());
    assert!(fuzz_transaction(&good));
    let mut random = Random(3);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, random.next() as u8),
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0xff][random.below(6) as usize],
                _ => bytes[at] ^= 1 << random.below(8),
            }
        }
        accepted += u32::from(fuzz_transaction(&bytes));
    }
    assert!((100..19_000).contains(&accepted), "{accepted} accepted");
}
