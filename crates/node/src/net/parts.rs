//! Pieces of messages: receipts, and what an execution changes.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use trilith_params::host::{BATCH_INPUTS_MAX, INPUT_BYTES_MAX};
use trilith_protocol::{ImageChange, ImageWrite, Outcome, Receipt, ReceiptStatus};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, ImageId, PAGE_BYTES, PageRun, WriteLog, WriteLogEntry};

/// Most bytes of the pages in one message. An execution that changed more is repeated by whoever is
/// to hold its state. Own choice: a quarter of what may wait for a node.
pub(crate) const PAGES_BYTES_MAX: usize = 64 << 20;
/// Most entries of a write log in one message. Own choice: sixteen for each input of a full batch.
const ENTRIES_MAX: usize = 16 * BATCH_INPUTS_MAX;
/// Most bytes of one key or value. Own choice: what an input may have.
const VALUE_BYTES_MAX: usize = INPUT_BYTES_MAX;
/// Most images of a message. Own choice.
const IMAGES_MAX: usize = 65_536;
/// Most bytes of a module's name, of a message.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Everything an execution changes, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changed keys, ascending.
    pub log: WriteLog,
    /// Changed images, ascending.
    pub images: Vec<ImageBytes>,
}

/// A change of one image, with the bytes of its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBytes {
    /// Which.
    pub image: ImageId,
    /// What becomes of it; `None` where it is removed.
    pub written: Option<WrittenImage>,
}

/// What is written to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenImage {
    /// Whether what was there before is forgotten.
    pub reset: bool,
    /// The new length in pages.
    pub pages: u64,
    /// Runs of pages: the first page's number, and the bytes of whole pages.
    pub runs: Vec<(u64, Vec<u8>)>,
}

impl Changes {
    /// Copies what an outcome changes; `None` if its pages are more than a message takes.
    ///
    /// # Errors
    /// If a page file cannot be read.
    pub(crate) fn of(outcome: &Outcome) -> std::io::Result<Option<Self>> {
        let mut left = PAGES_BYTES_MAX;
        let mut images = Vec::new();
        for write in &outcome.images {
            let written = match &write.change {
                ImageChange::Delete => None,
                ImageChange::Write { reset, pages, runs } => {
                    let mut copied = Vec::new();
                    for run in runs {
                        let Some(bytes) = page_bytes(run.count).filter(|bytes| *bytes <= left)
                        else {
                            return Ok(None);
                        };
                        left -= bytes;
                        let mut buffer = vec![0; bytes];
                        let at = run.file_page * PAGE_BYTES as u64;
                        run.file.read_exact_at(&mut buffer, at)?;
                        copied.push((run.page, buffer));
                    }
                    Some(WrittenImage {
                        reset: *reset,
                        pages: *pages,
                        runs: copied,
                    })
                }
            };
            images.push(ImageBytes {
                image: write.image.clone(),
                written,
            });
        }
        let log = outcome.write_log.clone();
        Ok(Some(Self { log, images }))
    }

    /// The images as the store takes them: their pages lie in an unnamed file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn image_writes(&self) -> std::io::Result<Vec<ImageWrite>> {
        if self.images.is_empty() {
            return Ok(Vec::new());
        }
        let mut file = tempfile::tempfile()?;
        let mut places = Vec::new();
        let mut next = 0;
        for (_, bytes) in self
            .images
            .iter()
            .filter_map(|image| image.written.as_ref())
            .flat_map(|written| &written.runs)
        {
            file.write_all(bytes)?;
            places.push(next);
            next += (bytes.len() / PAGE_BYTES) as u64;
        }
        let file = Arc::new(file);
        let mut places = places.into_iter();
        let image_write = |image: &ImageBytes| ImageWrite {
            image: image.image.clone(),
            change: match &image.written {
                None => ImageChange::Delete,
                Some(written) => ImageChange::Write {
                    reset: written.reset,
                    pages: written.pages,
                    runs: written
                        .runs
                        .iter()
                        .zip(&mut places)
                        .map(|((page, bytes), file_page)| PageRun {
                            page: *page,
                            count: (bytes.len() / PAGE_BYTES) as u64,
                            file: file.clone(),
                            file_page,
                        })
                        .collect(),
                },
            },
        };
        Ok(self.images.iter().map(image_write).collect())
    }

    pub(crate) fn put(&self, encoder: &mut Encoder) {
        encoder.array(2).array(self.log.len());
        for WriteLogEntry { key, value } in &self.log {
            encoder.array(2).bytes(key);
            match value {
                None => encoder.null(),
                Some(value) => encoder.bytes(value),
            };
        }
        encoder.array(self.images.len());
        for image in &self.images {
            encoder.array(2).bytes(image.image.as_bytes());
            let Some(written) = &image.written else {
                encoder.null();
                continue;
            };
            encoder
                .array(3)
                .bool(written.reset)
                .uint(written.pages)
                .array(written.runs.len());
            for (page, bytes) in &written.runs {
                encoder.array(2).uint(*page).bytes(bytes);
            }
        }
    }

    pub(crate) fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        tuple(decoder, "changes", 2)?;
        let mut log = WriteLog::new();
        for _ in 0..decoder.array("write log", ENTRIES_MAX)? {
            tuple(decoder, "entry", 2)?;
            let key = decoder.bytes("key", VALUE_BYTES_MAX)?.to_vec();
            let value = if decoder.null() {
                None
            } else {
                Some(decoder.bytes("value", VALUE_BYTES_MAX)?.to_vec())
            };
            log.push(WriteLogEntry { key, value });
        }
        let mut images = Vec::new();
        for _ in 0..decoder.array("images", IMAGES_MAX)? {
            tuple(decoder, "image", 2)?;
            let name = decoder.bytes("image name", ImageId::LEN_MAX)?;
            let image = ImageId::new(name).ok_or(DecodeError::Field("image name"))?;
            let written = if decoder.null() {
                None
            } else {
                Some(read_written(decoder)?)
            };
            images.push(ImageBytes { image, written });
        }
        Ok(Self { log, images })
    }
}

/// The bytes of so many pages, if they are as many as memory could hold.
fn page_bytes(pages: u64) -> Option<usize> {
    usize::try_from(pages).ok()?.checked_mul(PAGE_BYTES)
}

fn read_written(decoder: &mut Decoder<'_>) -> Result<WrittenImage, DecodeError> {
    tuple(decoder, "written image", 3)?;
    let reset = decoder.bool()?;
    let pages = decoder.uint()?;
    let mut runs = Vec::new();
    for _ in 0..decoder.array("runs", PAGES_BYTES_MAX / PAGE_BYTES)? {
        tuple(decoder, "run", 2)?;
        let page = decoder.uint()?;
        let bytes = decoder.bytes("pages", PAGES_BYTES_MAX)?;
        if bytes.is_empty() || bytes.len() % PAGE_BYTES != 0 {
            return Err(DecodeError::Field("pages"));
        }
        runs.push((page, bytes.to_vec()));
    }
    Ok(WrittenImage { reset, pages, runs })
}

/// Writes receipts.
pub(crate) fn put_receipts(encoder: &mut Encoder, receipts: &[Receipt]) {
    encoder.array(receipts.len());
    for receipt in receipts {
        encoder
            .array(3)
            .bytes(receipt.input.as_bytes())
            .bytes(&receipt.output);
        match &receipt.status {
            ReceiptStatus::Accepted => encoder.null(),
            ReceiptStatus::Rejected {
                module,
                code,
                message,
            } => encoder
                .array(3)
                .text(module)
                .uint((*code).into())
                .text(message),
        };
    }
}

/// Reads receipts.
pub(crate) fn read_receipts(decoder: &mut Decoder<'_>) -> Result<Vec<Receipt>, DecodeError> {
    let mut receipts = Vec::new();
    for _ in 0..decoder.array("receipts", BATCH_INPUTS_MAX)? {
        tuple(decoder, "receipt", 3)?;
        let input = Hash::from_bytes(decoder.bytes_exact("input hash")?);
        let output = decoder.bytes("output", VALUE_BYTES_MAX)?.to_vec();
        let status = if decoder.null() {
            ReceiptStatus::Accepted
        } else {
            tuple(decoder, "rejection", 3)?;
            let module = decoder.text("module", TEXT_BYTES_MAX)?.to_owned();
            let code = u32::try_from(decoder.uint()?).map_err(|_| DecodeError::Field("code"))?;
            let message = decoder.text("message", TEXT_BYTES_MAX)?.to_owned();
            ReceiptStatus::Rejected {
                module,
                code,
                message,
            }
        };
        receipts.push(Receipt {
            input,
            status,
            output,
        });
    }
    Ok(receipts)
}

/// Reads the head of an array of exactly `count` items.
pub(crate) fn tuple(
    decoder: &mut Decoder<'_>,
    what: &'static str,
    count: usize,
) -> Result<(), DecodeError> {
    if decoder.array(what, count)? == count {
        Ok(())
    } else {
        Err(DecodeError::Field(what))
    }
}
