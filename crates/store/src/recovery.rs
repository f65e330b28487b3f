//! Opening a store: the newest manifest, its checkpoint, and the log behind it.
//!
//! ```text
//! read CURRENT; make the folder's names durable
//! load the newest checkpoint: its own bytes are compared now, what it refers to when it is read
//! replay the log files behind it in order; then compare the roots that they led to
//! the last file may end in a tail that a crash tore off: cut it, durably
//! remove files that CURRENT does not need
//! ```
//!
//! Everything else that is not as it was written is an error that names file and offset.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::checkpoint_load;
use crate::disk::Disk;
use crate::fault::{Result, StoreFault};
use crate::fragments::{FragmentCache, Fragments};
use crate::history::trim;
use crate::images::{Files, TableFiles};
use crate::log::Log;
use crate::log_file::{StoreFile, parse_file_name};
use crate::manifest::{Generation, MANIFEST_NAME, Manifest};
use crate::payload::Payload;
use crate::record::{FILE_HEADER_BYTES, FileKind};
use crate::replay::{Place, SealedPages, apply, check_roots};
use crate::state::State;
use crate::store::StoreConfig;
use crate::workers::Workers;

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the folder held no store and a new one was made.
    pub created: bool,
    /// The checkpoint that was loaded, if there was one.
    pub checkpoint: Option<String>,
    /// Records of the log that were replayed.
    pub records: u64,
    /// Bytes cut off the end of the log because a crash had left no whole record there. Nothing
    /// that was durable is among them.
    pub bytes_cut: u64,
}

/// Everything an open store starts from.
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) report: RecoveryReport,
}

/// Recovers the store on `disk`, or makes a new one.
pub(crate) fn recover(disk: &Arc<dyn Disk>, config: &StoreConfig) -> Result<Recovered> {
    let folder = disk.describe();
    let names = disk
        .list()
        .map_err(|error| StoreFault::io(&folder, "list", &error))?;
    let Some(manifest) = Manifest::load(&**disk, &names)? else {
        return create(disk, &names, config);
    };
    // What a killed process left may be visible and not yet durable.
    disk.sync_dir()
        .map_err(|error| StoreFault::io(&folder, "make durable", &error))?;
    let (mut files, log_ids, garbage) = open_files(&**disk, &names, &manifest)?;
    let newest = manifest.newest().clone();
    let mut report = RecoveryReport::default();
    let source = source(&files, config);
    let workers = Workers::new(config.threads);
    let mut state = match newest.checkpoint {
        None => State::new(source, workers),
        Some(id) => {
            let file = &files[&id];
            report.checkpoint = Some(file.name.clone());
            checkpoint_load::load(file, &source, workers)?
        }
    };
    let mut next_sequence = newest.first_sequence;
    let mut end = 0;
    let mut bytes = 0;
    for (index, id) in log_ids.iter().enumerate() {
        let file = Arc::clone(&files[id]);
        if *id < newest.log_start {
            continue;
        }
        if file.header.first_sequence != next_sequence {
            let what = format!("it starts with record {}", file.header.first_sequence);
            return Err(file.damaged(0, format!("{what}, but {next_sequence} is the next one")));
        }
        end = replay(&file, &mut state, &mut next_sequence)?;
        bytes += end;
        cut(
            &file,
            end,
            next_sequence,
            index + 1 == log_ids.len(),
            &mut report,
        )?;
    }
    check_roots(&state, &files)?;
    report.records = next_sequence - newest.first_sequence;
    for name in garbage {
        disk.remove(&name)
            .map_err(|error| StoreFault::io(&name, "remove", &error))?;
    }
    disk.sync_dir()
        .map_err(|error| StoreFault::io(&folder, "make durable", &error))?;
    let active = log_ids.last().and_then(|id| files.get(id)).map(Arc::clone);
    let active = match active {
        Some(file) => file,
        None => {
            let what = "the log file it names is missing";
            return Err(StoreFault::damaged(MANIFEST_NAME, 0, what));
        }
    };
    files.insert(active.header.id, Arc::clone(&active));
    let mut log = Log::new(
        Arc::clone(disk),
        files,
        (active, end),
        next_sequence,
        (manifest, config.segment_bytes),
    );
    log.bytes = bytes;
    for (id, found) in &mut state.namespaces {
        let versions = config.history_versions;
        trim(*id, found, versions, &log.manifest.generations);
    }
    Ok(Recovered { state, log, report })
}

/// Where what lies in these files is read from.
fn source(files: &Files, config: &StoreConfig) -> Arc<TableFiles> {
    let blobs = files
        .iter()
        .filter(|(_, file)| file.header.kind == FileKind::Blobs)
        .map(|(id, file)| (*id, Arc::clone(file)));
    let cache = FragmentCache::new(config.cache_bytes);
    Arc::new(TableFiles {
        fragments: Arc::new(Fragments::new(blobs.collect(), cache)),
        files: files.clone(),
    })
}

/// Makes a new store in a folder without one. A crash may have interrupted that before; a log with
/// records, though, does not come without a manifest.
fn create(disk: &Arc<dyn Disk>, names: &[String], config: &StoreConfig) -> Result<Recovered> {
    for name in names {
        let ours = parse_file_name(name);
        if ours.is_none() && !Manifest::is_leftover(name) {
            continue;
        }
        let file = disk
            .open(name)
            .map_err(|error| StoreFault::io(name, "open", &error))?;
        let len = file
            .len()
            .map_err(|error| StoreFault::io(name, "measure", &error))?;
        if ours.is_some() && len > FILE_HEADER_BYTES {
            let what = format!("it is missing, although there is {name} with {len} bytes");
            return Err(StoreFault::damaged(MANIFEST_NAME, 0, what));
        }
        disk.remove(name)
            .map_err(|error| StoreFault::io(name, "remove", &error))?;
    }
    let file = Arc::new(StoreFile::create(&**disk, 1, FileKind::Log, 1)?);
    let manifest = Manifest {
        generations: vec![Generation::first(1)],
    };
    manifest.install(&**disk)?;
    let files = BTreeMap::from([(1, Arc::clone(&file))]);
    let log = Log::new(
        Arc::clone(disk),
        files,
        (file, FILE_HEADER_BYTES),
        1,
        (manifest, config.segment_bytes),
    );
    let source = source(&Files::new(), config);
    let report = RecoveryReport {
        created: true,
        ..RecoveryReport::default()
    };
    Ok(Recovered {
        state: State::new(source, Workers::new(config.threads)),
        log,
        report,
    })
}

/// Opens what the manifest needs: all files, the log's in order, and names to be removed.
fn open_files(
    disk: &dyn Disk,
    names: &[String],
    manifest: &Manifest,
) -> Result<(Files, Vec<u64>, Vec<String>)> {
    let (mut files, mut log_ids, mut garbage) = (Files::new(), Vec::new(), Vec::new());
    let mut numbered: Vec<(u64, FileKind, &String)> = Vec::new();
    for name in names {
        match parse_file_name(name) {
            Some((id, kind)) => numbered.push((id, kind, name)),
            None if Manifest::is_leftover(name) => garbage.push(name.clone()),
            None => {}
        }
    }
    numbered.sort_by_key(|(id, _, _)| *id);
    let last_log = numbered
        .iter()
        .filter(|(_, kind, _)| *kind == FileKind::Log)
        .map(|(id, ..)| *id);
    let last_log = last_log.max();
    for (id, kind, name) in numbered {
        let in_log = kind == FileKind::Log && id >= manifest.log_start();
        if !in_log && !manifest.needs(id) {
            garbage.push(name.clone());
            continue;
        }
        match StoreFile::open(disk, name)? {
            Some(file) => {
                files.insert(id, Arc::new(file));
                if in_log {
                    log_ids.push(id);
                }
            }
            // A crash while the log went on in a new file.
            None if in_log && last_log == Some(id) && id != manifest.newest().log_start => {
                garbage.push(name.clone());
            }
            None => {
                return Err(StoreFault::damaged(
                    name,
                    0,
                    "the file header is not intact",
                ));
            }
        }
    }
    for generation in &manifest.generations {
        let needed = generation.files.iter().chain(&generation.checkpoint);
        let missing = needed
            .chain([&generation.log_start])
            .find(|id| !files.contains_key(id));
        if let Some(id) = missing {
            let what = format!("it needs file number {id:016x}, which is missing");
            return Err(StoreFault::damaged(MANIFEST_NAME, 0, what));
        }
    }
    Ok((files, log_ids, garbage))
}

/// Applies the whole records of a log file and gives where they end.
fn replay(file: &Arc<StoreFile>, state: &mut State, next_sequence: &mut u64) -> Result<u64> {
    let mut end = FILE_HEADER_BYTES;
    while let Some(record) = file.record(end, *next_sequence)? {
        let place = Place {
            file,
            start: record.start,
        };
        let payload = Payload::decode(&record.payload)
            .map_err(|error| place.damaged(format!("the record cannot be decoded: {error}")))?;
        let pages = SealedPages {
            file,
            file_page: record.file_page,
            count: Some(record.header.pages),
        };
        apply(state, payload, record.payload, &place, &pages)?;
        end = record.end;
        *next_sequence += 1;
    }
    Ok(end)
}

/// Deals with what follows the last whole record of a log file.
fn cut(
    file: &StoreFile,
    end: u64,
    next_sequence: u64,
    last: bool,
    report: &mut RecoveryReport,
) -> Result<()> {
    let len = file.len()?;
    if len > end {
        if !last || file.proves_durable(end, next_sequence)? {
            let what = format!("record {next_sequence} is not intact, although it was durable");
            return Err(file.damaged(end, what));
        }
        report.bytes_cut = len - end;
        file.truncate(end)?;
    }
    if last {
        file.sync()?;
    }
    Ok(())
}

/// The fault of a folder that cannot be locked.
pub(crate) fn lock_fault(folder: String, error: &io::Error) -> StoreFault {
    match error.kind() {
        io::ErrorKind::WouldBlock => StoreFault::Locked { folder },
        _ => StoreFault::io(&folder, "lock", error),
    }
}
