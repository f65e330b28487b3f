//! Bringing the images of a state together with their pages from page chunks.
//!
//! Both come in ascending order, so that one image is open at a time; when it is complete, the root
//! of its page tree has to be that of its leaf.

use std::sync::Arc;

use trilith_types::{ImageId, PageFile, PageRun};

use super::page_chunk::PageSection;
use super::page_root::PageRoot;
use super::read::{ImportSink, Leaves};
use super::{ExportFault, FileFault, hex, refused};
use crate::image::{ImageUpdate, ImageUpdateKind};
use crate::page_tree::PageHash;

/// Pages of one image in one file.
pub(super) struct Part<'p> {
    pub(super) name: &'p str,
    pub(super) section: &'p PageSection,
    pub(super) hashes: Vec<(u64, PageHash)>,
    pub(super) file: &'p PageFile,
    pub(super) file_page: u64,
}

/// An image whose pages are coming.
struct Current {
    id: ImageId,
    pages: u64,
    expected: PageHash,
    root: PageRoot,
    /// The next page that may come.
    next: u64,
}

/// Brings images and their pages together, both in ascending order.
pub(super) struct Merge<'s> {
    /// The images to which nothing was compared yet.
    images: Leaves,
    current: Option<Current>,
    sink: &'s mut dyn ImportSink,
}

impl<'s> Merge<'s> {
    pub(super) fn new(images: Leaves, sink: &'s mut dyn ImportSink) -> Self {
        Self {
            images,
            current: None,
            sink,
        }
    }

    fn current_id(&self) -> Option<&ImageId> {
        self.current.as_ref().map(|current| &current.id)
    }

    /// Takes pages.
    pub(super) fn add(&mut self, part: &Part<'_>) -> Result<(), ExportFault> {
        let wanted = &part.section.image;
        let image = || hex(wanted.as_bytes());
        if self.images.contains_key(wanted) {
            while self.current_id() != Some(wanted) && self.advance()? {}
        }
        let current = self.current.as_mut();
        let Some(current) = current.filter(|current| current.id == *wanted) else {
            let image = image();
            return Err(refused(part.name, FileFault::UnknownImage { image }));
        };
        for (page, _) in &part.hashes {
            let (page, pages) = (*page, current.pages);
            if page < current.next {
                let image = image();
                return Err(refused(part.name, FileFault::OutOfOrder { image, page }));
            }
            if page >= pages {
                let image = image();
                return Err(refused(
                    part.name,
                    FileFault::PastEnd { image, page, pages },
                ));
            }
            current.next = page + 1;
        }
        for (page, hash) in &part.hashes {
            current.root.push(*page, *hash);
        }
        let mut runs = Vec::new();
        let mut file_page = part.file_page;
        for (page, count) in &part.section.ranges {
            runs.push(PageRun {
                page: *page,
                count: *count,
                file: Arc::clone(part.file),
                file_page,
            });
            file_page += count;
        }
        let update = write(current.id.clone(), current.pages, runs);
        self.sink.image(&update)?;
        Ok(())
    }

    /// Ends the current image and goes to the next; says whether there is one.
    fn advance(&mut self) -> Result<bool, ExportFault> {
        if let Some(current) = self.current.take() {
            let found = current.root.finish();
            if found != current.expected {
                return Err(ExportFault::ImageRoot {
                    image: hex(current.id.as_bytes()),
                    expected: hex(&current.expected),
                    found: hex(&found),
                });
            }
        }
        let Some((id, (pages, expected))) = self.images.pop_first() else {
            return Ok(false);
        };
        // Also an image without pages that are not zero exists.
        self.sink.image(&write(id.clone(), pages, Vec::new()))?;
        self.current = Some(Current {
            id,
            pages,
            expected,
            root: PageRoot::new(pages),
            next: 0,
        });
        Ok(true)
    }

    /// Ends all images that are left.
    pub(super) fn finish(mut self) -> Result<(), ExportFault> {
        while self.advance()? {}
        Ok(())
    }
}

fn write(id: ImageId, pages: u64, runs: Vec<PageRun>) -> ImageUpdate {
    let reset = false;
    let change = ImageUpdateKind::Write { reset, pages, runs };
    ImageUpdate { id, change }
}
