//! The few operations that the store asks of a disk.
//!
//! [`Disk`] is one flat folder. What it promises is what POSIX promises and no more: bytes are
//! durable after [`DiskFile::sync`], names (created, renamed, removed) after [`Disk::sync_dir`];
//! before that a crash may keep any subset, in any order, of what was done. The store assumes
//! nothing else, except that overwriting a range does not harm bytes outside it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trilith_types::PageFile;

/// Name of the file whose lock says that a process has the folder open.
const LOCK_FILE: &str = "LOCK";

/// A flat folder of files.
pub trait Disk: Send + Sync {
    /// What to call the folder in messages.
    fn describe(&self) -> String;

    /// Takes the folder for this process, until the returned value is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it; others as they come.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; others as they come.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none; others as they come.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing one that has the new name, in one step.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Whoever holds the file open can still read it.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in ascending order.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn sync_dir(&self) -> io::Result<()>;

    /// 32 bytes that no program running on the node can know or guess. They key the check values
    /// of a file, so that page contents can never pass for a record; no outcome depends on them.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn secret(&self) -> io::Result<[u8; 32]>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes `bytes` at `offset`, extending the file with zeros where needed.
    ///
    /// # Errors
    /// As the operating system reports them; part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter; others as they come.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file to `len` bytes, or extends it with zeros.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes contents and length durable.
    ///
    /// # Errors
    /// As the operating system reports them. What is durable is unknown then.
    fn sync(&self) -> io::Result<()>;

    /// The file for mapping. Each call on one file gives the same [`Arc`].
    fn page_file(&self) -> PageFile;
}

/// A folder of the operating system.
pub struct RealDisk {
    path: PathBuf,
}

impl RealDisk {
    /// The folder at `path`, which is created where it is missing.
    ///
    /// # Errors
    /// As the operating system reports them.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

/// The lock on a folder. It is given up expressly: a child process that another thread has just
/// forked still holds the descriptor until it starts its program, and with it a lock that is only
/// closed.
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // If this fails, the lock ends when the last descriptor of it is closed.
        let _released = self.0.unlock();
    }
}

impl Disk for RealDisk {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path.join(LOCK_FILE))?;
        file.try_lock()?;
        Ok(Box::new(FolderLock(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(RealFile(Arc::new(file))))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(RealFile(Arc::new(file))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        let mut secret = [0u8; 32];
        File::open("/dev/urandom")?.read_exact_at(&mut secret, 0)?;
        Ok(secret)
    }
}

/// A file of the operating system.
struct RealFile(PageFile);

impl DiskFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn page_file(&self) -> PageFile {
        Arc::clone(&self.0)
    }
}
