//! Nodes that were proven, by their hashes: the least recently used leave first.
//!
//! A node refers to those below it by their hashes only (except its own leaf, which belongs to it),
//! so that each can leave for itself.
//!
//! Invariants: there are never more nodes or bytes than the limits allow; every node is under the
//! hash that it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_proof::mkvs::{Edge, VerifiedNode, VerifiedPart};
use trilith_types::Hash;

use crate::node::{Kind, Link, Node, OWN};

/// Bytes that a node takes in memory beside its key, value and label: the node and its place in the
/// cache's two maps, rounded up.
const NODE_OVERHEAD_BYTES: usize = 384;

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Most nodes, own leaves not counted.
    pub nodes_max: usize,
    /// Most bytes of memory, estimated.
    pub bytes_max: usize,
}

impl Default for CacheLimits {
    /// 5,000 nodes and 16 MiB. Source: Oasis Core `storage/mkvs`, cache.
    fn default() -> Self {
        Self {
            nodes_max: 5_000,
            bytes_max: 16 << 20,
        }
    }
}

struct Cached {
    node: Arc<Node>,
    bytes: usize,
    /// When it was last used.
    used: u64,
}

/// See the module's documentation.
pub(super) struct Cache {
    limits: CacheLimits,
    nodes: BTreeMap<Hash, Cached>,
    /// The hashes of `nodes`, by when they were last used.
    order: BTreeMap<u64, Hash>,
    bytes: usize,
    /// Counts uses: a clock that only this cache knows.
    now: u64,
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            nodes: BTreeMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            now: 0,
        }
    }

    /// The number of nodes, and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.nodes.len(), self.bytes)
    }

    /// The node with this hash, which is then the one most recently used.
    pub(super) fn get(&mut self, hash: &Hash) -> Option<Arc<Node>> {
        let cached = self.nodes.get_mut(hash)?;
        self.now += 1;
        self.order.remove(&cached.used);
        cached.used = self.now;
        self.order.insert(self.now, *hash);
        Some(cached.node.clone())
    }

    /// Keeps a node, and lets others go for it. One that is larger than the cache is not kept.
    fn insert(&mut self, hash: Hash, node: Arc<Node>) {
        if self.get(&hash).is_some() {
            return;
        }
        let bytes = size_of(&node);
        if bytes > self.limits.bytes_max || self.limits.nodes_max == 0 {
            return;
        }
        while self.nodes.len() >= self.limits.nodes_max
            || self.bytes + bytes > self.limits.bytes_max
        {
            match self.order.first_key_value() {
                Some((_, oldest)) => self.remove(&oldest.clone()),
                None => break,
            }
        }
        self.now += 1;
        self.bytes += bytes;
        self.order.insert(self.now, hash);
        let used = self.now;
        self.nodes.insert(hash, Cached { node, bytes, used });
    }

    fn remove(&mut self, hash: &Hash) {
        if let Some(cached) = self.nodes.remove(hash) {
            self.order.remove(&cached.used);
            self.bytes -= cached.bytes;
        }
    }

    /// Keeps what was proven. Of what does not fit, that with the smallest keys stays, because an
    /// iteration wants that next.
    pub(super) fn merge(&mut self, nodes: &[Arc<Node>]) {
        for node in nodes.iter().rev() {
            self.insert(node.hash(), node.clone());
        }
    }
}

/// The nodes of a verified part, in its order, each with its own leaf and with the hashes of those
/// below it.
pub(super) fn nodes_of(part: &VerifiedPart) -> Vec<Arc<Node>> {
    let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(part.nodes().len());
    for (verified, hash) in part.nodes().iter().zip(part.hashes()) {
        let kind = match verified {
            VerifiedNode::Leaf { key, value } => Kind::Leaf {
                key: key.as_slice().into(),
                value: value.as_slice().into(),
            },
            VerifiedNode::Internal {
                label,
                leaf,
                left,
                right,
            } => {
                let below = |edge: &Edge| match edge {
                    Edge::Empty => Link::Empty,
                    Edge::Node(number) => Link::of_hash(nodes[*number].hash()),
                    Edge::LeftOut(hash) => Link::of_hash(*hash),
                };
                let own = match leaf {
                    Edge::Node(number) => Link::Held(nodes[*number].clone()),
                    edge => below(edge),
                };
                Kind::Internal {
                    label: label.clone(),
                    children: [own, below(left), below(right)],
                }
            }
        };
        nodes.push(Arc::new(Node::vouched(kind, *hash)));
    }
    nodes
}

fn size_of(node: &Node) -> usize {
    let content = match &node.kind {
        Kind::Leaf { key, value } => key.len() + value.len(),
        Kind::Internal { label, children } => {
            let own = match &children[OWN] {
                Link::Held(leaf) => size_of_leaf(leaf),
                _ => 0,
            };
            label.bytes().len() + own
        }
    };
    NODE_OVERHEAD_BYTES + content
}

fn size_of_leaf(leaf: &Node) -> usize {
    match &leaf.kind {
        Kind::Leaf { key, value } => NODE_OVERHEAD_BYTES + key.len() + value.len(),
        Kind::Internal { .. } => NODE_OVERHEAD_BYTES,
    }
}
