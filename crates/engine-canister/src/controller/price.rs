//! The formulas of prices in cycles. The numbers stand in [`trilith_params::canister`]; from here the
//! controller takes both.
//!
//! Source: interface specification 0.66, "Cycles".

pub(crate) use trilith_params::canister::{
    BEST_EFFORT_SECONDS_MAX, CALL_BASE, CALL_BYTE, CANISTER_SECOND, CHARGE_EVERY_NANOS,
    CLEANUP_INSTRUCTIONS, COMPILE_BASE, COMPILE_PER_INSTRUCTION, COMPOSITE_CALL_INSTRUCTIONS,
    COMPOSITE_DEPTH_MAX, COMPUTE_PERCENT_SECOND, CREATE_CANISTER, EXECUTION_BASE,
    EXECUTION_OVERHEAD, FREEZING_THRESHOLD, HEAP_PAGES_MAX, HEAP_PAGES_MAX_64, INGRESS_BASE,
    INGRESS_BYTE, INSPECT_INSTRUCTIONS, INSTALL_INSTRUCTIONS, INSTRUCTION, INSTRUCTION_64,
    LOG_BYTES_MAX, MESSAGE_INSTRUCTIONS, PROVISIONAL_CYCLES, QUERY_INSTRUCTIONS, QUEUE_MAX,
    RESERVED_LIMIT, RESPONSE_BYTES_MAX, ROUND_INSTRUCTIONS, SECOND_NANOS, SLICE_INSTRUCTIONS,
    SNAPSHOT_DATA_INSTRUCTIONS, SNAPSHOT_INSTRUCTIONS, STABLE_PAGES_MAX, STATUS_KEPT_NANOS,
    STOP_TIMEOUT_NANOS, STORAGE_GIB_SECOND, UPLOAD_CHUNK_INSTRUCTIONS, WASM_MEMORY_LIMIT,
};
pub(crate) use trilith_params::wasm::WASM_PAGE_BYTES;

/// Price of executing `instructions`, with the base.
pub(crate) fn execution(instructions: u64, memory64: bool) -> u128 {
    let each = if memory64 {
        INSTRUCTION_64
    } else {
        INSTRUCTION
    };
    EXECUTION_BASE + u128::from(instructions) * each
}

/// Bytes that a canister's Wasm memory may have under a limit of its settings; 0 is no limit.
pub(crate) fn heap_bytes_max(memory64: bool, limit: u64) -> u64 {
    let pages = if memory64 {
        HEAP_PAGES_MAX_64
    } else {
        HEAP_PAGES_MAX
    };
    let machine = pages * WASM_PAGE_BYTES;
    if limit == 0 {
        machine
    } else {
        machine.min(limit)
    }
}

/// Price of an ingress message with `bytes` of method name and argument.
pub(crate) fn ingress(bytes: usize) -> u128 {
    INGRESS_BASE + bytes as u128 * INGRESS_BYTE
}

/// Charges for opening a call from a canister whose module is 64-bit or not.
pub(crate) fn call_fees(memory64: bool) -> crate::api::CallFees {
    crate::api::CallFees {
        base: CALL_BASE,
        per_request_byte: CALL_BYTE,
        response_prepayment: response_transmission() + execution(MESSAGE_INSTRUCTIONS, memory64),
    }
}

/// Prepayment for the transmission of the longest response.
pub(crate) fn response_transmission() -> u128 {
    u128::from(RESPONSE_BYTES_MAX) * CALL_BYTE
}

/// What a canister pays in `nanos` for its memory and, if it is not empty, for being there. Rounded
/// down; charging works on whole spans of at least 10 seconds, so that the loss is below one cycle
/// per span and item.
pub(crate) fn storage(memory_bytes: u128, is_empty: bool, nanos: u64) -> u128 {
    let nanos = u128::from(nanos);
    let second = u128::from(SECOND_NANOS);
    let storage = memory_bytes
        .saturating_mul(STORAGE_GIB_SECOND)
        .saturating_mul(nanos)
        / (second << 30);
    let base = if is_empty {
        0
    } else {
        CANISTER_SECOND * nanos / second
    };
    storage.saturating_add(base)
}

/// What a compute allocation costs in `nanos`, rounded down.
pub(crate) fn compute(percent: u64, nanos: u64) -> u128 {
    u128::from(percent) * COMPUTE_PERCENT_SECOND * u128::from(nanos) / u128::from(SECOND_NANOS)
}
