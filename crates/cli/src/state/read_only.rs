//! A store's folder for reading alone: opening it as a store changes nothing on disk.
//!
//! Opening a store cuts a tail that a crash left, and removes files that are of no use any more.
//! Here both happen in memory only, so that what is looked at is what the next start of the node
//! will find, and the folder stays as it is. It may lie on a disk that cannot be written.
//!
//! It knows the store's disk interface, and nothing of what the files mean. Invariant: no file is
//! opened for writing, and nothing is created, renamed or removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trilith_store::{Disk, DiskFile};
use trilith_types::PageFile;

/// Name of the file whose lock says that a process has the folder open, as the store has it.
const LOCK_FILE: &str = "LOCK";

/// A folder of the operating system of which nothing changes.
pub struct ReadOnlyDisk {
    path: PathBuf,
    /// Names that were removed as far as the store can see.
    removed: Mutex<BTreeSet<String>>,
}

impl ReadOnlyDisk {
    /// The folder at `path`, which is not created.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            removed: Mutex::new(BTreeSet::new()),
        }
    }
}

fn refused(what: &str) -> io::Error {
    let message = format!("the folder is open for reading, nothing is {what} in it");
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, message)
}

/// A share of the lock on a folder. Several readers may have one each, and no node beside them.
struct SharedLock(File);

impl Drop for SharedLock {
    fn drop(&mut self) {
        // If this fails, the lock ends when the descriptor is closed.
        let _released = self.0.unlock();
    }
}

impl Disk for ReadOnlyDisk {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let file = match File::open(self.path.join(LOCK_FILE)) {
            // A copy without the file is nobody's, and it is not for a reader to make one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(())),
            file => file?,
        };
        file.try_lock_shared()?;
        Ok(Box::new(SharedLock(file)))
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(refused("created"))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::open(self.path.join(name))?;
        Ok(Arc::new(ReadOnlyFile {
            file: Arc::new(file),
            end: AtomicU64::new(u64::MAX),
        }))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(refused("renamed"))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        removed.insert(name.to_owned());
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of the store's.
            if let Ok(name) = entry?.file_name().into_string()
                && !removed.contains(&name)
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        Err(refused("made"))
    }
}

/// A file that is only read. Cutting it hides what comes after.
struct ReadOnlyFile {
    file: PageFile,
    end: AtomicU64,
}

impl DiskFile for ReadOnlyFile {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(refused("written"))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.end.load(Ordering::Acquire)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        let len = self.file.metadata()?.len();
        Ok(len.min(self.end.load(Ordering::Acquire)))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if len > self.len()? {
            return Err(refused("extended"));
        }
        self.end.store(len, Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn page_file(&self) -> PageFile {
        Arc::clone(&self.file)
    }
}
