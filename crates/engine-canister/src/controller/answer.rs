//! Answering questions about a snapshot: query calls, reads of the certified state, the status of
//! ingress messages, topology.

use std::sync::Arc;

use candid::Principal;
use trilith_protocol::{Fault, QueryContext, QueryError, Reject};
use trilith_types::StateRead;

use super::admit::caller_info;
use super::machine::Entry;
use super::onlooker::Onlooker;
use super::permission::Permission;
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
    CallContent, Content, Envelope, IngressError, ReadStateContent, SignedDelegation,
    effective_canister,
};

/// The method of the management canister that queries of a subnet may call.
const LIST_CANISTERS: &str = "list_canisters";

/// Bytes of an Ed25519 key in its DER wrapping; no other kind of key is as short. Source: RFC 8410.
const ED25519_DER_BYTES: usize = 44;

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
            version,
        } => asked.read_state(&envelope, effective, version),
        QueryRequest::SubnetCall { envelope, subnet } => asked.subnet_call(&envelope, subnet),
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
        let (call, id) = self.authentic_call(envelope, effective)?;
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
        // Other signatures take up to milliseconds, for which the asker has no time.
        let quick = Envelope::decode(envelope).map_err(refused)?;
        let is_ed25519 = |key: &Vec<u8>| key.len() == ED25519_DER_BYTES;
        if !quick.sender_delegation.is_empty() || !quick.sender_pubkey.iter().all(is_ed25519) {
            return Ok(QueryResponse::NotRemembered);
        }
        let (call, id) = self.authentic_call(envelope, effective)?;
        let question = Question::new(&call, self.signature.is_some());
        let remembered = self.snapshot.remembered.get(&question);
        Ok(
            remembered.map_or(QueryResponse::NotRemembered, |result| QueryResponse::Call {
                id,
                result,
            }),
        )
    }

    /// A query call that belongs to the canister in the address.
    fn authentic_call(
        &self,
        envelope: &[u8],
        effective: Principal,
    ) -> Answered<(CallContent, [u8; 32])> {
        let (call, id) = authenticate_query(self.engine, envelope, self.now)?;
        let other = |asked: &Principal| *asked != effective;
        if let Some(belongs) = effective_canister(&call).filter(other) {
            return Err(refused(IngressError::EffectiveCanister {
                address: effective,
                effective: belongs,
            }));
        }
        Ok((call, id))
    }

    /// Queries of a subnet list its canisters for its administrators.
    ///
    /// Source: interface specification, "Effective subnet id".
    fn subnet_call(&self, envelope: &[u8], address: Principal) -> Answered<QueryResponse> {
        let (call, id) = authenticate_query(self.engine, envelope, self.now)?;
        let subnet = self.engine.config.subnet_id;
        if address != subnet {
            return Err(refused(IngressError::EffectiveCanister {
                address,
                effective: subnet,
            }));
        }
        let management = Principal::management_canister();
        if call.canister_id != management || call.method_name != LIST_CANISTERS {
            return Err(refused(IngressError::SubnetMethod {
                method: call.method_name,
                canister: call.canister_id,
                wanted: LIST_CANISTERS,
            }));
        }
        let why = format!(
            "Caller {} is not allowed to call {LIST_CANISTERS}: it is for the administrators of \
             the subnet, and this subnet has none",
            call.sender
        );
        let rejection = Rejection::new(ErrorCode::RejectedMessage, why);
        let (code, error_code) = (rejection.code(), rejection.error_code());
        let result = CallResult::Rejected {
            code,
            message: rejection.message,
            error_code,
        };
        Ok(QueryResponse::Call { id, result })
    }

    fn read_state(
        &self,
        envelope: &[u8],
        effective: Effective,
        version: u64,
    ) -> Answered<QueryResponse> {
        let (read, delegations) = authenticate_read(self.engine, envelope, self.now)?;
        let (snapshot, subnet) = (self.snapshot, self.engine.config.subnet_id);
        Permission {
            snapshot,
            subnet,
            read: &read,
            delegations: &delegations,
            effective,
            version,
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
) -> Answered<(ReadStateContent, Vec<SignedDelegation>)> {
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
    Ok((read.clone(), envelope.sender_delegation))
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
            return Ok(management::query(
                self.snapshot,
                call.sender,
                &call.method_name,
                &call.arg,
            ));
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
            let mut graph = composite::Graph::new(self, caller_info(call));
            return graph.call(id, call.sender, &call.method_name, argument);
        }
        if !module.exports.contains(&query) {
            return Ok(Err(Rejection::no_method(id, "query", &call.method_name)));
        }
        let entry = Entry {
            caller: call.sender,
            caller_info: caller_info(call),
            argument,
            instructions_max: price::QUERY_INSTRUCTIONS,
            ..Entry::plain(query, CallMode::NonReplicatedQuery)
        };
        self.plain_query(id, entry).map(|(result, _)| result)
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
            return Ok(Err(Rejection::frozen(id)));
        }
        Ok(self.prepared(id)?.ok_or_else(|| Rejection::no_module(id)))
    }

    /// Runs a query method that calls nobody; gives also how many instructions it used.
    pub(crate) fn plain_query(
        &self,
        id: Principal,
        entry: Entry,
    ) -> Result<(Result<Vec<u8>, Rejection>, u64), Fault> {
        let dropping = Entry {
            keep_changes: false,
            ..entry
        };
        let result = self.run(id, &dropping)?;
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
}
