//! However transactions are cut into batches, they come to the same.

use solana_hash::Hash;
use trilith_engine_account::Profile;
use trilith_engine_account::query::{Answer, Question};

use super::harness::{Network, SLOT, SOL};
use super::random::{Source, prepared};
use super::wire::{Random, key, keypair, signature, transaction, transfer};

/// Transfers between a few people, many of whom cannot pay when their turn comes.
fn transfers(blockhash: Hash) -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut below = |limit: u64| random.below(limit);
    (0..120)
        .map(|index| {
            let (from, to) = (below(12) as u16, below(12) as u16);
            let lamports = below(SOL) + index;
            let instruction =
                transfer(&key(&keypair(from + 20)), &key(&keypair(to + 20)), lamports);
            transaction(&[instruction], &[&keypair(from + 20)], blockhash)
        })
        .collect()
}

#[test]
fn batches_may_be_cut_anywhere() {
    let run = |sizes: &[usize]| {
        let mut network = Network::new();
        for person in 20..24 {
            network.airdrop(&key(&keypair(person)), 3 * SOL);
        }
        network.pass(1);
        let mut rest = transfers(network.blockhash());
        let all = rest.clone();
        for size in sizes.iter().cycle() {
            let next = rest.split_off((*size).min(rest.len()));
            network.round(&rest);
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        let results: Vec<_> = all
            .iter()
            .map(|bytes| {
                let record = network.record(signature(bytes));
                record.map(|record| (record.index, record.status, record.balances_after))
            })
            .collect();
        let people: Vec<u64> = (20..32)
            .map(|seed| network.balance(&key(&keypair(seed))))
            .collect();
        let supply = network.chain().supply;
        (results, people, supply)
    };
    let whole = run(&[1_000]);
    let charged = whole.0.iter().flatten();
    let failed = charged.clone().filter(|(_, status, _)| status.is_err());
    assert!(failed.count() > 3 && charged.count() < 120);
    assert_eq!(whole, run(&[1]));
    assert_eq!(whole, run(&[7, 31, 2]));
}

/// The harness compares roots, receipts and answers of a replica with one thread and of one with
/// three that is restarted before every round.
#[test]
fn random_transactions_come_to_the_same_on_any_replica() {
    random_transactions(Profile::Today);
}

#[test]
fn random_transactions_come_to_the_same_under_the_classic_rules() {
    random_transactions(Profile::Classic);
}

/// With one transaction a round, the harness checks today's rules of access after each.
#[test]
fn random_transactions_keep_todays_rules() {
    let mut network = prepared(Profile::Today);
    let mut source = Source(Random(12));
    let mut charged = 0;
    for _ in 0..150 {
        let bytes = source.transaction(network.blockhash());
        let receipts = network.round(&[bytes]);
        charged += Network::statuses(&receipts).iter().flatten().count();
        network.elapsed += SLOT / 2;
    }
    assert!(charged > 80, "{charged}");
}

fn random_transactions(profile: Profile) {
    let mut network = prepared(profile);
    let mut source = Source(Random(11));
    let mut tally = [0; 3];
    for round in 0..12 {
        let blockhash = network.blockhash();
        let batch: Vec<Vec<u8>> = (0..60).map(|_| source.transaction(blockhash)).collect();
        for status in Network::statuses(&network.round(&batch)) {
            let kind = status.map_or(0, |status| 1 + usize::from(status.is_ok()));
            tally[kind] += 1;
        }
        network.elapsed += round % 3 * SLOT / 2;
    }
    assert!(tally.iter().all(|count| *count > 40), "{tally:?}");
}

#[test]
fn the_largest_accounts_are_found() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 9_000_000 * SOL);
    network.airdrop(&key(&bob), 8_000_000 * SOL);
    network.succeed(
        &[transfer(&key(&alice), &key(&bob), 5_000_000 * SOL)],
        &[&alice],
    );
    let Answer::Balances(largest) = network.ask(&Question::Largest) else {
        panic!("not balances");
    };
    let keys: Vec<_> = largest.iter().take(3).map(|(key, _)| *key).collect();
    assert_eq!(keys, [key(&network.faucet()), key(&bob), key(&alice)]);
    assert_eq!(largest.len(), 20);
}
