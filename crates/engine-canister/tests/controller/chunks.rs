//! The chunk store: what is refused, and whose chunks may be installed from.

use candid::Principal;
use ic_management_canister_types::{
    CanisterInstallMode, ChunkHash, InstallChunkedCodeArgs, UploadChunkArgs,
};
use trilith_types::hash::sha256;

use crate::network::*;
use crate::{MODULE, network};

fn upload(network: &mut Network, canister_id: Principal, chunk: &[u8]) -> Vec<u8> {
    let args = UploadChunkArgs {
        canister_id,
        chunk: chunk.to_vec(),
    };
    let reply = replied(network.manage("upload_chunk", args));
    candid::decode_one::<ChunkHash>(&reply).unwrap().hash
}

fn install_args(target: Principal, store: Option<Principal>) -> InstallChunkedCodeArgs {
    let hash = sha256(&[MODULE]).to_vec();
    InstallChunkedCodeArgs {
        mode: CanisterInstallMode::Install,
        target_canister: target,
        store_canister: store,
        chunk_hashes_list: vec![ChunkHash { hash: hash.clone() }],
        wasm_module_hash: hash,
        arg: b"set chunks".to_vec(),
        sender_canister_version: None,
    }
}

#[test]
fn code_is_installed_from_the_store_of_another_canister_of_the_caller() {
    let mut network = network();
    let (store, target) = (network.create(), network.create());
    assert_eq!(upload(&mut network, store, MODULE), sha256(&[MODULE]));
    let args = install_args(target, Some(store));
    replied(network.manage("install_chunked_code", args));
    assert_eq!(
        replied(network.update(target, "run", "reply_state")),
        b"chunks"
    );
    network.user = User::new(2);
    let mine = network.create();
    let (_, message, error) =
        rejected(network.manage("install_chunked_code", install_args(mine, Some(store))));
    assert_eq!(error, "IC0512");
    assert_eq!(
        message,
        format!("Only controllers of canister {store} can call ic00 method install_chunked_code")
    );
}

#[test]
fn chunks_that_do_not_fit_are_refused_in_the_replicas_words() {
    let mut network = network();
    let id = network.create();
    let large = UploadChunkArgs {
        canister_id: id,
        chunk: vec![0; (1 << 20) + 1],
    };
    let (_, message, error) = rejected(network.manage("upload_chunk", large));
    assert_eq!(error, "IC0504");
    assert_eq!(
        message,
        "Error from Wasm chunk store: Wasm chunk size 1048577 exceeds the maximum chunk size of 1048576."
    );
    let (_, message, error) =
        rejected(network.manage("install_chunked_code", install_args(id, None)));
    assert_eq!(error, "IC0504");
    assert!(message.contains("was not found"), "{message}");
    let short = InstallChunkedCodeArgs {
        chunk_hashes_list: vec![ChunkHash { hash: vec![1] }],
        ..install_args(id, None)
    };
    let (_, message, _) = rejected(network.manage("install_chunked_code", short));
    assert_eq!(
        message,
        "Error from Wasm chunk store: Chunk hash is invalid. The length is not 32."
    );
    let hash = upload(&mut network, id, b"no module");
    let wrong = InstallChunkedCodeArgs {
        chunk_hashes_list: vec![ChunkHash { hash }],
        ..install_args(id, None)
    };
    let (_, message, _) = rejected(network.manage("install_chunked_code", wrong));
    assert!(message.contains("does not match given hash"), "{message}");
    // The store holds a hundred chunks; one that is there already needs no room.
    for n in 1..100u8 {
        upload(&mut network, id, &[n]);
    }
    let more = |chunk: &[u8]| UploadChunkArgs {
        canister_id: id,
        chunk: chunk.to_vec(),
    };
    let (_, message, error) = rejected(network.manage("upload_chunk", more(b"one too many")));
    assert_eq!(error, "IC0504");
    assert!(
        message
            .contains("Wasm chunk store has already reached maximum capacity of 104857600 bytes"),
        "{message}"
    );
    replied(network.manage("upload_chunk", more(b"no module")));
}
