//! Hashes of nodes, and the form in which proofs and stores write them.

use trilith_types::Hash;

use super::{KEY_BYTES_MAX, Label, ProofError};

const PREFIX_LEAF: u8 = 0x00;
const PREFIX_INTERNAL: u8 = 0x01;
const PREFIX_NOTHING: u8 = 0x02;

/// The hash of a leaf. The value is no longer than [`super::VALUE_BYTES_MAX`].
pub fn leaf_hash(key: &[u8], value: &[u8]) -> Hash {
    let key_len = (key.len() as u32).to_le_bytes();
    let value_len = (value.len() as u32).to_le_bytes();
    Hash::of_parts(&[&[PREFIX_LEAF], &key_len, key, &value_len, value])
}

/// The hash of an internal node, from those of its own leaf and its children; [`Hash::EMPTY`]
/// stands for one that is missing.
pub fn internal_hash(label: &Label, leaf: &Hash, left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[
        &[PREFIX_INTERNAL],
        &label.bit_len().to_le_bytes(),
        label.bytes(),
        leaf.as_bytes(),
        left.as_bytes(),
        right.as_bytes(),
    ])
}

/// A node without its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactNode<'a> {
    /// A key with its value.
    Leaf {
        /// At most [`KEY_BYTES_MAX`] bytes.
        key: &'a [u8],
        /// At most [`super::VALUE_BYTES_MAX`] bytes.
        value: &'a [u8],
    },
    /// A branch.
    Internal {
        /// The bits below the parent that all keys share.
        label: Label,
        /// Key and value of the own leaf, where there is one and it is written with the node.
        leaf: Option<(&'a [u8], &'a [u8])>,
    },
}

impl<'a> CompactNode<'a> {
    /// Appends the node to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf { key, value } => encode_leaf(out, key, value),
            Self::Internal { label, leaf } => {
                out.push(PREFIX_INTERNAL);
                out.extend_from_slice(&label.bit_len().to_le_bytes());
                out.extend_from_slice(label.bytes());
                match leaf {
                    Some((key, value)) => encode_leaf(out, key, value),
                    None => out.push(PREFIX_NOTHING),
                }
            }
        }
    }

    /// Reads a node from the start of `bytes`, and gives what follows it.
    ///
    /// # Errors
    /// [`ProofError::Node`] if no node in its one form stands there.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ProofError> {
        let mut input = Input(bytes);
        let node = match input.take(1)?[0] {
            PREFIX_LEAF => {
                let (key, value) = input.leaf()?;
                Self::Leaf { key, value }
            }
            PREFIX_INTERNAL => {
                let bits = usize::from(input.u16()?);
                let label = Label::from_parts(input.take(bits.div_ceil(8))?, bits).ok_or(
                    ProofError::Node("has a label that is too long or has bits behind its end"),
                )?;
                let leaf = match input.take(1)?[0] {
                    PREFIX_NOTHING => None,
                    PREFIX_LEAF => Some(input.leaf()?),
                    _ => {
                        return Err(ProofError::Node(
                            "has something else than a leaf as its own leaf",
                        ));
                    }
                };
                Self::Internal { label, leaf }
            }
            _ => return Err(ProofError::Node("is neither a leaf nor internal")),
        };
        Ok((node, input.0))
    }
}

fn encode_leaf(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(PREFIX_LEAF);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ProofError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(ProofError::Node("ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, ProofError> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn leaf(&mut self) -> Result<(&'a [u8], &'a [u8]), ProofError> {
        let key_len = usize::from(self.u16()?);
        if key_len > KEY_BYTES_MAX {
            return Err(ProofError::Node("has a key of more than 8191 bytes"));
        }
        let key = self.take(key_len)?;
        let len = self.take(4)?;
        let value = self.take(u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)?;
        Ok((key, value))
    }
}
