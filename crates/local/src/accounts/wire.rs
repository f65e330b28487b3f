//! What an instance must read of transactions: the blockhash they name.

use solana_hash::Hash;
use solana_sdk_ids::system_program;
use solana_transaction::versioned::VersionedTransaction;

/// The system program's instruction that advances a nonce. Source: Solana `system-interface`.
const ADVANCE_NONCE: [u8; 4] = 4u32.to_le_bytes();

/// The blockhash of a transaction; `None` if it is none, or a durable nonce stands in its place.
pub(crate) fn blockhash_unless_nonce(bytes: &[u8]) -> Option<Hash> {
    let transaction: VersionedTransaction = wincode::deserialize_exact(bytes).ok()?;
    let message = &transaction.message;
    let advances = message.instructions().first().is_some_and(|first| {
        let program = usize::from(first.program_id_index);
        message.static_account_keys().get(program) == Some(&system_program::ID)
            && first.data.starts_with(&ADVANCE_NONCE)
    });
    (!advances).then(|| *message.recent_blockhash())
}
