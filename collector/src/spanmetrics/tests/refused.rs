//! What the store does not take.

use futures::future::BoxFuture;
use model::room::Budget;
use storage::write::{Ack, Batch, Mark, Observe};

use super::*;
use crate::ingest::Sink;

fn full() -> Result<Ack, WriteError> {
    Err(WriteError::Retry {
        reason: "full".to_owned(),
        after_ms: 1,
    })
}

/// Emits to a store that answers so.
async fn emit_to(metrics: &SpanMetrics, answer: Result<Ack, WriteError>) {
    let sink = FakeSink::default();
    *sink.answer.lock() = Some(answer);
    metrics.emit(&sink).await;
}

/// Name, time, number and exemplars of each point, by the two former.
fn told(rows: &[(Tenant, Series, DataPoint)]) -> Vec<(String, u64, u64, usize)> {
    let count = |value: &PointValue| match value {
        PointValue::Int(count) => u64::try_from(*count).unwrap(),
        PointValue::Histogram(histogram) => histogram.count,
        other => panic!("{other:?}"),
    };
    let mut told: Vec<_> = rows
        .iter()
        .map(|(_, series, point)| {
            let name = series.metric.name.replace("traces_spanmetrics_", "");
            let time = point.time_unix_nano / SECOND;
            (name, time, count(&point.value), point.exemplars.len())
        })
        .collect();
    told.sort();
    told
}

fn classic() -> Options {
    Options {
        histograms: SpanHistograms::Classic,
        ..Options::default()
    }
}

#[tokio::test]
async fn what_is_refused_is_written_the_next_time_with_zeros_and_exemplars() {
    let (metrics, clock) = fixture(&classic());
    let second = || clock.0.fetch_add(SECOND, Ordering::Relaxed);
    show(&metrics, &[span("s", "op", 1, 0)]);
    second();
    emit_to(&metrics, full()).await;
    second();
    emit_to(&metrics, Err(WriteError::Closed)).await;
    assert_eq!(metrics.shared.state.lock().totals().failed_writes, 2);
    second();
    show(&metrics, &[span("s", "op", 300, 0)]);
    let rows = emitted(&metrics).await;
    let row = |name: &str, time, count, exemplars| (name.to_owned(), time, count, exemplars);
    assert_eq!(
        told(&rows),
        [
            // The zeros have the time at which nothing had been counted.
            row("calls", 100, 0, 0),
            row("calls", 103, 2, 0),
            row("latency", 100, 0, 0),
            row("latency", 103, 2, 2),
            row("size", 100, 0, 0),
            row("size", 103, 200, 0),
        ]
    );
    // All of it once.
    second();
    show(&metrics, &[span("s", "op", 1, 0)]);
    let again = told(&emitted(&metrics).await);
    assert_eq!(
        again,
        [
            row("calls", 104, 3, 0),
            row("latency", 104, 3, 1),
            row("size", 104, 300, 0)
        ]
    );
}

#[tokio::test]
async fn a_series_is_not_forgotten_before_its_last_counts_are_written() {
    let options = Options {
        idle: Duration::from_secs(60),
        ..classic()
    };
    let (metrics, clock) = fixture(&options);
    show(&metrics, &[span("s", "op", 1, 0)]);
    emitted(&metrics).await;
    show(&metrics, &[span("s", "op", 1, 0)]);
    for _ in 0..3 {
        clock.0.fetch_add(100 * SECOND, Ordering::Relaxed);
        emit_to(&metrics, full()).await;
    }
    assert_eq!(metrics.shared.state.lock().totals().series, 1);
    let rows = told(&emitted(&metrics).await);
    assert_eq!(rows[0], ("calls".to_owned(), 400, 2, 0));
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    assert!(emitted(&metrics).await.is_empty());
    assert_eq!(metrics.shared.state.lock().totals().series, 0);
}

#[tokio::test]
async fn where_points_are_refused_the_zeros_come_again_unchanged() {
    let (metrics, clock) = fixture(&classic());
    show(&metrics, &[span("s", "op", 1, 0)]);
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    let some = Ack {
        rejected: vec![(model::row::Reject::SeriesLimit, 2)],
        ..Ack::default()
    };
    emit_to(&metrics, Ok(some)).await;
    assert_eq!(metrics.shared.state.lock().totals().refused_points, 2);
    clock.0.fetch_add(SECOND, Ordering::Relaxed);
    show(&metrics, &[span("s", "op", 1, 0)]);
    let rows = told(&emitted(&metrics).await);
    let calls: Vec<_> = rows.iter().filter(|row| row.0 == "calls").collect();
    assert_eq!(
        calls,
        [
            &("calls".to_owned(), 100, 0, 0),
            &("calls".to_owned(), 102, 2, 0)
        ]
    );
}

#[tokio::test]
async fn zeros_that_were_refused_for_an_hour_are_given_up() {
    let some = || {
        Ok(Ack {
            rejected: vec![(model::row::Reject::SeriesLimit, 2)],
            ..Ack::default()
        })
    };
    for (age, come_again) in [(3_600, true), (3_601, false)] {
        let (metrics, clock) = fixture(&classic());
        show(&metrics, &[span("s", "op", 1, 0)]);
        for seconds in [101, 100 + age] {
            clock.0.store(seconds * SECOND, Ordering::Relaxed);
            show(&metrics, &[span("s", "op", 1, 0)]);
            emit_to(&metrics, some()).await;
        }
        clock.0.fetch_add(SECOND, Ordering::Relaxed);
        show(&metrics, &[span("s", "op", 1, 0)]);
        let rows = told(&emitted(&metrics).await);
        let zeros = rows.iter().filter(|row| (row.1, row.2) == (100, 0));
        assert_eq!(zeros.count(), if come_again { 3 } else { 0 }, "{rows:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_written_in_parts_and_given_up_alone() {
    /// Takes requests up to a length.
    struct Small(FakeSink, usize);

    impl Sink for Small {
        fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Ack, WriteError>> {
            if batch.request.len() > self.1 {
                return Box::pin(async { Err(WriteError::TooLarge("too large".to_owned())) });
            }
            self.0.write(batch)
        }

        fn write_counts(
            &self,
            batch: Batch,
            _: Option<Mark>,
        ) -> BoxFuture<'_, Result<Ack, WriteError>> {
            self.write(batch)
        }

        fn counted(&self, mark: Mark) {
            self.0.counted(mark);
        }

        fn counts_wanted(&self) -> BoxFuture<'_, ()> {
            self.0.counts_wanted()
        }

        fn observe(&self, observer: Box<dyn Observe>) {
            self.0.observe(observer);
        }

        fn observed(&self) -> BoxFuture<'_, ()> {
            self.0.observed()
        }

        fn budget(&self) -> Arc<Budget> {
            self.0.budget()
        }

        fn metrics(&self) -> Vec<Sample> {
            self.0.metrics()
        }
    }

    let (metrics, _) = fixture(&classic());
    let long = "x".repeat(1000);
    let names = ["a", "b", "c", "d", "e", long.as_str()];
    show(&metrics, &names.map(|name| span("s", name, 1, 0)));
    let sink = Small(FakeSink::default(), 4_000);
    metrics.emit(&sink).await;
    let batches = sink.0.batches.lock();
    assert!(batches.len() > 1);
    let mut written: Vec<String> = Vec::new();
    for batch in batches.iter() {
        let rows = Rows::decode(batch.signal, &batch.request).unwrap();
        let series = rows.points.iter().map(|(series, _)| series);
        written.extend(series.filter_map(|series| Some(text(series, "span_name")?.to_owned())));
    }
    written.sort();
    written.dedup();
    assert_eq!(written, ["a", "b", "c", "d", "e"]);
    assert_eq!(metrics.shared.state.lock().totals().dropped_series, 1);
}
