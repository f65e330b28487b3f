//! The log: the files of the store and the place where the next record goes.
//!
//! ```text
//! append:  write pages, payload, header behind the end      (one record, not durable yet)
//! sync:    fdatasync the active file                        (everything appended is durable)
//! roll:    cut and fdatasync the active file, create the next one, make its header durable
//! ```
//!
//! Invariants: all records before the active file's first are durable; after a failed append the
//! end of the file is made what it was, durably, or nothing is ever written again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::Disk;
use crate::fault::{Result, StoreFault};
use crate::log_file::{RecordWriter, StoreFile, file_name};
use crate::manifest::Manifest;
use crate::record::{FILE_HEADER_BYTES, FileKind};

/// The files and the end of the log.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    /// Every file in use, by number.
    pub(crate) files: BTreeMap<u64, Arc<StoreFile>>,
    pub(crate) active: Arc<StoreFile>,
    /// Where the last record of the active file ends.
    pub(crate) end: u64,
    pub(crate) next_sequence: u64,
    /// The number that the next file gets.
    pub(crate) numbers: Arc<AtomicU64>,
    /// The last sequence that is known to be durable.
    pub(crate) durable: u64,
    /// Whether a thread is making the active file durable.
    pub(crate) syncing: bool,
    /// What `CURRENT` says.
    pub(crate) manifest: Manifest,
    /// Bytes appended since the last checkpoint, and at how many the next one is due.
    pub(crate) bytes: u64,
    pub(crate) checkpoint_due: u64,
    segment_bytes: u64,
    stopped: Option<String>,
}

impl Log {
    /// The log whose last record is `next_sequence - 1` and ends at `end` of `active`, all of it
    /// durable.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        files: BTreeMap<u64, Arc<StoreFile>>,
        (active, end): (Arc<StoreFile>, u64),
        next_sequence: u64,
        (manifest, segment_bytes): (Manifest, u64),
    ) -> Self {
        let next_file = files.keys().next_back().map_or(1, |id| id + 1);
        Self {
            disk,
            files,
            active,
            end,
            next_sequence,
            numbers: Arc::new(AtomicU64::new(next_file)),
            durable: next_sequence - 1,
            syncing: false,
            manifest,
            bytes: 0,
            checkpoint_due: 0,
            segment_bytes,
            stopped: None,
        }
    }

    /// Fails if an earlier fault stopped the log.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(cause) => Err(StoreFault::Stopped {
                cause: cause.clone(),
            }),
        }
    }

    /// Writes nothing any more, because it is unknown what is on disk.
    pub(crate) fn stop(&mut self, cause: &StoreFault) {
        if self.stopped.is_none() {
            self.stopped = Some(cause.to_string());
        }
    }

    /// A writer for the next record.
    pub(crate) fn begin(&mut self) -> Result<RecordWriter> {
        self.check()?;
        if self.end >= self.segment_bytes {
            self.roll()?;
        }
        Ok(RecordWriter::new(Arc::clone(&self.active), self.end))
    }

    /// Completes the record. On failure there is no record.
    pub(crate) fn commit(&mut self, writer: RecordWriter, payload: &[u8]) -> Result<()> {
        match writer.finish(payload, self.next_sequence, self.durable) {
            Ok(end) => {
                self.bytes += end - self.end;
                self.end = end;
                self.next_sequence += 1;
                Ok(())
            }
            Err(fault) => {
                let repaired = self
                    .active
                    .truncate(self.end)
                    .and_then(|()| self.active.sync());
                if repaired.is_err() {
                    self.stop(&fault);
                }
                Err(fault)
            }
        }
    }

    /// Gives up a record of which at most pages were written.
    pub(crate) fn abort(&mut self, writer: &RecordWriter) {
        if writer.pages() > 0
            && let Err(fault) = self.active.truncate(self.end)
        {
            self.stop(&fault);
        }
    }

    /// Appends a record without pages.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<()> {
        let writer = self.begin()?;
        self.commit(writer, payload)
    }

    /// Goes on in a new file, unless the active one has no records.
    pub(crate) fn roll(&mut self) -> Result<()> {
        self.check()?;
        if self.end <= FILE_HEADER_BYTES {
            return Ok(());
        }
        self.active.truncate(self.end)?;
        if let Err(fault) = self.active.sync() {
            self.stop(&fault);
            return Err(fault);
        }
        self.durable = self.next_sequence - 1;
        let id = self.take_file_number();
        let file = StoreFile::create(&*self.disk, id, FileKind::Log, self.next_sequence);
        let file = file.inspect_err(|_| self.discard(id))?;
        self.active = Arc::new(file);
        self.end = FILE_HEADER_BYTES;
        self.files.insert(id, Arc::clone(&self.active));
        Ok(())
    }

    /// A number that no file has had.
    pub(crate) fn take_file_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Removes, durably, what is left of a log file that could not be created. A leftover that
    /// came back after a crash would look like a part of the log, so if it resists, nothing may be
    /// written any more.
    fn discard(&mut self, id: u64) {
        let name = file_name(id, FileKind::Log);
        let removed = match self.disk.remove(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(),
        };
        if let Err(error) = removed {
            self.stop(&StoreFault::io(&name, "remove", &error));
        }
    }
}
