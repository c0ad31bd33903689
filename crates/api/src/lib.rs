//! The query API: request and response types of `/api/v1/`, and its client.
//!
//! Times are unix nanoseconds. Ids are lower-case hex. Every answer carries the three members of
//! [`Completeness`]: what was scanned, what was cut, and until when it is complete.

pub mod client;
pub mod types;

pub use client::{
    CardinalityParams, Client, ClientError, CompleteParams, FieldsParams, HistogramParams,
    LogOrder, LogsParams, PointsParams, Range, Tail, TraceOrder, TracesParams, ValuesParams,
};
pub use types::*;
