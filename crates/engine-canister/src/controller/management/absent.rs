//! Methods that need the world outside of a deterministic node: they are refused in the words of a
//! subnet that has no such feature, so that a canister sees the code and text it must expect anyway.

use candid::{CandidType, Principal};
use serde::Deserialize;

use super::{invalid, unknown_method};
use crate::controller::record::Request;
use crate::controller::reject::{ErrorCode, Rejection};
use crate::ingress::decode_candid;

/// The canisters that the Internet Computer sends these calls to.
const BITCOIN_MAINNET: &str = "ghsi2-tqaaa-aaaan-aaaca-cai";
const BITCOIN_TESTNET: &str = "g4xu7-jiaaa-aaaan-aaaaq-cai";

#[derive(CandidType, Deserialize)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
enum Curve {
    secp256k1,
    bip340secp256k1,
    ed25519,
    bls12_381_g2,
}

#[derive(CandidType, Deserialize)]
struct CurveKey {
    curve: Curve,
    name: String,
}

#[derive(CandidType, Deserialize)]
struct AlgorithmKey {
    algorithm: Curve,
    name: String,
}

#[derive(CandidType, Deserialize)]
struct OfKey<K> {
    key_id: K,
}

#[derive(CandidType, Deserialize)]
#[allow(non_camel_case_types, reason = "the names of the candid variants")]
enum Network {
    mainnet,
    Mainnet,
    testnet,
    Testnet,
    regtest,
    Regtest,
}

#[derive(CandidType, Deserialize)]
struct OfNetwork {
    network: Network,
}

/// Why a method is refused, after its argument was looked at.
pub(super) fn refusal(request: &Request) -> Rejection {
    let method = request.method.as_str();
    match method {
        "http_request" | "flexible_http_request" => {
            let why = "This API is not enabled on this subnet";
            Rejection::new(ErrorCode::ContractViolation, why)
        }
        "schnorr_public_key" | "sign_with_schnorr" => {
            match decode_candid::<OfKey<AlgorithmKey>>(&request.argument) {
                Ok(OfKey { key_id }) => no_key(method, "schnorr", &key_id.algorithm, &key_id.name),
                Err(why) => invalid(why),
            }
        }
        "ecdsa_public_key" | "sign_with_ecdsa" | "vetkd_public_key" | "vetkd_derive_key" => {
            let scheme = method.strip_prefix("vetkd").map_or("ecdsa", |_| "vetkd");
            match decode_candid::<OfKey<CurveKey>>(&request.argument) {
                Ok(OfKey { key_id }) => no_key(method, scheme, &key_id.curve, &key_id.name),
                Err(why) => invalid(why),
            }
        }
        _ if method.starts_with("bitcoin_") => {
            match decode_candid::<OfNetwork>(&request.argument) {
                Ok(OfNetwork { network }) => no_route(&network),
                Err(why) => invalid(why),
            }
        }
        other => unknown_method(other),
    }
}

fn no_key(method: &str, scheme: &str, curve: &Curve, name: &str) -> Rejection {
    let curve = match curve {
        Curve::secp256k1 => "Secp256k1",
        Curve::bip340secp256k1 => "Bip340Secp256k1",
        Curve::ed25519 => "Ed25519",
        Curve::bls12_381_g2 => "Bls12_381_G2",
    };
    let key = format!("{scheme}:{curve}:{name}");
    let why = if method.ends_with("public_key") {
        format!("Requested unknown threshold key: {key}, existing keys: []")
    } else {
        format!("Requested unknown or disabled threshold key: {key}, existing enabled keys: []")
    };
    let why =
        format!("Unable to route management canister request {method}: ChainKeyError({why:?})");
    Rejection::new(ErrorCode::NoDestination, why)
}

fn no_route(network: &Network) -> Rejection {
    let canister = match network {
        Network::mainnet | Network::Mainnet => BITCOIN_MAINNET,
        _ => BITCOIN_TESTNET,
    };
    let canister = Principal::from_text(canister).expect("the constants are principals");
    Rejection::new(
        ErrorCode::NoDestination,
        format!("No route to canister {canister}"),
    )
}
