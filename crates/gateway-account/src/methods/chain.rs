//! Calls about where the chain is.

use serde_json::json;
use solana_rpc_client_types::response::{RpcBlockhash, RpcPerfSample, RpcVersionInfo};
use trilith_engine_account::query::{Answer, Question};

use crate::epochs::epoch_of;
use crate::failure::{Failure, Outcome};
use crate::methods::{Context, ContextConfig, in_context, to_json};
use crate::params::Params;
use crate::read;

/// Most samples of one answer. Source: Agave, as many minutes as it keeps: twelve hours.
const SAMPLES_MAX: usize = 720;

pub(crate) fn get_slot(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    Ok(json!(read::slot_of(&chain, config.commitment)))
}

/// Every slot counts as a height, whether it has a block or not.
pub(crate) fn get_block_height(context: &Context<'_>, params: Params) -> Outcome {
    get_slot(context, params)
}

/// The newest slot there is; what a cluster would have received and passed on.
pub(crate) fn get_max_slot(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    Ok(json!(read::chain_since(context.view, None)?.slot))
}

pub(crate) fn get_first_available_block(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    Ok(json!(read::chain_since(context.view, None)?.first_block))
}

pub(crate) fn get_genesis_hash(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let chain = read::chain_since(context.view, None)?;
    Ok(json!(chain.genesis_hash.to_string()))
}

pub(crate) fn get_health(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    if context.gateway.port.is_healthy() {
        Ok(json!("ok"))
    } else {
        Err(Failure::unhealthy())
    }
}

pub(crate) fn get_version(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let chain = read::chain_since(context.view, None)?;
    to_json(&RpcVersionInfo {
        solana_core: crate::API_VERSION.to_owned(),
        feature_set: Some(chain.feature_set),
    })
}

pub(crate) fn get_epoch_info(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let slot = read::slot_of(&chain, config.commitment);
    let position = epoch_of(&chain.schedule, slot);
    Ok(json!({
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": position.epoch,
        "slotIndex": slot - position.first_slot,
        "slotsInEpoch": position.slots,
        "transactionCount": chain.transactions,
    }))
}

pub(crate) fn get_epoch_schedule(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let schedule = read::chain_since(context.view, None)?.schedule;
    Ok(json!({
        "firstNormalEpoch": schedule.first_normal_epoch,
        "firstNormalSlot": schedule.first_normal_slot,
        "leaderScheduleSlotOffset": schedule.leader_schedule_slot_offset,
        "slotsPerEpoch": schedule.slots_per_epoch,
        "warmup": schedule.warmup,
    }))
}

pub(crate) fn get_latest_blockhash(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    let blockhash = RpcBlockhash {
        blockhash: chain.blockhash.to_string(),
        last_valid_block_height: chain.last_valid_height,
    };
    in_context(chain.slot, &blockhash)
}

pub(crate) fn is_blockhash_valid(context: &Context<'_>, params: Params) -> Outcome {
    let (text, config): (String, Option<ContextConfig>) = params.up_to(1, 2)?;
    let hash = read::hash(&text)?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    match read::ask(context.view, &Question::IsBlockhashValid(hash))? {
        Answer::Bool(valid) => in_context(chain.slot, &valid),
        _ => Err(read::confused()),
    }
}

pub(crate) fn get_transaction_count(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let since = config.unwrap_or_default().min_context_slot;
    Ok(json!(read::chain_since(context.view, since)?.transactions))
}

pub(crate) fn get_recent_performance_samples(context: &Context<'_>, params: Params) -> Outcome {
    let (limit,): (Option<usize>,) = params.up_to(0, 1)?;
    let limit = limit.unwrap_or(SAMPLES_MAX);
    if limit > SAMPLES_MAX {
        return Err(Failure::invalid_params(format!(
            "Invalid limit; max {SAMPLES_MAX}"
        )));
    }
    let question = Question::Samples {
        limit: limit as u32,
    };
    let Answer::Samples(samples) = read::ask(context.view, &question)? else {
        return Err(read::confused());
    };
    let samples: Vec<RpcPerfSample> = samples
        .into_iter()
        .map(|sample| RpcPerfSample {
            slot: sample.slot,
            num_transactions: sample.transactions,
            // There are no votes here.
            num_non_vote_transactions: Some(sample.transactions),
            num_slots: sample.slots,
            sample_period_secs: sample.seconds,
        })
        .collect();
    to_json(&samples)
}
