//! Bodies of JSON-RPC requests, single and in batches, answered by the real engine.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use trilith_fuzz::Instance;
use trilith_gateway_account::fuzz_body;

static NODE: LazyLock<(Arc<Instance>, Runtime)> = LazyLock::new(|| {
    let threads = Builder::new_multi_thread().worker_threads(1).build();
    (Arc::new(Instance::new()), threads.expect("threads start"))
});

fuzz_target!(|data: &[u8]| {
    let (node, threads) = &*NODE;
    if let Some(answer) = threads.block_on(fuzz_body(node.clone(), data)) {
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("answers are JSON");
        assert!(answer.is_object() || answer.is_array());
    }
});
