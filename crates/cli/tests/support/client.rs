//! An unmodified agent, and the verifiers beside it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::utils::ArgumentEncoder;
use candid::{CandidType, Encode, Nat, Principal};
use ic_agent::agent::signed::SignedUpdate;
use ic_agent::agent::{CallResponse, RejectResponse};
use ic_agent::identity::BasicIdentity;
use ic_agent::{Agent, AgentError, Identity};
use ic_cbor::CertificateToCbor as _;
use ic_certificate_verification::VerifyCertificate as _;
use serde::{Deserialize, Serialize};
use trilith_client::{
    CertificateError, CertificateKey, Scope, Trust, VerifiedCertificate, verify_certificate,
};
use trilith_types::TimeNanos;

use super::{FIRST_CANISTER, Node};

/// How far a certificate's time may be from ours.
const SKEW: Duration = Duration::from_secs(300);

/// One user of a node.
pub struct Client {
    /// The agent, with verification of queries as it comes.
    pub agent: Agent,
    url: String,
    root_key_der: Vec<u8>,
}

#[derive(CandidType)]
struct ProvisionalCreate {
    amount: Option<Nat>,
    settings: Option<()>,
    specified_id: Option<Principal>,
}

#[derive(CandidType, Deserialize)]
struct CanisterId {
    canister_id: Principal,
}

#[derive(CandidType, Serialize)]
enum InstallMode {
    #[serde(rename = "install")]
    Install,
}

#[derive(CandidType, Serialize)]
struct InstallCode {
    mode: InstallMode,
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

impl Client {
    /// A user with an Ed25519 key.
    pub fn new(node: &Node) -> Self {
        Self::with_identity(node, BasicIdentity::from_raw_key(&[7; 32]))
    }

    /// A user with an identity of any kind.
    pub fn with_identity(node: &Node, identity: impl Identity + 'static) -> Self {
        let agent = Agent::builder()
            .with_url(&node.url)
            .with_identity(identity)
            .build()
            .expect("the endpoint is an address");
        agent.set_root_key(node.root_key_der.clone());
        Self {
            agent,
            url: node.url.clone(),
            root_key_der: node.root_key_der.clone(),
        }
    }

    /// Who the user is.
    pub fn principal(&self) -> Principal {
        self.agent.get_principal().expect("the identity is whole")
    }

    /// A signed request for an empty canister, whose id may be chosen.
    pub fn sign_create(&self, specified_id: Option<Principal>) -> SignedUpdate {
        let create = ProvisionalCreate {
            amount: None,
            settings: None,
            specified_id,
        };
        let first = Principal::from_text(FIRST_CANISTER).expect("an id");
        self.sign_management(
            "provisional_create_canister_with_cycles",
            specified_id.unwrap_or(first),
            Encode!(&create).expect("it is Candid"),
        )
    }

    /// A signed request to install `wasm` in an empty canister.
    pub fn sign_install(&self, canister_id: Principal, wasm: &[u8]) -> SignedUpdate {
        let install = InstallCode {
            mode: InstallMode::Install,
            canister_id,
            wasm_module: wasm.to_vec(),
            arg: candid::encode_args(()).expect("nothing is Candid"),
        };
        let argument = Encode!(&install).expect("it is Candid");
        self.sign_management("install_code", canister_id, argument)
    }

    fn sign_management(
        &self,
        method: &str,
        effective: Principal,
        argument: Vec<u8>,
    ) -> SignedUpdate {
        self.agent
            .update(&Principal::management_canister(), method)
            .with_effective_canister_id(effective)
            .with_arg(argument)
            .sign()
            .expect("the identity can sign")
    }

    /// Makes an empty canister.
    pub async fn create(&self) -> Principal {
        let reply = self.send(&self.sign_create(None)).await;
        let reply = reply.expect("a canister can be made");
        let CanisterId { canister_id } = candid::decode_one(&reply).expect("it is Candid");
        canister_id
    }

    /// Makes a canister and installs `wasm` in it.
    pub async fn install(&self, wasm: &[u8]) -> Principal {
        let canister_id = self.create().await;
        let installed = self.send(&self.sign_install(canister_id, wasm)).await;
        installed.expect("the code can be installed");
        canister_id
    }

    /// An update whose reply is one Candid value.
    pub async fn update<T>(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> T
    where
        T: CandidType + for<'de> Deserialize<'de>,
    {
        let reply = self.try_update(canister, method, arguments).await;
        let reply = reply.unwrap_or_else(|error| panic!("{method}: {error}"));
        candid::decode_one(&reply).expect("the reply is as the interface says")
    }

    /// An update that may be rejected.
    pub async fn try_update(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Vec<u8>, AgentError> {
        let argument = candid::encode_args(arguments).expect("it is Candid");
        self.update_raw(canister, method, argument).await
    }

    /// An update with an argument of any bytes.
    pub async fn update_raw(
        &self,
        canister: Principal,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<Vec<u8>, AgentError> {
        let call = self.agent.update(&canister, method).with_arg(argument);
        call.call_and_wait().await
    }

    /// A query whose reply is one Candid value. The agent verifies the node's signature.
    pub async fn query<T>(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> T
    where
        T: CandidType + for<'de> Deserialize<'de>,
    {
        let argument = candid::encode_args(arguments).expect("it is Candid");
        let query = self.agent.query(&canister, method).with_arg(argument);
        let reply = query.call_with_verification().await;
        let reply = reply.unwrap_or_else(|error| panic!("{method}: {error}"));
        candid::decode_one(&reply).expect("the reply is as the interface says")
    }

    /// A signed update, which can be sent any number of times.
    pub fn sign(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> SignedUpdate {
        let argument = candid::encode_args(arguments).expect("it is Candid");
        let update = self.agent.update(&canister, method).with_arg(argument);
        update.sign().expect("the identity can sign")
    }

    /// Sends a signed update, and waits for its reply.
    pub async fn send(&self, update: &SignedUpdate) -> Result<Vec<u8>, AgentError> {
        let canister = update.effective_canister_id;
        let bytes = update.signed_update.clone();
        match self.agent.update_signed(canister, bytes).await? {
            CallResponse::Response(reply) => Ok(reply),
            CallResponse::Poll(id) => Ok(self.agent.wait(&id, canister).await?.0),
        }
    }

    /// Posts an envelope to an endpoint of a canister, such as `v4` and `call`.
    pub fn post(
        &self,
        version: &str,
        canister: Principal,
        endpoint: &str,
        envelope: &[u8],
    ) -> super::http::Response {
        let path = format!("/api/{version}/canister/{canister}/{endpoint}");
        super::http::post(&self.url, &path, envelope)
    }

    /// Verifies a certificate about a canister with this project's verifier.
    pub fn verify(
        &self,
        certificate: &[u8],
        canister: Principal,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let root_key =
            CertificateKey::from_der(&self.root_key_der).expect("the banner shows a key");
        let trust = Trust {
            root_key: &root_key,
            now: TimeNanos(now_nanos().try_into().expect("it is before 2554")),
            skew_nanos: SKEW.as_nanos().try_into().expect("five minutes fit"),
        };
        verify_certificate(certificate, Scope::Canister(canister.as_slice()), &trust)
    }

    /// Verifies a certificate about a canister with a verifier that others wrote.
    pub fn verify_independently(
        &self,
        certificate: &[u8],
        canister: Principal,
    ) -> Result<(), String> {
        let certificate = ic_certification::Certificate::from_cbor(certificate)
            .map_err(|error| error.to_string())?;
        let (id, key) = (canister.as_slice(), &self.root_key_der);
        certificate
            .verify(id, key, &now_nanos(), &SKEW.as_nanos())
            .map_err(|error| error.to_string())
    }
}

/// Nanoseconds since 1970.
fn now_nanos() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is later than 1970").as_nanos()
}

/// The certified reject in an error.
pub fn reject(result: Result<Vec<u8>, AgentError>) -> RejectResponse {
    match result {
        Err(AgentError::CertifiedReject { reject, .. }) => reject,
        other => panic!("a certified reject was expected, not {other:?}"),
    }
}
