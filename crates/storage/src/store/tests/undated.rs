//! Rows that were sent without any time.

use std::sync::Arc;
use std::time::Duration;

use env::{Clock, RealFiles};
use model::time::NANOS_PER_SECOND;
use model::{ClockOffset, LogRecord, Signal, Span};
use tempfile::tempdir;
use testkit::ManualClock;

use crate::filter::Filter;
use crate::retention::{Policies, Policy, Retention};
use crate::testing::*;
use crate::write::Stamp;
use crate::{Options, Store};

const DAY: u64 = 86_400 * NANOS_PER_SECOND;

fn open_at(dir: &std::path::Path, unix_nano: u64) -> (Store, Arc<ManualClock>) {
    let (env, clock) = testkit::env(5, Arc::new(RealFiles));
    clock.advance(unix_nano - clock.unix_nanos());
    let options = Options {
        retention: Retention {
            all: Policies {
                traces: fortnight(),
                logs: fortnight(),
                ..Policies::default()
            },
            ..Retention::default()
        },
        ..Options::default()
    };
    (
        Store::open(env, dir, options, Arc::new(TestDecoder)).unwrap(),
        clock,
    )
}

fn fortnight() -> Policy {
    Policy {
        age: Some(Duration::from_secs(14 * 86_400)),
        bytes: None,
    }
}

/// (time, observed) of the log records, (start, end) of the spans, in order.
async fn times(store: &Store) -> (Vec<(u64, u64)>, Vec<(u64, u64)>) {
    let logs = logs(store, selection(Signal::Logs, Filter::All)).await;
    let spans = spans(store, selection(Signal::Traces, Filter::All)).await;
    let mut of_logs: Vec<_> = logs
        .iter()
        .map(|log| (log.time_unix_nano, log.observed_time_unix_nano))
        .collect();
    let mut of_spans: Vec<_> = spans
        .iter()
        .map(|span| (span.start_unix_nano, span.end_unix_nano))
        .collect();
    of_logs.sort_unstable();
    of_spans.sort_unstable();
    (of_logs, of_spans)
}

#[tokio::test]
async fn rows_without_a_time_are_of_the_time_they_came_for_good() {
    let dir = tempdir().unwrap();
    let begin = testkit::env(5, Arc::new(RealFiles)).1.unix_nanos();
    let (store, clock) = open_at(dir.path(), begin);
    let mut generator = Generator::new(40);
    let log = |time_unix_nano, observed_time_unix_nano| LogRecord {
        time_unix_nano,
        observed_time_unix_nano,
        ..LogRecord::default()
    };
    let mut span = |start_unix_nano, end_unix_nano| Span {
        start_unix_nano,
        end_unix_nano,
        ..generator.span()
    };
    let first = [log(0, 0), log(0, begin - 5), log(begin - 7, 0)];
    write(&store, Signal::Logs, &first).await.unwrap();
    write(
        &store,
        Signal::Traces,
        &[span(0, 0), span(begin - 9, 0), span(0, begin - 11)],
    )
    .await
    .unwrap();
    // A sender whose clock is a day behind: its time of receipt is by its own clock too.
    clock.advance(NANOS_PER_SECOND);
    let stamp = Stamp {
        agent: "late".to_owned(),
        epoch: 1,
        sequence: 1,
        sent_unix_nano: 0,
        complete_to_unix_nano: 0,
        clock: Some(ClockOffset {
            offset_nano: i64::try_from(DAY).unwrap(),
            error_nano: 1,
        }),
    };
    let second = [log(0, 0)];
    write_stamped(&store, Signal::Logs, &second, Some(stamp))
        .await
        .unwrap();
    let metrics = store.metrics();
    let undated = |(name, _, _): &&crate::store::Metric| name.ends_with("undated_rows_total");
    assert_eq!(metrics.iter().find(undated).unwrap().2, 3.0);

    let expected = (
        vec![
            (0, begin + NANOS_PER_SECOND - DAY),
            (0, begin - 5),
            (0, begin),
            (begin - 7, 0),
        ],
        vec![(begin - 11, begin - 11), (begin - 9, 0), (begin, begin)],
    );
    assert_eq!(times(&store).await, expected);
    // Killed: they are read from the WAL ten days later, then from files.
    drop(store);
    let later = begin + 10 * DAY;
    let (store, _) = open_at(dir.path(), later);
    assert_eq!(times(&store).await, expected);
    store.flush().await;
    store.maintain().await;
    assert_eq!(times(&store).await, expected);
    store.shutdown().await;
    drop(store);
    let (store, _) = open_at(dir.path(), later);
    store.maintain().await;
    assert_eq!(times(&store).await, expected);
}

#[tokio::test]
async fn rows_far_ahead_are_kept_as_sent_and_dropped_with_the_day_they_came() {
    let dir = tempdir().unwrap();
    let begin = testkit::env(5, Arc::new(RealFiles)).1.unix_nanos();
    let (store, _) = open_at(dir.path(), begin);
    let log = |time_unix_nano| LogRecord {
        time_unix_nano,
        observed_time_unix_nano: time_unix_nano,
        ..LogRecord::default()
    };
    // A little ahead is nothing special.
    let sent = [log(begin + DAY / 2), log(begin + 3_000 * DAY), log(begin)];
    write(&store, Signal::Logs, &sent).await.unwrap();
    let metrics = store.metrics();
    let ahead = |(name, _, _): &&crate::store::Metric| name.ends_with("ahead_rows_total");
    assert_eq!(metrics.iter().find(ahead).unwrap().2, 1.0);
    let all = || selection(Signal::Logs, crate::filter::Filter::All);
    let expected = plain_logs(sent.to_vec());
    assert!(plain_logs(logs(&store, all()).await) == expected);
    // Killed, and read from the WAL three days later: they are filed as they would have been.
    drop(store);
    let (store, clock) = open_at(dir.path(), begin + 3 * DAY);
    store.flush().await;
    let days: Vec<u32> = {
        let view = store.core().view.read().clone();
        view.partitions.keys().map(|key| key.day).collect()
    };
    let today = crate::partition::day_of(begin);
    assert!(
        days.iter().all(|day| (today..=today + 1).contains(day)),
        "{days:?}"
    );
    assert!(plain_logs(logs(&store, all()).await) == expected);
    // A fortnight after the day on which they came they are gone.
    clock.advance(13 * DAY);
    store.maintain().await;
    assert!(logs(&store, all()).await.is_empty());
}
