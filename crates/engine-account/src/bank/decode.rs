//! From bytes to a transaction that may be executed: decoding, signatures, lookup tables.
//!
//! Decoding and signatures depend on the bytes alone; lookup tables are resolved on the state a
//! round starts from, in which entries added in the same slot are not yet visible.

use agave_reserved_account_keys::ReservedAccountKeys;
use agave_transaction_view::sanitize::SanitizeConfig;
use agave_transaction_view::transaction_version::TransactionVersion;
use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use solana_account::ReadableAccount;
use solana_hash::Hash;
use solana_message::v0::LoadedAddresses;
use solana_message::{VersionedMessage, v1};
use solana_pubkey::Pubkey;
use solana_sdk_ids::address_lookup_table;
use solana_svm_transaction::message_address_table_lookup::SVMMessageAddressTableLookup;
use solana_svm_transaction::svm_message::SVMMessage as _;
use solana_transaction_context::{MAX_ACCOUNTS_PER_INSTRUCTION, MAX_INSTRUCTION_TRACE_LENGTH};
use solana_transaction_error::{AddressLoaderError, TransactionError};
use trilith_params::account::{LOCKS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_V1_BYTES_MAX};

use super::accounts::{Accounts, Start};
use super::sanitized::has_duplicates;
pub(crate) use super::sanitized::{Sanitized, View};
use super::sysvar;

/// First byte of a transaction of version 1, whose signatures come last.
const V1: u8 = 0x81;
/// Bytes of a transaction of version 1 before its blockhash: the version, the head, and the mask of
/// what it names beside.
const V1_HEAD_BYTES: usize = 1 + 3 + 4;
/// Bytes of a lookup table before its addresses.
const TABLE_HEAD_BYTES: usize = 56;

/// Transactions whose signatures are known to hold, so that what was checked for the pool is not
/// checked again in a round. Whether one is known changes no result: it is known by all its bytes.
pub(crate) struct Verified {
    known: Cache<[u8; 32], ()>,
    /// Whether all signatures are taken to hold; see [`crate::AccountEngine::trusting`].
    trusting: bool,
}

/// Transactions that are remembered as verified. Not a consensus number.
const VERIFIED_MAX: usize = 65_536;

impl Default for Verified {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Verified {
    pub(crate) fn new(trusting: bool) -> Self {
        Self {
            known: Cache::new(VERIFIED_MAX),
            trusting,
        }
    }

    pub(crate) fn is_trusting(&self) -> bool {
        self.trusting
    }

    /// Checks the signatures of a decoded transaction, which `bytes` are, unless they are known to
    /// hold.
    ///
    /// # Errors
    /// [`TransactionError::SignatureFailure`].
    pub(crate) fn verify(
        &self,
        bytes: &[u8],
        decoded: &Decoded<'_>,
    ) -> Result<(), TransactionError> {
        if self.trusting {
            return Ok(());
        }
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        if self.known.get(&digest).is_none() {
            decoded.verify()?;
            self.known.insert(digest, ());
        }
        Ok(())
    }
}

/// A decoded transaction whose lookup tables are not resolved.
pub(crate) struct Decoded<'b> {
    view: View<'b>,
    message_hash: Hash,
}

/// The form of transactions. What holds for those that are executed only is checked when they are
/// resolved: a transaction that breaks that has signatures that are checked before.
fn form(is_v1: bool) -> SanitizeConfig {
    SanitizeConfig {
        // Only version 1 names the size of the heap in its head.
        min_requested_heap_size: v1::MIN_HEAP_SIZE,
        max_requested_heap_size: v1::MAX_HEAP_SIZE,
        max_instructions: if is_v1 {
            usize::from(v1::MAX_INSTRUCTIONS)
        } else {
            usize::MAX
        },
        max_accounts_per_instruction: None,
    }
}

/// Whether bytes are not too many for a transaction of their version.
pub(crate) fn is_short(bytes: &[u8]) -> bool {
    let limit = match bytes.first() {
        Some(&V1) => TRANSACTION_V1_BYTES_MAX,
        _ => TRANSACTION_BYTES_MAX,
    };
    bytes.len() <= limit
}

/// Reads a transaction.
///
/// # Errors
/// [`TransactionError::SanitizeFailure`] if it is too long, malformed, or followed by other bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, TransactionError> {
    if !is_short(bytes) {
        return Err(TransactionError::SanitizeFailure);
    }
    let is_v1 = bytes.first() == Some(&V1);
    let view = View::try_new_sanitized(bytes, &form(is_v1))
        .map_err(|_| TransactionError::SanitizeFailure)?;
    // Version 1 forbids by its form what is an error of its own in the others.
    if is_v1 && has_duplicates(view.static_account_keys().iter()) {
        return Err(TransactionError::SanitizeFailure);
    }
    Ok(Decoded {
        message_hash: VersionedMessage::hash_raw_message(view.message_data()),
        view,
    })
}

/// The bytes of a transaction with another blockhash, under which its signatures no longer hold.
pub(crate) fn with_blockhash(decoded: &Decoded<'_>, blockhash: &Hash) -> Vec<u8> {
    let view = &decoded.view;
    let mut bytes = view.data().to_vec();
    let start = match view.version() {
        TransactionVersion::V1 => V1_HEAD_BYTES,
        version => {
            let message = bytes.len() - view.message_data().len();
            let prefix = usize::from(matches!(version, TransactionVersion::V0));
            // The head, the number of keys in one byte, and the keys.
            message + prefix + 3 + 1 + 32 * view.static_account_keys().len()
        }
    };
    if let Some(place) = bytes.get_mut(start..start + 32) {
        place.copy_from_slice(blockhash.as_ref());
    }
    bytes
}

impl<'b> Decoded<'b> {
    /// Its bytes.
    pub(crate) fn view(&self) -> &View<'b> {
        &self.view
    }

    /// Checks every signature strictly: no small-order keys, no second encodings.
    ///
    /// # Errors
    /// [`TransactionError::SignatureFailure`].
    pub(crate) fn verify(&self) -> Result<(), TransactionError> {
        let message = self.view.message_data();
        let mut signed = self
            .view
            .signatures()
            .iter()
            .zip(self.view.static_account_keys());
        let verified = signed.all(|(signature, key)| {
            let signature: &[u8; 64] = signature.as_array();
            EdKey::from_bytes(key.as_array()).is_ok_and(|key| {
                key.verify_strict(message, &EdSignature::from_bytes(signature))
                    .is_ok()
            })
        });
        if verified {
            Ok(())
        } else {
            Err(TransactionError::SignatureFailure)
        }
    }

    /// Resolves lookup tables and checks locks.
    ///
    /// # Errors
    /// [`TransactionError`] of the first rule that is broken.
    pub(crate) fn resolve(self, tables: &Tables<'_>) -> Result<Sanitized<'b>, TransactionError> {
        let is_bounded = usize::from(self.view.num_instructions()) <= MAX_INSTRUCTION_TRACE_LENGTH
            && self
                .view
                .instructions_iter()
                .all(|instruction| instruction.accounts.len() <= MAX_ACCOUNTS_PER_INSTRUCTION);
        if !is_bounded {
            return Err(TransactionError::SanitizeFailure);
        }
        let loaded = if self.view.num_address_table_lookups() == 0 {
            None
        } else {
            let lookups = self.view.address_table_lookup_iter();
            Some(Box::new(tables.load(lookups)?))
        };
        let transaction = Sanitized::new(self.view, loaded, self.message_hash, &tables.reserved);
        if transaction.has_duplicates() {
            return Err(TransactionError::AccountLoadedTwice);
        }
        if transaction.account_keys().len() > LOCKS_MAX {
            return Err(TransactionError::TooManyAccountLocks);
        }
        Ok(transaction)
    }
}

/// Accounts that no transaction may write, with a test that few others pass.
pub(crate) struct Reserved<'a> {
    keys: &'a ReservedAccountKeys,
    /// Whether one of them begins with this byte.
    begins: [bool; 256],
}

impl<'a> Reserved<'a> {
    pub(crate) fn new(keys: &'a ReservedAccountKeys) -> Self {
        let mut begins = [false; 256];
        for key in &keys.active {
            begins[usize::from(key.as_array()[0])] = true;
        }
        Self { keys, begins }
    }

    pub(crate) fn contains(&self, key: &Pubkey) -> bool {
        self.begins[usize::from(key.as_array()[0])] && self.keys.active.contains(key)
    }
}

/// Lookup tables as they stand at the start of a round.
pub(crate) struct Tables<'a> {
    accounts: Start<'a>,
    slot: u64,
    slot_hashes: Vec<(u64, Hash)>,
    reserved: Reserved<'a>,
}

impl<'a> Tables<'a> {
    /// The tables among `accounts` for transactions of `slot`.
    pub(crate) fn new(
        accounts: &Accounts<'a>,
        slot: u64,
        reserved: &'a ReservedAccountKeys,
    ) -> Self {
        Self {
            accounts: accounts.as_started(),
            slot,
            slot_hashes: sysvar::slot_hashes(accounts),
            reserved: Reserved::new(reserved),
        }
    }

    /// What lookups give, in their order.
    ///
    /// # Errors
    /// [`AddressLoaderError`] of the first lookup that fails.
    pub(crate) fn load<'l>(
        &self,
        lookups: impl Iterator<Item = SVMMessageAddressTableLookup<'l>>,
    ) -> Result<LoadedAddresses, AddressLoaderError> {
        let mut loaded = LoadedAddresses::default();
        for lookup in lookups {
            self.look_up(&lookup, &mut loaded)?;
        }
        Ok(loaded)
    }

    /// Adds what one lookup gives.
    fn look_up(
        &self,
        lookup: &SVMMessageAddressTableLookup<'_>,
        loaded: &mut LoadedAddresses,
    ) -> Result<(), AddressLoaderError> {
        let account = self
            .accounts
            .get(lookup.account_key)
            .ok_or(AddressLoaderError::LookupTableAccountNotFound)?;
        if *account.owner() != address_lookup_table::ID {
            return Err(AddressLoaderError::InvalidAccountOwner);
        }
        let active = self.active_addresses(account.data())?;
        let at = |index: &u8| {
            let key: &[u8; 32] = active
                .get(usize::from(*index))
                .ok_or(AddressLoaderError::InvalidLookupIndex)?;
            Ok(Pubkey::new_from_array(*key))
        };
        for index in lookup.writable_indexes {
            loaded.writable.push(at(index)?);
        }
        for index in lookup.readonly_indexes {
            loaded.readonly.push(at(index)?);
        }
        Ok(())
    }

    /// The addresses of a table that transactions may use in this slot.
    ///
    /// Layout and rules: crate `solana-address-lookup-table-interface` 3.1: a 32-bit kind (1 for a
    /// table), the slot of deactivation, the slot of the last extension, its first index, the
    /// authority; then addresses. A table stays usable until its deactivation slot has left
    /// SlotHashes.
    fn active_addresses<'d>(&self, data: &'d [u8]) -> Result<&'d [[u8; 32]], AddressLoaderError> {
        let invalid = AddressLoaderError::InvalidAccountData;
        let (head, addresses) = data
            .split_first_chunk::<TABLE_HEAD_BYTES>()
            .ok_or(invalid.clone())?;
        if head[..4] != 1u32.to_le_bytes() {
            return Err(invalid);
        }
        let (addresses, rest) = addresses.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(invalid);
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| head[at + index]));
        let (deactivated, extended, extended_from) = (number(4), number(12), head[20]);
        let is_active = deactivated == u64::MAX
            || deactivated == self.slot
            || self
                .slot_hashes
                .iter()
                .any(|(slot, _)| *slot == deactivated);
        if !is_active {
            return Err(AddressLoaderError::LookupTableAccountNotFound);
        }
        if self.slot > extended {
            return Ok(addresses);
        }
        addresses.get(..usize::from(extended_from)).ok_or(invalid)
    }
}

/// Position of an error in the ecosystem's enumeration, which is its stable number.
pub(crate) fn error_number(error: &TransactionError) -> u32 {
    let bytes = super::leaf::encode(error);
    bytes
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
