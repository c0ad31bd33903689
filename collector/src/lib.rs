//! The collector: the ingest gateway and only writer of the store.
//!
//! Exports come in over OTLP ([`receivers`]), pass [`admission`], and go to the store
//! ([`ingest`]), whose answer becomes the sender's. Spans also feed [`spanmetrics`]. Query nodes
//! read over [`internal`]. [`self_metrics`] says how it all is doing. [`collector`] starts and
//! stops the whole.

pub mod admission;
pub mod collector;
pub mod ingest;
pub mod internal;
pub mod receivers;
pub mod self_metrics;
pub mod spanmetrics;

pub use collector::{Addresses, Collector, Listeners, Options};
