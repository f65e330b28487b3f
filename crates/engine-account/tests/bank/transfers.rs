//! Lamports: transfers, fees, the supply, nonces, order within a batch.

use solana_instruction::error::InstructionError;
use solana_message::{VersionedMessage, v1};
use solana_transaction_error::TransactionError;

use super::harness::{Network, SOL};
use super::wire::{
    advance_nonce, create, initialize_nonce, key, keypair, sign, signature, transaction, transfer,
    unit_limit, unit_price,
};

#[test]
fn a_transfer_moves_lamports_and_pays_its_fee() {
    let mut network = Network::new();
    let before = network.chain();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let record = network.succeed(&[transfer(&key(&alice), &key(&bob), SOL)], &[&alice]);
    assert_eq!(network.balance(&key(&bob)), SOL);
    assert_eq!(network.balance(&key(&alice)), 4 * SOL - 5_000);
    assert_eq!((record.fee, record.units), (5_000, 150));
    assert_eq!(
        record.logs,
        [
            "Program 11111111111111111111111111111111 invoke [1]",
            "Program 11111111111111111111111111111111 success"
        ]
    );
    assert_eq!(record.balances_before, [5 * SOL, 0, 1]);
    assert_eq!(record.balances_after, [4 * SOL - 5_000, SOL, 1]);
    let after = network.chain();
    // Half of the two fees is burnt, half goes to the identity.
    assert_eq!(before.supply - after.supply, 5_000);
    assert_eq!(network.balance(&after.identity), SOL + 5_000);
    assert_eq!(after.transactions, 2);
}

#[test]
pub(crate) fn a_transaction_that_fails_is_charged_and_rolled_back() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), SOL);
    let record = network.send(
        &[
            transfer(&key(&alice), &key(&bob), SOL / 2),
            transfer(&key(&alice), &key(&bob), SOL),
        ],
        &[&alice],
    );
    assert_eq!(
        record.status,
        Err(TransactionError::InstructionError(
            1,
            InstructionError::Custom(1)
        ))
    );
    assert_eq!(network.account(&key(&bob)), None);
    assert_eq!(network.balance(&key(&alice)), SOL - 5_000);
    assert_eq!(record.written, [key(&alice)]);
}

#[test]
fn an_account_without_lamports_vanishes() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), SOL);
    network.succeed(
        &[transfer(&key(&alice), &key(&bob), SOL - 5_000)],
        &[&alice],
    );
    assert_eq!(network.account(&key(&alice)), None);
    assert_eq!(network.balance(&key(&bob)), SOL - 5_000);
}

#[test]
fn transactions_that_conflict_run_in_the_order_of_the_batch() {
    let mut network = Network::new();
    let people: Vec<_> = (10..60).map(keypair).collect();
    network.airdrop(&key(&people[0]), 100 * SOL);
    let blockhash = network.blockhash();
    // Everyone passes on what they got from the one before: each needs the transfer before it.
    let chain: Vec<Vec<u8>> = people
        .windows(2)
        .enumerate()
        .map(|(index, pair)| {
            let lamports = (99 - index as u64) * SOL;
            let instruction = transfer(&key(&pair[0]), &key(&pair[1]), lamports);
            transaction(&[instruction], &[&pair[0]], blockhash)
        })
        .collect();
    let receipts = network.round(&chain);
    let statuses = Network::statuses(&receipts);
    assert!(statuses.iter().all(|status| *status == Some(Ok(()))));
    assert_eq!(network.balance(&key(&people[49])), 51 * SOL);
    // Backwards they cannot: only the first has anything to pay with.
    network.pass(1);
    let blockhash = network.blockhash();
    let poor: Vec<_> = (100..110).map(keypair).collect();
    let mut backwards: Vec<Vec<u8>> = poor
        .windows(2)
        .map(|pair| {
            let instruction = transfer(&key(&pair[0]), &key(&pair[1]), SOL);
            transaction(&[instruction], &[&pair[0]], blockhash)
        })
        .collect();
    backwards.reverse();
    let statuses = Network::statuses(&network.round(&backwards));
    assert!(statuses.iter().all(Option::is_none));
}

#[test]
fn independent_transfers_run_side_by_side() {
    let mut network = Network::new();
    let people: Vec<_> = (10..110).map(keypair).collect();
    let faucet = network.faucet();
    let blockhash = network.blockhash();
    let gifts: Vec<Vec<u8>> = people
        .chunks(10)
        .map(|group| {
            let instructions: Vec<_> = group
                .iter()
                .map(|person| transfer(&key(&faucet), &key(person), SOL))
                .collect();
            transaction(&instructions, &[&faucet], blockhash)
        })
        .collect();
    network.round(&gifts);
    let transfers: Vec<Vec<u8>> = people
        .iter()
        .enumerate()
        .map(|(index, person)| {
            let to = keypair(1_000 + index as u16);
            let instruction = transfer(&key(person), &key(&to), SOL / 2);
            transaction(&[instruction], &[person], blockhash)
        })
        .collect();
    let statuses = Network::statuses(&network.round(&transfers));
    assert!(statuses.iter().all(|status| *status == Some(Ok(()))));
    for index in 0..100 {
        assert_eq!(network.balance(&key(&keypair(1_000 + index))), SOL / 2);
    }
}

/// A round goes through its inputs group by group. These are several groups that all write the same
/// account, with inputs between them that are refused.
#[test]
fn a_long_batch_runs_in_its_order_and_refuses_what_is_wrong() {
    let mut network = Network::new();
    let (alice, bob, poor) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    let blockhash = network.blockhash();
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let (mut expected, mut sent) = (Vec::new(), 0);
    for number in 0..700u64 {
        let (input, status) = match number % 100 {
            33 => (vec![1; number as usize], None),
            // Who pays has nothing.
            55 => {
                let instruction = transfer(&key(&poor), &key(&bob), number);
                (transaction(&[instruction], &[&poor], blockhash), None)
            }
            _ => {
                let instruction = transfer(&key(&alice), &key(&bob), SOL / 1_000 + number);
                sent += SOL / 1_000 + number;
                (
                    transaction(&[instruction], &[&alice], blockhash),
                    Some(Ok(())),
                )
            }
        };
        batch.push(input);
        expected.push(status);
    }
    let statuses = Network::statuses(&network.round(&batch));
    assert_eq!(statuses, expected);
    assert_eq!(network.balance(&key(&bob)), sent);
}

#[test]
fn a_priority_fee_goes_to_the_identity_whole() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let identity = network.chain().identity;
    let before = network.balance(&identity);
    let record = network.succeed(
        &[
            unit_limit(1_000),
            unit_price(2_500_001),
            transfer(&key(&alice), &key(&bob), SOL),
        ],
        &[&alice],
    );
    // 2,500.001 lamports are rounded up.
    assert_eq!(record.fee, 5_000 + 2_501);
    assert_eq!(record.units, 450);
    assert_eq!(network.balance(&identity) - before, 2_500 + 2_501);
}

#[test]
fn a_nonce_outlives_blockhashes_and_serves_once() {
    let mut network = Network::new();
    let (alice, bob, nonce) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    network.succeed(
        &[
            create(
                &key(&alice),
                &key(&nonce),
                SOL / 10,
                80,
                &solana_sdk_ids::system_program::ID,
            ),
            initialize_nonce(&key(&nonce), &key(&alice)),
        ],
        &[&alice, &nonce],
    );
    let data = network.account(&key(&nonce)).expect("it exists").data;
    let value = solana_hash::Hash::new_from_array(data[40..72].try_into().expect("32 bytes"));
    let instructions = [
        advance_nonce(&key(&nonce), &key(&alice)),
        transfer(&key(&alice), &key(&bob), SOL),
    ];
    let bytes = transaction(&instructions, &[&alice], value);
    // In the slot in which it was set it cannot be advanced.
    assert_eq!(network.refusal(&bytes), "Blockhash not found");
    network.pass(400);
    let record = network.send_bytes(&bytes);
    assert_eq!(record.status, Ok(()));
    assert_eq!(network.balance(&key(&bob)), SOL);
    network.pass(1);
    assert_eq!(network.refusal(&bytes), "Blockhash not found");
    // A transaction that fails advances its nonce too.
    let data = network.account(&key(&nonce)).expect("it exists").data;
    let value = solana_hash::Hash::new_from_array(data[40..72].try_into().expect("32 bytes"));
    let instructions = [
        advance_nonce(&key(&nonce), &key(&alice)),
        transfer(&key(&alice), &key(&bob), 100 * SOL),
    ];
    let bytes = transaction(&instructions, &[&alice], value);
    let record = network.send_bytes(&bytes);
    assert!(record.status.is_err());
    let after = network.account(&key(&nonce)).expect("it exists").data;
    assert_ne!(after, data);
    assert!(network.record(signature(&bytes)).is_some());
}

#[test]
fn transactions_of_version_1_name_their_fee_and_limits() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let config = v1::TransactionConfig {
        priority_fee: Some(77),
        compute_unit_limit: Some(450),
        loaded_accounts_data_size_limit: Some(100_000),
        ..v1::TransactionConfig::default()
    };
    let sent = |lamports, config, blockhash| {
        let instruction = transfer(&key(&alice), &key(&bob), lamports);
        let message =
            v1::Message::try_compile_with_config(&key(&alice), &[instruction], blockhash, config);
        sign(VersionedMessage::V1(message.expect("it fits")), &[&alice])
    };
    let blockhash = network.blockhash();
    let bytes = sent(SOL, config, blockhash);
    assert_eq!(bytes[0], 0x81);
    let receipts = network.round(std::slice::from_ref(&bytes));
    assert_eq!(Network::statuses(&receipts), [Some(Ok(()))]);
    assert_eq!(network.balance(&key(&alice)), 4 * SOL - 5_077);
    // Without a limit there is nothing to run on.
    let bytes = sent(SOL, v1::TransactionConfig::default(), blockhash);
    let receipts = network.round(&[bytes]);
    let status = Network::statuses(&receipts)
        .remove(0)
        .expect("it was charged");
    assert!(status.is_err());
    assert_eq!(network.balance(&key(&bob)), SOL);
}
