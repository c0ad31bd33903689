//! What goes to the terminal: logs and failures to standard error, answers to standard output.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::Command;
use crate::roles::Failed;

/// The exit code of a process whose disk or one of whose threads has failed: that of an input or
/// output error in sysexits.h.
const FAILED: u8 = 74;

/// The exit code of a command whose answer lacks a source that is lost.
pub(crate) const INCOMPLETE: u8 = 3;

/// Servers log from `info` on, commands for people from `warn` on; `THROUGHLINE_LOG` says
/// otherwise, in the form of `RUST_LOG`.
pub(crate) fn start_logging(command: &Command) {
    let default = match command {
        Command::Up(_) | Command::Collector(_) | Command::Agent(_) => "info",
        Command::Query(query) if query.promql.is_none() => "info",
        Command::Demo(_) => "warn",
        // The terminal UI owns the screen.
        Command::Tui(_) => "off",
        _ => "warn",
    };
    let filter = std::env::var("THROUGHLINE_LOG")
        .ok()
        .and_then(|text| text.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    // A second run in one process (a test) keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

/// Prints a failure with its causes.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "throughline: {}", explained(error));
    if error.is::<Failed>() {
        ExitCode::from(FAILED)
    } else {
        ExitCode::FAILURE
    }
}

/// Says something besides an answer.
pub(crate) fn warn(text: &str) {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let _ = writeln!(std::io::stderr(), "throughline: {clean}");
}

/// An error and its causes. A cause that the text has already, as errors of libraries name theirs,
/// is not said again.
fn explained(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{cause}");
    }
    text
}

/// Prints a line of an answer. A reader that went away (`| head`) ends the program quietly.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("data folder /d: {source}")]
    struct Folder {
        source: std::io::Error,
    }

    #[test]
    fn a_part_that_cannot_go_on_has_an_exit_code_of_its_own() {
        let code = |error: anyhow::Error| format!("{:?}", failed(&error));
        let of_part = code(Failed::new("the disk is gone").into());
        assert_eq!(of_part, format!("{:?}", ExitCode::from(74)));
        let of_user = code(anyhow::anyhow!("no such option"));
        assert_eq!(of_user, format!("{:?}", ExitCode::from(1)));
    }

    #[test]
    fn every_cause_is_said_once() {
        let source = std::io::Error::other("it is in use");
        let error = anyhow::Error::new(Folder { source }).context("cannot open the store");
        assert_eq!(
            explained(&error),
            "cannot open the store: data folder /d: it is in use"
        );
    }
}
