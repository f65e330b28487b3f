//! Signatures against figures that others have published.

use trilith_protocol::root::{Address, Signed};
use trilith_types::{Hash, PublicKey, SecretKey, Signature, SignatureContext, SignatureError};

fn bytes(digits: &str) -> Vec<u8> {
    hex::decode(digits).unwrap()
}

fn key(digits: &str) -> PublicKey {
    PublicKey::from_slice(&bytes(digits)).unwrap()
}

/// The network that the wallet's figures are for.
const CHAIN: &str = "a245619497e580dd3bc1aa3256c07f68b8dcc13f92da115eadc3b231b083d3c4";
const SEED: &str = "4f8b5676990b00e23d9904a92deb8d8f428ff289c8939926358f1d20537c21a0";
const PUBLIC: &str = "93d8f8a455f50527976a8aa87ebde38d5606efa86cb985d3fb466aff37000e3b";

/// A transfer, a delegation, and taking one back. The statements are the wallet's own encodings,
/// with numbers in one byte more than Oasis Core and this root write; only their signatures and
/// the frame around them are looked at.
const SIGNED: [&str; 3] = [
    "a2697369676e6174757265a2697369676e617475726558406e51c18c9b2015c9b49414b3307336597f51ff331873\
     d214ce2db81c9651a34d99529ccaa294a39ccd01c6b0bc2c2239d87c624e5ba4840cf99ac8f9283e240c6a707562\
     6c69635f6b6579582093d8f8a455f50527976a8aa87ebde38d5606efa86cb985d3fb466aff37000e3b73756e7472\
     75737465645f7261775f76616c7565585ea463666565a2636761730066616d6f756e74410064626f6479a262746f\
     5500c73cc001463434915ba3f39751beb7c0905b45eb66616d6f756e744400989680656e6f6e636500666d657468\
     6f64707374616b696e672e5472616e73666572",
    "a2697369676e6174757265a2697369676e61747572655840f22235e307a45dbeb0c4201bee58b920c791d80356dc\
     17ebe7fb878dbfe35a5e8e05ac8842c7f6cfaaf7a2b8898528f4cea7f9d501be1ce1275191c3333b00076a707562\
     6c69635f6b6579582093d8f8a455f50527976a8aa87ebde38d5606efa86cb985d3fb466aff37000e3b73756e7472\
     75737465645f7261775f76616c75655864a463666565a2636761730066616d6f756e74410064626f6479a266616d\
     6f756e744400989680676163636f756e745500c73cc001463434915ba3f39751beb7c0905b45eb656e6f6e636500\
     666d6574686f64717374616b696e672e416464457363726f77",
    "a2697369676e6174757265a2697369676e6174757265584048a3218b453a130dec2a1392556b5e03d54c6dab2960\
     0c50944e9bd0e5325b76f98ffe4e9f8b07590cd964480ce76b50d134035e73b03cba1adb7631ab67eb006a707562\
     6c69635f6b6579582093d8f8a455f50527976a8aa87ebde38d5606efa86cb985d3fb466aff37000e3b73756e7472\
     75737465645f7261775f76616c75655868a463666565a2636761730066616d6f756e74410064626f6479a2667368\
     617265734400989680676163636f756e745500c73cc001463434915ba3f39751beb7c0905b45eb656e6f6e636500\
     666d6574686f64757374616b696e672e5265636c61696d457363726f77",
];

/// Figures: Trust Wallet Core `tests/chains/Oasis/TWAnySignerTests.cpp`, which signs for Oasis
/// with code of its own: the context of transactions with the network's suffix, and the frame.
#[test]
fn a_wallet_signs_transactions_under_the_same_context() {
    let chain = Hash::from_slice(&bytes(CHAIN)).unwrap();
    let context = SignatureContext::RootTransaction;
    let full = format!("oasis-core/consensus: tx for chain {CHAIN}");
    assert_eq!(context.full(None, &chain), full.as_bytes());
    let seed = bytes(SEED).try_into().unwrap();
    let secret = SecretKey::from_seed(seed);
    assert_eq!(secret.public(), key(PUBLIC));
    for published in SIGNED {
        let signed = Signed::decode(&bytes(published)).unwrap();
        let raw = signed.open(context, &chain).unwrap().to_vec();
        assert_eq!(signed.signature.public_key, secret.public());
        let own = Signed::sign(&secret, context, &chain, raw);
        assert_eq!(hex::encode(own.encode()), published);
        // The same statement means nothing in another network.
        let elsewhere = signed.open(context, &Hash::EMPTY);
        assert_eq!(elsewhere, Err(SignatureError::Invalid));
    }
}

/// Figure: Trust Wallet `swift/Tests/Blockchains/OasisTests.swift`.
#[test]
fn a_wallet_derives_the_same_address() {
    let address = Address::of_key(&key(PUBLIC));
    let published = "oasis1qzawzy5kaa2xgphenf3r0f5enpr3mx5dps559yxm";
    assert_eq!(address.to_string(), published);
}

/// Figures: cases 1, 2 and 4 of ed25519-speccheck, as in Oasis Core
/// `runtime/src/common/crypto/signature.rs`. Points of small order are refused, as there.
///
/// A deviation from Oasis Core (ADR 0009): case 4 holds only if both sides are multiplied by the
/// cofactor, as Oasis does. Signatures here must hold without, so that it is refused; no signer
/// that follows RFC 8032 makes one of that kind.
#[test]
fn signatures_at_the_edges_of_ed25519() {
    let cases = [
        (
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43\
             a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
            SignatureError::InvalidKey,
        ),
        (
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa\
             8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
            SignatureError::Invalid,
        ),
        (
            "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512\
             5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
            SignatureError::Invalid,
        ),
    ];
    for (public, message, signature, expected) in cases {
        let signature = Signature::from_slice(&bytes(signature)).unwrap();
        let found = key(public).verify_raw(&bytes(message), &signature);
        assert_eq!(found, Err(expected));
    }
}
