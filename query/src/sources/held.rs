//! How much memory the rows and groups of an answer take, roughly: enough to stop before it is too
//! much.

use std::sync::Arc;

use model::room::allocation;
use model::{LogRecord, Metric, Span};
use storage::message::{CountGroup, Durations, SeriesPoints, ValueCount};

use super::Work;
use crate::error::{ErrorKind, QueryError};

/// Rows that are held, against what may be held.
#[derive(Debug)]
pub(super) struct Held {
    bytes: u64,
    most: u64,
}

impl Held {
    pub(super) fn new(most: u64) -> Self {
        Self { bytes: 0, most }
    }

    /// Counts more rows; an error says that they are too many.
    pub(super) fn add<T: Row>(&mut self, rows: &[T], work: &Work) -> Result<(), QueryError> {
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.most {
            return Err(too_large(self.most));
        }
        work.hold(bytes)
    }
}

/// The refusal of an answer beyond `limits.response_bytes`.
pub(crate) fn too_large(most: u64) -> QueryError {
    let message = format!("the answer takes more than {most} bytes");
    QueryError::new(ErrorKind::TooLarge, message).hint(
        "ask for less with start and end, with limit where rows or groups are listed, or with a \
               wider step, or raise limits.response_bytes",
    )
}

/// A row, or what is known of several, that takes memory.
pub(super) trait Row {
    fn bytes(&self) -> usize;
}

impl Row for LogRecord {
    fn bytes(&self) -> usize {
        self.held_bytes()
    }
}

impl Row for Span {
    fn bytes(&self) -> usize {
        self.held_bytes()
    }
}

/// What a tree of numbers takes for each, roughly: pairs of eight bytes lie in nodes that are at
/// least half full.
const NUMBER_BYTES: usize = 40;

/// What a list of texts takes, with its place in a tree.
fn key_bytes(key: &[String]) -> usize {
    let texts = key.iter().map(|text| allocation(text.len()));
    96 + allocation(size_of_val(key)) + texts.sum::<usize>()
}

impl Row for SeriesPoints {
    fn bytes(&self) -> usize {
        self.held_bytes()
    }
}

impl Row for Arc<Metric> {
    fn bytes(&self) -> usize {
        self.held_bytes()
    }
}

impl Row for CountGroup {
    fn bytes(&self) -> usize {
        key_bytes(&self.key) + NUMBER_BYTES * self.buckets.len()
    }
}

impl Row for Durations {
    fn bytes(&self) -> usize {
        key_bytes(&self.key) + NUMBER_BYTES * self.buckets.len()
    }
}

impl Row for ValueCount {
    fn bytes(&self) -> usize {
        key_bytes(std::slice::from_ref(&self.value))
    }
}
