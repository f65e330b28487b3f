//! Reading a checkpoint.
//!
//! A checkpoint is a file of records like the log, in this order: pages that were moved into it;
//! for each namespace its current version (where the top of its tree is, then its images, then its
//! finalised versions) and its candidates in the order in which they were sealed; signed slots,
//! pruned ranges, named blobs; the files of blobs; an end record, behind which nothing follows.
//!
//! Trees and tables stay on disk: their roots are compared here, their contents when they are read.

use std::collections::VecDeque;
use std::sync::Arc;

use trilith_mkvs::{Place as FragmentPlace, Tree};
use trilith_types::{Hash, PAGE_BYTES, RuntimeId};

use crate::fault::{Result, StoreFault};
use crate::images::{Files, ImageCell, Images, TableFiles};
use crate::log_file::StoreFile;
use crate::page_tree::{IMAGE_PAGES_MAX, page_hash};
use crate::payload::{Payload, Seal, StoredCell};
use crate::record::FILE_HEADER_BYTES;
use crate::replay::{Place, SealedPages, apply, apply_seal, check_root};
use crate::state::{Finalised, Namespace, State};
use crate::view::View;
use crate::workers::Workers;

/// The state in the checkpoint `file`, whose contents are read from `source`.
pub(crate) fn load(
    file: &Arc<StoreFile>,
    source: &Arc<TableFiles>,
    workers: Workers,
) -> Result<State> {
    let mut loader = Loader {
        state: State::new(Arc::clone(source), workers),
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

struct Loader {
    state: State,
    open: Option<OpenNamespace>,
}

/// A current version that is being read.
struct OpenNamespace {
    id: RuntimeId,
    round: u64,
    root: Hash,
    top: FragmentPlace,
    images: Images,
    history: VecDeque<Finalised>,
}

impl Loader {
    fn apply(&mut self, payload: Payload, bytes: Vec<u8>, place: &Place<'_>) -> Result<()> {
        match payload {
            Payload::Pages => Ok(()),
            Payload::Current {
                namespace,
                round,
                root,
                top,
            } => {
                self.close(place)?;
                self.open = Some(OpenNamespace {
                    id: namespace,
                    round,
                    root,
                    top: FragmentPlace(top),
                    images: Images::new_sync(),
                    history: VecDeque::new(),
                });
                Ok(())
            }
            Payload::Images { namespace, images } => {
                let open = self.open(namespace, place)?;
                images
                    .into_iter()
                    .try_for_each(|image| open.add(image, place))
            }
            Payload::History {
                namespace,
                versions,
            } => {
                self.open(namespace, place)?.history.extend(versions);
                Ok(())
            }
            Payload::Candidate {
                seal,
                file,
                file_page,
            } => {
                self.close(place)?;
                self.candidate(seal, (file, file_page), place)
            }
            Payload::Blobs(files) => {
                self.close(place)?;
                self.state.blobs = files.into_iter().collect();
                Ok(())
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
        let seal = candidate_seal(&bytes, place)?;
        let source = Arc::clone(&self.state.source);
        let file = candidate_file(&source.files, &seal, file, place)?;
        let pages = SealedPages {
            file,
            file_page,
            count: None,
        };
        apply_seal(&mut self.state, seal, bytes, place, &pages)
    }

    /// Completes the version that is being read.
    fn close(&mut self, place: &Place<'_>) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let source = Arc::clone(&self.state.source);
        if open.top == FragmentPlace::NONE {
            check_root(Hash::EMPTY, open.root, place)?;
        } else {
            check_root(
                source.fragments.fragment(open.top)?.node.hash(),
                open.root,
                place,
            )?;
        }
        let fragments = Arc::clone(&source.fragments);
        let namespace = Namespace {
            round: Some(open.round),
            root: open.root,
            view: Arc::new(View {
                tree: Tree::at_place(open.root, open.top, fragments),
                images: open.images.clone(),
                source,
            }),
            candidates: Vec::new(),
            history: open.history,
            top: open.top,
            stored_images: open.images,
        };
        if self.state.namespaces.insert(open.id, namespace).is_some() {
            return Err(place.damaged(format!("namespace {} comes twice", open.id)));
        }
        Ok(())
    }
}

impl OpenNamespace {
    fn add(&mut self, image: StoredCell, place: &Place<'_>) -> Result<()> {
        if image.pages > IMAGE_PAGES_MAX {
            return Err(place.damaged(format!("an image has {} pages", image.pages)));
        }
        let cell = ImageCell::stored(image.pages, image.root, image.stored);
        self.images.insert_mut(image.id, Arc::new(cell));
        Ok(())
    }
}

/// The seal in a candidate's record.
pub(crate) fn candidate_seal(bytes: &[u8], place: &Place<'_>) -> Result<Seal> {
    match Payload::decode(bytes) {
        Ok(Payload::Seal(seal)) => Ok(seal),
        _ => Err(place.damaged("a candidate is not a sealed version")),
    }
}

/// The file in which the pages of a candidate's record lie.
pub(crate) fn candidate_file<'a>(
    files: &'a Files,
    seal: &Seal,
    id: u64,
    place: &Place<'a>,
) -> Result<&'a StoreFile> {
    let stores = |(_, patch): &(_, Option<crate::payload::ImagePatch>)| {
        patch.as_ref().is_some_and(|patch| patch.stored_pages() > 0)
    };
    if !seal.images.iter().any(stores) {
        return Ok(place.file);
    }
    match files.get(&id) {
        Some(file) => Ok(file),
        None => Err(place.damaged(format!("it refers to file {id:016x}, not in use"))),
    }
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
