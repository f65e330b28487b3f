//! Simulation of a transaction, and its result in the shape that preflight failures carry too.

use solana_message::AccountKeys;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{
    RpcSimulateTransactionConfig, UiAccountEncoding, UiTransactionEncoding,
};
use solana_rpc_client_types::response::{
    RpcBlockhash, RpcSimulateTransactionResult, UiLoadedAddresses,
};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::parse_ui_inner_instructions;
use trilith_engine_account::query::{Answer, Question, Simulate, Simulated};

use crate::accounts::Form;
use crate::failure::{Failure, Outcome};
use crate::history;
use crate::methods::{Context, in_context};
use crate::params::Params;
use crate::read;

pub(crate) fn simulate_transaction(context: &Context<'_>, params: Params) -> Outcome {
    let (text, config): (String, Option<RpcSimulateTransactionConfig>) = params.up_to(1, 2)?;
    let config = config.unwrap_or_default();
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Base58);
    let (bytes, transaction) = read::transaction(&text, read::binary(encoding)?)?;
    read::chain_since(context.view, config.min_context_slot)?;
    if config.sig_verify && config.replace_recent_blockhash {
        return Err(Failure::invalid_params(
            "sigVerify may not be used with replaceRecentBlockhash",
        ));
    }
    sanitize(&transaction)?;
    let wanted = wanted(&config, &transaction)?;
    let simulated = simulate(
        context,
        Simulate {
            transaction: bytes,
            verify_signatures: config.sig_verify,
            replace_blockhash: config.replace_recent_blockhash,
            accounts: wanted.clone().map(|(_, keys)| keys).unwrap_or_default(),
        },
    )?;
    if config.sig_verify && simulated.record.status == Err(TransactionError::SignatureFailure) {
        return Err(Failure::signature_verification());
    }
    let mut result = result(&simulated, config.inner_instructions);
    if let Some((form, keys)) = wanted {
        let failed = simulated.record.status.is_err();
        let mut encoder = context.encoder(form);
        let accounts = keys
            .iter()
            .zip(simulated.accounts)
            .map(|(key, account)| match account {
                Some(account) if !failed => encoder.encode(key, account).map(Some),
                _ => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        result.accounts = Some(accounts);
    }
    in_context(simulated.slot, &result)
}

/// Which accounts are asked for, and how.
fn wanted(
    config: &RpcSimulateTransactionConfig,
    transaction: &VersionedTransaction,
) -> Result<Option<(Form, Vec<Pubkey>)>, Failure> {
    let Some(accounts) = &config.accounts else {
        return Ok(None);
    };
    let encoding = accounts.encoding.unwrap_or(UiAccountEncoding::Base64);
    if matches!(
        encoding,
        UiAccountEncoding::Binary | UiAccountEncoding::Base58
    ) {
        return Err(Failure::invalid_params("base58 encoding not supported"));
    }
    let message = &transaction.message;
    let lookups = message.address_table_lookups().unwrap_or_default().iter();
    let looked_up: usize = lookups
        .map(|lookup| lookup.writable_indexes.len() + lookup.readonly_indexes.len())
        .sum();
    let keys = message.static_account_keys().len() + looked_up;
    read::at_most("accounts", accounts.addresses.len(), keys)?;
    let form = Form {
        encoding,
        slice: None,
    };
    Ok(Some((form, read::pubkeys(&accounts.addresses)?)))
}

/// Refuses a transaction whose parts do not fit together.
pub(crate) fn sanitize(transaction: &VersionedTransaction) -> Result<(), Failure> {
    transaction
        .sanitize()
        .map_err(|error| Failure::invalid_params(format!("invalid transaction: {error}")))
}

pub(crate) fn simulate(context: &Context<'_>, question: Simulate) -> Result<Simulated, Failure> {
    match read::ask(context.view, &Question::Simulate(question))? {
        Answer::Simulated(simulated) => Ok(*simulated),
        _ => Err(read::confused()),
    }
}

/// The result without accounts.
pub(crate) fn result(simulated: &Simulated, with_inner: bool) -> RpcSimulateTransactionResult {
    let record = &simulated.record;
    let keys = AccountKeys::new(&record.keys, None);
    let inner = with_inner.then(|| {
        let groups = history::inner(record).into_iter();
        groups
            .map(|group| parse_ui_inner_instructions(group, &keys))
            .collect()
    });
    let balances = |list: &[trilith_engine_account::record::TokenBalance]| {
        list.iter()
            .map(|balance| history::token_balance(balance).into())
            .collect()
    };
    RpcSimulateTransactionResult {
        err: record.status.clone().err().map(Into::into),
        logs: Some(record.logs.clone()),
        accounts: None,
        units_consumed: Some(record.units),
        loaded_accounts_data_size: Some(record.loaded_bytes),
        return_data: history::returned(record).map(Into::into),
        inner_instructions: inner,
        replacement_blockhash: simulated.replacement.map(|(hash, height)| RpcBlockhash {
            blockhash: hash.to_string(),
            last_valid_block_height: height,
        }),
        fee: Some(record.fee),
        pre_balances: Some(record.balances_before.clone()),
        post_balances: Some(record.balances_after.clone()),
        pre_token_balances: Some(balances(&record.tokens_before)),
        post_token_balances: Some(balances(&record.tokens_after)),
        loaded_addresses: Some(UiLoadedAddresses {
            writable: strings(record.loaded_writable_keys()),
            readonly: strings(record.loaded_readonly_keys()),
        }),
    }
}

fn strings(keys: &[Pubkey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}
