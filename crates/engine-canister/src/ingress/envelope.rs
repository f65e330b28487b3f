//! The envelope and its contents as types, and their strict decoding.

use candid::Principal;
use trilith_params::ingress::{
    ARGUMENT_BYTES_MAX, DELEGATIONS_MAX, ENVELOPE_BYTES_MAX, KEY_BYTES_MAX, LABEL_BYTES_MAX,
    METHOD_BYTES_MAX, NONCE_BYTES_MAX, PATH_LABELS_MAX, PATHS_MAX, SIGNATURE_BYTES_MAX,
    TARGETS_MAX,
};
use trilith_types::representation_hash::{HashedValue, hash_of_map};

use super::error::IngressError;
use super::reader::Reader;

/// A request with its authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What is asked.
    pub content: Content,
    /// DER encoding of the key that signs, or that starts the chain of delegations.
    pub sender_pubkey: Option<Vec<u8>>,
    /// Signature over the request id.
    pub sender_sig: Option<Vec<u8>>,
    /// Delegations from `sender_pubkey` to the key that signed; empty where there are none.
    pub sender_delegation: Vec<SignedDelegation>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An update call.
    Call(CallContent),
    /// A query call.
    Query(CallContent),
    /// A read of the certified state.
    ReadState(ReadStateContent),
}

/// An update or query call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContent {
    /// The canister, or the management canister.
    pub canister_id: Principal,
    /// The method.
    pub method_name: String,
    /// Its argument.
    pub arg: Vec<u8>,
    /// Who calls.
    pub sender: Principal,
    /// When the request becomes invalid, in nanoseconds since 1970.
    pub ingress_expiry: u64,
    /// Makes requests distinct; at most 32 bytes.
    pub nonce: Option<Vec<u8>>,
}

/// A read of the certified state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStateContent {
    /// Paths of labels.
    pub paths: Vec<Vec<Vec<u8>>>,
    /// Who reads.
    pub sender: Principal,
    /// When the request becomes invalid, in nanoseconds since 1970.
    pub ingress_expiry: u64,
    /// Makes requests distinct; at most 32 bytes.
    pub nonce: Option<Vec<u8>>,
}

/// A delegation with the signature of the key before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDelegation {
    /// DER encoding of the key that is delegated to.
    pub pubkey: Vec<u8>,
    /// When it ends, in nanoseconds since 1970.
    pub expiration: u64,
    /// Canisters it is limited to, if it is.
    pub targets: Option<Vec<Principal>>,
    /// What it permits, if it says so.
    pub permissions: Option<Permissions>,
    /// Signature of the delegating key.
    pub signature: Vec<u8>,
}

/// What a delegation permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Query calls and reads.
    Queries,
    /// Everything.
    All,
}

impl Permissions {
    /// The text that stands in the delegation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::All => "all",
        }
    }
}

impl Envelope {
    /// Decodes an envelope: a CBOR map, with or without the self-describing tag.
    ///
    /// # Errors
    /// [`IngressError`] if it is malformed, has unknown, repeated or missing fields, or exceeds a
    /// limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, IngressError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            let (value, limit) = (bytes.len() as u64, ENVELOPE_BYTES_MAX as u64);
            return Err(IngressError::TooLarge {
                what: "the envelope",
                value,
                limit,
                unit: "bytes",
            });
        }
        let mut reader = Reader::new(bytes);
        reader.self_describing_tag();
        let (mut content, mut pubkey, mut signature, mut delegation) = (None, None, None, None);
        reader.map(4, |key, reader| match key {
            "content" => set(&mut content, "content", RawContent::read(reader)?),
            "sender_pubkey" | "sender_sig" | "sender_delegation" if reader.null() => Ok(()),
            "sender_pubkey" => set(
                &mut pubkey,
                "sender_pubkey",
                reader.bytes(key_name(key), KEY_BYTES_MAX)?.to_vec(),
            ),
            "sender_sig" => {
                let bytes = reader.bytes(key_name(key), SIGNATURE_BYTES_MAX)?.to_vec();
                set(&mut signature, "sender_sig", bytes)
            }
            "sender_delegation" => set(
                &mut delegation,
                "sender_delegation",
                read_delegations(reader)?,
            ),
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        reader.finish()?;
        Ok(Self {
            content: content
                .ok_or(IngressError::MissingField("content"))?
                .check()?,
            sender_pubkey: pubkey,
            sender_sig: signature,
            sender_delegation: delegation.unwrap_or_default(),
        })
    }
}

/// The name of a field as static text, for messages.
fn key_name(key: &str) -> &'static str {
    match key {
        "sender_pubkey" => "sender_pubkey",
        "sender_sig" => "sender_sig",
        _ => "field",
    }
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), IngressError> {
    if slot.replace(value).is_some() {
        return Err(IngressError::RepeatedField(name));
    }
    Ok(())
}

fn read_principal(reader: &mut Reader<'_>, what: &'static str) -> Result<Principal, IngressError> {
    let bytes = reader.bytes(what, Principal::MAX_LENGTH_IN_BYTES)?;
    Principal::try_from_slice(bytes).map_err(|_| IngressError::Malformed { at: 0, what })
}

fn read_delegations(reader: &mut Reader<'_>) -> Result<Vec<SignedDelegation>, IngressError> {
    let mut delegations = Vec::new();
    reader.array("sender_delegation", DELEGATIONS_MAX, |reader| {
        let (mut delegation, mut signature) = (None, None);
        reader.map(2, |key, reader| match key {
            "delegation" => set(&mut delegation, "delegation", read_delegation(reader)?),
            "signature" => {
                let bytes = reader.bytes("signature", SIGNATURE_BYTES_MAX)?.to_vec();
                set(&mut signature, "signature", bytes)
            }
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        let mut delegation = delegation.ok_or(IngressError::MissingField("delegation"))?;
        delegation.signature = signature.ok_or(IngressError::MissingField("signature"))?;
        delegations.push(delegation);
        Ok(())
    })?;
    Ok(delegations)
}

fn read_delegation(reader: &mut Reader<'_>) -> Result<SignedDelegation, IngressError> {
    let (mut pubkey, mut expiration, mut targets, mut permissions) = (None, None, None, None);
    reader.map(4, |key, reader| match key {
        "pubkey" => set(
            &mut pubkey,
            "pubkey",
            reader.bytes("pubkey", KEY_BYTES_MAX)?.to_vec(),
        ),
        "expiration" => set(&mut expiration, "expiration", reader.uint()?),
        "targets" | "permissions" if reader.null() => Ok(()),
        "targets" => {
            let mut found = Vec::new();
            reader.array("targets", TARGETS_MAX, |reader| {
                found.push(read_principal(reader, "a principal of at most 29 bytes")?);
                Ok(())
            })?;
            set(&mut targets, "targets", found)
        }
        "permissions" => {
            let value = match reader.text("permissions", 32)? {
                "queries" => Permissions::Queries,
                "all" => Permissions::All,
                _ => {
                    return Err(IngressError::Malformed {
                        at: 0,
                        what: "permissions `queries` or `all`",
                    });
                }
            };
            set(&mut permissions, "permissions", value)
        }
        other => Err(IngressError::UnknownField(other.to_owned())),
    })?;
    Ok(SignedDelegation {
        pubkey: pubkey.ok_or(IngressError::MissingField("pubkey"))?,
        expiration: expiration.ok_or(IngressError::MissingField("expiration"))?,
        targets,
        permissions,
        signature: Vec::new(),
    })
}

impl SignedDelegation {
    /// The representation-independent hash of the delegation, which the signature covers.
    pub fn hash(&self) -> [u8; 32] {
        let mut fields = vec![
            ("pubkey", HashedValue::Bytes(&self.pubkey)),
            ("expiration", HashedValue::Nat(self.expiration)),
        ];
        if let Some(targets) = &self.targets {
            let items = targets
                .iter()
                .map(|target| HashedValue::Bytes(target.as_slice()))
                .collect();
            fields.push(("targets", HashedValue::Array(items)));
        }
        if let Some(permissions) = self.permissions {
            fields.push(("permissions", HashedValue::Text(permissions.as_str())));
        }
        hash_of_map(&fields)
    }
}

/// The fields of a content before it is known of which type it is.
#[derive(Default)]
struct RawContent {
    request_type: Option<String>,
    canister_id: Option<Principal>,
    method_name: Option<String>,
    arg: Option<Vec<u8>>,
    sender: Option<Principal>,
    ingress_expiry: Option<u64>,
    nonce: Option<Vec<u8>>,
    paths: Option<Vec<Vec<Vec<u8>>>>,
}

impl RawContent {
    fn read(reader: &mut Reader<'_>) -> Result<Self, IngressError> {
        let mut raw = Self::default();
        reader.map(8, |key, reader| match key {
            "request_type" => set(
                &mut raw.request_type,
                "request_type",
                reader.text("request_type", 32)?.to_owned(),
            ),
            "canister_id" => set(
                &mut raw.canister_id,
                "canister_id",
                read_principal(reader, "canister_id of at most 29 bytes")?,
            ),
            "method_name" => set(
                &mut raw.method_name,
                "method_name",
                reader.text("method_name", METHOD_BYTES_MAX)?.to_owned(),
            ),
            "arg" => set(
                &mut raw.arg,
                "arg",
                reader.bytes("arg", ARGUMENT_BYTES_MAX)?.to_vec(),
            ),
            "sender" => set(
                &mut raw.sender,
                "sender",
                read_principal(reader, "sender of at most 29 bytes")?,
            ),
            "ingress_expiry" => set(&mut raw.ingress_expiry, "ingress_expiry", reader.uint()?),
            "nonce" | "sender_info" if reader.null() => Ok(()),
            "nonce" => set(
                &mut raw.nonce,
                "nonce",
                reader.bytes("nonce", NONCE_BYTES_MAX)?.to_vec(),
            ),
            "paths" => set(&mut raw.paths, "paths", read_paths(reader)?),
            "sender_info" => Err(IngressError::KeyUnsupported(
                "sender_info and the canister signatures in it",
            )),
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        Ok(raw)
    }

    fn check(self) -> Result<Content, IngressError> {
        let request_type = self
            .request_type
            .ok_or(IngressError::MissingField("request_type"))?;
        let sender = self.sender.ok_or(IngressError::MissingField("sender"))?;
        let ingress_expiry = self
            .ingress_expiry
            .ok_or(IngressError::MissingField("ingress_expiry"))?;
        let nonce = self.nonce;
        if request_type == "read_state" {
            let call_field = [
                ("canister_id", self.canister_id.is_some()),
                ("method_name", self.method_name.is_some()),
                ("arg", self.arg.is_some()),
            ];
            if let Some((name, _)) = call_field.iter().find(|(_, present)| *present) {
                return Err(IngressError::UnknownField((*name).to_owned()));
            }
            let paths = self.paths.ok_or(IngressError::MissingField("paths"))?;
            return Ok(Content::ReadState(ReadStateContent {
                paths,
                sender,
                ingress_expiry,
                nonce,
            }));
        }
        if self.paths.is_some() {
            return Err(IngressError::UnknownField("paths".to_owned()));
        }
        let call = CallContent {
            canister_id: self
                .canister_id
                .ok_or(IngressError::MissingField("canister_id"))?,
            method_name: self
                .method_name
                .ok_or(IngressError::MissingField("method_name"))?,
            arg: self.arg.ok_or(IngressError::MissingField("arg"))?,
            sender,
            ingress_expiry,
            nonce,
        };
        match request_type.as_str() {
            "call" => Ok(Content::Call(call)),
            "query" => Ok(Content::Query(call)),
            _ => Err(IngressError::RequestType {
                found: request_type,
                wanted: "call, query or read_state",
            }),
        }
    }
}

fn read_paths(reader: &mut Reader<'_>) -> Result<Vec<Vec<Vec<u8>>>, IngressError> {
    let mut paths = Vec::new();
    reader.array("paths", PATHS_MAX, |reader| {
        let mut labels = Vec::new();
        reader.array("a path", PATH_LABELS_MAX, |reader| {
            labels.push(reader.bytes("a label", LABEL_BYTES_MAX)?.to_vec());
            Ok(())
        })?;
        paths.push(labels);
        Ok(())
    })?;
    Ok(paths)
}

impl Content {
    /// The request id: the representation-independent hash of the content.
    ///
    /// Source: interface specification, "Request ids".
    pub fn request_id(&self) -> [u8; 32] {
        let sender = self.sender();
        let mut fields = vec![
            ("request_type", HashedValue::Text(self.request_type())),
            ("sender", HashedValue::Bytes(sender.as_slice())),
            ("ingress_expiry", HashedValue::Nat(self.ingress_expiry())),
        ];
        let nonce = match self {
            Self::Call(call) | Self::Query(call) => {
                fields.push((
                    "canister_id",
                    HashedValue::Bytes(call.canister_id.as_slice()),
                ));
                fields.push(("method_name", HashedValue::Text(&call.method_name)));
                fields.push(("arg", HashedValue::Bytes(&call.arg)));
                &call.nonce
            }
            Self::ReadState(read) => {
                let paths = read.paths.iter().map(|labels| {
                    HashedValue::Array(
                        labels
                            .iter()
                            .map(|label| HashedValue::Bytes(label))
                            .collect(),
                    )
                });
                fields.push(("paths", HashedValue::Array(paths.collect())));
                &read.nonce
            }
        };
        if let Some(nonce) = nonce {
            fields.push(("nonce", HashedValue::Bytes(nonce)));
        }
        hash_of_map(&fields)
    }

    /// `request_type` of the content.
    pub fn request_type(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Query(_) => "query",
            Self::ReadState(_) => "read_state",
        }
    }

    /// Who asks.
    pub fn sender(&self) -> Principal {
        match self {
            Self::Call(call) | Self::Query(call) => call.sender,
            Self::ReadState(read) => read.sender,
        }
    }

    /// When the request becomes invalid, in nanoseconds since 1970.
    pub fn ingress_expiry(&self) -> u64 {
        match self {
            Self::Call(call) | Self::Query(call) => call.ingress_expiry,
            Self::ReadState(read) => read.ingress_expiry,
        }
    }
}
