//! `CURRENT`: which checkpoints and which part of the log make up the store.
//!
//! It is replaced by renaming, so that there is always exactly one whole manifest. Its bytes are a
//! canonical CBOR array `[format, [generation, …]]` and the BLAKE3 hash of that; a generation is
//! `[checkpoint file or null, first log file, its first sequence, [other file, …],
//! [namespace, round, …]]`.

use trilith_types::RuntimeId;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use crate::disk::Disk;
use crate::fault::{Result, StoreFault};

/// Name of the manifest.
pub(crate) const MANIFEST_NAME: &str = "CURRENT";
/// Name of a manifest that is being written.
const NEXT_NAME: &str = "CURRENT.next";
/// The format this code reads and writes.
const FORMAT: u64 = 2;
/// Longest manifest that is read: a million files.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Which files make up the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Oldest first; the store is the last, and the others serve versions of the past. Never
    /// empty.
    pub(crate) generations: Vec<Generation>,
}

/// A checkpoint and where the log goes on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The checkpoint; none in a new store.
    pub(crate) checkpoint: Option<u64>,
    /// The first log file behind it.
    pub(crate) log_start: u64,
    /// The sequence of its first record.
    pub(crate) first_sequence: u64,
    /// Other files that the checkpoint refers to, ascending: older ones with pages, and blobs.
    pub(crate) files: Vec<u64>,
    /// The rounds of the versions in it, ascending by namespace.
    pub(crate) rounds: Vec<(RuntimeId, u64)>,
}

impl Generation {
    /// The generation of a store into which nothing was written.
    pub(crate) fn first(log_start: u64) -> Self {
        Self {
            checkpoint: None,
            log_start,
            first_sequence: 1,
            files: Vec::new(),
            rounds: Vec::new(),
        }
    }

    /// The round that a namespace had.
    pub(crate) fn round(&self, namespace: &RuntimeId) -> Option<u64> {
        let found = self.rounds.iter().find(|(id, _)| id == namespace);
        found.map(|(_, round)| *round)
    }

    /// Whether a file that is not of the log behind the generation is needed for it.
    pub(crate) fn needs(&self, id: u64) -> bool {
        self.checkpoint == Some(id) || self.files.binary_search(&id).is_ok()
    }

    fn write(&self, e: &mut Encoder) {
        e.array(5);
        match self.checkpoint {
            Some(id) => e.uint(id),
            None => e.null(),
        };
        e.uint(self.log_start).uint(self.first_sequence);
        e.array(self.files.len());
        for id in &self.files {
            e.uint(*id);
        }
        e.array(2 * self.rounds.len());
        for (namespace, round) in &self.rounds {
            e.bytes(namespace.as_bytes()).uint(*round);
        }
    }

    fn read(d: &mut Decoder<'_>) -> std::result::Result<Self, DecodeError> {
        if d.array("generation", 5)? != 5 {
            return Err(DecodeError::Field("generation"));
        }
        let checkpoint = if d.null() { None } else { Some(d.uint()?) };
        let (log_start, first_sequence) = (d.uint()?, d.uint()?);
        let mut files: Vec<u64> = Vec::new();
        for _ in 0..d.array("files", usize::MAX)? {
            files.push(d.uint()?);
        }
        let mut rounds: Vec<(RuntimeId, u64)> = Vec::new();
        let count = d.array("rounds", usize::MAX)?;
        for _ in 0..count / 2 {
            let namespace = RuntimeId::from_bytes(d.bytes_exact("namespace")?);
            rounds.push((namespace, d.uint()?));
        }
        let ascends = files.is_sorted_by(|a, b| a < b) && rounds.is_sorted_by(|a, b| a.0 < b.0);
        if !ascends || !count.is_multiple_of(2) {
            return Err(DecodeError::Field("generation"));
        }
        Ok(Self {
            checkpoint,
            log_start,
            first_sequence,
            files,
            rounds,
        })
    }
}

impl Manifest {
    /// The generation that is the store.
    pub(crate) fn newest(&self) -> &Generation {
        self.generations.last().expect("there is a generation")
    }

    /// Where the log starts that is kept.
    pub(crate) fn log_start(&self) -> u64 {
        self.generations[0].log_start
    }

    /// Whether a file is needed that is not of the log from [`Manifest::log_start`] on.
    pub(crate) fn needs(&self, id: u64) -> bool {
        self.generations
            .iter()
            .any(|generation| generation.needs(id))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(FORMAT).array(self.generations.len());
        for generation in &self.generations {
            generation.write(&mut encoder);
        }
        let mut bytes = encoder.finish();
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        bytes
    }

    /// The manifest in `bytes`, or what is wrong with them.
    pub(crate) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (body, check) = bytes
            .split_last_chunk::<32>()
            .ok_or("it is shorter than its check value")?;
        if blake3::hash(body).as_bytes() != check {
            return Err("its check value does not match".to_owned());
        }
        Self::decode_body(body).map_err(|error| error.to_string())
    }

    fn decode_body(body: &[u8]) -> std::result::Result<Self, DecodeError> {
        let mut d = Decoder::new(body);
        if d.array("manifest", 2)? != 2 || d.uint()? != FORMAT {
            return Err(DecodeError::Field("format"));
        }
        let mut generations: Vec<Generation> = Vec::new();
        for _ in 0..d.array("generations", usize::MAX)? {
            let generation = Generation::read(&mut d)?;
            let before = generations.last().map_or(0, |last| last.log_start);
            if generation.log_start <= before {
                return Err(DecodeError::Field("generations"));
            }
            generations.push(generation);
        }
        d.finish()?;
        if generations.is_empty() {
            return Err(DecodeError::Field("generations"));
        }
        Ok(Self { generations })
    }

    /// Makes this the store's manifest, durably.
    pub(crate) fn install(&self, disk: &dyn Disk) -> Result<()> {
        self.write_next(disk)?;
        Self::replace(disk)
    }

    /// Writes this beside the store's manifest, durably, so that it can replace that.
    pub(crate) fn write_next(&self, disk: &dyn Disk) -> Result<()> {
        let fault = |operation| move |error| StoreFault::io(MANIFEST_NAME, operation, &error);
        match disk.remove(NEXT_NAME) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreFault::io(NEXT_NAME, "remove", &error));
            }
            _ => {}
        }
        let file = disk.create(NEXT_NAME).map_err(fault("create"))?;
        file.write_at(&self.encode(), 0).map_err(fault("write"))?;
        file.sync().map_err(fault("make durable"))
    }

    /// Makes what [`Manifest::write_next`] wrote the store's manifest, durably. After a failure it
    /// is unknown which of the two a start will find.
    pub(crate) fn replace(disk: &dyn Disk) -> Result<()> {
        let fault = |operation| move |error| StoreFault::io(MANIFEST_NAME, operation, &error);
        disk.rename(NEXT_NAME, MANIFEST_NAME)
            .map_err(fault("replace"))?;
        disk.sync_dir().map_err(fault("make durable"))
    }

    /// Reads the store's manifest; `None` if it has none.
    pub(crate) fn load(disk: &dyn Disk, names: &[String]) -> Result<Option<Self>> {
        if !names.iter().any(|name| name == MANIFEST_NAME) {
            return Ok(None);
        }
        let fault = |operation| move |error| StoreFault::io(MANIFEST_NAME, operation, &error);
        let file = disk.open(MANIFEST_NAME).map_err(fault("open"))?;
        let len = file.len().map_err(fault("measure"))?;
        if len > MANIFEST_BYTES_MAX {
            let what = format!("it has {len} bytes, over the limit of {MANIFEST_BYTES_MAX}");
            return Err(StoreFault::damaged(MANIFEST_NAME, 0, what));
        }
        let mut bytes = vec![0u8; len as usize];
        file.read_at(&mut bytes, 0).map_err(fault("read"))?;
        let manifest =
            Self::decode(&bytes).map_err(|what| StoreFault::damaged(MANIFEST_NAME, 0, what))?;
        Ok(Some(manifest))
    }

    /// Whether a name is a leftover of [`Manifest::install`].
    pub(crate) fn is_leftover(name: &str) -> bool {
        name == NEXT_NAME
    }
}
