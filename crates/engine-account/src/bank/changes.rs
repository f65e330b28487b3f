//! What a round changed, as the outcome says it: the leaves of accounts, ascending by key, and the
//! pages of those whose data are images.
//!
//! What an account was before the round stays in the [`Table`] until the round is sealed, for the
//! indexes.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use solana_account::{AccountSharedData, ReadableAccount as _};
use solana_pubkey::Pubkey;
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_types::{ImageId, PAGE_BYTES, PageFile, PageRun, WriteLogEntry};

use super::leaf;
use super::places::Place;
use super::table::Table;
use crate::parallel::Workers;

/// Accounts whose changes a thread gathers at a time.
const GATHERED: usize = 256;

/// One account that a round wrote.
pub(crate) struct Change {
    /// Its key.
    pub(crate) key: Pubkey,
    /// What it was.
    pub(crate) before: Option<AccountSharedData>,
    /// What it is.
    pub(crate) after: Option<AccountSharedData>,
}

/// What a round changed.
pub(crate) struct Changes {
    /// The accounts that it wrote, ascending by key. Some may be what they were.
    pub(crate) written: Vec<Place>,
    /// The leaves of those that are not, in the same order.
    pub(crate) leaves: Vec<WriteLogEntry>,
    /// How much more lamports there are after the round.
    pub(crate) lamports: i128,
    /// The changes of accounts whose data is or was an image, in the same order.
    large: Vec<Change>,
}

/// What one thread says of the accounts that it gathered, beside their leaves.
#[derive(Default)]
struct Gathered {
    lamports: i128,
    large: Vec<Change>,
    /// Whether one of them is what it was.
    has_unchanged: bool,
}

/// Stands where an account is what it was. No leaf has such a key.
const UNCHANGED: WriteLogEntry = WriteLogEntry {
    key: Vec::new(),
    value: None,
};

impl Changes {
    /// Gathers the changes of the accounts at these places, each of which is named once.
    pub(crate) fn gather(table: &Table, written: Vec<Place>, workers: &Workers) -> Self {
        let written = sorted(table, written);
        let mut leaves = vec![UNCHANGED; written.len()];
        let pieces = written.chunks(GATHERED).zip(leaves.chunks_mut(GATHERED));
        let parts = workers.map(1, pieces.collect(), |(places, leaves)| {
            gather(table, places, leaves)
        });
        let mut changes = Self {
            leaves: Vec::new(),
            lamports: 0,
            large: Vec::new(),
            written,
        };
        let mut has_unchanged = false;
        for part in parts {
            changes.lamports += part.lamports;
            changes.large.extend(part.large);
            has_unchanged |= part.has_unchanged;
        }
        if has_unchanged {
            leaves.retain(|leaf| !leaf.key.is_empty());
        }
        changes.leaves = leaves;
        changes
    }
}

/// Orders places by the keys of their accounts.
fn sorted(table: &Table, places: Vec<Place>) -> Vec<Place> {
    let mut places: Vec<(u64, Place)> = places
        .into_iter()
        .map(|place| (first_bytes(table.key(place)), place))
        .collect();
    places.sort_unstable_by(|(first, place), (second, other)| {
        let ties = || table.key(*place).cmp(table.key(*other));
        first.cmp(second).then_with(ties)
    });
    places.into_iter().map(|(_, place)| place).collect()
}

/// What nearly always decides the order of two keys.
fn first_bytes(key: &Pubkey) -> u64 {
    let bytes = key.as_array().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Writes the leaves of the accounts at these places.
fn gather(table: &Table, places: &[Place], leaves: &mut [WriteLogEntry]) -> Gathered {
    let mut gathered = Gathered::default();
    let lamports =
        |account: Option<&AccountSharedData>| i128::from(account.map_or(0, |held| held.lamports()));
    for (place, leaf) in places.iter().zip(leaves) {
        let key = table.key(*place);
        table.compare(*place, |before, after| {
            if before == after {
                gathered.has_unchanged = true;
                return;
            }
            *leaf = WriteLogEntry {
                key: leaf::account_key(key),
                value: after.map(leaf::encode_account),
            };
            gathered.lamports += lamports(after) - lamports(before);
            if large_data(before).is_some() || large_data(after).is_some() {
                gathered.large.push(Change {
                    key: *key,
                    before: before.cloned(),
                    after: after.cloned(),
                });
            }
        });
    }
    gathered
}

/// The changes of images that the changes of accounts ask for, ascending by name. Only pages whose
/// bytes differ are written; they all lie in one file in memory.
///
/// # Errors
/// [`Fault`] if that file cannot be made.
pub(crate) fn image_writes(changes: &Changes) -> Result<Vec<ImageWrite>, Fault> {
    let mut pages = PageWriter::default();
    let mut writes: Vec<(ImageId, Planned)> = Vec::new();
    // Most of them change nothing but a number.
    for change in &changes.large {
        let image = leaf::account_image(&change.key);
        let sides = [&change.before, &change.after].map(|side| large_data(side.as_ref()));
        match sides.into() {
            (None, None) => {}
            (Some(_), None) => writes.push((image, Planned::Delete)),
            (before, Some(after)) => {
                let runs = pages.changed(before, after);
                let grows = before.map(<[u8]>::len) != Some(after.len());
                if !runs.is_empty() || grows {
                    let len = (after.len() as u64).div_ceil(PAGE_BYTES as u64);
                    writes.push((image, Planned::Write { pages: len, runs }));
                }
            }
        }
    }
    let file = pages.finish()?;
    Ok(writes
        .into_iter()
        .map(|(image, planned)| ImageWrite {
            image,
            change: planned.change(file.as_ref()),
        })
        .collect())
}

/// The data of an account if it is an image.
fn large_data(account: Option<&AccountSharedData>) -> Option<&[u8]> {
    account
        .map(|account| account.data())
        .filter(|data| leaf::is_large(data.len()))
}

/// A change of an image whose page file is not made yet.
enum Planned {
    Delete,
    Write {
        pages: u64,
        /// First page, count, first page in the file.
        runs: Vec<(u64, u64, u64)>,
    },
}

impl Planned {
    fn change(self, file: Option<&PageFile>) -> ImageChange {
        match self {
            Self::Delete => ImageChange::Delete,
            Self::Write { pages, runs } => ImageChange::Write {
                reset: false,
                pages,
                runs: runs
                    .into_iter()
                    .zip(std::iter::repeat(file))
                    .filter_map(|((page, count, file_page), file)| {
                        let file = file?.clone();
                        Some(PageRun {
                            page,
                            count,
                            file,
                            file_page,
                        })
                    })
                    .collect(),
            },
        }
    }
}

/// Collects the bytes of changed pages.
#[derive(Default)]
struct PageWriter {
    bytes: Vec<u8>,
}

impl PageWriter {
    /// Takes the pages of `after` that differ from those of `before` and gives their runs.
    fn changed(&mut self, before: Option<&[u8]>, after: &[u8]) -> Vec<(u64, u64, u64)> {
        let mut runs: Vec<(u64, u64, u64)> = Vec::new();
        let before = before.unwrap_or_default();
        for (index, page) in after.chunks(PAGE_BYTES).enumerate() {
            let start = index * PAGE_BYTES;
            let old = before.get(start..before.len().min(start + PAGE_BYTES));
            // The last page is filled up with zeros, so a shorter or longer end is a difference.
            if old == Some(page) || (old.is_none_or(<[u8]>::is_empty) && is_zero(page)) {
                continue;
            }
            let file_page = (self.bytes.len() / PAGE_BYTES) as u64;
            self.bytes.extend_from_slice(page);
            self.bytes
                .resize(self.bytes.len().next_multiple_of(PAGE_BYTES), 0);
            match runs.last_mut() {
                Some((first, count, _)) if *first + *count == index as u64 => *count += 1,
                _ => runs.push((index as u64, 1, file_page)),
            }
        }
        runs
    }

    /// The file, if there is anything in it.
    fn finish(self) -> Result<Option<PageFile>, Fault> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let failed =
            |error: &dyn std::fmt::Display| Fault(format!("cannot make a file in memory: {error}"));
        let descriptor = memfd_create(c"trilith-accounts", MFdFlags::MFD_CLOEXEC)
            .map_err(|error| failed(&error))?;
        let mut file = File::from(descriptor);
        file.write_all(&self.bytes)
            .map_err(|error| failed(&error))?;
        Ok(Some(Arc::new(file)))
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8, last: u8) -> Pubkey {
        let mut bytes = [first; 32];
        bytes[31] = last;
        Pubkey::new_from_array(bytes)
    }

    fn holding(lamports: u64) -> Option<AccountSharedData> {
        Some(AccountSharedData::new(lamports, 3, &key(0, 0)))
    }

    #[test]
    fn leaves_ascend_and_what_stays_the_same_has_none() {
        let mut table = Table::default();
        table.begin();
        // More than a thread takes at a time; many begin with the same bytes.
        let keys = (0..=255).flat_map(|last| [key(7, last), key(last, 9)]);
        let mut written = Vec::new();
        for (number, key) in keys.enumerate() {
            let place = table.give(&key);
            let after = if number % 5 == 0 {
                holding(5)
            } else {
                holding(9)
            };
            if table.put(place, after, |_| holding(5)) {
                written.push(place);
            }
        }
        let count = written.len();
        let expected = |workers: &Workers| {
            let changes = Changes::gather(&table, written.clone(), workers);
            assert_eq!(changes.written.len(), count);
            assert!(changes.large.is_empty());
            assert_eq!(changes.lamports, 4 * changes.leaves.len() as i128);
            changes.leaves
        };
        let leaves = expected(&Workers::new(1));
        assert_eq!(leaves, expected(&Workers::new(3)));
        assert!(leaves.is_sorted_by(|one, next| one.key < next.key));
        assert!((count * 3 / 4..count).contains(&leaves.len()));
        let leaf = holding(9).as_ref().map(leaf::encode_account);
        assert!(leaves.iter().all(|entry| entry.value == leaf));
    }
}
