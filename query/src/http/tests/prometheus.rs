use model::metric::{
    Buckets, ExponentialHistogram, Histogram, Metric, MetricKind, PointValue, Series, Summary,
    Temporality,
};
use model::{DataPoint, Scope};
use storage::message::SeriesPoints;

use super::*;

fn series(
    name: &str,
    kind: MetricKind,
    temporality: Temporality,
    values: Vec<(u64, PointValue)>,
) -> SeriesPoints {
    let metric = Metric {
        name: name.to_owned(),
        description: "help".to_owned(),
        unit: String::new(),
        kind,
        temporality,
        monotonic: kind == MetricKind::Sum,
        metadata: Vec::new(),
    };
    let points = values.into_iter().map(|(seconds, value)| DataPoint {
        start_unix_nano: 0,
        time_unix_nano: seconds * S,
        flags: u32::from(value == PointValue::Empty),
        value,
        exemplars: Vec::new(),
    });
    SeriesPoints {
        series: Series {
            resource: resource("shop"),
            scope: Arc::new(Scope::default()),
            metric: Arc::new(metric),
            attributes: vec![KeyValue::new("zone", "z1")],
        },
        points: points.collect(),
    }
}

fn histogram(counts: [u64; 3], sum: f64) -> PointValue {
    PointValue::Histogram(Histogram {
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.5, 1.0],
        ..Histogram::default()
    })
}

fn all() -> Vec<SeriesPoints> {
    use PointValue::{Double, Int};
    let exponential = |count: u64| {
        PointValue::Exponential(ExponentialHistogram {
            count,
            sum: Some(3.0),
            scale: 0,
            positive: Some(Buckets {
                offset: 0,
                bucket_counts: vec![count],
            }),
            ..ExponentialHistogram::default()
        })
    };
    let summary = PointValue::Summary(Summary {
        count: 4,
        sum: 8.0,
        quantiles: vec![(0.5, 2.0)],
    });
    vec![
        series(
            "temperature",
            MetricKind::Gauge,
            Temporality::None,
            vec![(900, Double(1.5)), (960, Double(2.5))],
        ),
        series(
            "requests",
            MetricKind::Sum,
            Temporality::Cumulative,
            vec![(900, Int(10)), (960, Int(70))],
        ),
        // Two sources hold the middle point.
        series(
            "events",
            MetricKind::Sum,
            Temporality::Delta,
            vec![(10, Int(5)), (900, Int(1)), (960, Int(2))],
        ),
        series(
            "events",
            MetricKind::Sum,
            Temporality::Delta,
            vec![(900, Int(1))],
        ),
        series(
            "latency",
            MetricKind::Histogram,
            Temporality::Delta,
            vec![
                (900, histogram([1, 1, 0], 1.0)),
                (960, histogram([0, 2, 1], 4.0)),
            ],
        ),
        series(
            "sizes",
            MetricKind::ExponentialHistogram,
            Temporality::Delta,
            vec![(900, exponential(1)), (960, exponential(2))],
        ),
        series(
            "quant",
            MetricKind::Summary,
            Temporality::None,
            vec![(960, summary)],
        ),
        series(
            "gone",
            MetricKind::Gauge,
            Temporality::None,
            vec![(900, Double(1.0)), (960, PointValue::Empty)],
        ),
    ]
}

async fn value(server: &Server, query: &str) -> Json {
    let request = server
        .client
        .get(format!("{}/prometheus/api/v1/query", server.base));
    let response = request
        .query(&[("query", query), ("time", "1000")])
        .send()
        .await
        .unwrap();
    let body: Json = response.json().await.unwrap();
    assert_eq!(body["status"], "success", "{query}: {body}");
    let results = body["data"]["result"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{query}: {body}");
    let one = &results[0];
    if one["value"].is_array() {
        one["value"][1].clone()
    } else {
        one["histogram"][1]["count"].clone()
    }
}

#[tokio::test]
async fn otlp_series_are_read_as_prometheus_names_them() {
    let memory = Memory::new("a");
    *memory.series.lock() = all();
    let server = serve(&[&memory], |_| {}).await;
    let cases = [
        ("temperature", "2.5"),
        ("temperature{job=\"shop\",zone=\"z1\"}", "2.5"),
        ("requests_total", "70"),
        ("rate(requests_total[5m]) * 60 > 0", "20"),
        ("events_total", "8"),
        ("latency_bucket{le=\"0.5\"}", "1"),
        ("latency_bucket{le=\"1\"}", "4"),
        ("latency_bucket{le=\"+Inf\"}", "5"),
        ("latency_count", "5"),
        ("latency_sum", "5"),
        ("sizes", "3"),
        ("quant{quantile=\"0.5\"}", "2"),
        ("quant_count", "4"),
        ("target_info{host_name=\"h1\"}", "1"),
        ("count(gone) or vector(0)", "0"),
        ("1 + 1 + vector(0)", "2"),
    ];
    for (query, expected) in cases {
        let got = value(&server, query).await;
        let number: f64 = got.as_str().unwrap().parse().unwrap();
        let wanted: f64 = expected.parse().unwrap();
        let close = (number - wanted).abs() < 5.0 && query.starts_with("rate");
        assert!(close || got == *expected, "{query}: {got}");
    }
}

#[tokio::test]
async fn ranges_forms_labels_and_metadata() {
    let memory = Memory::new("a");
    *memory.series.lock() = all();
    let server = serve(&[&memory], |_| {}).await;
    let base = format!("{}/prometheus/api/v1", server.base);
    let form = "query=temperature&start=900&end=960&step=30s";
    let posted = server.client.post(format!("{base}/query_range")).body(form);
    let posted = posted.header("content-type", "application/x-www-form-urlencoded");
    let body: Json = posted.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["data"]["resultType"], "matrix");
    let values = &body["data"]["result"][0]["values"];
    assert_eq!(
        *values,
        serde_json::json!([[900, "1.5"], [930, "1.5"], [960, "2.5"]])
    );

    let (_, body) = server.get("/prometheus/api/v1/labels").await;
    let names = ["__name__", "host_name", "job", "le", "quantile", "zone"];
    assert_eq!(body["data"], serde_json::json!(names));
    let (_, body) = server
        .get("/prometheus/api/v1/label/le/values?match[]=latency_bucket")
        .await;
    assert_eq!(body["data"], serde_json::json!(["+Inf", "0.5", "1"]));
    let (_, body) = server
        .get("/prometheus/api/v1/label/__name__/values?limit=2")
        .await;
    assert_eq!(body["data"], serde_json::json!(["events_total", "gone"]));
    assert_eq!(
        body["warnings"],
        serde_json::json!(["results truncated due to limit"])
    );
    let (_, body) = server
        .get("/prometheus/api/v1/series?match[]=temperature&start=950&end=970")
        .await;
    assert_eq!(
        body["data"],
        serde_json::json!([{"__name__": "temperature", "job": "shop", "zone": "z1"}])
    );
    let (_, body) = server
        .get("/prometheus/api/v1/metadata?metric=requests_total")
        .await;
    let expected =
        serde_json::json!({"requests_total": [{"type": "counter", "help": "help", "unit": ""}]});
    assert_eq!(body["data"], expected);
    let (status, _) = server.get("/prometheus/api/v1/status/buildinfo").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn errors_have_prometheus_shape() {
    let memory = Memory::new("a");
    let server = serve(&[&memory], |_| {}).await;
    let cases = [
        ("query?query=sum(", 400, "bad_data"),
        ("query", 400, "bad_data"),
        ("query?query=up&time=x", 400, "bad_data"),
        ("query_range?query=up&start=1&end=2", 400, "bad_data"),
        ("query_range?query=up&start=1&end=2&step=0", 400, "bad_data"),
        (
            "query_range?query=up&start=0&end=1000000&step=1",
            422,
            "execution",
        ),
        ("series", 400, "bad_data"),
        ("series?match[]=up+up", 400, "bad_data"),
        ("nothing", 404, "not_found"),
    ];
    for (path, status, kind) in cases {
        let (got, body) = server.get(&format!("/prometheus/api/v1/{path}")).await;
        assert_eq!(
            (got, body["errorType"].as_str()),
            (status, Some(kind)),
            "{path}: {body}"
        );
        assert_eq!(body["status"], "error");
    }
}
