//! Blocks, statuses and history, before and after restarts.

use trilith_engine_account::query::{Answer, Question};

use super::harness::{Network, SLOT, SOL};
use super::wire::{key, keypair, signature, transaction, transfer};

#[test]
fn blocks_hold_the_rounds_of_their_slot() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    network.pass(3);
    let slot = network.chain().slot;
    let mut sent = Vec::new();
    for person in 20..24 {
        let instruction = transfer(&key(&alice), &key(&keypair(person)), SOL / 10);
        let bytes = transaction(&[instruction], &[&alice], network.blockhash());
        network.send_bytes(&bytes);
        sent.push(signature(&bytes));
        network.elapsed += SLOT / 10;
    }
    assert_eq!(network.chain().slot, slot);
    // The slot has not ended.
    assert_eq!(network.ask(&Question::Block(slot)), Answer::Block(None));
    network.pass(2);
    let Answer::Block(Some((header, transactions))) = network.ask(&Question::Block(slot)) else {
        panic!("no block");
    };
    let found: Vec<_> = transactions.iter().map(|record| record.signature).collect();
    assert_eq!(found, sent);
    let indexes: Vec<_> = transactions.iter().map(|record| record.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert_eq!((header.slot, header.transactions), (slot, 4));
    assert_eq!(header.blockhash, network.blockhash());
    let blocks = Question::Blocks {
        first: 0,
        last: 1_000,
        limit: 100,
    };
    assert_eq!(
        network.ask(&blocks),
        Answer::Slots(vec![1, slot]),
        "slots without rounds have no blocks"
    );
    let Answer::Statuses(statuses) = network.ask(&Question::Statuses {
        signatures: sent.clone(),
    }) else {
        panic!("no statuses");
    };
    assert!(
        statuses
            .iter()
            .all(|status| status.as_ref().is_some_and(|status| status.slot == slot))
    );
    let history = |before, until, limit| {
        let question = Question::Signatures {
            address: key(&alice),
            before,
            until,
            limit,
        };
        match network.ask(&question) {
            Answer::Signatures(entries) => entries
                .into_iter()
                .map(|entry| entry.signature)
                .collect::<Vec<_>>(),
            other => panic!("no history: {other:?}"),
        }
    };
    assert_eq!(history(None, None, 2), [sent[3], sent[2]]);
    assert_eq!(history(Some(sent[2]), None, 1), [sent[1]]);
    assert_eq!(
        history(Some(sent[3]), Some(sent[0]), 10),
        [sent[2], sent[1]]
    );
    let Answer::Rounds(rounds) = network.ask(&Question::Rounds {
        after: 3,
        limit: 10,
    }) else {
        panic!("no rounds");
    };
    let numbers: Vec<_> = rounds.iter().map(|part| part.round).collect();
    assert_eq!(numbers, [4, 5, 6, 7, 8]);
}

#[test]
fn the_clock_follows_agreed_time_and_epochs() {
    let mut network = Network::new();
    let start = network.chain();
    assert_eq!((start.slot, start.epoch), (1, 0));
    network.pass(63);
    let chain = network.chain();
    assert_eq!((chain.slot, chain.epoch, chain.epoch_start), (64, 1, 64));
    let clock = network
        .account(&solana_sdk_ids::sysvar::clock::ID)
        .expect("it exists")
        .data;
    let number = |at: usize| u64::from_le_bytes(clock[at..at + 8].try_into().expect("8 bytes"));
    let seconds = 1_800_000_000 + 63 * 4 / 10;
    assert_eq!((number(0), number(16)), (64, 1));
    assert_eq!((number(8), number(32)), (seconds, seconds));
    let history = network
        .account(&solana_sdk_ids::sysvar::slot_history::ID)
        .expect("it exists")
        .data;
    assert_eq!(history.len(), 131_097);
    assert_eq!(history[9], 0b11, "slots 0 and 1 had rounds");
    network.pass(10);
    let again = network
        .account(&solana_sdk_ids::sysvar::slot_history::ID)
        .expect("it exists")
        .data;
    assert_eq!(again[9 + 8], 1, "slot 64 had a round, 63 had none");
}

#[test]
fn history_ends_after_a_day() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.pass(1_000);
    let faucet = network.faucet();
    let gift = transfer(&key(&faucet), &key(&alice), SOL);
    let bytes = transaction(&[gift], &[&faucet], network.blockhash());
    network.send_bytes(&bytes);
    let slot = network.chain().slot;
    let known = |network: &Network| {
        let signatures = vec![signature(&bytes)];
        let Answer::Statuses(statuses) = network.ask(&Question::Statuses { signatures }) else {
            panic!("no statuses");
        };
        let blocks = Question::Blocks {
            first: slot,
            last: slot,
            limit: 1,
        };
        let mentioned = Question::Signatures {
            address: key(&alice),
            before: None,
            until: None,
            limit: 1,
        };
        (
            statuses[0].is_some(),
            network.record(signature(&bytes)).is_some(),
            network.ask(&blocks) == Answer::Slots(vec![slot]),
            network.ask(&Question::Header(slot)) != Answer::Header(None),
            network.ask(&mentioned) != Answer::Signatures(Vec::new()),
        )
    };
    network.pass(216_000);
    assert_eq!(known(&network), (true, true, true, true, true));
    network.pass(1);
    assert_eq!(known(&network), (false, false, false, false, false));
    assert_eq!(network.chain().first_block, slot + 216_000);
    network.pass(5_000);
    assert_eq!(known(&network), (false, false, false, false, false));
}
