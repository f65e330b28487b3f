//! A [`NodePort`] over the handle of a running node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trilith_node::{PoolError, RuntimeHandle, Snapshot};
use trilith_protocol::{Fault, QueryError};
use trilith_types::{NodeId, Round, Signature, TimeNanos};

use crate::port::{BoxFuture, NodePort, NodeStatus, SubmitError, Submitted};

/// A state older than this is renewed before it is read, so that `/time` in certificates and the
/// time that queries see follow the present on a network where nothing happens. Agents refuse
/// certificates that are minutes old.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(1);

/// Longest wait for the renewal; the older state is read then.
const RENEWAL_WAIT_MAX: Duration = Duration::from_millis(500);

/// Longest wait for the first certified state of a node that has just started: it answers nothing
/// that a client would believe before.
const FIRST_CERTIFIED_WAIT_MAX: Duration = Duration::from_secs(10);

/// The canister runtime of a node, as the gateway's port.
pub struct CanisterPort {
    handle: RuntimeHandle,
    root_key_der: Vec<u8>,
    rounds: watch::Receiver<Round>,
}

impl CanisterPort {
    /// A port over `handle`. `root_key_der` is the DER encoding of the key under which the
    /// network's certificates verify. Must be called within a tokio runtime, on which one task
    /// follows the node until it stops.
    pub fn new(handle: RuntimeHandle, root_key_der: Vec<u8>) -> Self {
        let mut snapshots = handle.snapshots();
        let (sender, rounds) = watch::channel(handle.snapshot().round);
        tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let round = snapshots.borrow_and_update().round;
                sender.send_replace(round);
            }
        });
        Self {
            handle,
            root_key_der,
            rounds,
        }
    }
}

/// The newest state, renewed first if it is old and a round can be had at once.
async fn fresh(handle: &RuntimeHandle) -> Arc<Snapshot> {
    let mut snapshots = handle.snapshots();
    let newest = snapshots.borrow_and_update().clone();
    if newest.attested.is_none() && handle.is_healthy() {
        handle.refresh();
        let certified = snapshots.wait_for(|snapshot| snapshot.attested.is_some());
        // Whether it timed out or the node stopped: what is newest then is read.
        let _elapsed = tokio::time::timeout(FIRST_CERTIFIED_WAIT_MAX, certified).await;
        return handle.snapshot();
    }
    if !is_fresh(handle, &newest) && handle.refresh() {
        // As above.
        let _elapsed = tokio::time::timeout(RENEWAL_WAIT_MAX, snapshots.changed()).await;
        return handle.snapshot();
    }
    newest
}

fn is_fresh(handle: &RuntimeHandle, snapshot: &Snapshot) -> bool {
    let age = handle.now().0.saturating_sub(snapshot.time.0);
    snapshot.attested.is_some() && u128::from(age) <= SNAPSHOT_AGE_MAX.as_nanos()
}

impl NodePort for CanisterPort {
    fn submit(&self, transaction: Vec<u8>) -> BoxFuture<Result<Submitted, SubmitError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let checked = tokio::task::spawn_blocking(move || handle.submit(transaction)).await;
            let receiver = checked
                .map_err(|_| SubmitError::NotAccepted("checking it was abandoned".into()))?
                .map_err(refusal)?;
            let done = receiver.await.map_err(|_| {
                SubmitError::NotAccepted("the node stopped, or the transaction expired".into())
            })?;
            Ok(Submitted {
                round: done.round,
                receipt: done.receipt,
            })
        })
    }

    fn query(&self, request: Vec<u8>) -> BoxFuture<Result<Vec<u8>, QueryError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let snapshot = fresh(&handle).await;
            let asked =
                tokio::task::spawn_blocking(move || handle.query(&snapshot, &request)).await;
            asked.map_err(|_| Fault("the query was abandoned".into()))?
        })
    }

    fn query_now(&self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        self.handle.query(&self.handle.snapshot(), request)
    }

    fn is_fresh(&self) -> bool {
        is_fresh(&self.handle, &self.handle.snapshot())
    }

    fn certified_rounds(&self) -> watch::Receiver<Round> {
        self.rounds.clone()
    }

    fn sign_response(&self, bytes: &[u8]) -> (NodeId, Signature) {
        self.handle.sign_response(bytes)
    }

    fn now(&self) -> TimeNanos {
        self.handle.now()
    }

    fn status(&self) -> NodeStatus {
        let snapshot = self.handle.snapshot();
        NodeStatus {
            root_key_der: self.root_key_der.clone(),
            healthy: self.handle.is_healthy() && snapshot.attested.is_some(),
            round: snapshot.round,
        }
    }
}

fn refusal(error: trilith_node::SubmitError) -> SubmitError {
    match error {
        trilith_node::SubmitError::Rejected(reject) => SubmitError::Rejected(reject),
        trilith_node::SubmitError::Pool(PoolError::Full { count, limit }) => {
            SubmitError::PoolFull {
                held: count as u64,
                limit: limit as u64,
                unit: "transactions",
            }
        }
        trilith_node::SubmitError::Pool(PoolError::Bytes { bytes, limit }) => {
            SubmitError::PoolFull {
                held: bytes as u64,
                limit: limit as u64,
                unit: "bytes",
            }
        }
        trilith_node::SubmitError::Pool(PoolError::Sender { count, limit }) => {
            SubmitError::SenderFull {
                waiting: count as u64,
                limit: limit as u64,
            }
        }
        other => SubmitError::NotAccepted(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which bound of the pool was hit decides who is told to wait: everyone, or one sender.
    #[test]
    fn a_full_pool_is_told_from_a_greedy_sender() {
        let of = |error| refusal(trilith_node::SubmitError::Pool(error)).to_string();
        let full = PoolError::Full { count: 5, limit: 5 };
        assert_eq!(of(full), "the pool has 5 transactions, its limit is 5");
        let bytes = PoolError::Bytes { bytes: 9, limit: 8 };
        assert_eq!(of(bytes), "the pool has 9 bytes, its limit is 8");
        let sender = PoolError::Sender { count: 3, limit: 3 };
        assert_eq!(
            of(sender),
            "this sender has 3 transactions waiting, the limit is 3; try again when some of them \
             are done"
        );
    }
}
