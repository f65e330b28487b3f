//! Results of commands that look at states: one text or one JSON document on stdout.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::output::NextStep;

/// What a command found out.
pub trait Report: Serialize {
    /// The result for people, every line ended.
    fn text(&self) -> String;
}

/// Prints a result on stdout, as text or as JSON.
///
/// # Errors
/// If stdout cannot be written. A reader who has seen enough, such as `head`, is no fault.
pub fn print(report: &impl Report, json: bool) -> Result<()> {
    let text = if json {
        let mut text =
            serde_json::to_string_pretty(report).context("writing the result as JSON")?;
        text.push('\n');
        text
    } else {
        report.text()
    };
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error)
            .context("the result cannot be written to stdout")
            .context(NextStep(
                "see that there is room where stdout goes, and try again",
            )),
        _ => Ok(()),
    }
}

/// Appends a line `  name      value`, with all values in one column.
pub fn line(text: &mut String, name: &str, value: impl AsRef<str>) {
    text.push_str(&format!("  {name:<12}{}\n", value.as_ref()));
}
