//! The commitments of a running round, as a state machine without I/O.
//!
//! ```text
//! rank(node, round) = (round + index) mod W      over the W primaries; 0 schedules first
//! vote of a commitment = hash of its results; none where the executor failed
//!
//! add, while undisputed: any member may vote; a rank worse than the best whose scheduler has
//!     committed is refused; when a scheduler of better rank commits to its own proposal, worse
//!     ranks are forgotten and the timer is set to round_timeout
//! add, while disputed: only backups, only the disputed rank
//!
//! process, undisputed, over the primaries' votes at the best rank:
//!     no scheduler has committed            wait; failed on timeout
//!     > 1 distinct votes, or more failures
//!       than allowed stragglers             disputed, but for ranks above 0 only on timeout
//!     votes >= W - stragglers               finalised
//!     else                                  wait; disputed on timeout
//! when it becomes disputed: timer to round_timeout x 15 / 10, and process again
//! process, disputed, over the backups' votes:
//!     best >= B / 2 + 1                     finalised if it is the scheduler's vote, else failed
//!     best + outstanding < B / 2 + 1        failed
//!     else                                  wait; failed on timeout
//! ```
//!
//! That schedulers of rank above 0 wait for the timeout before a dispute keeps a group of executors
//! from getting around the scheduler order by disputing. Until a scheduler commits there is no
//! timer: an idle runtime has no failing rounds.
//!
//! What is added must have passed admission: it is for the running round of this committee, signed
//! and well-formed. Node keys are ordered, so nothing depends on arrival but what the rules say.
//!
//! Source: Oasis Core `roothash/api/commitment` (`Pool`).

use std::collections::BTreeMap;

use trilith_params::root::{
    COMMITTEE_MEMBERS_MAX, RESOLUTION_TIMEOUT_DENOMINATOR, RESOLUTION_TIMEOUT_NUMERATOR,
};
use trilith_protocol::root::{ExecutorParameters, RoundFailure, RunningRound, VoteOf};
use trilith_protocol::{Committee, ExecutorCommitment};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, Height, NodeId, PublicKey};

use super::Rejection;

/// A member's vote: the hash of its results, or `None` where it failed.
type Vote = Option<Hash>;

/// What was committed to the proposal of one rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Candidate {
    /// The scheduler's own commitment, once it is there.
    commitment: Option<ExecutorCommitment>,
    /// Everyone's votes, the scheduler's included.
    votes: BTreeMap<NodeId, Vote>,
}

/// The commitments of a running round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The best rank whose scheduler has committed.
    best: Option<u64>,
    candidates: BTreeMap<u64, Candidate>,
    disputed: bool,
    timeout: Option<Height>,
}

/// What became of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// It is disputed now; the backups decide. Process again at once.
    Disputed {
        /// Rank of the scheduler whose proposal is disputed.
        rank: u64,
        /// Whether because time ran out.
        timeout: bool,
    },
    /// It is final.
    Finalized {
        /// The scheduler's commitment.
        commitment: Box<ExecutorCommitment>,
        /// Members that voted for it, ascending.
        good: Vec<NodeId>,
        /// Members that voted for something else, ascending. Failing is not voting.
        bad: Vec<NodeId>,
    },
    /// It gave nothing.
    Failed(RoundFailure),
}

/// The votes of one role.
struct Tally {
    members: usize,
    failures: usize,
    counts: BTreeMap<Hash, usize>,
}

impl Tally {
    fn of(members: &[NodeId], candidate: &Candidate) -> Self {
        let mut tally = Self {
            members: members.len(),
            failures: 0,
            counts: BTreeMap::new(),
        };
        for vote in members
            .iter()
            .filter_map(|member| candidate.votes.get(member))
        {
            match vote {
                None => tally.failures += 1,
                Some(hash) => *tally.counts.entry(*hash).or_default() += 1,
            }
        }
        tally
    }

    /// The most votes any result has.
    fn best(&self) -> usize {
        self.counts.values().copied().max().unwrap_or(0)
    }

    /// Members that have not said anything.
    fn outstanding(&self) -> usize {
        self.members - self.failures - self.counts.values().sum::<usize>()
    }
}

impl Pool {
    /// When the round must be processed even if nothing is added.
    pub fn timeout(&self) -> Option<Height> {
        self.timeout
    }

    /// Whether the backups decide.
    pub fn is_disputed(&self) -> bool {
        self.disputed
    }

    /// What is there, as the root tells it to whoever asks.
    pub fn status(&self) -> RunningRound {
        let mut votes = Vec::new();
        for (rank, candidate) in &self.candidates {
            votes.extend(candidate.votes.keys().map(|node| VoteOf {
                rank: *rank,
                node: *node,
            }));
        }
        RunningRound {
            best: self.best,
            disputed: self.disputed,
            votes,
        }
    }

    /// Takes an admitted commitment at `height`.
    ///
    /// # Errors
    /// [`Rejection`]; the pool is unchanged then.
    pub fn add(
        &mut self,
        commitment: ExecutorCommitment,
        committee: &Committee,
        rules: &ExecutorParameters,
        height: Height,
    ) -> Result<(), Rejection> {
        let (node, scheduler) = (commitment.node_id, commitment.header.scheduler_id);
        let round = commitment.header.header.round;
        let rank = committee
            .rank(&scheduler, round)
            .ok_or(Rejection::NotScheduler(scheduler))?;
        if !committee.has(&node) {
            return Err(Rejection::NotMember(node));
        }
        match self.best {
            Some(disputed) if self.disputed && rank != disputed => {
                return Err(Rejection::NotDisputed {
                    found: rank,
                    disputed,
                });
            }
            _ if self.disputed && !committee.backups.contains(&node) => {
                return Err(Rejection::NotBackup(node));
            }
            Some(best) if rank > best => return Err(Rejection::WorseRank { found: rank, best }),
            _ => {}
        }
        let known = self.candidates.get(&rank);
        if known.is_some_and(|candidate| candidate.votes.contains_key(&node)) {
            return Err(Rejection::AlreadyCommitted { node, rank });
        }
        let candidate = self.candidates.entry(rank).or_default();
        candidate.votes.insert(node, commitment.vote());
        if node == scheduler {
            candidate.commitment = Some(commitment);
            self.best = Some(rank);
            self.candidates.retain(|other, _| *other <= rank);
            self.timeout = Some(Height(height.0.saturating_add(rules.round_timeout)));
        }
        Ok(())
    }

    /// Decides at `height` what became of the round.
    pub fn process(
        &mut self,
        committee: &Committee,
        rules: &ExecutorParameters,
        height: Height,
    ) -> Verdict {
        let timeout = self.timeout.is_some_and(|timeout| timeout <= height);
        let chosen = self.best.and_then(|rank| {
            let candidate = self.candidates.get(&rank)?;
            Some((rank, candidate, candidate.commitment.as_ref()?))
        });
        let Some((rank, candidate, commitment)) = chosen else {
            let failed = Verdict::Failed(RoundFailure::NoSchedulerCommitment);
            return if timeout { failed } else { Verdict::Wait };
        };
        if self.disputed {
            return resolve(committee, candidate, commitment, timeout);
        }
        let tally = Tally::of(&committee.workers, candidate);
        let stragglers = rules.allowed_stragglers as usize;
        let conflict = tally.counts.len() > 1 || tally.failures > stragglers;
        let agreed = !conflict && tally.best() >= tally.members.saturating_sub(stragglers);
        if agreed {
            return finalized(candidate, commitment);
        }
        if timeout || (conflict && rank == 0) {
            let wait = rules
                .round_timeout
                .saturating_mul(RESOLUTION_TIMEOUT_NUMERATOR)
                / RESOLUTION_TIMEOUT_DENOMINATOR;
            self.disputed = true;
            self.candidates.retain(|other, _| *other == rank);
            self.timeout = Some(Height(height.0.saturating_add(wait)));
            return Verdict::Disputed { rank, timeout };
        }
        Verdict::Wait
    }

    /// Canonical encoding, as it stands in the root's state:
    /// `[best | null, disputed, timeout | null, [[rank, commitment | null, [[node, vote | null]]]]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(4);
        put_optional(&mut encoder, self.best);
        encoder.bool(self.disputed);
        put_optional(&mut encoder, self.timeout.map(|height| height.0));
        encoder.array(self.candidates.len());
        for (rank, candidate) in &self.candidates {
            encoder.array(3).uint(*rank);
            match &candidate.commitment {
                None => encoder.null(),
                Some(commitment) => encoder.raw(&commitment.encode()),
            };
            encoder.array(candidate.votes.len());
            for (node, vote) in &candidate.votes {
                encoder.array(2).bytes(node.as_bytes());
                match vote {
                    None => encoder.null(),
                    Some(hash) => encoder.bytes(hash.as_bytes()),
                };
            }
        }
        encoder.finish()
    }

    /// Reads what [`Pool::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the encoding of a pool.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        expect(decoder.array("pool", 4)? == 4, "pool")?;
        let best = optional(&mut decoder)?;
        let disputed = decoder.bool()?;
        let timeout = optional(&mut decoder)?.map(Height);
        let mut candidates = BTreeMap::new();
        for _ in 0..decoder.array("ranks", COMMITTEE_MEMBERS_MAX)? {
            let (rank, candidate) = read_candidate(&mut decoder)?;
            let ascending = candidates
                .last_key_value()
                .is_none_or(|(last, _)| *last < rank);
            expect(ascending, "rank")?;
            candidates.insert(rank, candidate);
        }
        decoder.finish()?;
        Ok(Self {
            best,
            candidates,
            disputed,
            timeout,
        })
    }
}

fn resolve(
    committee: &Committee,
    candidate: &Candidate,
    commitment: &ExecutorCommitment,
    timeout: bool,
) -> Verdict {
    let tally = Tally::of(&committee.backups, candidate);
    let required = tally.members / 2 + 1;
    let majority = tally.counts.iter().find(|(_, count)| **count >= required);
    match majority {
        Some((winner, _)) if Some(*winner) == commitment.vote() => finalized(candidate, commitment),
        Some(_) => Verdict::Failed(RoundFailure::BadSchedulerCommitment),
        None if timeout || tally.best() + tally.outstanding() < required => {
            Verdict::Failed(RoundFailure::NoMajority)
        }
        None => Verdict::Wait,
    }
}

fn finalized(candidate: &Candidate, commitment: &ExecutorCommitment) -> Verdict {
    let winner = commitment.vote();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (node, vote) in &candidate.votes {
        if *vote == winner {
            good.push(*node);
        } else if vote.is_some() {
            bad.push(*node);
        }
    }
    Verdict::Finalized {
        commitment: Box::new(commitment.clone()),
        good,
        bad,
    }
}

fn put_optional(encoder: &mut Encoder, value: Option<u64>) {
    match value {
        None => encoder.null(),
        Some(value) => encoder.uint(value),
    };
}

fn optional(decoder: &mut Decoder<'_>) -> Result<Option<u64>, DecodeError> {
    if decoder.null() {
        Ok(None)
    } else {
        decoder.uint().map(Some)
    }
}

fn expect(holds: bool, what: &'static str) -> Result<(), DecodeError> {
    if holds {
        Ok(())
    } else {
        Err(DecodeError::Field(what))
    }
}

fn read_candidate(decoder: &mut Decoder<'_>) -> Result<(u64, Candidate), DecodeError> {
    expect(decoder.array("candidate", 3)? == 3, "candidate")?;
    let rank = decoder.uint()?;
    let commitment = if decoder.null() {
        None
    } else {
        Some(ExecutorCommitment::decode(decoder.skip()?)?)
    };
    let mut votes: BTreeMap<NodeId, Vote> = BTreeMap::new();
    for _ in 0..decoder.array("votes", 2 * COMMITTEE_MEMBERS_MAX)? {
        expect(decoder.array("vote", 2)? == 2, "vote")?;
        let node = PublicKey::from_bytes(decoder.bytes_exact::<32>("node")?);
        let vote = if decoder.null() {
            None
        } else {
            Some(Hash::from_bytes(decoder.bytes_exact::<32>("vote")?))
        };
        let ascending = votes.last_key_value().is_none_or(|(last, _)| *last < node);
        expect(ascending, "vote")?;
        votes.insert(node, vote);
    }
    Ok((rank, Candidate { commitment, votes }))
}
