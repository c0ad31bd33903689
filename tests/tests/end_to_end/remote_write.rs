//! Prometheus remote write, seen from outside: what is written comes back verbatim in PromQL.

use std::process::Command;

use reqwest::Response;
use serde_json::{Value, json};
use testkit::remote_write::{
    Exemplar, Histogram, MetricMetadata, Sample, Span, TimeSeries, WriteRequest, block, labels,
    one, version_2,
};
use tests::{Http, Server, external};

use crate::up;

pub(crate) const PATH: &str = "/prometheus/api/v1/write";
pub(crate) const VERSION_2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// A day of years ago, in seconds.
const BEGIN: i64 = 1_600_000_000;
pub(crate) const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

pub(crate) async fn post(port: &Http, content_type: &str, body: Vec<u8>) -> Response {
    let request = port.request("POST", PATH);
    let request = request
        .header("content-type", content_type)
        .header("content-encoding", "snappy");
    request.body(body).send().await.unwrap()
}

fn written(response: &Response) -> [u64; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        let name = format!("x-prometheus-remote-write-{what}-written");
        let value = response.headers()[&name].to_str().unwrap();
        value.parse().unwrap()
    })
}

fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let sample = |(seconds, value): &(i64, f64)| Sample {
        value: *value,
        timestamp: seconds * 1_000,
        start_timestamp: 0,
    };
    TimeSeries {
        labels: labels(pairs),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

const LABELS: [(&str, &str); 5] = [
    ("__name__", "shop:orders.total_ratio"),
    ("instance", "10.0.0.1:9100"),
    ("job", "shop/orders"),
    ("otel_scope_name", "mine"),
    ("ünïcode key", "\u{1f980}\n"),
];

/// Late, repeated, infinite, ended: everything of one series, the newest first.
fn request() -> WriteRequest {
    let late = [
        (BEGIN + 60, f64::INFINITY),
        (BEGIN, -0.5),
        (BEGIN, -0.5),
        (BEGIN + 120, STALE),
        (0, 7.0),
    ];
    let mut with_exemplar = series(&LABELS, &late);
    with_exemplar.exemplars.push(Exemplar {
        labels: labels(&[("traceID", "000102030405060708090a0b0c0d0e0f")]),
        value: 3.5,
        timestamp: BEGIN * 1_000 + 1,
    });
    let native = TimeSeries {
        labels: labels(&[("__name__", "sizes")]),
        histograms: vec![Histogram {
            count_int: Some(9),
            sum: 20.0,
            schema: 0,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            positive_deltas: vec![2, 1, 1],
            timestamp: BEGIN * 1_000,
            ..Histogram::default()
        }],
        ..TimeSeries::default()
    };
    WriteRequest {
        timeseries: vec![with_exemplar, native],
        metadata: vec![MetricMetadata {
            kind: 1,
            metric_family_name: LABELS[0].1.to_owned(),
            help: "Orders.".to_owned(),
            unit: "orders".to_owned(),
        }],
    }
}

async fn result(server: &Server, query: &str, seconds: i64) -> Vec<Value> {
    server.query().promql(query, &seconds.to_string()).await
}

async fn verify(server: &Server) {
    let expected: serde_json::Map<String, Value> = LABELS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    for (at, value) in [(0, "7"), (BEGIN, "-0.5"), (BEGIN + 60, "+Inf")] {
        let found = result(server, "{job=\"shop/orders\"}", at).await;
        assert_eq!(
            found,
            [json!({"metric": expected, "value": [at, value]})],
            "at {at}"
        );
    }
    // Of what came twice for one moment, the last counts.
    let twice = WriteRequest {
        timeseries: vec![
            one(&[("__name__", "twice")], BEGIN * 1_000, 1.0),
            one(&[("__name__", "twice")], BEGIN * 1_000, 2.0),
        ],
        metadata: vec![],
    };
    let response = post(&server.query(), "application/x-protobuf", block(&twice)).await;
    assert_eq!(response.status(), 204);
    assert_eq!(result(server, "twice", BEGIN).await[0]["value"][1], "2");
    let all = "count_over_time({\"shop:orders.total_ratio\"}[1h])";
    assert_eq!(
        result(server, all, BEGIN + 119).await[0]["value"][1],
        "2",
        "what came twice counts once"
    );
    let ended = result(server, "{job=\"shop/orders\"}", BEGIN + 120).await;
    assert_eq!(ended, [] as [Value; 0], "a stale marker ends it");
    let quantile = result(server, "histogram_sum(sizes)", BEGIN).await;
    assert_eq!(quantile[0]["value"][1], "20");
    let exemplars = server
        .query()
        .get(
            "/prometheus/api/v1/query_exemplars",
            &[
                ("query", "{\"shop:orders.total_ratio\"}"),
                ("start", &BEGIN.to_string()),
                ("end", &(BEGIN + 60).to_string()),
            ],
        )
        .await;
    let exemplar = &exemplars["data"][0];
    assert_eq!(exemplar["seriesLabels"], json!(expected));
    assert_eq!(
        exemplar["exemplars"][0]["labels"],
        json!({"traceID": "000102030405060708090a0b0c0d0e0f"})
    );
}

#[tokio::test]
async fn what_is_written_comes_back_verbatim_after_a_crash_too() {
    let setup = up();
    let server = setup.start();
    let response = post(&server.query(), "application/x-protobuf", block(&request())).await;
    assert_eq!(response.status(), 204);
    assert_eq!(written(&response), [5, 1, 1]);
    verify(&server).await;
    let metadata = server.query().get("/prometheus/api/v1/metadata", &[]).await;
    let counter = json!([{"type": "counter", "help": "Orders.", "unit": "orders"}]);
    assert_eq!(
        metadata["data"],
        json!({"shop:orders.total_ratio": counter})
    );
    // The same on the port of OTLP and in version 2.0, which changes nothing.
    let second = version_2(&request(), Some((1, "Orders.", "orders")));
    let response = post(&server.otlp(), VERSION_2, block(&second)).await;
    assert_eq!(
        (response.status().as_u16(), written(&response)),
        (204, [5, 1, 1])
    );
    verify(&server).await;
    server.kill();
    let server = setup.start();
    verify(&server).await;
    let (status, _) = server.terminate();
    assert!(status.success());
    verify(&setup.start()).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_apart_from_what_may_come_again() {
    let server = up().start();
    let port = server.otlp();
    let partly = WriteRequest {
        timeseries: vec![
            one(&[("__name__", "fine")], BEGIN * 1_000, 1.0),
            one(&[("b", "1"), ("b", "2")], BEGIN * 1_000, 1.0),
        ],
        metadata: vec![],
    };
    let response = post(&port, "application/x-protobuf", block(&partly)).await;
    assert_eq!(
        (response.status().as_u16(), written(&response)),
        (400, [1, 0, 0])
    );
    let reason = response.text().await.unwrap();
    assert!(reason.contains("twice"), "{reason}");
    assert_eq!(result(&server, "fine", BEGIN).await.len(), 1);
    let metrics = port.get_any("/metrics", &[]).await.1;
    let counted = "throughline_collector_rejected_rows_total{signal=\"metrics\",reason=\"duplicate_label\"} 1";
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");

    let body = block(&partly);
    let wrong = [
        ("application/json", body.clone(), 415),
        ("application/x-protobuf;proto=x", body.clone(), 415),
        ("application/x-protobuf", b"no snappy".to_vec(), 400),
        (
            "application/x-protobuf",
            body[..body.len() / 2].to_vec(),
            400,
        ),
        // A few bytes that promise 4 GiB.
        (
            "application/x-protobuf",
            vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0],
            413,
        ),
    ];
    for (content_type, body, status) in wrong {
        let response = post(&port, content_type, body).await;
        assert_eq!(response.status(), status, "{content_type}");
        assert_eq!(written(&response), [0; 3]);
    }
    let get = port.request("GET", PATH).send().await.unwrap();
    assert_eq!(get.status(), 405);
}

/// The scripts of Prometheus' own tests, by way of remote write and its query API.
#[tokio::test]
async fn scripts_pass_over_remote_write() {
    let python = std::env::var("THROUGHLINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !external::works(Command::new(&python).args(["-c", "import cramjam"])) {
        external::missing("the Python package cramjam");
        return;
    }
    let (Some(scripts), Some(runner)) = (
        testkit::testdata("promql"),
        testkit::testdata("../tools/promqltest_http.py"),
    ) else {
        return;
    };
    let server = up().start();
    let base = format!("{}/prometheus", server.query().base());
    let mut files: Vec<_> = std::fs::read_dir(scripts)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "test"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let run = move || {
        let mut command = Command::new(python);
        external::output(command.arg(runner).arg(base).args(files))
    };
    let report = tokio::task::spawn_blocking(run).await.unwrap();
    let total = report
        .lines()
        .find(|line| line.starts_with("TOTAL"))
        .unwrap();
    // The runner passes over what it cannot write itself: native histograms.
    for word in ["FAIL", "ERRmsg", "load_rejected", "unparsed"] {
        assert!(!total.contains(word), "{report}");
    }
    assert!(total.contains("'pass'"), "{report}");
}
