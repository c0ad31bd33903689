//! The per-node agent: reads logs and host metrics, scrapes Prometheus targets, takes OTLP from
//! services, and hands all of it to a collector exactly once.
//!
//! ```text
//! OTLP (gRPC, HTTP) ─┐
//! log files ─────────┼─> queue (durable, stamped) ─> exporter ─> collector
//! host metrics ──────┤
//! scraped targets ───┘
//! ```
//!
//! Every receiver appends to one [`queue::Queue`]; what it has acknowledged is on disk. The
//! exporter sends each entry under a stamp that never changes, so a retry after a lost answer,
//! or after a restart, is recognised by the collector and changes nothing. How far a log file
//! was read is stored in the same journal record as its lines, so a crash neither loses nor
//! repeats a line. Rows are accounted for at every step: received = exported + queued +
//! dropped by reason (see [`metrics`]).

mod agent;
pub mod clock;
pub mod encode;
pub mod exporters;
pub mod metrics;
pub mod options;
pub mod processors;
pub mod queue;
pub mod receivers;

pub use agent::{Addresses, Agent, AgentError, Drained};
pub use options::Options;
