//! Transactions and lookup tables that are damaged or lie, and real program files with flipped bits.
//! Whatever a round is given, it ends, nobody is debited who did not sign, and the next transaction
//! goes through. The harness holds two replicas and the rules of today against every round.

use solana_account::Account;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::v0::{self, MessageAddressTableLookup};
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{address_lookup_table, system_program};
use solana_transaction::versioned::VersionedTransaction;
use trilith_engine_account::Profile;
use trilith_protocol::ReceiptStatus;

use super::actor::{PROFILES, program};
use super::harness::{self, Network, SLOT, SOL};
use super::wire::{ASSOCIATED, Random, key, keypair, sign, transaction, transfer};

const TABLE: Pubkey = Pubkey::new_from_array([0x71; 32]);
const FRIENDS: u8 = 4;

fn friend(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x31 + number; 32])
}

/// The data of a table in force from the beginning, of nobody.
fn table() -> Vec<u8> {
    let mut data = 1u32.to_le_bytes().to_vec();
    data.extend(u64::MAX.to_le_bytes());
    data.resize(56, 0);
    (0..FRIENDS).for_each(|number| data.extend(friend(number).as_ref()));
    data
}

/// A network with tables, and Alice (key 10) with 5 SOL.
fn network(tables: Vec<(Pubkey, Vec<u8>)>) -> Network {
    let mut genesis = harness::genesis();
    let tables = tables.into_iter().map(|(key, data)| {
        let account = Account {
            lamports: SOL,
            data,
            owner: address_lookup_table::ID,
            ..Account::default()
        };
        (key, account)
    });
    genesis.accounts.extend(tables);
    let mut network = Network::with(genesis);
    network.airdrop(&key(&keypair(10)), 5 * SOL);
    network.pass(1);
    network
}

/// A gift of Alice's to two friends of a table.
fn looked_up(table: Pubkey, blockhash: Hash) -> v0::Message {
    let tables = [AddressLookupTableAccount {
        key: table,
        addresses: (0..FRIENDS).map(friend).collect(),
    }];
    let alice = key(&keypair(10));
    let gifts = [0, 1].map(|number| transfer(&alice, &friend(number), SOL / 100));
    v0::Message::try_compile(&alice, &gifts, &tables, blockhash).expect("it fits")
}

/// Transactions of both versions, good ones.
fn good(network: &Network) -> [Vec<u8>; 2] {
    let alice = keypair(10);
    let gift = transfer(&key(&alice), &key(&keypair(11)), SOL / 100);
    let blockhash = network.blockhash();
    let looked_up = VersionedMessage::V0(looked_up(TABLE, blockhash));
    [
        transaction(&[gift], &[&alice], blockhash),
        sign(looked_up, &[&alice]),
    ]
}

#[test]
fn what_is_cut_off_prolonged_or_flipped_is_refused() {
    let mut network = network(vec![(TABLE, table())]);
    let before = network.balance(&key(&keypair(10)));
    for good in good(&network) {
        let cut = (0..good.len()).map(|len| good[..len].to_vec());
        let longer = [1, 2, 400, 1_232 - good.len(), 2_000, 100_000];
        let longer = longer.map(|more| [&good[..], &vec![0; more]].concat());
        let flipped = (0..good.len() * 8).map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let batch: Vec<Vec<u8>> = cut.chain(longer).chain(flipped).collect();
        let receipts = network.round(&batch);
        assert_eq!(receipts.len(), batch.len());
        let accepted = receipts
            .iter()
            .position(|receipt| receipt.status == ReceiptStatus::Accepted);
        assert_eq!(accepted, None);
        assert_eq!(network.balance(&key(&keypair(10))), before);
    }
    for good in good(&network) {
        assert_eq!(network.send_bytes(&good).status, Ok(()));
    }
}

/// Damage under a true signature: Alice may be charged, and nobody else.
#[test]
fn damaged_messages_that_are_signed_harm_their_signer_only() {
    let mut network = network(vec![(TABLE, table())]);
    let (alice, bob) = (keypair(10), key(&keypair(11)));
    network.airdrop(&bob, SOL);
    let mut random = Random(5);
    let mut tally = [0; 3];
    for _ in 0..4 {
        let mut batch = Vec::new();
        for good in good(&network) {
            // One signature of 64 bytes stands before the message.
            for _ in 0..150 {
                let mut bytes = good[65..].to_vec();
                for _ in 0..=random.below(3) {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = match random.below(3) {
                        0 => [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6) as usize],
                        _ => bytes[at] ^ 1 << random.below(8),
                    };
                }
                let whole = [&good[..65], &bytes].concat();
                let decoded: Result<VersionedTransaction, _> = wincode::deserialize(&whole);
                batch.push(match decoded {
                    Ok(decoded) => sign(decoded.message, &[&alice]),
                    Err(_) => whole,
                });
            }
        }
        batch.sort();
        batch.dedup();
        let had = network.balance(&bob);
        let receipts = network.round(&batch);
        for status in Network::statuses(&receipts) {
            tally[status.map_or(0, |status| 1 + usize::from(status.is_ok()))] += 1;
        }
        assert!(network.balance(&bob) >= had, "Bob signed nothing");
        network.elapsed += SLOT;
    }
    assert!(tally.iter().all(|count| *count > 20), "{tally:?}");
    // Much of what she signed was good, and gave away what she had.
    network.airdrop(&key(&alice), SOL);
    for good in good(&network) {
        assert_eq!(network.send_bytes(&good).status, Ok(()));
    }
}

#[test]
fn lookups_that_lie_are_refused() {
    let mut network = network(vec![(TABLE, table())]);
    let alice = keypair(10);
    let blockhash = network.blockhash();
    let lookup = |writable: &[u8], readonly: &[u8]| MessageAddressTableLookup {
        account_key: TABLE,
        writable_indexes: writable.to_vec(),
        readonly_indexes: readonly.to_vec(),
    };
    let all: Vec<u8> = (0..=255).collect();
    let index = "Transaction address table lookup uses an invalid index";
    let twice = "Account loaded twice";
    let failed = "Transaction failed to sanitize accounts offsets correctly";
    for (lookups, message) in [
        (vec![lookup(&[0, FRIENDS], &[])], index),
        (vec![lookup(&[0, 255], &[])], index),
        (vec![lookup(&[0, 1], &[FRIENDS])], index),
        (vec![lookup(&[0, 0], &[])], twice),
        (vec![lookup(&[0, 1], &[1])], twice),
        (vec![lookup(&[0, 1], &[]), lookup(&[], &[0])], twice),
        (vec![lookup(&[0, 1], &[]), lookup(&[], &[])], failed),
        (vec![lookup(&[0], &[])], failed),
        (vec![], failed),
        (vec![lookup(&all[..128], &all[128..])], failed),
    ] {
        let mut lying = looked_up(TABLE, blockhash);
        lying.address_table_lookups = lookups.clone();
        let bytes = sign(VersionedMessage::V0(lying), &[&alice]);
        assert_eq!(network.refusal(&bytes), message, "{lookups:?}");
    }
    // A friend who is named by the message itself too.
    let mut named = looked_up(TABLE, blockhash);
    named.account_keys.push(friend(0));
    named.header.num_readonly_unsigned_accounts += 1;
    named.instructions.iter_mut().for_each(|instruction| {
        let shifted = instruction.accounts.iter_mut().filter(|index| **index > 1);
        shifted.for_each(|index| *index += 1);
    });
    let bytes = sign(VersionedMessage::V0(named), &[&alice]);
    assert_eq!(network.refusal(&bytes), twice);
    // A lookup cannot sign, pay or be called.
    let mut called = looked_up(TABLE, blockhash);
    called.instructions[0].program_id_index = 2;
    let bytes = sign(VersionedMessage::V0(called), &[&alice]);
    assert_eq!(network.refusal(&bytes), failed);
}

/// Tables whose bytes are damaged in all ways: used or refused, and nothing else.
#[test]
fn damaged_tables_are_used_or_refused() {
    let good = table();
    let mut tables: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    tables.extend((0..56 * 8).map(|bit| {
        let mut data = good.clone();
        data[bit / 8] ^= 1 << (bit % 8);
        data
    }));
    let at = |index: usize| {
        let mut key = [0x72; 32];
        key[..2].copy_from_slice(&(index as u16).to_le_bytes());
        Pubkey::new_from_array(key)
    };
    let keyed = tables.iter().enumerate();
    let mut network = network(
        keyed
            .map(|(index, data)| (at(index), data.clone()))
            .collect(),
    );
    let blockhash = network.blockhash();
    let batch: Vec<Vec<u8>> = (0..tables.len())
        .map(|index| {
            let message = VersionedMessage::V0(looked_up(at(index), blockhash));
            sign(message, &[&keypair(10)])
        })
        .collect();
    let receipts = network.round(&batch);
    let mut tally = [0; 3];
    for (receipt, data) in receipts.iter().zip(&tables) {
        let kind = match &receipt.status {
            ReceiptStatus::Accepted => 0,
            ReceiptStatus::Rejected { message, .. } if message.contains("index") => 1,
            ReceiptStatus::Rejected { message, .. } => {
                assert!(message.contains("table"), "{message}");
                2
            }
        };
        tally[kind] += 1;
        let is_whole = data.len() >= 56 && data.len().is_multiple_of(32);
        assert!(
            kind != 0 || is_whole || data.len() % 32 == 24,
            "{} bytes",
            data.len()
        );
    }
    assert!(tally.iter().all(|count| *count > 0), "{tally:?}");
}

/// Programs that others wrote, with flipped bits, called with random data.
#[test]
fn real_programs_with_flipped_bits_do_no_harm() {
    let memo = Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");
    let rent = solana_rent::Rent::default();
    let files: Vec<Vec<u8>> = [memo, ASSOCIATED]
        .iter()
        .map(|id| {
            let accounts = solana_program_binaries::by_id(id, &rent).expect("it is there");
            let (_, account) = accounts.last().expect("one at least");
            let data = solana_account::ReadableAccount::data(account);
            let start = data.windows(4).position(|bytes| bytes == b"\x7fELF");
            data[start.expect("a file")..].to_vec()
        })
        .collect();
    let mut random = Random(6);
    let mut further = Vec::new();
    for index in 0..60u8 {
        let mut flipped = files[usize::from(index) % files.len()].clone();
        for _ in 0..=random.below(6) {
            let len = flipped.len() as u64;
            // The head, the tables at the end, and the code.
            let at = match random.below(3) {
                0 => random.below(300),
                1 => len - 1 - random.below(2_000),
                _ => random.below(len),
            };
            flipped[at as usize] ^= 1 << random.below(8);
        }
        let mut key = [0xd4; 32];
        key[1] = index;
        further.push((Pubkey::new_from_array(key), program(flipped)));
    }
    for profile in PROFILES {
        let mut genesis = harness::genesis();
        genesis.profile = profile;
        genesis.accounts = further.clone();
        let mut network = Network::with(genesis);
        let (alice, bob) = (keypair(10), key(&keypair(11)));
        network.airdrop(&key(&alice), 5 * SOL);
        network.airdrop(&bob, SOL);
        let blockhash = network.blockhash();
        let batch: Vec<Vec<u8>> = further
            .iter()
            .map(|(program, _)| {
                let data = random.next().to_le_bytes();
                let accounts = [key(&alice), bob, system_program::ID]
                    .map(|key| solana_instruction::AccountMeta::new(key, false));
                let call = Instruction::new_with_bytes(*program, &data, accounts.to_vec());
                transaction(&[call], &[&alice], blockhash)
            })
            .collect();
        let receipts = network.round(&batch);
        let charged = Network::statuses(&receipts).iter().flatten().count();
        assert_eq!(charged, batch.len());
        assert_eq!(network.balance(&bob), SOL);
        let fees = if profile == Profile::Today { 5_000 } else { 0 };
        let paid = 5 * SOL - network.balance(&key(&alice));
        assert!(paid >= fees * batch.len() as u64, "{paid}");
        network.succeed(&[transfer(&key(&alice), &bob, SOL / 100)], &[&alice]);
    }
}
