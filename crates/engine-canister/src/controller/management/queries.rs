//! Query calls of the management canister, by users and by composite queries.

use candid::{CandidType, Principal};
use trilith_params::canister::{INDEX_MAX, QUERY_REPLY_BYTES_MAX};

use super::types::{CanisterIdRecord, IdRange, InfoArgs, ListResult, LogsArgs};
use super::{history, invalid, status};
use crate::controller::record::{Canister, Origin, canister_id, canister_index};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::snapshot::Snapshot;
use crate::ingress::decode_candid;

/// A query call that is being answered.
struct Query<'a> {
    snapshot: &'a Snapshot,
    caller: Principal,
    method: &'a str,
    argument: &'a [u8],
}

/// Answers a query call of the management canister from a snapshot.
pub(crate) fn query(
    snapshot: &Snapshot,
    caller: Principal,
    method: &str,
    argument: &[u8],
) -> Result<Vec<u8>, Rejection> {
    let asked = Query {
        snapshot,
        caller,
        method,
        argument,
    };
    match method {
        "canister_status" => {
            let (id, canister) = asked.status_viewer()?;
            let archive = snapshot.archives.get(&id).map(|archive| &**archive);
            encoded(&status::status_result(canister, archive))
        }
        "canister_metrics" => {
            let (_, canister) = asked.status_viewer()?;
            encoded(&status::metrics_result(canister))
        }
        "canister_info" => {
            let args: InfoArgs = asked.decoded()?;
            let archive = snapshot.archives.get(&args.canister_id);
            let archive = archive.map(|archive| &**archive);
            let wanted = args.num_requested_changes.unwrap_or(0);
            let canister = asked.canister(args.canister_id)?;
            encoded(&history::info(canister, archive, wanted))
        }
        "fetch_canister_logs" => asked.logs(),
        "list_canisters" => encoded(&list(snapshot)),
        _ => Err(Rejection::new(
            ErrorCode::MethodNotFound,
            format!("Query method {method} not found."),
        )),
    }
}

fn encoded<T: CandidType>(value: &T) -> Result<Vec<u8>, Rejection> {
    let bytes = candid::encode_one(value).expect("candid types can be encoded");
    let (len, limit) = (bytes.len() as u64, QUERY_REPLY_BYTES_MAX);
    if len > limit {
        let why = format!("The answer has {len} bytes, over the limit of {limit}.");
        return Err(Rejection::new(ErrorCode::ContractViolation, why));
    }
    Ok(bytes)
}

impl<'a> Query<'a> {
    fn decoded<T>(&self) -> Result<T, Rejection>
    where
        T: for<'de> serde::Deserialize<'de> + CandidType,
    {
        decode_candid(self.argument).map_err(invalid)
    }

    fn canister(&self, id: Principal) -> Result<&'a Canister, Rejection> {
        let found = self.snapshot.canisters.get(&id);
        found
            .map(|canister| &**canister)
            .ok_or_else(|| Rejection::not_found(id))
    }

    /// The canister of a method for those who may see its status, and for itself.
    fn status_viewer(&self) -> Result<(Principal, &'a Canister), Rejection> {
        let id = self.decoded::<CanisterIdRecord>()?.canister_id;
        let canister = self.canister(id)?;
        let visibility = &canister.settings.status_visibility;
        if canister.is_visible(visibility, &self.caller) || self.caller == id {
            return Ok((id, canister));
        }
        // In the words for users, who are refused on arrival.
        let origin = Origin::Ingress {
            id: [0; 32],
            sender: self.caller,
            info: None,
        };
        Err(super::not_controller(id, canister, &origin, self.method))
    }

    fn logs(&self) -> Result<Vec<u8>, Rejection> {
        let args: LogsArgs = self.decoded()?;
        let canister = self.canister(args.canister_id)?;
        if !canister.is_visible(&canister.settings.log_visibility, &self.caller) {
            let caller = self.caller;
            let why = format!("Caller {caller} is not allowed to access canister logs");
            return Err(Rejection::new(ErrorCode::RejectedMessage, why));
        }
        let log = self.snapshot.logs.get(&args.canister_id);
        encoded(&status::logs(log.map(|log| &**log), args.filter.as_ref()))
    }
}

/// The canisters as ranges of consecutive ids.
fn list(snapshot: &Snapshot) -> ListResult {
    let mut canisters: Vec<IdRange> = Vec::new();
    let mut last = None;
    let indexes = snapshot.canisters.keys().filter_map(canister_index);
    for index in indexes.take_while(|index| *index <= INDEX_MAX) {
        let end = canister_id(index);
        match canisters.last_mut() {
            Some(range) if last.is_some_and(|last: u64| last + 1 == index) => range.end = end,
            _ => canisters.push(IdRange { start: end, end }),
        }
        last = Some(index);
    }
    ListResult { canisters }
}
