//! Log records, owned.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::resource::{Resource, Scope};
use crate::value::{KeyValue, Value};
use crate::{ClockOffset, SpanId, TraceId};

/// A log record as it was sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogRecord {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// What code made it.
    pub scope: Arc<Scope>,
    /// When it happened in unix nanoseconds; 0 where the sender did not know.
    pub time_unix_nano: u64,
    /// When it was first seen in unix nanoseconds; 0 where not sent.
    pub observed_time_unix_nano: u64,
    /// Severity number as sent, 0 to 24 where valid.
    pub severity_number: i32,
    /// Severity text as sent.
    pub severity_text: String,
    /// The body; any value.
    pub body: Value,
    /// Whether a body without a value was sent, and not none.
    pub has_empty_body: bool,
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags; unknown bits are kept.
    pub flags: u32,
    /// The trace it belongs to; none where the sender gave no valid id.
    pub trace_id: Option<TraceId>,
    /// The span it belongs to.
    pub span_id: Option<SpanId>,
    /// Event name.
    pub event_name: String,
    /// The (key, value) pairs by which this row is correlated.
    pub correlation: Vec<(String, String)>,
    /// How far the sender's clock was off, where that was measured; the times are as sent.
    pub clock: Option<ClockOffset>,
}

impl LogRecord {
    /// When the record belongs in time: its own time, else the time at which it was observed.
    pub fn timestamp(&self) -> u64 {
        if self.time_unix_nano != 0 {
            self.time_unix_nano
        } else {
            self.observed_time_unix_nano
        }
    }

    /// What to add to its times to correct the sender's clock.
    pub fn clock_adjust_nano(&self) -> i64 {
        self.clock.map_or(0, ClockOffset::adjustment)
    }

    /// When the record happened, after correction of the sender's clock.
    pub fn corrected_timestamp(&self) -> u64 {
        self.timestamp()
            .saturating_add_signed(self.clock_adjust_nano())
    }
}

/// The lower-case level of a severity number: `trace`, `debug`, `info`, `warn`, `error`,
/// `fatal`, or nothing outside 1 to 24.
pub fn level_name(severity_number: i32) -> Option<&'static str> {
    const NAMES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
    let index = usize::try_from(severity_number.checked_sub(1)?).ok()? / 4;
    NAMES.get(index).copied()
}

/// The severity numbers that a level name covers, from its first to its last.
pub fn level_range(name: &str) -> Option<(i32, i32)> {
    let first = match name.to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" => 5,
        "info" | "information" | "notice" => 9,
        "warn" | "warning" => 13,
        "error" | "err" => 17,
        "fatal" | "critical" | "panic" => 21,
        _ => return None,
    };
    Some((first, first + 3))
}
