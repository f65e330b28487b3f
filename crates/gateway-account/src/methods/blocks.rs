//! Calls about blocks. A block is of a slot that has ended and in which there was a round; other
//! slots count as skipped.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use solana_rpc_client_types::config::{
    EncodingConfig as _, RpcBlockConfig, RpcBlockProductionConfig, RpcBlocksConfigWrapper,
    RpcContextConfig, RpcEncodingConfigWrapper, UiTransactionEncoding,
};
use solana_rpc_client_types::request::MAX_GET_CONFIRMED_BLOCKS_RANGE;
use solana_rpc_client_types::response::RpcBlockCommitment;
use trilith_engine_account::query::{Answer, Chain, Question};

use crate::epochs::epoch_of;
use crate::failure::{Failure, Outcome};
use crate::history::{self, BlockForm};
use crate::methods::{Context, in_context, to_json};
use crate::params::Params;
use crate::read;

/// Entries of a block's commitment in the shape of a cluster: one for each depth of lockout, and
/// the root.
const COMMITMENT_DEPTHS: usize = 32;

pub(crate) fn get_block(context: &Context<'_>, params: Params) -> Outcome {
    let (slot, config): (u64, Option<RpcEncodingConfigWrapper<RpcBlockConfig>>) =
        params.up_to(1, 2)?;
    let config = match config {
        None => RpcBlockConfig::default(),
        Some(RpcEncodingConfigWrapper::Deprecated(encoding)) => {
            RpcBlockConfig::new_with_encoding(&encoding)
        }
        Some(RpcEncodingConfigWrapper::Current(config)) => config.unwrap_or_default(),
    };
    read::at_least_confirmed(config.commitment)?;
    let chain = read::chain_since(context.view, None)?;
    let Answer::Block(found) = read::ask(context.view, &Question::Block(slot))? else {
        return Err(read::confused());
    };
    let Some((header, records)) = found else {
        return Err(absent(&chain, slot));
    };
    let form = BlockForm {
        encoding: config.encoding.unwrap_or(UiTransactionEncoding::Json),
        details: config.transaction_details.unwrap_or_default(),
        rewards: config.rewards.unwrap_or(true),
        max_version: config.max_supported_transaction_version,
    };
    to_json(&history::block(&chain, &header, records, form)?)
}

/// Why a slot has no block.
fn absent(chain: &Chain, slot: u64) -> Failure {
    if slot == chain.slot {
        // It is being built.
        Failure::block_status_not_available(slot)
    } else if slot > chain.slot {
        Failure::block_not_available(slot)
    } else if slot < chain.first_block {
        Failure::block_cleaned_up(slot, chain.first_block)
    } else {
        Failure::slot_skipped(slot)
    }
}

pub(crate) fn get_block_time(context: &Context<'_>, params: Params) -> Outcome {
    let (slot,): (u64,) = params.exact()?;
    let chain = read::chain_since(context.view, None)?;
    match read::ask(context.view, &Question::Header(slot))? {
        Answer::Header(Some(header)) => Ok(json!(header.time)),
        Answer::Header(None) => Err(absent(&chain, slot)),
        _ => Err(read::confused()),
    }
}

pub(crate) fn get_blocks(context: &Context<'_>, params: Params) -> Outcome {
    let (first, end, config): (
        u64,
        Option<RpcBlocksConfigWrapper>,
        Option<RpcContextConfig>,
    ) = params.up_to(1, 3)?;
    let (last, other) = end.map_or((None, None), |end| end.unzip());
    let config = config.or(other).unwrap_or_default();
    read::at_least_confirmed(config.commitment)?;
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let last = last.unwrap_or_else(|| first.saturating_add(MAX_GET_CONFIRMED_BLOCKS_RANGE));
    if last < first {
        return Ok(json!([]));
    }
    if last - first > MAX_GET_CONFIRMED_BLOCKS_RANGE {
        return Err(Failure::invalid_params(format!(
            "Slot range too large; max {MAX_GET_CONFIRMED_BLOCKS_RANGE}"
        )));
    }
    let limit = MAX_GET_CONFIRMED_BLOCKS_RANGE as u32 + 1;
    to_json(&ended(context, &chain, first, last, limit)?)
}

pub(crate) fn get_blocks_with_limit(context: &Context<'_>, params: Params) -> Outcome {
    let (first, limit, config): (u64, u64, Option<RpcContextConfig>) = params.up_to(2, 3)?;
    let config = config.unwrap_or_default();
    read::at_least_confirmed(config.commitment)?;
    if limit > MAX_GET_CONFIRMED_BLOCKS_RANGE {
        return Err(Failure::invalid_params(format!(
            "Limit too large; max {MAX_GET_CONFIRMED_BLOCKS_RANGE}"
        )));
    }
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let last = first.saturating_add(MAX_GET_CONFIRMED_BLOCKS_RANGE);
    to_json(&ended(context, &chain, first, last, limit as u32)?)
}

/// Slots with blocks, of those that have ended.
fn ended(
    context: &Context<'_>,
    chain: &Chain,
    first: u64,
    last: u64,
    limit: u32,
) -> Result<Vec<u64>, Failure> {
    let last = last.min(chain.parent);
    if last < first || limit == 0 {
        return Ok(Vec::new());
    }
    let question = Question::Blocks { first, last, limit };
    match read::ask(context.view, &question)? {
        Answer::Slots(slots) => Ok(slots),
        _ => Err(read::confused()),
    }
}

/// Nobody votes on blocks: they are final when they exist.
pub(crate) fn get_block_commitment(context: &Context<'_>, params: Params) -> Outcome {
    let (slot,): (u64,) = params.exact()?;
    let chain = read::chain_since(context.view, None)?;
    let known = (chain.first_block..=chain.slot).contains(&slot);
    to_json(&RpcBlockCommitment {
        commitment: known.then(|| vec![0u64; COMMITMENT_DEPTHS]),
        total_stake: 0,
    })
}

pub(crate) fn get_block_production(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<RpcBlockProductionConfig>,) = params.up_to(0, 1)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, None)?;
    let newest = read::slot_of(&chain, config.commitment);
    let (first, last) = match &config.range {
        None => (epoch_of(&chain.schedule, newest).first_slot, newest),
        Some(range) => (range.first_slot, range.last_slot.unwrap_or(newest)),
    };
    if let Some(refused) = range_refusal(&chain, first, last, newest) {
        return Err(refused);
    }
    let mut by_identity = BTreeMap::new();
    let ours = chain.identity.to_string();
    let asked = match &config.identity {
        None => true,
        Some(identity) => read::pubkey(identity)? == chain.identity,
    };
    if asked {
        let limit = MAX_GET_CONFIRMED_BLOCKS_RANGE as u32 + 1;
        let mut blocks = ended(context, &chain, first, last, limit)?.len() as u64;
        // The slot that is being built counts as soon as it is seen.
        blocks += u64::from(last == chain.slot);
        by_identity.insert(ours, (last - first + 1, blocks));
    }
    let value: Value = json!({
        "byIdentity": by_identity,
        "range": { "firstSlot": first, "lastSlot": last },
    });
    in_context(chain.slot, &value)
}

fn range_refusal(chain: &Chain, first: u64, last: u64, newest: u64) -> Option<Failure> {
    let text = if first < chain.first_block {
        format!(
            "firstSlot, {first}, is too small; min {}",
            chain.first_block
        )
    } else if last > newest {
        format!("lastSlot, {last}, is too large; max {newest}")
    } else if last < first {
        format!("lastSlot, {last}, cannot be less than firstSlot, {first}")
    } else if last - first > MAX_GET_CONFIRMED_BLOCKS_RANGE {
        format!("Slot range too large; max {MAX_GET_CONFIRMED_BLOCKS_RANGE}")
    } else {
        return None;
    };
    Some(Failure::invalid_params(text))
}
