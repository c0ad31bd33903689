//! Log records made of the lines of text files: a body and a time, no ids.
//!
//! Record `n` is line `n` of all files, which begin again after the last. The lines are kept in
//! memory, so there is a limit to them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model::{KeyValue, LogRecord, Resource, Value};

use super::corpus::{Corpus, batch_attribute};

/// Bytes of all files.
const BYTES_MAX: u64 = 256 << 20;
/// Bytes of one line: 1,000 of them fit into a request.
const LINE_BYTES_MAX: usize = 32 << 10;

/// The lines and where they come from.
pub(super) struct Lines {
    texts: Vec<String>,
    /// For each file the number of its first line, and its resource.
    files: Vec<(usize, Arc<Resource>)>,
}

impl Lines {
    /// Reads the files; empty lines are left out, and what is not UTF-8 is replaced.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut left = BYTES_MAX;
        let mut lines = Self {
            texts: Vec::new(),
            files: Vec::new(),
        };
        for path in paths {
            let mut bytes = Vec::new();
            File::open(path)
                .and_then(|file| file.take(left + 1).read_to_end(&mut bytes))
                .with_context(|| format!("cannot read the lines of {}", path.display()))?;
            left = left.checked_sub(bytes.len() as u64).with_context(|| {
                format!("the files of lines have more than {BYTES_MAX} bytes together")
            })?;
            lines.add(path, &bytes)?;
        }
        ensure!(!lines.texts.is_empty(), "the files of lines have no line");
        Ok(lines)
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let first = self.texts.len();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            ensure!(
                line.len() <= LINE_BYTES_MAX,
                "line {} of {} is longer than {LINE_BYTES_MAX} bytes",
                number + 1,
                path.display()
            );
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end_matches('\r');
            if !text.is_empty() {
                self.texts.push(text.to_owned());
            }
        }
        self.files.push((first, Arc::new(resource(path))));
        Ok(())
    }

    /// A request of these records.
    pub(super) fn request(&self, corpus: &Corpus, items: &[u64], batch: u64) -> Vec<u8> {
        let records: Vec<_> = items
            .iter()
            .map(|item| self.record(corpus, *item, batch))
            .collect();
        otlp::encode::logs(&records)
    }

    fn record(&self, corpus: &Corpus, item: u64, batch: u64) -> LogRecord {
        #[allow(clippy::cast_possible_truncation)]
        let line = (item % self.texts.len() as u64) as usize;
        let file = self.files.partition_point(|(first, _)| *first <= line) - 1;
        let time_unix_nano = corpus.time(item);
        LogRecord {
            resource: Arc::clone(&self.files[file].1),
            scope: Arc::clone(&corpus.scope),
            time_unix_nano,
            observed_time_unix_nano: time_unix_nano,
            body: Value::Str(self.texts[line].clone()),
            attributes: vec![batch_attribute(batch)],
            ..LogRecord::default()
        }
    }
}

/// A service named as the file is before its first dot.
fn resource(path: &Path) -> Resource {
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let service = name.split('.').next().unwrap_or_default().to_owned();
    Resource {
        attributes: vec![
            KeyValue::new("service.name", service),
            KeyValue::new("log.file.name", name),
        ],
        ..Resource::default()
    }
}
