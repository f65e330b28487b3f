//! `trilith feature`: rules that runtimes do not have from the beginning, and how they come into
//! force.
//!
//! The root's governance approves a feature for all runtimes. On the account runtime it is a gate
//! with a feature account besides, which anyone may create and which activates nothing on its own.
//! `status` joins both: the control socket tells what the root approved, JSON-RPC what the account
//! runtime shows.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use trilith_engine_account::gates;
use trilith_protocol::root::governance::{ActivateFeatures, ProposalContent, Vote};
use trilith_protocol::root::{FeatureId, FeatureList};
use trilith_protocol::{RootAnswer, RootQuery};
use trilith_types::SecretKey;

use super::act::{Session, Signing};
use super::governance::{OTHER, propose};
use crate::account::begin::profile_name;
use crate::account::creation;
use crate::account::gates::{Approved, ids, rows, table};
use crate::account::keypair::{self, address};
use crate::account::rpc::{Rpc, URL};
use crate::account::seen::{Seen, look};
use crate::canister::report::Answer;
use crate::output::{Failure, reason};

#[derive(Subcommand, Clone, Debug)]
pub enum FeatureCommand {
    /// Show how features stand: what the root approved, and every gate of the account runtime
    ///
    /// A gate is inactive; pending, which activates nothing until the root approves it; pending and
    /// approved, and active from the next epoch of the account runtime; or active since a slot.
    /// Gates marked as unsupported make a node of this version stop when they come into force.
    ///
    /// Example: trilith feature status transaction_wide_budget
    Status(StatusArguments),
    /// Propose to the root to activate features, and vote for it
    ///
    /// Once the proposal has passed, the features are pending until the next epoch of the root, then
    /// active in all runtimes, for ever; on the account runtime as soon as there is a feature account
    /// too. A feature is 32 bytes, in hexadecimal or as an address of the account runtime, or the
    /// name of a gate that is ours.
    ///
    /// Example: trilith feature approve 41tVp5qR1XwWRt5WifvtSQyuxtqQWJgEK8w91AtBqSwP
    Approve(ApproveArguments),
    /// Create the feature account of a gate of the account runtime, so that it is pending
    ///
    /// It activates nothing until the root approves the feature: `trilith feature approve`. The key
    /// of the gate signs beside who pays; those of our own gates follow from their names.
    ///
    /// Example: trilith feature activate transaction_wide_budget --payer me.json
    Activate(ActivateArguments),
}

#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    /// Gates to show [default: all that this version knows or the root approved]
    #[arg(value_name = "ID|NAME", value_parser = parse_feature)]
    features: Vec<FeatureId>,
    /// Address of the node's JSON-RPC [default: http://127.0.0.1:8899]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct ApproveArguments {
    /// The features
    #[arg(value_name = "ID|NAME", value_parser = parse_feature, required = true)]
    features: Vec<FeatureId>,
    /// Propose only; others vote
    #[arg(long)]
    without_vote: bool,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct ActivateArguments {
    /// The gate
    #[arg(value_name = "ID|NAME", value_parser = parse_feature)]
    feature: FeatureId,
    /// Key that pays for the account and the transaction: JSON of `solana-keygen`, or PEM
    #[arg(long, value_name = "FILE")]
    payer: Option<PathBuf>,
    /// Key of the gate's address [default: that of the name, for our own gates]
    #[arg(long, value_name = "FILE")]
    feature_keypair: Option<PathBuf>,
    /// Address of the node's JSON-RPC
    #[arg(long, value_name = "URL", default_value = URL)]
    url: String,
}

/// Reads a feature: 32 bytes in hexadecimal, an address, or the name of a gate that is ours.
pub(super) fn parse_feature(text: &str) -> Result<FeatureId, String> {
    if let Some(gate) = gates::own().iter().find(|gate| gate.name == text) {
        return Ok(FeatureId(gate.id.to_bytes()));
    }
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).ok();
    if let Some(id) = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        return Ok(FeatureId(id));
    }
    let address = text.parse::<Pubkey>();
    address
        .map(|address| FeatureId(address.to_bytes()))
        .map_err(|_| {
            let names: Vec<&str> = gates::own().iter().map(|gate| gate.name).collect();
            format!(
                "{text:?} is no feature; write 64 hexadecimal digits, or an address of the account \
                 runtime, or one of {}",
                names.join(", ")
            )
        })
}

/// A feature as both engines write it.
fn show_feature(id: &FeatureId) -> Value {
    json!({ "id": hex::encode(id.0), "address": pubkey(id).to_string() })
}

fn pubkey(id: &FeatureId) -> Pubkey {
    Pubkey::new_from_array(id.0)
}

pub(super) fn run(session: &Session, command: &FeatureCommand) -> Result<Answer> {
    match command {
        FeatureCommand::Status(arguments) => status(session, arguments),
        FeatureCommand::Approve(arguments) => {
            let mut ids = arguments.features.clone();
            ids.sort_unstable();
            ids.dedup();
            let content = ProposalContent {
                activate_features: Some(ActivateFeatures { ids }),
                ..ProposalContent::default()
            };
            let vote = (!arguments.without_vote).then_some(Vote::Yes);
            propose(session, &arguments.signing, &content, vote)
        }
        FeatureCommand::Activate(arguments) => activate(session, arguments),
    }
}

/// What the root approved.
fn approved(session: &Session) -> Result<FeatureList> {
    match session.client()?.query(&RootQuery::Features)? {
        (_, RootAnswer::Features(list)) => Ok(list),
        _ => bail!(OTHER),
    }
}

/// Refuses a JSON-RPC that is of another network than the data folder.
fn same_network(session: &Session, rpc: &Rpc) -> Result<()> {
    let id = Pubkey::default().to_string();
    let told = rpc.call_if_known("getAccountProof", json!([id]));
    // A node that proves nothing yet, or not as this project's do, is taken as it is.
    let chain = told.ok().flatten().and_then(|told| {
        let text = told["value"]["network"]["chain"].as_str()?;
        BASE64.decode(text).ok()
    });
    let own = session.client()?.genesis()?.chain_context();
    match chain {
        Some(chain) if chain != own.as_bytes()[..] => Err(Failure {
            message: format!(
                "the node at {} is of the network {}, the one on {} of {own}",
                rpc.url(),
                hex::encode(chain),
                session.data.display()
            ),
            next: Some("name the node's JSON-RPC with --url, or its folder with --data".to_owned()),
            ..Failure::default()
        }
        .into()),
        _ => Ok(()),
    }
}

fn status(session: &Session, arguments: &StatusArguments) -> Result<Answer> {
    let list = approved(session);
    let known = list.as_ref().ok().map(|list| Approved {
        epoch: list.epoch,
        records: &list.features,
    });
    let asked: Vec<Pubkey> = arguments.features.iter().map(pubkey).collect();
    let ids = ids(&asked, known.as_ref());
    let rpc = Rpc::new(arguments.url.as_deref().unwrap_or(URL))?;
    let seen = (|| {
        if known.is_some() {
            same_network(session, &rpc)?;
        }
        let own = gates::own().iter().map(|gate| gate.id);
        look(&rpc, &[&ids[..], &own.collect::<Vec<_>>()].concat())
    })();
    let (seen, unseen) = match (seen, &list) {
        (Ok(seen), _) => (Some(seen), None),
        // A node that was named must answer; nothing at all is known without either.
        (Err(error), _) if arguments.url.is_some() => return Err(error),
        (Err(_), Err(_)) => {
            list?;
            return Err(rpc.stranger());
        }
        (Err(error), Ok(_)) => (None, Some(reason(&error))),
    };
    let rows = rows(&ids, seen.as_ref(), known.as_ref());
    let (mut text, root) = root_part(list.as_ref());
    text.push('\n');
    match &seen {
        Some(seen) => text.push_str(&(account_part(seen) + &table(&rows, seen))),
        None => text.push_str(&format!(
            "the account runtime was not asked: {}; name a JSON-RPC with --url\n",
            unseen.as_deref().unwrap_or_default()
        )),
    }
    let mut document = root;
    let gates = rows.iter().map(|row| row.document(seen.as_ref()));
    document["gates"] = Value::Array(gates.collect());
    document["account"] = seen
        .as_ref()
        .map_or(Value::Null, |seen| seen.document(rpc.url()));
    document["account_not_asked"] = json!(unseen);
    Ok(Answer::new(text, document))
}

/// What the account runtime is in the middle of.
fn account_part(seen: &Seen) -> String {
    let (next, first) = seen.next_epoch();
    format!(
        "account runtime: profile {}, slot {}, epoch {}; epoch {next} begins with slot {first}\n",
        profile_name(seen.profile()),
        seen.slot,
        seen.epoch_of(seen.slot),
    )
}

/// What the root approved, for people and for programs.
fn root_part(list: std::result::Result<&FeatureList, &anyhow::Error>) -> (String, Value) {
    let list = match list {
        Ok(list) => list,
        Err(error) => {
            let text = format!(
                "the root was not asked: {}; give a data folder with --data\n",
                reason(error)
            );
            let document = json!({
                "epoch": null, "features": null, "root_not_asked": reason(error),
            });
            return (text, document);
        }
    };
    let about = if list.features.is_empty() {
        "no feature was approved"
    } else {
        "approved features, for all runtimes:"
    };
    let (mut text, mut rows) = (format!("root: epoch {}; {about}\n", list.epoch), Vec::new());
    for record in &list.features {
        let state = if record.is_active(list.epoch) {
            "active"
        } else {
            "pending"
        };
        let mut row = show_feature(&record.id);
        text.push_str(&format!(
            "{}  {state} since epoch {}, proposal {}\n",
            row["address"].as_str().unwrap_or_default(),
            record.since,
            record.proposal
        ));
        row["state"] = json!(state);
        row["since"] = json!(record.since.0);
        row["proposal"] = json!(record.proposal);
        rows.push(row);
    }
    (
        text,
        json!({ "epoch": list.epoch.0, "features": rows, "root_not_asked": null }),
    )
}

/// The key that signs for a gate's address.
fn gate_key(arguments: &ActivateArguments) -> Result<SecretKey> {
    let id = pubkey(&arguments.feature);
    let refused = |message: String, next: &str| Failure {
        message,
        next: Some(next.to_owned()),
        usage: true,
        ..Failure::default()
    };
    let Some(file) = &arguments.feature_keypair else {
        let own = gates::own().iter().find(|gate| gate.id == id);
        let own = own.map(|gate| SecretKey::from_seed(gates::seed(gate.name)));
        return own.ok_or_else(|| {
            let message =
                format!("{id} is none of our own gates, whose keys follow from their names");
            refused(
                message,
                "give the key of its address with --feature-keypair",
            )
            .into()
        });
    };
    let key = keypair::load(file)?;
    let found = address(&key);
    if found == id {
        return Ok(key);
    }
    let message = format!(
        "the key in {} is that of {found}, not of {id}",
        file.display()
    );
    Err(refused(
        message,
        "give the key of the gate's address with --feature-keypair",
    )
    .into())
}

fn activate(session: &Session, arguments: &ActivateArguments) -> Result<Answer> {
    let id = pubkey(&arguments.feature);
    let Some(payer) = &arguments.payer else {
        return Err(Failure {
            message: "nobody is named who pays for the feature account".to_owned(),
            next: Some(format!(
                "give a key with --payer; to propose the feature to the root instead: trilith feature \
                 approve {id}"
            )),
            usage: true,
            ..Failure::default()
        }
        .into());
    };
    let (payer, key) = (keypair::load(payer)?, gate_key(arguments)?);
    let rpc = Rpc::new(&arguments.url)?;
    let created = creation::create(&rpc, &payer, &key)?;
    // What the root says is an addition: the account is created, whether or not it can be asked.
    let list = same_network(session, &rpc).and_then(|()| approved(session));
    let known = list.as_ref().ok().map(|list| Approved {
        epoch: list.epoch,
        records: &list.features,
    });
    let own = gates::own().iter().map(|gate| gate.id);
    let seen = look(&rpc, &[vec![id], own.collect()].concat())
        .context("the feature account was created, but how it stands cannot be read")?;
    let row = &rows(&[id], Some(&seen), known.as_ref())[0];
    let is_approved = known.is_some_and(|known| {
        let mut records = known.records.iter();
        records.any(|record| record.id == arguments.feature)
    });
    let mut text = format!(
        "done: create the feature account of {id}\n  transaction {}\n  slot {}, {} lamports from {}\n\n{}",
        created.signature,
        created.slot,
        created.lamports,
        address(&payer),
        table(std::slice::from_ref(row), &seen)
    );
    let (next, first) = seen.next_epoch();
    let approve = format!(
        "trilith feature approve {id} --data {}",
        session.data.display()
    );
    if !is_approved {
        text.push_str(&format!(
            "\nThe account alone activates nothing: the root must approve the feature.\n  {approve}\n\
             Approved and active on the root before epoch {next} of the account runtime begins (slot \
             {first}),\nit is active from there; otherwise from the epoch that follows.\n",
        ));
    }
    if !gates::find(&id).is_some_and(|gate| gate.is_supported) {
        text.push_str(
            "This version does not know what the feature changes: its nodes stop if it is approved.\n",
        );
    }
    let mut document = row.document(Some(&seen));
    document["transaction"] = json!(created.signature);
    document["created_in_slot"] = json!(created.slot);
    document["lamports"] = json!(created.lamports);
    document["next"] = json!((!is_approved).then_some(approve));
    document["account"] = seen.document(rpc.url());
    Ok(Answer::new(text, document))
}
