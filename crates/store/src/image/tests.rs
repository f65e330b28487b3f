use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use trilith_types::PAGE_BYTES;

use super::prepare::ImageWrite;
use super::*;
use crate::fault::{Refusal, StoreFault};
use crate::page_tree::page_hash;

const SOURCE_PAGES: u64 = 600;

type Bytes = [u8; PAGE_BYTES];

/// Page `number` of the source file: one of seven, of which the first is zero.
fn source_page(number: u64) -> Bytes {
    let tag = (number * number + number / 50) % 7;
    let mut bytes = [0; PAGE_BYTES];
    bytes[(tag * 500) as usize..].fill(tag as u8);
    bytes
}

fn source() -> PageFile {
    let file = tempfile::tempfile().unwrap();
    for number in 0..SOURCE_PAGES {
        file.write_all_at(&source_page(number), number * PAGE_BYTES as u64)
            .unwrap();
    }
    Arc::new(file)
}

fn id() -> ImageId {
    ImageId::new(*b"image").unwrap()
}

fn run(file: &PageFile, page: u64, count: u64, file_page: u64) -> PageRun {
    PageRun {
        page,
        count,
        file: Arc::clone(file),
        file_page,
    }
}

/// An update of one image: whether it is reset, its pages, and its runs.
type Step = (bool, u64, Vec<(u64, u64, u64)>);

fn step() -> impl Strategy<Value = Step> {
    let runs = proptest::collection::vec((0u64..60, 1u64..90, 0u64..SOURCE_PAGES - 90), 0..6);
    (any::<bool>(), 0u64..300, runs).prop_map(|(reset, pages, gaps)| {
        let (mut runs, mut least) = (Vec::new(), 0);
        for (gap, count, file_page) in gaps {
            let page = least + gap;
            if page < pages {
                let count = count.min(pages - page);
                runs.push((page, count, file_page));
                least = page + count;
            }
        }
        (reset, pages, runs)
    })
}

/// Several images, and plain copies of what they should be.
struct Images {
    stored: Vec<Option<StoredImage>>,
    plain: Vec<Vec<Bytes>>,
    /// Where stored pages are put, one after the other.
    file: PageFile,
    next: u64,
}

/// What was found on some number of threads.
type Outcome = (Vec<(ImagePatch, Vec<PageHash>)>, Vec<Bytes>);

impl Images {
    fn prepare(&self, threads: usize, steps: &[Step], source: &PageFile) -> Outcome {
        let id = id();
        let runs = |(_, _, runs): &Step| -> Vec<PageRun> {
            let run = |&(page, count, from): &_| run(source, page, count, from);
            runs.iter().map(run).collect()
        };
        let runs: Vec<_> = steps.iter().map(runs).collect();
        let parts = steps.iter().zip(&runs).zip(&self.stored);
        let writes: Vec<_> = parts
            .map(|((step, runs), base)| {
                ImageWrite::new(base.as_ref(), &id, (step.0, step.1, runs)).unwrap()
            })
            .collect();
        let mut pages = Vec::new();
        let mut store = |page: &Bytes| {
            pages.push(*page);
            Ok(())
        };
        let workers = Workers::new(threads);
        let found = StoredImage::prepare_all(&workers, &writes, &mut store).unwrap();
        let found = found.into_iter().map(|found| (found.patch, found.hashes));
        (found.collect(), pages)
    }

    fn apply(&mut self, threads: usize, steps: &[Step], (found, pages): &Outcome) {
        for (number, page) in (self.next..).zip(pages) {
            self.file
                .write_all_at(page, number * PAGE_BYTES as u64)
                .unwrap();
        }
        let workers = Workers::new(threads);
        for (base, (patch, hashes)) in self.stored.iter_mut().zip(found) {
            assert!(patch.is_sound());
            let source = PageSource {
                file: Arc::clone(&self.file),
                file_page: self.next,
            };
            self.next += patch.stored_pages();
            let update = (patch, &hashes[..]);
            *base = Some(StoredImage::patched_on(
                &workers,
                base.as_ref(),
                update,
                &source,
            ));
        }
        for (plain, (reset, pages, runs)) in self.plain.iter_mut().zip(steps) {
            if *reset {
                plain.clear();
            }
            plain.resize(*pages as usize, [0; PAGE_BYTES]);
            for (page, count, from) in runs {
                for step in 0..*count {
                    plain[(page + step) as usize] = source_page(from + step);
                }
            }
        }
    }

    fn check(&self) {
        for (stored, plain) in self.stored.iter().zip(&self.plain) {
            let Some(stored) = stored else { continue };
            let mut tree = PageTree::zero(plain.len() as u64);
            let leaves: Vec<_> = (0..).zip(plain.iter().map(page_hash)).collect();
            tree.set(&leaves);
            assert_eq!(stored.tree.root(), tree.root());
            assert_eq!(stored.image.pages(), plain.len() as u64);
            let bytes = stored.image.read(0, plain.len() * PAGE_BYTES).unwrap();
            assert!(bytes == plain.concat());
            for (number, page) in (0..).zip(plain) {
                let is_stored = stored.image.run_of(number).is_some();
                assert_eq!(is_stored, page.iter().any(|byte| *byte != 0));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Three images at once, updated again and again: found and applied on other numbers of
    /// threads, patches, stored pages and trees are the same, and those of the plain bytes.
    #[test]
    fn updates_agree_with_plain_bytes_on_any_number_of_threads(
        rounds in proptest::collection::vec((step(), step(), step()), 1..5)
    ) {
        let source = source();
        let mut images = Images {
            stored: vec![None; 3],
            plain: vec![Vec::new(); 3],
            file: Arc::new(tempfile::tempfile().unwrap()),
            next: 0,
        };
        for (round, (first, second, third)) in rounds.into_iter().enumerate() {
            let steps = [first, second, third];
            let outcome = images.prepare(1, &steps, &source);
            prop_assert!(images.prepare(2, &steps, &source) == outcome);
            prop_assert!(images.prepare(5, &steps, &source) == outcome);
            images.apply(1 + round % 3, &steps, &outcome);
            images.check();
            let again: Vec<Step> = steps.into_iter().map(|(_, pages, runs)| (false, pages, runs)).collect();
            let (found, pages) = images.prepare(3, &again, &source);
            prop_assert!(pages.is_empty(), "what was stored is not stored again");
            prop_assert!(found.iter().all(|(patch, _)| patch.cleared.is_empty()));
        }
    }
}

#[test]
fn bad_runs_are_refused_with_value_and_limit() {
    let file = source();
    let refused = |pages, runs: &[(u64, u64, u64)]| {
        let runs: Vec<_> = runs
            .iter()
            .map(|&(page, count, from)| run(&file, page, count, from))
            .collect();
        match ImageWrite::new(None, &id(), (false, pages, &runs)).err() {
            Some(StoreFault::Refused(refusal)) => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    };
    let limits = "start at 0 or later, and end within 10 pages of the image and 2251799813685248";
    let cases = [
        ((0, 0, 0), "run number 0 of image 696d616765 has 0 pages"),
        ((10, 1, 0), "has 1 pages from 10 on"),
        ((9, 2, 0), "has 2 pages from 9 on"),
        ((u64::MAX, 1, 0), "has 1 pages from 18446744073709551615 on"),
        ((1, u64::MAX, 0), "has 18446744073709551615 pages from 1 on"),
        ((0, 2, u64::MAX), "file from 18446744073709551615 on"),
        ((0, 2, (1 << 51) - 1), "file from 2251799813685247 on"),
    ];
    for (bad, said) in cases {
        let message = refused(10, &[bad]);
        assert!(message.contains(said), "{message}");
        assert!(message.contains(limits), "{message}");
    }
    for second in [(0, 1, 0), (4, 1, 0), (3, 9, 0)] {
        let message = refused(10, &[(3, 2, 0), second]);
        assert!(message.contains("run number 1 of"), "{message}");
        assert!(message.contains("start at 5 or later"), "{message}");
    }
    let message = refused(IMAGE_PAGES_MAX + 1, &[]);
    assert!(
        message.contains("is 1099511627777, over the limit of 1099511627776"),
        "{message}"
    );
    assert!(matches!(
        ImageWrite::new(None, &id(), (false, u64::MAX, &[])).err(),
        Some(StoreFault::Refused(Refusal::TooLarge { .. }))
    ));
}

#[test]
fn a_fault_comes_after_the_pages_before_it() {
    let file = source();
    let writable = Arc::new(File::options().write(true).open("/dev/null").unwrap());
    let runs = [run(&file, 0, 200, 300), run(&writable, 200, 3, 0)];
    let id = id();
    for threads in [1, 4] {
        let write = ImageWrite::new(None, &id, (false, 300, &runs)).unwrap();
        let mut stored = 0;
        let mut store = |_: &Bytes| {
            stored += 1;
            Ok(())
        };
        let workers = Workers::new(threads);
        let found = StoredImage::prepare_all(&workers, &[write], &mut store);
        assert!(matches!(
            found.err(),
            Some(StoreFault::Io {
                operation: "read",
                ..
            })
        ));
        let whole = 300..300 + 192;
        let nonzero = whole.filter(|page| source_page(*page) != [0; PAGE_BYTES]);
        assert_eq!(stored, nonzero.count());
    }
}
