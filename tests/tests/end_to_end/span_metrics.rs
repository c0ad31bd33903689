//! What a collector derives from spans: rate, errors, durations, and who calls whom.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::otlp_json::{SECOND, attributes, now, span, traces};
use tests::{Http, Server, Setup, wait};

use crate::PROGRAM;

/// Points come each second, so that a test need not wait.
const CONFIG: &str = "agent: {host: {enabled: false}}
span_metrics: {interval: 1s, dimensions: [http.route], series: 4}
service_graph: {wait: 200ms}
";

const TRACE: &str = "0123456789abcdef0123456789abcdef";

fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

/// A span of this kind: 2 is a server's, 3 a client's.
fn of_kind(kind: u8, mut span: Value) -> Value {
    span["kind"] = kind.into();
    span
}

fn failed(mut span: Value) -> Value {
    span["status"] = json!({"code": 2});
    span
}

fn with(pairs: &[(&str, &str)], mut span: Value) -> Value {
    span["attributes"] = attributes(pairs);
    span
}

/// What an instant query without a time gives: each series by these labels, with its value.
async fn table(query: &Http, promql: &str, labels: &[&str]) -> BTreeSet<String> {
    let answer = query
        .get("/prometheus/api/v1/query", &[("query", promql)])
        .await;
    let rows = list(&answer["data"], "result").iter();
    rows.map(|row| {
        let label = |name: &&str| row["metric"][*name].as_str().unwrap_or("-");
        let labels: Vec<&str> = labels.iter().map(label).collect();
        format!("{} {}", labels.join(" "), row["value"][1].as_str().unwrap())
    })
    .collect()
}

async fn wait_for(query: &Http, promql: &str, labels: &[&str], rows: &[&str]) {
    let expected: BTreeSet<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    let mut last = BTreeSet::new();
    let found = wait::eventually(promql, wait::LONG, async || {
        last = table(query, promql, labels).await;
        (last == expected).then_some(())
    });
    if tokio::time::timeout(wait::LONG / 2, found).await.is_err() {
        panic!("{promql}: {last:#?} instead of {expected:#?}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_hand_and_by_the_collector_alike() {
    let server = Setup::new(PROGRAM, "up").config(CONFIG).start();
    let (otlp, query) = (server.otlp(), server.query());
    let time = now() - SECOND;
    let days_ago = time - 3 * 86_400 * SECOND;
    let root = |id: &str, start| span(TRACE, id, "", "GET /", start, 300_000_000);
    let call = |id: &str, parent: &str| {
        let span = span(TRACE, id, parent, "call cart", time, 90_000_000);
        with(&[("peer.service", "cart")], of_kind(3, span))
    };
    let lookup = span(
        TRACE,
        "00000000000000d1",
        "0000000000000001",
        "SELECT",
        time,
        7_000_000,
    );
    let lookup = with(
        &[("db.system", "redis"), ("server.address", "cache")],
        of_kind(3, lookup),
    );
    let web = [
        with(&[("http.route", "/")], root("0000000000000001", time)),
        // Late by days.
        with(&[("http.route", "/")], root("0000000000000002", days_ago)),
        call("00000000000000c1", "0000000000000001"),
        call("00000000000000c2", "0000000000000002"),
        // Its server sends no spans.
        with(
            &[("peer.service", "bank")],
            failed(of_kind(
                3,
                span(
                    TRACE,
                    "00000000000000c3",
                    "0000000000000001",
                    "pay",
                    time,
                    1_000,
                ),
            )),
        ),
        lookup,
    ];
    let add = |id: &str, parent: &str| span(TRACE, id, parent, "add", time, 80_000_000);
    let cart = [
        add("00000000000000f1", "00000000000000c1"),
        failed(add("00000000000000f2", "00000000000000c2")),
    ];
    // The servers' spans first, in an export of their own.
    otlp.export("traces", &traces("cart", &cart)).await;
    otlp.export("traces", &traces("web", &web)).await;

    let edges = ["client", "server", "connection_type"];
    let graph = "traces_service_graph_request";
    wait_for(
        &query,
        &format!("{graph}_total"),
        &edges,
        &[
            "user web virtual_node 2",
            "web cart - 2",
            "web bank virtual_node 1",
            "web cache database 1",
        ],
    )
    .await;
    wait_for(
        &query,
        &format!("{graph}_failed_total > 0"),
        &edges,
        &["web cart - 1", "web bank virtual_node 1"],
    )
    .await;
    wait_for(
        &query,
        &format!("{graph}_server_seconds_sum"),
        &edges,
        &[
            "user web virtual_node 0.6",
            "web cart - 0.16",
            "web cache database 0.007",
        ],
    )
    .await;
    wait_for(
        &query,
        &format!("{graph}_client_seconds_count{{server=\"cart\"}}"),
        &edges,
        &["web cart - 2"],
    )
    .await;

    let calls = "traces_spanmetrics_calls_total";
    let kinds = [
        "service",
        "span_name",
        "span_kind",
        "status_code",
        "http_route",
    ];
    // Four series are allowed: two of cart, then the first two of web. The rest shares one.
    wait_for(
        &query,
        calls,
        &kinds,
        &[
            "cart add SPAN_KIND_SERVER STATUS_CODE_UNSET - 1",
            "cart add SPAN_KIND_SERVER STATUS_CODE_ERROR - 1",
            "web GET / SPAN_KIND_SERVER STATUS_CODE_UNSET / 2",
            "web call cart SPAN_KIND_CLIENT STATUS_CODE_UNSET - 2",
            "- - - - - 2",
        ],
    )
    .await;
    // The series began at zero, so all of it is an increase.
    wait_for(
        &query,
        &format!("max by (service) (max_over_time({calls}[1h]) - min_over_time({calls}[1h]))"),
        &["service"],
        &["cart 1", "web 2", "- 2"],
    )
    .await;
    // Both spans of cart took 80 ms; a native histogram knows that to two percent.
    let native = "histogram_quantile(0.5, sum(traces_spanmetrics_latency{service=\"cart\"}))";
    wait_for(&query, &format!("round({native}, 0.002)"), &[], &[" 0.08"]).await;
    let sizes = "count by (service) (traces_spanmetrics_size_total > 50)";
    wait_for(&query, sizes, &["service"], &["cart 2", "web 2", "- 1"]).await;
    assert_exemplar(&query).await;
    let metrics = query.request("GET", "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "throughline_spanmetrics_spans_total 8",
        "throughline_spanmetrics_overflowed_spans_total 2",
        "throughline_servicegraph_requests_total 6",
        "throughline_servicegraph_waiting_spans 0",
        "throughline_servicegraph_unpaired_spans_total 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(server.terminate().0.success());
}

/// An exemplar of the latencies leads to a trace.
async fn assert_exemplar(query: &Http) {
    let (start, end) = (now() / SECOND - 60, now() / SECOND + 1);
    let parameters = [
        (
            "query",
            "traces_spanmetrics_latency_bucket{service=\"web\",span_name=\"GET /\"}",
        ),
        ("start", &start.to_string()),
        ("end", &end.to_string()),
    ];
    let found = query
        .get("/prometheus/api/v1/query_exemplars", &parameters)
        .await;
    let series = list(&found, "data");
    assert_eq!(series.len(), 1, "{found}");
    assert_eq!(series[0]["seriesLabels"]["le"], "0.512", "{found}");
    let exemplar = &list(&series[0], "exemplars")[0];
    assert_eq!(exemplar["labels"]["trace_id"], TRACE, "{found}");
    assert_eq!(query.trace_spans(TRACE).await.len(), 8);
}

/// The increases of a counter's samples, as `increase` would have them without extrapolation.
async fn increase(query: &Http, counter: &str) -> f64 {
    let range = format!("{counter}[1h]");
    let answer = query
        .get("/prometheus/api/v1/query", &[("query", &range)])
        .await;
    let mut sum = 0.0;
    for series in list(&answer["data"], "result") {
        let values = list(series, "values").iter();
        let values: Vec<f64> = values
            .map(|sample| sample[1].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(values[0], 0.0, "{series}");
        let steps = values.windows(2).map(|pair| match pair {
            [before, after] if after >= before => after - before,
            // A reset: all of the new value is an increase.
            pair => pair[1],
        });
        sum += steps.sum::<f64>();
    }
    sum
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_a_count() {
    let setup = Setup::new(PROGRAM, "up").config(CONFIG);
    let server = setup.start();
    // The series of a collector carry the address by which it is known.
    let setup = setup.listen("internal", &server.address("internal"));
    let send = async |otlp: &Http, count: u64| {
        let spans = (0..count).map(|n| {
            let id = format!("{:016x}", count * 100 + n);
            span(TRACE, &id, "", "tick", now() - SECOND, 1_000)
        });
        let spans: Vec<Value> = spans.collect();
        otlp.export("traces", &traces("clock", &spans)).await;
    };
    send(&server.otlp(), 3).await;
    assert!(server.terminate().0.success());
    // More than before the stop: without a zero between the two this would read as an increase of 2.
    let server = setup.start();
    send(&server.otlp(), 5).await;
    assert!(server.terminate().0.success());
    let server = setup.start();
    let query = server.query();
    let calls = "traces_spanmetrics_calls_total{span_name=\"tick\"}";
    assert_eq!(increase(&query, calls).await, 8.0);
    let graph = "traces_service_graph_request_total{client=\"user\"}";
    assert_eq!(increase(&query, graph).await, 8.0);
    assert_eq!(
        table(&query, &format!("count({calls})"), &[]).await.len(),
        1
    );
    assert!(server.terminate().0.success());
}

#[tokio::test]
async fn after_a_kill_every_acknowledged_span_is_counted_once() {
    let setup = Setup::new(PROGRAM, "up").config(CONFIG);
    let mut server = setup.start();
    let setup = setup.listen("internal", &server.address("internal"));
    let calls = "traces_spanmetrics_calls_total{span_name=\"tick\"}";
    let mut sent = 0;
    let mut send = async |server: &Server, count: u64| {
        let spans = (0..count).map(|n| {
            let id = format!("{:016x}", sent + n + 1);
            span(TRACE, &id, "", "tick", now() - SECOND, 1_000)
        });
        let spans: Vec<Value> = spans.collect();
        let otlp = server.otlp();
        otlp.export("traces", &traces("clock", &spans)).await;
        sent += count;
    };
    for round in 1..=5 {
        send(&server, round).await;
        if round % 2 == 0 {
            // Some of them were written; what follows perhaps not.
            let query = server.query();
            wait::eventually("counts are written", wait::LONG, async || {
                let total = increase(&query, calls).await;
                (total > 0.0).then_some(())
            })
            .await;
            send(&server, 10 * round).await;
        }
        server.kill();
        server = setup.start();
    }
    assert!(server.terminate().0.success());
    let server = setup.start();
    let query = server.query();
    let expected = 1.0 + 22.0 + 3.0 + 44.0 + 5.0;
    assert_eq!(increase(&query, calls).await, expected);
    // Every one of them began a trace.
    let graph = "traces_service_graph_request_total{client=\"user\"}";
    assert_eq!(increase(&query, graph).await, expected);
    assert!(server.terminate().0.success());
}

/// Every pair of services of the demo between which requests go, read from its code: ten that are
/// traced, one that only logs, two databases, an acquirer outside, and the customers.
const SHOP: [&str; 18] = [
    "user frontend virtual_node",
    "frontend gateway -",
    "gateway catalog -",
    "gateway recommendation -",
    "gateway cart -",
    "gateway checkout -",
    "catalog postgresql.shop.internal database",
    "cart catalog -",
    "cart redis.shop.internal database",
    "checkout cart -",
    "checkout inventory -",
    "checkout payment -",
    "checkout shipping messaging_system",
    "inventory postgresql.shop.internal database",
    "payment acquirer.example virtual_node",
    "payment legacy-billing virtual_node",
    "shipping inventory -",
    "shipping notification -",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_of_the_demo_is_that_of_its_code() {
    let demo = Setup::new(PROGRAM, "demo").arg("--no-tui");
    let server = demo.arg("--rate").arg("20").start();
    let query = server.query();
    let expected: BTreeSet<&str> = SHOP.into_iter().collect();
    let total = "traces_service_graph_request_total";
    let promql = format!("sgn(sum by (client, server, connection_type) ({total}))");
    let found = wait::eventually("all edges of the shop", wait::LONG, async || {
        let found = table(&query, &promql, &["client", "server", "connection_type"]).await;
        let has = |edge: &str| found.contains(&format!("{edge} 1"));
        SHOP.iter().all(|edge| has(edge)).then_some(found)
    })
    .await;
    let found: BTreeSet<&str> = found
        .iter()
        .map(|row| row.strip_suffix(" 1").unwrap())
        // A machine that stands still for longer than a span waits makes a virtual node of a service.
        .filter(|row| {
            let direct = row
                .strip_suffix("virtual_node")
                .map(|pair| format!("{pair}-"));
            direct.is_none_or(|direct| !expected.contains(&*direct))
        })
        .collect();
    assert_eq!(found, expected);
    assert!(server.terminate().0.success());
}
