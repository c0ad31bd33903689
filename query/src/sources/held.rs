//! How much memory the rows of an answer take, roughly: enough to stop before it is too much.

use std::mem::size_of;

use model::{KeyValue, LogRecord, Span, Value};

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
    pub(super) fn add<T: Row>(&mut self, rows: &[T]) -> Result<(), QueryError> {
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.most {
            return Err(too_large(self.most));
        }
        Ok(())
    }
}

/// The refusal of an answer beyond `limits.response_bytes`.
pub(crate) fn too_large(most: u64) -> QueryError {
    let message = format!("the answer takes more than {most} bytes");
    QueryError::new(ErrorKind::TooLarge, message)
        .hint("ask for less with limit, start and end, or raise limits.response_bytes")
}

/// A row that takes memory. Resources and scopes are shared between rows, and not counted.
pub(super) trait Row {
    fn bytes(&self) -> usize;
}

impl Row for LogRecord {
    fn bytes(&self) -> usize {
        size_of::<Self>() + value(&self.body) + attributes(&self.attributes)
    }
}

impl Row for Span {
    fn bytes(&self) -> usize {
        let events = self.events.iter();
        let links = self.links.iter();
        size_of::<Self>()
            + self.name.len()
            + self.status_message.len()
            + attributes(&self.attributes)
            + events
                .map(|event| size_of_val(event) + event.name.len() + attributes(&event.attributes))
                .sum::<usize>()
            + links
                .map(|link| size_of_val(link) + attributes(&link.attributes))
                .sum::<usize>()
    }
}

fn attributes(list: &[KeyValue]) -> usize {
    list.iter()
        .map(|kv| size_of::<KeyValue>() + kv.key.len() + value(&kv.value))
        .sum()
}

fn value(of: &Value) -> usize {
    match of {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(list) => list.iter().map(|one| size_of::<Value>() + value(one)).sum(),
        Value::KvList(list) => attributes(list),
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
    }
}
