//! A write log applied to a tree by several workers.
//!
//! A sorted write log falls apart at the nodes near the top: what goes to the left of a node and
//! what goes to its right change different subtrees. Each part is a job of its own, which also
//! hashes its subtree; afterwards the few nodes above are put in order.
//!
//! Invariant: the outcome depends on the log alone, not on who ran which job when. The jobs touch
//! disjoint subtrees, and of several errors the one of the first job is reported.

use std::cmp::Reverse;

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
/// Levels below which a job takes its entries one by one, because it recurses: far deeper than a
/// balanced tree of all that a disk can hold.
const RUN_LEVELS: u32 = 64;
/// What an entry weighs beside its value: the nodes on its way to the top of the part.
const ENTRY_WEIGHT: usize = 1_500;

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
        // What takes longest comes first, so that no worker is left alone with it at the end.
        let mut by_weight: Vec<&mut Part<'_>> = parts.iter_mut().collect();
        by_weight.sort_by_key(|part| Reverse(part.weight()));
        let jobs = by_weight
            .into_iter()
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
        let run = Run { source, hashing };
        self.result = run.change(self.link, self.depth, self.entries, RUN_LEVELS);
    }

    /// About how long the job takes, in bytes that could be hashed meanwhile.
    fn weight(&self) -> usize {
        let bytes = |entry: &WriteLogEntry| entry.value.as_ref().map_or(0, Vec::len);
        self.entries
            .iter()
            .map(|entry| ENTRY_WEIGHT + bytes(entry))
            .sum()
    }
}

/// A job under way.
struct Run<'s> {
    source: Source<'s>,
    hashing: bool,
}

impl Run<'_> {
    /// Does what entries say, which ascend, to the subtree at `link`, above which lie `depth` bits.
    /// Nodes on the way to several entries are visited once, and hashed while they are at hand;
    /// recurses at most `levels` deep.
    fn change(
        &self,
        link: &mut Link,
        depth: usize,
        entries: &[WriteLogEntry],
        levels: u32,
    ) -> Result<(), TreeError> {
        let end = match entries {
            [first, .., last] if levels > 0 => {
                hold(self.source, link)?;
                shared_end(link, depth, &first.key, &last.key)
            }
            _ => None,
        };
        match end {
            None => entries
                .iter()
                .try_for_each(|entry| change_at(self.source, link, depth, entry))?,
            Some(end) => {
                let children = children_of(link)?;
                let (to_left, to_right) = change_own(&mut children[OWN], entries, end);
                for (at, entries) in [(LEFT, to_left), (RIGHT, to_right)] {
                    if !entries.is_empty() {
                        self.change(&mut children[at], end, entries, levels - 1)?;
                    }
                }
                join(self.source, link)?;
            }
        }
        if self.hashing {
            link.hash();
        }
        Ok(())
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
    let [own, left, right] = children_of(link)?;
    let (to_left, to_right) = change_own(own, entries, end);
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

/// The children of the internal node at `link`, to be changed.
fn children_of(link: &mut Link) -> Result<&mut [Link; 3], TreeError> {
    children_mut(link).ok_or(TreeError::MalformedNode("that is a leaf has children"))
}

/// Does what ascending entries, whose keys lead to a node or below it, say to its own leaf, above
/// which lie `end` bits. Gives the entries for its left and its right.
fn change_own<'e>(
    own: &mut Link,
    entries: &'e [WriteLogEntry],
    end: usize,
) -> (&'e [WriteLogEntry], &'e [WriteLogEntry]) {
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
    beyond.split_at(split)
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
    let children = children_of(link)?;
    settle(source, &mut children[LEFT], &plans[LEFT - 1])?;
    settle(source, &mut children[RIGHT], &plans[RIGHT - 1])?;
    join(source, link)
}

/// Puts what is left in the place of the internal node at `link`, if it has fewer than two
/// children.
fn join(source: Source<'_>, link: &mut Link) -> Result<(), TreeError> {
    let rest = match &*link {
        Link::Held(node) => match &node.kind {
            Kind::Internal { label, children } => joined(source, label, children)?,
            Kind::Leaf { .. } => None,
        },
        _ => None,
    };
    if let Some(rest) = rest {
        *link = rest;
    }
    Ok(())
}

const _: () = assert!(
    OWN == 0 && LEFT == 1 && RIGHT == 2,
    "children are in this order"
);
