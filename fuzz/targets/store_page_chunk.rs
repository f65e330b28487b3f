//! Page chunks of exported checkpoints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_store::export::{CHUNK_PAGES, PageChunk};

fuzz_target!(|data: &[u8]| {
    if let Ok(chunk) = PageChunk::decode(data) {
        let pages: u64 = chunk.sections.iter().map(|section| section.count()).sum();
        assert!((1..=CHUNK_PAGES as u64).contains(&pages));
        assert_eq!(pages, chunk.pages.len() as u64);
    }
});
