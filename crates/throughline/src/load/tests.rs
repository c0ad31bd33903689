use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use model::{Value, value};
use otlp::rows::Rows;
use otlp::server::{Accept, Export, Receiver, ServerLimits, Verdict};
use serde_json::json;
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
        remote_write: false,
        signal,
        corpus: CorpusKind::Standard,
        files: Vec::new(),
        rate: None,
        connections: 3,
        batch_items: 100,
        items: Some(1_050),
        duration: Duration::from_secs(60),
        series: SERIES,
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
    assert_eq!(points.len() as u64, SERIES);
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
async fn there_are_as_many_series_as_wished() {
    for series in [1, 7, 100] {
        let options = LoadOptions {
            series,
            items: Some(3 * series),
            ..options(Signal::Metrics)
        };
        let (fake, report) = run_against(Fake::default(), options).await;
        assert_eq!(report.unwrap().accepted_items, 3 * series);
        let mut points = HashMap::<String, usize>::new();
        for export in fake.taken.lock().iter() {
            let rows = Rows::decode(Signal::Metrics, &export.request).unwrap();
            for (series, _) in rows.points {
                *points.entry(format!("{series:?}")).or_default() += 1;
            }
        }
        assert_eq!(points.len() as u64, series);
        assert!(points.values().all(|count| *count == 3));
    }
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
        LoadOptions {
            series: 0,
            ..options(Signal::Metrics)
        },
        LoadOptions {
            series: SERIES + 1,
            ..options(Signal::Logs)
        },
    ];
    let combined = [
        LoadOptions {
            corpus: CorpusKind::Wide,
            ..options(Signal::Metrics)
        },
        LoadOptions {
            corpus: CorpusKind::Lines,
            files: vec!["lines".into()],
            ..options(Signal::Traces)
        },
        LoadOptions {
            corpus: CorpusKind::Lines,
            ..options(Signal::Logs)
        },
        LoadOptions {
            corpus: CorpusKind::Recorded,
            ..options(Signal::Logs)
        },
        LoadOptions {
            corpus: CorpusKind::Recorded,
            files: vec!["recorded".into()],
            ..options(Signal::Metrics)
        },
        LoadOptions {
            files: vec!["lines".into()],
            ..options(Signal::Logs)
        },
        LoadOptions {
            corpus: CorpusKind::Scattered,
            rate: Some(SCATTERED_RATE_MAX + 1),
            ..options(Signal::Logs)
        },
    ];
    for options in wrong.into_iter().chain(combined) {
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
    Corpus::new(&options, 1 << 60).unwrap()
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

#[test]
fn scattered_traces_arrive_apart_and_requests_are_of_one_resource() {
    let options = LoadOptions {
        corpus: CorpusKind::Scattered,
        items: Some(120_005),
        ..options(Signal::Traces)
    };
    let corpus = Corpus::new(&options, 1 << 60).unwrap();
    let requests = || Arrivals::scattered(&corpus, options.items, options.batch_items);
    let mut sent = HashSet::new();
    let mut arrived = HashMap::<u64, (u64, u64)>::new();
    for (number, items) in (0..).zip(requests()) {
        assert!((1..=100).contains(&items.len()));
        let places = items.iter().map(|item| trace::place(*item));
        let resources: HashSet<_> = places
            .map(|(trace, part)| trace::resource(42, trace, part))
            .collect();
        assert_eq!(resources.len(), 1);
        for item in items {
            assert!(sent.insert(item), "{item} is sent twice");
            let (trace, _) = trace::place(item);
            arrived.entry(trace).or_insert((number, number)).1 = number;
        }
    }
    assert_eq!(sent.len(), 120_005);
    assert!(sent.iter().all(|item| *item < 120_005));
    // 30,000 items are 300 requests; of four delays the first and last are mostly far apart.
    let spread: u64 = arrived.values().map(|(first, last)| last - first).sum();
    let mean = spread / arrived.len() as u64;
    assert!((120..300).contains(&mean), "{mean} requests");
    assert!(requests().eq(requests()));
}

#[test]
fn the_wide_corpus_has_its_keys_and_ten_on_a_row() {
    let names: HashSet<_> = (0..wide::KEYS).map(wide::key).collect();
    assert_eq!(names.len(), wide::KEYS);
    let services = 0..corpus::SERVICES.len();
    let kinds = services.flat_map(|service| (0..wide::KINDS).map(move |kind| (service, kind)));
    let used: HashSet<_> = kinds
        .flat_map(|(service, kind)| wide::keys(1, service, kind))
        .collect();
    assert_eq!(used.len(), wide::KEYS);

    for signal in [Signal::Traces, Signal::Logs] {
        let options = LoadOptions {
            corpus: CorpusKind::Wide,
            ..options(signal)
        };
        let corpus = Corpus::new(&options, 1 << 60).unwrap();
        let rows = Rows::decode(signal, &corpus.request(&items(1_200), 1)).unwrap();
        let spans = rows.spans.iter().map(|span| &span.attributes);
        let attributes: Vec<_> = spans
            .chain(rows.logs.iter().map(|log| &log.attributes))
            .collect();
        assert_eq!(attributes.len(), 1_200);
        // The correlation id and the batch are beside them.
        assert!(attributes.iter().all(|row| (8..=12).contains(&row.len())));
        let keys: HashSet<_> = attributes
            .iter()
            .flat_map(|row| row.iter().map(|attribute| &attribute.key))
            .collect();
        assert!(keys.len() > 2_000, "{} keys", keys.len());
    }
}

#[test]
fn lines_of_files_are_sent_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let lines = |paths: Vec<PathBuf>| {
        let options = LoadOptions {
            corpus: CorpusKind::Lines,
            files: paths,
            ..options(Signal::Logs)
        };
        Corpus::new(&options, 1 << 60)
    };
    let paths = vec![
        file("server.log.1", b"one\r\n\ntwo\n"),
        file("empty", b""),
        file("gc.log", b"\xffthree"),
    ];
    let corpus = lines(paths.clone()).unwrap();
    let request = corpus.request(&items(5), 1);
    assert_eq!(request, lines(paths).unwrap().request(&items(5), 1));
    let mut logs = Rows::decode(Signal::Logs, &request).unwrap().logs;
    logs.sort_by_key(|log| log.time_unix_nano);
    let seen: Vec<_> = logs
        .iter()
        .map(|log| {
            assert_eq!((log.trace_id, log.span_id), (None, None));
            (log.resource.service().to_owned(), log.body.to_text())
        })
        .collect();
    let expected = [
        ("server", "one"),
        ("server", "two"),
        ("gc", "\u{fffd}three"),
        ("server", "one"),
        ("server", "two"),
    ];
    assert_eq!(seen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));

    let problem = |path| lines(vec![path]).err().unwrap().to_string();
    assert!(problem(file("nothing", b"\n\n")).contains("no line"));
    assert!(problem(folder.path().join("absent")).contains("absent"));
    let long = [b"short\n".as_slice(), &[b'x'; 40_000]].concat();
    assert!(problem(file("long", &long)).contains("line 2 of"));
}

#[test]
fn recorded_rows_are_sent_again_with_other_ids_and_later() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let lines = [
        json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]},
            "scopeSpans": [{"spans": [
                {"traceId": TRACE, "spanId": "00000000000000a1", "name": "root",
                 "startTimeUnixNano": "5000000000", "endTimeUnixNano": "7000000000"},
                {"traceId": TRACE, "spanId": "00000000000000a2", "name": "child",
                 "parentSpanId": "00000000000000a1",
                 "startTimeUnixNano": "6000000000", "endTimeUnixNano": "6500000000",
                 "events": [{"timeUnixNano": "6100000000", "name": "e"}],
                 "links": [{"traceId": TRACE, "spanId": "00000000000000a1"}]}]}]}]}),
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
            {"timeUnixNano": "0", "observedTimeUnixNano": "6000000000", "traceId": TRACE,
             "spanId": "00000000000000a2", "body": {"stringValue": "said"}},
            {"timeUnixNano": "6000000000", "body": {"stringValue": "alone"}}]}]}]}),
    ];
    std::fs::write(&path, format!("{}\n\n{}\n", lines[0], lines[1])).unwrap();
    let corpus = |signal| {
        let options = LoadOptions {
            corpus: CorpusKind::Recorded,
            files: vec![path.clone()],
            items: Some(4),
            ..options(signal)
        };
        Corpus::new(&options, 1 << 60).unwrap()
    };
    let request = corpus(Signal::Traces).request(&items(4), 7);
    let spans = Rows::decode(Signal::Traces, &request).unwrap().spans;
    let request = corpus(Signal::Logs).request(&items(4), 7);
    let logs = Rows::decode(Signal::Logs, &request).unwrap().logs;
    assert_eq!((spans.len(), logs.len()), (4, 4));
    for (round, (spans, logs)) in spans.chunks(2).zip(logs.chunks(2)).enumerate() {
        let [root, child] = spans else { panic!() };
        let [said, alone] = logs else { panic!() };
        assert_eq!((&root.name[..], root.parent_span_id), ("root", None));
        assert_eq!(child.parent_span_id, Some(root.span_id));
        assert_eq!(child.trace_id, root.trace_id);
        assert_eq!(child.links[0].trace_id, root.trace_id.0);
        assert_eq!(child.links[0].span_id, root.span_id.0);
        assert_eq!(said.trace_id, Some(root.trace_id));
        assert_eq!(said.span_id, Some(child.span_id));
        assert_eq!((alone.trace_id, alone.span_id), (None, None));
        assert_eq!(root.end_unix_nano - root.start_unix_nano, 2_000_000_000);
        assert_eq!(child.start_unix_nano - root.start_unix_nano, 1_000_000_000);
        let event = child.events[0].time_unix_nano;
        assert_eq!(event - root.start_unix_nano, 1_100_000_000);
        assert_eq!(said.time_unix_nano, 0);
        assert_eq!(said.observed_time_unix_nano, alone.time_unix_nano);
        let back = 2 - round as u64;
        assert_eq!(root.start_unix_nano, (1 << 60) - back * 2_000_000_000);
        assert!(root.attributes.iter().any(|pair| pair.key == "load.batch"));
    }
    assert_ne!(spans[0].trace_id, spans[2].trace_id);
    assert_ne!(spans[0].span_id, spans[2].span_id);

    let problem = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let options = LoadOptions {
            corpus: CorpusKind::Recorded,
            files: vec![path.clone()],
            ..options(Signal::Logs)
        };
        format!("{:#}", Corpus::new(&options, 1 << 60).err().unwrap())
    };
    assert!(problem("{}\n").contains("no row of the signal logs"));
    let wrong = problem("{}\n{\"resourceLogs\": 1}\n");
    assert!(wrong.contains("line 2 of"), "{wrong}");
}
