//! Envelopes by hand: any content with any authentication, as clients encode them.

#![allow(dead_code, reason = "each test binary uses a part")]

use candid::Principal;
use trilith_engine_canister::ingress::*;
use trilith_types::cbor::Encoder;

pub const NOW: u64 = 1_685_570_300_000_000_000;

/// The canister that is called.
pub fn callee() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 4, 210])
}

pub fn call(sender: Principal) -> CallContent {
    CallContent {
        canister_id: callee(),
        method_name: "hello".to_owned(),
        arg: b"DIDL\x00\xFD*".to_vec(),
        sender,
        ingress_expiry: 1_685_570_400_000_000_000,
        nonce: None,
        sender_info: None,
    }
}

pub struct Parts<'a> {
    pub content: &'a Content,
    pub key: Option<&'a [u8]>,
    pub signature: Option<&'a [u8]>,
    pub delegations: &'a [SignedDelegation],
}

impl<'a> Parts<'a> {
    pub fn unsigned(content: &'a Content) -> Self {
        Self {
            content,
            key: None,
            signature: None,
            delegations: &[],
        }
    }
}

/// The bytes that are signed for a request.
pub fn signed_bytes(content: &Content) -> Vec<u8> {
    [b"\x0Aic-request".as_slice(), &content.request_id()].concat()
}

/// The bytes that are signed for a delegation.
pub fn delegated_bytes(delegation: &SignedDelegation) -> Vec<u8> {
    [
        b"\x1Aic-request-auth-delegation".as_slice(),
        &delegation.hash(),
    ]
    .concat()
}

fn write_call(e: &mut Encoder, kind: &str, call: &CallContent) {
    let options = usize::from(call.nonce.is_some()) + usize::from(call.sender_info.is_some());
    e.text("content").map(6 + options);
    e.text("request_type").text(kind);
    e.text("canister_id").bytes(call.canister_id.as_slice());
    e.text("method_name").text(&call.method_name);
    e.text("arg").bytes(&call.arg);
    e.text("sender").bytes(call.sender.as_slice());
    e.text("ingress_expiry").uint(call.ingress_expiry);
    if let Some(nonce) = &call.nonce {
        e.text("nonce").bytes(nonce);
    }
    if let Some(info) = &call.sender_info {
        e.text("sender_info").map(3);
        e.text("signer").bytes(info.signer.as_slice());
        e.text("info").bytes(&info.info);
        e.text("sig").bytes(&info.sig);
    }
}

fn write_read(e: &mut Encoder, read: &ReadStateContent) {
    e.text("content")
        .map(4 + usize::from(read.nonce.is_some()))
        .text("request_type")
        .text("read_state");
    e.text("paths").array(read.paths.len());
    for path in &read.paths {
        e.array(path.len());
        path.iter().for_each(|label| {
            e.bytes(label);
        });
    }
    e.text("sender").bytes(read.sender.as_slice());
    e.text("ingress_expiry").uint(read.ingress_expiry);
    if let Some(nonce) = &read.nonce {
        e.text("nonce").bytes(nonce);
    }
}

pub fn encode(parts: &Parts<'_>) -> Vec<u8> {
    let mut e = Encoder::new();
    e.map(
        1 + usize::from(parts.key.is_some())
            + usize::from(parts.signature.is_some())
            + usize::from(!parts.delegations.is_empty()),
    );
    match parts.content {
        Content::Call(call) => write_call(&mut e, "call", call),
        Content::Query(call) => write_call(&mut e, "query", call),
        Content::ReadState(read) => write_read(&mut e, read),
    }
    if let Some(key) = parts.key {
        e.text("sender_pubkey").bytes(key);
    }
    if let Some(signature) = parts.signature {
        e.text("sender_sig").bytes(signature);
    }
    if !parts.delegations.is_empty() {
        e.text("sender_delegation").array(parts.delegations.len());
        parts
            .delegations
            .iter()
            .for_each(|delegation| write_delegation(&mut e, delegation));
    }
    e.finish()
}

fn write_delegation(e: &mut Encoder, delegation: &SignedDelegation) {
    e.map(2).text("signature").bytes(&delegation.signature);
    e.text("delegation").map(
        2 + usize::from(delegation.targets.is_some())
            + usize::from(delegation.permissions.is_some()),
    );
    e.text("pubkey").bytes(&delegation.pubkey);
    e.text("expiration").uint(delegation.expiration);
    if let Some(targets) = &delegation.targets {
        e.text("targets").array(targets.len());
        targets.iter().for_each(|target| {
            e.bytes(target.as_slice());
        });
    }
    if let Some(permissions) = delegation.permissions {
        e.text("permissions").text(permissions.as_str());
    }
}

/// Judges an envelope twice: what is remembered changes no verdict.
pub fn judge_with(judge: &Judge, bytes: &[u8], now: u64) -> Result<[u8; 32], IngressError> {
    let envelope = Envelope::decode(bytes)?;
    let first = judge.judge(&envelope, bytes, now, false);
    assert_eq!(judge.judge(&envelope, bytes, now, false), first);
    first
}

/// As [`judge_with`], on a network without a key of its own.
pub fn judge(bytes: &[u8], now: u64) -> Result<[u8; 32], IngressError> {
    judge_with(&Judge::default(), bytes, now)
}
