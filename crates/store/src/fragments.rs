//! What lies in files of blobs, read back, with a bounded cache.
//!
//! Every blob's check value is compared when it is read; what is damaged is a fault that names the
//! file and is never cached. What is cached changes how long an answer takes, nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use trilith_mkvs::{Node, NodeSource, Place};
use trilith_types::{Hash, StateFault};

use crate::blob::{Blob, BlobKind, file_of, no_file, offset_of, read_blob};
use crate::fault::{Result, StoreFault};
use crate::log_file::StoreFile;

/// Bytes of memory for each byte of a fragment's file, by the sizes of the parts: a key of 32 bytes
/// with a value of 100 is stored in about 185 bytes, and in memory is two nodes and an allocation each
/// for key and value, about 470. Shorter entries take more for each byte that is stored.
const HELD_PER_STORED: u64 = 3;
/// Memory that a fragment is taken to need, to tell the cache how many to expect.
const FRAGMENT_HELD_BYTES: u64 = 8 << 10;

/// A fragment in memory.
#[derive(Clone)]
pub(crate) struct Fragment {
    pub(crate) node: Arc<Node>,
    /// Bytes that it takes in its file.
    pub(crate) stored_bytes: u64,
}

#[derive(Clone)]
struct HeldBytes;

impl Weighter<u64, Fragment> for HeldBytes {
    fn weight(&self, _place: &u64, fragment: &Fragment) -> u64 {
        fragment.stored_bytes * HELD_PER_STORED
    }
}

/// Fragments in memory, by place, up to a number of bytes.
#[derive(Clone)]
pub(crate) struct FragmentCache(Arc<Cache<u64, Fragment, HeldBytes>>);

impl FragmentCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let items = (bytes / FRAGMENT_HELD_BYTES).clamp(16, 1 << 24) as usize;
        Self(Arc::new(Cache::with_weighter(items, bytes, HeldBytes)))
    }
}

/// Files of blobs and the cache in front of them. A tree holds on to the files that its fragments
/// lie in, so that they stay readable when the store has removed them.
pub(crate) struct Fragments {
    files: BTreeMap<u64, Arc<StoreFile>>,
    cache: FragmentCache,
}

impl Fragments {
    pub(crate) fn new(files: BTreeMap<u64, Arc<StoreFile>>, cache: FragmentCache) -> Self {
        Self { files, cache }
    }

    pub(crate) fn cache(&self) -> &FragmentCache {
        &self.cache
    }

    /// The files that these and more fragments lie in.
    pub(crate) fn with_files(&self, more: impl IntoIterator<Item = Arc<StoreFile>>) -> Self {
        let mut files = self.files.clone();
        files.extend(more.into_iter().map(|file| (file.header.id, file)));
        Self::new(files, self.cache.clone())
    }

    /// The blob at a place, which has to be of this kind.
    pub(crate) fn blob(&self, place: Place, kind: BlobKind) -> Result<Blob> {
        let file = self.files.get(&file_of(place));
        let file = file.ok_or_else(|| no_file(place))?;
        let blob = read_blob(file, offset_of(place))?;
        if blob.kind != kind {
            return Err(file.damaged(offset_of(place), "the blob there is of another kind"));
        }
        Ok(blob)
    }

    /// Keeps a fragment that was just written and is whole by itself: one with edges to others
    /// would keep those in memory too.
    pub(crate) fn keep(&self, place: Place, node: &Arc<Node>, stored_bytes: u64) {
        let node = Arc::clone(node);
        let fragment = Fragment { node, stored_bytes };
        self.cache.0.insert(place.0, fragment);
    }

    /// The fragment at a place.
    pub(crate) fn fragment(&self, place: Place) -> Result<Fragment> {
        if let Some(fragment) = self.cache.0.get(&place.0) {
            return Ok(fragment);
        }
        let blob = self.blob(place, BlobKind::Fragment)?;
        let node = Node::decode_fragment(blob.contents()).map_err(|error| {
            let name = &self.files[&file_of(place)].name;
            StoreFault::damaged(name, offset_of(place), error.to_string())
        })?;
        let fragment = Fragment {
            node,
            stored_bytes: blob.stored_bytes(),
        };
        self.cache.0.insert(place.0, fragment.clone());
        Ok(fragment)
    }
}

impl NodeSource for Fragments {
    fn node(&self, _hash: &Hash, place: Place) -> std::result::Result<Arc<Node>, StateFault> {
        match self.fragment(place) {
            Ok(fragment) => Ok(fragment.node),
            Err(fault) => Err(StateFault(fault.to_string())),
        }
    }
}
