//! One service's OpenTelemetry SDK: its resource, providers and exporters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::logs::LoggerProvider;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatch, BatchLogProcessor, SdkLogger, SdkLoggerProvider,
};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder as SpanBatch, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tonic::transport::{Channel, Endpoint};

use super::random::{Dice, SeededIds};

/// How long spans and logs wait for company.
const BATCH_DELAY: Duration = Duration::from_millis(500);
const METRIC_INTERVAL: Duration = Duration::from_secs(1);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a provider may take to flush when the shop closes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What identifies a service; attributes of its resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) host: &'static str,
}

impl Identity {
    /// The attributes of its resource. The instance id follows from the seed, as all ids do.
    pub(super) fn attributes(&self, instance: &str) -> [(&'static str, String); 5] {
        [
            ("service.name", self.name.to_owned()),
            ("service.namespace", "shop".to_owned()),
            ("service.version", self.version.to_owned()),
            ("service.instance.id", instance.to_owned()),
            ("host.name", self.host.to_owned()),
        ]
    }
}

/// The SDK of one service.
pub(super) struct Telemetry {
    pub(super) tracer: SdkTracer,
    pub(super) logger: SdkLogger,
    pub(super) meter: Meter,
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

impl Telemetry {
    /// Sets the SDK up; must be called inside a Tokio runtime, which drives the connection.
    pub(super) fn new(
        identity: &Identity,
        instance: &str,
        otlp_grpc: SocketAddr,
        dice: &Arc<Dice>,
    ) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{otlp_grpc}"))
            .context("cannot use the address of the collector")?
            .connect_timeout(EXPORT_TIMEOUT)
            .connect_lazy();
        // Without the detectors of the environment: these services are not this process.
        let attributes = identity.attributes(instance);
        let attributes = attributes.map(|(key, value)| KeyValue::new(key, value));
        let resource = Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        let scope = InstrumentationScope::builder(format!("shop.{}", identity.name))
            .with_version(identity.version)
            .build();
        let traces = tracer_provider(channel.clone(), resource.clone(), dice)?;
        let logs = logger_provider(channel.clone(), resource.clone())?;
        let metrics = meter_provider(channel, resource)?;
        Ok(Self {
            tracer: traces.tracer_with_scope(scope.clone()),
            logger: logs.logger_with_scope(scope.clone()),
            meter: metrics.meter_with_scope(scope),
            traces,
            logs,
            metrics,
        })
    }

    /// Sends what is left. Blocks, so it belongs on a thread where that is allowed.
    pub(super) fn flush(&self, service: &str) {
        let results = [
            self.traces.shutdown_with_timeout(FLUSH_TIMEOUT),
            self.logs.shutdown_with_timeout(FLUSH_TIMEOUT),
            self.metrics.shutdown_with_timeout(FLUSH_TIMEOUT),
        ];
        for error in results.into_iter().filter_map(Result::err) {
            tracing::warn!(service, %error, "telemetry of the demo shop is lost");
        }
    }
}

fn tracer_provider(
    channel: Channel,
    resource: Resource,
    dice: &Arc<Dice>,
) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let batch = SpanBatch::default()
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batch);
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(SeededIds(Arc::clone(dice)))
        .with_span_processor(processor.build())
        .build())
}

fn logger_provider(channel: Channel, resource: Resource) -> anyhow::Result<SdkLoggerProvider> {
    let exporter = LogExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let batch = LogBatch::default()
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(batch);
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(processor.build())
        .build())
}

fn meter_provider(channel: Channel, resource: Resource) -> anyhow::Result<SdkMeterProvider> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let reader = PeriodicReader::builder(exporter).with_interval(METRIC_INTERVAL);
    Ok(SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader.build())
        .build())
}
