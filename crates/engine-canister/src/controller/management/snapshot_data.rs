//! Reading snapshots out and putting them together from parts, so that they can be kept outside and
//! brought to another network.

use serde_bytes::ByteBuf;
use trilith_params::canister::{
    CHUNK_BYTES_MAX, CHUNKS_MAX, HEAP_PAGES_MAX_64, SNAPSHOT_SLICE_BYTES_MAX, STABLE_PAGES_MAX,
};
use trilith_params::wasm::{CERTIFIED_DATA_BYTES_MAX, GLOBALS_MAX, MODULE_BYTES_MAX};
use trilith_protocol::Fault;
use trilith_types::hash::sha256;
use trilith_types::{ImageId, PAGE_BYTES};

use super::history::source_of;
use super::snapshots::{granted, inconsistent};
use super::types::{
    ChunkHash, HookRecord, ReadDataArgs, ReadDataResult, ReadKind, SnapshotArgs, SnapshotMetadata,
    TimerRecord, UploadDataArgs, UploadKind, UploadMetadataArgs, UploadMetadataResult,
};
use super::{ManagedResult, answered, decoded, done};
use crate::api::GlobalValue;
use crate::controller::archive::{Taken, snapshot_chunk_id, snapshot_id, snapshot_image_id};
use crate::controller::machine::PAGES_PER_WASM_PAGE;
use crate::controller::memory_file::pages_of;
use crate::controller::price;
use crate::controller::record::{Hook, ImageKind, Request};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;
use crate::wasm::globals::GlobalVariant;

const PAGE: u64 = PAGE_BYTES as u64;

/// A part of a memory or module, `len` bytes long in all.
fn slice(offset: u64, size: u64, len: u64) -> Result<(), Rejection> {
    let allowed = SNAPSHOT_SLICE_BYTES_MAX;
    if size > allowed as u64 {
        let why = format!("Requested slice too large: {size} > {allowed}");
        return Err(inconsistent(why));
    }
    if offset.checked_add(size).is_none_or(|end| end > len) {
        return Err(inconsistent(format!(
            "Invalid subslice into wasm module / main memory / stable memory: offset: {offset}, size: {size}"
        )));
    }
    Ok(())
}

fn bytes_of(pages: u64) -> u64 {
    pages.saturating_mul(price::WASM_PAGE_BYTES)
}

/// The length of a memory in Wasm pages.
fn pages_in(bytes: u64, what: &str, limit: u64) -> Result<u64, Rejection> {
    let pages = bytes / price::WASM_PAGE_BYTES;
    if bytes.is_multiple_of(price::WASM_PAGE_BYTES) && pages <= limit {
        return Ok(pages);
    }
    Err(inconsistent(format!(
        "{what} is {bytes}; it must be a multiple of {} and at most {}",
        price::WASM_PAGE_BYTES,
        bytes_of(limit)
    )))
}

impl Round<'_> {
    pub(super) fn read_snapshot_metadata(&mut self, request: &Request) -> ManagedResult {
        let args: SnapshotArgs = decoded!(request);
        let id = args.canister_id;
        let number = granted!(self.own_snapshot(id, &args.snapshot_id));
        granted!(self.pay_snapshot(id, price::SNAPSHOT_DATA_INSTRUCTIONS));
        let taken = self.taken(id, number)?;
        let chunks = taken.chunks.keys().map(|hash| ChunkHash {
            hash: hash.to_vec(),
        });
        let metadata = SnapshotMetadata {
            source: source_of(taken.module.is_none()),
            taken_at_timestamp: taken.taken_at,
            wasm_module_size: taken.module_bytes,
            globals: taken.globals.iter().map(|value| (*value).into()).collect(),
            wasm_memory_size: bytes_of(taken.heap_pages),
            stable_memory_size: bytes_of(taken.stable_pages),
            wasm_chunk_store: chunks.collect(),
            canister_version: taken.version,
            certified_data: ByteBuf::from(taken.certified_data.clone()),
            global_timer: taken.global_timer.map(|timer| match timer {
                0 => TimerRecord::inactive,
                timer => TimerRecord::active(timer),
            }),
            on_low_wasm_memory_hook_status: taken.hook.map(|hook| match hook {
                Hook::Idle => HookRecord::condition_not_satisfied,
                Hook::Ready => HookRecord::ready,
                Hook::Executed => HookRecord::executed,
            }),
        };
        Ok(answered(request, &metadata))
    }

    pub(super) fn read_snapshot_data(&mut self, request: &Request) -> ManagedResult {
        let args: ReadDataArgs = decoded!(request);
        let id = args.canister_id;
        let number = granted!(self.own_snapshot(id, &args.snapshot_id));
        let taken = self.taken(id, number)?;
        let part = |part| snapshot_image_id(id, number, part);
        let (image, offset, size, len) = match &args.kind {
            ReadKind::wasm_module { offset, size } => {
                (part(ImageKind::Module), *offset, *size, taken.module_bytes)
            }
            ReadKind::wasm_memory { offset, size } => (
                part(ImageKind::Heap),
                *offset,
                *size,
                bytes_of(taken.heap_pages),
            ),
            ReadKind::stable_memory { offset, size } => (
                part(ImageKind::Stable),
                *offset,
                *size,
                bytes_of(taken.stable_pages),
            ),
            ReadKind::wasm_chunk { hash } => {
                let hash = <[u8; 32]>::try_from(hash.as_slice()).ok();
                let Some((hash, len)) = hash.and_then(|hash| taken.chunks.get_key_value(&hash))
                else {
                    let why =
                        "Error from Wasm chunk store: Chunk hash was not found in the snapshot.";
                    return Ok(Rejection::new(ErrorCode::ContractViolation, why).into());
                };
                (snapshot_chunk_id(id, number, hash), 0, *len, *len)
            }
        };
        granted!(slice(offset, size, len));
        granted!(self.pay_snapshot(id, price::SNAPSHOT_DATA_INSTRUCTIONS + size));
        let image = &self.state.image(&image)?.current;
        let bytes = image.read(offset, size as usize);
        let bytes = bytes.map_err(|error| Fault(format!("cannot read a snapshot: {error}")))?;
        Ok(answered(
            request,
            &ReadDataResult {
                chunk: ByteBuf::from(bytes),
            },
        ))
    }

    pub(super) fn upload_snapshot_metadata(&mut self, request: &Request) -> ManagedResult {
        let args: UploadMetadataArgs = decoded!(request);
        let id = args.canister_id;
        let replaced = granted!(self.room_for_snapshot(id, args.replace_snapshot.as_ref()));
        let taken = granted!(self.uploaded(args));
        let work = price::SNAPSHOT_DATA_INSTRUCTIONS;
        granted!(self.check_growth(id, taken.bytes()));
        granted!(self.pay_snapshot(id, work));
        if let Some(replaced) = replaced {
            self.drop_snapshot(id, replaced)?;
        }
        let sizes = [
            (ImageKind::Heap, taken.heap_pages * PAGES_PER_WASM_PAGE),
            (ImageKind::Stable, taken.stable_pages * PAGES_PER_WASM_PAGE),
            (ImageKind::Module, taken.module_bytes.div_ceil(PAGE)),
        ];
        let number = self.put_snapshot(id, taken);
        for (part, pages) in sizes {
            self.state
                .image(&snapshot_image_id(id, number, part))?
                .write(pages, Vec::new());
        }
        Ok(answered(
            request,
            &UploadMetadataResult {
                snapshot_id: ByteBuf::from(snapshot_id(id, number)),
            },
        ))
    }

    /// A snapshot as its metadata describe it, still without content.
    fn uploaded(&mut self, args: UploadMetadataArgs) -> Result<Taken, Rejection> {
        let (now, version) = (self.now(), self.state.existing(&args.canister_id).version);
        let within = |len: u64, what: &str, limit: u64| {
            let why = || inconsistent(format!("{what} is {len}, over the limit of {limit}"));
            (len <= limit).then_some(()).ok_or_else(why)
        };
        within(
            args.wasm_module_size,
            "wasm_module_size",
            MODULE_BYTES_MAX as u64,
        )?;
        within(
            args.globals.len() as u64,
            "the number of globals",
            GLOBALS_MAX as u64,
        )?;
        let certified = args.certified_data.len() as u64;
        within(
            certified,
            "the length of certified_data",
            CERTIFIED_DATA_BYTES_MAX,
        )?;
        let globals: Result<Vec<GlobalValue>, String> = args
            .globals
            .into_iter()
            .map(GlobalVariant::try_into)
            .collect();
        Ok(Taken {
            taken_at: now,
            version,
            module: None,
            module_bytes: args.wasm_module_size,
            globals: globals.map_err(inconsistent)?,
            heap_pages: pages_in(args.wasm_memory_size, "wasm_memory_size", HEAP_PAGES_MAX_64)?,
            stable_pages: pages_in(
                args.stable_memory_size,
                "stable_memory_size",
                STABLE_PAGES_MAX,
            )?,
            fresh: false,
            certified_data: args.certified_data.into_vec(),
            global_timer: args.global_timer.map(|timer| match timer {
                TimerRecord::inactive => 0,
                TimerRecord::active(timer) => timer,
            }),
            hook: args.on_low_wasm_memory_hook_status.map(|hook| match hook {
                HookRecord::condition_not_satisfied => Hook::Idle,
                HookRecord::ready => Hook::Ready,
                HookRecord::executed => Hook::Executed,
            }),
            chunks: Default::default(),
        })
    }

    pub(super) fn upload_snapshot_data(&mut self, request: &Request) -> ManagedResult {
        let args: UploadDataArgs = decoded!(request);
        let id = args.canister_id;
        let number = granted!(self.own_snapshot(id, &args.snapshot_id));
        let taken = self.taken(id, number)?;
        if taken.module.is_some() {
            let why = "Only canister snapshots created by metadata upload can be mutated.";
            return Ok(Rejection::new(ErrorCode::SnapshotImmutable, why).into());
        }
        let part = |part| snapshot_image_id(id, number, part);
        let (image, offset, len) = match &args.kind {
            UploadKind::wasm_module { offset } => {
                (part(ImageKind::Module), *offset, taken.module_bytes)
            }
            UploadKind::wasm_memory { offset } => {
                (part(ImageKind::Heap), *offset, bytes_of(taken.heap_pages))
            }
            UploadKind::stable_memory { offset } => (
                part(ImageKind::Stable),
                *offset,
                bytes_of(taken.stable_pages),
            ),
            UploadKind::wasm_chunk => return self.upload_snapshot_chunk(request, &args, number),
        };
        let size = args.chunk.len() as u64;
        granted!(slice(offset, size, len));
        granted!(self.pay_snapshot(id, price::SNAPSHOT_DATA_INSTRUCTIONS + size));
        self.write_at(&image, offset, &args.chunk)?;
        Ok(done(request))
    }

    fn upload_snapshot_chunk(
        &mut self,
        request: &Request,
        args: &UploadDataArgs,
        number: u64,
    ) -> ManagedResult {
        let (id, len) = (args.canister_id, args.chunk.len());
        let count = self.taken(id, number)?.chunks.len();
        if len > CHUNK_BYTES_MAX || count >= CHUNKS_MAX {
            let why = format!(
                "Error from Wasm chunk store: the chunk has {len} bytes of at most {CHUNK_BYTES_MAX}, the snapshot {count} chunks of at most {CHUNKS_MAX}."
            );
            return Ok(Rejection::new(ErrorCode::ContractViolation, why).into());
        }
        granted!(self.pay_snapshot(id, price::SNAPSHOT_DATA_INSTRUCTIONS + len as u64));
        let hash = sha256(&[&args.chunk]);
        let (pages, runs) = pages_of(&args.chunk)?;
        let image = self.state.image(&snapshot_chunk_id(id, number, &hash))?;
        image.clear();
        image.write(pages, runs);
        let archive = self.state.archive_mut(id);
        if let Some(taken) = archive.snapshots.get_mut(&number) {
            taken.chunks.insert(hash, len as u64);
        }
        let bytes = archive.snapshot_bytes();
        self.state.existing(&id).snapshot_bytes = bytes;
        Ok(done(request))
    }

    /// Writes bytes into an image that is long enough.
    fn write_at(&mut self, image: &ImageId, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        let first = offset / PAGE;
        let end = (offset + bytes.len() as u64).div_ceil(PAGE);
        let image = self.state.image(image)?;
        let whole = image
            .current
            .read(first * PAGE, ((end - first) * PAGE) as usize);
        let mut whole = whole.map_err(|error| Fault(format!("cannot read a snapshot: {error}")))?;
        let start = (offset - first * PAGE) as usize;
        whole[start..start + bytes.len()].copy_from_slice(bytes);
        let (_, mut runs) = pages_of(&whole)?;
        for run in &mut runs {
            run.page += first;
        }
        let pages = image.current.pages();
        image.write(pages, runs);
        Ok(())
    }
}
