//! What a request asks: the content of an envelope, its strict decoding, and the id that names it.

use candid::Principal;
use trilith_params::ingress::{
    ARGUMENT_BYTES_MAX, LABEL_BYTES_MAX, METHOD_BYTES_MAX, NONCE_BYTES_MAX, PATH_LABELS_MAX,
    PATHS_MAX, SENDER_INFO_BYTES_MAX, SIGNATURE_BYTES_MAX,
};
use trilith_types::representation_hash::{HashedValue, hash_of_map};

use super::envelope::{read_principal, set};
use super::error::IngressError;
use super::reader::Reader;

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
    /// What a canister attests about the sender.
    pub sender_info: Option<SenderInfo>,
}

/// What a canister attests about the sender of a call, for the canister that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The attested bytes; they mean something to the two canisters alone.
    pub info: Vec<u8>,
    /// The canister that attests.
    pub signer: Principal,
    /// Its signature.
    pub sig: Vec<u8>,
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

/// The fields of a content before it is known of which type it is.
#[derive(Default)]
pub(super) struct RawContent {
    request_type: Option<String>,
    canister_id: Option<Principal>,
    method_name: Option<String>,
    arg: Option<Vec<u8>>,
    sender: Option<Principal>,
    ingress_expiry: Option<u64>,
    nonce: Option<Vec<u8>>,
    paths: Option<Vec<Vec<Vec<u8>>>>,
    sender_info: Option<SenderInfo>,
}

impl RawContent {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, IngressError> {
        let mut raw = Self::default();
        reader.map(9, |key, reader| match key {
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
            "sender_info" => set(
                &mut raw.sender_info,
                "sender_info",
                SenderInfo::read(reader)?,
            ),
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        Ok(raw)
    }

    pub(super) fn check(self) -> Result<Content, IngressError> {
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
                ("sender_info", self.sender_info.is_some()),
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
            sender_info: self.sender_info,
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

impl SenderInfo {
    fn read(reader: &mut Reader<'_>) -> Result<Self, IngressError> {
        let (mut info, mut signer, mut sig) = (None, None, None);
        reader.map(3, |key, reader| match key {
            "info" => {
                let bytes = reader.bytes("sender_info.info", SENDER_INFO_BYTES_MAX)?;
                set(&mut info, "info", bytes.to_vec())
            }
            "signer" => {
                let id = read_principal(reader, "sender_info.signer of at most 29 bytes")?;
                set(&mut signer, "signer", id)
            }
            "sig" => {
                let bytes = reader.bytes("sender_info.sig", SIGNATURE_BYTES_MAX)?;
                set(&mut sig, "sig", bytes.to_vec())
            }
            other => Err(Reader::unknown(other)),
        })?;
        Ok(Self {
            info: info.ok_or(IngressError::MissingField("info"))?,
            signer: signer.ok_or(IngressError::MissingField("signer"))?,
            sig: sig.ok_or(IngressError::MissingField("sig"))?,
        })
    }

    fn hashed(&self) -> HashedValue<'_> {
        HashedValue::Map(vec![
            ("info", HashedValue::Bytes(&self.info)),
            ("signer", HashedValue::Bytes(self.signer.as_slice())),
            ("sig", HashedValue::Bytes(&self.sig)),
        ])
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
                if let Some(info) = &call.sender_info {
                    fields.push(("sender_info", info.hashed()));
                }
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
