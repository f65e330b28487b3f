//! One proof shape: a value of the canister runtime's state, proven up to the validators'
//! certificate, by a running network, verified by the client library with the consensus key alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trilith_cli::network::{CANISTER_RUNTIME, Network};
use trilith_client::{AnswerError, CertificateKey, RootTrust};
use trilith_engine_canister::controller::ATTESTED_KEY;
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};

#[test]
fn a_value_is_proven_up_to_the_validators_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let executor = LocalExecutor::new(ExecutorConfig::default()).unwrap();
    let network = Network::start_with(folder.path(), Arc::new(executor)).unwrap();
    let begun = Instant::now();
    let (snapshot, answer) = loop {
        let snapshot = network.canisters.snapshot();
        if let Some(answer) = snapshot.answer(ATTESTED_KEY).unwrap() {
            break (snapshot, answer);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no round within a minute"
        );
        std::thread::yield_now();
    };
    let consensus_key = CertificateKey::from_bytes(&network.genesis.consensus_key.0).unwrap();
    let chain = network.genesis.chain_context();
    let trust = RootTrust {
        chain: &chain,
        consensus_key: &consensus_key,
    };
    let verified = answer.verify(&CANISTER_RUNTIME, &trust).unwrap();
    assert_eq!(verified.round, snapshot.round);
    let attested = snapshot.attested.as_ref().unwrap();
    assert_eq!(verified.state_root, attested.state_root);
    assert_eq!(verified.value.as_deref(), Some(&attested.value[..]));

    let absent = snapshot.answer(b"no such key").unwrap().unwrap();
    assert_eq!(
        absent.verify(&CANISTER_RUNTIME, &trust).unwrap().value,
        None
    );

    let mut forged = answer;
    forged.height = forged.height.next();
    let refused = forged.verify(&CANISTER_RUNTIME, &trust);
    assert!(
        matches!(refused, Err(AnswerError::Certificate(_))),
        "{refused:?}"
    );
}
