//! Page chunks: pages of images, with what they are pages of.
//!
//! ```text
//! chunk  = "trilith pages 1\n" ‖ length of header u32 LE ‖ header ‖ zeros up to a multiple of
//!          4,096 ‖ pages of 4,096 bytes, in the order of the header
//! header = CBOR [ [ image, [ [first page, count], .. ] ], .. ]
//! ```
//!
//! Images and pages are in ascending order, ranges are as long as they can be, no page is zero: a
//! set of pages has one encoding. The pages lie at multiples of their size, so that they can be
//! used where they are.

use thiserror::Error;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{ImageId, PAGE_BYTES};

use super::{CHUNK_PAGES, PAGE_CHUNK_BYTES_MAX, PAGE_HEADER_BYTES_MAX, hex};
use crate::page_tree::IMAGE_PAGES_MAX;

const MAGIC: &[u8; 16] = b"trilith pages 1\n";
/// Bytes in front of the header.
const PROLOGUE_BYTES: usize = MAGIC.len() + 4;

/// What is wrong with a page chunk.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageChunkFault {
    /// It has more bytes than a page chunk may have.
    #[error("it has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// [`PAGE_CHUNK_BYTES_MAX`].
        limit: usize,
    },
    /// It does not start as page chunks do.
    #[error("it does not start as a page chunk of format 1")]
    Magic,
    /// Its header is too long, or longer than the file.
    #[error("its header has {len} bytes, over the limit of {limit}")]
    HeaderTooLong {
        /// The declared length in bytes.
        len: usize,
        /// [`PAGE_HEADER_BYTES_MAX`] or what is left of the file.
        limit: usize,
    },
    /// The header cannot be decoded.
    #[error("its header cannot be decoded: {0}")]
    Header(#[from] DecodeError),
    /// The bytes between header and pages are not zero.
    #[error("its byte {at}, between header and pages, is not zero")]
    Padding {
        /// Offset of the byte.
        at: usize,
    },
    /// Images or ranges are empty, out of order, past any image's end, or could be joined.
    #[error(
        "its range {index} of image {image} is empty, not behind the one before it, or ends above {limit}"
    )]
    Range {
        /// The image in hexadecimal.
        image: String,
        /// Position of the range in the image's list, from 0.
        index: usize,
        /// [`IMAGE_PAGES_MAX`].
        limit: u64,
    },
    /// Images are out of order or have no pages here.
    #[error("its image {image} is not above the one before it, or has no pages")]
    Image {
        /// The image in hexadecimal.
        image: String,
    },
    /// It has no pages, or more than fit.
    #[error("it has {count} pages, where 1 to {limit} are allowed")]
    Count {
        /// How many pages the header lists.
        count: u64,
        /// [`CHUNK_PAGES`].
        limit: usize,
    },
    /// It is not as long as its header says.
    #[error("it has {len} bytes, where its header makes it {expected}")]
    Length {
        /// Its length in bytes.
        len: usize,
        /// The length that follows from the header.
        expected: usize,
    },
    /// A page is zero; such pages are left out.
    #[error("its page {page} of image {image} is zero, which is left out")]
    Zero {
        /// The image in hexadecimal.
        image: String,
        /// The number of the page in the image.
        page: u64,
    },
}

/// Pages of one image in a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSection {
    /// The image.
    pub image: ImageId,
    /// Ranges of its pages: the first page and how many.
    pub ranges: Vec<(u64, u64)>,
}

impl PageSection {
    /// How many pages there are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }

    /// The numbers of the pages, ascending.
    pub fn pages(&self) -> impl Iterator<Item = u64> {
        self.ranges
            .iter()
            .flat_map(|(page, count)| *page..*page + *count)
    }
}

/// A decoded page chunk.
#[derive(Debug, PartialEq, Eq)]
pub struct PageChunk<'a> {
    /// Images in ascending order.
    pub sections: Vec<PageSection>,
    /// Where the first page lies in the file, counted in pages.
    pub file_page: u64,
    /// The pages of all sections, one after the other.
    pub pages: &'a [[u8; PAGE_BYTES]],
}

impl<'a> PageChunk<'a> {
    /// Reads a page chunk. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`PageChunkFault`] if the bytes are not the one encoding of a set of pages.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PageChunkFault> {
        if bytes.len() > PAGE_CHUNK_BYTES_MAX {
            return Err(PageChunkFault::TooLong {
                len: bytes.len(),
                limit: PAGE_CHUNK_BYTES_MAX,
            });
        }
        let (len, rest) = bytes
            .strip_prefix(MAGIC)
            .and_then(<[u8]>::split_first_chunk::<4>)
            .ok_or(PageChunkFault::Magic)?;
        let len = u32::from_le_bytes(*len) as usize;
        let limit = rest.len().min(PAGE_HEADER_BYTES_MAX - PROLOGUE_BYTES);
        if len > limit {
            return Err(PageChunkFault::HeaderTooLong { len, limit });
        }
        let sections = decode_header(&rest[..len])?;
        let count: u64 = sections.iter().map(PageSection::count).sum();
        let start = (PROLOGUE_BYTES + len).next_multiple_of(PAGE_BYTES);
        let expected = start + count as usize * PAGE_BYTES;
        if bytes.len() != expected {
            let len = bytes.len();
            return Err(PageChunkFault::Length { len, expected });
        }
        let padding = PROLOGUE_BYTES + len..start;
        if let Some(at) = padding.into_iter().find(|at| bytes[*at] != 0) {
            return Err(PageChunkFault::Padding { at });
        }
        let (pages, _) = bytes[start..].as_chunks::<PAGE_BYTES>();
        let numbers = sections
            .iter()
            .flat_map(|section| section.pages().map(move |page| (&section.image, page)));
        for ((image, page), bytes) in numbers.zip(pages) {
            if is_zero(bytes) {
                let image = hex(image.as_bytes());
                return Err(PageChunkFault::Zero { image, page });
            }
        }
        let file_page = (start / PAGE_BYTES) as u64;
        Ok(Self {
            sections,
            file_page,
            pages,
        })
    }
}

/// Whether a page is all zero.
pub(super) fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    page.iter().all(|byte| *byte == 0)
}

fn decode_header(bytes: &[u8]) -> Result<Vec<PageSection>, PageChunkFault> {
    let mut decoder = Decoder::new(bytes);
    let images = decoder.array("images", CHUNK_PAGES)?;
    let mut sections: Vec<PageSection> = Vec::new();
    let mut total = 0u64;
    for _ in 0..images {
        if decoder.array("image", 2)? != 2 {
            return Err(DecodeError::Field("image").into());
        }
        let image = ImageId::new(decoder.bytes("image", ImageId::LEN_MAX)?)
            .ok_or(DecodeError::Field("image"))?;
        let ranges = decode_ranges(&mut decoder, &image)?;
        let is_above = sections.last().is_none_or(|last| last.image < image);
        if ranges.is_empty() || !is_above {
            let image = hex(image.as_bytes());
            return Err(PageChunkFault::Image { image });
        }
        let section = PageSection { image, ranges };
        total = total.saturating_add(section.count());
        sections.push(section);
    }
    decoder.finish()?;
    if total == 0 || total > CHUNK_PAGES as u64 {
        return Err(PageChunkFault::Count {
            count: total,
            limit: CHUNK_PAGES,
        });
    }
    Ok(sections)
}

fn decode_ranges(
    decoder: &mut Decoder<'_>,
    image: &ImageId,
) -> Result<Vec<(u64, u64)>, PageChunkFault> {
    let count = decoder.array("ranges", CHUNK_PAGES)?;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for index in 0..count {
        if decoder.array("range", 2)? != 2 {
            return Err(DecodeError::Field("range").into());
        }
        let (page, count) = (decoder.uint()?, decoder.uint()?);
        let is_behind = ranges
            .last()
            .is_none_or(|(before, count)| before + count < page);
        let fits = page
            .checked_add(count)
            .is_some_and(|end| end <= IMAGE_PAGES_MAX);
        if count == 0 || !is_behind || !fits {
            let image = hex(image.as_bytes());
            let limit = IMAGE_PAGES_MAX;
            return Err(PageChunkFault::Range {
                image,
                index,
                limit,
            });
        }
        ranges.push((page, count));
    }
    Ok(ranges)
}

/// A page chunk that is being filled.
#[derive(Default)]
pub(super) struct PageChunkBuilder {
    sections: Vec<PageSection>,
    pages: Vec<u8>,
}

impl PageChunkBuilder {
    /// Adds a page that is not zero and comes after those before it.
    pub(super) fn push(&mut self, image: &ImageId, page: u64, bytes: &[u8; PAGE_BYTES]) {
        let section = match self.sections.last_mut() {
            Some(section) if section.image == *image => section,
            _ => {
                self.sections.push(PageSection {
                    image: image.clone(),
                    ranges: Vec::new(),
                });
                let last = self.sections.len() - 1;
                &mut self.sections[last]
            }
        };
        match section.ranges.last_mut() {
            Some((before, count)) if *before + *count == page => *count += 1,
            _ => section.ranges.push((page, 1)),
        }
        self.pages.extend_from_slice(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.pages.len() >= CHUNK_PAGES * PAGE_BYTES
    }

    /// The bytes of the chunk; what is left is empty.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let Self { sections, pages } = std::mem::take(self);
        let mut encoder = Encoder::new();
        encoder.array(sections.len());
        for section in &sections {
            encoder.array(2).bytes(section.image.as_bytes());
            encoder.array(section.ranges.len());
            for (page, count) in &section.ranges {
                encoder.array(2).uint(*page).uint(*count);
            }
        }
        let header = encoder.finish();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
        bytes.extend_from_slice(&pages);
        bytes
    }
}
