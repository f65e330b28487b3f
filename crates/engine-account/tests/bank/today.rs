//! Today's rules of access, checked after every transaction of every test, from nothing but what
//! was recorded and the accounts before and after.
//!
//! Rules: an account changes only if the message lets it be written, and, but for lamports it is
//! given, only if its owner was invoked; balances are those that were recorded; lamports are
//! conserved; a transaction that failed leaves no more than its fee and its nonce; no account
//! becomes liable to rent; sizes and the executable flag keep their bounds.

use std::collections::HashSet;

use solana_account::Account;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, incinerator, system_program,
};
use solana_transaction::versioned::VersionedTransaction;
use trilith_engine_account::record::TransactionRecord;

use super::harness::{Network, SOL};
use super::wire::{TOKEN, create, initialize_mint, key, keypair, transfer};

const DATA_BYTES_MAX: usize = 10 * 1024 * 1024;
const GROWTH_BYTES_MAX: usize = 20 * 1024 * 1024;
const LAMPORTS_PER_BYTE: u64 = 5_080;
const NONCE_BYTES: usize = 80;

/// One account of the transaction.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Pubkey,
    pub(crate) before: Option<Account>,
    pub(crate) after: Option<Account>,
}

/// The rule that was broken, and by which account.
pub(crate) type Breach = String;

/// Fails with what the rule says unless it holds.
fn require(holds: bool, rule: &str, key: &Pubkey) -> Result<(), Breach> {
    if holds {
        Ok(())
    } else {
        Err(format!("{key} {rule}"))
    }
}

/// Checks what a transaction did to its accounts. The identity gets the fee after it.
///
/// # Errors
/// The first breach.
pub(crate) fn check(
    record: &TransactionRecord,
    pairs: &[Pair],
    identity: &Pubkey,
) -> Result<(), Breach> {
    let decoded: VersionedTransaction =
        wincode::deserialize(&record.transaction).expect("it was executed");
    let invoked = invoked(record, &decoded.message);
    balances(record, pairs, identity)?;
    let mut grown = 0;
    for (index, pair) in pairs.iter().enumerate() {
        if pair.before == pair.after || pair.key == *identity {
            continue;
        }
        let is_static = index < usize::from(record.static_keys);
        let writable = if is_static {
            decoded
                .message
                .is_maybe_writable_with_reserved_addresses(index, None::<&HashSet<Pubkey>>)
        } else {
            record.loaded_writable_keys().contains(&pair.key)
        };
        require(writable, "was read-only", &pair.key)?;
        let written = record.written.contains(&pair.key);
        require(written, "is not recorded as written", &pair.key)?;
        if record.status.is_err() {
            rolled_back(pair, if index == 0 { record.fee } else { 0 })?;
        }
        grown += changed(pair, &invoked, if index == 0 { record.fee } else { 0 })?;
    }
    require(
        grown <= GROWTH_BYTES_MAX,
        "and others grew too much",
        &pairs[0].key,
    )
}

/// Whether balances are those of the record, and keep their sum but for the fee.
fn balances(record: &TransactionRecord, pairs: &[Pair], identity: &Pubkey) -> Result<(), Breach> {
    let lamports = |account: &Option<Account>| account.as_ref().map_or(0, |one| one.lamports);
    let recorded = record.balances_before.iter().zip(&record.balances_after);
    for (pair, (before, after)) in pairs.iter().zip(recorded) {
        let is_recorded = lamports(&pair.before) == *before
            && (pair.key == *identity || lamports(&pair.after) == *after);
        require(
            is_recorded,
            "has another balance than was recorded",
            &pair.key,
        )?;
    }
    let sum = |balances: &[u64]| balances.iter().map(|one| u128::from(*one)).sum::<u128>();
    let conserved =
        sum(&record.balances_before) == sum(&record.balances_after) + u128::from(record.fee);
    require(
        conserved,
        "and others do not conserve lamports",
        &pairs[0].key,
    )
}

/// Programs that ran, by the record.
fn invoked(record: &TransactionRecord, message: &VersionedMessage) -> Vec<Pubkey> {
    let top = message
        .instructions()
        .iter()
        .map(|instruction| instruction.program_id_index);
    let inner = record
        .inner
        .iter()
        .flat_map(|inner| inner.instructions.iter().map(|call| call.program));
    top.chain(inner)
        .map(|index| record.keys[usize::from(index)])
        .collect()
}

/// Whether an account after a transaction that failed is as it may be: the payer without the fee, a
/// nonce with another value.
fn rolled_back(pair: &Pair, fee: u64) -> Result<(), Breach> {
    let (Some(before), after) = (&pair.before, &pair.after) else {
        return require(false, "was made and not rolled back", &pair.key);
    };
    let mut expected = before.clone();
    expected.lamports -= fee.min(expected.lamports);
    // The rent epoch of a payer is set to that of exempt accounts.
    let Some(after) = after else {
        return require(
            expected.lamports == 0,
            "vanished and was not rolled back",
            &pair.key,
        );
    };
    expected.rent_epoch = after.rent_epoch;
    let is_nonce = before.owner == system_program::ID && before.data.len() == NONCE_BYTES;
    if is_nonce && after.data.len() == NONCE_BYTES {
        // The value: 32 bytes behind version, state and authority.
        expected.data[40..72].copy_from_slice(&after.data[40..72]);
    }
    require(expected == *after, "was not rolled back", &pair.key)
}

/// Checks one change and gives the bytes by which the account grew.
fn changed(pair: &Pair, invoked: &[Pubkey], fee: u64) -> Result<usize, Breach> {
    let key = &pair.key;
    let nothing = Account {
        owner: system_program::ID,
        ..Account::default()
    };
    let before = pair.before.as_ref().unwrap_or(&nothing);
    let Some(after) = &pair.after else {
        let by_owner = invoked.contains(&before.owner) || before.lamports == fee;
        require(by_owner, "vanished without its owner", key)?;
        return Ok(0);
    };
    let by_owner = before.owner != after.owner
        || before.data != after.data
        || before.lamports > after.lamports.saturating_add(fee);
    let may = !by_owner || invoked.contains(&before.owner);
    require(may, "was changed without its owner", key)?;
    let loaders = [
        bpf_loader::ID,
        bpf_loader_deprecated::ID,
        bpf_loader_upgradeable::ID,
    ];
    let by_loader = loaders.contains(&after.owner) && invoked.contains(&after.owner);
    let same = before.executable == after.executable;
    require(
        same || by_loader,
        "became a program, or ceased to be one, by itself",
        key,
    )?;
    let sound = after.lamports > 0 && after.data.len() <= DATA_BYTES_MAX;
    require(sound, "is empty or too large", key)?;
    let exempt = |account: &Account| {
        let bytes = 128 + account.data.len() as u64;
        account.lamports >= bytes * LAMPORTS_PER_BYTE || account.lamports == 0
    };
    let stays = !exempt(before)
        && before.data.len() == after.data.len()
        && before.lamports >= after.lamports;
    let exempt = exempt(after) || stays || *key == incinerator::ID;
    require(exempt, "became liable to rent", key)?;
    Ok(after.data.len().saturating_sub(before.data.len()))
}

/// A transfer and the making of a mint, with what they did, and a transfer that failed.
fn deeds() -> [(TransactionRecord, Vec<Pair>); 2] {
    let mut network = Network::new();
    let (alice, bob, mint) = (keypair(10), keypair(11), keypair(12));
    network.airdrop(&key(&alice), 5 * SOL);
    let good = [
        transfer(&key(&alice), &key(&bob), SOL),
        create(&key(&alice), &key(&mint), SOL / 100, 82, &TOKEN),
        initialize_mint(&key(&mint), &key(&bob)),
    ];
    let bad = [
        transfer(&key(&alice), &key(&bob), SOL),
        transfer(&key(&alice), &key(&bob), 9 * SOL),
    ];
    let mut deed = |instructions: &[solana_instruction::Instruction]| {
        let keys = [key(&alice), key(&mint), key(&bob), TOKEN];
        let before: Vec<_> = keys.iter().map(|key| network.raw(key)).collect();
        let record = network.send(instructions, &[&alice, &mint]);
        let pairs = record
            .keys
            .iter()
            .map(|key| Pair {
                key: *key,
                before: match keys.iter().position(|known| known == key) {
                    Some(position) => before[position].clone(),
                    None => network.raw(key),
                },
                after: network.raw(key),
            })
            .collect();
        (record, pairs)
    };
    [deed(&good), deed(&bad)]
}

/// The checker catches every state that breaks a rule.
#[test]
fn a_wrong_state_is_told() {
    let identity = Pubkey::new_from_array([1; 32]);
    let [(good, pairs), (bad, failed)] = deeds();
    assert!(good.status.is_ok() && bad.status.is_err());
    assert_eq!(check(&good, &pairs, &identity), Ok(()));
    assert_eq!(check(&bad, &failed, &identity), Ok(()));
    let (alice, bob, mint) = (key(&keypair(10)), key(&keypair(11)), key(&keypair(12)));
    type Wrong = (&'static str, Pubkey, fn(&mut Account));
    let wrong: [Wrong; 8] = [
        ("has another balance", bob, |account| account.lamports += 1),
        ("has another balance", alice, |account| {
            account.lamports -= 1
        }),
        ("was changed without its owner", bob, |account| {
            account.owner = TOKEN
        }),
        ("became a program", mint, |account| {
            account.executable = true
        }),
        ("is empty or too large", mint, |account| {
            account.data = vec![0; DATA_BYTES_MAX + 1]
        }),
        ("became liable to rent", mint, |account| {
            account.data = vec![0; 100_000]
        }),
        ("was read-only", TOKEN, |account| account.data[0] ^= 1),
        ("was read-only", TOKEN, |account| account.executable = false),
    ];
    for (rule, of, damage) in wrong {
        let mut good = good.clone();
        let mut pairs = pairs.clone();
        let pair = pairs
            .iter_mut()
            .find(|pair| pair.key == of)
            .expect("it is named");
        damage(pair.after.as_mut().expect("it exists"));
        if rule == "was changed without its owner" {
            // The system program was invoked; another owner was not.
            pair.before = Some(Account {
                owner: identity,
                ..pair.after.clone().expect("it exists")
            });
            good.balances_before = pairs
                .iter()
                .map(|pair| pair.before.as_ref().map_or(0, |account| account.lamports))
                .collect();
            let others: u64 = good.balances_before[1..].iter().sum();
            good.balances_before[0] = good.balances_after.iter().sum::<u64>() + good.fee - others;
            pairs[0].before.as_mut().expect("it exists").lamports = good.balances_before[0];
        }
        let told = check(&good, &pairs, &identity).expect_err(rule);
        assert!(told.contains(rule), "{rule}: {told}");
    }
    lamports_from_nowhere(&good, &pairs, &identity);
    let mut kept = failed.clone();
    let pair = kept
        .iter_mut()
        .find(|pair| pair.key == alice)
        .expect("it is named");
    pair.after.as_mut().expect("it exists").data = vec![1];
    let told = check(&bad, &kept, &identity).expect_err("it was not rolled back");
    assert!(told.contains("was not rolled back"), "{told}");
    let mut silent = good.clone();
    silent.written.retain(|written| *written != bob);
    let told = check(&silent, &pairs, &identity).expect_err("it is not recorded");
    assert!(told.contains("is not recorded as written"), "{told}");
    let mut short = good.clone();
    short.fee += 1;
    let told = check(&short, &pairs, &identity).expect_err("a lamport vanished");
    assert!(told.contains("do not conserve"), "{told}");
}

/// A lamport too many, in the account and in the record.
fn lamports_from_nowhere(good: &TransactionRecord, pairs: &[Pair], identity: &Pubkey) {
    let (mut good, mut pairs) = (good.clone(), pairs.to_vec());
    let bob = key(&keypair(11));
    let index = pairs
        .iter()
        .position(|pair| pair.key == bob)
        .expect("it is named");
    pairs[index].after.as_mut().expect("it exists").lamports += 1;
    good.balances_after[index] += 1;
    let told = check(&good, &pairs, identity).expect_err("a lamport came from nowhere");
    assert!(told.contains("do not conserve"), "{told}");
}

/// The witness of a batch compares where the batch led to with where its transactions lead.
#[test]
#[should_panic(expected = "after the transactions one by one and as a batch")]
fn a_batch_that_led_elsewhere_is_told() {
    let mut network = Network::new();
    let alice = key(&keypair(10));
    network.airdrop(&alice, 5 * SOL);
    network.is_lying = true;
    network.airdrop(&alice, SOL);
}
