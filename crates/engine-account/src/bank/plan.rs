//! Which transactions may run side by side.
//!
//! Two transactions conflict if one writes an account that the other reads or writes. A *chain* is
//! a list of transactions that run one after the other, each on what those before it wrote. A
//! *level* is a set of chains that do not conflict with each other, and levels run one after the
//! other. A transaction joins the chain it conflicts with if that is the only one of its level, and
//! begins a chain of the next level otherwise. Conflicting transactions so run in the order of the
//! batch, and the result is that of running all of them one after the other.
//!
//! The plan depends on the locks alone, not on how many threads there are.

use super::places::Place;

/// What a transaction locks.
pub(crate) struct Locks<'a> {
    /// Places of its accounts and whether it writes them.
    pub(crate) accounts: &'a [(Place, bool)],
    /// Whether it may run in the same chain as what it conflicts with. One whose checks before it
    /// is run look at the accounts must not: it waits for the next level.
    pub(crate) may_follow: bool,
    /// The transaction before it with the same message, if there is one: it must have run before
    /// this one is checked.
    pub(crate) repeats: Option<usize>,
}

/// Chains that may run side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// Numbers of transactions, ascending in each chain, chain after chain.
    order: Vec<usize>,
    /// Where each chain ends in `order`.
    ends: Vec<usize>,
}

impl Level {
    /// The chains.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &[usize]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.order[start..*end])
    }

    /// Transactions in it.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

/// A chain of a level.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Chain {
    level: u32,
    number: u32,
}

/// Who uses an account since it was last free for all.
#[derive(Clone, Copy, Default)]
struct Use {
    /// The last chain that writes it.
    writer: Option<Chain>,
    /// The latest chain that reads what that wrote.
    reader: Option<Chain>,
    /// Whether another chain of the same level reads it too.
    has_more_readers: bool,
}

/// What a transaction has to wait for.
#[derive(Default)]
struct Conflicts {
    /// The latest chain it conflicts with.
    latest: Option<Chain>,
    /// Whether it conflicts with others of that level.
    has_more: bool,
}

impl Conflicts {
    fn add(&mut self, chain: Option<Chain>, has_more: bool) {
        let Some(chain) = chain else {
            return;
        };
        match self.latest {
            Some(latest) if chain.level < latest.level => {}
            Some(latest) if chain.level == latest.level => {
                self.has_more |= has_more || chain != latest;
            }
            _ => {
                self.latest = Some(chain);
                self.has_more = has_more;
            }
        }
    }
}

/// Plans groups of transactions, one group after the other.
#[derive(Default)]
pub(crate) struct Planner {
    /// Uses of accounts by place, each with the group it is of.
    uses: Vec<(u32, Use)>,
    /// The newest group.
    group: u32,
}

impl Planner {
    /// Plans a group of transactions, given in the order of the batch. Places are below `places`.
    pub(crate) fn levels<'a>(
        &mut self,
        places: usize,
        transactions: impl Iterator<Item = Locks<'a>>,
    ) -> Vec<Level> {
        self.group += 1;
        if self.uses.len() < places {
            self.uses.resize(places, (0, Use::default()));
        }
        levels(&mut self.uses, self.group, transactions)
    }
}

/// The use of an account in this group.
fn used(uses: &mut [(u32, Use)], group: u32, place: Place) -> &mut Use {
    let (of, used) = &mut uses[place.index()];
    if *of != group {
        *of = group;
        *used = Use::default();
    }
    used
}

fn levels<'a>(
    uses: &mut [(u32, Use)],
    group: u32,
    transactions: impl Iterator<Item = Locks<'a>>,
) -> Vec<Level> {
    let mut chains_of_level: Vec<u32> = Vec::new();
    let mut chosen: Vec<Chain> = Vec::new();
    for locks in transactions {
        let mut conflicts = Conflicts::default();
        for (place, is_written) in locks.accounts {
            let used = used(uses, group, *place);
            conflicts.add(used.writer, false);
            if *is_written {
                conflicts.add(used.reader, used.has_more_readers);
            }
        }
        let repeated = locks.repeats.map(|earlier| chosen[earlier]);
        conflicts.add(repeated, true);
        let chain = match conflicts.latest {
            Some(latest) if locks.may_follow && !conflicts.has_more => latest,
            latest => {
                let level = latest.map_or(0, |latest| latest.level + 1);
                if chains_of_level.len() <= level as usize {
                    chains_of_level.push(0);
                }
                let number = chains_of_level[level as usize];
                chains_of_level[level as usize] += 1;
                Chain { level, number }
            }
        };
        for (place, is_written) in locks.accounts {
            used(uses, group, *place).take(chain, *is_written);
        }
        chosen.push(chain);
    }
    gather(&chains_of_level, &chosen)
}

impl Use {
    fn take(&mut self, chain: Chain, is_written: bool) {
        if is_written {
            *self = Self {
                writer: Some(chain),
                ..Self::default()
            };
            return;
        }
        match self.reader {
            // What ran a level before is waited for by waiting for the later one.
            Some(reader) if reader == chain || reader.level > chain.level => {}
            Some(reader) => {
                self.has_more_readers = reader.level == chain.level;
                self.reader = Some(chain);
            }
            None => self.reader = Some(chain),
        }
    }
}

/// Orders transactions by level and chain, keeping their order within.
fn gather(chains_of_level: &[u32], chosen: &[Chain]) -> Vec<Level> {
    let mut levels: Vec<Level> = chains_of_level
        .iter()
        .map(|chains| Level {
            order: Vec::new(),
            ends: vec![0; *chains as usize],
        })
        .collect();
    for chain in chosen {
        levels[chain.level as usize].ends[chain.number as usize] += 1;
    }
    for level in &mut levels {
        // Lengths become starts, and filling moves each start to its chain's end.
        let mut start = 0;
        for end in &mut level.ends {
            start += std::mem::replace(end, start);
        }
        level.order = vec![0; start];
    }
    for (transaction, chain) in chosen.iter().enumerate() {
        let level = &mut levels[chain.level as usize];
        let next = &mut level.ends[chain.number as usize];
        level.order[*next] = transaction;
        *next += 1;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::super::places::Place;
    use super::{Level, Locks, Planner};

    fn levels<'a>(places: usize, transactions: impl Iterator<Item = Locks<'a>>) -> Vec<Level> {
        let mut planner = Planner::default();
        // What a group before left must not matter.
        let before: Vec<(Place, bool)> = (0..places as u32)
            .map(|place| (Place::test(place), true))
            .collect();
        planner.levels(
            places,
            std::iter::once(Locks {
                accounts: &before,
                may_follow: true,
                repeats: None,
            }),
        );
        planner.levels(places, transactions)
    }

    type Transaction = Vec<(Place, bool)>;

    fn writes(places: &[u32]) -> Transaction {
        places
            .iter()
            .map(|place| (Place::test(*place), true))
            .collect()
    }

    fn reads(places: &[u32]) -> Transaction {
        places
            .iter()
            .map(|place| (Place::test(*place), false))
            .collect()
    }

    fn plan(transactions: &[Transaction]) -> Vec<Level> {
        levels(
            100,
            transactions.iter().map(|accounts| Locks {
                accounts,
                may_follow: true,
                repeats: None,
            }),
        )
    }

    fn shown(levels: &[Level]) -> Vec<Vec<Vec<usize>>> {
        levels
            .iter()
            .map(|level| level.chains().map(<[usize]>::to_vec).collect())
            .collect()
    }

    #[test]
    fn what_does_not_conflict_stands_in_one_level() {
        let transactions: Vec<Transaction> = (0..5)
            .map(|number| [writes(&[2 * number, 2 * number + 1]), reads(&[50, 51])].concat())
            .collect();
        let expected = vec![(0..5).map(|number| vec![number]).collect::<Vec<_>>()];
        assert_eq!(shown(&plan(&transactions)), expected);
    }

    #[test]
    fn a_chain_grows_where_there_is_only_one_to_wait_for() {
        let all = [
            writes(&[1, 2]),
            writes(&[3, 4]),
            writes(&[2, 5]),
            writes(&[5, 6]),
            // Joins two chains.
            writes(&[4, 6]),
            writes(&[6]),
            writes(&[1]),
        ];
        // The last one waits for the chain that wrote account 1 alone.
        let expected = vec![vec![vec![0, 2, 3, 6], vec![1]], vec![vec![4, 5]]];
        assert_eq!(shown(&plan(&all)), expected);
    }

    #[test]
    fn a_writer_waits_for_all_readers() {
        let all = [reads(&[1]), reads(&[1]), writes(&[1]), reads(&[1])];
        let expected = vec![vec![vec![0], vec![1]], vec![vec![2, 3]]];
        assert_eq!(shown(&plan(&all)), expected);
        let one_reader = [reads(&[1]), writes(&[1])];
        assert_eq!(shown(&plan(&one_reader)), vec![vec![vec![0, 1]]]);
    }

    #[test]
    fn what_may_not_follow_or_repeats_waits_for_the_next_level() {
        let accounts = writes(&[1]);
        let locks = |may_follow, repeats| Locks {
            accounts: &accounts,
            may_follow,
            repeats,
        };
        let planned = levels(
            2,
            [locks(true, None), locks(false, None), locks(true, Some(0))].into_iter(),
        );
        // The third follows the second, which runs a level after what it repeats.
        assert_eq!(shown(&planned), vec![vec![vec![0]], vec![vec![1, 2]]]);
        let planned = levels(2, [locks(true, None), locks(true, Some(0))].into_iter());
        assert_eq!(shown(&planned), vec![vec![vec![0]], vec![vec![1]]]);
    }

    /// Every conflicting pair runs in the order of the batch, and chains of a level do not
    /// conflict.
    #[test]
    fn any_batch_is_planned_soundly() {
        let mut state = 7u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let accounts = 2 + next(40);
            let transactions: Vec<Transaction> = (0..next(60))
                .map(|_| {
                    let mut list: Transaction = Vec::new();
                    for _ in 0..1 + next(4) {
                        let place = Place::test(next(accounts) as u32);
                        if list.iter().all(|(other, _)| *other != place) {
                            list.push((place, next(2) == 0));
                        }
                    }
                    list
                })
                .collect();
            let planned = plan(&transactions);
            let mut at = vec![None; transactions.len()];
            for (level, chains) in planned.iter().enumerate() {
                for (chain, members) in chains.chains().enumerate() {
                    for (position, member) in members.iter().enumerate() {
                        assert!(at[*member].replace((level, chain, position)).is_none());
                    }
                }
            }
            for (second, locks) in transactions.iter().enumerate() {
                for (first, others) in transactions[..second].iter().enumerate() {
                    let conflict = locks.iter().any(|(place, is_written)| {
                        others.iter().any(|(other, is_other_written)| {
                            place == other && (*is_written || *is_other_written)
                        })
                    });
                    let (first, second) =
                        (at[first].expect("planned"), at[second].expect("planned"));
                    let ordered = first.0 < second.0
                        || (first.0 == second.0 && first.1 == second.1 && first.2 < second.2);
                    assert!(!conflict || ordered, "{first:?} {second:?}");
                }
            }
            let count: usize = planned.iter().map(Level::len).sum();
            assert_eq!(count, transactions.len());
        }
    }
}
