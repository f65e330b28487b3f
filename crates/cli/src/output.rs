//! How commands speak: logs and failures on stderr.

use std::fmt;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr: warnings, or what the variable `TRILITH_LOG` asks for.
pub fn start_logging() {
    let filter = EnvFilter::try_from_env("TRILITH_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // A second call (in tests) finds a subscriber in place, which is as good.
    let _in_place = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// What the user can do about a failure; added to an error as a context, and printed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextStep(pub &'static str);

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Prints why a command failed, cause by cause, and what can be done about it.
pub fn failure(error: &anyhow::Error) {
    eprint!("{}", failure_text(error));
}

/// What [`failure`] prints.
fn failure_text(error: &anyhow::Error) -> String {
    let step = error.downcast_ref::<NextStep>().map(NextStep::to_string);
    let causes = error.chain().map(ToString::to_string);
    let mut lines: Vec<String> = Vec::new();
    for cause in causes.filter(|cause| Some(cause) != step.as_ref()) {
        let label = if lines.is_empty() {
            "error"
        } else {
            "  because"
        };
        lines.push(format!("{label}: {cause}\n"));
    }
    lines.extend(step.map(|step| format!("  next: {step}\n")));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_failure_ends_with_the_next_step() {
        let cause = Err::<(), _>(anyhow!("it is on fire"));
        let error = cause
            .context("the disk cannot be read")
            .context(NextStep("take another disk"))
            .unwrap_err();
        assert_eq!(
            failure_text(&error),
            "error: the disk cannot be read\n  because: it is on fire\n  next: take another disk\n"
        );
        assert_eq!(failure_text(&anyhow!("no")), "error: no\n");
    }
}
