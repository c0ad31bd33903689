//! The agent's own counters.
//!
//! They close the account of every row: `received` (and `restored`, what a restart found in the
//! queue) = `exported` + `queued` + `dropped` by reason. Updates come per batch, not per row, so
//! one lock over a small map is cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Signal;
use otlp::exposition;
use parking_lot::Mutex;

/// Rows taken in, by signal and source (`otlp`, `filelog`, `hostmetrics`, `prometheus`, `self`).
pub const RECEIVED_ROWS: &str = "throughline_agent_received_rows_total";
/// Rows found in the queue at start, by signal and destination.
pub const RESTORED_ROWS: &str = "throughline_agent_restored_rows_total";
/// Rows that a collector has acknowledged, by signal and destination.
pub const EXPORTED_ROWS: &str = "throughline_agent_exported_rows_total";
/// Rows given up, by signal and reason.
pub const DROPPED_ROWS: &str = "throughline_agent_dropped_rows_total";
/// Rows waiting in the queue, by signal and destination.
pub const QUEUED_ROWS: &str = "throughline_agent_queued_rows";
/// Length of the queue on disk.
pub const QUEUE_BYTES: &str = "throughline_agent_queue_bytes";
/// Damaged bytes of the queue that were passed over: at the start, and by each exporter.
pub const QUEUE_CORRUPT_BYTES: &str = "throughline_agent_queue_corrupt_bytes_total";
/// Requests that were refused because the queue could not take them, by reason.
pub const REFUSED_REQUESTS: &str = "throughline_agent_refused_requests_total";
/// Sends that failed and were repeated, by reason.
pub const RETRIES: &str = "throughline_agent_export_retries_total";
/// Requests answered, by outcome.
pub const EXPORTS: &str = "throughline_agent_exports_total";

/// Scrapes of Prometheus targets, by job and outcome.
pub const SCRAPES: &str = "throughline_agent_scrapes_total";
/// Targets that are scraped, by job.
pub const SCRAPE_TARGETS: &str = "throughline_agent_scrape_targets";
/// Files of targets that could not be read, by job.
pub const DISCOVERY_ERRORS: &str = "throughline_agent_discovery_errors_total";

type Labels = Vec<(&'static str, String)>;

/// One value as the outside sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: u64,
}

/// A shared set of counters and gauges.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    values: Arc<Mutex<BTreeMap<(&'static str, Labels), u64>>>,
}

impl Metrics {
    fn key(name: &'static str, labels: &[(&'static str, &str)]) -> (&'static str, Labels) {
        let owned = labels
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()));
        (name, owned.collect())
    }

    /// Adds to a counter. A count of 0 does not make it appear.
    pub fn add(&self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        if count > 0 {
            *self
                .values
                .lock()
                .entry(Self::key(name, labels))
                .or_insert(0) += count;
        }
    }

    /// Sets a gauge.
    pub fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.values.lock().insert(Self::key(name, labels), value);
    }

    /// Counts rows that were taken in.
    pub fn received(&self, signal: Signal, source: &'static str, count: u64) {
        let labels = [("signal", signal.name()), ("source", source)];
        self.add(RECEIVED_ROWS, &labels, count);
    }

    /// Counts rows that were given up.
    pub fn dropped(&self, signal: Signal, reason: &'static str, count: u64) {
        let labels = [("signal", signal.name()), ("reason", reason)];
        self.add(DROPPED_ROWS, &labels, count);
    }

    /// The sum of a metric over all labels that contain the given pairs.
    pub fn total(&self, name: &str, with: &[(&str, &str)]) -> u64 {
        let values = self.values.lock();
        let has = |labels: &Labels, pair: &(&str, &str)| {
            labels
                .iter()
                .any(|(key, value)| (*key, value.as_str()) == *pair)
        };
        let matching = values.iter().filter(|((metric, labels), _)| {
            *metric == name && with.iter().all(|pair| has(labels, pair))
        });
        matching.map(|(_, value)| *value).sum()
    }

    /// Every value, for `/metrics`.
    #[allow(clippy::cast_precision_loss)]
    pub fn exposition(&self) -> Vec<exposition::Sample> {
        let sample = |sample: Sample| {
            let labels: Vec<(&str, &str)> = sample
                .labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            exposition::Sample::new(sample.name, &labels, sample.value as f64)
        };
        self.snapshot().into_iter().map(sample).collect()
    }

    /// Every value, sorted by name and labels.
    pub fn snapshot(&self) -> Vec<Sample> {
        let values = self.values.lock();
        let sample = |((name, labels), value): (&(&'static str, Labels), &u64)| Sample {
            name,
            labels: labels.clone(),
            value: *value,
        };
        values.iter().map(sample).collect()
    }
}
