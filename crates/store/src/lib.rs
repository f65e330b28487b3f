//! MKVS and page store on disk under one root.
//!
//! A [`Store`] holds the states of several runtimes (*namespaces*) in one data folder, together
//! with what the node signed and a few named blobs. A state is a Merklised key-value tree; page
//! images hang in it by a leaf that carries their length and the root of their page tree
//! ([`image_leaf`]), so that one root stands for keys, values and every byte of every page.
//!
//! There is one log. Sealing a version appends one record with the write log and the pages whose
//! bytes differ; one `fdatasync` ([`Store::sync`]) makes tree, pages and signed bytes durable
//! together. Checkpoints write what is new of the trees as *fragments*, subtrees of about 4 KiB, and
//! tables that say where pages lie; from then on they are read when they are needed, through a
//! bounded cache. A finalised version of the past is the checkpoint before it and the log from
//! there.
//!
//! ```text
//! *.log          what was sealed, finalised and signed, in order; pages lie in it
//! *.checkpoint   where everything was when the log behind it began; pages that were moved
//! *.blobs        fragments of trees and tables of images
//! CURRENT        which of these files make up the store
//! ```
//!
//! The crate knows the tree, the disk ([`Disk`]) and records. It knows no protocol, no clock, and
//! nothing of what keys mean. Randomness is used for one thing, the secrets that key the check
//! values of its own files; it reaches no root.
//!
//! Invariants:
//! - After a crash the store holds what a prefix of the appended records adds up to, and that
//!   prefix includes everything for which [`Store::sync`] had returned.
//! - What is read back was checked, and roots that follow from the log are computed anew; what is
//!   damaged is an error that names the file, never another root. The one thing that cannot be told
//!   from a torn tail is damage of the very last records, behind which nothing was written that
//!   vouches for them.
//! - No slot ever holds two different signed bytes.
//! - When checkpoints are written, how many threads seal, what is cached and where anything lies
//!   never changes a root.

mod blob;
mod checkpoint;
mod checkpoint_load;
mod checkpointing;
mod disk;
pub mod export;
mod fault;
mod fragments;
mod history;
mod image;
mod images;
mod import;
mod inspect;
mod log;
mod log_file;
mod manifest;
mod page_tree;
mod payload;
mod ranges;
mod record;
mod recovery;
mod released;
mod relocate;
mod replay;
mod state;
mod store;
mod view;
mod workers;

pub use disk::{Disk, DiskFile, RealDisk};
pub use fault::{Refusal, Result, StoreFault};
pub use history::{Changes, ImageChange};
pub use image::{ImageUpdate, ImageUpdateKind};
pub use import::Import;
pub use inspect::{Checked, FileSummary, NamespaceSummary, Summary};
pub use page_tree::{IMAGE_PAGES_MAX, PageHash, PageTree, page_hash, zero_page_hash};
pub use recovery::RecoveryReport;
pub use store::{META_NAME_BYTES_MAX, SIGNED_BYTES_MAX, SLOT_BYTES_MAX, Store, StoreConfig};
pub use view::{IMAGE_KEY_PREFIX, View, image_key, image_leaf};
pub use workers::Workers;

/// Decoders of bytes from disk, for fuzzing: none may panic, whatever the bytes.
pub mod decode {
    use crate::blob::Blob;
    use crate::export::ExportManifest;
    use crate::images::{Files, decode_table};
    use crate::manifest::Manifest;
    use crate::payload::Payload;
    use crate::record::{FileHeader, RecordHeader};

    /// Decodes the payload of a log or checkpoint record, and says whether it is one. What decodes
    /// must encode to the same bytes.
    pub fn payload(bytes: &[u8]) -> bool {
        match Payload::decode(bytes) {
            Ok(payload) => {
                assert_eq!(payload.encode(), bytes, "a payload has one encoding");
                true
            }
            Err(_) => false,
        }
    }

    /// Decodes a manifest, and says whether it is one.
    pub fn manifest(bytes: &[u8]) -> bool {
        Manifest::decode(bytes).is_ok_and(|manifest| manifest.encode() == bytes)
    }

    /// Decodes a manifest that has `body` and the check value that belongs to it, and says whether
    /// it is one. What decodes must encode to the same bytes.
    pub fn manifest_body(body: &[u8]) -> bool {
        let bytes = with_check(body);
        Manifest::decode(&bytes).is_ok_and(|manifest| {
            assert_eq!(manifest.encode(), bytes, "a manifest has one encoding");
            true
        })
    }

    /// Does as [`manifest_body`] with the manifest of an exported checkpoint.
    pub fn export_manifest_body(body: &[u8]) -> bool {
        let bytes = with_check(body);
        ExportManifest::decode(&bytes).is_ok_and(|manifest| {
            assert_eq!(manifest.encode(), bytes, "a manifest has one encoding");
            true
        })
    }

    fn with_check(body: &[u8]) -> Vec<u8> {
        [body, blake3::hash(body).as_bytes()].concat()
    }

    /// Decodes the body of a blob, whose check value is taken to match, and says whether it is one.
    pub fn blob(kind: u32, body: &[u8]) -> bool {
        Blob::from_body(kind, body.to_vec()).is_ok_and(|blob| {
            // What emptying a file asks of the blobs in it.
            let _path = blob.path();
            assert_eq!(34 + blob.name().len() + blob.contents().len(), body.len());
            blob.stored_bytes() >= body.len() as u64
        })
    }

    /// Decodes the table of an image of which no page is stored, and says whether it is one.
    pub fn table(bytes: &[u8]) -> bool {
        decode_table(bytes, &Files::new()).is_ok_and(|image| {
            assert_eq!(image.image.run_count(), 0, "there is no file for runs");
            true
        })
    }

    /// Decodes a file header and, with the secret in it, the record header that follows; says
    /// whether both are intact.
    pub fn headers(bytes: &[u8]) -> bool {
        let Some((file, rest)) = bytes.split_at_checked(128) else {
            return false;
        };
        let Some(file) = FileHeader::decode(file) else {
            return false;
        };
        rest.get(..64)
            .and_then(|bytes| RecordHeader::decode(bytes, &file.secret))
            .is_some()
    }
}
