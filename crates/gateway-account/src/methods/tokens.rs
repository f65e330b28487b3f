//! Calls about tokens of both token programs.

use serde_json::json;
use solana_account_decoder::parse_token::is_known_spl_token_id;
use solana_rpc_client_types::config::{
    CommitmentConfig, RpcAccountInfoConfig, RpcTokenAccountsFilter, UiAccountEncoding,
};
use solana_rpc_client_types::response::RpcTokenAccountBalance;
use spl_token_2022_interface::extension::StateWithExtensions;
use spl_token_2022_interface::state::{Account as TokenAccount, Mint};
use trilith_engine_account::query::{Answer, Question, TokenScope};

use crate::accounts;
use crate::failure::{Failure, Outcome};
use crate::methods::accounts::keyed;
use crate::methods::{Context, form, in_context};
use crate::params::Params;
use crate::read;

fn invalid(text: &str) -> Failure {
    Failure::invalid_params(format!("Invalid param: {text}"))
}

pub(crate) fn get_token_account_balance(context: &Context<'_>, params: Params) -> Outcome {
    let (key, _): (String, Option<CommitmentConfig>) = params.up_to(1, 2)?;
    let key = read::pubkey(&key)?;
    let chain = read::chain_since(context.view, None)?;
    let account =
        read::account(context.view, key)?.ok_or_else(|| invalid("could not find account"))?;
    let token = StateWithExtensions::<TokenAccount>::unpack(&account.data);
    let token = match token {
        Ok(token) if is_known_spl_token_id(&account.owner) => token.base,
        _ => return Err(invalid("not a Token account")),
    };
    let (_, units) = accounts::units(context.view, &token.mint)?
        .ok_or_else(|| invalid("could not find mint"))?;
    in_context(chain.slot, &accounts::amount(token.amount, &units))
}

pub(crate) fn get_token_supply(context: &Context<'_>, params: Params) -> Outcome {
    let (key, _): (String, Option<CommitmentConfig>) = params.up_to(1, 2)?;
    let key = read::pubkey(&key)?;
    let chain = read::chain_since(context.view, None)?;
    let account =
        read::account(context.view, key)?.ok_or_else(|| invalid("could not find account"))?;
    if !is_known_spl_token_id(&account.owner) {
        return Err(invalid("not a Token mint"));
    }
    let mint = StateWithExtensions::<Mint>::unpack(&account.data)
        .map_err(|_| invalid("mint could not be unpacked"))?;
    let seconds = (chain.time / 1_000_000_000) as i64;
    let units = accounts::mint_units(&account.data, seconds)
        .ok_or_else(|| invalid("mint could not be unpacked"))?;
    in_context(chain.slot, &accounts::amount(mint.base.supply, &units))
}

pub(crate) fn get_token_largest_accounts(context: &Context<'_>, params: Params) -> Outcome {
    let (key, _): (String, Option<CommitmentConfig>) = params.up_to(1, 2)?;
    let mint = read::pubkey(&key)?;
    let chain = read::chain_since(context.view, None)?;
    let units = match accounts::units(context.view, &mint)? {
        Some((owner, units)) if is_known_spl_token_id(&owner) => units,
        Some(_) => return Err(invalid("not a Token mint")),
        None => return Err(invalid("could not find mint")),
    };
    let Answer::Balances(balances) = read::ask(context.view, &Question::TokenLargest { mint })?
    else {
        return Err(read::confused());
    };
    let balances: Vec<RpcTokenAccountBalance> = balances
        .into_iter()
        .map(|(address, amount)| RpcTokenAccountBalance {
            address: address.to_string(),
            amount: accounts::amount(amount, &units),
        })
        .collect();
    in_context(chain.slot, &json!(balances))
}

pub(crate) fn get_token_accounts_by_owner(context: &Context<'_>, params: Params) -> Outcome {
    token_accounts(context, params, false)
}

pub(crate) fn get_token_accounts_by_delegate(context: &Context<'_>, params: Params) -> Outcome {
    token_accounts(context, params, true)
}

fn token_accounts(context: &Context<'_>, params: Params, by_delegate: bool) -> Outcome {
    let (holder, filter, config): (String, RpcTokenAccountsFilter, Option<RpcAccountInfoConfig>) =
        params.up_to(2, 3)?;
    let holder = read::pubkey(&holder)?;
    let of = match filter {
        RpcTokenAccountsFilter::Mint(mint) => TokenScope::Mint(read::pubkey(&mint)?),
        RpcTokenAccountsFilter::ProgramId(program) => TokenScope::Program(read::pubkey(&program)?),
    };
    match of {
        TokenScope::Program(program) if !is_known_spl_token_id(&program) => {
            return Err(invalid("unrecognized Token program id"));
        }
        TokenScope::Mint(mint) => match accounts::units(context.view, &mint)? {
            Some((owner, _)) if is_known_spl_token_id(&owner) => {}
            Some(_) => return Err(invalid("not a Token mint")),
            None => return Err(invalid("could not find mint")),
        },
        TokenScope::Program(_) => {}
    }
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let form = form(&config, UiAccountEncoding::Binary);
    let question = Question::TokenAccounts {
        holder,
        by_delegate,
        of,
        slice: form.asked_slice(),
    };
    in_context(chain.slot, &keyed(context, form, &question)?)
}
