//! What the store answers: the same from head and files, in order, and within limits.

use std::collections::BTreeMap;

use model::{Signal, Span, Tenant, TimeRange, TraceId, Value};
use tempfile::tempdir;

use super::fill;
use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::message::*;
use crate::testing::*;

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
