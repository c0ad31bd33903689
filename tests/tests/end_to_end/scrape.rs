//! Targets that the agent scrapes: those of files that change, and those that are hostile.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tests::otlp_json::{SECOND, now};
use tests::{Http, Setup, wait};

use crate::PROGRAM;

/// Answers every request with what `answer` writes, until the test ends.
fn target(
    answer: impl Fn(&mut dyn Write) -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), answer) = (stream, answer.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request);
                if read.is_ok_and(|length| length > 0) {
                    // The agent hangs up on what it does not want.
                    let _ = answer(&mut stream);
                }
            });
        }
    });
    address
}

fn text(kind: &'static str, body: &'static str) -> String {
    target(move |stream| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    })
}

async fn value(query: &Http, promql: &str) -> Option<f64> {
    let seconds = (now() / SECOND).to_string();
    let result = query.promql(promql, &seconds).await;
    result.first()?["value"][1].as_str()?.parse().ok()
}

async fn until(query: &Http, promql: &str, expected: Option<f64>) {
    wait::eventually(promql, Duration::from_secs(60), async || {
        (value(query, promql).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn targets_of_files_come_and_go() {
    let first = text(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "# TYPE tasks counter\n# HELP tasks Done.\ntasks_total{kind=\"a\"} 7 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 1\n# EOF\n",
    );
    let second = text(
        "text/plain; version=1.0.0; escaping=allow-utf-8",
        "{\"my.gauge\",\"l.x\"=\"1\"} 2.5\n",
    );
    let setup = Setup::new(PROGRAM, "up").config(
        "agent:\n  host: {enabled: false}\n  scrape_configs:\n  - job_name: files\n    \
         scrape_interval: 200ms\n    file_sd_configs: [{files: [targets/*.json]}]\n    \
         relabel_configs: [{source_labels: [__meta_filepath], regex: '.*/(.*).json', target_label: file}]\n",
    );
    let files = setup.folder().join("targets");
    std::fs::create_dir(&files).unwrap();
    let write = |name: &str, address: &str| {
        let list = format!("[{{\"targets\": [\"{address}\"], \"labels\": {{\"zone\": \"z\"}}}}]");
        std::fs::write(files.join(name), list).unwrap();
    };
    write("one.json", &first);
    let server = setup.start();
    let query = server.query();
    let tasks = format!(
        "tasks_total{{file=\"one\", instance=\"{first}\", job=\"files\", kind=\"a\", zone=\"z\"}}"
    );
    until(&query, &tasks, Some(7.0)).await;
    write("two.json", &second);
    until(
        &query,
        "{\"my.gauge\", file=\"two\", \"l.x\"=\"1\"}",
        Some(2.5),
    )
    .await;
    let targets = query.get("/prometheus/api/v1/targets", &[]).await;
    let targets = targets["data"]["activeTargets"].as_array().unwrap();
    let target = targets
        .iter()
        .find(|target| target["labels"]["file"] == "one");
    let target = target.unwrap();
    assert_eq!(target["scrapeUrl"], format!("http://{first}/metrics"));
    assert_eq!(target["discoveredLabels"]["__address__"], first);
    assert_eq!(target["discoveredLabels"]["zone"], "z");
    assert_eq!(
        (&target["scrapeInterval"], &target["health"]),
        (&"200ms".into(), &"up".into())
    );
    // A file that does not read leaves its targets as they are.
    std::fs::write(files.join("two.json"), "[{").unwrap();
    let counted = "throughline_agent_discovery_errors_total{job=\"files\"}";
    wait::eventually(
        "the mistake in the file",
        Duration::from_secs(60),
        async || {
            let metrics = query.get_any("/metrics", &[]).await.1;
            metrics.as_str().unwrap().contains(counted).then_some(())
        },
    )
    .await;
    assert_eq!(
        value(&query, "count(up{job=\"files\"} == 1)").await,
        Some(2.0)
    );
    // A file that is gone ends what came from it.
    std::fs::remove_file(files.join("one.json")).unwrap();
    until(&query, "count(up{file=\"one\"})", None).await;
    assert_eq!(
        value(&query, "tasks_total").await,
        None,
        "ended by a stale marker"
    );
    assert_eq!(value(&query, "count(up{file=\"two\"})").await, Some(1.0));
    let exemplars = query
        .get(
            "/prometheus/api/v1/query_exemplars",
            &[("query", "tasks_total")],
        )
        .await;
    let labels = &exemplars["data"][0]["exemplars"][0]["labels"];
    assert_eq!(labels["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn hostile_targets_fail_alone() {
    let good = text("text/plain", "fine 1\n");
    let endless = target(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
        let line = "a{x=\"".to_owned() + &"y".repeat(1 << 16);
        loop {
            stream.write_all(line.as_bytes())?;
        }
    });
    let silent = target(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    });
    let binary = target(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\x00\xfe\x01")
    });
    let many = target(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        (0..2_000).try_for_each(|n| writeln!(stream, "m{{n=\"{n}\"}} 1"))
    });
    let refusing =
        target(|stream| stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
    let targets = [&good, &endless, &silent, &binary, &many, &refusing];
    let targets: Vec<String> = targets
        .iter()
        .map(|address| format!("'{address}'"))
        .collect();
    let config = format!(
        "agent:\n  host: {{enabled: false}}\n  scrape_configs:\n  - job_name: j\n    \
         scrape_interval: 500ms\n    body_size_limit: 1MiB\n    sample_limit: 1000\n    \
         static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    let server = Setup::new(PROGRAM, "up").config(&config).start();
    let query = server.query();
    until(&query, "count(up == 0)", Some(5.0)).await;
    until(&query, "fine", Some(1.0)).await;
    assert_eq!(value(&query, "count({__name__=~\"a|m\"})").await, None);
    let metrics = query.get_any("/metrics", &[]).await.1;
    let metrics = metrics.as_str().unwrap();
    for outcome in ["success", "too_large", "timeout", "malformed", "status"] {
        let counter = format!("throughline_agent_scrapes_total{{job=\"j\",outcome=\"{outcome}\"}}");
        assert!(metrics.contains(&counter), "{outcome}: {metrics}");
    }
    let (status, took) = server.terminate();
    assert!(
        status.success() && took < Duration::from_secs(25),
        "{status} {took:?}"
    );
}

#[tokio::test]
async fn what_is_scraped_while_the_collector_is_away_arrives_later() {
    let answers = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&answers);
    let address = target(move |stream| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        let body = format!("answers {number}\n");
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let setup = Setup::new(PROGRAM, "up").config("agent: {host: {enabled: false}}\n");
    let server = setup.start();
    // It comes back where it was.
    let setup = ["otlp_grpc", "otlp_http", "query", "internal"]
        .into_iter()
        .fold(setup, |setup, name| {
            setup.listen(name, &server.address(name))
        });
    let config = format!(
        "agent:\n  host: {{enabled: false}}\n  scrape_configs:\n  - {{job_name: j, \
         scrape_interval: 100ms, static_configs: [{{targets: ['{address}']}}]}}\n"
    );
    let agent = Setup::new(PROGRAM, "agent")
        .arg("--collector")
        .arg(server.address("otlp_grpc"))
        .config(&config)
        .start();
    let further = async |more: u32| {
        let until = answers.load(Ordering::Relaxed) + more;
        wait::eventually("further scrapes", Duration::from_secs(60), async || {
            (answers.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    };
    further(5).await;
    server.kill();
    further(10).await;
    let server = setup.start();
    let query = server.query();
    // The agent asks again after a while, and then sends what waits.
    let scraped = answers.load(Ordering::Relaxed);
    let stored = "count_over_time(answers[10m])";
    wait::eventually("what waited", Duration::from_secs(60), async || {
        (value(&query, stored).await? >= f64::from(scraped)).then_some(())
    })
    .await;
    assert!(agent.terminate().0.success());
    // Its series have ended with it.
    until(&query, "answers", None).await;
    until(&query, "up", None).await;
    let all = f64::from(answers.load(Ordering::Relaxed));
    let found = value(&query, "count_over_time(answers[10m])")
        .await
        .unwrap();
    // The agent may have stopped while an answer was on its way.
    assert!(found == all || found == all - 1.0, "{found} of {all}");
}
