//! The runtimes a node can execute, handed to it from outside: a node imports no engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_protocol::Runtime;
use trilith_types::RuntimeId;

/// Runtimes by identifier.
#[derive(Clone, Default)]
pub struct RuntimeRegistry {
    runtimes: BTreeMap<RuntimeId, Arc<dyn Runtime>>,
}

impl RuntimeRegistry {
    /// A registry without runtimes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a runtime, replacing one with the same identifier.
    pub fn with(mut self, id: RuntimeId, runtime: Arc<dyn Runtime>) -> Self {
        self.runtimes.insert(id, runtime);
        self
    }

    /// The runtime with this identifier.
    pub fn get(&self, id: &RuntimeId) -> Option<&Arc<dyn Runtime>> {
        self.runtimes.get(id)
    }

    /// All of them, ascending by identifier.
    pub fn iter(&self) -> impl Iterator<Item = (&RuntimeId, &Arc<dyn Runtime>)> {
        self.runtimes.iter()
    }
}
