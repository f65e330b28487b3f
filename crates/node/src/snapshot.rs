//! What a node publishes of a runtime: its newest finalised, durable and certified state.

use std::sync::Arc;

use trilith_protocol::{AttestedSignature, QueryContext};
use trilith_store::View;
use trilith_types::{Round, RuntimeId, TimeNanos};

/// One finalised round as readers see it. Everything in it belongs to the same state.
#[derive(Clone)]
pub struct Snapshot {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round.
    pub round: Round,
    /// The agreed time of the round.
    pub time: TimeNanos,
    /// Its state.
    pub view: Arc<View>,
    /// The validators' signature over the attested leaf of this state, if it has one.
    pub attested: Option<AttestedSignature>,
}

impl Snapshot {
    /// The context of a query on this state, asked when this node's clock says `now`.
    pub fn query_context(&self, now: TimeNanos) -> QueryContext {
        QueryContext {
            runtime: self.runtime,
            round: self.round,
            time: self.time,
            now,
            attested: self.attested.clone(),
        }
    }
}
