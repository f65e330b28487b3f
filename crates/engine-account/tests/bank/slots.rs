//! What a slot takes. One of the two replicas restarts before every round, so that what it
//! remembers of the slot is read from the records.

use ed25519_dalek::SigningKey;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use trilith_engine_account::Profile;
use trilith_protocol::{Receipt, ReceiptStatus};

use super::harness::{Network, SOL, genesis};
use super::wire::{create, key, keypair, signature, transaction, transfer, unit_limit};

const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Work of one signature and one lock.
const HEAD: u64 = 720 + 300;
/// The most units a transaction may ask for.
const ASKED: u64 = 1_400_000;

/// A long memo that asks for as much as it may; it uses far less.
fn talk(index: usize, by: &SigningKey, blockhash: Hash) -> Vec<u8> {
    let mut text = vec![b'x'; 1_000];
    text[..5].copy_from_slice(format!("{index:05}").as_bytes());
    let instruction = Instruction::new_with_bytes(MEMO, &text, Vec::new());
    transaction(&[unit_limit(1_400_000), instruction], &[by], blockhash)
}

/// How many of the receipts tell of a charge before the first that does not; all others give the
/// reason.
fn charged(receipts: &[Receipt], reason: &str) -> u64 {
    let count = receipts
        .iter()
        .take_while(|receipt| receipt.status == ReceiptStatus::Accepted)
        .count();
    for receipt in &receipts[count..] {
        let ReceiptStatus::Rejected { message, .. } = &receipt.status else {
            panic!("there was no room for it");
        };
        assert_eq!(message, reason);
    }
    count as u64
}

#[test]
pub(crate) fn a_slot_holds_only_so_much_work() {
    let mut network = Network::new();
    let payers: Vec<SigningKey> = (10..20).map(keypair).collect();
    for payer in &payers {
        network.airdrop(&key(payer), 5 * SOL);
    }
    network.pass(1);
    let blockhash = network.blockhash();
    let batch: Vec<Vec<u8>> = (0..300)
        .map(|index| talk(index, &payers[index % 10], blockhash))
        .collect();
    let receipts = network.round(&batch);
    let charged = charged(&receipts, "Transaction would exceed max Block Cost Limit");
    // What each asks for must fit; what it does not use is left to the next.
    let record = network.record(signature(&batch[0]));
    let work = record.expect("it was charged").units + HEAD;
    let limit = 100_000_000;
    assert!((charged - 1) * work + ASKED + HEAD <= limit);
    assert!(charged * work + ASKED + HEAD > limit);
    // The same slot stays full; the next one has room.
    let refused = batch[charged as usize].clone();
    network.refusal(&refused);
    network.pass(1);
    let record = network.send_bytes(&refused);
    assert_eq!(record.status, Ok(()));
}

#[test]
pub(crate) fn an_account_is_written_only_so_much_in_a_slot_of_many_rounds() {
    const REASON: &str = "Transaction would exceed max account limit within the block";
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    network.airdrop(&key(&bob), 5 * SOL);
    network.pass(1);
    let blockhash = network.blockhash();
    let batch: Vec<Vec<u8>> = (0..100)
        .map(|index| talk(index, &alice, blockhash))
        .collect();
    let work = |network: &Network| {
        let record = network.record(signature(&batch[0]));
        let record = record.expect("it was charged");
        assert_eq!(record.work, record.units + HEAD);
        record.work
    };
    let mut done = 0;
    // The first rounds of the slot are full of room, the last is not.
    for part in batch.chunks(15) {
        let receipts = network.round(part);
        let count = charged(&receipts, REASON);
        done += count;
        if count < part.len() as u64 {
            break;
        }
    }
    let work = work(&network);
    assert!(done > 15 && done < 100, "{done}");
    assert!((done - 1) * work + ASKED + HEAD <= 24_000_000);
    assert!(done * work + ASKED + HEAD > 24_000_000);
    assert_eq!(network.refusal(&batch[99]), REASON);
    // Others are not held up, and the next slot takes it.
    let other = network.send_bytes(&talk(200, &bob, blockhash));
    assert_eq!(other.status, Ok(()));
    network.pass(1);
    let record = network.send_bytes(&batch[99]);
    assert_eq!(record.status, Ok(()));
}

#[test]
pub(crate) fn a_slot_allocates_only_so_much_data() {
    const LARGEST: u64 = 10 * 1024 * 1024;
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    network.pass(1);
    let blockhash = network.blockhash();
    let ask = |seed: u16, space: u64| {
        let new = keypair(seed);
        // The payer has too little for it, but it is asked for.
        let create = create(
            &key(&alice),
            &key(&new),
            100 * SOL,
            space,
            &solana_sdk_ids::system_program::ID,
        );
        transaction(&[create], &[&alice, &new], blockhash)
    };
    let mut batch: Vec<Vec<u8>> = vec![ask(99, LARGEST + 1)];
    batch.extend((100..110).map(|seed| ask(seed, LARGEST)));
    let receipts = network.round(&batch);
    // More than an account may have is not counted: nine times the largest fit into 100 MB.
    let reason = "Transaction would exceed account data limit within the block";
    assert_eq!(charged(&receipts, reason), 1 + 9);
    // One that asks for nothing still fits.
    let memo = network.send_bytes(&talk(1, &alice, blockhash));
    assert_eq!(memo.status, Ok(()));
    assert_eq!(network.refusal(&batch[10]), reason);
    network.pass(1);
    assert!(network.send_bytes(&batch[10]).status.is_err());
}

/// More inputs than go through the steps of a round together: what follows is checked and run on
/// what came before, wherever the round is cut.
#[test]
fn a_long_batch_is_run_as_one() {
    let mut genesis = genesis();
    genesis.profile = Profile::Classic;
    let mut network = Network::with(genesis);
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    network.airdrop(&key(&bob), SOL);
    network.pass(1);
    let blockhash = network.blockhash();
    let pay = |lamports: u64| {
        let transfer = transfer(&key(&alice), &key(&bob), lamports);
        transaction(&[transfer], &[&alice], blockhash)
    };
    let count = 1_100u64;
    let batch: Vec<Vec<u8>> = (1..=count).map(pay).collect();
    let receipts = network.round(&batch);
    let statuses = Network::statuses(&receipts);
    assert!(statuses.iter().all(|status| *status == Some(Ok(()))));
    let sum = count * (count + 1) / 2;
    assert_eq!(network.balance(&key(&bob)), SOL + sum);
    assert_eq!(network.balance(&key(&alice)), 5 * SOL - sum - count * 5_000);
    let last = network.record(signature(&batch[1_099])).expect("charged");
    assert_eq!(u64::from(last.index), count - 1);
    assert_eq!(last.balances_after[1], SOL + sum);
    // What was charged before the cut and after it is known.
    for index in [0, 1_099] {
        let reason = network.refusal(&batch[index]);
        assert_eq!(reason, "This transaction has already been processed");
    }
}
