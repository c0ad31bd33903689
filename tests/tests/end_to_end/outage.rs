//! The collector of an agent is killed under load and stays away: every line of a file, every
//! span and every data point that the agent took is found exactly once.
//!
//! A whole minute of it is the same test with another time; docs/agent.md says how to run it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tests::otlp_json::{metrics, span, traces};
use tests::{Http, Setup, wait};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::PROGRAM;

/// Lines, spans and points of one batch.
const ITEMS: usize = 50;
/// Batches of each kind at least, with the collector, without it, and with it again.
const BATCHES: usize = 25;
/// Between two batches: load, but a minute of it can still be counted in another.
const PACE: Duration = Duration::from_millis(20);
/// The time of the first item, in unix nanoseconds; each item has one of its own.
const BEGIN: u64 = 1_790_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// Points of one question.
const PAGE: usize = 5_000;

fn time(item: usize) -> u64 {
    BEGIN + item as u64 * MILLISECOND
}

fn items(batch: usize) -> Range<usize> {
    batch * ITEMS..(batch + 1) * ITEMS
}

fn trace_id(batch: usize) -> String {
    format!("{:032x}", batch + 1)
}

fn spans(batch: usize) -> Value {
    let trace = trace_id(batch);
    let spans: Vec<Value> = items(batch)
        .map(|item| {
            let id = format!("{:016x}", item + 1);
            span(&trace, &id, "", "work", time(item), MILLISECOND)
        })
        .collect();
    traces("outage-spans", &spans)
}

fn points(batch: usize) -> Value {
    let points: Vec<Value> = items(batch)
        .map(|item| json!({"timeUnixNano": time(item).to_string(), "asInt": item.to_string()}))
        .collect();
    let metric = json!({"name": "outage_points", "gauge": {"dataPoints": points}});
    metrics("outage-points", &[metric])
}

fn write_lines(file: &mut File, batch: usize) {
    let mut lines = String::new();
    for item in items(batch) {
        let time = time(item) / MILLISECOND;
        lines.push_str(&format!(
            "time={time} level=info msg=processed line={item}\n"
        ));
    }
    file.write_all(lines.as_bytes()).unwrap();
}

/// What loads the agent with one batch after the other.
enum Source {
    Lines(File),
    Export(&'static str, Http, fn(usize) -> Value),
}

impl Source {
    /// Goes on until told to stop, counting what the agent has taken. The agent takes everything:
    /// its collector's absence is none of its senders' business.
    fn start(mut self, stop: &Arc<AtomicBool>) -> Running {
        let (stop, taken) = (Arc::clone(stop), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&taken);
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                let batch = count.load(Ordering::Relaxed);
                match &mut self {
                    Self::Lines(file) => write_lines(file, batch),
                    Self::Export(signal, agent, make) => agent.export(signal, &make(batch)).await,
                }
                count.store(batch + 1, Ordering::Relaxed);
            }
        });
        Running { taken, task }
    }
}

struct Running {
    taken: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// Waits until each source has had so many further batches taken, and this long.
async fn further(sources: &[Running], batches: usize, at_least: Duration) {
    let taken = |source: &Running| source.taken.load(Ordering::Relaxed);
    let before: Vec<usize> = sources.iter().map(taken).collect();
    let begin = Instant::now();
    wait::eventually("further batches", at_least + wait::LONG, async || {
        for source in sources {
            assert!(!source.task.is_finished(), "the agent refused a batch");
        }
        let mut both = sources.iter().zip(&before);
        let grown = both.all(|(source, before)| taken(source) >= before + batches);
        (grown && begin.elapsed() >= at_least).then_some(())
    })
    .await;
}

/// Each of these items once, and no other.
fn assert_once(what: &str, found: &BTreeMap<usize, usize>, batches: usize) {
    let total = batches * ITEMS;
    let lost = (0..total).filter(|item| !found.contains_key(item));
    let lost: Vec<usize> = lost.collect();
    let wrong: Vec<_> = found
        .iter()
        .filter(|(item, count)| **item >= total || **count > 1)
        .collect();
    assert!(
        lost.is_empty() && wrong.is_empty(),
        "{what}: lost {lost:?}, repeated or never sent {wrong:?} of {total}"
    );
}

async fn lines_found(query: &Http) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for record in query.all_logs("service:legacy").await {
        let line = record["attributes"]["line"].as_str();
        let line = line.unwrap_or_else(|| panic!("{record}"));
        *found.entry(line.parse().unwrap()).or_default() += 1;
    }
    found
}

/// Points by the time that each has for itself, asked for page by page.
async fn points_found(query: &Http, batches: usize) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    // The last page is open to its end, for what should not be there.
    for first in (0..=batches * ITEMS).step_by(PAGE) {
        let (start, end) = (time(first).to_string(), time(first + PAGE).to_string());
        let mut ask = vec![
            ("q", "outage_points"),
            ("start", &start),
            ("limit", "10000"),
        ];
        if first + PAGE <= batches * ITEMS {
            ask.push(("end", &end));
        }
        let answer = query.get("/api/v1/metrics/points", &ask).await;
        assert_eq!(answer["cut"], json!([]), "{answer}");
        for resource in answer["resourceMetrics"].as_array().unwrap() {
            let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
            for metric in metrics {
                for point in metric["gauge"]["dataPoints"].as_array().unwrap() {
                    let item: usize = point["asInt"].as_str().unwrap().parse().unwrap();
                    assert_eq!(point["timeUnixNano"], time(item).to_string(), "{point}");
                    *found.entry(item).or_default() += 1;
                }
            }
        }
    }
    found
}

/// The number of rows comes from the search, which counts a repeated span twice; a trace by its
/// id shows it once.
async fn assert_spans_once(query: &Http, batches: usize) {
    for batch in 0..batches {
        let trace = trace_id(batch);
        let search = format!("trace_id:{trace}");
        let found = query.get("/api/v1/traces", &[("q", search.as_str())]).await;
        assert_eq!(found["traces"][0]["span_count"], ITEMS, "{batch}: {found}");
        let spans = query.trace_spans(&trace).await;
        let ids: BTreeSet<&str> = spans
            .iter()
            .map(|span| span["spanId"].as_str().unwrap())
            .collect();
        let sent: Vec<String> = items(batch)
            .map(|item| format!("{:016x}", item + 1))
            .collect();
        let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
        assert_eq!(ids, sent, "trace {batch}");
    }
    let nothing_else = format!("trace_id:{}", trace_id(batches));
    let found = query
        .get("/api/v1/traces", &[("q", nothing_else.as_str())])
        .await;
    assert_eq!(found["traces"], json!([]));
}

fn agent_setup(collector: &str, log: &Path) -> Setup {
    Setup::new(PROGRAM, "agent")
        .arg("--collector")
        .arg(collector)
        .config(&format!(
            "agent:\n  host: {{enabled: false}}\n  files:\n    - include: ['{}']\n      service: legacy\n",
            log.display()
        ))
}

async fn without_the_collector_for(away: Duration) {
    let collector_setup = Setup::new(PROGRAM, "collector").config("limits: {head_bytes: 1MiB}\n");
    let collector = collector_setup.start();
    // It comes back where it was.
    let collector_setup = ["otlp_grpc", "otlp_http", "internal"]
        .into_iter()
        .fold(collector_setup, |setup, name| {
            setup.listen(name, &collector.address(name))
        });
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let log = collector_setup.folder().join("legacy.log");
    let file = File::create(&log).unwrap();
    let agent = agent_setup(&collector.address("otlp_grpc"), &log).start();

    let stop = Arc::new(AtomicBool::new(false));
    let sources = [
        Source::Lines(file),
        Source::Export("traces", agent.otlp(), spans),
        Source::Export("metrics", agent.otlp(), points),
    ];
    let sources = sources.map(|source| source.start(&stop));
    further(&sources, BATCHES, Duration::ZERO).await;
    collector.kill();
    further(&sources, BATCHES, away).await;
    let collector = collector_setup.start();
    further(&sources, BATCHES, Duration::ZERO).await;
    stop.store(true, Ordering::Relaxed);
    let [lines, spans, points] = sources.each_ref().map(|source| source.taken.clone());
    for ended in join_all(sources.map(|source| source.task)).await {
        ended.unwrap();
    }
    let [lines, spans, points] = [lines, spans, points].map(|taken| taken.load(Ordering::Relaxed));

    // The file is read on its own time; what the agent has read it delivers before it ends.
    let http = query.query();
    wait::eventually("the last line", wait::LONG, async || {
        let last = lines * ITEMS - 1;
        let start = time(last).to_string();
        let ask = [("q", "service:legacy"), ("start", start.as_str())];
        let answer = http.get("/api/v1/logs", &ask).await;
        (answer["logs"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    assert!(agent.terminate().0.success());
    assert_once("lines", &lines_found(&http).await, lines);
    assert_once("points", &points_found(&http, points).await, points);
    assert_spans_once(&http, spans).await;
    assert!(collector.terminate().0.success());
    told(lines, spans, points);
}

#[allow(clippy::print_stderr, reason = "a measurement says what it measured")]
fn told(lines: usize, spans: usize, points: usize) {
    let [lines, spans, points] = [lines, spans, points].map(|batches| batches * ITEMS);
    eprintln!("each once: {lines} lines, {spans} spans, {points} data points");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_collector_under_load_loses_and_repeats_nothing() {
    without_the_collector_for(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "holds an outage for a whole minute: cargo test --test end_to_end -- --ignored a_minute_without"]
async fn a_minute_without_the_collector_loses_and_repeats_nothing() {
    without_the_collector_for(Duration::from_secs(60)).await;
}
