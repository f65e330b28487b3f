//! Signatures that instructions claim.

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program};
use solana_transaction_error::TransactionError;

use super::harness::{Network, SOL};
use super::wire::{key, keypair};

const MESSAGE: &[u8] = b"what was signed";
/// An index that means the instruction itself.
const SELF: u16 = u16::MAX;

/// An instruction with one signature, its key and its message behind the offsets.
fn claim(program: Pubkey, signature: &[u8], public: &[u8], message: &[u8]) -> Instruction {
    let at_key = 16 + signature.len();
    let at_message = at_key + public.len();
    let offsets = [
        16,
        SELF,
        at_key as u16,
        SELF,
        at_message as u16,
        message.len() as u16,
        SELF,
    ];
    let mut data = vec![1, 0];
    data.extend(offsets.iter().flat_map(|number| number.to_le_bytes()));
    data.extend([signature, public, message].concat());
    Instruction::new_with_bytes(program, &data, Vec::new())
}

fn ed25519() -> Instruction {
    let pair = keypair(900);
    let signature = pair.sign(MESSAGE).to_bytes();
    let public = pair.verifying_key().to_bytes();
    claim(ed25519_program::ID, &signature, &public, MESSAGE)
}

fn secp256r1() -> Instruction {
    let secret = p256::ecdsa::SigningKey::from_slice(&[9; 32]).expect("a key");
    let signature: p256::ecdsa::Signature = secret
        .sign_prehash(&Sha256::digest(MESSAGE))
        .expect("a signature");
    let signature = signature.normalize_s().unwrap_or(signature);
    let public = secret.verifying_key().to_encoded_point(true);
    let public = public.as_bytes();
    claim(
        secp256r1_program::ID,
        &signature.to_bytes(),
        public,
        MESSAGE,
    )
}

/// The claim with the other `s` of the two that verify, for a curve of this order.
fn with_high_s(mut signature: [u8; 64], order: [u8; 32]) -> [u8; 64] {
    let mut borrow = 0i16;
    for index in (0..32).rev() {
        let digit = i16::from(order[index]) - i16::from(signature[32 + index]) - borrow;
        borrow = i16::from(digit < 0);
        signature[32 + index] = digit.rem_euclid(256) as u8;
    }
    signature
}

fn hex32(text: &str) -> [u8; 32] {
    std::array::from_fn(|index| {
        u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).expect("two digits")
    })
}

fn secp256k1(high_s: bool) -> Instruction {
    let secret = k256::ecdsa::SigningKey::from_slice(&[8; 32]).expect("a key");
    let hash = Keccak256::digest(MESSAGE);
    let (signature, recovery) = secret.sign_prehash_recoverable(&hash).expect("a signature");
    let point = secret.verifying_key().to_encoded_point(false);
    let address = &Keccak256::digest(&point.as_bytes()[1..])[12..];
    let mut bytes: [u8; 64] = signature.to_bytes().into();
    let mut recovery = recovery.to_byte();
    if high_s {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        bytes = with_high_s(bytes, hex32(order));
        recovery ^= 1;
    }
    let mut data = vec![1];
    for (offset, extra) in [(12u16, None), (77, None), (97, Some(MESSAGE.len() as u16))] {
        data.extend(offset.to_le_bytes());
        data.extend(extra.into_iter().flat_map(u16::to_le_bytes));
        data.push(0);
    }
    data.extend([&bytes[..], &[recovery], address, MESSAGE].concat());
    Instruction::new_with_bytes(secp256k1_program::ID, &data, Vec::new())
}

fn flipped(mut instruction: Instruction, byte: usize) -> Instruction {
    let byte = byte.min(instruction.data.len() - 1);
    instruction.data[byte] ^= 1;
    instruction
}

#[test]
fn true_claims_pass_and_false_ones_fail() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    for good in [ed25519(), secp256r1(), secp256k1(false), secp256k1(true)] {
        let record = network.succeed(std::slice::from_ref(&good), &[&alice]);
        // Each signature of a claim costs what a signature of the transaction costs.
        assert_eq!((record.fee, record.units), (10_000, 0));
        for byte in [20, 40, 76, 80, 90, 1_000] {
            let record = network.send(&[flipped(good.clone(), byte)], &[&alice]);
            let Err(TransactionError::InstructionError(0, InstructionError::Custom(code))) =
                record.status
            else {
                panic!("byte {byte}: {:?}", record.status);
            };
            assert!(code <= 2, "byte {byte}: {code}");
        }
    }
}

#[test]
fn claims_that_lie_about_places_fail() {
    let mut network = Network::new();
    let alice = keypair(10);
    network.airdrop(&key(&alice), 5 * SOL);
    let program = secp256r1_program::ID;
    let empty = |program| Instruction::new_with_bytes(program, &[], Vec::new());
    let mut outside = ed25519();
    outside.data[2..4].copy_from_slice(&60_000u16.to_le_bytes());
    let mut elsewhere = ed25519();
    elsewhere.data[4..6].copy_from_slice(&9u16.to_le_bytes());
    let mut many = secp256r1();
    many.data[0] = 9;
    // A signature with the higher of its two `s`.
    let mut high = secp256r1();
    let order = hex32("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let signature = std::array::from_fn(|index| high.data[16 + index]);
    high.data[16..80].copy_from_slice(&with_high_s(signature, order));
    for (instruction, expected) in [
        (empty(program), 4),
        (empty(ed25519_program::ID), 4),
        (empty(secp256k1_program::ID), 4),
        (outside, 3),
        (elsewhere, 3),
        (many, 4),
        (high, 2),
    ] {
        let record = network.send(std::slice::from_ref(&instruction), &[&alice]);
        assert_eq!(
            record.status,
            Err(TransactionError::InstructionError(
                0,
                InstructionError::Custom(expected)
            )),
            "{instruction:?}"
        );
    }
}
