//! The records of the state: canisters with their queues and call contexts, ingress statuses, and
//! what belongs to no canister. Memories and modules are page images and stand beside them.
//!
//! Knows no executor and no round. Invariants: every callback belongs to a context that exists; a
//! context without callbacks that is not running does not exist; a canister without code has no
//! globals and no memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::INDEX_MAX;
use trilith_types::{ImageId, PublicKey};

use super::price;
use super::reject::Rejection;
use crate::api::{CallerInfo, GlobalValue};

/// What belongs to no canister.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Time of the newest round.
    pub(crate) time: u64,
    /// Number of the newest round.
    pub(crate) round: u64,
    /// Index of the next canister id.
    pub(crate) next_index: u64,
    /// The canister whose turn comes first in the next round.
    pub(crate) first: Option<Principal>,
    /// When storage was charged last.
    pub(crate) charged: u64,
    /// The committee of the newest round.
    pub(crate) committee: Vec<PublicKey>,
    /// Calls of the management canister that wait.
    pub(crate) management: VecDeque<Request>,
    /// Requests for randomness and the round in which each was made.
    pub(crate) randomness: VecDeque<(u64, Request)>,
    /// An installation that goes on over several rounds.
    pub(crate) installing: Option<Installing>,
    /// Messages, tasks and callbacks that were executed.
    pub(crate) executed: u64,
    /// Cycles that canisters paid, those that are gone included.
    pub(crate) consumed: u128,
    /// Instructions that rounds counted, as for their limit.
    pub(crate) instructions: u64,
    /// Bytes of all canisters together, as of the last round in which they were added up.
    pub(crate) state_bytes: u64,
}

/// A paused installation of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installing {
    pub(crate) request: Request,
    pub(crate) target: Principal,
    /// SHA-256 of the module as it was sent.
    pub(crate) sent_hash: [u8; 32],
    /// Bytes of the module, uncompressed; they stand in an image of the target.
    pub(crate) bytes: u64,
    /// Slices used by all stages together.
    pub(crate) slices: u64,
    pub(crate) frozen: Frozen,
    /// Cycles taken for all instructions that it may use.
    pub(crate) prepaid: u128,
}

/// A canister but for its memories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Canister {
    pub(crate) settings: Settings,
    pub(crate) status: Status,
    pub(crate) cycles: u128,
    pub(crate) version: u64,
    pub(crate) code: Option<Code>,
    pub(crate) certified_data: Vec<u8>,
    /// 0 where no timer is set.
    pub(crate) global_timer: u64,
    pub(crate) contexts: BTreeMap<u64, CallContext>,
    pub(crate) callbacks: BTreeMap<u64, Callback>,
    /// Next number of a context or callback.
    pub(crate) next_number: u64,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) paused: Option<Paused>,
    /// Up to when storage is paid.
    pub(crate) charged: u64,
    /// When it was created, in nanoseconds since 1970.
    pub(crate) created: u64,
    /// When its code was installed last, of no meaning where it has none.
    pub(crate) installed: u64,
    /// Lengths of stored chunks by their hash.
    pub(crate) chunks: BTreeMap<[u8; 32], u64>,
    /// Bytes of its snapshots, which stand in its archive.
    pub(crate) snapshot_bytes: u64,
    /// Bytes of its prints, which stand in its log.
    pub(crate) log_bytes: u64,
    /// Changes of code and controllers so far.
    pub(crate) changes: u64,
    pub(crate) hook: Hook,
    pub(crate) consumed: Consumed,
    /// Names what an executor may still hold of the memories; not part of the state.
    pub(crate) memory_version: MemoryVersion,
}

/// A hint that does not take part in comparisons, because it is not state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryVersion(pub(crate) Option<u64>);

impl PartialEq for MemoryVersion {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for MemoryVersion {}

/// Settings of a canister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Ascending, without repetition.
    pub(crate) controllers: Vec<Principal>,
    pub(crate) compute_allocation: u64,
    pub(crate) memory_allocation: u64,
    /// Seconds.
    pub(crate) freezing_threshold: u64,
    pub(crate) reserved_cycles_limit: u128,
    /// Bytes; 0 for none.
    pub(crate) wasm_memory_limit: u64,
    pub(crate) wasm_memory_threshold: u64,
    pub(crate) log_visibility: Visibility,
    pub(crate) snapshot_visibility: Visibility,
    pub(crate) status_visibility: Visibility,
    /// Bytes of prints that are kept.
    pub(crate) log_memory_limit: u64,
    /// Cycles that a call of another canister must bring along.
    pub(crate) incoming_cycles_min: u128,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            controllers: Vec::new(),
            compute_allocation: 0,
            memory_allocation: 0,
            freezing_threshold: price::FREEZING_THRESHOLD,
            reserved_cycles_limit: price::RESERVED_LIMIT,
            wasm_memory_limit: price::WASM_MEMORY_LIMIT,
            wasm_memory_threshold: 0,
            log_visibility: Visibility::Controllers {},
            snapshot_visibility: Visibility::Controllers {},
            status_visibility: Visibility::Controllers {},
            log_memory_limit: price::LOG_BYTES_MAX as u64,
            incoming_cycles_min: 0,
            variables: BTreeMap::new(),
        }
    }
}

/// Who may read something of a canister: its prints, snapshots or status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Controllers {},
    Public {},
    /// These, and the controllers.
    Allowed {
        viewers: Vec<Principal>,
    },
}

/// Whether a canister is told that its Wasm memory runs short.
///
/// Source: interface specification, "On Low Wasm Memory": once for each time that the condition
/// begins to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hook {
    /// There is enough memory.
    #[default]
    Idle,
    /// The hook is to be run.
    Ready,
    /// It was run, and the memory is still short.
    Executed,
}

/// Cycles that a canister paid, by what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consumed {
    pub(crate) memory: u128,
    pub(crate) compute_allocation: u128,
    pub(crate) ingress: u128,
    pub(crate) instructions: u128,
    pub(crate) transmission: u128,
    pub(crate) uninstall: u128,
    pub(crate) creation: u128,
    pub(crate) burned: u128,
}

/// Whether a canister takes calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Running,
    Stopping {
        waiters: Vec<StopWaiter>,
    },
    Stopped,
}

impl Status {
    /// The number that `canister_status` of the system interface gives.
    pub(crate) fn number(&self) -> u32 {
        match self {
            Self::Running => 1,
            Self::Stopping { .. } => 2,
            Self::Stopped => 3,
        }
    }
}

/// A call of `stop_canister` that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StopWaiter {
    pub(crate) origin: Origin,
    pub(crate) cycles: u128,
    pub(crate) since: u64,
}

/// Installed code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) module: Arc<Module>,
    pub(crate) globals: Vec<GlobalValue>,
    /// Wasm pages.
    pub(crate) heap_pages: u64,
    /// Wasm pages.
    pub(crate) stable_pages: u64,
    /// Set until the first execution that keeps its changes: only then are the module's active
    /// data segments in memory.
    pub(crate) fresh: bool,
}

/// What is known of an installed module without preparing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// SHA-256 of the module as it was sent, which clients see: of the compressed bytes if it
    /// came compressed.
    pub(crate) sent_hash: [u8; 32],
    /// Bytes of the module, uncompressed.
    pub(crate) bytes: u64,
    pub(crate) memory64: bool,
    pub(crate) heartbeat: bool,
    pub(crate) timer: bool,
    pub(crate) inspect: bool,
    /// Whether it wants to be told that its memory runs short.
    pub(crate) low_memory: bool,
    /// Name, whether public, content.
    pub(crate) metadata: Vec<(String, bool, Vec<u8>)>,
}

/// Where a call comes from and an answer goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Ingress {
        id: [u8; 32],
        sender: Principal,
        info: Option<Arc<CallerInfo>>,
    },
    Canister {
        caller: Principal,
        callback: u64,
        deadline: u64,
    },
    Task {},
}

impl Origin {
    /// Who calls; the management canister for system tasks.
    pub(crate) fn caller(&self) -> Principal {
        match self {
            Self::Ingress { sender, .. } => *sender,
            Self::Canister { caller, .. } => *caller,
            Self::Task {} => Principal::management_canister(),
        }
    }

    /// What is attested about the user who calls. Canisters that the callee calls on do not see it.
    pub(crate) fn caller_info(&self) -> Option<Arc<CallerInfo>> {
        match self {
            Self::Ingress { info, .. } => info.clone(),
            _ => None,
        }
    }

    pub(crate) fn deadline(&self) -> u64 {
        match self {
            Self::Canister { deadline, .. } => *deadline,
            _ => 0,
        }
    }
}

/// A call that waits to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) origin: Origin,
    pub(crate) method: String,
    pub(crate) argument: Arc<Vec<u8>>,
    pub(crate) cycles: u128,
}

/// An answer that waits for its callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) callback: u64,
    pub(crate) refund: u128,
    pub(crate) result: Reply,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Data { bytes: Arc<Vec<u8>> },
    Reject { rejection: Rejection },
}

impl Reply {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Data { bytes } => bytes.len() as u64,
            Self::Reject { rejection } => rejection.message.len() as u64,
        }
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        Self::Reject { rejection }
    }
}

/// What waits in a canister's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Request { request: Request },
    Response { response: Response },
}

/// System tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Heartbeat,
    GlobalTimer,
}

/// What a canister is to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Request { request: Request },
    Response { response: Response },
    Heartbeat {},
    GlobalTimer {},
    LowMemory {},
}

/// A message that is being executed over several rounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paused {
    pub(crate) job: Job,
    pub(crate) slices: u64,
    pub(crate) frozen: Frozen,
    pub(crate) prepaid: u128,
}

/// All that a message may see of what can change while it is paused, as of its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frozen {
    pub(crate) time: u64,
    pub(crate) balance: u128,
    pub(crate) floor: u128,
    pub(crate) cycles_available: u128,
    pub(crate) answered: bool,
    pub(crate) calls_max: u64,
    pub(crate) status: u64,
    pub(crate) version: u64,
    pub(crate) controllers: Vec<Principal>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) subnet_nodes: u64,
    pub(crate) context_instructions: u64,
    pub(crate) other_memory: u64,
    pub(crate) heap_pages_max: u64,
    pub(crate) stable_pages_max: u64,
    pub(crate) global_timer: u64,
}

/// A call that is not yet fully answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallContext {
    pub(crate) origin: Origin,
    pub(crate) cycles: u128,
    pub(crate) answered: bool,
    /// Calls it opened that are not answered.
    pub(crate) outstanding: u64,
    /// Instructions used so far.
    pub(crate) instructions: u64,
    /// Set when the code it belongs to was removed: its callbacks are no longer run.
    pub(crate) deleted: bool,
}

/// What is to be done with the answer of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callback {
    pub(crate) context: u64,
    pub(crate) callee: Principal,
    pub(crate) on_reply: (u64, u64),
    pub(crate) on_reject: (u64, u64),
    pub(crate) on_cleanup: Option<(u64, u64)>,
    /// 0 for guaranteed responses.
    pub(crate) deadline: u64,
    /// Cycles taken for executing the callback.
    pub(crate) prepaid: u128,
    /// Cycles taken for the transmission of the response.
    pub(crate) transmission: u128,
    /// Set when a response waits in the queue.
    pub(crate) responded: bool,
}

/// What is remembered of an ingress message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestRecord {
    pub(crate) sender: Principal,
    /// The canister that was called, which delegations of later readers must have as a target.
    pub(crate) receiver: Principal,
    /// The effective canister id of the request; `None` for creation.
    pub(crate) effective: Option<Principal>,
    pub(crate) expiry: u64,
    pub(crate) status: RequestState,
    /// Up to when it is kept at least; `u64::MAX` until it is answered.
    pub(crate) kept_until: u64,
}

/// How far an ingress message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestState {
    Received {},
    Processing {},
    Answered { reply: Reply },
}

impl Canister {
    /// Bytes of everything the canister is charged for.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let memories = self.code.as_ref().map_or(0, |code| {
            (code.heap_pages + code.stable_pages).saturating_mul(price::WASM_PAGE_BYTES)
        });
        memories.saturating_add(self.other_memory_bytes())
    }

    /// Bytes beside heap and stable memory.
    pub(crate) fn other_memory_bytes(&self) -> u64 {
        let code = self.code.as_ref().map_or(0, |code| {
            let metadata: usize = code
                .module
                .metadata
                .iter()
                .map(|(name, _, content)| name.len() + content.len())
                .sum();
            code.module.bytes + 8 * code.globals.len() as u64 + metadata as u64
        });
        code + self.chunks.values().sum::<u64>() + self.snapshot_bytes + self.log_bytes
    }

    /// Cycles that idling costs in `nanos`: for storage and being there, and for the compute
    /// allocation.
    pub(crate) fn idle_cycles(&self, nanos: u64) -> (u128, u128) {
        let bytes = self.memory_bytes().max(self.settings.memory_allocation);
        let storage = price::storage(u128::from(bytes), self.code.is_none(), nanos);
        (
            storage,
            price::compute(self.settings.compute_allocation, nanos),
        )
    }

    /// Cycles that idling costs in a day.
    pub(crate) fn idle_cycles_per_day(&self) -> u128 {
        let (storage, compute) = self.idle_cycles(86_400 * price::SECOND_NANOS);
        storage.saturating_add(compute)
    }

    /// The balance below which the canister is frozen.
    pub(crate) fn floor(&self) -> u128 {
        let day = self.idle_cycles_per_day();
        day.saturating_mul(u128::from(self.settings.freezing_threshold)) / 86_400
    }

    pub(crate) fn is_controller(&self, id: &Principal) -> bool {
        self.settings.controllers.binary_search(id).is_ok()
    }

    pub(crate) fn is_visible(&self, visibility: &Visibility, to: &Principal) -> bool {
        match visibility {
            Visibility::Public {} => true,
            Visibility::Controllers {} => self.is_controller(to),
            Visibility::Allowed { viewers } => self.is_controller(to) || viewers.contains(to),
        }
    }

    /// Whether there is something to execute.
    pub(crate) fn has_work(&self) -> bool {
        self.paused.is_some() || !self.inputs.is_empty() || self.wants_hook()
    }

    /// Whether the canister is to be told that its memory runs short.
    pub(crate) fn wants_hook(&self) -> bool {
        self.hook == Hook::Ready
            && self.status == Status::Running
            && self
                .code
                .as_ref()
                .is_some_and(|code| code.module.low_memory)
    }

    /// Looks whether the Wasm memory runs short, after it or a setting has changed. The condition
    /// must have ended before the hook is run again.
    pub(crate) fn note_memory(&mut self) {
        let is_short = self.code.as_ref().is_some_and(|code| {
            let limit =
                price::heap_bytes_max(code.module.memory64, self.settings.wasm_memory_limit);
            let used = code.heap_pages.saturating_mul(price::WASM_PAGE_BYTES);
            limit.saturating_sub(used) < self.settings.wasm_memory_threshold
        });
        self.hook = match (is_short, self.hook) {
            (false, _) => Hook::Idle,
            (true, Hook::Idle) => Hook::Ready,
            (true, hook) => hook,
        };
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Whether the code asks for a task in every round.
    pub(crate) fn wants_heartbeat(&self) -> bool {
        self.status == Status::Running
            && self.code.as_ref().is_some_and(|code| code.module.heartbeat)
    }

    /// When something is due without a message: the timer or the deadline of a call.
    pub(crate) fn wake(&self) -> Option<u64> {
        let timer = (self.global_timer != 0
            && self.status == Status::Running
            && self.code.as_ref().is_some_and(|code| code.module.timer))
        .then_some(self.global_timer);
        let calls = self.callbacks.values();
        let deadline = calls
            .filter(|call| call.deadline != 0 && !call.responded)
            .map(|call| call.deadline)
            .min();
        let stop = match &self.status {
            Status::Stopping { waiters } => waiters
                .iter()
                .map(|waiter| waiter.since + price::STOP_TIMEOUT_NANOS)
                .min(),
            _ => None,
        };
        timer.into_iter().chain(deadline).chain(stop).min()
    }
}

/// Which image of a canister.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ImageKind {
    Heap = 1,
    Stable = 2,
    Module = 3,
    Chunk = 4,
    /// The module of a paused installation.
    Pending = 5,
    /// What belongs to a snapshot.
    Snapshot = 6,
}

/// The name of a canister's image.
pub(crate) fn image_id(canister: Principal, kind: ImageKind) -> ImageId {
    let mut bytes = vec![canister.as_slice().len() as u8];
    bytes.extend_from_slice(canister.as_slice());
    bytes.push(kind as u8);
    ImageId::new(bytes).expect("a principal has at most 29 bytes")
}

/// The name of the image of a stored chunk.
pub(crate) fn chunk_image_id(canister: Principal, hash: &[u8; 32]) -> ImageId {
    let mut bytes = image_id(canister, ImageKind::Chunk).as_bytes().to_vec();
    bytes.extend_from_slice(hash);
    ImageId::new(bytes).expect("a principal has at most 29 bytes")
}

/// The canister id with the given index: 8 bytes big-endian, then 0x01 0x01.
pub(crate) fn canister_id(index: u64) -> Principal {
    let mut bytes = index.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, 1]);
    Principal::from_slice(&bytes)
}

/// The index of a canister id of this subnet's range.
pub(crate) fn canister_index(id: &Principal) -> Option<u64> {
    let bytes: &[u8; 10] = id.as_slice().try_into().ok()?;
    let (index, tail) = bytes.split_first_chunk::<8>()?;
    let index = u64::from_be_bytes(*index);
    (tail == [1, 1] && index <= INDEX_MAX).then_some(index)
}
