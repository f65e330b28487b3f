//! Asking the root: the node knows it as a runtime among others, handed in from outside, and reads
//! its state only through its queries.

use std::sync::Arc;

use trilith_protocol::root::beacon::{BeaconRecord, VrfDelivered};
use trilith_protocol::root::staking::Account;
use trilith_protocol::root::{
    Address, Committee, FromRoot, NodeRecord, NodeRoles, ROOT_RUNTIME, RoothashParameters,
    RunningRound, RuntimeDescriptor,
};
use trilith_protocol::{
    BlockHeader, Demand, QueryContext, QueryError, RootAnswer, RootQuery, Runtime,
};
use trilith_store::View;
use trilith_types::{Epoch, Height, NodeId, Round, RuntimeId, TimeNanos};

use crate::NodeError;
use crate::signed::Circumstances;

/// One version of the root's state, and the runtime that can read it.
pub(crate) struct RootState {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) view: Arc<View>,
}

/// The newest height.
pub(crate) struct Tip {
    pub(crate) height: Height,
    pub(crate) time: TimeNanos,
    pub(crate) randomness: [u8; 32],
}

impl RootState {
    pub(crate) fn committee(&self, runtime: &RuntimeId) -> Result<Option<Committee>, NodeError> {
        match self.ask(&RootQuery::Committee(*runtime))? {
            RootAnswer::Committee(committee) => Ok(committee),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn latest_block(&self, runtime: &RuntimeId) -> Result<BlockHeader, NodeError> {
        match self.ask(&RootQuery::LatestBlock(*runtime))? {
            RootAnswer::LatestBlock(Some(block)) => Ok(block),
            RootAnswer::LatestBlock(None) => Err(NodeError::State(format!(
                "the root knows no runtime {runtime}"
            ))),
            other => Err(unexpected(&other)),
        }
    }

    fn news(&self, runtime: &RuntimeId) -> Result<FromRoot, NodeError> {
        match self.ask(&RootQuery::FromRoot(*runtime))? {
            RootAnswer::FromRoot(news) => Ok(*news),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn running_round(&self, runtime: &RuntimeId) -> Result<RunningRound, NodeError> {
        match self.ask(&RootQuery::RunningRound(*runtime))? {
            RootAnswer::RunningRound(running) => Ok(*running),
            other => Err(unexpected(&other)),
        }
    }

    /// The descriptor of a registered runtime; `None` if it is not registered.
    pub(crate) fn registered(
        &self,
        runtime: &RuntimeId,
    ) -> Result<Option<RuntimeDescriptor>, NodeError> {
        match self.ask(&RootQuery::Runtime(*runtime))? {
            RootAnswer::Runtime(record) => Ok(record.map(|record| record.descriptor.descriptor())),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether a registered node has a role.
    pub(crate) fn has_role(&self, node: &NodeId, role: NodeRoles) -> Result<bool, NodeError> {
        let record = self.node(node)?;
        Ok(record.is_some_and(|record| {
            NodeRoles::from_bits(record.descriptor.roles).is_some_and(|roles| roles.has(role))
        }))
    }

    /// What this state says of a round of the runtime that is proposed at its height.
    pub(crate) fn circumstances(
        &self,
        runtime: &RuntimeId,
    ) -> Result<Option<Circumstances>, NodeError> {
        let Some(committee) = self.committee(runtime)? else {
            return Ok(None);
        };
        let tip = self.tip()?;
        Ok(Some(Circumstances {
            height: tip.height,
            epoch: self.epoch()?,
            randomness: Some(tip.randomness),
            committee: committee.workers,
            from_root: self.news(runtime)?,
        }))
    }

    pub(crate) fn beacon(&self) -> Result<BeaconRecord, NodeError> {
        match self.ask(&RootQuery::Beacon)? {
            RootAnswer::Beacon(record) => Ok(*record),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn vrf_proof(&self, node: &NodeId) -> Result<Option<VrfDelivered>, NodeError> {
        match self.ask(&RootQuery::VrfProof(*node))? {
            RootAnswer::VrfProof(delivered) => Ok(delivered),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn node(&self, node: &NodeId) -> Result<Option<NodeRecord>, NodeError> {
        match self.ask(&RootQuery::Node(*node))? {
            RootAnswer::Node(record) => Ok(record.map(|record| *record)),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn roothash_parameters(&self) -> Result<RoothashParameters, NodeError> {
        match self.ask(&RootQuery::Roothash)? {
            RootAnswer::Roothash(parameters) => Ok(*parameters),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn account(&self, address: &Address) -> Result<Account, NodeError> {
        match self.ask(&RootQuery::Account(*address))? {
            RootAnswer::Account(account) => Ok(*account),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn epoch(&self) -> Result<Epoch, NodeError> {
        match self.ask(&RootQuery::Epoch)? {
            RootAnswer::Epoch { epoch, .. } => Ok(epoch),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn tip(&self) -> Result<Tip, NodeError> {
        match self.ask(&RootQuery::Tip)? {
            RootAnswer::Tip {
                height,
                time,
                randomness,
            } => Ok(Tip {
                height,
                time,
                randomness,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// When the root needs a block even if no transaction arrives.
    pub(crate) fn demand(&self) -> Result<Demand, NodeError> {
        self.runtime
            .demand(&*self.view)
            .map_err(|fault| NodeError::State(fault.to_string()))
    }

    fn ask(&self, query: &RootQuery) -> Result<RootAnswer, NodeError> {
        // The root's answers depend on its state alone.
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        let refused = |error: QueryError| NodeError::State(error.to_string());
        let answer = self
            .runtime
            .query(&*self.view, &query.encode(), &context)
            .map_err(refused)?;
        RootAnswer::decode(&answer).map_err(|error| NodeError::State(error.to_string()))
    }
}

fn unexpected(answer: &RootAnswer) -> NodeError {
    NodeError::State(format!(
        "the root gives another answer than was asked for: {answer:?}"
    ))
}
