//! What a runtime may see of its state, and how it says what it changed.

use std::fmt;
use std::ops::ControlFlow;

use crate::{Hash, Image, ImageId};

/// One change of a key: the value it now has, or `None` where it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteLogEntry {
    /// The key, at most 8,191 bytes (MKVS counts at most 65,535 key bits).
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// The changes of a round: unique keys in ascending order.
///
/// Source: Oasis Core `storage/mkvs/writelog`.
pub type WriteLog = Vec<WriteLogEntry>;

/// This node cannot read state it should have: a disk fault, never an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFault(pub String);

impl fmt::Display for StateFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot read state: {}", self.0)
    }
}

impl std::error::Error for StateFault {}

/// What [`StateRead::iterate`] calls for each entry: key and value.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A read-only view of one sealed version of one runtime's state.
///
/// A view never changes: it is valid, and answers the same, for as long as it is held.
pub trait StateRead: Send + Sync {
    /// The state root this view is of.
    fn root(&self) -> Hash;

    /// The value of `key`, if it has one.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault>;

    /// Calls `visitor` with every entry whose key starts with `prefix`, in ascending order of
    /// keys, until it breaks.
    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault>;

    /// The pages of an image, as references into immutable page files; `None` if there is no such
    /// image.
    fn image(&self, id: &ImageId) -> Result<Option<Image>, StateFault>;
}
