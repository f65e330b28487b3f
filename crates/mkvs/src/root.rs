//! Roots of trees that nobody keeps, from their leaves alone.
//!
//! Where only the root is wanted, no tree is needed: leaves in ascending order pass by once, and
//! what is kept is the way from the top to the leaf before. It knows keys and hashes of leaves, not
//! their values, so that whoever has the values hashes them where they are.
//!
//! Invariant: the root is that of the [`crate::Tree`] with the same entries.

use trilith_proof::mkvs::{Bits, internal_hash, leaf_hash};
use trilith_types::Hash;

use crate::TreeError;
use crate::batch::{Job, Workers};
use crate::change::{check_entry, check_key, cut};
use crate::node::{LEFT, OWN, RIGHT, place};

/// Levels at which leaves are parted: up to 16 jobs.
const LEVELS: u32 = 4;
/// Fewer leaves than this are not parted further: a job should outweigh its hand-over.
const JOB_LEAVES_MIN: usize = 256;

/// The key of a leaf, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafHash {
    /// The key, at most [`crate::KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// The hash of key and value, as the tree has it.
    pub hash: Hash,
}

impl LeafHash {
    /// The leaf with this key and value.
    ///
    /// # Errors
    /// [`TreeError`] if the key or the value is too long.
    pub fn of(key: Vec<u8>, value: &[u8]) -> Result<Self, TreeError> {
        check_entry(&key, Some(value))?;
        let hash = leaf_hash(&key, value);
        Ok(Self { key, hash })
    }
}

/// The root of the tree with these entries; of entries with one key, the last counts.
///
/// # Errors
/// [`TreeError`] if a key or a value is too long.
pub fn root_of(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Hash, TreeError> {
    let leaves = entries
        .into_iter()
        .map(|(key, value)| LeafHash::of(key, &value));
    let mut leaves: Vec<LeafHash> = leaves.collect::<Result<_, _>>()?;
    arrange(&mut leaves)?;
    subtree(&leaves, 0)
}

/// The root of the tree with these leaves, in any order, with `workers` sharing the work; of leaves
/// with one key, the last counts.
///
/// # Errors
/// [`TreeError`] if a key is too long.
pub fn root_of_leaves(mut leaves: Vec<LeafHash>, workers: &dyn Workers) -> Result<Hash, TreeError> {
    arrange(&mut leaves)?;
    let mut parts = Vec::new();
    let plan = part(&leaves, 0, LEVELS, &mut parts)?;
    let jobs = parts
        .iter_mut()
        .map(|part| Box::new(move || part.root = subtree(part.leaves, part.above)) as Job<'_>);
    workers.run(jobs.collect());
    let roots = parts.into_iter().map(|part| part.root);
    joined(
        &plan,
        &mut roots.collect::<Result<Vec<_>, _>>()?.into_iter(),
    )
}

/// Puts leaves in ascending order, the last of each key.
fn arrange(leaves: &mut Vec<LeafHash>) -> Result<(), TreeError> {
    leaves.iter().try_for_each(|leaf| check_key(&leaf.key))?;
    // The sort is stable, so of leaves with one key the last one stands last.
    leaves.sort_by(|a, b| a.key.cmp(&b.key));
    leaves.dedup_by(|later, kept| {
        let same = later.key == kept.key;
        if same {
            kept.hash = later.hash;
        }
        same
    });
    Ok(())
}

/// Leaves of one subtree.
struct Part<'l> {
    leaves: &'l [LeafHash],
    /// Key bits above it.
    above: usize,
    root: Result<Hash, TreeError>,
}

/// How leaves were parted.
enum Plan<'l> {
    /// Not at all: a job has them.
    Whole,
    /// At the node that lies so many key bits deep, on the way to this key.
    Parted {
        above: usize,
        depth: usize,
        key: &'l [u8],
        own: Hash,
        below: Box<[Plan<'l>; 2]>,
    },
}

/// Parts leaves at the node above all of them, and so on below; recurses at most [`LEVELS`] deep.
fn part<'l>(
    leaves: &'l [LeafHash],
    above: usize,
    levels: u32,
    parts: &mut Vec<Part<'l>>,
) -> Result<Plan<'l>, TreeError> {
    let ([first, .., last], 1..) = (leaves, levels) else {
        parts.push(Part::new(leaves, above));
        return Ok(Plan::Whole);
    };
    if leaves.len() < JOB_LEAVES_MIN {
        parts.push(Part::new(leaves, above));
        return Ok(Plan::Whole);
    }
    let depth = shared(&first.key, &last.key);
    // Of ascending keys, only the first can end where they all part.
    let here = usize::from(place_at(&first.key, depth) == OWN);
    let (own, beyond) = leaves.split_at(here);
    let split = beyond.partition_point(|leaf| place_at(&leaf.key, depth) == LEFT);
    let (left, right) = beyond.split_at(split);
    let left = part(left, depth, levels - 1, parts)?;
    let right = part(right, depth, levels - 1, parts)?;
    Ok(Plan::Parted {
        above,
        depth,
        key: &first.key,
        own: own.first().map_or(Hash::EMPTY, |leaf| leaf.hash),
        below: Box::new([left, right]),
    })
}

impl<'l> Part<'l> {
    fn new(leaves: &'l [LeafHash], above: usize) -> Self {
        Self {
            leaves,
            above,
            root: Ok(Hash::EMPTY),
        }
    }
}

/// The hash of what a plan stands for, from those of its parts in order.
fn joined(plan: &Plan<'_>, roots: &mut impl Iterator<Item = Hash>) -> Result<Hash, TreeError> {
    let Plan::Parted {
        above,
        depth,
        key,
        own,
        below,
    } = plan
    else {
        return Ok(roots.next().unwrap_or(Hash::EMPTY));
    };
    let [left, right] = &**below;
    let children = [*own, joined(left, roots)?, joined(right, roots)?];
    let open = Open {
        depth: *depth,
        children,
    };
    open.hash(key, *above)
}

/// An internal node on the way to the leaf that passes.
struct Open {
    /// Key bits above its children.
    depth: usize,
    children: [Hash; 3],
}

impl Open {
    /// Its hash, if `key` lies below it and there are `above` key bits above it.
    fn hash(&self, key: &[u8], above: usize) -> Result<Hash, TreeError> {
        let label = Bits::of_key(key).first(self.depth).skip(above);
        let [own, left, right] = &self.children;
        Ok(internal_hash(&cut(&label)?, own, left, right))
    }
}

/// The hash of the subtree with these leaves, which ascend, above which lie `above` bits that they
/// share.
fn subtree(leaves: &[LeafHash], above: usize) -> Result<Hash, TreeError> {
    let Some((first, rest)) = leaves.split_first() else {
        return Ok(Hash::EMPTY);
    };
    let mut open: Vec<Open> = Vec::new();
    // The key that passed last, and the hash of the subtree that ended with it.
    let (mut last, mut ended) = (&first.key, first.hash);
    for leaf in rest {
        let common = shared(last, &leaf.key);
        ended = close(&mut open, (last, ended), common, |node| node.depth > common)?;
        if open.last().is_none_or(|node| node.depth < common) {
            open.push(Open {
                depth: common,
                children: [Hash::EMPTY; 3],
            });
        }
        if let Some(node) = open.last_mut() {
            node.children[place_at(last, common)] = ended;
        }
        (last, ended) = (&leaf.key, leaf.hash);
    }
    close(&mut open, (last, ended), above, |_| true)
}

/// Ends the deepest nodes, as far as they are `over`, and gives the hash of the uppermost of them,
/// above which lie at least `depth` bits. All lie above `key`; `ended` is the hash of the subtree
/// below the deepest.
fn close(
    open: &mut Vec<Open>,
    (key, mut ended): (&[u8], Hash),
    depth: usize,
    over: impl Fn(&Open) -> bool,
) -> Result<Hash, TreeError> {
    while let Some(mut node) = open.pop_if(|node| over(node)) {
        node.children[place_at(key, node.depth)] = ended;
        let parent = open.last().map_or(depth, |parent| parent.depth.max(depth));
        ended = node.hash(key, parent)?;
    }
    Ok(ended)
}

/// Where a key goes below a node whose children have `depth` key bits above them.
fn place_at(key: &[u8], depth: usize) -> usize {
    place(Bits::of_key(key).bit(depth))
}

/// How many bits two keys have in common from their starts.
fn shared(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(same), b.get(same)) {
        (Some(a), Some(b)) => same * 8 + (a ^ b).leading_zeros() as usize,
        _ => same * 8,
    }
}

const _: () = assert!(
    OWN == 0 && LEFT == 1 && RIGHT == 2,
    "children are in this order"
);
