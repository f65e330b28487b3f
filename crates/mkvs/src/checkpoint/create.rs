//! Making the chunks of a tree, one at a time.
//!
//! A *stretch* is a subtree that is walked in pre-order, chunk by chunk. Its position is the path
//! above the subtree and the nodes that are open in it; a chunk repeats these nodes in full, shows
//! what the walk comes to, and leaves out the rest by its hash. It ends behind a leaf when its
//! nodes add up to the size asked for.
//!
//! ```text
//! chunk(stretch):
//!   show path and open nodes; what lies left of the position is left out
//!   until the stretch ends, or size >= chunk_bytes and the last thing shown was a leaf:
//!     go on in pre-order: own leaf (it is in its node), left, right
//!   what lies right of the position is left out
//! size = sum of 1 + compact length over the nodes shown, own leaves that were come to counted twice
//!
//! all chunks, by subtree: stretches <- [tree]; while there are any:
//!   split them from left to right until there are as many as asked for, at most ten times over
//!   one chunk of each; forget those that ended
//! ```
//!
//! With one stretch this gives the chunks of the sequential chunker of Oasis Core.
//!
//! Source: Oasis Core `storage/mkvs/checkpoint`, `chunk.go` and `subtree.go`.

use std::num::NonZeroU16;
use std::sync::Arc;

use trilith_proof::mkvs::{CompactNode, PROOF_DEPTH_MAX};
use trilith_types::Hash;

use super::frame::StreamWriter;
use super::{CHUNK_BYTES_MAX, CheckpointError, ENTRY_FULL, ENTRY_HASH};
use crate::node::{Kind, LEFT, Link, Node, OWN, RIGHT};
use crate::{Tree, TreeError};

/// How often stretches are split between two rounds of chunks.
const SPLIT_ROUNDS: usize = 10;

/// How a tree is divided into chunks. It decides the digests; every kind can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// From left to right.
    Sequential,
    /// By subtrees, as many at once as are given here; what Oasis Core calls chunker threads.
    BySubtree(NonZeroU16),
}

/// A chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of `bytes`, for the metadata.
    pub digest: Hash,
    /// The chunk as it travels.
    pub bytes: Vec<u8>,
}

/// Iterator over the chunks of a tree. It holds one chunk and the paths of its stretches; it ends
/// after an error.
pub struct Chunks {
    tree: Tree,
    chunk_bytes: u64,
    stretches_wanted: usize,
    stretches: Vec<Stretch>,
    /// Which stretch is next; their number when a round is over.
    next: usize,
    index: usize,
}

impl Tree {
    /// The chunks of a checkpoint of this tree, each of about `chunk_bytes` decompressed bytes.
    /// The same tree, size and kind always give the same chunks. An empty tree has one.
    pub fn chunks(&self, chunk_bytes: u64, chunking: Chunking) -> Chunks {
        let stretch = Stretch {
            path: Vec::new(),
            open: Vec::new(),
            unvisited: Some(self.top().clone()),
        };
        Chunks {
            tree: self.clone(),
            chunk_bytes,
            stretches_wanted: match chunking {
                Chunking::Sequential => 1,
                Chunking::BySubtree(count) => usize::from(count.get()),
            },
            stretches: vec![stretch],
            next: 1,
            index: 0,
        }
    }
}

impl Chunks {
    fn advance(&mut self) -> Result<Option<Chunk>, CheckpointError> {
        if self.next == self.stretches.len() {
            let mut stretches = std::mem::take(&mut self.stretches);
            stretches.retain(|stretch| !stretch.is_finished());
            self.stretches = split_all(&self.tree, stretches, self.stretches_wanted)?;
            self.next = 0;
        }
        let Some(stretch) = self.stretches.get_mut(self.next) else {
            return Ok(None);
        };
        let mut output = Output {
            stream: StreamWriter::new(),
            size: 0,
            index: self.index,
        };
        stretch.chunk(&self.tree, self.chunk_bytes, &mut output)?;
        self.next += 1;
        self.index += 1;
        let bytes = output.stream.finish();
        let digest = Hash::of(&bytes);
        Ok(Some(Chunk { digest, bytes }))
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk, CheckpointError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.stretches.clear();
            self.next = 0;
        }
        next
    }
}

/// Splits stretches from left to right until there are `wanted`, or none can be split.
fn split_all(
    tree: &Tree,
    mut stretches: Vec<Stretch>,
    wanted: usize,
) -> Result<Vec<Stretch>, TreeError> {
    for _ in 0..SPLIT_ROUNDS {
        let mut split = Vec::new();
        let mut rest = stretches.into_iter();
        while split.len() + rest.len() < wanted
            && let Some(stretch) = rest.next()
        {
            stretch.split(tree, &mut split)?;
        }
        if rest.len() > 0 {
            split.extend(rest);
            return Ok(split);
        }
        stretches = split;
    }
    Ok(stretches)
}

/// How far the walk is with an internal node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The node and its own leaf are shown.
    At,
    /// The left subtree is being walked, or is done if nothing is open above this node.
    Left,
    /// The same of the right subtree.
    Right,
}

/// A subtree that is being divided into chunks.
struct Stretch {
    /// The nodes above the subtree, from the root, each with the side on which the subtree lies.
    path: Vec<(Arc<Node>, usize)>,
    /// The internal nodes that are being walked, from the top of the subtree.
    open: Vec<(Arc<Node>, State)>,
    /// The top of the subtree, as long as the walk has not begun.
    unvisited: Option<Link>,
}

impl Stretch {
    fn is_finished(&self) -> bool {
        self.open.is_empty() && self.unvisited.is_none()
    }

    /// Writes the next chunk.
    fn chunk(
        &mut self,
        tree: &Tree,
        chunk_bytes: u64,
        output: &mut Output,
    ) -> Result<(), CheckpointError> {
        self.show_position(tree, output)?;
        // Beyond the depth that a proof can have, no other implementation sets the size, and
        // without this rule nested keys could make every chunk repeat a path of any length for
        // the sake of a single entry.
        let is_deep = self.path.len() + self.open.len() > PROOF_DEPTH_MAX;
        let repeated = if is_deep { 2 * output.size } else { 0 };
        let enough = chunk_bytes.max(repeated);
        let mut next = self.unvisited.take();
        let mut is_behind_leaf = false;
        loop {
            if let Some(link) = next.take() {
                match tree.resolve(&link)? {
                    None => output.entry(None)?,
                    Some(node) => is_behind_leaf = self.visit(tree, node, output)?,
                }
            }
            if is_behind_leaf && output.size >= enough {
                break;
            }
            let Some((node, state)) = self.open.last_mut() else {
                break;
            };
            let place = match state {
                State::At => LEFT,
                State::Left => RIGHT,
                State::Right => {
                    self.open.pop();
                    continue;
                }
            };
            *state = if place == LEFT {
                State::Left
            } else {
                State::Right
            };
            next = Some(child(node, place)?.clone());
        }
        self.leave_out_rest(output)
    }

    /// Shows the nodes above the position, and leaves out what is to the left of it.
    fn show_position(&self, tree: &Tree, output: &mut Output) -> Result<(), CheckpointError> {
        for (node, side) in &self.path {
            output.node(tree, node)?;
            if *side == RIGHT {
                output.left_out(child(node, LEFT)?)?;
            }
        }
        for (depth, (node, state)) in self.open.iter().enumerate() {
            output.node(tree, node)?;
            let is_last = depth + 1 == self.open.len();
            if *state == State::Right || (*state == State::Left && is_last) {
                output.left_out(child(node, LEFT)?)?;
            }
        }
        Ok(())
    }

    /// Shows a node that the walk came to, and says whether it ended in a leaf.
    fn visit(
        &mut self,
        tree: &Tree,
        node: Arc<Node>,
        output: &mut Output,
    ) -> Result<bool, CheckpointError> {
        output.node(tree, &node)?;
        let Kind::Internal { children, .. } = &node.kind else {
            return Ok(true);
        };
        let own = tree.resolve(&children[OWN])?;
        if let Some(own) = &own {
            // Oasis Core visits the own leaf by itself and counts it a second time.
            let (key, value) = own.entry()?;
            let mut entry = Vec::new();
            CompactNode::Leaf { key, value }.encode(&mut entry);
            output.size += 1 + entry.len() as u64;
        }
        self.open.push((node, State::At));
        Ok(own.is_some())
    }

    /// Leaves out all that is to the right of the position, and forgets nodes that are done.
    fn leave_out_rest(&mut self, output: &mut Output) -> Result<(), CheckpointError> {
        for (node, state) in self.open.iter().rev() {
            if *state == State::At {
                output.left_out(child(node, LEFT)?)?;
            }
            if *state != State::Right {
                output.left_out(child(node, RIGHT)?)?;
            }
        }
        for (node, side) in self.path.iter().rev() {
            if *side == LEFT {
                output.left_out(child(node, RIGHT)?)?;
            }
        }
        while let Some((node, state)) = self.open.last() {
            let is_done = match state {
                State::At => child(node, LEFT)?.is_empty() && child(node, RIGHT)?.is_empty(),
                State::Left => child(node, RIGHT)?.is_empty(),
                State::Right => true,
            };
            if !is_done {
                break;
            }
            self.open.pop();
        }
        Ok(())
    }

    /// Divides the stretch in two at its topmost node, where that is possible.
    fn split(mut self, tree: &Tree, into: &mut Vec<Self>) -> Result<(), TreeError> {
        let begin = |path: &[(Arc<Node>, usize)], node: &Arc<Node>, side| {
            let link = child(node, side)?.clone();
            let path = [path, &[(Arc::clone(node), side)]].concat();
            Ok((!link.is_empty()).then_some(Self {
                path,
                open: Vec::new(),
                unvisited: Some(link),
            }))
        };
        let top = match &self.unvisited {
            Some(link) => tree.resolve(link)?.map(|node| (node, State::At)),
            None => self.open.first().cloned(),
        };
        let Some((node, state)) = top.filter(|(node, _)| is_internal(node)) else {
            into.push(self);
            return Ok(());
        };
        match state {
            State::At => {
                // An internal node that was not walked below has no less than one child, so its
                // own leaf is shown with the path of whichever is walked.
                into.extend(begin(&self.path, &node, LEFT)?);
                into.extend(begin(&self.path, &node, RIGHT)?);
            }
            // Nothing is left of the left side: there is one part.
            State::Left if self.open.len() == 1 => into.push(self),
            State::Left | State::Right => {
                let side = if state == State::Left { LEFT } else { RIGHT };
                if state == State::Left {
                    into.extend(begin(&self.path, &node, RIGHT)?);
                }
                self.open.remove(0);
                self.path.push((node, side));
                into.push(self);
            }
        }
        Ok(())
    }
}

fn is_internal(node: &Node) -> bool {
    matches!(node.kind, Kind::Internal { .. })
}

fn child(node: &Node, place: usize) -> Result<&Link, TreeError> {
    match &node.kind {
        Kind::Internal { children, .. } => Ok(&children[place]),
        Kind::Leaf { .. } => Err(TreeError::MalformedNode("that is a leaf has children")),
    }
}

/// A chunk that is being written.
struct Output {
    stream: StreamWriter,
    /// What decides where the chunk ends; see the module's documentation.
    size: u64,
    index: usize,
}

impl Output {
    fn entry(&mut self, entry: Option<&[u8]>) -> Result<(), CheckpointError> {
        self.stream
            .entry(entry)
            .map_err(|len| CheckpointError::ChunkTooLarge {
                index: self.index,
                len,
                limit: CHUNK_BYTES_MAX,
            })
    }

    /// Shows a node, with its own leaf.
    fn node(&mut self, tree: &Tree, node: &Node) -> Result<(), CheckpointError> {
        let mut entry = vec![ENTRY_FULL];
        match &node.kind {
            Kind::Leaf { .. } => {
                let (key, value) = node.entry()?;
                CompactNode::Leaf { key, value }.encode(&mut entry);
            }
            Kind::Internal { label, children } => {
                let own = tree.resolve(&children[OWN])?;
                let leaf = own.as_ref().map(|own| own.entry()).transpose()?;
                let label = label.clone();
                CompactNode::Internal { label, leaf }.encode(&mut entry);
            }
        }
        self.size += entry.len() as u64;
        self.entry(Some(&entry))
    }

    /// Leaves out what is below an edge.
    fn left_out(&mut self, link: &Link) -> Result<(), CheckpointError> {
        if link.is_empty() {
            return self.entry(None);
        }
        let hash = link.hash();
        self.entry(Some(&[&[ENTRY_HASH], &hash.as_bytes()[..]].concat()))
    }
}
