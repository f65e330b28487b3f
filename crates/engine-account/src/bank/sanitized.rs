//! A transaction that may be executed, read where its bytes stand.
//!
//! Nothing of it is copied: keys, instructions and signatures are those of the input. Beside the
//! bytes it holds what the bytes do not say: the addresses that its lookups gave, the hash of its
//! message, and which of its accounts it may write.
//!
//! Invariant: it says of a transaction what the ecosystem's owned form of it says, which tests
//! compare on many of them. Source: crates `solana-message` 4.4.1 (`SanitizedMessage`) and
//! `agave-transaction-view` 4.2.2.

use std::fmt;

use agave_transaction_view::transaction_view::SanitizedTransactionView;
use smallvec::SmallVec;
use solana_hash::Hash;
use solana_message::AccountKeys;
use solana_message::v0::LoadedAddresses;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader_upgradeable;
use solana_signature::Signature;
use solana_svm_transaction::instruction::SVMInstruction;
use solana_svm_transaction::message_address_table_lookup::SVMMessageAddressTableLookup;
use solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage};
use solana_svm_transaction::svm_transaction::SVMTransaction;
use solana_transaction::versioned::TransactionVersion;

use super::decode::Reserved;

/// The bytes of a transaction whose form was checked.
pub(crate) type View<'b> = SanitizedTransactionView<&'b [u8]>;

/// Accounts of a message up to which each is compared with each; above, they are sorted.
const COMPARED_MAX: usize = 16;

/// A transaction that may be executed. What it asks for is read later, by the rules in force.
pub(crate) struct Sanitized<'b> {
    view: View<'b>,
    /// What its lookups gave; `None` without lookups.
    loaded: Option<Box<LoadedAddresses>>,
    message_hash: Hash,
    writable: Writable,
}

/// Which of the at most 256 accounts of a message may be written, one bit each.
#[derive(Default)]
struct Writable([u64; 4]);

impl Writable {
    fn get(&self, index: usize) -> bool {
        let word = self.0.get(index / 64).copied().unwrap_or(0);
        word >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: usize, is_writable: bool) {
        if let Some(word) = self.0.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *word = if is_writable {
                *word | bit
            } else {
                *word & !bit
            };
        }
    }

    /// What a message asks to write, without reserved accounts and, unless the upgradeable loader
    /// is among its accounts, without the programs that it calls.
    fn of(view: &View<'_>, keys: &AccountKeys<'_>, reserved: &Reserved<'_>) -> Self {
        let signers = usize::from(view.num_required_signatures());
        let fixed = usize::from(view.num_static_account_keys());
        // A checked message has no more read-only accounts than accounts.
        let signing = signers - usize::from(view.num_readonly_signed_static_accounts());
        let others = fixed - usize::from(view.num_readonly_unsigned_static_accounts());
        let loaded = fixed + usize::from(view.total_writable_lookup_accounts());
        let mut writable = Self::default();
        for (index, key) in keys.iter().enumerate().take(loaded) {
            let is_asked = index < signing || (signers..others).contains(&index) || index >= fixed;
            if is_asked && !reserved.contains(key) {
                writable.set(index, true);
            }
        }
        let mut has_loader = None;
        for instruction in view.instructions_iter() {
            let program = usize::from(instruction.program_id_index);
            if !writable.get(program) {
                continue;
            }
            let has_loader = *has_loader
                .get_or_insert_with(|| keys.iter().any(|key| *key == bpf_loader_upgradeable::ID));
            if !has_loader {
                writable.set(program, false);
            }
        }
        writable
    }
}

impl<'b> Sanitized<'b> {
    /// A transaction with the addresses that its lookups gave.
    pub(crate) fn new(
        view: View<'b>,
        loaded: Option<Box<LoadedAddresses>>,
        message_hash: Hash,
        reserved: &Reserved<'_>,
    ) -> Self {
        let keys = AccountKeys::new(view.static_account_keys(), loaded.as_deref());
        Self {
            writable: Writable::of(&view, &keys, reserved),
            view,
            loaded,
            message_hash,
        }
    }

    /// Its bytes.
    pub(crate) fn view(&self) -> &View<'b> {
        &self.view
    }

    /// The hash of what is signed.
    pub(crate) fn message_hash(&self) -> &Hash {
        &self.message_hash
    }

    /// How many of its accounts come from lookups for writing.
    pub(crate) fn loaded_writable(&self) -> usize {
        self.loaded
            .as_ref()
            .map_or(0, |loaded| loaded.writable.len())
    }

    /// Whether an account stands in it twice.
    pub(crate) fn has_duplicates(&self) -> bool {
        has_duplicates(self.account_keys().iter())
    }
}

/// Whether a key stands among others twice.
pub(crate) fn has_duplicates<'k>(keys: impl Iterator<Item = &'k Pubkey>) -> bool {
    let mut keys: SmallVec<[&Pubkey; COMPARED_MAX]> = keys.collect();
    if keys.len() <= COMPARED_MAX {
        let mut rest = &keys[..];
        while let Some((key, after)) = rest.split_first() {
            if after.contains(key) {
                return true;
            }
            rest = after;
        }
        return false;
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

impl fmt::Debug for Sanitized<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.view, formatter)
    }
}

impl SVMStaticMessage for Sanitized<'_> {
    fn version(&self) -> TransactionVersion {
        SVMStaticMessage::version(&self.view)
    }

    fn num_transaction_signatures(&self) -> u64 {
        u64::from(self.view.num_required_signatures())
    }

    fn num_write_locks(&self) -> u64 {
        self.view.num_requested_write_locks()
    }

    fn recent_blockhash(&self) -> &Hash {
        self.view.recent_blockhash()
    }

    fn num_instructions(&self) -> usize {
        usize::from(self.view.num_instructions())
    }

    fn instructions_iter(&self) -> impl Iterator<Item = SVMInstruction<'_>> {
        self.view.instructions_iter()
    }

    fn program_instructions_iter(
        &self,
    ) -> impl Iterator<Item = (&Pubkey, SVMInstruction<'_>)> + Clone {
        self.view.program_instructions_iter()
    }

    fn static_account_keys(&self) -> &[Pubkey] {
        self.view.static_account_keys()
    }

    fn fee_payer(&self) -> &Pubkey {
        SVMStaticMessage::fee_payer(&self.view)
    }

    fn num_lookup_tables(&self) -> usize {
        usize::from(self.view.num_address_table_lookups())
    }

    fn message_address_table_lookups(
        &self,
    ) -> impl Iterator<Item = SVMMessageAddressTableLookup<'_>> {
        self.view.address_table_lookup_iter()
    }
}

impl SVMMessage for Sanitized<'_> {
    fn account_keys(&self) -> AccountKeys<'_> {
        AccountKeys::new(self.view.static_account_keys(), self.loaded.as_deref())
    }

    fn is_writable(&self, index: usize) -> bool {
        self.writable.get(index)
    }

    fn is_signer(&self, index: usize) -> bool {
        index < usize::from(self.view.num_required_signatures())
    }

    fn is_invoked(&self, key_index: usize) -> bool {
        self.view
            .instructions_iter()
            .any(|instruction| usize::from(instruction.program_id_index) == key_index)
    }
}

impl SVMTransaction for Sanitized<'_> {
    fn signature(&self) -> &Signature {
        &self.view.signatures()[0]
    }

    fn signatures(&self) -> &[Signature] {
        self.view.signatures()
    }
}

#[cfg(test)]
mod tests;
