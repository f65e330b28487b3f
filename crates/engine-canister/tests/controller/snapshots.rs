//! Snapshots: what they hold, how they are loaded, read, uploaded and bounded.

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterInfoArgs, CanisterInfoResult, CanisterSettings, CanisterStatusResult, CanisterTimer,
    ChangeDetails, DeleteCanisterSnapshotArgs, LoadCanisterSnapshotArgs,
    ReadCanisterSnapshotDataArgs, ReadCanisterSnapshotDataResult, ReadCanisterSnapshotMetadataArgs,
    ReadCanisterSnapshotMetadataResult, Snapshot, SnapshotDataKind, SnapshotDataOffset,
    SnapshotMetadataGlobal, SnapshotVisibility, TakeCanisterSnapshotArgs, UpdateSettingsArgs,
    UploadCanisterSnapshotDataArgs, UploadCanisterSnapshotMetadataArgs,
    UploadCanisterSnapshotMetadataResult, UploadChunkArgs,
};
use trilith_engine_canister::query::RequestStatus;

use crate::network::*;
use crate::{MODULE, installed, network};

fn take_args(canister_id: Principal, replace: Option<Vec<u8>>) -> TakeCanisterSnapshotArgs {
    TakeCanisterSnapshotArgs {
        canister_id,
        replace_snapshot: replace,
        uninstall_code: None,
        sender_canister_version: None,
    }
}

fn take(network: &mut Network, id: Principal) -> Snapshot {
    let reply = replied(network.manage("take_canister_snapshot", take_args(id, None)));
    candid::decode_one(&reply).unwrap()
}

fn load(network: &mut Network, canister_id: Principal, snapshot_id: &[u8]) -> RequestStatus {
    let args = LoadCanisterSnapshotArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
        sender_canister_version: None,
    };
    network.manage("load_canister_snapshot", args)
}

fn list(network: &mut Network, canister_id: Principal) -> Vec<Snapshot> {
    let record = CanisterRecord { canister_id };
    candid::decode_one(&replied(network.manage("list_canister_snapshots", record))).unwrap()
}

fn read(
    network: &mut Network,
    canister_id: Principal,
    snapshot_id: &[u8],
    kind: SnapshotDataKind,
) -> RequestStatus {
    let args = ReadCanisterSnapshotDataArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
        kind,
    };
    network.manage("read_canister_snapshot_data", args)
}

fn part(status: RequestStatus) -> Vec<u8> {
    let found: ReadCanisterSnapshotDataResult = candid::decode_one(&replied(status)).unwrap();
    found.chunk
}

fn metadata(
    network: &mut Network,
    canister_id: Principal,
    snapshot_id: &[u8],
) -> ReadCanisterSnapshotMetadataResult {
    let args = ReadCanisterSnapshotMetadataArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
    };
    let reply = replied(network.manage("read_canister_snapshot_metadata", args));
    candid::decode_one(&reply).unwrap()
}

fn upload_chunk(network: &mut Network, canister_id: Principal, chunk: &[u8]) {
    let chunk = chunk.to_vec();
    replied(network.manage("upload_chunk", UploadChunkArgs { canister_id, chunk }));
}

#[test]
fn a_snapshot_brings_back_memories_code_chunks_and_certified_data() {
    let mut network = network();
    let id = installed(&mut network);
    upload_chunk(&mut network, id, b"chunk");
    replied(network.update(id, "run", "set heap; stable stable; certify data; reply x"));
    let taken = take(&mut network, id);
    assert_eq!(taken.taken_at_timestamp, network.time);
    assert!(taken.total_size > 2 * 65_536);
    assert_eq!(list(&mut network, id), vec![taken.clone()]);
    let record = || CanisterRecord { canister_id: id };
    replied(network.manage("clear_chunk_store", record()));
    replied(network.update(
        id,
        "run",
        "set other; stable other; certify other; grow 1; reply x",
    ));
    let small = b"\0asm\nexport update run";
    replied(network.install(id, Mode::reinstall, small, ""));
    replied(load(&mut network, id, &taken.id));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"heap");
    assert_eq!(
        replied(network.update(id, "run", "reply_stable")),
        b"stable"
    );
    assert_eq!(replied(network.update(id, "run", "reply_pages")), b"1");
    let chunks = replied(network.manage("stored_chunks", record()));
    let chunks: Vec<ic_management_canister_types::ChunkHash> = candid::decode_one(&chunks).unwrap();
    assert_eq!(chunks.len(), 1);
    let status = replied(network.manage("canister_status", record()));
    let status: CanisterStatusResult = candid::decode_one(&status).unwrap();
    assert_eq!(
        status.module_hash.unwrap(),
        trilith_types::hash::sha256(&[MODULE])
    );
    assert_eq!(
        status.memory_metrics.snapshots_size,
        Nat::from(taken.total_size)
    );
    // It stays and can be loaded again.
    replied(network.update(id, "run", "set third; reply x"));
    replied(load(&mut network, id, &taken.id));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"heap");
    let args = CanisterInfoArgs {
        canister_id: id,
        num_requested_changes: Some(1),
    };
    let info: CanisterInfoResult = answered(network.ask_management(id, "canister_info", args));
    let Some(ChangeDetails::LoadSnapshot(change)) = &info.recent_changes[0].details else {
        panic!("{info:?}")
    };
    assert_eq!(change.snapshot_id, taken.id);
    assert_eq!(change.taken_at_timestamp, taken.taken_at_timestamp);
    assert_eq!(change.from_canister_id, None);
}

#[test]
fn snapshots_are_replaced_deleted_bounded_and_go_with_their_canister() {
    let mut network = network();
    let id = installed(&mut network);
    let before = network.state.images.len();
    let first = take(&mut network, id);
    let reply = replied(network.manage(
        "take_canister_snapshot",
        take_args(id, Some(first.id.clone())),
    ));
    let second: Snapshot = candid::decode_one(&reply).unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(list(&mut network, id), vec![second.clone()]);
    let (code, message, error) = rejected(load(&mut network, id, &first.id));
    assert_eq!((code, error.as_str()), (3, "IC0305"));
    let shown = hex::encode(&first.id);
    assert_eq!(
        message,
        format!("Could not find the snapshot ID {shown} for canister {id}.")
    );
    for _ in 0..9 {
        take(&mut network, id);
    }
    let (_, message, error) =
        rejected(network.manage("take_canister_snapshot", take_args(id, None)));
    assert_eq!(error, "IC0406");
    assert_eq!(
        message,
        format!("Canister {id} has reached the maximum number of snapshots allowed: 10.")
    );
    replied(network.manage(
        "delete_canister_snapshot",
        DeleteCanisterSnapshotArgs {
            canister_id: id,
            snapshot_id: second.id,
        },
    ));
    assert_eq!(list(&mut network, id).len(), 9);
    assert!(network.state.images.len() > before);
    replied(network.manage("stop_canister", CanisterRecord { canister_id: id }));
    replied(network.manage("delete_canister", CanisterRecord { canister_id: id }));
    assert!(network.state.images.is_empty());
    let left = network
        .state
        .keys
        .keys()
        .filter(|key| key.starts_with(b"canister"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_snapshot_may_empty_its_canister_and_fill_another_of_the_same_controller() {
    let mut network = network();
    let (id, other) = (installed(&mut network), network.create());
    replied(network.update(id, "run", "set moved; reply x"));
    let args = TakeCanisterSnapshotArgs {
        uninstall_code: Some(true),
        ..take_args(id, None)
    };
    let reply = replied(network.manage("take_canister_snapshot", args));
    let taken: Snapshot = candid::decode_one(&reply).unwrap();
    let (_, _, error) = rejected(network.update(id, "run", "reply x"));
    assert_eq!(error, "IC0537");
    replied(load(&mut network, other, &taken.id));
    assert_eq!(
        replied(network.update(other, "run", "reply_state")),
        b"moved"
    );
    // An empty canister has nothing to take.
    let (_, message, error) =
        rejected(network.manage("take_canister_snapshot", take_args(id, None)));
    assert_eq!(error, "IC0406");
    assert_eq!(
        message,
        format!("Failed to create snapshot for empty canister {id}:")
    );
    // Who does not control where it comes from cannot load it.
    network.user = User::new(2);
    let mine = network.create();
    let (_, _, error) = rejected(load(&mut network, mine, &taken.id));
    assert_eq!(error, "IC0512");
    let args = DeleteCanisterSnapshotArgs {
        canister_id: mine,
        snapshot_id: taken.id,
    };
    let (_, message, error) = rejected(network.manage("delete_canister_snapshot", args));
    assert_eq!(error, "IC0406");
    assert!(
        message.ends_with(&format!("does not belong to canister {mine}.")),
        "{message}"
    );
}

/// The parts of a snapshot as they are read out.
struct Parts {
    module: Vec<u8>,
    heap: Vec<u8>,
    stable: Vec<u8>,
    chunk: Vec<u8>,
}

/// Reads out a snapshot with memories of a page and one chunk.
fn read_out(network: &mut Network, id: Principal, snapshot: &[u8], hash: Vec<u8>) -> Parts {
    let (offset, size) = (0, MODULE.len() as u64);
    let module = SnapshotDataKind::WasmModule { offset, size };
    let size = 65_536;
    let heap = SnapshotDataKind::WasmMemory { offset, size };
    let stable = SnapshotDataKind::StableMemory { offset, size };
    let chunk = SnapshotDataKind::WasmChunk { hash };
    let mut take = |kind| part(read(network, id, snapshot, kind));
    Parts {
        module: take(module),
        heap: take(heap),
        stable: take(stable),
        chunk: take(chunk),
    }
}

/// Begins a snapshot with the metadata of another one.
fn begin_upload(
    network: &mut Network,
    id: Principal,
    found: ReadCanisterSnapshotMetadataResult,
) -> Vec<u8> {
    let args = UploadCanisterSnapshotMetadataArgs {
        canister_id: id,
        replace_snapshot: None,
        wasm_module_size: found.wasm_module_size,
        globals: found.globals.into_iter().flatten().collect(),
        wasm_memory_size: found.wasm_memory_size,
        stable_memory_size: found.stable_memory_size,
        certified_data: found.certified_data,
        global_timer: found.global_timer,
        on_low_wasm_memory_hook_status: found.on_low_wasm_memory_hook_status,
    };
    let reply = replied(network.manage("upload_canister_snapshot_metadata", args));
    let made: UploadCanisterSnapshotMetadataResult = candid::decode_one(&reply).unwrap();
    made.snapshot_id
}

#[test]
fn a_snapshot_is_read_out_and_uploaded_into_another_network() {
    let mut from = network();
    let id = installed(&mut from);
    upload_chunk(&mut from, id, b"a chunk");
    replied(from.update(id, "run", "set heap; stable stable; certify data; reply x"));
    let at = from.time + 1_000 * SECOND;
    replied(from.update(id, "run", format!("timer {at}; reply x")));
    let taken = take(&mut from, id);
    let found = metadata(&mut from, id, &taken.id);
    assert_eq!(found.wasm_module_size, MODULE.len() as u64);
    assert_eq!(found.wasm_memory_size, 65_536);
    assert_eq!(found.stable_memory_size, 65_536);
    assert_eq!(found.certified_data, b"data");
    assert_eq!(found.wasm_chunk_store.len(), 1);
    assert!(matches!(
        found.globals[..],
        [Some(SnapshotMetadataGlobal::I32(8))]
    ));
    assert!(matches!(found.global_timer, Some(CanisterTimer::Active(time)) if time == at));
    let hash = found.wasm_chunk_store[0].hash.clone();
    let parts = read_out(&mut from, id, &taken.id, hash);
    assert_eq!(parts.module, MODULE);
    assert_eq!(parts.chunk, b"a chunk");

    let mut to = network();
    let id = to.create();
    let snapshot = begin_upload(&mut to, id, found);
    let put = |network: &mut Network, kind, chunk: &[u8]| {
        let args = UploadCanisterSnapshotDataArgs {
            canister_id: id,
            snapshot_id: snapshot.clone(),
            kind,
            chunk: chunk.to_vec(),
        };
        network.manage("upload_canister_snapshot_data", args)
    };
    // Parts that begin and end within pages.
    let cut = 5_000;
    let second = SnapshotDataOffset::WasmMemory { offset: cut as u64 };
    replied(put(&mut to, second, &parts.heap[cut..]));
    replied(put(
        &mut to,
        SnapshotDataOffset::WasmMemory { offset: 0 },
        &parts.heap[..cut],
    ));
    replied(put(
        &mut to,
        SnapshotDataOffset::StableMemory { offset: 0 },
        &parts.stable,
    ));
    replied(put(&mut to, SnapshotDataOffset::WasmChunk, &parts.chunk));
    // Without its module the snapshot is no canister.
    let (_, _, error) = rejected(load(&mut to, id, &snapshot));
    assert_eq!(error, "IC0505");
    replied(put(
        &mut to,
        SnapshotDataOffset::WasmModule { offset: 0 },
        &parts.module,
    ));
    let beyond = SnapshotDataOffset::WasmModule { offset: 1 };
    let (_, message, error) = rejected(put(&mut to, beyond, &parts.module));
    assert_eq!(error, "IC0408");
    assert!(
        message.starts_with("Invalid subslice into wasm module"),
        "{message}"
    );
    replied(load(&mut to, id, &snapshot));
    assert_eq!(replied(to.update(id, "run", "reply_state")), b"heap");
    assert_eq!(replied(to.update(id, "run", "reply_stable")), b"stable");
}

#[test]
fn reading_is_bounded_and_what_was_taken_is_not_written() {
    let mut network = network();
    let id = installed(&mut network);
    let taken = take(&mut network, id);
    let kind = SnapshotDataKind::WasmMemory {
        offset: 0,
        size: 2_000_001,
    };
    let (_, message, error) = rejected(read(&mut network, id, &taken.id, kind));
    assert_eq!(error, "IC0408");
    assert_eq!(message, "Requested slice too large: 2000001 > 2000000");
    let kind = SnapshotDataKind::WasmMemory {
        offset: 65_000,
        size: 1_000,
    };
    let (_, message, _) = rejected(read(&mut network, id, &taken.id, kind));
    assert_eq!(
        message,
        "Invalid subslice into wasm module / main memory / stable memory: offset: 65000, size: 1000"
    );
    let kind = SnapshotDataKind::StableMemory {
        offset: u64::MAX,
        size: 1,
    };
    let (_, _, error) = rejected(read(&mut network, id, &taken.id, kind));
    assert_eq!(error, "IC0408");
    let kind = SnapshotDataKind::WasmChunk { hash: vec![0; 32] };
    let (_, _, error) = rejected(read(&mut network, id, &taken.id, kind));
    assert_eq!(error, "IC0504");
    let args = UploadCanisterSnapshotDataArgs {
        canister_id: id,
        snapshot_id: taken.id.clone(),
        kind: SnapshotDataOffset::WasmModule { offset: 0 },
        chunk: vec![1],
    };
    let (_, message, error) = rejected(network.manage("upload_canister_snapshot_data", args));
    assert_eq!(error, "IC0409");
    assert_eq!(
        message,
        "Only canister snapshots created by metadata upload can be mutated."
    );
    // Others read a snapshot only where the settings let them.
    network.user = User::new(2);
    let record = || CanisterRecord { canister_id: id };
    let (_, _, error) = rejected(network.manage("list_canister_snapshots", record()));
    assert_eq!(error, "IC0512");
    network.user = User::new(1);
    replied(network.manage(
        "update_settings",
        UpdateSettingsArgs {
            canister_id: id,
            settings: CanisterSettings {
                snapshot_visibility: Some(SnapshotVisibility::Public),
                ..CanisterSettings::default()
            },
            sender_canister_version: None,
        },
    ));
    network.user = User::new(2);
    assert_eq!(list(&mut network, id).len(), 1);
    assert_eq!(
        metadata(&mut network, id, &taken.id).wasm_memory_size,
        65_536
    );
    let (_, _, error) = rejected(network.manage("take_canister_snapshot", take_args(id, None)));
    assert_eq!(error, "IC0512");
}

#[test]
fn uploaded_metadata_that_fits_no_module_is_refused() {
    let mut network = network();
    let id = network.create();
    let args =
        |globals: Vec<SnapshotMetadataGlobal>, heap: u64| UploadCanisterSnapshotMetadataArgs {
            canister_id: id,
            replace_snapshot: None,
            wasm_module_size: MODULE.len() as u64,
            globals,
            wasm_memory_size: heap,
            stable_memory_size: 0,
            certified_data: Vec::new(),
            global_timer: None,
            on_low_wasm_memory_hook_status: None,
        };
    let method = "upload_canister_snapshot_metadata";
    let (_, message, error) = rejected(network.manage(method, args(Vec::new(), 65_537)));
    assert_eq!(error, "IC0408");
    assert!(message.contains("wasm_memory_size is 65537"), "{message}");
    for (globals, heap) in [
        (Vec::new(), 65_536),
        (vec![SnapshotMetadataGlobal::I64(1)], 65_536),
        (vec![SnapshotMetadataGlobal::I32(1)], 0),
    ] {
        let reply = replied(network.manage(method, args(globals, heap)));
        let made: UploadCanisterSnapshotMetadataResult = candid::decode_one(&reply).unwrap();
        let data = UploadCanisterSnapshotDataArgs {
            canister_id: id,
            snapshot_id: made.snapshot_id.clone(),
            kind: SnapshotDataOffset::WasmModule { offset: 0 },
            chunk: MODULE.to_vec(),
        };
        replied(network.manage("upload_canister_snapshot_data", data));
        let (_, message, error) = rejected(load(&mut network, id, &made.snapshot_id));
        assert_eq!(error, "IC0408", "{message}");
    }
    // Memory that the canister could not keep is refused.
    let args = UploadCanisterSnapshotMetadataArgs {
        stable_memory_size: 500 << 30,
        ..args(Vec::new(), 0)
    };
    let (_, message, error) = rejected(network.manage(method, args));
    assert_eq!(error, "IC0532");
    assert!(
        message.starts_with("Canister cannot grow memory by 5368"),
        "{message}"
    );
}
