//! What can be asked about a canister.

use candid::{Nat, Principal};

use super::types::{
    CanisterIdRecord, DefiniteSettings, InfoResult, LogEntry, LogsResult, MemoryMetrics,
    MetadataArgs, MetadataResult, QueryStats, RunStatus, StatusResult, Variable, Visibility,
};
use super::{ManagedResult, answered, decoded, not_controller};
use crate::controller::price;
use crate::controller::record::{Canister, LogVisibility, Request, Status};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

fn module_hash(canister: &Canister) -> Option<serde_bytes::ByteBuf> {
    let code = canister.code.as_ref()?;
    Some(serde_bytes::ByteBuf::from(code.module.sent_hash.to_vec()))
}

fn memory_metrics(canister: &Canister) -> MemoryMetrics {
    let code = canister.code.as_ref();
    let pages = |pages: u64| Nat::from(pages.saturating_mul(price::WASM_PAGE_BYTES));
    MemoryMetrics {
        wasm_memory_size: pages(code.map_or(0, |code| code.heap_pages)),
        stable_memory_size: pages(code.map_or(0, |code| code.stable_pages)),
        global_memory_size: Nat::from(8 * code.map_or(0, |code| code.globals.len())),
        wasm_binary_size: Nat::from(code.map_or(0, |code| code.module.bytes)),
        custom_sections_size: Nat::from(code.map_or(0, |code| {
            code.module
                .metadata
                .iter()
                .map(|(name, _, content)| name.len() + content.len())
                .sum::<usize>()
        })),
        canister_history_size: Nat::from(0u8),
        wasm_chunk_store_size: Nat::from(canister.chunks.values().sum::<u64>()),
        snapshots_size: Nat::from(0u8),
        log_memory_store_size: Nat::from(
            canister
                .logs
                .iter()
                .map(|record| record.content.len())
                .sum::<usize>(),
        ),
    }
}

/// `canister_status`, as update and as query.
pub(crate) fn status_result(canister: &Canister) -> StatusResult {
    let settings = &canister.settings;
    let variables = settings.variables.iter();
    StatusResult {
        status: match canister.status {
            Status::Running => RunStatus::running,
            Status::Stopping { .. } => RunStatus::stopping,
            Status::Stopped => RunStatus::stopped,
        },
        ready_for_migration: canister.status == Status::Stopped,
        version: canister.version,
        settings: DefiniteSettings {
            controllers: settings.controllers.clone(),
            compute_allocation: Nat::from(settings.compute_allocation),
            memory_allocation: Nat::from(settings.memory_allocation),
            freezing_threshold: Nat::from(settings.freezing_threshold),
            reserved_cycles_limit: Nat::from(settings.reserved_cycles_limit),
            minimum_incoming_canister_call_cycles: Nat::from(0u8),
            log_visibility: match &settings.log_visibility {
                LogVisibility::Controllers {} => Visibility::controllers,
                LogVisibility::Public {} => Visibility::public,
                LogVisibility::Allowed { viewers } => Visibility::allowed_viewers(viewers.clone()),
            },
            log_memory_limit: Nat::from(price::LOG_BYTES_MAX),
            snapshot_visibility: Visibility::controllers,
            status_visibility: Visibility::controllers,
            wasm_memory_limit: Nat::from(settings.wasm_memory_limit),
            wasm_memory_threshold: Nat::from(settings.wasm_memory_threshold),
            environment_variables: variables
                .map(|(name, value)| Variable {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        },
        module_hash: module_hash(canister),
        memory_size: Nat::from(canister.memory_bytes()),
        memory_metrics: memory_metrics(canister),
        cycles: Nat::from(canister.cycles),
        reserved_cycles: Nat::from(0u8),
        idle_cycles_burned_per_day: Nat::from(canister.idle_cycles(86_400 * price::SECOND_NANOS)),
        query_stats: QueryStats {
            num_calls_total: Nat::from(0u8),
            num_instructions_total: Nat::from(0u8),
            request_payload_bytes_total: Nat::from(0u8),
            response_payload_bytes_total: Nat::from(0u8),
        },
    }
}

/// `fetch_canister_logs`, for a caller that may read them.
pub(crate) fn logs(canister: &Canister) -> LogsResult {
    let records = canister.logs.iter().map(|record| LogEntry {
        idx: record.index,
        timestamp_nanos: record.time,
        content: record.content.clone(),
    });
    LogsResult {
        canister_log_records: records.collect(),
    }
}

impl Round<'_> {
    pub(super) fn canister_status(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let result = status_result(self.state.existing(&args.canister_id));
        Ok(answered(request, &result))
    }

    pub(super) fn canister_info(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let canister = self.state.existing(&args.canister_id);
        Ok(answered(
            request,
            &InfoResult {
                total_num_changes: canister.changes,
                recent_changes: Vec::new(),
                module_hash: module_hash(canister),
                controllers: canister.settings.controllers.clone(),
            },
        ))
    }

    pub(super) fn canister_metadata(&mut self, request: &Request) -> ManagedResult {
        let args: MetadataArgs = decoded!(request);
        let caller: Principal = request.origin.caller();
        let id = args.canister_id;
        let canister = self.state.existing(&id);
        let metadata = canister.code.as_ref().map(|code| &code.module.metadata);
        let found = metadata.and_then(|all| all.iter().find(|(name, _, _)| *name == args.name));
        Ok(match found {
            None => {
                let why = format!(
                    "Canister {id} has no custom section with the name {}.",
                    args.name
                );
                Rejection::new(ErrorCode::CanisterNotFound, why).into()
            }
            Some((_, false, _)) if !canister.is_controller(&caller) => {
                not_controller(id, caller).into()
            }
            Some((_, _, content)) => answered(
                request,
                &MetadataResult {
                    value: content.clone(),
                },
            ),
        })
    }
}
