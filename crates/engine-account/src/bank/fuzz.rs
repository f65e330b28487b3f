//! Entrances for fuzzing and for property tests: what the bank reads from bytes that others made,
//! or that a damaged state could hold, without a network around it.
//!
//! Knows the decoders only; nothing here is part of executing a round.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use agave_reserved_account_keys::ReservedAccountKeys;
use serde::Serialize;
use serde::de::DeserializeOwned;
use solana_account::AccountSharedData;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    address_lookup_table, ed25519_program, secp256k1_program, secp256r1_program, sysvar,
};
use solana_svm_transaction::message_address_table_lookup::SVMMessageAddressTableLookup;
use solana_transaction::versioned::VersionedTransaction;
use trilith_types::state::Visitor;
use trilith_types::{Hash, Image, ImageId, StateFault, StateRead};

use super::accounts::Accounts;
use super::chain::ChainState;
use super::decode::{self, Tables};
use super::features::InForce;
use super::leaf;
use super::precompile;
use super::statuses::Statuses;
use super::table::Table;
use crate::packed::PackedPart;
use crate::record::{BlockHeader, BlockPart};
use crate::token::{TOKEN, TOKEN_2022, TokenAccount};

/// A state with few entries and no images.
pub(super) struct Entries(pub(super) Vec<(Vec<u8>, Vec<u8>)>);

impl StateRead for Entries {
    fn root(&self) -> Hash {
        Hash::of(b"fuzz")
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        let found = self.0.iter().find(|(held, _)| held == key);
        Ok(found.map(|(_, value)| value.clone()))
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for (key, value) in &self.0 {
            if key.starts_with(prefix) && visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, _: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(None)
    }
}

/// A leaf that is a value of `T` has one encoding.
fn one_encoding<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(value) = leaf::decode::<T>(bytes, "fuzzing") else {
        return false;
    };
    assert_eq!(leaf::encode(&value), bytes, "a leaf has one encoding");
    true
}

/// Reads bytes as a transaction. One that is accepted has one encoding.
///
/// # Panics
/// If the ecosystem's decoder decides otherwise on bytes of an allowed length, or an accepted
/// transaction does not encode to the bytes it came from.
pub fn fuzz_transaction(bytes: &[u8]) -> bool {
    let owned: Option<VersionedTransaction> = wincode::deserialize_exact(bytes).ok();
    let owned = owned.filter(|owned| owned.sanitize().is_ok() && decode::is_short(bytes));
    let decoded = decode::decode(bytes);
    assert_eq!(decoded.is_ok(), owned.is_some(), "one decision");
    let (Ok(decoded), Some(owned)) = (decoded, owned) else {
        return false;
    };
    let encoded = wincode::serialize(&owned).expect("it was read");
    assert_eq!(encoded, bytes, "a transaction has one encoding");
    let message = owned.message.serialize();
    assert_eq!(
        decoded.view().message_data(),
        message,
        "these bytes are signed"
    );
    true
}

/// Reads bytes as every kind of leaf that the account runtime keeps; gives how many kinds took
/// them. An account, whose leaf light clients read, is the exception to one encoding: the byte that
/// says whether it is executable is any but zero.
///
/// # Panics
/// If what a kind takes does not encode to the bytes it came from.
pub fn fuzz_leaves(bytes: &[u8]) -> usize {
    let key = Pubkey::new_from_array([7; 32]);
    let state = Entries(vec![
        (leaf::account_key(&key), bytes.to_vec()),
        (leaf::round_key(leaf::STATUS, 5, 9), bytes.to_vec()),
    ]);
    let account = leaf::read_account(&state, &key).ok().flatten();
    if let Some(account) = &account {
        let mut canonical = bytes.to_vec();
        canonical[49] = u8::from(canonical[49] != 0);
        assert_eq!(leaf::encode_account(account), canonical);
    }
    // Parts are read lazily as well, in which case nothing says that they are in their one form.
    if let Ok(part) = leaf::decode::<PackedPart>(bytes, "fuzzing") {
        let heads = part.heads().map_while(Result::ok).count();
        assert!(heads <= bytes.len());
    }
    // Statuses are hashes one after the other; what is left over is none.
    Statuses::load(&state).expect("this state can be read");
    [
        account.is_some(),
        one_encoding::<ChainState>(bytes),
        one_encoding::<InForce>(bytes),
        one_encoding::<BlockPart>(bytes),
        one_encoding::<BlockHeader>(bytes),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// Reads bytes as the data of a lookup table, and resolves lookups of it: the first 8 bytes are the
/// slot of the transaction, the 9th tells how many addresses it looks up, the rest is the table.
/// Gives how many addresses came out.
///
/// # Panics
/// If there are others than the table holds.
pub fn fuzz_lookup_table(bytes: &[u8]) -> usize {
    let Some((slot, rest)) = bytes.split_first_chunk::<8>() else {
        return 0;
    };
    let Some((count, data)) = rest.split_first() else {
        return 0;
    };
    let table = Pubkey::new_from_array([8; 32]);
    let with = |owner: Pubkey| {
        let mut account = AccountSharedData::new(1, 0, &owner);
        account.set_data_from_slice(data);
        leaf::encode_account(&account)
    };
    let state = Entries(vec![
        (leaf::account_key(&table), with(address_lookup_table::ID)),
        // The same bytes as the slots that have passed: their layout is a list of pairs.
        (
            leaf::account_key(&sysvar::slot_hashes::ID),
            with(sysvar::ID),
        ),
    ]);
    let accounts = Accounts::new(&state, Table::default());
    let reserved = ReservedAccountKeys::default();
    let tables = Tables::new(&accounts, u64::from_le_bytes(*slot), &reserved);
    let writable: Vec<u8> = (0..*count).collect();
    let lookup = SVMMessageAddressTableLookup {
        account_key: &table,
        writable_indexes: &writable,
        readonly_indexes: &[0],
    };
    let Ok(loaded) = tables.load([lookup].into_iter()) else {
        return 0;
    };
    let held: BTreeSet<&[u8]> = data.chunks_exact(8).collect();
    for address in loaded.writable.iter().chain(&loaded.readonly) {
        assert!(held.contains(&address.as_array()[..8]), "{address}");
    }
    loaded.writable.len() + loaded.readonly.len()
}

/// Gives bytes to each of the programs that check signatures, as an instruction's data and, cut
/// where its first byte says, as that of another instruction which it may point into.
pub fn fuzz_precompile(bytes: &[u8]) {
    let cut = bytes.first().map_or(0, |at| usize::from(*at));
    let (data, other) = bytes.split_at(cut.min(bytes.len()));
    for program in [
        ed25519_program::ID,
        secp256k1_program::ID,
        secp256r1_program::ID,
    ] {
        for data in [bytes, data, other] {
            // Whether the claim holds does not matter; that the check survives it does.
            let _checked = precompile::process(&program, data, &[data, other]);
        }
    }
}

/// Reads bytes as the data of an account of either token program; gives whether it is one of the
/// newer one.
///
/// # Panics
/// If an account of the older one is none of the newer.
pub fn fuzz_token_account(bytes: &[u8]) -> bool {
    let [older, newer] = [TOKEN, TOKEN_2022].map(|owner| TokenAccount::read(&owner, bytes));
    assert!(older.is_none() || newer.is_some());
    newer.is_some()
}
