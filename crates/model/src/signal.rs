//! Which of the three signals a row belongs to, and whose it is.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An OpenTelemetry signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Signal {
    /// Spans.
    Traces = 1,
    /// Log records.
    Logs = 2,
    /// Metric data points.
    Metrics = 3,
}

impl Signal {
    /// Every signal, in the order of their codes.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    /// The name used in paths, config and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    /// The signal with this code or name's code on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| *signal as u8 == code)
    }

    /// The signal of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the bytes of a request are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Format {
    /// An OTLP export request in protobuf.
    #[default]
    Otlp = 0,
    /// A `prometheus.WriteRequest` in one block of Snappy: remote write 1.0.
    RemoteWrite1 = 1,
    /// An `io.prometheus.write.v2.Request` in one block of Snappy: remote write 2.0.
    RemoteWrite2 = 2,
}

impl Format {
    /// The format of this code on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Otlp, Self::RemoteWrite1, Self::RemoteWrite2]
            .into_iter()
            .find(|format| *format as u8 == code)
    }
}

/// Whose data a row is. Part of every key and path; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The longest tenant name.
    pub const LENGTH_MAX: usize = 64;

    /// A tenant name is 1 to 64 of `a-z A-Z 0-9 _ -`: it becomes a folder name.
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=Self::LENGTH_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        valid.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
