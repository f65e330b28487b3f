//! How feature gates stand: what the account runtime shows of them, and what the root approved.
//!
//! Feature accounts are read over JSON-RPC, so that this works with any node of the network; what
//! the root approved comes from the control socket. Either may be missing: what is shown then is
//! what the other knows.

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use trilith_engine_account::gates::{self, FeatureState, Gate};
use trilith_protocol::root::governance::FeatureRecord;
use trilith_types::Epoch;

use super::seen::{Found, Seen};

/// What the root says of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Approval {
    /// The root was not asked.
    NotKnown,
    No,
    Yes {
        proposal: u64,
        since: u64,
        /// Whether rounds see it already.
        counts: bool,
    },
}

/// The root's answer.
pub(crate) struct Approved<'a> {
    pub(crate) epoch: Epoch,
    pub(crate) records: &'a [FeatureRecord],
}

/// How a gate stands.
pub(crate) struct Row {
    id: Pubkey,
    gate: Option<Gate>,
    found: Option<Found>,
    approval: Approval,
}

/// All gates that this build knows and all that the root approved; or those asked for.
pub(crate) fn ids(asked: &[Pubkey], approved: Option<&Approved<'_>>) -> Vec<Pubkey> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let mut ids: Vec<Pubkey> = gates::all().iter().map(|gate| gate.id).collect();
    let records = approved.iter().flat_map(|approved| approved.records);
    let unknown = records
        .map(|record| Pubkey::new_from_array(record.id.0))
        .filter(|id| gates::find(id).is_none());
    // After ours, before the many of the ecosystem.
    let place = gates::own().len();
    ids.splice(place..place, unknown.collect::<Vec<_>>());
    ids
}

/// How each of the gates stands.
pub(crate) fn rows(
    ids: &[Pubkey],
    seen: Option<&Seen>,
    approved: Option<&Approved<'_>>,
) -> Vec<Row> {
    let row = |id: &Pubkey| {
        let approval = approved.map_or(Approval::NotKnown, |approved| {
            let mut records = approved.records.iter();
            let record = records.find(|record| record.id.0 == id.to_bytes());
            record.map_or(Approval::No, |record| Approval::Yes {
                proposal: record.proposal,
                since: record.since.0,
                counts: record.is_active(approved.epoch),
            })
        });
        Row {
            id: *id,
            gate: gates::find(id),
            found: seen.and_then(|seen| seen.found(id)),
            approval,
        }
    };
    ids.iter().map(row).collect()
}

impl Row {
    /// A word for the state, for programs.
    fn state(&self) -> &'static str {
        match self.found {
            Some(Found::Feature(FeatureState::Active(_))) => "active",
            Some(Found::Feature(FeatureState::Pending)) => "pending",
            _ => "inactive",
        }
    }

    /// The state for people.
    fn text(&self, seen: &Seen) -> String {
        match (self.found, self.approval) {
            (Some(Found::Feature(FeatureState::Active(slot))), _) => {
                format!("active since slot {slot} (epoch {})", seen.epoch_of(slot))
            }
            (Some(Found::Feature(FeatureState::Pending)), approval) => match approval {
                Approval::NotKnown => {
                    "pending; whether the root approved it is not known".to_owned()
                }
                Approval::No => "pending, not approved by the root".to_owned(),
                Approval::Yes { counts: true, .. } => {
                    let (epoch, slot) = seen.next_epoch();
                    format!("pending and approved, active from epoch {epoch} (slot {slot})")
                }
                Approval::Yes { since, .. } => format!(
                    "pending and approved, active from the first epoch after root epoch {since} \
                     has begun"
                ),
            },
            (other, Approval::Yes { .. }) => match other {
                Some(Found::Other(owner)) => {
                    format!(
                        "approved, but the account there is no feature account: {owner} owns it"
                    )
                }
                _ => "approved, but no feature account exists".to_owned(),
            },
            _ => "inactive".to_owned(),
        }
    }

    /// What the gate is called.
    fn name(&self) -> &'static str {
        self.gate.map_or("unknown to this build", |gate| gate.name)
    }

    /// Whether a node of this build stops when it comes into force.
    fn is_supported(&self) -> bool {
        self.gate.is_some_and(|gate| gate.is_supported)
    }

    /// For programs.
    pub(crate) fn document(&self, seen: Option<&Seen>) -> Value {
        let slot = match self.found {
            Some(Found::Feature(FeatureState::Active(slot))) => Some(slot),
            _ => None,
        };
        let epoch = seen.zip(slot).map(|(seen, slot)| seen.epoch_of(slot));
        let (proposal, since, counts) = match self.approval {
            Approval::Yes {
                proposal,
                since,
                counts,
            } => (Some(proposal), Some(since), counts),
            _ => (None, None, false),
        };
        let is_next = self.found == Some(Found::Feature(FeatureState::Pending)) && counts;
        let next = seen.filter(|_| is_next).map(Seen::next_epoch);
        json!({
            "id": self.id.to_string(),
            "name": self.name(),
            "own": self.gate.is_some_and(|gate| gate.is_own),
            "known": self.gate.is_some(),
            "supported": self.is_supported(),
            "state": seen.map(|_| self.state()),
            "approved": match self.approval {
                Approval::NotKnown => None,
                approval => Some(approval != Approval::No),
            },
            "slot": slot,
            "epoch": epoch,
            "active_from_epoch": next.map(|(epoch, _)| epoch),
            "active_from_slot": next.map(|(_, slot)| slot),
            "proposal": proposal,
            "approved_from_root_epoch": since,
        })
    }
}

/// A line for each gate: id, state, name.
pub(crate) fn table(rows: &[Row], seen: &Seen) -> String {
    let states: Vec<String> = rows.iter().map(|row| row.text(seen)).collect();
    let width = states.iter().map(String::len).max().unwrap_or(0);
    let lines = rows.iter().zip(&states).map(|(row, state)| {
        let (id, name) = (row.id.to_string(), row.name());
        let mark = if row.is_supported() {
            ""
        } else {
            "  [unsupported]"
        };
        format!("{id:<44}  {state:<width$}  {name}{mark}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use trilith_protocol::root::FeatureId;

    use super::super::seen::tests::seen;
    use super::*;

    fn record(id: Pubkey, since: u64) -> FeatureRecord {
        FeatureRecord {
            id: FeatureId(id.to_bytes()),
            proposal: 3,
            since: Epoch(since),
        }
    }

    #[test]
    fn every_state_is_told() {
        let id = gates::transaction_wide_budget();
        let pending = Found::Feature(FeatureState::Pending);
        let active = Found::Feature(FeatureState::Active(64));
        let other = Found::Other(Pubkey::default());
        let (now, later) = ([record(id, 2)], [record(id, 9)]);
        let (none, epoch) = ([], Epoch(5));
        let by = |records| Some(Approved { epoch, records });
        let cases: [(Option<Found>, Option<Approved<'_>>, &str, &str); 9] = [
            (None, by(&none), "inactive", "inactive"),
            (None, None, "inactive", "inactive"),
            (Some(other), by(&none), "inactive", "inactive"),
            (
                Some(pending),
                by(&none),
                "pending",
                "not approved by the root",
            ),
            (Some(pending), None, "pending", "is not known"),
            (
                Some(pending),
                by(&now),
                "pending",
                "from epoch 2 (slot 128)",
            ),
            (Some(pending), by(&later), "pending", "after root epoch 9"),
            (None, by(&now), "inactive", "no feature account exists"),
            (
                Some(active),
                by(&now),
                "active",
                "active since slot 64 (epoch 1)",
            ),
        ];
        for (found, approved, state, text) in cases {
            let found: Vec<_> = found.map(|found| (id, found)).into_iter().collect();
            let seen = seen(&found);
            let row = &rows(&[id], Some(&seen), approved.as_ref())[0];
            assert_eq!(row.state(), state);
            assert!(
                row.text(&seen).contains(text),
                "{} in {state}",
                row.text(&seen)
            );
        }
        let seen = seen(&[(id, other)]);
        let row = &rows(&[id], Some(&seen), by(&now).as_ref())[0];
        assert!(row.text(&seen).contains("is no feature account"));
    }

    #[test]
    fn what_the_root_approved_and_nobody_knows_is_listed_and_marked() {
        let unknown = Pubkey::new_from_array([9; 32]);
        let records = [record(unknown, 1)];
        let approved = Approved {
            epoch: Epoch(1),
            records: &records,
        };
        let ids = ids(&[], Some(&approved));
        assert_eq!(ids.len(), gates::all().len() + 1);
        assert_eq!(ids[2], unknown);
        let seen = seen(&[]);
        let rows = rows(&ids, Some(&seen), Some(&approved));
        let row = &rows[2];
        let line = table(&rows[2..3], &seen);
        assert!(
            line.contains("unknown to this build  [unsupported]"),
            "{line}"
        );
        assert_eq!(row.document(Some(&seen))["supported"], false);
    }
}
