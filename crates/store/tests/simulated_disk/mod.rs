//! A disk that forgets. Writes, names and lengths that were not synced are kept apart; a crash
//! keeps a seeded choice of them, torn and out of order. It can also run full, fail, and flip bits.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use trilith_store::{Disk, DiskFile};
use trilith_types::PageFile;

/// A small generator of numbers that look random (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

struct Inode {
    live: PageFile,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

type NameChange = Vec<(String, Option<usize>)>;

#[derive(Default)]
struct Inner {
    inodes: Vec<Inode>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
    /// Power cycles so far; handles of earlier ones are dead.
    generation: u64,
    off: bool,
    /// Operations so far that change something, and at which one the power goes.
    operations: u64,
    crash_at: Option<u64>,
    /// The operations from the first to before the second report a full disk.
    full: Option<(u64, u64)>,
    /// Whether a full disk writes everything and fails all the same.
    full_late: bool,
    sync_fails: bool,
    read_fails: bool,
    /// Reads so far, and which of them fail.
    reads: u64,
    reads_failing: Option<(u64, u64)>,
    locked: Option<u64>,
    /// What happens before the next renaming.
    at_rename: Option<Box<dyn FnOnce() + Send>>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Inner>>);

fn fault(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

fn live_file(bytes: &[u8]) -> PageFile {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    Arc::new(file)
}

impl Inner {
    fn check(&self, generation: u64) -> io::Result<()> {
        if self.off || self.generation != generation {
            return Err(fault("the power is off"));
        }
        Ok(())
    }

    /// Counts an operation; says whether the power goes during it.
    fn step(&mut self, generation: u64) -> io::Result<bool> {
        self.check(generation)?;
        self.operations += 1;
        self.off = self.crash_at == Some(self.operations);
        if self
            .full
            .is_some_and(|(from, to)| (from..to).contains(&self.operations))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.off)
    }

    fn done(&self) -> io::Result<()> {
        if self.off {
            Err(fault("the power went"))
        } else {
            Ok(())
        }
    }

    fn rename_all(&mut self, changes: NameChange) {
        apply_names(&mut self.live, &changes);
        self.pending.push(changes);
    }
}

fn apply_names(names: &mut BTreeMap<String, usize>, changes: &NameChange) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

fn apply_change(bytes: &mut Vec<u8>, change: &Change, numbers: &mut Numbers) {
    match change {
        Change::Truncate(len) => bytes.resize(*len as usize, 0),
        Change::Write(offset, new) => {
            let torn = numbers.below(2) == 0;
            let prefix = numbers.below(2) == 0;
            let stop = if torn && prefix {
                numbers.below(new.len() as u64 + 1)
            } else {
                u64::MAX
            };
            for (index, sector) in new.chunks(512).enumerate() {
                let start = index as u64 * 512;
                if start >= stop || torn && !prefix && numbers.below(2) == 0 {
                    continue;
                }
                let sector = &sector[..sector.len().min((stop - start) as usize)];
                let at = (*offset + start) as usize;
                if bytes.len() < at + sector.len() {
                    bytes.resize(at + sector.len(), 0);
                }
                bytes[at..at + sector.len()].copy_from_slice(sector);
            }
        }
    }
}

impl SimulatedDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Another disk that holds the same, all of it durable.
    pub fn copy(&self) -> Self {
        let inner = self.inner();
        let mut copy = Inner::default();
        for (name, inode) in &inner.live {
            let live = &inner.inodes[*inode].live;
            let mut bytes = vec![0u8; live.metadata().unwrap().len() as usize];
            live.read_exact_at(&mut bytes, 0).unwrap();
            copy.live.insert(name.clone(), copy.inodes.len());
            copy.inodes.push(Inode {
                live: live_file(&bytes),
                durable: bytes,
                pending: Vec::new(),
            });
        }
        copy.durable = copy.live.clone();
        Self(Arc::new(Mutex::new(copy)))
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// The power goes at this operation, counted from the first one.
    pub fn crash_at(&self, operation: u64) {
        self.inner().crash_at = Some(operation);
    }

    /// The disk is full during these operations.
    pub fn full_during(&self, from: u64, to: u64) {
        self.inner().full = Some((from, to));
    }

    /// A full disk writes everything and fails all the same.
    pub fn fail_late(&self, late: bool) {
        self.inner().full_late = late;
    }

    pub fn fail_syncs(&self, fail: bool) {
        self.inner().sync_fails = fail;
    }

    pub fn fail_reads(&self, fail: bool) {
        self.inner().read_fails = fail;
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.inner().reads
    }

    /// The reads from the first to before the second fail.
    pub fn fail_reads_during(&self, from: u64, to: u64) {
        self.inner().reads_failing = Some((from, to));
    }

    /// Does something right before the next renaming, which is when a manifest is replaced.
    pub fn at_rename(&self, what: impl FnOnce() + Send + 'static) {
        self.inner().at_rename = Some(Box::new(what));
    }

    /// Restarts the machine: of what was not durable, a choice by `seed` is kept.
    pub fn power_cycle(&self, seed: u64) {
        let inner = &mut *self.inner();
        let mut numbers = Numbers(seed);
        let keep_none = numbers.below(8) == 0;
        let keep_all = numbers.below(8) == 0;
        for inode in &mut inner.inodes {
            let mut pending = std::mem::take(&mut inode.pending);
            if !keep_all && numbers.below(2) == 0 {
                numbers.shuffle(&mut pending);
            }
            for change in pending {
                if keep_all || (!keep_none && numbers.below(3) > 0) {
                    apply_change(&mut inode.durable, &change, &mut numbers);
                }
            }
            inode.live = live_file(&inode.durable);
        }
        for changes in std::mem::take(&mut inner.pending) {
            if keep_all || (!keep_none && numbers.below(2) == 0) {
                apply_names(&mut inner.durable, &changes);
            }
        }
        inner.live = inner.durable.clone();
        inner.generation += 1;
        inner.off = false;
        inner.crash_at = None;
        inner.locked = None;
    }

    /// Kills the process without the machine: everything written stays visible.
    pub fn kill_process(&self) {
        let inner = &mut *self.inner();
        inner.generation += 1;
        inner.off = false;
        inner.crash_at = None;
        inner.locked = None;
    }

    /// Names and lengths of all files.
    pub fn files(&self) -> Vec<(String, u64)> {
        let inner = self.inner();
        let len = |inode: &usize| inner.inodes[*inode].live.metadata().unwrap().len();
        inner
            .live
            .iter()
            .map(|(name, inode)| (name.clone(), len(inode)))
            .collect()
    }

    /// Flips a bit of a file, on the platter.
    pub fn flip(&self, name: &str, byte: u64, bit: u32) {
        let inner = &mut *self.inner();
        let inode = inner.live[name];
        let inode = &mut inner.inodes[inode];
        let mut buffer = [0u8];
        inode.live.read_exact_at(&mut buffer, byte).unwrap();
        buffer[0] ^= 1 << bit;
        inode.live.write_all_at(&buffer, byte).unwrap();
        if let Some(held) = inode.durable.get_mut(byte as usize) {
            *held ^= 1 << bit;
        }
    }

    pub fn remove_file(&self, name: &str) {
        let inner = &mut *self.inner();
        inner.live.remove(name).unwrap();
        inner.durable.remove(name);
    }

    fn handle(&self, inner: &Inner, inode: usize) -> Arc<dyn DiskFile> {
        let pages = Arc::clone(&inner.inodes[inode].live);
        Arc::new(File {
            disk: self.clone(),
            generation: inner.generation,
            inode,
            pages,
        })
    }
}

impl Disk for SimulatedDisk {
    fn describe(&self) -> String {
        "the simulated folder".to_owned()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut inner = self.inner();
        if inner.locked == Some(inner.generation) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let generation = inner.generation;
        inner.locked = Some(generation);
        Ok(Box::new(Lock(self.clone(), generation)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        let generation = inner.generation;
        inner.step(generation)?;
        if inner.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let live = live_file(&[]);
        inner.inodes.push(Inode {
            live,
            durable: Vec::new(),
            pending: Vec::new(),
        });
        let inode = inner.inodes.len() - 1;
        inner.rename_all(vec![(name.to_owned(), Some(inode))]);
        inner.done()?;
        Ok(self.handle(&inner, inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner();
        inner.check(inner.generation)?;
        let inode = *inner.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&inner, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let what = self.inner().at_rename.take();
        if let Some(what) = what {
            what();
        }
        let mut inner = self.inner();
        let generation = inner.generation;
        inner.step(generation)?;
        let inode = *inner.live.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        inner.done()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let generation = inner.generation;
        if !inner.live.contains_key(name) {
            inner.check(generation)?;
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.step(generation)?;
        inner.rename_all(vec![(name.to_owned(), None)]);
        inner.done()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.check(inner.generation)?;
        Ok(inner.live.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        let generation = inner.generation;
        if inner.step(generation)? {
            return inner.done();
        }
        inner.durable = inner.live.clone();
        inner.pending.clear();
        Ok(())
    }

    fn secret(&self) -> io::Result<[u8; 32]> {
        let inner = self.inner();
        let mut numbers = Numbers(inner.operations);
        let mut secret = [0u8; 32];
        secret.fill_with(|| numbers.next() as u8);
        Ok(secret)
    }
}

struct Lock(SimulatedDisk, u64);

impl Drop for Lock {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        if inner.locked == Some(self.1) {
            inner.locked = None;
        }
    }
}

struct File {
    disk: SimulatedDisk,
    generation: u64,
    inode: usize,
    pages: PageFile,
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let full = inner.step(self.generation).err();
        // A full disk takes a part of the bytes before it says so, and sometimes all of them.
        let part = if inner.full_late {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        let taken = match &full {
            Some(error) if error.kind() == io::ErrorKind::StorageFull => part,
            Some(_) => return Err(full.unwrap()),
            None => bytes,
        };
        let inode = &mut inner.inodes[self.inode];
        inode.live.write_all_at(taken, offset)?;
        inode.pending.push(Change::Write(offset, taken.to_vec()));
        full.map_or(inner.done(), Err)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.check(self.generation)?;
        inner.reads += 1;
        let reads = inner.reads;
        let fails = |(from, to): (u64, u64)| (from..to).contains(&reads);
        if inner.read_fails || inner.reads_failing.is_some_and(fails) {
            return Err(fault("the sector cannot be read"));
        }
        inner.inodes[self.inode].live.read_exact_at(into, offset)
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.inner();
        inner.check(self.generation)?;
        Ok(inner.inodes[self.inode].live.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.step(self.generation)?;
        let inode = &mut inner.inodes[self.inode];
        inode.live.set_len(len)?;
        inode.pending.push(Change::Truncate(len));
        inner.done()
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        if inner.step(self.generation)? {
            return inner.done();
        }
        if inner.sync_fails {
            return Err(fault("the disk does not answer"));
        }
        let inode = &mut inner.inodes[self.inode];
        let mut bytes = vec![0u8; inode.live.metadata()?.len() as usize];
        inode.live.read_exact_at(&mut bytes, 0)?;
        inode.durable = bytes;
        inode.pending.clear();
        Ok(())
    }

    fn page_file(&self) -> PageFile {
        Arc::clone(&self.pages)
    }
}
