//! Versions of the past.
//!
//! A finalised version is kept as the log that led to it: the newest checkpoint that is not behind
//! it, and the seals from there. It costs no space beside the log, none of it is ever rewritten,
//! and giving it up is removing files, however many versions that are.
//!
//! Invariant: a version that can be read has the root that it was finalised with.

use std::sync::Arc;

use trilith_types::{Hash, ImageId, PageRun, RuntimeId, WriteLog};

use crate::checkpoint_load::{self, candidate_file, candidate_seal};
use crate::fault::{Result, StoreFault};
use crate::images::{Files, TableFiles};
use crate::manifest::Generation;
use crate::payload::{ImagePatch, Payload, Seal};
use crate::record::FileKind;
use crate::replay::{Place, SealedPages, sealed_view};
use crate::state::{Finalised, Namespace, State};
use crate::view::View;
use crate::workers::Workers;

/// What led from a version's parent to it.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Root of the version before.
    pub parent: Hash,
    /// Root of the version.
    pub root: Hash,
    /// Changed keys, without the leaves of images.
    pub log: WriteLog,
    /// Changed images, `None` for removed ones.
    pub images: Vec<(ImageId, Option<ImageChange>)>,
}

/// What changed of an image.
#[derive(Clone, Debug)]
pub struct ImageChange {
    /// The new length in pages. Pages cut off are forgotten, pages added are zero.
    pub pages: u64,
    /// Pages that are zero now, as first page and number of pages, ascending.
    pub cleared: Vec<(u64, u64)>,
    /// Pages with new contents, ascending, in the store's own files.
    pub runs: Vec<PageRun>,
}

/// The index of the generation from which a version follows: the newest that is not behind it.
fn base_of(namespace: &RuntimeId, round: u64, generations: &[Generation]) -> Option<usize> {
    let is_before =
        |generation: &Generation| generation.round(namespace).is_none_or(|base| base <= round);
    generations.iter().rposition(is_before)
}

/// The generations that are still wanted for the versions that the state tells of, while the files
/// that only older ones need take no more than so many bytes. `limits` are the number of versions
/// and of bytes.
pub(crate) fn wanted_generations(
    mut generations: Vec<Generation>,
    state: &State,
    files: &Files,
    (versions, bytes): (u64, u64),
) -> Result<Vec<Generation>> {
    let mut first = generations.len() - 1;
    if versions > 0 {
        for (id, found) in &state.namespaces {
            let past = found
                .history
                .iter()
                .take(found.history.len().saturating_sub(1));
            let bases = past.filter_map(|version| base_of(id, version.round, &generations));
            first = bases.fold(first, usize::min);
        }
    }
    generations.drain(..first);
    while generations.len() > 1 && past_bytes(&generations, files)? > bytes {
        generations.remove(0);
    }
    Ok(generations)
}

/// Bytes of the files that only older generations need.
fn past_bytes(generations: &[Generation], files: &Files) -> Result<u64> {
    let Some((newest, older)) = generations.split_last() else {
        return Ok(0);
    };
    let mut bytes = 0;
    for (id, file) in files {
        let is_log = file.header.kind == FileKind::Log;
        let now = newest.needs(*id) || (is_log && *id >= newest.log_start);
        let before = older
            .iter()
            .any(|older| older.needs(*id) || (is_log && *id >= older.log_start));
        if before && !now {
            bytes += file.len()?;
        }
    }
    Ok(bytes)
}

/// How many versions of a namespace's history are older than the so many before the current one
/// that are to be kept. They are there because later ones follow from them.
fn hidden(found: &Namespace, versions: u64) -> usize {
    let visible = versions.saturating_add(1).min(found.history.len() as u64);
    found.history.len() - visible as usize
}

/// Takes out of a namespace's history what no generation leads to any more, and what the versions
/// that are to be kept do not follow from.
pub(crate) fn trim(
    id: RuntimeId,
    found: &mut Namespace,
    versions: u64,
    generations: &[Generation],
) {
    let is_readable = |version: &Finalised| base_of(&id, version.round, generations).is_some();
    while found.history.len() > 1 && found.history.front().is_some_and(|old| !is_readable(old)) {
        found.history.pop_front();
    }
    let first = found.history.get(hidden(found, versions));
    let base = first.and_then(|first| base_of(&id, first.round, generations));
    let Some(round) = base.and_then(|base| generations[base].round(&id)) else {
        return;
    };
    while found.history.front().is_some_and(|old| old.round < round) {
        found.history.pop_front();
    }
}

/// Everything that a version of the past is read from.
pub(crate) struct Past {
    pub(crate) generations: Vec<Generation>,
    pub(crate) files: Files,
    pub(crate) source: Arc<TableFiles>,
    pub(crate) workers: Workers,
}

impl Past {
    /// The version of a namespace in `round`, one of `history`.
    pub(crate) fn view(
        &self,
        namespace: RuntimeId,
        history: &[Finalised],
        round: u64,
    ) -> Result<Option<Arc<View>>> {
        let Some(base) = base_of(&namespace, round, &self.generations) else {
            return Ok(None);
        };
        let generation = &self.generations[base];
        let state = match generation.checkpoint {
            None => State::new(Arc::clone(&self.source), self.workers),
            Some(id) => checkpoint_load::load(&self.files[&id], &self.source, self.workers)?,
        };
        let found = state.namespaces.get(&namespace);
        let mut view = match found {
            Some(found) => Arc::clone(&found.view),
            None => Arc::new(View::empty(Arc::clone(&self.source))),
        };
        let from = found.and_then(|found| found.round);
        for version in history {
            if from.is_some_and(|from| version.round <= from) || version.round > round {
                continue;
            }
            let Some(next) = self.after(&view, version)? else {
                return Ok(None);
            };
            view = Arc::new(next);
        }
        Ok(Some(view))
    }

    fn after(&self, base: &View, version: &Finalised) -> Result<Option<View>> {
        self.with_seal(version, |seal, place, pages| {
            if seal.parent != base.tree.root() {
                return Err(place.damaged("the version builds on another than the one before it"));
            }
            sealed_view(base, &seal, place, pages, &self.workers)
        })
    }

    /// What led to a version.
    pub(crate) fn changes(&self, version: &Finalised) -> Result<Option<Changes>> {
        self.with_seal(version, |seal, _, pages| Ok(changes(seal, pages)))
    }

    /// Calls `use_it` with the seal of a version; `None` if there is none.
    fn with_seal<T>(
        &self,
        version: &Finalised,
        use_it: impl FnOnce(Seal, &Place<'_>, &SealedPages<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(at) = version.seal else {
            return Ok(None);
        };
        let Some(file) = self.files.get(&at.file) else {
            return Ok(None);
        };
        let record = file.record_at(at.start)?;
        let place = Place {
            file,
            start: at.start,
        };
        let damaged = |what: &str| -> StoreFault { place.damaged(what) };
        let (seal, file, file_page) = match Payload::decode(&record.payload) {
            Ok(Payload::Seal(seal)) => (seal, &**file, record.file_page),
            Ok(Payload::Candidate {
                seal,
                file,
                file_page,
            }) => {
                let seal = candidate_seal(&seal, &place)?;
                // A checkpoint file may be kept for pages in it when what else it refers to was
                // given up with its generation.
                let Ok(file) = candidate_file(&self.files, &seal, file, &place) else {
                    return Ok(None);
                };
                (seal, file, file_page)
            }
            _ => return Err(damaged("the record there seals no version")),
        };
        if seal.root != version.root || seal.round != version.round {
            return Err(damaged("the record there seals another version"));
        }
        let pages = SealedPages {
            file,
            file_page,
            count: None,
        };
        use_it(seal, &place, &pages).map(Some)
    }
}

fn changes(seal: Seal, pages: &SealedPages<'_>) -> Changes {
    let mut file_page = pages.file_page;
    let mut change = |patch: ImagePatch| {
        let mut runs = Vec::with_capacity(patch.stored.len());
        for range in &patch.stored {
            runs.push(PageRun {
                page: range.page,
                count: range.count,
                file: Arc::clone(&pages.file.pages),
                file_page,
            });
            file_page += range.count;
        }
        let cleared = patch.cleared.iter();
        ImageChange {
            pages: patch.pages,
            cleared: cleared.map(|range| (range.page, range.count)).collect(),
            runs,
        }
    };
    let images = seal.images.into_iter();
    Changes {
        parent: seal.parent,
        root: seal.root,
        log: seal.log,
        images: images
            .map(|(id, patch)| (id, patch.map(&mut change)))
            .collect(),
    }
}
