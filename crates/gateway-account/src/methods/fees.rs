//! Calls about fees.

use trilith_engine_account::query::{Answer, Question};

use crate::failure::Outcome;
use crate::methods::{Context, ContextConfig, in_context, to_json};
use crate::params::Params;
use crate::read;

/// Most accounts one call may name. Source: Agave, the accounts a transaction may lock.
const ACCOUNTS_MAX: usize = 128;

pub(crate) fn get_fee_for_message(context: &Context<'_>, params: Params) -> Outcome {
    let (text, config): (String, Option<ContextConfig>) = params.up_to(1, 2)?;
    let (message, decoded) = read::message(&text)?;
    decoded.sanitize().map_err(|error| {
        crate::failure::Failure::invalid_params(format!("invalid transaction message: {error}"))
    })?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    match read::ask(context.view, &Question::Fee { message })? {
        Answer::Fee(fee) => in_context(chain.slot, &fee),
        _ => Err(read::confused()),
    }
}

pub(crate) fn get_recent_prioritization_fees(context: &Context<'_>, params: Params) -> Outcome {
    let (keys,): (Option<Vec<String>>,) = params.up_to(0, 1)?;
    let keys = keys.unwrap_or_default();
    read::at_most("inputs", keys.len(), ACCOUNTS_MAX)?;
    let keys = read::pubkeys(&keys)?;
    match read::ask(context.view, &Question::PriorityFees { keys })? {
        Answer::PriorityFees(fees) => {
            let fees: Vec<_> = fees
                .into_iter()
                .map(|(slot, fee)| serde_json::json!({ "slot": slot, "prioritizationFee": fee }))
                .collect();
            to_json(&fees)
        }
        _ => Err(read::confused()),
    }
}
