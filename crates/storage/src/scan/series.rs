//! Metric series with their points or samples.
//!
//! Series are selected over the terms of heads and files, then only the blocks and chunks that
//! hold any of them within the range are read, on several threads; what different places hold of
//! a series is joined at the end.

pub(super) mod buckets;
pub(super) mod cardinality;
pub(crate) mod join;
mod places;
mod read;
mod share;
mod times;

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::metric::Temporality;
use model::{Signal, Tenant, TimeRange};
use parking_lot::Mutex;

use super::candidates::{self, point_heads};
use super::memory::Foreseen;
use super::{Opened, Scan, Stop, Unit, parallel};
use crate::downsampling::Resolution;
use crate::message::{Matcher, Reply, Rollup, SeriesPoints, SeriesShare};
use crate::points::select::Selector;
use crate::points::{Known, SeriesEntry};
use crate::read::ReadError;
use crate::series_view::Matchers;
use join::{Found, Join};
use places::Place;

/// Series in one reply.
const SERIES_PER_REPLY: usize = 500;

/// What is wanted of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// How many points there are.
    Counts,
    Points,
    Samples,
}

/// How much an answer may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) series: usize,
    /// As they are read.
    pub(super) samples: usize,
    /// As far as heads and files tell beforehand.
    pub(super) foreseen: usize,
}

/// One question about series.
struct Search<'a> {
    scan: &'a Scan<'a>,
    range: TimeRange,
    /// The range of series of deltas.
    of_deltas: TimeRange,
    wanted: Wanted,
    rollup: Rollup,
    share: SeriesShare,
    /// Series at most.
    limit: usize,
    /// Samples at most, of which there are so many so far.
    samples_max: usize,
    samples: AtomicUsize,
    too_many_series: AtomicBool,
    /// Whether points take more memory than an answer may.
    too_large: AtomicBool,
    selector: Selector,
    matchers: Matchers,
    known: Option<Arc<Known>>,
    found: Mutex<Join>,
}

/// All points of series that may match, or the series alone.
pub(super) fn points(
    scan: &Scan<'_>,
    (tenant, range): (&Tenant, TimeRange),
    matchers: &[Matcher],
    points: bool,
    limit: usize,
) -> Result<(), Stop> {
    let wanted = if points {
        Wanted::Points
    } else {
        Wanted::Nothing
    };
    let wanted = (wanted, Rollup::EVERYTHING);
    let search = Search::new(scan, tenant, range, matchers, wanted, limit)?;
    let places = search.places(tenant, matchers)?;
    let stopped = search.read_all(places)?;
    let mut list = search.found.into_inner().into_list();
    list.sort_unstable_by(|one, other| one.entry.order().cmp(&other.entry.order()));
    let mut list = list.into_iter();
    while list.len() > 0 {
        let part = list.by_ref().take(SERIES_PER_REPLY).map(|found| {
            let series = found.entry.series();
            let points = found.into_points();
            SeriesPoints {
                series,
                points: (0..points.len()).map(|row| points.point(row)).collect(),
            }
        });
        scan.reply(Reply::Series(part.collect()))?;
    }
    stopped
}

/// Samples of series that may match.
pub(super) fn samples(
    scan: &Scan<'_>,
    tenant: &Tenant,
    (range, deltas_since): (TimeRange, u64),
    matchers: &[Matcher],
    (rollup, share): (Rollup, SeriesShare),
    most: Most,
) -> Result<(), Stop> {
    let wanted = (Wanted::Samples, rollup);
    let mut search = Search::new(scan, tenant, range, matchers, wanted, most.series)?;
    search.samples_max = most.samples;
    search.share = share;
    search.of_deltas.start = range.start.min(deltas_since);
    let places = search.places(tenant, matchers)?;
    let foreseen = search.foreseen(&places);
    if foreseen.samples > most.foreseen {
        return Err(ReadError::Foreseen(foreseen.samples).into());
    }
    // Until the answer is on its way.
    let _share = scan.samples_memory(foreseen)?;
    let stopped = search.read_all(places)?;
    let list = search.found.into_inner().into_list();
    let rows = list.iter().map(Found::rows).sum();
    // Who makes a reply takes what was found away: values are handed on as they are.
    let mut parts: Vec<(usize, Mutex<Vec<Found>>)> = Vec::new();
    let mut list = list.into_iter();
    while list.len() > 0 {
        let part = list.by_ref().take(SERIES_PER_REPLY).collect();
        parts.push((parts.len(), Mutex::new(part)));
    }
    // The same question about the same files has the same answer, in the same order.
    let turns = parallel::Turns::default();
    let each = |shared: &mut join::Shared, (turn, part): &(usize, Mutex<Vec<Found>>)| {
        let found = std::mem::take(&mut *part.lock()).into_iter();
        let samples = found.map(|found| found.into_samples(shared, &scan.core.series));
        let reply = Reply::Samples(samples.collect());
        turns.take(*turn, || scan.check(), || scan.reply(reply))
    };
    let (_, joined) = parallel::over(&parts, rows, each)?;
    stopped.and(joined)
}

impl<'a> Search<'a> {
    fn new(
        scan: &'a Scan<'a>,
        tenant: &Tenant,
        range: TimeRange,
        matchers: &[Matcher],
        (wanted, rollup): (Wanted, Rollup),
        limit: usize,
    ) -> Result<Self, Stop> {
        Ok(Self {
            scan,
            range,
            of_deltas: range,
            wanted,
            rollup,
            share: SeriesShare::ALL,
            limit,
            samples_max: usize::MAX,
            samples: AtomicUsize::new(0),
            too_many_series: AtomicBool::new(false),
            too_large: AtomicBool::new(false),
            selector: Selector::new(matchers)?,
            matchers: Matchers::new(matchers)?,
            known: scan.core.known.find(tenant),
            found: Mutex::default(),
        })
    }

    /// Where points may be.
    fn places(&self, tenant: &Tenant, matchers: &[Matcher]) -> Result<Vec<Place>, Stop> {
        self.scan.name_unread(tenant, Signal::Metrics, self.range);
        let mut places: Vec<Place> = Vec::new();
        let days = match self.wanted {
            // Buckets are no points as they were sent.
            Wanted::Points | Wanted::Counts => Vec::new(),
            _ => buckets::days(&self.scan.view, tenant, self.of_deltas, self.rollup),
        };
        let partitions = self.scan.view.partitions.values();
        for partition in partitions {
            if partition.key.tenant == *tenant && partition.key.signal == Signal::Metrics {
                let day = days.iter().find(|day| day.day == partition.key.day);
                self.places_of(partition, day, matchers, &mut places)?;
            }
        }
        for day in &days {
            self.places_of_buckets(day, &mut places)?;
        }
        for head in point_heads(&self.scan.view, tenant) {
            self.places_of_head(&head, &mut places)?;
        }
        Ok(places)
    }

    /// About how much there is in places, as far as it is wanted.
    fn foreseen(&self, places: &[Place]) -> Foreseen {
        let shares = self.share.of.max(1) as usize;
        let parts: usize = places.iter().map(Place::series).sum::<usize>() / shares;
        Foreseen {
            samples: self.samples_in(places),
            // Files that follow one another have the same ones, mostly.
            series: (places::most_series(places) / shares).min(self.limit),
            parts,
        }
    }

    /// About how many samples there are in places, as far as they are wanted.
    fn samples_in(&self, places: &[Place]) -> usize {
        let shares = self.share.of.max(1);
        match self.wanted {
            Wanted::Nothing | Wanted::Counts => return 0,
            Wanted::Points | Wanted::Samples => {}
        }
        if self.rollup.newest {
            let series: usize = places.iter().map(Place::series).sum();
            return series / shares as usize;
        }
        let rows = places
            .iter()
            .map(|place| place.rows_in(self.range, self.of_deltas));
        let rows = rows.sum::<u64>() / u64::from(shares);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// Reads all places; the inner error is a limit that was reached.
    fn read_all(&self, places: Vec<Place>) -> Result<Result<(), Stop>, Stop> {
        self.found.lock().expect_parts(places::wholes(&places));
        let rows = places.iter().map(Place::rows).sum();
        let numbered: Vec<(usize, Place)> = places.into_iter().enumerate().collect();
        let each = |(): &mut (), (number, place): &(usize, Place)| self.read(*number, place);
        let (_, stopped) = parallel::over(&numbered, rows, each)?;
        Ok(stopped)
    }

    /// The ranges of samples and of deltas, in buckets where these are meant.
    fn ranges(&self, buckets: Option<Resolution>) -> (TimeRange, TimeRange) {
        let buckets = buckets.filter(|_| self.wanted == Wanted::Samples);
        let Some(resolution) = buckets else {
            return (self.range, self.of_deltas);
        };
        let earlier = |range| buckets::range_in(range, self.rollup, resolution);
        (earlier(self.range), earlier(self.of_deltas))
    }

    fn range_of(&self, entry: &SeriesEntry, buckets: Option<Resolution>) -> TimeRange {
        let (range, of_deltas) = self.ranges(buckets);
        if entry.metric.value.temporality == Temporality::Delta {
            of_deltas
        } else {
            range
        }
    }

    /// Whether there are too many series or samples for an answer to be right.
    fn check(&self) -> Result<(), Stop> {
        self.scan.check()?;
        if self.samples.load(Ordering::Relaxed) > self.samples_max {
            return Err(ReadError::TooManySamples(self.samples_max).into());
        }
        if self.wanted == Wanted::Samples && self.too_many_series.load(Ordering::Relaxed) {
            return Err(ReadError::TooManySeries(self.limit).into());
        }
        if self.too_large.load(Ordering::Relaxed) {
            return Err(ReadError::TooLarge(self.scan.limits.answer_bytes).into());
        }
        Ok(())
    }

    fn read(&self, number: usize, place: &Place) -> Result<(), Stop> {
        self.read_place(number, place)?;
        self.check()
    }

    fn read_place(&self, number: usize, place: &Place) -> Result<(), Stop> {
        self.check()?;
        // Of series alone there is nothing more to learn once there are as many as may be.
        if self.wanted == Wanted::Nothing && self.too_many_series.load(Ordering::Relaxed) {
            return Ok(());
        }
        match place {
            Place::Head { head, series } => self.read_head(number, head, series),
            Place::Block {
                file,
                ordinal,
                among,
                series,
                buckets,
                ..
            } => {
                let (first, ordinal) = (among.start, *ordinal);
                let series: Vec<u32> = series.within(among.clone()).collect();
                let read = match buckets {
                    Some(length) => {
                        self.read_buckets(number, (file, ordinal, *length), first, &series)
                    }
                    None => self.read_block(number, file, ordinal, first, &series),
                };
                self.scan.undamaged_at(Some((file, ordinal)), read);
                Ok(())
            }
            Place::Times {
                file,
                ordinal,
                among,
                series,
                ..
            } => {
                let series: Vec<u32> = series.within(among.clone()).collect();
                let read = self.read_times(number, (file, *ordinal), among.start, &series);
                self.scan.undamaged_at(Some((file, *ordinal)), read);
                Ok(())
            }
            Place::TimesOfHead { head, series } => {
                self.read_times_of_head(number, head, series);
                Ok(())
            }
            Place::Unsorted(unit) => {
                let read = self.scan.open(unit).and_then(|opened| match opened {
                    Opened::Block(block) if !block.has_chunks() => self.read_rows(number, &block),
                    _ => self.read_whole(number, unit),
                });
                self.scan.undamaged(unit, read);
                Ok(())
            }
        }
    }

    /// Adds what a place has of a series.
    fn add(&self, number: usize, entry: &Arc<SeriesEntry>, part: join::Part) {
        self.add_all(number, [(entry, part)]);
    }

    /// Adds what a place has of series.
    fn add_all(
        &self,
        number: usize,
        parts: impl IntoIterator<Item = (impl Borrow<Arc<SeriesEntry>>, join::Part)>,
    ) {
        let mut found = self.found.lock();
        let (mut all, mut rows, mut bytes) = (true, 0, 0);
        for (at, (entry, part)) in parts.into_iter().enumerate() {
            rows += usize::try_from(part.rows()).unwrap_or(usize::MAX);
            if let (Wanted::Points, join::Part::Points(points)) = (self.wanted, &part) {
                bytes += points.held_bytes();
            }
            all &= found.add((number, at), entry.borrow(), part, self.limit);
        }
        self.samples.fetch_add(rows, Ordering::Relaxed);
        if bytes > 0 && self.scan.hold(bytes).is_err() {
            self.too_large.store(true, Ordering::Relaxed);
        }
        if all {
            return;
        }
        self.too_many_series.store(true, Ordering::Relaxed);
        if self.wanted != Wanted::Samples {
            let hint = "select fewer series";
            self.scan.cut("series", self.limit, hint);
        }
    }
}
