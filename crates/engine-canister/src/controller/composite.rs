//! Composite queries: a query that calls queries of other canisters, all on one snapshot, one
//! after the other and within bounds. A canister may be asked again while it waits: each of its queries
//! sees the snapshot and what it changed itself.

use std::collections::VecDeque;
use std::sync::Arc;

use candid::Principal;
use trilith_protocol::Fault;

use super::machine::Entry;
use super::management::query;
use super::onlooker::{Left, Onlooker};
use super::price;
use super::reject::{ErrorCode, Rejection};
use crate::api::{Answer, Call, CallMode, CallerInfo, Effects, EntryPoint};

/// A composite query and all that it calls.
pub(crate) struct Graph<'a> {
    onlooker: &'a Onlooker<'a>,
    /// Instructions left for the whole graph.
    left: u64,
    /// Canisters that are being executed, outermost first.
    stack: Vec<Principal>,
    /// Why the whole query ended, if it exceeded a bound of the graph.
    ended: Option<Rejection>,
    /// What is attested about the user, for the outermost.
    info: Option<Arc<CallerInfo>>,
}

type Outcome = Result<Result<Vec<u8>, Rejection>, Fault>;

impl<'a> Graph<'a> {
    pub(crate) fn new(onlooker: &'a Onlooker<'a>, info: Option<Arc<CallerInfo>>) -> Self {
        Self {
            onlooker,
            left: price::QUERY_INSTRUCTIONS,
            stack: Vec::new(),
            ended: None,
            info,
        }
    }

    /// Runs a query or composite query method of a canister.
    pub(crate) fn call(
        &mut self,
        id: Principal,
        caller: Principal,
        method: &str,
        argument: Arc<Vec<u8>>,
    ) -> Outcome {
        if id == Principal::management_canister() {
            return Ok(query(self.onlooker.snapshot, caller, method, &argument));
        }
        let module = match self.onlooker.runnable(id)? {
            Ok(module) => module,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let composite = EntryPoint::CompositeQuery(method.to_owned());
        let query = EntryPoint::Query(method.to_owned());
        if module.exports.contains(&query) {
            let entry = Entry {
                caller,
                argument,
                instructions_max: self.left,
                ..Entry::plain(query, CallMode::NonReplicatedQuery)
            };
            let (outcome, used) = self.onlooker.plain_query(id, entry)?;
            self.left = self.left.saturating_sub(used);
            return Ok(outcome);
        }
        if !module.exports.contains(&composite) {
            return Ok(Err(Rejection::no_method(id, "query", method)));
        }
        self.stack.push(id);
        let outcome = self.run(id, caller, composite, argument);
        self.stack.pop();
        outcome
    }

    fn run(
        &mut self,
        id: Principal,
        caller: Principal,
        entry: EntryPoint,
        argument: Arc<Vec<u8>>,
    ) -> Outcome {
        let mut state = None;
        let mut calls = VecDeque::new();
        let mut on_cleanup = None;
        let mut next = Entry {
            caller,
            caller_info: self.caller_info(),
            argument,
            ..Entry::plain(entry, CallMode::CompositeQuery)
        };
        loop {
            next.instructions_max = self.left;
            let result = self.onlooker.run_on(id, &next, state.as_ref())?;
            self.left = self.left.saturating_sub(result.instructions);
            let mut answer = None;
            // A trap in a callback is the answer only if no other call could still give one.
            let mut failure = None;
            match result.end {
                Ok(effects) => state = self.keep(id, state, *effects, &mut answer, &mut calls)?,
                Err(trap) => {
                    failure = Some(Rejection::of_trap(id, &trap));
                    if let Some(callback) = on_cleanup {
                        state = self.clean_up(id, caller, callback, state)?;
                    }
                }
            }
            if let Some(answer) = answer {
                return Ok(match answer {
                    Answer::Reply(bytes) => Ok(bytes),
                    Answer::Reject(message) => {
                        Err(Rejection::new(ErrorCode::RejectedMessage, message))
                    }
                });
            }
            // Only a canister that calls others counts for the depth.
            if self.stack.len() > price::COMPOSITE_DEPTH_MAX {
                let why = "Composite query calls exceeded the maximum call depth.";
                return Ok(Err(self.end(ErrorCode::QueryTooDeep, why)));
            }
            let Some(call) = calls.pop_front() else {
                return Ok(Err(failure.unwrap_or_else(|| Rejection::no_reply(id))));
            };
            on_cleanup = call.on_cleanup;
            next = self.callback(id, caller, call)?;
            if let Some(ended) = &self.ended {
                return Ok(Err(ended.clone()));
            }
        }
    }

    /// Ends the whole query: no canister of the graph is told, the user is.
    fn end(&mut self, code: ErrorCode, why: &str) -> Rejection {
        let rejection = Rejection::new(code, why);
        self.ended.get_or_insert(rejection).clone()
    }

    /// Runs the cleanup callback of a callback that trapped; gives the memories after it.
    fn clean_up(
        &mut self,
        id: Principal,
        caller: Principal,
        (function, environment): (u64, u64),
        state: Option<Left>,
    ) -> Result<Option<Left>, Fault> {
        let entry = EntryPoint::Callback {
            function,
            environment,
        };
        let entry = Entry {
            caller,
            caller_info: self.caller_info(),
            instructions_max: self.left.min(price::CLEANUP_INSTRUCTIONS),
            ..Entry::plain(entry, CallMode::CompositeCleanup)
        };
        let result = self.onlooker.run_on(id, &entry, state.as_ref())?;
        self.left = self.left.saturating_sub(result.instructions);
        match result.end.map(|effects| effects.memory) {
            Ok(Some(memory)) => self.onlooker.left(id, state.as_ref(), memory).map(Some),
            _ => Ok(state),
        }
    }

    /// What the canister that is being executed may know about its caller.
    fn caller_info(&self) -> Option<Arc<CallerInfo>> {
        self.info.clone().filter(|_| self.stack.len() == 1)
    }

    fn keep(
        &self,
        id: Principal,
        state: Option<Left>,
        effects: Effects,
        answer: &mut Option<Answer>,
        calls: &mut VecDeque<Call>,
    ) -> Result<Option<Left>, Fault> {
        *answer = effects.answer;
        calls.extend(effects.calls);
        match effects.memory {
            Some(memory) => self.onlooker.left(id, state.as_ref(), memory).map(Some),
            None => Ok(state),
        }
    }

    /// Makes a call and gives the callback with its answer.
    fn callback(&mut self, id: Principal, caller: Principal, call: Call) -> Result<Entry, Fault> {
        self.left = self.left.saturating_sub(price::COMPOSITE_CALL_INSTRUCTIONS);
        let argument = Arc::new(call.argument);
        let result = if self.left == 0 {
            let why = "Composite query calls exceeded the instruction limit.";
            Err(self.end(ErrorCode::QueryInstructionLimit, why))
        } else {
            self.call(call.callee, id, &call.method, argument)?
        };
        let entry = |(function, environment)| EntryPoint::Callback {
            function,
            environment,
        };
        Ok(match result {
            Ok(bytes) => {
                let plain = Entry::plain(entry(call.on_reply), CallMode::CompositeReplyCallback);
                Entry {
                    caller,
                    caller_info: self.caller_info(),
                    argument: Arc::new(bytes),
                    ..plain
                }
            }
            Err(rejection) => {
                let reject = Some((rejection.code(), rejection.message_for_canister()));
                let plain = Entry::plain(entry(call.on_reject), CallMode::CompositeRejectCallback);
                Entry {
                    caller,
                    caller_info: self.caller_info(),
                    reject,
                    ..plain
                }
            }
        })
    }
}
