//! `trilith account proof`: one account, proven.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;
use trilith_client::{AccountAnswer, Answer, CertificateKey, RootTrust, VerifiedAccount};
use trilith_types::{Hash, Height, RuntimeId};

use super::rpc::{Rpc, URL};
use crate::network::ACCOUNT_RUNTIME;
use crate::output::NextStep;
use crate::state::report::{Report, print};

/// Arguments of `trilith account proof`.
#[derive(Args, Debug)]
pub(super) struct ProofArguments {
    /// The account, in base58
    #[arg(value_name = "ADDRESS")]
    address: Pubkey,
    /// Address of the node's JSON-RPC
    #[arg(long, value_name = "URL", default_value = URL)]
    url: String,
    /// Hash of the network's genesis document, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "consensus_key")]
    chain: Option<String>,
    /// The validators' consensus key, from the genesis document, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "chain")]
    consensus_key: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// The node's answer. Byte strings are base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    height: u64,
    root_state: String,
    signature: String,
    header_proof: String,
    account: Proven,
    data: Option<Proven>,
    network: Option<Named>,
}

#[derive(Deserialize)]
struct Proven {
    key: String,
    proof: String,
    bytes: Option<String>,
}

/// What the node says the network is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    chain: String,
    consensus_key: String,
}

/// What the proof is verified under.
struct Trusted {
    chain: Hash,
    consensus_key: CertificateKey,
    /// Whether the node itself named it.
    named_by_node: bool,
}

/// The account, proven.
struct Shown {
    address: Pubkey,
    verified: VerifiedAccount,
    trusted: Trusted,
}

pub(super) fn run(arguments: &ProofArguments) -> Result<()> {
    let answered = ask(arguments)?;
    let trusted = trusted(arguments, answered.network.as_ref())?;
    let answer = answer(&answered).context("the node's answer is no proof")?;
    let trust = RootTrust {
        chain: &trusted.chain,
        consensus_key: &trusted.consensus_key,
    };
    let verified = answer
        .verify(&arguments.address.to_bytes(), &ACCOUNT_RUNTIME, &trust)
        .context("the node's answer is not to be believed")
        .context(NextStep(
            "ask another node; if --chain and --consensus-key were given, check that they are those \
             of this network",
        ))?;
    let shown = Shown {
        address: arguments.address,
        verified,
        trusted,
    };
    print(&shown, arguments.json)
}

fn ask(arguments: &ProofArguments) -> Result<Answered> {
    let address = arguments.address.to_string();
    let mut result = Rpc::new(&arguments.url)?.call("getAccountProof", json!([address]))?;
    serde_json::from_value(result["value"].take())
        .context("the answer is not that of a node of this kind of network")
}

fn trusted(arguments: &ProofArguments, named: Option<&Named>) -> Result<Trusted> {
    let (chain, key, named_by_node) = match (&arguments.chain, &arguments.consensus_key, named) {
        (Some(chain), Some(key), _) => {
            let chain = hex::decode(chain).context("--chain is not hexadecimal")?;
            let key = hex::decode(key).context("--consensus-key is not hexadecimal")?;
            (chain, key, false)
        }
        (_, _, Some(named)) => {
            let chain = BASE64.decode(&named.chain).context("chain")?;
            let key = BASE64
                .decode(&named.consensus_key)
                .context("consensus key")?;
            (chain, key, true)
        }
        (_, _, None) => {
            bail!("the node does not name the network's key: give --chain and --consensus-key")
        }
    };
    let len = chain.len();
    let chain: [u8; Hash::LEN] = chain
        .try_into()
        .map_err(|_| anyhow::anyhow!("the hash of the genesis has {len} bytes, not 32"))?;
    let len = key.len();
    let key = key
        .try_into()
        .map_err(|_| anyhow::anyhow!("the consensus key has {len} bytes, not 96"))?;
    Ok(Trusted {
        chain: Hash::from_bytes(chain),
        consensus_key: CertificateKey::from_bytes(&key)
            .context("the consensus key is no point of the curve")?,
        named_by_node,
    })
}

fn answer(answered: &Answered) -> Result<AccountAnswer> {
    let link = |proven: &Proven| -> Result<Answer> {
        let root_state = BASE64.decode(&answered.root_state)?;
        let signature = BASE64.decode(&answered.signature)?;
        Ok(Answer {
            key: BASE64.decode(&proven.key)?,
            value_proof: BASE64.decode(&proven.proof)?,
            header_proof: BASE64.decode(&answered.header_proof)?,
            height: Height(answered.height),
            root_state: Hash::from_slice(&root_state).context("the root state is no hash")?,
            signature: signature
                .try_into()
                .map_err(|_| anyhow::anyhow!("the certificate has another length than it must"))?,
        })
    };
    let data = answered.data.as_ref().map(|proven| {
        let bytes = proven.bytes.as_deref().unwrap_or_default();
        anyhow::Ok((link(proven)?, BASE64.decode(bytes)?))
    });
    Ok(AccountAnswer {
        leaf: link(&answered.account)?,
        data: data.transpose()?,
    })
}

impl serde::Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let account = self.verified.account.as_ref().map(|account| {
            json!({
                "lamports": account.lamports,
                "owner": Pubkey::from(account.owner).to_string(),
                "executable": account.executable,
                "data": BASE64.encode(&account.data),
            })
        });
        let runtime: RuntimeId = ACCOUNT_RUNTIME;
        json!({
            "address": self.address.to_string(),
            "account": account,
            "runtime": runtime.to_string(),
            "round": self.verified.round.0,
            "state_root": self.verified.state_root.to_string(),
            "height": self.verified.height.0,
            "chain": self.trusted.chain.to_string(),
            "consensus_key_named_by_node": self.trusted.named_by_node,
        })
        .serialize(serializer)
    }
}

impl Report for Shown {
    fn text(&self) -> String {
        let mut rows = vec![("account", self.address.to_string())];
        match &self.verified.account {
            None => rows.push(("state", "there is none; its absence is proven".to_owned())),
            Some(account) => rows.extend([
                ("lamports", account.lamports.to_string()),
                ("owner", Pubkey::from(account.owner).to_string()),
                ("executable", account.executable.to_string()),
                ("data", format!("{} bytes", account.data.len())),
            ]),
        }
        let VerifiedAccount {
            round,
            state_root,
            height,
            ..
        } = &self.verified;
        rows.extend([
            ("round", round.to_string()),
            ("state root", state_root.to_string()),
            ("height", height.to_string()),
            ("network", self.trusted.chain.to_string()),
            ("verified under", self.key()),
        ]);
        let lines = rows
            .iter()
            .map(|(name, value)| format!("{name:<16}{value}\n"));
        lines.collect()
    }
}

impl Shown {
    fn key(&self) -> String {
        let by = if self.trusted.named_by_node {
            "the consensus key that the node itself names; --chain and --consensus-key name one that \
             you trust"
        } else {
            "the consensus key that was given"
        };
        by.to_owned()
    }
}
