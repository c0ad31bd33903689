//! Targets that answer in Prometheus' protobuf format, native histograms among it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testkit::exposition::{
    Bucket, Counter, Exemplar, Histogram, Metric, MetricFamily, Span, Timestamp, answer, family,
    kind, labels,
};
use tests::otlp_json::{SECOND, now};
use tests::{Http, Setup, wait};

use crate::PROGRAM;

/// A target that answers with what it holds, and what it was asked for.
struct Target {
    address: String,
    body: Arc<Mutex<Vec<u8>>>,
    accepts: Arc<Mutex<Vec<String>>>,
}

fn target(body: Vec<u8>) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (body, accepts) = (Arc::new(Mutex::new(body)), Arc::new(Mutex::new(Vec::new())));
    let (answers, asked) = (Arc::clone(&body), Arc::clone(&accepts));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let accept = text.lines().find_map(|line| line.strip_prefix("accept: "));
            asked.lock().unwrap().extend(accept.map(str::to_owned));
            let body = answers.lock().unwrap().clone();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.google.protobuf; \
                 proto=io.prometheus.client.MetricFamily; encoding=delimited\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // The agent may hang up.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    Target {
        address,
        body,
        accepts,
    }
}

fn families(created: i64) -> Vec<MetricFamily> {
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let example = Exemplar {
        labels: labels(&[("trace_id", "0af7651916cd43dd8448eb211c80319c")]),
        value: 0.3,
        timestamp: time(created),
    };
    let histogram = Histogram {
        count: 9,
        sum: 12.5,
        buckets: vec![Bucket {
            cumulative_count: 9,
            upper_bound: 8.0,
            ..Bucket::default()
        }],
        schema: 0,
        zero_threshold: 1e-128,
        zero_count: 2,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_deltas: vec![3, 1],
        created: time(created),
        exemplars: vec![example.clone()],
        ..Histogram::default()
    };
    let counter = Metric {
        labels: labels(&[("code", "200")]),
        counter: Some(Counter {
            value: 7.0,
            exemplar: Some(example),
            created: time(created),
        }),
        ..Metric::default()
    };
    let histogram = Metric {
        histogram: Some(histogram),
        ..Metric::default()
    };
    let mut latency = family("latency_seconds", kind::HISTOGRAM, histogram);
    latency.help = "How long it took.".to_owned();
    latency.unit = "seconds".to_owned();
    vec![family("requests_total", kind::COUNTER, counter), latency]
}

async fn one(query: &Http, promql: &str) -> Option<serde_json::Value> {
    let seconds = (now() / SECOND).to_string();
    query.promql(promql, &seconds).await.into_iter().next()
}

#[tokio::test]
async fn native_histograms_of_targets_are_stored_as_they_are() {
    let created = i64::try_from(now() / SECOND).unwrap() - 60;
    let target = target(answer(&families(created)));
    let job = |name: &str, more: &str| {
        format!(
            "  - job_name: {name}\n    scrape_interval: 200ms\n{more}    \
             static_configs: [{{targets: ['{}']}}]\n",
            target.address
        )
    };
    let config = format!(
        "agent:\n  host: {{enabled: false}}\n  scrape_configs:\n{}{}{}",
        job("native", "    scrape_native_histograms: true\n"),
        job(
            "both",
            "    scrape_native_histograms: true\n    always_scrape_classic_histograms: true\n"
        ),
        job("classic", "    scrape_protocols: [PrometheusProto]\n"),
    );
    let setup = Setup::new(PROGRAM, "up").config(&config);
    let server = setup.start();
    let query = server.query();
    let up = "count(up == 1)";
    wait::eventually("all jobs", Duration::from_secs(60), async || {
        (one(&query, up).await?["value"][1] == "3").then_some(())
    })
    .await;
    let native = "latency_seconds{job=\"native\"}";
    let histogram = one(&query, native).await.unwrap();
    assert_eq!(
        histogram["histogram"][1],
        json!({"count": "9", "sum": "12.5", "buckets": [
            [3, "-1e-128", "1e-128", "2"], [0, "0.5", "1", "3"], [0, "1", "2", "4"],
        ]})
    );
    let count = async |promql: &str| one(&query, &format!("count({promql})")).await;
    assert_eq!(
        count("{__name__=~\"latency_seconds_.*\", job=\"native\"}").await,
        None
    );
    assert_eq!(count("latency_seconds{job=\"classic\"}").await, None);
    for job in ["both", "classic"] {
        let buckets = count(&format!("latency_seconds_bucket{{job=\"{job}\"}}")).await;
        assert_eq!(buckets.unwrap()["value"][1], "2", "{job}");
    }
    let path = "/prometheus/api/v1/query_exemplars";
    let exemplars = query.get(path, &[("query", native)]).await;
    let labels = &exemplars["data"][0]["exemplars"][0]["labels"];
    assert_eq!(labels["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    let metadata = query.get("/prometheus/api/v1/metadata", &[]).await;
    assert_eq!(
        metadata["data"]["latency_seconds"],
        json!([{"type": "histogram", "help": "How long it took.", "unit": "seconds"}])
    );
    let accepts = target.accepts.lock().unwrap().clone();
    let asked = |start: &str| accepts.iter().any(|accept| accept.starts_with(start));
    assert!(asked("application/vnd.google.protobuf;"), "{accepts:?}");

    // What is missing from the next answer ends, a histogram as a histogram.
    let counter = families(created).remove(0);
    *target.body.lock().unwrap() = answer(&[counter]);
    wait::eventually(
        "the end of the histogram",
        Duration::from_secs(60),
        async || one(&query, native).await.is_none().then_some(()),
    )
    .await;
    assert!(
        one(&query, "requests_total{job=\"native\"}")
            .await
            .is_some()
    );
    // What is cut short fails as a whole.
    let cut = answer(&families(created));
    *target.body.lock().unwrap() = cut[..cut.len() - 3].to_vec();
    wait::eventually("failed scrapes", Duration::from_secs(60), async || {
        (one(&query, "count(up == 0)").await?["value"][1] == "3").then_some(())
    })
    .await;
    let metrics = query.get_any("/metrics", &[]).await.1;
    let counted = "throughline_agent_scrapes_total{job=\"native\",outcome=\"malformed\"}";
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");
}
