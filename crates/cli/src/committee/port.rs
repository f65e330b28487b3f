//! The canister gateway's port to a network of several nodes.
//!
//! An agent believes an answer to a query only if a node signed it that the certified state lists:
//! one of the primaries of the last round. So requests go through a primary, the same one until a
//! new committee does not have it any more; it submits, answers from its own state and signs with
//! its own key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use trilith_gateway_canister::port::BoxFuture;
use trilith_gateway_canister::{CanisterPort, NodePort, NodeStatus, SubmitError, Submitted};
use trilith_protocol::QueryError;
use trilith_types::{NodeId, Round, Signature, TimeNanos};

/// Ports of all nodes, of which one is used.
#[derive(Clone)]
pub(crate) struct CommitteePort {
    ports: Arc<Vec<CanisterPort>>,
    chosen: Arc<AtomicUsize>,
    rounds: watch::Receiver<Round>,
}

impl CommitteePort {
    /// A port over the ports of all nodes, by number, that uses `chosen`. Must be called within a
    /// tokio runtime, on which a task for each node follows its rounds until it stops.
    pub(crate) fn new(ports: Vec<CanisterPort>, chosen: usize) -> Self {
        let chosen = Arc::new(AtomicUsize::new(chosen));
        let (sender, rounds) = watch::channel(Round(0));
        let sender = Arc::new(sender);
        for (number, port) in ports.iter().enumerate() {
            let (mut of_node, sender, chosen) =
                (port.certified_rounds(), sender.clone(), chosen.clone());
            tokio::spawn(async move {
                loop {
                    let round = *of_node.borrow_and_update();
                    if chosen.load(Ordering::Acquire) == number {
                        sender.send_if_modified(|newest| {
                            let newer = round > *newest;
                            *newest = round.max(*newest);
                            newer
                        });
                    }
                    if of_node.changed().await.is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            ports: Arc::new(ports),
            chosen,
            rounds,
        }
    }

    /// Number of the node that is used.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen.load(Ordering::Acquire)
    }

    /// Uses another node from now on.
    pub(crate) fn choose(&self, number: usize) {
        if number < self.ports.len() {
            self.chosen.store(number, Ordering::Release);
        }
    }

    fn port(&self) -> &CanisterPort {
        &self.ports[self.chosen().min(self.ports.len() - 1)]
    }
}

impl NodePort for CommitteePort {
    fn submit(&self, transaction: Vec<u8>) -> BoxFuture<Result<Submitted, SubmitError>> {
        self.port().submit(transaction)
    }

    fn query(&self, request: Vec<u8>) -> BoxFuture<Result<Vec<u8>, QueryError>> {
        self.port().query(request)
    }

    fn query_now(&self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        self.port().query_now(request)
    }

    fn is_fresh(&self) -> bool {
        self.port().is_fresh()
    }

    fn certified_rounds(&self) -> watch::Receiver<Round> {
        self.rounds.clone()
    }

    fn sign_response(&self, bytes: &[u8]) -> (NodeId, Signature) {
        self.port().sign_response(bytes)
    }

    fn now(&self) -> TimeNanos {
        self.port().now()
    }

    fn status(&self) -> NodeStatus {
        self.port().status()
    }
}
