//! Two collectors with their own folders and one query process over both.

use tests::otlp_json::{gauge, log, logs, metrics, now, span, traces};
use tests::{Http, Server, Setup, wait};

use crate::PROGRAM;

const TRACE: &str = "22222222222222222222222222222222";
/// Known to the second collector alone.
const BANK_TRACE: &str = "33333333333333333333333333333333";

#[tokio::test]
async fn a_lost_collector_is_named_and_the_rest_answers() {
    let first = Setup::new(PROGRAM, "collector").start();
    let second = Setup::new(PROGRAM, "collector").start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(first.address("internal"))
        .arg("--collector")
        .arg(second.address("internal"))
        .start();
    let time = now();
    let parent = span(TRACE, "0000000000000001", "", "buy", time, 1_000_000);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "pay",
        time + 10,
        500_000,
    );
    first
        .otlp()
        .export("traces", &traces("shop", &[parent]))
        .await;
    first
        .otlp()
        .export("logs", &logs("shop", &[log(time, "bought", &[])]))
        .await;
    let alone = span(BANK_TRACE, "0000000000000003", "", "audit", time, 1_000);
    second
        .otlp()
        .export("traces", &traces("bank", &[child, alone]))
        .await;
    second
        .otlp()
        .export("logs", &logs("bank", &[log(time, "paid", &[])]))
        .await;

    let http = query.query();
    let whole = http.get(&format!("/api/v1/traces/{TRACE}"), &[]).await;
    assert_eq!(whole["spans"].as_array().unwrap().len(), 2, "{whole}");
    assert_eq!(whole["spans"][1]["depth"], 1, "{whole}");
    assert_eq!(http.all_logs("").await.len(), 2);
    let live = |answer: &serde_json::Value, state: &str| {
        let sources = answer["complete_to"].as_array().unwrap().iter();
        sources
            .filter(|source| source["kind"] == "collector" && source["state"] == state)
            .count()
    };
    assert_eq!(
        (live(&whole, "live"), live(&whole, "lost")),
        (2, 0),
        "{whole}"
    );

    let second_address = second.address("internal").to_owned();
    second.kill();
    let rest = wait::eventually("an answer that names the loss", wait::LONG, async || {
        let answer = http.get(&format!("/api/v1/traces/{TRACE}"), &[]).await;
        (live(&answer, "lost") == 1).then_some(answer)
    })
    .await;
    assert_eq!(live(&rest, "live"), 1, "{rest}");
    assert_eq!(rest["spans"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["spans"][0]["service"], "shop");
    // Nobody can say that what only the lost collector had does not exist.
    for path in [
        format!("/api/v1/traces/{BANK_TRACE}"),
        format!("/api/v1/story/{BANK_TRACE}"),
        format!("/jaeger/api/traces/{BANK_TRACE}"),
    ] {
        let answer = http.request("GET", &path).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 503, "{path}: {body}");
        assert!(body.contains(&second_address), "{path}: {body}");
    }
    let found = http.get("/api/v1/logs", &[]).await;
    assert_eq!(found["logs"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(live(&found, "lost"), 1, "{found}");
    // A script notices by the exit code, and is told on standard error.
    for arguments in [
        &["logs"][..],
        &["logs", "--json"],
        &["trace", TRACE],
        &["story", TRACE],
    ] {
        let mut command = tests::server::clean(PROGRAM);
        let command = command.args(arguments).args(["--url", http.base()]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&second_address), "{arguments:?}: {said}");
    }
}

/// A query process over these collectors.
fn over(collectors: &[&Server]) -> Server {
    let setup = Setup::new(PROGRAM, "query");
    let setup = collectors.iter().fold(setup, |setup, collector| {
        setup.arg("--collector").arg(collector.address("internal"))
    });
    setup.start()
}

#[tokio::test]
async fn a_collector_that_hangs_is_named_long_before_the_time_limit() {
    let first = Setup::new(PROGRAM, "collector").start();
    let second = Setup::new(PROGRAM, "collector").start();
    let query = over(&[&first, &second]);
    for (collector, service) in [(&first, "shop"), (&second, "bank")] {
        let record = log(now(), "paid", &[]);
        collector
            .otlp()
            .export("logs", &logs(service, &[record]))
            .await;
    }
    let http = query.query();
    assert_eq!(http.all_logs("").await.len(), 2);

    second.pause();
    let begun = std::time::Instant::now();
    let answer = http.get("/api/v1/logs", &[]).await;
    let waited = begun.elapsed();
    // The time limit of a query is thirty seconds.
    assert!(waited < std::time::Duration::from_secs(15), "{waited:?}");
    assert_eq!(answer["logs"][0]["service"], "shop", "{answer}");
    let name = second.address("internal");
    let cut = &answer["cut"][0];
    assert_eq!(
        (&cut["limit"], &cut["value"]),
        (&"source".into(), &name.clone().into())
    );
    assert!(cut["hint"].as_str().unwrap().contains(&name), "{answer}");

    second.go_on();
    wait::eventually("both collectors", wait::LONG, async || {
        let answer = http.get("/api/v1/logs", &[]).await;
        (answer["cut"] == serde_json::json!([])).then_some(())
    })
    .await;
    assert_eq!(http.all_logs("").await.len(), 2);
}

#[test]
fn a_collector_that_is_named_twice_is_refused() {
    let mut command = tests::server::clean(PROGRAM);
    let output = command
        .args(["query", "--query", "127.0.0.1:0"])
        .args([
            "--collector",
            "127.0.0.1:4410",
            "--collector",
            "localhost:4410",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("localhost:4410 are the same collector"),
        "{said}"
    );
}

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - record: shop:queue:double
        expr: queue_depth * 2
      - alert: QueueTooLong
        expr: shop:queue:double > 10
"#;

/// A stand-alone query process with rules over this collector, with a place to record or without.
fn with_rules(collector: &Server, write_to: Option<&str>) -> Server {
    let setup = Setup::new(PROGRAM, "query")
        .config("rules: {files: [rules.yml]}\n")
        .arg("--collector")
        .arg(collector.address("internal"));
    std::fs::write(setup.folder().join("rules.yml"), RULES).unwrap();
    match write_to {
        Some(address) => setup.arg("--write-to").arg(address).start(),
        None => setup.start(),
    }
}

/// What a rule says about its last evaluation, once it has been evaluated.
async fn health_of_first_rule(http: &Http) -> (String, String) {
    wait::eventually("an evaluation", wait::LONG, async || {
        let rules = http.get("/api/v1/rules", &[]).await;
        let rule = &rules["groups"][0]["rules"][0];
        let health = rule["health"].as_str().unwrap().to_owned();
        let error = rule["last_error"].as_str().unwrap_or_default().to_owned();
        (health != "unknown").then_some((health, error))
    })
    .await
}

#[tokio::test]
async fn a_query_process_records_through_a_collector() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let query = with_rules(&collector, Some(&collector.address("otlp_grpc")));
    let depth = metrics("shop", &[gauge("queue.depth", now(), 8.0)]);
    collector.otlp().export("metrics", &depth).await;

    let http = query.query();
    let at = || (now() / 1_000_000_000 + 1).to_string();
    wait::eventually("what the rules record", wait::LONG, async || {
        let doubled = http.promql("shop:queue:double", &at()).await;
        let alerts = http
            .promql(
                "ALERTS{alertname=\"QueueTooLong\",alertstate=\"firing\"}",
                &at(),
            )
            .await;
        (doubled.len() == 1 && doubled[0]["value"][1] == "16" && alerts.len() == 1).then_some(())
    })
    .await;
    let (health, error) = health_of_first_rule(&http).await;
    assert_eq!(health, "ok", "{error}");
    let (_, page) = http.get_any("/metrics", &[]).await;
    let page = page.as_str().unwrap();
    assert!(
        !page.contains("throughline_rule_written_samples_total 0\n"),
        "{page}"
    );
}

#[tokio::test]
async fn a_query_process_without_a_place_to_record_says_so() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let query = with_rules(&collector, None);
    let depth = metrics("shop", &[gauge("queue.depth", now(), 8.0)]);
    collector.otlp().export("metrics", &depth).await;
    let http = query.query();
    let error = wait::eventually("the rule to fail", wait::LONG, async || {
        let (health, error) = health_of_first_rule(&http).await;
        (health == "err").then_some(error)
    })
    .await;
    assert!(error.contains("query.write_to"), "{error}");
    let (_, page) = http.get_any("/metrics", &[]).await;
    let none = "throughline_rule_unwritten_samples_total{reason=\"no_collector\"} 0\n";
    assert!(!page.as_str().unwrap().contains(none), "{page}");
}

#[tokio::test]
async fn span_metrics_of_two_collectors_are_counts_of_their_own() {
    let collectors = [2, 3].map(|spans| (Setup::new(PROGRAM, "collector"), spans));
    let time = now();
    for (collector, spans) in &collectors {
        let server = collector.start();
        let sent: Vec<serde_json::Value> = (1..=*spans)
            .map(|n| span(TRACE, &format!("{n:016x}"), "", "buy", time, 1_000_000))
            .collect();
        server.otlp().export("traces", &traces("shop", &sent)).await;
        // What was counted is stored at the latest when the collector ends.
        let (status, _) = server.terminate();
        assert!(status.success(), "{status}");
    }
    let running = collectors.map(|(collector, _)| collector.start());
    let mut query = Setup::new(PROGRAM, "query");
    for collector in &running {
        query = query.arg("--collector").arg(collector.address("internal"));
    }
    let query = query.start();
    let http = query.query();
    let value = async |promql: &str| {
        let path = "/prometheus/api/v1/query";
        let answer = http.get(path, &[("query", promql)]).await;
        answer["data"]["result"][0]["value"][1].clone()
    };
    let calls = "traces_spanmetrics_calls_total{span_name=\"buy\"}";
    assert_eq!(value(&format!("count({calls})")).await, "2");
    assert_eq!(value(&format!("sum({calls})")).await, "5");
    let by = format!("count(count by (collector_instance_id) ({calls}))");
    assert_eq!(value(&by).await, "2");
}
