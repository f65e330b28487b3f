//! Reading a checkpoint.
//!
//! A checkpoint is a file of records like the log, in this order: pages that were moved into it;
//! for each namespace its current version (entries, then images with their runs) and its
//! candidates in the order in which they were sealed; signed slots, pruned ranges, named blobs; an
//! end record, behind which nothing follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_types::{Hash, Image, ImageId, PAGE_BYTES, PageRun, RuntimeId, WriteLogEntry};

use crate::fault::{Result, StoreFault};
use crate::image::StoredImage;
use crate::log_file::StoreFile;
use crate::page_tree::{IMAGE_PAGES_MAX, PageTree, page_hash};
use crate::payload::{Payload, Seal, StoredRun};
use crate::ranges::PageRange;
use crate::record::FILE_HEADER_BYTES;
use crate::replay::{
    Place, SealedPages, apply, apply_seal, check_pages_exist, check_root, for_each_page,
};
use crate::state::{Namespace, State, next_view};
use crate::view::View;

type Files = BTreeMap<u64, Arc<StoreFile>>;

/// The state in the checkpoint `file`, whose pages may lie in `files`.
pub(crate) fn load(file: &Arc<StoreFile>, files: &Files) -> Result<State> {
    let mut loader = Loader {
        files,
        state: State::default(),
        open: None,
    };
    let (mut end, mut sequence) = (FILE_HEADER_BYTES, file.header.first_sequence);
    loop {
        let Some(record) = file.record(end, sequence)? else {
            return Err(file.damaged(end, format!("record {sequence} is not intact")));
        };
        (end, sequence) = (record.end, sequence + 1);
        let place = Place {
            file,
            start: record.start,
        };
        let payload = Payload::decode(&record.payload)
            .map_err(|error| place.damaged(format!("the record cannot be decoded: {error}")))?;
        if payload == Payload::End {
            loader.close(&place)?;
            break;
        }
        loader.apply(payload, record.payload, &place)?;
    }
    let len = file.len()?;
    if len > end {
        return Err(file.damaged(end, format!("{} bytes follow the end record", len - end)));
    }
    Ok(loader.state)
}

struct Loader<'a> {
    files: &'a Files,
    state: State,
    open: Option<OpenNamespace>,
}

/// A current version that is being read.
struct OpenNamespace {
    id: RuntimeId,
    round: u64,
    root: Hash,
    view: View,
    image: Option<(ImageId, Image, PageTree)>,
}

impl Loader<'_> {
    fn apply(&mut self, payload: Payload, bytes: Vec<u8>, place: &Place<'_>) -> Result<()> {
        match payload {
            Payload::Pages => Ok(()),
            Payload::Current {
                namespace,
                round,
                root,
            } => {
                self.close(place)?;
                let view = View::empty();
                self.open = Some(OpenNamespace {
                    id: namespace,
                    round,
                    root,
                    view,
                    image: None,
                });
                Ok(())
            }
            Payload::Entries { namespace, entries } => {
                self.open(namespace, place)?.add_entries(&entries, place)
            }
            Payload::Image {
                namespace,
                id,
                pages,
            } => {
                let open = self.open(namespace, place)?;
                open.close_image(place)?;
                if pages > IMAGE_PAGES_MAX {
                    return Err(place.damaged(format!("an image has {pages} pages")));
                }
                open.image = Some((id, Image::zero(pages), PageTree::zero(pages)));
                Ok(())
            }
            Payload::ImageRuns(runs) => {
                let files = self.files;
                let image = self.open.as_mut().and_then(|open| open.image.as_mut());
                let (_, image, tree) =
                    image.ok_or_else(|| place.damaged("runs come before their image"))?;
                runs.iter()
                    .try_for_each(|run| add_run(files, image, tree, run, place))
            }
            Payload::Candidate {
                seal,
                file,
                file_page,
            } => {
                self.close(place)?;
                self.candidate(seal, (file, file_page), place)
            }
            other @ (Payload::Signed { .. }
            | Payload::PruneSigned { .. }
            | Payload::Meta { .. }) => {
                self.close(place)?;
                let pages = SealedPages {
                    file: place.file,
                    file_page: 0,
                    count: None,
                };
                apply(&mut self.state, other, bytes, place, &pages)
            }
            Payload::Seal(_) | Payload::Finalise { .. } | Payload::End => {
                Err(place.damaged("the record belongs in the log"))
            }
        }
    }

    fn open(&mut self, namespace: RuntimeId, place: &Place<'_>) -> Result<&mut OpenNamespace> {
        self.open
            .as_mut()
            .filter(|open| open.id == namespace)
            .ok_or_else(|| place.damaged("contents come before their version"))
    }

    fn candidate(
        &mut self,
        bytes: Vec<u8>,
        (file, file_page): (u64, u64),
        place: &Place<'_>,
    ) -> Result<()> {
        let seal = match Payload::decode(&bytes) {
            Ok(Payload::Seal(seal)) => seal,
            _ => return Err(place.damaged("a candidate is not a sealed version")),
        };
        let file = if has_pages(&seal) {
            find(self.files, file, place)?
        } else {
            place.file
        };
        let pages = SealedPages {
            file,
            file_page,
            count: None,
        };
        apply_seal(&mut self.state, seal, bytes, place, &pages)
    }

    /// Completes the version that is being read.
    fn close(&mut self, place: &Place<'_>) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        open.close_image(place)?;
        check_root(open.view.tree.root(), open.root, place)?;
        let namespace = Namespace {
            round: Some(open.round),
            root: open.root,
            view: Arc::new(open.view),
            candidates: Vec::new(),
        };
        if self.state.namespaces.insert(open.id, namespace).is_some() {
            return Err(place.damaged(format!("namespace {} comes twice", open.id)));
        }
        Ok(())
    }
}

impl OpenNamespace {
    fn add_entries(&mut self, entries: &[(Vec<u8>, Vec<u8>)], place: &Place<'_>) -> Result<()> {
        for (key, value) in entries {
            let inserted = self.view.tree.insert(key, value);
            inserted.map_err(|error| place.damaged(error.to_string()))?;
        }
        Ok(())
    }

    /// Completes the image that is being read, and adds its leaf.
    fn close_image(&mut self, place: &Place<'_>) -> Result<()> {
        let Some((id, image, tree)) = self.image.take() else {
            return Ok(());
        };
        let stored = StoredImage {
            image: Arc::new(image),
            tree,
        };
        let nothing: Vec<WriteLogEntry> = Vec::new();
        self.view = next_view(&self.view, &nothing, vec![(id, Some(stored))])
            .map_err(|fault| place.damaged(fault.to_string()))?;
        Ok(())
    }
}

fn has_pages(seal: &Seal) -> bool {
    seal.images
        .iter()
        .any(|(_, patch)| patch.as_ref().is_some_and(|p| p.stored_pages() > 0))
}

fn find<'a>(files: &'a Files, id: u64, place: &Place<'_>) -> Result<&'a Arc<StoreFile>> {
    files
        .get(&id)
        .ok_or_else(|| place.damaged(format!("it refers to file {id:016x}, not in use")))
}

/// Adds a run to an image, comparing the hash of each page.
fn add_run(
    files: &Files,
    image: &mut Image,
    tree: &mut PageTree,
    run: &StoredRun,
    place: &Place<'_>,
) -> Result<()> {
    let (hashes, _) = run.hashes.as_chunks::<32>();
    let file = find(files, run.file, place)?;
    let pages = PageRange {
        page: run.file_page,
        count: hashes.len() as u64,
    };
    check_pages_exist(file, pages.page, pages.count, place)?;
    let fits = run
        .page
        .checked_add(pages.count)
        .is_some_and(|end| end <= image.pages());
    if !fits {
        return Err(place.damaged("a run passes the end of its image"));
    }
    for_each_page(file, pages, &mut |number, page| {
        check_page(file, number, page, &hashes[(number - pages.page) as usize])
    })?;
    let leaves: Vec<_> = (run.page..).zip(hashes.iter().copied()).collect();
    tree.set(&leaves);
    image.overlay(PageRun {
        page: run.page,
        count: pages.count,
        file: Arc::clone(&file.pages),
        file_page: run.file_page,
    });
    Ok(())
}

/// Compares a page of a file with the hash it should have.
pub(crate) fn check_page(
    file: &StoreFile,
    number: u64,
    page: &[u8; PAGE_BYTES],
    hash: &[u8; 32],
) -> std::result::Result<(), StoreFault> {
    if page_hash(page) == *hash {
        return Ok(());
    }
    Err(file.damaged(
        number * PAGE_BYTES as u64,
        "the page does not have the hash it was stored with",
    ))
}
