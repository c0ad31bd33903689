//! The SDKs that people use, against the real binary.
//!
//! Python: `THROUGHLINE_PYTHON`, or `python3`, with `tests/clients/python/requirements.txt`.
//! JS: `node`, after `npm ci` in `tests/clients/js`. `.ci/run` prepares both.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::time::Duration;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tests::otlp_json::{SECOND, now};
use tests::{Server, Setup, external};

fn up() -> Server {
    let program = env!("CARGO_BIN_EXE_throughline-under-test");
    Setup::new(program, "up")
        .config("agent: {host: {enabled: false}}\n")
        .start()
}

/// What every client sends: 11 spans, 10 log records, a counter and a histogram.
async fn verify(server: &Server, service: &str, trace_id: &str) {
    let query = server.query();
    let spans = query.trace_spans(trace_id).await;
    assert_eq!(spans.len(), 11, "{service}");
    assert_eq!(
        (&spans[0]["name"], &spans[0]["service"]),
        (&Value::from("outer"), &Value::from(service))
    );
    let attribute = |key: &str| {
        let attributes = spans[0]["attributes"].as_array().unwrap();
        attributes.iter().find(|kv| kv["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(attribute("tries")["intValue"], "3", "{service}");
    assert_eq!(attribute("ratio")["doubleValue"], 0.5, "{service}");
    assert_eq!(
        attribute("names")["arrayValue"]["values"][1]["stringValue"],
        "b",
        "{service}"
    );
    for inner in &spans[1..] {
        assert_eq!(inner["parentSpanId"], spans[0]["spanId"], "{service}");
        assert_eq!(inner["events"][0]["name"], "working", "{service}");
    }

    let logs = query
        .all_logs(&format!(
            "service:{service} step level:warn trace_id:{trace_id}"
        ))
        .await;
    assert_eq!(logs.len(), 10, "{service}");
    let owners = logs
        .iter()
        .filter(|log| spans.iter().any(|span| span["spanId"] == log["span_id"]));
    assert_eq!(owners.count(), 10, "{service}");

    let at = (now() / SECOND + 1).to_string();
    let job = format!("{{job=\"{service}\"}}");
    let counted = query
        .promql_value(&format!("sum(client_requests_total{job})"), &at)
        .await;
    assert_eq!(counted, 10.0, "{service}");
    let series = query
        .promql(&format!("client_requests_total{job}"), &at)
        .await;
    assert_eq!(series.len(), 2, "{service}: {series:?}");
    let durations = query
        .promql_value(&format!("client_duration_seconds_count{job}"), &at)
        .await;
    assert_eq!(durations, 10.0, "{service}");
}

async fn verify_printed(server: &Server, printed: &str) {
    let line = printed.lines().last().unwrap_or_default();
    let sent: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{printed}"));
    verify(
        server,
        sent["service"].as_str().unwrap(),
        sent["trace_id"].as_str().unwrap(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_over_grpc_and_http() {
    let python = std::env::var("THROUGHLINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
    if !external::works(Command::new(&python).args(["-c", imports])) {
        external::missing("the OpenTelemetry Python SDK (tests/clients/python/requirements.txt)");
        return;
    }
    let server = up();
    for (protocol, listener) in [("grpc", "otlp_grpc"), ("http", "otlp_http")] {
        let endpoint = format!("http://{}", server.address(listener));
        let script = external::clients().join("python/send.py");
        let printed = external::output(
            Command::new(&python)
                .arg(script)
                .arg(protocol)
                .arg(endpoint),
        );
        verify_printed(&server, &printed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_js_sdk_over_http_in_json() {
    let folder = external::clients().join("js");
    let prepared = folder.join("node_modules/@opentelemetry/sdk-logs").exists();
    if !prepared || !external::works(Command::new("node").arg("--version")) {
        external::missing("node with the OpenTelemetry JS SDK (npm ci --prefix tests/clients/js)");
        return;
    }
    let server = up();
    for compression in ["none", "gzip"] {
        let endpoint = format!("http://{}", server.address("otlp_http"));
        let script = folder.join("send.js");
        let printed = external::output(
            Command::new("node")
                .arg(script)
                .arg(endpoint)
                .arg(compression),
        );
        verify_printed(&server, &printed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_over_grpc() {
    let server = up();
    let endpoint = format!("http://{}", server.address("otlp_grpc"));
    let service = "rust-grpc";
    let resource = Resource::builder_empty().with_service_name(service).build();
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint)
        .build()
        .unwrap();
    let logs = LogExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint)
        .build()
        .unwrap();
    let metrics = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&endpoint)
        .build()
        .unwrap();
    let tracing = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(spans)
        .build();
    let logging = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(logs)
        .build();
    let metering = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_periodic_exporter(metrics)
        .build();

    let (tracer, logger, meter) = (
        tracing.tracer("client"),
        logging.logger("client"),
        metering.meter("client"),
    );
    let counter = meter.u64_counter("client.requests").build();
    let histogram = meter
        .f64_histogram("client.duration")
        .with_unit("s")
        .build();
    let names =
        opentelemetry::Value::Array(opentelemetry::Array::String(vec!["a".into(), "b".into()]));
    let outer = tracer
        .span_builder("outer")
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("tries", 3),
            KeyValue::new("ratio", 0.5),
            KeyValue::new("names", names),
        ])
        .start(&tracer);
    let outer = Context::new().with_span(outer);
    for number in 0..10_i64 {
        let mut inner = tracer.start_with_context("inner", &outer);
        inner.add_event("working", vec![KeyValue::new("number", number)]);
        inner.set_status(Status::Ok);
        counter.add(1, &[KeyValue::new("even", number % 2 == 0)]);
        histogram.record(0.1, &[]);
        let of = inner.span_context().clone();
        let mut record = logger.create_log_record();
        record.set_timestamp(std::time::SystemTime::now());
        record.set_severity_number(Severity::Warn);
        record.set_severity_text("WARN");
        record.set_body(AnyValue::from(format!("step {number} of the rust client")));
        record.set_trace_context(of.trace_id(), of.span_id(), Some(of.trace_flags()));
        logger.emit(record);
        inner.end();
    }
    outer.span().end();
    let trace_id = outer.span().span_context().trace_id().to_string();
    let flushed = tokio::task::spawn_blocking(move || {
        tracing
            .shutdown_with_timeout(Duration::from_secs(20))
            .unwrap();
        logging
            .shutdown_with_timeout(Duration::from_secs(20))
            .unwrap();
        metering
            .shutdown_with_timeout(Duration::from_secs(20))
            .unwrap();
    });
    flushed.await.unwrap();
    verify(&server, service, &trace_id).await;
}
