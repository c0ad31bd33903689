//! A real Prometheus that writes to us, and a real node exporter that our agent scrapes.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::external::{self, Running};
use tests::{Http, Setup, wait};

use crate::{PROGRAM, up};

/// Every series of an instant query by its labels.
async fn vector(port: &Http, path: &str, query: &str, time: &str) -> BTreeMap<String, String> {
    let parameters = [("query", query), ("time", time)];
    let answer = port.get(path, &parameters).await;
    let list = answer["data"]["result"].as_array().unwrap().iter();
    let pair = |one: &Value| {
        let value = one["value"][1].as_str().unwrap().to_owned();
        let labels: BTreeMap<String, Value> =
            serde_json::from_value(one["metric"].clone()).unwrap();
        (serde_json::to_string(&labels).unwrap(), value)
    };
    list.map(pair).collect()
}

#[tokio::test]
async fn what_a_prometheus_writes_is_what_it_has() {
    let Some(program) = external::program("prometheus") else {
        return;
    };
    let server = up().start();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", external::free_port());
    let config = format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
         scrape_configs:\n\
         - {{job_name: prometheus, static_configs: [{{targets: ['{address}']}}]}}\n\
         - {{job_name: ours/up, static_configs: [{{targets: ['{}']}}]}}\n\
         remote_write:\n\
         - url: {}/prometheus/api/v1/write\n  \
           send_exemplars: true\n  \
           metadata_config: {{send_interval: 1s}}\n  \
           queue_config: {{batch_send_deadline: 100ms}}\n",
        server.address("query"),
        server.query().base(),
    );
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"));
    let _running = Running::start(&mut command, &folder.path().join("log"));
    let theirs = Http::new(&address);
    let ours = server.query();
    // The moment at which both jobs were up, as soon as it is here.
    let moment = wait::eventually(
        "scrapes by Prometheus",
        Duration::from_secs(60),
        async || {
            // It does not answer before it is up.
            let query = "min(timestamp(up == 1)) and count(up) == 2";
            let request = theirs.request("GET", "/api/v1/query");
            let answer = request.query(&[("query", query)]).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            let value = answer["data"]["result"][0]["value"][1].as_str()?;
            Some(value.to_owned())
        },
    )
    .await;
    let everything = "{__name__!=\"\"}";
    let expected = vector(&theirs, "/api/v1/query", everything, &moment).await;
    assert!(expected.len() > 200, "{}", expected.len());
    // What was written last may be on its way for a moment.
    let begin = std::time::Instant::now();
    wait::eventually("what it has", Duration::from_secs(60), async || {
        let own = "{job=~\"prometheus|ours/up\"}";
        let found = vector(&ours, "/prometheus/api/v1/query", own, &moment).await;
        if begin.elapsed() > Duration::from_secs(30) {
            assert_eq!(found, expected, "labels and values");
        }
        (found == expected).then_some(())
    })
    .await;
    let described = theirs.get("/api/v1/metadata", &[]).await["data"].clone();
    let described = described.as_object().unwrap();
    assert!(described.len() > 50, "{}", described.len());
    wait::eventually("its metadata", Duration::from_secs(60), async || {
        let found = ours.get("/prometheus/api/v1/metadata", &[]).await["data"].clone();
        let missing = described
            .iter()
            .find(|(name, _)| found[name.as_str()].is_null());
        let different = described
            .iter()
            .find(|(name, entries)| found[name.as_str()] != **entries);
        if begin.elapsed() > Duration::from_secs(50) {
            assert_eq!((missing, different), (None, None));
        }
        different.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_exporter_is_scraped() {
    let Some(program) = external::program("prometheus-node-exporter") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", external::free_port());
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address={address}"));
    let running = Running::start(&mut command, &folder.path().join("log"));
    let config = format!(
        "agent:\n  host: {{enabled: false}}\n  scrape_configs:\n\
         \x20 - job_name: node\n    scrape_interval: 500ms\n\
         \x20   static_configs: [{{targets: ['{address}'], labels: {{zone: a}}}}]\n\
         \x20   metric_relabel_configs: [{{source_labels: [__name__], regex: 'go_.*', action: drop}}]\n"
    );
    let server = Setup::new(PROGRAM, "up").config(&config).start();
    let query = server.query();
    let seconds = || (tests::otlp_json::now() / tests::otlp_json::SECOND).to_string();
    let count = async |promql: &str| -> Option<f64> {
        let result = query.promql(promql, &seconds()).await;
        result.first()?["value"][1].as_str()?.parse().ok()
    };
    let up = format!("up{{job=\"node\", instance=\"{address}\", zone=\"a\"}}");
    wait::eventually("a scrape", Duration::from_secs(60), async || {
        (count(&up).await == Some(1.0)).then_some(())
    })
    .await;
    let kept = count("scrape_samples_post_metric_relabeling{job=\"node\"}")
        .await
        .unwrap();
    let scraped = count("scrape_samples_scraped{job=\"node\"}").await.unwrap();
    assert!(kept > 100.0 && scraped > kept, "{kept} of {scraped}");
    assert_eq!(count("count({__name__=~\"go_.*\"})").await, None);
    let cpu = count("count(node_cpu_seconds_total{job=\"node\", mode=\"idle\"})").await;
    assert!(cpu.unwrap() >= 1.0);
    let metadata = query.get("/prometheus/api/v1/metadata", &[]).await;
    assert_eq!(metadata["data"]["node_load1"][0]["type"], "gauge");
    // A target that is gone leaves `up` at 0 and ends its series at once.
    drop(running);
    wait::eventually(
        "the end of its series",
        Duration::from_secs(60),
        async || {
            let ended = count("count(node_load1)").await.is_none();
            (ended && count(&up).await == Some(0.0)).then_some(())
        },
    )
    .await;
}
