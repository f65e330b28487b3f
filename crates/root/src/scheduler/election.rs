//! Who executes a runtime in an epoch, and who keeps its state.
//!
//! ```text
//! candidates of a role = those of the runtime, of entities with a validator if the role asks for it
//! then at most so many of one entity as the role allows, by an order of their own
//! elected              = the first of the role's order; nobody if there are fewer candidates than
//!                        are to be elected, or than the role asks for
//! ```
//!
//! By the default rule backups are drawn from those that are not workers; by Oasis Core's from all.
//! If a role cannot be filled there is no committee.
//!
//! Source: Oasis Core `apps/scheduler/shuffle.go` (`electCommitteeMembers`); for storage nodes the
//! same function before release 22.0.

use std::collections::{BTreeMap, BTreeSet};

use trilith_params::root::COMMITTEE_MEMBERS_MAX;
use trilith_protocol::Committee;
use trilith_protocol::root::registry::SchedulingConstraints;
use trilith_protocol::root::{BackupRule, RuntimeDescriptor};
use trilith_types::{NodeId, PublicKey};

use super::order::{Subject, by_entropy, by_outputs};
use crate::beacon::Lottery;
use crate::registry::Candidate;

/// A role in a committee.
struct Role {
    /// Number of the kind of committee, and of the role in it. Source: Oasis Core `scheduler/api`.
    kind: u8,
    number: u8,
    /// What entropy is used for. Source: Oasis Core `apps/scheduler` (`RNGContext…`).
    purpose: &'static [u8],
}

const WORKER: Role = Role {
    kind: 1,
    number: 1,
    purpose: b"EkS-ABCI-ComputeWorker",
};
const BACKUP: Role = Role {
    kind: 1,
    number: 2,
    purpose: b"EkS-ABCI-ComputeBackup-Worker",
};
const STORAGE: Role = Role {
    kind: 2,
    number: 1,
    purpose: b"EkS-ABCI-StorageWorker",
};

/// Orders by outputs. Source: Oasis Core `apps/scheduler/shuffle.go`.
const OF_COMMITTEE: &[u8] = b"oasis-core:vrf/committee";
const OF_ENTITY: &[u8] = b"oasis-core:vrf/dedup";

/// By kind of committee and role, what must hold.
pub(crate) type Constraints = BTreeMap<u8, BTreeMap<u8, SchedulingConstraints>>;

/// The election of a committee.
pub(super) struct Election<'a> {
    pub(super) lottery: &'a Lottery,
    pub(super) descriptor: &'a RuntimeDescriptor,
    pub(super) constraints: &'a Constraints,
    /// The entities that have a validator.
    pub(super) validators: &'a BTreeSet<PublicKey>,
}

impl Election<'_> {
    /// Elects a committee; `None` if a role cannot be filled.
    pub(super) fn committee(
        &self,
        compute: &[Candidate],
        storage: &[Candidate],
    ) -> Option<Committee> {
        if !self.lottery.elects_committees {
            return None;
        }
        let executor = &self.descriptor.executor;
        let workers = self.draw(&WORKER, executor.group_size, compute.iter())?;
        let candidates = compute.iter().filter(|candidate| {
            executor.backup_rule == BackupRule::Shared || !workers.contains(&candidate.id)
        });
        let backups = self.draw(&BACKUP, executor.backup_size, candidates)?;
        let storage = self.storage(storage)?;
        Some(Committee {
            epoch: self.lottery.epoch,
            workers,
            backups,
            storage,
        })
    }

    /// The storage nodes, where the runtime asks for receipts.
    fn storage(&self, candidates: &[Candidate]) -> Option<Vec<NodeId>> {
        let least = self.descriptor.storage_receipts_min;
        if least == 0 {
            return Some(Vec::new());
        }
        let count = match self.descriptor.storage_group_size {
            // All there are, but at least as many as must sign.
            0 => {
                let all = candidates.len().min(COMMITTEE_MEMBERS_MAX);
                u32::try_from(all).unwrap_or(u32::MAX).max(least)
            }
            count => count,
        };
        self.draw(&STORAGE, count, candidates.iter())
    }

    fn draw<'b>(
        &self,
        role: &Role,
        count: u32,
        candidates: impl Iterator<Item = &'b Candidate>,
    ) -> Option<Vec<NodeId>> {
        if count == 0 {
            return Some(Vec::new());
        }
        let of_kind = self.constraints.get(&role.kind);
        let rules = of_kind.and_then(|roles| roles.get(&role.number)).copied();
        let rules = rules.unwrap_or_default();
        let mut pool: Vec<&Candidate> = candidates
            .filter(|candidate| {
                rules.validator_set.is_none() || self.validators.contains(&candidate.entity)
            })
            .filter(|candidate| match &self.lottery.outputs {
                None => true,
                Some(outputs) => outputs.contains_key(&candidate.id),
            })
            .collect();
        if let Some(limit) = rules.max_nodes.filter(|limit| limit.limit > 0) {
            pool = self.limited(role, usize::from(limit.limit), pool);
        }
        let least = rules.min_pool_size.map_or(0, |limit| limit.limit);
        let count = count as usize;
        if pool.len() < usize::from(least).max(count) {
            return None;
        }
        let order = self.ordered(role, pool);
        let elected: Vec<NodeId> = order.iter().take(count).map(|one| one.id).collect();
        (elected.len() == count).then_some(elected)
    }

    fn ordered<'b>(&self, role: &Role, pool: Vec<&'b Candidate>) -> Vec<&'b Candidate> {
        match &self.lottery.outputs {
            None => {
                let nonce = self.descriptor.id.as_bytes();
                by_entropy(self.lottery, nonce, role.purpose, pool)
            }
            Some(outputs) => {
                let (kind, number) = ([role.kind], [role.number]);
                let subject = Subject {
                    customization: OF_COMMITTEE,
                    items: &[self.descriptor.id.as_bytes(), &kind, &number],
                };
                by_outputs(self.lottery, outputs, &subject, &pool)
            }
        }
    }

    /// At most `limit` candidates of each entity: the first ones by outputs, or as they come.
    fn limited<'b>(
        &self,
        role: &Role,
        limit: usize,
        pool: Vec<&'b Candidate>,
    ) -> Vec<&'b Candidate> {
        let mut pool = match &self.lottery.outputs {
            None => pool,
            Some(outputs) => {
                let (kind, number) = ([role.kind], [role.number]);
                let subject = Subject {
                    customization: OF_ENTITY,
                    items: &[self.descriptor.id.as_bytes(), &kind, &number],
                };
                by_outputs(self.lottery, outputs, &subject, &pool)
            }
        };
        let mut of_entity: BTreeMap<PublicKey, usize> = BTreeMap::new();
        pool.retain(|candidate| {
            let count = of_entity.entry(candidate.entity).or_default();
            *count += 1;
            *count <= limit
        });
        pool
    }
}
