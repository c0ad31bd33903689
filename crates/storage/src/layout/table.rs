//! A block as a [`Table`].

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use model::metric::Series;
use model::{DataPoint, LogRecord, Resource, Scope, Signal, Span};

use super::interned::SharedList;
use super::pick::{Grouping, damage};
use super::read::{AttributeReader, starts};
use super::{Interned, points};
use crate::block::{BlockError, BlockReader, Kind};
use crate::filter::Field;
use crate::message::Columns;
use crate::points::SeriesEntry;
use crate::points::block::{Parts, PointBlock, has_chunks};
use crate::scan::Share;
use crate::table::{Cell, Damage, Grouped, Mask, Table, Texts};
use crate::words::Sought;

/// An open block whose columns are decoded when they are asked for.
pub(crate) struct BlockTable {
    pub(super) signal: Signal,
    pub(super) reader: BlockReader,
    pub(super) interned: Arc<Interned>,
    times: OnceCell<Vec<u64>>,
    pub(super) resources: OnceCell<Arc<SharedList<Resource>>>,
    pub(super) scopes: OnceCell<Arc<SharedList<Scope>>>,
    series: OnceCell<Vec<Series>>,
    /// Index of the series and time of each row of a block of chunks of points.
    rows_of_points: OnceCell<(Vec<u32>, Vec<u64>)>,
    attributes: OnceCell<AttributeReader>,
    /// Memory for what is decoded of it.
    pub(crate) memory: Option<Share>,
}

pub(super) fn failed(error: BlockError) -> Damage {
    Damage(error.to_string())
}

/// Fills a cell once, or says what is damaged.
pub(super) fn once<T>(
    cell: &OnceCell<T>,
    make: impl FnOnce() -> Result<T, Damage>,
) -> Result<&T, Damage> {
    if cell.get().is_none() {
        let value = make()?;
        let _ = cell.set(value);
    }
    cell.get()
        .ok_or_else(|| damage("unreachable: the cell was just filled"))
}

impl BlockTable {
    pub(crate) fn open(
        signal: Signal,
        bytes: Bytes,
        interned: Arc<Interned>,
    ) -> Result<Self, Damage> {
        Ok(Self {
            signal,
            reader: BlockReader::open(bytes).map_err(failed)?,
            interned,
            times: OnceCell::new(),
            resources: OnceCell::new(),
            scopes: OnceCell::new(),
            series: OnceCell::new(),
            rows_of_points: OnceCell::new(),
            attributes: OnceCell::new(),
            memory: None,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.reader.rows() as usize
    }

    /// A column of one number per row; a missing one stands for zeros.
    pub(super) fn uints(&self, name: &str) -> Result<Vec<u64>, Damage> {
        let list = self.reader.uints(name).map_err(failed)?;
        self.counted(name, list.unwrap_or_else(|| vec![0; self.rows()]))
    }

    /// A column of one number per row; a missing one stands for zeros.
    pub(super) fn ints(&self, name: &str) -> Result<Vec<i64>, Damage> {
        let list = self.reader.ints(name).map_err(failed)?;
        self.counted(name, list.unwrap_or_else(|| vec![0; self.rows()]))
    }

    /// The numbers of some rows; a missing column stands for zeros.
    pub(super) fn uints_at(&self, name: &str, rows: &[usize]) -> Result<Vec<u64>, Damage> {
        let list = self
            .reader
            .uints_at(name, self.rows(), rows)
            .map_err(failed)?;
        Ok(list.unwrap_or_else(|| vec![0; rows.len()]))
    }

    /// The numbers of some rows; a missing column stands for zeros.
    pub(super) fn ints_at(&self, name: &str, rows: &[usize]) -> Result<Vec<i64>, Damage> {
        let list = self
            .reader
            .ints_at(name, self.rows(), rows)
            .map_err(failed)?;
        Ok(list.unwrap_or_else(|| vec![0; rows.len()]))
    }

    pub(super) fn counted<T>(&self, name: &str, list: Vec<T>) -> Result<Vec<T>, Damage> {
        if list.len() == self.rows() {
            Ok(list)
        } else {
            Err(damage(name))
        }
    }

    /// Where the points of a block of metrics are chunks.
    pub(super) fn point_rows(&self) -> Result<&(Vec<u32>, Vec<u64>), Damage> {
        once(&self.rows_of_points, || {
            PointBlock::open(&self.reader, &Parts::default(), None)?.rows()
        })
    }

    /// The series of a block of metrics with their encoding.
    pub(crate) fn entries(&self) -> Result<Vec<Arc<SeriesEntry>>, Damage> {
        crate::points::block::series(&self.reader, &Parts::default(), None)
    }

    /// Whether it holds points as chunks.
    pub(crate) fn has_chunks(&self) -> bool {
        self.signal == Signal::Metrics && has_chunks(&self.reader)
    }

    pub(super) fn time_column(&self) -> Result<&Vec<u64>, Damage> {
        if self.has_chunks() {
            return Ok(&self.point_rows()?.1);
        }
        once(&self.times, || self.uints("time"))
    }

    /// The times of some rows.
    pub(super) fn times_at(&self, rows: &[usize]) -> Result<Vec<u64>, Damage> {
        match self.times.get() {
            Some(times) => Ok(rows.iter().map(|row| times[*row]).collect()),
            None => self.uints_at("time", rows),
        }
    }

    /// The series of a block of metrics.
    pub(crate) fn series(&self) -> Result<&Vec<Series>, Damage> {
        once(&self.series, || {
            points::series(&self.reader, &self.interned)
        })
    }

    /// The points of a block of metrics with the index of their series, in row order.
    pub(crate) fn points(&self) -> Result<Vec<(usize, DataPoint)>, Damage> {
        if self.has_chunks() {
            return PointBlock::open(&self.reader, &Parts::default(), None)?.all();
        }
        points::points(&self.reader)
    }

    pub(super) fn attributes(&self) -> Result<&AttributeReader, Damage> {
        once(&self.attributes, || {
            AttributeReader::open(&self.reader, "attr", self.rows())
        })
    }

    /// Where each row's events, links or correlation pairs begin; nothing if there are none.
    pub(super) fn nested_starts(&self, unit: &str) -> Result<Option<(Vec<u32>, usize)>, Damage> {
        let name = format!("{unit}.count");
        let Some(counts) = self.reader.uints(&name).map_err(failed)? else {
            return Ok(None);
        };
        let counts = self.counted(&name, counts)?;
        let units = counts
            .iter()
            .fold(0u64, |sum, count| sum.saturating_add(*count));
        let units = usize::try_from(units).map_err(|_| damage(&name))?;
        Ok(Some((starts(&counts, units)?, units)))
    }
}

/// The status code behind its stored form; none where no status was sent.
pub(super) fn status_code(stored: i64) -> Option<i32> {
    let code = if stored > 0 { stored - 1 } else { stored };
    (stored != 0).then(|| i32::try_from(code).unwrap_or_default())
}

impl Table for BlockTable {
    fn rows(&self) -> usize {
        self.rows()
    }

    fn times(&self) -> Result<Cow<'_, [u64]>, Damage> {
        if self.signal != Signal::Logs {
            return Ok(Cow::Borrowed(self.time_column()?));
        }
        let time = self.time_column()?;
        if !time.contains(&0) {
            return Ok(Cow::Borrowed(time));
        }
        let observed = self.ints("observed")?;
        #[allow(clippy::cast_sign_loss)]
        let list = time
            .iter()
            .zip(observed)
            .map(|(time, observed)| if *time == 0 { observed as u64 } else { *time });
        Ok(list.collect())
    }

    #[allow(clippy::cast_sign_loss)]
    fn ends(&self) -> Result<Cow<'_, [u64]>, Damage> {
        if self.signal != Signal::Traces {
            return self.times();
        }
        let durations = self.ints("duration")?;
        let list = self
            .time_column()?
            .iter()
            .zip(durations)
            .map(|(start, duration)| start.wrapping_add(duration as u64).max(*start));
        Ok(list.collect())
    }

    fn visit(
        &self,
        field: &Field,
        among: &Mask,
        see: &mut dyn FnMut(usize, Cell<'_>),
    ) -> Result<(), Damage> {
        self.each_pick(field, among, &mut |pick, among| pick.visit(among, see))
    }

    fn matching(
        &self,
        field: &Field,
        among: &Mask,
        test: &dyn Fn(Cell<'_>) -> bool,
    ) -> Result<Mask, Damage> {
        let mut mask = Mask::none(self.rows());
        self.each_pick(field, among, &mut |pick, among| {
            pick.matching(among, test, &mut mask)
        })?;
        Ok(mask)
    }

    fn matching_words(&self, field: &Field, among: &Mask, sought: &Sought) -> Result<Mask, Damage> {
        let plain_bodies = *field == Field::Body
            && self.signal == Signal::Logs
            && !self.reader.has("body.kind", Kind::UInt);
        let column = if plain_bodies {
            let column = self.reader.templates("body", Kind::Text);
            column
                .map_err(failed)?
                .filter(|c| c.codes().len() == self.rows())
        } else {
            None
        };
        let Some(column) = column else {
            return self.matching(field, among, &|cell| sought.in_text(&cell.text()));
        };
        super::templates::matching(&column, sought, among).map_err(failed)
    }

    fn group(&self, field: &Field, among: &Mask, texts: Texts) -> Result<Grouped, Damage> {
        let mut grouped = Grouped::new(self.rows());
        if among.is_empty() {
            return Ok(grouped);
        }
        let (mut groups, mut units) = (0, Vec::new());
        self.each_pick(field, among, &mut |pick, among| {
            groups += 1;
            match pick.groups(among, self.rows(), texts) {
                Some(alone) if groups == 1 => grouped = alone,
                _ => pick.group(
                    among,
                    Grouping {
                        grouped: &mut grouped,
                        units: &mut units,
                        texts,
                    },
                ),
            }
        })?;
        Ok(grouped)
    }

    fn nested_bytes(&self, rows: &[usize]) -> Result<usize, Damage> {
        self.nested_bytes_of(rows)
    }

    fn spans(&self, rows: &[usize], columns: Columns) -> Result<Vec<Span>, Damage> {
        self.read_spans(rows, columns)
    }

    fn logs(&self, rows: &[usize]) -> Result<Vec<LogRecord>, Damage> {
        self.read_logs(rows)
    }

    fn fields(&self, among: &Mask) -> Result<Vec<(Field, &'static str, u64)>, Damage> {
        self.count_fields(among)
    }
}
