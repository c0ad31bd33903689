//! The verify file: what became of each request, as JSON lines.
//!
//! The first line says what was sent: `{"seed":1,"signal":"logs","batch_items":1000,
//! "start_unix_nano":...}`. Each further line is one request: `{"sequence":17,"first":16000,
//! "items":1000,"state":"acknowledged"}`, where `first` counts the items before it. Every row of
//! it carries `load.batch` = `sequence`. `state` is `acknowledged` (all rows are stored, once),
//! `rejected` (none is) or `unknown` (no
//! answer came: none or all are). A request of which the receiver rejected some rows is
//! `partial`, with their number in `rejected`. A request that is not named was never sent.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use super::{Batch, LoadOptions};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Acknowledged,
    Partial,
    Rejected,
    Unknown,
}

/// The open file. Each line is written at once, so that a killed generator leaves what it knew.
pub(super) struct VerifyFile {
    file: Mutex<File>,
}

impl VerifyFile {
    pub(super) fn create(path: &Path, options: &LoadOptions, start: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        let head = json!({
            "seed": options.seed,
            "signal": options.signal.name(),
            "batch_items": options.batch_items,
            "start_unix_nano": start,
        });
        let verify = Self {
            file: Mutex::new(file),
        };
        verify.line(&head)?;
        Ok(verify)
    }

    pub(super) fn write(&self, batch: &Batch, state: State, rejected: u64) -> io::Result<()> {
        let mut line = json!({
            "sequence": batch.sequence,
            "first": batch.first_item,
            "items": batch.items,
            "state": state,
        });
        if rejected > 0 {
            line["rejected"] = rejected.into();
        }
        self.line(&line)
    }

    fn line(&self, line: &serde_json::Value) -> io::Result<()> {
        self.file.lock().write_all(format!("{line}\n").as_bytes())
    }
}
