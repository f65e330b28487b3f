//! The faucet of developer networks: an account that pays whoever asks.

use std::sync::atomic::{AtomicU32, Ordering};

use solana_hash::Hash;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{Message, MessageHeader, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use trilith_types::SecretKey;

use crate::failure::Failure;

/// The system program, and its instruction that transfers. Source: Solana `system-interface`.
const SYSTEM: Pubkey = Pubkey::new_from_array([0; 32]);
const TRANSFER: u32 = 2;
/// The compute-budget program, and its instruction that sets the limit of units. Source: Solana
/// `compute-budget-interface`.
const COMPUTE_BUDGET: Pubkey =
    Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
const SET_UNIT_LIMIT: u8 = 2;
/// Units that a transfer and a limit need, rounded up, and how many different limits there are.
const UNITS: u32 = 1_000;
const UNITS_SPREAD: u32 = 1_000_000;

/// The key of the account that pays.
pub struct Faucet {
    secret: SecretKey,
    /// Transfers so far.
    count: AtomicU32,
}

impl Faucet {
    /// A faucet that pays from the account of `secret`'s public key.
    pub fn new(secret: SecretKey) -> Self {
        Self {
            secret,
            count: AtomicU32::new(0),
        }
    }

    /// The account that pays.
    pub fn key(&self) -> Pubkey {
        Pubkey::new_from_array(*self.secret.public().as_bytes())
    }

    /// A signed transfer of `lamports` to `to`, with its signature. Two with the same arguments
    /// differ (in their limit of compute units), so that both are executed.
    pub(crate) fn transfer(
        &self,
        to: &Pubkey,
        lamports: u64,
        blockhash: Hash,
    ) -> Result<(Signature, Vec<u8>), Failure> {
        let mut account_keys = vec![self.key()];
        if *to != self.key() {
            account_keys.push(*to);
        }
        let receiver = account_keys.len() as u8 - 1;
        let (system, budget) = (receiver + 1, receiver + 2);
        account_keys.extend([SYSTEM, COMPUTE_BUDGET]);
        let turn = self.count.fetch_add(1, Ordering::Relaxed) % UNITS_SPREAD;
        let mut limit = vec![SET_UNIT_LIMIT];
        limit.extend((UNITS + turn).to_le_bytes());
        let mut transfer = TRANSFER.to_le_bytes().to_vec();
        transfer.extend(lamports.to_le_bytes());
        let message = VersionedMessage::Legacy(Message {
            header: MessageHeader {
                num_required_signatures: 1,
                num_readonly_signed_accounts: 0,
                num_readonly_unsigned_accounts: 2,
            },
            account_keys,
            recent_blockhash: blockhash,
            instructions: vec![
                CompiledInstruction {
                    program_id_index: budget,
                    accounts: Vec::new(),
                    data: limit,
                },
                CompiledInstruction {
                    program_id_index: system,
                    accounts: vec![0, receiver],
                    data: transfer,
                },
            ],
        });
        let signed = self.secret.sign_raw(&message.serialize());
        let signature = Signature::from(*signed.as_bytes());
        let transaction = VersionedTransaction {
            signatures: vec![signature],
            message,
        };
        let bytes = wincode::serialize(&transaction)
            .map_err(|error| Failure::internal(error.to_string()))?;
        Ok((signature, bytes))
    }
}
