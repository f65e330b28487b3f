//! The words of the Internet Computer for what went wrong. The controller puts
//! `Error from Canister <id>: ` before them.

use crate::api::{CallMode, EntryPoint, Trap, TrapKind};

/// Name of a context in messages.
pub(super) fn mode(mode: CallMode) -> &'static str {
    match mode {
        CallMode::Start => "start",
        CallMode::Init => "init",
        CallMode::PreUpgrade => "pre upgrade",
        CallMode::Update => "update",
        CallMode::ReplicatedQuery => "replicated query",
        CallMode::NonReplicatedQuery => "non replicated query",
        CallMode::CompositeQuery => "composite query",
        CallMode::ReplyCallback => "reply callback",
        CallMode::RejectCallback => "reject callback",
        CallMode::CompositeReplyCallback => "composite reply callback",
        CallMode::CompositeRejectCallback => "composite reject callback",
        CallMode::Cleanup => "cleanup",
        CallMode::CompositeCleanup => "composite cleanup",
        CallMode::InspectMessage => "inspect message",
        CallMode::SystemTask => "system task",
    }
}

/// The message used up its instructions.
pub(super) fn out_of_instructions(max: u64) -> Trap {
    Trap {
        kind: TrapKind::OutOfInstructions,
        message: format!(
            "Canister exceeded the limit of {max} instructions for single message execution."
        ),
    }
}

/// The message accessed too much stable memory.
pub(super) fn stable_access(max: u64) -> Trap {
    Trap {
        kind: TrapKind::MemoryLimit,
        message: format!(
            "Canister exceeded memory access limits: Exceeded the limit for the number of \
             accessed pages in the stable memory in a single message execution: limit: {max} bytes."
        ),
    }
}

/// The canister needs more Wasm memory than it may have.
pub(super) fn heap_limit(wasm_pages: u64, max: u64) -> Trap {
    Trap {
        kind: TrapKind::MemoryLimit,
        message: format!(
            "Canister needs {wasm_pages} pages of Wasm memory, over the limit of {max}."
        ),
    }
}

/// The entry point does not exist.
pub(super) fn no_method(entry: &EntryPoint) -> Trap {
    let message = match entry {
        EntryPoint::Update(name) => format!("Canister has no update method '{name}'."),
        EntryPoint::Query(name) => format!("Canister has no query method '{name}'."),
        EntryPoint::CompositeQuery(name) => {
            format!("Canister has no composite query method '{name}'.")
        }
        EntryPoint::Callback { function, .. } => {
            return Trap {
                kind: TrapKind::FunctionNotFound,
                message: format!(
                    "Canister requested to invoke a non-existent Wasm function {function} from \
                     table 0"
                ),
            };
        }
        EntryPoint::Start => "Canister has no start function.".to_owned(),
        other => match crate::wasm::validate::export_name(other) {
            Some(name) => format!("Canister does not export '{name}'."),
            None => "Canister has no such entry point.".to_owned(),
        },
    };
    Trap {
        kind: TrapKind::MethodNotFound,
        message,
    }
}

/// The call stack became too deep.
pub(super) fn stack_overflow() -> Trap {
    Trap {
        kind: TrapKind::StackOverflow,
        message: "Canister trapped: stack overflow".to_owned(),
    }
}

/// The machine trapped.
pub(super) fn machine(trap: wasmtime::Trap) -> Trap {
    use wasmtime::Trap as T;
    let what = match trap {
        T::MemoryOutOfBounds | T::HeapMisaligned => "heap out of bounds".to_owned(),
        T::TableOutOfBounds => "table out of bounds".to_owned(),
        T::IndirectCallToNull => "indirect call to null".to_owned(),
        T::BadSignature => "indirect call type mismatch".to_owned(),
        T::IntegerOverflow => "integer overflow".to_owned(),
        T::IntegerDivisionByZero => "integer division by 0".to_owned(),
        T::BadConversionToInteger => "bad conversion to integer".to_owned(),
        T::UnreachableCodeReached => "unreachable".to_owned(),
        other => other.to_string(),
    };
    Trap {
        kind: TrapKind::Wasm,
        message: format!("Canister trapped: {what}"),
    }
}
