//! `trilith inspect state` and `trilith state`, as a user runs them on the folder of a stopped node.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use support::Node;
use support::process::trilith;
use tempfile::{TempDir, tempdir};
use trilith_cli::network::CANISTER_RUNTIME;
use trilith_proof::mkvs::{Proof, VerifiedTree};
use trilith_protocol::root::ROOT_RUNTIME;
use trilith_store::{ImageUpdate, ImageUpdateKind, Store};
use trilith_types::{Hash, ImageId, PAGE_BYTES, PageFile, PageRun, RuntimeId, WriteLogEntry};

const CANISTER: [&str; 2] = ["--runtime", "canister"];

fn entry(key: &str, value: Option<&[u8]>) -> WriteLogEntry {
    WriteLogEntry {
        key: key.into(),
        value: value.map(<[u8]>::to_vec),
    }
}

/// An image of four pages, of which the second is not zero.
fn image() -> ImageUpdate {
    let file: PageFile = Arc::new(tempfile::tempfile().unwrap());
    file.write_all_at(&[7; PAGE_BYTES], 0).unwrap();
    let run = PageRun {
        page: 1,
        count: 1,
        file,
        file_page: 0,
    };
    ImageUpdate {
        id: ImageId::new(b"heap".to_vec()).unwrap(),
        change: ImageUpdateKind::Write {
            reset: false,
            pages: 4,
            runs: vec![run],
        },
    }
}

/// A data folder as a node leaves it: the root, and a runtime with two checkpoints, four finalised
/// rounds of which each has the key `round`, and a candidate.
struct Sample {
    folder: TempDir,
    /// The roots of the runtime's rounds.
    roots: BTreeMap<u64, Hash>,
}

impl Sample {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let state = folder.path().join("state");
        let (store, _) = Store::open_dir(&state).unwrap();
        let log = vec![entry("chain", Some(b"test"))];
        let root = store.seal(ROOT_RUNTIME, 0, Hash::EMPTY, &log, &[]).unwrap();
        store.finalise(ROOT_RUNTIME, 0, root).unwrap();
        store.put_signed(b"slot", b"vote").unwrap();
        store.put_meta("genesis", b"of this network").unwrap();
        let (mut parent, mut roots) = (Hash::EMPTY, BTreeMap::new());
        for round in 3..=7u64 {
            let mut log: Vec<_> = (0..300u64)
                .filter(|number| round == 3 || number % 50 == round)
                .map(|number| entry(&format!("account {number:03}"), Some(&[round as u8; 90])))
                .collect();
            log.push(entry("round", Some(round.to_string().as_bytes())));
            let images = if round == 3 { vec![image()] } else { vec![] };
            let sealed = store.seal(CANISTER_RUNTIME, round, parent, &log, &images);
            parent = sealed.unwrap();
            if round < 7 {
                store.finalise(CANISTER_RUNTIME, round, parent).unwrap();
            }
            if round < 6 {
                store.checkpoint().unwrap();
            }
            roots.insert(round, parent);
        }
        store.sync().unwrap();
        Self { folder, roots }
    }

    fn inspect(&self, arguments: &[&str]) -> Output {
        inspect(self.folder.path(), arguments)
    }

    /// The result as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.inspect(&[arguments, &["--json"]].concat()))
    }
}

fn inspect(data: &Path, arguments: &[&str]) -> Output {
    let mut command = trilith();
    command.args(["inspect", "state", "--data"]).arg(data);
    command.args(arguments).output().unwrap()
}

fn state(arguments: &[&str], folders: &[(&str, &Path)]) -> Output {
    let mut command = trilith();
    command.arg("state").args(arguments);
    for (flag, folder) in folders {
        command.args(Some(*flag).filter(|flag| !flag.is_empty()));
        command.arg(folder);
    }
    command.output().unwrap()
}

/// The result of a command that worked.
fn result(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&result(output)).unwrap()
}

/// What a command said that failed for a reason, with what to do about it at the end.
fn failure(output: &Output) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "a failure has no result");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("  next: "), "no next step in {error}");
    error
}

/// What a command said whose arguments are wrong.
fn usage(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "a failure has no result");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Everything in a folder: names from there, and contents; `None` for folders.
fn contents(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            if bytes.is_none() {
                open.push(path);
            }
            found.insert(name, bytes);
        }
    }
    found
}

/// Verifies a proof in hexadecimal with nothing but the root.
fn verified(proof: &Value, root: &Hash) -> VerifiedTree {
    let bytes = hex::decode(proof.as_str().unwrap()).unwrap();
    Proof::decode(&bytes).unwrap().verify(root).unwrap()
}

#[test]
fn an_overview_has_roots_versions_and_sizes_and_changes_nothing() {
    let sample = Sample::new();
    let before = contents(sample.folder.path());
    let text = result(&sample.inspect(&[]));
    let overview = sample.json(&[]);
    let runtimes = overview["runtimes"].as_array().unwrap();
    assert_eq!(runtimes.len(), 2);
    assert_eq!(runtimes[0]["name"], "root");
    let canister = &runtimes[1];
    assert_eq!(canister["id"], CANISTER_RUNTIME.to_string());
    assert_eq!(canister["name"], "canister");
    let version = |round: &u64| {
        let root = sample.roots[round].to_string();
        serde_json::json!({ "round": round, "root": root })
    };
    assert_eq!(canister["current"], version(&6));
    assert_eq!(canister["candidates"], serde_json::json!([version(&7)]));
    let versions: Vec<Value> = (3..=6).map(|round| version(&round)).collect();
    assert_eq!(canister["versions"], Value::from(versions));
    assert_eq!(canister["images"], 1);
    assert_eq!(canister["image_bytes"], 4 * PAGE_BYTES);
    assert_eq!(overview["recovery"]["bytes_to_cut"], 0);
    assert_eq!(overview["recovery"]["records_replayed"], 3);
    assert_eq!(overview["signed_slots"], 1);
    assert_eq!(overview["blobs"][0]["name"], "genesis");
    let files = overview["files"].as_array().unwrap();
    let sum: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    assert_eq!(overview["bytes"], sum);
    for file in files {
        let name = format!("state/{}", file["name"].as_str().unwrap());
        let bytes = before[&name].as_ref().unwrap();
        assert_eq!(file["bytes"], bytes.len());
        assert!(text.contains(file["name"].as_str().unwrap()), "{text}");
    }
    for shown in [
        "runtime canister 8000",
        "4, of rounds 3 to 6",
        "candidates  1",
    ] {
        assert!(text.contains(shown), "no {shown} in {text}");
    }
    assert!(text.contains(&sample.roots[&6].to_string()), "{text}");
    let one = result(&sample.inspect(&CANISTER));
    for round in 3..=7 {
        assert!(one.contains(&sample.roots[&round].to_string()), "{one}");
    }
    assert!(one.contains("text:heap"), "{one}");
    assert!(!one.contains("runtime root"), "{one}");
    assert_eq!(contents(sample.folder.path()), before);
}

#[test]
fn a_key_comes_with_a_proof_that_others_verify() {
    let sample = Sample::new();
    let key = [&CANISTER[..], &["--key", "text:round"]].concat();
    let found = sample.json(&key);
    assert_eq!(found["present"], true);
    assert_eq!(
        (&found["value"], &found["value_text"]),
        (&"36".into(), &"6".into())
    );
    assert_eq!(found["root"], sample.roots[&6].to_string());
    let tree = verified(&found["proof"], &sample.roots[&6]);
    assert_eq!(tree.get(b"round"), Ok(Some(&b"6"[..])));

    // One round of the past, by its key in hexadecimal, with the proof in a file.
    let file = sample.folder.path().join("proof");
    let past = [
        &CANISTER[..],
        &["--key", "0x726f756e64", "--round", "4", "--proof"],
    ]
    .concat();
    let text = result(&sample.inspect(&[&past[..], &[file.to_str().unwrap()]].concat()));
    assert!(text.contains("text:4\n"), "{text}");
    let proof = Proof::decode(&fs::read(&file).unwrap()).unwrap();
    let tree = proof.verify(&sample.roots[&4]).unwrap();
    assert_eq!(tree.get(b"round"), Ok(Some(&b"4"[..])));

    // Of a key that is not there, its absence is proven.
    let absent = [&CANISTER[..], &["--key", "text:rounds"]].concat();
    let found = sample.json(&absent);
    assert_eq!(
        (&found["present"], &found["value"]),
        (&false.into(), &Value::Null)
    );
    let tree = verified(&found["proof"], &sample.roots[&6]);
    assert_eq!(tree.get(b"rounds"), Ok(None));
    let text = result(&sample.inspect(&absent));
    assert!(text.contains("none: the state has no such key"), "{text}");

    let list = [
        &CANISTER[..],
        &["--prefix", "text:account 00", "--limit", "4"],
    ]
    .concat();
    let listing = sample.json(&list);
    let keys = listing["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &listing["more"]), (4, &true.into()));
    assert_eq!(keys[3]["key_text"], "account 003");
    assert_eq!(keys[3]["value_bytes"], 90);
    let all = sample.json(&[&CANISTER[..], &["--prefix", "", "--limit", "1000"]].concat());
    // With the leaf of the image.
    assert_eq!(all["keys"].as_array().unwrap().len(), 302);
    assert_eq!(all["more"], false);
}

#[test]
fn a_check_finds_a_flipped_byte_and_names_the_file() {
    let sample = Sample::new();
    let intact = sample.json(&["--check"]);
    assert_eq!(intact["intact"], true);
    // Two current versions and a candidate; three of the past.
    assert_eq!(
        (&intact["versions"], &intact["past_versions"]),
        (&3.into(), &3.into())
    );
    assert_eq!(intact["entries"], 1 + 2 * 302);
    assert_eq!(
        (&intact["images"], &intact["pages"]),
        (&2.into(), &2.into())
    );
    let folder = sample.folder.path().join("state");
    let files = contents(&folder);
    // It ends in records that no later one vouches for: there, damage is a tail that was torn off.
    let last_log = files.keys().rfind(|name| name.ends_with(".log")).unwrap();
    let (mut kinds, mut in_page) = (BTreeSet::new(), false);
    for (name, bytes) in &files {
        if name == "LOCK" || name == last_log {
            continue;
        }
        let bytes = bytes.as_ref().unwrap();
        let kind = name.rsplit('.').next().unwrap();
        let mut damaged = bytes.clone();
        let at = match bytes.iter().position(|byte| *byte == 7) {
            Some(at) if bytes[at..].starts_with(&[7; PAGE_BYTES]) => {
                in_page = true;
                at + PAGE_BYTES / 2
            }
            // Padding is zero, and nothing depends on it.
            _ => (bytes.len() / 2..).find(|at| bytes[*at] != 0).unwrap(),
        };
        damaged[at] ^= 1;
        fs::write(folder.join(name), damaged).unwrap();
        let error = failure(&sample.inspect(&["--check"]));
        assert!(error.contains(name.as_str()), "{name}, byte {at}: {error}");
        assert!(error.contains("restore the data folder"), "{error}");
        fs::write(folder.join(name), bytes).unwrap();
        kinds.insert(kind);
    }
    assert!(in_page, "no page was damaged");
    let kinds: Vec<&str> = kinds.into_iter().collect();
    assert_eq!(kinds, ["CURRENT", "blobs", "checkpoint", "log"]);
    let text = result(&sample.inspect(&["--check"]));
    assert!(text.contains("is intact"), "{text}");
    assert!(text.contains("3 of the past with every entry"), "{text}");
    let once = sample.json(&["--check", "--skip-past"]);
    assert_eq!(
        (&once["versions"], &once["past_versions"]),
        (&3.into(), &Value::Null)
    );
}

#[test]
fn a_torn_tail_is_reported_and_left_alone() {
    let sample = Sample::new();
    let folder = sample.folder.path().join("state");
    let logs = contents(&folder);
    let name = logs.keys().rfind(|name| name.ends_with(".log")).unwrap();
    let log = fs::OpenOptions::new().append(true).open(folder.join(name));
    std::io::Write::write_all(&mut log.unwrap(), &[1; 1000]).unwrap();
    let before = contents(&folder);
    let overview = sample.json(&[]);
    assert_eq!(overview["recovery"]["bytes_to_cut"], 1000);
    let text = result(&sample.inspect(&["--check"]));
    assert!(text.contains("1000 bytes behind the last"), "{text}");
    assert_eq!(contents(&folder), before);
}

#[test]
fn an_exported_state_is_verified_and_imported_with_the_same_root() {
    let sample = Sample::new();
    let other = tempdir().unwrap();
    let (data, out) = (sample.folder.path(), other.path().join("export"));
    let before = contents(data);
    let export = ["export", "--runtime", "canister", "--json"];
    let exported = json(&state(&export, &[("--data", data), ("--out", &out)]));
    assert_eq!(contents(data), before);
    let root = sample.roots[&6].to_string();
    assert_eq!(
        (&exported["root"], &exported["round"]),
        (&root.clone().into(), &6.into())
    );
    assert_eq!(exported["page_files"], 1);
    let again = json(&state(&export, &[("--data", data), ("--out", &out)]));
    assert_eq!(again, exported);

    let verify = state(&["verify", "--root", &root], &[("", &out)]);
    assert!(result(&verify).contains(&root));
    assert!(verify.stderr.is_empty(), "the root was given");
    let wrong = Hash::EMPTY.to_string();
    let error = failure(&state(&["verify", "--root", &wrong], &[("", &out)]));
    assert!(
        error.contains(&format!("has root {root}, not {wrong}")),
        "{error}"
    );

    // A damaged export is refused, and leaves nothing of the folder that was to be made.
    let new = other.path().join("new");
    let import = [("--from", &*out), ("--data", &*new)];
    let pages = out.join("pages-000000");
    let mut bytes = fs::read(&pages).unwrap();
    bytes[100] ^= 1;
    fs::write(&pages, &bytes).unwrap();
    for output in [
        state(&["verify"], &[("", &out)]),
        state(&["import"], &import),
    ] {
        let error = failure(&output);
        assert!(
            error.contains("pages-000000 of the checkpoint is refused"),
            "{error}"
        );
    }
    assert!(!new.exists());
    bytes[100] ^= 1;
    fs::write(&pages, &bytes).unwrap();

    let imported = state(&["import"], &import);
    assert!(result(&imported).contains(&root));
    let note = String::from_utf8(imported.stderr).unwrap();
    assert!(note.contains("--root"), "{note}");
    let overview = json(&inspect(&new, &["--json"]));
    assert_eq!(overview["runtimes"][0]["current"]["root"], root);
    let key = [&CANISTER[..], &["--key", "text:account 299", "--json"]].concat();
    assert_eq!(json(&inspect(&new, &key))["value"], hex::encode([3; 90]));
    result(&inspect(&new, &["--check"]));

    let before = contents(&new);
    let error = failure(&state(&["import"], &import));
    assert!(error.contains("has a version already"), "{error}");
    assert_eq!(json(&inspect(&new, &["--json"])), overview);
    assert_eq!(contents(&new).len(), before.len());
    let past = [("--data", data), ("--out", &*out)];
    let error = failure(&state(
        &["export", "--runtime", "canister", "--round", "4"],
        &past,
    ));
    assert!(error.contains("already holds a checkpoint"), "{error}");
}

#[test]
fn what_is_no_data_folder_is_an_error_and_stays_as_it_is() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), b"").unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    fs::create_dir_all(path("begun/state")).unwrap();
    let sample = Sample::new();
    let before = contents(folder.path());
    for (name, expected) in [
        ("missing", "there is no folder"),
        ("file", "is not a folder"),
        ("empty", "has no folder `state`"),
        ("begun", "holds no store yet"),
    ] {
        let error = failure(&inspect(&path(name), &["--check"]));
        assert!(error.contains(expected), "{expected} in {error}");
        assert!(error.contains("--data"), "{error}");
        let export = ["export", "--runtime", "root"];
        let folders = [("--data", &*path(name)), ("--out", &*path("out"))];
        failure(&state(&export, &folders));
    }
    let error = failure(&inspect(&sample.folder.path().join("state"), &[]));
    assert!(error.contains("give the folder above it"), "{error}");
    let error = failure(&state(&["verify"], &[("", &path("empty"))]));
    assert!(error.contains("no complete export"), "{error}");
    let folders = [("--from", &*path("empty")), ("--data", &*path("new"))];
    failure(&state(&["import"], &folders));
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn what_a_folder_does_not_have_is_said() {
    let sample = Sample::new();
    let unknown = RuntimeId::test(9).to_string();
    let error = failure(&sample.inspect(&["--runtime", &unknown]));
    assert!(
        error.contains("has no state in this data folder"),
        "{error}"
    );
    let key = [&CANISTER[..], &["--key", "00", "--round", "2"]].concat();
    let error = failure(&sample.inspect(&key));
    assert!(
        error.contains("the 4 versions that are kept, of rounds 3 to 6"),
        "{error}"
    );
    for (arguments, expected) in [
        (&["--runtime", "canister", "--key", "0g"][..], "text:"),
        (&["--runtime", "canisters"], "root, canister, account, or"),
        (&["--key", "00"], "--runtime"),
        (&["--round", "3"], "--key"),
        (&["--check", "--runtime", "root"], "cannot be used with"),
    ] {
        let error = usage(&sample.inspect(arguments));
        assert!(error.contains(expected), "{expected} in {error}");
        assert!(error.contains("--help"), "{error}");
    }
}

#[test]
fn the_folder_of_a_running_node_is_left_to_it() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let error = failure(&inspect(folder.path(), &[]));
    assert!(error.contains("is in use by another process"), "{error}");
    assert!(error.contains("stop the node"), "{error}");
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{errors}");
    let overview = json(&inspect(folder.path(), &["--json"]));
    let names: Vec<&Value> = overview["runtimes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|runtime| &runtime["name"])
        .collect();
    assert_eq!(names, ["root", "canister", "account"]);
    result(&inspect(folder.path(), &["--check"]));
    // Looking at it keeps no node from going on with it.
    let node = Node::start(folder.path());
    assert!(node.banner[0].contains("continued"), "{:?}", node.banner);
}
