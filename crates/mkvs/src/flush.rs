//! Writing what changed in a tree, as fragments, and letting go of what was written.
//!
//! ```text
//! flush(node) = for each child in memory that no fragment holds yet: flush it
//!               put node and children together; while that is larger than a fragment should be,
//!               write the largest child as a fragment of its own
//! ```
//!
//! Fragments come out half full or better, whatever the keys, and what did not change since it was
//! written is not written again. No part recurses by the depth of the tree.

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Label};
use trilith_types::StateFault;

use crate::change::{Source, hold};
use crate::fragment::{Edge, Encoded, encode_internal, encode_leaf};
use crate::node::{Kind, Link, Node, OWN, Place, RIGHT, place};
use crate::tree::NodeSource;
use crate::{Tree, TreeError};

/// Levels below the top that the parts of a release lie behind.
const RELEASE_LEVELS: u32 = 10;
/// Into how many parts [`Tree::release_part`] divides a release.
pub const RELEASE_PARTS: u32 = 1 << RELEASE_LEVELS;

/// A fragment that is to be kept.
pub struct Fragment<'f> {
    /// The key bits above its top or, where that is a leaf, the whole key.
    pub path: &'f Label,
    /// Its bytes.
    pub bytes: &'f [u8],
    /// The node at its top.
    pub top: &'f Arc<Node>,
    /// Whether no edge leads to another fragment, so that the node at its top holds it alone.
    pub whole: bool,
}

/// Who keeps the fragments of a tree.
pub trait FragmentSink {
    /// Keeps a fragment and says where.
    ///
    /// # Errors
    /// [`StateFault`] if this machine cannot keep it.
    fn write(&mut self, fragment: Fragment<'_>) -> Result<Place, StateFault>;

    /// Learns that the fragment at a place, written earlier, is still a part of the tree.
    fn keep(&mut self, place: Place);
}

impl Tree {
    /// Writes everything that no fragment holds yet, in fragments of about `fragment_bytes`, and
    /// gives the place of the topmost, [`Place::NONE`] for the empty tree. Once what was written is
    /// sure to stay, the sink notes that in the nodes ([`Node::set_place`]); until then, a second
    /// flush writes it again.
    ///
    /// # Errors
    /// [`TreeError::NotCovered`] if the tree has a part whose place nobody knows;
    /// [`TreeError::Source`] if the sink fails.
    pub fn flush(
        &self,
        fragment_bytes: usize,
        sink: &mut dyn FragmentSink,
    ) -> Result<Place, TreeError> {
        let mut flush = Flush {
            fragment_bytes,
            sink,
            path: Path::default(),
        };
        let edge = match &self.top {
            Link::Held(node) if node.place() == Place::NONE => flush.walk(node)?,
            link => flush.known(link)?,
        };
        match (edge, &self.top) {
            (Edge::Here(encoded), Link::Held(node)) => flush.cut(&encoded, node),
            (Edge::Elsewhere(_, place), _) => Ok(place),
            _ => Ok(Place::NONE),
        }
    }

    /// Lets go of the nodes that fragments hold: they are fetched from `source` from now on.
    /// Nothing else about the tree changes.
    pub fn release(&mut self, source: Arc<dyn NodeSource>) {
        self.top = released(&self.top);
        self.source = Some(source);
    }

    /// Fetches nodes that are not in memory from `source` from now on.
    pub fn set_source(&mut self, source: Arc<dyn NodeSource>) {
        self.source = Some(source);
    }

    /// Does a part of what [`Tree::release`] does: lets go of what is stored behind one of
    /// [`RELEASE_PARTS`] ways down from the top. A large tree that is in use can so be released
    /// while its users wait for moments only.
    pub fn release_part(&mut self, part: u32) {
        let mut link = &mut self.top;
        for level in 0..RELEASE_LEVELS {
            if place_of(link) != Place::NONE {
                break;
            }
            let Link::Held(node) = link else {
                return;
            };
            if matches!(node.kind, Kind::Leaf { .. }) {
                return;
            }
            // A copy keeps the hash, and what others hold stays as it is.
            let Kind::Internal { children, .. } = &mut Arc::make_mut(node).kind else {
                return;
            };
            children[OWN] = released(&children[OWN]);
            link = &mut children[OWN + 1 + ((part >> level) & 1) as usize];
        }
        *link = released(link);
    }

    /// Brings the fragment at `place`, to whose top `path` leads, into memory as if it had
    /// changed, so that the next flush writes it somewhere else. Says whether it is a part of the
    /// tree there; if not, nothing changes.
    ///
    /// # Errors
    /// [`TreeError`] if a node is not to be had.
    pub fn touch(&mut self, path: &Label, place: Place) -> Result<bool, TreeError> {
        if !self.has_fragment(path, place)? {
            return Ok(false);
        }
        let source = self.source.clone();
        take_over(source.as_deref(), &mut self.top, &path.bits(), place)?;
        Ok(true)
    }

    /// Whether the fragment at `place`, to whose top `path` leads, is a part of the tree.
    ///
    /// # Errors
    /// As [`Tree::touch`].
    pub fn has_fragment(&self, path: &Label, wanted: Place) -> Result<bool, TreeError> {
        let bits = path.bits();
        let (mut link, mut depth) = (self.top.clone(), 0);
        while !link.is_empty() {
            if place_of(&link) == wanted {
                return Ok(true);
            }
            let Some(node) = self.resolve(&link)? else {
                break;
            };
            let Some(at) = step_down(&node, &bits, &mut depth) else {
                break;
            };
            link = node.children()[at].clone();
        }
        Ok(false)
    }
}

fn place_of(link: &Link) -> Place {
    match link {
        Link::Empty => Place::NONE,
        Link::Held(node) => node.place(),
        Link::Stored(stored) => stored.place,
    }
}

/// The child through which the way of `bits` leads, of which `depth` lie above the node.
fn step_down(node: &Node, bits: &Bits<'_>, depth: &mut usize) -> Option<usize> {
    let Kind::Internal { label, .. } = &node.kind else {
        return None;
    };
    let len = usize::from(label.bit_len());
    if label.bits().common_prefix(&bits.skip(*depth)) < len {
        return None;
    }
    *depth += len;
    Some(place(bits.bit(*depth)))
}

/// Makes the nodes on the way of `bits` down to the one stored at `wanted` the tree's own, stored
/// nowhere.
fn take_over(
    source: Source<'_>,
    mut link: &mut Link,
    bits: &Bits<'_>,
    wanted: Place,
) -> Result<(), TreeError> {
    let mut depth = 0;
    loop {
        let is_it = place_of(link) == wanted;
        hold(source, link)?;
        let Link::Held(node) = link else {
            return Ok(());
        };
        // A copy, which keeps the hash and forgets the place.
        *node = Arc::new(Node::clone(node));
        if is_it {
            return Ok(());
        }
        let Some(at) = step_down(node, bits, &mut depth) else {
            return Ok(());
        };
        let Some(Kind::Internal { children, .. }) = Arc::get_mut(node).map(|node| &mut node.kind)
        else {
            return Ok(());
        };
        link = &mut children[at];
    }
}

/// The key bits above a node.
#[derive(Default)]
struct Path {
    bytes: Vec<u8>,
    bits: usize,
}

impl Path {
    fn push(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit && let Some(last) = self.bytes.last_mut() {
            *last |= 0x80 >> (self.bits % 8);
        }
        self.bits += 1;
    }

    fn extend(&mut self, bits: &Bits<'_>) {
        for index in 0..bits.len() {
            self.push(bits.bit(index) == Some(true));
        }
    }

    fn truncate(&mut self, bits: usize) {
        self.bits = bits;
        self.bytes.truncate(bits.div_ceil(8));
        if let (spare @ 1.., Some(last)) = ((8 - bits % 8) % 8, self.bytes.last_mut()) {
            *last &= 0xff << spare;
        }
    }

    fn label(&self) -> Result<Label, TreeError> {
        Label::from_parts(&self.bytes, self.bits).ok_or(TreeError::MalformedNode(
            "lies deeper than the longest key reaches",
        ))
    }
}

/// A node whose children are being put together.
struct Frame<'t> {
    node: &'t Arc<Node>,
    edges: Vec<Edge>,
    /// Bits above the node.
    depth: usize,
    /// Bits above its children.
    end: usize,
}

struct Flush<'s> {
    fragment_bytes: usize,
    sink: &'s mut dyn FragmentSink,
    path: Path,
}

impl Flush<'_> {
    /// What stands at an edge whose fragment is known.
    fn known(&mut self, link: &Link) -> Result<Edge, TreeError> {
        let place = place_of(link);
        match link {
            Link::Empty => Ok(Edge::Empty),
            _ if place == Place::NONE => Err(TreeError::NotCovered { hash: link.hash() }),
            _ => {
                self.sink.keep(place);
                Ok(Edge::Elsewhere(link.hash(), place))
            }
        }
    }

    /// Writes what is to be written below `top`, which no fragment holds, and puts it together
    /// with what is left.
    fn walk(&mut self, top: &Arc<Node>) -> Result<Edge, TreeError> {
        let mut frames: Vec<Frame<'_>> = Vec::new();
        let mut next = Some(top);
        loop {
            let mut edge = match next.take() {
                Some(node) => match &node.kind {
                    Kind::Leaf { key, value } => Edge::Here(encode_leaf(key, value)),
                    Kind::Internal { label, .. } => {
                        let depth = self.path.bits;
                        self.path.extend(&label.bits());
                        frames.push(Frame {
                            node,
                            edges: Vec::with_capacity(3),
                            depth,
                            end: self.path.bits,
                        });
                        next = self.edges(frames.last_mut())?;
                        if next.is_some() {
                            continue;
                        }
                        self.close(frames.pop())?
                    }
                },
                None => return Ok(Edge::Empty),
            };
            // A node that is put together is an edge of the one around it, which may be complete
            // with it.
            loop {
                let Some(around) = frames.last_mut() else {
                    return Ok(edge);
                };
                around.edges.push(edge);
                self.path.truncate(around.end);
                next = self.edges(Some(around))?;
                if next.is_some() {
                    break;
                }
                edge = self.close(frames.pop())?;
            }
        }
    }

    /// Adds the edges that are known up to a child that has to be put together first, and gives
    /// that.
    fn edges<'t>(
        &mut self,
        frame: Option<&mut Frame<'t>>,
    ) -> Result<Option<&'t Arc<Node>>, TreeError> {
        let Some(frame) = frame else {
            return Ok(None);
        };
        let node: &'t Node = frame.node;
        while let Some(link) = node.children().get(frame.edges.len()) {
            match link {
                Link::Held(child) if child.place() == Place::NONE => return Ok(Some(child)),
                link => {
                    let edge = self.known(link)?;
                    frame.edges.push(edge);
                }
            }
        }
        Ok(None)
    }

    /// Goes from the end of a node to the edge of a child. The bit that tells left from right is
    /// the first of the child's label.
    fn enter(&mut self, at: usize) {
        if at != OWN {
            self.path.push(at == RIGHT);
        }
    }

    /// Puts a node together; its edges are complete.
    fn close(&mut self, frame: Option<Frame<'_>>) -> Result<Edge, TreeError> {
        let fault = TreeError::MalformedNode("that is a leaf has children");
        let frame = frame.ok_or(fault.clone())?;
        let Kind::Internal { label, children } = &frame.node.kind else {
            return Err(fault);
        };
        let mut edges: [Edge; 3] = frame.edges.try_into().map_err(|_| fault)?;
        self.path.truncate(frame.end);
        while edges.iter().map(Edge::encoded_len).sum::<usize>() > self.fragment_bytes {
            let largest = (OWN..=RIGHT)
                .filter(|at| matches!(edges[*at], Edge::Here(_)))
                .max_by_key(|at| edges[*at].encoded_len());
            let Some(at) = largest else {
                break;
            };
            if let (Edge::Here(encoded), Link::Held(child)) = (&edges[at], &children[at]) {
                self.enter(at);
                let place = self.cut(encoded, child)?;
                self.path.truncate(frame.end);
                edges[at] = Edge::Elsewhere(child.hash(), place);
            }
        }
        self.path.truncate(frame.depth);
        Ok(Edge::Here(encode_internal(
            &frame.node.hash(),
            label,
            &edges,
        )))
    }

    /// Writes a fragment; where its top is no leaf, the path leads to it.
    fn cut(&mut self, encoded: &Encoded, node: &Arc<Node>) -> Result<Place, TreeError> {
        // A leaf keeps its fragment where it comes to hang higher or lower, but stays on the way of
        // its key.
        let path = match &node.kind {
            Kind::Leaf { key, .. } => crate::change::cut(&Bits::of_key(key))?,
            Kind::Internal { .. } => self.path.label()?,
        };
        let written = self.sink.write(Fragment {
            path: &path,
            bytes: &encoded.bytes,
            top: node,
            whole: encoded.whole,
        });
        written.map_err(|fault| TreeError::Source {
            hash: node.hash(),
            fault,
        })
    }
}

/// The edge with everything stored let go of.
fn released(top: &Link) -> Link {
    struct Frame<'t> {
        node: &'t Arc<Node>,
        children: Vec<Link>,
    }
    let let_go = |link: &Link| match link {
        Link::Held(node) if node.place() == Place::NONE => None,
        link => Some(Link::stored(link.hash(), place_of(link))),
    };
    if let Some(link) = let_go(top) {
        return link;
    }
    let Link::Held(node) = top else {
        return top.clone();
    };
    let mut frames = vec![Frame {
        node,
        children: Vec::with_capacity(3),
    }];
    loop {
        let Some(frame) = frames.last_mut() else {
            return top.clone();
        };
        let node: &Arc<Node> = frame.node;
        match node.children().get(frame.children.len()) {
            Some(link) => match (let_go(link), link) {
                (Some(link), _) => frame.children.push(link),
                (None, Link::Held(node)) => frames.push(Frame {
                    node,
                    children: Vec::with_capacity(3),
                }),
                (None, link) => frame.children.push(link.clone()),
            },
            None => {
                let children = std::mem::take(&mut frame.children);
                let link = Link::Held(with_children(node, children));
                frames.pop();
                match frames.last_mut() {
                    Some(around) => around.children.push(link),
                    None => return link,
                }
            }
        }
    }
}

/// The node with these links to the same children; itself, if none of them changed.
fn with_children(node: &Arc<Node>, children: Vec<Link>) -> Arc<Node> {
    let is_same = |(a, b): (&Link, &Link)| match (a, b) {
        (Link::Empty, Link::Empty) | (Link::Stored(_), Link::Stored(_)) => true,
        (Link::Held(a), Link::Held(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    match (&node.kind, <[Link; 3]>::try_from(children)) {
        (
            Kind::Internal {
                label,
                children: old,
            },
            Ok(new),
        ) if !old.iter().zip(&new).all(is_same) => {
            let kind = Kind::Internal {
                label: label.clone(),
                children: new,
            };
            Arc::new(Node::vouched(kind, node.hash()))
        }
        _ => node.clone(),
    }
}
