//! Applying records that were read to the state in memory.

use std::sync::Arc;

use trilith_types::{Hash, PAGE_BYTES};

use crate::fault::{Result, StoreFault};
use crate::image::{PageSource, StoredImage};
use crate::images::Files;
use crate::log_file::StoreFile;
use crate::page_tree::{PageHash, page_hash};
use crate::payload::{Payload, Seal};
use crate::ranges::PageRange;
use crate::state::{Candidate, RecordPlace, State, check_log, next_view};
use crate::view::View;
use crate::workers::Workers;

/// Where a record lies, for messages.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a StoreFile,
    pub(crate) start: u64,
}

impl Place<'_> {
    pub(crate) fn damaged(&self, what: impl Into<String>) -> StoreFault {
        self.file.damaged(self.start, what)
    }
}

/// A refusal while replaying says that the log contradicts itself.
fn contradiction(place: &Place<'_>, fault: StoreFault) -> StoreFault {
    match fault {
        StoreFault::Refused(refusal) => {
            place.damaged(format!("the record does not fit: {refusal}"))
        }
        other => other,
    }
}

/// Applies one record of the log. `pages` are the record's pages.
pub(crate) fn apply(
    state: &mut State,
    payload: Payload,
    bytes: Vec<u8>,
    place: &Place<'_>,
    pages: &SealedPages<'_>,
) -> Result<()> {
    let has_pages = pages.count.is_some_and(|count| count > 0);
    if has_pages && !matches!(payload, Payload::Seal(_)) {
        return Err(place.damaged("the record has pages but seals nothing"));
    }
    let fits = |fault| contradiction(place, fault);
    match payload {
        Payload::Seal(seal) => apply_seal(state, seal, bytes, place, pages),
        Payload::Finalise {
            namespace,
            round,
            root,
        } => {
            if state.check_finalise(namespace, round, root).map_err(fits)? {
                drop(state.finalise(namespace, round, root));
            }
            Ok(())
        }
        Payload::Signed { slot, bytes } => {
            if state.check_signed(&slot, &bytes).map_err(fits)? {
                state.signed.insert(slot, bytes);
            }
            Ok(())
        }
        Payload::PruneSigned { prefix, end } => {
            state.prune_signed(prefix, end);
            Ok(())
        }
        Payload::Meta { name, bytes } => {
            state.set_meta(name, bytes);
            Ok(())
        }
        _ => Err(place.damaged("the record belongs in a checkpoint")),
    }
}

/// The pages stored with a seal.
pub(crate) struct SealedPages<'a> {
    pub(crate) file: &'a StoreFile,
    pub(crate) file_page: u64,
    /// How many there are, where the record says it.
    pub(crate) count: Option<u64>,
}

/// Applies a seal. The root that follows is compared with the recorded one by
/// [`check_roots`], after everything is replayed.
pub(crate) fn apply_seal(
    state: &mut State,
    seal: Seal,
    bytes: Vec<u8>,
    place: &Place<'_>,
    pages: &SealedPages<'_>,
) -> Result<()> {
    let base = state
        .parent(seal.namespace, seal.round, seal.parent)
        .map_err(|fault| contradiction(place, fault))?;
    let (view, stored) = unhashed_view(&base, &seal, place, pages, &state.workers)?;
    let candidate = Candidate {
        round: seal.round,
        parent: seal.parent,
        root: seal.root,
        view: Arc::new(view),
        seal: Arc::new(bytes),
        pages: (stored > 0).then_some((pages.file.header.id, pages.file_page)),
        at: RecordPlace {
            file: place.file.header.id,
            start: place.start,
        },
    };
    state.add_candidate(seal.namespace, candidate);
    Ok(())
}

/// The version that a seal makes of `base`, after its root was compared with the recorded one.
pub(crate) fn sealed_view(
    base: &View,
    seal: &Seal,
    place: &Place<'_>,
    pages: &SealedPages<'_>,
    workers: &Workers,
) -> Result<View> {
    let (view, stored) = unhashed_view(base, seal, place, pages, workers)?;
    match check_root(view.tree.root(), seal.root, place) {
        // The record itself passed its check, so what differs is in the pages.
        Err(_) if stored > 0 && pages.file.header.id != place.file.header.id => {
            let offset = pages.file_page * PAGE_BYTES as u64;
            let what = "the pages there do not have the hashes that they were sealed with";
            Err(pages.file.damaged(offset, what))
        }
        other => other.map(|()| view),
    }
}

/// The version that a seal makes of `base`, and how many pages it stored. Its root is not computed
/// yet: when many seals are replayed, the roots that are left at the end show all of them right.
fn unhashed_view(
    base: &View,
    seal: &Seal,
    place: &Place<'_>,
    pages: &SealedPages<'_>,
    workers: &Workers,
) -> Result<(View, u64)> {
    let fits = |fault| contradiction(place, fault);
    check_log(&seal.log).map_err(fits)?;
    let mut file_page = pages.file_page;
    let mut images = Vec::with_capacity(seal.images.len());
    for (id, patch) in &seal.images {
        let Some(patch) = patch else {
            images.push((id.clone(), None));
            continue;
        };
        if !patch.is_sound() {
            return Err(place.damaged("an image changes past its end"));
        }
        let count = patch.stored_pages();
        check_pages_exist(pages.file, file_page, count, place)?;
        let range = PageRange {
            page: file_page,
            count,
        };
        let hashes = read_hashes(pages.file, range)?;
        let source = PageSource {
            file: Arc::clone(&pages.file.pages),
            file_page,
        };
        let before = base.table(id)?;
        let image = StoredImage::patched_on(workers, before.as_deref(), (patch, &hashes), &source);
        images.push((id.clone(), Some(image)));
        file_page += count;
    }
    let stored = file_page - pages.file_page;
    if pages.count.is_some_and(|count| count != stored) {
        return Err(place.damaged("the record's pages are not those its images name"));
    }
    let view = next_view(base, &seal.log, images, (workers, false)).map_err(fits)?;
    Ok((view, stored))
}

/// Compares the roots of all versions there are with the recorded ones. Every version that was
/// replayed is one of these or led to one of them.
pub(crate) fn check_roots(state: &State, files: &Files) -> Result<()> {
    let place = |at: RecordPlace| {
        let file = files.get(&at.file)?;
        let start = at.start;
        Some(Place { file, start })
    };
    for (id, found) in &state.namespaces {
        let sealed = found.history.back().and_then(|version| version.seal);
        let current = (&found.view, found.root, sealed);
        let candidates = found.candidates.iter();
        let candidates = candidates.map(|found| (&found.view, found.root, Some(found.at)));
        for (view, recorded, at) in std::iter::once(current).chain(candidates) {
            let computed = view.tree.root();
            match at.and_then(place) {
                Some(place) => check_root(computed, recorded, &place)?,
                None if computed == recorded => {}
                None => {
                    let what = format!("{id} has root {computed}, and {recorded} was recorded");
                    return Err(StoreFault::damaged("the log", 0, what));
                }
            }
        }
    }
    Ok(())
}

/// Compares a recomputed root with the recorded one.
pub(crate) fn check_root(found: Hash, recorded: Hash, place: &Place<'_>) -> Result<()> {
    if found == recorded {
        return Ok(());
    }
    Err(place.damaged(format!(
        "the contents have root {found}, the record says {recorded}"
    )))
}

/// Checks that a file is long enough to hold pages that a record refers to.
pub(crate) fn check_pages_exist(
    file: &StoreFile,
    file_page: u64,
    count: u64,
    place: &Place<'_>,
) -> Result<()> {
    let end = file_page
        .checked_add(count)
        .and_then(|end| end.checked_mul(PAGE_BYTES as u64));
    if count == 0 || end.is_some_and(|end| file.len().is_ok_and(|len| end <= len)) {
        return Ok(());
    }
    Err(place.damaged(format!("it refers to pages past the end of {}", file.name)))
}

fn read_hashes(file: &StoreFile, pages: PageRange) -> Result<Vec<PageHash>> {
    let mut hashes = Vec::with_capacity(pages.count as usize);
    for_each_page(file, pages, &mut |_, page| {
        hashes.push(page_hash(page));
        Ok(())
    })?;
    Ok(hashes)
}

/// Calls `visit` with each page of a range of a file and its number in the file.
pub(crate) fn for_each_page(
    file: &StoreFile,
    pages: PageRange,
    visit: &mut dyn FnMut(u64, &[u8; PAGE_BYTES]) -> Result<()>,
) -> Result<()> {
    let mut buffer = [0u8; PAGE_BYTES];
    for page in pages.page..pages.end() {
        file.read(&mut buffer, page * PAGE_BYTES as u64)?;
        visit(page, &buffer)?;
    }
    Ok(())
}
