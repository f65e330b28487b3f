//! What a data folder holds: runtimes with their versions, and files with their sizes.

use anyhow::Result;
use serde::Serialize;
use trilith_store::{NamespaceSummary, RecoveryReport, Summary};
use trilith_types::{Hash, PAGE_BYTES, RuntimeId};

use super::listing::{ListedImage, images};
use crate::state::folder::{OpenFolder, failure};
use crate::state::names::{runtime_name, show_bytes};
use crate::state::report::{Report, line};

/// All that a data folder holds.
#[derive(Serialize)]
pub struct Overview {
    data: String,
    recovery: Recovery,
    runtimes: Vec<Runtime>,
    files: Vec<StoredFile>,
    /// Of all files together.
    bytes: u64,
    /// From how many points versions are read: checkpoints, and the beginning of the log if it is
    /// kept.
    starts: usize,
    signed_slots: usize,
    blobs: Vec<Blob>,
}

/// What opening the store found, and what the next start of a node will do.
#[derive(Serialize)]
pub(super) struct Recovery {
    checkpoint: Option<String>,
    records_replayed: u64,
    /// Bytes after the last whole record, which the next start of the node cuts.
    bytes_to_cut: u64,
}

impl From<&RecoveryReport> for Recovery {
    fn from(found: &RecoveryReport) -> Self {
        Self {
            checkpoint: found.checkpoint.clone(),
            records_replayed: found.records,
            bytes_to_cut: found.bytes_cut,
        }
    }
}

impl Recovery {
    pub(super) fn lines(&self, text: &mut String) {
        let from = match &self.checkpoint {
            Some(name) => format!("checkpoint {name}"),
            None => "no checkpoint".to_owned(),
        };
        let records = self.records_replayed;
        let records = format!("{from}, and {records} records of the log behind it");
        line(text, "opened from", records);
        if self.bytes_to_cut > 0 {
            let bytes = show_bytes(self.bytes_to_cut);
            let what = format!("{bytes} behind the last whole record; the next start cuts them");
            line(text, "torn tail", what);
        }
    }
}

/// A version of a state.
#[derive(Clone, Serialize)]
struct Version {
    round: u64,
    root: String,
}

impl From<&(u64, Hash)> for Version {
    fn from((round, root): &(u64, Hash)) -> Self {
        let (round, root) = (*round, root.to_string());
        Self { round, root }
    }
}

/// A runtime of a data folder.
#[derive(Serialize)]
struct Runtime {
    id: String,
    name: Option<&'static str>,
    current: Option<Version>,
    /// Those that can be read, the current one last.
    versions: Vec<Version>,
    candidates: Vec<Version>,
    images: u64,
    /// Lengths of all images together. Pages that are zero take no space.
    image_bytes: u64,
}

impl From<&NamespaceSummary> for Runtime {
    fn from(found: &NamespaceSummary) -> Self {
        Self {
            id: found.namespace.to_string(),
            name: runtime_name(&found.namespace),
            current: found.current.as_ref().map(Version::from),
            versions: found.versions.iter().map(Version::from).collect(),
            candidates: found.candidates.iter().map(Version::from).collect(),
            images: found.images,
            image_bytes: found.image_pages.saturating_mul(PAGE_BYTES as u64),
        }
    }
}

impl Runtime {
    fn lines(&self, text: &mut String) {
        let name = self.name.map(|name| format!("{name} "));
        text.push_str(&format!(
            "\nruntime {}{}\n",
            name.unwrap_or_default(),
            self.id
        ));
        match &self.current {
            Some(current) => {
                line(text, "round", current.round.to_string());
                line(text, "root", &current.root);
            }
            None => line(text, "round", "none is finalised yet"),
        }
        let count = self.versions.len();
        if let (Some(first), Some(last)) = (self.versions.first(), self.versions.last()) {
            let rounds = format!("{count}, of rounds {} to {}", first.round, last.round);
            line(text, "versions", rounds);
        }
        line(text, "candidates", self.candidates.len().to_string());
        let bytes = show_bytes(self.image_bytes);
        line(text, "images", format!("{}, {bytes} long", self.images));
    }
}

#[derive(Serialize)]
struct StoredFile {
    name: String,
    bytes: u64,
    /// Of files with parts of trees: how much the newest checkpoint needs.
    live_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Blob {
    name: String,
    bytes: u64,
}

/// Finds out what a data folder holds.
///
/// # Errors
/// If the disk cannot be read.
pub fn overview(folder: &OpenFolder, data: String) -> Result<Overview> {
    let summary: Summary = folder.store.summary().map_err(failure)?;
    let files = summary.files.into_iter().map(|file| StoredFile {
        name: file.name,
        bytes: file.bytes,
        live_bytes: file.live,
    });
    let blobs = summary.meta.into_iter();
    Ok(Overview {
        data,
        recovery: Recovery::from(&folder.recovery),
        runtimes: summary.namespaces.iter().map(Runtime::from).collect(),
        files: files.collect(),
        bytes: summary.bytes,
        starts: summary.checkpoints,
        signed_slots: summary.signed,
        blobs: blobs.map(|(name, bytes)| Blob { name, bytes }).collect(),
    })
}

impl Report for Overview {
    fn text(&self) -> String {
        let mut text = format!("data folder {}\n", self.data);
        self.recovery.lines(&mut text);
        for runtime in &self.runtimes {
            runtime.lines(&mut text);
        }
        text.push_str("\nnode\n");
        line(&mut text, "signed", format!("{} slots", self.signed_slots));
        for blob in &self.blobs {
            line(&mut text, &blob.name, show_bytes(blob.bytes));
        }
        let count = self.files.len();
        text.push_str(&format!("\nfiles ({count}, {})\n", show_bytes(self.bytes)));
        for file in &self.files {
            let live = file.live_bytes.map_or(String::new(), |live| {
                // A file has a header at least; an empty one is all live.
                let percent = (live * 100).checked_div(file.bytes).unwrap_or(100);
                format!(", {percent} % of it live")
            });
            let size = format!("{}{live}", show_bytes(file.bytes));
            text.push_str(&format!("  {:<29}{size}\n", file.name));
        }
        let starts = format!("{} that versions are read from", self.starts);
        line(&mut text, "starts", starts);
        text
    }
}

/// One runtime of a data folder, with its versions and images one by one.
#[derive(Serialize)]
pub struct OneRuntime {
    data: String,
    recovery: Recovery,
    #[serde(flatten)]
    runtime: Runtime,
    image_list: Vec<ListedImage>,
}

/// Finds out what a data folder holds of one runtime, with at most `limit` of its images.
///
/// # Errors
/// If there is no such runtime, or the disk cannot be read.
pub fn one_runtime(
    folder: &OpenFolder,
    data: String,
    id: RuntimeId,
    limit: usize,
) -> Result<OneRuntime> {
    let summary = folder.store.summary().map_err(failure)?;
    let found = summary
        .namespaces
        .iter()
        .find(|found| found.namespace == id);
    let Some(found) = found else {
        return Err(folder.no_version(id));
    };
    let image_list = match found.current {
        Some(_) => images(&folder.version(id, None)?.1, limit)?,
        None => Vec::new(),
    };
    Ok(OneRuntime {
        data,
        recovery: Recovery::from(&folder.recovery),
        runtime: Runtime::from(found),
        image_list,
    })
}

impl Report for OneRuntime {
    fn text(&self) -> String {
        let mut text = format!("data folder {}\n", self.data);
        self.recovery.lines(&mut text);
        self.runtime.lines(&mut text);
        let lists = [
            ("versions that can be read", &self.runtime.versions),
            ("candidates", &self.runtime.candidates),
        ];
        for (heading, versions) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            text.push_str(&format!("\n{heading}\n"));
            for version in *versions {
                line(&mut text, &version.round.to_string(), &version.root);
            }
        }
        if !self.image_list.is_empty() {
            text.push_str("\nimages\n");
        }
        for image in &self.image_list {
            text.push_str(&image.line());
        }
        let rest = self.runtime.images - self.image_list.len() as u64;
        if rest > 0 {
            text.push_str(&format!("  and {rest} more; --limit lists more\n"));
        }
        text
    }
}
