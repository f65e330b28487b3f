//! Messages to runtimes: they wait in a queue until a round takes them up, the oldest first.
//!
//! Fee and tokens are the runtime's as soon as a message is submitted: what becomes of them is up
//! to the runtime. A round is shown the oldest messages, of which its outcome says how many it took
//! up, with their hash.
//!
//! Invariant: the messages that wait have numbers without gaps.
//!
//! Source: Oasis Core `apps/roothash` (`submitMsg`, `removeRuntimeMessages`).

use trilith_params::root::INCOMING_ROUND_BYTES_MAX;
use trilith_protocol::RootEvent;
use trilith_protocol::root::{
    Address, GAS_SUBMIT_MESSAGE, IncomingMessage, MessageQueuedEvent, MessageTakenEvent,
    RoothashEvent, SubmitMessage,
};
use trilith_types::{Round, RuntimeId, StateFault, StateRead};

use super::Rejection;
use super::parameters::{charge, parameters_of};
use super::store::{Queue, message_key, messages_prefix, queue_key};
use crate::overlay::{Overlay, Values};
use crate::scope::{Call, Scope};
use crate::state::{OfRuntime, read, read_required};
use crate::{Refusal, registry, staking};

/// `roothash.SubmitMsg`.
pub(super) fn submit(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let message =
        SubmitMessage::decode(body).map_err(|error| Rejection::Malformed(error.to_string()))?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_SUBMIT_MESSAGE)?;
    let runtime = message.id;
    let overlay = &mut scope.overlay;
    if overlay.get(&OfRuntime::Descriptor.key(&runtime))?.is_none() {
        return Err(Rejection::UnknownRuntime(runtime).into());
    }
    if overlay.get(&OfRuntime::Committee.key(&runtime))?.is_none() {
        return Err(Rejection::Suspended(runtime).into());
    }
    // A runtime of the genesis document's plain list takes no messages.
    let descriptor = registry::running(scope, &runtime)?;
    let limit = descriptor
        .as_ref()
        .map_or(0, |of| of.txn_scheduler.max_in_messages);
    let min = descriptor
        .map(|of| of.staking.min_in_message_fee)
        .unwrap_or_default();
    let mut queue: Queue = scope
        .overlay
        .record(&queue_key(&runtime))?
        .unwrap_or_default();
    let len = queue.len();
    if len >= u64::from(limit) {
        return Err(Rejection::QueueFull {
            runtime,
            len,
            limit,
        }
        .into());
    }
    if message.fee < min {
        let found = message.fee;
        return Err(Rejection::MessageFee { found, min }.into());
    }
    let total = message.fee.plus(message.tokens);
    let total = total.ok_or(staking::StakingError::Overflow)?;
    let caller = call.caller;
    staking::pay(scope, (&caller, &Address::of_runtime(&runtime)), total)?;
    let (id, tag) = (queue.next, message.tag);
    queue.next = id.saturating_add(1);
    scope.overlay.put_record(queue_key(&runtime), &queue);
    let waiting = IncomingMessage {
        id,
        caller,
        tag,
        fee: message.fee,
        tokens: message.tokens,
        data: message.data,
    };
    scope
        .overlay
        .put_record(message_key(&runtime, id), &waiting);
    let event = MessageQueuedEvent {
        runtime_id: runtime,
        id,
        caller,
        tag,
    };
    scope.emit(RootEvent::Roothash(RoothashEvent::MessageQueued(event)));
    Ok(())
}

/// How many messages wait for a runtime.
pub(super) fn len(overlay: &mut Overlay<'_>, runtime: &RuntimeId) -> Result<u64, StateFault> {
    let queue: Option<Queue> = overlay.record(&queue_key(runtime))?;
    Ok(queue.unwrap_or_default().len())
}

/// The `count` oldest messages that wait; fewer if there are not so many.
pub(super) fn oldest(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    count: u32,
) -> Result<Vec<IncomingMessage>, StateFault> {
    let queue: Queue = scope
        .overlay
        .record(&queue_key(runtime))?
        .unwrap_or_default();
    (queue.oldest..queue.next)
        .take(count as usize)
        .map(|id| scope.overlay.required(&message_key(runtime, id)))
        .collect()
}

/// Takes messages, which are the oldest, out of the queue.
pub(super) fn remove(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    round: Round,
    messages: Vec<IncomingMessage>,
) -> Result<(), StateFault> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut queue: Queue = scope.overlay.required(&queue_key(runtime))?;
    for message in messages {
        scope.overlay.put(message_key(runtime, message.id), None);
        queue.oldest = message.id.saturating_add(1);
        let event = MessageTakenEvent {
            runtime_id: *runtime,
            id: message.id,
            round: round.0,
            caller: message.caller,
            tag: message.tag,
        };
        scope.emit(RootEvent::Roothash(RoothashEvent::MessageTaken(event)));
    }
    scope.overlay.put_record(queue_key(runtime), &queue);
    Ok(())
}

/// The oldest messages that wait for a runtime, as many as a round is shown: at least one if there
/// is any.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn incoming_messages(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Vec<IncomingMessage>, StateFault> {
    let queue: Queue = read(view, &queue_key(runtime))?.unwrap_or_default();
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for id in queue.oldest..queue.next {
        let message: IncomingMessage = read_required(view, &message_key(runtime, id))?;
        bytes += message.encode().len();
        if bytes > INCOMING_ROUND_BYTES_MAX {
            break;
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Whether exactly the messages of a runtime's queue are there.
pub(crate) fn queue_is_whole(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<bool, StateFault> {
    let queue: Queue = read(view, &queue_key(runtime))?.unwrap_or_default();
    let prefix = messages_prefix(runtime);
    let mut numbers = queue.oldest..queue.next;
    let found = Overlay::new(view, Values::new()).all(&prefix)?;
    let in_order = found.iter().all(|(key, _)| {
        let next = numbers.next();
        next.is_some_and(|number| *key == message_key(runtime, number))
    });
    Ok(in_order && numbers.is_empty())
}
