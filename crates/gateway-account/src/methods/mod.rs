//! The methods of JSON-RPC: what each is called, whether it may take long, and what answers it.

mod accounts;
mod blocks;
mod chain;
mod cluster;
mod fees;
mod history;
mod proof;
mod send;
mod simulate;
mod tokens;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use solana_rpc_client_types::config::CommitmentConfig;
use solana_rpc_client_types::response::RpcResponseContext;

use crate::Gateway;
use crate::accounts::{Encoder, Form};
use crate::failure::{Failure, Outcome};
use crate::params::Params;
use crate::port::StateView;

pub(crate) use accounts::{filters, form};

/// What answers a call.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) view: &'a dyn StateView,
}

impl<'a> Context<'a> {
    /// An encoder for the accounts of one answer.
    pub(crate) fn encoder(&self, form: Form) -> Encoder<'a> {
        Encoder::new(self.view, form, self.gateway.limits.answer_data_bytes)
    }
}

/// The configuration that most methods take.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContextConfig {
    #[serde(flatten)]
    pub(crate) commitment: Option<CommitmentConfig>,
    pub(crate) min_context_slot: Option<u64>,
}

/// A method.
#[derive(Clone, Copy)]
pub(crate) struct Method {
    /// Whether a call may take long: it runs beside the threads that serve connections then.
    pub(crate) heavy: fn(&Params) -> bool,
    pub(crate) answer: fn(&Context<'_>, Params) -> Outcome,
}

/// The method of a name.
#[rustfmt::skip]
pub(crate) fn method(name: &str) -> Option<Method> {
    let light = |answer| Some(Method { heavy: |_| false, answer });
    let heavy = |answer| Some(Method { heavy: |_| true, answer });
    match name {
        "getAccountInfo" => light(accounts::get_account_info),
        "getAccountProof" => heavy(proof::get_account_proof),
        "getAgGenesisCert" => light(cluster::get_genesis_certificate),
        "getBalance" => light(accounts::get_balance),
        "getBlock" => heavy(blocks::get_block),
        "getBlockCommitment" => light(blocks::get_block_commitment),
        "getBlockHeight" => light(chain::get_block_height),
        "getBlockProduction" => heavy(blocks::get_block_production),
        "getBlockTime" => light(blocks::get_block_time),
        "getBlocks" => heavy(blocks::get_blocks),
        "getBlocksWithLimit" => heavy(blocks::get_blocks_with_limit),
        "getClusterNodes" => light(cluster::get_cluster_nodes),
        "getEpochInfo" => light(chain::get_epoch_info),
        "getEpochSchedule" => light(chain::get_epoch_schedule),
        "getFeeForMessage" => light(fees::get_fee_for_message),
        "getFirstAvailableBlock" => light(chain::get_first_available_block),
        "getGenesisHash" => light(chain::get_genesis_hash),
        "getHealth" => light(chain::get_health),
        "getHighestSnapshotSlot" => light(cluster::get_highest_snapshot_slot),
        "getIdentity" => light(cluster::get_identity),
        "getInflationGovernor" => light(cluster::get_inflation_governor),
        "getInflationRate" => light(cluster::get_inflation_rate),
        "getInflationReward" => light(cluster::get_inflation_reward),
        "getLargestAccounts" => heavy(accounts::get_largest_accounts),
        "getLatestBlockhash" => light(chain::get_latest_blockhash),
        "getLeaderSchedule" => heavy(cluster::get_leader_schedule),
        "getMaxRetransmitSlot" => light(chain::get_max_slot),
        "getMaxShredInsertSlot" => light(chain::get_max_slot),
        "getMinimumBalanceForRentExemption" => light(accounts::get_minimum_balance),
        "getMultipleAccounts" => heavy(accounts::get_multiple_accounts),
        "getProgramAccounts" => heavy(accounts::get_program_accounts),
        "getRecentPerformanceSamples" => light(chain::get_recent_performance_samples),
        "getRecentPrioritizationFees" => heavy(fees::get_recent_prioritization_fees),
        "getSignatureStatuses" => light(history::get_signature_statuses),
        "getSignaturesForAddress" => heavy(history::get_signatures_for_address),
        "getSlot" => light(chain::get_slot),
        "getSlotLeader" => light(cluster::get_slot_leader),
        "getSlotLeaders" => light(cluster::get_slot_leaders),
        "getStakeMinimumDelegation" => light(cluster::get_stake_minimum_delegation),
        "getSupply" => light(accounts::get_supply),
        "getTokenAccountBalance" => light(tokens::get_token_account_balance),
        "getTokenAccountsByDelegate" => heavy(tokens::get_token_accounts_by_delegate),
        "getTokenAccountsByOwner" => heavy(tokens::get_token_accounts_by_owner),
        "getTokenLargestAccounts" => heavy(tokens::get_token_largest_accounts),
        "getTokenSupply" => light(tokens::get_token_supply),
        "getTransaction" => light(history::get_transaction),
        "getTransactionCount" => light(chain::get_transaction_count),
        "getTrilithVersion" => light(cluster::get_trilith_version),
        "getVersion" => light(chain::get_version),
        "getVoteAccounts" => light(cluster::get_vote_accounts),
        "isBlockhashValid" => light(chain::is_blockhash_valid),
        "minimumLedgerSlot" => light(chain::get_first_available_block),
        "requestAirdrop" => heavy(send::request_airdrop),
        "sendTransaction" => {
            Some(Method { heavy: send::is_heavy, answer: send::send_transaction })
        }
        "simulateTransaction" => heavy(simulate::simulate_transaction),
        _ => None,
    }
}

/// A value with the slot at which it was read.
pub(crate) fn in_context<T: Serialize + ?Sized>(slot: u64, value: &T) -> Outcome {
    let context = to_json(&RpcResponseContext::new(slot))?;
    Ok(json!({ "context": context, "value": to_json(value)? }))
}

pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::internal(error.to_string()))
}
