//! Prices in cycles of a subnet of 13 nodes, and the limits of messages and rounds.
//!
//! Source of every number unless said otherwise: interface specification 0.66, "Cycles", and
//! the replica's `rs/config/src/subnet_config.rs` (application subnets, 13 nodes).

/// Creating a canister: 500 billion.
pub(crate) const CREATE_CANISTER: u128 = 500_000_000_000;
/// Starting to execute a message, task or callback: 5 million.
pub(crate) const EXECUTION_BASE: u128 = 5_000_000;
/// An instruction of a 32-bit module: 1.
pub(crate) const INSTRUCTION: u128 = 1;
/// An instruction of a 64-bit module: 2.
pub(crate) const INSTRUCTION_64: u128 = 2;
/// Receiving an ingress message: 1.2 million.
pub(crate) const INGRESS_BASE: u128 = 1_200_000;
/// Each byte of method name and argument of an ingress message: 2,000.
pub(crate) const INGRESS_BYTE: u128 = 2_000;
/// A call between canisters, request and response together: 260,000.
pub(crate) const CALL_BASE: u128 = 260_000;
/// Each byte of a request or response between canisters: 1,000.
pub(crate) const CALL_BYTE: u128 = 1_000;
/// A GiB of storage for a second: 317,500. Source: replica code of 2026 (the documentation still
/// says 127,000).
pub(crate) const STORAGE_GIB_SECOND: u128 = 317_500;
/// A canister that is not empty, for a second: 10,000. Source: dfinity/ic pull request 10292.
pub(crate) const CANISTER_SECOND: u128 = 10_000;
/// A per cent of compute allocation for a second: 10 million.
pub(crate) const COMPUTE_PERCENT_SECOND: u128 = 10_000_000;
/// What a canister created by the provisional interface gets if nothing else is asked: 100
/// trillion. Source: PocketIC and the replica's default for provisional creation.
pub(crate) const PROVISIONAL_CYCLES: u128 = 100_000_000_000_000;
/// Reserved cycles limit of a new canister: 5 trillion.
pub(crate) const RESERVED_LIMIT: u128 = 5_000_000_000_000;
/// Most bytes of a response between canisters and to a user: 2 MiB.
pub(crate) const RESPONSE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Instructions that uploading a chunk counts as: 200 million.
pub(crate) const UPLOAD_CHUNK_INSTRUCTIONS: u64 = 200_000_000;
/// Instructions that compiling costs for each Wasm instruction: 6,000.
pub(crate) const COMPILE_PER_INSTRUCTION: u64 = 6_000;
/// Instructions that creating an execution state costs: 20 million. Source: dfinity/ic pull
/// request 10065.
pub(crate) const COMPILE_BASE: u64 = 20_000_000;

/// Instructions of a round: 4 billion.
pub(crate) const ROUND_INSTRUCTIONS: u64 = 4_000_000_000;
/// Instructions of a slice: 2 billion.
pub(crate) const SLICE_INSTRUCTIONS: u64 = 2_000_000_000;
/// Instructions of an update, task or callback: 40 billion.
pub(crate) const MESSAGE_INSTRUCTIONS: u64 = 40_000_000_000;
/// Instructions of installing code, all stages together: 300 billion.
pub(crate) const INSTALL_INSTRUCTIONS: u64 = 300_000_000_000;
/// Instructions of a query: 5 billion.
pub(crate) const QUERY_INSTRUCTIONS: u64 = 5_000_000_000;
/// Instructions of inspect_message: 200 million.
pub(crate) const INSPECT_INSTRUCTIONS: u64 = 200_000_000;
/// Instructions of a cleanup callback, which runs in one piece: one slice.
pub(crate) const CLEANUP_INSTRUCTIONS: u64 = SLICE_INSTRUCTIONS;
/// What a round counts for each execution beside its instructions: 2 million.
pub(crate) const EXECUTION_OVERHEAD: u64 = 2_000_000;
/// Most requests between one pair of canisters that wait or are unanswered: 500.
pub(crate) const QUEUE_MAX: usize = 500;
/// Most canisters that a composite query visits below each other: 6.
pub(crate) const COMPOSITE_DEPTH_MAX: usize = 6;
/// Deepest wait of a best-effort call: 300 seconds.
pub(crate) const BEST_EFFORT_SECONDS_MAX: u32 = 300;
/// After this, a stop that still waits is answered with an error: 5 minutes.
pub(crate) const STOP_TIMEOUT_NANOS: u64 = 300 * SECOND_NANOS;
/// How long the status of an answered ingress message is kept at least: 5 minutes.
pub(crate) const STATUS_KEPT_NANOS: u64 = 300 * SECOND_NANOS;
/// Storage is charged when at least this much time has passed: 10 seconds.
pub(crate) const CHARGE_EVERY_NANOS: u64 = 10 * SECOND_NANOS;
/// Nanoseconds of a second.
pub(crate) const SECOND_NANOS: u64 = 1_000_000_000;
/// Bytes of a Wasm page.
pub(crate) const WASM_PAGE_BYTES: u64 = 65_536;
/// Most Wasm pages of a 32-bit memory: 4 GiB.
pub(crate) const HEAP_PAGES_MAX: u64 = 65_536;
/// Most Wasm pages of a 64-bit memory: 6 GiB.
pub(crate) const HEAP_PAGES_MAX_64: u64 = 98_304;
/// Most Wasm pages of a stable memory: 500 GiB.
pub(crate) const STABLE_PAGES_MAX: u64 = 500 * 1024 * 16;
/// Bytes of prints that are kept of a canister: 4 KiB.
pub(crate) const LOG_BYTES_MAX: usize = 4_096;

const _: () = assert!(SLICE_INSTRUCTIONS <= ROUND_INSTRUCTIONS);
const _: () = assert!(QUERY_INSTRUCTIONS <= MESSAGE_INSTRUCTIONS);

/// Price of executing `instructions`, with the base.
pub(crate) fn execution(instructions: u64, memory64: bool) -> u128 {
    let each = if memory64 {
        INSTRUCTION_64
    } else {
        INSTRUCTION
    };
    EXECUTION_BASE + u128::from(instructions) * each
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

/// What a canister burns in `nanos` without doing anything. Rounded down; charging works on whole
/// spans of at least 10 seconds, so that the loss is below one cycle per span and item.
pub(crate) fn idle(memory_bytes: u128, compute_percent: u64, is_empty: bool, nanos: u64) -> u128 {
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
    let compute = u128::from(compute_percent) * COMPUTE_PERCENT_SECOND * nanos / second;
    storage.saturating_add(base).saturating_add(compute)
}
