//! Numbers of WebAssembly in the canister runtime: which modules are valid, what an instruction and
//! a call of the system interface cost, and the bounds of the system interface.
//!
//! Which operators belong to which weight is code of the engine; it names every weight from here.

use crate::params;

params! {
    "wasm";

    // Modules.

    /// Bytes of a Wasm page.
    WASM_PAGE_BYTES: u64 = 65_536, Bytes, v 1,
        "WebAssembly core specification, page size";

    /// Most bytes of a module after decompression.
    MODULE_BYTES_MAX: usize = 100 << 20, Bytes, v 1,
        "interface specification 0.66, Canister module format: 100 MiB";

    /// Most bytes of the code section.
    CODE_BYTES_MAX: usize = 12 << 20, Bytes, v 1,
        "interface specification 0.66, WebAssembly module requirements; the replica's limit";

    /// Most functions a module may define.
    FUNCTIONS_MAX: usize = 50_000, Count, v 1,
        "interface specification 0.66, WebAssembly module requirements";

    /// Most globals a module may define.
    GLOBALS_MAX: usize = 1_000, Count, v 1,
        "interface specification 0.66, WebAssembly module requirements; the replica's limit";

    /// Most custom sections whose name starts with `icp:`.
    METADATA_SECTIONS_MAX: usize = 16, Count, v 1,
        "interface specification 0.66, WebAssembly module requirements";

    /// Most bytes of names and contents of those sections together.
    METADATA_BYTES_MAX: usize = 1 << 20, Bytes, v 1,
        "interface specification 0.66, WebAssembly module requirements";

    /// Most exported methods: update, query and composite query together.
    METHODS_MAX: usize = 1_000, Count, v 1,
        "interface specification 0.66, WebAssembly module requirements";

    /// Most bytes of the names of exported methods together.
    METHOD_NAME_BYTES_MAX: usize = 20_000, Bytes, v 1,
        "interface specification 0.66, WebAssembly module requirements";

    /// Most operators of a function.
    FUNCTION_INSTRUCTIONS_MAX: u64 = 1_000_000, Count, v 1,
        "replica rs/embedders/src/wasm_utils/validation.rs, limit on the size of a function";

    /// Most points of complexity of a function: a rough measure of what compiling it costs.
    FUNCTION_COMPLEXITY_MAX: u64 = 1_000_000, Count, v 1,
        "replica rs/embedders/src/wasm_utils/validation.rs, limit on the complexity of a function";

    /// Most elements a table may have: what a fresh instance pays for on every message.
    TABLE_ELEMENTS_MAX: u64 = 1_000_000, Count, v 1,
        "own choice: a tenth of the WebAssembly implementation limit";

    // Stack and time slices.

    /// Stack units a message may have in use. One unit stands for [`STACK_UNIT_BYTES`] of native
    /// stack.
    STACK_UNITS_MAX: u64 = 1 << 20, StackUnits, v 1,
        "own choice: a recursive function of ten values gets 32,768 levels";

    /// Units every function activation takes beside its values: return address, saved registers,
    /// the engine's own variables.
    STACK_UNITS_FRAME: u64 = 8, StackUnits, v 1,
        "own choice: 1 KiB of native stack for what is no value";

    /// Native stack provided for a unit. A value takes 8 bytes (a vector 16); the rest is room for
    /// how the register allocator lays out a frame. With the optimiser off it merges no
    /// computations, so a frame grows with the values that are live, which the unit counts.
    STACK_UNIT_BYTES: usize = 128, Bytes, v 1,
        "own choice: eight times the widest value";

    /// Native stack beyond Wasm's share, for host functions.
    HOST_STACK_BYTES: usize = 2 << 20, Bytes, v 1,
        "own choice: the default stack of a thread";

    /// Instructions after which the machine hands control back, whatever the slice. A slice ends at
    /// such a point or in a host call. A trap of the machine loses what was counted since the last
    /// one, so this also bounds by how much a trapped message pays too little.
    GRAIN_INSTRUCTIONS: u64 = 100_000, Instructions, v 1,
        "own choice: at 0.1 us for a pause this costs about 0.2 %";

    // Memory.

    /// Charged for every 4 KiB page of heap whose bytes a message changed. Plain reads are free.
    HEAP_DIRTY_PAGE: u64 = 8_000, Instructions, v 1,
        "Internet Computer replica's embedder: first write 5,000, copy 3,000";

    /// Charged when a message first touches a 4 KiB page of stable memory.
    STABLE_ACCESS_PAGE: u64 = 5_000, Instructions, v 1,
        "Internet Computer replica's embedder: first access 5,000";

    /// Charged in addition when it first writes to it.
    STABLE_DIRTY_PAGE: u64 = 8_000, Instructions, v 1,
        "Internet Computer replica's embedder: first write 5,000, copy 3,000";

    /// Most 4 KiB pages of stable memory a message may touch.
    STABLE_TOUCHED_PAGES_MAX: u64 = 2 << 18, Pages, v 1,
        "replica rs/config/src/embedders.rs, stable memory accessed by a message: 2 GiB";

    /// As above, in upgrades.
    STABLE_TOUCHED_PAGES_MAX_UPGRADE: u64 = 8 << 18, Pages, v 1,
        "replica rs/config/src/embedders.rs, stable memory accessed in upgrades: 8 GiB";

    /// As above, in queries.
    STABLE_TOUCHED_PAGES_MAX_QUERY: u64 = 1 << 18, Pages, v 1,
        "replica rs/config/src/embedders.rs, stable memory accessed by a query: 1 GiB";

    /// Most Wasm pages that the 32-bit functions of stable memory can address.
    NARROW_STABLE_PAGES_MAX: u64 = 65_536, WasmPages, v 1,
        "interface specification 0.66, stable_size: 4 GiB";

    // System interface.

    /// Charged by host functions for each byte they copy.
    HOST_BYTE: u64 = 1, Instructions, v 1,
        "Internet Computer replica's embedder, bytes of system calls";

    /// What a function of the system interface costs unless another number says so.
    HOST_CALL: u64 = 500, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// `call_new`.
    HOST_CALL_NEW: u64 = 1_500, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// `call_perform`.
    HOST_CALL_PERFORM: u64 = 5_000, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// Size of, reading and writing stable memory, beside bytes and pages.
    HOST_STABLE_ACCESS: u64 = 20, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// `performance_counter`.
    HOST_PERFORMANCE_COUNTER: u64 = 200, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// `is_controller`.
    HOST_IS_CONTROLLER: u64 = 1_000, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// `debug_print`.
    HOST_DEBUG_PRINT: u64 = 100, Instructions, v 1,
        "Internet Computer replica's embedder, overheads of system calls";

    /// Most bytes of a principal.
    PRINCIPAL_BYTES_MAX: u64 = 29, Bytes, v 1,
        "interface specification 0.66, Principals";

    /// Most bytes of certified data.
    CERTIFIED_DATA_BYTES_MAX: u64 = 32, Bytes, v 1,
        "interface specification 0.66, certified_data_set";

    /// Most bytes of a line or of a trap's message that are looked at; the rest is cut off.
    TEXT_BYTES_MAX: u64 = 32 << 10, Bytes, v 1,
        "own choice: eight times the log that is kept of a canister";

    /// Most bytes a message may print; the rest is cut off.
    PRINT_BYTES_MAX: usize = 1 << 20, Bytes, v 1,
        "own choice: bounds what a message's result carries beside its effects";

    /// Longest name of a threshold key that is looked at.
    KEY_NAME_BYTES_MAX: u64 = 64, Bytes, v 1,
        "own choice: above the names of all known keys";

    // Weights of instructions.

    /// Block structure: `block`, `loop`, `else`, `end`.
    WEIGHT_BLOCK: u32 = 0, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Operators that no other weight names.
    WEIGHT_PLAIN: u32 = 1, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Reading or writing a global.
    WEIGHT_GLOBAL: u32 = 2, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Branches, `if` and `return`.
    WEIGHT_BRANCH: u32 = 2, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Adding, subtracting and multiplying floats, also in vectors.
    WEIGHT_FLOAT_ARITHMETIC: u32 = 2, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Multiplying vectors of 16- and 32-bit integers.
    WEIGHT_VECTOR_MULTIPLY: u32 = 2, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Dividing 32-bit floats.
    WEIGHT_FLOAT_DIVIDE: u32 = 3, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Comparing floats, also in vectors.
    WEIGHT_FLOAT_COMPARE: u32 = 3, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Converting signed integers to floats.
    WEIGHT_FLOAT_CONVERT_SIGNED: u32 = 3, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// A direct tail call.
    WEIGHT_TAIL_CALL: u32 = 3, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Multiplying vectors of 64-bit integers, dividing vectors of 32-bit floats, pseudo-minimum
    /// and pseudo-maximum.
    WEIGHT_VECTOR_MULTIPLY_WIDE: u32 = 4, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// A direct call, the entry of the function included.
    WEIGHT_CALL: u32 = 5, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Reading or writing an element of a table.
    WEIGHT_TABLE_ACCESS: u32 = 5, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Dividing 64-bit floats and roots of 32-bit floats, also in vectors.
    WEIGHT_FLOAT_DIVIDE_WIDE: u32 = 5, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Rounding floats, also in vectors.
    WEIGHT_FLOAT_ROUND: u32 = 5, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Swizzling vectors and counting bits in them.
    WEIGHT_VECTOR_BYTES: u32 = 5, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Roots of 64-bit floats, also in vectors.
    WEIGHT_FLOAT_ROOT: u32 = 8, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Dividing integers, and remainders.
    WEIGHT_INTEGER_DIVIDE: u32 = 10, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// An indirect call, the entry of the function included.
    WEIGHT_CALL_INDIRECT: u32 = 10, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Minimum and maximum of vectors of floats.
    WEIGHT_VECTOR_EXTREMES: u32 = 14, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Saturating truncation and unsigned conversion of vectors.
    WEIGHT_VECTOR_CONVERT: u32 = 14, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Converting unsigned integers to floats.
    WEIGHT_FLOAT_CONVERT_UNSIGNED: u32 = 16, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Minimum and maximum of floats.
    WEIGHT_FLOAT_EXTREMES: u32 = 18, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Size of a memory or table.
    WEIGHT_SIZE: u32 = 20, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Converting floats to integers.
    WEIGHT_FLOAT_TRUNCATE: u32 = 20, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// An indirect tail call.
    WEIGHT_TAIL_CALL_INDIRECT: u32 = 60, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Bulk operations on memories and tables, beside their bytes or elements.
    WEIGHT_BULK: u32 = 100, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Making a reference to a function.
    WEIGHT_FUNCTION_REFERENCE: u32 = 130, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// Growing a memory or table.
    WEIGHT_GROW: u32 = 300, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";

    /// What a memory access costs in addition where addresses have 64 bits.
    WEIGHT_WIDE_ACCESS: u32 = 1, Instructions, v 1,
        "Internet Computer replica, instruction weights of its embedder";
}

const _: () = assert!(CODE_BYTES_MAX <= MODULE_BYTES_MAX);
const _: () = assert!(METADATA_BYTES_MAX <= MODULE_BYTES_MAX);
const _: () = assert!(STACK_UNITS_FRAME < STACK_UNITS_MAX);
const _: () = assert!(GRAIN_INSTRUCTIONS < crate::canister::SLICE_INSTRUCTIONS);
const _: () = assert!(STABLE_TOUCHED_PAGES_MAX_QUERY <= STABLE_TOUCHED_PAGES_MAX);
const _: () = assert!(STABLE_TOUCHED_PAGES_MAX <= STABLE_TOUCHED_PAGES_MAX_UPGRADE);
const _: () = assert!(NARROW_STABLE_PAGES_MAX <= crate::canister::STABLE_PAGES_MAX);
const _: () = assert!(TEXT_BYTES_MAX <= PRINT_BYTES_MAX as u64);
const _: () = assert!(crate::canister::LOG_BYTES_MAX as u64 <= TEXT_BYTES_MAX);
// Functions that instrumentation prices in the table must fit its bytes with the entry taken off.
const _: () = assert!(WEIGHT_CALL >= 1 && WEIGHT_CALL_INDIRECT >= 1 && WEIGHT_TAIL_CALL >= 1);
