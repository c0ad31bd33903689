//! A histogram with exemplars, written as OTLP by the payment service itself: the SDK sends
//! none. It stands for services with instrumentation of their own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use model::Signal;
use opentelemetry::trace::SpanContext;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Histogram, HistogramDataPoint, Metric, ResourceMetrics,
    ScopeMetrics, exemplar, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp::client::{Client, ClientLimits, Outcome, Protocol};
use otlp::inflate::Encoding;
use otlp::server::unix_nanos;
use parking_lot::Mutex;
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::telemetry::Identity;

const INTERVAL: Duration = Duration::from_secs(1);
/// Upper bounds of the buckets, in milliseconds.
const BOUNDS: [f64; 8] = [10.0, 25.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0];
const BUCKETS: usize = BOUNDS.len() + 1;
/// What a charge may end as; each is a series.
pub(super) const OUTCOMES: [&str; 3] = ["paid", "declined", "timeout"];

/// How long charges took, by outcome, with one exemplar for each bucket.
pub(super) struct ChargeDurations {
    client: Client,
    resource: Resource,
    version: &'static str,
    began_unix_nano: u64,
    state: Mutex<[Series; OUTCOMES.len()]>,
}

#[derive(Default)]
struct Series {
    count: u64,
    sum: f64,
    buckets: [u64; BUCKETS],
    /// The last value of each bucket since the last export that was taken.
    exemplars: [Option<Exemplar>; BUCKETS],
}

impl ChargeDurations {
    pub(super) fn new(
        identity: &Identity,
        instance: &str,
        otlp_grpc: SocketAddr,
    ) -> anyhow::Result<Self> {
        let client = Client::new(
            &otlp_grpc.to_string(),
            Protocol::Grpc,
            Encoding::Zstd,
            ClientLimits {
                timeout: Duration::from_secs(5),
                ..ClientLimits::default()
            },
        )?;
        let attributes = identity.attributes(instance);
        let attributes = attributes.map(|(key, value)| text(key, value));
        Ok(Self {
            client,
            resource: Resource {
                attributes: attributes.into(),
                ..Resource::default()
            },
            version: identity.version,
            began_unix_nano: unix_nanos(),
            state: Mutex::default(),
        })
    }

    /// Counts a charge that happened in this span.
    pub(super) fn record(&self, outcome: &str, duration: Duration, span: &SpanContext) {
        let Some(index) = OUTCOMES.iter().position(|known| *known == outcome) else {
            return;
        };
        let milliseconds = duration.as_secs_f64() * 1e3;
        let bucket = BOUNDS.partition_point(|bound| *bound < milliseconds);
        let exemplar = Exemplar {
            time_unix_nano: unix_nanos(),
            span_id: span.span_id().to_bytes().to_vec(),
            trace_id: span.trace_id().to_bytes().to_vec(),
            value: Some(exemplar::Value::AsDouble(milliseconds)),
            ..Exemplar::default()
        };
        let mut state = self.state.lock();
        let series = &mut state[index];
        series.count += 1;
        series.sum += milliseconds;
        series.buckets[bucket] += 1;
        series.exemplars[bucket] = Some(exemplar);
    }

    /// Exports until the shop closes, and once more then. Returns how many exports failed.
    pub(super) async fn run(&self, closed: CancellationToken) -> u64 {
        let mut failed = 0;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                () = closed.cancelled() => true,
                _ = ticks.tick() => false,
            };
            failed += u64::from(!self.export().await);
            if last {
                return failed;
            }
        }
    }

    /// Sends the current state once. The values are running totals, so one that is not taken is
    /// made up for by the next.
    async fn export(&self) -> bool {
        let request = self.request();
        let sent = request
            .resource_metrics
            .iter()
            .map(|metrics| metrics.scope_metrics.len());
        if sent.sum::<usize>() == 0 {
            return true;
        }
        let bytes = Bytes::from(request.encode_to_vec());
        match self.client.send(Signal::Metrics, bytes, None).await {
            Outcome::Success { rejected: 0, .. } => {
                self.forget_sent(&request);
                true
            }
            outcome => {
                tracing::warn!(?outcome, "an export of the demo shop was not taken");
                false
            }
        }
    }

    fn request(&self) -> ExportMetricsServiceRequest {
        let now = unix_nanos();
        let state = self.state.lock();
        let points = OUTCOMES.iter().zip(state.iter());
        let points: Vec<_> = points
            .filter(|(_, series)| series.count > 0)
            .map(|(outcome, series)| self.point(outcome, series, now))
            .collect();
        drop(state);
        let histogram = Histogram {
            data_points: points,
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
        };
        let scopes = if histogram.data_points.is_empty() {
            Vec::new()
        } else {
            vec![self.scope(histogram)]
        };
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: scopes,
                ..ResourceMetrics::default()
            }],
        }
    }

    fn scope(&self, histogram: Histogram) -> ScopeMetrics {
        ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "shop.payment.charges".to_owned(),
                version: self.version.to_owned(),
                ..InstrumentationScope::default()
            }),
            metrics: vec![Metric {
                name: "shop.charge.duration".to_owned(),
                description: "How long charging a card took.".to_owned(),
                unit: "ms".to_owned(),
                data: Some(Data::Histogram(histogram)),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }
    }

    fn point(&self, outcome: &str, series: &Series, now: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: vec![text("outcome", outcome.to_owned())],
            start_time_unix_nano: self.began_unix_nano,
            time_unix_nano: now,
            count: series.count,
            sum: Some(series.sum),
            bucket_counts: series.buckets.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            exemplars: series.exemplars.iter().flatten().cloned().collect(),
            ..HistogramDataPoint::default()
        }
    }

    /// Drops the exemplars that went out, but not those that came since.
    fn forget_sent(&self, request: &ExportMetricsServiceRequest) {
        let mut sent = Vec::new();
        for metrics in &request.resource_metrics {
            for metric in metrics
                .scope_metrics
                .iter()
                .flat_map(|scope| &scope.metrics)
            {
                if let Some(Data::Histogram(histogram)) = &metric.data {
                    let points = histogram.data_points.iter();
                    sent.extend(points.flat_map(|point| &point.exemplars));
                }
            }
        }
        let mut state = self.state.lock();
        for exemplar in state.iter_mut().flat_map(|series| &mut series.exemplars) {
            if exemplar.as_ref().is_some_and(|kept| sent.contains(&kept)) {
                *exemplar = None;
            }
        }
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}
