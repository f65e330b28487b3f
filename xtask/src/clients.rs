//! Runs the suites of foreign clients against a node that this command starts and stops.
//!
//! The clients are the ecosystem's own packages, unmodified: those of JavaScript are pinned in the
//! lock files below `clients/javascript`, those of Python in `clients/python/requirements.txt`.

mod javascript;
pub mod node;
mod python;

use std::path::Path;

use anyhow::{Result, bail};

/// What to run, and against what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The suites of one language only.
    language: Option<Language>,
    /// A running node instead of one that is started for the suites.
    url: Option<&'a str>,
}

/// A language that has suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    JavaScript,
    Python,
}

impl<'a> Selection<'a> {
    /// Reads the arguments of the command: a language, and `--url` with an endpoint, each at will.
    ///
    /// # Errors
    /// If an argument is neither.
    pub fn parse(mut words: &[&'a str]) -> Result<Self> {
        let mut selection = Self::default();
        loop {
            words = match words {
                [] => return Ok(selection),
                ["javascript", rest @ ..] => {
                    selection.language = Some(Language::JavaScript);
                    rest
                }
                ["python", rest @ ..] => {
                    selection.language = Some(Language::Python);
                    rest
                }
                ["--url", url, rest @ ..] => {
                    selection.url = Some(url);
                    rest
                }
                [other, ..] => bail!(
                    "{other:?} is neither `javascript` nor `python` nor `--url` with an endpoint"
                ),
            };
        }
    }

    fn has(self, language: Language) -> bool {
        self.language.is_none_or(|only| only == language)
    }
}

/// Runs the selected suites.
///
/// # Errors
/// If a tool is missing, the node does not start or stop cleanly, or a suite fails. All suites run,
/// even if one fails.
pub fn run(root: &Path, selection: Selection<'_>) -> Result<()> {
    let javascript = if selection.has(Language::JavaScript) {
        Some(javascript::Suites::prepare(root)?)
    } else {
        None
    };
    let python = if selection.has(Language::Python) {
        Some(python::Suites::prepare(root)?)
    } else {
        None
    };
    let suites = |url: &str| {
        let results = [
            javascript.as_ref().map(|suites| suites.run(url)),
            python.as_ref().map(|suites| suites.run(url)),
        ];
        let failures: Vec<String> = results
            .into_iter()
            .flatten()
            .filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        bail!("{}", failures.join("; "))
    };
    match selection.url {
        Some(url) => suites(url),
        None => node::with_node(root, node::Interface::Canister, suites),
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, Selection};

    #[test]
    fn arguments_come_in_any_order() {
        let all = Selection::parse(&[]).unwrap();
        assert!(all.has(Language::JavaScript) && all.has(Language::Python));
        let url = "http://127.0.0.1:1";
        let one = Selection::parse(&["--url", url, "python"]).unwrap();
        assert_eq!(one, Selection::parse(&["python", "--url", url]).unwrap());
        assert!(!one.has(Language::JavaScript) && one.has(Language::Python));
        assert_eq!(one.url, Some(url));
        for wrong in [&["--url"][..], &["java"], &["python", url]] {
            assert!(Selection::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
