//! The account runtime as Solana's clients meet it: a node of its own process, raw JSON-RPC.

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use support::{Node, http};
use tempfile::tempdir;
use trilith_cli::network::ACCOUNT_RUNTIME;
use trilith_client::{AccountAnswer, AccountError, Answer, CertificateKey, RootTrust};
use trilith_types::{Hash, Height, SecretKey};

/// Longest wait for a transaction.
const PATIENCE: Duration = Duration::from_secs(30);

/// One SOL.
const SOL: u64 = 1_000_000_000;

struct Rpc {
    url: String,
}

impl Rpc {
    fn of(node: &Node) -> Self {
        let mut lines = node.banner.iter();
        let url = lines.find_map(|line| line.trim().strip_prefix("account endpoint"));
        Self {
            url: url.expect("the banner has the endpoint").trim().to_owned(),
        }
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let body = body.to_string();
        let answer = http::post_as(&self.url, "/", "application/json", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("the answer is JSON")
    }

    fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params.clone());
        assert!(
            answer.get("result").is_some(),
            "{method} {params}: {answer}"
        );
        answer["result"].clone()
    }

    fn balance(&self, key: &Pubkey) -> u64 {
        self.result("getBalance", json!([key.to_string()]))["value"]
            .as_u64()
            .unwrap()
    }

    /// Waits until a transaction was executed; gives its status.
    fn status(&self, signature: &Value) -> Value {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let statuses = self.result("getSignatureStatuses", json!([[signature]]));
            if !statuses["value"][0].is_null() {
                return statuses["value"][0].clone();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{signature} was not executed");
    }

    fn airdrop(&self, key: &Pubkey, lamports: u64) {
        let signature = self.result("requestAirdrop", json!([key.to_string(), lamports]));
        assert_eq!(self.status(&signature)["err"], Value::Null);
    }

    /// Sends a transaction.
    fn send(&self, wire: &[u8], mut options: Value) -> Value {
        options["encoding"] = json!("base64");
        self.call(
            "sendTransaction",
            json!([BASE64_STANDARD.encode(wire), options]),
        )
    }

    /// A signed transfer, in base64.
    fn transfer(&self, from: &SecretKey, to: &Pubkey, lamports: u64) -> String {
        let latest = self.result("getLatestBlockhash", json!([]));
        let blockhash: Pubkey = latest["value"]["blockhash"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let mut message = vec![1, 0, 1, 3];
        message.extend(from.public().as_bytes());
        message.extend(to.to_bytes());
        message.extend([0; 32]);
        message.extend(blockhash.to_bytes());
        message.extend([1, 2, 2, 0, 1, 12, 2, 0, 0, 0]);
        message.extend(lamports.to_le_bytes());
        let mut wire = vec![1];
        wire.extend(from.sign_raw(&message).as_bytes());
        wire.extend(message);
        BASE64_STANDARD.encode(wire)
    }
}

fn key(secret: &SecretKey) -> Pubkey {
    Pubkey::new_from_array(*secret.public().as_bytes())
}

#[test]
fn money_moves_and_a_restart_keeps_it() {
    let folder = tempdir().unwrap();
    let payer = SecretKey::from_seed([1; 32]);
    let to = Pubkey::new_from_array([9; 32]);
    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    assert_eq!(rpc.result("getHealth", json!([])), "ok");
    let genesis = rpc.result("getGenesisHash", json!([]));
    rpc.airdrop(&key(&payer), 10 * SOL);
    let wire = rpc.transfer(&payer, &to, SOL);
    let signature = rpc.result("sendTransaction", json!([wire, {"encoding": "base64"}]));
    let status = rpc.status(&signature);
    assert_eq!(status["err"], Value::Null);
    assert_eq!(status["confirmationStatus"], "finalized");
    assert_eq!(rpc.balance(&to), SOL);
    assert_eq!(rpc.balance(&key(&payer)), 9 * SOL - 5_000);
    // The same again is refused with the code and data of a failed preflight.
    let again = rpc.call("sendTransaction", json!([wire, {"encoding": "base64"}]));
    assert_eq!(again["error"]["code"], -32002, "{again}");
    assert_eq!(again["error"]["data"]["err"], "AlreadyProcessed");
    let (ended, errors) = node.interrupt();
    assert!(ended.success(), "{errors}");

    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    assert_eq!(rpc.result("getGenesisHash", json!([])), genesis);
    assert_eq!(rpc.balance(&to), SOL);
    assert_eq!(rpc.status(&signature)["err"], Value::Null);
    let found = rpc.result("getTransaction", json!([signature]));
    assert_eq!(found["meta"]["fee"], 5_000);
    assert_eq!(
        found["meta"]["logMessages"],
        json!([
            "Program 11111111111111111111111111111111 invoke [1]",
            "Program 11111111111111111111111111111111 success",
        ])
    );
    let entries = rpc.result("getSignaturesForAddress", json!([to.to_string()]));
    assert_eq!(entries[0]["signature"], signature);
}

#[test]
fn refusals_of_transactions() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    let payer = SecretKey::from_seed([2; 32]);
    let to = Pubkey::new_from_array([8; 32]);
    rpc.airdrop(&key(&payer), SOL);
    let good = BASE64_STANDARD
        .decode(rpc.transfer(&payer, &to, SOL / 2))
        .unwrap();

    let too_much = BASE64_STANDARD
        .decode(rpc.transfer(&payer, &to, 5 * SOL))
        .unwrap();
    let failed = rpc.send(&too_much, json!({}));
    assert_eq!(failed["error"]["code"], -32002, "{failed}");
    let data = &failed["error"]["data"];
    assert_eq!(data["err"], json!({"InstructionError": [0, {"Custom": 1}]}));
    assert_eq!(data["unitsConsumed"], 150);
    assert!(data["logs"].to_string().contains("insufficient lamports"));

    let mut forged = good.clone();
    forged[5] ^= 1;
    assert_eq!(rpc.send(&forged, json!({}))["error"]["code"], -32003);

    let mut stale = good.clone();
    let blockhash = good.len() - 18 - 32;
    stale[blockhash] ^= 1;
    let simulated = rpc.result(
        "simulateTransaction",
        json!([BASE64_STANDARD.encode(&stale), {"encoding": "base64"}]),
    );
    assert_eq!(
        simulated["value"]["err"], "BlockhashNotFound",
        "{simulated}"
    );
    let replaced = rpc.result(
        "simulateTransaction",
        json!([
            BASE64_STANDARD.encode(&stale),
            {"encoding": "base64", "replaceRecentBlockhash": true},
        ]),
    );
    assert_eq!(replaced["value"]["err"], Value::Null, "{replaced}");
    assert!(replaced["value"]["replacementBlockhash"]["blockhash"].is_string());
    let both = rpc.call(
        "simulateTransaction",
        json!(["", {"encoding": "base64", "sigVerify": true, "replaceRecentBlockhash": true}]),
    );
    assert_eq!(both["error"]["code"], -32602);
    assert_eq!(rpc.balance(&to), 0);
}

#[test]
fn damaged_transactions_are_refused_and_change_nothing() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    let payer = SecretKey::from_seed([3; 32]);
    let to = Pubkey::new_from_array([7; 32]);
    rpc.airdrop(&key(&payer), SOL);
    let good = BASE64_STANDARD
        .decode(rpc.transfer(&payer, &to, SOL / 2))
        .unwrap();
    let refused = |wire: &[u8], what: usize| {
        let answer = rpc.send(wire, json!({}));
        let code = answer["error"]["code"].as_i64();
        assert!(
            matches!(code, Some(-32602 | -32002 | -32003)),
            "{what}: {answer}"
        );
    };
    for len in 0..good.len() {
        refused(&good[..len], len);
    }
    for at in (0..good.len()).step_by(3) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        refused(&damaged, at);
    }
    assert_eq!(rpc.balance(&to), 0);
    let sent = rpc.send(&good, json!({"skipPreflight": true}));
    assert_eq!(rpc.status(&sent["result"])["err"], Value::Null);
    assert_eq!(rpc.balance(&to), SOL / 2);
}

/// The program's data of Token-2022: more than a leaf holds.
fn large_account(rpc: &Rpc) -> Pubkey {
    let program = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
    let config = json!([program, {"encoding": "base64"}]);
    let account = rpc.result("getAccountInfo", config);
    let data = BASE64_STANDARD.decode(account["value"]["data"][0].as_str().unwrap());
    // Loader v3: a program holds the address of its data behind four bytes of a tag.
    Pubkey::try_from(&data.unwrap()[4..36]).unwrap()
}

fn prove(rpc: &Rpc, address: &Pubkey, more: &[&str]) -> std::process::Output {
    support::process::trilith()
        .args(["account", "proof", &address.to_string(), "--url", &rpc.url])
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn accounts_are_proven_up_to_the_validators_certificate() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    let owner = key(&SecretKey::from_seed([4; 32]));
    rpc.airdrop(&owner, 3 * SOL);
    let shown = |address: &Pubkey, more: &[&str]| -> Value {
        let output = prove(&rpc, address, &[more, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let small = shown(&owner, &[]);
    assert_eq!(small["account"]["lamports"], 3 * SOL, "{small}");
    assert_eq!(small["consensus_key_named_by_node"], true);
    let absent = shown(&Pubkey::new_from_array([77; 32]), &[]);
    assert_eq!(absent["account"], Value::Null);

    // With the keys of the genesis document nobody has to be believed.
    let large = large_account(&rpc);
    let proof = rpc.result("getAccountProof", json!([large.to_string()]));
    let hex_of = |field: &str| {
        let text = proof["value"]["network"][field].as_str().unwrap();
        hex::encode(BASE64_STANDARD.decode(text).unwrap())
    };
    let (chain, consensus_key) = (hex_of("chain"), hex_of("consensusKey"));
    let given = ["--chain", &chain, "--consensus-key", &consensus_key];
    let proven = shown(&large, &given);
    assert_eq!(proven["consensus_key_named_by_node"], false);
    let config = json!([large.to_string(), {"encoding": "base64"}]);
    let told = rpc.result("getAccountInfo", config);
    let data = proven["account"]["data"].as_str().unwrap();
    assert!(data.len() > 64 * 1024, "{} characters", data.len());
    assert_eq!(data, told["value"]["data"][0]);

    let other_chain = "00".repeat(32);
    let lie = ["--chain", &other_chain, "--consensus-key", &consensus_key];
    let refused = prove(&rpc, &owner, &lie);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(words.contains("is not to be believed"), "{words}");
}

/// Each link of a large account's answer, bent: the client refuses all of them.
#[test]
fn bent_proofs_of_accounts_are_refused() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let rpc = Rpc::of(&node);
    let large = large_account(&rpc);
    let proof = rpc.result("getAccountProof", json!([large.to_string()]));
    let value = &proof["value"];
    let bytes = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let link = |part: &str| Answer {
        key: bytes(&value[part]["key"]),
        value_proof: bytes(&value[part]["proof"]),
        header_proof: bytes(&value["headerProof"]),
        height: Height(value["height"].as_u64().unwrap()),
        root_state: Hash::from_slice(&bytes(&value["rootState"])).unwrap(),
        signature: bytes(&value["signature"]).try_into().unwrap(),
    };
    let good = AccountAnswer {
        leaf: link("account"),
        data: Some((link("data"), bytes(&value["data"]["bytes"]))),
    };
    let key = bytes(&value["network"]["consensusKey"]).try_into().unwrap();
    let consensus_key = CertificateKey::from_bytes(&key).unwrap();
    let chain = Hash::from_slice(&bytes(&value["network"]["chain"])).unwrap();
    let trust = RootTrust {
        chain: &chain,
        consensus_key: &consensus_key,
    };
    let verify = |answer: &AccountAnswer, address: &Pubkey| {
        answer.verify(&address.to_bytes(), &ACCOUNT_RUNTIME, &trust)
    };
    assert!(verify(&good, &large).unwrap().account.is_some());
    let other = Pubkey::new_from_array([5; 32]);
    assert_eq!(
        verify(&good, &other),
        Err(AccountError::OtherKey("account"))
    );
    let bent = |bend: &dyn Fn(&mut AccountAnswer)| {
        let mut answer = good.clone();
        bend(&mut answer);
        verify(&answer, &large).unwrap_err()
    };
    let data = |answer: &mut AccountAnswer| answer.data.take().unwrap();
    let missing = bent(&|answer| answer.data = None);
    assert_eq!(
        missing,
        AccountError::Image {
            found: 0,
            expected: 1
        }
    );
    let flipped = bent(&|answer| {
        let (link, mut bytes) = data(answer);
        bytes[70_000] ^= 1;
        answer.data = Some((link, bytes));
    });
    assert!(matches!(flipped, AccountError::Data { .. }), "{flipped}");
    let longer = bent(&|answer| {
        let (link, mut bytes) = data(answer);
        bytes.push(0);
        answer.data = Some((link, bytes));
    });
    assert!(matches!(longer, AccountError::Data { .. }), "{longer}");
    let swapped = bent(&|answer| answer.data = Some((answer.leaf.clone(), data(answer).1)));
    assert_eq!(swapped, AccountError::OtherKey("data"));
    let leaf = bent(&|answer| answer.leaf.value_proof[40] ^= 1);
    assert!(matches!(leaf, AccountError::Answer(_)), "{leaf}");
    let height = bent(&|answer| answer.leaf.height = answer.leaf.height.next());
    assert!(matches!(height, AccountError::Answer(_)), "{height}");
}
