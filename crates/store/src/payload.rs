//! What records say, in canonical CBOR.
//!
//! Each payload is an array whose first item is the number of its kind. Decoding is strict and
//! allocates no more than the input holds; a decoded payload encodes to the bytes it came from.

use trilith_mkvs::Place;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, ImageId, RuntimeId, WriteLog, WriteLogEntry};

use crate::images::StoredTable;
use crate::page_tree::PageHash;
use crate::ranges::PageRange;
use crate::state::{BlobUse, Finalised, RecordPlace};

const SEAL: u64 = 0;
const FINALISE: u64 = 1;
const SIGNED: u64 = 2;
const PRUNE_SIGNED: u64 = 3;
const META: u64 = 4;
const PAGES: u64 = 16;
const CURRENT: u64 = 17;
const IMAGES: u64 = 18;
const HISTORY: u64 = 19;
const BLOBS: u64 = 20;
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
    /// Checkpoint: the current version of a namespace, and where the top fragment of its tree is
    /// (0 for the empty tree). Its images follow.
    Current {
        namespace: RuntimeId,
        round: u64,
        root: Hash,
        top: u64,
    },
    /// Checkpoint: images of the current version.
    Images {
        namespace: RuntimeId,
        images: Vec<StoredCell>,
    },
    /// Checkpoint: finalised versions of a namespace that can be read, ascending.
    History {
        namespace: RuntimeId,
        versions: Vec<Finalised>,
    },
    /// Checkpoint: files of blobs, and how many bytes of each are in use.
    Blobs(Vec<(u64, BlobUse)>),
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

/// An image of a version, and where its table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredCell {
    pub(crate) id: ImageId,
    pub(crate) pages: u64,
    pub(crate) root: PageHash,
    pub(crate) stored: StoredTable,
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
                top,
            } => {
                version(e.array(5).uint(CURRENT), namespace, *round, root);
                e.uint(*top);
            }
            Self::Images { namespace, images } => {
                e.array(3)
                    .uint(IMAGES)
                    .bytes(namespace.as_bytes())
                    .array(images.len());
                images.iter().for_each(|image| image.write(e));
            }
            Self::History {
                namespace,
                versions,
            } => {
                e.array(3)
                    .uint(HISTORY)
                    .bytes(namespace.as_bytes())
                    .array(4 * versions.len());
                for found in versions {
                    e.uint(found.round).bytes(found.root.as_bytes());
                    let at = found.seal.map_or((0, 0), |at| (at.file, at.start));
                    e.uint(at.0).uint(at.1);
                }
            }
            Self::Blobs(files) => {
                e.array(2).uint(BLOBS).array(3 * files.len());
                for (file, used) in files {
                    e.uint(*file).uint(used.live).uint(used.bytes);
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
                    5,
                    Self::Current {
                        namespace,
                        round,
                        root,
                        top: d.uint()?,
                    },
                )
            }
            IMAGES => {
                let namespace = runtime_id(d)?;
                let mut images = Vec::new();
                for _ in 0..d.array("images", ANY)? {
                    images.push(StoredCell::read(d)?);
                }
                (3, Self::Images { namespace, images })
            }
            HISTORY => {
                let namespace = runtime_id(d)?;
                let mut versions = Vec::new();
                for _ in 0..pairs(d, "versions", 4)? {
                    let (round, root) = (d.uint()?, hash(d)?);
                    let (file, start) = (d.uint()?, d.uint()?);
                    let seal = ((file, start) != (0, 0)).then_some(RecordPlace { file, start });
                    versions.push(Finalised { round, root, seal });
                }
                (
                    3,
                    Self::History {
                        namespace,
                        versions,
                    },
                )
            }
            BLOBS => {
                let mut files = Vec::new();
                for _ in 0..pairs(d, "files", 3)? {
                    let (file, live, bytes) = (d.uint()?, d.uint()?, d.uint()?);
                    files.push((file, BlobUse { live, bytes }));
                }
                (2, Self::Blobs(files))
            }
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

/// What a seal is written from; the log may be large, so it is not copied for that.
pub(crate) struct SealParts<'s> {
    pub(crate) namespace: RuntimeId,
    pub(crate) round: u64,
    pub(crate) parent: Hash,
    pub(crate) root: Hash,
    pub(crate) log: &'s [WriteLogEntry],
    pub(crate) images: &'s [(ImageId, Option<ImagePatch>)],
}

impl SealParts<'_> {
    /// The payload of the record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Heads are at most 9 bytes each; what images need comes on top where there are any.
        let entry = |entry: &WriteLogEntry| entry.key.len() + value_len(entry) + 2 * 9;
        let bytes = 256 + self.log.iter().map(entry).sum::<usize>();
        let mut encoder = Encoder::with_capacity(bytes);
        self.write(&mut encoder);
        encoder.finish()
    }

    fn write(&self, e: &mut Encoder) {
        e.array(7).uint(SEAL);
        version(e, &self.namespace, self.round, &self.parent);
        e.bytes(self.root.as_bytes()).array(2 * self.log.len());
        for entry in self.log {
            e.bytes(&entry.key);
            optional_bytes(e, entry.value.as_deref());
        }
        e.array(2 * self.images.len());
        for (id, patch) in self.images {
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
}

impl Seal {
    fn write(&self, e: &mut Encoder) {
        let parts = SealParts {
            namespace: self.namespace,
            round: self.round,
            parent: self.parent,
            root: self.root,
            log: &self.log,
            images: &self.images,
        };
        parts.write(e);
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

fn value_len(entry: &WriteLogEntry) -> usize {
    entry.value.as_ref().map_or(0, Vec::len)
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

impl StoredCell {
    fn write(&self, e: &mut Encoder) {
        e.array(6).bytes(self.id.as_bytes()).uint(self.pages);
        e.bytes(&self.root).uint(self.stored.place.0);
        e.uint(self.stored.bytes).array(2 * self.stored.files.len());
        for (file, pages) in &self.stored.files {
            e.uint(*file).uint(*pages);
        }
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        if d.array("image", 6)? != 6 {
            return Err(DecodeError::Field("image"));
        }
        let (id, pages, root) = (image_id(d)?, d.uint()?, d.bytes_exact("root")?);
        let (place, bytes) = (Place(d.uint()?), d.uint()?);
        let mut files = Vec::new();
        for _ in 0..pairs(d, "files", 2)? {
            files.push((d.uint()?, d.uint()?));
        }
        let stored = StoredTable {
            place,
            bytes,
            files,
        };
        Ok(Self {
            id,
            pages,
            root,
            stored,
        })
    }
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
