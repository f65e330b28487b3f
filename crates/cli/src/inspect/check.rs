//! Whether what is in a data folder is as it was written.
//!
//! Opening the store compares the log and the newest checkpoint; the store checks its current
//! versions and candidates down to every page. Versions of the past are read here from the first
//! entry to the last. What is not looked at is what nothing depends on, such as the padding between
//! records, and pages of images that only versions of the past still have.

use std::ops::ControlFlow;

use anyhow::Result;
use serde::Serialize;
use trilith_types::{RuntimeId, StateRead as _};

use super::overview::Recovery;
use crate::state::folder::{OpenFolder, failure};
use crate::state::names::show_bytes;
use crate::state::report::{Report, line};

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
    let mut past_versions = with_past.then_some(0);
    if let Some(count) = &mut past_versions {
        for found in &summary.namespaces {
            // The last one is the current version, which was just checked.
            let past = found.versions.len().saturating_sub(1);
            for (round, _) in &found.versions[..past] {
                read_past(folder, (found.namespace, *round))?;
                *count += 1;
            }
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
        past_versions,
        files: summary.files.len(),
        bytes: summary.bytes,
    })
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
