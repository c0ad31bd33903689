//! How many rows wait, per destination: the middle of every row's account.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Signal;
use parking_lot::Mutex;

use crate::metrics::{self, Metrics};

/// Shared by the writer, which adds, and the exporters, which take away. An exporter may be
/// faster than the writer's bookkeeping, so counts pass below zero for a moment.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    rows: Arc<Mutex<BTreeMap<String, [i64; 3]>>>,
    metrics: Metrics,
}

pub(crate) fn signal_index(signal: Signal) -> usize {
    signal as usize - 1
}

impl Queued {
    pub(super) fn start(rows: BTreeMap<String, [i64; 3]>, metrics: &Metrics) -> Self {
        for (destination, rows) in &rows {
            for signal in Signal::ALL {
                let labels = [
                    ("signal", signal.name()),
                    ("destination", destination.as_str()),
                ];
                let count = u64::try_from(rows[signal_index(signal)]).unwrap_or(0);
                metrics.add(metrics::RESTORED_ROWS, &labels, count);
                metrics.set(metrics::QUEUED_ROWS, &labels, count);
            }
        }
        Self {
            rows: Arc::new(Mutex::new(rows)),
            metrics: metrics.clone(),
        }
    }

    /// Rows came in for every destination.
    pub(super) fn add(&self, signal: Signal, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut rows = self.rows.lock();
        for (destination, rows) in rows.iter_mut() {
            self.change(destination, rows, signal, count);
        }
    }

    /// Rows were delivered or given up.
    pub(crate) fn remove(&self, destination: &str, signal: Signal, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(rows) = self.rows.lock().get_mut(destination) {
            self.change(destination, rows, signal, -count);
        }
    }

    fn change(&self, destination: &str, rows: &mut [i64; 3], signal: Signal, by: i64) {
        let value = &mut rows[signal_index(signal)];
        *value = value.saturating_add(by);
        let labels = [("signal", signal.name()), ("destination", destination)];
        let shown = u64::try_from(*value).unwrap_or(0);
        self.metrics.set(metrics::QUEUED_ROWS, &labels, shown);
    }

    /// Rows that wait for a destination.
    pub(crate) fn total(&self, destination: &str) -> u64 {
        let rows = self.rows.lock();
        let sum = rows.get(destination).map_or(0, |rows| rows.iter().sum());
        u64::try_from(sum).unwrap_or(0)
    }
}
