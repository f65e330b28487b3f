//! The value of one key of a state, and a proof of it or of its absence.
//!
//! The proof is verified before it is shown, from its encoded bytes and with the verifier that
//! everyone else has: what is printed can be handed to somebody who trusts the root alone.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;
use trilith_proof::mkvs::Proof;
use trilith_store::View;
use trilith_types::{Hash, RuntimeId, StateRead as _};

use crate::output::NextStep;
use crate::state::folder::failure;
use crate::state::names::{printable, runtime_name, show_bytes, show_runtime};
use crate::state::report::{Report, line};

/// What to do about a proof that cannot be made.
const CHECK_FOLDER: NextStep =
    NextStep("check the data folder with `trilith inspect state --check`");

/// A key of a version, with its value.
#[derive(Serialize)]
pub struct Entry {
    runtime: String,
    runtime_name: Option<&'static str>,
    #[serde(skip)]
    runtime_shown: String,
    round: u64,
    root: String,
    key: String,
    key_text: Option<String>,
    present: bool,
    value: Option<String>,
    value_text: Option<String>,
    value_bytes: Option<u64>,
    proof_bytes: u64,
    /// The proof, where it is not written to a file.
    proof: Option<String>,
    proof_file: Option<String>,
}

/// Reads a key of a version, and writes the proof to `proof_file` if one is given.
///
/// # Errors
/// If the disk cannot be read, the proof is larger than proofs may be, or cannot be written.
pub fn read(
    view: &View,
    (runtime, round): (RuntimeId, u64),
    key: &[u8],
    proof_file: Option<&Path>,
) -> Result<Entry> {
    let root = view.root();
    let value = view.get(key).map_err(|fault| failure(fault.into()))?;
    let proof = view.prove(key).map_err(|error| {
        let step = NextStep(
            "list it with --prefix, which needs no proof; --check tells whether the folder is intact",
        );
        let what = "the key cannot be proven";
        anyhow::Error::from(error).context(step).context(what)
    })?;
    let proof = proof.encode();
    verify(&proof, &root, key, value.as_deref())?;
    if let Some(file) = proof_file {
        std::fs::write(file, &proof)
            .with_context(|| format!("the proof cannot be written to {}", file.display()))
            .context(NextStep("choose another file with --proof"))?;
    }
    Ok(Entry {
        runtime: runtime.to_string(),
        runtime_name: runtime_name(&runtime),
        runtime_shown: show_runtime(&runtime),
        round,
        root: root.to_string(),
        key: hex::encode(key),
        key_text: printable(key).map(str::to_owned),
        present: value.is_some(),
        value: value.as_ref().map(hex::encode),
        value_text: value.as_deref().and_then(printable).map(str::to_owned),
        value_bytes: value.as_ref().map(|value| value.len() as u64),
        proof_bytes: proof.len() as u64,
        proof: proof_file.is_none().then(|| hex::encode(&proof)),
        proof_file: proof_file.map(|file| file.display().to_string()),
    })
}

/// Verifies that an encoded proof shows this value, or that there is none.
fn verify(proof: &[u8], root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<()> {
    let proven = Proof::decode(proof)
        .and_then(|proof| proof.verify(root))
        .context("the proof of the key does not verify")
        .context(CHECK_FOLDER)?;
    let shown = proven
        .get(key)
        .context("the proof of the key does not cover it")
        .context(CHECK_FOLDER)?;
    if shown != value {
        let error = anyhow!("the proof of the key shows another value than the state");
        return Err(error.context(CHECK_FOLDER));
    }
    Ok(())
}

impl Report for Entry {
    fn text(&self) -> String {
        let mut text = format!("runtime {}, round {}\n", self.runtime_shown, self.round);
        line(&mut text, "root", &self.root);
        line(&mut text, "key", &self.key);
        if let Some(shown) = &self.key_text {
            line(&mut text, "", format!("text:{shown}"));
        }
        let what = match &self.value {
            Some(value) => {
                line(&mut text, "value", value);
                "of the value"
            }
            None => {
                line(&mut text, "value", "none: the state has no such key");
                "of absence"
            }
        };
        if let Some(shown) = &self.value_text {
            line(&mut text, "", format!("text:{shown}"));
        }
        let bytes = show_bytes(self.proof_bytes);
        let bytes = format!("{what}, verified under the root, {bytes}");
        match (&self.proof, &self.proof_file) {
            (Some(proof), _) => {
                line(&mut text, "proof", bytes);
                line(&mut text, "", proof);
            }
            (None, Some(file)) => line(&mut text, "proof", format!("{bytes}, in {file}")),
            (None, None) => {}
        }
        text
    }
}
