//! Compiled modules: in memory as sealed memory files, and on disk.
//!
//! A file on disk is named after the module's hash, in a folder named after the fingerprint of the
//! compiler, so that another version of the compiler or of its settings never finds it. It is
//! written under another name first and renamed when it is durable, and its content is checked
//! against the hash that it carries, so a torn or damaged file is only a miss. Sandboxes never see
//! the folder: code reaches them in memory files that nobody can write any more.
//!
//! File format: 8 bytes magic, length of the encoded [`PreparedModule`] and length of the code
//! (64-bit big-endian), BLAKE3 of both, then both.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trilith_types::PageFile;

use super::files;
use crate::api::{ModuleHash, PreparedModule};
use crate::executor::wire;

const MAGIC: &[u8; 8] = b"trilith\x01";
/// End of the name of a file that is being written.
const UNFINISHED: &str = "unfinished";
const HEADER_BYTES: usize = 8 + 8 + 8 + 32;
/// Most bytes of an encoded [`PreparedModule`] that are read from disk.
const PREPARED_BYTES_MAX: u64 = 1 << 28;
/// Most bytes of compiled code that are kept or read.
pub(super) const CODE_BYTES_MAX: u64 = 1 << 31;

/// A compiled module.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What callers see.
    pub(super) prepared: Arc<PreparedModule>,
    /// The code, sealed.
    pub(super) code: PageFile,
    /// Its length in bytes.
    pub(super) code_bytes: u64,
}

/// Where a module was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    InMemory,
    OnDisk,
}

#[derive(Debug)]
struct Kept {
    compiled: Arc<Compiled>,
    used: u64,
}

#[derive(Debug, Default)]
struct Memory {
    /// Counts uses; orders what was used last.
    uses: u64,
    code_bytes: u64,
    kept: BTreeMap<ModuleHash, Kept>,
}

/// The cache of one executor.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    code_bytes_max: u64,
    memory: Mutex<Memory>,
}

impl Cache {
    /// Opens the cache in `directory`, which is made if it is missing.
    pub(super) fn open(
        directory: &Path,
        fingerprint: &[u8],
        code_bytes_max: u64,
    ) -> io::Result<Self> {
        let name = blake3::hash(fingerprint).to_hex();
        let directory = directory.join(name.as_str());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        // A crash may have left files that were never renamed.
        for entry in fs::read_dir(&directory)?.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|end| end == UNFINISHED)
            {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self {
            directory,
            code_bytes_max,
            memory: Mutex::default(),
        })
    }

    /// Finds a module in memory or on disk, and says where.
    pub(super) fn find(&self, hash: &ModuleHash) -> Option<(Arc<Compiled>, Found)> {
        {
            let mut memory = self.lock();
            memory.uses += 1;
            let uses = memory.uses;
            if let Some(kept) = memory.kept.get_mut(hash) {
                kept.used = uses;
                return Some((kept.compiled.clone(), Found::InMemory));
            }
        }
        let path = self.path(hash);
        match read(&path, hash) {
            Ok(compiled) => Some((self.keep(*hash, compiled), Found::OnDisk)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled module is unusable");
                // It is written anew; if it cannot be removed, it is replaced then.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a module that was just compiled. A disk that refuses it costs a compilation after the
    /// next start, nothing else.
    pub(super) fn insert(&self, hash: ModuleHash, compiled: Compiled) -> Arc<Compiled> {
        if let Err(error) = self.write(&hash, &compiled) {
            let path = self.path(&hash);
            tracing::warn!(path = %path.display(), %error, "a compiled module was not stored");
        }
        self.keep(hash, compiled)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Every change below leaves the maps usable, so a panic elsewhere does not matter.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &ModuleHash) -> PathBuf {
        self.directory.join(hex_name(hash))
    }

    fn keep(&self, hash: ModuleHash, compiled: Compiled) -> Arc<Compiled> {
        let compiled = Arc::new(compiled);
        let mut memory = self.lock();
        memory.uses += 1;
        let used = memory.uses;
        memory.code_bytes += compiled.code_bytes;
        let kept = Kept {
            compiled: compiled.clone(),
            used,
        };
        if let Some(replaced) = memory.kept.insert(hash, kept) {
            memory.code_bytes -= replaced.compiled.code_bytes;
        }
        while memory.code_bytes > self.code_bytes_max {
            // Modules that somebody holds may be started at any time, so they stay.
            let unused = memory
                .kept
                .iter()
                .filter(|(found, kept)| {
                    **found != hash && Arc::strong_count(&kept.compiled.prepared) == 1
                })
                .min_by_key(|(_, kept)| kept.used)
                .map(|(found, _)| *found);
            let Some(removed) = unused.and_then(|found| memory.kept.remove(&found)) else {
                break;
            };
            memory.code_bytes -= removed.compiled.code_bytes;
        }
        compiled
    }

    fn write(&self, hash: &ModuleHash, compiled: &Compiled) -> io::Result<()> {
        let prepared = wire::encode_prepared(&compiled.prepared);
        let code = files::read_whole(&compiled.code, compiled.code_bytes)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prepared).update(&code);
        // The process id keeps two nodes apart that share the folder.
        let unfinished = format!("{}.{}.{UNFINISHED}", hex_name(hash), std::process::id());
        let unfinished = self.directory.join(unfinished);
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(MAGIC)?;
            file.write_all(&(prepared.len() as u64).to_be_bytes())?;
            file.write_all(&(code.len() as u64).to_be_bytes())?;
            file.write_all(hasher.finalize().as_bytes())?;
            file.write_all(&prepared)?;
            file.write_all(&code)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.path(hash))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

fn hex_name(hash: &ModuleHash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

fn read(path: &Path, hash: &ModuleHash) -> io::Result<Compiled> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(8);
    let number = |at: usize| {
        let bytes = rest[at..at + 8].try_into().expect("a range of eight bytes");
        u64::from_be_bytes(bytes)
    };
    let (prepared_bytes, code_bytes) = (number(0), number(8));
    if magic != MAGIC {
        return Err(invalid("the magic number is of another format".into()));
    }
    if prepared_bytes > PREPARED_BYTES_MAX || code_bytes > CODE_BYTES_MAX {
        return Err(invalid(format!(
            "lengths {prepared_bytes} and {code_bytes} are over the limits"
        )));
    }
    let declared = HEADER_BYTES as u64 + prepared_bytes + code_bytes;
    if file_bytes != declared {
        return Err(invalid(format!(
            "it has {file_bytes} bytes, where {declared} are declared"
        )));
    }
    let mut prepared = vec![0; prepared_bytes as usize];
    reader.read_exact(&mut prepared)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&prepared);
    let code = files::copy_into_memory("code", &mut reader, code_bytes, |part| {
        hasher.update(part);
    })?;
    if hasher.finalize().as_bytes()[..] != rest[16..48] {
        return Err(invalid("its content differs from its checksum".into()));
    }
    files::seal(&code)?;
    let prepared = wire::decode_prepared(&prepared).map_err(|error| invalid(error.to_string()))?;
    if prepared.hash != *hash {
        return Err(invalid("it holds another module".into()));
    }
    Ok(Compiled {
        prepared: Arc::new(prepared),
        code: Arc::new(code),
        code_bytes,
    })
}
