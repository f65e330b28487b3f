//! Calls that bring transactions in.

use serde_json::{Value, json};
use solana_rpc_client_types::config::{
    RpcRequestAirdropConfig, RpcSendTransactionConfig, UiTransactionEncoding,
};
use solana_transaction_error::TransactionError;
use trilith_engine_account::query::Simulate;

use crate::failure::{Failure, Outcome};
use crate::methods::Context;
use crate::methods::simulate::{result, sanitize, simulate};
use crate::params::Params;
use crate::port::SubmitError;
use crate::read;

/// Whether a call of `sendTransaction` may take long: preflight runs programs. Checking signatures
/// alone takes no longer than two threads take to hand a call over and back; a transaction has room
/// for twelve of them.
pub(crate) fn is_heavy(params: &Params) -> bool {
    let skips = |config: &Value| config["skipPreflight"] == Value::Bool(true);
    !matches!(params, Params::Array(items) if items.get(1).is_some_and(skips))
}

pub(crate) fn send_transaction(context: &Context<'_>, params: Params) -> Outcome {
    let (text, config): (String, Option<RpcSendTransactionConfig>) = params.up_to(1, 2)?;
    let config = config.unwrap_or_default();
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
    let (bytes, transaction) = read::transaction(&text, read::binary(encoding)?)?;
    read::chain_since(context.view, config.min_context_slot)?;
    sanitize(&transaction)?;
    // A sanitised transaction has a signature: its fee payer signs.
    let Some(signature) = transaction.signatures.first().copied() else {
        return Err(Failure::signature_count());
    };
    if !config.skip_preflight {
        preflight(context, bytes.clone())?;
    }
    match context.gateway.port.submit(bytes) {
        Ok(()) => Ok(json!(signature.to_string())),
        // As on a cluster, who skips preflight is told nothing of what is wrong with a
        // transaction: it never comes to be executed.
        Err(SubmitError::Rejected(reject)) if config.skip_preflight => {
            tracing::debug!(%reject, %signature, "a transaction is not taken up");
            Ok(json!(signature.to_string()))
        }
        Err(error) => Err(not_taken(&error)),
    }
}

/// Refuses a transaction that would fail now.
fn preflight(context: &Context<'_>, transaction: Vec<u8>) -> Result<(), Failure> {
    if !context.gateway.port.is_healthy() {
        return Err(Failure::unhealthy());
    }
    let simulated = simulate(
        context,
        Simulate {
            transaction,
            verify_signatures: true,
            replace_blockhash: false,
            accounts: Vec::new(),
        },
    )?;
    match &simulated.record.status {
        Ok(()) => Ok(()),
        Err(TransactionError::SignatureFailure) => Err(Failure::signature_verification()),
        Err(error) => Err(Failure::preflight(
            format!("Transaction simulation failed: {error}"),
            &result(&simulated, false),
        )),
    }
}

/// A transaction that was good in preflight and is not taken: the pool is full, or a round came in
/// between.
fn not_taken(error: &SubmitError) -> Failure {
    match error {
        SubmitError::Rejected(_) => {
            Failure::internal_text(format!("the transaction was not taken up: {error}"))
        }
        SubmitError::Pool(_) => Failure::internal_text(error.to_string()),
        SubmitError::TooLarge { .. } => Failure::invalid_params(error.to_string()),
    }
}

pub(crate) fn request_airdrop(context: &Context<'_>, params: Params) -> Outcome {
    let (key, lamports, config): (String, u64, Option<RpcRequestAirdropConfig>) =
        params.up_to(2, 3)?;
    let to = read::pubkey(&key)?;
    let Some(faucet) = &context.gateway.faucet else {
        return Err(Failure::invalid_request());
    };
    let chain = read::chain_since(context.view, None)?;
    if chain.faucet != Some(faucet.key()) {
        return Err(Failure::invalid_request());
    }
    let blockhash = match config.and_then(|config| config.recent_blockhash) {
        None => chain.blockhash,
        Some(text) => read::hash(&text)?,
    };
    let funds = read::account(context.view, faucet.key())?.map_or(0, |account| account.lamports);
    if lamports.saturating_add(chain.lamports_per_signature) > funds {
        return Err(Failure::internal_text(format!(
            "the faucet has {funds} lamports, {lamports} and a fee are asked for"
        )));
    }
    let (signature, bytes) = faucet.transfer(&to, lamports, blockhash)?;
    match context.gateway.port.submit(bytes) {
        Ok(()) => Ok(json!(signature.to_string())),
        Err(error) => Err(not_taken(&error)),
    }
}
