//! Attribute columns on the way out.

use model::{KeyValue, Value};
use rustc_hash::FxHashSet;

use super::pick::{At, NONE, Pick, Source, damage};
use super::{TYPES, varints};
use crate::block::BlockReader;
use crate::table::{Damage, Mask};

/// The attributes of the rows (or events, or links) of a block: which has which columns.
pub(super) struct AttributeReader {
    prefix: String,
    keys: Vec<String>,
    kinds: Vec<u8>,
    shapes: Vec<Vec<u32>>,
    /// Per unit.
    codes: Vec<u32>,
    /// Values per column.
    counts: Vec<usize>,
}

impl AttributeReader {
    /// Reads the directory of attribute columns for `units` rows, events or links.
    pub(super) fn open(reader: &BlockReader, prefix: &str, units: usize) -> Result<Self, Damage> {
        let failed = |error: crate::block::BlockError| Damage(error.to_string());
        let mut out = Self {
            prefix: prefix.to_owned(),
            keys: Vec::new(),
            kinds: Vec::new(),
            shapes: vec![Vec::new()],
            codes: vec![0; units],
            counts: Vec::new(),
        };
        let Some(keys) = reader.text(&format!("{prefix}.keys")).map_err(failed)? else {
            return Ok(out);
        };
        out.keys = keys.iter().map(str::to_owned).collect();
        let kinds = reader.uints(&format!("{prefix}.kinds")).map_err(failed)?;
        let shapes = reader.bytes(&format!("{prefix}.shapes")).map_err(failed)?;
        let (Some(kinds), Some(shapes)) = (kinds, shapes) else {
            return Err(damage("attribute directory is incomplete"));
        };
        out.kinds = kinds
            .iter()
            .map(|kind| {
                u8::try_from(*kind)
                    .ok()
                    .filter(|kind| usize::from(*kind) < TYPES.len())
            })
            .collect::<Option<_>>()
            .ok_or_else(|| damage("attribute types"))?;
        out.shapes = shapes
            .iter()
            .map(|shape| {
                varints(shape).filter(|list| {
                    list.iter()
                        .all(|column| (*column as usize) < out.keys.len())
                })
            })
            .collect::<Option<_>>()
            .ok_or_else(|| damage("attribute shapes"))?;
        let codes = reader.indices(&format!("{prefix}.shape"), out.shapes.len());
        out.codes = codes
            .map_err(failed)?
            .ok_or_else(|| damage("attribute directory is incomplete"))?;
        if out.kinds.len() != out.keys.len() || out.codes.len() != units {
            return Err(damage("attribute counts"));
        }
        let mut units_of = vec![0; out.shapes.len()];
        for code in &out.codes {
            units_of[*code as usize] += 1;
        }
        out.counts = vec![0; out.keys.len()];
        for (shape, units) in out.shapes.iter().zip(units_of) {
            for column in shape {
                out.counts[*column as usize] += units;
            }
        }
        Ok(out)
    }

    /// The keys of all columns; one key may have columns of several types.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The columns of each unit's attributes, in order.
    pub(super) fn units(&self) -> impl Iterator<Item = &[u32]> {
        let shape = |code: &u32| self.shapes[*code as usize].as_slice();
        self.codes.iter().map(shape)
    }

    /// The values of one column.
    pub(super) fn source(&self, reader: &BlockReader, column: usize) -> Result<Source, Damage> {
        Source::attribute(
            reader,
            &self.prefix,
            &self.keys[column],
            self.kinds[column],
            self.counts[column],
        )
    }

    /// Per column of this key, which unit has which value: where a unit names the key more than
    /// once, the last.
    pub(super) fn columns_of(&self, key: &str) -> Vec<(usize, Vec<u32>)> {
        let columns: Vec<usize> = (0..self.keys.len())
            .filter(|column| self.keys[*column] == key)
            .collect();
        if let [column] = columns[..] {
            return vec![(column, self.last_of(column))];
        }
        let mut out: Vec<(usize, Vec<u32>)> = columns
            .iter()
            .map(|column| (*column, vec![NONE; self.codes.len()]))
            .collect();
        // Per shape: how many values of each column, and which column comes last.
        let plans: Vec<(Vec<u32>, Option<usize>)> = self
            .shapes
            .iter()
            .map(|shape| {
                let mut counts = vec![0; columns.len()];
                let mut last = None;
                for column in shape {
                    if let Some(at) = columns.iter().position(|c| *c == *column as usize) {
                        counts[at] += 1;
                        last = Some(at);
                    }
                }
                (counts, last)
            })
            .collect();
        let mut offsets = vec![0u32; columns.len()];
        for (unit, code) in self.codes.iter().enumerate() {
            let (counts, last) = &plans[*code as usize];
            for (offset, count) in offsets.iter_mut().zip(counts) {
                *offset += count;
            }
            if let Some(last) = last {
                out[*last].1[unit] = offsets[*last] - 1;
            }
        }
        out
    }

    /// Per unit its last value of a column.
    fn last_of(&self, column: usize) -> Vec<u32> {
        let named = |shape: &Vec<u32>| {
            let named = shape.iter().filter(|other| **other as usize == column);
            u32::try_from(named.count()).unwrap_or(NONE)
        };
        let counts: Vec<u32> = self.shapes.iter().map(named).collect();
        let mut end = 0u32;
        let last = |code: &u32| {
            let count = counts[*code as usize];
            end = end.wrapping_add(count);
            if count == 0 { NONE } else { end - 1 }
        };
        self.codes.iter().map(last).collect()
    }

    /// The values of a key of the rows themselves.
    pub(super) fn picks(&self, reader: &BlockReader, key: &str) -> Result<Vec<Pick>, Damage> {
        self.columns_of(key)
            .into_iter()
            .map(|(column, index)| {
                Pick::checked(
                    self.source(reader, column)?,
                    At::Index(index),
                    self.codes.len(),
                )
            })
            .collect()
    }

    /// The values of a key of the rows' events or links.
    pub(super) fn nested_picks(
        &self,
        reader: &BlockReader,
        key: &str,
        starts: &[u32],
    ) -> Result<Vec<Pick>, Damage> {
        self.columns_of(key)
            .into_iter()
            .map(|(column, index)| {
                let at = At::Nested {
                    starts: starts.to_vec(),
                    index,
                };
                Pick::checked(self.source(reader, column)?, at, starts.len() - 1)
            })
            .collect()
    }

    /// Keys with their type and the number of rows that have them.
    pub(super) fn fields(&self, among: &Mask) -> Vec<(String, u8, u64)> {
        let mut shape_rows = vec![0u64; self.shapes.len()];
        for row in among.iter() {
            shape_rows[self.codes[row] as usize] += 1;
        }
        let mut counts = vec![0u64; self.keys.len()];
        for (shape, rows) in self.shapes.iter().zip(shape_rows) {
            let mut keys = FxHashSet::default();
            let named = shape.iter().rev().map(|column| *column as usize);
            for column in named.filter(|column| keys.insert(self.keys[*column].as_str())) {
                counts[column] += rows;
            }
        }
        self.keys
            .iter()
            .zip(&self.kinds)
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|((key, kind), count)| (key.clone(), *kind, count))
            .collect()
    }

    /// For attributes given by their unit and their place in it, in rising order of units: which
    /// column each is in, and which value of it.
    pub(super) fn locate(
        &self,
        attributes: &[(usize, usize)],
    ) -> Result<Vec<(usize, usize)>, Damage> {
        let mut passed = Passed::new(self);
        let locate = |(unit, place): &(usize, usize)| {
            let code = self
                .codes
                .get(*unit)
                .ok_or_else(|| damage("attribute unit"))?;
            passed.up_to(*unit);
            let shape = &self.shapes[*code as usize];
            let column = *shape.get(*place).ok_or_else(|| damage("attribute place"))?;
            let before = shape[..*place].iter().filter(|other| **other == column);
            let column = column as usize;
            Ok((column, passed.offsets[column] + before.count()))
        };
        attributes.iter().map(locate).collect()
    }

    /// Some values of a column.
    fn values_at(
        &self,
        reader: &BlockReader,
        column: usize,
        indices: &[usize],
    ) -> Result<Vec<Value>, Damage> {
        let (kind, count) = (self.kinds[column], self.counts[column]);
        let name = || {
            format!(
                "{}.{}:{}",
                self.prefix,
                TYPES[usize::from(kind)],
                self.keys[column]
            )
        };
        let missing = || Damage(format!("column {} is missing", name()));
        let failed = |error: crate::block::BlockError| Damage(error.to_string());
        match kind {
            0 => {
                let texts = reader.text_at(&name(), count, indices).map_err(failed)?;
                let texts = texts.ok_or_else(missing)?;
                Ok(texts.into_iter().map(Value::Str).collect())
            }
            1 => {
                let ints = reader.ints_at(&name(), count, indices).map_err(failed)?;
                Ok(ints
                    .ok_or_else(missing)?
                    .into_iter()
                    .map(Value::Int)
                    .collect())
            }
            _ => {
                let source = self.source(reader, column)?;
                let value = |index: &usize| match source.cell(*index) {
                    Some(crate::table::Cell::Value(value)) => value.to_value(),
                    _ => Value::Empty,
                };
                Ok(indices.iter().map(value).collect())
            }
        }
    }

    /// The attributes of these units, in their order.
    pub(super) fn read(
        &self,
        reader: &BlockReader,
        units: &[usize],
    ) -> Result<Vec<Vec<KeyValue>>, Damage> {
        let Wanted { indices, places } = self.wanted(units)?;
        let empty = |column: &u32| KeyValue {
            key: self.keys[*column as usize].clone(),
            value: Value::Empty,
        };
        let shape = |unit: &usize| &self.shapes[self.codes[*unit] as usize];
        let mut out: Vec<Vec<KeyValue>> = units
            .iter()
            .map(|unit| shape(unit).iter().map(empty).collect())
            .collect();
        let wanted = indices.iter().enumerate();
        for (column, indices) in wanted.filter(|(_, list)| !list.is_empty()) {
            let values = self.values_at(reader, column, indices)?;
            for ((position, at), value) in places[column].iter().zip(values) {
                out[*position][*at].value = value;
            }
        }
        Ok(out)
    }

    /// About how much memory the values of these units that are bytes, arrays or key-value lists
    /// take once they are built.
    pub(super) fn nested_bytes(
        &self,
        reader: &BlockReader,
        units: &[usize],
    ) -> Result<usize, Damage> {
        let mut bytes = 0usize;
        for (column, indices) in self.wanted(units)?.indices.iter().enumerate() {
            if indices.is_empty() || !matches!(self.kinds[column], 4..=6) {
                continue;
            }
            let source = self.source(reader, column)?;
            let taken = indices.iter().map(|at| match source.cell(*at) {
                Some(crate::table::Cell::Value(value)) => value.owned_bytes(),
                _ => 0,
            });
            bytes = bytes.saturating_add(taken.sum());
        }
        Ok(bytes)
    }

    /// Which values of which columns the units have.
    fn wanted(&self, units: &[usize]) -> Result<Wanted, Damage> {
        if units.iter().any(|unit| *unit >= self.codes.len()) {
            return Err(damage("unit outside of block"));
        }
        let mut indices: Vec<Vec<usize>> = vec![Vec::new(); self.keys.len()];
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.keys.len()];
        let mut order: Vec<usize> = (0..units.len()).collect();
        order.sort_unstable_by_key(|position| units[*position]);
        let mut passed = Passed::new(self);
        for position in order {
            let unit = units[position];
            passed.up_to(unit);
            for (place, column) in self.shapes[self.codes[unit] as usize].iter().enumerate() {
                let column = *column as usize;
                // A row may name a key more than once.
                let again = places[column].last().is_some_and(|(at, _)| *at == position);
                let index = match indices[column].last() {
                    Some(last) if again => last + 1,
                    _ => passed.offsets[column],
                };
                indices[column].push(index);
                places[column].push((position, place));
            }
        }
        Ok(Wanted { indices, places })
    }
}

/// Per column the values that some units have, and where each goes: to which of the units asked
/// for, and to which place among its attributes.
struct Wanted {
    indices: Vec<Vec<usize>>,
    places: Vec<Vec<(usize, usize)>>,
}

/// How many values of each column the units before one have.
struct Passed<'a> {
    of: &'a AttributeReader,
    unit: usize,
    offsets: Vec<usize>,
    /// Units of each shape whose values are not in the offsets yet, and which shapes have any.
    pending: Vec<usize>,
    touched: Vec<u32>,
}

impl<'a> Passed<'a> {
    fn new(of: &'a AttributeReader) -> Self {
        Self {
            of,
            unit: 0,
            offsets: vec![0; of.keys.len()],
            pending: vec![0; of.shapes.len()],
            touched: Vec::new(),
        }
    }

    /// Goes on to a unit that does not come before the last one.
    fn up_to(&mut self, unit: usize) {
        for code in &self.of.codes[self.unit..unit] {
            let pending = &mut self.pending[*code as usize];
            if *pending == 0 {
                self.touched.push(*code);
            }
            *pending += 1;
        }
        self.unit = unit;
        for code in self.touched.drain(..) {
            let units = std::mem::take(&mut self.pending[code as usize]);
            for column in &self.of.shapes[code as usize] {
                self.offsets[*column as usize] += units;
            }
        }
    }
}

/// Running sums of counts: where the units of each row begin, and where the last one's end.
pub(super) fn starts(counts: &[u64], units: usize) -> Result<Vec<u32>, Damage> {
    let mut out = Vec::with_capacity(counts.len() + 1);
    let mut at = 0u64;
    out.push(0);
    for count in counts {
        at = at.checked_add(*count).ok_or_else(|| damage("counts"))?;
        out.push(u32::try_from(at).map_err(|_| damage("counts"))?);
    }
    if at == units as u64 {
        Ok(out)
    } else {
        Err(damage("counts do not add up"))
    }
}
