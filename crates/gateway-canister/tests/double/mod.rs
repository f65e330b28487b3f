//! A test double of a node: says what a test told it to say, and remembers what it was asked.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use candid::Principal;
use http_body_util::BodyExt as _;
use ic_transport_types::{Envelope, EnvelopeContent};
use tokio::sync::watch;
use tower::ServiceExt as _;
use trilith_engine_canister::ingress;
use trilith_engine_canister::query::{
    CallResult, QueryRequest, QueryResponse, RequestStatus, Topology,
};
use trilith_gateway_canister::port::BoxFuture;
use trilith_gateway_canister::{Limits, NodePort, NodeStatus, SubmitError, Submitted, router};
use trilith_protocol::{Fault, QueryError, Receipt, ReceiptStatus, Reject};
use trilith_types::{Hash, NodeId, Round, SecretKey, Signature, TimeNanos};

pub const NOW: u64 = 1_760_000_000_000_000_000;
pub const CBOR: &str = "application/cbor";
pub const CERTIFICATE: &[u8] = b"certificate";

/// What becomes of submissions.
#[derive(Clone)]
pub enum Submission {
    Accepted,
    RejectedInRound(&'static str, u32),
    Fails(SubmitError),
    /// Neither a round nor an error, ever.
    Hangs,
}

/// What queries and reads give.
#[derive(Clone)]
pub enum Answers {
    /// What a healthy engine would say; the status of calls as given.
    Engine(RequestStatus),
    Rejects(Reject),
    Faults,
    /// Something that is no answer.
    Nonsense,
    Hangs,
}

pub struct Double {
    pub submission: Mutex<Submission>,
    pub answers: Mutex<Answers>,
    pub submitted: Mutex<Vec<Vec<u8>>>,
    pub asked: Mutex<Vec<QueryRequest>>,
    /// What it remembers of a query that is asked again.
    pub remembered: Mutex<Option<QueryResponse>>,
    /// Whether its newest state is too old for reads.
    pub is_stale: Mutex<bool>,
    pub rounds: watch::Sender<Round>,
    pub secret: SecretKey,
}

impl Double {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            submission: Mutex::new(Submission::Accepted),
            answers: Mutex::new(Answers::Engine(replied())),
            submitted: Mutex::default(),
            asked: Mutex::default(),
            remembered: Mutex::default(),
            is_stale: Mutex::default(),
            rounds: watch::channel(Round(7)).0,
            secret: SecretKey::from_seed([8; 32]),
        })
    }

    pub fn with_submission(submission: Submission) -> Arc<Self> {
        let double = Self::new();
        *double.submission.lock().unwrap() = submission;
        double
    }

    pub fn with_answers(answers: Answers) -> Arc<Self> {
        let double = Self::new();
        *double.answers.lock().unwrap() = answers;
        double
    }

    pub fn node(&self) -> Principal {
        Principal::self_authenticating(ingress::ed25519_der(self.secret.public().as_bytes()))
    }

    fn engine(
        &self,
        request: &QueryRequest,
        status: &RequestStatus,
    ) -> Result<QueryResponse, Reject> {
        match request {
            QueryRequest::Call { envelope, .. } | QueryRequest::SubnetCall { envelope, .. } => {
                let envelope = ingress::Envelope::decode(envelope)?;
                let id = envelope.content.request_id();
                Ok(QueryResponse::Call {
                    id,
                    result: CallResult::Replied {
                        arg: b"DIDL\0\0".into(),
                    },
                })
            }
            QueryRequest::ReadState { envelope, .. } => {
                ingress::Envelope::decode(envelope)?;
                Ok(QueryResponse::ReadState {
                    certificate: CERTIFICATE.to_vec(),
                })
            }
            QueryRequest::RequestStatus { .. } => Ok(QueryResponse::RequestStatus {
                status: status.clone(),
                certificate: Some(CERTIFICATE.to_vec()),
            }),
            QueryRequest::CallAgain { .. } => Ok(QueryResponse::NotRemembered),
            QueryRequest::Topology => Ok(QueryResponse::Topology(Topology {
                subnet: subnet(),
                default_effective_canister: canister(),
                ranges: vec![(
                    canister(),
                    Principal::from_slice(&[0, 0, 0, 0, 0, 255, 255, 255, 1, 1]),
                )],
                nodes: vec![(self.node(), *self.secret.public().as_bytes())],
            })),
        }
    }
}

impl NodePort for Double {
    fn submit(&self, transaction: Vec<u8>) -> BoxFuture<Result<Submitted, SubmitError>> {
        let input = Hash::of(&transaction);
        self.submitted.lock().unwrap().push(transaction);
        let status = match self.submission.lock().unwrap().clone() {
            Submission::Accepted => ReceiptStatus::Accepted,
            Submission::RejectedInRound(module, code) => {
                let (module, message) = (module.to_owned(), "rejected in the round".to_owned());
                ReceiptStatus::Rejected {
                    module,
                    code,
                    message,
                }
            }
            Submission::Fails(error) => return Box::pin(async { Err(error) }),
            Submission::Hangs => return Box::pin(std::future::pending()),
        };
        let receipt = Receipt {
            input,
            status,
            output: vec![],
        };
        Box::pin(async {
            Ok(Submitted {
                round: Round(8),
                receipt,
            })
        })
    }

    fn query(&self, request: Vec<u8>) -> BoxFuture<Result<Vec<u8>, QueryError>> {
        let request = QueryRequest::decode(&request).unwrap();
        self.asked.lock().unwrap().push(request.clone());
        let answer = match self.answers.lock().unwrap().clone() {
            Answers::Engine(status) => self
                .engine(&request, &status)
                .map(|response| response.encode())
                .map_err(QueryError::Reject),
            Answers::Rejects(reject) => Err(QueryError::Reject(reject)),
            Answers::Faults => Err(QueryError::Fault(Fault("disk".into()))),
            Answers::Nonsense => Ok(b"nonsense".to_vec()),
            Answers::Hangs => return Box::pin(std::future::pending()),
        };
        Box::pin(async { answer })
    }

    fn query_now(&self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        if let Ok(QueryRequest::CallAgain { .. }) = QueryRequest::decode(request) {
            let remembered = self.remembered.lock().unwrap().clone();
            return Ok(remembered.unwrap_or(QueryResponse::NotRemembered).encode());
        }
        match std::pin::pin!(self.query(request.to_vec()))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => answer,
            Poll::Pending => Err(QueryError::Fault(Fault("it hangs".into()))),
        }
    }

    fn is_fresh(&self) -> bool {
        !*self.is_stale.lock().unwrap()
    }

    fn certified_rounds(&self) -> watch::Receiver<Round> {
        self.rounds.subscribe()
    }

    fn sign_response(&self, bytes: &[u8]) -> (NodeId, Signature) {
        (self.secret.public(), self.secret.sign_raw(bytes))
    }

    fn now(&self) -> TimeNanos {
        TimeNanos(NOW)
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            root_key_der: vec![1, 2, 3],
            healthy: true,
            round: *self.rounds.borrow(),
        }
    }
}

pub fn replied() -> RequestStatus {
    RequestStatus::Replied {
        reply: b"DIDL\0\0".to_vec(),
    }
}

pub fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1])
}

pub fn subnet() -> Principal {
    Principal::from_slice(&[9; 29])
}

pub fn reject(module: &'static str, code: u32) -> Reject {
    Reject {
        module,
        code,
        message: format!("{module} says {code}"),
    }
}

pub fn call_content(canister_id: Principal, method: &str, arg: &[u8]) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: Some(vec![1]),
        ingress_expiry: NOW + 1,
        sender: Principal::anonymous(),
        canister_id,
        method_name: method.into(),
        arg: arg.to_vec(),
        sender_info: None,
    }
}

pub fn query_content() -> EnvelopeContent {
    EnvelopeContent::Query {
        nonce: None,
        ingress_expiry: NOW + 1,
        sender: Principal::anonymous(),
        canister_id: canister(),
        method_name: "get".into(),
        arg: b"DIDL\0\0".to_vec(),
        sender_info: None,
    }
}

pub fn read_content() -> EnvelopeContent {
    EnvelopeContent::ReadState {
        ingress_expiry: NOW + 1,
        sender: Principal::anonymous(),
        paths: vec![vec!["time".into()]],
    }
}

/// The envelope of an anonymous sender, encoded by the public library.
pub fn envelope(content: &EnvelopeContent) -> Vec<u8> {
    let content = std::borrow::Cow::Borrowed(content);
    let (sender_pubkey, sender_sig, sender_delegation) = (None, None, None);
    Envelope {
        content,
        sender_pubkey,
        sender_sig,
        sender_delegation,
    }
    .encode_bytes()
}

pub fn call_envelope() -> Vec<u8> {
    envelope(&call_content(canister(), "set", b"DIDL\0\0"))
}

/// Limits under which waiting ends at once.
pub fn impatient() -> Limits {
    let moment = std::time::Duration::from_millis(1);
    Limits {
        reply_wait: moment,
        inclusion_wait: moment,
        query_wait: moment,
        ..Limits::STANDARD
    }
}

/// An answer.
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, decoded by the library that the public agent decodes with.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.headers["content-type"], CBOR);
        assert_eq!(self.body[..3], [0xd9, 0xd9, 0xf7]);
        serde_cbor::from_slice(&self.body).unwrap()
    }
}

pub async fn send(double: &Arc<Double>, limits: Limits, request: Request<Body>) -> Got {
    let response = router(double.clone(), limits)
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Got {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

pub fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", CBOR);
    request.body(body.into()).unwrap()
}

pub async fn post(double: &Arc<Double>, path: &str, body: impl Into<Body>) -> Got {
    send(double, Limits::STANDARD, request("POST", path, body)).await
}

pub async fn get(double: &Arc<Double>, path: &str) -> Got {
    send(
        double,
        Limits::STANDARD,
        request("GET", path, Body::empty()),
    )
    .await
}

/// The address of an endpoint of [`canister`].
pub fn at(version: u32, endpoint: &str) -> String {
    format!("/api/v{version}/canister/{}/{endpoint}", canister())
}
