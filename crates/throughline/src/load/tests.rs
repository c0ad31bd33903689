use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use model::{Value, value};
use otlp::rows::Rows;
use otlp::server::{Accept, Export, Receiver, ServerLimits, Verdict};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;

/// Keeps what it takes; refuses every request once, where it is told to.
#[derive(Default)]
struct Fake {
    refuse_first: bool,
    reject: u64,
    malformed: bool,
    refused: parking_lot::Mutex<HashSet<u64>>,
    taken: parking_lot::Mutex<Vec<Export>>,
    seen: AtomicU64,
}

impl Accept for Fake {
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict> {
        Box::pin(async move {
            self.seen.fetch_add(1, Ordering::Relaxed);
            let sequence = export.stamp.as_ref().unwrap().sequence;
            if self.malformed {
                return Verdict::Malformed("not wanted".to_owned());
            }
            if self.refuse_first && self.refused.lock().insert(sequence) {
                return Verdict::Unavailable {
                    retry_after: Duration::from_millis(1),
                    reason: "busy".to_owned(),
                };
            }
            self.taken.lock().push(export);
            Verdict::Accepted {
                rejected: self.reject,
                message: "some are bad".to_owned(),
            }
        })
    }
}

fn options(signal: Signal) -> LoadOptions {
    LoadOptions {
        endpoint: String::new(),
        http: false,
        signal,
        rate: None,
        connections: 3,
        batch_items: 100,
        items: Some(1_050),
        duration: Duration::from_secs(60),
        seed: 42,
        verify_file: None,
    }
}

async fn run_against(
    fake: Fake,
    mut options: LoadOptions,
) -> (Arc<Fake>, anyhow::Result<LoadReport>) {
    let fake = Arc::new(fake);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.endpoint = listener.local_addr().unwrap().to_string();
    let receiver = Receiver::new(
        Arc::clone(&fake) as Arc<dyn Accept>,
        ServerLimits::default(),
    );
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(async move { receiver.serve_http(listener, stopped).await });
    let report = run(options).await;
    stop.cancel();
    serving.await.unwrap();
    (fake, report)
}

#[tokio::test]
async fn every_item_is_sent_once_under_its_batch() {
    for (signal, http) in [(Signal::Traces, false), (Signal::Logs, true)] {
        let options = LoadOptions {
            http,
            ..options(signal)
        };
        let (fake, report) = run_against(Fake::default(), options).await;
        let report = report.unwrap();
        assert_eq!(
            (report.accepted_items, report.requests),
            (1_050, 11),
            "{report}"
        );
        assert_eq!(
            (report.rejected_items, report.unknown_items, report.retries),
            (0, 0, 0)
        );
        let mut ids = HashSet::new();
        for export in fake.taken.lock().iter() {
            let rows = Rows::decode(signal, &export.request).unwrap();
            assert!(rows.rejected.is_empty());
            let sequence = export.stamp.as_ref().unwrap().sequence;
            let items = if sequence == 11 { 50 } else { 100 };
            assert_eq!(rows.spans.len() + rows.logs.len(), items);
            let batch = Value::Int(i64::try_from(sequence).unwrap());
            let spans = rows
                .spans
                .iter()
                .map(|span| (&span.attributes, span.span_id));
            let logs = rows
                .logs
                .iter()
                .map(|log| (&log.attributes, log.span_id.unwrap()));
            for (attributes, id) in spans.chain(logs) {
                assert_eq!(value::last(attributes, "load.batch"), Some(&batch));
                assert!(ids.insert(id));
            }
        }
        assert_eq!(ids.len(), 1_050);
    }
}

#[tokio::test]
async fn points_are_known_by_series_and_time() {
    let options = LoadOptions {
        batch_items: 10_000,
        items: Some(90_000),
        ..options(Signal::Metrics)
    };
    let (fake, report) = run_against(Fake::default(), options).await;
    assert_eq!(report.unwrap().accepted_items, 90_000);
    let mut points = HashMap::<i64, Vec<_>>::new();
    for export in fake.taken.lock().iter() {
        for (series, point) in Rows::decode(Signal::Metrics, &export.request)
            .unwrap()
            .points
        {
            let Some(Value::Int(index)) = value::last(&series.attributes, "load.series") else {
                panic!("{series:?}");
            };
            points
                .entry(*index)
                .or_default()
                .push((point.time_unix_nano, point.value));
        }
    }
    assert_eq!(points.len() as u64, metrics::SERIES);
    for points in points.values_mut() {
        points.sort_by_key(|(time, _)| *time);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        if let [
            (_, model::metric::PointValue::Int(before)),
            (_, model::metric::PointValue::Int(after)),
            ..,
        ] = points[..]
        {
            assert!(before <= after);
        }
    }
    assert_eq!(points.values().map(Vec::len).sum::<usize>(), 90_000);
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("verify");
    let options = LoadOptions {
        verify_file: Some(file.clone()),
        ..options(Signal::Logs)
    };
    let fake = Fake {
        refuse_first: true,
        ..Fake::default()
    };
    let (fake, report) = run_against(fake, options).await;
    let report = report.unwrap();
    assert_eq!(
        (report.accepted_items, report.retries),
        (1_050, 11),
        "{report}"
    );
    assert_eq!(fake.seen.load(Ordering::Relaxed), 22);
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["signal"], "logs");
    let mut sequences = HashSet::new();
    for line in lines {
        assert_eq!(line["state"], "acknowledged");
        assert_eq!(
            line["first"].as_u64().unwrap(),
            (line["sequence"].as_u64().unwrap() - 1) * 100
        );
        sequences.insert(line["sequence"].as_u64().unwrap());
    }
    assert_eq!(sequences, (1..=11).collect());
}

#[tokio::test]
async fn refusals_are_counted() {
    let fake = Fake {
        reject: 5,
        ..Fake::default()
    };
    let (_, report) = run_against(fake, options(Signal::Traces)).await;
    let report = report.unwrap();
    assert_eq!(
        (report.accepted_items, report.rejected_items),
        (1_050 - 55, 55)
    );
    assert_eq!(report.last_problem.as_deref(), Some("some are bad"));

    let fake = Fake {
        malformed: true,
        ..Fake::default()
    };
    let (_, report) = run_against(fake, options(Signal::Traces)).await;
    let error = report.unwrap_err().to_string();
    assert!(
        error.contains("acknowledged nothing") && error.contains("not wanted"),
        "{error}"
    );
}

#[tokio::test]
async fn a_paced_run_keeps_its_pace_and_ends_on_time() {
    let options = LoadOptions {
        rate: Some(10_000),
        items: None,
        duration: Duration::from_millis(200),
        ..options(Signal::Logs)
    };
    let (_, report) = run_against(Fake::default(), options).await;
    let report = report.unwrap();
    // Requests are planned for every tenth millisecond below 200; a slow machine may miss some.
    assert!((100..=2_000).contains(&report.accepted_items), "{report}");
}

#[tokio::test]
async fn options_are_checked() {
    let wrong = [
        LoadOptions {
            connections: 0,
            ..options(Signal::Logs)
        },
        LoadOptions {
            batch_items: 0,
            ..options(Signal::Logs)
        },
        LoadOptions {
            batch_items: 1 << 20,
            ..options(Signal::Logs)
        },
        LoadOptions {
            rate: Some(0),
            ..options(Signal::Logs)
        },
        LoadOptions {
            duration: Duration::ZERO,
            ..options(Signal::Logs)
        },
    ];
    for options in wrong {
        let error = run(LoadOptions {
            endpoint: "127.0.0.1:1".to_owned(),
            ..options
        })
        .await;
        assert!(error.unwrap_err().to_string().contains("must be"));
    }
}

fn corpus(signal: Signal, seed: u64) -> Corpus {
    let options = LoadOptions {
        seed,
        ..options(signal)
    };
    Corpus::new(&options, 1 << 60)
}

fn items(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// The corpus that `docs/benchmarks.md` describes.
#[test]
fn the_corpus_has_its_size_and_follows_from_the_seed() {
    for (signal, range) in [(Signal::Traces, 745..775), (Signal::Logs, 340..360)] {
        let items = items(12_000);
        let first = corpus(signal, 1).request(&items, 1);
        assert_eq!(first, corpus(signal, 1).request(&items, 1));
        assert_ne!(first, corpus(signal, 2).request(&items, 1));
        let bytes: usize = items
            .chunks(1_000)
            .map(|items| corpus(signal, 1).request(items, 1).len())
            .sum();
        let bytes = bytes / items.len();
        assert!(range.contains(&bytes), "{signal}: {bytes} bytes per item");
        let rows = Rows::decode(signal, &first).unwrap();
        let spans = rows.spans.iter().map(|span| &span.resource.attributes);
        let logs = rows.logs.iter().map(|log| &log.resource.attributes);
        let instances: HashSet<_> = spans
            .chain(logs)
            .map(|attributes| {
                value::last(attributes, "service.instance.id")
                    .unwrap()
                    .to_text()
            })
            .collect();
        assert_eq!(instances.len(), corpus::RESOURCES);
    }
}

#[test]
fn a_span_and_a_record_of_one_number_belong_together() {
    let spans = corpus(Signal::Traces, 7).request(&items(1_200), 1);
    let logs = corpus(Signal::Logs, 7).request(&items(1_200), 1);
    let spans = Rows::decode(Signal::Traces, &spans).unwrap().spans;
    let logs = Rows::decode(Signal::Logs, &logs).unwrap().logs;
    let of = |resource: &model::Resource, attributes: &[model::KeyValue]| {
        let id = value::last(attributes, "correlation_id").unwrap();
        (resource.attributes.clone(), id.to_text())
    };
    let spans: HashMap<_, _> = spans
        .iter()
        .map(|span| {
            let ids = (span.trace_id, span.span_id);
            (ids, of(&span.resource, &span.attributes))
        })
        .collect();
    assert_eq!((spans.len(), logs.len()), (1_200, 1_200));
    for log in &logs {
        let ids = (log.trace_id.unwrap(), log.span_id.unwrap());
        assert_eq!(spans[&ids], of(&log.resource, &log.attributes));
    }
    let traces: HashSet<_> = spans.keys().map(|(trace, _)| trace).collect();
    assert_eq!(traces.len(), 100);
}

#[test]
fn words_are_as_frequent_as_their_names_say() {
    let corpus = corpus(Signal::Logs, 3);
    let count = |items: &[u64], text: &str| {
        let request = corpus.request(items, 1);
        let logs = Rows::decode(Signal::Logs, &request).unwrap().logs;
        let found = logs.iter().filter(|log| log.body.to_text().contains(text));
        found.count()
    };
    let items = items(10_000);
    assert_eq!(count(&items, RARE_WORD), 1);
    let common = count(&items, COMMON_WORD);
    assert!((2_850..3_150).contains(&common), "{common}");
    let phrase = count(&items, PHRASE);
    assert!((200..300).contains(&phrase), "{phrase}");
    // Once in so many, and nowhere else.
    let later: Vec<_> = items.iter().map(|item| item + 3 * RARE_EVERY).collect();
    assert_eq!(count(&later, RARE_WORD), 1);
    let between: Vec<_> = items.iter().map(|item| item + RARE_EVERY / 2).collect();
    assert_eq!(count(&between, RARE_WORD), 0);
}

#[test]
fn what_is_sent_at_once_is_dated_up_to_the_present() {
    let present = 1 << 60;
    let spans = corpus(Signal::Traces, 1).request(&items(1_050), 1);
    let spans = Rows::decode(Signal::Traces, &spans).unwrap().spans;
    assert!(spans.iter().all(|span| span.end_unix_nano < present));
    let last = spans.iter().map(|span| span.start_unix_nano).max();
    assert!(present - last.unwrap() < 5_000_000_000);
}
