//! The real engine behind the gateway, asked and deployed to by those who mean it no good.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_gateway_account::fuzz_body;
use trilith_gateway_account::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};
use trilith_local::{Failed, Local, LocalError};
use trilith_protocol::{Fault, QueryError};
use trilith_types::{ImageId, Round};

use super::wire::{MEMO, SOL, key, keypair, memo, memo_program, transaction, transfer, unit_limit};

/// An instance, as a gateway sees a node.
#[derive(Clone)]
struct Port(Arc<Mutex<Local>>);

impl NodePort for Port {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let view = self.current();
        Box::pin(async move { view })
    }

    fn current(&self) -> Arc<dyn StateView> {
        Arc::new(self.clone())
    }

    fn submit(&self, _: Vec<u8>) -> Result<(), SubmitError> {
        Ok(())
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        watch::channel(Round(1)).1
    }

    fn look(&self) {}

    fn is_healthy(&self) -> bool {
        true
    }
}

impl StateView for Port {
    fn round(&self) -> Round {
        Round(1)
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        let local = self.0.lock().expect("nobody panicked");
        local.ask(question).map_err(|error| match error {
            LocalError::Query(error) => error,
            other => Fault(other.to_string()).into(),
        })
    }

    fn prove(&self, _: &[u8]) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn prove_image(&self, _: &ImageId) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        match self.ask(&Question::Chain)? {
            Answer::Chain(chain) => Ok(chain.into()),
            _ => Err(Fault("another answer".into()).into()),
        }
    }
}

/// Methods with good parameters.
fn methods(some: &str, signature: &str, message: &str) -> Vec<(&'static str, Vec<Value>)> {
    let token = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
    let form = json!({"encoding": "base64", "dataSlice": {"offset": 1, "length": 2}});
    let filters = json!({"filters": [{"dataSize": 82}, {"memcmp": {"offset": 4, "bytes": "3M"}}]});
    vec![
        ("getAccountInfo", vec![json!(some), form.clone()]),
        ("getBalance", vec![json!(some)]),
        ("getBlock", vec![json!(0)]),
        ("getBlocks", vec![json!(0), json!(5)]),
        ("getBlocksWithLimit", vec![json!(0), json!(3)]),
        (
            "getBlockProduction",
            vec![json!({"range": {"firstSlot": 0}})],
        ),
        ("getBlockTime", vec![json!(0)]),
        ("getFeeForMessage", vec![json!(message)]),
        (
            "getInflationReward",
            vec![json!([some]), json!({"epoch": 0})],
        ),
        ("getLargestAccounts", vec![json!({"filter": "circulating"})]),
        ("getLeaderSchedule", vec![json!(0)]),
        ("getMinimumBalanceForRentExemption", vec![json!(10)]),
        ("getMultipleAccounts", vec![json!([some]), form.clone()]),
        ("getProgramAccounts", vec![json!(token), filters]),
        ("getRecentPerformanceSamples", vec![json!(5)]),
        ("getRecentPrioritizationFees", vec![json!([some])]),
        ("getSignatureStatuses", vec![json!([signature])]),
        (
            "getSignaturesForAddress",
            vec![json!(some), json!({"limit": 9, "before": signature})],
        ),
        ("getSlotLeaders", vec![json!(0), json!(10)]),
        ("getTokenAccountBalance", vec![json!(some)]),
        (
            "getTokenAccountsByOwner",
            vec![json!(some), json!({"programId": token}), form],
        ),
        ("getTokenLargestAccounts", vec![json!(some)]),
        ("getTokenSupply", vec![json!(some)]),
        (
            "getTransaction",
            vec![json!(signature), json!("jsonParsed")],
        ),
        ("isBlockhashValid", vec![json!(some)]),
        ("requestAirdrop", vec![json!(some), json!(5)]),
        (
            "sendTransaction",
            vec![json!(message), json!({"encoding": "base64"})],
        ),
        (
            "simulateTransaction",
            vec![
                json!(message),
                json!({"encoding": "base64", "sigVerify": true}),
            ],
        ),
    ]
}

/// Values where others are expected.
fn odd() -> Vec<Value> {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    let mut odd = vec![deep, json!("1".repeat(1_700)), json!(vec![1; 1_001])];
    odd.extend((0..64).map(|bit| json!(1u64 << bit)));
    odd.extend([
        json!(u64::MAX),
        json!(10 * 1024 * 1024 + 1),
        json!(-1),
        json!(i64::MIN),
        json!(0.5),
        json!(null),
        json!(true),
        json!(""),
        json!("AAAA"),
        json!([]),
        json!({}),
        json!(vec![Pubkey::default().to_string(); 101]),
        json!({"limit": u64::MAX}),
        json!({"epoch": u64::MAX}),
        json!({"range": {"firstSlot": 0, "lastSlot": u64::MAX}}),
        json!({"dataSlice": {"offset": u64::MAX, "length": u64::MAX}, "encoding": "base64"}),
        json!({"minContextSlot": u64::MAX}),
        json!({"filters": [{"memcmp": {"offset": u64::MAX, "bytes": "3M"}}]}),
        json!({"filters": [{"dataSize": u64::MAX}]}),
    ]);
    odd
}

#[test]
fn odd_parameters_are_answered_by_every_method() {
    let alice = keypair(1);
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), SOL).expect("lamports");
    let call = transaction(&[memo(MEMO, "x")], &[&alice], svm.latest_blockhash());
    let sent = svm.send(call).expect("it succeeds");
    let signature = sent.signature().to_string();
    svm.next_slot().expect("a slot");
    let some = key(&alice).to_string();
    let port = Arc::new(Port(Arc::new(Mutex::new(svm))));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("threads start");
    let mut answered = 0;
    for (method, good) in methods(&some, &signature, "AQID") {
        for place in 0..good.len() {
            for odd in odd() {
                let mut params = good.clone();
                params[place] = odd;
                let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
                let body = body.to_string();
                let answer = runtime
                    .block_on(fuzz_body(port.clone(), body.as_bytes()))
                    .expect("it has an id");
                let answer: Value = serde_json::from_str(&answer).expect("answers are JSON");
                // The faucet is not there; nothing else is this side's fault.
                let refusal = answer["error"]["message"].as_str().unwrap_or_default();
                assert!(
                    answer["error"]["code"] != -32603 || method == "requestAirdrop",
                    "{body}: {refusal}"
                );
                answered += 1;
            }
        }
    }
    assert!(answered > 3_000, "{answered} calls");
    // The gateway refuses lengths that no account has; the engine survives them.
    let local = port.0.lock().expect("nobody panicked");
    assert!(local.minimum_balance(u64::MAX) > local.minimum_balance(10 * 1024 * 1024));
}

/// A good program file with bytes set or bits flipped, and perhaps cut or longer.
fn altered_file() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..8);
    // Headers and tables are where a file can lie; most edits go there.
    let near = any::<bool>();
    let cut = prop::option::weighted(0.2, any::<Index>());
    (edits, near, cut).prop_map(|(edits, near, cut)| {
        let mut bytes = memo_program();
        let len = bytes.len();
        for (place, byte, flip) in edits {
            let at = if near {
                place.index(64)
            } else {
                len - 1 - place.index(len)
            };
            bytes[at] = if flip {
                bytes[at] ^ (1 << (byte % 8))
            } else {
                byte
            };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(len));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn altered_programs_are_refused_or_bounded(elf in altered_file()) {
        let (alice, bob, id) = (keypair(1), keypair(2), Pubkey::new_from_array([9; 32]));
        let mut svm = Local::new();
        svm.airdrop(&key(&alice), SOL).expect("lamports");
        if svm.add_program(id, &elf).is_ok() {
            let call = [unit_limit(20_000), memo(id, "hello")];
            let call = transaction(&call, &[&alice], svm.latest_blockhash());
            match svm.send(call) {
                Ok(sent) => prop_assert!(sent.units() <= 20_000),
                Err(Failed::Charged(sent)) => prop_assert!(sent.units() <= 20_000),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        let gift = [transfer(&key(&alice), &key(&bob), SOL / 100)];
        let gift = transaction(&gift, &[&alice], svm.latest_blockhash());
        prop_assert!(svm.send(gift).is_ok());
        prop_assert_eq!(svm.balance(&key(&bob)), SOL / 100);
    }

    #[test]
    fn bytes_are_no_program(elf in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut svm = Local::new();
        let id = Pubkey::new_from_array([9; 32]);
        let refused = svm.add_program(id, &elf);
        let is_refused = matches!(refused, Err(LocalError::Program { .. }));
        prop_assert!(is_refused);
        prop_assert!(svm.account(&id).is_none());
    }
}

/// Programs whose accounts and instructions the interface takes apart.
fn known_programs() -> Vec<Pubkey> {
    [
        "11111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "Config1111111111111111111111111111111111111",
        "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        "Stake11111111111111111111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
        "Vote111111111111111111111111111111111111111",
    ]
    .map(Pubkey::from_str_const)
    .to_vec()
}

/// Lengths and first bytes by which accounts and instructions of these programs are told apart,
/// then bytes that mean nothing.
fn shaped_bytes() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        prop::sample::select(vec![
            0usize, 4, 5, 36, 45, 56, 80, 82, 165, 166, 200, 355, 3_762
        ]),
        0usize..400,
    ];
    let head = prop::collection::vec(0u8..6, 4);
    (len, head, any::<u64>()).prop_map(|(len, head, seed)| {
        let mut state = seed | 1;
        let mut bytes: Vec<u8> = (0..len)
            .map(|_| {
                // A xorshift; every second byte small, because numbers in these layouts are.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let byte = (state >> 24) as u8;
                if state & 1 == 0 { byte % 3 } else { byte }
            })
            .collect();
        for (byte, first) in bytes.iter_mut().zip(head) {
            *byte = first;
        }
        bytes
    })
}

/// Asks an instance and gives the answer.
fn asked(port: &Port, method: &str, params: Value) -> Value {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("threads start");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let body = body.to_string();
    let answer = fuzz_body(Arc::new(port.clone()), body.as_bytes());
    let answer = runtime.block_on(answer).expect("it has an id");
    serde_json::from_str(&answer).expect("answers are JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn accounts_that_mean_nothing_are_shown(
        owner in prop::sample::select(known_programs()),
        data in shaped_bytes(),
    ) {
        let mut svm = Local::new();
        let id = Pubkey::new_from_array([9; 32]);
        let account = solana_account::Account {
            lamports: 1,
            data,
            owner,
            executable: false,
            rent_epoch: u64::MAX,
        };
        svm.set_account(id, account).expect("it is written");
        let port = Port(Arc::new(Mutex::new(svm)));
        let form = json!({"encoding": "jsonParsed"});
        let shown = asked(&port, "getAccountInfo", json!([id.to_string(), form]));
        prop_assert_eq!(&shown["result"]["value"]["owner"], &json!(owner.to_string()));
        let listed = asked(&port, "getProgramAccounts", json!([owner.to_string(), form]));
        prop_assert!(listed["error"]["code"] != -32603, "{listed}");
    }

    #[test]
    fn instructions_that_mean_nothing_are_shown(
        program in prop::sample::select(known_programs()),
        data in shaped_bytes(),
        accounts in 0usize..12,
    ) {
        let alice = keypair(1);
        let mut svm = Local::new();
        svm.airdrop(&key(&alice), SOL).expect("lamports");
        let accounts = (0..accounts)
            .map(|at| AccountMeta::new_readonly(Pubkey::new_from_array([at as u8; 32]), false))
            .collect();
        let data = &data[..data.len().min(500)];
        let call = [Instruction::new_with_bytes(program, data, accounts)];
        let call = transaction(&call, &[&alice], svm.latest_blockhash());
        let signature = call.signatures[0].to_string();
        // Nearly all fail; what was charged is shown.
        let _sent = svm.send(call);
        let known = svm.transaction(&signature.parse().expect("it is one")).is_some();
        let port = Port(Arc::new(Mutex::new(svm)));
        let found = asked(&port, "getTransaction", json!([signature, "jsonParsed"]));
        prop_assert_eq!(found["result"].is_object(), known, "{}", found);
    }
}
