//! Asking the root and acting on it: one session with a node, queries, and signed transactions.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use trilith_protocol::control::{ControlReceipt, Refused};
use trilith_protocol::root::{Address, Fee, Quantity, RawItem, Shape, Transaction};
use trilith_protocol::{RootAnswer, RootEvent, RootQuery};
use trilith_types::{PublicKey, SecretKey};

use super::Place;
use super::json::{show, show_event};
use crate::begin::{ENTITY, KEYS};
use crate::canister::identity::{chosen, load_ed25519};
use crate::canister::report::{Answer, row};
use crate::control::client::{Client, Submission};
use crate::output::Failure;

/// Gas that a transaction may use unless `--gas` says otherwise: ten operations and the bytes of a
/// large descriptor, at what Oasis Core's networks take for them.
const GAS: u64 = 100_000;

/// Most events that are read of one receipt.
const EVENTS_MAX: usize = 65_536;

/// How a transaction is signed and paid.
#[derive(Args, Clone, Debug)]
pub struct Signing {
    /// PEM file of the Ed25519 key that signs [default: TRILITH_IDENTITY, or the developer
    /// network's entity]
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Most gas that the transaction may use
    #[arg(long, value_name = "N", default_value_t = GAS)]
    gas: u64,
    /// Fee in base units [default: what the network asks for that gas at least]
    #[arg(long, value_name = "AMOUNT")]
    fee: Option<u128>,
}

/// One command on one node.
pub struct Session {
    pub(super) data: PathBuf,
}

/// A transaction to be sent.
pub struct Act<'a> {
    /// What it is to do, for people: "transfer 5 base units".
    pub what: String,
    /// The method.
    pub method: &'a str,
    /// Its argument, encoded; none if empty.
    pub body: Vec<u8>,
}

/// What a transaction came to.
pub struct Done {
    receipt: ControlReceipt,
    events: Vec<RootEvent>,
    what: String,
}

impl Session {
    pub(super) fn new(place: &Place) -> Self {
        Self {
            data: place.data.clone(),
        }
    }

    /// Connects to the node.
    pub(super) fn client(&self) -> Result<Client> {
        Client::open(&self.data)
    }

    /// The file of the key that signs.
    fn key_file(&self, signing: &Signing) -> Result<PathBuf> {
        let given = chosen(signing.identity.as_deref());
        let of_network = self.data.join(KEYS).join(ENTITY);
        match given {
            Some(file) => Ok(file),
            None if of_network.exists() => Ok(of_network),
            None => Err(Failure {
                message: "there is no key to sign with".to_owned(),
                next: Some(
                    "give a PEM file with --identity or in TRILITH_IDENTITY; `trilith identity \
                     new FILE` makes one"
                        .to_owned(),
                ),
                usage: true,
                ..Failure::default()
            }
            .into()),
        }
    }

    /// The key that signs.
    pub(super) fn key(&self, signing: &Signing) -> Result<SecretKey> {
        let file = self.key_file(signing)?;
        Ok(SecretKey::from_seed(load_ed25519(&file)?))
    }

    /// The key of whoever acts where nobody else is named.
    pub(super) fn own_key(&self, identity: Option<&Path>) -> Result<PublicKey> {
        let signing = Signing {
            identity: identity.map(Path::to_owned),
            gas: GAS,
            fee: None,
        };
        Ok(self.key(&signing)?.public())
    }

    /// The account of whoever acts where nobody else is named.
    pub(super) fn own_account(&self, identity: Option<&Path>) -> Result<Address> {
        self.own_key(identity).map(|key| Address::of_key(&key))
    }

    /// Signs with the key that was asked for, and sends.
    pub(super) fn act(&self, signing: &Signing, act: Act<'_>) -> Result<Done> {
        let key = self.key(signing)?;
        self.act_as(&key, signing, act)
    }

    /// Signs with a key, and sends.
    pub(super) fn act_as(&self, key: &SecretKey, signing: &Signing, act: Act<'_>) -> Result<Done> {
        let mut client = self.client()?;
        let genesis = client.genesis()?;
        let caller = Address::of_key(&key.public());
        let account = match client.query(&RootQuery::Account(caller))? {
            (_, RootAnswer::Account(account)) => account,
            _ => bail!("the root gives another answer than was asked for"),
        };
        let price = genesis.services.transactions.min_gas_price;
        let amount = match signing.fee {
            Some(fee) => fee,
            None => u128::from(price) * u128::from(signing.gas),
        };
        let transaction = Transaction {
            nonce: account.general.nonce,
            fee: Some(Fee {
                amount: Quantity::new(amount),
                gas: signing.gas,
            }),
            method: act.method.to_owned(),
            body: RawItem(act.body),
        };
        let signed = transaction.sign(key, &genesis.chain_context());
        match client.submit(&signed)? {
            Submission::Refused(refused) => Err(refusal(&act.what, &refused, None)),
            Submission::Taken(receipt) => match &receipt.failure {
                Some(refused) => Err(refusal(&act.what, refused, Some(receipt.height))),
                None => Ok(Done {
                    events: RootEvent::decode_list(&receipt.events.0, EVENTS_MAX)
                        .context("the events of the receipt cannot be read")?,
                    receipt: *receipt,
                    what: act.what,
                }),
            },
        }
    }
}

impl Done {
    /// The events that it caused.
    pub(super) fn events(&self) -> &[RootEvent] {
        &self.events
    }

    /// What it came to, for programs.
    pub(super) fn document(&self) -> Value {
        let events: Vec<Value> = self.events.iter().map(show_event).collect();
        json!({
            "done": self.what,
            "height": self.receipt.height,
            "transaction": self.receipt.transaction.to_string(),
            "events": events,
        })
    }

    /// As a result, with `more` fields for programs.
    pub(super) fn answer(&self, more: Value) -> Answer {
        let mut text = format!("done: {}\n", self.what);
        row(&mut text, "  height", self.receipt.height.to_string());
        row(
            &mut text,
            "  transaction",
            self.receipt.transaction.to_string(),
        );
        let mut document = self.document();
        for event in document["events"].as_array().into_iter().flatten() {
            row(&mut text, "  event", event.to_string());
        }
        if let Value::Object(more) = more {
            for (name, value) in &more {
                if !value.is_object() && !value.is_array() {
                    row(&mut text, &format!("  {name}"), plain(value));
                }
            }
            if let Some(fields) = document.as_object_mut() {
                fields.extend(more);
            }
        }
        Answer::new(text, document)
    }
}

/// What the root's reasons mean for whoever typed the command.
fn refusal(what: &str, refused: &Refused, height: Option<u64>) -> anyhow::Error {
    let next = match (refused.module.as_str(), refused.code) {
        ("consensus/transaction", 1) => {
            "another transaction of the account came first; run the command again"
        }
        ("consensus/transaction", 2) => {
            "transfer stake to the account first, or give a smaller --fee or --gas"
        }
        ("consensus/transaction", 3) => "leave out --fee, or give more",
        ("consensus/transaction", 103) => "give more with --gas",
        ("consensus/transaction", 5) => {
            "use a node that has the method: it was built without it, or its name is wrong"
        }
        ("staking", 3) => "see what the account has with `trilith stake account`",
        ("staking", 4) => {
            "delegate more to the account with `trilith stake delegate`, or register less; `trilith \
             stake account` shows what it must cover"
        }
        ("staking", 106) => "see how many shares there are with `trilith stake account`",
        ("registry", 9) => "register the entity first with `trilith entity register`",
        ("registry", 10) => "see which nodes there are with `trilith node list`",
        ("registry", 11) => "see which runtimes there are with `trilith runtime list`",
        ("registry", 12 | 3) => "sign with the entity's key: give its PEM file with --identity",
        ("registry", 13 | 106) => {
            "give another epoch with --expiration; `trilith root status` shows the running one"
        }
        ("registry", 14) => "wait for that epoch; `trilith root status` shows the running one",
        ("registry", 15 | 19) => {
            "what the entity has must run out first: see `trilith node list` and `trilith runtime \
             list`"
        }
        ("registry", 105) => {
            "let the entity list the node first: `trilith entity register --node ID` with all its \
             nodes"
        }
        ("registry", 18 | 107 | 108) => "correct the descriptor and register it again",
        ("governance", 5 | 7) => "see what can be voted on with `trilith governance proposals`",
        ("governance", 6) => {
            "sign with the key of an entity that has a validator, or of who has delegated to one"
        }
        ("governance", _) => "see what the rules ask for with `trilith governance parameters`",
        _ => {
            "see what holds with the commands `show` and `list`; the guide of the root ledger says \
             what its reasons mean"
        }
    };
    let taken = match height {
        Some(height) => format!("it failed in height {height}, and its fee is paid"),
        None => "it was not taken up, and costs nothing".to_owned(),
    };
    let mut failure = Failure {
        message: format!("the root refuses to {what}: {}", refused.message),
        causes: vec![
            format!("reason {} of {}", refused.code, refused.module),
            taken,
        ],
        next: Some(next.to_owned()),
        ..Failure::default()
    };
    failure
        .details
        .insert("module".to_owned(), json!(refused.module));
    failure
        .details
        .insert("code".to_owned(), json!(refused.code));
    failure.details.insert("height".to_owned(), json!(height));
    failure.into()
}

/// A value of the root's as JSON.
pub(super) fn shown(bytes: &[u8], shape: &Shape) -> Result<Value> {
    show(bytes, shape).context("what the root answers cannot be shown")
}

/// A document as lines of text, nested values indented.
pub(super) fn lines(value: &Value) -> String {
    let mut text = String::new();
    put_lines(&mut text, value, 0);
    text
}

fn put_lines(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        text.push_str(&format!("{indent}{name}\n"));
                        put_lines(text, value, depth + 1);
                    }
                    Value::Array(items) if items.iter().any(Value::is_object) => {
                        for item in items {
                            text.push_str(&format!("{indent}{name}\n"));
                            put_lines(text, item, depth + 1);
                        }
                    }
                    _ => {
                        let width = 26usize.saturating_sub(indent.len()).max(name.len() + 2);
                        text.push_str(&format!("{indent}{name:<width$}{}\n", plain(value)));
                    }
                }
            }
        }
        other => text.push_str(&format!("{indent}{}\n", plain(other))),
    }
}

/// A value without quotes and brackets.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            if items.is_empty() {
                "none".to_owned()
            } else {
                items.join(" ")
            }
        }
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}
