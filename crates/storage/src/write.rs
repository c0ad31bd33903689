//! The writing side's messages.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use journal::Position;
use model::row::{DecodeError, Reject};
use model::{ClockOffset, Format, Resource, Signal, SpanId, Tenant, TraceId};

/// One request to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose rows.
    pub tenant: Tenant,
    /// Which signal.
    pub signal: Signal,
    /// How the request is to be read.
    pub format: Format,
    /// The request: of OTLP in protobuf, decompressed. An empty one with a stamp is an agent's
    /// heartbeat.
    pub request: Bytes,
    /// The agent's stamp, if one of our agents sent it.
    pub stamp: Option<Stamp>,
}

/// What an agent stamps on an export, so that a retry after a lost answer changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The agent's id.
    pub agent: String,
    /// Grows with each fresh start of the agent's queue.
    pub epoch: u64,
    /// Grows by one with each export of an epoch.
    pub sequence: u64,
    /// The agent's clock when it sent, unix nanoseconds; 0 where not said.
    pub sent_unix_nano: u64,
    /// Before this time the agent has had everything acknowledged that it read; 0 where not said,
    /// [`Stamp::COMPLETE_FOR_EVER`] where it stops.
    pub complete_to_unix_nano: u64,
    /// How far the agent's clock was off when it put the batch together, once measured. Kept
    /// with every row.
    pub clock: Option<ClockOffset>,
}

impl Stamp {
    /// Says of an agent that it stops and has nothing left to send.
    pub const COMPLETE_FOR_EVER: u64 = u64::MAX;
}

/// The batch is durable and answers queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ack {
    /// Rows stored.
    pub accepted: u64,
    /// Rows refused for good, by reason.
    pub rejected: Vec<(Reject, u64)>,
    /// The batch had been acknowledged before; nothing was stored again.
    pub duplicate: bool,
    /// What the data points among the rows are.
    pub points: Points,
}

/// Data points by what they hold, and the exemplars with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points {
    /// Points with a number or without a recorded value.
    pub numbers: u64,
    /// Points with a histogram of any kind, or a summary.
    pub histograms: u64,
    /// Exemplars of all points.
    pub exemplars: u64,
}

/// A place in the log of a store, for whoever writes down up to where it has counted: see
/// [`Observe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(pub(crate) Position);

/// A span that has just been acknowledged.
#[derive(Clone, Copy)]
pub struct StoredSpan<'a> {
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// `service.name` of its resource, `unknown_service` where it has none.
    pub service: &'a str,
    /// Its resource.
    pub resource: &'a Resource,
    /// Its name.
    pub name: &'a str,
    /// Its kind's code, as sent.
    pub kind: i32,
    /// Its status' code, as sent; 0 where none was.
    pub status: i32,
    /// When it began.
    pub start_unix_nano: u64,
    /// When it ended.
    pub end_unix_nano: u64,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span that it is a part of, if any.
    pub parent_span_id: Option<SpanId>,
    /// Its length as it was sent, in protobuf.
    pub bytes: u64,
    /// What is found only if it is asked for.
    pub details: &'a dyn SpanDetails<'a>,
}

/// Attributes and links of a span.
pub trait SpanDetails<'a> {
    /// The text of the span's attribute that has this place among [`Observe::attributes`]; none
    /// where there is no such attribute, or its value is a list or bytes.
    fn attribute(&self, place: usize) -> Option<Cow<'a, str>>;

    /// The same of the span's resource.
    fn resource_attribute(&self, place: usize) -> Option<Cow<'a, str>>;

    /// Shows the spans that it links to.
    fn links(&self, each: &mut dyn FnMut(TraceId, SpanId));
}

/// Takes spans, one after the other.
pub type See<'s> = dyn FnMut(&StoredSpan<'_>) + 's;

/// Shows spans to what it is given.
pub type Show<'s> = dyn FnMut(&mut See<'_>) + 's;

/// Sees every span once it is durable and whoever sent it has an answer, on the commit thread: what
/// is committed next waits for it.
pub trait Observe: Send {
    /// The attributes that it may ask for.
    fn attributes(&self) -> Arc<[String]>;

    /// Spans were stored: `show` shows each of them. From then on it has seen every span before the
    /// mark, and none after it.
    fn spans(&mut self, mark: Mark, show: &mut Show<'_>);
}

/// The batch was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It is not a request of its format: never send it again.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It takes more than one batch may: never send it again as it is.
    #[error("{0}")]
    TooLarge(String),
    /// Not now; send it again after the delay.
    #[error("{reason}")]
    Retry {
        /// What is in the way.
        reason: String,
        /// When it may be gone.
        after_ms: u64,
    },
    /// The store is shutting down; send it again elsewhere or later.
    #[error("the store is shutting down")]
    Closed,
}
