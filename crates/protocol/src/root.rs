//! What the root ledger and its users say to each other: the genesis document, root transactions,
//! events, queries and their answers, as types with canonical encodings.
//!
//! Here are formats only. What the root does with them is the business of the root runtime.

mod address;
mod event;
mod genesis;
pub mod governance;
pub mod keymanager;
mod quantity;
mod query;
pub mod registry;
mod round;
mod services;
mod signed;
pub mod staking;
mod transaction;

pub use address::{
    Address, AddressError, BURN as BURN_ADDRESS, COMMON_POOL, FEE_ACCUMULATOR, GOVERNANCE_DEPOSITS,
};
pub use quantity::Quantity;
pub use services::{Services, Standing, TransactionParameters};
pub use signed::{Fee, MultiSigned, SignatureOf, Signed, Transaction};

pub use crate::wire::{Blob, FieldShape, Name, Presence, RawItem, Shape};

pub use event::{EVENT_BYTES_MAX, RootEvent, RoundFailure};
pub use genesis::{
    AccountRule, BackupRule, ExecutorParameters, GENESIS_BYTES_MAX, GenesisError, GenesisNode,
    NodeRoles, RootGenesis, RuntimeDescriptor, SchedulerParameters, ThresholdKey,
};
pub use query::{
    Debonding, FeatureList, GovernanceSummary, KeymanagerRecord, KeymanagerSummary, LISTED_MAX,
    NodeRecord, QUERY_BYTES_MAX, RootAnswer, RootQuery, RuntimeRecord, StakingSummary, VotesOf,
};
pub use round::{ActiveFeature, FROM_ROOT_BYTES_MAX, FeatureId, FromRoot, IncomingMessage};
pub use transaction::{COMMITMENTS_MAX, EXECUTOR_COMMIT, RootTransaction, TRANSACTION_BYTES_MAX};

pub use trilith_params::root::COMMITTEE_MEMBERS_MAX;

use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{Epoch, NodeId, RuntimeId};

use crate::wire::{self, put};

/// The identifier under which the root's own state is kept. No runtime may have it.
pub const ROOT_RUNTIME: RuntimeId = RuntimeId::from_bytes([0; RuntimeId::LEN]);

/// The nodes that execute one runtime in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// The epoch it was elected for.
    pub epoch: Epoch,
    /// Primary executors, in the order that ranks schedulers.
    pub workers: Vec<NodeId>,
    /// Executors that settle discrepancies.
    pub backups: Vec<NodeId>,
    /// Nodes whose receipts count, where the runtime asks for any; empty where it does not.
    pub storage: Vec<NodeId>,
}

impl Committee {
    /// Rank of a worker as scheduler of a round: 0 goes first. `None` if `node` is no worker.
    ///
    /// Source: Oasis Core `scheduler/api` (`SchedulerRank`).
    pub fn rank(&self, node: &NodeId, round: trilith_types::Round) -> Option<u64> {
        let index = self.workers.iter().position(|worker| worker == node)? as u64;
        let count = self.workers.len() as u64;
        Some((round.0 % count + index) % count)
    }

    /// The worker of rank `rank` in a round. `None` if there is no such rank.
    pub fn scheduler(&self, rank: u64, round: trilith_types::Round) -> Option<NodeId> {
        let count = self.workers.len() as u64;
        if rank >= count {
            return None;
        }
        let index = (rank + count - round.0 % count) % count;
        self.workers.get(index as usize).copied()
    }

    /// Whether `node` is a worker or a backup.
    pub fn has(&self, node: &NodeId) -> bool {
        self.workers.contains(node) || self.backups.contains(node)
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let map = MapBuilder::new()
            .field("epoch", put::uint(self.epoch.0))
            .field("workers", put::list(&self.workers, write_node))
            .field("backups", put::list(&self.backups, write_node));
        if self.storage.is_empty() {
            return map.finish();
        }
        map.field("storage", put::list(&self.storage, write_node))
            .finish()
    }

    /// Reads what [`Committee::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a committee.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(
            bytes,
            "committee",
            128 + 3 * COMMITTEE_MEMBERS_MAX * 34,
            Self::read,
        )
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut epoch, mut workers, mut backups, mut storage) = (None, None, None, None);
        decoder.fields("committee", 4, |name, d| {
            match name {
                "epoch" => epoch = Some(Epoch(d.uint()?)),
                "workers" => workers = Some(read_nodes(d, "workers")?),
                "backups" => backups = Some(read_nodes(d, "backups")?),
                "storage" => storage = Some(read_nodes(d, "storage")?),
                _ => return Err(DecodeError::Field("committee")),
            }
            Ok(())
        })?;
        Ok(Self {
            epoch: wire::required(epoch, "epoch")?,
            workers: wire::required(workers, "workers")?,
            backups: wire::required(backups, "backups")?,
            storage: match storage {
                None => Vec::new(),
                // One form: a committee without storage nodes has no such field.
                Some(nodes) if nodes.is_empty() => return Err(DecodeError::Field("storage")),
                Some(nodes) => nodes,
            },
        })
    }
}

fn write_node(encoder: &mut Encoder, node: &NodeId) {
    encoder.bytes(node.as_bytes());
}

fn read_nodes(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Vec<NodeId>, DecodeError> {
    wire::list(decoder, what, COMMITTEE_MEMBERS_MAX, |d| {
        wire::node(d, "node")
    })
}

/// Writes `{variant: value}`, the form of an enum.
fn variant(name: &'static str, value: &[u8]) -> Vec<u8> {
    MapBuilder::new().field(name, put::raw(value)).finish()
}

/// Reads `{variant: value}`: `read` gets the variant's name and reads its value.
fn read_variant<T>(
    decoder: &mut Decoder<'_>,
    what: &'static str,
    mut read: impl FnMut(&str, &mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut value = None;
    decoder.fields(what, 1, |name, d| {
        value = Some(read(name, d)?);
        Ok(())
    })?;
    wire::required(value, what)
}
