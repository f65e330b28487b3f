//! What can be asked about a canister.

use candid::{Nat, Principal};

use super::types::{
    CanisterIdRecord, CyclesConsumed, DefiniteSettings, LogEntry, LogFilter, LogsResult,
    MemoryMetrics, MetadataArgs, MetadataResult, MetricsResult, QueryStats, RunStatus,
    StatusResult, Variable, Visibility as VisibilityRecord,
};
use super::{ManagedResult, answered, decoded, not_controller};
use crate::controller::archive::{Archive, Log};
use crate::controller::price;
use crate::controller::record::{Canister, Request, Status, Visibility};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

pub(super) fn module_hash(canister: &Canister) -> Option<serde_bytes::ByteBuf> {
    let code = canister.code.as_ref()?;
    Some(serde_bytes::ByteBuf::from(code.module.sent_hash.to_vec()))
}

fn visibility(visibility: &Visibility) -> VisibilityRecord {
    match visibility {
        Visibility::Controllers {} => VisibilityRecord::controllers,
        Visibility::Public {} => VisibilityRecord::public,
        Visibility::Allowed { viewers } => VisibilityRecord::allowed_viewers(viewers.clone()),
    }
}

fn memory_metrics(canister: &Canister, archive: Option<&Archive>) -> MemoryMetrics {
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
        canister_history_size: Nat::from(archive.map_or(0, Archive::history_bytes)),
        wasm_chunk_store_size: Nat::from(canister.chunks.values().sum::<u64>()),
        snapshots_size: Nat::from(canister.snapshot_bytes),
        log_memory_store_size: Nat::from(canister.log_bytes),
    }
}

/// `canister_status`, as update and as query.
pub(super) fn status_result(canister: &Canister, archive: Option<&Archive>) -> StatusResult {
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
            minimum_incoming_canister_call_cycles: Nat::from(settings.incoming_cycles_min),
            log_visibility: visibility(&settings.log_visibility),
            log_memory_limit: Nat::from(settings.log_memory_limit),
            snapshot_visibility: visibility(&settings.snapshot_visibility),
            status_visibility: visibility(&settings.status_visibility),
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
        memory_metrics: memory_metrics(canister, archive),
        cycles: Nat::from(canister.cycles),
        reserved_cycles: Nat::from(0u8),
        idle_cycles_burned_per_day: Nat::from(canister.idle_cycles_per_day()),
        query_stats: QueryStats {
            num_calls_total: Nat::from(0u8),
            num_instructions_total: Nat::from(0u8),
            request_payload_bytes_total: Nat::from(0u8),
            response_payload_bytes_total: Nat::from(0u8),
        },
    }
}

/// `canister_metrics`, as update and as query.
pub(super) fn metrics_result(canister: &Canister) -> MetricsResult {
    let consumed = &canister.consumed;
    MetricsResult {
        cycles_consumed: CyclesConsumed {
            memory: Nat::from(consumed.memory),
            compute_allocation: Nat::from(consumed.compute_allocation),
            ingress_induction: Nat::from(consumed.ingress),
            instructions: Nat::from(consumed.instructions),
            request_and_response_transmission: Nat::from(consumed.transmission),
            uninstall: Nat::from(consumed.uninstall),
            canister_creation: Nat::from(consumed.creation),
            http_outcalls: Nat::from(0u8),
            burned_cycles: Nat::from(consumed.burned),
        },
    }
}

/// `fetch_canister_logs`, for a caller that may read them. Ranges begin with `start` and end before
/// `end`.
pub(super) fn logs(log: Option<&Log>, filter: Option<&LogFilter>) -> LogsResult {
    let records = log.into_iter().flat_map(|log| &log.records);
    let wanted = records.filter(|record| match filter {
        None => true,
        Some(LogFilter::by_idx { start, end }) => (*start..*end).contains(&record.index),
        Some(LogFilter::by_timestamp_nanos { start, end }) => (*start..*end).contains(&record.time),
    });
    LogsResult {
        canister_log_records: wanted
            .map(|record| LogEntry {
                idx: record.index,
                timestamp_nanos: record.time,
                content: record.content.clone(),
            })
            .collect(),
    }
}

impl Round<'_> {
    pub(super) fn canister_status(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let id = args.canister_id;
        let Some(canister) = self.state.canister(&id) else {
            return Ok(Rejection::not_found(id).into());
        };
        let result = status_result(canister, self.state.archive(&id));
        Ok(answered(request, &result))
    }

    pub(super) fn canister_metrics(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let result = metrics_result(self.state.existing(&args.canister_id));
        Ok(answered(request, &result))
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
                not_controller(id, canister, &request.origin, &request.method).into()
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
