//! How many bytes of memory a row takes, roughly: enough to hold rows within a bound. Resources
//! and scopes are shared between rows, and not counted.

use std::mem::size_of;

use crate::{KeyValue, LogRecord, Metric, Span, Value};

impl LogRecord {
    /// The bytes of memory that it takes, roughly.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.severity_text.len()
            + self.event_name.len()
            + value(&self.body)
            + attributes(&self.attributes)
            + pairs(&self.correlation)
    }
}

impl Span {
    /// The bytes of memory that it takes, roughly.
    pub fn held_bytes(&self) -> usize {
        let events = self.events.iter();
        let links = self.links.iter();
        size_of::<Self>()
            + self.name.len()
            + self.status_message.len()
            + self.trace_state.len()
            + attributes(&self.attributes)
            + pairs(&self.correlation)
            + events
                .map(|event| size_of_val(event) + event.name.len() + attributes(&event.attributes))
                .sum::<usize>()
            + links
                .map(|link| size_of_val(link) + attributes(&link.attributes))
                .sum::<usize>()
    }
}

impl Metric {
    /// The bytes of memory that it takes, roughly.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.name.len()
            + self.description.len()
            + self.unit.len()
            + attributes(&self.metadata)
    }
}

fn pairs(list: &[(String, String)]) -> usize {
    list.iter()
        .map(|pair| size_of_val(pair) + pair.0.len() + pair.1.len())
        .sum()
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
