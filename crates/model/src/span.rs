//! Spans, owned.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::resource::{Resource, Scope};
use crate::value::KeyValue;
use crate::{ClockOffset, SpanId, TraceId};

/// A span as it was sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Span {
    /// Who sent it.
    pub resource: Arc<Resource>,
    /// What code made it.
    pub scope: Arc<Scope>,
    /// Trace id, never zero.
    pub trace_id: TraceId,
    /// Span id; zero where the sender gave none of the right length.
    pub span_id: SpanId,
    /// Parent's span id, if any.
    pub parent_span_id: Option<SpanId>,
    /// W3C trace state.
    pub trace_state: String,
    /// W3C trace flags and OTLP's remote bits; unknown bits are kept.
    pub flags: u32,
    /// Operation name.
    pub name: String,
    /// Kind as sent; see [`SpanKind`].
    pub kind: i32,
    /// Start in unix nanoseconds.
    pub start_unix_nano: u64,
    /// End in unix nanoseconds; may lie before the start when the sender says so.
    pub end_unix_nano: u64,
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Events in the order sent.
    pub events: Vec<Event>,
    /// How many events the sender dropped.
    pub dropped_events_count: u32,
    /// Links in the order sent.
    pub links: Vec<Link>,
    /// How many links the sender dropped.
    pub dropped_links_count: u32,
    /// Status code as sent; see [`StatusCode`].
    pub status_code: i32,
    /// Status message.
    pub status_message: String,
    /// Whether a status was sent at all.
    pub has_status: bool,
    /// The (key, value) pairs by which this row is correlated.
    pub correlation: Vec<(String, String)>,
    /// How far the sender's clock was off, where that was measured; the times are as sent.
    pub clock: Option<ClockOffset>,
}

impl Span {
    /// `end - start`, zero where the end lies before the start.
    pub fn duration_nano(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }

    /// What to add to its times to correct the sender's clock.
    pub fn clock_adjust_nano(&self) -> i64 {
        self.clock.map_or(0, ClockOffset::adjustment)
    }

    /// Whether the status is an error.
    pub fn is_error(&self) -> bool {
        self.status_code == StatusCode::Error as i32
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Event {
    /// When, in unix nanoseconds.
    pub time_unix_nano: u64,
    /// Name.
    pub name: String,
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A pointer from one span to another, perhaps of another trace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Link {
    /// Trace id bytes as sent; 16 where valid.
    pub trace_id: Vec<u8>,
    /// Span id bytes as sent; 8 where valid.
    pub span_id: Vec<u8>,
    /// W3C trace state.
    pub trace_state: String,
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags and OTLP's remote bits.
    pub flags: u32,
}

/// OTLP span kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum SpanKind {
    /// Not said.
    Unspecified = 0,
    /// Within one service.
    Internal = 1,
    /// Serves a request.
    Server = 2,
    /// Makes a request.
    Client = 3,
    /// Sends a message.
    Producer = 4,
    /// Handles a message.
    Consumer = 5,
}

impl SpanKind {
    /// Every kind, by code.
    pub const ALL: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    /// The lower-case name used in queries.
    pub fn name(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "unspecified",
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }

    /// The kind of this code, if it has a name.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i32 == code)
    }
}

/// OTLP status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum StatusCode {
    /// Not said.
    Unset = 0,
    /// Said to be fine.
    Ok = 1,
    /// Failed.
    Error = 2,
}

impl StatusCode {
    /// Every code.
    pub const ALL: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];

    /// The lower-case name used in queries.
    pub fn name(self) -> &'static str {
        match self {
            StatusCode::Unset => "unset",
            StatusCode::Ok => "ok",
            StatusCode::Error => "error",
        }
    }

    /// The status of this code, if it has a name.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i32 == code)
    }
}
