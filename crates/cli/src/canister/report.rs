//! The result of a command: text for people, or one JSON document for programs.

use anyhow::Result;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::state::report::{Report, print};

/// What a command found out or did.
pub(crate) struct Answer {
    text: String,
    document: Value,
}

impl Answer {
    /// A result with its text, every line ended, and its document.
    pub(crate) fn new(text: impl Into<String>, document: Value) -> Self {
        let text = text.into();
        Self { text, document }
    }

    /// Prints the result on stdout.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        print(self, json)
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl Report for Answer {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Appends a line `name   value`, with the values of one result in one column.
pub(crate) fn row(text: &mut String, name: &str, value: impl AsRef<str>) {
    text.push_str(&format!("{name:<22}{}\n", value.as_ref()));
}
