//! What may enter the pool.

use super::harness::{Network, SOL};
use super::wire::{advance_nonce, key, keypair, transaction, transfer, unit_limit, unit_price};

#[test]
fn the_pool_takes_what_may_still_be_executed() {
    let mut network = Network::new();
    let (alice, bob) = (keypair(10), keypair(11));
    network.airdrop(&key(&alice), 5 * SOL);
    let chain = network.chain();
    let gift = [
        unit_limit(1_000),
        unit_price(77),
        transfer(&key(&alice), &key(&bob), SOL),
    ];
    let good = transaction(&gift, &[&alice], chain.blockhash);
    let admission = network.check(&good).expect("it may enter");
    assert_eq!(admission.sender, key(&alice).to_bytes());
    assert_eq!(admission.priority, 77);
    let slots = chain.last_valid_height;
    assert_eq!(
        admission.expires.0,
        chain.genesis_time + slots * chain.slot_nanos
    );
    let code = |network: &Network, bytes: &[u8]| network.check(bytes).expect_err("refused").code;
    let mut forged = good.clone();
    forged[9] ^= 1;
    // Codes are 100 and the position of the error among the ecosystem's.
    assert_eq!(code(&network, &forged), 112, "SignatureFailure");
    assert_eq!(code(&network, &good[..90]), 114, "SanitizeFailure");
    let unknown = transaction(&gift, &[&alice], solana_hash::Hash::default());
    assert_eq!(code(&network, &unknown), 107, "BlockhashNotFound");
    let nonce = [
        advance_nonce(&key(&bob), &key(&alice)),
        transfer(&key(&alice), &key(&bob), SOL),
    ];
    let nonce = transaction(&nonce, &[&alice], solana_hash::Hash::default());
    network.check(&nonce).expect("its nonce is looked at later");
    network.send_bytes(&good);
    assert_eq!(code(&network, &good), 106, "AlreadyProcessed");
    network.pass(200);
    let late = transaction(&gift[2..], &[&alice], chain.blockhash);
    assert_eq!(code(&network, &late), 107, "BlockhashNotFound");
}
