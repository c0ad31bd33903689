//! A block as a [`Table`].

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use model::metric::Series;
use model::{DataPoint, LogRecord, Resource, Scope, Signal, Span};

use super::interned::SharedList;
use super::pick::{At, Pick, Source, damage};
use super::read::{AttributeReader, starts};
use super::{Interned, TYPES, points};
use crate::block::{BlockError, BlockReader, Kind};
use crate::filter::{Field, Level};
use crate::message::Columns;
use crate::points::SeriesEntry;
use crate::points::block::{Parts, PointBlock, has_chunks};
use crate::scan::Share;
use crate::table::{
    Cell, Damage, Grouped, Mask, SharedValue, Table, kind_cell, kind_name, shared_value,
    status_cell, visible,
};
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

    fn attribute_picks(&self, level: Level, key: &str) -> Result<Vec<Pick>, Damage> {
        match level {
            Level::Row if self.signal == Signal::Metrics => Ok(vec![
                self.shared_pick(Level::Row, &|_, _, attributes| {
                    shared_value(attributes, key)
                })?,
            ]),
            Level::Row => self.attributes()?.picks(&self.reader, key),
            Level::Resource => Ok(vec![
                self.shared_pick(Level::Resource, &|resource, _, _| {
                    shared_value(&resource.attributes, key)
                })?,
            ]),
            Level::Scope => Ok(vec![self.shared_pick(Level::Scope, &|_, scope, _| {
                shared_value(&scope.attributes, key)
            })?]),
            Level::Event | Level::Link => {
                let unit = if level == Level::Event {
                    "event"
                } else {
                    "link"
                };
                let Some((starts, units)) = self.nested_starts(unit)? else {
                    return Ok(Vec::new());
                };
                AttributeReader::open(&self.reader, &format!("{unit}.attr"), units)?.nested_picks(
                    &self.reader,
                    key,
                    &starts,
                )
            }
            Level::Any => Ok(Vec::new()),
        }
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

    fn nested_pick(&self, unit: &str, source: Option<Source>) -> Result<Vec<Pick>, Damage> {
        let (Some((starts, units)), Some(source)) = (self.nested_starts(unit)?, source) else {
            return Ok(Vec::new());
        };
        let index = (0..u32::try_from(units).map_err(|_| damage(unit))?).collect();
        Ok(vec![Pick::checked(
            source,
            At::Nested { starts, index },
            self.rows(),
        )?])
    }

    fn text_pick(&self, name: &str) -> Result<Vec<Pick>, Damage> {
        let Some(column) = self.reader.text(name).map_err(failed)? else {
            return Ok(Vec::new());
        };
        // An empty text stands for one that was not sent.
        let empty = column.values().position(|text| text.is_empty());
        let index = column
            .codes()
            .iter()
            .enumerate()
            .map(|(row, code)| {
                if Some(*code as usize) == empty {
                    super::pick::NONE
                } else {
                    u32::try_from(row).expect("a block has fewer than 2^32 rows")
                }
            })
            .collect();
        Ok(vec![Pick::checked(
            Source::Text(column),
            At::Index(index),
            self.rows(),
        )?])
    }

    fn rows_pick(&self, source: Source) -> Result<Vec<Pick>, Damage> {
        Ok(vec![Pick::checked(source, At::Rows, self.rows())?])
    }

    fn span_picks(&self, field: &Field) -> Result<Vec<Pick>, Damage> {
        match field {
            Field::Name => {
                let names = self.reader.text("name").map_err(failed)?;
                self.rows_pick(Source::Text(names.ok_or_else(|| damage("name"))?))
            }
            Field::Kind => {
                let map = |kind| Some(kind_cell(i32::try_from(kind).unwrap_or_default()));
                self.rows_pick(Source::Mapped(self.ints("kind")?, map))
            }
            Field::Status => {
                let map = |status| {
                    Some(status_cell(
                        super::table::status_code(status).unwrap_or_default(),
                    ))
                };
                self.rows_pick(Source::Mapped(self.ints("status")?, map))
            }
            Field::StatusMessage => self.text_pick("status.message"),
            Field::Duration => {
                let ends = self.ends()?;
                let times = self.time_column()?;
                let list = times
                    .iter()
                    .zip(ends.iter())
                    .map(|(s, e)| crate::table::duration(*s, *e));
                self.rows_pick(Source::Ints(list.collect()))
            }
            Field::SpanId => {
                let ids = self.reader.fixed8("span_id").map_err(failed)?;
                self.rows_pick(Source::Ids8(ids.ok_or_else(|| damage("span_id"))?))
            }
            Field::ParentId => {
                let (ids, index) = self.parent_ids()?;
                Ok(vec![Pick::checked(
                    Source::Ids8(ids),
                    At::Index(index),
                    self.rows(),
                )?])
            }
            Field::TraceState => self.text_pick("trace_state"),
            Field::EventName => {
                let names = self.reader.text("event.name").map_err(failed)?;
                self.nested_pick("event", names.map(Source::Text))
            }
            Field::LinkTraceId => {
                let ids = self.reader.bytes("link.trace_id").map_err(failed)?;
                self.nested_pick("link", ids.map(Source::Ids))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn log_picks(&self, field: &Field) -> Result<Vec<Pick>, Damage> {
        match field {
            Field::Body => self.body_picks(),
            Field::SpanId => {
                let (ids, index) = self.log_span_ids()?;
                Ok(vec![Pick::checked(
                    Source::Ids8(ids),
                    At::Index(index),
                    self.rows(),
                )?])
            }
            Field::Severity => {
                let map = |number| (number > 0).then(|| Cell::int(number));
                self.rows_pick(Source::Mapped(self.severities()?, map))
            }
            Field::Level => {
                let map = |number| {
                    let number = i32::try_from(number).ok()?;
                    model::log::level_name(number).map(Cell::str)
                };
                self.rows_pick(Source::Mapped(self.severities()?, map))
            }
            Field::SeverityText => self.text_pick("severity.text"),
            Field::EventName => self.text_pick("event_name"),
            _ => Ok(Vec::new()),
        }
    }

    fn picks(&self, field: &Field) -> Result<Vec<Pick>, Damage> {
        match field {
            Field::Attribute { level, key } => self.attribute_picks(*level, key),
            Field::Service => Ok(vec![self.service_pick()?]),
            Field::ScopeName => Ok(vec![self.shared_pick(Level::Scope, &|_, scope, _| {
                (!scope.name.is_empty()).then(|| SharedValue::Plain(scope.name.as_str().into()))
            })?]),
            Field::ScopeVersion => Ok(vec![self.shared_pick(Level::Scope, &|_, scope, _| {
                (!scope.version.is_empty())
                    .then(|| SharedValue::Plain(scope.version.as_str().into()))
            })?]),
            Field::Correlation => self.correlation_picks(),
            Field::TraceId if self.signal != Signal::Metrics => {
                let ids = self.reader.fixed16("trace_id").map_err(failed)?;
                self.rows_pick(Source::Ids16(ids.ok_or_else(|| damage("trace_id"))?))
            }
            _ => match self.signal {
                Signal::Traces => self.span_picks(field),
                Signal::Logs => self.log_picks(field),
                Signal::Metrics if *field == Field::Name => {
                    let series = self.series()?;
                    let names = series
                        .iter()
                        .map(|s| Some(SharedValue::Plain(s.metric.name.as_str().into())))
                        .collect();
                    let index = self.shared_index("series", series.len())?;
                    let source = Source::Shared(names);
                    Ok(vec![Pick::checked(source, At::Index(index), self.rows())?])
                }
                Signal::Metrics => Ok(Vec::new()),
            },
        }
    }

    /// Calls `on` with values of the field and the rows for which they count.
    fn each_pick(
        &self,
        field: &Field,
        among: &Mask,
        on: &mut dyn FnMut(&Pick, &Mask),
    ) -> Result<(), Damage> {
        let Field::Attribute {
            level: Level::Any,
            key,
        } = field
        else {
            self.picks(field)?.iter().for_each(|pick| on(pick, among));
            return Ok(());
        };
        let mut rest = among.clone();
        for level in self.levels_of(key)? {
            let picks = self.attribute_picks(level, key)?;
            picks.iter().for_each(|pick| on(pick, &rest));
            if level == Level::Resource {
                break;
            }
            for pick in &picks {
                rest = rest.clone().minus(&pick.present(&rest));
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// The status code behind its stored form; none where no status was sent.
pub(super) fn status_code(stored: i64) -> Option<i32> {
    let code = if stored > 0 { stored - 1 } else { stored };
    (stored != 0).then(|| i32::try_from(code).unwrap_or_default())
}

impl BlockTable {
    /// The fields of points, counted by series.
    fn series_fields(&self, among: &Mask) -> Result<Vec<(Field, &'static str, u64)>, Damage> {
        let series = self.series()?;
        let index = self.shared_index("series", series.len())?;
        let mut rows = vec![0u64; series.len()];
        among.iter().for_each(|row| rows[index[row] as usize] += 1);
        let mut out = Vec::new();
        for (series, count) in series.iter().zip(rows).filter(|(_, count)| *count > 0) {
            let levels = [
                (Level::Row, &series.attributes),
                (Level::Resource, &series.resource.attributes),
                (Level::Scope, &series.scope.attributes),
            ];
            for (level, list) in levels {
                for (at, attribute) in list.iter().enumerate() {
                    let again = |later: &model::KeyValue| later.key == attribute.key;
                    if list[at + 1..].iter().any(again) {
                        continue;
                    }
                    let kind = kind_name(SharedValue::new(&attribute.value).value());
                    let field = Field::Attribute {
                        level,
                        key: attribute.key.clone(),
                    };
                    out.push((field, kind, count));
                }
            }
        }
        Ok(out)
    }
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

    fn group(&self, field: &Field, among: &Mask) -> Result<Grouped, Damage> {
        let mut grouped = Grouped::new(self.rows());
        if among.is_empty() {
            return Ok(grouped);
        }
        let mut groups = 0;
        self.each_pick(field, among, &mut |pick, among| {
            groups += 1;
            match pick.groups(among, self.rows()) {
                Some(alone) if groups == 1 => grouped = alone,
                _ => pick.group(among, &mut grouped),
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
        const KINDS: [&str; 8] = [
            "string", "int", "double", "bool", "bytes", "array", "kvlist", "empty",
        ];
        debug_assert_eq!(KINDS.len(), TYPES.len());
        let mut out = Vec::new();
        if self.signal == Signal::Metrics {
            return self.series_fields(among);
        }
        for (key, kind, count) in self.attributes()?.fields(among) {
            let field = Field::Attribute {
                level: Level::Row,
                key,
            };
            out.push((field, KINDS[usize::from(kind)], count));
        }
        let resources = self.all_resources()?;
        let scopes = self.all_scopes()?;
        let shared: [(Level, &str, Vec<&[model::KeyValue]>); 2] = [
            (
                Level::Resource,
                "resource",
                resources.iter().map(|r| &*r.attributes).collect(),
            ),
            (
                Level::Scope,
                "scope",
                scopes.iter().map(|s| &*s.attributes).collect(),
            ),
        ];
        for (level, column, lists) in shared {
            let index = self.shared_index(column, lists.len())?;
            let mut rows = vec![0u64; lists.len()];
            among.iter().for_each(|row| rows[index[row] as usize] += 1);
            for (list, count) in lists.iter().zip(rows).filter(|(_, count)| *count > 0) {
                for attribute in visible(list) {
                    let kind = kind_name(SharedValue::new(&attribute.value).value());
                    let field = Field::Attribute {
                        level,
                        key: attribute.key.clone(),
                    };
                    out.push((field, kind, count));
                }
            }
        }
        Ok(out)
    }
}
