//! The seam inside the canister engine: what the controller (state, scheduling, cycles, messages)
//! asks of an executor (Wasm, system interface, memory), and what it gets back.
//!
//! The controller never runs untrusted code and the executor never sees the state: one request
//! carries everything a message may observe, one result everything it did. An executor may sit in
//! this process or in a jailed one; results are the same.

use std::sync::Arc;

use candid::Principal;
use trilith_protocol::Fault;
use trilith_types::{Image, PageRun};

/// SHA-256 of a Wasm module as it was installed (after decompression).
pub type ModuleHash = [u8; 32];

/// Prepares modules and starts executions.
pub trait Executor: Send + Sync {
    /// Validates, instruments and compiles a module, or finds it in the cache. The verdict depends
    /// on the bytes alone.
    ///
    /// # Errors
    /// [`PrepareError`]: the module is invalid (an outcome), or this node failed (a fault).
    fn prepare(&self, wasm: &Arc<Vec<u8>>) -> Result<Arc<PreparedModule>, PrepareError>;

    /// Sets up an execution, paused before its first instruction.
    ///
    /// # Errors
    /// [`Fault`] if this node failed; the caller tries again.
    fn start(
        &self,
        module: &Arc<PreparedModule>,
        request: ExecutionRequest,
    ) -> Result<Box<dyn Execution>, Fault>;
}

/// A running message. Dropping it abandons the message without effects.
pub trait Execution: Send {
    /// Runs the next slice.
    ///
    /// # Errors
    /// [`Fault`] if this node failed (the sandbox died, hung or was starved). The execution is
    /// then useless; the caller starts it anew elsewhere.
    fn run_slice(&mut self) -> Result<Slice, Fault>;
}

/// How a slice ended.
#[derive(Debug)]
pub enum Slice {
    /// The slice was used up and the message is not finished. The next call goes on.
    Paused,
    /// The message ended.
    Finished(Box<ExecutionResult>),
}

/// Why a module was not prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrepareError {
    /// The module breaks a rule; the message states fact, value and limit. Every node says the
    /// same.
    Invalid(String),
    /// This node failed.
    Fault(Fault),
}

/// What is known of a validated module. Immutable; the compiled code stays with the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedModule {
    /// Hash of the original module.
    pub hash: ModuleHash,
    /// Length of the original module in bytes.
    pub wasm_bytes: u64,
    /// Exported functions, ascending.
    pub exports: Vec<EntryPoint>,
    /// Custom sections `icp:public <name>` and `icp:private <name>`, ascending by name.
    pub metadata: Vec<MetadataSection>,
    /// Whether the memory is 64-bit.
    pub memory64: bool,
    /// Initial length of the memory in Wasm pages of 64 KiB.
    pub memory_minimum: u64,
    /// Maximum declared by the module in Wasm pages, if any.
    pub memory_maximum: Option<u64>,
    /// Initial values of the mutable globals, in order of their index.
    pub globals: Vec<GlobalValue>,
    /// Whether the module has a start function.
    pub has_start: bool,
    /// Wasm instructions in its function bodies, for the price of compiling.
    pub instruction_count: u64,
}

/// A custom section that clients may read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataSection {
    /// Name without the `icp:public ` or `icp:private ` prefix.
    pub name: String,
    /// Whether anyone may read it, or controllers only.
    pub public: bool,
    /// Its content.
    pub content: Vec<u8>,
}

/// An entry into a canister.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryPoint {
    /// The module's start function; run once when the module is installed.
    Start,
    /// `canister_init`.
    Init,
    /// `canister_pre_upgrade`.
    PreUpgrade,
    /// `canister_post_upgrade`.
    PostUpgrade,
    /// `canister_inspect_message`.
    InspectMessage,
    /// `canister_heartbeat`.
    Heartbeat,
    /// `canister_global_timer`.
    GlobalTimer,
    /// `canister_on_low_wasm_memory`.
    OnLowWasmMemory,
    /// `canister_update <name>`.
    Update(String),
    /// `canister_query <name>`.
    Query(String),
    /// `canister_composite_query <name>`.
    CompositeQuery(String),
    /// A function of the module's table, called with an environment: reply, reject and cleanup
    /// callbacks.
    Callback {
        /// Index into the table.
        function: u64,
        /// Passed as the only argument.
        environment: u64,
    },
}

/// In which context of the system interface a message runs; decides which imports it may call.
///
/// Source: Internet Computer interface specification, "Overview of imports".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallMode {
    /// `s`: the start function.
    Start,
    /// `I`: init and post_upgrade.
    Init,
    /// `G`: pre_upgrade.
    PreUpgrade,
    /// `U`: update.
    Update,
    /// `RQ`: a query method called as an update.
    ReplicatedQuery,
    /// `NRQ`: a query call.
    NonReplicatedQuery,
    /// `CQ`: a composite query call.
    CompositeQuery,
    /// `Ry`: reply callback.
    ReplyCallback,
    /// `Rt`: reject callback.
    RejectCallback,
    /// `CRy`: reply callback of a composite query.
    CompositeReplyCallback,
    /// `CRt`: reject callback of a composite query.
    CompositeRejectCallback,
    /// `C`: cleanup callback.
    Cleanup,
    /// `CC`: cleanup callback of a composite query.
    CompositeCleanup,
    /// `F`: inspect_message.
    InspectMessage,
    /// `T`: heartbeat, global timer, on_low_wasm_memory.
    SystemTask,
}

/// Everything a message may observe.
#[derive(Clone, Debug)]
pub struct ExecutionRequest {
    /// The canister.
    pub canister: Principal,
    /// Where it is entered.
    pub entry: EntryPoint,
    /// In which context.
    pub mode: CallMode,
    /// Who called; the management canister's id for system tasks.
    pub caller: Principal,
    /// What a canister attests about the caller, where the call came from a user who sent it along.
    pub caller_info: Option<Arc<CallerInfo>>,
    /// The argument, or the reply in a reply callback.
    pub argument: Vec<u8>,
    /// In a reject callback: reject code and message.
    pub reject: Option<(u32, String)>,
    /// In inspect_message: the name of the method that is to be called.
    pub method_name: String,
    /// `msg_deadline`: 0 for calls without one.
    pub deadline: u64,
    /// Whether the call context has already been answered, so that answering again traps.
    pub answered: bool,
    /// Cycles of the call that are not yet accepted.
    pub cycles_available: u128,
    /// In a reply or reject callback: cycles that came back.
    pub cycles_refunded: u128,
    /// The canister's cycles balance at the start, prepayment for this message already taken off.
    pub balance: u128,
    /// The balance below which calls may not take it (freezing threshold in cycles).
    pub balance_floor: u128,
    /// What is charged for a call beside its cycles.
    pub call_fees: CallFees,
    /// Most calls that may still be opened in this message, from the limits on queues.
    pub calls_max: u32,
    /// The canister's settings and identity as of the start of the message.
    pub environment: Environment,
    /// The mutable globals at the start, in order; empty before `Start` and `Init` of a new module
    /// means their initial values.
    pub globals: Vec<GlobalValue>,
    /// Wasm memory at the start.
    pub heap: Image,
    /// Length of the Wasm memory at the start, in Wasm pages.
    pub heap_wasm_pages: u64,
    /// Most Wasm pages the memory may grow to.
    pub heap_wasm_pages_max: u64,
    /// Stable memory at the start.
    pub stable: Image,
    /// Length of the stable memory at the start, in Wasm pages.
    pub stable_wasm_pages: u64,
    /// Most Wasm pages the stable memory may grow to.
    pub stable_wasm_pages_max: u64,
    /// The result's [`ExecutionResult::memory_version`] of the execution that left exactly this
    /// heap, stable memory and globals, if known. A hint: it saves mapping the memories again.
    pub memory_version: Option<u64>,
    /// Whether the module's active data segments are written to the memory before the entry runs:
    /// on the first execution of a newly installed module whose memory was not kept.
    pub write_data_segments: bool,
    /// Most instructions the message may use.
    pub instructions_max: u64,
    /// Instructions of a slice.
    pub slice_instructions: u64,
    /// Whether changes of memories and globals are wanted in the result. Queries do not.
    pub keep_changes: bool,
}

/// What a canister attests about a user (`sender_info` of a request, verified), as those whom the
/// user calls see it.
///
/// Source: interface specification, "Request: Call" and "Caller information".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerInfo {
    /// The attested bytes.
    pub data: Vec<u8>,
    /// The canister that signed them.
    pub signer: Principal,
}

/// The circumstances of a message that imports can ask for.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Agreed time.
    pub time_nanos: u64,
    /// The subnet's id.
    pub subnet: Principal,
    /// How many nodes replicate the canister.
    pub subnet_nodes: u64,
    /// DER encoding of the public key of certificates.
    pub root_key: Vec<u8>,
    /// 1 running, 2 stopping, 3 stopped.
    pub status: u32,
    /// `canister_version`.
    pub version: u64,
    /// Controllers, ascending.
    pub controllers: Vec<Principal>,
    /// Environment variables, ascending by name.
    pub variables: Vec<(String, String)>,
    /// In non-replicated queries: the certificate over the certified data.
    pub data_certificate: Option<Vec<u8>>,
    /// Instructions that earlier messages of the same call context used, for
    /// `performance_counter(1)`.
    pub context_instructions: u64,
    /// Memory the canister uses beside heap and stable memory, in bytes.
    pub other_memory_bytes: u64,
    /// The global timer in nanoseconds, as `global_timer_set` returns it the first time; 0 where
    /// none is set.
    pub global_timer: u64,
}

/// Charges for opening a call, all in cycles. Source: interface specification, "Cycles"; the
/// numbers come from `params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFees {
    /// Fixed part of request and response.
    pub base: u128,
    /// For each byte of the request (method name and argument).
    pub per_request_byte: u128,
    /// Prepaid for the longest response and for running the callback; settled on response.
    pub response_prepayment: u128,
}

/// The value of a mutable global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalValue {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(u128),
}

/// What a message did.
#[derive(Clone, Debug)]
pub struct ExecutionResult {
    /// Instructions used, at most `instructions_max`.
    pub instructions: u64,
    /// Effects if it completed, the reason if it trapped.
    pub end: Result<Box<Effects>, Trap>,
    /// What the message printed, trapped or not, in order.
    pub prints: Vec<Vec<u8>>,
    /// Names the memory this execution left behind in the executor; see
    /// [`ExecutionRequest::memory_version`]. `None` if nothing was left.
    pub memory_version: Option<u64>,
}

/// Why a message trapped. All its effects are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The kind, for the error code.
    pub kind: TrapKind,
    /// What happened, in the words of the IC's messages where it has words for it.
    pub message: String,
}

/// Kinds of traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// `ic0.trap`.
    Called,
    /// A trap of the Wasm machine: unreachable, out of bounds, division by zero, …
    Wasm,
    /// The call stack is deeper than allowed.
    StackOverflow,
    /// All instructions were used.
    OutOfInstructions,
    /// A rule of the system interface was broken.
    Contract,
    /// The balance does not allow what was asked.
    OutOfCycles,
    /// The entry point does not exist.
    MethodNotFound,
    /// The table has no callback at that place.
    FunctionNotFound,
    /// Memory accessed or written beyond what a message may.
    MemoryLimit,
}

/// The effects of a message that completed.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Its answer, if it gave one.
    pub answer: Option<Answer>,
    /// Calls it opened, in order.
    pub calls: Vec<Call>,
    /// Cycles accepted from the call.
    pub cycles_accepted: u128,
    /// Cycles burned.
    pub cycles_burned: u128,
    /// New certified data, at most 32 bytes.
    pub certified_data: Option<Vec<u8>>,
    /// New global timer in nanoseconds; 0 deactivates it.
    pub global_timer: Option<u64>,
    /// Whether inspect_message accepted.
    pub message_accepted: bool,
    /// Changes of memory; `None` where they are not kept.
    pub memory: Option<MemoryChanges>,
}

/// The memories after a message.
#[derive(Clone, Debug, Default)]
pub struct MemoryChanges {
    /// All mutable globals.
    pub globals: Vec<GlobalValue>,
    /// New length of the Wasm memory in Wasm pages.
    pub heap_wasm_pages: u64,
    /// Pages (4 KiB) of the Wasm memory whose bytes changed. Their files live as long as they are
    /// referred to.
    pub heap_runs: Vec<PageRun>,
    /// New length of the stable memory in Wasm pages.
    pub stable_wasm_pages: u64,
    /// Pages (4 KiB) of the stable memory whose bytes changed.
    pub stable_runs: Vec<PageRun>,
}

/// The answer of a message to its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `msg_reply`.
    Reply(Vec<u8>),
    /// `msg_reject`.
    Reject(String),
}

/// A call that a message opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The canister called.
    pub callee: Principal,
    /// The method.
    pub method: String,
    /// The argument.
    pub argument: Vec<u8>,
    /// Cycles attached.
    pub cycles: u128,
    /// Table index and environment of the reply callback.
    pub on_reply: (u64, u64),
    /// Table index and environment of the reject callback.
    pub on_reject: (u64, u64),
    /// Table index and environment of the cleanup callback.
    pub on_cleanup: Option<(u64, u64)>,
    /// Seconds after which a best-effort call is answered by a timeout; `None` for guaranteed
    /// responses.
    pub timeout_seconds: Option<u32>,
}
