//! Correlation pairs: where their values stand in a row, and the values themselves.

use model::Value;
use rustc_hash::FxHashMap;

use super::pick::{At, NONE, Pick, Source, damage};
use super::table::{BlockTable, failed};
use crate::block::TextColumn;
use crate::table::{Damage, SharedValue};

impl BlockTable {
    /// The correlation pairs of these rows. `body` gives the text of a row's body.
    pub(super) fn correlation(
        &self,
        rows: &[usize],
        attributes: &[Vec<model::KeyValue>],
        bodies: &[Value],
    ) -> Result<Vec<Vec<(String, String)>>, Damage> {
        let Some((starts, units)) = self.nested_starts("corr")? else {
            return Ok(vec![Vec::new(); rows.len()]);
        };
        let columns = CorrelationColumns::open(self, units)?;
        rows.iter()
            .enumerate()
            .map(|(position, row)| {
                let units = starts[*row] as usize..starts[*row + 1] as usize;
                units
                    .map(|unit| columns.pair(unit, &attributes[position], bodies.get(position)))
                    .collect()
            })
            .collect()
    }

    /// Correlation values as a field. A value that is the whole of an attribute, as most are, is
    /// read from that attribute's column; the others are built.
    pub(super) fn correlation_picks(&self) -> Result<Vec<Pick>, Damage> {
        let Some((starts, units)) = self.nested_starts("corr")? else {
            return Ok(Vec::new());
        };
        let columns = CorrelationColumns::open(self, units)?;
        let mut row_of = vec![0usize; units];
        for (row, range) in starts.windows(2).enumerate() {
            row_of[range[0] as usize..range[1] as usize].fill(row);
        }
        let mut built: Vec<usize> = Vec::new();
        let mut whole: Vec<usize> = Vec::new();
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (unit, row) in row_of.iter().enumerate() {
            match columns.sources[unit].checked_sub(2).map(usize::try_from) {
                Some(Ok(place)) if columns.offsets[unit] == 0 => {
                    whole.push(unit);
                    places.push((*row, place));
                }
                _ => built.push(unit),
            }
        }
        let attributes = self.attributes()?;
        let mut by_column: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut places_of: FxHashMap<usize, usize> = FxHashMap::default();
        for (unit, (column, index)) in whole.iter().zip(attributes.locate(&places)?) {
            let place = *places_of.entry(column).or_insert_with(|| {
                by_column.push((column, vec![NONE; units]));
                by_column.len() - 1
            });
            by_column[place].1[*unit] = u32::try_from(index).map_err(|_| damage("corr.source"))?;
        }
        by_column.sort_unstable_by_key(|(column, _)| *column);
        let mut picks = Vec::new();
        for (column, mut index) in by_column {
            let source = attributes.source(&self.reader, column)?;
            let Source::Text(texts) = &source else {
                return Err(damage("corr attribute"));
            };
            for (unit, at) in index.iter_mut().enumerate().filter(|(_, at)| **at != NONE) {
                if texts.get(*at as usize).len() as u64 != columns.lengths[unit] {
                    built.push(unit);
                    *at = NONE;
                }
            }
            let at = At::Nested {
                starts: starts.clone(),
                index,
            };
            picks.push(Pick::checked(source, at, self.rows())?);
        }
        if !built.is_empty() {
            built.sort_unstable();
            let source = Source::Shared(self.built_values(&columns, &row_of, &built)?);
            let mut index = vec![NONE; units];
            for (position, unit) in (0u32..).zip(&built) {
                index[*unit] = position;
            }
            picks.push(Pick::checked(
                source,
                At::Nested { starts, index },
                self.rows(),
            )?);
        }
        Ok(picks)
    }

    /// The values of some correlation pairs, cut out of what they are part of.
    fn built_values(
        &self,
        columns: &CorrelationColumns,
        row_of: &[usize],
        units: &[usize],
    ) -> Result<Vec<Option<SharedValue>>, Damage> {
        let mut rows: Vec<usize> = units.iter().map(|unit| row_of[*unit]).collect();
        rows.dedup();
        let attributes = self.attributes()?.read(&self.reader, &rows)?;
        let bodies = if self.signal == model::Signal::Logs {
            self.bodies(&rows)?
        } else {
            Vec::new()
        };
        let value = |unit: &usize| {
            let at = rows.binary_search(&row_of[*unit]);
            let at = at.map_err(|_| damage("corr.count"))?;
            let (_, value) = columns.pair(*unit, &attributes[at], bodies.get(at))?;
            Ok(Some(SharedValue::Plain(Value::Str(value))))
        };
        units.iter().map(value).collect()
    }
}

/// Decoded columns of correlation pairs.
pub(super) struct CorrelationColumns {
    pub keys: TextColumn,
    pub sources: Vec<u64>,
    pub offsets: Vec<u64>,
    pub lengths: Vec<u64>,
    pub values: Option<TextColumn>,
    /// Per unit the index into `values`, for those that have one.
    pub value_index: Vec<usize>,
}

impl CorrelationColumns {
    pub(super) fn open(table: &BlockTable, units: usize) -> Result<Self, Damage> {
        let list = |name: &str| -> Result<Vec<u64>, Damage> {
            let list = table.reader.uints(name).map_err(failed)?;
            Ok(list.unwrap_or_else(|| vec![0; units]))
        };
        let (sources, offsets) = (list("corr.source")?, list("corr.offset")?);
        let lengths = list("corr.length")?;
        let keys = table.reader.text("corr.key").map_err(failed)?;
        let keys = keys.ok_or_else(|| damage("corr.key"))?;
        if [keys.len(), sources.len(), offsets.len(), lengths.len()] != [units; 4] {
            return Err(damage("correlation counts"));
        }
        let mut next = 0;
        let value_index = sources
            .iter()
            .map(|source| {
                next += usize::from(*source == 0);
                next.saturating_sub(1)
            })
            .collect();
        let values = table.reader.text("corr.value").map_err(failed)?;
        if values.as_ref().map_or(0, TextColumn::len) != next {
            return Err(damage("corr.value"));
        }
        Ok(Self {
            keys,
            sources,
            offsets,
            lengths,
            values,
            value_index,
        })
    }

    fn pair(
        &self,
        unit: usize,
        attributes: &[model::KeyValue],
        body: Option<&Value>,
    ) -> Result<(String, String), Damage> {
        let key = self.keys.get(unit).to_owned();
        let slice = |text: &str| -> Result<String, Damage> {
            let offset = usize::try_from(self.offsets[unit]).map_err(|_| damage("corr.offset"))?;
            let length = usize::try_from(self.lengths[unit]).map_err(|_| damage("corr.length"))?;
            let end = offset
                .checked_add(length)
                .ok_or_else(|| damage("corr.length"))?;
            Ok(text
                .get(offset..end)
                .ok_or_else(|| damage("corr.offset"))?
                .to_owned())
        };
        let value = match self.sources[unit] {
            0 => {
                let values = self.values.as_ref().ok_or_else(|| damage("corr.value"))?;
                values.get(self.value_index[unit]).to_owned()
            }
            1 => slice(
                body.and_then(Value::as_str)
                    .ok_or_else(|| damage("corr body"))?,
            )?,
            source => {
                let index = usize::try_from(source - 2).map_err(|_| damage("corr.source"))?;
                let attribute = attributes.get(index).ok_or_else(|| damage("corr.source"))?;
                slice(
                    attribute
                        .value
                        .as_str()
                        .ok_or_else(|| damage("corr attribute"))?,
                )?
            }
        };
        Ok((key, value))
    }
}
