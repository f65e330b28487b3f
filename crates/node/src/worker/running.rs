//! What a node knows of the round that runs, and of those that ended and are not applied yet.

use std::collections::{BTreeMap, VecDeque};

use trilith_host::Executed;
use trilith_protocol::root::{Committee, RunningRound};
use trilith_protocol::{AttestedLeaf, Batch, BlockHeader, HeaderType, NodeSignature, Receipt};
use trilith_store::Store;
use trilith_types::{Hash, NodeId, Round, RuntimeId, TimeNanos};

use crate::NodeError;
use crate::ledger::Ledger;
use crate::net::message::Changes;
use crate::signed::{OpenProposal, Slot, slot, slot_of_rank};

/// A proposal that this node takes for valid.
pub(crate) struct Known {
    pub(crate) open: OpenProposal,
    /// Identities of the inputs, in order; only of the node's own proposal, and not over a restart.
    pub(crate) ids: Option<Vec<Hash>>,
    /// When this node learned of it.
    pub(crate) since: TimeNanos,
    /// Whether it is the node's own.
    pub(crate) own: bool,
}

/// A proposal that was executed.
pub(crate) struct Done {
    /// What it gave; `None` if this node could not execute it.
    pub(crate) executed: Option<Executed>,
    /// What it changed, where storage nodes are to hold it.
    pub(crate) changes: Option<Changes>,
    /// Receipts of storage nodes.
    pub(crate) receipts: BTreeMap<NodeId, NodeSignature>,
    /// When storage nodes were asked last.
    pub(crate) asked: Option<TimeNanos>,
}

impl Done {
    /// What gave nothing, or nothing that counts.
    pub(crate) fn fruitless() -> Self {
        Self::of(None, None)
    }

    pub(crate) fn of(executed: Option<Executed>, changes: Option<Changes>) -> Self {
        Self {
            executed,
            changes,
            receipts: BTreeMap::new(),
            asked: None,
        }
    }

    pub(crate) fn roots(&self) -> Option<[Hash; 2]> {
        let executed = self.executed.as_ref()?;
        Some([executed.io_root, executed.state_root])
    }
}

/// A commitment that left this node.
pub(crate) struct Sent {
    pub(crate) transaction: Vec<u8>,
    pub(crate) at: TimeNanos,
}

/// A state that this node holds for an executor.
pub(crate) struct Applied {
    pub(crate) roots: [Hash; 2],
    pub(crate) batch: Batch,
    pub(crate) receipts: Vec<Receipt>,
}

/// The round that runs.
pub(crate) struct Running {
    /// The block it builds on.
    pub(crate) block: BlockHeader,
    pub(crate) round: Round,
    /// Who executes it; `None` while the runtime is suspended.
    pub(crate) committee: Option<Committee>,
    /// What the root says is committed.
    pub(crate) status: RunningRound,
    /// Since when there is something to do.
    pub(crate) since: Option<TimeNanos>,
    /// Rank of the node's own proposal.
    pub(crate) own: Option<u64>,
    pub(crate) proposals: BTreeMap<u64, Known>,
    pub(crate) done: BTreeMap<u64, Done>,
    pub(crate) sent: BTreeMap<u64, Sent>,
    pub(crate) applied: Vec<Applied>,
    /// How many states each executor had this node hold.
    pub(crate) applied_for: BTreeMap<NodeId, usize>,
    /// When missing proposals were asked for last, and how often.
    pub(crate) asked: Option<TimeNanos>,
    pub(crate) asks: usize,
}

impl Running {
    /// The round after `block`, with what this node signed and took up for it before a restart.
    pub(crate) fn after(ledger: &Ledger, block: BlockHeader) -> Result<Self, NodeError> {
        let (id, round) = (block.namespace, block.round.next());
        let committee = ledger.root()?.committee(&id)?;
        let mut running = Self {
            block,
            round,
            committee,
            status: RunningRound::default(),
            since: None,
            own: None,
            proposals: BTreeMap::new(),
            done: BTreeMap::new(),
            sent: BTreeMap::new(),
            applied: Vec::new(),
            applied_for: BTreeMap::new(),
            asked: None,
            asks: 0,
        };
        running.restore(ledger)?;
        Ok(running)
    }

    fn restore(&mut self, ledger: &Ledger) -> Result<(), NodeError> {
        let Some(committee) = &self.committee else {
            return Ok(());
        };
        let own = committee.rank(&ledger.id(), self.round);
        // The only node of a network follows nobody.
        let ranks = match ledger.net {
            Some(_) => committee.workers.len() as u64,
            None => 0,
        };
        let runtime = &self.block.namespace;
        let stored = stored_proposals(ledger.host.store(), (runtime, self.round), ranks)?;
        for open in stored {
            let Some(rank) = committee.rank(&open.proposal.node_id, self.round) else {
                continue;
            };
            if own == Some(rank) {
                self.own = own;
            }
            let known = Known {
                open,
                ids: None,
                since: TimeNanos(0),
                own: own == Some(rank),
            };
            self.proposals.insert(rank, known);
        }
        Ok(())
    }

    /// The members' keys, this node's own left out, those first that are likeliest to know.
    pub(crate) fn members(&self, own: &NodeId) -> Vec<NodeId> {
        let Some(committee) = &self.committee else {
            return Vec::new();
        };
        let all = committee.workers.iter();
        let all = all.chain(&committee.backups).chain(&committee.storage);
        all.filter(|node| *node != own).copied().collect()
    }

    /// Whether the root has the vote of `node` for the proposal of `rank`.
    pub(crate) fn has_vote(&self, rank: u64, node: &NodeId) -> bool {
        let mut votes = self.status.votes.iter();
        votes.any(|vote| vote.rank == rank && vote.node == *node)
    }
}

/// Ranks that any committee may have.
pub(crate) const RANKS_MAX: u64 = trilith_params::root::COMMITTEE_MEMBERS_MAX as u64;

/// The proposals of a round that this node signed or, of schedulers of the first `ranks`, took up.
pub(crate) fn stored_proposals(
    store: &Store,
    (runtime, round): (&RuntimeId, Round),
    ranks: u64,
) -> Result<Vec<OpenProposal>, NodeError> {
    let own = slot(runtime, round, Slot::Proposal);
    let followed = (0..ranks).map(|rank| slot_of_rank(runtime, round, Slot::Followed, rank));
    let mut found = Vec::new();
    for name in std::iter::once(own).chain(followed) {
        if let Some(stored) = store.signed(&name) {
            let open = OpenProposal::decode(&stored).map_err(|error| NodeError::Damaged {
                what: "proposal",
                reason: error.to_string(),
            })?;
            found.push(open);
        }
    }
    Ok(found)
}

/// An outcome that the root finalised and this node has not applied yet.
pub(crate) struct Owed {
    pub(crate) header: BlockHeader,
    /// What may have given it: proposals, with what they gave here if they were executed.
    pub(crate) proposals: Vec<(Known, Option<Done>)>,
    pub(crate) applied: Vec<Applied>,
    /// Who was asked for the proposal last, when, and how often anyone was.
    pub(crate) asked: Option<(NodeId, TimeNanos)>,
    pub(crate) asks: usize,
    /// Not before this time, after a fault.
    pub(crate) retry: Option<TimeNanos>,
}

impl Owed {
    /// An outcome of a round before a restart.
    pub(crate) fn restored(ledger: &Ledger, header: BlockHeader) -> Result<Self, NodeError> {
        let (runtime, round) = (header.namespace, header.round);
        let known = |open| Known {
            open,
            ids: None,
            since: TimeNanos(0),
            own: false,
        };
        let stored = stored_proposals(ledger.host.store(), (&runtime, round), RANKS_MAX)?;
        Ok(Self {
            header,
            proposals: stored.into_iter().map(|open| (known(open), None)).collect(),
            applied: Vec::new(),
            asked: None,
            asks: 0,
            retry: None,
        })
    }
}

/// What a round leaves behind when the root ends it.
pub(crate) enum Left {
    /// An outcome to apply.
    Outcome(Box<Owed>),
    /// Nothing but perhaps the node's own batch.
    Nothing(Option<Batch>),
}

impl Running {
    /// Ends the round with `header`.
    pub(crate) fn end(mut self, header: BlockHeader) -> Left {
        if header.header_type != HeaderType::Normal {
            let own = self.own.and_then(|rank| self.proposals.remove(&rank));
            return Left::Nothing(own.map(|known| known.open.batch));
        }
        // Of blocks that came together only the first ends this very round.
        let of_round = header.round == self.round;
        let proposals = if of_round {
            let mut done = self.done;
            let pair = |(rank, known)| (known, done.remove(&rank));
            self.proposals.into_iter().map(pair).collect()
        } else {
            Vec::new()
        };
        self.applied.retain(|_| of_round);
        Left::Outcome(Box::new(Owed {
            header,
            proposals,
            applied: self.applied,
            asked: None,
            asks: 0,
            retry: None,
        }))
    }
}

/// A finalised round, applied: what is needed to publish it.
pub(crate) struct Finished {
    pub(crate) header: BlockHeader,
    pub(crate) ids: Option<Vec<Hash>>,
    pub(crate) source: Source,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) attested: Option<AttestedLeaf>,
}

/// From what this node has the state of a round.
pub(crate) enum Source {
    /// It executed the proposal.
    Executed(OpenProposal),
    /// It holds the state for an executor, and knows the proposal or not.
    Held(Batch, Option<OpenProposal>),
}

impl Finished {
    pub(crate) fn batch(&self) -> &Batch {
        match &self.source {
            Source::Executed(open) => &open.batch,
            Source::Held(batch, _) => batch,
        }
    }

    /// The record of the round for nodes that lag.
    pub(crate) fn record(&self) -> Option<&OpenProposal> {
        match &self.source {
            Source::Executed(open) | Source::Held(_, Some(open)) => Some(open),
            Source::Held(_, None) => None,
        }
    }
}

/// Outcomes that are not applied yet, the oldest first.
pub(crate) type Backlog = VecDeque<Owed>;
