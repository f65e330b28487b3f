//! Committed canisters on two replicas that must agree in every round: one keeps engine and
//! memories, the other is a new engine every time and maps each memory anew. Compiled modules are
//! kept by both, since compiling large ones again in every round would show nothing new.

// Every test binary includes this module and uses a part of it.
#![allow(dead_code)]

#[path = "../controller/network.rs"]
pub mod network;

use std::sync::Arc;

use candid::Principal;
use candid::utils::{ArgumentDecoder, ArgumentEncoder, decode_args, encode_args};
use network::{InstallArgs, Mode, Network, Persistence, SECOND, Upgrade, rejected, replied};
use trilith_engine_canister::api::Executor;
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::ingress::Content;
use trilith_engine_canister::query::{CallResult, RequestStatus};
use trilith_protocol::{CheckContext, Reject, Runtime as _};
use trilith_types::{RuntimeId, TimeNanos};

/// The bytes of a committed canister, by its path below `canisters`.
macro_rules! sample {
    ($path:literal) => {
        include_bytes!(concat!("../../../canisters/", $path))
    };
}
pub(crate) use sample;

/// An upgrade that keeps the heap.
pub const KEEP: Mode = Mode::upgrade(Some(Upgrade {
    skip_pre_upgrade: None,
    wasm_memory_persistence: Some(Persistence::keep),
}));

/// An upgrade that keeps the heap and leaves out the hook before it.
pub const KEEP_AND_SKIP: Mode = Mode::upgrade(Some(Upgrade {
    skip_pre_upgrade: Some(true),
    wasm_memory_persistence: Some(Persistence::keep),
}));

/// An upgrade that drops the heap on purpose.
pub const REPLACE: Mode = Mode::upgrade(Some(Upgrade {
    skip_pre_upgrade: None,
    wasm_memory_persistence: Some(Persistence::replace),
}));

fn executor(memories_max: usize) -> Arc<dyn Executor> {
    let config = ExecutorConfig {
        memories_max,
        ..ExecutorConfig::default()
    };
    Arc::new(LocalExecutor::new(config).expect("this machine runs Wasm"))
}

/// Two replicas.
pub fn network() -> Network {
    let bare = executor(0);
    Network::new(executor(64), move || bare.clone())
}

/// A reply as Candid.
pub fn decoded<T: for<'a> ArgumentDecoder<'a>>(reply: &[u8]) -> T {
    decode_args(reply).unwrap_or_else(|error| panic!("{error}: {}", hex::encode(reply)))
}

/// Installs code with a Candid argument.
pub fn install(
    network: &mut Network,
    canister_id: Principal,
    mode: Mode,
    module: &[u8],
    arguments: impl ArgumentEncoder,
) -> RequestStatus {
    let (wasm_module, arg) = (module.to_vec(), encode_args(arguments).unwrap());
    let install = InstallArgs {
        mode,
        canister_id,
        wasm_module,
        arg,
    };
    network.manage("install_code", install)
}

/// A new canister with this code, which takes no argument.
pub fn installed(network: &mut Network, module: &[u8]) -> Principal {
    let id = network.create();
    replied(install(network, id, Mode::install, module, ()));
    id
}

/// An update call to its end.
pub fn update(
    network: &mut Network,
    id: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> RequestStatus {
    network.update(id, method, encode_args(arguments).unwrap())
}

/// An update call that replies with these values.
pub fn call<T: for<'a> ArgumentDecoder<'a>>(
    network: &mut Network,
    id: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> T {
    match update(network, id, method, arguments) {
        RequestStatus::Replied { reply } => decoded(&reply),
        other => panic!("{method}: {other:?}"),
    }
}

/// Error code and message of an update call that is rejected.
pub fn refused(
    network: &mut Network,
    id: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> (String, String) {
    let (_, message, error) = rejected(update(network, id, method, arguments));
    (error, message)
}

/// A query call that replies with these values.
pub fn ask<T: for<'a> ArgumentDecoder<'a>>(
    network: &mut Network,
    id: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> T {
    match network.query(id, method, encode_args(arguments).unwrap()) {
        CallResult::Replied { arg } => decoded(&arg),
        other => panic!("{method}: {other:?}"),
    }
}

/// Whether the canister lets a message of the network's user into the pool.
pub fn inspected(
    network: &mut Network,
    id: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> Result<(), Reject> {
    let call = network.content(id, method, encode_args(arguments).unwrap());
    let envelope = network.user.envelope(&Content::Call(call));
    let context = CheckContext {
        runtime: RuntimeId::test(1),
        now: TimeNanos(network.time),
    };
    let admission = network.engine.check(&network.state, &envelope, &context);
    admission.map(|_| ())
}

/// Lets so many seconds pass, and what is due then happen.
pub fn wait(network: &mut Network, seconds: u64) {
    network.time += seconds * SECOND;
    network.run(Vec::new());
    network.settle();
}
