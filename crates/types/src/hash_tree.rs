//! Hash trees of the Internet Computer: the structure whose root validators sign for canister
//! clients, with digests and canonical encoding. Looking things up in one, and trusting what is
//! found, is the business of the crate `proof`.
//!
//! Source: Internet Computer interface specification, "Certification" and "Certificate encoding".

use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::hash::sha256;

/// Deepest tree that is decoded. A tree over 2^64 labels in 128 levels needs fewer.
pub const DEPTH_MAX: usize = 256;

/// A hash tree: labelled nodes, forks, leaves, and pruned parts of which only the digest is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashTree {
    /// Nothing.
    Empty,
    /// Two subtrees; every label in the left one is less than every label in the right one.
    Fork(Box<HashTree>, Box<HashTree>),
    /// A subtree under a label.
    Labeled(Vec<u8>, Box<HashTree>),
    /// A value.
    Leaf(Vec<u8>),
    /// A part left out, by its digest.
    Pruned([u8; 32]),
}

/// `SHA-256(len(separator) ‖ separator ‖ …)`.
fn separated(separator: &str, parts: &[&[u8]]) -> [u8; 32] {
    let prefix = [separator.len() as u8];
    let mut all: Vec<&[u8]> = vec![&prefix, separator.as_bytes()];
    all.extend_from_slice(parts);
    sha256(&all)
}

/// The digest of a leaf with the value `value`.
pub fn leaf_digest(value: &[u8]) -> [u8; 32] {
    separated("ic-hashtree-leaf", &[value])
}

/// The digest of a labelled subtree with the digest `child`.
pub fn labeled_digest(label: &[u8], child: &[u8; 32]) -> [u8; 32] {
    separated("ic-hashtree-labeled", &[label, child])
}

/// The digest of a fork.
pub fn fork_digest(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    separated("ic-hashtree-fork", &[left, right])
}

/// The digest of the empty tree.
pub fn empty_digest() -> [u8; 32] {
    separated("ic-hashtree-empty", &[])
}

impl HashTree {
    /// The digest of this tree; pruning does not change it.
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Empty => empty_digest(),
            Self::Fork(left, right) => fork_digest(&left.digest(), &right.digest()),
            Self::Labeled(label, child) => labeled_digest(label, &child.digest()),
            Self::Leaf(value) => leaf_digest(value),
            Self::Pruned(digest) => *digest,
        }
    }

    /// Whether nothing but a digest is left of this tree.
    pub fn is_pruned(&self) -> bool {
        matches!(self, Self::Pruned(_))
    }

    /// Writes the tree as nested arrays: `[0]`, `[1, left, right]`, `[2, label, child]`,
    /// `[3, value]`, `[4, digest]`.
    pub fn encode(&self, encoder: &mut Encoder) {
        match self {
            Self::Empty => {
                encoder.array(1).uint(0);
            }
            Self::Fork(left, right) => {
                encoder.array(3).uint(1);
                left.encode(encoder);
                right.encode(encoder);
            }
            Self::Labeled(label, child) => {
                encoder.array(3).uint(2).bytes(label);
                child.encode(encoder);
            }
            Self::Leaf(value) => {
                encoder.array(2).uint(3).bytes(value);
            }
            Self::Pruned(digest) => {
                encoder.array(2).uint(4).bytes(digest);
            }
        }
    }

    /// Reads a tree, at most [`DEPTH_MAX`] deep.
    ///
    /// # Errors
    /// [`DecodeError`] if it is malformed, not canonical or too deep.
    pub fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Self::decode_below(decoder, DEPTH_MAX)
    }

    fn decode_below(decoder: &mut Decoder<'_>, depth: usize) -> Result<Self, DecodeError> {
        let at = decoder.position();
        if depth == 0 {
            let limit = DEPTH_MAX as u64;
            return Err(DecodeError::TooLong {
                what: "hash tree depth",
                at,
                len: limit + 1,
                limit,
            });
        }
        let items = decoder.array("hash tree node", 3)?;
        let kind = decoder.uint()?;
        match (kind, items) {
            (0, 1) => Ok(Self::Empty),
            (1, 3) => {
                let left = Self::decode_below(decoder, depth - 1)?;
                let right = Self::decode_below(decoder, depth - 1)?;
                Ok(Self::Fork(Box::new(left), Box::new(right)))
            }
            (2, 3) => {
                let label = decoder.bytes("label", usize::MAX)?.to_vec();
                let child = Self::decode_below(decoder, depth - 1)?;
                Ok(Self::Labeled(label, Box::new(child)))
            }
            (3, 2) => Ok(Self::Leaf(decoder.bytes("leaf", usize::MAX)?.to_vec())),
            (4, 2) => Ok(Self::Pruned(decoder.bytes_exact("pruned")?)),
            _ => Err(DecodeError::Field("hash tree node")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the interface specification, section "Example".
    #[test]
    fn the_published_example_has_the_published_root() {
        let label = |name: &str, child| HashTree::Labeled(name.into(), Box::new(child));
        let fork = |left, right| HashTree::Fork(Box::new(left), Box::new(right));
        let leaf = |value: &str| HashTree::Leaf(value.into());
        let tree = fork(
            fork(
                label(
                    "a",
                    fork(
                        fork(label("x", leaf("hello")), HashTree::Empty),
                        label("y", leaf("world")),
                    ),
                ),
                label("b", leaf("good")),
            ),
            fork(label("c", HashTree::Empty), label("d", leaf("morning"))),
        );
        let root = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0";
        assert_eq!(hex::encode(tree.digest()), root);
        let mut encoder = Encoder::new();
        tree.encode(&mut encoder);
        let bytes = encoder.finish();
        assert_eq!(HashTree::decode(&mut Decoder::new(&bytes)).unwrap(), tree);
    }
}
