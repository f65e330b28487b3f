//! Calls about transactions that were executed.

use serde_json::Value;
use solana_rpc_client_types::config::{
    EncodingConfig as _, RpcEncodingConfigWrapper, RpcSignatureStatusConfig,
    RpcSignaturesForAddressConfig, RpcTransactionConfig, UiTransactionEncoding,
};
use solana_rpc_client_types::request::{
    MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT, MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS,
};
use solana_rpc_client_types::response::RpcConfirmedTransactionStatusWithSignature;
use solana_transaction_status::TransactionConfirmationStatus;
use trilith_engine_account::query::{Answer, Question, Status};

use crate::failure::{Failure, Outcome};
use crate::history;
use crate::methods::{Context, in_context, to_json};
use crate::params::Params;
use crate::read;

pub(crate) fn get_signature_statuses(context: &Context<'_>, params: Params) -> Outcome {
    let (texts, _): (Vec<String>, Option<RpcSignatureStatusConfig>) = params.up_to(1, 2)?;
    read::at_most(
        "inputs",
        texts.len(),
        MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS,
    )?;
    let signatures = texts
        .iter()
        .map(|text| read::signature(text))
        .collect::<Result<Vec<_>, _>>()?;
    let chain = read::chain_since(context.view, None)?;
    let Answer::Statuses(statuses) = read::ask(context.view, &Question::Statuses { signatures })?
    else {
        return Err(read::confused());
    };
    let statuses: Vec<Option<Value>> = statuses
        .into_iter()
        .map(|status| status.map(|status| status_json(&status)).transpose())
        .collect::<Result<_, _>>()?;
    in_context(chain.slot, &statuses)
}

/// A status. What is recorded is final, so there are no confirmations to count.
fn status_json(status: &Status) -> Outcome {
    to_json(&solana_transaction_status::TransactionStatus {
        slot: status.slot,
        confirmations: None,
        status: status.status.clone(),
        err: status.status.clone().err(),
        confirmation_status: Some(TransactionConfirmationStatus::Finalized),
    })
}

pub(crate) fn get_transaction(context: &Context<'_>, params: Params) -> Outcome {
    let (text, config): (
        String,
        Option<RpcEncodingConfigWrapper<RpcTransactionConfig>>,
    ) = params.up_to(1, 2)?;
    let signature = read::signature(&text)?;
    let config = match config {
        None => RpcTransactionConfig::default(),
        Some(RpcEncodingConfigWrapper::Deprecated(encoding)) => {
            RpcTransactionConfig::new_with_encoding(&encoding)
        }
        Some(RpcEncodingConfigWrapper::Current(config)) => config.unwrap_or_default(),
    };
    read::at_least_confirmed(config.commitment)?;
    let Answer::Transaction(found) = read::ask(context.view, &Question::Transaction(signature))?
    else {
        return Err(read::confused());
    };
    let Some((record, time)) = found else {
        return Ok(Value::Null);
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    let version = config.max_supported_transaction_version;
    to_json(&history::transaction(*record, time, encoding, version)?)
}

pub(crate) fn get_signatures_for_address(context: &Context<'_>, params: Params) -> Outcome {
    let (address, config): (String, Option<RpcSignaturesForAddressConfig>) = params.up_to(1, 2)?;
    let address = read::pubkey(&address)?;
    let config = config.unwrap_or_default();
    let before = config.before.as_deref().map(read::signature).transpose()?;
    let until = config.until.as_deref().map(read::signature).transpose()?;
    let most = MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT;
    let limit = config.limit.unwrap_or(most);
    if limit == 0 || limit > most {
        return Err(Failure::invalid_params(format!(
            "Invalid limit; max {most}"
        )));
    }
    read::at_least_confirmed(config.commitment)?;
    read::chain_since(context.view, config.min_context_slot)?;
    let question = Question::Signatures {
        address,
        before,
        until,
        limit: limit as u32,
    };
    let Answer::Signatures(entries) = read::ask(context.view, &question)? else {
        return Err(read::confused());
    };
    let entries: Vec<_> = entries
        .into_iter()
        .map(|entry| RpcConfirmedTransactionStatusWithSignature {
            signature: entry.signature.to_string(),
            slot: entry.slot,
            err: entry.error.map(Into::into),
            memo: entry.memo,
            block_time: Some(entry.time),
            confirmation_status: Some(TransactionConfirmationStatus::Finalized),
            transaction_index: Some(entry.index),
        })
        .collect();
    to_json(&entries)
}
