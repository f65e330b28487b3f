//! The runs of an image, shared between its versions.
//!
//! Runs lie in ascending order in chunks of at most 256. A clone copies one reference for each
//! chunk, and a change copies the chunks it touches, so that a version of an image of a million
//! scattered pages costs little more than what differs from the version before.
//!
//! Invariants: runs are not empty and do not overlap; no chunk is empty; a chunk's key is the first
//! page of its first run; the page after a run fits 64 bits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PageRun;

/// Most runs of a chunk. Tests use small ones, so that short histories cross every border.
const CHUNK_RUNS: usize = if cfg!(test) { 3 } else { 256 };

type Chunk = Arc<Vec<PageRun>>;

/// Runs in ascending order.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    chunks: BTreeMap<u64, Chunk>,
    count: usize,
}

fn end(run: &PageRun) -> u64 {
    run.page + run.count
}

impl Runs {
    /// How many runs there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All runs in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PageRun> {
        self.chunks.values().flat_map(|chunk| chunk.iter())
    }

    /// The runs that hold pages from `page` up to before `end`, in ascending order.
    pub(super) fn within(&self, page: u64, end_page: u64) -> impl Iterator<Item = &PageRun> {
        let runs = self.chunks_within(page, end_page).flat_map(move |chunk| {
            let from = chunk.partition_point(|run| end(run) <= page);
            chunk[from..].iter()
        });
        runs.take_while(move |run| run.page < end_page)
    }

    /// The run that holds a page.
    pub(super) fn of(&self, page: u64) -> Option<&PageRun> {
        let (_, chunk) = self.chunks.range(..=page).next_back()?;
        let next = chunk.partition_point(|run| run.page <= page);
        chunk[..next].last().filter(|run| page < end(run))
    }

    /// Removes the pages from `page` up to before `end` from all runs.
    pub(super) fn clear(&mut self, page: u64, end_page: u64) {
        let touched = self.chunks_within(page, end_page);
        let touched: Vec<u64> = touched.map(|chunk| chunk[0].page).collect();
        for key in touched {
            self.clear_chunk(key, page, end_page);
        }
    }

    fn clear_chunk(&mut self, key: u64, page: u64, end_page: u64) {
        let Some(chunk) = self.chunks.remove(&key) else {
            return;
        };
        let mut chunk = Arc::unwrap_or_clone(chunk);
        let from = chunk.partition_point(|run| end(run) <= page);
        let to = chunk.partition_point(|run| run.page < end_page);
        if from < to {
            let (first, last) = (&chunk[from], &chunk[to - 1]);
            let before = (first.page < page).then(|| PageRun {
                count: page - first.page,
                ..first.clone()
            });
            let behind = (end(last) > end_page).then(|| PageRun {
                page: end_page,
                count: end(last) - end_page,
                file_page: last.file_page + (end_page - last.page),
                file: Arc::clone(&last.file),
            });
            let kept = before.into_iter().chain(behind);
            self.count -= chunk.len();
            chunk.splice(from..to, kept);
            self.count += chunk.len();
        }
        self.put(chunk);
    }

    /// Adds a run where no page is held, joined to the one before if it continues that in the same
    /// file.
    pub(super) fn insert(&mut self, run: PageRun) {
        let Some((_, chunk)) = self.chunks.range_mut(..run.page).next_back() else {
            let mut runs = vec![run];
            if let Some((_, chunk)) = self.chunks.pop_first() {
                runs.extend(Arc::unwrap_or_clone(chunk));
            }
            self.count += 1;
            self.put(runs);
            return;
        };
        let next = chunk.partition_point(|other| other.page < run.page);
        let runs = Arc::make_mut(chunk);
        if let Some(before) = runs[..next].last_mut()
            && end(before) == run.page
            && Arc::ptr_eq(&before.file, &run.file)
            && before.file_page + before.count == run.file_page
        {
            before.count += run.count;
            return;
        }
        runs.insert(next, run);
        self.count += 1;
        if runs.len() > CHUNK_RUNS {
            // Runs mostly come in ascending order; splitting before the last keeps chunks full.
            let is_last = next == CHUNK_RUNS;
            let behind = runs.split_off(if is_last { next } else { CHUNK_RUNS / 2 });
            self.put(behind);
        }
    }

    /// Puts the runs of a chunk, or of one that has become too long, where they belong.
    fn put(&mut self, mut runs: Vec<PageRun>) {
        if runs.len() > CHUNK_RUNS {
            let behind = runs.split_off(runs.len() / 2);
            self.put(behind);
        }
        if let Some(first) = runs.first() {
            self.chunks.insert(first.page, Arc::new(runs));
        }
    }

    /// The chunks that hold pages from `page` up to before `end_page`, or have runs around them.
    fn chunks_within(&self, page: u64, end_page: u64) -> impl Iterator<Item = &Chunk> {
        let before = self.chunks.range(..=page).next_back();
        let before = before.filter(|(_, chunk)| chunk.last().is_some_and(|run| end(run) > page));
        let first = before.map_or(page, |(key, _)| *key);
        let range = (page < end_page).then(|| self.chunks.range(first..end_page));
        range.into_iter().flatten().map(|(_, chunk)| chunk)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut least = 0;
        for (key, chunk) in &self.chunks {
            assert_eq!(chunk.first().map(|run| run.page), Some(*key));
            assert!(chunk.len() <= CHUNK_RUNS);
            for run in chunk.iter() {
                assert!(run.count > 0 && run.page >= least);
                least = end(run);
            }
        }
        assert_eq!(self.iter().count(), self.count);
    }
}
