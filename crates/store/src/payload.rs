//! What records say, in canonical CBOR.
//!
//! Each payload is an array whose first item is the number of its kind. Decoding is strict and
//! allocates no more than the input holds; a decoded payload encodes to the bytes it came from.

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, ImageId, RuntimeId, WriteLog, WriteLogEntry};

use crate::ranges::PageRange;

const SEAL: u64 = 0;
const FINALISE: u64 = 1;
const SIGNED: u64 = 2;
const PRUNE_SIGNED: u64 = 3;
const META: u64 = 4;
const PAGES: u64 = 16;
const CURRENT: u64 = 17;
const ENTRIES: u64 = 18;
const IMAGE: u64 = 19;
const IMAGE_RUNS: u64 = 20;
const CANDIDATE: u64 = 21;
const END: u64 = 22;

/// No item of a payload is longer than the payload, which is bounded before it is read.
const ANY: usize = usize::MAX;

type Decoded<T> = Result<T, DecodeError>;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A version was sealed; its dirty pages are the record's pages.
    Seal(Seal),
    /// A candidate became current.
    Finalise {
        namespace: RuntimeId,
        round: u64,
        root: Hash,
    },
    /// Bytes were signed under a slot.
    Signed { slot: Vec<u8>, bytes: Vec<u8> },
    /// The slots that start with `prefix` and are below `end` were given up.
    PruneSigned { prefix: Vec<u8>, end: Vec<u8> },
    /// A named blob was set or removed.
    Meta {
        name: String,
        bytes: Option<Vec<u8>>,
    },
    /// Checkpoint: pages rewritten from other files.
    Pages,
    /// Checkpoint: the current version of a namespace, whose contents follow.
    Current {
        namespace: RuntimeId,
        round: u64,
        root: Hash,
    },
    /// Checkpoint: entries of the current version, without those of images.
    Entries {
        namespace: RuntimeId,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// Checkpoint: an image of the current version.
    Image {
        namespace: RuntimeId,
        id: ImageId,
        pages: u64,
    },
    /// Checkpoint: where pages of the image before lie.
    ImageRuns(Vec<StoredRun>),
    /// Checkpoint: a candidate, as the payload that sealed it and the place of its pages.
    Candidate {
        seal: Vec<u8>,
        file: u64,
        file_page: u64,
    },
    /// Checkpoint: nothing follows.
    End,
}

/// A sealed version, as changes of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) namespace: RuntimeId,
    pub(crate) round: u64,
    pub(crate) parent: Hash,
    pub(crate) root: Hash,
    /// Without the leaves of images, which follow from `images`.
    pub(crate) log: WriteLog,
    pub(crate) images: Vec<(ImageId, Option<ImagePatch>)>,
}

/// The difference between two versions of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImagePatch {
    /// The new length.
    pub(crate) pages: u64,
    /// Pages that are zero now.
    pub(crate) cleared: Vec<PageRange>,
    /// Pages with new contents, in the order of the record's pages.
    pub(crate) stored: Vec<PageRange>,
}

/// Consecutive pages of an image in a file, with their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRun {
    pub(crate) page: u64,
    pub(crate) file: u64,
    pub(crate) file_page: u64,
    /// 32 bytes for each page.
    pub(crate) hashes: Vec<u8>,
}

impl Payload {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        let e = &mut encoder;
        match self {
            Self::Seal(seal) => seal.write(e),
            Self::Finalise {
                namespace,
                round,
                root,
            } => {
                version(e.array(4).uint(FINALISE), namespace, *round, root);
            }
            Self::Signed { slot, bytes } => {
                e.array(3).uint(SIGNED).bytes(slot).bytes(bytes);
            }
            Self::PruneSigned { prefix, end } => {
                e.array(3).uint(PRUNE_SIGNED).bytes(prefix).bytes(end);
            }
            Self::Meta { name, bytes } => {
                e.array(3).uint(META).text(name);
                optional_bytes(e, bytes.as_deref());
            }
            _ => self.write_checkpoint(e),
        }
        encoder.finish()
    }

    /// Writes a record that only checkpoints have.
    fn write_checkpoint(&self, e: &mut Encoder) {
        match self {
            Self::Pages => {
                e.array(1).uint(PAGES);
            }
            Self::Current {
                namespace,
                round,
                root,
            } => {
                version(e.array(4).uint(CURRENT), namespace, *round, root);
            }
            Self::Entries { namespace, entries } => {
                e.array(3)
                    .uint(ENTRIES)
                    .bytes(namespace.as_bytes())
                    .array(2 * entries.len());
                for (key, value) in entries {
                    e.bytes(key).bytes(value);
                }
            }
            Self::Image {
                namespace,
                id,
                pages,
            } => {
                let e = e.array(4).uint(IMAGE).bytes(namespace.as_bytes());
                e.bytes(id.as_bytes()).uint(*pages);
            }
            Self::ImageRuns(runs) => {
                e.array(2).uint(IMAGE_RUNS).array(4 * runs.len());
                for run in runs {
                    e.uint(run.page)
                        .uint(run.file)
                        .uint(run.file_page)
                        .bytes(&run.hashes);
                }
            }
            Self::Candidate {
                seal,
                file,
                file_page,
            } => {
                e.array(4)
                    .uint(CANDIDATE)
                    .bytes(seal)
                    .uint(*file)
                    .uint(*file_page);
            }
            Self::End => {
                e.array(1).uint(END);
            }
            Self::Seal(_)
            | Self::Finalise { .. }
            | Self::Signed { .. }
            | Self::PruneSigned { .. }
            | Self::Meta { .. } => unreachable!("records of the log are written by `encode`"),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut decoder = Decoder::new(bytes);
        let d = &mut decoder;
        let count = d.array("record", 16)?;
        let kind = d.uint()?;
        let (expected, payload) = match kind {
            SEAL..=META => Self::read_log(kind, d)?,
            PAGES..=END => Self::read_checkpoint(kind, d)?,
            _ => return Err(DecodeError::Field("kind")),
        };
        if count != expected {
            return Err(DecodeError::Field("record"));
        }
        decoder.finish()?;
        Ok(payload)
    }

    /// Reads a record that the log has, and how many items it takes.
    fn read_log(kind: u64, d: &mut Decoder<'_>) -> Decoded<(usize, Self)> {
        Ok(match kind {
            SEAL => (7, Self::Seal(Seal::read(d)?)),
            FINALISE => {
                let (namespace, round, root) = (runtime_id(d)?, d.uint()?, hash(d)?);
                (
                    4,
                    Self::Finalise {
                        namespace,
                        round,
                        root,
                    },
                )
            }
            SIGNED => (
                3,
                Self::Signed {
                    slot: blob(d)?,
                    bytes: blob(d)?,
                },
            ),
            PRUNE_SIGNED => (
                3,
                Self::PruneSigned {
                    prefix: blob(d)?,
                    end: blob(d)?,
                },
            ),
            META => {
                let name = d.text("name", ANY)?.to_owned();
                (
                    3,
                    Self::Meta {
                        name,
                        bytes: optional_blob(d)?,
                    },
                )
            }
            _ => return Err(DecodeError::Field("kind")),
        })
    }

    /// Reads a record that only checkpoints have, and how many items it takes.
    fn read_checkpoint(kind: u64, d: &mut Decoder<'_>) -> Decoded<(usize, Self)> {
        Ok(match kind {
            PAGES => (1, Self::Pages),
            CURRENT => {
                let (namespace, round, root) = (runtime_id(d)?, d.uint()?, hash(d)?);
                (
                    4,
                    Self::Current {
                        namespace,
                        round,
                        root,
                    },
                )
            }
            ENTRIES => (
                3,
                Self::Entries {
                    namespace: runtime_id(d)?,
                    entries: entries(d)?,
                },
            ),
            IMAGE => {
                let (namespace, id) = (runtime_id(d)?, image_id(d)?);
                (
                    4,
                    Self::Image {
                        namespace,
                        id,
                        pages: d.uint()?,
                    },
                )
            }
            IMAGE_RUNS => (2, Self::ImageRuns(stored_runs(d)?)),
            CANDIDATE => (
                4,
                Self::Candidate {
                    seal: blob(d)?,
                    file: d.uint()?,
                    file_page: d.uint()?,
                },
            ),
            END => (1, Self::End),
            _ => return Err(DecodeError::Field("kind")),
        })
    }
}

impl Seal {
    fn write(&self, e: &mut Encoder) {
        e.array(7).uint(SEAL);
        version(e, &self.namespace, self.round, &self.parent);
        e.bytes(self.root.as_bytes()).array(2 * self.log.len());
        for entry in &self.log {
            e.bytes(&entry.key);
            optional_bytes(e, entry.value.as_deref());
        }
        e.array(2 * self.images.len());
        for (id, patch) in &self.images {
            e.bytes(id.as_bytes());
            match patch {
                None => {
                    e.null();
                }
                Some(patch) => {
                    e.array(3).uint(patch.pages);
                    write_ranges(e, &patch.cleared);
                    write_ranges(e, &patch.stored);
                }
            }
        }
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        let (namespace, round, parent, root) = (runtime_id(d)?, d.uint()?, hash(d)?, hash(d)?);
        let mut log = Vec::new();
        for _ in 0..pairs(d, "write log", 2)? {
            log.push(WriteLogEntry {
                key: blob(d)?,
                value: optional_blob(d)?,
            });
        }
        let mut images = Vec::new();
        for _ in 0..pairs(d, "images", 2)? {
            let id = image_id(d)?;
            if d.null() {
                images.push((id, None));
                continue;
            }
            if d.array("image", 3)? != 3 {
                return Err(DecodeError::Field("image"));
            }
            let patch = ImagePatch {
                pages: d.uint()?,
                cleared: read_ranges(d)?,
                stored: read_ranges(d)?,
            };
            images.push((id, Some(patch)));
        }
        Ok(Self {
            namespace,
            round,
            parent,
            root,
            log,
            images,
        })
    }
}

fn version(e: &mut Encoder, namespace: &RuntimeId, round: u64, root: &Hash) {
    e.bytes(namespace.as_bytes())
        .uint(round)
        .bytes(root.as_bytes());
}

fn optional_bytes(e: &mut Encoder, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => e.bytes(bytes),
        None => e.null(),
    };
}

fn write_ranges(e: &mut Encoder, ranges: &[PageRange]) {
    e.array(2 * ranges.len());
    for range in ranges {
        e.uint(range.page).uint(range.count);
    }
}

/// Ranges that are not empty, ascend, and end within 64 bits.
fn read_ranges(d: &mut Decoder<'_>) -> Decoded<Vec<PageRange>> {
    let mut ranges = Vec::new();
    let mut least = 0;
    for _ in 0..pairs(d, "ranges", 2)? {
        let range = PageRange {
            page: d.uint()?,
            count: d.uint()?,
        };
        let end = range
            .page
            .checked_add(range.count)
            .ok_or(DecodeError::Field("range"))?;
        if range.page < least || range.count == 0 {
            return Err(DecodeError::Field("range"));
        }
        least = end;
        ranges.push(range);
    }
    Ok(ranges)
}

fn stored_runs(d: &mut Decoder<'_>) -> Decoded<Vec<StoredRun>> {
    let mut runs = Vec::new();
    for _ in 0..pairs(d, "runs", 4)? {
        let run = StoredRun {
            page: d.uint()?,
            file: d.uint()?,
            file_page: d.uint()?,
            hashes: blob(d)?,
        };
        if run.hashes.is_empty() || !run.hashes.len().is_multiple_of(32) {
            return Err(DecodeError::Field("hashes"));
        }
        runs.push(run);
    }
    Ok(runs)
}

fn entries(d: &mut Decoder<'_>) -> Decoded<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = Vec::new();
    for _ in 0..pairs(d, "entries", 2)? {
        entries.push((blob(d)?, blob(d)?));
    }
    Ok(entries)
}

/// The head of an array of groups of `width` items; gives the number of groups.
fn pairs(d: &mut Decoder<'_>, what: &'static str, width: usize) -> Decoded<usize> {
    let count = d.array(what, ANY)?;
    if !count.is_multiple_of(width) {
        return Err(DecodeError::Field(what));
    }
    Ok(count / width)
}

fn blob(d: &mut Decoder<'_>) -> Decoded<Vec<u8>> {
    Ok(d.bytes("byte string", ANY)?.to_vec())
}

fn optional_blob(d: &mut Decoder<'_>) -> Decoded<Option<Vec<u8>>> {
    if d.null() {
        Ok(None)
    } else {
        blob(d).map(Some)
    }
}

fn hash(d: &mut Decoder<'_>) -> Decoded<Hash> {
    Ok(Hash::from_bytes(d.bytes_exact("root")?))
}

fn runtime_id(d: &mut Decoder<'_>) -> Decoded<RuntimeId> {
    Ok(RuntimeId::from_bytes(d.bytes_exact("namespace")?))
}

fn image_id(d: &mut Decoder<'_>) -> Decoded<ImageId> {
    ImageId::new(d.bytes("image", ImageId::LEN_MAX)?).ok_or(DecodeError::Field("image"))
}
