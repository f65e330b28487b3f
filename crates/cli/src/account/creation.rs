//! Creating a feature account: the transaction that the ecosystem's tools make for it, signed by
//! who pays and by the key of the gate's id.
//!
//! Source of the instructions: Solana `system-interface` (transfer 2, allocate 8, assign 1) and
//! `feature-gate-interface`, `activate_with_lamports`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{feature, system_program};
use trilith_engine_account::gates::{FEATURE_BYTES, FeatureState};
use trilith_types::SecretKey;

use super::keypair::address;
use super::rpc::Rpc;
use super::seen::AccountJson;
use crate::output::{Failure, NextStep};

/// Most lamports that a feature account may cost, so that a node cannot ask for all that the payer
/// has. Own choice: ten times what Solana's networks ever asked for (6,960 for each of 137 bytes).
const RENT_MAX: u64 = 10_000_000;

/// Longest wait until the transaction was executed, however long its blockhash is valid.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at what became of the transaction.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A feature account that was created.
pub(crate) struct Created {
    /// The transaction's signature.
    pub(crate) signature: String,
    /// The slot in which it was executed.
    pub(crate) slot: u64,
    /// What the account got from the payer.
    pub(crate) lamports: u64,
}

/// Creates the feature account at the address of `gate`, and waits until it is there.
///
/// # Errors
/// If there is an account already, the node refuses, or the transaction fails or expires.
pub(crate) fn create(rpc: &Rpc, payer: &SecretKey, gate: &SecretKey) -> Result<Created> {
    let id = address(gate);
    if address(payer) == id {
        return Err(Failure {
            message: "the key of the feature cannot pay for its own account".to_owned(),
            next: Some("give another key with --payer".to_owned()),
            usage: true,
            ..Failure::default()
        }
        .into());
    }
    let has = free(rpc, &id)?;
    let rent = rpc.call("getMinimumBalanceForRentExemption", json!([FEATURE_BYTES]))?;
    let rent = affordable(rent.as_u64().ok_or_else(|| rpc.stranger())?)?;
    let lamports = rent.saturating_sub(has);
    let latest = rpc.call("getLatestBlockhash", json!([]))?;
    let blockhash: Option<Pubkey> = latest["value"]["blockhash"]
        .as_str()
        .and_then(|text| text.parse().ok());
    let last = latest["value"]["lastValidBlockHeight"].as_u64();
    let (Some(blockhash), Some(last)) = (blockhash, last) else {
        return Err(rpc.stranger());
    };
    let wire = transaction(payer, gate, lamports, &blockhash.to_bytes());
    let params = json!([BASE64.encode(wire), { "encoding": "base64" }]);
    let sent = rpc.call("sendTransaction", params).context(NextStep(
        "see that the payer has lamports for the account and the fee; `solana airdrop` gives some \
         on a developer network",
    ))?;
    let signature = sent.as_str().ok_or_else(|| rpc.stranger())?.to_owned();
    let slot = wait(rpc, &signature, last)?;
    Ok(Created {
        signature,
        slot,
        lamports,
    })
}

/// Refuses to pay more for the account than it can be worth.
fn affordable(rent: u64) -> Result<u64> {
    if rent <= RENT_MAX {
        return Ok(rent);
    }
    let what = format!(
        "the node asks for {rent} lamports for {FEATURE_BYTES} bytes, the limit is {RENT_MAX}"
    );
    Err(anyhow::anyhow!(what).context(NextStep("name another node's JSON-RPC with --url")))
}

/// Lamports at the address of a gate that has no account of its own yet.
fn free(rpc: &Rpc, id: &Pubkey) -> Result<u64> {
    let params = json!([id.to_string(), { "encoding": "base64", "commitment": "processed" }]);
    let mut answer = rpc.call("getAccountInfo", params)?;
    let account: Option<AccountJson> =
        serde_json::from_value(answer["value"].take()).map_err(|_| rpc.stranger())?;
    let Some(account) = account else { return Ok(0) };
    let (owner, data) = account.parts().map_err(|_| rpc.stranger())?;
    let state = FeatureState::decode(&data).filter(|_| owner == feature::ID);
    let (message, next) = match state {
        None if owner == system_program::ID && data.is_empty() => return Ok(account.lamports),
        None => (
            format!("the account {id} belongs to {owner} and cannot become a feature account"),
            "see what it is with `solana account`, or give another feature".to_owned(),
        ),
        Some(FeatureState::Pending) => (
            format!("the feature account of {id} exists already, and is pending"),
            format!("have the root approve the feature: trilith feature approve {id}"),
        ),
        Some(FeatureState::Active(slot)) => (
            format!("feature {id} is active since slot {slot}"),
            "there is nothing left to do; see `trilith feature status`".to_owned(),
        ),
    };
    Err(Failure {
        message,
        next: Some(next),
        ..Failure::default()
    }
    .into())
}

/// Transfer of the rent, allocation and assignment, signed by both.
fn transaction(
    payer: &SecretKey,
    gate: &SecretKey,
    lamports: u64,
    blockhash: &[u8; 32],
) -> Vec<u8> {
    // Two signers who both are written, and the system program, which is read.
    let mut message = vec![2, 0, 1, 3];
    message.extend_from_slice(address(payer).as_ref());
    message.extend_from_slice(address(gate).as_ref());
    message.extend_from_slice(system_program::ID.as_ref());
    message.extend_from_slice(blockhash);
    message.push(3);
    let transfer = [&2u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
    let bytes = FEATURE_BYTES as u64;
    let allocate = [&8u32.to_le_bytes()[..], &bytes.to_le_bytes()].concat();
    let assign = [&1u32.to_le_bytes()[..], feature::ID.as_ref()].concat();
    let instructions = [(&[0, 1][..], transfer), (&[1], allocate), (&[1], assign)];
    for (accounts, data) in instructions {
        message.push(2);
        // Lists are far shorter than the 128 from which their length takes a second byte.
        message.push(accounts.len() as u8);
        message.extend_from_slice(accounts);
        message.push(data.len() as u8);
        message.extend_from_slice(&data);
    }
    let mut wire = vec![2];
    for key in [payer, gate] {
        wire.extend_from_slice(key.sign_raw(&message).as_bytes());
    }
    wire.extend_from_slice(&message);
    wire
}

/// Waits until a transaction was executed; gives the slot.
fn wait(rpc: &Rpc, signature: &str, last: u64) -> Result<u64> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // The height first: what is not executed after the last one never is.
        let height = rpc.call("getBlockHeight", json!([{ "commitment": "processed" }]))?;
        let statuses = rpc.call("getSignatureStatuses", json!([[signature]]))?;
        let status = &statuses["value"][0];
        if !status.is_null() {
            return executed(rpc, signature, status);
        }
        if height.as_u64().is_some_and(|height| height > last) {
            return Err(anyhow::anyhow!(
                "transaction {signature} was not executed while its blockhash was valid"
            )
            .context(NextStep("run the command again")));
        }
        sleep(LOOK_INTERVAL);
    }
    bail!(
        "transaction {signature} was not executed within {} s",
        PATIENCE.as_secs()
    )
}

fn executed(rpc: &Rpc, signature: &str, status: &Value) -> Result<u64> {
    if !status["err"].is_null() {
        bail!("transaction {signature} failed: {}", status["err"]);
    }
    status["slot"].as_u64().ok_or_else(|| rpc.stranger())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_can_ask_for_everything() {
        assert_eq!(affordable(695_960).ok(), Some(695_960));
        let refused = affordable(RENT_MAX + 1).expect_err("it is too much");
        assert_eq!(
            crate::output::reason(&refused),
            "the node asks for 10000001 lamports for 9 bytes, the limit is 10000000"
        );
    }

    #[test]
    fn both_sign_one_message() {
        let (payer, gate) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let wire = transaction(&payer, &gate, 695_960, &[3; 32]);
        let (signatures, message) = wire[1..].split_at(128);
        assert_eq!(wire[0], 2);
        for (key, signature) in [&payer, &gate].into_iter().zip(signatures.chunks(64)) {
            assert_eq!(key.sign_raw(message).as_bytes(), signature);
        }
        assert!(
            trilith_engine_account::fuzz_transaction(&wire),
            "it is well formed"
        );
        assert!(wire.len() < 400, "{} bytes", wire.len());
    }
}
