//! The pool of transactions that wait for a batch: a state machine without I/O.
//!
//! Bounded in number, in bytes and per sender. Order: higher priority first, and among equals the
//! senders take turns (a sender's n-th waiting transaction goes after everyone's (n-1)-th), in
//! order of arrival. The pool is not part of consensus: it decides what this node proposes, never
//! what is valid.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use trilith_protocol::{Admission, Batch, Input, RoundLimits};
use trilith_types::{Hash, TimeNanos};

/// Bounds of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Most transactions.
    pub transactions_max: usize,
    /// Most bytes of all transactions together.
    pub bytes_max: usize,
    /// Most transactions of one sender.
    pub sender_transactions_max: usize,
}

impl Default for PoolLimits {
    /// 50,000 transactions as in Oasis Core's pool, 256 MiB, and a fifth of the places for one
    /// sender.
    fn default() -> Self {
        Self {
            transactions_max: 50_000,
            bytes_max: 256 * 1024 * 1024,
            sender_transactions_max: 10_000,
        }
    }
}

/// Why the pool does not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// One with the same identity already waits.
    #[error("the transaction {0} already waits in the pool")]
    Duplicate(Hash),
    /// Too many wait.
    #[error("the pool holds {count} transactions, its limit is {limit}")]
    Full {
        /// How many wait.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many bytes wait.
    #[error("the pool would hold {bytes} bytes, its limit is {limit}")]
    Bytes {
        /// How many there would be.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The sender has too many waiting.
    #[error("this sender has {count} transactions waiting, the limit is {limit}")]
    Sender {
        /// How many of the sender wait.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// Place in the order: lowest first.
type Place = (std::cmp::Reverse<u64>, u64, u64);

struct Waiting {
    bytes: Vec<u8>,
    admission: Admission,
    place: Place,
}

/// How many of a sender's transactions wait, and the turn its next one gets.
#[derive(Default)]
struct Sender {
    waiting: usize,
    next_turn: u64,
}

/// Transactions that wait.
pub struct Pool {
    limits: PoolLimits,
    waiting: BTreeMap<Hash, Waiting>,
    order: BTreeSet<(Place, Hash)>,
    /// What expires when.
    expiries: BTreeSet<(TimeNanos, Hash)>,
    senders: BTreeMap<Vec<u8>, Sender>,
    bytes: usize,
    arrivals: u64,
    /// Turns up to here have been served: a sender that starts anew starts here.
    turn: u64,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            order: BTreeSet::new(),
            expiries: BTreeSet::new(),
            senders: BTreeMap::new(),
            bytes: 0,
            arrivals: 0,
            turn: 0,
        }
    }

    /// How many transactions wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the transaction with this identity waits.
    pub fn contains(&self, id: &Hash) -> bool {
        self.waiting.contains_key(id)
    }

    /// Bytes of all that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a transaction that the runtime's check admitted.
    ///
    /// # Errors
    /// [`PoolError`] if it already waits or a bound is reached; the pool is unchanged.
    pub fn insert(&mut self, bytes: Vec<u8>, admission: Admission) -> Result<(), PoolError> {
        if self.waiting.contains_key(&admission.id) {
            return Err(PoolError::Duplicate(admission.id));
        }
        let count = self.waiting.len();
        if count >= self.limits.transactions_max {
            return Err(PoolError::Full {
                count,
                limit: self.limits.transactions_max,
            });
        }
        let total = self.bytes + bytes.len();
        if total > self.limits.bytes_max {
            return Err(PoolError::Bytes {
                bytes: total,
                limit: self.limits.bytes_max,
            });
        }
        let of_sender = self
            .senders
            .get(&admission.sender)
            .map_or(0, |sender| sender.waiting);
        let limit = self.limits.sender_transactions_max;
        if of_sender >= limit {
            return Err(PoolError::Sender {
                count: of_sender,
                limit,
            });
        }
        let sender = self.senders.entry(admission.sender.clone()).or_default();
        let turn = sender.next_turn.max(self.turn);
        sender.next_turn = turn + 1;
        sender.waiting += 1;
        let place = (std::cmp::Reverse(admission.priority), turn, self.arrivals);
        self.arrivals += 1;
        self.bytes = total;
        self.order.insert((place, admission.id));
        self.expiries.insert((admission.expires, admission.id));
        self.waiting.insert(
            admission.id,
            Waiting {
                bytes,
                admission,
                place,
            },
        );
        Ok(())
    }

    /// Drops transactions that are useless at `now`; gives their identities.
    pub fn expire(&mut self, now: TimeNanos) -> Vec<Hash> {
        let past = self.expiries.iter().take_while(|(at, _)| *at < now);
        let gone: Vec<Hash> = past.map(|(_, id)| *id).collect();
        for id in &gone {
            self.remove(id);
        }
        gone
    }

    /// Removes the first transactions in order that fit `limits`; gives the batch for `time` and
    /// the identities of its inputs, in the same order.
    pub fn cut(&mut self, limits: &RoundLimits, time: TimeNanos) -> (Batch, Vec<Hash>) {
        let mut inputs = Vec::new();
        let mut ids = Vec::new();
        let mut bytes = 0u64;
        let chosen: Vec<Hash> = self
            .order
            .iter()
            .take(limits.batch_inputs_max as usize)
            .take_while(|(_, id)| {
                bytes += self.waiting[id].bytes.len() as u64;
                bytes <= limits.batch_bytes_max
            })
            .map(|(_, id)| *id)
            .collect();
        for id in chosen {
            let waiting = self
                .remove(&id)
                .expect("the order names waiting transactions");
            self.turn = self.turn.max(waiting.place.1);
            inputs.push(Input::new(waiting.bytes));
            ids.push(id);
        }
        (Batch { time, inputs }, ids)
    }

    /// The bytes of a transaction that waits.
    pub fn get(&self, id: &Hash) -> Option<&[u8]> {
        self.waiting.get(id).map(|waiting| &waiting.bytes[..])
    }

    /// Forgets a transaction; says whether it waited.
    pub fn forget(&mut self, id: &Hash) -> bool {
        self.remove(id).is_some()
    }

    fn remove(&mut self, id: &Hash) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        self.order.remove(&(waiting.place, *id));
        self.expiries.remove(&(waiting.admission.expires, *id));
        self.bytes -= waiting.bytes.len();
        if let Some(sender) = self.senders.get_mut(&waiting.admission.sender) {
            sender.waiting -= 1;
            if sender.waiting == 0 {
                self.senders.remove(&waiting.admission.sender);
            }
        }
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RoundLimits = RoundLimits {
        batch_inputs_max: 4,
        batch_bytes_max: 100,
        messages_max: 0,
    };

    fn admission(id: u8, sender: u8, priority: u64) -> Admission {
        Admission {
            id: Hash::of(&[id]),
            sender: vec![sender],
            priority,
            expires: TimeNanos(u64::from(id)),
        }
    }

    fn pool() -> Pool {
        Pool::new(PoolLimits {
            transactions_max: 6,
            bytes_max: 60,
            sender_transactions_max: 4,
        })
    }

    fn firsts(batch: &Batch) -> Vec<u8> {
        batch.inputs.iter().map(|input| input.bytes()[0]).collect()
    }

    #[test]
    fn senders_take_turns_and_priority_goes_first() {
        let mut pool = pool();
        for (id, sender, priority) in [
            (1, 1, 0),
            (2, 1, 0),
            (3, 1, 0),
            (4, 2, 0),
            (5, 3, 7),
            (6, 2, 0),
        ] {
            pool.insert(vec![id], admission(id, sender, priority))
                .unwrap();
        }
        let (batch, ids) = pool.cut(&LIMITS, TimeNanos(9));
        assert_eq!(firsts(&batch), [5, 1, 4, 2]);
        assert_eq!(ids[0], Hash::of(&[5]));
        assert_eq!(firsts(&pool.cut(&LIMITS, TimeNanos(9)).0), [6, 3]);
        assert!(pool.is_empty());
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn every_bound_refuses_with_its_numbers() {
        let mut pool = pool();
        for id in 1..=4 {
            pool.insert(vec![id; 10], admission(id, 1, 0)).unwrap();
        }
        let refused = pool.insert(vec![9], admission(9, 1, 0));
        assert_eq!(refused, Err(PoolError::Sender { count: 4, limit: 4 }));
        let refused = pool.insert(vec![9; 21], admission(9, 2, 0));
        assert_eq!(
            refused,
            Err(PoolError::Bytes {
                bytes: 61,
                limit: 60
            })
        );
        let refused = pool.insert(vec![1], admission(1, 2, 0));
        assert_eq!(refused, Err(PoolError::Duplicate(Hash::of(&[1]))));
        pool.insert(vec![5], admission(5, 2, 0)).unwrap();
        pool.insert(vec![6], admission(6, 2, 0)).unwrap();
        let refused = pool.insert(vec![9], admission(9, 3, 0));
        assert_eq!(refused, Err(PoolError::Full { count: 6, limit: 6 }));
    }

    #[test]
    fn what_expired_is_dropped_and_batches_keep_their_size() {
        let mut pool = pool();
        for id in 1..=3 {
            pool.insert(vec![id; 20], admission(id, id, 0)).unwrap();
        }
        assert_eq!(pool.expire(TimeNanos(2)), [Hash::of(&[1])]);
        let limits = RoundLimits {
            batch_bytes_max: 39,
            ..LIMITS
        };
        assert_eq!(firsts(&pool.cut(&limits, TimeNanos(2)).0), [2]);
        assert_eq!(pool.len(), 1);
    }
}
