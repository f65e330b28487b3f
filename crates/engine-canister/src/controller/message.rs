//! Executing one message of a canister: requests, responses and tasks, from the queue to the
//! effects.

use std::sync::Arc;

use candid::Principal;
use trilith_protocol::Fault;

use super::begin::{enter_context, entry_of_request, freeze, limit_memory};
use super::machine::{self, Advance, Entry, Memory, PAGES_PER_WASM_PAGE, Surroundings};
use super::price;
use super::record::{
    Frozen, Hook, ImageKind, Input, Job, Origin, Paused, Reply, Request, Response, Status, image_id,
};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use crate::api::{
    Answer, CallMode, Effects, EntryPoint, Execution, ExecutionResult, MemoryChanges,
    PreparedModule, Trap, TrapKind,
};

impl Round<'_> {
    /// Begins with the next input of a canister.
    pub(crate) fn begin(&mut self, id: Principal, input: Input) -> Result<(), Fault> {
        match input {
            Input::Request { request } => self.begin_request(id, request),
            Input::Response { response } => self.begin_response(id, response),
        }
    }

    /// The prepared module of a canister that has code.
    pub(crate) fn prepared(&mut self, id: Principal) -> Result<Option<Arc<PreparedModule>>, Fault> {
        let Some(code) = self
            .state
            .canister(&id)
            .and_then(|canister| canister.code.clone())
        else {
            return Ok(None);
        };
        let engine = self.engine;
        let state = &mut self.state;
        let image = || {
            Ok(state
                .image(&image_id(id, ImageKind::Module))?
                .current
                .clone())
        };
        engine
            .modules
            .get(&*engine.config.executor, &code.module, image)
            .map(Some)
    }

    fn begin_request(&mut self, id: Principal, request: Request) -> Result<(), Fault> {
        self.progress = true;
        if let Some(rejection) = self.refusal(id, &request)? {
            self.respond(&request.origin, rejection.into(), request.cycles);
            return Ok(());
        }
        if let Origin::Ingress { id, .. } = &request.origin {
            self.mark_processing(id);
        }
        let prepaid = self
            .prepay(id)
            .expect("the refusal has checked the balance");
        let mut frozen = self.freeze(id);
        frozen.cycles_available = request.cycles;
        self.go_on(
            id,
            Paused {
                job: Job::Request { request },
                slices: 0,
                frozen,
                prepaid,
            },
        )
    }

    /// Why a request is not executed, if it is not.
    fn refusal(&mut self, id: Principal, request: &Request) -> Result<Option<Rejection>, Fault> {
        match &self.state.existing(&id).status {
            Status::Running => {}
            Status::Stopping { .. } => return Ok(Some(Rejection::stopping(id))),
            Status::Stopped => return Ok(Some(Rejection::stopped(id))),
        }
        if let Origin::Ingress { id, .. } = &request.origin
            && self
                .state
                .request(id)
                .is_some_and(|record| record.expiry < self.now())
        {
            let why = "Ingress message timed out waiting to start executing.";
            return Ok(Some(Rejection::new(ErrorCode::IngressTimeout, why)));
        }
        let Some(module) = self.prepared(id)? else {
            return Ok(Some(Rejection::no_module(id)));
        };
        if let Err(rejection) = entry_of_request(id, &module, request) {
            return Ok(Some(rejection));
        }
        let canister = self.state.existing(&id);
        let asked = price::execution(price::MESSAGE_INSTRUCTIONS, module.memory64);
        let floor = canister.floor();
        let short = canister.cycles < floor.saturating_add(asked);
        Ok(short.then(|| Rejection::out_of_cycles(id, canister.cycles, floor, asked)))
    }

    /// Takes the price of all instructions that a message may use; `None` if that would freeze the
    /// canister.
    fn prepay(&mut self, id: Principal) -> Option<u128> {
        let canister = self.state.existing(&id);
        let memory64 = canister
            .code
            .as_ref()
            .is_some_and(|code| code.module.memory64);
        let asked = price::execution(price::MESSAGE_INSTRUCTIONS, memory64);
        let left = canister
            .cycles
            .checked_sub(asked)
            .filter(|left| *left >= canister.floor())?;
        canister.cycles = left;
        Some(asked)
    }

    pub(crate) fn begin_task(&mut self, id: Principal, job: Job) -> Result<(), Fault> {
        let canister = self.state.existing(&id);
        if canister.status != Status::Running || canister.code.is_none() {
            return Ok(());
        }
        match job {
            Job::GlobalTimer {} => canister.global_timer = 0,
            Job::LowMemory {} => canister.hook = Hook::Executed,
            _ => {}
        }
        // Without cycles the task is left out; a timer is thereby deactivated.
        let Some(prepaid) = self.prepay(id) else {
            return Ok(());
        };
        let frozen = self.freeze(id);
        self.go_on(
            id,
            Paused {
                job,
                slices: 0,
                frozen,
                prepaid,
            },
        )
    }

    fn begin_response(&mut self, id: Principal, response: Response) -> Result<(), Fault> {
        self.progress = true;
        let canister = self.state.existing(&id);
        let Some(callback) = canister.callbacks.get_mut(&response.callback) else {
            return Ok(());
        };
        let transmission = std::mem::take(&mut callback.transmission);
        let prepaid = std::mem::take(&mut callback.prepaid);
        let number = callback.context;
        let charge = (u128::from(response.result.len()) * price::CALL_BYTE).min(transmission);
        canister.cycles = canister
            .cycles
            .saturating_add(transmission - charge)
            .saturating_add(response.refund);
        canister.consumed.transmission = canister.consumed.transmission.saturating_add(charge);
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(charge);
        let canister = self.state.existing(&id);
        let context = canister.contexts.get(&number);
        let runs = canister.code.is_some() && context.is_some_and(|context| !context.deleted);
        if !runs {
            canister.cycles = canister.cycles.saturating_add(prepaid);
            canister.callbacks.remove(&response.callback);
            if let Some(context) = canister.contexts.get_mut(&number) {
                context.outstanding = context.outstanding.saturating_sub(1);
            }
            self.close_context(id, number, None);
            return Ok(());
        }
        let (answered, cycles, instructions) = context.map_or((true, 0, 0), |context| {
            (context.answered, context.cycles, context.instructions)
        });
        let mut frozen = self.freeze(id);
        frozen.answered = answered;
        frozen.cycles_available = cycles;
        frozen.context_instructions = instructions;
        self.go_on(
            id,
            Paused {
                job: Job::Response { response },
                slices: 0,
                frozen,
                prepaid,
            },
        )
    }

    /// What a message that begins now may see.
    fn freeze(&mut self, id: Principal) -> Frozen {
        let (time, nodes) = (self.now(), self.context.committee.len() as u64);
        freeze(self.state.existing(&id), time, nodes)
    }

    /// Goes on with the paused message of a canister, if it has one.
    pub(crate) fn resume(&mut self, id: Principal) -> Result<bool, Fault> {
        let canister = self.state.canister(&id);
        if canister.is_none_or(|canister| canister.paused.is_none()) {
            return Ok(self.is_busy(&id));
        }
        if self.slices_left() == 0 {
            return Ok(true);
        }
        let Some(paused) = self.state.existing(&id).paused.take() else {
            return Ok(false);
        };
        self.go_on(id, paused)?;
        Ok(self.is_busy(&id))
    }

    /// Runs a message until it ends, or until the round's slices are used.
    fn go_on(&mut self, id: Principal, paused: Paused) -> Result<(), Fault> {
        let live = self
            .live
            .messages
            .remove(&id)
            .or_else(|| self.next_live.messages.remove(&id));
        let Some(module) = self.prepared(id)? else {
            return Err(Fault(format!(
                "the canister {id} runs a message and has no code"
            )));
        };
        let entry = self.entry_of(id, &module, &paused.job)?;
        let more = self.slices_left().max(1);
        let advanced = self.advance(
            id,
            &module,
            &entry,
            &paused.frozen,
            live,
            (paused.slices, more),
        )?;
        match advanced {
            Advance::Paused(execution) => {
                self.next_live.messages.insert(id, execution);
                self.count(more * price::SLICE_INSTRUCTIONS);
                let slices = paused.slices + more;
                self.state.existing(&id).paused = Some(Paused { slices, ..paused });
                self.state.active.insert(id);
                Ok(())
            }
            Advance::Finished(result, _) => {
                let before = paused.slices * price::SLICE_INSTRUCTIONS;
                self.count(result.instructions.saturating_sub(before));
                self.end_message(id, &module, &entry, paused, *result)
            }
        }
    }

    fn advance(
        &mut self,
        id: Principal,
        module: &Arc<PreparedModule>,
        entry: &Entry,
        frozen: &Frozen,
        live: Option<Box<dyn Execution>>,
        (done, more): (u64, u64),
    ) -> Result<Advance, Fault> {
        let heap = self
            .state
            .image(&image_id(id, ImageKind::Heap))?
            .current
            .clone();
        let stable = self
            .state
            .image(&image_id(id, ImageKind::Stable))?
            .current
            .clone();
        let image = self
            .state
            .image(&image_id(id, ImageKind::Module))?
            .current
            .clone();
        let canister = self.state.existing(&id);
        let Some(code) = &canister.code else {
            return Err(Fault(format!(
                "the canister {id} runs a message and has no code"
            )));
        };
        let memory = Memory {
            code,
            heap: &heap,
            stable: &stable,
            version: canister.memory_version.0,
        };
        let config = &self.engine.config;
        let around = Surroundings {
            canister: id,
            subnet: config.subnet_id,
            root_key: &config.root_key_der,
            data_certificate: None,
        };
        let executor = &*config.executor;
        let request = || machine::request(&around, &memory, entry, frozen);
        let bytes = || machine::module_bytes(&image, code.module.bytes);
        let mut start = || machine::start(executor, module, &bytes, &request);
        machine::advance(&mut start, live, done, more)
    }

    /// Where the message of a job enters its canister.
    fn entry_of(
        &mut self,
        id: Principal,
        module: &PreparedModule,
        job: &Job,
    ) -> Result<Entry, Fault> {
        let lost = |what: &str| Fault(format!("a paused message of {id} has lost its {what}"));
        match job {
            Job::Heartbeat {} => Ok(Entry::plain(EntryPoint::Heartbeat, CallMode::SystemTask)),
            Job::GlobalTimer {} => Ok(Entry::plain(EntryPoint::GlobalTimer, CallMode::SystemTask)),
            Job::LowMemory {} => Ok(Entry::plain(
                EntryPoint::OnLowWasmMemory,
                CallMode::SystemTask,
            )),
            Job::Request { request } => {
                entry_of_request(id, module, request).map_err(|_| lost("method"))
            }
            Job::Response { response } => {
                let canister = self.state.existing(&id);
                let callback = canister
                    .callbacks
                    .get(&response.callback)
                    .ok_or_else(|| lost("callback"))?;
                let context = canister
                    .contexts
                    .get(&callback.context)
                    .ok_or_else(|| lost("context"))?;
                let (function, environment) = match &response.result {
                    Reply::Data { .. } => callback.on_reply,
                    Reply::Reject { .. } => callback.on_reject,
                };
                let entry = EntryPoint::Callback {
                    function,
                    environment,
                };
                let caller = context.origin.caller();
                let caller_info = context.origin.caller_info();
                let deadline = context.origin.deadline();
                let refunded = response.refund;
                Ok(match &response.result {
                    Reply::Data { bytes } => {
                        let argument = bytes.clone();
                        Entry {
                            caller,
                            caller_info,
                            deadline,
                            refunded,
                            argument,
                            ..Entry::plain(entry, CallMode::ReplyCallback)
                        }
                    }
                    Reply::Reject { rejection } => {
                        let reject = Some((rejection.code(), rejection.message_for_canister()));
                        Entry {
                            caller,
                            caller_info,
                            deadline,
                            refunded,
                            reject,
                            ..Entry::plain(entry, CallMode::RejectCallback)
                        }
                    }
                })
            }
        }
    }

    /// Settles the price of a message, and applies or drops its effects.
    fn end_message(
        &mut self,
        id: Principal,
        module: &Arc<PreparedModule>,
        entry: &Entry,
        paused: Paused,
        mut result: ExecutionResult,
    ) -> Result<(), Fault> {
        if !matches!(paused.job, Job::Response { .. }) {
            let canister = self.state.existing(&id);
            let before = canister.code.as_ref().map_or(0, |code| code.heap_pages);
            let limit = canister.settings.wasm_memory_limit;
            let limit = price::heap_bytes_max(module.memory64, limit);
            limit_memory(&mut result, before, limit);
        }
        let cost = price::execution(result.instructions, module.memory64).min(paused.prepaid);
        self.log(id, &result);
        self.state.meta.executed += 1;
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(cost);
        let canister = self.state.existing(&id);
        canister.cycles = canister.cycles.saturating_add(paused.prepaid - cost);
        canister.consumed.instructions = canister.consumed.instructions.saturating_add(cost);
        let number = enter_context(canister, &paused);
        if let Some(context) = canister.contexts.get_mut(&number) {
            context.instructions = context.instructions.saturating_add(result.instructions);
        }
        let end = match result.end {
            Ok(effects) => {
                let seen = (result.memory_version, paused.frozen.version);
                self.apply(id, number, entry, *effects, seen)?
            }
            Err(trap) => Err(trap),
        };
        let failure = match end {
            Ok(()) => None,
            Err(trap) => Some(self.after_trap(id, module, entry, &paused, &trap)?),
        };
        if let Job::Response { response } = &paused.job {
            self.state
                .existing(&id)
                .callbacks
                .remove(&response.callback);
        }
        self.close_context(id, number, failure);
        Ok(())
    }

    /// Applies the effects of a message, which left the memories of one version in the executor and
    /// saw one version of its canister. If the balance does not cover them any more, the message
    /// has trapped instead.
    fn apply(
        &mut self,
        id: Principal,
        number: u64,
        entry: &Entry,
        effects: Effects,
        (version, seen): (Option<u64>, u64),
    ) -> Result<Result<(), Trap>, Fault> {
        let canister = self.state.existing(&id);
        let memory64 = canister
            .code
            .as_ref()
            .is_some_and(|code| code.module.memory64);
        if let Err(trap) = self.settle_cycles(id, number, &effects, memory64) {
            return Ok(Err(trap));
        }
        let canister = self.state.existing(&id);
        if let Some(data) = effects.certified_data {
            canister.certified_data = data;
        }
        if let Some(timer) = effects.global_timer {
            canister.global_timer = timer;
        }
        if entry.keep_changes {
            canister.version += 1;
            if let Some(memory) = effects.memory {
                self.keep_memory(id, memory, version)?;
            }
        }
        if let Some(answer) = effects.answer {
            let reply = match answer {
                Answer::Reply(bytes) => Reply::Data {
                    bytes: Arc::new(bytes),
                },
                Answer::Reject(message) => {
                    Rejection::new(ErrorCode::RejectedMessage, message).into()
                }
            };
            self.answer_context(id, number, reply);
        }
        for call in effects.calls {
            self.open_call(id, number, call, (memory64, seen));
        }
        Ok(Ok(()))
    }

    /// Takes what a message accepted, burned and spent on calls; a trap if the balance does not
    /// cover that.
    fn settle_cycles(
        &mut self,
        id: Principal,
        number: u64,
        effects: &Effects,
        memory64: bool,
    ) -> Result<(), Trap> {
        let canister = self.state.existing(&id);
        let context = canister.contexts.get(&number);
        let available = context.map_or(0, |context| context.cycles);
        let accepted = effects.cycles_accepted.min(available);
        let fees = price::call_fees(memory64);
        let (mut cost, mut requests) = (effects.cycles_burned, 0u128);
        for call in &effects.calls {
            let bytes = (call.method.len() + call.argument.len()) as u128;
            requests += fees.base + bytes * fees.per_request_byte;
            cost = cost
                .saturating_add(call.cycles)
                .saturating_add(fees.response_prepayment);
        }
        cost = cost.saturating_add(requests);
        let Some(left) = canister.cycles.saturating_add(accepted).checked_sub(cost) else {
            let found = canister.cycles;
            return Err(Trap {
                kind: TrapKind::OutOfCycles,
                message: format!("Canister {id} has {found} cycles, its calls need {cost}"),
            });
        };
        canister.cycles = left;
        let consumed = &mut canister.consumed;
        consumed.transmission = consumed.transmission.saturating_add(requests);
        consumed.burned = consumed.burned.saturating_add(effects.cycles_burned);
        if let Some(context) = canister.contexts.get_mut(&number) {
            context.cycles -= accepted;
        }
        let paid = requests.saturating_add(effects.cycles_burned);
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(paid);
        Ok(())
    }

    fn keep_memory(
        &mut self,
        id: Principal,
        memory: MemoryChanges,
        version: Option<u64>,
    ) -> Result<(), Fault> {
        let heap = memory.heap_wasm_pages * PAGES_PER_WASM_PAGE;
        self.state
            .image(&image_id(id, ImageKind::Heap))?
            .write(heap, memory.heap_runs);
        let stable = memory.stable_wasm_pages * PAGES_PER_WASM_PAGE;
        self.state
            .image(&image_id(id, ImageKind::Stable))?
            .write(stable, memory.stable_runs);
        let canister = self.state.existing(&id);
        canister.memory_version.0 = version;
        if let Some(code) = &mut canister.code {
            code.globals = memory.globals;
            code.heap_pages = memory.heap_wasm_pages;
            code.stable_pages = memory.stable_wasm_pages;
            code.fresh = false;
        }
        canister.note_memory();
        Ok(())
    }

    /// Runs the cleanup callback of a trapped callback, if there is one, and gives the reject.
    fn after_trap(
        &mut self,
        id: Principal,
        module: &Arc<PreparedModule>,
        entry: &Entry,
        paused: &Paused,
        trap: &Trap,
    ) -> Result<Rejection, Fault> {
        let mut rejection = Rejection::of_trap(id, trap);
        let Job::Response { response } = &paused.job else {
            return Ok(rejection);
        };
        let callback = self.state.existing(&id).callbacks.get(&response.callback);
        let Some((function, environment)) = callback.and_then(|callback| callback.on_cleanup)
        else {
            return Ok(rejection);
        };
        let cleanup = Entry {
            caller: entry.caller,
            caller_info: entry.caller_info.clone(),
            deadline: entry.deadline,
            reject: entry.reject.clone(),
            instructions_max: price::CLEANUP_INSTRUCTIONS,
            ..Entry::plain(
                EntryPoint::Callback {
                    function,
                    environment,
                },
                CallMode::Cleanup,
            )
        };
        let number = callback.map_or(0, |callback| callback.context);
        if let Err(trap) = self.clean_up(id, number, module, &cleanup, &paused.frozen)? {
            let why = format!("\ncall_on_cleanup also failed:\n\n{}", trap.message);
            rejection.message.push_str(&why);
        }
        Ok(rejection)
    }

    /// Runs a cleanup callback, in one piece and within the cycles that the canister has.
    fn clean_up(
        &mut self,
        id: Principal,
        number: u64,
        module: &Arc<PreparedModule>,
        cleanup: &Entry,
        frozen: &Frozen,
    ) -> Result<Result<(), Trap>, Fault> {
        let balance = self.state.existing(&id).cycles;
        let frozen = Frozen {
            balance,
            ..frozen.clone()
        };
        let advanced = self.advance(id, module, cleanup, &frozen, None, (0, u64::MAX))?;
        let Advance::Finished(result, _) = advanced else {
            return Err(Fault(
                "a cleanup callback used more slices than it has".to_owned(),
            ));
        };
        self.count(result.instructions);
        self.log(id, &result);
        let cost = price::execution(result.instructions, module.memory64) - price::EXECUTION_BASE;
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(cost);
        let canister = self.state.existing(&id);
        canister.cycles = canister.cycles.saturating_sub(cost);
        canister.consumed.instructions = canister.consumed.instructions.saturating_add(cost);
        match result.end {
            Err(trap) => Ok(Err(trap)),
            Ok(effects) => {
                let (calls, answer) = (Vec::new(), None);
                let effects = Effects {
                    calls,
                    answer,
                    cycles_accepted: 0,
                    ..*effects
                };
                let seen = (result.memory_version, frozen.version);
                self.apply(id, number, cleanup, effects, seen)
            }
        }
    }
}
