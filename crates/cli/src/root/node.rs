//! `trilith node`: who executes runtimes, orders blocks and keeps states.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use trilith_protocol::root::registry::{
    NodeAddress, REGISTER_NODE, RegistryEvent, UNFREEZE_NODE, UnfreezeNode, Version,
};
use trilith_protocol::root::{Blob, LISTED_MAX, NodeRecord, NodeRoles};
use trilith_protocol::{RootAnswer, RootEvent, RootQuery};
use trilith_types::{Epoch, NodeId, PublicKey, RuntimeId, SecretKey};

use super::act::{Act, Session, Signing, lines, shown};
use super::names::{parse_key, parse_runtime_version, show_version};
use crate::begin::{KEYS, read_node_keys, write_node_keys};
use crate::canister::identity::random_ed25519;
use crate::canister::report::Answer;
use crate::genesis::{NodeSecrets, NodeTerms, node_descriptor};
use crate::output::{Failure, NextStep};

#[derive(Subcommand, Clone, Debug)]
pub enum NodeCommand {
    /// Make the five keys of a new node in a folder, and print the node's key
    ///
    /// Keys that are there stay. The entity lists the node by the printed key.
    ///
    /// Example: trilith node keys second && trilith entity register --node second/node.pem
    Keys(KeysArguments),
    /// Register the node with the keys in a folder, or extend its registration
    ///
    /// Its entity must list it. A new node waits until the epoch after the next is elected; its
    /// registration ends after the epoch given.
    ///
    /// Example: trilith node register --keys second --role compute --runtime canister@1.0.0
    /// --expiration 10
    Register(Box<RegisterArguments>),
    /// Thaw a node that was frozen for a fault, once the time is over; the entity signs
    ///
    /// Example: trilith node unfreeze second/node.pem
    Unfreeze(UnfreezeArguments),
    /// Show a node: its descriptor, and whether it is frozen, expired or waits
    ///
    /// Without a key it is the node of the developer network.
    ///
    /// Example: trilith node show second/node.pem
    Show(ShowArguments),
    /// List all nodes with their roles
    ///
    /// Example: trilith node list
    List,
}

#[derive(Args, Clone, Debug)]
pub struct KeysArguments {
    /// Folder of the keys; made if it does not exist
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Executes runtimes
    Compute,
    /// Executes runtimes for itself
    Observer,
    /// Keeps secrets of runtimes
    KeyManager,
    /// Orders root blocks
    Validator,
    /// Keeps states and signs storage receipts
    Storage,
}

impl Role {
    const fn bits(self) -> NodeRoles {
        match self {
            Self::Compute => NodeRoles::COMPUTE,
            Self::Observer => NodeRoles::OBSERVER,
            Self::KeyManager => NodeRoles::KEY_MANAGER,
            Self::Validator => NodeRoles::VALIDATOR,
            Self::Storage => NodeRoles::STORAGE,
        }
    }

    const ALL: [(Self, &'static str); 5] = [
        (Self::Compute, "compute"),
        (Self::Observer, "observer"),
        (Self::KeyManager, "key-manager"),
        (Self::Validator, "validator"),
        (Self::Storage, "storage"),
    ];
}

#[derive(Args, Clone, Debug)]
pub struct RegisterArguments {
    /// Folder with the node's keys [default: those of the developer network's node]
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Key of the entity, or a PEM file [default: the key that commands sign with]
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    entity: Option<PublicKey>,
    /// What the node does; as often as needed
    #[arg(long = "role", value_enum, required = true)]
    roles: Vec<Role>,
    /// A runtime that the node has, with its version, as ID@1.0.0; as often as needed
    #[arg(long = "runtime", value_name = "ID@VERSION", value_parser = parse_runtime_version)]
    runtimes: Vec<(RuntimeId, Version)>,
    /// The last epoch in which it is registered
    #[arg(long, value_name = "EPOCH")]
    expiration: u64,
    /// Where it can be reached
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:26656")]
    address: SocketAddr,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct UnfreezeArguments {
    /// Key of the node, or a PEM file
    #[arg(value_name = "KEY", value_parser = parse_key)]
    node: PublicKey,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Key of the node, or a PEM file
    #[arg(value_name = "KEY", value_parser = parse_key)]
    node: Option<PublicKey>,
}

pub(super) fn run(session: &Session, command: &NodeCommand) -> Result<Answer> {
    match command {
        NodeCommand::Keys(arguments) => keys(arguments),
        NodeCommand::Register(arguments) => register(session, arguments),
        NodeCommand::Unfreeze(arguments) => {
            let node_id = arguments.node;
            let act = Act {
                what: format!("unfreeze node {node_id}"),
                method: UNFREEZE_NODE,
                body: UnfreezeNode { node_id }.encode(),
            };
            let done = session.act(&arguments.signing, act)?;
            Ok(done.answer(json!({ "node": node_id.to_string() })))
        }
        NodeCommand::Show(arguments) => show(session, arguments),
        NodeCommand::List => list(session),
    }
}

/// Folder of the keys of the developer network's node.
fn own_keys(session: &Session) -> PathBuf {
    session.data.join(KEYS).join("node")
}

fn keys(arguments: &KeysArguments) -> Result<Answer> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))
        .context(NextStep("give a folder that can be made and written"))?;
    if !folder.join("node.pem").exists() {
        let fresh = || SecretKey::from_seed(random_ed25519());
        let secrets = NodeSecrets {
            node: fresh(),
            consensus: fresh(),
            vrf: fresh(),
            tls: fresh(),
            p2p: fresh(),
        };
        write_node_keys(folder, &secrets)?;
    }
    let node = read_node_keys(folder)?.node.public();
    let document = json!({ "node": node.to_string(), "folder": folder.display().to_string() });
    Ok(Answer::new(format!("{node}\n"), document))
}

fn register(session: &Session, arguments: &RegisterArguments) -> Result<Answer> {
    let folder = arguments.keys.clone().unwrap_or_else(|| own_keys(session));
    let secrets = read_node_keys(&folder)?;
    let entity = match arguments.entity {
        Some(entity) => entity,
        None => session.key(&arguments.signing)?.public(),
    };
    let roles = arguments
        .roles
        .iter()
        .fold(NodeRoles::default(), |all, role| all | role.bits());
    let ip = match arguments.address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let descriptor = node_descriptor(
        &secrets,
        NodeTerms {
            entity,
            expiration: Epoch(arguments.expiration),
            roles,
            runtimes: &arguments.runtimes,
            address: NodeAddress {
                ip: Blob(ip),
                port: arguments.address.port(),
                zone: String::new(),
            },
        },
    );
    let id = descriptor.id;
    let act = Act {
        what: format!("register node {id} until epoch {}", arguments.expiration),
        method: REGISTER_NODE,
        body: secrets.sign(&descriptor).encode(),
    };
    // A node registers itself: its own key signs.
    let done = session.act_as(&secrets.node, &arguments.signing, act)?;
    let registered = done.events().iter().any(|event| {
        matches!(event, RootEvent::Registry(RegistryEvent::Node(event)) if event.is_registration)
    });
    Ok(done.answer(json!({
        "node": id.to_string(),
        "entity": entity.to_string(),
        "registered": registered,
    })))
}

fn record(session: &Session, id: NodeId) -> Result<Option<Box<NodeRecord>>> {
    match session.client()?.query(&RootQuery::Node(id))? {
        (_, RootAnswer::Node(record)) => Ok(record),
        _ => bail!("the root gives another answer than was asked for"),
    }
}

/// The names of roles.
fn roles(bits: u32) -> Vec<&'static str> {
    let all = Role::ALL.iter();
    all.filter(|(role, _)| bits & role.bits().bits() != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn document(record: &NodeRecord) -> Result<Value> {
    let node = &record.descriptor;
    let runtimes: Vec<Value> = node
        .runtimes()
        .iter()
        .map(|of| json!({ "id": of.id.to_string(), "version": show_version(&of.version) }))
        .collect();
    let address = node.p2p.addresses.iter().flatten().next();
    let status = &record.status;
    let waits = match status.election_eligible_after {
        0 => json!("at once"),
        u64::MAX => json!("after the next epoch has begun"),
        epoch => json!(format!("after epoch {epoch}")),
    };
    let frozen = match status.freeze_end_time {
        0 => Value::Null,
        epoch => json!(epoch),
    };
    Ok(json!({
        "node": node.id.to_string(),
        "entity": node.entity_id.to_string(),
        "roles": roles(node.roles),
        "runtimes": runtimes,
        "expiration": if node.expiration.0 == u64::MAX { json!("never") } else { json!(node.expiration.0) },
        "expired": status.expiration_processed,
        "frozen_until_epoch": frozen,
        "can_be_elected": waits,
        "consensus_key": node.consensus.id.to_string(),
        "vrf_key": node.vrf.id.to_string(),
        "tls_key": node.tls.pub_key.to_string(),
        "p2p_key": node.p2p.id.to_string(),
        "address": address.map(show_address),
        "software": node.software_version,
        "status": shown(&status.encode(), &trilith_protocol::root::registry::NodeStatus::shape())?,
    }))
}

fn show_address(address: &NodeAddress) -> String {
    let bytes = &address.ip.0;
    let v4 = <[u8; 4]>::try_from(&bytes[..]).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(&bytes[..]).map(std::net::IpAddr::from);
    match v4.or(v6) {
        Ok(ip) => SocketAddr::new(ip, address.port).to_string(),
        Err(_) => format!("{}:{}", hex::encode(bytes), address.port),
    }
}

fn show(session: &Session, arguments: &ShowArguments) -> Result<Answer> {
    let id = match arguments.node {
        Some(id) => id,
        None => read_node_keys(&own_keys(session))?.node.public(),
    };
    let record = record(session, id)?.ok_or_else(|| Failure {
        message: format!("no node {id} is registered"),
        next: Some(
            "see which there are with `trilith node list`, or register it with `trilith node \
             register`"
                .to_owned(),
        ),
        ..Failure::default()
    })?;
    let document = document(&record)?;
    Ok(Answer::new(lines(&document), document))
}

fn list(session: &Session) -> Result<Answer> {
    let mut client = session.client()?;
    let mut ids: Vec<NodeId> = Vec::new();
    loop {
        let (_, answer) = client.query(&RootQuery::Nodes(ids.last().copied()))?;
        let RootAnswer::Nodes(page) = answer else {
            bail!("the root gives another answer than was asked for");
        };
        let more = page.len() == LISTED_MAX;
        ids.extend(page);
        if !more {
            break;
        }
    }
    let (mut text, mut rows) = (String::new(), Vec::new());
    for id in ids {
        let (_, RootAnswer::Node(record)) = client.query(&RootQuery::Node(id))? else {
            return Err(anyhow!("the root gives another answer than was asked for"));
        };
        // It may have been removed since it was listed.
        let Some(record) = record else { continue };
        let names = roles(record.descriptor.roles);
        let state = match (
            &record.status.expiration_processed,
            record.status.freeze_end_time,
        ) {
            (true, _) => "expired",
            (_, 0) => "registered",
            _ => "frozen",
        };
        text.push_str(&format!("{id}  {state:<10}  {}\n", names.join(",")));
        rows.push(json!({
            "node": id.to_string(),
            "entity": record.descriptor.entity_id.to_string(),
            "state": state,
            "roles": names,
        }));
    }
    if rows.is_empty() {
        text.push_str("no node is registered\n");
    }
    Ok(Answer::new(text, json!({ "nodes": rows })))
}
