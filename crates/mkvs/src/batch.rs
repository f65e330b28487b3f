//! A write log applied to a tree by several workers.
//!
//! A sorted write log falls apart at the nodes near the top: what goes to the left of a node and
//! what goes to its right change different subtrees. Each part is a job of its own, which also
//! hashes its subtree; afterwards the few nodes above are put in order.
//!
//! Invariant: the outcome depends on the log alone, not on who ran which job when. The jobs touch
//! disjoint subtrees, and of several errors the one of the first job is reported.

use trilith_proof::mkvs::Bits;
use trilith_types::WriteLogEntry;

use crate::change::{Source, change_at, check_entry, children_mut, hold, joined};
use crate::node::{Kind, LEFT, Link, Node, OWN, RIGHT};
use crate::{Tree, TreeError};

/// Something to be done once, by any thread.
pub type Job<'j> = Box<dyn FnOnce() + Send + 'j>;

/// Runs jobs, on as many threads as it likes, in any order.
pub trait Workers {
    /// Returns when all of `jobs` have run.
    fn run(&self, jobs: Vec<Job<'_>>);
}

/// Runs jobs one after the other where they were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneThread;

impl Workers for OneThread {
    fn run(&self, jobs: Vec<Job<'_>>) {
        jobs.into_iter().for_each(|job| job());
    }
}

/// Levels at which a log is parted: up to 64 jobs, so that unequal ones even out.
const LEVELS: u32 = 6;
/// A part with fewer entries than this is not parted further: a job should outweigh its hand-over.
const JOB_ENTRIES_MIN: usize = 64;

impl Tree {
    /// Does all that a write log says, or nothing, and hashes what changed, with `workers` sharing
    /// the work. The result is that of [`Tree::apply`].
    ///
    /// A log whose keys do not ascend is applied entry by entry.
    ///
    /// # Errors
    /// [`TreeError`] of an entry that cannot be done.
    pub fn apply_by(
        &mut self,
        log: &[WriteLogEntry],
        workers: &dyn Workers,
    ) -> Result<(), TreeError> {
        self.change_by(log, workers, true)
    }

    /// Does as [`Tree::apply_by`] and leaves the hashing to whoever asks for a root: when several
    /// logs follow each other, what they all change is then hashed once.
    ///
    /// # Errors
    /// As [`Tree::apply_by`].
    pub fn apply_unhashed_by(
        &mut self,
        log: &[WriteLogEntry],
        workers: &dyn Workers,
    ) -> Result<(), TreeError> {
        self.change_by(log, workers, false)
    }

    fn change_by(
        &mut self,
        log: &[WriteLogEntry],
        workers: &dyn Workers,
        hashing: bool,
    ) -> Result<(), TreeError> {
        let ascending = log.is_sorted_by(|a, b| a.key < b.key);
        if log.len() < 2 * JOB_ENTRIES_MIN || !ascending {
            return self.apply(log);
        }
        for entry in log {
            check_entry(&entry.key, entry.value.as_deref())?;
        }
        let source = self.source.clone();
        let source = source.as_deref();
        let mut changed = self.clone();
        let mut parts = Vec::new();
        let whole = Part {
            link: &mut changed.top,
            depth: 0,
            entries: log,
            result: Ok(()),
        };
        let plan = part(source, whole, LEVELS, &mut parts)?;
        let jobs = parts
            .iter_mut()
            .map(|part| Box::new(move || part.run(source, hashing)) as Job<'_>);
        workers.run(jobs.collect());
        parts.into_iter().try_for_each(|part| part.result)?;
        settle(source, &mut changed.top, &plan)?;
        *self = changed;
        Ok(())
    }
}

/// The entries for one subtree.
struct Part<'t> {
    link: &'t mut Link,
    /// Key bits above it.
    depth: usize,
    entries: &'t [WriteLogEntry],
    result: Result<(), TreeError>,
}

impl Part<'_> {
    fn run(&mut self, source: Source<'_>, hashing: bool) {
        self.result = self
            .entries
            .iter()
            .try_for_each(|entry| change_at(source, self.link, self.depth, entry));
        if hashing && self.result.is_ok() {
            self.link.hash();
        }
    }
}

/// Where a log was parted.
enum Plan {
    /// Not here: one job has it.
    Whole,
    /// At this node, whose left and right went different ways.
    Parted(Box<[Plan; 2]>),
}

/// Parts the entries at the node that `whole` leads to, and so on below; recurses at most
/// [`LEVELS`] deep.
fn part<'t>(
    source: Source<'_>,
    whole: Part<'t>,
    levels: u32,
    parts: &mut Vec<Part<'t>>,
) -> Result<Plan, TreeError> {
    let end = match whole.entries {
        [first, .., last] if levels > 0 && whole.entries.len() >= JOB_ENTRIES_MIN => {
            hold(source, whole.link)?;
            shared_end(whole.link, whole.depth, &first.key, &last.key)
        }
        _ => None,
    };
    let Some(end) = end else {
        parts.push(whole);
        return Ok(Plan::Whole);
    };
    let Part { link, entries, .. } = whole;
    let fault = TreeError::MalformedNode("that is a leaf has children");
    let [own, left, right] = children_mut(link).ok_or(fault)?;
    let below = |entry: &WriteLogEntry| Bits::of_key(&entry.key).bit(end);
    // Of ascending keys, only the first can end where they all part.
    let here = usize::from(entries.first().is_some_and(|entry| below(entry).is_none()));
    let (at_node, beyond) = entries.split_at(here);
    for entry in at_node {
        *own = match &entry.value {
            Some(value) => Node::leaf(&entry.key, value),
            None => Link::Empty,
        };
    }
    let split = beyond.partition_point(|entry| below(entry) == Some(false));
    let (to_left, to_right) = beyond.split_at(split);
    let mut side = |link, entries| {
        let whole = Part {
            link,
            depth: end,
            entries,
            result: Ok(()),
        };
        part(source, whole, levels - 1, parts)
    };
    let plans = [side(left, to_left)?, side(right, to_right)?];
    Ok(Plan::Parted(Box::new(plans)))
}

/// How many bits lie above the children of the node at `link`, if it is an internal one through
/// which all keys from `first` to `last` lead.
fn shared_end(link: &Link, depth: usize, first: &[u8], last: &[u8]) -> Option<usize> {
    let Link::Held(node) = link else {
        return None;
    };
    let Kind::Internal { label, .. } = &node.kind else {
        return None;
    };
    let len = usize::from(label.bit_len());
    let leads = |key| label.bits().common_prefix(&Bits::of_key(key).skip(depth)) == len;
    (leads(first) && leads(last)).then_some(depth + len)
}

/// Joins the nodes at which the log was parted and that are left with fewer than two children.
fn settle(source: Source<'_>, link: &mut Link, plan: &Plan) -> Result<(), TreeError> {
    let Plan::Parted(plans) = plan else {
        return Ok(());
    };
    let fault = || TreeError::MalformedNode("that is a leaf has children");
    let children = children_mut(link).ok_or_else(fault)?;
    settle(source, &mut children[LEFT], &plans[LEFT - 1])?;
    settle(source, &mut children[RIGHT], &plans[RIGHT - 1])?;
    let Link::Held(node) = &*link else {
        return Err(fault());
    };
    let Kind::Internal { label, children } = &node.kind else {
        return Err(fault());
    };
    if let Some(rest) = joined(source, label, children)? {
        *link = rest;
    }
    Ok(())
}

const _: () = assert!(
    OWN == 0 && LEFT == 1 && RIGHT == 2,
    "children are in this order"
);
