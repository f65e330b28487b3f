//! Reading what a call names: keys, signatures, hashes, encoded transactions; and typed answers of
//! the engine, with this gateway's refusals.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{CommitmentConfig, UiTransactionEncoding};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::TransactionBinaryEncoding;
use trilith_engine_account::query::{Account, Answer, CODE_NOT_STARTED, Chain, Question, Slice};
use trilith_protocol::QueryError;

use crate::failure::Failure;
use crate::port::StateView;

/// Most bytes of a transaction of version 0 or before: an IPv6 packet of the minimum transfer unit
/// without its headers. Source: Solana `packet`.
pub(crate) const PACKET_BYTES: usize = 1_232;
/// Most characters that so many bytes have in base58 and in base64.
const PACKET_BASE58_CHARS: usize = 1_683;
const PACKET_BASE64_CHARS: usize = 1_644;

pub(crate) fn pubkey(text: &str) -> Result<Pubkey, Failure> {
    Pubkey::from_str(text)
        .map_err(|error| Failure::invalid_params(format!("Invalid param: {error:?}")))
}

pub(crate) fn pubkeys(texts: &[String]) -> Result<Vec<Pubkey>, Failure> {
    texts.iter().map(|text| pubkey(text)).collect()
}

pub(crate) fn signature(text: &str) -> Result<Signature, Failure> {
    Signature::from_str(text)
        .map_err(|error| Failure::invalid_params(format!("Invalid param: {error:?}")))
}

pub(crate) fn hash(text: &str) -> Result<Hash, Failure> {
    Hash::from_str(text).map_err(|error| Failure::invalid_params(format!("{error:?}")))
}

/// Refuses more items than a call may name.
pub(crate) fn at_most(what: &str, count: usize, limit: usize) -> Result<(), Failure> {
    if count > limit {
        return Err(Failure::invalid_params(format!(
            "Too many {what} provided; max {limit}"
        )));
    }
    Ok(())
}

/// The encoding of a transaction in a call, if it is one of bytes.
pub(crate) fn binary(
    encoding: UiTransactionEncoding,
) -> Result<TransactionBinaryEncoding, Failure> {
    encoding.into_binary_encoding().ok_or_else(|| {
        Failure::invalid_params(format!(
            "unsupported encoding: {encoding}. Supported encodings: base58, base64"
        ))
    })
}

/// An encoded transaction: its bytes as they came, and what they say.
pub(crate) fn transaction(
    text: &str,
    encoding: TransactionBinaryEncoding,
) -> Result<(Vec<u8>, VersionedTransaction), Failure> {
    decode(text, encoding)
}

/// An encoded message without signatures.
pub(crate) fn message(text: &str) -> Result<(Vec<u8>, VersionedMessage), Failure> {
    decode(text, TransactionBinaryEncoding::Base64)
}

fn decode<T>(text: &str, encoding: TransactionBinaryEncoding) -> Result<(Vec<u8>, T), Failure>
where
    T: for<'a> wincode::SchemaRead<'a, wincode::config::DefaultConfig, Dst = T>,
{
    let name = std::any::type_name::<T>();
    let (word, limit) = match encoding {
        TransactionBinaryEncoding::Base58 => ("base58", PACKET_BASE58_CHARS),
        TransactionBinaryEncoding::Base64 => ("base64", PACKET_BASE64_CHARS),
    };
    if text.len() > limit {
        return Err(Failure::invalid_params(format!(
            "{word} encoded {name} too large: {} bytes (max: encoded/raw {limit}/{PACKET_BYTES})",
            text.len()
        )));
    }
    let decoded = match encoding {
        TransactionBinaryEncoding::Base58 => bs58::decode(text)
            .into_vec()
            .map_err(|error| format!("{error:?}")),
        TransactionBinaryEncoding::Base64 => BASE64_STANDARD
            .decode(text)
            .map_err(|error| format!("{error:?}")),
    };
    let bytes = decoded
        .map_err(|error| Failure::invalid_params(format!("invalid {word} encoding: {error}")))?;
    if bytes.len() > PACKET_BYTES {
        return Err(Failure::invalid_params(format!(
            "decoded {name} too large: {} bytes (max: {PACKET_BYTES} bytes)",
            bytes.len()
        )));
    }
    let value = wincode::deserialize(&bytes).map_err(|error| {
        Failure::invalid_params(format!("failed to deserialize {name}: {error}"))
    })?;
    Ok((bytes, value))
}

/// Where the chain is in `view`; refuses a call that wants a later state.
pub(crate) fn chain_since(
    view: &dyn StateView,
    min_context_slot: Option<u64>,
) -> Result<std::sync::Arc<Chain>, Failure> {
    let chain = view.chain().map_err(refusal)?;
    match min_context_slot {
        Some(slot) if slot > chain.slot => Err(Failure::min_context_slot(chain.slot)),
        _ => Ok(chain),
    }
}

pub(crate) fn ask(view: &dyn StateView, question: &Question) -> Result<Answer, Failure> {
    view.ask(question).map_err(refusal)
}

/// The engine answered another question than it was asked: a fault of this node.
pub(crate) fn confused() -> Failure {
    Failure::internal("the engine answered another question")
}

pub(crate) fn accounts(
    view: &dyn StateView,
    keys: Vec<Pubkey>,
    slice: Option<Slice>,
) -> Result<Vec<Option<Account>>, Failure> {
    match ask(view, &Question::Accounts { keys, slice })? {
        Answer::Accounts(accounts) => Ok(accounts),
        _ => Err(confused()),
    }
}

pub(crate) fn account(view: &dyn StateView, key: Pubkey) -> Result<Option<Account>, Failure> {
    Ok(accounts(view, vec![key], None)?.pop().flatten())
}

/// What a view answered, or the failure of the call.
pub(crate) fn asked<T>(answer: Result<T, QueryError>) -> Result<T, Failure> {
    answer.map_err(refusal)
}

fn refusal(error: QueryError) -> Failure {
    match error {
        QueryError::Reject(reject) if reject.code == CODE_NOT_STARTED => Failure::unhealthy(),
        QueryError::Reject(reject) => Failure::invalid_params(reject.message),
        QueryError::Fault(fault) => Failure::internal(fault.to_string()),
    }
}

/// Blocks and histories are of ended slots, which are never merely processed.
pub(crate) fn at_least_confirmed(commitment: Option<CommitmentConfig>) -> Result<(), Failure> {
    if commitment.unwrap_or_default().is_at_least_confirmed() {
        return Ok(());
    }
    Err(Failure::invalid_params(
        "Method does not support commitment below `confirmed`",
    ))
}

/// The slot of a commitment: the one that is being built, or the last that ended.
pub(crate) fn slot_of(chain: &Chain, commitment: Option<CommitmentConfig>) -> u64 {
    if commitment.unwrap_or_default().is_processed() {
        chain.slot
    } else {
        chain.parent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A transfer of one lamport: one signature, three keys, one instruction.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend([7; 64]);
        bytes.extend([1, 0, 1, 3]);
        bytes.extend([1; 32]);
        bytes.extend([2; 32]);
        bytes.extend([0; 32]);
        bytes.extend([9; 32]);
        bytes.extend([1, 2, 2, 0, 1, 12, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    fn text(result: Result<(Vec<u8>, VersionedTransaction), Failure>) -> String {
        let json = result.unwrap_err().to_json();
        assert_eq!(json["code"], -32602);
        json["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn transactions_are_read_in_both_encodings() {
        let bytes = sample();
        for (text, encoding) in [
            (
                BASE64_STANDARD.encode(&bytes),
                TransactionBinaryEncoding::Base64,
            ),
            (
                bs58::encode(&bytes).into_string(),
                TransactionBinaryEncoding::Base58,
            ),
        ] {
            let (same, read) = transaction(&text, encoding).unwrap();
            assert_eq!(same, bytes);
            assert_eq!(read.signatures, [Signature::from([7; 64])]);
            assert_eq!(read.message.instructions()[0].data[0], 2);
            assert!(read.sanitize().is_ok());
        }
    }

    #[test]
    fn what_is_no_transaction_is_refused_in_known_words() {
        let name = "solana_transaction::versioned::VersionedTransaction";
        let base64 = TransactionBinaryEncoding::Base64;
        let base58 = TransactionBinaryEncoding::Base58;
        assert_eq!(
            text(transaction(&"A".repeat(1_645), base64)),
            format!("base64 encoded {name} too large: 1645 bytes (max: encoded/raw 1644/1232)")
        );
        assert_eq!(
            text(transaction(&"1".repeat(1_684), base58)),
            format!("base58 encoded {name} too large: 1684 bytes (max: encoded/raw 1683/1232)")
        );
        assert_eq!(
            text(transaction(&"1".repeat(1_233), base58)),
            format!("decoded {name} too large: 1233 bytes (max: 1232 bytes)")
        );
        assert!(text(transaction("*", base64)).starts_with("invalid base64 encoding: "));
        assert!(text(transaction("0", base58)).starts_with("invalid base58 encoding: "));
        let cut = BASE64_STANDARD.encode(&sample()[..100]);
        assert!(
            text(transaction(&cut, base64)).starts_with(&format!("failed to deserialize {name}: "))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_transaction_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1_300)) {
            let text = BASE64_STANDARD.encode(&bytes);
            if let Ok((same, read)) = transaction(&text, TransactionBinaryEncoding::Base64) {
                prop_assert_eq!(same, bytes);
                // Whether its parts fit together is found without a panic as well.
                let _verdict = read.sanitize();
            }
        }

        #[test]
        fn damaged_transactions_are_read_or_refused(at in 0..sample().len(), bit in 0..8u32, cut in 0..40usize) {
            let mut bytes = sample();
            bytes[at] ^= 1 << bit;
            bytes.truncate(bytes.len() - cut);
            let text = BASE64_STANDARD.encode(&bytes);
            if let Ok((same, read)) = transaction(&text, TransactionBinaryEncoding::Base64) {
                prop_assert_eq!(same, bytes);
                let _verdict = read.sanitize();
            }
        }

        #[test]
        fn names_are_read_or_refused(text in ".{0,100}") {
            let _key = pubkey(&text);
            let _signature = signature(&text);
            let _hash = hash(&text);
            let _message = message(&text);
        }
    }
}
