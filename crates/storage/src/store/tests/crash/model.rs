//! What was sent, what was acknowledged, and what a store may therefore hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use model::metric::Series;
use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{DataPoint, Format, KeyValue, LogRecord, Signal, Span, Tenant, TimeRange};

use super::workload::REPEAT_HOURS;
use crate::Store;
use crate::filter::{Field, Filter, Level};
use crate::message::{Columns, Order, Reply, Request};
use crate::testing::*;
use crate::write::{Batch, Stamp};

/// Midnight before the first rows; further days follow.
pub(super) const FIRST_DAY: u64 = BASE - BASE % NANOS_PER_DAY;

/// One request.
pub(super) struct Item {
    pub number: usize,
    pub batch: Batch,
    /// The clock when it was first sent.
    sent_unix_nano: u64,
    /// Its rows as they are to come back, by day: each day may be dropped alone.
    parts: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl Item {
    /// Whether a store knows it again now. Without a stamp that is so for a while.
    pub(super) fn is_known_at(&self, now_unix_nano: u64) -> bool {
        let window = REPEAT_HOURS * 3_600 * NANOS_PER_SECOND;
        self.batch.stamp.is_some() || self.sent_unix_nano + window > now_unix_nano
    }
}

/// Everything that was sent. Events number acknowledgements and the starts of retention runs, so
/// that a state of the disk can be held to what was known then.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub items: Vec<Arc<Item>>,
    /// By item: the event that is its acknowledgement.
    acknowledged: Vec<Option<u64>>,
    /// From which event on rows of a day may be gone.
    dropped: BTreeMap<u64, u64>,
    /// Whether blocks may be damaged.
    pub damaged: bool,
}

/// What a new item is to be.
pub(super) struct Wanted {
    pub signal: Signal,
    pub rows: usize,
    /// Its rows lie on one of these days each.
    pub days: Vec<u64>,
    pub format: Format,
    pub stamp: Option<Stamp>,
    pub now_unix_nano: u64,
    /// Bytes that its first row is larger than the others.
    pub padding: usize,
}

impl Wanted {
    fn span(&self, generator: &mut Generator, time: u64, marks: [KeyValue; 3]) -> Span {
        let mut span = generator.span();
        span.end_unix_nano = time + (span.end_unix_nano.saturating_sub(span.start_unix_nano));
        span.start_unix_nano = time;
        span.attributes.extend(marks);
        span
    }

    fn log(&self, generator: &mut Generator, time: u64, marks: [KeyValue; 3]) -> LogRecord {
        let mut log = generator.log();
        (log.time_unix_nano, log.observed_time_unix_nano) = (time, time);
        log.attributes.extend(marks);
        log
    }

    fn point(
        &self,
        generator: &mut Generator,
        time: u64,
        marks: [KeyValue; 3],
    ) -> (Series, DataPoint) {
        let (mut series, mut point) = generator.point();
        (point.start_unix_nano, point.time_unix_nano) = (time, time);
        series.attributes.extend(marks);
        (series, point)
    }

    /// The request, and its rows as they are to come back.
    fn build<T: serde::Serialize>(
        &self,
        generator: &mut Generator,
        number: usize,
        make: impl Fn(&Self, &mut Generator, u64, [KeyValue; 3]) -> T,
    ) -> (Bytes, BTreeMap<u64, Vec<Vec<u8>>>) {
        let mut parts = BTreeMap::<u64, Vec<Vec<u8>>>::new();
        let mut sent = Vec::new();
        for row in 0..self.rows {
            let day = self.days[row % self.days.len()];
            let second = generator.random.u64(..3_600);
            let padding = if row == 0 { self.padding } else { 0 };
            let marks = [
                KeyValue::new("item", format!("item-{number}")),
                KeyValue::new("row", row as i64),
                KeyValue::new("padding", incompressible(generator, padding)),
            ];
            let time = FIRST_DAY + day * NANOS_PER_DAY + second * NANOS_PER_SECOND;
            let made = make(self, generator, time, marks);
            parts
                .entry(day)
                .or_default()
                .push(row_bytes(self.signal, &made));
            sent.push(made);
        }
        let mut request = match self.format {
            Format::Otlp => Vec::new(),
            // So the decoder tells it from the others.
            other => vec![other as u8],
        };
        request.extend(postcard::to_stdvec(&sent).unwrap());
        (request.into(), parts)
    }
}

fn incompressible(generator: &mut Generator, length: usize) -> String {
    (0..length)
        .map(|_| generator.random.alphanumeric())
        .collect()
}

fn row_bytes<T: serde::Serialize>(signal: Signal, row: &T) -> Vec<u8> {
    let mut out = vec![signal as u8];
    out.extend(postcard::to_stdvec(row).unwrap());
    out
}

impl Model {
    /// Makes an item, which from now on may be found.
    pub(super) fn add(&mut self, generator: &mut Generator, wanted: Wanted) -> Arc<Item> {
        let number = self.items.len();
        let (request, parts) = match wanted.signal {
            Signal::Traces => wanted.build(generator, number, Wanted::span),
            Signal::Logs => wanted.build(generator, number, Wanted::log),
            Signal::Metrics => wanted.build(generator, number, Wanted::point),
        };
        let item = Arc::new(Item {
            number,
            batch: Batch {
                tenant: Tenant::default(),
                signal: wanted.signal,
                format: wanted.format,
                request,
                stamp: wanted.stamp,
            },
            sent_unix_nano: wanted.now_unix_nano,
            parts,
        });
        self.items.push(item.clone());
        self.acknowledged.push(None);
        item
    }

    pub(super) fn acknowledge(&mut self, item: usize, event: u64) {
        let known = self.acknowledged[item].unwrap_or(u64::MAX);
        self.acknowledged[item] = Some(known.min(event));
    }

    pub(super) fn is_acknowledged(&self, item: usize, event: u64) -> bool {
        self.acknowledged[item].is_some_and(|known| known <= event)
    }

    /// From `event` on, rows of the day may be gone.
    pub(super) fn drop_day(&mut self, day: u64, event: u64) {
        self.dropped.entry(day).or_insert(event);
    }

    fn may_be_gone(&self, day: u64, event: u64) -> bool {
        self.dropped.get(&day).is_some_and(|from| *from <= event)
    }

    /// Every row that was sent, with its item.
    pub(super) fn rows(&self) -> BTreeMap<&Vec<u8>, usize> {
        let rows = self.items.iter().flat_map(|item| {
            let rows = item.parts.values().flatten();
            rows.map(|row| (row, item.number))
        });
        rows.collect()
    }

    /// What the store has, of all signals.
    pub(super) async fn found(store: &Store) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for signal in Signal::ALL {
            found.extend(rows_of(store, signal, Filter::All).await.0);
        }
        found
    }

    /// The same where nothing is damaged: what an answer says did not read is tried again, since
    /// the call that failed may not fail again.
    async fn found_whole(&self, store: &Store) -> Vec<Vec<u8>> {
        const TRIES: usize = 100;
        let mut found = Vec::new();
        for signal in Signal::ALL {
            for _ in 0..TRIES {
                let (rows, cut) = rows_of(store, signal, Filter::All).await;
                if !cut || self.damaged {
                    found.extend(rows);
                    break;
                }
                crate::store::reread::reread(store.core());
            }
        }
        found
    }

    /// Holds the store to what was known at `event`: what was acknowledged is there once, anything
    /// else once or not at all, no item half, and nothing that nobody sent. Returns what is there.
    pub(super) async fn check(&self, store: &Store, event: u64, when: &str) -> BTreeSet<Vec<u8>> {
        let mut found: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for row in self.found_whole(store).await {
            *found.entry(row).or_default() += 1;
        }
        let all = found.keys().cloned().collect();
        for item in &self.items {
            let number = item.number;
            let mut days = Vec::new();
            for (day, rows) in &item.parts {
                let counts: Vec<usize> = rows
                    .iter()
                    .map(|row| found.remove(row).unwrap_or_default())
                    .collect();
                let there = counts[0] == 1;
                assert!(
                    counts.iter().all(|count| *count == usize::from(there)),
                    "{when}: rows of item {number} on day {day} are there {counts:?} times"
                );
                if !self.may_be_gone(*day, event) {
                    days.push(there);
                }
            }
            let acknowledged = self.is_acknowledged(number, event);
            assert!(
                days.iter().all(|there| *there == days[0])
                    && (days.is_empty() || days[0] || !acknowledged),
                "{when}: item {number}, acknowledged {acknowledged}, by day: {days:?}"
            );
        }
        assert!(
            found.is_empty(),
            "{when}: {} rows that nobody sent",
            found.len()
        );
        all
    }

    /// Asks for one item by its attribute, which goes by id table and index, and compares with
    /// all that is there. Points have no such question.
    pub(super) async fn check_search(
        &self,
        store: &Store,
        all: &BTreeSet<Vec<u8>>,
        item: usize,
        when: &str,
    ) {
        let item = &self.items[item];
        if item.batch.signal == Signal::Metrics {
            return;
        }
        let field = Field::Attribute {
            level: Level::Row,
            key: "item".to_owned(),
        };
        let by_attribute = Filter::text_equals(field, format!("item-{}", item.number));
        let of_item: BTreeSet<&Vec<u8>> = item.parts.values().flatten().collect();
        let expected: BTreeSet<&Vec<u8>> = of_item
            .iter()
            .filter(|row| all.contains(**row))
            .copied()
            .collect();
        let (answer, _) = rows_of(store, item.batch.signal, by_attribute).await;
        let found: BTreeSet<&Vec<u8>> = answer.iter().collect();
        assert_eq!(found.len(), answer.len(), "{when}: rows are there twice");
        // Who asks for some rows of a damaged block may need no damaged part of it.
        let more = self.damaged && found.is_superset(&expected) && found.is_subset(&of_item);
        assert!(
            found == expected || more,
            "{when}: {} of {} rows of item {} are found by its attribute",
            found.len(),
            expected.len(),
            item.number
        );
    }
}

/// The rows of a signal, and whether some did not read; the filter is for spans and log records.
async fn rows_of(store: &Store, signal: Signal, filter: Filter) -> (Vec<Vec<u8>>, bool) {
    let request = match signal {
        Signal::Metrics => Request::Series {
            tenant: Tenant::default(),
            range: TimeRange::ALL,
            matchers: vec![],
            points: true,
            limit: 1_000_000,
        },
        _ => Request::Rows {
            selection: selection(signal, filter),
            order: Order::Oldest,
            limit: 1_000_000,
            traces: None,
            after: None,
            columns: Columns::Full,
        },
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    for cut in &summary.cuts {
        assert_eq!(cut.limit, "damage", "nothing else is cut");
    }
    let mut out = Vec::new();
    for reply in replies {
        match reply {
            Reply::Spans(spans) => out.extend(spans.into_iter().map(|mut span| {
                span.correlation.clear();
                row_bytes(signal, &span)
            })),
            Reply::Logs(logs) => out.extend(logs.into_iter().map(|mut log| {
                log.correlation.clear();
                row_bytes(signal, &log)
            })),
            Reply::Series(list) => {
                for crate::message::SeriesPoints { series, points } in list {
                    out.extend(
                        points
                            .iter()
                            .map(|point| row_bytes(signal, &(&series, point))),
                    );
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (out, !summary.cuts.is_empty())
}
