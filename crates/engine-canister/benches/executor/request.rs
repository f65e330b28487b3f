//! A request to an executor with nothing remarkable about it.

use candid::Principal;
use trilith_engine_canister::api::{
    Answer, CallFees, CallMode, Effects, EntryPoint, Environment, ExecutionRequest,
};
use trilith_types::Image;

/// Enters a canister that has just been made.
pub fn request(entry: EntryPoint, mode: CallMode) -> ExecutionRequest {
    let nobody = Principal::anonymous();
    ExecutionRequest {
        canister: nobody,
        entry,
        mode,
        caller: nobody,
        caller_info: None,
        argument: Vec::new(),
        reject: None,
        method_name: String::new(),
        deadline: 0,
        answered: false,
        cycles_available: 0,
        cycles_refunded: 0,
        balance: 0,
        balance_floor: 0,
        call_fees: CallFees {
            base: 0,
            per_request_byte: 0,
            response_prepayment: 0,
        },
        calls_max: 0,
        environment: Environment {
            time_nanos: 0,
            subnet: nobody,
            subnet_nodes: 1,
            root_key: Vec::new(),
            status: 1,
            version: 0,
            controllers: Vec::new(),
            variables: Vec::new(),
            data_certificate: None,
            context_instructions: 0,
            other_memory_bytes: 0,
            global_timer: 0,
        },
        globals: Vec::new(),
        heap: Image::default(),
        heap_wasm_pages: 0,
        heap_wasm_pages_max: 65_536,
        stable: Image::default(),
        stable_wasm_pages: 0,
        stable_wasm_pages_max: 0,
        memory_version: None,
        write_data_segments: true,
        instructions_max: 40_000_000_000,
        slice_instructions: 2_000_000_000,
        keep_changes: true,
    }
}

/// What a message replied.
#[allow(dead_code, reason = "not every benchmark looks at replies")]
pub fn reply(effects: &Effects) -> &[u8] {
    match &effects.answer {
        Some(Answer::Reply(bytes)) => bytes,
        other => panic!("a reply was expected, not {other:?}"),
    }
}
