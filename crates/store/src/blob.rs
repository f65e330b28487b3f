//! Files of blobs: fragments of trees and tables of images, each found by its place.
//!
//! ```text
//! file  = file header ‖ blob ‖ blob ‖ …           (each blob starts at a multiple of 16)
//! blob  = length of the body u64 ‖ kind u32 ‖ 0 u32 ‖ check, 16 bytes ‖ body
//! body  = namespace, 32 bytes ‖ length of the name u16 ‖ name ‖ contents
//! check = first 16 bytes of BLAKE3 keyed with the file's secret
//!         over (offset u64 ‖ length u64 ‖ kind u32 ‖ body)
//! ```
//!
//! Numbers are little-endian. The name says where in its namespace a blob belongs: for a fragment
//! the number of key bits above its top (u16) and those bits, for a table the name of the image. A
//! file is written once, from front to back, made durable, and never changed.
//!
//! A place is a number of 64 bits: the number of the file in the upper half, and a sixteenth of the
//! offset in the lower.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trilith_mkvs::{Label, Place};
use trilith_types::RuntimeId;

use crate::disk::Disk;
use crate::fault::{Refusal, Result, StoreFault};
use crate::log_file::StoreFile;
use crate::record::{FILE_HEADER_BYTES, FileKind};

/// Bytes before a blob's body.
pub(crate) const BLOB_HEADER_BYTES: u64 = 32;
/// What offsets of blobs are multiples of.
const ALIGN: u64 = 16;
/// A file is closed when it has this many bytes, far below the 64 GiB that a place can address.
const FILE_BYTES: u64 = 1 << 30;
/// Bytes that may wait in the system's memory for the disk. File systems make what one file has
/// waiting durable together with the others', so a checkpoint's would hold up every seal.
const PENDING_BYTES: usize = 8 << 20;
/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobKind {
    /// A fragment of a namespace's tree.
    Fragment,
    /// The table of an image: where its pages lie, and their hashes.
    Table,
}

/// A blob that was read.
pub(crate) struct Blob {
    pub(crate) kind: BlobKind,
    pub(crate) namespace: RuntimeId,
    body: Vec<u8>,
    name_end: usize,
}

/// Where the name starts in a body.
const NAME_START: usize = 34;

impl Blob {
    /// The blob with this kind and body, or what is wrong with them.
    pub(crate) fn from_body(kind: u32, body: Vec<u8>) -> std::result::Result<Self, &'static str> {
        let kind = match kind {
            0 => BlobKind::Fragment,
            1 => BlobKind::Table,
            _ => return Err("the blob there is of an unknown kind"),
        };
        let Some((namespace, rest)) = body.split_first_chunk::<32>() else {
            return Err("the blob there is too short");
        };
        let namespace = RuntimeId::from_bytes(*namespace);
        let Some(name_len) = rest.first_chunk::<2>() else {
            return Err("the blob there is too short");
        };
        let name_end = NAME_START + usize::from(u16::from_le_bytes(*name_len));
        if name_end > body.len() {
            return Err("the name of the blob there is cut off");
        }
        Ok(Self {
            kind,
            namespace,
            body,
            name_end,
        })
    }

    /// The name of an image, or the bits of a path as [`path_name`] writes them.
    pub(crate) fn name(&self) -> &[u8] {
        &self.body[NAME_START..self.name_end]
    }

    pub(crate) fn contents(&self) -> &[u8] {
        &self.body[self.name_end..]
    }

    /// Bytes that the blob takes in its file.
    pub(crate) fn stored_bytes(&self) -> u64 {
        stored_bytes(self.body.len() as u64)
    }

    /// The key bits above a fragment's top.
    pub(crate) fn path(&self) -> Option<Label> {
        let (bits, bytes) = self.name().split_first_chunk::<2>()?;
        Label::from_parts(bytes, usize::from(u16::from_le_bytes(*bits)))
    }
}

/// The name of a fragment.
pub(crate) fn path_name(path: &Label) -> Vec<u8> {
    [&path.bit_len().to_le_bytes()[..], path.bytes()].concat()
}

fn stored_bytes(body: u64) -> u64 {
    (BLOB_HEADER_BYTES + body).next_multiple_of(ALIGN)
}

/// The number of the file at a place.
pub(crate) fn file_of(place: Place) -> u64 {
    place.0 >> 32
}

/// The offset at a place.
pub(crate) fn offset_of(place: Place) -> u64 {
    (place.0 & 0xffff_ffff) * ALIGN
}

fn check(secret: &[u8; 32], offset: u64, kind: u32, body: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    let len: usize = body.iter().map(|part| part.len()).sum();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(len as u64).to_le_bytes());
    hasher.update(&kind.to_le_bytes());
    for part in body {
        hasher.update(part);
    }
    let mut check = [0u8; 16];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    check
}

/// Reads the blob at an offset of a file.
pub(crate) fn read_blob(file: &StoreFile, offset: u64) -> Result<Blob> {
    let damaged = |what: &str| file.damaged(offset, what.to_owned());
    let len = file.len()?;
    let room = len.checked_sub(offset.saturating_add(BLOB_HEADER_BYTES));
    let room = room.ok_or_else(|| damaged("the file ends before the blob there"))?;
    let mut header = [0u8; BLOB_HEADER_BYTES as usize];
    file.read(&mut header, offset)?;
    let (body_len, rest) = header.split_first_chunk::<8>().expect("a header is longer");
    let body_len = u64::from_le_bytes(*body_len);
    if body_len > room || body_len < NAME_START as u64 {
        return Err(damaged(
            "the blob there is longer than the file, or too short",
        ));
    }
    let kind_number = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    let mut body = vec![0u8; body_len as usize];
    file.read(&mut body, offset + BLOB_HEADER_BYTES)?;
    let found = check(&file.header.secret, offset, kind_number, &[&body]);
    if found != rest[8..24] || rest[4..8] != [0; 4] {
        return Err(damaged("the blob there is not what was written"));
    }
    Blob::from_body(kind_number, body).map_err(damaged)
}

/// Calls `visit` with place and contents of every blob of a file.
pub(crate) fn for_each_blob(
    file: &StoreFile,
    visit: &mut dyn FnMut(Place, Blob) -> Result<()>,
) -> Result<()> {
    let len = file.len()?;
    let mut offset = FILE_HEADER_BYTES;
    while offset < len {
        let blob = read_blob(file, offset)?;
        let next = offset + blob.stored_bytes();
        visit(place(file.header.id, offset)?, blob)?;
        offset = next;
    }
    Ok(())
}

fn place(file: u64, offset: u64) -> Result<Place> {
    let limit = u64::from(u32::MAX);
    if file > limit {
        let what = "number of a file of blobs";
        return Err(Refusal::TooLarge {
            what,
            value: file,
            limit,
        }
        .into());
    }
    Ok(Place((file << 32) | (offset / ALIGN)))
}

/// Writes blobs into new files.
pub(crate) struct BlobWriter {
    disk: Arc<dyn Disk>,
    /// Where numbers for files come from.
    numbers: Arc<AtomicU64>,
    open: Option<OpenFile>,
    done: Vec<(Arc<StoreFile>, u64)>,
}

struct OpenFile {
    file: Arc<StoreFile>,
    /// What is written or in the buffer.
    end: u64,
    buffer: Vec<u8>,
    /// Bytes that were written since the file was last made durable.
    pending: usize,
}

impl BlobWriter {
    pub(crate) fn new(disk: Arc<dyn Disk>, numbers: Arc<AtomicU64>) -> Self {
        Self {
            disk,
            numbers,
            open: None,
            done: Vec::new(),
        }
    }

    /// Appends a blob and gives its place and the bytes that it takes.
    pub(crate) fn write(
        &mut self,
        kind: BlobKind,
        namespace: &RuntimeId,
        name: &[u8],
        contents: &[u8],
    ) -> Result<(Place, u64)> {
        let open = self.open()?;
        let kind = match kind {
            BlobKind::Fragment => 0u32,
            BlobKind::Table => 1,
        };
        let name_len = (name.len() as u16).to_le_bytes();
        let body = [&namespace.as_bytes()[..], &name_len, name, contents];
        let body_len: u64 = body.iter().map(|part| part.len() as u64).sum();
        let offset = open.end;
        let place = place(open.file.header.id, offset)?;
        let buffer = &mut open.buffer;
        buffer.extend_from_slice(&body_len.to_le_bytes());
        buffer.extend_from_slice(&kind.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&check(&open.file.header.secret, offset, kind, &body));
        for part in body {
            buffer.extend_from_slice(part);
        }
        let stored = stored_bytes(body_len);
        let padding = stored - BLOB_HEADER_BYTES - body_len;
        buffer.resize(buffer.len() + padding as usize, 0);
        open.end += stored;
        if buffer.len() >= BUFFER_BYTES {
            open.flush()?;
        }
        if open.end >= FILE_BYTES {
            self.close()?;
        }
        Ok((place, stored))
    }

    fn open(&mut self) -> Result<&mut OpenFile> {
        if self.open.is_none() {
            let id = self.numbers.fetch_add(1, Ordering::Relaxed);
            let file = StoreFile::create(&*self.disk, id, FileKind::Blobs, 0)?;
            self.open = Some(OpenFile {
                file: Arc::new(file),
                end: FILE_HEADER_BYTES,
                buffer: Vec::with_capacity(BUFFER_BYTES),
                pending: 0,
            });
        }
        Ok(self.open.as_mut().expect("a file was just opened"))
    }

    fn close(&mut self) -> Result<()> {
        if let Some(mut open) = self.open.take() {
            open.flush()?;
            open.file.sync()?;
            self.done.push((open.file, open.end));
        }
        Ok(())
    }

    /// Makes everything durable and gives the files with their lengths.
    pub(crate) fn finish(&mut self) -> Result<Vec<(Arc<StoreFile>, u64)>> {
        self.close()?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Names of the files that were begun, so that they can be removed where they are not wanted.
    pub(crate) fn names(&self) -> Vec<String> {
        let open = self.open.iter().map(|open| &open.file);
        let files = self.done.iter().map(|(file, _)| file).chain(open);
        files.map(|file| file.name.clone()).collect()
    }
}

impl OpenFile {
    fn flush(&mut self) -> Result<()> {
        let at = self.end - self.buffer.len() as u64;
        self.file.write(&self.buffer, at)?;
        self.pending += self.buffer.len();
        self.buffer.clear();
        if self.pending >= PENDING_BYTES {
            self.pending = 0;
            self.file.sync()?;
        }
        Ok(())
    }
}

/// A refusal to read a place that no file has.
pub(crate) fn no_file(place: Place) -> StoreFault {
    let name = format!("{:016x}.{}", file_of(place), FileKind::Blobs.extension());
    StoreFault::damaged(
        &name,
        offset_of(place),
        "the file is not one of the store's",
    )
}
