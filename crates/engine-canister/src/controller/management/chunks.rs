//! The chunk store of a canister, from which large modules are installed.

use trilith_params::canister::{CHUNK_BYTES_MAX, CHUNKS_MAX};
use trilith_protocol::Fault;
use trilith_types::hash::sha256;

use super::types::{CanisterIdRecord, ChunkHash, InstallChunkedArgs, UploadChunkArgs};
use super::{ManagedResult, answered, decoded, done, not_controller};
use crate::controller::memory_file::pages_of;
use crate::controller::price;
use crate::controller::record::{Request, chunk_image_id};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

fn refuse(why: impl std::fmt::Display) -> Rejection {
    let why = format!("Error from Wasm chunk store: {why}.");
    Rejection::new(ErrorCode::ContractViolation, why)
}

impl Round<'_> {
    pub(super) fn upload_chunk(&mut self, request: &Request) -> ManagedResult {
        let args: UploadChunkArgs = decoded!(request);
        let id = args.canister_id;
        if args.chunk.len() > CHUNK_BYTES_MAX {
            let len = args.chunk.len();
            let why = format!(
                "Wasm chunk size {len} exceeds the maximum chunk size of {CHUNK_BYTES_MAX}"
            );
            return Ok(refuse(why).into());
        }
        let hash = sha256(&[&args.chunk]);
        let canister = self.state.existing(&id);
        if !canister.chunks.contains_key(&hash) {
            if canister.chunks.len() >= CHUNKS_MAX {
                let bytes = CHUNKS_MAX * CHUNK_BYTES_MAX;
                let why = format!(
                    "Wasm chunk store has already reached maximum capacity of {bytes} bytes or the maximum number of entries, {CHUNKS_MAX}"
                );
                return Ok(refuse(why).into());
            }
            if let Err(rejection) = self.pay(id, price::UPLOAD_CHUNK_INSTRUCTIONS) {
                return Ok(rejection.into());
            }
            let (pages, runs) = pages_of(&args.chunk)?;
            let image = self.state.image(&chunk_image_id(id, &hash))?;
            image.clear();
            image.write(pages, runs);
            self.state
                .existing(&id)
                .chunks
                .insert(hash, args.chunk.len() as u64);
        }
        Ok(answered(
            request,
            &ChunkHash {
                hash: hash.to_vec(),
            },
        ))
    }

    pub(super) fn stored_chunks(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let chunks = self.state.existing(&args.canister_id).chunks.keys();
        let chunks: Vec<ChunkHash> = chunks
            .map(|hash| ChunkHash {
                hash: hash.to_vec(),
            })
            .collect();
        Ok(answered(request, &chunks))
    }

    pub(super) fn clear_chunk_store(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        self.clear_chunks(args.canister_id)?;
        Ok(done(request))
    }

    /// Puts a module together from stored chunks.
    pub(crate) fn assemble(
        &mut self,
        request: &Request,
        args: &InstallChunkedArgs,
    ) -> Result<Result<Vec<u8>, Rejection>, Fault> {
        let store = args.store_canister.unwrap_or(args.target_canister);
        let caller = request.origin.caller();
        let Some(canister) = self.state.canister(&store) else {
            return Ok(Err(Rejection::not_found(store)));
        };
        if !canister.is_controller(&caller) && caller != store {
            return Ok(Err(not_controller(
                store,
                canister,
                &request.origin,
                &request.method,
            )));
        }
        let chunks = canister.chunks.clone();
        if args.chunk_hashes_list.len() > CHUNKS_MAX {
            let (len, limit) = (args.chunk_hashes_list.len(), CHUNKS_MAX);
            let why = format!("the list of hashes has {len} entries, the limit is {limit}");
            return Ok(Err(refuse(why)));
        }
        let mut module = Vec::new();
        for chunk in &args.chunk_hashes_list {
            let Ok(hash) = <[u8; 32]>::try_from(chunk.hash.as_slice()) else {
                return Ok(Err(refuse("Chunk hash is invalid. The length is not 32")));
            };
            let Some((hash, len)) = chunks.get_key_value(&hash) else {
                let why = format!("Chunk hash {hash:?} was not found");
                return Ok(Err(refuse(why)));
            };
            let image = self.state.image(&chunk_image_id(store, hash))?;
            let bytes = image.current.read(0, *len as usize);
            module.extend(bytes.map_err(|error| Fault(format!("cannot read a chunk: {error}")))?);
        }
        if sha256(&[&module]).as_slice() != args.wasm_module_hash.as_slice() {
            let (found, given) = (sha256(&[&module]), &args.wasm_module_hash);
            let why = format!("Wasm module hash {found:?} does not match given hash {given:?}");
            return Ok(Err(refuse(why)));
        }
        Ok(Ok(module))
    }
}
