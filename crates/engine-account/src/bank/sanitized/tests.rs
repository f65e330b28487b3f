//! The ecosystem's own decoder and owned form of a transaction, beside ours, on many transactions:
//! well formed, broken by a rule, and with altered bytes.

use agave_feature_set::FeatureSet;
use agave_reserved_account_keys::ReservedAccountKeys;
use solana_account::AccountSharedData;
use solana_fee::{FeeFeatures, calculate_fee_details};
use solana_hash::Hash;
use solana_message::v0::{LoadedAddresses, MessageAddressTableLookup};
use solana_message::{AddressLoader, SanitizedMessage, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_runtime_transaction::transaction_meta::TransactionConfiguration;
use solana_sdk_ids::{
    address_lookup_table, bpf_loader_upgradeable, compute_budget, ed25519_program, system_program,
    sysvar, vote,
};
use solana_svm_transaction::message_address_table_lookup::SVMMessageAddressTableLookup;
use solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage};
use solana_svm_transaction::svm_transaction::SVMTransaction;
use solana_transaction::sanitized::SanitizedTransaction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::versioned::sanitized::SanitizedVersionedTransaction;
use solana_transaction_context::{MAX_ACCOUNTS_PER_INSTRUCTION, MAX_INSTRUCTION_TRACE_LENGTH};
use solana_transaction_error::{AddressLoaderError, TransactionError};
use trilith_params::account::{LOCKS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_V1_BYTES_MAX};

use super::Sanitized;
use crate::bank::accounts::Accounts;
use crate::bank::decode::{self, Tables};
use crate::bank::fuzz::Entries;
use crate::bank::table::Table;
use crate::bank::{budget, check, leaf};

/// Transactions that are compared.
const CASES: u32 = 60_000;

/// Numbers of a fixed sequence.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end.max(1)
    }

    /// Whether something happens that does so once in `often` times.
    fn once_in(&mut self, often: usize) -> bool {
        self.below(often) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    fn key(&mut self) -> Pubkey {
        let named = [
            system_program::ID,
            compute_budget::ID,
            bpf_loader_upgradeable::ID,
            ed25519_program::ID,
            vote::ID,
            sysvar::clock::ID,
            sysvar::instructions::ID,
            solana_sdk_ids::secp256r1_program::ID,
        ];
        match self.below(6) {
            0 => named[self.below(named.len())],
            // Often one that was drawn before.
            1 if self.once_in(20) => Pubkey::new_from_array([self.byte() % 8; 32]),
            _ => {
                let bytes = self.bytes(32);
                Pubkey::new_from_array(bytes.try_into().unwrap())
            }
        }
    }
}

/// Addresses of the tables: two that are good, one of another kind, one of another owner, and one
/// that is missing.
fn table(number: u8) -> Pubkey {
    Pubkey::new_from_array([200 + number; 32])
}

fn state() -> Entries {
    let with = |number: u8, kind: u32, count: u8, owner: Pubkey| {
        let mut data = vec![0; 56];
        data[..4].copy_from_slice(&kind.to_le_bytes());
        data[4..12].copy_from_slice(&u64::MAX.to_le_bytes());
        for index in 0..count {
            data.extend([number * 64 + index; 32]);
        }
        let mut account = AccountSharedData::new(1, 0, &owner);
        account.set_data_from_slice(&data);
        (
            leaf::account_key(&table(number)),
            leaf::encode_account(&account),
        )
    };
    let owner = address_lookup_table::ID;
    Entries(vec![
        with(0, 1, 64, owner),
        with(1, 1, 40, owner),
        with(2, 0, 3, owner),
        with(3, 1, 0, system_program::ID),
    ])
}

/// Writes a length as the ecosystem does, or rarely with more bytes than it needs.
fn length(numbers: &mut Numbers, out: &mut Vec<u8>, len: usize) {
    let len = len as u16;
    let needs = 1 + usize::from(len > 0x7f) + usize::from(len > 0x3fff);
    let takes = if numbers.once_in(400) {
        needs + 1
    } else {
        needs
    };
    for index in 0..takes {
        let more = if index + 1 < takes { 0x80 } else { 0 };
        out.push((len.checked_shr(7 * index as u32).unwrap_or(0) & 0x7f) as u8 | more);
    }
}

struct Made {
    program: u8,
    accounts: Vec<u8>,
    data: Vec<u8>,
}

fn data(numbers: &mut Numbers) -> Vec<u8> {
    match numbers.below(8) {
        0 => vec![4, 0, 0, 0],
        1 => [&[1][..], &(numbers.below(300) as u32 * 1_024).to_le_bytes()].concat(),
        2 => [&[2][..], &(numbers.next() as u32 % 2_000_000).to_le_bytes()].concat(),
        3 => [&[3][..], &numbers.next().to_le_bytes()].concat(),
        4 => [
            &[4][..],
            &(numbers.below(4) as u32 * 40_000_000).to_le_bytes(),
        ]
        .concat(),
        5 if numbers.once_in(8) => numbers.bytes(300),
        _ => {
            let len = numbers.below(12);
            numbers.bytes(len)
        }
    }
}

fn instructions(numbers: &mut Numbers, fixed: usize, all: usize) -> Vec<Made> {
    let count = if numbers.once_in(40) {
        60 + numbers.below(10)
    } else {
        numbers.below(5)
    };
    let is_wild = numbers.once_in(12);
    (0..count)
        .map(|_| {
            let accounts = if count >= 60 {
                0
            } else if numbers.once_in(60) {
                250 + numbers.below(12)
            } else {
                numbers.below(6)
            };
            let slack = usize::from(is_wild);
            let lowest = usize::from(!is_wild && fixed > 1);
            Made {
                program: (lowest + numbers.below(fixed + slack - lowest)) as u8,
                accounts: (0..accounts)
                    .map(|_| numbers.below(all + slack) as u8)
                    .collect(),
                data: if count >= 60 {
                    Vec::new()
                } else {
                    data(numbers)
                },
            }
        })
        .collect()
}

/// A head that mostly fits so many signatures and keys.
fn head(numbers: &mut Numbers, signatures: usize, keys: usize) -> [u8; 3] {
    if numbers.once_in(25) {
        return std::array::from_fn(|_| numbers.byte() % 16);
    }
    let signing = numbers.below(signatures);
    let reading = numbers.below(keys.saturating_sub(signatures) + 1);
    [signatures as u8, signing as u8, reading as u8]
}

/// A transaction that is mostly well formed.
fn made(numbers: &mut Numbers) -> Vec<u8> {
    let version = numbers.below(3);
    let most = if numbers.once_in(20) { 13 } else { 3 };
    let signatures = 1 + numbers.below(most);
    let most = if numbers.once_in(6) { 36 } else { 8 };
    let keys = signatures + numbers.below(most);
    let keys: Vec<Pubkey> = (0..keys).map(|_| numbers.key()).collect();
    let head = head(numbers, signatures, keys.len());
    let mut out = Vec::new();
    if version == 2 {
        first_version(numbers, &mut out, head, &keys);
        out.extend(numbers.bytes(64 * usize::from(head[0])));
        return out;
    }
    length(numbers, &mut out, signatures);
    out.extend(numbers.bytes(64 * signatures));
    if version == 1 {
        out.push(0x80);
    }
    out.extend(head);
    length(numbers, &mut out, keys.len());
    out.extend(keys.iter().flat_map(Pubkey::to_bytes));
    out.extend(numbers.bytes(32));
    let lookups = lookups(numbers, version == 1);
    let looked_up: usize = lookups.iter().map(|(_, [a, b])| a.len() + b.len()).sum();
    let instructions = instructions(numbers, keys.len(), keys.len() + looked_up);
    length(numbers, &mut out, instructions.len());
    for made in instructions {
        out.push(made.program);
        length(numbers, &mut out, made.accounts.len());
        out.extend(made.accounts);
        length(numbers, &mut out, made.data.len());
        out.extend(made.data);
    }
    if version == 1 {
        length(numbers, &mut out, lookups.len());
        for (key, indexes) in lookups {
            out.extend(key.to_bytes());
            for indexes in indexes {
                length(numbers, &mut out, indexes.len());
                out.extend(indexes);
            }
        }
    }
    out
}

fn lookups(numbers: &mut Numbers, has_some: bool) -> Vec<(Pubkey, [Vec<u8>; 2])> {
    if !has_some {
        return Vec::new();
    }
    if numbers.once_in(8) {
        // Many, none of them twice.
        return (0..2)
            .map(|number| {
                let [written, read] = [numbers.below(20) as u8, numbers.below(20) as u8];
                let indexes = [0..written, written..written + read].map(Iterator::collect);
                (table(number), indexes)
            })
            .collect();
    }
    let count = numbers.below(4);
    (0..count)
        .map(|_| {
            let number = if numbers.once_in(20) {
                2 + numbers.below(3)
            } else {
                numbers.below(2)
            };
            let indexes = std::array::from_fn(|_| {
                let len = numbers.below(4);
                let last = if numbers.once_in(30) { 255 } else { 40 };
                (0..len).map(|_| numbers.below(last) as u8).collect()
            });
            (table(number as u8), indexes)
        })
        .collect()
}

fn first_version(numbers: &mut Numbers, out: &mut Vec<u8>, head: [u8; 3], keys: &[Pubkey]) {
    let mask = match numbers.below(12) {
        0 => numbers.next() as u32 & 0x3f,
        1..=4 => 0,
        _ => [0, 3][numbers.below(2)] | (numbers.below(8) as u32) << 2,
    };
    let instructions = instructions(numbers, keys.len(), keys.len());
    out.push(0x81);
    out.extend(head);
    out.extend(mask.to_le_bytes());
    out.extend(numbers.bytes(32));
    out.extend([instructions.len() as u8, keys.len() as u8]);
    out.extend(keys.iter().flat_map(Pubkey::to_bytes));
    for bit in 0..mask.count_ones() {
        let is_heap = mask & 16 != 0 && bit + 1 == mask.count_ones();
        let value = if is_heap {
            numbers.below(40) as u32 * 8 * 1_024
        } else {
            numbers.next() as u32 % 3_000_000
        };
        out.extend(value.to_le_bytes());
    }
    for made in &instructions {
        out.extend([made.program, made.accounts.len() as u8]);
        out.extend((made.data.len() as u16).to_le_bytes());
    }
    for made in instructions {
        // A count of one byte.
        out.extend(&made.accounts[..made.accounts.len() % 256]);
        out.extend(made.data);
    }
}

/// Bytes that are sometimes altered.
fn altered(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = made(numbers);
    match numbers.below(10) {
        0 => bytes.truncate(numbers.below(bytes.len())),
        1 => bytes.push(numbers.byte()),
        2 => {
            let at = numbers.below(bytes.len());
            bytes[at] ^= 1 << numbers.below(8);
        }
        3 => {
            // The head and the lengths stand in the first bytes after the signatures.
            let at = numbers.below(bytes.len().min(80));
            bytes[at] = numbers.byte();
        }
        4 if numbers.once_in(4) => bytes.resize(numbers.below(5_000), 0),
        5 => {
            let at = numbers.below(bytes.len());
            bytes.insert(at + 1, 0);
            bytes[at] |= 0x80;
        }
        _ => {}
    }
    bytes
}

/// What the ecosystem's decoder makes of bytes.
fn owned(bytes: &[u8]) -> Result<(VersionedTransaction, Hash), TransactionError> {
    let is_v1 = bytes.first() == Some(&0x81);
    let limit = if is_v1 {
        TRANSACTION_V1_BYTES_MAX
    } else {
        TRANSACTION_BYTES_MAX
    };
    if bytes.len() > limit {
        return Err(TransactionError::SanitizeFailure);
    }
    let transaction: VersionedTransaction =
        wincode::deserialize_exact(bytes).map_err(|_| TransactionError::SanitizeFailure)?;
    transaction.sanitize()?;
    let hash = VersionedMessage::hash_raw_message(&transaction.message.serialize());
    Ok((transaction, hash))
}

#[derive(Clone)]
struct Loader<'t, 'a>(&'t Tables<'a>);

impl AddressLoader for Loader<'_, '_> {
    fn load_addresses(
        self,
        lookups: &[MessageAddressTableLookup],
    ) -> Result<LoadedAddresses, AddressLoaderError> {
        let lookups = lookups.iter().map(SVMMessageAddressTableLookup::from);
        self.0.load(lookups)
    }
}

/// What the ecosystem's owned form is, after the bank's rules.
fn owned_resolved(
    (transaction, hash): (VersionedTransaction, Hash),
    tables: &Tables<'_>,
    reserved: &ReservedAccountKeys,
) -> Result<SanitizedTransaction, TransactionError> {
    let instructions = transaction.message.instructions();
    let is_bounded = instructions.len() <= MAX_INSTRUCTION_TRACE_LENGTH
        && instructions
            .iter()
            .all(|instruction| instruction.accounts.len() <= MAX_ACCOUNTS_PER_INSTRUCTION);
    if !is_bounded {
        return Err(TransactionError::SanitizeFailure);
    }
    let transaction = SanitizedTransaction::try_new(
        SanitizedVersionedTransaction::try_from(transaction)?,
        hash,
        false,
        Loader(tables),
        &reserved.active,
    )?;
    SanitizedTransaction::validate_account_locks(transaction.message(), LOCKS_MAX)?;
    Ok(transaction)
}

/// Both forms say the same of a transaction.
fn compare(ours: &Sanitized<'_>, theirs: &SanitizedTransaction, features: &FeatureSet) {
    assert_eq!(ours.message_hash(), theirs.message_hash());
    assert_eq!(
        SVMStaticMessage::version(ours),
        SVMStaticMessage::version(theirs)
    );
    assert_eq!(SVMTransaction::signatures(ours), theirs.signatures());
    assert_eq!(SVMTransaction::signature(ours), theirs.signature());
    assert_eq!(
        ours.num_transaction_signatures(),
        SVMStaticMessage::num_transaction_signatures(theirs)
    );
    assert_eq!(
        ours.num_write_locks(),
        SVMStaticMessage::num_write_locks(theirs)
    );
    assert_eq!(ours.recent_blockhash(), theirs.message().recent_blockhash());
    assert_eq!(ours.fee_payer(), theirs.message().fee_payer());
    assert_eq!(
        ours.num_instructions(),
        theirs.message().instructions().len()
    );
    assert!(
        ours.instructions_iter()
            .eq(SVMStaticMessage::instructions_iter(theirs))
    );
    assert!(
        ours.program_instructions_iter()
            .eq(SVMStaticMessage::program_instructions_iter(theirs))
    );
    assert_eq!(
        ours.static_account_keys(),
        theirs.message().static_account_keys()
    );
    assert_eq!(
        ours.num_lookup_tables(),
        SVMStaticMessage::num_lookup_tables(theirs)
    );
    assert!(
        ours.message_address_table_lookups()
            .eq(SVMStaticMessage::message_address_table_lookups(theirs))
    );
    let (keys, others) = (ours.account_keys(), theirs.message().account_keys());
    assert!(keys.iter().eq(others.iter()));
    for index in 0..260 {
        assert_eq!(
            ours.is_writable(index),
            theirs.message().is_writable(index),
            "{index}"
        );
        assert_eq!(
            ours.is_signer(index),
            theirs.message().is_signer(index),
            "{index}"
        );
        assert_eq!(
            ours.is_invoked(index),
            theirs.message().is_invoked(index),
            "{index}"
        );
        assert_eq!(
            ours.is_instruction_account(index),
            theirs.message().is_instruction_account(index)
        );
    }
    let loaded = match theirs.message() {
        SanitizedMessage::V0(message) => message.loaded_addresses.writable.len(),
        _ => 0,
    };
    assert_eq!(ours.loaded_writable(), loaded);
    assert_eq!(check::durable_nonce(ours), theirs.get_durable_nonce());
    assert_eq!(
        SVMMessage::get_durable_nonce(ours),
        SVMMessage::get_durable_nonce(theirs)
    );
    compare_budget(ours, theirs, features);
}

/// Both forms ask for the same.
fn compare_budget(ours: &Sanitized<'_>, theirs: &SanitizedTransaction, features: &FeatureSet) {
    let asked = budget::asked(ours, features);
    let expected = TransactionConfiguration::try_from_sanitized_message(theirs.message(), features);
    assert_eq!(asked.is_err(), expected.is_err(), "{expected:?}");
    match (asked, expected) {
        (Ok(asked), Ok(expected)) => {
            let expected = budget::Asked {
                units: expected.compute_unit_limit,
                heap_bytes: expected.updated_heap_bytes,
                loaded_bytes: expected.loaded_accounts_data_size_limit,
                priority_fee: expected.priority_fee_lamports,
            };
            assert_eq!(asked, expected);
        }
        (Err(error), Err(expected)) => assert_eq!(error, expected),
        _ => {}
    }
    let fees = |fees: FeeFeatures| {
        (
            calculate_fee_details(ours, 5_000, 1, fees),
            calculate_fee_details(theirs, 5_000, 1, fees),
        )
    };
    let (fees, expected) = fees(FeeFeatures::from(features));
    assert_eq!(fees, expected);
}

#[test]
fn a_transaction_is_what_its_owned_form_is() {
    let state = state();
    let accounts = Accounts::new(&state, Table::default());
    let sets = [
        (ReservedAccountKeys::default(), FeatureSet::default()),
        (
            ReservedAccountKeys::new_all_activated(),
            FeatureSet::all_enabled(),
        ),
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    // How many were accepted by version, refused by their form, and refused later, by the error.
    let mut accepted = [0; 3];
    let mut malformed = 0;
    let mut refused = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..CASES {
        let bytes = altered(&mut numbers);
        let (reserved, features) = &sets[numbers.below(2)];
        let tables = Tables::new(&accounts, 9, reserved);
        let (ours, theirs) = (decode::decode(&bytes), owned(&bytes));
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (ours, theirs) => {
                let (ours, theirs) = (ours.err(), theirs.err());
                assert_eq!(ours, theirs, "{bytes:?}");
                malformed += 1;
                continue;
            }
        };
        assert_eq!(ours.view().message_data(), theirs.0.message.serialize());
        let other = Hash::new_from_array([7; 32]);
        let mut replaced = theirs.0.clone();
        replaced.message.set_recent_blockhash(other);
        let replaced = wincode::serialize(&replaced).unwrap();
        assert_eq!(decode::with_blockhash(&ours, &other), replaced);
        let ours = ours.resolve(&tables);
        match (ours, owned_resolved(theirs, &tables, reserved)) {
            (Ok(ours), Ok(theirs)) => {
                compare(&ours, &theirs, features);
                let version = usize::from(bytes[0] == 0x81) * 2;
                accepted[version + usize::from(ours.num_lookup_tables() > 0)] += 1;
            }
            (ours, theirs) => {
                let error = ours.err();
                assert_eq!(error, theirs.err(), "{bytes:?}");
                *refused.entry(format!("{error:?}")).or_default() += 1;
            }
        }
    }
    // The comparison is worth something only if each kind occurs.
    assert!(accepted.iter().all(|count| *count > 1_000), "{accepted:?}");
    assert!(malformed > 5_000, "{malformed}");
    let expected = [
        TransactionError::AccountLoadedTwice,
        TransactionError::AddressLookupTableNotFound,
        TransactionError::InvalidAddressLookupTableData,
        TransactionError::InvalidAddressLookupTableIndex,
        TransactionError::InvalidAddressLookupTableOwner,
        TransactionError::SanitizeFailure,
        TransactionError::TooManyAccountLocks,
    ];
    for error in expected {
        let count = refused.get(&format!("{:?}", Some(error.clone())));
        assert!(
            count.is_some_and(|count| *count > 20),
            "{error:?}: {refused:?}"
        );
    }
}
