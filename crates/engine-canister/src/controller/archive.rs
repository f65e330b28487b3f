//! What the state keeps of a canister beside its record, because messages do not touch it: its
//! history, its snapshots and its prints. Each stands under a key of its own, so that a message
//! writes none of them but the prints, and those only if it prints.
//!
//! Knows no executor and no round. Invariants: a history has at most as many changes as the limit
//! says, oldest first; a snapshot of the table has its images, and every image of a snapshot has
//! its entry.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::{HISTORY_CHANGES_MAX, LOG_RECORD_BYTES};
use trilith_types::ImageId;

use super::record::{Hook, ImageKind, Module, image_id};
use crate::api::GlobalValue;

/// History and snapshots of a canister.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The newest changes, oldest first.
    pub(crate) history: VecDeque<Change>,
    /// Snapshots by their number.
    pub(crate) snapshots: BTreeMap<u64, Taken>,
    /// Number of the next snapshot.
    pub(crate) next_snapshot: u64,
}

impl Archive {
    /// Adds a change, and forgets the oldest if there are too many.
    pub(crate) fn push(&mut self, change: Change) {
        if self.history.len() >= HISTORY_CHANGES_MAX {
            self.history.pop_front();
        }
        self.history.push_back(change);
    }

    /// Bytes of all snapshots.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.snapshots.values().map(Taken::bytes).sum()
    }

    /// Bytes that the history takes, as `canister_status` states them.
    pub(crate) fn history_bytes(&self) -> u64 {
        let list = |ids: &[Principal]| ids.iter().map(|id| id.as_slice().len() as u64).sum::<u64>();
        let of = |change: &Change| {
            let details = match &change.details {
                ChangeDetails::Creation { controllers, .. }
                | ChangeDetails::Controllers { controllers } => list(controllers),
                ChangeDetails::Uninstall {} => 0,
                ChangeDetails::Deployment { .. } => 33,
                ChangeDetails::Snapshot { id, .. } => id.len() as u64 + 17,
            };
            16 + 30 + details
        };
        self.history.iter().map(of).sum()
    }
}

/// A change of a canister's code or controllers.
///
/// Source: interface specification, "Canister history".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Time of the round.
    pub(crate) time: u64,
    /// Version of the canister after the change.
    pub(crate) version: u64,
    pub(crate) origin: ChangeOrigin,
    pub(crate) details: ChangeDetails,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeOrigin {
    User {
        id: Principal,
    },
    Canister {
        id: Principal,
        /// As the canister stated it.
        version: Option<u64>,
    },
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeDetails {
    Creation {
        controllers: Vec<Principal>,
        /// Hash of the environment variables, where the canister was created with some.
        variables: Option<[u8; 32]>,
    },
    Uninstall {},
    Deployment {
        /// 0 install, 1 reinstall, 2 upgrade.
        mode: u64,
        module_hash: [u8; 32],
    },
    Controllers {
        controllers: Vec<Principal>,
    },
    Snapshot {
        /// The canister whose snapshot was loaded, if it was another one.
        from: Option<Principal>,
        id: Vec<u8>,
        /// Version of the canister when the snapshot was taken.
        version: u64,
        taken_at: u64,
        uploaded: bool,
    },
}

/// A snapshot but for its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) taken_at: u64,
    /// Version of the canister when it was taken.
    pub(crate) version: u64,
    /// What is known of the module. `None` where the snapshot was uploaded: its module is looked at
    /// when it is loaded.
    pub(crate) module: Option<Arc<Module>>,
    /// Bytes of the module, uncompressed.
    pub(crate) module_bytes: u64,
    pub(crate) globals: Vec<GlobalValue>,
    /// Wasm pages.
    pub(crate) heap_pages: u64,
    /// Wasm pages.
    pub(crate) stable_pages: u64,
    /// As in the code of a canister.
    pub(crate) fresh: bool,
    pub(crate) certified_data: Vec<u8>,
    /// 0 where none was set, `None` where an upload leaves it as it is.
    pub(crate) global_timer: Option<u64>,
    /// `None` where an upload leaves it to the memory.
    pub(crate) hook: Option<Hook>,
    /// Lengths of stored chunks by their hash.
    pub(crate) chunks: BTreeMap<[u8; 32], u64>,
}

impl Taken {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        (self.heap_pages + self.stable_pages)
            .saturating_mul(super::price::WASM_PAGE_BYTES)
            .saturating_add(self.module_bytes)
            .saturating_add(self.chunks.values().sum())
            .saturating_add(self.certified_data.len() as u64 + 8 * self.globals.len() as u64)
    }
}

/// What a canister printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Oldest first; together they are within the canister's limit.
    pub(crate) records: VecDeque<LogRecord>,
    /// Index of the next print.
    pub(crate) next: u64,
}

impl Log {
    /// Bytes of all prints.
    pub(crate) fn bytes(&self) -> u64 {
        self.records.iter().map(LogRecord::bytes).sum()
    }

    /// Adds prints, each cut to what the limit leaves for one, and forgets the oldest ones while
    /// there are more bytes than `limit`.
    pub(crate) fn extend<'c>(
        &mut self,
        time: u64,
        contents: impl Iterator<Item = &'c Vec<u8>>,
        limit: u64,
    ) {
        let room = limit.saturating_sub(LOG_RECORD_BYTES);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut bytes = self.bytes();
        for content in contents {
            let record = LogRecord {
                index: self.next,
                time,
                content: content[..content.len().min(room)].to_vec(),
            };
            self.next += 1;
            bytes += record.bytes();
            self.records.push_back(record);
            self.drop_oldest(&mut bytes, limit);
        }
    }

    /// Forgets the oldest prints while there are more bytes than `limit`.
    pub(crate) fn shorten(&mut self, limit: u64) {
        let mut bytes = self.bytes();
        self.drop_oldest(&mut bytes, limit);
    }

    fn drop_oldest(&mut self, bytes: &mut u64, limit: u64) {
        while *bytes > limit {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            *bytes -= oldest.bytes();
        }
    }
}

/// A print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) index: u64,
    pub(crate) time: u64,
    pub(crate) content: Vec<u8>,
}

impl LogRecord {
    fn bytes(&self) -> u64 {
        LOG_RECORD_BYTES + self.content.len() as u64
    }
}

/// The name that clients know a snapshot by: 8 bytes of its number, then the canister's id.
pub(crate) fn snapshot_id(canister: Principal, number: u64) -> Vec<u8> {
    [&number.to_be_bytes()[..], canister.as_slice()].concat()
}

/// Canister and number of a snapshot.
pub(crate) fn parse_snapshot_id(id: &[u8]) -> Option<(Principal, u64)> {
    let (number, canister) = id.split_first_chunk::<8>()?;
    let canister = Principal::try_from_slice(canister).ok()?;
    Some((canister, u64::from_be_bytes(*number)))
}

/// The name of an image of a snapshot: `part` as of the canister itself.
pub(crate) fn snapshot_image_id(canister: Principal, number: u64, part: ImageKind) -> ImageId {
    snapshot_image(canister, number, part, &[])
}

/// The name of the image of a chunk of a snapshot.
pub(crate) fn snapshot_chunk_id(canister: Principal, number: u64, hash: &[u8; 32]) -> ImageId {
    snapshot_image(canister, number, ImageKind::Chunk, hash)
}

fn snapshot_image(canister: Principal, number: u64, part: ImageKind, tail: &[u8]) -> ImageId {
    let mut bytes = image_id(canister, ImageKind::Snapshot).as_bytes().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.push(part as u8);
    bytes.extend_from_slice(tail);
    ImageId::new(bytes).expect("a principal has at most 29 bytes")
}
