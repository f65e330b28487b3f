//! A user at the command line, in a project folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::Node;
use super::process::trilith;

/// Somebody who types commands.
pub struct User {
    folder: TempDir,
    network: String,
    identity: Option<PathBuf>,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// The result.
    pub stdout: String,
    /// Notes, or the failure.
    pub stderr: String,
}

impl User {
    /// A user who is anonymous to the node.
    pub fn new(node: &Node) -> Self {
        Self::at(&node.url)
    }

    /// A user of a network that may not be there.
    pub fn at(network: &str) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            network: network.to_owned(),
            identity: None,
        }
    }

    /// A user who made a key for themselves.
    pub fn with_identity(node: &Node) -> Self {
        let mut user = Self::new(node);
        user.ok("identity new me.pem");
        user.identity = Some(user.path("me.pem"));
        user
    }

    /// A path in the project folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the project folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("the folder can be written");
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Said {
        self.run_in(self.folder.path(), words)
    }

    /// Runs a command in another folder.
    pub fn run_in(&self, folder: &Path, words: &[&str]) -> Said {
        let output = self.command(words).current_dir(folder).output();
        said(output.expect("the binary can be started"))
    }

    /// A command in the project folder, ready to be started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = trilith();
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("TRILITH_NETWORK", &self.network);
        match &self.identity {
            Some(file) => command.env("TRILITH_IDENTITY", file),
            None => command.env_remove("TRILITH_IDENTITY"),
        };
        command
    }

    /// Runs a command that must succeed, without notes that this gives; gives its result.
    pub fn ok(&self, line: &str) -> String {
        let said = self.run(&words(line));
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        said.stdout
    }

    /// Runs a command that must succeed with one JSON document, and nothing else.
    pub fn json(&self, line: &str) -> Value {
        let said = self.run(&words(&format!("{line} --json")));
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        assert_eq!(said.stderr, "", "{line}");
        serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{line}: {error} in {}", said.stdout))
    }

    /// Runs a command that must fail with this exit code and a next step; gives what it said.
    pub fn fails(&self, code: i32, line: &str) -> String {
        let said = self.run(&words(line));
        assert_eq!(said.code, code, "{line}: {} {}", said.stdout, said.stderr);
        assert_eq!(said.stdout, "", "{line}: a failure has no result");
        assert!(
            said.stderr.lines().any(|line| line.starts_with("error: ")),
            "{line}: {}",
            said.stderr
        );
        assert!(said.stderr.contains("  next: "), "{line}: {}", said.stderr);
        said.stderr
    }

    /// Runs a command that must fail with one JSON document on stderr; gives its `error`.
    pub fn fails_json(&self, code: i32, line: &str) -> Value {
        let said = self.run(&words(&format!("{line} --json")));
        assert_eq!(said.code, code, "{line}: {} {}", said.stdout, said.stderr);
        assert_eq!(said.stdout, "", "{line}: a failure has no result");
        let document: Value = serde_json::from_str(&said.stderr)
            .unwrap_or_else(|error| panic!("{line}: {error} in {}", said.stderr));
        let error = document["error"].clone();
        assert!(error["message"].is_string(), "{error}");
        assert!(error["next"].is_string(), "{error}");
        error
    }
}

/// What a finished command said.
fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("commands speak UTF-8");
    Said {
        code: output.status.code().expect("the command ended by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The words of a command line; single quotes hold a word together.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

/// Asserts that a text holds all of the parts.
pub fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}
