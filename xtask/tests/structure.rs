//! The workspace's shape, as tests: which crate may know which (the table in
//! `docs/architecture.md` is the rule, so that the document cannot drift), and rules of style that
//! compiler and clippy do not check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

const PREFIX: &str = "trilith-";

/// Lines a source file may have, and lines a test file may have.
const SOURCE_LINES_MAX: usize = 800;
const TEST_LINES_MAX: usize = 1_500;

/// Files that may contain unsafe code: they map files, start processes or talk to the kernel.
const UNSAFE_FILES: [&str; 12] = [
    "crates/engine-canister/src/executor/heap.rs",
    "crates/engine-canister/src/executor/memory.rs",
    "crates/engine-canister/src/executor/mod.rs",
    "crates/engine-canister/src/executor/pagemap.rs",
    "crates/engine-canister/tests/desks/mod.rs",
    "crates/jail/src/channel.rs",
    "crates/jail/src/enter/descriptors.rs",
    "crates/jail/src/enter/privileges.rs",
    "crates/jail/src/enter/tracking.rs",
    "crates/jail/src/enter/warden.rs",
    "crates/jail/src/process.rs",
    "crates/jail/tests/jail.rs",
];

/// Code whose results every node must share.
const DETERMINISTIC: [&str; 10] = [
    "crates/types/src",
    "crates/params/src",
    "crates/proof/src",
    "crates/mkvs/src",
    "crates/protocol/src",
    "crates/root/src",
    "crates/engine-account/src/bank",
    "crates/engine-canister/src/certified",
    "crates/engine-canister/src/controller",
    "crates/engine-canister/src/ingress",
];

/// Names that bring a clock, entropy, hash order, floats, threads or the environment with them.
const NOT_DETERMINISTIC: [&str; 10] = [
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "OsRng",
    "thread_rng",
    "f32",
    "f64",
    "std::thread",
    "std::env",
];

/// Words that name nothing; no file, module or type is called so.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "manager"];

/// Words of test doubles, which stay out of the product.
const DOUBLE_WORDS: [&str; 4] = ["mock", "stub", "dummy", "placeholder"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace's folder")
        .to_path_buf()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .expect("cargo metadata works in a workspace that was just built")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crate table: crate name to the crates it may depend on, both without the prefix.
fn allowed_edges() -> BTreeMap<String, BTreeSet<String>> {
    let text = read(&root().join("docs/architecture.md"));
    let mut rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate "))
        .take_while(|line| line.starts_with('|'));
    let heading = rows
        .next()
        .expect("docs/architecture.md has a crate table with the heading `| crate`");
    assert!(
        heading.contains("may know"),
        "the last column is `may know`"
    );
    rows.skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 3, "three columns in: {row}");
            (code_words(cells[0]).concat(), names(cells[2]))
        })
        .collect()
}

fn names(cell: &str) -> BTreeSet<String> {
    code_words(cell).into_iter().collect()
}

/// The words in backquotes.
fn code_words(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn short_name(package: &Package) -> String {
    package.name.trim_start_matches(PREFIX).to_owned()
}

fn edges(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some() && kinds.contains(&dependency.kind))
        .map(|dependency| dependency.name.trim_start_matches(PREFIX).to_owned())
        .collect()
}

#[test]
fn crates_know_only_what_the_architecture_table_lists() {
    let allowed = allowed_edges();
    let metadata = metadata();
    let mut wrong = Vec::new();
    let mut present = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let name = short_name(package);
        let Some(may_know) = allowed.get(&name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        let kinds = [DependencyKind::Normal, DependencyKind::Build];
        for edge in edges(package, &kinds).difference(may_know) {
            wrong.push(format!("{name} depends on {edge}"));
        }
        present.insert(name);
    }
    for name in allowed.keys().filter(|name| !present.contains(*name)) {
        wrong.push(format!("{name} is in the table and not in the workspace"));
    }
    assert!(
        wrong.is_empty(),
        "docs/architecture.md does not allow:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_table_has_no_cycle_and_lists_lower_crates_first() {
    let text = read(&root().join("docs/architecture.md"));
    let allowed = allowed_edges();
    let mut above = BTreeSet::new();
    for row in text
        .lines()
        .skip_while(|line| !line.starts_with("| crate "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let name = code_words(row).first().cloned().unwrap_or_default();
        for edge in &allowed[&name] {
            assert!(
                above.contains(edge),
                "{name} may know {edge}, which the table lists later or not at all"
            );
        }
        above.insert(name);
    }
    assert_eq!(above.len(), allowed.len(), "a crate has two rows");
}

#[test]
fn engines_and_gateways_stay_apart_even_in_tests() {
    let metadata = metadata();
    let kinds = [
        DependencyKind::Normal,
        DependencyKind::Build,
        DependencyKind::Development,
    ];
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = short_name(package);
        let forbidden = |edge: &str| match name.split_once('-').map(|(kind, _)| kind) {
            Some("engine") => {
                edge.starts_with("engine-")
                    || edge.starts_with("gateway-")
                    || ["node", "ordering", "root"].contains(&edge)
            }
            Some("gateway") => ["store", "mkvs", "ordering", "root", "host"].contains(&edge),
            _ => name == "node" && edge.starts_with("engine-"),
        };
        for edge in edges(package, &kinds) {
            if forbidden(&edge) {
                wrong.push(format!("{name} depends on {edge}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in metadata().workspace_packages() {
        let manifest = read(package.manifest_path.as_std_path());
        let mut lines = manifest
            .lines()
            .skip_while(|line| line.trim() != "[lints]")
            .skip(1);
        assert_eq!(
            lines.next().map(str::trim),
            Some("workspace = true"),
            "{} does not take the workspace's lints",
            package.name
        );
    }
}

/// A Rust file of the workspace, with its path from the root.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let in_folder = ["/tests/", "/benches/"]
            .iter()
            .any(|folder| self.path.contains(folder));
        in_folder || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// The lines before an inline test module, numbered from 1.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(|(_, line)| *line != "#[cfg(test)]")
    }
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["bench", "crates", "xtask", "fuzz"] {
        collect(&root, &root.join(folder), &mut found);
    }
    assert!(found.len() > 20, "only {} Rust files found", found.len());
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).expect("found under the root");
            found.push(Source {
                path: relative.to_string_lossy().into_owned(),
                text: read(&path),
            });
        }
    }
}

/// Fails with every violation that `judge` finds, not only with the first.
fn check(judge: impl Fn(&Source, &mut Vec<String>)) {
    let mut wrong = Vec::new();
    for source in sources() {
        judge(&source, &mut wrong);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Splits identifiers and prose into lower-case words: `MockStore`, `mock_store` and `mock` all
/// contain the word `mock`.
fn words(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut after_lower = false;
    for character in line.chars() {
        let starts_word = character.is_uppercase() && after_lower;
        if starts_word || !character.is_alphanumeric() {
            found.push(String::new());
        }
        if character.is_alphanumeric() {
            let word = found.last_mut().expect("never empty");
            word.extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase();
    }
    found
}

#[test]
fn files_stay_short() {
    check(|source, wrong| {
        let lines = source.text.lines().count();
        let limit = if source.is_test() {
            TEST_LINES_MAX
        } else {
            SOURCE_LINES_MAX
        };
        if lines > limit {
            wrong.push(format!("{}: {lines} lines, limit {limit}", source.path));
        }
    });
}

#[test]
fn names_say_something() {
    check(|source, wrong| {
        let stem = Path::new(&source.path).file_stem().unwrap_or_default();
        if EMPTY_NAMES.contains(&stem.to_string_lossy().as_ref()) {
            wrong.push(format!("{}: the name says nothing", source.path));
        }
        for (number, line) in source.text.lines().enumerate() {
            let mut tokens = line.split_whitespace();
            let declares = tokens
                .by_ref()
                .any(|token| ["mod", "struct", "enum", "trait"].contains(&token));
            let named = tokens.next().unwrap_or_default();
            if declares
                && !line.trim_start().starts_with("//")
                && words(named)
                    .iter()
                    .any(|word| EMPTY_NAMES.contains(&word.as_str()))
            {
                wrong.push(format!(
                    "{}:{}: `{named}` says nothing",
                    source.path,
                    number + 1
                ));
            }
        }
    });
}

#[test]
fn test_doubles_stay_out_of_the_product() {
    check(|source, wrong| {
        if source.is_test() || source.path.starts_with("xtask/") {
            return;
        }
        for (number, line) in source.product_lines() {
            for word in words(line) {
                if DOUBLE_WORDS.contains(&word.as_str()) {
                    wrong.push(format!("{}:{number}: the word `{word}`", source.path));
                }
            }
        }
    });
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    // Put together at run time, so that this file does not contain what it forbids.
    let forbidden = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["#[ig", "nore"].concat(),
    ];
    check(|source, wrong| {
        for (number, line) in source.text.lines().enumerate() {
            for needle in &forbidden {
                if line.contains(needle.as_str()) {
                    wrong.push(format!("{}:{}: {needle}", source.path, number + 1));
                }
            }
        }
    });
}

#[test]
fn no_file_depends_on_one_machine() {
    let forbidden = [
        ["/wo", "rk/"].concat(),
        ["../sha", "red"].concat(),
        ["/ho", "me/"].concat(),
        ["/ro", "ot/."].concat(),
    ];
    check(|source, wrong| {
        for (number, line) in source.text.lines().enumerate() {
            for needle in &forbidden {
                if line.contains(needle.as_str()) {
                    wrong.push(format!("{}:{}: {needle}", source.path, number + 1));
                }
            }
        }
    });
}

#[test]
fn unsafe_code_stays_in_the_listed_files() {
    let attribute = ["allow(unsafe", "_code)"].concat();
    check(|source, wrong| {
        let allows = source.text.contains(&attribute);
        let listed = UNSAFE_FILES.contains(&source.path.as_str());
        if allows && !listed {
            wrong.push(format!("{}: not in UNSAFE_FILES", source.path));
        }
        let blocks = count(&source.text, "unsafe {") + count(&source.text, "unsafe impl");
        let notes = count(&source.text, "SAFETY");
        if listed && notes < blocks {
            wrong.push(format!(
                "{}: {blocks} unsafe blocks, {notes} SAFETY notes",
                source.path
            ));
        }
    });
    for path in UNSAFE_FILES {
        assert!(root().join(path).is_file(), "{path} is listed and missing");
    }
}

fn count(text: &str, needle: &str) -> usize {
    text.matches(needle).count()
}

#[test]
fn shared_results_use_nothing_that_differs_between_nodes() {
    check(|source, wrong| {
        let deterministic = DETERMINISTIC
            .iter()
            .any(|folder| source.path.starts_with(folder));
        if !deterministic || source.is_test() {
            return;
        }
        for (number, line) in source.product_lines() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for name in NOT_DETERMINISTIC {
                if contains_name(line, name) {
                    wrong.push(format!("{}:{number}: `{name}`", source.path));
                }
            }
        }
    });
}

/// Whether the line contains the name as a whole, not as part of a longer one.
fn contains_name(line: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(name).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn lock_files_name_no_registry_host() {
    for folder in [
        "clients/javascript",
        "clients/javascript/management",
        "clients/solana-javascript",
        "canisters/motoko",
    ] {
        let text = read(&root().join(folder).join("package-lock.json"));
        for line in text.lines().filter(|line| line.contains("\"resolved\"")) {
            assert!(
                line.contains("https://registry.npmjs.org/"),
                "{folder}/package-lock.json: {}",
                line.trim()
            );
        }
    }
}

#[test]
fn decision_records_name_their_costs() {
    let folder = root().join("docs/decisions");
    let mut records = 0;
    for entry in fs::read_dir(&folder).expect("docs/decisions exists") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(|character: char| character.is_ascii_digit()) {
            continue;
        }
        let text = read(&path);
        for heading in ["## Context", "## Decision", "## Consequences", "Bad:"] {
            assert!(text.contains(heading), "{name} lacks {heading:?}");
        }
        records += 1;
    }
    assert!(records > 0, "docs/decisions holds no record");
}

#[test]
fn invariants_name_files_and_tests_that_exist() {
    let root = root();
    let text = read(&root.join("docs/invariants.md"));
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| I-")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "four columns in: {row}");
        assert!(ids.insert(cells[0]), "{} has two rows", cells[0]);
        for file in code_words(cells[2]) {
            if !root.join(&file).is_file() {
                wrong.push(format!("{}: {file} is missing", cells[0]));
            }
        }
        let shown_by = code_words(cells[3]);
        assert!(!shown_by.is_empty(), "{} is shown by no test", cells[0]);
        for pair in shown_by.chunks(2) {
            let [file, test] = pair else {
                panic!("{}: a file without a test in: {row}", cells[0]);
            };
            let path = root.join(file);
            let has_test = path.is_file() && read(&path).contains(&format!("fn {test}("));
            if !has_test {
                wrong.push(format!("{}: {file} has no test {test}", cells[0]));
            }
        }
    }
    assert!(!ids.is_empty(), "docs/invariants.md has no row `| I-`");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
