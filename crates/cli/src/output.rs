//! How commands speak: logs and failures on stderr.

use std::fmt;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;

/// Exit code of a command whose arguments cannot be used; nothing was sent or changed.
const EXIT_USAGE: u8 = 2;

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

/// A failure that says all there is to say itself: for what depends on names and values, which
/// [`NextStep`] cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What is not as it should be.
    pub message: String,
    /// What is known about it beyond that, a sentence each.
    pub causes: Vec<String>,
    /// What the user can do about it.
    pub next: Option<String>,
    /// Whether the arguments of the command are at fault, before anything was sent.
    pub usage: bool,
    /// What programs may want to know of it, by name; only in JSON.
    pub details: Map<String, Value>,
}

impl Failure {
    /// The failure of a command whose arguments are not those it takes. `text` is what the parser
    /// of the command line says: what is wrong, then usage and hints.
    pub fn of_arguments(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("the arguments cannot be used");
        Self {
            message: first.trim_start_matches("error: ").to_owned(),
            causes: lines
                .filter(|line| !line.starts_with("For more information"))
                .map(str::to_owned)
                .collect(),
            next: Some("run the command with --help to see what it takes".to_owned()),
            usage: true,
            details: Map::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What failed, in one sentence, where a command goes on without it.
pub fn reason(error: &anyhow::Error) -> String {
    let (causes, _) = sentences(error);
    causes.into_iter().next().unwrap_or_default()
}

/// Prints why a command failed, cause by cause, and what can be done about it: as text, or as one
/// JSON document. Gives the exit code: 2 if the arguments cannot be used, else 1.
pub fn failure(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if as_json {
        eprintln!("{:#}", failure_json(error));
    } else {
        eprint!("{}", failure_text(error));
    }
    match error.downcast_ref::<Failure>() {
        Some(failure) if failure.usage => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// The sentences of a failure: what failed and why, and what to do next.
fn sentences(error: &anyhow::Error) -> (Vec<String>, Option<String>) {
    let step = error.downcast_ref::<NextStep>().map(NextStep::to_string);
    let causes = error.chain().map(ToString::to_string);
    let mut causes: Vec<String> = causes
        .filter(|cause| Some(cause) != step.as_ref())
        .collect();
    let failure = error.downcast_ref::<Failure>();
    causes.extend(failure.iter().flat_map(|failure| failure.causes.clone()));
    let step = step.or_else(|| failure.and_then(|failure| failure.next.clone()));
    (causes, step)
}

/// What [`failure`] prints for people.
fn failure_text(error: &anyhow::Error) -> String {
    let (causes, step) = sentences(error);
    let mut lines: Vec<String> = Vec::new();
    for cause in causes {
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

/// What [`failure`] prints for programs.
fn failure_json(error: &anyhow::Error) -> Value {
    let (causes, step) = sentences(error);
    let mut fields = Map::new();
    let mut causes = causes.into_iter();
    fields.insert("message".to_owned(), json!(causes.next()));
    fields.insert("because".to_owned(), json!(causes.collect::<Vec<_>>()));
    fields.insert("next".to_owned(), json!(step));
    if let Some(failure) = error.downcast_ref::<Failure>() {
        fields.extend(failure.details.clone());
    }
    json!({ "error": fields })
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
        assert_eq!(reason(&error), "the disk cannot be read");
        assert_eq!(
            failure_text(&error),
            "error: the disk cannot be read\n  because: it is on fire\n  next: take another disk\n"
        );
        assert_eq!(failure_text(&anyhow!("no")), "error: no\n");
    }

    #[test]
    fn a_failure_can_say_all_itself() {
        let mut details = Map::new();
        details.insert("reject_code".to_owned(), json!(4));
        let failure = Failure {
            message: "the door is shut".to_owned(),
            causes: vec!["somebody locked it".to_owned()],
            next: Some("knock at 17".to_owned()),
            usage: false,
            details,
        };
        let error = anyhow::Error::from(failure).context("nobody got in");
        assert_eq!(
            failure_text(&error),
            "error: nobody got in\n  because: the door is shut\n  because: somebody locked it\n  \
             next: knock at 17\n"
        );
        assert_eq!(
            failure_json(&error),
            json!({ "error": {
                "message": "nobody got in",
                "because": ["the door is shut", "somebody locked it"],
                "next": "knock at 17",
                "reject_code": 4,
            } })
        );
    }
}
