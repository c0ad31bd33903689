//! What the store answers: the same from head and files, in order, and within limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{LogRecord, Resource, Signal, Span, Tenant, TimeRange, TraceId, Value};
use tempfile::tempdir;

use super::{Store, fill};
use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::message::*;
use crate::testing::*;

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

/// A list of two bytes a member becomes one of 32 bytes each: it is refused before it is built.
#[tokio::test]
async fn rows_too_large_for_an_answer_are_refused_before_they_are_built() {
    use futures::StreamExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let record = |body: Value| model::LogRecord {
        observed_time_unix_nano: BASE,
        body,
        ..model::LogRecord::default()
    };
    let rows = [
        record(Value::Array(vec![Value::Empty; 200_000])),
        record("small".into()),
    ];
    write(&store, Signal::Logs, &rows).await.unwrap();
    let limits = Limits {
        answer_bytes: 1 << 20,
        ..Limits::default()
    };
    let ask = async |filter: Filter| -> Vec<_> {
        let request = Request::Rows {
            selection: selection(Signal::Logs, filter),
            order: Order::Newest,
            limit: 10,
            traces: None,
            after: None,
            columns: Columns::Full,
        };
        let replies = crate::read::Read::execute(&store, request, limits);
        replies.collect::<Vec<_>>().await
    };
    let word = Filter::Words {
        field: None,
        words: vec!["small".to_owned()],
        phrase: false,
        prefix: false,
    };
    for _ in ["head", "files"] {
        let replies = ask(Filter::All).await;
        let refused = crate::read::ReadError::TooLarge(1 << 20);
        assert!(
            matches!(&replies[..], [Err(error)] if *error == refused),
            "{replies:?}"
        );
        let replies = ask(word.clone()).await;
        assert!(matches!(&replies[..], [Ok(Reply::Logs(list)), Ok(_)] if list.len() == 1));
        store.flush().await;
    }
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

/// Series and samples as they are counted, of all and of each metric.
async fn weights(store: &Store, range: TimeRange, series: usize) -> (Cardinality, Vec<String>) {
    let of = CardinalityOf {
        matchers: Vec::new(),
        label: None,
        by_samples: false,
        series,
        listed: 100,
    };
    let tenant = model::Tenant::default();
    let request = Request::Cardinality { tenant, range, of };
    let (replies, summary) = ask(store, request).await.unwrap();
    let [Reply::Cardinality(found)] = &replies[..] else {
        panic!("{replies:?}")
    };
    let cuts = summary.cuts.into_iter().map(|cut| cut.limit);
    ((**found).clone(), cuts.collect())
}

#[tokio::test]
async fn series_are_counted_once_over_heads_and_files_with_their_samples_in_the_range() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(71);
    let mut points: Vec<_> = (0..300).map(|_| generator.point()).collect();
    let check = async |store: &Store, sent: &[(model::metric::Series, model::DataPoint)]| {
        let times = sent.iter().map(|(_, point)| point.time_unix_nano);
        let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
        for range in [
            TimeRange::ALL,
            TimeRange {
                start: first,
                end: first / 2 + last / 2,
            },
        ] {
            // What the store says, against what the same counter makes of what was sent.
            let mut by_series: Vec<(&model::metric::Series, u64)> = Vec::new();
            for (series, point) in sent {
                if !range.contains(point.time_unix_nano) {
                    continue;
                }
                match by_series.iter_mut().find(|(known, _)| *known == series) {
                    Some((_, samples)) => *samples += 1,
                    None => by_series.push((series, 1)),
                }
            }
            let mut counter = crate::cardinality::Counter::default();
            for (series, samples) in by_series {
                counter.add(series, samples);
            }
            let of = CardinalityOf {
                matchers: Vec::new(),
                label: None,
                by_samples: false,
                series: usize::MAX,
                listed: 100,
            };
            let (found, cuts) = weights(store, range, usize::MAX).await;
            assert_eq!(found, counter.finish(&of));
            assert!(cuts.is_empty(), "{cuts:?}");
        }
    };
    write(&store, Signal::Metrics, &points).await.unwrap();
    check(&store, &points).await;
    store.flush().await;
    check(&store, &points).await;
    // Some of the same series again, in the head beside the file.
    let more: Vec<_> = points[..100]
        .iter()
        .map(|(series, point)| {
            let mut point = point.clone();
            point.time_unix_nano += 1_000_000;
            (series.clone(), point)
        })
        .collect();
    write(&store, Signal::Metrics, &more).await.unwrap();
    points.extend(more);
    check(&store, &points).await;
    let (found, cuts) = weights(&store, TimeRange::ALL, 3).await;
    assert!(found.all.series <= 3);
    assert_eq!(cuts, ["series"]);
    store.shutdown().await;
}

#[tokio::test]
async fn what_rows_share_is_kept_for_the_next_answer_unless_it_is_much() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let kept = |store: &Store| store.core().interned();
    let mut generator = Generator::new(31);
    let mut of_resource = |length: usize| {
        let resource = Resource {
            schema_url: "s".repeat(length),
            ..Resource::default()
        };
        LogRecord {
            resource: Arc::new(resource),
            ..generator.log()
        }
    };
    write(&store, Signal::Logs, &[of_resource(100)])
        .await
        .unwrap();
    store.flush().await;
    let all = || selection(Signal::Logs, Filter::All);
    let first = kept(&store);
    assert_eq!(logs(&store, all()).await.len(), 1);
    assert!(Arc::ptr_eq(&first, &kept(&store)), "little is kept");
    write(&store, Signal::Logs, &[of_resource(2 << 20)])
        .await
        .unwrap();
    store.flush().await;
    let found = logs(&store, all()).await;
    assert!(
        found
            .iter()
            .any(|log| log.resource.schema_url.len() == 2 << 20)
    );
    assert!(first.is_large(), "the answer decoded it");
    assert!(!Arc::ptr_eq(&first, &kept(&store)), "and it is let go");
    assert_eq!(logs(&store, all()).await.len(), 2);
}

#[tokio::test]
async fn few_ids_and_many_find_the_same_rows() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (sent, _) = fill(&store, 32, 300).await;
    store.flush().await;
    let mut ids: Vec<String> = sent.iter().map(|span| span.trace_id.to_string()).collect();
    ids.dedup();
    for count in [1, 2, 8, 9, 40] {
        let values = ids[..count].to_vec();
        let filter = Filter::AnyOf {
            field: Field::TraceId,
            values: values.clone(),
        };
        let of_these = |span: &&Span| values.contains(&span.trace_id.to_string());
        let expected: Vec<Span> = sent.iter().filter(of_these).cloned().collect();
        let found = spans(&store, selection(Signal::Traces, filter)).await;
        assert_eq!(plain_spans(found), plain_spans(expected), "{count} ids");
    }
}

/// Some of what matches would make sums wrong, so there is none.
#[tokio::test]
async fn too_many_series_or_samples_are_an_error() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(72);
    let points: Vec<_> = (0..400).map(|_| generator.point()).collect();
    let foreseen = async |limit, samples, foreseen| {
        let request = Request::Samples {
            tenant: Tenant::default(),
            range: TimeRange::ALL,
            deltas_since: 0,
            matchers: Vec::new(),
            rollup: Rollup::EVERYTHING,
            samples,
            foreseen,
            limit,
            share: SeriesShare::ALL,
        };
        ask(&store, request).await.map(|(replies, _)| {
            let series = replies.into_iter().map(|reply| match reply {
                Reply::Samples(list) => list.len(),
                other => panic!("{other:?}"),
            });
            series.sum::<usize>()
        })
    };
    let samples = async |limit, samples| foreseen(limit, samples, usize::MAX).await;
    write(&store, Signal::Metrics, &points[..200])
        .await
        .unwrap();
    store.flush().await;
    write(&store, Signal::Metrics, &points[200..])
        .await
        .unwrap();
    let all = samples(1_000, 400).await.unwrap();
    assert!(all > 3, "{all}");
    assert_eq!(samples(all, 400).await, Ok(all));
    let few = crate::read::ReadError::TooManySeries(all - 1);
    assert_eq!(samples(all - 1, 400).await, Err(few));
    let few = crate::read::ReadError::TooManySamples(399);
    assert_eq!(samples(all, 399).await, Err(few));
    // What files and heads say of themselves is enough to know, before any of them is read.
    assert_eq!(foreseen(all, 400, 400).await, Ok(all));
    let many = crate::read::ReadError::Foreseen(400);
    assert_eq!(foreseen(all, 400, 399).await, Err(many));
}

#[tokio::test]
async fn large_numbers_are_found_exactly_also_by_the_index() {
    const ODD: i64 = (1 << 53) + 1;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(19);
    let mut spans_sent: Vec<Span> = (0..300).map(|_| generator.span()).collect();
    let numbers: [Value; 4] = [
        Value::Int(1_000_000_000_000_000),
        Value::Int(ODD),
        Value::Double((ODD - 1) as f64),
        Value::Int(i64::MIN),
    ];
    for (span, number) in spans_sent.iter_mut().step_by(70).zip(&numbers) {
        let number = model::KeyValue::new("large", number.clone());
        span.attributes.push(number);
    }
    write(&store, Signal::Traces, &spans_sent).await.unwrap();
    let literal = |text: &str| Operand::Literal(text.to_owned());
    let questions = [
        (Operand::Double(1e15), vec![0]),
        (literal("1e15"), vec![0]),
        (Operand::Int(ODD), vec![1]),
        (literal("9007199254740993"), vec![1]),
        (Operand::Int(ODD - 1), vec![2]),
        (Operand::Double((ODD - 1) as f64), vec![2]),
        (Operand::Double(i64::MIN as f64), vec![3]),
        (Operand::Double(-(i64::MIN as f64)), vec![]),
    ];
    for place in ["in memory", "in a file"] {
        for (value, expected) in &questions {
            let filter = Filter::Compare {
                field: Field::Attribute {
                    level: Level::Row,
                    key: "large".to_owned(),
                },
                op: Op::Eq,
                value: value.clone(),
            };
            let found = spans(&store, selection(Signal::Traces, filter)).await;
            let found: Vec<&Value> = found
                .iter()
                .map(|span| model::value::last(&span.attributes, "large").unwrap())
                .collect();
            let expected: Vec<&Value> = expected.iter().map(|at: &usize| &numbers[*at]).collect();
            assert_eq!(found, expected, "{value:?} {place}");
        }
        store.flush().await;
    }
}

#[tokio::test]
async fn each_series_is_in_one_share() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(73);
    let points: Vec<_> = (0..600).map(|_| generator.point()).collect();
    for (part, points) in points.chunks(200).enumerate() {
        write(&store, Signal::Metrics, points).await.unwrap();
        if part < 2 {
            store.flush().await;
        }
    }
    let read = async |index, of, by| {
        let request = Request::Samples {
            tenant: Tenant::default(),
            range: TimeRange::ALL,
            deltas_since: 0,
            matchers: Vec::new(),
            rollup: Rollup::EVERYTHING,
            samples: 1_000,
            foreseen: usize::MAX,
            limit: 1_000,
            share: SeriesShare { index, of, by },
        };
        let (replies, _) = ask(&store, request).await.unwrap();
        let lists = replies.into_iter().map(|reply| match reply {
            Reply::Samples(list) => list,
            other => panic!("{other:?}"),
        });
        lists.flatten().collect::<Vec<SeriesSamples>>()
    };
    let by_id = |mut list: Vec<SeriesSamples>| {
        list.sort_by_key(|series| series.id);
        list
    };
    let all = by_id(read(0, 1, SharedBy::Labels).await);
    for of in [2, 3, 7] {
        for by in [SharedBy::Labels, SharedBy::Target] {
            let (mut shares, mut share_of) = (Vec::new(), BTreeMap::new());
            for index in 0..of {
                let share = read(index, of, by).await;
                for series in &share {
                    let mut labels = model::prometheus::base_labels(&series.series);
                    labels.retain(|(name, _)| by == SharedBy::Labels || name == "job");
                    assert_eq!(*share_of.entry(labels).or_insert(index), index);
                }
                assert!(share.len() < all.len());
                shares.extend(share);
            }
            assert_eq!(format!("{:?}", by_id(shares)), format!("{all:?}"), "{of}");
        }
    }
}
