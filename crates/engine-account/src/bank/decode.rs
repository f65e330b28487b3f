//! From bytes to a transaction that may be executed: decoding, signatures, lookup tables.
//!
//! Decoding and signatures depend on the bytes alone; lookup tables are resolved on the state a
//! round starts from, in which entries added in the same slot are not yet visible.

use agave_reserved_account_keys::ReservedAccountKeys;
use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use solana_account::ReadableAccount;
use solana_hash::Hash;
use solana_message::v0::{LoadedAddresses, MessageAddressTableLookup};
use solana_message::{AddressLoader, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::address_lookup_table;
use solana_transaction::sanitized::SanitizedTransaction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::versioned::sanitized::SanitizedVersionedTransaction;
use solana_transaction_context::{MAX_ACCOUNTS_PER_INSTRUCTION, MAX_INSTRUCTION_TRACE_LENGTH};
use solana_transaction_error::{AddressLoaderError, TransactionError};
use trilith_params::account::{LOCKS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_V1_BYTES_MAX};

use super::accounts::{Accounts, Start};
use super::sysvar;

/// A transaction that may be executed. What it asks for is read later, by the rules in force.
pub(crate) type Sanitized = SanitizedTransaction;

/// First byte of a transaction of version 1, whose signatures come last.
const V1: u8 = 0x81;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
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
    pub(crate) fn verify(&self, bytes: &[u8], decoded: &Decoded) -> Result<(), TransactionError> {
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
pub(crate) struct Decoded {
    pub(crate) transaction: VersionedTransaction,
    pub(crate) message_hash: Hash,
    message: Vec<u8>,
}

/// Reads a transaction.
///
/// # Errors
/// [`TransactionError::SanitizeFailure`] if it is too long, malformed, or followed by other bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, TransactionError> {
    let limit = match bytes.first() {
        Some(&V1) => TRANSACTION_V1_BYTES_MAX,
        _ => TRANSACTION_BYTES_MAX,
    };
    if bytes.len() > limit {
        return Err(TransactionError::SanitizeFailure);
    }
    let transaction: VersionedTransaction =
        wincode::deserialize_exact(bytes).map_err(|_| TransactionError::SanitizeFailure)?;
    let message = message_of(bytes, transaction.signatures.len())
        .ok_or(TransactionError::SanitizeFailure)?
        .to_vec();
    Decoded::of_message(transaction, message)
}

/// The bytes that are signed: what stands after the signatures, in version 1 before them.
fn message_of(bytes: &[u8], signatures: usize) -> Option<&[u8]> {
    let signed = signatures.checked_mul(SIGNATURE_BYTES)?;
    if bytes.first() == Some(&V1) {
        return bytes.get(..bytes.len().checked_sub(signed)?);
    }
    // The count is one byte below 128, which no transaction of allowed length reaches.
    bytes.get(1 + signed..)
}

impl Decoded {
    /// A transaction whose signatures are not looked at.
    ///
    /// # Errors
    /// [`TransactionError::SanitizeFailure`] if it contradicts itself.
    pub(crate) fn unsigned(transaction: VersionedTransaction) -> Result<Self, TransactionError> {
        let message = transaction.message.serialize();
        Self::of_message(transaction, message)
    }

    fn of_message(
        transaction: VersionedTransaction,
        message: Vec<u8>,
    ) -> Result<Self, TransactionError> {
        transaction.sanitize()?;
        Ok(Self {
            message_hash: VersionedMessage::hash_raw_message(&message),
            message,
            transaction,
        })
    }

    /// The transaction with another blockhash, under which its signatures no longer hold.
    pub(crate) fn with_blockhash(mut self, blockhash: Hash) -> Self {
        self.transaction.message.set_recent_blockhash(blockhash);
        self.message = self.transaction.message.serialize();
        self.message_hash = VersionedMessage::hash_raw_message(&self.message);
        self
    }

    /// Checks every signature strictly: no small-order keys, no second encodings.
    ///
    /// # Errors
    /// [`TransactionError::SignatureFailure`].
    pub(crate) fn verify(&self) -> Result<(), TransactionError> {
        let keys = self.transaction.message.static_account_keys();
        let verified = self
            .transaction
            .signatures
            .iter()
            .zip(keys)
            .all(|(signature, key)| {
                let signature: &[u8; 64] = signature.as_array();
                EdKey::from_bytes(key.as_array()).is_ok_and(|key| {
                    key.verify_strict(&self.message, &EdSignature::from_bytes(signature))
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
    pub(crate) fn resolve(self, tables: &Tables<'_>) -> Result<Sanitized, TransactionError> {
        let instructions = self.transaction.message.instructions();
        let is_bounded = instructions.len() <= MAX_INSTRUCTION_TRACE_LENGTH
            && instructions
                .iter()
                .all(|instruction| instruction.accounts.len() <= MAX_ACCOUNTS_PER_INSTRUCTION);
        if !is_bounded {
            return Err(TransactionError::SanitizeFailure);
        }
        let transaction = Sanitized::try_new(
            SanitizedVersionedTransaction::try_from(self.transaction)?,
            self.message_hash,
            // Votes have no ways of their own here.
            false,
            tables,
            &tables.reserved.active,
        )?;
        SanitizedTransaction::validate_account_locks(transaction.message(), LOCKS_MAX)?;
        Ok(transaction)
    }
}

/// Lookup tables as they stand at the start of a round.
pub(crate) struct Tables<'a> {
    accounts: Start<'a>,
    slot: u64,
    slot_hashes: Vec<(u64, Hash)>,
    reserved: &'a ReservedAccountKeys,
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
            reserved,
        }
    }

    /// Adds what one lookup gives.
    fn look_up(
        &self,
        lookup: &MessageAddressTableLookup,
        loaded: &mut LoadedAddresses,
    ) -> Result<(), AddressLoaderError> {
        let account = self
            .accounts
            .get(&lookup.account_key)
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
        for index in &lookup.writable_indexes {
            loaded.writable.push(at(index)?);
        }
        for index in &lookup.readonly_indexes {
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

impl AddressLoader for &Tables<'_> {
    fn load_addresses(
        self,
        lookups: &[MessageAddressTableLookup],
    ) -> Result<LoadedAddresses, AddressLoaderError> {
        let mut loaded = LoadedAddresses::default();
        for lookup in lookups {
            self.look_up(lookup, &mut loaded)?;
        }
        Ok(loaded)
    }
}

/// Position of an error in the ecosystem's enumeration, which is its stable number.
pub(crate) fn error_number(error: &TransactionError) -> u32 {
    let bytes = super::leaf::encode(error);
    bytes
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Reads bytes as a transaction; for fuzzing. One that is accepted has one encoding.
///
/// # Panics
/// If an accepted transaction does not encode to the bytes it came from.
pub fn fuzz_transaction(bytes: &[u8]) -> bool {
    let Ok(decoded) = decode(bytes) else {
        return false;
    };
    let encoded = wincode::serialize(&decoded.transaction).expect("it was read");
    assert_eq!(encoded, bytes, "a transaction has one encoding");
    let message = decoded.transaction.message.serialize();
    assert_eq!(decoded.message, message, "these bytes are signed");
    true
}
