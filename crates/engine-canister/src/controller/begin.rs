//! What a message begins with: its entry, its context, what it may see; and what it leaves in the
//! log.

use std::collections::BTreeMap;

use candid::Principal;

use super::machine::Entry;
use super::price;
use super::record::{CallContext, Canister, Frozen, Job, LogRecord, Origin, Paused, Request};
use super::reject::{ErrorCode, Rejection};
use crate::api::{CallMode, EntryPoint, ExecutionResult, PreparedModule};

/// The context of a message that ended: a new one for requests and tasks, the one of the call for
/// responses.
pub(super) fn enter_context(canister: &mut Canister, paused: &Paused) -> u64 {
    let (origin, cycles, answered) = match &paused.job {
        Job::Request { request } => (request.origin.clone(), request.cycles, false),
        Job::Heartbeat {} | Job::GlobalTimer {} => (Origin::Task {}, 0, true),
        Job::Response { response } => {
            let number = canister
                .callbacks
                .get(&response.callback)
                .map_or(0, |callback| callback.context);
            if let Some(context) = canister.contexts.get_mut(&number) {
                context.outstanding = context.outstanding.saturating_sub(1);
            }
            return number;
        }
    };
    let number = canister.number();
    canister.contexts.insert(
        number,
        CallContext {
            origin,
            cycles,
            answered,
            outstanding: 0,
            instructions: 0,
            deleted: false,
        },
    );
    number
}

/// What a message of `canister` that begins now may see.
pub(crate) fn freeze(canister: &Canister, time: u64, subnet_nodes: u64) -> Frozen {
    let mut per_callee: BTreeMap<Principal, usize> = BTreeMap::new();
    for call in canister.callbacks.values() {
        *per_callee.entry(call.callee).or_default() += 1;
    }
    let fullest = per_callee.into_values().max().unwrap_or(0);
    let memory64 = canister
        .code
        .as_ref()
        .is_some_and(|code| code.module.memory64);
    let heap = canister.code.as_ref().map_or(0, |code| code.heap_pages);
    let machine = if memory64 {
        price::HEAP_PAGES_MAX_64
    } else {
        price::HEAP_PAGES_MAX
    };
    let limit = match canister.settings.wasm_memory_limit {
        0 => machine,
        bytes => machine.min(bytes / price::WASM_PAGE_BYTES).max(heap),
    };
    let variables = canister.settings.variables.iter();
    Frozen {
        time,
        balance: canister.cycles,
        floor: canister.floor(),
        cycles_available: 0,
        answered: false,
        calls_max: price::QUEUE_MAX.saturating_sub(fullest) as u64,
        status: u64::from(canister.status.number()),
        version: canister.version,
        controllers: canister.settings.controllers.clone(),
        variables: variables
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        subnet_nodes,
        context_instructions: 0,
        other_memory: canister.other_memory_bytes(),
        heap_pages_max: limit,
        stable_pages_max: price::STABLE_PAGES_MAX,
        global_timer: canister.global_timer,
    }
}

/// How a request enters a canister.
pub(super) fn entry_of_request(
    id: Principal,
    module: &PreparedModule,
    request: &Request,
) -> Result<Entry, Rejection> {
    let update = EntryPoint::Update(request.method.clone());
    let query = EntryPoint::Query(request.method.clone());
    let composite = EntryPoint::CompositeQuery(request.method.clone());
    let plain = if module.exports.contains(&update) {
        Entry::plain(update, CallMode::Update)
    } else if module.exports.contains(&query) {
        Entry {
            keep_changes: false,
            ..Entry::plain(query, CallMode::ReplicatedQuery)
        }
    } else if module.exports.contains(&composite) {
        let why = format!(
            "Error from Canister {id}: Composite query cannot be called in replicated mode"
        );
        return Err(Rejection::new(ErrorCode::CompositeInReplicated, why));
    } else {
        return Err(Rejection::no_method(id, "update", &request.method));
    };
    let (caller, argument) = (request.origin.caller(), request.argument.clone());
    Ok(Entry {
        caller,
        argument,
        deadline: request.origin.deadline(),
        ..plain
    })
}

/// Keeps what a message printed, and its trap, within the limit on logs.
pub(crate) fn log(canister: &mut Canister, time: u64, result: &ExecutionResult) {
    let trapped = match &result.end {
        Err(trap) => Some(format!("[TRAP]: {}", trap.message).into_bytes()),
        Ok(_) => None,
    };
    for content in result.prints.iter().cloned().chain(trapped) {
        let content = content[..content.len().min(price::LOG_BYTES_MAX)].to_vec();
        let index = canister.next_log;
        canister.next_log += 1;
        canister.logs.push_back(LogRecord {
            index,
            time,
            content,
        });
    }
    let mut bytes: usize = canister
        .logs
        .iter()
        .map(|record| record.content.len())
        .sum();
    while bytes > price::LOG_BYTES_MAX {
        bytes -= canister
            .logs
            .pop_front()
            .map_or(bytes, |record| record.content.len());
    }
}
