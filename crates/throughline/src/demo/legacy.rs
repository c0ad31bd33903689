//! The untraced service: it writes lines to a log file and knows nothing of OpenTelemetry.
//!
//! Its lines are logfmt, but for the failures, which are plain text. Both carry the id of the
//! customer's request. The file is rotated as logrotate does it: renamed, and begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Its name.
pub(super) const SERVICE: &str = "legacy-billing";
/// The file that it writes; older ones get a number.
pub(super) const FILE: &str = "legacy-billing.log";

/// When the file is rotated.
const ROTATE_BYTES: u64 = 256 << 10;
/// How many old files are kept.
const KEPT: u32 = 3;

/// The service's log file.
pub(super) struct LegacyBilling {
    path: PathBuf,
    rotate_bytes: u64,
    state: Mutex<State>,
}

struct State {
    file: File,
    bytes: u64,
    lines: u64,
}

impl LegacyBilling {
    pub(super) fn open(log_dir: &Path) -> io::Result<Self> {
        Self::with_rotation(log_dir, ROTATE_BYTES)
    }

    pub(super) fn with_rotation(log_dir: &Path, rotate_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(log_dir)?;
        let path = log_dir.join(FILE);
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path,
            rotate_bytes,
            state: Mutex::new(State {
                file,
                bytes,
                lines: 0,
            }),
        })
    }

    /// Writes a logfmt line. Times have microseconds: cut to milliseconds, a line would seem older
    /// than the call that caused it.
    pub(super) fn info(&self, request_id: &str, message: &str, pairs: &str) -> io::Result<()> {
        let now = jiff::Timestamp::now();
        self.line(&format!(
            "ts={now:.6} level=info msg=\"{message}\" request_id={request_id} {pairs}\n"
        ))
    }

    /// Writes a plain line, in the style of the older half of the program.
    pub(super) fn error(&self, request_id: &str, message: &str) -> io::Result<()> {
        let now = jiff::Timestamp::now();
        self.line(&format!(
            "{now:.6} ERROR [ledger] {message} correlation_id={request_id}\n"
        ))
    }

    /// Lines written so far.
    pub(super) fn lines(&self) -> u64 {
        self.state.lock().lines
    }

    fn line(&self, line: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.bytes > 0 && state.bytes + line.len() as u64 > self.rotate_bytes {
            for age in (1..KEPT).rev() {
                rename_if_there(&self.numbered(age), &self.numbered(age + 1))?;
            }
            rename_if_there(&self.path, &self.numbered(1))?;
            state.file = append(&self.path)?;
            state.bytes = 0;
        }
        state.file.write_all(line.as_bytes())?;
        state.bytes += line.len() as u64;
        state.lines += 1;
        Ok(())
    }

    fn numbered(&self, age: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{age}"));
        path.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
