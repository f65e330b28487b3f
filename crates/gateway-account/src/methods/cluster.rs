//! Calls about a cluster: its nodes, leaders, votes, stakes and inflation. The network answers as a
//! cluster of one node that leads every slot and on which nobody votes; which methods have no more
//! meaning than that is listed in `docs/guides/account-rpc.md`.

use serde_json::{Map, Value, json};
use solana_rpc_client_types::config::{
    CommitmentConfig, RpcEpochConfig, RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig,
    RpcLeaderScheduleConfigWrapper,
};
use solana_rpc_client_types::request::MAX_GET_SLOT_LEADERS;
use solana_rpc_client_types::response::{
    RpcContactInfo, RpcIdentity, RpcInflationGovernor, RpcInflationRate, RpcVoteAccountStatus,
};

use trilith_engine_account::gates;

use crate::epochs::epoch_of;
use crate::failure::{Failure, Outcome};
use crate::methods::{Context, ContextConfig, in_context, to_json};
use crate::params::Params;
use crate::read;

/// Lamports of the smallest delegation of stake. Source: Agave, while the gate that raises it is
/// not active.
const STAKE_DELEGATION_MIN: u64 = 1;

pub(crate) fn get_identity(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let identity = read::chain_since(context.view, None)?.identity.to_string();
    to_json(&RpcIdentity { identity })
}

pub(crate) fn get_cluster_nodes(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let chain = read::chain_since(context.view, None)?;
    let addresses = &context.gateway.addresses;
    to_json(&[RpcContactInfo {
        pubkey: chain.identity.to_string(),
        gossip: None,
        tvu: None,
        tpu: None,
        tpu_quic: addresses.tpu,
        tpu_forwards: None,
        tpu_forwards_quic: addresses.tpu,
        tpu_vote: None,
        serve_repair: None,
        rpc: addresses.rpc,
        pubsub: addresses.pubsub,
        version: Some(crate::API_VERSION.to_owned()),
        client_id: Some("Trilith".to_owned()),
        feature_set: Some(chain.feature_set),
        shred_version: Some(0),
    }])
}

/// This project's own: which version runs, and which gates of ours it knows. The number that
/// `getVersion` gives names the ecosystem's gates only.
pub(crate) fn get_trilith_version(_: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let gates: Vec<Value> = gates::own()
        .iter()
        .map(|gate| json!({ "id": gate.id.to_string(), "name": gate.name }))
        .collect();
    Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "gates": gates }))
}

pub(crate) fn get_slot_leader(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    Ok(json!(chain.identity.to_string()))
}

pub(crate) fn get_slot_leaders(context: &Context<'_>, params: Params) -> Outcome {
    let (first, limit): (u64, u64) = params.exact()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit > MAX_GET_SLOT_LEADERS {
        return Err(Failure::invalid_params(format!(
            "Invalid limit; max {MAX_GET_SLOT_LEADERS}"
        )));
    }
    let chain = read::chain_since(context.view, None)?;
    // Leaders are known to the end of the next epoch, as on a cluster.
    let epoch = epoch_of(&chain.schedule, chain.slot);
    let known = epoch.first_slot + epoch.slots + chain.schedule.slots_per_epoch;
    if first >= known {
        return Err(Failure::invalid_params(format!(
            "Invalid slot range: leader schedule for epoch {} is unavailable",
            epoch_of(&chain.schedule, first).epoch
        )));
    }
    let count = limit.min(usize::try_from(known - first).unwrap_or(usize::MAX));
    to_json(&vec![chain.identity.to_string(); count])
}

pub(crate) fn get_leader_schedule(context: &Context<'_>, params: Params) -> Outcome {
    let (wrapper, config): (
        Option<RpcLeaderScheduleConfigWrapper>,
        Option<RpcLeaderScheduleConfig>,
    ) = params.up_to(0, 2)?;
    let (slot, other) = wrapper.map_or((None, None), |wrapper| wrapper.unzip());
    let config = other.or(config).unwrap_or_default();
    let asked = config.identity.as_deref().map(read::pubkey).transpose()?;
    let chain = read::chain_since(context.view, None)?;
    let epoch = epoch_of(&chain.schedule, slot.unwrap_or(chain.slot));
    if epoch.epoch > chain.epoch + 1 {
        return Ok(Value::Null);
    }
    let mut schedule = Map::new();
    if asked.is_none_or(|asked| asked == chain.identity) {
        let slots: Vec<u64> = (0..epoch.slots).collect();
        schedule.insert(chain.identity.to_string(), json!(slots));
    }
    Ok(Value::Object(schedule))
}

pub(crate) fn get_vote_accounts(_: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<RpcGetVoteAccountsConfig>,) = params.up_to(0, 1)?;
    if let Some(key) = config.and_then(|config| config.vote_pubkey) {
        read::pubkey(&key)?;
    }
    to_json(&RpcVoteAccountStatus {
        current: Vec::new(),
        delinquent: Vec::new(),
    })
}

pub(crate) fn get_inflation_governor(context: &Context<'_>, params: Params) -> Outcome {
    let (_,): (Option<CommitmentConfig>,) = params.up_to(0, 1)?;
    let chain = read::chain_since(context.view, None)?;
    let rate = rate(chain.inflation_millionths);
    to_json(&RpcInflationGovernor {
        initial: rate,
        terminal: rate,
        taper: 0.0,
        foundation: 0.0,
        foundation_term: 0.0,
    })
}

pub(crate) fn get_inflation_rate(context: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    let chain = read::chain_since(context.view, None)?;
    let rate = rate(chain.inflation_millionths);
    to_json(&RpcInflationRate {
        total: rate,
        validator: rate,
        foundation: 0.0,
        epoch: chain.epoch,
    })
}

/// A share for JSON; no state depends on it.
fn rate(millionths: u64) -> f64 {
    millionths as f64 / 1_000_000.0
}

/// There is no stake, so none is rewarded.
pub(crate) fn get_inflation_reward(context: &Context<'_>, params: Params) -> Outcome {
    let (keys, config): (Vec<String>, Option<RpcEpochConfig>) = params.up_to(1, 2)?;
    let keys = read::pubkeys(&keys)?;
    let config = config.unwrap_or_default();
    let chain = read::chain_since(context.view, config.min_context_slot)?;
    let epoch = config
        .epoch
        .unwrap_or_else(|| chain.epoch.saturating_sub(1));
    if epoch > chain.epoch || (epoch == chain.epoch && config.epoch.is_some()) {
        return Err(Failure::block_not_available(chain.slot));
    }
    to_json(&vec![Value::Null; keys.len()])
}

/// Snapshots of this network have another form, which clients of this interface do not read.
pub(crate) fn get_highest_snapshot_slot(_: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    Err(Failure::no_snapshot())
}

/// There is no certificate of a genesis of the Alpenglow protocol.
pub(crate) fn get_genesis_certificate(_: &Context<'_>, params: Params) -> Outcome {
    params.expect_none()?;
    Ok(Value::Null)
}

pub(crate) fn get_stake_minimum_delegation(context: &Context<'_>, params: Params) -> Outcome {
    let (config,): (Option<ContextConfig>,) = params.up_to(0, 1)?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    in_context(chain.slot, &STAKE_DELEGATION_MIN)
}
