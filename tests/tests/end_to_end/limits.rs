//! What the configuration limits, seen from outside.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tests::otlp_json::{attributes, gauge, metrics, now, span, traces};
use tests::{Http, Setup, wait};

use crate::{PROGRAM, up};

/// The value of a line of `/metrics`, by all that precedes it.
pub(crate) async fn counted(http: &Http, line: &str) -> Option<f64> {
    let (_, page) = http.get_any("/metrics", &[]).await;
    let page = page.as_str().expect("text");
    let found = page
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map(|value| value.parse().expect("a number"))
}

#[tokio::test]
async fn experimental_promql_is_refused_where_it_is_not_wanted() {
    let path = "/prometheus/api/v1/query";
    let ask = [("query", "sort_by_label(up, 'job')"), ("time", "1")];
    let stable = up().config("promql: {experimental: false}\n").start();
    let (status, answer) = stable.query().get_any(path, &ask).await;
    assert_eq!(status, 400, "{answer}");
    let message = answer["error"].as_str().unwrap();
    assert!(
        message.contains("function sort_by_label is experimental; set promql.experimental: true"),
        "{message}"
    );
    up().start().query().get(path, &ask).await;
}

/// A kept connection on which a request was answered.
fn asked(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 ");
    stream
}

#[test]
fn so_many_connections_are_open_on_each_listener() {
    let limited = "limits: {connections: 2}\nagent: {host: {enabled: false}}\n";
    let server = Setup::new(PROGRAM, "up").config(limited).start();
    let agent = Setup::new(PROGRAM, "agent")
        .config(limited)
        .arg("--collector")
        .arg(server.address("otlp_grpc"))
        .start();
    for address in [
        server.address("query"),
        server.address("otlp_http"),
        agent.address("otlp_http"),
        agent.address("otlp_grpc"),
    ] {
        let mut first = asked(&address);
        let others = [asked(&address), asked(&address)];
        // It was without a request for the longest, and made room.
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).unwrap();
        drop(others);
    }
}

#[tokio::test]
async fn points_of_too_many_series_are_refused_and_the_others_stored() {
    let server = Setup::new(PROGRAM, "collector")
        .config("limits: {series: 2}\n")
        .start();
    let otlp = server.otlp();
    let time = now();
    let first = [gauge("a", time, 1.0), gauge("b", time, 1.0)];
    otlp.export("metrics", &metrics("shop", &first)).await;
    let second = metrics("shop", &[gauge("c", time, 1.0), gauge("a", time + 1, 2.0)]);
    let answer = otlp.request("POST", "/v1/metrics").json(&second).send();
    let answer: Value = answer.await.unwrap().json().await.unwrap();
    let partial = &answer["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "1", "{answer}");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.contains("limits.series"), "{message}");
    let refused = "throughline_storage_rejected_rows_total{reason=\"series_limit\"}";
    assert_eq!(counted(&otlp, refused).await, Some(1.0));
}

/// A gauge with one point that has these labels.
fn labelled(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut gauge = gauge(name, now(), 1.0);
    gauge["gauge"]["dataPoints"][0]["attributes"] = attributes(labels);
    gauge
}

#[tokio::test]
async fn series_beyond_what_metrics_and_labels_may_be_are_refused_with_the_key_to_change() {
    let limits = "metric_series: 1, series_labels: 2, label_name_bytes: 16, label_value_bytes: 16";
    let server = Setup::new(PROGRAM, "collector")
        .config(&format!("limits: {{{limits}}}\n"))
        .start();
    let otlp = server.otlp();
    let long = "x".repeat(17);
    for (sent, reason, key) in [
        (
            [labelled("a", &[("n", "1")]), labelled("a", &[("n", "2")])],
            "metric_series_limit",
            "limits.metric_series",
        ),
        (
            [
                labelled("b", &[("n", "1"), ("m", "2")]),
                labelled("b2", &[("n", "1"), ("m", "2"), ("o", "3")]),
            ],
            "too_many_labels",
            "limits.series_labels",
        ),
        (
            [labelled("c", &[]), labelled("c2", &[(&long, "1")])],
            "long_label_name",
            "limits.label_name_bytes",
        ),
        (
            [labelled("d", &[]), labelled(&long, &[])],
            "long_label_value",
            "limits.label_value_bytes",
        ),
    ] {
        let request = otlp
            .request("POST", "/v1/metrics")
            .json(&metrics("shop", &sent));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let partial = &answer["partialSuccess"];
        assert_eq!(partial["rejectedDataPoints"], "1", "{answer}");
        let message = partial["errorMessage"].as_str().unwrap();
        assert!(message.contains(key), "{message}");
        let line = format!("throughline_storage_rejected_rows_total{{reason=\"{reason}\"}}");
        assert_eq!(counted(&otlp, &line).await, Some(1.0), "{reason}");
    }
}

#[tokio::test]
async fn queries_with_too_many_steps_samples_or_series_say_which_limit_it_is() {
    let limits = "query_steps: 10, query_samples: 1000, query_series: 2, query_selected_series: 3";
    let config = format!("agent: {{host: {{enabled: false}}}}\nlimits: {{{limits}}}\n");
    let server = Setup::new(PROGRAM, "up").config(&config).start();
    let mut sent: Vec<Value> = ["1", "2", "3"].map(|n| labelled("a", &[("n", n)])).into();
    sent.push(labelled("b", &[("n", "4")]));
    server
        .otlp()
        .export("metrics", &metrics("shop", &sent))
        .await;
    let query = server.query();
    let refused = async |path: &str, parameters: &[(&str, &str)]| {
        let (status, answer) = query.get_any(path, parameters).await;
        assert_eq!(answer["status"], "error", "{answer}");
        (status, answer["error"].as_str().unwrap().to_owned())
    };
    let range = |step| {
        [
            ("query", "a"),
            ("start", "0"),
            ("end", "100"),
            ("step", step),
        ]
    };
    let path = "/prometheus/api/v1/query_range";
    let (status, message) = refused(path, &range("9")).await;
    assert_eq!(status, 400);
    assert!(
        message.contains("maximum resolution of 10 points"),
        "{message}"
    );
    assert_eq!(query.get_any(path, &range("10.1")).await.0, 200);
    let path = "/prometheus/api/v1/query";
    let (status, message) = refused(path, &[("query", "a")]).await;
    assert_eq!(status, 422);
    assert!(message.contains("series"), "{message}");
    let (status, message) = refused(path, &[("query", "sum({n=~\".+\"} or b)")]).await;
    assert_eq!(status, 422);
    assert!(
        message.contains("too many series (the limit is 3)"),
        "{message}"
    );
    assert!(
        message.contains("limits.query_selected_series"),
        "{message}"
    );
    let many = "count_over_time(vector(1)[1h:1s])";
    let (status, message) = refused(path, &[("query", many)]).await;
    assert_eq!(status, 422);
    assert!(message.contains("too many samples"), "{message}");
}

#[tokio::test]
async fn so_many_log_files_are_kept_open() {
    let setup = up();
    let logs = setup.folder().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    for file in 0..5 {
        std::fs::write(logs.join(format!("{file}.log")), "a line\n").unwrap();
    }
    let server = setup
        .config(&format!(
            "agent: {{host: {{enabled: false}}, files: [{{include: ['{}/*.log']}}]}}\n\
             limits: {{open_files: 2}}\n",
            logs.display()
        ))
        .start();
    let query = server.query();
    wait::eventually("five files to be read", wait::LONG, async || {
        (query.all_logs("").await.len() == 5).then_some(())
    })
    .await;
    wait::eventually("all but two to be closed", wait::LONG, async || {
        let open = counted(&query, "throughline_agent_files_open").await;
        (open == Some(2.0)).then_some(())
    })
    .await;
}

/// The pages of one role at its OTLP/HTTP listener.
async fn assert_pages(http: &Http, metric: &str) {
    for path in ["/healthz", "/readyz"] {
        let (status, body) = http.get_any(path, &[]).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (status, body) = http.get_any("/metrics", &[]).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.as_str().unwrap().contains(metric), "{body}");
    let answer = http.request("POST", "/metrics").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 405);
}

#[tokio::test]
async fn a_collector_and_an_agent_tell_how_they_are_doing() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let agent = Setup::new(PROGRAM, "agent")
        .config("agent: {host: {enabled: false}}\n")
        .arg("--collector")
        .arg(collector.address("otlp_grpc"))
        .start();
    assert_pages(
        &collector.otlp(),
        "# TYPE throughline_collector_accepted_rows_total",
    )
    .await;
    assert_pages(&agent.otlp(), "# TYPE throughline_agent_queue_bytes gauge").await;
    let export = metrics("shop", &[gauge("a", now(), 1.0), gauge("b", now(), 1.0)]);
    agent.otlp().export("metrics", &export).await;

    // What went in is exported, and the collector has it.
    let http = agent.otlp();
    wait::eventually("the export", wait::LONG, async || {
        let exported =
            "throughline_agent_exported_rows_total{signal=\"metrics\",destination=\"collector\"}";
        (counted(&http, exported).await == Some(2.0)).then_some(())
    })
    .await;
    let received = "throughline_agent_received_rows_total{signal=\"metrics\",source=\"otlp\"}";
    assert_eq!(counted(&http, received).await, Some(2.0));
    let accepted = "throughline_collector_accepted_rows_total{signal=\"metrics\"}";
    assert_eq!(counted(&collector.otlp(), accepted).await, Some(2.0));
}

/// A trace of which each span takes little on its own, and much with the resource that its JSON repeats.
#[tokio::test]
async fn a_trace_that_is_too_large_is_shown_as_far_as_it_fits() {
    const TRACE: &str = "abababababababababababababababab";
    const SPANS: u64 = 200;
    let server = up().config("limits: {response_bytes: 256KiB}\n").start();
    let begin = now();
    let spans: Vec<Value> = (1..=SPANS)
        .map(|number| {
            let parent = match number {
                1 => String::new(),
                _ => format!("{:016x}", number / 2),
            };
            let start = begin + number * 1_000;
            span(
                TRACE,
                &format!("{number:016x}"),
                &parent,
                "call",
                start,
                500,
            )
        })
        .collect();
    let mut export = traces("shop", &spans);
    export["resourceSpans"][0]["resource"]["attributes"] =
        attributes(&[("service.name", "shop"), ("about", &"x".repeat(3_000))]);
    server.otlp().export("traces", &export).await;
    let query = server.query();
    let path = format!("/api/v1/traces/{TRACE}");
    let answer = query.get(&path, &[]).await;
    assert!(answer.to_string().len() <= 256 << 10);
    let shown = answer["spans"].as_array().unwrap();
    assert!(
        (50..SPANS as usize).contains(&shown.len()),
        "{}",
        shown.len()
    );
    let known: Vec<&Value> = shown.iter().map(|span| &span["spanId"]).collect();
    let orphans = shown
        .iter()
        .filter(|span| span["parentSpanId"] != "" && !known.contains(&&span["parentSpanId"]));
    assert_eq!(orphans.count(), 0, "parents come before their children");
    let cut = &answer["cut"][0];
    assert_eq!(cut["limit"], "response_bytes", "{cut}");
    let left_out = SPANS as usize - shown.len();
    let hint = cut["hint"].as_str().unwrap();
    assert!(
        hint.starts_with(&format!("{left_out} spans of {SPANS}")),
        "{hint}"
    );
    // What the hint says helps.
    let start = (begin + 190 * 1_000).to_string();
    let rest = query.get(&path, &[("start", start.as_str())]).await;
    assert_eq!(
        rest["spans"].as_array().unwrap().len(),
        11,
        "{}",
        rest["cut"]
    );
    assert_eq!(rest["cut"].as_array().unwrap().len(), 0, "{}", rest["cut"]);
}
