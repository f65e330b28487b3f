//! Calls about accounts and their balances.

use serde_json::json;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::{
    CommitmentConfig, RpcAccountInfoConfig, RpcLargestAccountsConfig, RpcLargestAccountsFilter,
    RpcProgramAccountsConfig, RpcSupplyConfig, UiAccountEncoding,
};
use solana_rpc_client_types::filter::RpcFilterType;
use solana_rpc_client_types::request::{MAX_GET_PROGRAM_ACCOUNT_FILTERS, MAX_MULTIPLE_ACCOUNTS};
use solana_rpc_client_types::response::{RpcAccountBalance, RpcKeyedAccount, RpcSupply};
use trilith_engine_account::ACCOUNT_BYTES_MAX;
use trilith_engine_account::query::{Account, Answer, Filter, Question};

use crate::accounts::{Encoder, Form};
use crate::failure::{Failure, Outcome};
use crate::methods::{Context, in_context, to_json};
use crate::params::Params;
use crate::read;

pub(crate) fn get_account_info(context: &Context<'_>, params: Params) -> Outcome {
    let (key, config): (String, Option<RpcAccountInfoConfig>) = params.up_to(1, 2)?;
    let key = read::pubkey(&key)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let form = form(&config, UiAccountEncoding::Binary);
    let found = read::accounts(context.view, vec![key], form.asked_slice())?;
    let mut encoder = context.encoder(form);
    let account = found.into_iter().next().flatten();
    let account = account
        .map(|account| encoder.encode(&key, account))
        .transpose()?;
    in_context(chain.slot, &account)
}

pub(crate) fn get_multiple_accounts(context: &Context<'_>, params: Params) -> Outcome {
    let (keys, config): (Vec<String>, Option<RpcAccountInfoConfig>) = params.up_to(1, 2)?;
    read::at_most("inputs", keys.len(), MAX_MULTIPLE_ACCOUNTS)?;
    let keys = read::pubkeys(&keys)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let form = form(&config, UiAccountEncoding::Base64);
    let found = read::accounts(context.view, keys.clone(), form.asked_slice())?;
    let mut encoder = context.encoder(form);
    let accounts = keys
        .iter()
        .zip(found)
        .map(|(key, account)| {
            account
                .map(|account| encoder.encode(key, account))
                .transpose()
        })
        .collect::<Result<Vec<_>, _>>()?;
    in_context(chain.slot, &accounts)
}

pub(crate) fn get_balance(context: &Context<'_>, params: Params) -> Outcome {
    let (key, config): (String, Option<super::ContextConfig>) = params.up_to(1, 2)?;
    let key = read::pubkey(&key)?;
    let chain = read::chain_since(context.view, config.unwrap_or_default().min_context_slot)?;
    let nothing = trilith_engine_account::query::Slice { offset: 0, len: 0 };
    let found = read::accounts(context.view, vec![key], Some(nothing))?;
    let lamports = found
        .first()
        .and_then(Option::as_ref)
        .map_or(0, |account| account.lamports);
    in_context(chain.slot, &lamports)
}

pub(crate) fn get_program_accounts(context: &Context<'_>, params: Params) -> Outcome {
    let (program, config): (String, Option<RpcProgramAccountsConfig>) = params.up_to(1, 2)?;
    let program = read::pubkey(&program)?;
    let config = config.unwrap_or_default();
    let filters = filters(config.filters.unwrap_or_default())?;
    let chain = read::chain_since(context.view, config.account_config.min_context_slot)?;
    let form = form(&config.account_config, UiAccountEncoding::Binary);
    let question = Question::ProgramAccounts {
        program,
        filters,
        slice: form.asked_slice(),
    };
    let accounts = keyed(context, form, &question)?;
    if config.with_context.unwrap_or(false) {
        in_context(chain.slot, &accounts)
    } else {
        to_json(&accounts)
    }
}

/// The accounts a question gives, encoded.
pub(crate) fn keyed(
    context: &Context<'_>,
    form: Form,
    question: &Question,
) -> Result<Vec<RpcKeyedAccount>, Failure> {
    let Answer::Keyed(found) = read::ask(context.view, question)? else {
        return Err(read::confused());
    };
    let mut encoder = context.encoder(form);
    encode_keyed(&mut encoder, found)
}

fn encode_keyed(
    encoder: &mut Encoder<'_>,
    found: Vec<(Pubkey, Account)>,
) -> Result<Vec<RpcKeyedAccount>, Failure> {
    let encoded = found.into_iter().map(|(key, account)| {
        Ok(RpcKeyedAccount {
            pubkey: key.to_string(),
            account: encoder.encode(&key, account)?,
        })
    });
    encoded.collect()
}

/// Conditions on accounts, checked and decoded.
pub(crate) fn filters(filters: Vec<RpcFilterType>) -> Result<Vec<Filter>, Failure> {
    read::at_most("filters", filters.len(), MAX_GET_PROGRAM_ACCOUNT_FILTERS)?;
    let invalid = |error| Failure::invalid_params(format!("Invalid param: {error:?}"));
    let read = filters.into_iter().map(|filter| {
        filter.verify().map_err(invalid)?;
        Ok(match filter {
            RpcFilterType::DataSize(len) => Filter::DataSize(len),
            RpcFilterType::TokenAccountState => Filter::TokenAccount,
            RpcFilterType::Memcmp(compare) => Filter::Bytes {
                offset: compare.offset() as u64,
                bytes: compare.bytes().unwrap_or_default().into_owned(),
            },
        })
    });
    read.collect()
}

/// How a configuration wants accounts.
pub(crate) fn form(config: &RpcAccountInfoConfig, default: UiAccountEncoding) -> Form {
    Form {
        encoding: config.encoding.unwrap_or(default),
        slice: config.data_slice,
    }
}

pub(crate) fn get_minimum_balance(context: &Context<'_>, params: Params) -> Outcome {
    let (len, _): (usize, Option<CommitmentConfig>) = params.up_to(1, 2)?;
    if len > ACCOUNT_BYTES_MAX {
        return Err(Failure::invalid_request());
    }
    let question = Question::MinimumBalance { len: len as u64 };
    match read::ask(context.view, &question)? {
        Answer::Lamports(lamports) => Ok(json!(lamports)),
        _ => Err(read::confused()),
    }
}

pub(crate) fn get_largest_accounts(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<RpcLargestAccountsConfig>,) = params.up_to(0, 1)?;
    let chain = read::chain_since(context.view, None)?;
    // Every account circulates here.
    let excluded = config
        .and_then(|config| config.filter)
        .is_some_and(|filter| filter == RpcLargestAccountsFilter::NonCirculating);
    let balances = match read::ask(context.view, &Question::Largest)? {
        Answer::Balances(_) if excluded => Vec::new(),
        Answer::Balances(balances) => balances,
        _ => return Err(read::confused()),
    };
    let accounts: Vec<RpcAccountBalance> = balances
        .into_iter()
        .map(|(key, lamports)| RpcAccountBalance {
            address: key.to_string(),
            lamports,
        })
        .collect();
    in_context(chain.slot, &accounts)
}

pub(crate) fn get_supply(context: &Context<'_>, params: Params) -> Outcome {
    let (_,): (Option<RpcSupplyConfig>,) = params.up_to(0, 1)?;
    let chain = read::chain_since(context.view, None)?;
    let supply = RpcSupply {
        total: chain.supply,
        circulating: chain.supply,
        non_circulating: 0,
        non_circulating_accounts: Vec::new(),
    };
    in_context(chain.slot, &supply)
}
