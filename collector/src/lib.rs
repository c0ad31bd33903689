//! The collector: the ingest gateway and only writer of the store.
//!
//! Exports come in over OTLP ([`receivers`]), are let in or not, and go to the store
//! ([`ingest`]), whose answer becomes the sender's. Spans also feed [`spanmetrics`]. Query nodes
//! read over [`internal`], where whoever runs the process asks [`admin`]. [`collector`] starts and stops the whole, and says how it is doing.

pub mod admin;
pub mod collector;
pub mod ingest;
pub mod internal;
pub mod receivers;
pub mod spanmetrics;

pub use collector::{Addresses, Collector, Listeners, Options};
