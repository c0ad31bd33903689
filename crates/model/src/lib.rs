//! The shared vocabulary: tenants, signals, ids, attribute values, and the three kinds of row
//! (span, log record, metric data point) in an owned form for readers and a borrowed form for
//! the ingest path.
//!
//! This crate depends on nothing of ours and does no I/O. What OTLP carries, these types carry:
//! nothing is normalised away on the path from the wire to the disk and back.

pub mod clock;
pub mod correlation;
mod held;
pub mod id;
pub mod log;
pub mod metric;
pub mod native;
pub mod prometheus;
pub mod resource;
pub mod room;
pub mod row;
pub mod signal;
pub mod span;
pub mod stamp;
pub mod time;
pub mod value;
pub mod wire;

pub use clock::ClockOffset;
pub use id::{SpanId, TraceId};
pub use log::LogRecord;
pub use metric::{DataPoint, Metric};
pub use resource::{Resource, Scope};
pub use signal::{Format, Signal, Tenant};
pub use span::{Event, Link, Span, SpanKind, StatusCode};
pub use time::TimeRange;
pub use value::{KeyValue, Value, ValueRef};
