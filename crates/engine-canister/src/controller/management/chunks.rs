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

fn refuse(why: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidManagementPayload, why)
}

impl Round<'_> {
    pub(super) fn upload_chunk(&mut self, request: &Request) -> ManagedResult {
        let args: UploadChunkArgs = decoded!(request);
        let id = args.canister_id;
        if args.chunk.is_empty() || args.chunk.len() > CHUNK_BYTES_MAX {
            let why = format!(
                "the chunk has {} bytes, allowed are 1 to {CHUNK_BYTES_MAX}",
                args.chunk.len()
            );
            return Ok(refuse(why).into());
        }
        let hash = sha256(&[&args.chunk]);
        let canister = self.state.existing(&id);
        if !canister.chunks.contains_key(&hash) {
            if canister.chunks.len() >= CHUNKS_MAX {
                let why =
                    format!("the chunk store of {id} has {CHUNKS_MAX} chunks, which is the limit");
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
            return Ok(Err(not_controller(store, caller)));
        }
        let chunks = canister.chunks.clone();
        if args.chunk_hashes_list.len() > CHUNKS_MAX {
            let why = format!(
                "the list has {} chunks, the limit is {CHUNKS_MAX}",
                args.chunk_hashes_list.len()
            );
            return Ok(Err(refuse(why)));
        }
        let mut module = Vec::new();
        for chunk in &args.chunk_hashes_list {
            let hash = <[u8; 32]>::try_from(chunk.hash.as_slice()).ok();
            let Some((hash, len)) = hash.and_then(|hash| chunks.get_key_value(&hash)) else {
                return Ok(Err(refuse(format!(
                    "a chunk of the list is not in the store of {store}"
                ))));
            };
            let image = self.state.image(&chunk_image_id(store, hash))?;
            let bytes = image.current.read(0, *len as usize);
            module.extend(bytes.map_err(|error| Fault(format!("cannot read a chunk: {error}")))?);
        }
        if sha256(&[&module]).as_slice() != args.wasm_module_hash.as_slice() {
            let why = "the chunks together do not have the hash `wasm_module_hash`".to_owned();
            return Ok(Err(refuse(why)));
        }
        Ok(Ok(module))
    }
}
