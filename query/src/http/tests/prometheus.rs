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
async fn bounds_that_are_labels_are_found_beyond_the_series_that_are_listed() {
    let memory = Memory::new("a");
    let bucket = |bound: &str| {
        let value = vec![(900, PointValue::Double(1.0))];
        let mut part = series(
            "x_bucket",
            MetricKind::Gauge,
            Temporality::Cumulative,
            value,
        );
        part.series.attributes = vec![KeyValue::new("le", bound)];
        part
    };
    *memory.series.lock() = vec![bucket("1"), bucket("2"), bucket("+Inf")];
    let server = serve(&[&memory], |options| options.sizes.series = 1).await;
    let (_, body) = server.get("/prometheus/api/v1/label/le/values").await;
    assert_eq!(body["data"], serde_json::json!(["+Inf", "1", "2"]));
    // What is known of metrics does not depend on how many series there are.
    *memory.series.lock() = all();
    let (_, body) = server.get("/prometheus/api/v1/metadata").await;
    assert_eq!(body["data"].as_object().unwrap().len(), 7, "{body}");
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
    for (limit, metrics) in [("0", 0), ("1", 1), ("-1", 7)] {
        let path = format!("/prometheus/api/v1/metadata?limit={limit}");
        let (_, body) = server.get(&path).await;
        assert_eq!(body["data"].as_object().unwrap().len(), metrics, "{body}");
        assert!(body.get("warnings").is_none(), "{body}");
    }
    let (status, _) = server.get("/prometheus/api/v1/status/buildinfo").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn exponential_histograms_of_any_scale_are_read() {
    let memory = Memory::new("a");
    let coarse = |scale| {
        PointValue::Exponential(ExponentialHistogram {
            count: 1,
            scale,
            positive: Some(Buckets {
                offset: 0,
                bucket_counts: vec![1],
            }),
            ..ExponentialHistogram::default()
        })
    };
    let kind = MetricKind::ExponentialHistogram;
    let points = vec![(930, coarse(-12)), (945, coarse(-6)), (960, coarse(-4))];
    let one = series("coarse", kind, Temporality::Cumulative, points);
    memory.series.lock().push(one);
    let server = serve(&[&memory], |_| {}).await;
    for (query, upper) in [
        ("coarse", "65536"),
        ("coarse%20offset%2050s", "18446744073709552000"),
        ("coarse%20offset%2060s", "+Inf"),
    ] {
        let path = format!("/prometheus/api/v1/query?query={query}&time=1000");
        let (_, body) = server.get(&path).await;
        assert!(body.get("warnings").is_none(), "{body}");
        let buckets = &body["data"]["result"][0]["histogram"][1]["buckets"];
        assert_eq!(
            *buckets,
            serde_json::json!([[0, "1", upper, "1"]]),
            "{body}"
        );
    }
}

#[tokio::test]
async fn exemplars_hang_on_the_series_that_counts_them() {
    use model::metric::{Exemplar, ExemplarValue};
    let memory = Memory::new("a");
    let mut all = all();
    let exemplar = |seconds: u64, value: ExemplarValue| Exemplar {
        time_unix_nano: seconds * S + 250_000_000,
        value,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        filtered_attributes: vec![KeyValue::new("user.id", 7)],
    };
    for part in &mut all {
        let value = match part.series.metric.name.as_str() {
            "latency" => ExemplarValue::Double(0.75),
            "requests" => ExemplarValue::Int(1),
            _ => continue,
        };
        // Cumulative points repeat their exemplars.
        for point in &mut part.points {
            point.exemplars = vec![exemplar(890, value), exemplar(895, ExemplarValue::Empty)];
        }
    }
    *memory.series.lock() = all;
    let server = serve(&[&memory], |_| {}).await;
    let base = "/prometheus/api/v1/query_exemplars?query=";
    let query = "histogram_quantile(0.9,sum by (le) (rate(latency_bucket[5m])))";
    let (status, body) = server
        .get(&format!("{base}{query}&start=800&end=900"))
        .await;
    assert_eq!(status, 200, "{body}");
    let expected = serde_json::json!([{
        "seriesLabels": {"__name__": "latency_bucket", "job": "shop", "le": "1", "zone": "z1"},
        "exemplars": [{
            "labels": {
                "span_id": "cdcdcdcdcdcdcdcd",
                "trace_id": "abababababababababababababababab",
                "user_id": "7",
            },
            "value": "0.75",
            "timestamp": 890.25,
        }],
    }]);
    assert_eq!(body["data"], expected);
    assert!(
        body["warnings"][0]
            .as_str()
            .unwrap()
            .contains("without a value")
    );
    for (query, found) in [
        ("requests_total", 1),
        ("requests_total&end=890", 0),
        ("requests_total&start=891", 0),
        ("latency_bucket{le=\"0.5\"}", 0),
        ("latency_bucket+or+requests_total", 2),
        ("1%2B1", 0),
    ] {
        let (_, body) = server.get(&format!("{base}{query}")).await;
        assert_eq!(
            body["data"].as_array().unwrap().len(),
            found,
            "{query}: {body}"
        );
    }
    for wrong in ["", "sum(", "up&start=2&end=1"] {
        let (status, body) = server.get(&format!("{base}{wrong}")).await;
        assert_eq!(
            (status, body["errorType"].as_str()),
            (400, Some("bad_data"))
        );
    }
}

#[tokio::test]
async fn points_come_back_as_they_were_sent() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    *one.series.lock() = all();
    two.series.lock().push(all().swap_remove(1));
    let server = serve(&[&one, &two], |_| {}).await;
    let answer = server
        .ok("metrics/points", &[("q", "requests_total")])
        .await;
    let metric = serde_json::json!({
        "name": "requests",
        "description": "help",
        "sum": {
            "aggregationTemporality": 2,
            "isMonotonic": true,
            "dataPoints": [
                {"attributes": [{"key": "zone", "value": {"stringValue": "z1"}}],
                 "timeUnixNano": "900000000000", "asInt": "10"},
                {"attributes": [{"key": "zone", "value": {"stringValue": "z1"}}],
                 "timeUnixNano": "960000000000", "asInt": "70"},
            ],
        },
    });
    let scope = &answer["resourceMetrics"][0]["scopeMetrics"][0];
    assert_eq!(scope["metrics"], serde_json::json!([metric]));
    let resource = &answer["resourceMetrics"][0]["resource"]["attributes"][0];
    assert_eq!(resource["value"]["stringValue"], "shop");
    assert_eq!(
        (&answer["points"], &answer["cut"]),
        (&Json::from(2), &serde_json::json!([]))
    );
    assert_eq!(answer["complete_to"].as_array().unwrap().len(), 2);

    let sent = serde_json::json!({"resourceMetrics": answer["resourceMetrics"]});
    let sent = serde_json::to_vec(&sent).unwrap();
    let mut room = model::room::Room::unlimited();
    let read = otlp::json::to_protobuf(model::Signal::Metrics, &sent, usize::MAX, &mut room);
    assert!(read.is_ok(), "the answer is OTLP");

    let names = |answer: &Json| -> Vec<String> {
        let scope = &answer["resourceMetrics"][0]["scopeMetrics"][0];
        texts(&scope["metrics"], "name")
    };
    for (selector, name, count) in [
        ("latency", "latency", 2),
        ("latency_sum{job=\"shop\"}", "latency", 2),
        ("latency_bucket{le=\"0.5\"}", "latency", 2),
        ("{__name__=~\"temp.*\"}", "temperature", 2),
        ("quant{quantile=\"0.5\"}", "quant", 1),
        ("sizes", "sizes", 2),
    ] {
        let answer = server.ok("metrics/points", &[("q", selector)]).await;
        assert_eq!(names(&answer), [name], "{selector}");
        assert_eq!(answer["points"], count, "{selector}");
    }
    for none in [
        "latency_bucket{le=\"7\"}",
        "quant{quantile=\"0.9\"}",
        "target_info",
    ] {
        let answer = server.ok("metrics/points", &[("q", none)]).await;
        assert_eq!(answer["resourceMetrics"], serde_json::json!([]), "{none}");
    }
    let query = [
        ("q", "{job=\"shop\"}"),
        ("limit", "1"),
        ("end", "950000000000"),
    ];
    let answer = server.ok("metrics/points", &query).await;
    assert_eq!(
        (&answer["points"], &answer["cut"][0]["limit"]),
        (&Json::from(1), &Json::from("points"))
    );
    let all = server.ok("metrics/points", &[]).await;
    assert_eq!(
        all["points"], 14,
        "the point and the two that both hold count once"
    );

    let (status, body) = server.get("/api/v1/metrics/points?q=up%7Ba%3D%7D").await;
    assert_eq!(
        (status, body["error"]["kind"].as_str()),
        (400, Some("invalid_query"))
    );
    assert!(body["error"]["start"].is_u64(), "{body}");
    let (status, _) = server.get("/api/v1/metrics/points?q=rate(up[5m])").await;
    assert_eq!(status, 400);
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
            400,
            "bad_data",
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

#[tokio::test]
async fn names_and_labels_with_most_series_are_listed() {
    let memory = Memory::new("a");
    *memory.series.lock() = all();
    let server = serve(&[&memory], |_| {}).await;
    let (_, body) = server.get("/prometheus/api/v1/status/tsdb?limit=2").await;
    let data = &body["data"];
    // Seven metrics; what two sources hold counts once.
    assert_eq!(data["headStats"]["numSeries"], 7, "{body}");
    assert_eq!(
        data["seriesCountByMetricName"],
        serde_json::json!([{"name": "events_total", "value": 1}, {"name": "gone", "value": 1}])
    );
    assert_eq!(
        data["labelValueCountByLabelName"][0],
        serde_json::json!({"name": "__name__", "value": 7})
    );
    assert_eq!(
        data["seriesCountByLabelValuePair"],
        serde_json::json!([{"name": "job=shop", "value": 7}, {"name": "zone=z1", "value": 7}])
    );
    let (status, _) = server
        .get("/prometheus/api/v1/status/tsdb?limit=100000")
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_heaviest_metrics_labels_and_values_are_listed() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    *one.series.lock() = all();
    two.series.lock().push(all().swap_remove(1));
    let server = serve(&[&one, &two], |_| {}).await;
    let answer = server
        .ok("metrics/cardinality", &[("by", "samples"), ("limit", "2")])
        .await;
    // Two collectors hold one of them: each counts its own.
    assert_eq!(answer["series"], 8, "{answer}");
    let metric = |name: &str, series: u64, samples: u64| serde_json::json!({"label": "__name__", "value": name, "series": series, "samples": samples});
    assert_eq!(
        answer["metrics"],
        serde_json::json!([metric("requests_total", 2, 4), metric("events_total", 1, 4)])
    );
    assert_eq!(answer["labels"].as_array().unwrap().len(), 2);
    let query = [("label", "zone"), ("start", "950000000000")];
    let answer = server.ok("metrics/cardinality", &query).await;
    let zones = answer["values"].as_array().unwrap();
    assert_eq!(zones.len(), 1, "{answer}");
    assert_eq!(zones[0]["value"], "z1", "{answer}");
    assert!(answer["stats"].is_object() && answer["complete_to"].is_array());
    for wrong in ["by=size", "limit=0", "limit=1001", "q=sum(", "name=x"] {
        let (status, body) = server
            .get(&format!("/api/v1/metrics/cardinality?{wrong}"))
            .await;
        assert_eq!(status, 400, "{wrong}: {body}");
    }
}

#[tokio::test]
async fn targets_are_known_by_what_was_scraped_of_them_lately() {
    use PointValue::Double;
    let gauge = |name: &str, job: &str, points: Vec<(u64, PointValue)>| {
        let mut part = series(name, MetricKind::Gauge, Temporality::None, points);
        part.series.resource = resource(job);
        part.series.attributes.clear();
        part
    };
    // What is said of a target changes; what was said last counts, in whatever order it is read.
    let failing = |error: &str, at: u64| {
        let mut part = gauge("up", "cart", vec![(at, Double(0.0))]);
        let text = serde_json::json!({"scrapeUrl": "http://c:1/metrics", "lastError": error});
        let said = KeyValue::new(model::prometheus::TARGET_KEY, text.to_string());
        Arc::make_mut(&mut part.series.metric).metadata.push(said);
        part
    };
    let memory = Memory::new("a");
    *memory.series.lock() = vec![
        failing("status 500", 955),
        failing("no answer", 945),
        gauge("up", "shop", vec![(890, Double(0.0)), (950, Double(1.0))]),
        gauge("scrape_duration_seconds", "shop", vec![(950, Double(0.25))]),
        gauge("up", "cart", vec![(960, Double(0.0))]),
        // It went away, and was last seen long ago.
        gauge(
            "up",
            "gone",
            vec![(950, Double(1.0)), (960, PointValue::Empty)],
        ),
        gauge("up", "old", vec![(600, Double(1.0))]),
    ];
    let server = serve(&[&memory], |_| {}).await;
    let (_, body) = server.get("/prometheus/api/v1/targets").await;
    let active = body["data"]["activeTargets"].as_array().unwrap();
    let told: Vec<_> = active
        .iter()
        .map(|target| {
            let text = |key: &str| target[key].as_str().unwrap().to_owned();
            (
                text("scrapePool"),
                text("health"),
                text("lastScrape"),
                target["lastScrapeDuration"].as_f64().unwrap(),
            )
        })
        .collect();
    let owned = |pool: &str, health: &str, time: &str, took| {
        (pool.to_owned(), health.to_owned(), time.to_owned(), took)
    };
    assert_eq!(
        told,
        [
            owned("cart", "down", "1970-01-01T00:16:00.000Z", 0.0),
            owned("shop", "up", "1970-01-01T00:15:50.000Z", 0.25),
        ]
    );
    assert_eq!(active[1]["labels"], serde_json::json!({"job": "shop"}));
    assert_eq!(active[0]["lastError"], "status 500");
    assert_eq!(active[0]["scrapeUrl"], "http://c:1/metrics");
    assert_eq!(active[1]["lastError"], "");
    let path = "/prometheus/api/v1/targets/metadata?match_target={job=\"shop\"}";
    let (_, body) = server.get(path).await;
    let described = body["data"].as_array().unwrap();
    let names: Vec<_> = described.iter().map(|one| &one["metric"]).collect();
    assert_eq!(names, ["scrape_duration_seconds", "up"], "{body}");
    assert_eq!(described[0]["target"], serde_json::json!({"job": "shop"}));
    let (_, body) = server.get(&format!("{path}&metric=up&limit=1")).await;
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
    assert!(body["data"][0].get("metric").is_none(), "{body}");
    let (_, body) = server
        .get("/prometheus/api/v1/targets?scrapePool=cart&state=active")
        .await;
    assert_eq!(body["data"]["activeTargets"].as_array().unwrap().len(), 1);
    let (_, body) = server.get("/prometheus/api/v1/targets?state=dropped").await;
    assert_eq!(body["data"]["activeTargets"], serde_json::json!([]));
    let (status, body) = server.get("/prometheus/api/v1/targets?state=x").await;
    let active = &body["data"]["activeTargets"];
    assert_eq!((status, active), (200, &serde_json::json!([])));
    let (_, body) = server.get("/prometheus/api/v1/scrape_pools").await;
    assert_eq!(
        body["data"]["scrapePools"],
        serde_json::json!(["cart", "shop"])
    );
}

#[tokio::test]
async fn the_latest_samples_are_given_to_another_prometheus() {
    let memory = Memory::new("a");
    *memory.series.lock() = all();
    let server = serve(&[&memory], |options| {
        let labels = [("region", "north"), ("zone", "not this")];
        options.about.external_labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    })
    .await;
    let federate = async |query: &str| {
        let url = format!("{}/prometheus/federate?{query}", server.base);
        let response = server.client.get(url).send().await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (status, kind, response.text().await.unwrap())
    };
    let (status, kind, text) =
        federate("match[]=temperature&match[]={__name__=~\"temp.*|sizes.*\"}").await;
    assert_eq!(status, 200, "{text}");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert_eq!(
        text,
        "# TYPE temperature untyped\n\
         temperature{instance=\"\",job=\"shop\",region=\"north\",zone=\"z1\"} 2.5 960000\n"
    );
    let (status, _, text) = federate("").await;
    assert_eq!((status, text.as_str()), (200, ""));
    let (status, kind, _) = federate("match[]={").await;
    assert_eq!((status, kind.as_str()), (400, "application/json"));
}
