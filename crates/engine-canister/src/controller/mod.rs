//! The controller of the canister engine.

use std::sync::Arc;

use candid::Principal;

use crate::api::Executor;
use crate::ingress::Judge;

pub mod query_format;

/// What an engine is made from. Part of the network's definition: all nodes of a network use the
/// same ids and keys.
#[derive(Clone)]
pub struct EngineConfig {
    /// Runs Wasm.
    pub executor: Arc<dyn Executor>,
    /// The subnet's id.
    pub subnet_id: Principal,
    /// DER encoding of the public key under which certificates verify.
    pub root_key_der: Vec<u8>,
}

/// The canister engine: a [`trilith_protocol::Runtime`].
pub struct CanisterEngine {
    config: EngineConfig,
    judge: Judge,
}

impl CanisterEngine {
    /// An engine with empty caches.
    pub fn new(config: EngineConfig) -> Self {
        Self {
            config,
            judge: Judge::default(),
        }
    }
}
