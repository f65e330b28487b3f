//! Keys that OpenSSL made, with the public keys that it prints for them.

use ic_agent::export::Principal;

use super::*;

const ED25519_PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIKr+Xm5LBZLdj5p/qmzv7L7ojQxfAFgZrmerQutrSXZ0
-----END PRIVATE KEY-----
";
const SECP256K1_SEC1: &str = "-----BEGIN EC PARAMETERS-----
BgUrgQQACg==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHQCAQEEIGFi8O6TWqg0flj+GI1C7QZ7bhrq9Og/uXZ6LzEHxC2BoAcGBSuBBAAK
oUQDQgAEn4j1UFAwE7s1dHt0glX1yaSKmcTvcu6LVh/9mK0j0zanyySm5PdFdtUf
WHzAwGAwe7dHZ1bvPN0i34+YXaw3rQ==
-----END EC PRIVATE KEY-----
";
const SECP256K1_PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgYWLw7pNaqDR+WP4YjULt
BntuGur06D+5dnovMQfELYGhRANCAASfiPVQUDATuzV0e3SCVfXJpIqZxO9y7otW
H/2YrSPTNqfLJKbk90V21R9YfMDAYDB7t0dnVu883SLfj5hdrDet
-----END PRIVATE KEY-----
";
const P256_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIFS5kD2O0NX+VAr1W5J+cvPLCA9iaqmT1scZAaHH187FoAoGCCqGSM49
AwEHoUQDQgAEpkeuPivZk9fGQZrJBEV0pz+sBM2ju/GVVKKc0yBGp4YHASzGQcZz
QiXkC3t4eFYH/3YhkRtoh9RLTqZAurt/pQ==
-----END EC PRIVATE KEY-----
";
const P256_PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVLmQPY7Q1f5UCvVb
kn5y88sID2JqqZPWxxkBocfXzsWhRANCAASmR64+K9mT18ZBmskERXSnP6wEzaO7
8ZVUopzTIEanhgcBLMZBxnNCJeQLe3h4Vgf/diGRG2iH1EtOpkC6u3+l
-----END PRIVATE KEY-----
";
const P384_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDBS8Ka58kK7zwTrKHml2Z9f/s22o6u8IGw4oZy2MLIl7142Wzoj213i
dOGtesG6LG2gBwYFK4EEACKhZANiAAROtQo3DYeYpGtPT/H4GW09B8AkbaccLFT8
pj8VBfUPclZdakIIP7ot7XTfcSnmISCX/F/sPZcaeIeldBC+ika3soQrgzYy6xlF
JKHSeZW+sS/3tkK5K3dGzCMG9dvZW6k=
-----END EC PRIVATE KEY-----
";
const ENCRYPTED_PKCS8: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgR6xhMlWgaawICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEH//my0dxpVFIsRYeSQNakcEgZCS
pCbMDaZMm+J9D9ftwVTsR2OL+Wy7o+dleOykZ2m3/nkOdCqxsYOKNTLqdN7oK4+X
9hSbM4+gAa3ObUYYJeasZ5IFyllpVv9yJ5Jeujpz3TsedCfwin1ivVgBBvgek/KR
KLxLmm4Buj43wMHmk3Sn86KtCYF3Q+2V4VT0zyuUe9aCFC/4ManKWDUKYlkw958=
-----END ENCRYPTED PRIVATE KEY-----
";
const ENCRYPTED_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,9FDAD9350ABCC3348D57B5BFC3812BD2

EkYouNKyFPddCPbV47T7akNRJDBcMYb7+3i5cIMNajKCk02kwqhVVecBhWLdAtNX
95I3mqWc+A4n2kxPn55E7a6WCOATP787qkVlb4jBPqFIChykEGcobztpNrqUI7PZ
nLZ4Td8C8IdGTFI9gw7rQ/9q7XH62d14E4dwfLxWrs4=
-----END EC PRIVATE KEY-----
";

/// Public keys as `openssl pkey -pubout -outform DER` writes them.
const ED25519_PUBLIC: &str =
    "302a300506032b6570032100cea870de657b1b808e7b2e2df37a1c5cf8d2cc5288df0cb4ec13a5f7b1bb1d0f";
const SECP256K1_PUBLIC: &str = "3056301006072a8648ce3d020106052b8104000a034200049f88f550503013bb35747b748255f5c9a48a99c4ef72ee8b561ffd98ad23d336a7cb24a6e4f74576d51f587cc0c060307bb7476756ef3cdd22df8f985dac37ad";
const P256_PUBLIC: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004a647ae3e2bd993d7c6419ac9044574a73fac04cda3bbf19554a29cd32046a78607012cc641c6734225e40b7b78785607ff7621911b6887d44b4ea640babb7fa5";

/// A key's public key, and whether its principal belongs to it.
fn public(pem: &str) -> String {
    let key = Key::from_pem(pem.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
    let identity = key.identity();
    let public = identity.public_key().unwrap();
    let principal = Principal::self_authenticating(&public);
    assert_eq!(identity.sender(), Ok(principal));
    hex::encode(public)
}

/// A PEM file with one block.
fn block(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

fn fault(pem: &str) -> KeyFault {
    Key::from_pem(pem.as_bytes()).err().expect("it is no key")
}

#[test]
fn keys_of_other_tools_are_read() {
    assert_eq!(public(ED25519_PKCS8), ED25519_PUBLIC);
    assert_eq!(public(SECP256K1_SEC1), SECP256K1_PUBLIC);
    assert_eq!(public(SECP256K1_PKCS8), SECP256K1_PUBLIC);
    assert_eq!(public(P256_SEC1), P256_PUBLIC);
    assert_eq!(public(P256_PKCS8), P256_PUBLIC);
    // Only the block with the curve before it, as some write.
    let (_, alone) = SECP256K1_SEC1.split_at(SECP256K1_SEC1.rfind("-----BEGIN").unwrap());
    assert_eq!(public(alone), SECP256K1_PUBLIC);
}

#[test]
fn an_ed25519_key_may_bring_its_public_key() {
    let plain = pem::parse(ED25519_PKCS8).unwrap();
    let public_key = hex::decode(ED25519_PUBLIC).unwrap();
    // Version 2: one for the version, and the public key behind the private one. The bit string is
    // tagged once (RFC 5958) or, by old versions of dfx and ring, wrapped.
    let rfc = [&[0x81, 0x21, 0x00][..], &public_key[12..]].concat();
    let wrapped = [&[0xa1, 0x23, 0x03, 0x21, 0x00][..], &public_key[12..]].concat();
    for tail in [rfc, wrapped] {
        let mut der = [plain.contents(), &tail[..]].concat();
        der[1] = u8::try_from(der.len() - 2).unwrap();
        der[4] = 1;
        assert_eq!(public(&block("PRIVATE KEY", &der)), ED25519_PUBLIC);
    }
}

#[test]
fn a_curve_without_a_name_is_told_by_the_public_key() {
    // SEC 1 without parameters, as the crate `sec1` writes it.
    let k256 = k256::SecretKey::from_slice(&[7; 32]).unwrap();
    let der = k256.to_sec1_der().unwrap();
    let read = Key::from_pem(block("EC PRIVATE KEY", &der).as_bytes());
    assert!(matches!(read, Ok(Key::Secp256k1(key)) if key == k256));
    let p256 = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let der = p256.to_sec1_der().unwrap();
    let read = Key::from_pem(block("EC PRIVATE KEY", &der).as_bytes());
    assert!(matches!(read, Ok(Key::P256(key)) if key == p256));
}

#[test]
fn what_is_written_is_read_again() {
    for kind in [Kind::Ed25519, Kind::Secp256k1, Kind::P256] {
        let key = Key::random(kind);
        assert_eq!(key.kind(), kind);
        let pem = key.to_pem().unwrap();
        let again = Key::from_pem(pem.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(again.kind(), kind);
        let sender = key.identity().sender();
        assert_eq!(again.identity().sender(), sender);
        assert_ne!(Key::random(kind).identity().sender(), sender);
    }
}

#[test]
fn encrypted_and_foreign_keys_are_refused_by_name() {
    assert_eq!(fault(ENCRYPTED_PKCS8), KeyFault::Encrypted);
    assert_eq!(fault(ENCRYPTED_SEC1), KeyFault::Encrypted);
    assert_eq!(fault(P384_SEC1), KeyFault::Unsupported);
    assert_eq!(fault(&block("RSA PRIVATE KEY", &[])), KeyFault::Unsupported);
    let public = block("PUBLIC KEY", &hex::decode(ED25519_PUBLIC).unwrap());
    assert_eq!(
        fault(&public),
        KeyFault::NoPrivateKey(vec!["PUBLIC KEY".to_owned()])
    );
    assert_eq!(fault(""), KeyFault::NotPem);
    assert_eq!(fault("a key"), KeyFault::NotPem);
    // A curve that is spelled out instead of named.
    let spelled = block("EC PARAMETERS", &[0x30, 0x00]) + P256_SEC1;
    assert_eq!(fault(&spelled), KeyFault::Unsupported);
}

#[test]
fn damaged_keys_are_refused() {
    for (label, text) in [
        ("PRIVATE KEY", ED25519_PKCS8),
        ("PRIVATE KEY", P256_PKCS8),
        ("EC PRIVATE KEY", P256_SEC1),
    ] {
        let der = pem::parse(text).unwrap().into_contents();
        for length in 0..der.len() {
            let cut = block(label, &der[..length]);
            assert!(Key::from_pem(cut.as_bytes()).is_err(), "{label} {length}");
        }
    }
    // A scalar that is zero.
    let mut zero = pem::parse(P256_SEC1).unwrap().into_contents();
    zero[7..39].fill(0);
    assert_eq!(fault(&block("EC PRIVATE KEY", &zero)), KeyFault::Malformed);
    let damaged = P256_SEC1.replace("MHcC", "M?cC");
    assert!(matches!(fault(&damaged), KeyFault::DamagedPem(_)));
}
