//! Snapshots of canisters: taking, loading, listing and deleting them.
//!
//! A snapshot shares the pages of the canister's memories: taking and loading one copies no page in
//! this node. What the store does when the round is sealed is the store's affair.

use std::sync::Arc;

use candid::Principal;
use serde_bytes::ByteBuf;
use trilith_params::canister::SNAPSHOTS_MAX;
use trilith_protocol::Fault;
use trilith_types::Image;

use super::types::{CanisterIdRecord, SnapshotArgs, SnapshotRecord, TakeArgs};
use super::{ManagedResult, answered, decoded, done, not_controller};
use crate::api::{GlobalValue, PrepareError, PreparedModule};
use crate::controller::archive::{
    ChangeDetails, Taken, parse_snapshot_id, snapshot_chunk_id, snapshot_id, snapshot_image_id,
};
use crate::controller::install::module_of;
use crate::controller::machine::{PAGES_PER_WASM_PAGE, module_bytes};
use crate::controller::price;
use crate::controller::record::{Code, ImageKind, Module, Request, chunk_image_id, image_id};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;
use trilith_types::hash::sha256;

/// The memories of a canister that a snapshot holds.
const PARTS: [ImageKind; 3] = [ImageKind::Heap, ImageKind::Stable, ImageKind::Module];

/// A refusal, inside of what a fault of this node stands outside.
pub(super) type Checked<T> = Result<Result<T, Rejection>, Fault>;

/// Takes the value, or answers the call with the refusal.
macro_rules! granted {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(rejection) => return Ok(Rejection::into(rejection)),
        }
    };
}
pub(super) use granted;

pub(super) fn shown(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn not_found(canister: Principal, id: &[u8]) -> Rejection {
    let why = format!(
        "Could not find the snapshot ID {} for canister {canister}.",
        shown(id)
    );
    Rejection::new(ErrorCode::SnapshotNotFound, why)
}

pub(super) fn inconsistent(why: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidManagementPayload, why)
}

impl Round<'_> {
    /// A snapshot of the canister itself.
    pub(super) fn own_snapshot(&self, canister: Principal, id: &[u8]) -> Result<u64, Rejection> {
        let (owner, number) = parse_snapshot_id(id).ok_or_else(|| not_found(canister, id))?;
        let archive = self.state.archive(&owner);
        if !archive.is_some_and(|archive| archive.snapshots.contains_key(&number)) {
            return Err(not_found(canister, id));
        }
        if owner == canister {
            return Ok(number);
        }
        let why = format!(
            "The snapshot {} does not belong to canister {canister}.",
            shown(id)
        );
        Err(Rejection::new(ErrorCode::RejectedMessage, why))
    }

    /// A snapshot that is known to be there.
    pub(super) fn taken(&self, canister: Principal, number: u64) -> Result<&Taken, Fault> {
        let archive = self.state.archive(&canister);
        let taken = archive.and_then(|archive| archive.snapshots.get(&number));
        taken.ok_or_else(|| Fault(format!("snapshot {number} of {canister} is lost")))
    }

    /// Takes the price of work on a snapshot from its canister.
    pub(super) fn pay_snapshot(
        &mut self,
        id: Principal,
        instructions: u64,
    ) -> Result<(), Rejection> {
        self.pay(id, instructions).map_err(|rejection| {
            let why = format!("Canister snapshotting failed with: `{}`", rejection.message);
            Rejection::new(ErrorCode::OutOfCycles, why)
        })
    }

    /// Whether the balance covers the freezing threshold with `bytes` of snapshots more.
    pub(super) fn check_growth(&mut self, id: Principal, bytes: u64) -> Result<(), Rejection> {
        let canister = self.state.existing(&id);
        let before = canister.snapshot_bytes;
        canister.snapshot_bytes = before.saturating_add(bytes);
        let floor = canister.floor();
        canister.snapshot_bytes = before;
        if canister.cycles >= floor {
            return Ok(());
        }
        let missing = floor - canister.cycles;
        let why = format!(
            "Canister cannot grow memory by {bytes} bytes due to insufficient cycles. At least {missing} additional cycles are required."
        );
        Err(Rejection::new(ErrorCode::MemoryGrowCycles, why))
    }

    /// The snapshot that is to be replaced, if one is, and that there is room.
    pub(super) fn room_for_snapshot(
        &self,
        id: Principal,
        replace: Option<&ByteBuf>,
    ) -> Result<Option<u64>, Rejection> {
        let replaced = match replace {
            Some(replaced) => Some(self.own_snapshot(id, replaced)?),
            None => None,
        };
        let archive = self.state.archive(&id);
        let count = archive.map_or(0, |archive| archive.snapshots.len());
        if replaced.is_none() && count >= SNAPSHOTS_MAX {
            let why = format!(
                "Canister {id} has reached the maximum number of snapshots allowed: {SNAPSHOTS_MAX}."
            );
            return Err(Rejection::new(ErrorCode::RejectedMessage, why));
        }
        Ok(replaced)
    }

    pub(super) fn take_snapshot(&mut self, request: &Request) -> ManagedResult {
        let args: TakeArgs = decoded!(request);
        let id = args.canister_id;
        let replaced = granted!(self.room_for_snapshot(id, args.replace_snapshot.as_ref()));
        let now = self.now();
        let canister = self.state.existing(&id);
        let Some(code) = &canister.code else {
            let why = format!("Failed to create snapshot for empty canister {id}:");
            return Ok(Rejection::new(ErrorCode::RejectedMessage, why).into());
        };
        let taken = Taken {
            taken_at: now,
            version: canister.version,
            module: Some(code.module.clone()),
            module_bytes: code.module.bytes,
            globals: code.globals.clone(),
            heap_pages: code.heap_pages,
            stable_pages: code.stable_pages,
            fresh: code.fresh,
            certified_data: canister.certified_data.clone(),
            global_timer: Some(canister.global_timer),
            hook: Some(canister.hook),
            chunks: canister.chunks.clone(),
        };
        let bytes = taken.bytes();
        let work = price::SNAPSHOT_INSTRUCTIONS.saturating_add(bytes);
        granted!(self.check_growth(id, bytes));
        granted!(self.pay_snapshot(id, work));
        if let Some(replaced) = replaced {
            self.drop_snapshot(id, replaced)?;
        }
        let number = self.put_snapshot(id, taken.clone());
        for part in PARTS {
            let image = self.state.image(&image_id(id, part))?.current.clone();
            self.state
                .image(&snapshot_image_id(id, number, part))?
                .share(&image);
        }
        for hash in taken.chunks.keys() {
            let image = self.state.image(&chunk_image_id(id, hash))?.current.clone();
            self.state
                .image(&snapshot_chunk_id(id, number, hash))?
                .share(&image);
        }
        if args.uninstall_code == Some(true) {
            self.uninstall(id)?;
            self.record_change(id, request, ChangeDetails::Uninstall {});
        }
        Ok(answered(
            request,
            &SnapshotRecord {
                id: ByteBuf::from(snapshot_id(id, number)),
                taken_at_timestamp: now,
                total_size: bytes,
            },
        ))
    }

    /// Adds a snapshot to the table; its images are written by the caller.
    pub(super) fn put_snapshot(&mut self, id: Principal, taken: Taken) -> u64 {
        let archive = self.state.archive_mut(id);
        let number = archive.next_snapshot;
        archive.next_snapshot += 1;
        archive.snapshots.insert(number, taken);
        let bytes = archive.snapshot_bytes();
        self.state.existing(&id).snapshot_bytes = bytes;
        number
    }

    /// Removes a snapshot with its images.
    pub(super) fn drop_snapshot(&mut self, id: Principal, number: u64) -> Result<(), Fault> {
        let archive = self.state.archive_mut(id);
        let taken = archive.snapshots.remove(&number);
        let bytes = archive.snapshot_bytes();
        self.state.existing(&id).snapshot_bytes = bytes;
        match taken {
            Some(taken) => self.clear_snapshot(id, number, &taken),
            None => Ok(()),
        }
    }

    /// Forgets the images of a snapshot.
    pub(super) fn clear_snapshot(
        &mut self,
        id: Principal,
        number: u64,
        taken: &Taken,
    ) -> Result<(), Fault> {
        for part in PARTS {
            self.state
                .image(&snapshot_image_id(id, number, part))?
                .clear();
        }
        for hash in taken.chunks.keys() {
            self.state
                .image(&snapshot_chunk_id(id, number, hash))?
                .clear();
        }
        Ok(())
    }

    pub(super) fn list_snapshots(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let id = args.canister_id;
        let archive = self.state.archive(&id);
        let snapshots = archive.into_iter().flat_map(|archive| &archive.snapshots);
        let list: Vec<SnapshotRecord> = snapshots
            .map(|(number, taken)| SnapshotRecord {
                id: ByteBuf::from(snapshot_id(id, *number)),
                taken_at_timestamp: taken.taken_at,
                total_size: taken.bytes(),
            })
            .collect();
        Ok(answered(request, &list))
    }

    pub(super) fn delete_snapshot(&mut self, request: &Request) -> ManagedResult {
        let args: SnapshotArgs = decoded!(request);
        let number = granted!(self.own_snapshot(args.canister_id, &args.snapshot_id));
        self.drop_snapshot(args.canister_id, number)?;
        Ok(done(request))
    }

    /// The snapshot that a call wants to load: of the canister itself, or of another one that the
    /// caller controls.
    fn loadable(
        &self,
        request: &Request,
        args: &SnapshotArgs,
    ) -> Result<(Principal, u64), Rejection> {
        let (into, id) = (args.canister_id, &args.snapshot_id);
        let (owner, number) = parse_snapshot_id(id).ok_or_else(|| not_found(into, id))?;
        let archive = self.state.archive(&owner);
        if !archive.is_some_and(|archive| archive.snapshots.contains_key(&number)) {
            return Err(not_found(into, id));
        }
        match self.state.canister(&owner) {
            Some(canister) if canister.is_controller(&request.origin.caller()) => {
                Ok((owner, number))
            }
            Some(canister) => {
                let (origin, method) = (&request.origin, &request.method);
                Err(not_controller(owner, canister, origin, method))
            }
            None => Err(not_found(into, id)),
        }
    }

    pub(super) fn load_snapshot(&mut self, request: &Request) -> ManagedResult {
        let args: SnapshotArgs = decoded!(request);
        let id = args.canister_id;
        let (owner, number) = granted!(self.loadable(request, &args));
        let taken = self.taken(owner, number)?.clone();
        let image = snapshot_image_id(owner, number, ImageKind::Module);
        let image = self.state.image(&image)?.current.clone();
        let (module, prepared) = granted!(self.module_of_snapshot(id, &taken, &image)?);
        if let Some(prepared) = prepared {
            granted!(fits(&taken, &prepared));
        }
        let work = price::SNAPSHOT_INSTRUCTIONS.saturating_add(taken.bytes());
        granted!(self.pay_snapshot(id, work));
        for part in PARTS {
            let image = snapshot_image_id(owner, number, part);
            let image = self.state.image(&image)?.current.clone();
            self.state.image(&image_id(id, part))?.share(&image);
        }
        self.clear_chunks(id)?;
        for hash in taken.chunks.keys() {
            let image = snapshot_chunk_id(owner, number, hash);
            let image = self.state.image(&image)?.current.clone();
            self.state.image(&chunk_image_id(id, hash))?.share(&image);
        }
        self.load_record(id, &taken, module);
        let details = ChangeDetails::Snapshot {
            from: (owner != id).then_some(owner),
            id: args.snapshot_id.to_vec(),
            version: taken.version,
            taken_at: taken.taken_at,
            uploaded: taken.module.is_none(),
        };
        self.record_change(id, request, details);
        Ok(done(request))
    }

    /// Gives a canister what a snapshot holds beside the images.
    fn load_record(&mut self, id: Principal, taken: &Taken, module: Arc<Module>) {
        let now = self.now();
        let canister = self.state.existing(&id);
        canister.code = Some(Code {
            module,
            globals: taken.globals.clone(),
            heap_pages: taken.heap_pages,
            stable_pages: taken.stable_pages,
            fresh: taken.fresh,
        });
        canister.installed = now;
        canister.certified_data.clone_from(&taken.certified_data);
        canister.chunks.clone_from(&taken.chunks);
        canister.memory_version = Default::default();
        canister.version += 1;
        if let Some(timer) = taken.global_timer {
            canister.global_timer = timer;
        }
        if let Some(hook) = taken.hook {
            canister.hook = hook;
        }
        canister.note_memory();
        self.state.active.insert(id);
    }

    /// What is known of a snapshot's module; the module itself where that is not known yet.
    fn module_of_snapshot(
        &mut self,
        id: Principal,
        taken: &Taken,
        image: &Image,
    ) -> Checked<(Arc<Module>, Option<Arc<PreparedModule>>)> {
        if let Some(module) = &taken.module {
            return Ok(Ok((module.clone(), None)));
        }
        let bytes = module_bytes(image, taken.module_bytes)?;
        let prepared = match self.engine.config.executor.prepare(&bytes) {
            Ok(prepared) => prepared,
            Err(PrepareError::Fault(fault)) => return Err(fault),
            Err(PrepareError::Invalid(why)) => {
                return Ok(Err(crate::controller::install::invalid_wasm(id, &why)));
            }
        };
        let hash = sha256(&[&bytes]);
        self.engine.modules.put(hash, prepared.clone());
        let module = Arc::new(module_of(&prepared, hash));
        Ok(Ok((module, Some(prepared))))
    }
}

/// Whether an uploaded snapshot has the globals and the memory that its module needs.
fn fits(taken: &Taken, module: &PreparedModule) -> Result<(), Rejection> {
    let (found, wanted) = (taken.globals.len(), module.globals.len());
    if found != wanted {
        return Err(inconsistent(format!(
            "Wasm exported globals of canister module and snapshot metadata do not match: the module has {wanted}, the metadata {found}"
        )));
    }
    let same_type = |(one, other): (&GlobalValue, &GlobalValue)| {
        std::mem::discriminant(one) == std::mem::discriminant(other)
    };
    if !taken.globals.iter().zip(&module.globals).all(same_type) {
        return Err(inconsistent(
            "Wasm exported globals of canister module and snapshot metadata do not match: a type differs"
                .to_owned(),
        ));
    }
    let limit = price::heap_bytes_max(module.memory64, 0) / price::WASM_PAGE_BYTES;
    let most = module.memory_maximum.map_or(limit, |most| most.min(limit));
    let (pages, least) = (taken.heap_pages, module.memory_minimum);
    if pages < least || pages > most {
        let bytes = |pages: u64| pages * (PAGES_PER_WASM_PAGE * 4_096);
        return Err(inconsistent(format!(
            "The snapshot's Wasm memory has {} bytes, the module allows {} to {}",
            bytes(pages),
            bytes(least),
            bytes(most)
        )));
    }
    Ok(())
}
