//! Joins what several places hold of one series.

mod deltas;
mod histograms;

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use model::metric::{FLAG_NO_RECORDED_VALUE, Series};
use model::{DataPoint, TimeRange};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHasher};

use crate::message::{STALE_NAN_BITS, SeriesSamples};
use crate::points::{Points, SeriesEntry};

pub(super) use histograms::Histograms;

const NANOS_PER_MS: u64 = 1_000_000;

/// A run of numbers by time.
#[derive(Debug)]
pub(super) struct Numbers {
    times: Arc<Vec<u64>>,
    /// Which of the times; values are those alone.
    first: usize,
    values: Vec<f64>,
    /// Values, by their place among all times, that are none.
    empty: Vec<u32>,
    /// How many samples each value stands for; one each without.
    counts: Vec<f64>,
}

impl Numbers {
    /// All of the times.
    pub(super) fn new(times: Arc<Vec<u64>>, values: Vec<f64>, empty: Vec<u32>) -> Self {
        Self {
            times,
            first: 0,
            values,
            empty,
            counts: Vec::new(),
        }
    }

    /// Values that stand for as many samples as these others say, which have the same times.
    pub(super) fn with_counts(self, counts: Self) -> Self {
        // What was written together is of one length.
        let mut counts = counts.values;
        counts.resize(self.values.len(), 1.0);
        Self { counts, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Times and values but for those that are none.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        let there = |at: usize| {
            let row = self.first + at;
            !self.empty.iter().any(|empty| *empty as usize == row)
        };
        let pairs = self.times().iter().zip(&self.values).enumerate();
        pairs
            .filter(move |(at, _)| there(*at))
            .map(|(_, (time, value))| (*time, *value))
    }

    /// Marks the points without a recorded value.
    pub(super) fn with_flags(mut self, flags: &[(u32, u32)]) -> Self {
        for (row, flags) in flags {
            if flags & FLAG_NO_RECORDED_VALUE != 0 {
                self.values[*row as usize] = f64::from_bits(STALE_NAN_BITS);
                self.empty.retain(|empty| empty != row);
            }
        }
        self
    }

    /// Those in a range.
    pub(super) fn within(mut self, range: TimeRange) -> Self {
        let first = self.times.partition_point(|time| *time < range.start);
        let end = self.times.partition_point(|time| *time < range.end);
        self.values.truncate(end);
        self.counts.truncate(end);
        if first > 0 {
            self.values.drain(..first.min(self.values.len()));
            self.counts.drain(..first.min(self.counts.len()));
        }
        self.first = first;
        self
    }

    /// The last that is a value, in as little memory as it takes.
    pub(super) fn newest(self) -> Self {
        let is_there = |at: &usize| {
            let row = self.first + at;
            !self.empty.iter().any(|empty| *empty as usize == row)
        };
        let last = (0..self.values.len()).rev().find(is_there);
        let of = |list: &[f64]| last.and_then(|at| list.get(at)).copied();
        Self {
            first: self.first + last.unwrap_or(0),
            values: of(&self.values).into_iter().collect(),
            empty: Vec::new(),
            counts: of(&self.counts).into_iter().collect(),
            times: self.times,
        }
    }

    fn times(&self) -> &[u64] {
        &self.times[self.first..self.first + self.values.len()]
    }
}

/// What one place has of a series.
#[derive(Debug)]
pub(super) enum Part {
    Nothing,
    /// How many points it has.
    Count(u64),
    Numbers(Numbers),
    Histograms(Box<Histograms>),
    Points(Box<Points>),
    /// Some of a list of times, of which nothing more is wanted.
    Times(Arc<Vec<u64>>, Range<usize>),
}

impl Part {
    pub(super) fn rows(&self) -> u64 {
        match self {
            Part::Nothing => 0,
            Part::Count(rows) => *rows,
            Part::Numbers(numbers) => numbers.values.len() as u64,
            Part::Histograms(run) => run.len() as u64,
            Part::Points(points) => points.len() as u64,
            Part::Times(_, rows) => rows.len() as u64,
        }
    }

    fn first_time(&self) -> u64 {
        match self {
            Part::Nothing | Part::Count(_) => 0,
            Part::Numbers(numbers) => numbers.times().first().copied().unwrap_or(0),
            Part::Histograms(run) => run.times().first().copied().unwrap_or(0),
            Part::Points(points) => points.times.first().copied().unwrap_or(0),
            Part::Times(times, rows) => times.get(rows.start).copied().unwrap_or(0),
        }
    }
}

/// A series with what was found of it.
pub(super) struct Found {
    pub entry: Arc<SeriesEntry>,
    /// The number of the first of its places, and which series it is there.
    first: (usize, usize),
    /// Each with the number of its place: later places are of later flushes.
    parts: Vec<(usize, Part)>,
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Join {
    /// How many parts a series may have, about.
    parts: usize,
    by_id: FxHashMap<u128, usize>,
    list: Vec<Found>,
}

impl Join {
    /// Has room for so many parts of each series, or for a few.
    pub(super) fn expect_parts(&mut self, parts: usize) {
        const PARTS_MAX: usize = 4;
        self.parts = parts.clamp(1, PARTS_MAX);
    }

    /// Adds a part that is at this place of the place of this number; false where that would be one
    /// series too many.
    pub(super) fn add(
        &mut self,
        (number, place): (usize, usize),
        entry: &Arc<SeriesEntry>,
        part: Part,
        limit: usize,
    ) -> bool {
        let next = self.list.len();
        let at = match self.by_id.get(&entry.id) {
            Some(at) => *at,
            None if next >= limit => return false,
            None => {
                self.by_id.insert(entry.id, next);
                self.list.push(Found {
                    entry: Arc::clone(entry),
                    first: (number, place),
                    parts: Vec::new(),
                });
                next
            }
        };
        let found = &mut self.list[at];
        found.first = found.first.min((number, place));
        let parts = &mut found.parts;
        match (parts.last_mut(), part) {
            // Whose order does not matter takes no memory for each place.
            (_, Part::Nothing) => {}
            (Some((_, Part::Count(rows))), Part::Count(more)) => *rows += more,
            (last, part) => {
                if last.is_none() {
                    parts.reserve_exact(self.parts);
                }
                parts.push((number, part));
            }
        }
        true
    }

    /// What was found, in an order that does not depend on which thread was first.
    pub(super) fn into_list(self) -> Vec<Found> {
        let mut list = self.list;
        list.sort_by_key(|found| found.first);
        list
    }
}

/// Series that were decoded lately, by id.
#[derive(Default)]
pub(crate) struct SeriesCache(Mutex<FxHashMap<u128, Arc<Series>>>);

impl SeriesCache {
    /// Series that are kept; then all are forgotten.
    const KEPT_MAX: usize = 100_000;

    fn get(&self, entry: &SeriesEntry) -> Arc<Series> {
        if let Some(series) = self.0.lock().get(&entry.id) {
            return Arc::clone(series);
        }
        let series = Arc::new(entry.series());
        let mut kept = self.0.lock();
        if kept.len() >= Self::KEPT_MAX {
            kept.clear();
        }
        kept.insert(entry.id, Arc::clone(&series));
        series
    }
}

/// Where a list of times comes from: of each run the list, its first time and their number.
type Origin = Vec<(usize, usize, usize)>;

/// Lists of times in milliseconds that were made already.
#[derive(Default)]
pub(super) struct Shared {
    /// That of the last series; neighbours share theirs, mostly.
    last: Option<(Origin, Arc<Vec<i64>>)>,
    /// That of the one at hand.
    origin: Origin,
    /// By hash.
    times: FxHashMap<u64, Arc<Vec<i64>>>,
}

impl Shared {
    /// The times of these runs one after the other; none where they do not rise.
    fn times<'a>(
        &mut self,
        runs: impl Iterator<Item = &'a Numbers> + Clone,
    ) -> Option<Arc<Vec<i64>>> {
        let of = |run: &Numbers| run.first..run.first + run.values.len();
        self.times_of(runs.map(|run| (&run.times, of(run))))
    }

    /// The same of parts of lists.
    fn times_of<'a>(
        &mut self,
        runs: impl Iterator<Item = (&'a Arc<Vec<u64>>, Range<usize>)> + Clone,
    ) -> Option<Arc<Vec<i64>>> {
        let of = |(times, rows): (&Arc<Vec<u64>>, Range<usize>)| {
            (Arc::as_ptr(times) as usize, rows.start, rows.len())
        };
        self.origin.clear();
        self.origin.extend(runs.clone().map(of));
        if let Some((last, times)) = &self.last
            && *last == self.origin
        {
            return Some(Arc::clone(times));
        }
        let all = runs.flat_map(|(times, rows)| &times[rows]);
        let list: Vec<i64> = all.map(|time| milliseconds(*time)).collect();
        if !list.windows(2).all(|pair| pair[0] < pair[1]) {
            return None;
        }
        let mut hasher = FxHasher::default();
        list.hash(&mut hasher);
        let known = self.times.entry(hasher.finish()).or_default();
        if **known != list {
            *known = Arc::new(list);
        }
        let times = Arc::clone(known);
        self.last = Some((std::mem::take(&mut self.origin), Arc::clone(&times)));
        Some(times)
    }
}

fn milliseconds(time: u64) -> i64 {
    i64::try_from(time / NANOS_PER_MS).unwrap_or(i64::MAX)
}

impl Found {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|(_, part)| part.rows()).sum()
    }

    /// The parts by kind, in the order in which they were stored.
    fn split(mut parts: Vec<(usize, Part)>) -> Runs {
        parts.sort_by_key(|(number, part)| (*number, part.first_time()));
        let mut runs = Runs::default();
        for (number, part) in parts {
            match part {
                Part::Numbers(numbers) => runs.numbers.push(numbers),
                Part::Histograms(run) => runs.histograms.push((number, *run)),
                Part::Points(more) => runs.points.push((number, more)),
                Part::Times(times, rows) => runs.times.push((times, rows)),
                Part::Nothing | Part::Count(_) => {}
            }
        }
        runs
    }

    /// All points by time; of the same time, those that were stored first come first.
    pub(super) fn into_points(self) -> Points {
        let mut points = Points::default();
        for (_, more) in Self::split(self.parts).points {
            if points.is_empty() {
                points = *more;
            } else {
                points.append(&more);
            }
        }
        points.sort();
        points
    }

    pub(super) fn into_samples(self, shared: &mut Shared, series: &SeriesCache) -> SeriesSamples {
        let mut runs = Self::split(self.parts);
        let (mut times_ms, mut values, counts) = joined(runs.numbers, shared);
        if !runs.times.is_empty() {
            times_ms = together(&times_ms, &runs.times, shared);
            values = Vec::new();
        }
        let (mut histograms, mut exponentials) = (None, None);
        if runs.points.is_empty() {
            match histograms::joined(&mut runs.histograms, shared) {
                histograms::Joined::Bounded(all) => histograms = Some(all),
                histograms::Joined::Exponential(all) => exponentials = Some(all),
                histograms::Joined::None => {}
            }
        }
        let mut deltas = None;
        if values.is_empty() && runs.histograms.is_empty() {
            deltas = deltas::joined(&self.entry, &runs.points);
            runs.points.retain(|_| deltas.is_none());
        }
        let mut points: Vec<(usize, DataPoint)> = Vec::new();
        for (number, list) in runs.points {
            points.extend(
                list.into_data_points()
                    .into_iter()
                    .map(|point| (number, point)),
            );
        }
        for (number, run) in &runs.histograms {
            points.extend(run.points().map(|point| (*number, point)));
        }
        points.sort_by_key(|(number, point)| (point.time_unix_nano, *number));
        SeriesSamples {
            id: self.entry.id,
            series: series.get(&self.entry),
            times_ms,
            values,
            counts,
            histograms,
            exponentials,
            deltas,
            points: points.into_iter().map(|(_, point)| point).collect(),
        }
    }
}

/// What there is of a series, by kind, with the numbers of the places that it is from.
#[derive(Default)]
struct Runs {
    numbers: Vec<Numbers>,
    histograms: Vec<(usize, Histograms)>,
    points: Vec<(usize, Box<Points>)>,
    times: Vec<(Arc<Vec<u64>>, Range<usize>)>,
}

/// All times of a series of which nothing else is wanted: of some places more may be known.
fn together(
    known: &Arc<Vec<i64>>,
    runs: &[(Arc<Vec<u64>>, Range<usize>)],
    shared: &mut Shared,
) -> Arc<Vec<i64>> {
    let lists = runs.iter().map(|(times, rows)| (times, rows.clone()));
    if known.is_empty()
        && let Some(times) = shared.times_of(lists.clone())
    {
        return times;
    }
    let more = lists.flat_map(|(times, rows)| &times[rows]);
    let more = more.map(|time| milliseconds(*time));
    let mut all: Vec<i64> = known.iter().copied().chain(more).collect();
    all.sort_unstable();
    all.dedup();
    Arc::new(all)
}

/// Times, values, and counts where any run has them.
type Joined = (Arc<Vec<i64>>, Vec<f64>, Vec<f64>);

/// Runs in the order in which they were stored as one. Where two values have the same millisecond
/// the one that was stored last counts.
fn joined(mut runs: Vec<Numbers>, shared: &mut Shared) -> Joined {
    let counted = runs.iter().any(|run| !run.counts.is_empty());
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|at| runs[*at].times().first().copied());
    if runs.iter().all(|run| run.empty.is_empty())
        && let Some(times) = shared.times(order.iter().map(|at| &runs[*at]))
    {
        if let [_] = runs[..]
            && let Some(run) = runs.pop()
        {
            return (times, run.values, run.counts);
        }
        let mut values = Vec::with_capacity(times.len());
        let mut counts = Vec::new();
        for run in order.iter().map(|at| &runs[*at]) {
            values.extend_from_slice(&run.values);
            counts.extend_from_slice(&run.counts);
            if counted {
                counts.resize(values.len(), 1.0);
            }
        }
        return (times, values, counts);
    }
    let mut samples: Vec<(i64, f64, f64)> = Vec::new();
    for run in &runs {
        let counts = run.counts.iter().copied().chain(std::iter::repeat(1.0));
        let rows = run.times().iter().zip(&run.values).zip(counts);
        for (at, ((time, value), count)) in rows.enumerate() {
            let row = run.first + at;
            let is_empty = |empty: &u32| *empty as usize == row;
            if !run.empty.iter().any(is_empty) {
                samples.push((milliseconds(*time), *value, count));
            }
        }
    }
    samples.sort_by_key(|(time, _, _)| *time);
    // Of each millisecond the last stays.
    let kept = samples.iter().enumerate().filter(|(at, sample)| {
        let next = samples.get(at + 1);
        next.is_none_or(|next| next.0 != sample.0)
    });
    let mut joined: Joined = Default::default();
    let times = Arc::make_mut(&mut joined.0);
    for (_, (time, value, count)) in kept {
        times.push(*time);
        joined.1.push(*value);
        if counted {
            joined.2.push(*count);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use model::Signal;

    use super::*;
    use crate::testing::{Generator, chunk};

    #[test]
    fn of_series_alone_nothing_is_kept_for_each_place() {
        let row = Generator::new(1).point();
        let chunk = chunk(Signal::Metrics, &[row]);
        let mut join = Join::default();
        join.expect_parts(4);
        for number in 0..1_000 {
            assert!(join.add((number, 0), &chunk.series[0], Part::Nothing, 1));
        }
        for number in 0..1_000 {
            join.add((number, 0), &chunk.series[0], Part::Count(2), 1);
        }
        let list = join.into_list();
        assert_eq!(list[0].rows(), 2_000);
        assert_eq!((list.len(), list[0].parts.len()), (1, 1));
    }
}
