//! Verifying one chunk against a root, and walking what it shows.
//!
//! Both go through the entries of the decompressed stream in pre-order with a stack of open nodes,
//! without recursion and without building a tree: beside the stream itself they hold one hash per
//! internal node, and every internal node costs the stream at least as much.
//!
//! Invariants of a verified chunk: its nodes hash into the root; a key lies on the path that leads
//! to its leaf; an internal node has two or more of own leaf, left and right.

use std::collections::BTreeSet;

use trilith_proof::mkvs::{Bits, CompactNode, KEY_BYTES_MAX, Label, internal_hash, leaf_hash};
use trilith_types::cbor::Decoder;
use trilith_types::{Hash, WriteLog, WriteLogEntry};

use super::frame::decompress;
use super::{CHUNK_BYTES_MAX, ChunkFault, ENTRY_FULL, ENTRY_HASH};

/// A chunk whose proof was verified. There is no other way to make one than [`verify_chunk`].
#[derive(Debug)]
pub struct VerifiedChunk {
    stream: Vec<u8>,
    /// The hashes of the internal nodes that are shown, in the order in which they stand.
    internal: Vec<Hash>,
    /// Whether it shows the empty tree.
    is_empty_tree: bool,
}

/// Verifies that a chunk is a part of the tree with the trusted `root`. It takes outside bytes of
/// any length and content; whoever has the chunk's digest compares that first.
///
/// # Errors
/// [`ChunkFault`] with the first rule that does not hold.
pub fn verify_chunk(bytes: &[u8], root: &Hash) -> Result<VerifiedChunk, ChunkFault> {
    let stream = decompress(bytes)?;
    let mut verifier = Verifier {
        entries: Entries::new(&stream),
        open: Vec::new(),
        path: Vec::new(),
        internal: Vec::new(),
    };
    let found = verifier.run()?;
    let (count, read) = (verifier.entries.count, verifier.entries.decoder.position());
    if read != stream.len() {
        let bytes = stream.len() - read;
        return Err(ChunkFault::Unused { count, bytes });
    }
    if found != *root {
        let expected = *root;
        return Err(ChunkFault::Root { expected, found });
    }
    let internal = verifier.internal;
    Ok(VerifiedChunk {
        stream,
        internal,
        is_empty_tree: found.is_empty(),
    })
}

impl VerifiedChunk {
    /// All entries that the chunk shows, in ascending order of keys, also those that other chunks
    /// show as well.
    pub fn entries(&self) -> WriteLog {
        let mut log = WriteLog::new();
        self.walk(&mut |_| true, &mut |_| {}, &mut log);
        log
    }

    /// The entries that the chunk shows in subtrees that are `missing`. What it shows is missing
    /// no more afterwards; what it leaves out of those subtrees is.
    pub(super) fn take_missing(&self, missing: &mut BTreeSet<Hash>) -> WriteLog {
        let mut log = WriteLog::new();
        if self.is_empty_tree {
            missing.remove(&Hash::EMPTY);
            return log;
        }
        let mut left_out = Vec::new();
        self.walk(
            &mut |hash| missing.remove(hash),
            &mut |hash| left_out.push(hash),
            &mut log,
        );
        missing.extend(left_out);
        log
    }

    /// Walks the nodes in pre-order. `is_wanted` is asked, from the top down, until it accepts the
    /// top of a subtree; from there down, entries go to `log` and left out subtrees to `left_out`.
    fn walk(
        &self,
        is_wanted: &mut dyn FnMut(&Hash) -> bool,
        left_out: &mut dyn FnMut(Hash),
        log: &mut WriteLog,
    ) {
        let mut entries = Entries::new(&self.stream);
        let mut hashes = self.internal.iter();
        // For each open node, whether it is wanted, and whether its left child is still to come.
        let mut open: Vec<(bool, bool)> = Vec::new();
        let mut take = |(key, value): (&[u8], &[u8])| {
            let (key, value) = (key.to_vec(), Some(value.to_vec()));
            log.push(WriteLogEntry { key, value });
        };
        // The stream was verified, so that it ends exactly where the tree does.
        while let Ok(Some(entry)) = entries.next() {
            let is_below = open.last().is_some_and(|(wanted, _)| *wanted);
            match entry {
                Shown::Nothing => {}
                Shown::LeftOut(hash) if is_below => left_out(hash),
                Shown::LeftOut(_) => {}
                Shown::Node(CompactNode::Leaf { key, value }) => {
                    if is_below || is_wanted(&leaf_hash(key, value)) {
                        take((key, value));
                    }
                }
                Shown::Node(CompactNode::Internal { leaf, .. }) => {
                    let hash = hashes.next();
                    let is_taken = is_below || hash.is_some_and(&mut *is_wanted);
                    if let Some(leaf) = leaf.filter(|_| is_taken) {
                        take(leaf);
                    }
                    open.push((is_taken, true));
                    continue;
                }
            }
            while let Some((_, is_left_next)) = open.last_mut() {
                if *is_left_next {
                    *is_left_next = false;
                    break;
                }
                open.pop();
            }
        }
    }
}

/// An entry of a stream.
enum Shown<'a> {
    Nothing,
    LeftOut(Hash),
    Node(CompactNode<'a>),
}

/// Reads the entries of a stream.
struct Entries<'a> {
    decoder: Decoder<'a>,
    len: usize,
    count: usize,
}

impl<'a> Entries<'a> {
    fn new(stream: &'a [u8]) -> Self {
        Self {
            decoder: Decoder::new(stream),
            len: stream.len(),
            count: 0,
        }
    }

    /// The next entry; `None` at the end.
    fn next(&mut self) -> Result<Option<Shown<'a>>, ChunkFault> {
        if self.decoder.position() == self.len {
            return Ok(None);
        }
        let index = self.count;
        let fault = |fault| ChunkFault::Entry { index, fault };
        self.count += 1;
        if self.decoder.null() {
            return Ok(Some(Shown::Nothing));
        }
        let entry = self
            .decoder
            .bytes("entry", CHUNK_BYTES_MAX)
            .map_err(|error| ChunkFault::Decode { index, error })?;
        match entry.split_first() {
            Some((&ENTRY_HASH, hash)) => {
                let hash = Hash::from_slice(hash).ok_or(fault("is a hash of another length"))?;
                if hash.is_empty() {
                    return Err(fault("is the hash of nothing, which is written as null"));
                }
                Ok(Some(Shown::LeftOut(hash)))
            }
            Some((&ENTRY_FULL, node)) => {
                let (node, rest) =
                    CompactNode::decode(node).map_err(|error| ChunkFault::Node { index, error })?;
                if !rest.is_empty() {
                    return Err(fault("has bytes after its node"));
                }
                Ok(Some(Shown::Node(node)))
            }
            _ => Err(fault("is neither a node nor a hash")),
        }
    }
}

/// An internal node whose children are being read.
struct Open {
    /// Its place in the list of internal nodes.
    number: usize,
    /// Its entry.
    index: usize,
    label: Label,
    /// Bits of the path down to and with its label.
    bits: usize,
    own: Hash,
    /// The hash of the left child, once that is read.
    left: Option<Hash>,
}

struct Verifier<'a> {
    entries: Entries<'a>,
    open: Vec<Open>,
    /// Bits from the root to the position; what lies behind is stale.
    path: Vec<u8>,
    internal: Vec<Hash>,
}

impl Verifier<'_> {
    /// Reads one whole tree, and gives its root.
    fn run(&mut self) -> Result<Hash, ChunkFault> {
        loop {
            let index = self.entries.count;
            let entry = self.entries.next()?;
            let entry = entry.ok_or(ChunkFault::Incomplete { count: index })?;
            let hash = match entry {
                Shown::Nothing => Hash::EMPTY,
                Shown::LeftOut(hash) => hash,
                Shown::Node(CompactNode::Leaf { key, value }) => {
                    let (bits, side) = self.position();
                    self.check_key(index, bits, key)?;
                    if side.is_some() && Bits::of_key(key).bit(bits) != side {
                        return Err(off_path(index));
                    }
                    leaf_hash(key, value)
                }
                Shown::Node(CompactNode::Internal { label, leaf }) => {
                    self.enter(index, label, leaf)?;
                    continue;
                }
            };
            if let Some(root) = self.fold(hash)? {
                return Ok(root);
            }
        }
    }

    /// The number of bits above the next entry, and the side on which it hangs; none at the top.
    fn position(&self) -> (usize, Option<bool>) {
        self.open
            .last()
            .map_or((0, None), |open| (open.bits, Some(open.left.is_some())))
    }

    /// Checks that a key starts with the path.
    fn check_key(&self, index: usize, bits: usize, key: &[u8]) -> Result<(), ChunkFault> {
        let path = Bits::of_key(&self.path).first(bits);
        match path.common_prefix(&Bits::of_key(key)) == bits {
            true => Ok(()),
            false => Err(off_path(index)),
        }
    }

    /// Opens an internal node.
    fn enter(
        &mut self,
        index: usize,
        label: Label,
        leaf: Option<(&[u8], &[u8])>,
    ) -> Result<(), ChunkFault> {
        let (above, side) = self.position();
        let bits = above + label.bits().len();
        if side.is_some() && label.bits().bit(0) != side || bits > KEY_BYTES_MAX * 8 {
            return Err(off_path(index));
        }
        append(&mut self.path, above, &label.bits());
        let own = match leaf {
            None => Hash::EMPTY,
            Some((key, value)) => {
                self.check_key(index, bits, key)?;
                if key.len() * 8 != bits {
                    return Err(off_path(index));
                }
                leaf_hash(key, value)
            }
        };
        let number = self.internal.len();
        self.internal.push(Hash::EMPTY);
        self.open.push(Open {
            number,
            index,
            label,
            bits,
            own,
            left: None,
        });
        Ok(())
    }

    /// Hands the hash of a subtree up as far as nodes are complete; gives that of the whole tree
    /// when it is.
    fn fold(&mut self, mut hash: Hash) -> Result<Option<Hash>, ChunkFault> {
        while let Some(open) = self.open.last_mut() {
            let Some(left) = open.left else {
                open.left = Some(hash);
                return Ok(None);
            };
            let below = [&open.own, &left, &hash];
            if below.iter().filter(|hash| !hash.is_empty()).count() < 2 {
                let fault = "is an internal node with fewer than two of own leaf, left and right";
                let index = open.index;
                return Err(ChunkFault::Entry { index, fault });
            }
            hash = internal_hash(&open.label, &open.own, &left, &hash);
            self.internal[open.number] = hash;
            self.open.pop();
        }
        Ok(Some(hash))
    }
}

fn off_path(index: usize) -> ChunkFault {
    let fault = "is a node that does not belong on its path";
    ChunkFault::Entry { index, fault }
}

/// Writes `run` behind the first `bits` bits of `path`.
fn append(path: &mut Vec<u8>, bits: usize, run: &Bits<'_>) {
    let total = bits + run.len();
    path.truncate(bits.div_ceil(8));
    path.resize(total.div_ceil(8), 0);
    for index in 0..run.len() {
        let at = bits + index;
        let mask = 0x80 >> (at % 8);
        match run.bit(index) {
            Some(true) => path[at / 8] |= mask,
            _ => path[at / 8] &= !mask,
        }
    }
}
