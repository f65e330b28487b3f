//! The management canister: which methods there are, who may call them, and what they do.
//!
//! Calls wait in one queue and are taken oldest first; one whose canister is busy with a paused
//! message waits without holding up the others.

mod canisters;
mod chunks;
mod settings;
mod status;
pub(crate) mod types;

use std::collections::VecDeque;
use std::sync::Arc;

use candid::{CandidType, Principal};
use trilith_protocol::Fault;

use super::price;
use super::record::{Canister, LogVisibility, Origin, Reply, Request};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use crate::ingress::{decode_candid, effective_of_method};

pub(crate) use status::{logs, status_result};

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Users and canisters.
    Anyone,
    /// Controllers of the canister that the argument names.
    Controller,
    /// Controllers, and the canister itself.
    ControllerOrSelf,
    /// Canisters only: cycles or an asynchronous answer are involved.
    Canister,
    /// Only in query calls.
    Query,
}

/// The methods that are there.
const METHODS: &[(&str, Caller)] = &[
    ("canister_info", Caller::Canister),
    ("canister_metadata", Caller::Canister),
    ("canister_status", Caller::ControllerOrSelf),
    ("clear_chunk_store", Caller::ControllerOrSelf),
    ("create_canister", Caller::Canister),
    ("delete_canister", Caller::Controller),
    ("deposit_cycles", Caller::Canister),
    ("fetch_canister_logs", Caller::Query),
    ("install_chunked_code", Caller::Controller),
    ("install_code", Caller::Controller),
    ("provisional_create_canister_with_cycles", Caller::Anyone),
    ("provisional_top_up_canister", Caller::Anyone),
    ("raw_rand", Caller::Canister),
    ("start_canister", Caller::Controller),
    ("stop_canister", Caller::Controller),
    ("stored_chunks", Caller::ControllerOrSelf),
    ("uninstall_code", Caller::Controller),
    ("update_settings", Caller::Controller),
    ("upload_chunk", Caller::ControllerOrSelf),
];

/// What came of a management call.
pub(crate) enum Managed {
    /// It is answered; the cycles it did not take go back.
    Answered { reply: Vec<u8>, refund: u128 },
    /// It is refused; its cycles go back.
    Refused(Rejection),
    /// It is answered later.
    Later,
}

impl From<Rejection> for Managed {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

pub(crate) type ManagedResult = Result<Managed, Fault>;

/// The encoded reply of a call, which keeps none of its cycles.
fn answered<T: CandidType>(request: &Request, value: &T) -> Managed {
    let reply = candid::encode_one(value).expect("candid types can be encoded");
    Managed::Answered {
        reply,
        refund: request.cycles,
    }
}

/// The reply of a call without a result, which keeps none of its cycles.
fn done(request: &Request) -> Managed {
    let reply = candid::encode_args(()).expect("nothing can be encoded");
    Managed::Answered {
        reply,
        refund: request.cycles,
    }
}

pub(crate) fn invalid(why: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        ErrorCode::InvalidManagementPayload,
        format!("Error decoding candid: {why}"),
    )
}

/// Decodes an argument.
fn argument<T>(request: &Request) -> Result<T, Rejection>
where
    T: for<'de> serde::Deserialize<'de> + CandidType,
{
    decode_candid(&request.argument).map_err(invalid)
}

/// Decodes an argument, or gives the refusal of the call.
macro_rules! decoded {
    ($request:expr) => {
        match $crate::controller::management::argument($request) {
            Ok(value) => value,
            Err(rejection) => return Ok(rejection.into()),
        }
    };
}
use decoded;

/// The reject of a caller that is no controller.
pub(crate) fn not_controller(canister: Principal, caller: Principal) -> Rejection {
    let why = format!(
        "Only controllers of canister {canister} can call ic00 method; caller {caller} is none"
    );
    Rejection::new(ErrorCode::InvalidController, why)
}

/// Checks that a method exists and that `origin` may call it on the canister that its argument
/// names. Gives that canister, if the method has one.
pub(crate) fn authorize<'a>(
    origin: &Origin,
    method: &str,
    argument: &[u8],
    lookup: impl Fn(&Principal) -> Option<&'a Canister>,
) -> Result<Option<Principal>, Rejection> {
    let Some((_, who)) = METHODS.iter().find(|(name, _)| *name == method) else {
        let why = format!("Management canister has no method '{method}'");
        return Err(Rejection::new(ErrorCode::UnknownManagementMessage, why));
    };
    let only = |who: &str| {
        let why = format!("{method} can only be called by {who}");
        Err(Rejection::new(ErrorCode::RejectedMessage, why))
    };
    let is_user = matches!(origin, Origin::Ingress { .. });
    match who {
        Caller::Query => return only("queries"),
        Caller::Canister if is_user => return only("canisters"),
        _ => {}
    }
    let target = effective_of_method(method, argument);
    if matches!(
        method,
        "create_canister" | "provisional_create_canister_with_cycles" | "raw_rand"
    ) {
        return Ok(None);
    }
    let Some(target) = target else {
        return Err(invalid(format!(
            "the argument of {method} names no canister"
        )));
    };
    let canister = lookup(&target).ok_or_else(|| Rejection::not_found(target))?;
    let caller = origin.caller();
    let allowed = match who {
        Caller::Controller => canister.is_controller(&caller),
        Caller::ControllerOrSelf => canister.is_controller(&caller) || caller == target,
        _ => true,
    };
    if allowed {
        Ok(Some(target))
    } else {
        Err(not_controller(target, caller))
    }
}

/// Whether `caller` may read the logs of a canister.
pub(crate) fn may_read_logs(canister: &Canister, caller: &Principal) -> bool {
    match &canister.settings.log_visibility {
        LogVisibility::Public {} => true,
        LogVisibility::Controllers {} => canister.is_controller(caller),
        LogVisibility::Allowed { viewers } => {
            canister.is_controller(caller) || viewers.contains(caller)
        }
    }
}

impl Round<'_> {
    /// Takes up the management calls that can be.
    pub(crate) fn run_management(&mut self) -> Result<(), Fault> {
        let mut waiting = std::mem::take(&mut self.state.meta.management);
        let mut kept = VecDeque::new();
        while let Some(request) = waiting.pop_front() {
            if self.must_wait(&request) {
                kept.push_back(request);
                continue;
            }
            self.progress = true;
            self.manage(request)?;
        }
        // Calls that came in meanwhile stand in the queue already, behind those kept.
        kept.append(&mut self.state.meta.management);
        self.state.meta.management = kept;
        Ok(())
    }

    /// Whether a call has to wait: for slices, for another installation, or for its canister.
    fn must_wait(&self, request: &Request) -> bool {
        let installs = request.method.starts_with("install_");
        if installs && (self.slices_left() == 0 || self.state.meta.installing.is_some()) {
            return true;
        }
        if request.method == "upload_chunk" && self.slices_left() == 0 {
            return true;
        }
        let reads = matches!(
            request.method.as_str(),
            "canister_status" | "deposit_cycles" | "stop_canister"
        );
        let target = effective_of_method(&request.method, &request.argument);
        !reads && target.is_some_and(|target| self.is_busy(&target))
    }

    fn manage(&mut self, request: Request) -> Result<(), Fault> {
        let state = &self.state;
        let allowed = authorize(&request.origin, &request.method, &request.argument, |id| {
            state.canister(id)
        });
        let managed = match allowed {
            Err(rejection) => Managed::Refused(rejection),
            Ok(_) => {
                if let Origin::Ingress { id, .. } = &request.origin {
                    self.mark_processing(id);
                }
                self.dispatch(&request)?
            }
        };
        self.settle(&request, managed);
        Ok(())
    }

    /// Answers a management call, unless it is answered later.
    pub(crate) fn settle(&mut self, request: &Request, managed: Managed) {
        match managed {
            Managed::Later => {}
            Managed::Refused(rejection) => {
                self.respond(&request.origin, rejection.into(), request.cycles)
            }
            Managed::Answered { reply, refund } => {
                self.respond(
                    &request.origin,
                    Reply::Data {
                        bytes: Arc::new(reply),
                    },
                    refund,
                );
            }
        }
    }

    fn dispatch(&mut self, request: &Request) -> ManagedResult {
        match request.method.as_str() {
            "create_canister" => self.create_canister(request),
            "provisional_create_canister_with_cycles" => self.provisional_create(request),
            "provisional_top_up_canister" => self.provisional_top_up(request),
            "update_settings" => self.update_settings(request),
            "install_code" => self.install_code(request),
            "install_chunked_code" => self.install_chunked_code(request),
            "uninstall_code" => self.uninstall_code(request),
            "start_canister" => self.start_canister(request),
            "stop_canister" => self.stop_canister(request),
            "delete_canister" => self.delete_canister(request),
            "deposit_cycles" => self.deposit_cycles(request),
            "canister_status" => self.canister_status(request),
            "canister_info" => self.canister_info(request),
            "canister_metadata" => self.canister_metadata(request),
            "upload_chunk" => self.upload_chunk(request),
            "stored_chunks" => self.stored_chunks(request),
            "clear_chunk_store" => self.clear_chunk_store(request),
            "raw_rand" => {
                let round = self.context.round.0;
                self.state
                    .meta
                    .randomness
                    .push_back((round, request.clone()));
                Ok(Managed::Later)
            }
            other => {
                let why = format!("Management canister has no method '{other}'");
                Ok(Rejection::new(ErrorCode::UnknownManagementMessage, why).into())
            }
        }
    }

    /// Counts instructions of a management call, and takes their price from a canister; gives the
    /// reject if the canister cannot pay.
    fn pay(&mut self, id: Principal, instructions: u64) -> Result<(), Rejection> {
        let canister = self.state.existing(&id);
        let (asked, floor) = (
            u128::from(instructions) * price::INSTRUCTION,
            canister.floor(),
        );
        if canister.cycles < floor.saturating_add(asked) {
            return Err(Rejection::out_of_cycles(id, canister.cycles, floor, asked));
        }
        canister.cycles -= asked;
        self.count(instructions);
        Ok(())
    }
}
