//! The management canister, as its users call it.
//!
//! Source of the types: `ic.did` of the interface specification. What a network may not state yet
//! is optional here, and candid passes over what is not asked for.

use anyhow::{Context as _, Result};
use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::advice;
use super::connection::Session;
use super::names::Target;

/// The method that makes canisters on developer networks.
pub(super) const PROVISIONAL_CREATE: &str = "provisional_create_canister_with_cycles";

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) enum LogVisibility {
    #[serde(rename = "controllers")]
    Controllers,
    #[serde(rename = "public")]
    Public,
    #[serde(rename = "allowed_viewers")]
    AllowedViewers(Vec<Principal>),
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(CandidType, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) controllers: Option<Vec<Principal>>,
    pub(super) compute_allocation: Option<Nat>,
    pub(super) memory_allocation: Option<Nat>,
    pub(super) freezing_threshold: Option<Nat>,
    pub(super) reserved_cycles_limit: Option<Nat>,
    pub(super) log_visibility: Option<LogVisibility>,
    pub(super) wasm_memory_limit: Option<Nat>,
    pub(super) wasm_memory_threshold: Option<Nat>,
    pub(super) environment_variables: Option<Vec<Variable>>,
}

#[derive(CandidType)]
pub(super) struct ProvisionalCreate {
    pub(super) amount: Option<Nat>,
    pub(super) settings: Option<Settings>,
    pub(super) specified_id: Option<Principal>,
}

#[derive(CandidType, Deserialize)]
pub(super) struct CanisterId {
    pub(super) canister_id: Principal,
}

#[derive(CandidType)]
pub(super) struct TopUp {
    pub(super) canister_id: Principal,
    pub(super) amount: Nat,
}

#[derive(CandidType)]
pub(super) struct UpdateSettings {
    pub(super) canister_id: Principal,
    pub(super) settings: Settings,
}

#[derive(CandidType, Serialize, Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Persistence {
    /// The main memory stays as it is
    #[serde(rename = "keep")]
    Keep,
    /// The main memory is erased
    #[serde(rename = "replace")]
    Replace,
}

#[derive(CandidType, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UpgradeFlags {
    pub(super) skip_pre_upgrade: Option<bool>,
    pub(super) wasm_memory_persistence: Option<Persistence>,
}

#[derive(CandidType, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstallMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "reinstall")]
    Reinstall,
    #[serde(rename = "upgrade")]
    Upgrade(Option<UpgradeFlags>),
}

#[derive(CandidType, Serialize)]
pub(super) struct InstallCode<'a> {
    pub(super) mode: InstallMode,
    pub(super) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(super) wasm_module: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) arg: &'a [u8],
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct ChunkHash {
    pub(super) hash: ByteBuf,
}

#[derive(CandidType, Serialize)]
pub(super) struct UploadChunk<'a> {
    pub(super) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(super) chunk: &'a [u8],
}

#[derive(CandidType, Serialize)]
pub(super) struct InstallChunkedCode<'a> {
    pub(super) mode: InstallMode,
    pub(super) target_canister: Principal,
    pub(super) store_canister: Option<Principal>,
    pub(super) chunk_hashes_list: Vec<ChunkHash>,
    #[serde(with = "serde_bytes")]
    pub(super) wasm_module_hash: &'a [u8],
    #[serde(with = "serde_bytes")]
    pub(super) arg: &'a [u8],
}

#[derive(CandidType, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunStatus {
    #[serde(rename = "running")]
    Running,
    #[serde(rename = "stopping")]
    Stopping,
    #[serde(rename = "stopped")]
    Stopped,
}

impl RunStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

#[derive(CandidType, Deserialize, Clone, Debug)]
pub(super) struct DefiniteSettings {
    pub(super) controllers: Vec<Principal>,
    pub(super) compute_allocation: Nat,
    pub(super) memory_allocation: Nat,
    pub(super) freezing_threshold: Nat,
    pub(super) reserved_cycles_limit: Option<Nat>,
    pub(super) log_visibility: Option<LogVisibility>,
    pub(super) wasm_memory_limit: Option<Nat>,
    pub(super) wasm_memory_threshold: Option<Nat>,
    pub(super) environment_variables: Option<Vec<Variable>>,
}

#[derive(CandidType, Deserialize, Clone, Debug)]
pub(super) struct Status {
    pub(super) status: RunStatus,
    pub(super) version: Option<u64>,
    pub(super) settings: DefiniteSettings,
    pub(super) module_hash: Option<ByteBuf>,
    pub(super) memory_size: Nat,
    pub(super) cycles: Nat,
    pub(super) reserved_cycles: Option<Nat>,
    pub(super) idle_cycles_burned_per_day: Nat,
}

#[derive(CandidType, Deserialize)]
pub(super) struct Logs {
    pub(super) canister_log_records: Vec<LogRecord>,
}

#[derive(CandidType, Deserialize, Clone, Debug)]
pub(super) struct LogRecord {
    pub(super) idx: u64,
    pub(super) timestamp_nanos: u64,
    pub(super) content: ByteBuf,
}

/// Calls a method about `target`. `what` is the failure in a sentence, should it come to that.
pub(super) async fn update(
    session: &Session,
    target: &Target,
    method: &str,
    argument: &impl CandidType,
    what: &str,
) -> Result<Vec<u8>> {
    let argument = candid::encode_one(argument).context("the request cannot be encoded")?;
    let call = session
        .agent
        .update(&Principal::management_canister(), method)
        .with_effective_canister_id(target.id)
        .with_arg(argument);
    match call.call_and_wait().await {
        Ok(reply) => Ok(reply),
        Err(error) => Err(advice::explain(session, what, target, None, error).await),
    }
}

/// Asks a method about `target` in a query.
pub(super) async fn query(
    session: &Session,
    target: &Target,
    method: &str,
    argument: &impl CandidType,
    what: &str,
) -> Result<Vec<u8>> {
    let argument = candid::encode_one(argument).context("the request cannot be encoded")?;
    let call = session
        .agent
        .query(&Principal::management_canister(), method)
        .with_effective_canister_id(target.id)
        .with_arg(argument);
    match call.call_with_verification().await {
        Ok(reply) => Ok(reply),
        Err(error) => Err(advice::explain(session, what, target, None, error).await),
    }
}

/// Decodes the reply of a method.
pub(super) fn decoded<T>(reply: &[u8], method: &str) -> Result<T>
where
    T: CandidType + for<'de> Deserialize<'de>,
{
    candid::decode_one(reply).with_context(|| {
        format!("the network's reply to {method} is not as the interface specification says")
    })
}

/// The status of a canister, which its controllers may ask for.
pub(super) async fn status(session: &Session, target: &Target) -> Result<Status> {
    let canister_id = target.id;
    let argument = CanisterId { canister_id };
    let what = format!("the status of {target} cannot be read");
    let reply = update(session, target, "canister_status", &argument, &what).await?;
    decoded(&reply, "canister_status")
}
