//! The management canister: which methods there are, who may call them, and what they do.
//!
//! Calls wait in one queue and are taken oldest first; one whose canister is busy with a paused
//! message waits without holding up the others.
//!
//! What needs the world outside of a deterministic node is refused, in the words of a subnet that
//! does not have the feature:
//!
//! | methods | needs | answer |
//! | --- | --- | --- |
//! | `http_request`, `flexible_http_request` | agreement on what servers answer | IC0504, not enabled |
//! | `sign_with_*`, `*_public_key`, `vetkd_derive_key` | keys that the nodes share | no such key |
//! | `bitcoin_*` | a canister that follows Bitcoin | no route to that canister |
//!
//! `node_metrics_history` knows of no proposals, so its list is empty. `list_canisters` is open to
//! everyone, as is the provisional interface: there are no administrators.

mod absent;
mod canisters;
mod chunks;
mod history;
mod queries;
mod settings;
mod snapshot_data;
mod snapshots;
mod status;
mod subnet;
pub(crate) mod types;

use std::collections::VecDeque;
use std::sync::Arc;

use candid::{CandidType, Principal};
use trilith_protocol::Fault;

use super::price;
use super::record::{Canister, Origin, Reply, Request};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use crate::ingress::{decode_candid, effective_of_method};

pub(crate) use history::check_sender_version;
pub(crate) use queries::query;

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Users and canisters.
    Anyone,
    /// Controllers of the canister that the argument names.
    Controller,
    /// Controllers, and the canister itself.
    ControllerOrSelf,
    /// Those who may see the canister's status, and the canister itself.
    StatusViewer,
    /// Those who may see the canister's snapshots.
    SnapshotViewer,
    /// Canisters only: cycles or an asynchronous answer are involved.
    Canister,
    /// Only in query calls.
    Query,
}

/// The methods that are there, who may call them, and whether the argument names a canister.
const METHODS: &[(&str, Caller, bool)] = &[
    ("bitcoin_get_balance", Caller::Canister, false),
    ("bitcoin_get_block_headers", Caller::Canister, false),
    (
        "bitcoin_get_current_fee_percentiles",
        Caller::Canister,
        false,
    ),
    ("bitcoin_get_utxos", Caller::Canister, false),
    ("bitcoin_send_transaction", Caller::Canister, false),
    ("canister_info", Caller::Canister, true),
    ("canister_metadata", Caller::Canister, true),
    ("canister_metrics", Caller::StatusViewer, true),
    ("canister_status", Caller::StatusViewer, true),
    ("clear_chunk_store", Caller::ControllerOrSelf, true),
    ("create_canister", Caller::Canister, false),
    ("delete_canister", Caller::Controller, true),
    ("delete_canister_snapshot", Caller::Controller, true),
    ("deposit_cycles", Caller::Canister, true),
    ("ecdsa_public_key", Caller::Canister, false),
    ("fetch_canister_logs", Caller::Query, true),
    ("flexible_http_request", Caller::Canister, false),
    ("http_request", Caller::Canister, false),
    ("install_chunked_code", Caller::Controller, true),
    ("install_code", Caller::Controller, true),
    ("list_canister_snapshots", Caller::SnapshotViewer, true),
    ("list_canisters", Caller::Query, false),
    ("load_canister_snapshot", Caller::Controller, true),
    ("node_metrics_history", Caller::Canister, false),
    (
        "provisional_create_canister_with_cycles",
        Caller::Anyone,
        false,
    ),
    ("provisional_top_up_canister", Caller::Anyone, true),
    ("raw_rand", Caller::Canister, false),
    ("read_canister_snapshot_data", Caller::SnapshotViewer, true),
    (
        "read_canister_snapshot_metadata",
        Caller::SnapshotViewer,
        true,
    ),
    ("schnorr_public_key", Caller::Canister, false),
    ("sign_with_ecdsa", Caller::Canister, false),
    ("sign_with_schnorr", Caller::Canister, false),
    ("start_canister", Caller::Controller, true),
    ("stop_canister", Caller::Controller, true),
    ("stored_chunks", Caller::ControllerOrSelf, true),
    ("subnet_info", Caller::Canister, false),
    ("subnet_metrics", Caller::Canister, false),
    ("take_canister_snapshot", Caller::Controller, true),
    ("uninstall_code", Caller::Controller, true),
    ("update_settings", Caller::Controller, true),
    ("upload_canister_snapshot_data", Caller::Controller, true),
    (
        "upload_canister_snapshot_metadata",
        Caller::Controller,
        true,
    ),
    ("upload_chunk", Caller::ControllerOrSelf, true),
    ("vetkd_derive_key", Caller::Canister, false),
    ("vetkd_public_key", Caller::Canister, false),
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

/// The reject of a caller that is no controller. A user's call is refused when it arrives, a
/// canister's when it is executed; the words differ.
pub(crate) fn not_controller(
    id: Principal,
    canister: &Canister,
    origin: &Origin,
    method: &str,
) -> Rejection {
    let why = if let Origin::Ingress { .. } = origin {
        format!("Only controllers of canister {id} can call ic00 method {method}")
    } else {
        let controllers = canister.settings.controllers.iter();
        let controllers: Vec<String> = controllers.map(ToString::to_string).collect();
        format!(
            "Only the controllers of the canister {id} can control it.\nCanister's controllers: {}\nSender's ID: {}",
            controllers.join(" "),
            origin.caller()
        )
    };
    Rejection::new(ErrorCode::InvalidController, why)
}

/// The reject of a method that does not exist.
fn unknown_method(method: &str) -> Rejection {
    let why = format!("Management canister has no method '{method}'");
    Rejection::new(ErrorCode::MethodNotFound, why)
}

/// Checks that a method exists and that `origin` may call it on the canister that its argument
/// names. Gives that canister, if the method has one.
pub(crate) fn authorize<'a>(
    origin: &Origin,
    method: &str,
    argument: &[u8],
    lookup: impl Fn(&Principal) -> Option<&'a Canister>,
) -> Result<Option<Principal>, Rejection> {
    let Some((_, who, names_canister)) = METHODS.iter().find(|(name, _, _)| *name == method) else {
        return Err(unknown_method(method));
    };
    let is_user = matches!(origin, Origin::Ingress { .. });
    let refused = |why: String| Err(Rejection::new(ErrorCode::RejectedMessage, why));
    match who {
        Caller::Query if is_user => {
            return refused(format!(
                "ic00 method {method} can not be called via ingress messages"
            ));
        }
        Caller::Query => {
            return refused(format!(
                "{method} API is only accessible in non-replicated mode"
            ));
        }
        Caller::Canister if is_user => {
            return refused(format!("Only canisters can call ic00 method {method}"));
        }
        _ => {}
    }
    if !names_canister {
        return Ok(None);
    }
    let Some(target) = effective_of_method(method, argument) else {
        return Err(invalid(format!(
            "the argument of {method} names no canister"
        )));
    };
    let canister = lookup(&target).ok_or_else(|| Rejection::not_found(target))?;
    let caller = origin.caller();
    let settings = &canister.settings;
    let allowed = match who {
        Caller::Controller => canister.is_controller(&caller),
        Caller::ControllerOrSelf => canister.is_controller(&caller) || caller == target,
        Caller::StatusViewer => {
            canister.is_visible(&settings.status_visibility, &caller) || caller == target
        }
        Caller::SnapshotViewer => canister.is_visible(&settings.snapshot_visibility, &caller),
        Caller::Anyone | Caller::Canister | Caller::Query => true,
    };
    if allowed {
        Ok(Some(target))
    } else {
        Err(not_controller(target, canister, origin, method))
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
        let method = request.method.as_str();
        if method.starts_with("install_") && self.state.meta.installing.is_some() {
            return true;
        }
        let is_heavy = method.starts_with("install_")
            || matches!(
                method,
                "subnet_metrics"
                    | "upload_chunk"
                    | "take_canister_snapshot"
                    | "load_canister_snapshot"
                    | "read_canister_snapshot_data"
                    | "upload_canister_snapshot_data"
                    | "upload_canister_snapshot_metadata"
            );
        if is_heavy && self.slices_left() == 0 {
            return true;
        }
        let reads = matches!(
            method,
            "canister_info"
                | "canister_metrics"
                | "canister_status"
                | "deposit_cycles"
                | "stop_canister"
        );
        let target = effective_of_method(method, &request.argument);
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
            "canister_metrics" => self.canister_metrics(request),
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
            "node_metrics_history" => self.node_metrics_history(request),
            "subnet_info" => self.subnet_info(request),
            "subnet_metrics" => self.subnet_metrics(request),
            other if other.contains("canister_snapshot") => self.dispatch_snapshot(request),
            _ => Ok(absent::refusal(request).into()),
        }
    }

    fn dispatch_snapshot(&mut self, request: &Request) -> ManagedResult {
        match request.method.as_str() {
            "take_canister_snapshot" => self.take_snapshot(request),
            "load_canister_snapshot" => self.load_snapshot(request),
            "list_canister_snapshots" => self.list_snapshots(request),
            "delete_canister_snapshot" => self.delete_snapshot(request),
            "read_canister_snapshot_metadata" => self.read_snapshot_metadata(request),
            "read_canister_snapshot_data" => self.read_snapshot_data(request),
            "upload_canister_snapshot_metadata" => self.upload_snapshot_metadata(request),
            "upload_canister_snapshot_data" => self.upload_snapshot_data(request),
            other => Ok(unknown_method(other).into()),
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
        canister.consumed.instructions = canister.consumed.instructions.saturating_add(asked);
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(asked);
        self.count(instructions);
        Ok(())
    }
}
