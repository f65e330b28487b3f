//! Numbers of the canister runtime's controller: prices in cycles for a subnet of 13 nodes, the
//! limits of messages and rounds, and what the management canister accepts.
//!
//! Relations that execution relies on are asserted at the end.

use crate::params;

/// Nanoseconds of a second. A fact, not a choice: it is in no table.
pub const SECOND_NANOS: u64 = 1_000_000_000;

params! {
    "canister";

    // Prices.

    /// Nodes of the subnet that prices are stated for.
    REFERENCE_NODES: u128 = 13, Count, v 1,
        "Internet Computer replica rs/config/src/subnet_config.rs, reference subnet size";

    /// Creating a canister.
    CREATE_CANISTER: u128 = 500_000_000_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// Starting to execute a message, task or callback.
    EXECUTION_BASE: u128 = 5_000_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// An instruction of a 32-bit module.
    INSTRUCTION: u128 = 1, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// An instruction of a 64-bit module.
    INSTRUCTION_64: u128 = 2, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// Receiving an ingress message.
    INGRESS_BASE: u128 = 1_200_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// Each byte of method name and argument of an ingress message.
    INGRESS_BYTE: u128 = 2_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// A call between canisters, request and response together.
    CALL_BASE: u128 = 260_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// Each byte of a request or response between canisters.
    CALL_BYTE: u128 = 1_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// A GiB of storage for a second.
    STORAGE_GIB_SECOND: u128 = 317_500, Cycles, v 1,
        "replica rs/config/src/subnet_config.rs of 2026; the documentation still says 127,000";

    /// A canister that is not empty, for a second.
    CANISTER_SECOND: u128 = 10_000, Cycles, v 1,
        "dfinity/ic pull request 10292";

    /// A per cent of compute allocation for a second.
    COMPUTE_PERCENT_SECOND: u128 = 10_000_000, Cycles, v 1,
        "interface specification 0.66, Cycles; replica rs/config/src/subnet_config.rs";

    /// A threshold signature or key derivation, as the `cost_*` functions state it.
    THRESHOLD_OPERATION: u128 = 10_000_000_000, Cycles, v 1,
        "replica rs/config/src/subnet_config.rs, fees of threshold signatures";

    /// An HTTP request, for each node: fixed part.
    HTTP_REQUEST_BASE: u128 = 3_000_000, Cycles, v 1,
        "interface specification 0.66, Cycles, HTTPS outcalls";

    /// An HTTP request, for each node: part for each node of the subnet.
    HTTP_REQUEST_NODE: u128 = 60_000, Cycles, v 1,
        "interface specification 0.66, Cycles, HTTPS outcalls";

    /// An HTTP request, for each node: each byte of the request.
    HTTP_REQUEST_BYTE: u128 = 400, Cycles, v 1,
        "interface specification 0.66, Cycles, HTTPS outcalls";

    /// An HTTP request, for each node: each byte that the response may have.
    HTTP_RESPONSE_BYTE: u128 = 800, Cycles, v 1,
        "interface specification 0.66, Cycles, HTTPS outcalls";

    /// What a canister created by the provisional interface gets if nothing else is asked.
    PROVISIONAL_CYCLES: u128 = 100_000_000_000_000, Cycles, v 1,
        "PocketIC and the replica's default for provisional creation";

    /// Reserved cycles limit of a new canister.
    RESERVED_LIMIT: u128 = 5_000_000_000_000, Cycles, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Freezing threshold of a new canister.
    FREEZING_THRESHOLD: u64 = 2_592_000, Seconds, v 1,
        "interface specification 0.66, IC method create_canister: 30 days";

    /// Storage is charged when at least this much time has passed.
    CHARGE_EVERY_NANOS: u64 = 10 * SECOND_NANOS, Nanoseconds, v 1,
        "replica, duration between charges for allocations";

    // Work that is not the canister's program.

    /// Instructions that uploading a chunk counts as.
    UPLOAD_CHUNK_INSTRUCTIONS: u64 = 200_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs";

    /// Instructions that taking or loading a snapshot counts as, beside one for each byte.
    SNAPSHOT_INSTRUCTIONS: u64 = 2_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, baseline of canister snapshots";

    /// Instructions that reading or writing a part of a snapshot counts as, beside one for each
    /// byte.
    SNAPSHOT_DATA_INSTRUCTIONS: u64 = 5_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, baseline of canister snapshot data";

    /// Instructions that a round counts for each canister that a question about the subnet looks at.
    LOOK_INSTRUCTIONS: u64 = 1_000, Instructions, v 1,
        "own choice: looking up a record takes some hundred nanoseconds";

    /// Instructions that compiling costs for each Wasm instruction.
    COMPILE_PER_INSTRUCTION: u64 = 6_000, Instructions, v 1,
        "replica rs/config/src/embedders.rs, cost to compile a Wasm instruction";

    /// Instructions that creating an execution state costs.
    COMPILE_BASE: u64 = 20_000_000, Instructions, v 1,
        "dfinity/ic pull request 10065";

    /// What a round counts for each execution beside its instructions.
    EXECUTION_OVERHEAD: u64 = 2_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, overhead of a message execution";

    /// Charged for each call of a composite query.
    COMPOSITE_CALL_INSTRUCTIONS: u64 = 50_000_000, Instructions, v 1,
        "replica INSTRUCTION_OVERHEAD_PER_QUERY_CALL";

    // Limits of executions.

    /// Instructions of a round.
    ROUND_INSTRUCTIONS: u64 = 4_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, application subnets";

    /// Instructions of a slice.
    SLICE_INSTRUCTIONS: u64 = 2_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, application subnets";

    /// Instructions of an update, task or callback.
    MESSAGE_INSTRUCTIONS: u64 = 40_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, application subnets";

    /// Instructions of installing code, all stages together.
    INSTALL_INSTRUCTIONS: u64 = 300_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, application subnets";

    /// Instructions of a query.
    QUERY_INSTRUCTIONS: u64 = 5_000_000_000, Instructions, v 1,
        "replica rs/config/src/subnet_config.rs, application subnets";

    /// Instructions of inspect_message.
    INSPECT_INSTRUCTIONS: u64 = 200_000_000, Instructions, v 1,
        "replica rs/config/src/execution_environment.rs";

    /// Instructions of a cleanup callback, which runs in one piece: one slice.
    CLEANUP_INSTRUCTIONS: u64 = SLICE_INSTRUCTIONS, Instructions, v 1,
        "own choice: a cleanup is not paused, so it gets what one slice has";

    /// Most requests between one pair of canisters that wait or are unanswered.
    QUEUE_MAX: usize = 500, Count, v 1,
        "replica rs/replicated_state, default queue capacity";

    /// Most canisters below each other that call others in a composite query.
    COMPOSITE_DEPTH_MAX: usize = 6, Count, v 1,
        "replica rs/config/src/execution_environment.rs, depth of query calls";

    /// Longest wait of a best-effort call.
    BEST_EFFORT_SECONDS_MAX: u32 = 300, Seconds, v 1,
        "interface specification 0.66, call_with_best_effort_response";

    /// After this, a stop that still waits is answered with an error.
    STOP_TIMEOUT_NANOS: u64 = 300 * SECOND_NANOS, Nanoseconds, v 1,
        "replica rs/config/src/execution_environment.rs, timeout of stop_canister: 5 minutes";

    /// How long the status of an answered ingress message is kept at least.
    STATUS_KEPT_NANOS: u64 = 300 * SECOND_NANOS, Nanoseconds, v 1,
        "replica MAX_INGRESS_TTL: 5 minutes";

    // Limits of sizes.

    /// Most bytes of a response between canisters and to a user.
    RESPONSE_BYTES_MAX: u64 = 2 * 1024 * 1024, Bytes, v 1,
        "interface specification 0.66, msg_reply; replica MAX_INTER_CANISTER_PAYLOAD_IN_BYTES";

    /// Most bytes of a reply to a query call.
    QUERY_REPLY_BYTES_MAX: u64 = 3 << 20, Bytes, v 1,
        "interface specification 0.66, limits on query responses";

    /// Most bytes of a call's argument that are taken from a canister; the controller applies the
    /// lower limit for canisters elsewhere.
    CALL_ARGUMENT_BYTES_MAX: u64 = 10 << 20, Bytes, v 1,
        "replica MAX_INTRA_SUBNET payload: 10 MiB";

    /// Most Wasm pages of a 32-bit memory.
    HEAP_PAGES_MAX: u64 = 65_536, WasmPages, v 1,
        "WebAssembly core specification: 4 GiB";

    /// Most Wasm pages of a 64-bit memory.
    HEAP_PAGES_MAX_64: u64 = 98_304, WasmPages, v 1,
        "replica rs/config/src/embedders.rs: 6 GiB";

    /// Most Wasm pages of a stable memory.
    STABLE_PAGES_MAX: u64 = 500 * 1024 * 16, WasmPages, v 1,
        "interface specification 0.66, stable memory: 500 GiB";

    /// Bytes of prints that are kept of a canister whose settings ask for no other number.
    LOG_BYTES_MAX: usize = 4_096, Bytes, v 1,
        "interface specification 0.66, IC method fetch_canister_logs: 4 KiB";

    /// Bytes that a print counts beside its content, so that empty ones are bounded too.
    LOG_RECORD_BYTES: u64 = 16, Bytes, v 1,
        "replica, size of a log record: index and time of 8 bytes each";

    /// Most bytes of prints that a canister's settings may ask for.
    LOG_MEMORY_LIMIT_MAX: u64 = 2 << 20, Bytes, v 1,
        "replica rs/types/limits: 2 MiB";

    /// Limit on the Wasm memory of a new canister.
    WASM_MEMORY_LIMIT: u64 = 3 << 30, Bytes, v 1,
        "replica rs/config/src/execution_environment.rs, default limit: 3 GiB";

    /// Changes of a canister that are remembered.
    HISTORY_CHANGES_MAX: usize = 20, Count, v 1,
        "interface specification 0.66, Canister history: at least 20 changes";

    /// Most snapshots of a canister.
    SNAPSHOTS_MAX: usize = 10, Count, v 1,
        "interface specification 0.66, IC method take_canister_snapshot";

    /// Most bytes of a part of a snapshot that is read or written at once.
    SNAPSHOT_SLICE_BYTES_MAX: usize = 2_000_000, Bytes, v 1,
        "replica rs/execution_environment/src/canister_manager.rs: 2 MB";

    /// Last index of the subnet's range of canister ids.
    INDEX_MAX: u64 = 0xf_ffff, Count, v 1,
        "Internet Computer registry: subnets have ranges of 1,048,576 ids";

    // What the management canister accepts.

    /// `update_settings` of at most this many bytes of argument is charged after it was applied, so
    /// that a frozen canister can be unfrozen.
    UNFREEZING_BYTES_MAX: usize = 366, Bytes, v 1,
        "replica MAX_DELAYED_INGRESS_COST_PAYLOAD_SIZE";

    /// Most bytes of a chunk of the chunk store.
    CHUNK_BYTES_MAX: usize = 1024 * 1024, Bytes, v 1,
        "interface specification 0.66, IC method upload_chunk: 1 MiB";

    /// Most chunks in the store of a canister.
    CHUNKS_MAX: usize = 100, Count, v 1,
        "interface specification 0.66, IC method upload_chunk: a store of 100 MiB";

    /// Most controllers of a canister.
    CONTROLLERS_MAX: usize = 10, Count, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Most viewers of a canister's logs.
    VIEWERS_MAX: usize = 10, Count, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Most environment variables of a canister.
    VARIABLES_MAX: usize = 20, Count, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Most bytes of an environment variable's name, and of its value.
    VARIABLE_BYTES_MAX: usize = 128, Bytes, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Largest compute allocation.
    COMPUTE_ALLOCATION_MAX: u64 = 100, Percent, v 1,
        "interface specification 0.66, IC method create_canister";

    /// Compute allocation of all canisters together.
    COMPUTE_CAPACITY: u64 = 299, Percent, v 1,
        "replica rs/execution_environment, capacity of the scheduler: (4 - 1) x 100 %, less one";

    /// Largest limit on the Wasm memory.
    WASM_MEMORY_LIMIT_MAX: u64 = 1 << 48, Bytes, v 1,
        "interface specification 0.66, IC method create_canister: 2^48 bytes";

    /// Largest memory allocation.
    MEMORY_ALLOCATION_MAX: u64 = 1 << 48, Bytes, v 1,
        "interface specification 0.66, IC method create_canister: 2^48 bytes";

    // The state's records.

    /// Most items of a collection in a record of the state; the record's length bounds them further.
    STATE_ITEMS_MAX: usize = 16_000_000, Count, v 1,
        "own choice: above every collection that the other limits allow";

    /// Most bytes of one string in a record of the state.
    STATE_STRING_BYTES_MAX: usize = 256 * 1024 * 1024, Bytes, v 1,
        "own choice: above every payload that the other limits allow";

    /// Rounds after which the bytes of all canisters are added up again.
    METRICS_ROUNDS: u64 = 10, Count, v 1,
        "interface specification 0.66, Subnet information: refreshed every 10 blocks";

    /// How many rounds after it was made a request for randomness is answered at the earliest.
    RANDOMNESS_ROUNDS: u64 = 2, Count, v 1,
        "own choice: the height that fixes a round comes with randomness known before it; that of the next does not";
}

const _: () = assert!(SLICE_INSTRUCTIONS <= ROUND_INSTRUCTIONS);
const _: () = assert!(SLICE_INSTRUCTIONS <= MESSAGE_INSTRUCTIONS);
const _: () = assert!(CLEANUP_INSTRUCTIONS <= SLICE_INSTRUCTIONS);
const _: () = assert!(INSPECT_INSTRUCTIONS <= QUERY_INSTRUCTIONS);
const _: () = assert!(QUERY_INSTRUCTIONS <= MESSAGE_INSTRUCTIONS);
const _: () = assert!(MESSAGE_INSTRUCTIONS <= INSTALL_INSTRUCTIONS);
const _: () = assert!(UPLOAD_CHUNK_INSTRUCTIONS <= ROUND_INSTRUCTIONS);
const _: () = assert!(EXECUTION_OVERHEAD < SLICE_INSTRUCTIONS);
const _: () = assert!(SNAPSHOT_SLICE_BYTES_MAX as u64 <= RESPONSE_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MAX <= SNAPSHOT_SLICE_BYTES_MAX);
const _: () = assert!(LOG_BYTES_MAX as u64 <= LOG_MEMORY_LIMIT_MAX);
const _: () = assert!(WASM_MEMORY_LIMIT <= WASM_MEMORY_LIMIT_MAX);
const _: () = assert!(COMPUTE_ALLOCATION_MAX <= COMPUTE_CAPACITY);
const _: () = assert!(RESPONSE_BYTES_MAX <= QUERY_REPLY_BYTES_MAX);
const _: () = assert!(RESPONSE_BYTES_MAX <= CALL_ARGUMENT_BYTES_MAX);
const _: () = assert!(CALL_ARGUMENT_BYTES_MAX <= STATE_STRING_BYTES_MAX as u64);
const _: () = assert!(HEAP_PAGES_MAX <= HEAP_PAGES_MAX_64);
const _: () = assert!(HEAP_PAGES_MAX_64 * crate::wasm::WASM_PAGE_BYTES <= WASM_MEMORY_LIMIT_MAX);
const _: () = assert!(STABLE_PAGES_MAX * crate::wasm::WASM_PAGE_BYTES <= MEMORY_ALLOCATION_MAX);
const _: () = assert!(CHUNKS_MAX * CHUNK_BYTES_MAX >= crate::wasm::MODULE_BYTES_MAX);
