//! Arguments and results of the management canister in candid.
//!
//! Source: `ic.did` of the interface specification.

use candid::{CandidType, Nat, Principal, Reserved};
use serde::Deserialize;

use crate::wasm::globals::GlobalVariant;

#[derive(CandidType, Deserialize, Clone, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum Visibility {
    controllers,
    public,
    allowed_viewers(Vec<Principal>),
}

#[derive(CandidType, Deserialize, Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(CandidType, Deserialize, Clone, Debug, Default)]
pub(crate) struct SettingsArgs {
    pub(crate) controllers: Option<Vec<Principal>>,
    pub(crate) compute_allocation: Option<Nat>,
    pub(crate) memory_allocation: Option<Nat>,
    pub(crate) freezing_threshold: Option<Nat>,
    pub(crate) reserved_cycles_limit: Option<Nat>,
    pub(crate) minimum_incoming_canister_call_cycles: Option<Nat>,
    pub(crate) log_visibility: Option<Visibility>,
    pub(crate) log_memory_limit: Option<Nat>,
    pub(crate) snapshot_visibility: Option<Visibility>,
    pub(crate) status_visibility: Option<Visibility>,
    pub(crate) wasm_memory_limit: Option<Nat>,
    pub(crate) wasm_memory_threshold: Option<Nat>,
    pub(crate) environment_variables: Option<Vec<Variable>>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct CreateArgs {
    pub(crate) settings: Option<SettingsArgs>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ProvisionalCreateArgs {
    pub(crate) amount: Option<Nat>,
    pub(crate) settings: Option<SettingsArgs>,
    pub(crate) specified_id: Option<Principal>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct TopUpArgs {
    pub(crate) canister_id: Principal,
    pub(crate) amount: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct CanisterIdRecord {
    pub(crate) canister_id: Principal,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct UpdateSettingsArgs {
    pub(crate) canister_id: Principal,
    pub(crate) settings: SettingsArgs,
}

#[derive(CandidType, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum Persistence {
    keep,
    replace,
}

#[derive(CandidType, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpgradeOptions {
    pub(crate) skip_pre_upgrade: Option<bool>,
    pub(crate) wasm_memory_persistence: Option<Persistence>,
}

#[derive(CandidType, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum Mode {
    install,
    reinstall,
    upgrade(Option<UpgradeOptions>),
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct InstallArgs {
    pub(crate) mode: Mode,
    pub(crate) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(crate) wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) arg: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ChunkHash {
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct InstallChunkedArgs {
    pub(crate) mode: Mode,
    pub(crate) target_canister: Principal,
    pub(crate) store_canister: Option<Principal>,
    pub(crate) chunk_hashes_list: Vec<ChunkHash>,
    #[serde(with = "serde_bytes")]
    pub(crate) wasm_module_hash: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) arg: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct UploadChunkArgs {
    pub(crate) canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub(crate) chunk: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct MetadataArgs {
    pub(crate) canister_id: Principal,
    pub(crate) name: String,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct MetadataResult {
    #[serde(with = "serde_bytes")]
    pub(crate) value: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum RunStatus {
    running,
    stopping,
    stopped,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct DefiniteSettings {
    pub(crate) controllers: Vec<Principal>,
    pub(crate) compute_allocation: Nat,
    pub(crate) memory_allocation: Nat,
    pub(crate) freezing_threshold: Nat,
    pub(crate) reserved_cycles_limit: Nat,
    pub(crate) minimum_incoming_canister_call_cycles: Nat,
    pub(crate) log_visibility: Visibility,
    pub(crate) log_memory_limit: Nat,
    pub(crate) snapshot_visibility: Visibility,
    pub(crate) status_visibility: Visibility,
    pub(crate) wasm_memory_limit: Nat,
    pub(crate) wasm_memory_threshold: Nat,
    pub(crate) environment_variables: Vec<Variable>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct MemoryMetrics {
    pub(crate) wasm_memory_size: Nat,
    pub(crate) stable_memory_size: Nat,
    pub(crate) global_memory_size: Nat,
    pub(crate) wasm_binary_size: Nat,
    pub(crate) custom_sections_size: Nat,
    pub(crate) canister_history_size: Nat,
    pub(crate) wasm_chunk_store_size: Nat,
    pub(crate) snapshots_size: Nat,
    pub(crate) log_memory_store_size: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct QueryStats {
    pub(crate) num_calls_total: Nat,
    pub(crate) num_instructions_total: Nat,
    pub(crate) request_payload_bytes_total: Nat,
    pub(crate) response_payload_bytes_total: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct StatusResult {
    pub(crate) status: RunStatus,
    pub(crate) ready_for_migration: bool,
    pub(crate) version: u64,
    pub(crate) settings: DefiniteSettings,
    pub(crate) module_hash: Option<serde_bytes::ByteBuf>,
    pub(crate) memory_size: Nat,
    pub(crate) memory_metrics: MemoryMetrics,
    pub(crate) cycles: Nat,
    pub(crate) reserved_cycles: Nat,
    pub(crate) idle_cycles_burned_per_day: Nat,
    pub(crate) query_stats: QueryStats,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct InfoArgs {
    pub(crate) canister_id: Principal,
    pub(crate) num_requested_changes: Option<u64>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct InfoResult {
    pub(crate) total_num_changes: u64,
    pub(crate) recent_changes: Vec<ChangeRecord>,
    pub(crate) module_hash: Option<serde_bytes::ByteBuf>,
    pub(crate) controllers: Vec<Principal>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ChangeRecord {
    pub(crate) timestamp_nanos: u64,
    pub(crate) canister_version: u64,
    pub(crate) origin: OriginRecord,
    pub(crate) details: DetailsRecord,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum OriginRecord {
    from_user {
        user_id: Principal,
    },
    from_canister {
        canister_id: Principal,
        canister_version: Option<u64>,
    },
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum DeploymentMode {
    install,
    reinstall,
    upgrade,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum SnapshotSource {
    taken_from_canister(Reserved),
    metadata_upload(Reserved),
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum DetailsRecord {
    creation {
        controllers: Vec<Principal>,
        environment_variables_hash: Option<serde_bytes::ByteBuf>,
    },
    code_uninstall,
    code_deployment {
        mode: DeploymentMode,
        module_hash: serde_bytes::ByteBuf,
    },
    load_snapshot {
        from_canister_id: Option<Principal>,
        snapshot_id: serde_bytes::ByteBuf,
        canister_version: u64,
        taken_at_timestamp: u64,
        source: SnapshotSource,
    },
    controllers_change {
        controllers: Vec<Principal>,
    },
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct CyclesConsumed {
    pub(crate) memory: Nat,
    pub(crate) compute_allocation: Nat,
    pub(crate) ingress_induction: Nat,
    pub(crate) instructions: Nat,
    pub(crate) request_and_response_transmission: Nat,
    pub(crate) uninstall: Nat,
    pub(crate) canister_creation: Nat,
    pub(crate) http_outcalls: Nat,
    pub(crate) burned_cycles: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct MetricsResult {
    pub(crate) cycles_consumed: CyclesConsumed,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum LogFilter {
    by_idx { start: u64, end: u64 },
    by_timestamp_nanos { start: u64, end: u64 },
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct LogsArgs {
    pub(crate) canister_id: Principal,
    pub(crate) filter: Option<LogFilter>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct IdRange {
    pub(crate) start: Principal,
    pub(crate) end: Principal,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ListResult {
    pub(crate) canisters: Vec<IdRange>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SubnetArgs {
    pub(crate) subnet_id: Principal,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct NodeMetrics {
    pub(crate) node_id: Principal,
    pub(crate) num_blocks_proposed_total: u64,
    pub(crate) num_block_failures_total: u64,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct NodeMetricsEntry {
    pub(crate) timestamp_nanos: u64,
    pub(crate) node_metrics: Vec<NodeMetrics>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SubnetInfo {
    pub(crate) replica_version: String,
    pub(crate) registry_version: u64,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SubnetMetrics {
    pub(crate) block_height: Nat,
    pub(crate) num_canisters: Nat,
    pub(crate) canister_state_bytes: Nat,
    pub(crate) consumed_cycles_total: Nat,
    pub(crate) update_transactions_total: Nat,
    pub(crate) million_round_instructions_total: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct LogsResult {
    pub(crate) canister_log_records: Vec<LogEntry>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct LogEntry {
    pub(crate) idx: u64,
    pub(crate) timestamp_nanos: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) content: Vec<u8>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct TakeArgs {
    pub(crate) canister_id: Principal,
    pub(crate) replace_snapshot: Option<serde_bytes::ByteBuf>,
    pub(crate) uninstall_code: Option<bool>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SnapshotArgs {
    pub(crate) canister_id: Principal,
    pub(crate) snapshot_id: serde_bytes::ByteBuf,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SnapshotRecord {
    pub(crate) id: serde_bytes::ByteBuf,
    pub(crate) taken_at_timestamp: u64,
    pub(crate) total_size: u64,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum TimerRecord {
    inactive,
    active(u64),
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum HookRecord {
    condition_not_satisfied,
    ready,
    executed,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct SnapshotMetadata {
    pub(crate) source: SnapshotSource,
    pub(crate) taken_at_timestamp: u64,
    pub(crate) wasm_module_size: u64,
    pub(crate) globals: Vec<GlobalVariant>,
    pub(crate) wasm_memory_size: u64,
    pub(crate) stable_memory_size: u64,
    pub(crate) wasm_chunk_store: Vec<ChunkHash>,
    pub(crate) canister_version: u64,
    pub(crate) certified_data: serde_bytes::ByteBuf,
    pub(crate) global_timer: Option<TimerRecord>,
    pub(crate) on_low_wasm_memory_hook_status: Option<HookRecord>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct UploadMetadataArgs {
    pub(crate) canister_id: Principal,
    pub(crate) replace_snapshot: Option<serde_bytes::ByteBuf>,
    pub(crate) wasm_module_size: u64,
    pub(crate) globals: Vec<GlobalVariant>,
    pub(crate) wasm_memory_size: u64,
    pub(crate) stable_memory_size: u64,
    pub(crate) certified_data: serde_bytes::ByteBuf,
    pub(crate) global_timer: Option<TimerRecord>,
    pub(crate) on_low_wasm_memory_hook_status: Option<HookRecord>,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct UploadMetadataResult {
    pub(crate) snapshot_id: serde_bytes::ByteBuf,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum ReadKind {
    wasm_module { offset: u64, size: u64 },
    wasm_memory { offset: u64, size: u64 },
    stable_memory { offset: u64, size: u64 },
    wasm_chunk { hash: serde_bytes::ByteBuf },
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ReadDataArgs {
    pub(crate) canister_id: Principal,
    pub(crate) snapshot_id: serde_bytes::ByteBuf,
    pub(crate) kind: ReadKind,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct ReadDataResult {
    pub(crate) chunk: serde_bytes::ByteBuf,
}

#[derive(CandidType, Deserialize, Debug)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
pub(crate) enum UploadKind {
    wasm_module { offset: u64 },
    wasm_memory { offset: u64 },
    stable_memory { offset: u64 },
    wasm_chunk,
}

#[derive(CandidType, Deserialize, Debug)]
pub(crate) struct UploadDataArgs {
    pub(crate) canister_id: Principal,
    pub(crate) snapshot_id: serde_bytes::ByteBuf,
    pub(crate) kind: UploadKind,
    pub(crate) chunk: serde_bytes::ByteBuf,
}
