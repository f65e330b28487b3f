//! Answering questions about a snapshot: query calls, reads of the certified state, the status of
//! ingress messages, topology.

use std::collections::BTreeSet;
use std::sync::Arc;

use candid::Principal;
use trilith_protocol::{Fault, QueryContext, QueryError, Reject};
use trilith_types::StateRead;

use super::machine::Entry;
use super::onlooker::Onlooker;
use super::query_format::{
    CallResult, Effective, QueryRequest, QueryResponse, RequestStatus, Topology,
};
use super::record::{Canister, Reply, RequestRecord, RequestState, Status, canister_id};
use super::reject::{ErrorCode, Rejection};
use super::remembered::Question;
use super::snapshot::Snapshot;
use super::{
    CODE_NO_CERTIFICATE, CODE_QUERY, CanisterEngine, MODULE, composite, management, price,
};
use crate::api::{Answer, CallMode, EntryPoint, PreparedModule};
use crate::certified::{self, StateTree, Wanted};
use crate::ingress::{
    CallContent, Content, Envelope, IngressError, ReadStateContent, decode_candid,
    effective_canister,
};

/// A result that is refused or cannot be had on this node.
type Answered<T> = Result<T, QueryError>;

fn refused(error: IngressError) -> QueryError {
    QueryError::Reject(error.into())
}

/// Answers a question.
pub(crate) fn answer(
    engine: &CanisterEngine,
    view: &dyn StateRead,
    request: &[u8],
    context: &QueryContext,
) -> Answered<QueryResponse> {
    let request = QueryRequest::decode(request).map_err(|error| Reject {
        module: MODULE,
        code: CODE_QUERY,
        message: format!("the question is malformed: {error}"),
    })?;
    let snapshot = engine.snapshot(view)?;
    let tree = StateTree::new(&snapshot, &engine.identity());
    let attested = context
        .attested
        .as_ref()
        .filter(|attested| attested.value == tree.digest());
    let signature = attested.map(|attested| attested.signature.as_slice());
    let asked = Asked {
        engine,
        view,
        snapshot: &snapshot,
        tree: &tree,
        signature,
        now: context.now.0,
    };
    match request {
        QueryRequest::Call {
            envelope,
            effective,
        } => asked.call(&envelope, effective),
        QueryRequest::CallAgain {
            envelope,
            effective,
        } => asked.call_again(&envelope, effective),
        QueryRequest::ReadState {
            envelope,
            effective,
        } => asked.read_state(&envelope, effective),
        QueryRequest::RequestStatus { id } => Ok(asked.request_status(id)),
        QueryRequest::Topology => Ok(asked.topology()),
    }
}

/// A state that is asked, and what is needed to answer.
struct Asked<'a> {
    engine: &'a CanisterEngine,
    view: &'a dyn StateRead,
    snapshot: &'a Snapshot,
    tree: &'a StateTree<'a>,
    /// The signature over the root of the tree, if there is one.
    signature: Option<&'a [u8]>,
    /// The present, for the expiry of requests.
    now: u64,
}

impl Asked<'_> {
    fn call(&self, envelope: &[u8], effective: Principal) -> Answered<QueryResponse> {
        let (call, id) = authenticate_query(self.engine, envelope, effective, self.now)?;
        let question = Question::new(&call, self.signature.is_some());
        if let Some(result) = self.snapshot.remembered.get(&question) {
            return Ok(QueryResponse::Call { id, result });
        }
        let now = self.snapshot.meta.time;
        let (engine, view, snapshot) = (self.engine, self.view, self.snapshot);
        let onlooker = Onlooker {
            engine,
            view,
            snapshot,
            now,
            certificate: self.signature,
        };
        let result = match onlooker.call(&call)? {
            Ok(arg) => CallResult::Replied { arg },
            Err(rejection) => {
                let (code, error_code) = (rejection.code(), rejection.error_code());
                CallResult::Rejected {
                    code,
                    message: rejection.message,
                    error_code,
                }
            }
        };
        self.snapshot.remembered.put(question, &result);
        Ok(QueryResponse::Call { id, result })
    }

    /// The answer that the same query had before, if it is remembered.
    fn call_again(&self, envelope: &[u8], effective: Principal) -> Answered<QueryResponse> {
        let (call, id) = authenticate_query(self.engine, envelope, effective, self.now)?;
        let question = Question::new(&call, self.signature.is_some());
        let remembered = self.snapshot.remembered.get(&question);
        Ok(
            remembered.map_or(QueryResponse::NotRemembered, |result| QueryResponse::Call {
                id,
                result,
            }),
        )
    }

    fn read_state(&self, envelope: &[u8], effective: Effective) -> Answered<QueryResponse> {
        let read = authenticate_read(self.engine, envelope, self.now)?;
        let (snapshot, subnet) = (self.snapshot, self.engine.config.subnet_id);
        Permission {
            snapshot,
            subnet,
            read: &read,
            effective,
        }
        .check()
        .map_err(refused)?;
        let time = [b"time".to_vec()];
        let paths = read
            .paths
            .iter()
            .map(Vec::as_slice)
            .chain([time.as_slice()]);
        let signature = self.signature.ok_or_else(no_certificate)?;
        let tree = self.tree.prune(&Wanted::of_paths(paths));
        Ok(QueryResponse::ReadState {
            certificate: certified::certificate(&tree, signature),
        })
    }

    fn request_status(&self, id: [u8; 32]) -> QueryResponse {
        let record = self.snapshot.requests.get(&id);
        let status = record.map_or(RequestStatus::Unknown, |record| status_of(record));
        let paths = [
            vec![b"request_status".to_vec(), id.to_vec()],
            vec![b"time".to_vec()],
        ];
        let wanted = Wanted::of_paths(paths.iter().map(Vec::as_slice));
        let certificate = self
            .signature
            .map(|signature| certified::certificate(&self.tree.prune(&wanted), signature));
        QueryResponse::RequestStatus {
            status,
            certificate,
        }
    }

    fn topology(&self) -> QueryResponse {
        let keys = self
            .snapshot
            .meta
            .committee
            .iter()
            .map(|key| *key.as_bytes());
        QueryResponse::Topology(Topology {
            subnet: self.engine.config.subnet_id,
            default_effective_canister: canister_id(0),
            ranges: certified::ranges(),
            nodes: keys.map(|key| (certified::node_id(&key), key)).collect(),
        })
    }
}

fn no_certificate() -> QueryError {
    let message = "this state has no signature of the validators yet; ask again".to_owned();
    QueryError::Reject(Reject {
        module: MODULE,
        code: CODE_NO_CERTIFICATE,
        message,
    })
}

fn status_of(record: &RequestRecord) -> RequestStatus {
    match &record.status {
        RequestState::Received {} => RequestStatus::Received,
        RequestState::Processing {} => RequestStatus::Processing,
        RequestState::Answered {
            reply: Reply::Data { bytes },
        } => RequestStatus::Replied {
            reply: bytes.to_vec(),
        },
        RequestState::Answered {
            reply: Reply::Reject { rejection },
        } => RequestStatus::Rejected {
            code: rejection.code(),
            message: rejection.message.clone(),
            error_code: rejection.error_code(),
        },
    }
}

fn authenticate_query(
    engine: &CanisterEngine,
    bytes: &[u8],
    address: Principal,
    now: u64,
) -> Answered<(CallContent, [u8; 32])> {
    let envelope = Envelope::decode(bytes).map_err(refused)?;
    let Content::Query(call) = &envelope.content else {
        let found = envelope.content.request_type().to_owned();
        return Err(refused(IngressError::RequestType {
            found,
            wanted: "query",
        }));
    };
    if let Some(effective) = effective_canister(call).filter(|effective| *effective != address) {
        return Err(refused(IngressError::EffectiveCanister {
            address,
            effective,
        }));
    }
    let id = engine
        .judge
        .judge(&envelope, bytes, now, false)
        .map_err(refused)?;
    Ok((call.clone(), id))
}

fn authenticate_read(
    engine: &CanisterEngine,
    bytes: &[u8],
    now: u64,
) -> Answered<ReadStateContent> {
    let envelope = Envelope::decode(bytes).map_err(refused)?;
    let Content::ReadState(read) = &envelope.content else {
        let found = envelope.content.request_type().to_owned();
        return Err(refused(IngressError::RequestType {
            found,
            wanted: "read_state",
        }));
    };
    engine
        .judge
        .judge(&envelope, bytes, now, false)
        .map_err(refused)?;
    Ok(read.clone())
}

/// Who may read which paths.
///
/// Source: interface specification, "Request: Read state".
struct Permission<'a> {
    snapshot: &'a Snapshot,
    subnet: Principal,
    read: &'a ReadStateContent,
    effective: Effective,
}

impl Permission<'_> {
    fn check(&self) -> Result<(), IngressError> {
        if let Effective::Subnet(address) = self.effective
            && address != self.subnet
        {
            return Err(IngressError::EffectiveCanister {
                address,
                effective: self.subnet,
            });
        }
        let mut requests: BTreeSet<&[u8]> = BTreeSet::new();
        for path in &self.read.paths {
            self.check_path(path, &mut requests)?;
        }
        if requests.len() > 1 {
            return Err(IngressError::SeveralRequests(requests.len()));
        }
        Ok(())
    }

    fn check_path<'p>(
        &self,
        path: &'p [Vec<u8>],
        requests: &mut BTreeSet<&'p [u8]>,
    ) -> Result<(), IngressError> {
        let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let invalid = || Err(IngressError::PathInvalid(text_of(path)));
        match (labels.as_slice(), self.effective) {
            ([b"time"] | [b"subnet", ..] | [b"canister_ranges", ..], _) => Ok(()),
            ([b"api_boundary_nodes", ..], _) => Ok(()),
            (
                [b"request_status", id] | [b"request_status", id, _],
                Effective::Canister(address),
            ) => {
                requests.insert(id);
                self.check_request(id, address)
            }
            ([b"canister", id, rest @ ..], Effective::Canister(address)) => {
                let id = Principal::try_from_slice(id)
                    .map_err(|_| IngressError::PathInvalid(text_of(path)))?;
                if id != address {
                    return Err(IngressError::EffectiveCanister {
                        address,
                        effective: id,
                    });
                }
                match rest {
                    [b"module_hash"] | [b"controllers"] => Ok(()),
                    [b"metadata", name] => self.check_metadata(id, name, path),
                    [b"certified_data", ..] => Err(IngressError::PathForbidden(text_of(path))),
                    _ => invalid(),
                }
            }
            _ => invalid(),
        }
    }

    /// The status of a request may be read by its sender, under its effective canister id. That an
    /// unknown one is absent may be read by anyone.
    fn check_request(&self, id: &[u8], address: Principal) -> Result<(), IngressError> {
        let id = <[u8; 32]>::try_from(id).map_err(|_| {
            IngressError::PathInvalid(format!(
                "request_status with an id of {} bytes, not 32",
                id.len()
            ))
        })?;
        let Some(record) = self.snapshot.requests.get(&id) else {
            return Ok(());
        };
        let named = format!("request_status/{}", hex(&id));
        if record.sender != self.read.sender {
            return Err(IngressError::PathForbidden(named));
        }
        match record.effective {
            Some(effective) if effective != address => {
                Err(IngressError::EffectiveCanister { address, effective })
            }
            _ => Ok(()),
        }
    }

    fn check_metadata(
        &self,
        id: Principal,
        name: &[u8],
        path: &[Vec<u8>],
    ) -> Result<(), IngressError> {
        if std::str::from_utf8(name).is_err() {
            return Err(IngressError::PathInvalid(text_of(path)));
        }
        let canister = self.snapshot.canisters.get(&id);
        let code =
            canister.and_then(|canister| canister.code.as_ref().map(|code| (canister, code)));
        let Some((canister, code)) = code else {
            return Ok(());
        };
        let section = code
            .module
            .metadata
            .iter()
            .find(|(found, _, _)| found.as_bytes() == name);
        match section {
            Some((_, false, _)) if !canister.is_controller(&self.read.sender) => {
                Err(IngressError::PathForbidden(text_of(path)))
            }
            _ => Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as text: labels that are words as they are, others in hexadecimal.
fn text_of(path: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for label in path.iter().take(8) {
        let is_word = label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        text.push('/');
        let shown = &label[..label.len().min(64)];
        text.push_str(&if is_word {
            String::from_utf8_lossy(shown).into_owned()
        } else {
            hex(shown)
        });
    }
    text
}

impl Onlooker<'_> {
    /// The certificate that a canister sees in a query: over the time and its certified data.
    pub(crate) fn data_certificate(&self, id: Principal, signature: &[u8]) -> Vec<u8> {
        let tree = StateTree::new(self.snapshot, &self.engine.identity());
        let data = [
            b"canister".to_vec(),
            id.as_slice().to_vec(),
            b"certified_data".to_vec(),
        ];
        let time = [b"time".to_vec()];
        let wanted = Wanted::of_paths([data.as_slice(), time.as_slice()]);
        certified::certificate(&tree.prune(&wanted), signature)
    }

    /// Runs a query call.
    fn call(&self, call: &CallContent) -> Result<Result<Vec<u8>, Rejection>, Fault> {
        if call.canister_id == Principal::management_canister() {
            return Ok(self.manage(call));
        }
        let id = call.canister_id;
        let module = match self.runnable(id)? {
            Ok(module) => module,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let query = EntryPoint::Query(call.method_name.clone());
        let composite = EntryPoint::CompositeQuery(call.method_name.clone());
        let argument = Arc::new(call.arg.clone());
        if module.exports.contains(&composite) {
            let mut graph = composite::Graph::new(self);
            return graph.call(id, call.sender, &call.method_name, argument);
        }
        if !module.exports.contains(&query) {
            return Ok(Err(Rejection::no_method(id, "query", &call.method_name)));
        }
        self.plain_query(id, call.sender, query, argument, price::QUERY_INSTRUCTIONS)
            .map(|(result, _)| result)
    }

    /// The module of a canister that can be queried.
    pub(crate) fn runnable(
        &self,
        id: Principal,
    ) -> Result<Result<Arc<PreparedModule>, Rejection>, Fault> {
        let canister: &Canister = match self.canister(&id) {
            None => return Ok(Err(Rejection::not_found(id))),
            Some(canister) => canister,
        };
        match canister.status {
            Status::Running => {}
            Status::Stopping { .. } => return Ok(Err(Rejection::stopping(id))),
            Status::Stopped => return Ok(Err(Rejection::stopped(id))),
        }
        let floor = canister.floor();
        if canister.code.is_some() && canister.cycles < floor {
            return Ok(Err(Rejection::out_of_cycles(id, canister.cycles, floor, 0)));
        }
        Ok(self.prepared(id)?.ok_or_else(|| Rejection::no_module(id)))
    }

    /// Runs a query method that calls nobody; gives also how many instructions it used.
    pub(crate) fn plain_query(
        &self,
        id: Principal,
        caller: Principal,
        entry: EntryPoint,
        argument: Arc<Vec<u8>>,
        instructions_max: u64,
    ) -> Result<(Result<Vec<u8>, Rejection>, u64), Fault> {
        let plain = Entry::plain(entry, CallMode::NonReplicatedQuery);
        let result = self.run(
            id,
            &Entry {
                caller,
                argument,
                instructions_max,
                keep_changes: false,
                ..plain
            },
        )?;
        let outcome = match result.end {
            Err(trap) => Err(Rejection::of_trap(id, &trap)),
            Ok(effects) => match effects.answer {
                Some(Answer::Reply(bytes)) => Ok(bytes),
                Some(Answer::Reject(message)) => {
                    Err(Rejection::new(ErrorCode::RejectedMessage, message))
                }
                None => Err(Rejection::no_reply(id)),
            },
        };
        Ok((outcome, result.instructions))
    }

    /// Query calls of the management canister.
    fn manage(&self, call: &CallContent) -> Result<Vec<u8>, Rejection> {
        #[derive(candid::CandidType, serde::Deserialize)]
        struct Args {
            canister_id: Principal,
        }
        let method = call.method_name.as_str();
        if !matches!(method, "canister_status" | "fetch_canister_logs") {
            let why = format!("Query method {method} not found on the management canister");
            return Err(Rejection::new(ErrorCode::MethodNotFound, why));
        }
        let args: Args = decode_candid(&call.arg).map_err(management::invalid)?;
        let id = args.canister_id;
        let canister = self.canister(&id).ok_or_else(|| Rejection::not_found(id))?;
        let encoded = if method == "fetch_canister_logs" {
            if !management::may_read_logs(canister, &call.sender) {
                let why = format!(
                    "Caller {} is not allowed to access canister logs",
                    call.sender
                );
                return Err(Rejection::new(ErrorCode::RejectedMessage, why));
            }
            candid::encode_one(management::logs(canister))
        } else {
            if !canister.is_controller(&call.sender) {
                return Err(management::not_controller(id, call.sender));
            }
            candid::encode_one(management::status_result(canister))
        };
        Ok(encoded.expect("candid types can be encoded"))
    }
}
