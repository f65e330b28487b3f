//! How the inputs of a batch flow through a round: group after group, and while the transactions of
//! one group are run, the next one arrives.
//!
//! ```text
//! gate    decode, check signatures, resolve lookup tables   on all threads
//!         give accounts their places, plan                  in the order of the batch
//! course  let in what the slot takes                        in the order of the batch
//!         for each level of the plan:
//!             check age and duplicates, run, write, count   on all threads
//! ```
//!
//! Invariant: the gate looks at nothing that transactions change. It reads the state as it was when
//! the round began, and the chain and the rules, which stand still while transactions run. So it
//! does not matter how far the group before has come.

use std::sync::{Arc, PoisonError, RwLock};

use solana_hash::Hash;
use trilith_protocol::{Fault, Input};

use super::accounts::Accounts;
use super::chain::ChainState;
use super::cost::{Asking, Ledger};
use super::decode::{Tables, Verified};
use super::lane::{self, Arrived, Lane, Road, Waiting};
use super::places::Places;
use super::plan::{self, Level, Planner};
use super::processor::Svm;
use super::statuses::Statuses;
use super::told::Told;
use super::warm::Rules;
use crate::keyed::Keyed;
use crate::parallel::Workers;

/// Inputs that a thread decodes at a time.
const DECODED: usize = 8;

/// Most inputs that go through the steps of a round together: enough for all threads, few enough
/// that what one step leaves is still in the processor's caches in the next, and that a slot takes
/// them together if each asks for the budget of one instruction. It changes no result.
const GROUP: usize = 256;

/// Inputs of the first group. Each has twice as many as the one before until there are [`GROUP`], so
/// that soon after a round began all threads have something to do.
const FIRST_GROUP: usize = 64;

/// Transactions that are run together on one thread, unless a chain is longer.
const LANE: usize = 16;

/// Inputs that arrived, with a plan for those that may be run.
struct Group<'b> {
    waiting: Vec<Waiting<'b>>,
    levels: Vec<Level>,
}

/// Where inputs arrive.
pub(crate) struct Gate<'r> {
    pub(crate) workers: &'r Workers,
    pub(crate) verified: &'r Verified,
    pub(crate) tables: Tables<'r>,
    pub(crate) rules: &'r Rules,
    pub(crate) chain: &'r ChainState,
    pub(crate) places: Arc<RwLock<Places>>,
    pub(crate) planner: &'r mut Planner,
}

/// Where transactions are run and their writes are made.
pub(crate) struct Course<'r, 'a> {
    pub(crate) workers: &'r Workers,
    pub(crate) chain: &'r ChainState,
    pub(crate) svm: &'r Svm,
    /// Whether plain transactions are run in less time.
    pub(crate) is_quick: bool,
    pub(crate) statuses: &'r Statuses,
    pub(crate) accounts: &'r mut Accounts<'a>,
    pub(crate) ledger: &'r mut Ledger,
    pub(crate) told: Told,
    /// For groups that the slot does not take as a whole.
    pub(crate) planner: Planner,
}

/// Takes all inputs through the round. Gives what is told of them.
///
/// # Errors
/// [`Fault`] if this node failed.
pub(crate) fn run(
    mut gate: Gate<'_>,
    mut course: Course<'_, '_>,
    inputs: &[Input],
) -> Result<Told, Fault> {
    let workers = course.workers;
    let mut groups = groups(inputs);
    let mut next = groups.next().map(|inputs| gate.arrive(inputs));
    let mut first = 0;
    while let Some(group) = next.take() {
        course.meet_accounts();
        let count = group.waiting.len();
        let inputs = groups.next();
        let (arrived, ran) = workers.both(
            || inputs.map(|inputs| gate.arrive(inputs)),
            || course.run(first, group),
        );
        ran?;
        next = arrived;
        first += count;
    }
    course.accounts.check()?;
    Ok(course.told)
}

/// The groups in which inputs go through a round.
fn groups(inputs: &[Input]) -> impl Iterator<Item = &[Input]> {
    let (mut rest, mut size) = (inputs, FIRST_GROUP);
    std::iter::from_fn(move || {
        let (group, after) = rest.split_at(size.min(rest.len()));
        (rest, size) = (after, GROUP.min(2 * size));
        (!group.is_empty()).then_some(group)
    })
}

impl Gate<'_> {
    /// Decodes, verifies and resolves inputs, gives their accounts places, and plans those that may
    /// be run.
    fn arrive<'b>(&mut self, inputs: &'b [Input]) -> Group<'b> {
        let (verified, tables, rules) = (self.verified, &self.tables, self.rules);
        let mut arrived = self.workers.map(DECODED, inputs.iter().collect(), |input| {
            Some(Arrived::resolve(
                lane::decode(input, verified),
                tables,
                rules,
            ))
        });
        for some in arrived.chunks_mut(DECODED) {
            // Threads that run transactions may want to look a place up in between.
            let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
            for arrived in some.iter_mut().flatten().flatten() {
                arrived.locks = lane::locked(&arrived.transaction)
                    .map(|(key, is_written)| (places.give(key), is_written))
                    .collect();
            }
        }
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let all = arrived.iter().flatten().flatten();
        let levels = plan(self.planner, self.chain, places.len(), all);
        drop(places);
        Group {
            waiting: arrived,
            levels,
        }
    }
}

/// Plans transactions.
fn plan<'t, 'b: 't>(
    planner: &mut Planner,
    chain: &ChainState,
    places: usize,
    transactions: impl Iterator<Item = &'t Arrived<'b>>,
) -> Vec<Level> {
    let mut messages: Keyed<usize> = Keyed::default();
    messages.reserve(GROUP);
    let locks = transactions.enumerate().map(|(number, arrived)| {
        let message: &Hash = arrived.transaction.message_hash();
        plan::Locks {
            accounts: &arrived.locks,
            may_follow: arrived.may_follow(chain),
            repeats: messages.insert(*message.as_bytes(), number),
        }
    });
    planner.levels(places, locks)
}

impl Course<'_, '_> {
    /// Makes room for the accounts that got places.
    fn meet_accounts(&mut self) {
        self.accounts.grow();
        self.ledger.extend(self.accounts.len());
    }

    /// Runs the transactions of a group whose first input is at this position in the batch.
    fn run(&mut self, mut first: usize, group: Group<'_>) -> Result<(), Fault> {
        let Group {
            mut waiting,
            levels,
        } = group;
        let mut planned = Some(levels);
        let mut rest = &mut waiting[..];
        while !rest.is_empty() {
            let asking = rest.iter().map(|waiting| match waiting {
                Some(Ok(arrived)) => Some(Asking {
                    cost: arrived.asked,
                    locks: &arrived.locks,
                }),
                _ => None,
            });
            let count = match self.ledger.fitting(asking) {
                Ok(count) => count,
                Err(error) => {
                    rest[0] = Some(Err(error));
                    planned = None;
                    1
                }
            };
            let (some, after) = rest.split_at_mut(count);
            rest = after;
            // The plan of the gate holds for the whole group, and for nothing less.
            let levels = planned.take().filter(|_| rest.is_empty());
            self.run_some(first, some, levels)?;
            first += count;
        }
        Ok(())
    }

    /// Runs transactions that the slot takes, the first of which is at this position.
    fn run_some(
        &mut self,
        first: usize,
        some: &mut [Waiting<'_>],
        levels: Option<Vec<Level>>,
    ) -> Result<(), Fault> {
        let numbers = self.runnable(first, some);
        let levels = levels.unwrap_or_else(|| {
            let all = numbers.iter().filter_map(|number| match &some[*number] {
                Some(Ok(arrived)) => Some(arrived),
                _ => None,
            });
            plan(&mut self.planner, self.chain, self.ledger.places(), all)
        });
        let mut some: Vec<_> = some.iter_mut().map(Some).collect();
        for level in levels {
            let lanes = lanes(&level, |number| {
                let place = numbers[number];
                Some((first + place, some[place].take()?))
            });
            let road = Road {
                accounts: self.accounts,
                chain: self.chain,
                statuses: self.statuses,
                ledger: self.ledger,
                svm: self.svm,
                is_quick: self.is_quick,
            };
            let ran = self.workers.map(1, lanes, |lane| road.run(lane));
            self.accounts.check()?;
            for ran in ran {
                let ran = ran?;
                self.accounts.note(&ran.written);
                self.ledger.take(ran.cost);
                self.told.take(ran);
            }
        }
        Ok(())
    }

    /// Which of the transactions are to be run. The others are refused.
    fn runnable(&mut self, first: usize, some: &mut [Waiting<'_>]) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(some.len());
        for (place, waiting) in some.iter_mut().enumerate() {
            match waiting {
                Some(Ok(_)) => numbers.push(place),
                _ => {
                    if let Some(Err(error)) = waiting.take() {
                        self.told.refuse(first + place, error);
                    }
                }
            }
        }
        numbers
    }
}

/// Packs the chains of a level into lanes.
fn lanes<'w, 'b>(
    level: &Level,
    mut take: impl FnMut(usize) -> Option<(usize, &'w mut Waiting<'b>)>,
) -> Vec<Lane<'w, 'b>> {
    let mut lanes: Vec<Lane<'w, 'b>> = Vec::new();
    for chain in level.chains() {
        let is_full = lanes
            .last()
            .is_none_or(|lane| lane.len() + chain.len() > LANE);
        if is_full {
            lanes.push(Vec::with_capacity(LANE));
        }
        if let Some(lane) = lanes.last_mut() {
            lane.extend(chain.iter().filter_map(|number| take(*number)));
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_grow_and_leave_nothing_out() {
        let inputs: Vec<Input> = (0..800u32)
            .map(|number| Input::new(number.to_le_bytes().to_vec()))
            .collect();
        let sizes: Vec<usize> = groups(&inputs).map(<[Input]>::len).collect();
        assert_eq!(sizes, [64, 128, 256, 256, 96]);
        let together: Vec<&Input> = groups(&inputs).flatten().collect();
        assert!(together.into_iter().eq(&inputs));
        assert_eq!(groups(&[]).count(), 0);
    }
}
