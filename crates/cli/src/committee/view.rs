//! What `trilith dev --committee` shows: who is who at the start, and a line for every round; and
//! through which node agents' requests go.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use trilith_node::{RoundLog, RoundReport};
use trilith_protocol::HeaderType;
use trilith_types::{NodeId, RuntimeId};

use super::port::CommitteePort;
use super::{Committee, Elected};
use crate::network::{ACCOUNT_RUNTIME, CANISTER_RUNTIME};

/// How often new rounds are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The nodes of the network with their roles, a line each.
pub(crate) fn roster(committee: &Committee) -> String {
    let mut text = format!("  committee          {}\n", committee.plan);
    let elected = committee.elected.committee();
    for (number, id) in committee.ids.iter().enumerate() {
        let role = match &elected {
            _ if number == 0 => "validator".to_owned(),
            Some(of) if of.workers.contains(id) => "primary".to_owned(),
            Some(of) if of.backups.contains(id) => "backup".to_owned(),
            _ if number > committee.plan.compute() as usize => "storage".to_owned(),
            _ => "not elected".to_owned(),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "  node {number:<3}           {role:<20} {id}");
    }
    text
}

/// What is looked at while a network runs.
pub(crate) struct Watched {
    pub(crate) log: Arc<RoundLog>,
    pub(crate) ids: Vec<NodeId>,
    /// Where the elected committee stands.
    pub(crate) elected: Elected,
    pub(crate) port: CommitteePort,
}

/// Writes a line to stderr for every round until `stopped` completes, and sees to it that agents'
/// requests go through a primary. Whoever reads the lines may go away.
pub(crate) async fn watch_rounds(watched: Watched, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    let mut next = 0;
    loop {
        let (reports, after) = watched.log.since(next);
        next = after;
        for report in reports {
            let _gone = writeln!(std::io::stderr(), "{}", line(&report, &watched.ids));
            watched.choose(&report);
        }
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

impl Watched {
    /// Only a round makes the certified state list the nodes of a new committee.
    fn choose(&self, report: &RoundReport) {
        let (Some(scheduler), Some(elected)) = (report.scheduler, self.elected.committee()) else {
            return;
        };
        let chosen = self.ids.get(self.port.chosen());
        let is_primary = chosen.is_some_and(|id| elected.workers.contains(id));
        if report.runtime != CANISTER_RUNTIME || is_primary {
            return;
        }
        if let Some(number) = self.ids.iter().position(|id| *id == scheduler) {
            tracing::info!(number, "agents' requests go through another node now");
            self.port.choose(number);
        }
    }
}

fn line(report: &RoundReport, ids: &[NodeId]) -> String {
    let nodes = |list: &[NodeId]| -> String {
        let number = |id: &NodeId| ids.iter().position(|known| known == id);
        let mut sorted: Vec<&NodeId> = list.iter().collect();
        sorted.sort_by_key(|id| number(id));
        let names: Vec<String> = sorted.iter().map(|id| name(id, ids)).collect();
        names.join(", ")
    };
    let mut text = format!("{} round {}: ", runtime_name(&report.runtime), report.round);
    match report.header_type {
        HeaderType::Normal => {}
        HeaderType::RoundFailed => text.push_str("failed, its batch comes again"),
        HeaderType::EpochTransition => text.push_str("new epoch, new committee"),
        HeaderType::Suspended => text.push_str("suspended, too few nodes for a committee"),
    }
    if let Some(scheduler) = &report.scheduler {
        let _written = write!(text, "scheduled by node {}", name(scheduler, ids));
    }
    if !report.agreed.is_empty() {
        let _written = write!(text, ", nodes {} agree", nodes(&report.agreed));
    }
    if !report.differed.is_empty() {
        let _written = write!(text, ", nodes {} differ", nodes(&report.differed));
    }
    if report.disputed {
        text.push_str(", the backups were asked");
    }
    if !report.receipts.is_empty() {
        let _written = write!(text, ", held by storage nodes {}", nodes(&report.receipts));
    }
    text
}

fn name(id: &NodeId, ids: &[NodeId]) -> String {
    match ids.iter().position(|known| known == id) {
        Some(number) => number.to_string(),
        None => id.to_string(),
    }
}

fn runtime_name(id: &RuntimeId) -> String {
    match *id {
        CANISTER_RUNTIME => "canisters".to_owned(),
        ACCOUNT_RUNTIME => "accounts".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trilith_types::{Round, SecretKey};

    #[test]
    fn a_line_says_who_did_what() {
        let ids: Vec<NodeId> = (0..4)
            .map(|number| SecretKey::from_seed([number; 32]).public())
            .collect();
        let mut report = RoundReport {
            runtime: CANISTER_RUNTIME,
            round: Round(7),
            header_type: HeaderType::Normal,
            scheduler: Some(ids[1]),
            agreed: vec![ids[1], ids[2]],
            differed: Vec::new(),
            receipts: vec![ids[3]],
            disputed: false,
        };
        assert_eq!(
            line(&report, &ids),
            "canisters round 7: scheduled by node 1, nodes 1, 2 agree, held by storage nodes 3"
        );
        report.differed = vec![ids[3]];
        report.disputed = true;
        assert!(line(&report, &ids).contains("nodes 3 differ, the backups were asked"));
        report = RoundReport {
            header_type: HeaderType::RoundFailed,
            scheduler: None,
            agreed: Vec::new(),
            differed: Vec::new(),
            receipts: Vec::new(),
            ..report
        };
        assert!(line(&report, &ids).starts_with("canisters round 7: failed"));
    }
}
