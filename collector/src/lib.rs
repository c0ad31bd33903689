//! The collector: the ingest gateway and only writer of the store.
//!
//! Exports come in over OTLP and remote write ([`receivers`]), are let in or not, and go to the
//! store ([`ingest`]), whose answer becomes the sender's. What came is stored as it came: a
//! [`Decoder`] reads it for the store, now and when the log is replayed. Spans also feed
//! [`spanmetrics`]. Query nodes read over [`internal`], where whoever runs the process asks
//! [`admin`]. [`collector`] starts and stops the whole, and says how it is doing.

pub mod admin;
pub mod collector;
mod decode;
pub mod ingest;
pub mod internal;
pub mod receivers;
pub mod spanmetrics;

pub use collector::{Addresses, Collector, Listeners, Options};
pub use decode::Decoder;
