//! The root as a [`Runtime`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use trilith_params::root::HEARTBEAT;
use trilith_protocol::root::{
    FromRoot, NodeRecord, Quantity, RootTransaction, RuntimeRecord, Signed, StakingSummary,
};
use trilith_protocol::{
    Admission, Batch, CheckContext, Demand, Fault, Outcome, QueryContext, QueryError, Reject,
    RootAnswer, RootQuery, RoundContext, RoundLimits, Runtime, Usage,
};
use trilith_types::{Hash, StateFault, StateRead, TimeNanos};

use crate::ledger::Ledger;
use crate::overlay::{Overlay, Values};
use crate::roothash::admission::{self, Running};
use crate::transaction::{self, Arrived};
use crate::{
    Refusal, Rejection, TransactionError, beacon, governance, keymanager, registry, roothash,
    scheduler, staking, state,
};

/// Most entries that are remembered between heights. Not a consensus number.
const KNOWN_ENTRIES_MAX: usize = 16_384;

/// The root runtime. It remembers entries of the state it wrote last, so that a height reads only
/// what is new to it; an instance without memory gives the same outcomes.
#[derive(Default)]
pub struct Root {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The state of which entries are known.
    root: Option<Hash>,
    known: Values,
    /// What will be known of the state that the last outcome gives.
    next: Option<Values>,
}

impl Root {
    /// A root runtime without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A thread that panicked left at worst a memory that is not used: entries count only together
    /// with the root they are of.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Root {
    fn check(
        &self,
        view: &dyn StateRead,
        transaction: &[u8],
        _: &CheckContext,
    ) -> Result<Admission, Reject> {
        let result = transaction::arrive(transaction)
            .map_err(Refusal::from)
            .and_then(|arrived| match arrived {
                Arrived::Commitments(commitments) => check_commitments(view, &commitments),
                Arrived::Signed(signed) => check_signed(view, &signed),
            });
        let (sender, priority) = result.map_err(|refusal| match refusal {
            Refusal::Reject(reject) => reject,
            Refusal::Fault(fault) => Reject {
                module: crate::MODULE,
                code: UNREADABLE,
                message: fault.to_string(),
            },
        })?;
        Ok(Admission {
            id: Hash::of(transaction),
            sender,
            priority,
            expires: TimeNanos(u64::MAX),
        })
    }

    fn execute(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
        context: &RoundContext,
        _: &RoundLimits,
    ) -> Result<Outcome, Fault> {
        let known = {
            let mut memory = self.memory();
            memory.next = None;
            if memory.root == Some(view.root()) {
                memory.known.clone()
            } else {
                Values::new()
            }
        };
        let mut ledger = Ledger::begin(Overlay::new(view, known), context)?;
        let receipts = batch
            .inputs
            .iter()
            .map(|input| ledger.transaction(input))
            .collect::<Result<_, _>>()?;
        let (write_log, mut known) = ledger.end()?;
        known.retain(|key, _| !key.starts_with(state::EVENTS));
        if known.len() > KNOWN_ENTRIES_MAX {
            known.clear();
        }
        self.memory().next = Some(known);
        Ok(Outcome {
            write_log,
            images: Vec::new(),
            receipts,
            messages: Vec::new(),
            incoming_taken: 0,
            attested: Vec::new(),
            usage: Usage::default(),
        })
    }

    fn query(
        &self,
        view: &dyn StateRead,
        request: &[u8],
        _: &QueryContext,
    ) -> Result<Vec<u8>, QueryError> {
        let query = RootQuery::decode(request)
            .map_err(|error| Reject::from(Rejection::Malformed(error.to_string())))?;
        let answer = answer(view, query)?;
        Ok(answer.encode())
    }

    /// A block without transactions is needed while a round waits for a timeout, because timeouts
    /// count heights.
    fn demand(&self, view: &dyn StateRead) -> Result<Demand, Fault> {
        for runtime in state::network(view)?.runtimes {
            if state::pool(view, &runtime)?.timeout().is_some() {
                let next = state::tip(view)?.time.0.saturating_add(HEARTBEAT);
                return Ok(Demand::At(TimeNanos(next)));
            }
        }
        Ok(Demand::Idle)
    }

    fn sealed(&self, root: Hash) {
        let mut memory = self.memory();
        if let Some(known) = memory.next.take() {
            memory.known = known;
            memory.root = Some(root);
        }
    }
}

/// Code of a check that failed because this node could not read its state. Never in a receipt.
const UNREADABLE: u32 = 100;

fn answer(view: &dyn StateRead, query: RootQuery) -> Result<RootAnswer, StateFault> {
    Ok(match query {
        RootQuery::Committee(runtime) => RootAnswer::Committee(state::committee(view, &runtime)?),
        RootQuery::LatestBlock(runtime) => {
            RootAnswer::LatestBlock(state::latest_block(view, &runtime)?)
        }
        RootQuery::Epoch => {
            let record = state::epoch(view)?;
            RootAnswer::Epoch {
                epoch: record.epoch,
                since: record.since,
            }
        }
        RootQuery::Tip => {
            let tip = state::tip(view)?;
            RootAnswer::Tip {
                height: tip.height,
                time: tip.time,
                randomness: tip.randomness,
            }
        }
        RootQuery::Account(address) => {
            RootAnswer::Account(Box::new(staking::account(view, &address)?))
        }
        RootQuery::Delegation {
            delegate,
            delegator,
        } => RootAnswer::Delegation(staking::delegation(view, &delegate, &delegator)?),
        RootQuery::Staking => RootAnswer::Staking(Box::new(StakingSummary {
            total_supply: staking::total_supply(view)?,
            params: staking::parameters(view)?,
        })),
        RootQuery::Entity(id) => RootAnswer::Entity(registry::entity(view, &id)?),
        RootQuery::Node(id) => {
            let record = registry::node(view, &id)?.zip(registry::node_status(view, &id)?);
            let record = record.map(|(descriptor, status)| NodeRecord { descriptor, status });
            RootAnswer::Node(record.map(Box::new))
        }
        RootQuery::Runtime(id) => {
            let suspended = registry::suspended_runtime(view, &id)?;
            let running = registry::runtime(view, &id)?.map(|runtime| (runtime, false));
            let found = running.or(suspended.map(|runtime| (runtime, true)));
            let record = found.map(|(descriptor, suspended)| RuntimeRecord {
                descriptor,
                suspended,
            });
            RootAnswer::Runtime(record.map(Box::new))
        }
        RootQuery::Roothash => RootAnswer::Roothash(Box::new(roothash::parameters(view)?)),
        RootQuery::Registry => RootAnswer::Registry(Box::new(registry::parameters(view)?)),
        RootQuery::Beacon => RootAnswer::Beacon(Box::new(beacon::record(view)?)),
        RootQuery::VrfProof(node) => RootAnswer::VrfProof(beacon::delivered(view, &node)?),
        RootQuery::Validators => RootAnswer::Validators(scheduler::validators(view)?),
        RootQuery::Entities(after) => {
            RootAnswer::Entities(registry::entities(view, after.as_ref())?)
        }
        RootQuery::Nodes(after) => RootAnswer::Nodes(registry::nodes(view, after.as_ref())?),
        RootQuery::Runtimes(after) => {
            RootAnswer::Runtimes(registry::runtimes(view, after.as_ref())?)
        }
        RootQuery::Debonding(address) => RootAnswer::Debonding(staking::debonding(view, &address)?),
        RootQuery::Events(height) => RootAnswer::Events(state::events(view, height)?),
        RootQuery::FromRoot(id) => RootAnswer::FromRoot(Box::new(FromRoot {
            features: governance::active_features(view)?,
            ..roothash::news(view, &id)?
        })),
        RootQuery::Governance => RootAnswer::Governance(Box::new(governance::summary(view)?)),
        RootQuery::Proposals(first) => RootAnswer::Proposals(governance::proposals(view, first)?),
        RootQuery::Votes(votes) => RootAnswer::Votes(governance::votes(view, &votes)?),
        RootQuery::Features => RootAnswer::Features(governance::features(view)?),
        RootQuery::KeyManagers => RootAnswer::KeyManagers(Box::new(keymanager::summary(view)?)),
        RootQuery::KeyManager(id) => {
            RootAnswer::KeyManager(keymanager::record(view, &id)?.map(Box::new))
        }
        RootQuery::RunningRound(runtime) => {
            RootAnswer::RunningRound(Box::new(state::pool(view, &runtime)?.status()))
        }
    })
}

/// Who sent what may enter the pool, and how much it hurries.
type Checked = Result<(Vec<u8>, u64), Refusal>;

fn check_commitments(view: &dyn StateRead, transaction: &RootTransaction) -> Checked {
    let RootTransaction::ExecutorCommit {
        runtime,
        commitments,
    } = transaction;
    let chain = state::network(view)?.chain_context;
    let mut overlay = Overlay::new(view, Values::new());
    let running = Running::load(&mut overlay, chain, runtime)?;
    for commitment in commitments {
        admission::check(&running, commitment)?;
    }
    let first = commitments
        .first()
        .map(|first| first.node_id.as_bytes().to_vec());
    Ok((first.unwrap_or_default(), 0))
}

/// Signature, method, nonce and fee. A nonce above the account's may enter: the transactions
/// before it may be in the pool already.
fn check_signed(view: &dyn StateRead, signed: &Signed) -> Checked {
    let network = state::network(view)?;
    let opened = transaction::open(signed, &network.chain_context)?;
    let price = opened.transaction.gas_price();
    let min = Quantity::from(network.transactions.min_gas_price);
    if price < min {
        return Err(TransactionError::GasPrice { found: price, min }.into());
    }
    staking::check_fee(view, &opened.call.caller, &opened.transaction)?;
    let priority = u64::try_from(price.units()).unwrap_or(u64::MAX);
    Ok((opened.call.caller.as_bytes().to_vec(), priority))
}
