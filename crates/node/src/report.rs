//! What a node of a network saw of rounds: who scheduled, who agreed, whose receipts were there. For
//! people who look on; nothing depends on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use trilith_protocol::root::RunningRound;
use trilith_protocol::{BlockHeader, HeaderType, Input, Receipt, ReceiptStatus, RootTransaction};
use trilith_types::{Hash, NodeId, Round, RuntimeId};

/// How many reports are kept.
const REPORTS_MAX: usize = 256;

/// How a round ended, and who took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundReport {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round.
    pub round: Round,
    /// Why it ended.
    pub header_type: HeaderType,
    /// Whose proposal became final, if one did.
    pub scheduler: Option<NodeId>,
    /// Who committed to what became final, ascending.
    pub agreed: Vec<NodeId>,
    /// Who executed the same proposal, or any where none became final, and committed to something
    /// else or to a failure, ascending.
    pub differed: Vec<NodeId>,
    /// Whose storage receipts the commitments carried, ascending.
    pub receipts: Vec<NodeId>,
    /// Whether the backups were asked.
    pub disputed: bool,
}

/// One commitment of a running round.
struct Vote {
    node: NodeId,
    scheduler: NodeId,
    roots: (Option<Hash>, Option<Hash>),
}

#[derive(Default)]
struct Tally {
    votes: Vec<Vote>,
    receipts: BTreeSet<NodeId>,
    disputed: bool,
}

#[derive(Default)]
struct Reports {
    running: BTreeMap<RuntimeId, Tally>,
    /// Number of the first report in `ended`.
    first: u64,
    ended: VecDeque<RoundReport>,
}

/// The newest reports of a node. Shared with whoever looks on.
#[derive(Default)]
pub struct RoundLog(Mutex<Reports>);

impl RoundLog {
    /// A thread that panicked left the reports as they were between two calls.
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports from number `from` on, as far as they are kept, and the number of the next one.
    pub fn since(&self, from: u64) -> (Vec<RoundReport>, u64) {
        let reports = self.reports();
        let skip = usize::try_from(from.saturating_sub(reports.first)).unwrap_or(usize::MAX);
        let found = reports.ended.iter().skip(skip).cloned().collect();
        (found, reports.first + reports.ended.len() as u64)
    }

    /// Takes note of the commitments that a root block delivered.
    pub(crate) fn delivered(&self, inputs: &[Input], receipts: &[Receipt]) {
        let accepted = inputs
            .iter()
            .zip(receipts)
            .filter(|(_, receipt)| receipt.status == ReceiptStatus::Accepted);
        for (input, _) in accepted {
            let Ok(RootTransaction::ExecutorCommit {
                runtime,
                commitments,
            }) = RootTransaction::decode(input.bytes())
            else {
                continue;
            };
            let mut reports = self.reports();
            let tally = reports.running.entry(runtime).or_default();
            for commitment in commitments {
                let header = &commitment.header;
                let signers = header.storage_signatures.iter();
                tally
                    .receipts
                    .extend(signers.map(|signature| signature.node));
                tally.votes.push(Vote {
                    node: commitment.node_id,
                    scheduler: header.scheduler_id,
                    roots: (header.header.io_root, header.header.state_root),
                });
            }
        }
    }

    /// Takes note of how a running round stands.
    pub(crate) fn stands(&self, runtime: RuntimeId, status: &RunningRound) {
        if status.disputed {
            let mut reports = self.reports();
            reports.running.entry(runtime).or_default().disputed = true;
        }
    }

    /// Takes note of a block that ends a round.
    pub(crate) fn ended(&self, header: &BlockHeader) {
        let mut reports = self.reports();
        let tally = reports
            .running
            .remove(&header.namespace)
            .unwrap_or_default();
        let normal = header.header_type == HeaderType::Normal;
        let roots = (Some(header.io_root), Some(header.state_root));
        let fits = |vote: &Vote| normal && vote.roots == roots;
        let scheduler = tally.votes.iter().find(|vote| fits(vote));
        let scheduler = scheduler.map(|vote| vote.scheduler);
        // A vote for the proposal of another rank is none against this one.
        let counts = |vote: &&Vote| scheduler.is_none_or(|id| vote.scheduler == id);
        let nodes = |agreed: bool| -> Vec<NodeId> {
            let votes = tally.votes.iter().filter(counts);
            let chosen = votes.filter(|vote| fits(vote) == agreed);
            let set: BTreeSet<NodeId> = chosen.map(|vote| vote.node).collect();
            set.into_iter().collect()
        };
        let report = RoundReport {
            runtime: header.namespace,
            round: header.round,
            header_type: header.header_type,
            scheduler,
            agreed: nodes(true),
            differed: nodes(false),
            receipts: tally.receipts.iter().copied().collect(),
            disputed: tally.disputed,
        };
        reports.ended.push_back(report);
        if reports.ended.len() > REPORTS_MAX {
            reports.ended.pop_front();
            reports.first += 1;
        }
    }
}
