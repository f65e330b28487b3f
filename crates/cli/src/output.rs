//! How commands speak: logs and failures on stderr.

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

/// Prints why a command failed, cause by cause.
pub fn failure(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
