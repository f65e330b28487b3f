//! An IC agent, and beside it the independent verifier.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use candid::utils::ArgumentEncoder;
use candid::{CandidType, Deserialize, Encode, Principal};
use ic_agent::Agent;
use ic_agent::agent::CallResponse;
use ic_agent::identity::BasicIdentity;
use trilith_client::{
    CertificateKey, Lookup, RequestStatus, Scope, Trust, VerifiedCertificate, request_status,
    verify_certificate,
};
use trilith_node::{Clock as _, SystemClock};

/// How far a certificate's time may be from ours.
const SKEW_NANOS: u64 = 300_000_000_000;

/// A connection to the node as one user.
pub(super) struct Session {
    agent: Agent,
    root_key_der: Vec<u8>,
    root_key: CertificateKey,
    default_canister: Principal,
    verified: AtomicU64,
}

/// An update that is signed and can be sent, any number of times.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) canister: Principal,
    pub(super) id: [u8; 32],
    bytes: Vec<u8>,
    request: ic_agent::RequestId,
}

#[derive(CandidType, Deserialize)]
struct ProvisionalCreate {
    amount: Option<candid::Nat>,
    settings: Option<()>,
    specified_id: Option<Principal>,
}

#[derive(CandidType, Deserialize)]
struct CanisterId {
    canister_id: Principal,
}

/// How code is installed. Source: interface specification, `install_code`.
#[derive(CandidType, Deserialize)]
pub(super) enum InstallMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "upgrade")]
    Upgrade(Option<UpgradeFlags>),
}

#[derive(CandidType, Deserialize)]
pub(super) struct UpgradeFlags {
    pub(super) skip_pre_upgrade: Option<bool>,
    pub(super) wasm_memory_persistence: Option<Persistence>,
}

#[derive(CandidType, Deserialize)]
pub(super) enum Persistence {
    #[serde(rename = "keep")]
    Keep,
}

#[derive(CandidType, Deserialize)]
struct InstallCode {
    mode: InstallMode,
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

impl Session {
    /// Connects. The root key is fetched: on a developer network that is all one can do, elsewhere
    /// it is known beforehand.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let agent = Agent::builder()
            .with_url(url)
            .with_identity(BasicIdentity::from_raw_key(&[42; 32]))
            .with_max_tcp_error_retries(0)
            .build()?;
        agent
            .fetch_root_key()
            .await
            .context("fetching the root key")?;
        let root_key_der = agent.read_root_key();
        let root_key = CertificateKey::from_der(&root_key_der)?;
        // The first canister id of the range; `/_/topology` states it.
        let default_canister = Principal::from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")?;
        let verified = AtomicU64::new(0);
        Ok(Self {
            agent,
            root_key_der,
            root_key,
            default_canister,
            verified,
        })
    }

    pub(super) fn root_key_der(&self) -> &[u8] {
        &self.root_key_der
    }

    /// How many certificates were verified independently of the agent.
    pub(super) fn certificates_verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// Makes a canister and installs `wasm` in it.
    pub(super) async fn install(&self, wasm: &[u8]) -> Result<Principal> {
        let create = ProvisionalCreate {
            amount: None,
            settings: None,
            specified_id: None,
        };
        let call = self
            .agent
            .update(
                &Principal::management_canister(),
                "provisional_create_canister_with_cycles",
            )
            .with_effective_canister_id(self.default_canister)
            .with_arg(Encode!(&create)?);
        let signed = signed(call.sign()?);
        let reply = self.send(&signed).await?;
        let CanisterId { canister_id } = candid::decode_one(&reply)?;
        self.install_code(canister_id, InstallMode::Install, wasm)
            .await?;
        Ok(canister_id)
    }

    /// Installs or upgrades code.
    pub(super) async fn install_code(
        &self,
        canister_id: Principal,
        mode: InstallMode,
        wasm_module: &[u8],
    ) -> Result<()> {
        let arg = candid::encode_args(())?;
        let wasm_module = wasm_module.to_vec();
        let install = InstallCode {
            mode,
            canister_id,
            wasm_module,
            arg,
        };
        let call = self
            .agent
            .update(&Principal::management_canister(), "install_code")
            .with_effective_canister_id(canister_id)
            .with_arg(Encode!(&install)?);
        self.send(&signed(call.sign()?)).await?;
        Ok(())
    }

    /// Signs an update call.
    pub(super) fn sign(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Signed> {
        self.sign_raw(canister, method, candid::encode_args(arguments)?)
    }

    /// Signs an update call with an encoded argument.
    pub(super) fn sign_raw(
        &self,
        canister: Principal,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<Signed> {
        Ok(signed(
            self.agent
                .update(&canister, method)
                .with_arg(argument)
                .sign()?,
        ))
    }

    /// Sends a signed update through the synchronous interface; the agent verifies the certificate
    /// of the reply.
    pub(super) async fn send(&self, call: &Signed) -> Result<Vec<u8>> {
        let sent = self
            .agent
            .update_signed(call.canister, call.bytes.clone())
            .await?;
        match sent {
            CallResponse::Response(reply) => Ok(reply),
            CallResponse::Poll(id) => Ok(self.agent.wait(&id, call.canister).await?.0),
        }
    }

    /// An update call and its reply, whose certificate is fetched and verified independently too.
    pub(super) async fn update(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Vec<u8>> {
        let call = self.sign(canister, method, arguments)?;
        let reply = self.send(&call).await?;
        match self.certified(&call).await? {
            RequestStatus::Replied { reply: certified } if certified == reply => Ok(reply),
            other => bail!("the certificate says {other:?} of a call that was answered"),
        }
    }

    /// A query; the agent verifies the node's signature.
    pub(super) async fn query(
        &self,
        canister: Principal,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Vec<u8>> {
        let argument = candid::encode_args(arguments)?;
        Ok(self
            .agent
            .query(&canister, method)
            .with_arg(argument)
            .call()
            .await?)
    }

    /// What a certificate says became of a call, verified by `trilith-client` alone.
    pub(super) async fn certified(&self, call: &Signed) -> Result<RequestStatus> {
        let (_, certificate) = self
            .agent
            .request_status_raw(&call.request, call.canister)
            .await?;
        let verified = self.verify(&certificate, call.canister)?;
        Ok(request_status(&verified, &call.id)?)
    }

    /// Reads one path of the state tree, verified independently.
    pub(super) async fn read(&self, canister: Principal, path: &[&[u8]]) -> Result<Vec<u8>> {
        let labels = path.iter().map(|label| label.to_vec().into()).collect();
        let certificate = self.agent.read_state_raw(vec![labels], canister).await?;
        let verified = self.verify(&certificate, canister)?;
        match verified.lookup(path) {
            Lookup::Found(value) => Ok(value.to_vec()),
            _ => bail!("the certificate does not show the path"),
        }
    }

    fn verify(
        &self,
        certificate: &ic_agent::Certificate,
        canister: Principal,
    ) -> Result<VerifiedCertificate> {
        // Self-describing CBOR, as on the wire.
        let mut bytes = vec![0xd9, 0xd9, 0xf7];
        ciborium::into_writer(certificate, &mut bytes).context("encoding a certificate")?;
        let now = SystemClock.now();
        let trust = Trust {
            root_key: &self.root_key,
            now,
            skew_nanos: SKEW_NANOS,
        };
        let verified = verify_certificate(&bytes, Scope::Canister(canister.as_slice()), &trust)
            .context("the independent verifier refuses a certificate that the agent accepted")?;
        self.verified.fetch_add(1, Ordering::Relaxed);
        Ok(verified)
    }
}

fn signed(update: ic_agent::agent::signed::SignedUpdate) -> Signed {
    Signed {
        canister: update.effective_canister_id,
        id: *update.request_id,
        bytes: update.signed_update,
        request: update.request_id,
    }
}
