//! One process of the program, in a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tempfile::TempDir;

use crate::ask::Http;
use crate::wait;

/// The flags of the listeners and their names in `endpoints.json`.
const LISTENERS: [(&str, &str); 4] = [
    ("--otlp-grpc", "otlp_grpc"),
    ("--otlp-http", "otlp_http"),
    ("--query", "query"),
    ("--internal", "internal"),
];

/// How a process is started. May be started again, over the same folder.
#[derive(Clone)]
pub struct Setup {
    program: String,
    role: String,
    folder: Arc<TempDir>,
    extra: Vec<String>,
    listen: [String; 4],
    has_config: bool,
}

impl Setup {
    /// A role (`up`, `collector`, ...) in a fresh folder, with every port chosen by the system.
    pub fn new(program: &str, role: &str) -> Self {
        Self::within(
            program,
            role,
            tempfile::tempdir().expect("a temporary folder"),
        )
    }

    /// The same in a folder within this one, which stays.
    pub fn kept_in(program: &str, role: &str, parent: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("throughline-")
            .disable_cleanup(true)
            .tempdir_in(parent);
        Self::within(program, role, folder.expect("a writable folder"))
    }

    fn within(program: &str, role: &str, folder: TempDir) -> Self {
        Self {
            program: program.to_owned(),
            role: role.to_owned(),
            folder: Arc::new(folder),
            extra: Vec::new(),
            listen: std::array::from_fn(|_| "127.0.0.1:0".to_owned()),
            has_config: false,
        }
    }

    /// Another role over the same folder.
    #[must_use]
    pub fn with_role(mut self, role: &str) -> Self {
        role.clone_into(&mut self.role);
        self
    }

    /// With this configuration file.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        std::fs::write(self.folder().join("throughline.yaml"), yaml).expect("a writable folder");
        self.has_config = true;
        self
    }

    /// With a further argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.extra.push(argument.into());
        self
    }

    /// Listening here instead of on a port chosen by the system; `name` as in `endpoints.json`.
    #[must_use]
    pub fn listen(mut self, name: &str, address: &str) -> Self {
        let at = LISTENERS
            .iter()
            .position(|listener| listener.1 == name)
            .expect("a known listener");
        self.listen[at] = address.to_owned();
        self
    }

    /// The folder that holds the configuration, the log and the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Starts the process and waits until it is ready.
    pub fn start(&self) -> Server {
        let ready = self.data_dir().join("endpoints.json");
        let _ = std::fs::remove_file(&ready);
        let log = self.folder().join("log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a writable folder");
        let mut command = clean(&self.program);
        command
            .arg(&self.role)
            .arg("--data-dir")
            .arg(self.data_dir());
        for ((flag, _), address) in LISTENERS.iter().zip(&self.listen) {
            command.arg(flag).arg(address);
        }
        if self.has_config {
            command
                .arg("--config")
                .arg(self.folder().join("throughline.yaml"));
        }
        let child = command
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the program starts");
        let mut server = Server {
            child,
            setup: self.clone(),
            endpoints: Value::Null,
        };
        server.endpoints = wait::until("endpoints.json", wait::LONG, || {
            if let Some(status) = server.child.try_wait().expect("a child of ours") {
                panic!(
                    "{} ended with {status} before it was ready:\n{}",
                    self.role,
                    server.log()
                );
            }
            let text = std::fs::read(&ready).ok()?;
            Some(
                serde_json::from_slice(&text).expect("endpoints.json is JSON, put there by rename"),
            )
        });
        server
    }
}

/// A command without the variables by which tests and users configure the program. Where
/// `THROUGHLINE_PROGRAM` names another build (a release), that one is under test.
pub fn clean(program: &str) -> Command {
    let other = std::env::var_os("THROUGHLINE_PROGRAM");
    let mut command = Command::new(other.unwrap_or_else(|| program.into()));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THROUGHLINE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running process; killed when dropped.
pub struct Server {
    child: Child,
    setup: Setup,
    endpoints: Value,
}

impl Server {
    /// Where it listens; `name` as in `endpoints.json`.
    pub fn address(&self, name: &str) -> String {
        let address = self.endpoints[name].as_str();
        address
            .unwrap_or_else(|| panic!("no {name} in {}", self.endpoints))
            .to_owned()
    }

    /// Asks its query port.
    pub fn query(&self) -> Http {
        Http::new(&self.address("query"))
    }

    /// Sends to its OTLP/HTTP port.
    pub fn otlp(&self) -> Http {
        Http::new(&self.address("otlp_http"))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, over all starts in this folder.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.setup.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A figure of `/proc/PID/status` in bytes, `VmRSS` or `VmHWM`.
    pub fn memory_bytes(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the process lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let text = line.expect("a figure of the kernel");
        let kib: u64 = text
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// Stops it where it is until it is told to go on, as a machine that hangs would.
    pub fn pause(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).expect("a child of ours");
        waitpid(Some(pid), WaitOptions::UNTRACED).expect("a child of ours");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("a child of ours");
    }

    /// Asks it to read its rules anew.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("a child of ours");
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    /// Asks it to end, and says how it did and how long that took.
    pub fn terminate(mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("a child of ours");
        let status = wait::until("the end of the process", wait::LONG, || {
            self.child.try_wait().expect("a child of ours")
        });
        (status, begin.elapsed())
    }
}

impl Drop for Server {
    #[allow(
        clippy::print_stderr,
        reason = "a failed test shows what the process said"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.setup.role, self.log());
        }
    }
}
