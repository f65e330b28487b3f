//! Who a command acts as, and `trilith identity`: making keys, and saying whose they are.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use candid::Principal;
use clap::{Args, Subcommand};
use ic_agent::Identity;
use ic_agent::identity::AnonymousIdentity;
use serde_json::json;

use super::key::{Key, KeyFault, Kind};
use super::report::Answer;
use crate::output::{Failure, NextStep};

/// Environment variable that stands in for `--identity`.
const IDENTITY_VARIABLE: &str = "TRILITH_IDENTITY";
/// A file with a key and certificates beside it is far below this.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bits of a file's mode that let others than its owner read it.
const MODE_OTHERS: u32 = 0o077;

/// Who a command acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) principal: Principal,
    /// The file of the key; none for the anonymous identity.
    pub(super) file: Option<PathBuf>,
}

impl Who {
    /// Whether everybody can act as this.
    pub(super) fn is_anonymous(&self) -> bool {
        self.file.is_none()
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}, the identity in {}", self.principal, file.display()),
            None => write!(
                f,
                "{}, the anonymous identity, because there is no --identity and no \
                 {IDENTITY_VARIABLE}",
                self.principal
            ),
        }
    }
}

/// The file that an identity is to be read from, if any.
fn chosen_file(given: Option<&Path>) -> Option<PathBuf> {
    let variable = std::env::var_os(IDENTITY_VARIABLE).filter(|value| !value.is_empty());
    given.map(Path::to_owned).or(variable.map(PathBuf::from))
}

/// The identity that is asked for, by option or variable.
pub(super) fn choose(given: Option<&Path>) -> Result<(Arc<dyn Identity>, Who)> {
    let Some(file) = chosen_file(given) else {
        let principal = Principal::anonymous();
        let who = Who {
            principal,
            file: None,
        };
        return Ok((Arc::new(AnonymousIdentity), who));
    };
    let (key, principal) = load(&file)?;
    let file = Some(file);
    Ok((key.identity(), Who { principal, file }))
}

/// Reads the key in a file, and whose it is.
fn load(file: &Path) -> Result<(Key, Principal)> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let opened = fs::File::open(file)?;
        opened.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| Failure {
        message: format!("the identity in {} cannot be read", file.display()),
        causes: vec![error.to_string()],
        next: Some(if error.kind() == ErrorKind::NotFound {
            format!(
                "make one with `trilith identity new {}`, or give another file with --identity",
                file.display()
            )
        } else {
            "give another file with --identity".to_owned()
        }),
        usage: true,
        ..Failure::default()
    })?;
    let key = Key::from_pem(&bytes).map_err(|fault| refused(file, &fault))?;
    let principal = principal_of(&key)?;
    Ok((key, principal))
}

/// Reads an Ed25519 key: the seed that accounts of the root are owned with.
///
/// # Errors
/// If the file cannot be read, or has a key of another kind.
pub(crate) fn load_ed25519(file: &Path) -> Result<[u8; 32]> {
    let (key, _) = load(file)?;
    match key {
        Key::Ed25519(seed) => Ok(seed),
        other => Err(Failure {
            message: format!("the identity in {} cannot act on the root", file.display()),
            causes: vec![format!(
                "its key is {}, accounts of the root have ed25519 keys",
                other.kind()
            )],
            next: Some(
                "make a key with `trilith identity new FILE`, and give it with --identity"
                    .to_owned(),
            ),
            usage: true,
            ..Failure::default()
        }
        .into()),
    }
}

/// Writes an Ed25519 key into a file that does not exist yet and that nobody else can read.
///
/// # Errors
/// If the file exists or cannot be written.
pub(crate) fn write_ed25519(file: &Path, seed: [u8; 32]) -> Result<()> {
    let pem = Key::Ed25519(seed).to_pem();
    write_new(file, &pem.context("the key cannot be encoded")?)
}

/// Makes an Ed25519 key from the randomness of the operating system.
pub(crate) fn random_ed25519() -> [u8; 32] {
    match Key::random(Kind::Ed25519) {
        Key::Ed25519(seed) => seed,
        Key::Secp256k1(_) | Key::P256(_) => unreachable!("the kind is the one asked for"),
    }
}

/// The file that an identity is to be read from: the given one, or the one in the environment.
pub(crate) fn chosen(given: Option<&Path>) -> Option<PathBuf> {
    chosen_file(given)
}

fn principal_of(key: &Key) -> Result<Principal> {
    let sender = key.identity().sender();
    sender
        .map_err(anyhow::Error::msg)
        .context("the identity has no principal")
        .context(NextStep("make another one with `trilith identity new`"))
}

fn refused(file: &Path, fault: &KeyFault) -> Failure {
    let path = file.display();
    let next = match fault {
        KeyFault::Encrypted => format!(
            "write the key without a passphrase to a file that only you can read, and use that: \
             `(umask 077; openssl pkcs8 -in {path} -out plain.pem)`, or `dfx identity export NAME`"
        ),
        KeyFault::NoPrivateKey(_) => {
            "give the file of the private key; the public one cannot sign".to_owned()
        }
        KeyFault::Unsupported | KeyFault::NotPem => {
            "make a key with `trilith identity new FILE`, or with openssl: `openssl genpkey \
             -algorithm ed25519 -out FILE`"
                .to_owned()
        }
        KeyFault::DamagedPem(_) | KeyFault::Malformed => {
            "take the file from a backup, or make another key with `trilith identity new FILE`"
                .to_owned()
        }
    };
    Failure {
        message: format!("the identity in {path} cannot be used"),
        causes: vec![fault.to_string()],
        next: Some(next),
        usage: true,
        ..Failure::default()
    }
}

/// Arguments of `trilith identity`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true)]
pub struct IdentityArguments {
    #[command(subcommand)]
    command: IdentityCommand,
    /// Print one JSON document on stdout, or on stderr if the command fails
    #[arg(long, global = true)]
    json: bool,
}

impl IdentityArguments {
    /// Whether results and failures are to be JSON.
    pub fn json(&self) -> bool {
        self.json
    }
}

#[derive(Subcommand, Clone, Debug)]
enum IdentityCommand {
    /// Make a private key in a new file that only you can read, and print its principal
    ///
    /// An existing file is never overwritten. The key is not encrypted: who has the file acts as
    /// you. OpenSSL, dfx and icp-cli read the same file.
    ///
    /// Example: trilith identity new ~/me.pem && export TRILITH_IDENTITY=~/me.pem
    New(NewArguments),
    /// Print the principal that commands act as
    ///
    /// Without a file, that of the identity in TRILITH_IDENTITY, or of the anonymous one.
    ///
    /// Example: trilith identity principal ~/me.pem
    Principal(PrincipalArguments),
}

#[derive(Args, Clone, Debug)]
struct NewArguments {
    /// File to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Kind of key
    #[arg(long, value_enum, default_value_t = Kind::Ed25519)]
    kind: Kind,
}

#[derive(Args, Clone, Debug)]
struct PrincipalArguments {
    /// PEM file of the identity
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs `trilith identity`.
///
/// # Errors
/// If a key cannot be read or written.
pub fn run(arguments: &IdentityArguments) -> Result<()> {
    let answer = match &arguments.command {
        IdentityCommand::New(new) => make(new, arguments.json)?,
        IdentityCommand::Principal(of) => say(of, arguments.json)?,
    };
    answer.print(arguments.json)
}

fn make(arguments: &NewArguments, json: bool) -> Result<Answer> {
    let (file, kind) = (&arguments.file, arguments.kind);
    let key = Key::random(kind);
    let pem = key.to_pem().context("the key cannot be encoded")?;
    let principal = principal_of(&key)?;
    write_new(file, &pem)?;
    let text = format!("{principal}\n");
    if !json {
        let path = file.display();
        eprintln!(
            "the {kind} key is in {path}; use it with --identity, or with {IDENTITY_VARIABLE}={path}"
        );
    }
    let file = file.display().to_string();
    let document = json!({ "principal": principal, "file": file, "kind": kind.to_string() });
    Ok(Answer::new(text, document))
}

/// Writes a file that does not exist yet and that nobody else can read.
fn write_new(file: &Path, pem: &str) -> Result<()> {
    let what = || format!("the key cannot be written to {}", file.display());
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure {
                message: format!("{} exists, and is not overwritten", file.display()),
                next: Some("give another file; the key in this one may be needed".to_owned()),
                usage: true,
                ..Failure::default()
            }
            .into());
        }
        other => {
            let step = NextStep("give a file in a folder that exists and can be written");
            other.with_context(what).context(step)?
        }
    };
    let written = opened
        .write_all(pem.as_bytes())
        .and_then(|()| opened.sync_all());
    let step = NextStep("see that the disk has room, remove the file and try again");
    written.with_context(what).context(step)
}

fn say(arguments: &PrincipalArguments, json: bool) -> Result<Answer> {
    let Some(file) = chosen_file(arguments.file.as_deref()) else {
        let principal = Principal::anonymous();
        let document = json!({ "principal": principal, "file": null, "kind": "anonymous" });
        return Ok(Answer::new(format!("{principal}\n"), document));
    };
    let (key, principal) = load(&file)?;
    let mode = fs::metadata(&file).map(|found| found.permissions().mode());
    let shared = mode.is_ok_and(|mode| mode & MODE_OTHERS != 0);
    if shared && !json && !file.starts_with("/dev") {
        eprintln!(
            "note: others can read {}; `chmod 600 {}` changes that",
            file.display(),
            file.display()
        );
    }
    let path = file.display().to_string();
    let kind = key.kind().to_string();
    let document = json!({ "principal": principal, "file": path, "kind": kind });
    Ok(Answer::new(format!("{principal}\n"), document))
}
