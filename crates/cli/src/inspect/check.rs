//! Whether everything in a data folder is as it was written.

use anyhow::Result;
use serde::Serialize;

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
    /// Versions of the past that were put together anew.
    past_versions: u64,
    files: usize,
    bytes: u64,
}

/// Checks everything that the store holds. The log and the checkpoint were checked by opening it.
///
/// # Errors
/// With the file that is not as it was written, and where.
pub fn check(folder: &OpenFolder, data: String) -> Result<Intact> {
    let store = &folder.store;
    let checked = store.check().map_err(failure)?;
    let summary = store.summary().map_err(failure)?;
    let mut past_versions = 0;
    for found in &summary.namespaces {
        // The last one is the current version, which was checked entry by entry.
        let past = found.versions.len().saturating_sub(1);
        for (round, _) in &found.versions[..past] {
            let view = store.view_at(found.namespace, *round).map_err(failure)?;
            past_versions += u64::from(view.is_some());
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

impl Report for Intact {
    fn text(&self) -> String {
        let mut text = format!("{} is intact\n", self.data);
        self.recovery.lines(&mut text);
        let versions = format!("{} with every entry and page", self.versions);
        let past = format!("{versions}, {} of the past by root", self.past_versions);
        line(&mut text, "versions", past);
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
