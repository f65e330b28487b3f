//! Lists of what a state holds, each with a limit: keys that start alike, and images.

use std::ops::ControlFlow;

use anyhow::{Result, anyhow};
use serde::Serialize;
use trilith_store::{IMAGE_KEY_PREFIX, View};
use trilith_types::cbor::Decoder;
use trilith_types::{PAGE_BYTES, RuntimeId, StateRead as _};

use crate::state::folder::{RESTORE, failure};
use crate::state::names::{printable, runtime_name, show_bytes, show_runtime};
use crate::state::report::Report;

/// Keys of a version that start alike, ascending.
#[derive(Serialize)]
pub struct Listing {
    runtime: String,
    runtime_name: Option<&'static str>,
    #[serde(skip)]
    runtime_shown: String,
    round: u64,
    root: String,
    prefix: String,
    keys: Vec<ListedKey>,
    /// Whether there are more behind the last one.
    more: bool,
}

#[derive(Serialize)]
struct ListedKey {
    key: String,
    key_text: Option<String>,
    value_bytes: u64,
}

/// Lists at most `limit` keys that start with `prefix`.
///
/// # Errors
/// If the disk cannot be read, or is damaged.
pub fn list(
    view: &View,
    (runtime, round): (RuntimeId, u64),
    prefix: &[u8],
    limit: usize,
) -> Result<Listing> {
    let (mut keys, mut more) = (Vec::new(), false);
    view.iterate(prefix, &mut |key, value| {
        if keys.len() == limit {
            more = true;
            return ControlFlow::Break(());
        }
        keys.push(ListedKey {
            key: hex::encode(key),
            key_text: printable(key).map(str::to_owned),
            value_bytes: value.len() as u64,
        });
        ControlFlow::Continue(())
    })
    .map_err(|fault| failure(fault.into()))?;
    Ok(Listing {
        runtime: runtime.to_string(),
        runtime_name: runtime_name(&runtime),
        runtime_shown: show_runtime(&runtime),
        round,
        root: view.root().to_string(),
        prefix: hex::encode(prefix),
        keys,
        more,
    })
}

impl Report for Listing {
    fn text(&self) -> String {
        let mut text = format!(
            "runtime {}, round {}, root {}\n",
            self.runtime_shown, self.round, self.root
        );
        for listed in &self.keys {
            let bytes = listed.value_bytes;
            let key_text = listed.key_text.as_ref();
            let key_text = key_text.map_or(String::new(), |text| format!("  text:{text}"));
            text.push_str(&format!("  {}  {bytes} bytes{key_text}\n", listed.key));
        }
        let count = self.keys.len();
        let end = if self.more {
            "and there are more; --limit lists more, a longer --prefix fewer"
        } else {
            "and there are no more"
        };
        text.push_str(&format!("{count} keys, {end}\n"));
        text
    }
}

/// An image of a state.
#[derive(Serialize)]
pub struct ListedImage {
    name: String,
    name_text: Option<String>,
    pages: u64,
    /// Root of the page tree.
    root: String,
}

impl ListedImage {
    /// It as a line of text.
    pub fn line(&self) -> String {
        let bytes = show_bytes(self.pages.saturating_mul(PAGE_BYTES as u64));
        let name_text = self.name_text.as_ref();
        let name_text = name_text.map_or(String::new(), |text| format!("  text:{text}"));
        let (name, root) = (&self.name, &self.root);
        format!("  {name}  {bytes}, page tree {root}{name_text}\n")
    }
}

/// At most `limit` images of a version, from their leaves in the state.
///
/// # Errors
/// If the disk cannot be read, or is damaged.
pub fn images(view: &View, limit: usize) -> Result<Vec<ListedImage>> {
    let (mut found, mut wrong) = (Vec::new(), None);
    view.iterate(IMAGE_KEY_PREFIX, &mut |key, leaf| {
        if found.len() == limit {
            return ControlFlow::Break(());
        }
        match listed_image(key, leaf) {
            Some(image) => {
                found.push(image);
                ControlFlow::Continue(())
            }
            None => {
                wrong = Some(hex::encode(key));
                ControlFlow::Break(())
            }
        }
    })
    .map_err(|fault| failure(fault.into()))?;
    match wrong {
        Some(key) => Err(anyhow!("the leaf {key} describes no image").context(RESTORE)),
        None => Ok(found),
    }
}

/// Reads the leaf of an image: its length in pages, and the root of its page tree.
fn listed_image(key: &[u8], leaf: &[u8]) -> Option<ListedImage> {
    let name = key.strip_prefix(IMAGE_KEY_PREFIX)?;
    let mut decoder = Decoder::new(leaf);
    if decoder.array("image leaf", 2).ok()? != 2 {
        return None;
    }
    let pages = decoder.uint().ok()?;
    let root: [u8; 32] = decoder.bytes_exact("root").ok()?;
    decoder.finish().ok()?;
    Some(ListedImage {
        name: hex::encode(name),
        name_text: printable(name).map(str::to_owned),
        pages,
        root: hex::encode(root),
    })
}
