//! One log or checkpoint file: appending records, reading them back, telling damage from a tail.

use std::sync::Arc;

use trilith_types::{PAGE_BYTES, PageFile};

use crate::disk::{Disk, DiskFile};
use crate::fault::{Refusal, Result, StoreFault};
use crate::record::{
    FILE_HEADER_BYTES, FileHeader, FileKind, PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader,
    body_check, record_start,
};

/// Bytes read or written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// A payload of at most so many bytes is written in one piece with its header: copying it costs
/// less than a second write.
const JOINED_BYTES_MAX: usize = 64 << 10;

/// An open file of the store.
pub(crate) struct StoreFile {
    pub(crate) header: FileHeader,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) pages: PageFile,
}

/// A record that was read.
pub(crate) struct Record {
    pub(crate) header: RecordHeader,
    /// Where the record starts.
    pub(crate) start: u64,
    /// Number of its first page in the file; meaningless if it has none.
    pub(crate) file_page: u64,
    pub(crate) payload: Vec<u8>,
    /// Where it ends.
    pub(crate) end: u64,
}

/// The name of file `id`.
pub(crate) fn file_name(id: u64, kind: FileKind) -> String {
    format!("{id:016x}.{}", kind.extension())
}

/// The file that has this name, if it is one of the store's numbered files.
pub(crate) fn parse_file_name(name: &str) -> Option<(u64, FileKind)> {
    let (stem, _) = name.split_once('.')?;
    let id = u64::from_str_radix(stem, 16).ok()?;
    [FileKind::Log, FileKind::Checkpoint, FileKind::Blobs]
        .into_iter()
        .find(|kind| file_name(id, *kind) == name)
        .map(|kind| (id, kind))
}

impl StoreFile {
    /// Creates a file whose header and name are durable before any record is written.
    pub(crate) fn create(
        disk: &dyn Disk,
        id: u64,
        kind: FileKind,
        first_sequence: u64,
    ) -> Result<Self> {
        let name = file_name(id, kind);
        let secret = disk
            .secret()
            .map_err(|error| StoreFault::io(&name, "draw a secret for", &error))?;
        let header = FileHeader {
            id,
            kind,
            first_sequence,
            secret,
        };
        let file = disk
            .create(&name)
            .map_err(|error| StoreFault::io(&name, "create", &error))?;
        let this = Self {
            pages: file.page_file(),
            header,
            name,
            file,
        };
        this.write(&this.header.encode(), 0)?;
        this.sync()?;
        disk.sync_dir()
            .map_err(|error| StoreFault::io(&this.name, "make durable", &error))?;
        Ok(this)
    }

    /// Opens a file; `None` if its header is not whole and nothing follows it, as a crash leaves
    /// it.
    pub(crate) fn open(disk: &dyn Disk, name: &str) -> Result<Option<Self>> {
        let file = disk
            .open(name)
            .map_err(|error| StoreFault::io(name, "open", &error))?;
        let len = file
            .len()
            .map_err(|error| StoreFault::io(name, "measure", &error))?;
        let mut bytes = vec![0u8; len.min(FILE_HEADER_BYTES) as usize];
        file.read_at(&mut bytes, 0)
            .map_err(|error| StoreFault::io(name, "read", &error))?;
        let header = FileHeader::decode(&bytes)
            .filter(|header| parse_file_name(name) == Some((header.id, header.kind)));
        match header {
            Some(header) => Ok(Some(Self {
                pages: file.page_file(),
                header,
                name: name.to_owned(),
                file,
            })),
            None if len <= FILE_HEADER_BYTES => Ok(None),
            None => Err(StoreFault::damaged(
                name,
                0,
                "the file header is not intact",
            )),
        }
    }

    pub(crate) fn damaged(&self, offset: u64, what: impl Into<String>) -> StoreFault {
        StoreFault::damaged(&self.name, offset, what)
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file
            .len()
            .map_err(|error| StoreFault::io(&self.name, "measure", &error))
    }

    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_at(into, offset)
            .map_err(|error| StoreFault::io(&self.name, "read", &error))
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_at(bytes, offset)
            .map_err(|error| StoreFault::io(&self.name, "write", &error))
    }

    pub(crate) fn truncate(&self, len: u64) -> Result<()> {
        self.file
            .truncate(len)
            .map_err(|error| StoreFault::io(&self.name, "shorten", &error))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync()
            .map_err(|error| StoreFault::io(&self.name, "make durable", &error))
    }

    /// The record `sequence`, appended to the first `end` bytes; `None` if there is no whole one.
    pub(crate) fn record(&self, end: u64, sequence: u64) -> Result<Option<Record>> {
        let len = self.len()?;
        for with_pages in [false, true] {
            let start = record_start(end, with_pages);
            let Some(header) = self.record_header(start, len)? else {
                continue;
            };
            if header.sequence != sequence || (header.pages > 0) != with_pages {
                continue;
            }
            if let Some(record) = self.whole_record(start, header, len)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The record that starts at `start`, which was whole when it was last seen.
    pub(crate) fn record_at(&self, start: u64) -> Result<Record> {
        let len = self.len()?;
        let record = match self.record_header(start, len)? {
            Some(header) => self.whole_record(start, header, len)?,
            None => None,
        };
        record.ok_or_else(|| self.damaged(start, "there is no whole record"))
    }

    fn whole_record(&self, start: u64, header: RecordHeader, len: u64) -> Result<Option<Record>> {
        let Some((payload_start, end)) = header.payload_range(start) else {
            return Ok(None);
        };
        if end > len || u64::from(header.payload_len) > PAYLOAD_BYTES_MAX {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.header.secret);
        self.for_each_chunk(start + RECORD_HEADER_BYTES, payload_start, |bytes| {
            hasher.update(bytes);
        })?;
        let mut payload = vec![0u8; header.payload_len as usize];
        self.read(&mut payload, payload_start)?;
        hasher.update(&payload);
        if body_check(&hasher) != header.body_check {
            return Ok(None);
        }
        let file_page = (start + RECORD_HEADER_BYTES) / PAGE_BYTES as u64;
        Ok(Some(Record {
            header,
            start,
            file_page,
            payload,
            end,
        }))
    }

    fn record_header(&self, start: u64, len: u64) -> Result<Option<RecordHeader>> {
        if start
            .checked_add(RECORD_HEADER_BYTES)
            .is_none_or(|end| end > len)
        {
            return Ok(None);
        }
        let mut bytes = [0u8; RECORD_HEADER_BYTES as usize];
        self.read(&mut bytes, start)?;
        Ok(RecordHeader::decode(&bytes, &self.header.secret))
    }

    /// Whether a header after `from` says that record `sequence` was durable.
    pub(crate) fn proves_durable(&self, from: u64, sequence: u64) -> Result<bool> {
        let mut proven = false;
        self.for_each_chunk(record_start(from, false), self.len()?, |bytes| {
            proven |= bytes
                .chunks_exact(RECORD_HEADER_BYTES as usize)
                .filter_map(|bytes| RecordHeader::decode(bytes, &self.header.secret))
                .any(|header| header.sequence > sequence && header.durable >= sequence);
        })?;
        Ok(proven)
    }

    fn for_each_chunk(&self, from: u64, to: u64, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut at = from;
        let mut buffer = Vec::new();
        while at < to {
            buffer.resize((to - at).min(CHUNK_BYTES as u64) as usize, 0);
            self.read(&mut buffer, at)?;
            visit(&buffer);
            at += buffer.len() as u64;
        }
        Ok(())
    }
}

/// Writes one record behind the first `end` bytes of a file: pages as they come, then the
/// payload and the header. Dropped before [`RecordWriter::finish`], it leaves no record.
pub(crate) struct RecordWriter {
    file: Arc<StoreFile>,
    start: u64,
    pages: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// Where the buffer belongs.
    position: u64,
    end: u64,
}

impl RecordWriter {
    pub(crate) fn new(file: Arc<StoreFile>, end: u64) -> Self {
        let hasher = blake3::Hasher::new_keyed(&file.header.secret);
        let start = record_start(end, false);
        let position = start + RECORD_HEADER_BYTES;
        Self {
            file,
            start,
            pages: 0,
            hasher,
            buffer: Vec::new(),
            position,
            end,
        }
    }

    /// Adds a page and gives its number in the file.
    pub(crate) fn page(&mut self, page: &[u8; PAGE_BYTES]) -> Result<u64> {
        if self.pages == 0 {
            self.start = record_start(self.end, true);
            self.position = self.start + RECORD_HEADER_BYTES;
        }
        let number = self.first_page() + self.pages;
        self.pages += 1;
        self.buffer.extend_from_slice(page);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(number)
    }

    /// Where the record starts, once it is known whether it has pages.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The file the pages go to.
    pub(crate) fn page_file(&self) -> PageFile {
        Arc::clone(&self.file.pages)
    }

    /// How many pages were added.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// The number in the file of the first page; meaningless if none was added.
    pub(crate) fn first_page(&self) -> u64 {
        (self.start + RECORD_HEADER_BYTES) / PAGE_BYTES as u64
    }

    fn flush(&mut self) -> Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write(&self.buffer, self.position)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and gives the new end of the file.
    pub(crate) fn finish(mut self, payload: &[u8], sequence: u64, durable: u64) -> Result<u64> {
        check_payload_len(payload)?;
        if self.pages > 0 {
            self.flush()?;
        }
        self.hasher.update(payload);
        let header = RecordHeader {
            payload_len: payload.len() as u32,
            pages: self.pages,
            sequence,
            durable,
            body_check: body_check(&self.hasher),
        };
        let header = header.encode(&self.file.header.secret);
        if self.pages == 0 && payload.len() <= JOINED_BYTES_MAX {
            let bytes = [&header[..], payload].concat();
            self.file.write(&bytes, self.start)?;
        } else {
            self.file.write(payload, self.position)?;
            self.file.write(&header, self.start)?;
        }
        Ok(self.position + payload.len() as u64)
    }
}

/// Checks that a payload is not longer than a reader accepts.
pub(crate) fn check_payload_len(payload: &[u8]) -> Result<()> {
    let value = payload.len() as u64;
    if value > PAYLOAD_BYTES_MAX {
        let what = "size of a record in bytes";
        return Err(Refusal::TooLarge {
            what,
            value,
            limit: PAYLOAD_BYTES_MAX,
        }
        .into());
    }
    Ok(())
}
