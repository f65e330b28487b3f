//! One sealed version of one namespace: what is new of it in memory, the rest on disk.

use std::ops::ControlFlow;
use std::sync::Arc;

use trilith_mkvs::{Proof, ProofVersion, Tree, TreeError};
use trilith_types::cbor::Encoder;
use trilith_types::state::Visitor;
use trilith_types::{Hash, Image, ImageId, StateFault, StateRead};

use crate::fault::Result;
use crate::image::StoredImage;
use crate::images::{Images, TableFiles};
use crate::page_tree::PageHash;

/// How the keys of image leaves start: the reserved byte 0 and the word `page`.
pub const IMAGE_KEY_PREFIX: &[u8] = b"\0page";

/// The key of the leaf that binds an image into the state root.
pub fn image_key(id: &ImageId) -> Vec<u8> {
    [IMAGE_KEY_PREFIX, id.as_bytes()].concat()
}

/// The value of that leaf: a canonical CBOR array of the image's length in pages and the root of
/// its page tree.
pub fn image_leaf(pages: u64, root: &PageHash) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.array(2).uint(pages).bytes(root);
    encoder.finish()
}

/// A read-only view of one sealed version. It never changes, and stays readable for as long as it
/// is held, whatever becomes of the version in the store.
///
/// The leaves of images (keys that start with a zero byte) are part of the state and visible like
/// all others.
pub struct View {
    pub(crate) tree: Tree,
    pub(crate) images: Images,
    /// Where tables of images are read from.
    pub(crate) source: Arc<TableFiles>,
}

impl View {
    /// The view of a namespace to which nothing was ever written.
    pub(crate) fn empty(source: Arc<TableFiles>) -> Self {
        Self {
            tree: Tree::empty(),
            images: Images::new_sync(),
            source,
        }
    }

    /// The table of an image.
    pub(crate) fn table(&self, id: &ImageId) -> Result<Option<Arc<StoredImage>>> {
        let cell = self.images.get(id);
        cell.map(|cell| cell.table(id, &self.source)).transpose()
    }

    /// The state tree, images' leaves included.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// A proof (version 0) of the value of `key`, or of its absence, under [`StateRead::root`].
    ///
    /// # Errors
    /// [`TreeError`] if the key or the proof is too long.
    pub fn prove(&self, key: &[u8]) -> std::result::Result<Proof, TreeError> {
        self.tree.prove(key, ProofVersion::V0, false)
    }

    /// The names of the images, in ascending order.
    pub fn images(&self) -> impl Iterator<Item = &ImageId> {
        self.images.keys()
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "View({})", self.tree.root())
    }
}

impl StateRead for View {
    fn root(&self) -> Hash {
        self.tree.root()
    }

    fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, StateFault> {
        let value = self.tree.get(key).map_err(state_fault)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn iterate(
        &self,
        prefix: &[u8],
        visitor: &mut Visitor<'_>,
    ) -> std::result::Result<(), StateFault> {
        for entry in self.tree.iterate_prefix(prefix).map_err(state_fault)? {
            let entry = entry.map_err(state_fault)?;
            if let ControlFlow::Break(()) = visitor(&entry.key, &entry.value) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, id: &ImageId) -> std::result::Result<Option<Image>, StateFault> {
        let Some(cell) = self.images.get(id) else {
            return Ok(None);
        };
        match cell.checked_table(id, &self.source) {
            Ok(table) => Ok(Some((*table.image).clone())),
            Err(fault) => Err(StateFault(fault.to_string())),
        }
    }
}

fn state_fault(error: TreeError) -> StateFault {
    StateFault(error.to_string())
}
