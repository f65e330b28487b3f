//! Turns at a canister: how many query calls of one canister run at a time, so that the queries of
//! one neither start a process each nor take all threads from those of others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candid::Principal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all canisters that are being asked.
#[derive(Debug)]
pub(crate) struct Lanes {
    width: usize,
    lanes: Mutex<BTreeMap<Principal, Lane>>,
}

#[derive(Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    /// Queries that run or wait; the lane is forgotten with the last.
    users: usize,
}

/// A turn, or the wait for one. Dropping it lets the next one in.
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    canister: Principal,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    /// No canister is being asked; of each, `width` queries will run at a time.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            lanes: Mutex::default(),
        }
    }

    /// Waits for a turn at `canister`, first come, first served.
    pub(crate) async fn enter(&self, canister: Principal) -> Turn<'_> {
        let turns = {
            let mut lanes = self.lock();
            let lane = lanes.entry(canister).or_insert_with(|| Lane {
                turns: Arc::new(Semaphore::new(self.width)),
                users: 0,
            });
            lane.users += 1;
            lane.turns.clone()
        };
        // Counted from here on, so that giving up the wait is noticed as well.
        let mut turn = Turn {
            lanes: self,
            canister,
            permit: None,
        };
        // It is never closed; if it were, a query without a turn does no harm.
        turn.permit = turns.acquire_owned().await.ok();
        turn
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Principal, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(&self.canister) {
            lane.users -= 1;
            if lane.users == 0 {
                lanes.remove(&self.canister);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_canister_has_its_width_and_others_are_not_held_up() {
        let lanes = Lanes::new(2);
        let (one, other) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
        let first = lanes.enter(one).await;
        let second = lanes.enter(one).await;
        let moment = Duration::from_millis(20);
        assert!(timeout(moment, lanes.enter(one)).await.is_err());
        let elsewhere = lanes.enter(other).await;
        drop(first);
        let third = lanes.enter(one).await;
        drop((second, third, elsewhere));
        assert!(lanes.lock().is_empty(), "what nobody uses is forgotten");
    }
}
