//! `CURRENT`: which checkpoint and which part of the log make up the store.
//!
//! It is replaced by renaming, so that there is always exactly one whole manifest. Its bytes are a
//! canonical CBOR array `[format, checkpoint file or null, first log file, its first sequence,
//! other files whose pages are used]` and the BLAKE3 hash of that.

use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use crate::disk::Disk;
use crate::fault::{Result, StoreFault};

/// Name of the manifest.
pub(crate) const MANIFEST_NAME: &str = "CURRENT";
/// Name of a manifest that is being written.
const NEXT_NAME: &str = "CURRENT.next";
/// The format this code reads and writes.
const FORMAT: u64 = 1;
/// Longest manifest that is read: a million files.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Which files make up the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The checkpoint that the log continues; none in a new store.
    pub(crate) checkpoint: Option<u64>,
    /// The first log file to be replayed.
    pub(crate) log_start: u64,
    /// The sequence of its first record.
    pub(crate) first_sequence: u64,
    /// Older files that hold pages the checkpoint refers to, ascending.
    pub(crate) page_files: Vec<u64>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(5).uint(FORMAT);
        match self.checkpoint {
            Some(id) => encoder.uint(id),
            None => encoder.null(),
        };
        encoder
            .uint(self.log_start)
            .uint(self.first_sequence)
            .array(self.page_files.len());
        for id in &self.page_files {
            encoder.uint(*id);
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
        if d.array("manifest", 5)? != 5 || d.uint()? != FORMAT {
            return Err(DecodeError::Field("format"));
        }
        let checkpoint = if d.null() { None } else { Some(d.uint()?) };
        let (log_start, first_sequence) = (d.uint()?, d.uint()?);
        let mut page_files: Vec<u64> = Vec::new();
        for _ in 0..d.array("files", usize::MAX)? {
            let id = d.uint()?;
            if page_files.last().is_some_and(|last| *last >= id) {
                return Err(DecodeError::Field("files"));
            }
            page_files.push(id);
        }
        d.finish()?;
        Ok(Self {
            checkpoint,
            log_start,
            first_sequence,
            page_files,
        })
    }

    /// Makes this the store's manifest, durably.
    pub(crate) fn install(&self, disk: &dyn Disk) -> Result<()> {
        let fault = |operation| move |error| StoreFault::io(MANIFEST_NAME, operation, &error);
        match disk.remove(NEXT_NAME) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreFault::io(NEXT_NAME, "remove", &error));
            }
            _ => {}
        }
        let file = disk.create(NEXT_NAME).map_err(fault("create"))?;
        file.write_at(&self.encode(), 0).map_err(fault("write"))?;
        file.sync().map_err(fault("make durable"))?;
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
