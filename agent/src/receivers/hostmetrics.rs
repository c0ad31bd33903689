//! Host metrics by OpenTelemetry's semantic conventions, read from `/proc`, and the agent's own
//! counters, which travel the same way.
//!
//! Every metric is a cumulative sum since boot or a gauge. What cannot be read (a container
//! without `/proc/diskstats`) is left out; the rest is still sent.

mod system;

use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use model::{KeyValue, Signal};

use super::polling::{Polling, Stop};
use crate::encode::{self, Kind, Number, Point, count_rows, put_envelope, put_metric};
use crate::metrics::Metrics;
use crate::options::HostOptions;
use crate::queue::{AppendError, Entry, Queue};

/// What one reading needs.
struct Reading {
    env: Env,
    options: HostOptions,
    host: Vec<u8>,
    agent: Vec<u8>,
    started_unix_nano: u64,
    system: system::System,
    metrics: Metrics,
}

/// Starts reading at the interval. `host` describes the machine, `agent` this process.
pub fn start(
    env: &Env,
    options: &HostOptions,
    host: &[KeyValue],
    agent: &[KeyValue],
    queue: Queue,
) -> std::io::Result<Polling> {
    let mut reading = Reading {
        env: env.clone(),
        options: options.clone(),
        host: encode::resource(host),
        agent: encode::resource(&[host, agent].concat()),
        started_unix_nano: env.clock.unix_nanos(),
        system: system::System::default(),
        metrics: queue.metrics.clone(),
    };
    let failures = queue.failures().clone();
    let pass = move || {
        let entry = reading.take();
        let rows = entry.rows;
        match queue.append_blocking(Some(entry), Vec::new()) {
            Ok(()) => {}
            Err(AppendError::Closed) => return false,
            Err(error) => {
                // The next reading is as good as this one, and old ones are worth less than the
                // room that they would take.
                tracing::warn!(%error, "host metrics dropped");
                reading
                    .metrics
                    .received(Signal::Metrics, "hostmetrics", rows);
                reading.metrics.dropped(Signal::Metrics, "queue_full", rows);
            }
        }
        true
    };
    Polling::start(
        "agent-hostmetrics",
        "the reader of host metrics",
        &failures,
        options.interval,
        Arc::new(Stop::default()),
        pass,
    )
}

impl Reading {
    fn take(&mut self) -> Entry {
        let now = self.env.clock.unix_nanos();
        let mut rows = Vec::new();
        self.system.read(&self.options.proc_dir, now, &mut rows);
        let mut request = Vec::new();
        if !rows.is_empty() {
            let scope = encode::scope("hostmetrics");
            put_envelope(&mut request, &self.host, &scope, &rows);
        }
        let own = self.own(now);
        if !own.is_empty() {
            put_envelope(&mut request, &self.agent, &encode::scope("agent"), &own);
        }
        let rows = count_rows(Signal::Metrics, &request).unwrap_or(0);
        Entry {
            signal: Signal::Metrics,
            source: "hostmetrics",
            rows,
            read_unix_nano: now,
            alone: false,
            request: Bytes::from(request),
        }
    }

    /// The agent's counters: names in `_total` are sums, others gauges.
    fn own(&self, now: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let samples = self.metrics.snapshot();
        for same in samples.chunk_by(|a, b| a.name == b.name) {
            let points: Vec<Point> = same
                .iter()
                .map(|sample| {
                    let labels = sample.labels.clone();
                    (
                        labels,
                        Number::Int(i64::try_from(sample.value).unwrap_or(i64::MAX)),
                    )
                })
                .collect();
            let name = same[0].name;
            // The Prometheus view of a monotonic sum adds `_total` itself.
            let (name, kind) = match name.strip_suffix("_total") {
                Some(name) => {
                    let start_unix_nano = self.started_unix_nano;
                    (name, Kind::Counter { start_unix_nano })
                }
                None => (name, Kind::Gauge),
            };
            put_metric(&mut out, (name, "1", ""), kind, now, &points);
        }
        out
    }
}

#[cfg(test)]
mod tests;
