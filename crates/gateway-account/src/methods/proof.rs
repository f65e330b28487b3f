//! The call that proves an account. It is this project's own: Solana's interface has none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use trilith_engine_account::{account_image, account_key, is_large};

use crate::failure::{Failure, Outcome};
use crate::methods::{Context, ContextConfig, in_context};
use crate::params::Params;
use crate::port::Proof;
use crate::read;

/// `getAccountProof(address, {minContextSlot}?)`: the proof of an account, or of its absence, up to
/// the validators' certificate. Byte strings are base64. `data` is there where the account's data
/// stands outside its leaf.
pub(crate) fn get_account_proof(context: &Context<'_>, params: Params) -> Outcome {
    let (key, config): (String, Option<ContextConfig>) = params.up_to(1, 2)?;
    let address = read::pubkey(&key)?;
    let since = config.unwrap_or_default().min_context_slot;
    let chain = read::chain_since(context.view, since)?;
    let leaf = certified(read::asked(context.view.prove(&account_key(&address)))?)?;
    let network = context.gateway.network.as_ref().map(|network| {
        json!({
            "chain": BASE64.encode(network.chain),
            "consensusKey": BASE64.encode(&network.consensus_key),
            "runtime": BASE64.encode(network.runtime),
        })
    });
    let answer = json!({
        "height": leaf.height,
        "rootState": BASE64.encode(leaf.root_state),
        "signature": BASE64.encode(&leaf.signature),
        "headerProof": BASE64.encode(&leaf.header_proof),
        "account": { "key": BASE64.encode(&leaf.key), "proof": BASE64.encode(&leaf.value_proof) },
        "data": data(context, &address)?,
        "network": network,
    });
    in_context(chain.slot, &answer)
}

/// The data of an account whose leaf does not hold it.
fn data(context: &Context<'_>, address: &Pubkey) -> Result<Value, Failure> {
    let found = read::account(context.view, *address)?;
    let Some(account) = found.filter(|account| is_large(account.data.len())) else {
        return Ok(Value::Null);
    };
    let limit = context.gateway.limits.answer_data_bytes;
    if account.data.len() > limit {
        return Err(Failure::scan(format!(
            "the account has {} bytes of data, an answer carries at most {limit}",
            account.data.len()
        )));
    }
    let proof = certified(read::asked(
        context.view.prove_image(&account_image(address)),
    )?)?;
    Ok(json!({
        "key": BASE64.encode(&proof.key),
        "proof": BASE64.encode(&proof.value_proof),
        "bytes": BASE64.encode(&account.data),
    }))
}

/// After a restart a state has its certificate from the first new round on.
fn certified(proof: Option<Proof>) -> Result<Proof, Failure> {
    proof.ok_or_else(Failure::unhealthy)
}
