//! What goes to the terminal: logs and failures to standard error, answers to standard output.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::Command;

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
    let _ = writeln!(std::io::stderr(), "throughline: {error:#}");
    ExitCode::FAILURE
}

/// Prints a line of an answer. A reader that went away (`| head`) ends the program quietly.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
