//! Links between nodes of one process: a bounded queue for each node.
//!
//! Messages of one sender to one receiver arrive in the order in which they were sent. What finds a
//! full queue is dropped and counted, as a socket would do sooner or later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trilith_types::NodeId;

use super::{Link, MessageBytes};

/// Most messages that wait for one node.
const QUEUE_MESSAGES_MAX: usize = 65_536;
/// Most bytes of them together.
const QUEUE_BYTES_MAX: usize = 512 << 20;

/// What waits for one node.
#[derive(Default)]
struct Queue {
    messages: VecDeque<(NodeId, MessageBytes)>,
    bytes: usize,
    wake: Option<SyncSender<()>>,
}

/// The links of all nodes of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub {
    queues: Arc<Mutex<BTreeMap<NodeId, Arc<Mutex<Queue>>>>>,
    dropped: Arc<AtomicU64>,
}

/// One node's link to the others of a [`Hub`].
pub struct HubLink {
    hub: Hub,
    own: NodeId,
    queue: Arc<Mutex<Queue>>,
}

/// A thread that panicked left a queue as it was between two messages.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects a node. One that was connected before gets a new, empty queue.
    pub fn connect(&self, node: NodeId) -> HubLink {
        let queue = Arc::new(Mutex::new(Queue::default()));
        lock(&self.queues).insert(node, queue.clone());
        HubLink {
            hub: self.clone(),
            own: node,
            queue,
        }
    }

    /// How many messages found a full queue or no node.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Memory::Relaxed)
    }

    /// Puts a message into a queue, as if `from` had sent it.
    pub fn deliver(&self, from: NodeId, to: &NodeId, message: MessageBytes) {
        let queue = lock(&self.queues).get(to).cloned();
        let taken = queue.is_some_and(|queue| put(&queue, from, message));
        if !taken {
            self.dropped.fetch_add(1, Memory::Relaxed);
        }
    }

    /// The nodes that are connected, ascending.
    pub fn nodes(&self) -> Vec<NodeId> {
        lock(&self.queues).keys().copied().collect()
    }
}

fn put(queue: &Mutex<Queue>, from: NodeId, message: MessageBytes) -> bool {
    let mut queue = lock(queue);
    let bytes = queue.bytes + message.len();
    if queue.messages.len() >= QUEUE_MESSAGES_MAX || bytes > QUEUE_BYTES_MAX {
        return false;
    }
    queue.bytes = bytes;
    queue.messages.push_back((from, message));
    if let Some(wake) = &queue.wake {
        // A full channel means that the node is to look anyway, a closed one that it stopped.
        let _woken = wake.try_send(());
    }
    true
}

impl Link for HubLink {
    fn send(&mut self, to: &NodeId, message: MessageBytes) {
        self.hub.deliver(self.own, to, message);
    }

    fn broadcast(&mut self, message: MessageBytes) {
        for node in self.hub.nodes() {
            if node != self.own {
                self.hub.deliver(self.own, &node, message.clone());
            }
        }
    }

    fn receive(&mut self) -> Option<(NodeId, MessageBytes)> {
        let mut queue = lock(&self.queue);
        let (from, message) = queue.messages.pop_front()?;
        queue.bytes -= message.len();
        Some((from, message))
    }

    fn wake_with(&mut self, wake: SyncSender<()>) {
        lock(&self.queue).wake = Some(wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trilith_types::SecretKey;

    fn node(number: u8) -> NodeId {
        SecretKey::from_seed([number; 32]).public()
    }

    #[test]
    fn messages_arrive_in_order_and_a_full_queue_drops() {
        let hub = Hub::new();
        let mut one = hub.connect(node(1));
        let mut two = hub.connect(node(2));
        let mut three = hub.connect(node(3));
        one.send(&node(2), vec![1].into());
        one.broadcast(vec![2].into());
        assert_eq!(two.receive(), Some((node(1), vec![1].into())));
        assert_eq!(two.receive(), Some((node(1), vec![2].into())));
        assert_eq!(two.receive(), None);
        assert_eq!(three.receive(), Some((node(1), vec![2].into())));
        assert_eq!(one.receive(), None, "a node does not hear itself");
        let large: MessageBytes = vec![0; QUEUE_BYTES_MAX / 2].into();
        for _ in 0..3 {
            one.send(&node(2), large.clone());
        }
        one.send(&node(9), vec![1].into());
        assert_eq!(hub.dropped(), 2);
    }
}
