//! The controller over a scripted executor: two engines agree in every round of every test.

mod calls;
mod chunks;
mod creation;
#[path = "../envelopes/mod.rs"]
mod envelopes;
mod faults;
mod ingress;
mod lifecycle;
mod limits;
mod management;
mod modules;
mod network;
mod queries;
mod reads;
mod real;
mod script;
mod semantics;
mod sender_info;
mod settings;
mod snapshots;

use std::sync::Arc;

use candid::Principal;
use network::{Mode, Network, replied};
use script::ScriptExecutor;

/// A module whose methods run the program in their argument.
pub const MODULE: &[u8] = b"\0asm
export init
export update run
export query look
export composite ask
section public candid service
section private secret hidden";

/// Two engines over scripted executors.
pub fn network() -> Network {
    Network::new(Arc::new(ScriptExecutor::default()), || {
        Arc::new(ScriptExecutor::default())
    })
}

/// A canister with [`MODULE`].
pub fn installed(network: &mut Network) -> Principal {
    let id = network.create();
    replied(network.install(id, Mode::install, MODULE, ""));
    id
}
