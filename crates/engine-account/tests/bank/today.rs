//! Today's rules of access, checked after every transaction that had a round to itself, from
//! nothing but what was recorded and the accounts before and after.
//!
//! Rules: an account changes only if the message lets it be written, and, but for lamports it is
//! given, only if its owner was invoked; lamports are conserved; no account becomes liable to
//! rent; sizes and the executable flag keep their bounds.

use std::collections::HashSet;

use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, incinerator, system_program,
};
use solana_transaction::versioned::VersionedTransaction;
use trilith_engine_account::query::Account;
use trilith_engine_account::record::TransactionRecord;

const DATA_BYTES_MAX: u64 = 10 * 1024 * 1024;
const GROWTH_BYTES_MAX: u64 = 20 * 1024 * 1024;
const LAMPORTS_PER_BYTE: u64 = 5_080;

/// One account of the transaction.
pub(crate) struct Pair {
    pub(crate) key: Pubkey,
    pub(crate) before: Option<Account>,
    pub(crate) after: Option<Account>,
}

pub(crate) fn check(record: &TransactionRecord, pairs: &[Pair], identity: &Pubkey) {
    let decoded: VersionedTransaction =
        wincode::deserialize(&record.transaction).expect("it was executed");
    let invoked = invoked(record, &decoded.message);
    let sum = |balances: &[u64]| balances.iter().map(|one| u128::from(*one)).sum::<u128>();
    let before = sum(&record.balances_before);
    assert_eq!(
        before - u128::from(record.fee),
        sum(&record.balances_after),
        "lamports are conserved but for the fee"
    );
    let mut grown = 0;
    for (index, pair) in pairs.iter().enumerate() {
        // The identity gets the fee after the transaction.
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
        assert!(writable, "{} was read-only", pair.key);
        assert!(
            record.written.contains(&pair.key),
            "{} was written",
            pair.key
        );
        assert!(
            record.status.is_ok() || index == 0 || is_nonce(pair),
            "{} was rolled back",
            pair.key
        );
        grown += changed(pair, &invoked, if index == 0 { record.fee } else { 0 });
    }
    assert!(grown <= GROWTH_BYTES_MAX);
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

fn is_nonce(pair: &Pair) -> bool {
    pair.before
        .as_ref()
        .is_some_and(|account| account.owner == system_program::ID && account.space == 80)
}

/// Checks one change and gives the bytes by which the account grew.
fn changed(pair: &Pair, invoked: &[Pubkey], fee: u64) -> u64 {
    let nothing = Account {
        lamports: 0,
        owner: system_program::ID,
        executable: false,
        rent_epoch: 0,
        space: 0,
        data: Vec::new(),
    };
    let before = pair.before.as_ref().unwrap_or(&nothing);
    let Some(after) = &pair.after else {
        assert!(invoked.contains(&before.owner) || before.lamports == fee);
        return 0;
    };
    let key = pair.key;
    let by_owner = before.owner != after.owner
        || before.data != after.data
        || before.lamports > after.lamports.saturating_add(fee);
    assert!(
        !by_owner || invoked.contains(&before.owner),
        "{key} was changed without its owner"
    );
    let loaders = [
        bpf_loader::ID,
        bpf_loader_deprecated::ID,
        bpf_loader_upgradeable::ID,
    ];
    if before.executable != after.executable {
        assert!(
            loaders.contains(&after.owner) && invoked.contains(&after.owner),
            "{key} became a program by itself"
        );
    }
    assert!(after.lamports > 0 && after.space <= DATA_BYTES_MAX, "{key}");
    let exempt = |account: &Account| {
        account.lamports >= (128 + account.space) * LAMPORTS_PER_BYTE || account.lamports == 0
    };
    let stays = !exempt(before) && before.space == after.space && before.lamports >= after.lamports;
    assert!(
        exempt(after) || stays || key == incinerator::ID,
        "{key} became liable to rent"
    );
    after.space.saturating_sub(before.space)
}
