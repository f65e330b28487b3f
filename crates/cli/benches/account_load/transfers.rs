//! Accounts that pay, and their transfers, signed ahead.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use solana_pubkey::Pubkey;
use trilith_types::{Hash, SecretKey};

use crate::generator;
use crate::rpc::{Rpc, request, result};

/// Lamports of a SOL.
pub const SOL: u64 = 1_000_000_000;
/// Fee of a transaction with one signature, in lamports.
pub const FEE: u64 = 5_000;
/// Transfers that fit one transaction of 1,232 bytes.
pub const TRANSFERS_MAX: usize = 21;

/// The key of the account that pays.
pub fn key(secret: &SecretKey) -> Pubkey {
    Pubkey::new_from_array(*secret.public().as_bytes())
}

/// The secret keys of so many accounts, the same each time.
pub fn secrets(count: usize) -> Vec<SecretKey> {
    let seed = |index: usize| Hash::of_parts(&[b"payer", &index.to_le_bytes()]);
    let secret = |index| SecretKey::from_seed(*seed(index).as_bytes());
    (0..count).map(secret).collect()
}

/// Keys of so many accounts that only receive, the same each time.
pub fn receivers(count: usize) -> Vec<Pubkey> {
    let key = |index: usize| Hash::of_parts(&[b"receiver", &index.to_le_bytes()]);
    let key = |index| Pubkey::new_from_array(*key(index).as_bytes());
    (0..count).map(key).collect()
}

/// A signed transaction of transfers, in base64. At most [`TRANSFERS_MAX`], to different accounts
/// other than the payer's.
pub fn transaction(from: &SecretKey, transfers: &[(Pubkey, u64)], blockhash: [u8; 32]) -> String {
    assert!(transfers.len() <= TRANSFERS_MAX);
    let count = transfers.len() as u8;
    let mut message = vec![1, 0, 1, count + 2];
    message.extend(from.public().as_bytes());
    for (to, _) in transfers {
        message.extend(to.to_bytes());
    }
    message.extend([0; 32]);
    message.extend(blockhash);
    message.push(count);
    for (at, (_, lamports)) in (1..).zip(transfers) {
        message.extend([count + 1, 2, 0, at, 12, 2, 0, 0, 0]);
        message.extend(lamports.to_le_bytes());
    }
    let mut wire = vec![1];
    wire.extend(from.sign_raw(&message).as_bytes());
    wire.extend(message);
    BASE64_STANDARD.encode(wire)
}

/// The request that sends a transaction.
pub fn send(transaction: &str, skip_preflight: bool) -> Vec<u8> {
    let options = json!({"encoding": "base64", "skipPreflight": skip_preflight});
    request("sendTransaction", &json!([transaction, options]))
}

/// Sends every request, each of which must be taken. Gives the run and the signatures.
pub async fn send_all(
    url: &str,
    requests: &[Vec<u8>],
    connections: usize,
) -> (generator::Run, Vec<String>) {
    let mut run = generator::run(url, requests, connections, 1).await;
    assert_eq!(run.answered(200), requests.len(), "{:?}", run.statuses());
    let signature = |sample: generator::Sample| {
        let result = result(&sample.body);
        result.as_str().expect("it is a signature").to_owned()
    };
    let mut samples = std::mem::take(&mut run.samples);
    samples.sort_unstable_by_key(|sample| sample.request);
    (run, samples.into_iter().map(signature).collect())
}

/// Gives each account so many lamports from the faucet.
pub async fn fund(rpc: &mut Rpc, accounts: &[Pubkey], lamports: u64) {
    let funder = SecretKey::from_seed([7; 32]);
    let fees = accounts.len() as u64 * FEE;
    let all = accounts.len() as u64 * lamports + fees + SOL;
    let airdrop = json!([key(&funder).to_string(), all]);
    let signature = rpc.call("requestAirdrop", airdrop).await;
    rpc.confirm(&[signature.as_str().expect("it is a signature").to_owned()])
        .await;
    let blockhash = rpc.blockhash().await;
    let mut signatures = Vec::new();
    for accounts in accounts.chunks(TRANSFERS_MAX) {
        let transfers: Vec<_> = accounts.iter().map(|key| (*key, lamports)).collect();
        let wire = send(&transaction(&funder, &transfers, blockhash), true);
        let signature = rpc.exchange(&wire).await;
        signatures.push(signature.as_str().expect("it is a signature").to_owned());
    }
    rpc.confirm(&signatures).await;
}
