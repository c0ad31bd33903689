//! Attribute columns on the way out.

use model::{KeyValue, Value};

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
        let codes = reader.uints(&format!("{prefix}.shape")).map_err(failed)?;
        let (Some(kinds), Some(shapes), Some(codes)) = (kinds, shapes, codes) else {
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
        out.codes = codes
            .iter()
            .map(|code| {
                u32::try_from(*code)
                    .ok()
                    .filter(|c| (*c as usize) < out.shapes.len())
            })
            .collect::<Option<_>>()
            .ok_or_else(|| damage("attribute shape codes"))?;
        if out.kinds.len() != out.keys.len() || out.codes.len() != units {
            return Err(damage("attribute counts"));
        }
        out.counts = vec![0; out.keys.len()];
        for code in &out.codes {
            for column in &out.shapes[*code as usize] {
                out.counts[*column as usize] += 1;
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
            let mut columns = shape.clone();
            columns.sort_unstable();
            columns.dedup();
            for column in columns {
                counts[column as usize] += rows;
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
        let mut found = Vec::with_capacity(attributes.len());
        let mut offsets = vec![0usize; self.keys.len()];
        let mut wanted = attributes.iter().peekable();
        for (unit, code) in self.codes.iter().enumerate() {
            let shape = &self.shapes[*code as usize];
            while let Some((_, place)) = wanted.next_if(|(at, _)| *at == unit) {
                let column = *shape.get(*place).ok_or_else(|| damage("attribute place"))?;
                let before = shape[..*place].iter().filter(|other| **other == column);
                let column = column as usize;
                found.push((column, offsets[column] + before.count()));
            }
            shape
                .iter()
                .for_each(|column| offsets[*column as usize] += 1);
        }
        if found.len() == attributes.len() {
            Ok(found)
        } else {
            Err(damage("attribute unit"))
        }
    }

    /// Some values of a column.
    fn values_at(
        &self,
        reader: &BlockReader,
        column: usize,
        indices: &[usize],
    ) -> Result<Vec<Value>, Damage> {
        if self.kinds[column] == 0 {
            let name = format!("{}.s:{}", self.prefix, self.keys[column]);
            let texts = reader.text_at(&name, self.counts[column], indices);
            let texts = texts.map_err(|error| Damage(error.to_string()))?;
            let texts = texts.ok_or_else(|| Damage(format!("column {name} is missing")))?;
            return Ok(texts.into_iter().map(Value::Str).collect());
        }
        let source = self.source(reader, column)?;
        let value = |index: &usize| match source.cell(*index) {
            Some(crate::table::Cell::Value(value)) => value.to_value(),
            _ => Value::Empty,
        };
        Ok(indices.iter().map(value).collect())
    }

    /// The attributes of these units, in their order.
    pub(super) fn read(
        &self,
        reader: &BlockReader,
        units: &[usize],
    ) -> Result<Vec<Vec<KeyValue>>, Damage> {
        let mut wanted = vec![NONE; self.codes.len()];
        for (position, unit) in units.iter().enumerate() {
            let slot = wanted
                .get_mut(*unit)
                .ok_or_else(|| damage("unit outside of block"))?;
            *slot = u32::try_from(position).expect("a block has fewer than 2^32 rows");
        }
        // Where each value of the units asked for goes: first which values of which columns are
        // wanted, then each of those columns is read once.
        let mut out: Vec<Vec<KeyValue>> = vec![Vec::new(); units.len()];
        let mut indices: Vec<Vec<usize>> = vec![Vec::new(); self.keys.len()];
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.keys.len()];
        let mut offsets = vec![0usize; self.keys.len()];
        for (unit, code) in self.codes.iter().enumerate() {
            let shape = &self.shapes[*code as usize];
            let position = wanted[unit];
            for column in shape {
                let column = *column as usize;
                if position != NONE {
                    let row = &mut out[position as usize];
                    indices[column].push(offsets[column]);
                    places[column].push((position as usize, row.len()));
                    row.push(KeyValue {
                        key: self.keys[column].clone(),
                        value: Value::Empty,
                    });
                }
                offsets[column] += 1;
            }
        }
        for (column, indices) in indices
            .iter()
            .enumerate()
            .filter(|(_, list)| !list.is_empty())
        {
            let values = self.values_at(reader, column, indices)?;
            for ((unit, at), value) in places[column].iter().zip(values) {
                out[*unit][*at].value = value;
            }
        }
        // A unit asked for twice was only filled in the last place; the others copy it.
        for (position, unit) in units.iter().enumerate() {
            let filled = wanted[*unit] as usize;
            if filled != position {
                out[position] = out[filled].clone();
            }
        }
        Ok(out)
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
