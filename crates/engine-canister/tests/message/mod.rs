//! A message for tests and measurements of sandboxes.

use candid::Principal;
use trilith_engine_canister::api::{CallFees, CallMode, EntryPoint, Environment, ExecutionRequest};
use trilith_types::Image;

/// An update call `go` to a canister with this argument.
pub fn request(canister: u8, script: &str) -> ExecutionRequest {
    ExecutionRequest {
        canister: Principal::from_slice(&[canister]),
        entry: EntryPoint::Update("go".into()),
        mode: CallMode::Update,
        caller: Principal::anonymous(),
        caller_info: None,
        argument: script.as_bytes().to_vec(),
        reject: None,
        method_name: String::new(),
        deadline: 0,
        answered: false,
        cycles_available: 10,
        cycles_refunded: 0,
        balance: 1000,
        balance_floor: 0,
        call_fees: CallFees {
            base: 1,
            per_request_byte: 1,
            response_prepayment: 1,
        },
        calls_max: 10,
        environment: Environment {
            time_nanos: 1,
            subnet: Principal::management_canister(),
            subnet_nodes: 1,
            root_key: Vec::new(),
            status: 1,
            version: 1,
            controllers: Vec::new(),
            variables: Vec::new(),
            data_certificate: None,
            context_instructions: 0,
            other_memory_bytes: 0,
            global_timer: 0,
        },
        globals: Vec::new(),
        heap: Image::zero(16),
        heap_wasm_pages: 1,
        heap_wasm_pages_max: 4,
        stable: Image::zero(16),
        stable_wasm_pages: 1,
        stable_wasm_pages_max: 4,
        memory_version: None,
        write_data_segments: false,
        instructions_max: 1000,
        slice_instructions: 100,
        keep_changes: true,
    }
}
