//! Rejects: codes and wordings as the Internet Computer's clients know them.

use candid::Principal;

use crate::api::{Trap, TrapKind};

/// Error codes of the Internet Computer. The reject code is the hundred.
///
/// Source: `ErrorCode` of the crate `pocket-ic`; the numbers are the public `IC0…` codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub(crate) enum ErrorCode {
    SubnetOversubscribed = 101,
    QueueFull = 201,
    IngressTimeout = 202,
    CanisterIdExists = 205,
    StopTimeout = 206,
    OutOfCycles = 207,
    /// No code: the system gave the reject before it reached a canister that could have one.
    NoDestination = 300,
    CanisterNotFound = 301,
    SnapshotNotFound = 305,
    InsufficientCyclesForCreate = 403,
    SubnetNotFound = 404,
    NotHosted = 405,
    RejectedMessage = 406,
    InvalidManagementPayload = 408,
    SnapshotImmutable = 409,
    Trapped = 502,
    CalledTrap = 503,
    ContractViolation = 504,
    InvalidWasm = 505,
    DidNotReply = 506,
    OutOfMemory = 507,
    Stopped = 508,
    Stopping = 509,
    NotStopped = 510,
    StoppingCancelled = 511,
    InvalidController = 512,
    FunctionNotFound = 513,
    NonEmpty = 514,
    InsufficientCyclesInCall = 520,
    InstructionLimit = 522,
    MemoryAccessLimit = 524,
    QueryTooDeep = 525,
    QueryInstructionLimit = 526,
    CompositeInReplicated = 527,
    ComputeAllocationCycles = 530,
    MemoryAllocationCycles = 531,
    MemoryGrowCycles = 532,
    MethodNotFound = 536,
    ModuleNotFound = 537,
    WasmMemoryLimit = 539,
    DeadlineExpired = 601,
}

/// The code of a trap at a limit on memory. Several limits share a kind; the words, which clients
/// know and which no canister can choose, tell them apart.
fn memory_code(message: &str) -> ErrorCode {
    if message.starts_with("Canister exceeded memory access limits") {
        ErrorCode::MemoryAccessLimit
    } else if message.starts_with("Canister exceeded its current Wasm memory limit") {
        ErrorCode::WasmMemoryLimit
    } else {
        ErrorCode::OutOfMemory
    }
}

/// A rejected call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Number of the error code.
    pub(crate) error: u16,
    /// The reason, without the code before it.
    pub(crate) message: String,
}

impl Rejection {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            error: error as u16,
            message: message.into(),
        }
    }

    /// The reject code, 1 to 6.
    pub(crate) fn code(&self) -> u32 {
        u32::from(self.error) / 100
    }

    /// `IC0…`.
    pub(crate) fn error_code(&self) -> String {
        format!("IC{:04}", self.error)
    }

    /// The message that a calling canister sees: the system's rejects carry their code in front,
    /// a canister's own reject stands as it is.
    pub(crate) fn message_for_canister(&self) -> String {
        if self.error == ErrorCode::RejectedMessage as u16
            || self.error == ErrorCode::NoDestination as u16
        {
            self.message.clone()
        } else {
            format!("{}: {}", self.error_code(), self.message)
        }
    }

    /// The reject of a message that trapped in `canister`.
    pub(crate) fn of_trap(canister: Principal, trap: &Trap) -> Self {
        let error = match trap.kind {
            TrapKind::Called => ErrorCode::CalledTrap,
            TrapKind::Wasm | TrapKind::StackOverflow => ErrorCode::Trapped,
            TrapKind::OutOfInstructions => ErrorCode::InstructionLimit,
            TrapKind::Contract => ErrorCode::ContractViolation,
            TrapKind::OutOfCycles => ErrorCode::InsufficientCyclesInCall,
            TrapKind::MethodNotFound => ErrorCode::MethodNotFound,
            TrapKind::FunctionNotFound => ErrorCode::FunctionNotFound,
            TrapKind::MemoryLimit => memory_code(&trap.message),
        };
        Self::new(
            error,
            format!("Error from Canister {canister}: {}", trap.message),
        )
    }

    pub(crate) fn not_found(canister: Principal) -> Self {
        Self::new(
            ErrorCode::CanisterNotFound,
            format!("Canister {canister} not found"),
        )
    }

    pub(crate) fn stopped(canister: Principal) -> Self {
        Self::new(
            ErrorCode::Stopped,
            format!("Canister {canister} is stopped"),
        )
    }

    pub(crate) fn stopping(canister: Principal) -> Self {
        Self::new(
            ErrorCode::Stopping,
            format!("Canister {canister} is stopping"),
        )
    }

    pub(crate) fn no_module(canister: Principal) -> Self {
        Self::new(
            ErrorCode::ModuleNotFound,
            format!(
                "Error from Canister {canister}: Attempted to execute a message, but the canister \
                 contains no Wasm module."
            ),
        )
    }

    pub(crate) fn no_method(canister: Principal, kind: &str, method: &str) -> Self {
        Self::new(
            ErrorCode::MethodNotFound,
            format!("Error from Canister {canister}: Canister has no {kind} method '{method}'."),
        )
    }

    pub(crate) fn no_reply(canister: Principal) -> Self {
        Self::new(
            ErrorCode::DidNotReply,
            format!("Canister {canister} did not reply to the call"),
        )
    }

    /// The reject of a query call of a frozen canister.
    pub(crate) fn frozen(canister: Principal) -> Self {
        Self::new(
            ErrorCode::OutOfCycles,
            format!(
                "Canister {canister} is unable to process query calls because it's frozen. Please \
                 top up the canister with cycles and try again."
            ),
        )
    }

    pub(crate) fn out_of_cycles(
        canister: Principal,
        balance: u128,
        floor: u128,
        asked: u128,
    ) -> Self {
        let missing = floor.saturating_add(asked).saturating_sub(balance);
        Self::new(
            ErrorCode::OutOfCycles,
            format!(
                "Canister {canister} is out of cycles: please top up the canister with at least \
                 {missing} additional cycles"
            ),
        )
    }
}
