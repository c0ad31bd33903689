//! A reader over rows in memory that evaluates filters by brute force: what a store answers,
//! without one. It shares no code with the store, so that the two check each other.

mod matching;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream;
use model::metric::{PointValue, Temporality};
use model::{LogRecord, Signal, Span, TimeRange, TraceId};
use parking_lot::Mutex;
use storage::digest;
use storage::filter::Field;
use storage::message::{
    BucketStats, Columns, CountGroup, Counts, Cut, Durations, FieldCount, Limits, Order, Place,
    Reply, Request, STALE_NAN_BITS, Selection, SeriesPoints, SeriesSamples, Source, SourceKind,
    SourceState, Stats, Status, Summary, Tail, TraceSpans, ValueCount,
};
use storage::read::{Read, ReadError, Replies};
use tokio::sync::{broadcast, watch};

pub(crate) use matching::Row;

/// What a reader does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    Unavailable,
    /// Ends without an end.
    BreaksOff,
    /// Never answers.
    Hangs,
}

/// Rows in memory.
pub(crate) struct Memory {
    name: String,
    pub(crate) spans: Mutex<Vec<Span>>,
    pub(crate) logs: Mutex<Vec<LogRecord>>,
    pub(crate) series: Mutex<Vec<SeriesPoints>>,
    pub(crate) fault: Mutex<Fault>,
    /// A request that may look at fewer bytes than this is answered with a cut.
    pub(crate) cost_bytes: Mutex<u64>,
    pub(crate) requests: AtomicUsize,
    /// Sources that every answer names besides this reader.
    pub(crate) agents: Mutex<Vec<Source>>,
    /// Tails and other answers that are being read.
    pub(crate) open: watch::Sender<usize>,
    new_logs: Mutex<broadcast::Sender<LogRecord>>,
}

struct Open(watch::Sender<usize>);

impl Open {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Memory {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            spans: Mutex::default(),
            logs: Mutex::default(),
            series: Mutex::default(),
            fault: Mutex::default(),
            cost_bytes: Mutex::default(),
            requests: AtomicUsize::new(0),
            agents: Mutex::default(),
            open: watch::Sender::new(0),
            new_logs: Mutex::new(broadcast::channel(1_000).0),
        })
    }

    /// Waits until as many answers as this are being read.
    pub(crate) async fn wait_for_open(&self, wanted: usize) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open == wanted)
            .await
            .expect("the sender lives in self");
    }

    /// Adds a log record and hands it to the tails.
    pub(crate) fn append(&self, record: LogRecord) {
        self.logs.lock().push(record.clone());
        let _ = self.new_logs.lock().send(record);
    }

    /// Breaks every tail off, as a process that ends does.
    pub(crate) fn end_tails(&self) {
        *self.new_logs.lock() = broadcast::channel(1_000).0;
    }

    fn selected_spans(&self, selection: &Selection) -> Vec<Span> {
        let inside = |span: &&Span| {
            let last = span.end_unix_nano.max(span.start_unix_nano);
            selection.range.overlaps(span.start_unix_nano, last)
        };
        let matches = |span: &&Span| Row::Span(span).matches(&selection.filter);
        self.spans
            .lock()
            .iter()
            .filter(inside)
            .filter(matches)
            .cloned()
            .collect()
    }

    fn selected_logs(&self, selection: &Selection) -> Vec<LogRecord> {
        let inside = |record: &&LogRecord| selection.range.contains(record.timestamp());
        let matches = |record: &&LogRecord| Row::Log(record).matches(&selection.filter);
        self.logs
            .lock()
            .iter()
            .filter(inside)
            .filter(matches)
            .cloned()
            .collect()
    }

    /// The texts of some fields of every selected row, and its time.
    fn texts(&self, selection: &Selection, fields: &[Field]) -> Vec<(u64, Vec<Option<String>>)> {
        let of =
            |row: Row<'_>, time: u64| (time, fields.iter().map(|field| row.text(field)).collect());
        match selection.signal {
            Signal::Logs => {
                let logs = self.selected_logs(selection);
                logs.iter()
                    .map(|log| of(Row::Log(log), log.timestamp()))
                    .collect()
            }
            _ => {
                let spans = self.selected_spans(selection);
                spans
                    .iter()
                    .map(|span| of(Row::Span(span), span.start_unix_nano))
                    .collect()
            }
        }
    }

    fn answer(&self, request: Request) -> Vec<Reply> {
        let reply = match request {
            Request::Rows {
                selection,
                order,
                limit,
                traces,
                after,
                columns,
            } => self.rows(&selection, order, limit, traces, after, columns),
            Request::Counts {
                selection,
                step_nano,
                by,
                groups,
            } => Reply::Counts(self.counts(&selection, step_nano, &by, groups)),
            Request::Traces {
                selection, limit, ..
            } => Reply::Traces(self.traces(&selection, limit)),
            Request::Durations { selection, by, .. } => {
                Reply::Durations(self.durations(&selection, &by))
            }
            Request::Fields { selection } => Reply::Fields(self.fields(&selection)),
            Request::Values {
                selection,
                field,
                prefix,
                limit,
            } => Reply::Values(self.values(&selection, field, &prefix, limit)),
            Request::Series {
                range,
                points,
                limit,
                ..
            } => {
                let mut series = self.points(range, points);
                series.truncate(limit);
                Reply::Series(series)
            }
            Request::Samples { range, .. } => Reply::Samples(self.samples(range)),
            Request::Labels { label, .. } => Reply::Labels(self.labels(label.as_deref())),
            Request::Metrics { limit, .. } => {
                let series = self.points(TimeRange::ALL, false).into_iter();
                let metrics = series.map(|part| part.series.metric.clone());
                Reply::Metrics(metrics.take(limit).collect())
            }
            Request::Cardinality { range, of, .. } => {
                let counter = self.cardinality(range);
                Reply::Cardinality(Box::new(counter.finish(&of)))
            }
            Request::Status { .. } => Reply::Status(Status {
                partitions: Vec::new(),
                head_rows: 0,
                wal_bytes: 0,
            }),
            Request::Tail { .. } => return Vec::new(),
        };
        vec![reply]
    }

    fn counts(
        &self,
        selection: &Selection,
        step_nano: Option<u64>,
        by: &[Field],
        groups: usize,
    ) -> Counts {
        let mut counts: BTreeMap<Vec<String>, BTreeMap<u64, u64>> = BTreeMap::new();
        for (time, key) in self.texts(selection, by) {
            let start = step_nano.map_or(0, |step| time / step * step);
            let key = key.into_iter().map(Option::unwrap_or_default).collect();
            *counts.entry(key).or_default().entry(start).or_default() += 1;
        }
        let counts = counts.into_iter().map(|(key, buckets)| CountGroup {
            key,
            buckets: buckets.into_iter().collect(),
        });
        let mut list: Vec<CountGroup> = counts.collect();
        list.sort_by_key(|group| std::cmp::Reverse(group.rows()));
        let left_out = list.split_off(groups.min(list.len()));
        Counts {
            groups: list,
            other: left_out.iter().map(CountGroup::rows).sum(),
        }
    }

    fn traces(&self, selection: &Selection, limit: usize) -> Vec<TraceSpans> {
        let mut traces: BTreeMap<TraceId, TraceSpans> = BTreeMap::new();
        for span in self.selected_spans(selection) {
            let one = TraceSpans {
                trace_id: span.trace_id,
                start: span.start_unix_nano,
                newest: span.start_unix_nano,
                end: span.end_unix_nano.max(span.start_unix_nano),
                errors: u64::from(span.is_error()),
            };
            traces
                .entry(span.trace_id)
                .and_modify(|trace| trace.join(&one))
                .or_insert(one);
        }
        traces.into_values().take(limit).collect()
    }

    fn values(
        &self,
        selection: &Selection,
        field: Field,
        prefix: &str,
        limit: usize,
    ) -> Vec<ValueCount> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let texts = self.texts(selection, &[field]).into_iter();
        let texts = texts.flat_map(|(_, texts)| texts).flatten();
        for value in texts.filter(|text| text.starts_with(prefix)) {
            *counts.entry(value).or_default() += 1;
        }
        let counts = counts.into_iter();
        let mut values: Vec<ValueCount> = counts
            .map(|(value, count)| ValueCount { value, count })
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.count));
        values.truncate(limit);
        values
    }

    fn points(&self, range: TimeRange, points: bool) -> Vec<SeriesPoints> {
        let mut all = self.series.lock().clone();
        for series in &mut all {
            let inside = |point: &model::DataPoint| range.contains(point.time_unix_nano);
            series.points.retain(inside);
        }
        all.retain(|series| !series.points.is_empty());
        if !points {
            all.iter_mut().for_each(|series| series.points.clear());
        }
        all
    }

    fn labels(&self, label: Option<&str>) -> Vec<String> {
        let all = self.series.lock();
        let sets = all.iter().flat_map(crate::exec::series::view::all_labels);
        let texts: BTreeSet<String> = sets
            .filter_map(|(name, value)| match label {
                None => Some(name),
                Some(label) => (label == name).then_some(value),
            })
            .collect();
        texts.into_iter().collect()
    }

    fn cardinality(&self, range: TimeRange) -> storage::cardinality::Counter {
        let mut by_series: Vec<(model::metric::Series, u64)> = Vec::new();
        for part in self.series.lock().iter() {
            let inside = |point: &&model::DataPoint| range.contains(point.time_unix_nano);
            let samples = part.points.iter().filter(inside).count() as u64;
            let known = by_series
                .iter_mut()
                .find(|(series, _)| *series == part.series);
            match known {
                Some((_, all)) => *all += samples,
                None => by_series.push((part.series.clone(), samples)),
            }
        }
        let mut counter = storage::cardinality::Counter::default();
        for (series, samples) in by_series.iter().filter(|(_, samples)| *samples > 0) {
            counter.add(series, *samples);
        }
        counter
    }

    /// Numbers as columns, but for deltas, which come from the beginning.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)]
    fn samples(&self, range: TimeRange) -> Vec<SeriesSamples> {
        let mut all = Vec::new();
        for part in self.series.lock().iter() {
            let is_delta = part.series.metric.temporality == Temporality::Delta;
            let mut hasher = DefaultHasher::new();
            format!("{:?}", part.series).hash(&mut hasher);
            let mut samples = SeriesSamples {
                counts: Vec::new(),
                id: u128::from(hasher.finish()),
                series: Arc::new(part.series.clone()),
                times_ms: Arc::default(),
                values: Vec::new(),
                histograms: None,
                exponentials: None,
                deltas: None,
                points: Vec::new(),
            };
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for point in &part.points {
                let inside = range.contains(point.time_unix_nano);
                let number = match point.value {
                    _ if is_delta => None,
                    PointValue::Int(int) => Some(int as f64),
                    PointValue::Double(double) => Some(double),
                    PointValue::Empty if point.is_stale() => Some(f64::from_bits(STALE_NAN_BITS)),
                    _ => None,
                };
                if let Some(number) = number.filter(|_| inside) {
                    times.push((point.time_unix_nano / 1_000_000) as i64);
                    values.push(number);
                } else if number.is_none() && (inside || is_delta) {
                    samples.points.push(point.clone());
                }
            }
            samples.times_ms = Arc::new(times);
            samples.values = values;
            if !samples.values.is_empty() || !samples.points.is_empty() {
                all.push(samples);
            }
        }
        all
    }

    fn rows(
        &self,
        selection: &Selection,
        order: Order,
        limit: usize,
        traces: Option<usize>,
        after: Option<Place>,
        columns: Columns,
    ) -> Reply {
        if selection.signal == Signal::Logs {
            let logs = self.selected_logs(selection);
            let key = |log: &LogRecord| (log.timestamp(), digest::log(log));
            return Reply::Logs(first(logs, order, limit, after, key));
        }
        let spans = self.selected_spans(selection);
        let key = |span: &Span| (span.start_unix_nano, digest::span(span));
        let mut spans = first(spans, order, limit, after, key);
        if let Some(traces) = traces {
            let mut seen = Vec::new();
            let last = spans.iter().position(|span| {
                if !seen.contains(&span.trace_id) {
                    seen.push(span.trace_id);
                }
                seen.len() == traces
            });
            if let Some(last) = last {
                spans.truncate(last + 1);
            }
        }
        if columns == Columns::Summary {
            for span in &mut spans {
                span.attributes.clear();
                span.events.clear();
            }
        }
        Reply::Spans(spans)
    }

    fn durations(&self, selection: &Selection, by: &[Field]) -> Vec<Durations> {
        let mut groups: BTreeMap<Vec<String>, Durations> = BTreeMap::new();
        for span in self.selected_spans(selection) {
            let row = Row::Span(&span);
            let key: Vec<String> = by
                .iter()
                .map(|field| row.text(field).unwrap_or_default())
                .collect();
            let empty = Durations {
                key: key.clone(),
                count: 0,
                errors: 0,
                buckets: Vec::new(),
            };
            let group = groups.entry(key).or_insert(empty);
            group.count += 1;
            group.errors += u64::from(span.is_error());
            group.buckets.push((span.duration_nano(), 1));
        }
        groups.into_values().collect()
    }

    fn fields(&self, selection: &Selection) -> Vec<FieldCount> {
        let mut counts: BTreeMap<String, (Field, u64)> = BTreeMap::new();
        let mut add = |field: Field| {
            let name = crate::lang::field_text(&field);
            counts.entry(name).or_insert((field, 0)).1 += 1;
        };
        let keys = |row: Row<'_>| row.attribute_keys();
        match selection.signal {
            Signal::Logs => self
                .selected_logs(selection)
                .iter()
                .for_each(|log| keys(Row::Log(log)).into_iter().for_each(&mut add)),
            _ => self
                .selected_spans(selection)
                .iter()
                .for_each(|span| keys(Row::Span(span)).into_iter().for_each(&mut add)),
        }
        let counts = counts.into_values();
        counts
            .map(|(field, count)| FieldCount {
                field,
                kind: "string".to_owned(),
                count,
            })
            .collect()
    }

    fn tail(&self, selection: &Selection) -> Replies {
        let filter = selection.filter.clone();
        let receiver = self.new_logs.lock().subscribe();
        let open = Open::new(&self.open);
        let state = (receiver, 0u64, 0u64, open, filter);
        let begun = stream::iter([Ok(Reply::Tail(Tail::default()))]);
        let rows = stream::unfold(
            state,
            |(mut receiver, mut sequence, mut dropped, open, filter)| async move {
                loop {
                    match receiver.recv().await {
                        Ok(record) if Row::Log(&record).matches(&filter) => {
                            sequence += 1;
                            let logs = vec![record];
                            let tail = Tail {
                                sequence,
                                dropped,
                                logs,
                                spans: Vec::new(),
                            };
                            let state = (receiver, sequence, dropped, open, filter);
                            return Some((Ok(Reply::Tail(tail)), state));
                        }
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Lagged(count)) => {
                            sequence += count;
                            dropped += count;
                        }
                        Err(broadcast::error::RecvError::Closed) => return None,
                    }
                }
            },
        );
        begun.chain(rows).boxed()
    }
}

/// The first rows after a place, by time and digest.
fn first<T>(
    mut rows: Vec<T>,
    order: Order,
    limit: usize,
    after: Option<Place>,
    key: impl Fn(&T) -> (u64, u64),
) -> Vec<T> {
    let turned = |time: u64| match order {
        Order::Newest => u64::MAX - time,
        Order::Oldest => time,
    };
    let rank = |row: &T| (turned(key(row).0), key(row).1);
    rows.sort_by_key(&rank);
    if let Some(place) = after {
        let at = (turned(place.time), place.digest);
        rows.retain(|row| rank(row) >= at);
        let copies = rows.iter().take_while(|row| rank(row) == at).count();
        let given = usize::try_from(place.copies).unwrap_or(usize::MAX);
        rows.drain(..copies.min(given));
    }
    rows.truncate(limit);
    rows
}

impl Read for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn execute(&self, request: Request, limits: Limits) -> Replies {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let unavailable = || Err(ReadError::Unavailable("connection refused".to_owned()));
        match *self.fault.lock() {
            Fault::None => {}
            Fault::Unavailable => return stream::iter([unavailable()]).boxed(),
            Fault::BreaksOff => return stream::empty().boxed(),
            Fault::Hangs => {
                let open = Open::new(&self.open);
                return stream::pending()
                    .map(move |reply| {
                        let _held = &open;
                        reply
                    })
                    .boxed();
            }
        }
        if let Request::Tail { selection, .. } = &request {
            return self.tail(selection);
        }
        let mut replies = self.answer(request);
        let source = Source {
            name: self.name.clone(),
            kind: SourceKind::Collector,
            unix_nano: 42,
            state: SourceState::Live,
        };
        let stats = Stats {
            blocks: 1,
            rows: 2,
            bytes: 3,
            elapsed_ms: 4,
            buckets: BucketStats::default(),
        };
        let cuts = (limits.scanned_bytes < *self.cost_bytes.lock()).then(|| Cut {
            limit: "bytes".to_owned(),
            value: limits.scanned_bytes.to_string(),
            hint: "narrow the range".to_owned(),
        });
        replies.push(Reply::End(Summary {
            stats,
            cuts: cuts.into_iter().collect(),
            sources: [vec![source], self.agents.lock().clone()].concat(),
        }));
        stream::iter(replies.into_iter().map(Ok)).boxed()
    }
}
