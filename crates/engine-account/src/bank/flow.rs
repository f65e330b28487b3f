//! How the inputs of a batch flow through a round: group after group, and while the transactions of
//! one group are run, the next one arrives.
//!
//! ```text
//! gate    decode, check signatures, resolve lookup tables   on all threads
//!         give accounts their places, plan                  in the order of the batch
//! course  let in what the slot takes                        in the order of the batch
//!         for each level of the plan:
//!             check age and duplicates, run, write          on all threads
//!             count                                         in the order of the plan
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
use super::lane::{self, Arrived, Done, Lane, Ran, Refused, Road};
use super::places::Places;
use super::plan::{self, Level, Planner};
use super::processor::Svm;
use super::statuses::Statuses;
use super::warm::Rules;
use crate::keyed::Keyed;
use crate::parallel::Workers;

/// Fewest inputs that a thread decodes at a time.
const DECODED_LEAST: usize = 32;

/// Inputs that go through the steps of a round together: enough for all threads, few enough that
/// what one step leaves is still in the processor's caches in the next. It changes no result.
const GROUP: usize = 512;

/// Transactions that are run together on one thread, unless a chain is longer.
const LANE: usize = 64;

/// An input before it is run.
type Waiting<'b> = Result<Box<Arrived<'b>>, Refused>;

/// Inputs that arrived, with a plan for those that may be run.
struct Group<'b> {
    waiting: Vec<Option<Waiting<'b>>>,
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
    pub(crate) statuses: &'r mut Statuses,
    pub(crate) accounts: &'r mut Accounts<'a>,
    pub(crate) ledger: &'r mut Ledger,
    /// Fees of signatures and priority fees.
    pub(crate) fees: &'r mut (u64, u64),
    /// What the lanes packed, by their numbers.
    pub(crate) records: &'r mut Vec<Vec<u8>>,
    /// For groups that the slot does not take as a whole.
    pub(crate) planner: Planner,
}

/// Takes all inputs through the round. What became of them stands in their order.
///
/// # Errors
/// [`Fault`] if this node failed.
pub(crate) fn run(
    mut gate: Gate<'_>,
    mut course: Course<'_, '_>,
    inputs: &[Input],
) -> Result<Vec<Done>, Fault> {
    let mut done = Vec::with_capacity(inputs.len());
    let workers = course.workers;
    let mut groups = inputs.chunks(GROUP);
    let mut next = groups.next().map(|inputs| gate.arrive(inputs));
    while let Some(group) = next.take() {
        course.meet_accounts();
        let inputs = groups.next();
        let (arrived, ran) = workers.both(
            || inputs.map(|inputs| gate.arrive(inputs)),
            || course.run(group, &mut done),
        );
        ran?;
        next = arrived;
    }
    course.accounts.check()?;
    Ok(done)
}

impl Gate<'_> {
    /// Decodes, verifies and resolves inputs, gives their accounts places, and plans those that may
    /// be run.
    fn arrive<'b>(&mut self, inputs: &'b [Input]) -> Group<'b> {
        let (verified, tables, rules) = (self.verified, &self.tables, self.rules);
        let mut arrived = self
            .workers
            .map(DECODED_LEAST, inputs.iter().collect(), |input| {
                Arrived::resolve(lane::decode(input, verified), tables, rules).map(Box::new)
            });
        for some in arrived.chunks_mut(DECODED_LEAST) {
            // Threads that run transactions may want to look a place up in between.
            let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
            for arrived in some.iter_mut().flatten() {
                arrived.locks = lane::locked(&arrived.transaction)
                    .map(|(key, is_written)| (places.give(key), is_written))
                    .collect();
            }
        }
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let all = arrived.iter().flatten().map(|arrived| &**arrived);
        let levels = plan(self.planner, self.chain, places.len(), all);
        drop(places);
        Group {
            waiting: arrived.into_iter().map(Some).collect(),
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

    /// Runs the transactions of a group.
    fn run(&mut self, group: Group<'_>, done: &mut Vec<Done>) -> Result<(), Fault> {
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
                    if let Some(Ok(arrived)) = rest[0].take() {
                        rest[0] = Some(Err(arrived.refuse(error)));
                    }
                    planned = None;
                    1
                }
            };
            let (some, after) = rest.split_at_mut(count);
            rest = after;
            // The plan of the gate holds for the whole group, and for nothing less.
            let levels = planned.take().filter(|_| rest.is_empty());
            self.run_some(some, levels, done)?;
        }
        Ok(())
    }

    /// Runs transactions that the slot takes.
    fn run_some(
        &mut self,
        some: &mut [Option<Waiting<'_>>],
        levels: Option<Vec<Level>>,
        done: &mut Vec<Done>,
    ) -> Result<(), Fault> {
        let mut results: Vec<Option<Done>> = Vec::new();
        results.resize_with(some.len(), || None);
        let numbers = runnable(some, &mut results);
        let levels = levels.unwrap_or_else(|| {
            let all = numbers.iter().filter_map(|number| match &some[*number] {
                Some(Ok(arrived)) => Some(&**arrived),
                _ => None,
            });
            plan(&mut self.planner, self.chain, self.ledger.places(), all)
        });
        for level in levels {
            let first = self.records.len();
            let lanes = lanes(&level, |number| {
                let position = numbers[number];
                Some((position, some[position].take()?.ok()?))
            });
            let lanes = lanes.into_iter().enumerate().collect();
            let road = Road {
                accounts: self.accounts,
                chain: self.chain,
                statuses: self.statuses,
                svm: self.svm,
                is_quick: self.is_quick,
            };
            let ran = self
                .workers
                .map(1, lanes, |(lane, members)| road.run(first + lane, members));
            self.accounts.check()?;
            for ran in ran {
                self.take(ran?, &mut results);
            }
        }
        done.extend(results.into_iter().flatten());
        Ok(())
    }

    /// Takes what a lane came to.
    fn take(&mut self, ran: Ran, results: &mut [Option<Done>]) {
        self.accounts.note(ran.written);
        self.records.push(ran.records);
        for (position, done) in ran.done {
            if let Some(effect) = &done.charged {
                self.ledger.take(effect.cost, &effect.locks);
                self.fees.0 = self.fees.0.saturating_add(effect.fees.0);
                self.fees.1 = self.fees.1.saturating_add(effect.fees.1);
                self.statuses.insert(self.chain.slot, &effect.message);
            }
            results[position] = Some(done);
        }
    }
}

/// Positions in a group of the transactions that are to be run; the results of the others.
fn runnable(group: &mut [Option<Waiting<'_>>], results: &mut [Option<Done>]) -> Vec<usize> {
    let mut numbers = Vec::with_capacity(group.len());
    for (position, (waiting, result)) in group.iter_mut().zip(results).enumerate() {
        match waiting {
            Some(Ok(_)) => numbers.push(position),
            _ => {
                if let Some(Err(refused)) = waiting.take() {
                    *result = Some(refused.done());
                }
            }
        }
    }
    numbers
}

/// Packs the chains of a level into lanes.
fn lanes<'b>(
    level: &Level,
    mut take: impl FnMut(usize) -> Option<(usize, Box<Arrived<'b>>)>,
) -> Vec<Lane<'b>> {
    let mut lanes: Vec<Lane<'b>> = Vec::new();
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
