//! Programs that are not ours: Python, Node, tmux.
//!
//! Where one is absent, what needs it is skipped with a message that names it, unless
//! `THROUGHLINE_REQUIRE_CLIENTS=1`, which `.ci/run` sets.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Says that something is missing.
///
/// # Panics
/// If it is required.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn missing(what: &str) {
    let required = std::env::var("THROUGHLINE_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(!required, "{what} is required and absent");
    eprintln!("skipped: {what} is absent");
}

/// Whether a command runs and succeeds.
pub fn works(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The folder of the clients' sources.
pub fn clients() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a command that has to succeed and gives what it printed.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}
