//! The values of a field over the rows of a block.

use super::TYPES;
use super::pick::{At, NONE, Pick, Source, damage};
use super::read::AttributeReader;
use super::table::{BlockTable, failed, status_code};
use crate::filter::{Field, Level};
use crate::table::{
    Cell, Damage, Mask, SharedValue, Table, kind_cell, kind_name, shared_value, status_cell,
    visible,
};
use model::Signal;

impl BlockTable {
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
                    NONE
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
                let map = |status| Some(status_cell(status_code(status).unwrap_or_default()));
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
                let ids = self.reader.fixed16_column("trace_id").map_err(failed)?;
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
    pub(super) fn each_pick(
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

    /// The fields of some rows with the type of their values and how many rows have them.
    pub(super) fn count_fields(
        &self,
        among: &Mask,
    ) -> Result<Vec<(Field, &'static str, u64)>, Damage> {
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
