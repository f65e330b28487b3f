//! Delivering calls and answers between canisters, users and the management canister; opening and
//! closing call contexts.

use std::sync::Arc;

use candid::Principal;

use super::record::{Callback, Input, Origin, Reply, Request, RequestState, Response, Status};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use super::{management, price};
use crate::api::Call;

impl Round<'_> {
    /// Sends an answer and the cycles that were not accepted to where a call came from.
    pub(crate) fn respond(&mut self, origin: &Origin, reply: Reply, refund: u128) {
        self.progress = true;
        match origin {
            Origin::Ingress { id, .. } => {
                let now = self.now();
                if let Some(record) = self.state.request_mut(id) {
                    record.status = RequestState::Answered { reply };
                    record.kept_until = record
                        .expiry
                        .max(now.saturating_add(price::STATUS_KEPT_NANOS));
                }
            }
            Origin::Canister {
                caller, callback, ..
            } => self.deliver(*caller, *callback, reply, refund),
            Origin::Task {} => {}
        }
    }

    /// Puts an answer into the queue of the canister that waits for it. An answer that nobody
    /// waits for any more (the canister is gone, or the call timed out) is dropped, and with it
    /// its cycles.
    pub(crate) fn deliver(
        &mut self,
        caller: Principal,
        callback: u64,
        result: Reply,
        refund: u128,
    ) {
        let Some(canister) = self.state.canister_mut(&caller) else {
            return;
        };
        let Some(call) = canister
            .callbacks
            .get_mut(&callback)
            .filter(|call| !call.responded)
        else {
            return;
        };
        call.responded = true;
        let response = Response {
            callback,
            refund,
            result,
        };
        canister.inputs.push_back(Input::Response { response });
        self.state.active.insert(caller);
    }

    /// Opens a call: notes the callback with the caller, and puts the request into the queue of
    /// the callee. Its cycles and fees were taken from the caller, which saw itself in `version`.
    pub(crate) fn open_call(
        &mut self,
        caller: Principal,
        context: u64,
        call: Call,
        (memory64, version): (bool, u64),
    ) {
        let now = self.now();
        let deadline = call.timeout_seconds.map_or(0, |seconds| {
            let seconds = u64::from(seconds.min(price::BEST_EFFORT_SECONDS_MAX));
            now.saturating_add(seconds * price::SECOND_NANOS)
        });
        let canister = self.state.existing(&caller);
        let callback = canister.number();
        canister.callbacks.insert(
            callback,
            Callback {
                context,
                callee: call.callee,
                on_reply: call.on_reply,
                on_reject: call.on_reject,
                on_cleanup: call.on_cleanup,
                deadline,
                prepaid: price::execution(price::MESSAGE_INSTRUCTIONS, memory64),
                transmission: price::response_transmission(),
                responded: false,
            },
        );
        if let Some(context) = canister.contexts.get_mut(&context) {
            context.outstanding += 1;
        }
        let origin = Origin::Canister {
            caller,
            callback,
            deadline,
        };
        let argument = Arc::new(call.argument);
        let request = Request {
            origin,
            method: call.method,
            argument,
            cycles: call.cycles,
        };
        if self.is_management(&call.callee)
            && let Some(rejection) = management::check_sender_version(&request, version)
        {
            self.respond(&request.origin, rejection.into(), request.cycles);
            return;
        }
        self.route(call.callee, request);
    }

    fn is_management(&self, callee: &Principal) -> bool {
        *callee == Principal::management_canister() || *callee == self.engine.config.subnet_id
    }

    /// Puts a request into the queue of its callee, or answers it if that takes none.
    pub(crate) fn route(&mut self, callee: Principal, request: Request) {
        if self.is_management(&callee) {
            self.state.meta.management.push_back(request);
            return;
        }
        let caller = request.origin.caller();
        let is_call = matches!(request.origin, Origin::Canister { .. });
        let refusal = match self.state.canister(&callee) {
            None => Some(Rejection::not_found(callee)),
            Some(canister) => match &canister.status {
                Status::Stopped => Some(Rejection::stopped(callee)),
                Status::Stopping { .. } => Some(Rejection::stopping(callee)),
                Status::Running
                    if is_call
                        && caller != callee
                        && request.cycles < canister.settings.incoming_cycles_min =>
                {
                    let (min, found) = (canister.settings.incoming_cycles_min, request.cycles);
                    let why = format!(
                        "Canister {callee} requires at least {min} transferred cycles for incoming calls of canisters, but the call has {found}."
                    );
                    Some(Rejection::new(ErrorCode::RejectedMessage, why))
                }
                Status::Running => {
                    let from_caller = |input: &&Input| matches!(input, Input::Request { request } if request.origin.caller() == caller);
                    let waiting = canister.inputs.iter().filter(from_caller).count();
                    (is_call && waiting >= price::QUEUE_MAX).then(|| {
                        let limit = price::QUEUE_MAX;
                        let why = format!("Canister {callee} has {waiting} messages from {caller} waiting, the limit is {limit}");
                        Rejection::new(ErrorCode::QueueFull, why)
                    })
                }
            },
        };
        match refusal {
            Some(rejection) => self.respond(&request.origin, rejection.into(), request.cycles),
            None => {
                self.state
                    .existing(&callee)
                    .inputs
                    .push_back(Input::Request { request });
                self.state.active.insert(callee);
            }
        }
    }

    /// Answers the call of a context, once. Cycles that it did not accept go back.
    pub(crate) fn answer_context(&mut self, id: Principal, number: u64, reply: Reply) {
        let Some(context) = self.state.existing(&id).contexts.get_mut(&number) else {
            return;
        };
        if context.answered {
            return;
        }
        context.answered = true;
        let refund = std::mem::take(&mut context.cycles);
        let origin = context.origin.clone();
        self.respond(&origin, reply, refund);
    }

    /// Removes a context that has no calls outstanding. If its call was never answered, it is
    /// answered with `failure`, or with the fact that there will be no answer.
    pub(crate) fn close_context(&mut self, id: Principal, number: u64, failure: Option<Rejection>) {
        let Some(context) = self.state.existing(&id).contexts.get(&number) else {
            return;
        };
        if context.outstanding > 0 {
            return;
        }
        if !context.answered {
            let rejection = failure.unwrap_or_else(|| Rejection::no_reply(id));
            self.answer_context(id, number, rejection.into());
        }
        self.state.existing(&id).contexts.remove(&number);
    }

    /// Answers every open call of a canister whose code is removed. The callbacks stay until their
    /// answers arrive, and are then not run.
    pub(crate) fn reject_contexts(&mut self, id: Principal, why: &str) {
        let numbers: Vec<u64> = self.state.existing(&id).contexts.keys().copied().collect();
        for number in numbers {
            self.answer_context(
                id,
                number,
                Rejection::new(ErrorCode::RejectedMessage, why).into(),
            );
            if let Some(context) = self.state.existing(&id).contexts.get_mut(&number) {
                context.deleted = true;
            }
        }
    }

    /// Stops canisters that wait for it and have no open calls left, and answers who waited.
    pub(crate) fn settle_stops(&mut self) {
        let ids: Vec<Principal> = self.state.stopping().collect();
        for id in ids {
            let Some(canister) = self.state.canister(&id) else {
                continue;
            };
            let is_open = !canister.contexts.is_empty()
                || !canister.callbacks.is_empty()
                || canister.has_work();
            if is_open || self.is_busy(&id) {
                continue;
            }
            let canister = self.state.existing(&id);
            let Status::Stopping { waiters } =
                std::mem::replace(&mut canister.status, Status::Stopped)
            else {
                continue;
            };
            canister.version += 1;
            for waiter in waiters {
                let bytes = Arc::new(candid::encode_args(()).expect("nothing can be encoded"));
                self.respond(&waiter.origin, Reply::Data { bytes }, waiter.cycles);
            }
        }
    }
}
