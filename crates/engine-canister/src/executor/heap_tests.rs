//! The mapped memory against a plain byte vector, through messages that are kept, undone and
//! mapped anew.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::memory::reserved_bytes;
use super::super::pages::PageWriter;
use super::*;

const WASM_PAGES: u64 = 10;

/// How a message ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Kept,
    Undone,
    /// Kept, and the next message finds no mapping.
    Remapped,
}

#[derive(Clone, Debug)]
struct Message {
    /// Page and value written to it; a zero makes pages equal to the image or to nothing again.
    writes: Vec<(u64, u8)>,
    grows: bool,
    end: End,
}

fn message() -> impl Strategy<Value = Message> {
    let end = prop_oneof![Just(End::Kept), Just(End::Undone), Just(End::Remapped)];
    let pages = WASM_PAGES * CHUNK_PAGES;
    (
        proptest::collection::vec((0..pages, 0u8..3), 0..12),
        any::<bool>(),
        end,
    )
        .prop_map(|(writes, grows, end)| Message { writes, grows, end })
}

/// An image whose Wasm pages hold one whole run, several small ones, or nothing.
fn image(shape: &[u8]) -> (Image, Vec<u8>) {
    let mut bytes = vec![0u8; (WASM_PAGES * WASM_PAGE_BYTES) as usize];
    let mut image = Image::zero(WASM_PAGES * CHUNK_PAGES);
    for (chunk, kind) in shape.iter().enumerate() {
        let first = chunk as u64 * CHUNK_PAGES;
        let runs: &[(u64, u64)] = match kind {
            0 => &[],
            1 => &[(0, CHUNK_PAGES)],
            _ => &[(1, 2), (5, 1)],
        };
        for (offset, count) in runs {
            let mut writer = PageWriter::default();
            let page = first + offset;
            let range = page as usize * PAGE_BYTES..(page + count) as usize * PAGE_BYTES;
            bytes[range.clone()].fill(chunk as u8 + 10);
            image.overlay(writer.write(page, &bytes[range]).unwrap());
        }
    }
    (image, bytes)
}

/// Takes over what a message wrote, as an execution does.
fn keep(heap: &mut Heap, pagemap: &Pagemap, image: &mut Image) {
    let candidates = heap.candidates(pagemap).unwrap();
    let dirty = heap.dirty(&candidates, image).unwrap();
    let mut writer = PageWriter::default();
    let mut runs = Vec::new();
    for (first, end) in neighbours(&dirty) {
        runs.push(
            writer
                .write(first, &heap.bytes()[bytes(first)..bytes(end)])
                .unwrap(),
        );
    }
    heap.adopt(&dirty, &candidates).unwrap();
    image.resize(heap.wasm_pages() * CHUNK_PAGES);
    for run in runs {
        image.overlay(run);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_behaves_like_bytes(
        shape in proptest::collection::vec(0u8..3, WASM_PAGES as usize),
        messages in proptest::collection::vec(message(), 1..8),
        seeing: bool,
    ) {
        let pagemap = if seeing { Pagemap::open() } else { Pagemap::none() };
        let (mut image, mut model) = image(&shape);
        let mut heap = Heap::map(&image, WASM_PAGES, reserved_bytes()).unwrap();
        prop_assert!(heap.bytes() == model);
        for message in messages {
            let before = model.clone();
            if message.grows {
                let len = model.len() + CHUNK_BYTES;
                heap.lend().grow_to(len).unwrap();
                model.resize(len, 0);
                *heap.bytes().last_mut().unwrap() = 9;
                *model.last_mut().unwrap() = 9;
            }
            for (page, value) in &message.writes {
                let at = bytes(*page) + 77;
                heap.bytes()[at] = *value;
                model[at] = *value;
            }
            prop_assert!(heap.bytes() == model);
            match message.end {
                End::Undone => {
                    let candidates = heap.candidates(&pagemap).unwrap();
                    heap.roll_back(&candidates).unwrap();
                    model = before;
                }
                End::Kept => keep(&mut heap, &pagemap, &mut image),
                End::Remapped => {
                    keep(&mut heap, &pagemap, &mut image);
                    heap = Heap::map(&image, heap.wasm_pages(), reserved_bytes()).unwrap();
                }
            }
            prop_assert!(heap.bytes() == model);
            prop_assert_eq!(image.read(0, model.len()).unwrap(), model.clone());
            let candidates = heap.candidates(&pagemap).unwrap();
            prop_assert!(heap.dirty(&candidates, &image).unwrap().is_empty());
        }
    }
}

#[test]
fn an_image_in_very_many_pieces_is_copied() {
    let pages = 2 * MAPPINGS_MAX as u64 + CHUNK_PAGES;
    let mut image = Image::zero(pages.next_multiple_of(CHUNK_PAGES));
    let mut writer = PageWriter::default();
    let first = writer.write(0, &[5; PAGE_BYTES]).unwrap();
    for page in (0..pages).step_by(2) {
        image.overlay(PageRun {
            page,
            file: Arc::clone(&first.file),
            ..first
        });
    }
    assert!(image.run_count() > MAPPINGS_MAX);
    let mut heap = Heap::map(&image, image.pages() / CHUNK_PAGES, reserved_bytes()).unwrap();
    let memory = heap.bytes();
    for page in 0..pages {
        let expected = if page % 2 == 0 { 5 } else { 0 };
        assert_eq!(memory[bytes(page) + 1], expected);
    }
    assert!(heap.is_compact());
}
