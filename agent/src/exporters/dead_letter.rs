//! What can never be delivered, kept for a person to look at.
//!
//! `dead-letter.jsonl` has one JSON object a line: `time_unix_nano`, `signal`, `rows`, `reason`,
//! `epoch`, `sequence` and `request`, the OTLP protobuf in base64. When the file has reached
//! half of its limit it becomes `dead-letter.jsonl.1`, replacing the one before, so the two
//! together stay within the limit. The rows are counted as dropped either way.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use env::Env;
use model::Signal;
use parking_lot::Mutex;
use serde::Serialize;

use crate::metrics::Metrics;
use crate::queue::StampId;

const NAME: &str = "dead-letter.jsonl";

#[derive(Serialize)]
struct Line<'a> {
    time_unix_nano: u64,
    signal: &'a str,
    rows: u64,
    reason: &'a str,
    epoch: u64,
    sequence: u64,
    request: String,
}

/// A request that is given up.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    pub signal: Signal,
    pub rows: u64,
    /// As the collector or the limit says it.
    pub reason: &'a str,
    pub stamp: StampId,
    pub request: &'a [u8],
}

/// Appends to the files in a folder.
#[derive(Debug)]
pub struct DeadLetters {
    env: Env,
    dir: PathBuf,
    bytes_max: u64,
    metrics: Metrics,
    writing: Mutex<()>,
}

impl DeadLetters {
    /// The files in `dir`, together at most `bytes_max` long.
    pub fn new(env: &Env, dir: &Path, bytes_max: u64, metrics: Metrics) -> Self {
        Self {
            env: env.clone(),
            dir: dir.to_owned(),
            bytes_max,
            metrics,
            writing: Mutex::new(()),
        }
    }

    /// Keeps a copy, durably if the disk plays along. The entry is given up in any case: waiting
    /// for room here would hold up everything behind it.
    pub fn keep(&self, letter: &Letter<'_>) {
        let counted = match self.write(letter) {
            Ok(true) => "kept",
            Ok(false) => "over_the_limit",
            Err(error) => {
                tracing::error!(dir = %self.dir.display(), %error, "cannot keep a dead letter");
                "write_failed"
            }
        };
        let labels = [("signal", letter.signal.name()), ("result", counted)];
        self.metrics.add(
            "throughline_agent_dead_letter_rows_total",
            &labels,
            letter.rows,
        );
    }

    fn write(&self, letter: &Letter<'_>) -> std::io::Result<bool> {
        let mut line = serde_json::to_vec(&Line {
            time_unix_nano: self.env.clock.unix_nanos(),
            signal: letter.signal.name(),
            rows: letter.rows,
            reason: letter.reason,
            epoch: letter.stamp.epoch,
            sequence: letter.stamp.sequence,
            request: STANDARD.encode(letter.request),
        })?;
        line.push(b'\n');
        let half = self.bytes_max / 2;
        // With the line end that one before it may lack.
        let length = line.len() as u64 + 1;
        if length > half {
            return Ok(false);
        }
        let _one_at_a_time = self.writing.lock();
        let path = self.dir.join(NAME);
        let present = self.env.files.stat(&path)?.map_or(0, |entry| entry.bytes);
        if present > 0 && present + length > half {
            let older = self.dir.join(format!("{NAME}.1"));
            self.env.files.rename(&path, &older)?;
        }
        let file = match self.env.files.open_write(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.env.files.create(&path)?
            }
            Err(error) => return Err(error),
        };
        // What a full disk or a crash left of a line must not have another one after it.
        let end = file.size()?;
        if end > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, end - 1)?;
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        file.append(&line)?;
        file.sync_data()?;
        self.env.files.sync_dir(&self.dir)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lines_and_the_files_stay_within_their_limit() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::default();
        let letters = DeadLetters::new(&Env::real(), dir.path(), 4_000, metrics.clone());
        let request = vec![7; 600];
        let mut letter = Letter {
            signal: Signal::Logs,
            rows: 3,
            reason: "collector said \"no\"",
            stamp: StampId {
                epoch: 2,
                sequence: 9,
            },
            request: &request,
        };
        for _ in 0..20 {
            letters.keep(&letter);
        }
        let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size(NAME) + size("dead-letter.jsonl.1") <= 4_000);
        let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["reason"], "collector said \"no\"");
        assert_eq!(line["sequence"], 9);
        assert_eq!(
            STANDARD.decode(line["request"].as_str().unwrap()).unwrap(),
            request
        );
        let large = vec![0; 10_000];
        letter.request = &large;
        letters.keep(&letter);
        let name = "throughline_agent_dead_letter_rows_total";
        assert_eq!(metrics.total(name, &[("result", "kept")]), 60);
        assert_eq!(metrics.total(name, &[("result", "over_the_limit")]), 3);
    }

    #[test]
    fn a_torn_line_takes_no_other_letter_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::write(&path, "{\"time_unix_nano\":17,\"sig").unwrap();
        let letters = DeadLetters::new(&Env::real(), dir.path(), 4_000, Metrics::default());
        for sequence in [1, 2] {
            letters.keep(&Letter {
                signal: Signal::Logs,
                rows: 1,
                reason: "no",
                stamp: StampId { epoch: 1, sequence },
                request: b"abc",
            });
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().skip(1).map(serde_json::from_str);
        let lines: Vec<serde_json::Value> = lines.collect::<Result<_, _>>().unwrap();
        let sequences: Vec<_> = lines.iter().map(|line| line["sequence"].as_u64()).collect();
        assert_eq!(sequences, [Some(1), Some(2)]);
    }
}
