//! What a message begins with: its entry, its context, what it may see; and what it leaves in the
//! log.

use std::collections::BTreeMap;

use candid::Principal;

use super::machine::Entry;
use super::price;
use super::record::{CallContext, Canister, Frozen, Job, Origin, Paused, Request};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use crate::api::{CallMode, EntryPoint, ExecutionResult, PreparedModule, Trap, TrapKind};

/// The context of a message that ended: a new one for requests and tasks, the one of the call for
/// responses.
pub(super) fn enter_context(canister: &mut Canister, paused: &Paused) -> u64 {
    let (origin, cycles, answered) = match &paused.job {
        Job::Request { request } => (request.origin.clone(), request.cycles, false),
        Job::Heartbeat {} | Job::GlobalTimer {} | Job::LowMemory {} => (Origin::Task {}, 0, true),
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

/// What a message of `canister` that begins now may see. The limit on its Wasm memory is that of
/// the machine; see [`limit_memory`] for that of its settings.
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
        heap_pages_max: price::heap_bytes_max(memory64, 0) / price::WASM_PAGE_BYTES,
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
        let why = "Composite query cannot be called in replicated mode";
        return Err(Rejection::new(ErrorCode::CompositeInReplicated, why));
    } else {
        return Err(Rejection::no_method(id, "update", &request.method));
    };
    let (caller, argument) = (request.origin.caller(), request.argument.clone());
    Ok(Entry {
        caller,
        caller_info: request.origin.caller_info(),
        argument,
        deadline: request.origin.deadline(),
        ..plain
    })
}

/// Turns the end of a message that made the Wasm memory larger than the canister's settings allow
/// into a trap. The limit is looked at when the message has ended: what it did is dropped either
/// way, and its use of memory is then known in full.
///
/// Source: interface specification, "IC method create_canister", `wasm_memory_limit`. What answers
/// calls goes beyond the limit, so that a canister that has reached it can finish what it began.
pub(super) fn limit_memory(result: &mut ExecutionResult, before: u64, limit: u64) {
    let Ok(effects) = &result.end else {
        return;
    };
    let after = effects
        .memory
        .as_ref()
        .map_or(0, |memory| memory.heap_wasm_pages);
    let bytes = after.saturating_mul(price::WASM_PAGE_BYTES);
    if after > before && bytes > limit {
        result.end = Err(Trap {
            kind: TrapKind::MemoryLimit,
            message: format!(
                "Canister exceeded its current Wasm memory limit of {limit} bytes. The peak Wasm \
                 memory usage was {bytes} bytes. Move data from the Wasm memory to the stable \
                 memory, or raise the limit in the settings of the canister."
            ),
        });
    }
}

impl Round<'_> {
    /// Keeps what a message printed, and its trap, within the limit on prints.
    pub(crate) fn log(&mut self, id: Principal, result: &ExecutionResult) {
        let trapped = match &result.end {
            Err(trap) => Some(format!("[TRAP]: {}", trap.message).into_bytes()),
            Ok(_) => None,
        };
        if result.prints.is_empty() && trapped.is_none() {
            return;
        }
        let now = self.now();
        let limit = self.state.existing(&id).settings.log_memory_limit;
        let log = self.state.log_mut(id);
        log.extend(now, result.prints.iter().chain(&trapped), limit);
        self.state.existing(&id).log_bytes = self.state.log_mut(id).bytes();
    }
}
