//! The store against its promises: what comes back, when, and after what.

mod crash;
mod failure;
mod partitions;
mod room;
mod undated;

use std::collections::BTreeMap;

use model::{ClockOffset, Signal, Span, Tenant, TimeRange, TraceId, Value};
use tempfile::tempdir;

use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::message::*;
use crate::testing::*;
use crate::write::{Stamp, WriteError};
use crate::{Options, Store};

/// The sum of what the store counts under a name.
fn counted(store: &Store, name: &str) -> f64 {
    let name = format!("throughline_storage_{name}");
    let metrics = store.metrics();
    let of_name = metrics.iter().filter(|(known, ..)| *known == name);
    of_name.map(|(_, _, value)| value).sum()
}

async fn fill(store: &Store, seed: u64, rows: usize) -> (Vec<Span>, Vec<model::LogRecord>) {
    let mut generator = Generator::new(seed);
    let spans: Vec<_> = (0..rows).map(|_| generator.span()).collect();
    let logs: Vec<_> = (0..rows).map(|_| generator.log()).collect();
    for batch in spans.chunks(37) {
        write(store, Signal::Traces, batch).await.unwrap();
    }
    for batch in logs.chunks(23) {
        write(store, Signal::Logs, batch).await.unwrap();
    }
    (spans, logs)
}

#[tokio::test]
async fn rows_come_back_as_sent_from_head_and_files_and_after_restarts() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (mut sent_spans, mut sent_logs) = fill(&store, 1, 300).await;
    let mut generator = Generator::new(9);
    let sent_points: Vec<_> = (0..400).map(|_| generator.point()).collect();
    let ack = write(&store, Signal::Metrics, &sent_points).await.unwrap();
    assert_eq!(ack.accepted, 400);
    let check = async |store: &Store, spans_sent: &[Span], logs_sent: &[model::LogRecord]| {
        let found = spans(store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(spans_sent.to_vec()));
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        assert!(plain_logs(found) == plain_logs(logs_sent.to_vec()));
        assert!(sorted(points(store).await) == sorted(sent_points.clone()));
    };
    check(&store, &sent_spans, &sent_logs).await;
    // Killed before a flush: the WAL has it all.
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
    store.flush().await;
    check(&store, &sent_spans, &sent_logs).await;
    // Killed after a flush, and rows in both places.
    let (more_spans, more_logs) = fill(&store, 2, 100).await;
    sent_spans.extend(more_spans);
    sent_logs.extend(more_logs);
    check(&store, &sent_spans, &sent_logs).await;
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
    store.shutdown().await;
    assert!(matches!(
        write(&store, Signal::Traces, &sent_spans).await,
        Err(WriteError::Closed)
    ));
    drop(store);
    let store = open(dir.path());
    check(&store, &sent_spans, &sent_logs).await;
}

#[tokio::test]
async fn a_small_head_limit_flushes_on_the_way_and_on_replay() {
    let dir = tempdir().unwrap();
    let options = Options {
        head_bytes: 40_000,
        block_rows: 64,
        ..Options::default()
    };
    let store = open_with(dir.path(), options.clone());
    let (sent, _) = fill(&store, 3, 500).await;
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    drop(store);
    let small = Options {
        head_bytes: 10_000,
        ..options
    };
    let store = open_with(dir.path(), small);
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent));
}

#[tokio::test]
async fn files_without_a_checkpoint_do_not_count() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (sent, _) = fill(&store, 4, 50).await;
    drop(store);
    // What a crash between the files and the checkpoint of a flush leaves behind.
    let copy = tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .args([
            "-a",
            &format!("{}/wal", dir.path().display()),
            &copy.path().display().to_string(),
        ])
        .status();
    assert!(status.unwrap().success());
    let store = open(dir.path());
    store.flush().await;
    drop(store);
    std::fs::remove_dir_all(dir.path().join("wal")).unwrap();
    std::fs::rename(copy.path().join("wal"), dir.path().join("wal")).unwrap();
    std::fs::remove_file(dir.path().join("store/CHECKPOINT")).unwrap();
    let store = open(dir.path());
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.clone()));
    store.flush().await;
    let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent));
}

#[tokio::test]
async fn a_second_store_on_the_folder_is_refused() {
    let dir = tempdir().unwrap();
    let _store = open(dir.path());
    let decoder = std::sync::Arc::new(TestDecoder);
    assert!(Store::open(env::Env::real(), dir.path(), Options::default(), decoder).is_err());
}

#[tokio::test]
async fn stamped_batches_are_stored_once() {
    let dir = tempdir().unwrap();
    let mut generator = Generator::new(5);
    let rows: Vec<_> = (0..3).map(|_| generator.span()).collect();
    let stamp = |sequence| {
        Some(Stamp {
            agent: "agent-1".to_owned(),
            epoch: 7,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: 42,
            clock: None,
        })
    };
    let store = open(dir.path());
    let ack = write_stamped(&store, Signal::Traces, &rows, stamp(1))
        .await
        .unwrap();
    assert!(!ack.duplicate);
    let count = async |store: &Store| {
        spans(store, selection(Signal::Traces, Filter::All))
            .await
            .len()
    };
    let again = write_stamped(&store, Signal::Traces, &rows, stamp(1))
        .await
        .unwrap();
    assert!(again.duplicate && again.accepted == 3);
    assert_eq!(count(&store).await, 3);
    drop(store);
    let store = open(dir.path());
    assert!(
        write_stamped(&store, Signal::Traces, &rows, stamp(1))
            .await
            .unwrap()
            .duplicate
    );
    store.flush().await;
    drop(store);
    let store = open(dir.path());
    assert!(
        write_stamped(&store, Signal::Traces, &rows, stamp(1))
            .await
            .unwrap()
            .duplicate
    );
    assert!(
        !write_stamped(&store, Signal::Traces, &rows, stamp(2))
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!(count(&store).await, 6);
}

#[tokio::test]
async fn the_senders_clock_offset_stays_with_every_row() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let clock = |offset_nano| ClockOffset {
        offset_nano,
        error_nano: 2_000,
    };
    let stamp = |agent: &str, clock| Stamp {
        agent: agent.to_owned(),
        epoch: 1,
        sequence: 1,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock,
    };
    let stamps = [
        None,
        Some(stamp("even", Some(clock(0)))),
        Some(stamp("late", Some(clock(3_000_000_000)))),
        Some(stamp("new", None)),
        Some(stamp("early", Some(clock(-7)))),
    ];
    let mut generator = Generator::new(6);
    let (mut sent_spans, mut sent_logs) = (Vec::new(), Vec::new());
    for stamp in stamps {
        let clock = stamp.as_ref().and_then(|stamp| stamp.clock);
        let spans: Vec<_> = (0..40).map(|_| generator.span()).collect();
        let logs: Vec<_> = (0..40).map(|_| generator.log()).collect();
        let next = stamp.clone().map(|stamp| Stamp {
            sequence: 2,
            ..stamp
        });
        for (signal, ack) in [
            (
                Signal::Traces,
                write_stamped(&store, Signal::Traces, &spans, stamp).await,
            ),
            (
                Signal::Logs,
                write_stamped(&store, Signal::Logs, &logs, next).await,
            ),
        ] {
            assert_eq!(ack.unwrap().accepted, 40, "{signal}");
        }
        sent_spans.extend(spans.into_iter().map(|span| Span { clock, ..span }));
        sent_logs.extend(
            logs.into_iter()
                .map(|log| model::LogRecord { clock, ..log }),
        );
    }
    let check = async |store: &Store| {
        let found = spans(store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans(sent_spans.clone()));
        let found = logs(store, selection(Signal::Logs, Filter::All)).await;
        assert!(plain_logs(found) == plain_logs(sent_logs.clone()));
    };
    check(&store).await;
    drop(store);
    let store = open(dir.path());
    check(&store).await;
    store.flush().await;
    check(&store).await;
    drop(store);
    check(&open(dir.path())).await;
}

fn random_operand(random: &mut fastrand::Rng) -> Operand {
    match random.u8(..6) {
        0 => Operand::Int(random.i64(-3..60)),
        1 => Operand::Double([0.5, 42.0, 1.0][random.usize(..3)]),
        2 => Operand::Bool(random.bool()),
        3 => Operand::Literal(
            ["42", "1", "true", "x", "card declined", "42.0"][random.usize(..6)].into(),
        ),
        4 => Operand::Text(["of the scope", "x", "req-7", ""][random.usize(..4)].into()),
        _ => Operand::Literal(format!("req-{}", random.u8(..40))),
    }
}

fn random_field(random: &mut fastrand::Rng) -> Field {
    let levels = [
        Level::Any,
        Level::Row,
        Level::Scope,
        Level::Resource,
        Level::Event,
        Level::Link,
    ];
    let keys = [
        "http.method",
        "user.id",
        "request_id",
        "shared",
        "",
        "n",
        "absent",
    ];
    match random.u8(..3) {
        0 => {
            let fields = [
                Field::Service,
                Field::Name,
                Field::Kind,
                Field::Status,
                Field::Duration,
                Field::Level,
                Field::Severity,
                Field::Body,
                Field::EventName,
                Field::Correlation,
                Field::ScopeName,
                Field::SpanId,
                Field::ParentId,
                Field::StatusMessage,
            ];
            fields[random.usize(..fields.len())].clone()
        }
        _ => Field::Attribute {
            level: levels[random.usize(..levels.len())],
            key: keys[random.usize(..keys.len())].to_owned(),
        },
    }
}

fn random_filter(random: &mut fastrand::Rng, depth: usize) -> Filter {
    let field = random_field(random);
    let words = [
        "card",
        "declined",
        "refused",
        "connection",
        "42",
        "größe",
        "took",
        "get",
    ];
    match random.u8(..if depth > 2 { 7 } else { 10 }) {
        0 => Filter::Exists(field),
        1 => Filter::Compare {
            field,
            op: Op::Eq,
            value: random_operand(random),
        },
        2 => {
            let ops = [Op::Lt, Op::Le, Op::Gt, Op::Ge];
            Filter::Compare {
                field,
                op: ops[random.usize(..4)],
                value: random_operand(random),
            }
        }
        3 => Filter::Regex {
            field,
            pattern: "ser.*-[12]|declined|^4".to_owned(),
        },
        4 => Filter::Prefix {
            field,
            prefix: ["s", "4", "req-1", "GET"][random.usize(..4)].into(),
        },
        5 => Filter::Words {
            field: None,
            words: (0..random.usize(1..3))
                .map(|_| words[random.usize(..words.len())].to_owned())
                .collect(),
            phrase: random.bool(),
            prefix: random.bool(),
        },
        6 => {
            let id = model::TraceId([
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                random.u8(1..70),
            ]);
            let field = if random.bool() {
                Field::TraceId
            } else {
                Field::LinkTraceId
            };
            Filter::AnyOf {
                field,
                values: vec![id.to_string()],
            }
        }
        7 => Filter::Not(Box::new(random_filter(random, depth + 1))),
        8 => Filter::And((0..2).map(|_| random_filter(random, depth + 1)).collect()),
        _ => Filter::Or((0..2).map(|_| random_filter(random, depth + 1)).collect()),
    }
}

/// The same rows in memory and in files, asked the same: the index may not change an answer.
#[tokio::test]
async fn head_and_files_give_the_same_answers() {
    let (head_dir, file_dir) = (tempdir().unwrap(), tempdir().unwrap());
    let head = open(head_dir.path());
    let files = open(file_dir.path());
    fill(&head, 6, 200).await;
    fill(&files, 6, 200).await;
    files.flush().await;
    let mut random = fastrand::Rng::with_seed(11);
    let mut matched = 0;
    for round in 0..400 {
        let filter = random_filter(&mut random, 0);
        let mut range = TimeRange::ALL;
        if random.bool() {
            range.start = BASE + random.u64(..7_200_000_000_000);
            range.end = range.start + random.u64(..7_200_000_000_000);
        }
        let of = |signal| Selection {
            range,
            ..selection(signal, filter.clone())
        };
        let a = sorted(spans(&head, of(Signal::Traces)).await);
        let b = sorted(spans(&files, of(Signal::Traces)).await);
        assert!(
            a == b,
            "round {round}: {} and {} spans for {filter:?}",
            a.len(),
            b.len()
        );
        let c = sorted(logs(&head, of(Signal::Logs)).await);
        let d = sorted(logs(&files, of(Signal::Logs)).await);
        assert!(
            c == d,
            "round {round}: {} and {} logs for {filter:?}",
            c.len(),
            d.len()
        );
        matched += a.len() + c.len();
        let by = random_field(&mut random);
        for signal in [Signal::Traces, Signal::Logs] {
            let counts = Request::Counts {
                selection: of(signal),
                step_nano: Some(3_600_000_000_000),
                by: vec![by.clone()],
                groups: 10_000,
            };
            let a = ask(&head, counts.clone()).await.unwrap().0;
            assert_eq!(
                a,
                ask(&files, counts).await.unwrap().0,
                "round {round}: {by:?}"
            );
            let values = Request::Values {
                selection: Selection {
                    range,
                    ..selection(signal, Filter::All)
                },
                field: by.clone(),
                prefix: String::new(),
                limit: 10_000,
            };
            let a = ask(&head, values.clone()).await.unwrap().0;
            assert_eq!(
                a,
                ask(&files, values).await.unwrap().0,
                "round {round}: {by:?}"
            );
        }
    }
    assert!(
        matched > 5_000,
        "the filters match too little to tell anything: {matched}"
    );
}

#[tokio::test]
async fn newest_rows_come_first_and_no_more_than_asked_for() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(12);
    let mut rows: Vec<Span> = (0..500).map(|_| generator.span()).collect();
    for (index, span) in rows.iter_mut().enumerate() {
        span.start_unix_nano = BASE + (index as u64 / 10) * 1_000;
        span.end_unix_nano = span.start_unix_nano + 1;
    }
    write(&store, Signal::Traces, &rows[..250]).await.unwrap();
    store.flush().await;
    write(&store, Signal::Traces, &rows[250..]).await.unwrap();
    let request = |order, traces| Request::Rows {
        selection: selection(Signal::Traces, Filter::All),
        order,
        limit: 15,
        traces,
        after: None,
        columns: Columns::Summary,
    };
    let times = |replies: &[Reply]| -> Vec<u64> {
        let [Reply::Spans(list)] = replies else {
            panic!("{replies:?}")
        };
        list.iter()
            .map(|span| (span.start_unix_nano - BASE) / 1_000)
            .collect()
    };
    let (replies, summary) = ask(&store, request(Order::Newest, None)).await.unwrap();
    assert_eq!(times(&replies), [&[49; 10][..], &[48; 5]].concat());
    assert_eq!(
        summary.cuts,
        [],
        "who asks for so many rows gets so many: nothing is hidden"
    );
    let (replies, _) = ask(&store, request(Order::Oldest, None)).await.unwrap();
    assert_eq!(times(&replies), [&[0; 10][..], &[1; 5]].concat());
    let (replies, summary) = ask(&store, request(Order::Newest, Some(4))).await.unwrap();
    let [Reply::Spans(list)] = &replies[..] else {
        panic!()
    };
    let mut traces: Vec<_> = list.iter().map(|span| span.trace_id).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 4);
    assert!(summary.stats.blocks < 9, "stops early: {:?}", summary.stats);
}

#[tokio::test]
async fn correlation_values_find_rows_and_come_back() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (_, _) = fill(&store, 13, 300).await;
    let filter = Filter::text_equals(Field::Correlation, "req-7");
    let from_head = sorted(spans(&store, selection(Signal::Traces, filter.clone())).await);
    assert!(!from_head.is_empty());
    let log_filter = Filter::text_equals(Field::Correlation, "abc-1");
    let logs_from_head = sorted(logs(&store, selection(Signal::Logs, log_filter.clone())).await);
    assert!(!logs_from_head.is_empty());
    store.flush().await;
    let found = spans(&store, selection(Signal::Traces, filter)).await;
    assert!(found.iter().all(|s| {
        s.correlation
            .contains(&("request_id".into(), "req-7".into()))
    }));
    assert!(sorted(found) == from_head);
    let found = logs(&store, selection(Signal::Logs, log_filter)).await;
    assert!(
        found
            .iter()
            .all(|log| matches!(&log.body, Value::Str(t) if t.contains("abc-1")))
    );
    assert!(sorted(found) == logs_from_head);
}

#[tokio::test]
async fn a_tail_shows_new_rows_and_counts_what_it_drops() {
    use futures::StreamExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(14);
    let rows: Vec<_> = (0..10).map(|_| generator.log()).collect();
    write(&store, Signal::Logs, &rows).await.unwrap();
    let request = Request::Tail {
        selection: selection(Signal::Logs, Filter::All),
        buffer: 15,
    };
    let mut tail = crate::read::Read::execute(&store, request, Limits::default());
    for _ in 0..3 {
        write(&store, Signal::Logs, &rows).await.unwrap();
    }
    let mut next = async || match tail.next().await.unwrap().unwrap() {
        Reply::Tail(tail) => tail,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, crate::message::Tail::default());
    let first = next().await;
    assert_eq!(
        (first.sequence, first.dropped, first.logs.len()),
        (10, 0, 10)
    );
    let second = next().await;
    assert_eq!(
        (second.sequence, second.dropped, second.logs.len()),
        (20, 5, 5)
    );
    write(&store, Signal::Logs, &rows).await.unwrap();
    let third = next().await;
    assert_eq!(
        (third.sequence, third.dropped, third.logs.len()),
        (40, 15, 10)
    );
}

#[tokio::test]
async fn what_waits_for_slow_tails_is_bounded_in_bytes() {
    use futures::{FutureExt, StreamExt};
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let tail = || {
        let request = Request::Tail {
            selection: selection(Signal::Logs, Filter::All),
            buffer: 1_000_000,
        };
        crate::read::Read::execute(&store, request, Limits::default())
    };
    /// Records that wait, and how many the last message says were dropped.
    fn waiting(tail: &mut crate::read::Replies) -> (usize, u64) {
        let (mut records, mut dropped) = (0, 0);
        while let Some(Some(Ok(Reply::Tail(part)))) = tail.next().now_or_never() {
            records += part.logs.len();
            dropped = part.dropped;
        }
        (records, dropped)
    }
    let mut large = Generator::new(16).log();
    large.body = Value::Str("x".repeat(1 << 20));
    let large = [large];
    let mut alone = tail();
    for _ in 0..12 {
        write(&store, Signal::Logs, &large).await.unwrap();
    }
    // One reader has room for 8 MiB, and again once it has read them.
    assert_eq!(waiting(&mut alone), (8, 0));
    write(&store, Signal::Logs, &large).await.unwrap();
    assert_eq!(waiting(&mut alone), (1, 4));
    drop(alone);

    // All together have room for 64 MiB. What a reader leaves behind when it goes is room again.
    for _ in 0..2 {
        let mut tails: Vec<_> = (0..12).map(|_| tail()).collect();
        for _ in 0..7 {
            write(&store, Signal::Logs, &large).await.unwrap();
        }
        let unread = tails.split_off(6);
        let all: usize = tails.iter_mut().map(|tail| waiting(tail).0).sum();
        assert_eq!(all, 6 * 5 + 4);
        drop(unread);
    }
}

#[tokio::test]
async fn limits_cut_the_answer_and_say_so() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 15, 300).await;
    store.flush().await;
    let request = Request::Rows {
        selection: selection(Signal::Traces, Filter::All),
        order: Order::Newest,
        limit: 1_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    use futures::StreamExt;
    let limits = Limits {
        scanned_bytes: 1,
        ..Limits::default()
    };
    let replies: Vec<_> = crate::read::Read::execute(&store, request.clone(), limits)
        .collect()
        .await;
    let Some(Ok(Reply::End(summary))) = replies.last() else {
        panic!("{replies:?}")
    };
    assert_eq!(summary.cuts[0].limit, "bytes");
    assert!(replies.len() == 2, "what was found is sent");
    let bad = Request::Rows {
        selection: selection(
            Signal::Traces,
            Filter::Regex {
                field: Field::Name,
                pattern: "(".to_owned(),
            },
        ),
        order: Order::Newest,
        limit: 1,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    assert!(ask(&store, bad).await.is_err());
    let (replies, _) = ask(
        &store,
        Request::Status {
            tenant: Tenant::default(),
        },
    )
    .await
    .unwrap();
    let [Reply::Status(status)] = &replies[..] else {
        panic!()
    };
    assert_eq!(status.partitions.iter().map(|p| p.rows).sum::<u64>(), 600);
}

#[tokio::test]
async fn durations_come_as_histograms_that_hold_them() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(16);
    let rows: Vec<Span> = (1..=100u64)
        .map(|n| {
            let mut span = generator.span();
            span.end_unix_nano = span.start_unix_nano + n * 1_000_000_000;
            (span.status_code, span.has_status) = (if n > 90 { 2 } else { 0 }, n > 90);
            span
        })
        .collect();
    write(&store, Signal::Traces, &rows).await.unwrap();
    let request = Request::Durations {
        selection: selection(Signal::Traces, Filter::All),
        by: vec![],
        groups: 10,
    };
    let (replies, _) = ask(&store, request).await.unwrap();
    let [Reply::Durations(groups)] = &replies[..] else {
        panic!("{replies:?}")
    };
    let [group] = &groups[..] else {
        panic!("{groups:?}")
    };
    assert_eq!((group.count, group.errors), (100, 10));
    let mut seen = 0;
    let median = group.buckets.iter().find(|(_, count)| {
        seen += count;
        seen >= 50
    });
    let median = median.unwrap().0 as f64 / 1e9;
    assert!((49.0..52.0).contains(&median), "{median}");
}

#[tokio::test]
async fn traces_have_the_ends_and_errors_of_their_matching_spans() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, 17, 300).await;
    store.flush().await;
    fill(&store, 18, 300).await;
    for filter in [Filter::All, Filter::text_equals(Field::Status, "error")] {
        let mut expected: BTreeMap<TraceId, TraceSpans> = BTreeMap::new();
        let selection = selection(Signal::Traces, filter);
        for span in spans(&store, selection.clone()).await {
            let one = TraceSpans {
                trace_id: span.trace_id,
                start: span.start_unix_nano,
                newest: span.start_unix_nano,
                end: span.end_unix_nano.max(span.start_unix_nano),
                errors: u64::from(span.is_error()),
            };
            let entry = expected.entry(span.trace_id);
            entry.and_modify(|trace| trace.join(&one)).or_insert(one);
        }
        let request = |limit| Request::Traces {
            selection: selection.clone(),
            order: Order::Newest,
            limit,
        };
        let traces = async |limit| {
            let (replies, summary) = ask(&store, request(limit)).await.unwrap();
            assert_eq!(summary.cuts, []);
            let lists = replies.into_iter().map(|reply| match reply {
                Reply::Traces(list) => list,
                other => panic!("{other:?}"),
            });
            lists
                .flatten()
                .map(|trace| (trace.trace_id, trace))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(expected.len() > 10, "{}", expected.len());
        assert_eq!(traces(100_000).await, expected);
        assert_eq!(traces(7).await.len(), 7);
    }
}
