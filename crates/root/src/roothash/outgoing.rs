//! Messages of runtimes to the root: executed where their round is finalised, in order, in the name
//! of the runtime's account.
//!
//! Each takes effect as a whole or not at all, and none keeps another from being executed. They cost
//! no gas here: who delivers the scheduler's commitment in a signed transaction pays for the
//! messages with it. The runtime's next round is told what became of each.
//!
//! Deviations from Oasis Core: a message that cannot be read is answered with an error and does not
//! make the commitment invalid, so that a runtime that sends one does not stand still; the gas of
//! messages is that of their operations, without trying them; a message that was refused has no
//! result, not null.
//!
//! Source: Oasis Core `apps/roothash/messages.go` (`processRuntimeMessages`), `apps/staking`,
//! `apps/registry` (`ExecuteMessage`).

use trilith_protocol::root::governance::{
    GAS_CAST_VOTE, GAS_SUBMIT_PROPOSAL, ProposalContent, ProposalVote,
};
use trilith_protocol::root::registry::GAS_REGISTER_RUNTIME;
use trilith_protocol::root::staking as methods;
use trilith_protocol::root::staking::StakingEvent;
use trilith_protocol::root::{
    Address, GovernanceMessage, MessageHandledEvent, MessageResult, RawItem, ReclaimEscrowResult,
    RegistryMessage, RoothashEvent, RuntimeMessage, StakingMessage, TransferResult, WithdrawResult,
};
use trilith_protocol::{ExecutorCommitment, RootEvent};
use trilith_types::{PublicKey, Round, RuntimeId, StateFault};

use super::Rejection;
use crate::governance::GovernanceError;
use crate::scope::{Call, Gas, Scope, broken};
use crate::staking::StakingError;
use crate::{Refusal, governance, registry, staking};

/// The signer of a message: nobody. No signature stands for this key, so it is registered nowhere.
const NOBODY: PublicKey = PublicKey::from_bytes([0; 32]);

/// The result of what gives none.
const NULL: &[u8] = &[0xf6];

/// Executes the messages of a round.
pub(super) fn execute(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    round: Round,
    payloads: &[Vec<u8>],
) -> Result<Vec<MessageResult>, StateFault> {
    // The gas of the height is for its transactions.
    let gas = std::mem::replace(&mut scope.gas, Gas::new(u64::MAX));
    let mut results = Vec::new();
    for (index, payload) in (0u32..).zip(payloads) {
        let before = scope.events_len();
        scope.overlay.open_layer();
        let done = execute_one(scope, runtime, payload);
        scope.overlay.close_layer(done.is_ok());
        let result = match done {
            Ok(result) => MessageResult {
                index,
                result,
                ..MessageResult::default()
            },
            Err(Refusal::Fault(fault)) => return Err(fault),
            Err(Refusal::Reject(reject)) => {
                scope.forget_events(before);
                MessageResult {
                    module: reject.module.to_owned(),
                    code: reject.code,
                    index,
                    result: RawItem::default(),
                }
            }
        };
        let event = MessageHandledEvent {
            runtime_id: *runtime,
            round: round.0,
            index,
            module: result.module.clone(),
            code: result.code,
        };
        scope.emit(RootEvent::Roothash(RoothashEvent::MessageHandled(event)));
        results.push(result);
    }
    scope.gas = gas;
    Ok(results)
}

fn decode(payload: &[u8]) -> Result<RuntimeMessage, Rejection> {
    RuntimeMessage::decode(payload).map_err(|error| Rejection::MessageUnknown(error.to_string()))
}

fn execute_one(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    payload: &[u8],
) -> Result<RawItem, Refusal> {
    let mut call = Call {
        signer: NOBODY,
        caller: Address::of_runtime(runtime),
        gas: Gas::new(u64::MAX),
    };
    match decode(payload)? {
        RuntimeMessage::Staking(message) => of_staking(scope, &mut call, message),
        RuntimeMessage::Registry(RegistryMessage::UpdateRuntime(descriptor)) => {
            let result = RawItem(descriptor.encode());
            registry::update_by_runtime(scope, &mut call, runtime, *descriptor)?;
            Ok(result)
        }
        RuntimeMessage::Governance(message) => of_governance(scope, &call.caller, &message),
    }
}

/// Votes or proposes in the runtime's name. A runtime is no entity: where only entities may vote,
/// it may not.
fn of_governance(
    scope: &mut Scope<'_>,
    runtime: &Address,
    message: &GovernanceMessage,
) -> Result<RawItem, Refusal> {
    match message {
        GovernanceMessage::CastVote(RawItem(vote)) => {
            let vote = ProposalVote::decode(vote).map_err(GovernanceError::from)?;
            governance::cast_vote_as(scope, runtime, &vote, false)?;
            Ok(RawItem(NULL.to_vec()))
        }
        GovernanceMessage::SubmitProposal(RawItem(content)) => {
            let content = ProposalContent::decode(content).map_err(GovernanceError::from)?;
            let proposal = governance::submit_proposal_as(scope, runtime, &content)?;
            Ok(RawItem(proposal.encode()))
        }
    }
}

/// Calls the method of the staking service that a message means, and tells what it gave.
fn of_staking(
    scope: &mut Scope<'_>,
    call: &mut Call,
    message: StakingMessage,
) -> Result<RawItem, Refusal> {
    let before = scope.events_len();
    let (method, body) = method_of(&message);
    let escrow = [methods::ADD_ESCROW, methods::RECLAIM_ESCROW].contains(&method);
    if escrow && !staking::parameters_of(scope)?.allow_escrow_messages {
        return Err(StakingError::from(staking::Forbidden::EscrowMessages).into());
    }
    let handler = staking::METHODS.iter().find(|(name, _)| *name == method);
    let (_, handler) = handler.ok_or_else(|| broken("the staking service lacks a method"))?;
    handler(scope, call, &body)?;
    let happened = scope.events_since(before);
    let result = match message {
        StakingMessage::Transfer(transfer) => {
            let result = TransferResult {
                from: call.caller,
                to: transfer.to,
                amount: transfer.amount,
            };
            Some(result.encode())
        }
        StakingMessage::Withdraw(_) => happened.iter().find_map(|event| match event {
            RootEvent::Staking(StakingEvent::AllowanceChange(event)) => {
                let result = WithdrawResult {
                    owner: event.owner,
                    beneficiary: event.beneficiary,
                    allowance: event.allowance,
                    amount_change: event.amount_change,
                };
                Some(result.encode())
            }
            _ => None,
        }),
        StakingMessage::AddEscrow(_) => happened.iter().find_map(|event| match event {
            RootEvent::Staking(StakingEvent::AddEscrow(event)) => Some(event.encode()),
            _ => None,
        }),
        StakingMessage::ReclaimEscrow(_) => return reclaimed(scope, before),
    };
    let result = result.ok_or_else(|| broken("an operation of stake told nothing"))?;
    Ok(RawItem(result))
}

/// What a reclaim gave, from its event.
fn reclaimed(scope: &mut Scope<'_>, before: usize) -> Result<RawItem, Refusal> {
    let event = scope
        .events_since(before)
        .iter()
        .find_map(|event| match event {
            RootEvent::Staking(StakingEvent::DebondingStart(event)) => Some(event.clone()),
            _ => None,
        });
    let event = event.ok_or_else(|| broken("a reclaim of stake told nothing"))?;
    let remaining_shares = staking::shares_of(scope, &event.escrow, &event.owner)?;
    let result = ReclaimEscrowResult {
        owner: event.owner,
        escrow: event.escrow,
        amount: event.amount,
        debonding_shares: event.debonding_shares,
        remaining_shares,
        debond_end_time: event.debond_end_time,
    };
    Ok(RawItem(result.encode()))
}

fn method_of(message: &StakingMessage) -> (&'static str, Vec<u8>) {
    match message {
        StakingMessage::Transfer(body) => (methods::TRANSFER, body.encode()),
        StakingMessage::Withdraw(body) => (methods::WITHDRAW, body.encode()),
        StakingMessage::AddEscrow(body) => (methods::ADD_ESCROW, body.encode()),
        StakingMessage::ReclaimEscrow(body) => (methods::RECLAIM_ESCROW, body.encode()),
    }
}

/// Charges who delivers a scheduler's commitment for the messages in it.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    commitments: &[ExecutorCommitment],
) -> Result<(), Refusal> {
    let payloads = commitments
        .iter()
        .flat_map(|commitment| &commitment.messages);
    for payload in payloads {
        let gas = match decode(payload) {
            Ok(RuntimeMessage::Staking(message)) => {
                let costs = staking::parameters_of(scope)?.gas_costs;
                let operation = match message {
                    StakingMessage::Transfer(_) => "transfer",
                    StakingMessage::Withdraw(_) => "withdraw",
                    StakingMessage::AddEscrow(_) => "add_escrow",
                    StakingMessage::ReclaimEscrow(_) => "reclaim_escrow",
                };
                costs.get(&operation.into()).copied()
            }
            Ok(RuntimeMessage::Registry(_)) => {
                let costs = registry::parameters_of(scope)?.gas_costs;
                costs.get(&GAS_REGISTER_RUNTIME.into()).copied()
            }
            Ok(RuntimeMessage::Governance(message)) => {
                let costs = governance::parameters_of(scope)?.gas_costs;
                let operation = match message {
                    GovernanceMessage::CastVote(_) => GAS_CAST_VOTE,
                    GovernanceMessage::SubmitProposal(_) => GAS_SUBMIT_PROPOSAL,
                };
                costs.get(&operation.into()).copied()
            }
            Err(_) => None,
        };
        call.charge(scope, gas.unwrap_or(0))?;
    }
    Ok(())
}
