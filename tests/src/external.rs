//! Programs that are not ours: Python, Node, tmux, Prometheus.
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

/// The path of a program: what `THROUGHLINE_NAME` says, in capitals, or else the name itself, for the
/// system to look for. Nothing, if it is to be skipped.
pub fn program(name: &str) -> Option<PathBuf> {
    let variable = format!("THROUGHLINE_{}", name.to_uppercase().replace('-', "_"));
    let path = std::env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from);
    if works(Command::new(&path).arg("--version")) {
        return Some(path);
    }
    missing(name);
    None
}

/// A program that runs until it is dropped.
pub struct Running(std::process::Child);

impl Running {
    /// Starts it; what it prints goes into a file.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let log = std::fs::File::create(log).expect("a writable folder");
        let command = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of this machine that nobody had a moment ago, for programs that cannot say which one the
/// system chose.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
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
