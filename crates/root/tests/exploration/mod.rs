//! Every way in which one round can go: an explorer of the root's pool of commitments.
//!
//! What is explored is [`Pool`] itself, not a description of it. A state is a pool, an action is
//! what the world can do to it, and all states that any order of actions reaches are visited,
//! nearest first, each once:
//!
//! ```text
//! Say     a member commits to the proposal of a rank: an honest one to the outcome of honest
//!         execution, or to its failure; a dishonest one to anything
//! Height  the height ends: the pool is processed as the root does, and the timer comes nearer
//! ```
//!
//! Silence is the action that is not taken. What members have sent needs no place beside the pool:
//! the pool holds one word of each member for each rank, and a second one is refused. The timer is
//! kept relative (the present is always height 0), which loses nothing because the pool compares
//! heights only with its own timer.
//!
//! Three reductions keep the number of states down; each maps a run to one with the same end, and
//! `pool_model.rs` compares explorations with and without them:
//! - A word about a proposal arrives when its scheduler's commitment is there, not before. A pool
//!   reads nothing of another rank than the best one, so an early word has no effect until then.
//! - Of backups that are alike, the first one that has said nothing speaks first. They differ in
//!   nothing but their keys.
//! - A dishonest scheduler has one wrong outcome; other wrong ones would be it under other names.
//!
//! It is not `stateright`, which brings a web server, and takes two states for one where 64-bit
//! fingerprints collide; keys are encodings here, hashed with the hash of the protocol.

// Every user of this file uses its own part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trilith_params::root::{RESOLUTION_TIMEOUT_DENOMINATOR, RESOLUTION_TIMEOUT_NUMERATOR};
use trilith_protocol::root::{BackupRule, ExecutorParameters, RoundFailure};
use trilith_protocol::{
    Committee, ComputeResultsHeader, ExecutorCommitment, ExecutorCommitmentHeader, Failure,
};
use trilith_root::pool::{Pool, Verdict};
use trilith_types::cbor::{Decoder, Encoder};
use trilith_types::{Epoch, Hash, Height, NodeId, Round, Signature};

/// What a member says about a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The outcome of honest execution.
    Right,
    /// The outcome of honest execution of another proposal that the same scheduler made.
    Second,
    /// Something else.
    Wrong,
    /// Something else again, so that the dishonest can also disagree among themselves.
    Worse,
    /// That the member could not execute.
    Failure,
}

/// What happens next. Members are numbered, primaries first; the primary `n` schedules at rank `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A member commits to the proposal of a rank.
    Say(usize, u64, Word),
    /// The height ends.
    Height,
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With a result.
    Final {
        /// Whose proposal it is.
        rank: u64,
        /// Which result.
        word: Word,
        /// Whether the backups decided.
        disputed: bool,
        /// How many members are slashed.
        punished: usize,
    },
    /// Without.
    Failed {
        /// Whose proposal was the best.
        rank: u64,
        /// Why, as in [`RoundFailure`].
        reason: &'static str,
    },
}

/// What is claimed of every way in which a round can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A result is final only if its scheduler committed to it, and either nobody counted
    /// contradicts and all primaries but the allowed stragglers support it, or it was disputed and
    /// a majority of the backups supports it. Looking again gives the same end. Holds whoever lies.
    Supported,
    /// A result that is final is one of honest execution, so there are never two for a proposal.
    Correct,
    /// Who executed honestly, or failed, or was silent, is not slashed.
    Innocent,
    /// A proposal of an honest scheduler fails only while an honest backup's outcome is missing.
    Lives,
    /// From every state with a scheduler's commitment, time alone ends the round, and no run from
    /// the first such commitment takes more heights than [`Setup::heights_max`].
    Ends,
}

/// A committee, who of it is dishonest, and what is explored.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many primaries there are.
    pub primaries: usize,
    /// Numbers of the backups. From `primaries` on with separate backups; any by Oasis' rule.
    pub backups: Vec<usize>,
    /// How many primaries may be missing.
    pub stragglers: u32,
    /// Heights until the backups must decide.
    pub timeout: u64,
    /// Who may say anything.
    pub dishonest: BTreeSet<usize>,
    /// Whether schedulers may show some a second proposal, which these execute honestly.
    pub equivocation: bool,
    /// Whether states that differ in nothing that matters are visited once.
    pub reduced: bool,
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct pools, those of ended rounds not counted.
    pub states: usize,
    /// Actions taken.
    pub steps: usize,
    /// All ends there are.
    pub ends: BTreeSet<End>,
    /// For each claim that does not hold, a shortest way to where it breaks.
    pub broken: BTreeMap<Claim, Vec<Action>>,
    /// Most heights from the first scheduler's commitment to the end; `None` if a run can go on
    /// for ever.
    pub heights: Option<u64>,
}

impl Setup {
    /// `primaries` primaries and separate backups, all honest.
    pub fn separate(primaries: usize, backups: usize, stragglers: u32) -> Self {
        Self::shared(
            primaries,
            (primaries..primaries + backups).collect(),
            stragglers,
        )
    }

    /// Backups that may be primaries too, all honest.
    pub fn shared(primaries: usize, backups: Vec<usize>, stragglers: u32) -> Self {
        Self {
            primaries,
            backups,
            stragglers,
            timeout: 2,
            dishonest: BTreeSet::new(),
            equivocation: false,
            reduced: true,
        }
    }

    /// The same with dishonest members.
    pub fn dishonest(&self, members: impl IntoIterator<Item = usize>) -> Self {
        let dishonest = members.into_iter().collect();
        Self {
            dishonest,
            ..self.clone()
        }
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        let last = self.backups.iter().copied().max();
        self.primaries.max(last.map_or(0, |last| last + 1))
    }

    /// Votes of primaries that make a result final without a dispute.
    pub fn agreement(&self) -> usize {
        self.primaries
            .saturating_sub(self.stragglers as usize)
            .max(1)
    }

    /// Votes of backups that decide a dispute.
    pub fn majority(&self) -> usize {
        self.backups.len() / 2 + 1
    }

    /// The claims that break with these dishonest members, and no others do.
    ///
    /// - A wrong result is final iff the dishonest primaries are enough to agree, or one of them
    ///   schedules and the dishonest backups are enough to decide.
    /// - Somebody honest is slashed iff the latter, anybody is honest, and there can be a dispute:
    ///   the scheduler alone is not enough to agree, or another primary contradicts it that is
    ///   honest, or whom the deciding backups can spare.
    /// - An honest scheduler's proposal fails although all honest backups support it iff these are
    ///   too few to decide, and there can be a dispute: one vote alone is not enough to agree, or
    ///   another primary can contradict in the same height.
    ///
    /// With a second proposal of a scheduler, whoever executed it honestly is slashed like a liar.
    pub fn breaking(&self) -> BTreeSet<Claim> {
        let honest = |member: &usize| !self.dishonest.contains(member);
        let liars = (0..self.primaries).filter(|member| !honest(member)).count();
        let honest_backups = self.backups.iter().filter(|member| honest(member)).count();
        let decide = self.backups.len() - honest_backups >= self.majority() && liars > 0;
        let anybody = (0..self.members()).any(|member| honest(&member));
        let silence = self.agreement() > 1;
        let spared = |primary: usize| {
            let others = self.backups.iter().filter(|member| **member != primary);
            others.filter(|member| !honest(member)).count() >= self.majority()
        };
        let contradicts =
            liars < self.primaries || (self.primaries > 1 && (0..self.primaries).any(spared));
        let harm = decide && (silence || contradicts);
        let too_few = liars < self.primaries && honest_backups < self.majority();
        let breaks = [
            (Claim::Correct, liars >= self.agreement() || decide),
            (
                Claim::Innocent,
                anybody && (harm || (self.equivocation && liars > 0)),
            ),
            (Claim::Lives, too_few && (silence || liars > 0)),
        ];
        let breaks = breaks.into_iter().filter(|(_, breaks)| *breaks);
        breaks.map(|(claim, _)| claim).collect()
    }

    /// The most heights of a round: each scheduler can start the timer once, worst rank first, and
    /// then the backups have half as much again.
    pub fn heights_max(&self) -> u64 {
        let resolution =
            self.timeout * RESOLUTION_TIMEOUT_NUMERATOR / RESOLUTION_TIMEOUT_DENOMINATOR;
        self.timeout * self.primaries as u64 + resolution
    }

    /// Visits every state.
    pub fn explore(&self) -> Report {
        Explorer::new(self).run()
    }
}

/// What a pool holds, read from its encoding.
#[derive(Default)]
struct Content {
    best: Option<u64>,
    disputed: bool,
    timeout: Option<u64>,
    /// By rank and member.
    words: BTreeMap<(u64, usize), Word>,
}

impl Content {
    /// The words of some members at the best rank.
    fn said(&self, members: &[usize], word: Word) -> usize {
        let rank = self.best.unwrap_or(u64::MAX);
        let said = |member: &&usize| self.words.get(&(rank, **member)) == Some(&word);
        members.iter().filter(said).count()
    }
}

/// What became of a height.
enum Next {
    Goes(Pool),
    Ends(Verdict, Pool),
}

struct Explorer<'a> {
    setup: &'a Setup,
    committee: Committee,
    rules: ExecutorParameters,
    commitments: BTreeMap<(usize, u64, Word), ExecutorCommitment>,
    /// What the hash of a vote stands for.
    meanings: BTreeMap<Hash, Word>,
    /// Number of a state by the hash of its encoding.
    visited: HashMap<Hash, usize>,
    /// For each state, where it came from.
    origins: Vec<(usize, Action)>,
    /// From, to, and heights between: 1 where a timer ran.
    edges: Vec<(usize, usize, u64)>,
    report: Report,
}

fn key_of(member: usize) -> NodeId {
    NodeId::from_bytes([member as u8 + 1; 32])
}

fn results(rank: u64, word: Word) -> ComputeResultsHeader {
    let root = (word != Word::Failure).then(|| Hash::of(&[rank as u8, word as u8]));
    ComputeResultsHeader {
        // A multiple of every number of primaries up to 4, so that number and rank are the same.
        round: Round(12),
        previous_hash: Hash::of(b"the last block"),
        io_root: root,
        state_root: root,
        messages_hash: root,
        in_msgs_hash: root,
        in_msgs_count: 0,
    }
}

fn commitment(member: usize, rank: u64, word: Word) -> ExecutorCommitment {
    ExecutorCommitment {
        node_id: key_of(member),
        header: ExecutorCommitmentHeader {
            scheduler_id: key_of(rank as usize),
            header: results(rank, word),
            failure: (word == Word::Failure).then_some(Failure::Unknown),
            rak_signature: None,
            storage_signatures: Vec::new(),
        },
        signature: Signature::from_bytes([0; 64]),
        messages: Vec::new(),
    }
}

const WORDS: [Word; 5] = [
    Word::Right,
    Word::Second,
    Word::Wrong,
    Word::Worse,
    Word::Failure,
];

impl<'a> Explorer<'a> {
    fn new(setup: &'a Setup) -> Self {
        assert!(setup.primaries > 0 && setup.primaries <= 4 && setup.timeout > 0);
        let members = |numbers: &[usize]| numbers.iter().map(|number| key_of(*number)).collect();
        let primaries: Vec<usize> = (0..setup.primaries).collect();
        let mut commitments = BTreeMap::new();
        let mut meanings = BTreeMap::new();
        for rank in 0..setup.primaries as u64 {
            for word in WORDS {
                meanings.insert(results(rank, word).hash(), word);
                for member in 0..setup.members() {
                    commitments.insert((member, rank, word), commitment(member, rank, word));
                }
            }
        }
        let separate = setup
            .backups
            .iter()
            .all(|backup| *backup >= setup.primaries);
        Self {
            setup,
            committee: Committee {
                epoch: Epoch(0),
                workers: members(&primaries),
                backups: members(&setup.backups),
                storage: Vec::new(),
            },
            rules: ExecutorParameters {
                group_size: setup.primaries as u32,
                backup_size: setup.backups.len() as u32,
                allowed_stragglers: setup.stragglers,
                round_timeout: setup.timeout,
                max_messages: 0,
                backup_rule: if separate {
                    BackupRule::Separate
                } else {
                    BackupRule::Shared
                },
            },
            commitments,
            meanings,
            visited: HashMap::new(),
            origins: Vec::new(),
            edges: Vec::new(),
            report: Report {
                states: 0,
                steps: 0,
                ends: BTreeSet::new(),
                broken: BTreeMap::new(),
                heights: None,
            },
        }
    }

    fn run(mut self) -> Report {
        let mut pools = std::collections::VecDeque::new();
        self.visit(&Pool::default(), (0, Action::Height));
        pools.push_back(Pool::default());
        let mut number = 0;
        while let Some(pool) = pools.pop_front() {
            let content = self.read(&pool);
            for action in self.actions(&content) {
                let Some(next) = self.take(&pool, action) else {
                    continue;
                };
                self.report.steps += 1;
                if let (Action::Say(member, rank, _), true) = (action, content.disputed) {
                    // Who is asked decides, about what it is asked, and nobody else.
                    let asked = self.setup.backups.contains(&member);
                    assert!(
                        asked && content.best == Some(rank),
                        "{action:?} in a dispute"
                    );
                }
                match next {
                    Next::Ends(verdict, pool) => {
                        self.judge(&verdict, pool, (number, action));
                        self.edges.push((number, usize::MAX, 0));
                    }
                    Next::Goes(next) => {
                        let ran = u64::from(action == Action::Height);
                        let (to, is_new) = self.visit(&next, (number, action));
                        self.edges.push((number, to, ran));
                        if is_new {
                            pools.push_back(next);
                        }
                    }
                }
            }
            number += 1;
        }
        self.report.states = number;
        self.report.heights = self.longest();
        if self
            .report
            .heights
            .is_none_or(|most| most > self.setup.heights_max())
        {
            self.report.broken.insert(Claim::Ends, Vec::new());
        }
        self.report
    }

    /// The number of a state, and whether it is new.
    fn visit(&mut self, pool: &Pool, origin: (usize, Action)) -> (usize, bool) {
        let next = self.origins.len();
        let number = *self.visited.entry(Hash::of(&pool.encode())).or_insert(next);
        if number == next {
            self.origins.push(origin);
        }
        (number, number == next)
    }

    /// What can happen to a pool. Ending a height where no timer runs changes nothing.
    fn actions(&self, content: &Content) -> Vec<Action> {
        let mut actions = Vec::new();
        for rank in 0..self.setup.primaries as u64 {
            for member in 0..self.setup.members() {
                let schedules = member as u64 == rank;
                let new = content.best.is_none_or(|best| rank < best);
                let early = if schedules {
                    !new
                } else {
                    content.best != Some(rank)
                };
                let refused = content.words.contains_key(&(rank, member));
                let waits = self.setup.reduced && (early || self.waits(member, rank, content));
                if refused || waits {
                    continue;
                }
                let words = WORDS
                    .into_iter()
                    .filter(|word| self.may(member, schedules, *word));
                actions.extend(words.map(|word| Action::Say(member, rank, word)));
            }
        }
        if content.timeout.is_some() {
            actions.push(Action::Height);
        }
        actions
    }

    /// Whether another backup that is like `member` speaks first.
    fn waits(&self, member: usize, rank: u64, content: &Content) -> bool {
        let is_dishonest = |member| self.setup.dishonest.contains(&member);
        (self.setup.primaries..member).any(|other| {
            is_dishonest(other) == is_dishonest(member)
                && !content.words.contains_key(&(rank, other))
        })
    }

    fn may(&self, member: usize, schedules: bool, word: Word) -> bool {
        let dishonest = self.setup.dishonest.contains(&member);
        match word {
            Word::Right => true,
            Word::Second => self.setup.equivocation && (dishonest || !schedules),
            Word::Wrong => dishonest,
            Word::Worse => dishonest && !(schedules && self.setup.reduced),
            // Admission refuses a scheduler's failure of its own proposal.
            Word::Failure => !schedules,
        }
    }

    /// What an action makes of a pool; `None` if the pool refuses it, and then it is unchanged.
    fn take(&self, pool: &Pool, action: Action) -> Option<Next> {
        let mut next = pool.clone();
        let Action::Say(member, rank, word) = action else {
            return Some(self.end_height(next));
        };
        let commitment = self.commitments[&(member, rank, word)].clone();
        match next.add(commitment, &self.committee, &self.rules, Height(0)) {
            Ok(()) => Some(Next::Goes(next)),
            Err(rejection) => {
                assert_eq!(&next, pool, "{rejection} left a trace");
                None
            }
        }
    }

    /// What the root does at the end of a height, and the step to the next one.
    fn end_height(&self, mut pool: Pool) -> Next {
        let due = pool.timeout() == Some(Height(0));
        loop {
            match pool.process(&self.committee, &self.rules, Height(0)) {
                // Otherwise executors could get around the order of schedulers by disputing.
                Verdict::Disputed { rank, timeout } => {
                    assert!(due || !timeout, "rank {rank}: no time ran out");
                    assert!(
                        rank == 0 || timeout,
                        "rank {rank} is disputed before its time"
                    );
                }
                Verdict::Wait => return Next::Goes(later(&pool)),
                verdict => return Next::Ends(verdict, pool),
            }
        }
    }

    fn read(&self, pool: &Pool) -> Content {
        let bytes = pool.encode();
        self.parse(&bytes).expect("a pool is encoded as it says")
    }

    fn parse(&self, bytes: &[u8]) -> Result<Content, trilith_types::cbor::DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let optional = |decoder: &mut Decoder<'_>| {
            if decoder.null() {
                Ok(None)
            } else {
                decoder.uint().map(Some)
            }
        };
        decoder.array("pool", 4)?;
        let mut content = Content {
            best: optional(&mut decoder)?,
            disputed: decoder.bool()?,
            timeout: optional(&mut decoder)?,
            words: BTreeMap::new(),
        };
        for _ in 0..decoder.array("ranks", 16)? {
            decoder.array("candidate", 3)?;
            let rank = decoder.uint()?;
            decoder.skip()?;
            for _ in 0..decoder.array("votes", 16)? {
                decoder.array("vote", 2)?;
                let node = decoder.bytes_exact::<32>("node")?;
                let word = if decoder.null() {
                    Word::Failure
                } else {
                    self.meanings[&Hash::from_bytes(decoder.bytes_exact::<32>("vote")?)]
                };
                content.words.insert((rank, usize::from(node[0]) - 1), word);
            }
        }
        decoder.finish()?;
        Ok(content)
    }

    /// Holds the claims against an end.
    fn judge(&mut self, verdict: &Verdict, mut pool: Pool, last: (usize, Action)) {
        let content = self.read(&pool);
        let again = pool.process(&self.committee, &self.rules, Height(0));
        let rank = content
            .best
            .expect("no round ends before a scheduler commits");
        let mut broken = Vec::new();
        if again != *verdict {
            broken.push(Claim::Supported);
        }
        let end = match verdict {
            Verdict::Finalized {
                commitment,
                good,
                bad,
            } => {
                let word = commitment
                    .vote()
                    .map_or(Word::Failure, |vote| self.meanings[&vote]);
                broken.extend(self.faults_of_result(&content, (rank, word), (good, bad)));
                let punished = if content.disputed { bad.len() } else { 0 };
                let disputed = content.disputed;
                End::Final {
                    rank,
                    word,
                    disputed,
                    punished,
                }
            }
            Verdict::Failed(reason) => {
                broken.extend(self.fault_of_failure(&content, rank));
                let reason = name(*reason);
                End::Failed { rank, reason }
            }
            Verdict::Wait | Verdict::Disputed { .. } => panic!("{verdict:?} is no end"),
        };
        self.report.ends.insert(end);
        for claim in broken {
            if !self.report.broken.contains_key(&claim) {
                let way = self.way(last);
                self.report.broken.insert(claim, way);
            }
        }
    }

    fn faults_of_result(
        &self,
        content: &Content,
        (rank, word): (u64, Word),
        (good, bad): (&[NodeId], &[NodeId]),
    ) -> Vec<Claim> {
        let setup = self.setup;
        let mut broken = Vec::new();
        let primaries: Vec<usize> = (0..setup.primaries).collect();
        let enough = if content.disputed {
            content.said(&setup.backups, word) >= setup.majority()
        } else {
            let contradicts = |other: &Word| *other != word && *other != Word::Failure;
            let said = |member| content.words.get(&(rank, member));
            content.said(&primaries, word) >= setup.agreement()
                && content.said(&primaries, Word::Failure) <= setup.stragglers as usize
                && !(0..setup.primaries).filter_map(said).any(contradicts)
        };
        let members = |wanted: &dyn Fn(Word) -> bool| -> Vec<NodeId> {
            let at_rank = content.words.iter().filter(|((at, _), _)| *at == rank);
            let wanted = at_rank.filter(|(_, said)| wanted(**said));
            wanted.map(|((_, member), _)| key_of(*member)).collect()
        };
        let named = good == members(&|said| said == word)
            && bad == members(&|said| said != word && said != Word::Failure);
        let committed = content.words.get(&(rank, rank as usize)) == Some(&word);
        if !(enough && named && committed) {
            broken.push(Claim::Supported);
        }
        if !matches!(word, Word::Right | Word::Second) {
            broken.push(Claim::Correct);
        }
        let honest = |node: &&NodeId| {
            let member = (0..setup.members()).find(|member| key_of(*member) == **node);
            !setup
                .dishonest
                .contains(&member.expect("votes are of members"))
        };
        if content.disputed && bad.iter().any(|node| honest(&node)) {
            broken.push(Claim::Innocent);
        }
        broken
    }

    fn fault_of_failure(&self, content: &Content, rank: u64) -> Option<Claim> {
        let dishonest = &self.setup.dishonest;
        let honest = |member: &&usize| !dishonest.contains(*member);
        let honest: Vec<usize> = self.setup.backups.iter().filter(honest).copied().collect();
        let all_there = content.said(&honest, Word::Right) == honest.len();
        (!dishonest.contains(&(rank as usize)) && all_there).then_some(Claim::Lives)
    }

    /// How a state was reached, and what was done then.
    fn way(&self, (mut state, last): (usize, Action)) -> Vec<Action> {
        let mut way = vec![last];
        while state != 0 {
            let (before, action) = self.origins[state];
            way.push(action);
            state = before;
        }
        way.reverse();
        way
    }

    /// The most heights of a run with a timer: the longest path, which exists only if no run can
    /// come back to where it was and every state has a way on.
    fn longest(&self) -> Option<u64> {
        let count = self.origins.len();
        let mut before = vec![0u32; count];
        let mut out = vec![Vec::new(); count];
        let mut goes_on = vec![false; count];
        for (from, to, heights) in &self.edges {
            goes_on[*from] = true;
            if *to != usize::MAX {
                before[*to] += 1;
                out[*from].push((*to, *heights));
            }
        }
        let mut most = vec![0u64; count];
        let mut ready: Vec<usize> = (0..count).filter(|state| before[*state] == 0).collect();
        let mut done = 0;
        while let Some(state) = ready.pop() {
            done += 1;
            for (to, heights) in &out[state] {
                most[*to] = most[*to].max(most[state] + heights);
                before[*to] -= 1;
                if before[*to] == 0 {
                    ready.push(*to);
                }
            }
        }
        let complete = done == count && goes_on.iter().all(|goes_on| *goes_on);
        complete.then(|| most.into_iter().max().unwrap_or(0))
    }
}

/// The same pool a height later, with the present as height 0 again.
fn later(pool: &Pool) -> Pool {
    let bytes = pool.encode();
    let mut decoder = Decoder::new(&bytes);
    let mut encoder = Encoder::new();
    let parts = decoder.array("pool", 4).expect("a pool has four parts");
    encoder.array(parts);
    for part in 0..parts {
        let item = decoder.skip().expect("a pool is well-formed");
        match Decoder::new(item).uint() {
            Ok(timeout) if part == 2 => encoder.uint(timeout - 1),
            _ => encoder.raw(item),
        };
    }
    Pool::decode(&encoder.finish()).expect("a nearer timer is one")
}

fn name(reason: RoundFailure) -> &'static str {
    match reason {
        RoundFailure::NoSchedulerCommitment => "NoSchedulerCommitment",
        RoundFailure::NoMajority => "NoMajority",
        RoundFailure::BadSchedulerCommitment => "BadSchedulerCommitment",
        RoundFailure::IncomingMessages => "IncomingMessages",
    }
}
