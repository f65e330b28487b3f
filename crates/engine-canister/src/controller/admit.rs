//! Taking ingress messages: into the pool ([`check`]) and into a round ([`induct`]).

use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::UNFREEZING_BYTES_MAX;
use trilith_protocol::{Admission, CheckContext, Fault, Reject};
use trilith_types::{Hash, StateRead, TimeNanos};

use super::machine::Entry;
use super::onlooker::Onlooker;
use super::record::{Canister, Origin, Request, RequestRecord, RequestState, Status};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use super::{CanisterEngine, management, price};
use crate::api::{CallMode, CallerInfo, EntryPoint};
use crate::ingress::{
    CallContent, Content, Envelope, IngressError, MODULE_CANISTER, effective_canister,
};

/// Decodes and authenticates a call.
fn authenticate(
    engine: &CanisterEngine,
    bytes: &[u8],
    now: u64,
    in_round: bool,
) -> Result<(CallContent, [u8; 32]), IngressError> {
    let envelope = Envelope::decode(bytes)?;
    let Content::Call(call) = &envelope.content else {
        let found = envelope.content.request_type().to_owned();
        return Err(IngressError::RequestType {
            found,
            wanted: "call",
        });
    };
    let call = call.clone();
    let id = engine.judge.judge(&envelope, bytes, now, in_round)?;
    Ok((call, id))
}

fn rejected(rejection: &Rejection) -> Reject {
    let code = u32::from(rejection.error);
    Reject {
        module: MODULE_CANISTER,
        code,
        message: rejection.message.clone(),
    }
}

/// Whether a call may be taken in this state; gives who pays for it.
fn accept<'a>(
    call: &CallContent,
    origin: &Origin,
    lookup: impl Fn(&Principal) -> Option<&'a Canister>,
) -> Result<Option<Principal>, Rejection> {
    let payer = if call.canister_id == Principal::management_canister() {
        management::authorize(origin, &call.method_name, &call.arg, &lookup)?
    } else {
        let id = call.canister_id;
        let canister = lookup(&id).ok_or_else(|| Rejection::not_found(id))?;
        match canister.status {
            Status::Running => {}
            Status::Stopping { .. } => return Err(Rejection::stopping(id)),
            Status::Stopped => return Err(Rejection::stopped(id)),
        }
        if canister.code.is_none() {
            return Err(Rejection::no_module(id));
        }
        Some(id)
    };
    let provisional = call.method_name.starts_with("provisional_");
    if call.canister_id == Principal::management_canister() && (provisional || unfreezes(call)) {
        return Ok(None);
    }
    if let Some(id) = payer
        && let Some(canister) = lookup(&id)
    {
        let (asked, floor) = (cost(call), canister.floor());
        if canister.cycles < floor.saturating_add(asked) {
            return Err(Rejection::out_of_cycles(id, canister.cycles, floor, asked));
        }
    }
    Ok(payer)
}

/// What is attested about the sender of an authenticated call, as the canister sees it.
pub(crate) fn caller_info(call: &CallContent) -> Option<Arc<CallerInfo>> {
    let info = call.sender_info.as_ref()?;
    Some(Arc::new(CallerInfo {
        data: info.info.clone(),
        signer: info.signer,
    }))
}

fn unfreezes(call: &CallContent) -> bool {
    call.method_name == "update_settings" && call.arg.len() <= UNFREEZING_BYTES_MAX
}

fn cost(call: &CallContent) -> u128 {
    price::ingress(call.method_name.len() + call.arg.len())
}

/// Takes up an input of a batch. A message that is authentic but refused by its canister is
/// remembered as rejected, so that its sender learns of it.
pub(crate) fn induct(round: &mut Round<'_>, bytes: &[u8]) -> Result<[u8; 32], Reject> {
    let now = round.now();
    let (call, id) = authenticate(round.engine, bytes, now, true)?;
    if round.state.request(&id).is_some() {
        return Err(IngressError::Duplicate(id).into());
    }
    let origin = Origin::Ingress {
        id,
        sender: call.sender,
        info: caller_info(&call),
    };
    let state = &round.state;
    let accepted = accept(&call, &origin, |id| state.canister(id));
    round.state.put_request(
        id,
        Some(RequestRecord {
            sender: call.sender,
            receiver: call.canister_id,
            effective: effective_canister(&call),
            expiry: call.ingress_expiry,
            status: RequestState::Received {},
            kept_until: u64::MAX,
        }),
    );
    match accepted {
        Err(rejection) => round.respond(&origin, rejection.into(), 0),
        Ok(payer) => {
            if let Some(payer) = payer {
                round.charge_ingress(payer, cost(&call));
            }
            let argument = Arc::new(call.arg);
            let request = Request {
                origin,
                method: call.method_name,
                argument,
                cycles: 0,
            };
            round.route(call.canister_id, request);
        }
    }
    Ok(id)
}

/// Decides whether a call may enter the pool.
pub(crate) fn check(
    engine: &CanisterEngine,
    view: &dyn StateRead,
    bytes: &[u8],
    context: &CheckContext,
) -> Result<Admission, Reject> {
    let (call, id) = authenticate(engine, bytes, context.now.0, false)?;
    let failed = |fault: Fault| Reject {
        module: super::MODULE,
        code: super::CODE_FAULT,
        message: fault.to_string(),
    };
    let snapshot = engine.snapshot(view).map_err(failed)?;
    if snapshot.requests.contains_key(&id) {
        return Err(IngressError::Duplicate(id).into());
    }
    let origin = Origin::Ingress {
        id,
        sender: call.sender,
        info: None,
    };
    let lookup = |id: &Principal| snapshot.canisters.get(id).map(|canister| &**canister);
    accept(&call, &origin, lookup).map_err(|rejection| rejected(&rejection))?;
    let canister = snapshot.canisters.get(&call.canister_id);
    let inspects = canister
        .and_then(|canister| canister.code.as_ref())
        .is_some_and(|code| code.module.inspect);
    if inspects {
        let onlooker = Onlooker {
            engine,
            view,
            snapshot: &snapshot,
            now: context.now.0,
            certificate: None,
        };
        inspect(&onlooker, &call)
            .map_err(failed)?
            .map_err(|rejection| rejected(&rejection))?;
    }
    Ok(Admission {
        id: Hash::from_bytes(id),
        sender: call.sender.as_slice().to_vec(),
        priority: 0,
        expires: TimeNanos(call.ingress_expiry),
    })
}

/// Asks the canister whether it takes the message.
fn inspect(onlooker: &Onlooker<'_>, call: &CallContent) -> Result<Result<(), Rejection>, Fault> {
    let entry = Entry {
        caller: call.sender,
        caller_info: caller_info(call),
        argument: Arc::new(call.arg.clone()),
        method: call.method_name.clone(),
        instructions_max: price::INSPECT_INSTRUCTIONS,
        keep_changes: false,
        ..Entry::plain(EntryPoint::InspectMessage, CallMode::InspectMessage)
    };
    let id = call.canister_id;
    let result = onlooker.run(id, &entry)?;
    Ok(match result.end {
        Ok(effects) if effects.message_accepted => Ok(()),
        Ok(_) => Err(Rejection::new(
            ErrorCode::RejectedMessage,
            format!("Canister {id} rejected the message"),
        )),
        Err(trap) => Err(Rejection::of_trap(id, &trap)),
    })
}
