//! Requests signed ahead, and the verification of sampled answers.

use candid::Principal;
use ic_agent::hash_tree::{Label, LookupResult};
use ic_agent::identity::BasicIdentity;
use trilith_client::query::{NodeKeys, QueryAnswer, verify};
use trilith_client::{RequestContent, RequestStatus, request_status};
use trilith_types::PublicKey;

use crate::support::{Client, Node};

/// How many users share the requests: below the pool's limit for one of them.
const USERS: u8 = 16;

/// One request with its head, ready to be sent.
pub struct Request {
    /// The bytes on the wire.
    pub wire: Vec<u8>,
    /// Its id.
    pub id: [u8; 32],
    /// Whom it concerns.
    pub canister: Principal,
}

impl AsRef<[u8]> for Request {
    fn as_ref(&self) -> &[u8] {
        &self.wire
    }
}

/// All requests of a run.
pub struct Load {
    /// In the order in which they are sent.
    pub requests: Vec<Request>,
}

/// An answer that is looked at.
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Synchronous update calls, answered with a certificate.
    Update,
    /// Queries, answered with the node's signature; users ask the same again and again.
    Query,
    /// Queries no two of which ask the same.
    DistinctQuery,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "updates",
            Self::Query => "queries",
            Self::DistinctQuery => "distinct queries",
        }
    }
}

/// Signs requests to counters, in turns by different users.
pub fn load(node: &Node, kind: Kind, counters: &[Principal], requests: usize) -> Load {
    let users: Vec<Client> = (0..USERS)
        .map(|user| {
            let key = [user.wrapping_add(100); 32];
            Client::with_identity(node, BasicIdentity::from_raw_key(&key))
        })
        .collect();
    let argument = candid::encode_args(()).expect("nothing is Candid");
    let make = |index: usize| {
        let user = &users[index % users.len()];
        let canister = counters[index % counters.len()];
        let (version, endpoint, body, id) = match kind {
            Kind::Update => {
                let call = user.agent.update(&canister, "inc");
                let signed = call.with_arg(argument.clone()).sign().expect("it can sign");
                ("v4", "call", signed.signed_update, *signed.request_id)
            }
            Kind::Query | Kind::DistinctQuery => {
                let mut argument = argument.clone();
                if kind == Kind::DistinctQuery {
                    // The counters do not look at it.
                    argument.extend(index.to_be_bytes());
                }
                let query = user.agent.query(&canister, "get");
                let query = query.with_arg(argument.clone()).with_nonce_generation();
                let signed = query.sign().expect("it can sign");
                let content = RequestContent {
                    request_type: "query",
                    canister: canister.as_slice(),
                    method: "get",
                    argument: &argument,
                    sender: signed.sender.as_slice(),
                    ingress_expiry: signed.ingress_expiry,
                    nonce: signed.nonce.as_deref(),
                };
                ("v3", "query", signed.signed_query.clone(), content.id())
            }
        };
        let head = format!(
            "POST /api/{version}/canister/{canister}/{endpoint} HTTP/1.1\r\nHost: node\r\n\
             Content-Type: application/cbor\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Request {
            wire: [head.as_bytes(), &body].concat(),
            id,
            canister,
        }
    };
    Load {
        requests: (0..requests).map(make).collect(),
    }
}

/// The bytes in a field of a CBOR map.
fn field(body: &[u8], name: &str) -> Vec<u8> {
    let response = crate::support::http::Response {
        status: 200,
        body: body.to_vec(),
    };
    response.bytes(name)
}

/// Verifies the certificate of an answer, twice, and that it shows a reply to this request.
pub fn verify_update(client: &Client, request: &Request, answer: &Answer<'_>) {
    assert_eq!(answer.status, 200);
    let certificate = field(answer.body, "certificate");
    client
        .verify_independently(&certificate, request.canister)
        .expect("an independent verifier accepts the certificate");
    let verified = client
        .verify(&certificate, request.canister)
        .expect("the certificate is valid");
    let status = request_status(&verified, &request.id);
    assert!(matches!(status, Ok(RequestStatus::Replied { .. })));
}

/// The keys of the subnet's nodes, from a certificate that the agent verified.
pub async fn node_keys(client: &Client, node: &Node) -> NodeKeys {
    let subnet = Principal::self_authenticating(&node.root_key_der);
    let path: Vec<Label<Vec<u8>>> = vec!["subnet".into(), subnet.as_slice().into()];
    let certificate = client.agent.read_subnet_state_raw(vec![path], subnet).await;
    let tree = certificate.expect("the subnet can be read").tree;
    let paths = tree.list_paths().into_iter();
    let nodes = paths.filter(|path| path.len() == 5 && path[2].as_bytes() == b"node");
    nodes
        .map(|path| {
            let LookupResult::Found(der) = tree.lookup_path(&path) else {
                panic!("a listed path is there");
            };
            let key = der.last_chunk().expect("the key is wrapped in DER");
            let key = PublicKey::from_bytes(*key);
            (path[3].as_bytes().to_vec(), key)
        })
        .collect()
}

/// Verifies that an answer is a reply to this query, signed by a node of the subnet.
pub fn verify_query(nodes: &NodeKeys, request: &Request, answer: &Answer<'_>) {
    assert_eq!(answer.status, 200);
    let response = QueryAnswer::decode(answer.body).expect("the answer is one to a query");
    assert!(matches!(response, QueryAnswer::Replied { .. }));
    // The time of the answer was checked by nobody's clock: it lies as far back as the run is long.
    let time = response.signatures()[0].time;
    verify(&response, &request.id, nodes, time, 0).expect("the node signed this answer");
}
