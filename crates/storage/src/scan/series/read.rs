//! Reads what a head or a block has of selected series.

use std::sync::Arc;

use model::metric::{MetricKind, Temporality};
use model::{DataPoint, TimeRange, prometheus};

use super::join::{self, Histograms, Numbers};
use super::{Search, Stop, Wanted};
use crate::message::STALE_NAN_BITS;
use crate::partition::FileEntry;
use crate::points::block::{ChunkPlace, PointBlock};
use crate::points::head::{HeadPoints, PointHead};
use crate::points::{PointValues, Points, SeriesEntry};
use crate::scan::Unit;
use crate::table::Damage;

/// A list of times, or the last one where it is the same.
fn shared(list: Vec<u64>, last: &mut Arc<Vec<u64>>) -> Arc<Vec<u64>> {
    if **last != list {
        *last = Arc::new(list);
    }
    Arc::clone(last)
}

impl Search<'_> {
    pub(super) fn read_head(
        &self,
        number: usize,
        head: &PointHead,
        series: &[u32],
    ) -> Result<(), Stop> {
        /// Series between two looks at whether to go on.
        const BETWEEN_LOOKS: usize = 64;
        let points = self.wanted != Wanted::Nothing;
        let mut rows = 0u64;
        let mut found: Vec<(Arc<SeriesEntry>, join::Part)> = Vec::with_capacity(series.len());
        let mut times = Arc::default();
        let wanted = (points, |entry: &SeriesEntry| self.by_column(entry));
        let in_share: Vec<u32>;
        let series = if self.share.of > 1 {
            let is_in_share = |slot: &&u32| self.share.holds(&head.entry(**slot));
            in_share = series.iter().filter(is_in_share).copied().collect();
            &in_share
        } else {
            series
        };
        let read = head.read(series, self.of_deltas, wanted, |entry, points| {
            let range = self.range_of(entry, None);
            let part = match points {
                HeadPoints::Points(points) => {
                    rows += points.len() as u64;
                    self.part_of(entry, *points, range, &mut times)
                }
                HeadPoints::Numbers(list, values) => {
                    rows += values.len() as u64;
                    let numbers = Numbers::new(list, values, Vec::new());
                    let numbers = self.wanted_of(numbers, range);
                    (!numbers.is_empty()).then_some(join::Part::Numbers(numbers))
                }
                HeadPoints::Histograms(list, columns) => {
                    rows += columns.len() as u64;
                    let run = self.wanted_histograms(Histograms::new(list, *columns, range));
                    (run.len() > 0).then(|| join::Part::Histograms(Box::new(run)))
                }
            };
            found.extend(part.map(|part| (Arc::clone(entry), part)));
            if found.len() % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 {
                self.check()?;
            }
            Ok(())
        });
        self.add_all(number, found);
        self.scan.account(1, rows, rows * 16);
        read
    }

    /// Points as they are wanted, those outside of the range left out. Numbers with the same times
    /// as those before, mostly, share the list of these.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn part_of(
        &self,
        entry: &SeriesEntry,
        mut points: Points,
        range: TimeRange,
        times: &mut Arc<Vec<u64>>,
    ) -> Option<join::Part> {
        if self.wanted == Wanted::Nothing {
            return Some(join::Part::Nothing);
        }
        let inside = |time: &u64| range.contains(*time);
        if !points.times.first().is_some_and(inside) || !points.times.last().is_some_and(inside) {
            let first = points.times.partition_point(|time| *time < range.start);
            let end = points.times.partition_point(|time| *time < range.end);
            points = points.slice(first..end.max(first));
        }
        if points.is_empty() {
            return None;
        }
        if self.wanted == Wanted::Counts {
            return Some(join::Part::Count(points.len() as u64));
        }
        let plain =
            self.wanted == Wanted::Samples && entry.metric.value.temporality != Temporality::Delta;
        let values: Vec<f64> = match points.values {
            PointValues::Int(list) if plain => list.into_iter().map(|int| int as f64).collect(),
            PointValues::Double(list) if plain => list,
            _ => return Some(join::Part::Points(Box::new(points))),
        };
        let times = shared(points.times, times);
        let numbers = Numbers::new(times, values, points.empty);
        let numbers = numbers.with_flags(&points.flags);
        Some(join::Part::Numbers(self.wanted_of(numbers, range)))
    }

    pub(super) fn read_block(
        &self,
        number: usize,
        file: &FileEntry,
        ordinal: usize,
        first: u32,
        series: &[u32],
    ) -> Result<(), Damage> {
        let known = self.known.as_deref();
        let block = self.scan.core.blocks.open(file, ordinal, known)?;
        let mut found = Vec::with_capacity(series.len());
        let (mut rows, mut bytes) = (0, 0);
        let read = self.each_of(&block, (first, series), |at, entry| {
            let range = self.range_of(entry, None);
            for chunk in block.chunks_of(at) {
                let times = block.times(chunk)?;
                if !range.overlaps(times[0], times[times.len() - 1]) {
                    continue;
                }
                let part = self.part_of_chunk(&block, entry, chunk, range)?;
                if self.wanted != Wanted::Nothing {
                    rows += times.len() as u64;
                    bytes += block.bytes(chunk).len() as u64;
                }
                let nothing_more = matches!(part, Some(join::Part::Nothing));
                found.extend(part.map(|part| (entry, part)));
                if nothing_more {
                    break;
                }
            }
            Ok(())
        });
        self.scan.account(1, rows, bytes);
        self.add_whole(number, &block, found)?;
        read
    }

    /// Shows these series of a file, which are of a block that begins with the `first`, by their
    /// place in it; those of other shares are left out.
    pub(super) fn each_of<'b>(
        &self,
        block: &'b PointBlock,
        (first, series): (u32, &[u32]),
        mut see: impl FnMut(u32, &'b Arc<SeriesEntry>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        for ordinal in series {
            let at = ordinal - first;
            let entry = block.series.get(at as usize);
            let entry = entry.ok_or_else(|| Damage("a series that is not there".to_owned()))?;
            if self.share.holds(entry) {
                see(at, entry)?;
            }
        }
        Ok(())
    }

    /// Adds what was read of a block, if the disk gave all of it.
    pub(super) fn add_whole(
        &self,
        number: usize,
        block: &PointBlock,
        found: Vec<(&Arc<SeriesEntry>, join::Part)>,
    ) -> Result<(), Damage> {
        if !self.scan.core.env.files.is_whole(block.mapped()) {
            return Err(Damage("the disk did not give some of it".to_owned()));
        }
        self.add_all(number, found);
        Ok(())
    }

    /// What is wanted of a chunk.
    fn part_of_chunk(
        &self,
        block: &PointBlock,
        entry: &SeriesEntry,
        chunk: &ChunkPlace,
        range: TimeRange,
    ) -> Result<Option<join::Part>, Damage> {
        let times = block.times(chunk)?;
        let inside = || {
            let first = times.partition_point(|time| *time < range.start);
            let end = times.partition_point(|time| *time < range.end);
            end.saturating_sub(first)
        };
        match self.wanted {
            Wanted::Nothing => return Ok((inside() > 0).then_some(join::Part::Nothing)),
            Wanted::Counts => {
                let rows = inside() as u64;
                return Ok((rows > 0).then_some(join::Part::Count(rows)));
            }
            Wanted::Points | Wanted::Samples => {}
        }
        if self.by_column(entry) {
            if let Some((values, empty)) = block.doubles(chunk, STALE_NAN_BITS)? {
                let numbers = Numbers::new(Arc::clone(times), values, empty);
                let numbers = self.wanted_of(numbers, range);
                return Ok((!numbers.is_empty()).then_some(join::Part::Numbers(numbers)));
            }
            if let Some(columns) = block.histograms(chunk)? {
                let run = Histograms::new(Arc::clone(times), columns, range);
                let run = self.wanted_histograms(run);
                return Ok((run.len() > 0).then(|| join::Part::Histograms(Box::new(run))));
            }
        }
        let points = block.points(chunk)?;
        Ok(self.part_of(entry, points, range, &mut Arc::default()))
    }

    /// Those of numbers that are wanted.
    pub(super) fn wanted_of(&self, numbers: Numbers, range: TimeRange) -> Numbers {
        let numbers = numbers.within(range);
        if self.rollup.newest {
            numbers.newest()
        } else {
            numbers
        }
    }

    fn wanted_histograms(&self, run: Histograms) -> Histograms {
        if self.rollup.newest {
            run.newest()
        } else {
            run
        }
    }

    /// Whether samples of a series are read by column.
    fn by_column(&self, entry: &SeriesEntry) -> bool {
        let metric = &entry.metric.value;
        self.wanted == Wanted::Samples
            && metric.temporality != Temporality::Delta
            && (metric.kind != MetricKind::Histogram
                || prometheus::view_kind(metric) == MetricKind::Histogram)
    }

    /// Reads a block of chunks whose file has no index of its series.
    pub(super) fn read_whole(&self, number: usize, unit: &Unit) -> Result<(), Damage> {
        let Unit::Block { file, ordinal, .. } = unit else {
            return Ok(());
        };
        let block = self
            .scan
            .core
            .blocks
            .open(file, *ordinal, self.known.as_deref())?;
        let matching = (0..)
            .zip(&block.series)
            .filter(|(_, entry)| self.matchers.may_match(&entry.series()));
        let series: Vec<u32> = matching.map(|(at, _)| at).collect();
        self.read_block(number, file, *ordinal, 0, &series)
    }

    /// Reads a block with a row for each point.
    pub(super) fn read_rows(
        &self,
        number: usize,
        block: &crate::layout::BlockTable,
    ) -> Result<(), Damage> {
        let entries = block.entries()?;
        let matching: Vec<bool> = entries
            .iter()
            .map(|entry| self.matchers.may_match(&entry.series()) && self.share.holds(entry))
            .collect();
        if !matching.contains(&true) {
            return Ok(());
        }
        let mut by_series: Vec<Points> = vec![Points::default(); entries.len()];
        for (index, point) in block.points()? {
            let point: DataPoint = point;
            let known = matching
                .get(index)
                .ok_or_else(|| Damage("a point of a series that is not there".to_owned()))?;
            if *known {
                by_series[index].push(&point);
            }
        }
        for (entry, mut points) in entries.iter().zip(by_series) {
            points.sort();
            let range = self.range_of(entry, None);
            let any = points.times.iter().any(|time| range.contains(*time));
            if any && let Some(part) = self.part_of(entry, points, range, &mut Arc::default()) {
                self.add(number, entry, part);
            }
        }
        Ok(())
    }
}
