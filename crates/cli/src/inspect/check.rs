//! Whether what is in a data folder is as it was written.
//!
//! Opening the store compares the log and the newest checkpoint; the store checks its current
//! versions and candidates down to every page. Versions of the past are read here from the first
//! entry to the last. What is not looked at is what nothing depends on, such as the padding between
//! records, and pages of images that only versions of the past still have.

use std::ops::ControlFlow;

use anyhow::Result;
use serde::Serialize;
use trilith_store::Summary;
use trilith_types::{RuntimeId, StateRead as _};

use super::overview::Recovery;
use crate::state::folder::{OpenFolder, failure};
use crate::state::names::show_bytes;
use crate::state::report::{Report, line};

/// From so many entries on, reading all versions of the past takes many seconds: a million a second
/// at best, and there are up to 64 of them.
const ENTRIES_ANNOUNCED: u64 = 100_000;

/// What a check found intact. What is not is an error.
#[derive(Serialize)]
pub struct Intact {
    data: String,
    intact: bool,
    recovery: Recovery,
    /// Current versions and candidates.
    versions: u64,
    entries: u64,
    fragments: u64,
    images: u64,
    pages: u64,
    /// Versions of the past that were read; `None` where they were not to be.
    past_versions: Option<u64>,
    files: usize,
    bytes: u64,
}

/// Checks all that the store holds, versions of the past if they are asked for.
///
/// # Errors
/// With the file that is not as it was written, and where.
pub fn check(folder: &OpenFolder, data: String, with_past: bool) -> Result<Intact> {
    let checked = folder.store.check().map_err(failure)?;
    let summary = folder.store.summary().map_err(failure)?;
    let past = with_past.then(|| past_of(&summary));
    if let Some(past) = &past {
        announce(past.len(), checked.entries);
        for version in past {
            read_past(folder, *version)?;
        }
    }
    Ok(Intact {
        data,
        intact: true,
        recovery: Recovery::from(&folder.recovery),
        versions: checked.versions,
        entries: checked.entries,
        fragments: checked.fragments,
        images: checked.images,
        pages: checked.pages,
        past_versions: past.map(|past| past.len() as u64),
        files: summary.files.len(),
        bytes: summary.bytes,
    })
}

/// The versions of the past: all that can be read but the last of each runtime, the current one.
fn past_of(summary: &Summary) -> Vec<(RuntimeId, u64)> {
    let mut past = Vec::new();
    for found in &summary.namespaces {
        let count = found.versions.len().saturating_sub(1);
        let rounds = found.versions[..count].iter();
        past.extend(rounds.map(|(round, _)| (found.namespace, *round)));
    }
    past
}

/// Says that it takes a while, where it does: the current versions have so many entries.
fn announce(versions: usize, entries: u64) {
    if versions > 0 && entries >= ENTRIES_ANNOUNCED {
        eprintln!(
            "note: the current versions are intact; {versions} of the past, each about as large, \
             are read now (--skip-past leaves them out)"
        );
    }
}

/// Puts a version of the past together, which compares its root, and reads every entry of it, and
/// the record of what led to it.
fn read_past(folder: &OpenFolder, (runtime, round): (RuntimeId, u64)) -> Result<()> {
    folder.store.changes(runtime, round).map_err(failure)?;
    let (_, view) = folder.version(runtime, Some(round))?;
    view.iterate(b"", &mut |_, _| ControlFlow::Continue(()))
        .map_err(|fault| failure(fault.into()))
}

impl Report for Intact {
    fn text(&self) -> String {
        let mut text = format!("{} is intact\n", self.data);
        self.recovery.lines(&mut text);
        let past = match self.past_versions {
            Some(count) => format!("{count} of the past with every entry"),
            None => "those of the past left out".to_owned(),
        };
        let versions = format!("{} with every entry and page, {past}", self.versions);
        line(&mut text, "versions", versions);
        line(&mut text, "entries", self.entries.to_string());
        line(&mut text, "fragments", self.fragments.to_string());
        let pages = format!(
            "{}, with {} pages that are not zero",
            self.images, self.pages
        );
        line(&mut text, "images", pages);
        let size = show_bytes(self.bytes);
        line(&mut text, "files", format!("{}, {size}", self.files));
        text
    }
}
