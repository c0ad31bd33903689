//! Values of one field in a decoded block: where they lie, and which row has which.

use std::sync::Arc;

use model::ValueRef;
use rustc_hash::FxHashMap;

use super::TYPES;
use crate::block::{BlockReader, BytesColumn, FixedColumn, TextColumn};
use crate::table::{Cell, Damage, Grouped, Mask, SharedValue, Texts};

/// No value.
pub(super) const NONE: u32 = u32::MAX;

/// Decoded values.
pub(super) enum Source {
    Text(TextColumn),
    /// With the code of their type: bytes, array or key-value list.
    Bytes(Arc<BytesColumn>, u8),
    Ids(BytesColumn),
    Ints(Vec<i64>),
    /// Integers that stand for something else, or for nothing.
    Mapped(Vec<i64>, fn(i64) -> Option<Cell<'static>>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Ids8(Vec<[u8; 8]>),
    Ids16(FixedColumn<16>),
    Shared(Vec<Option<SharedValue>>),
    /// As many empty values as there are.
    Empty(usize),
}

impl Source {
    /// The attribute column of this key and type code, which must hold `count` values.
    pub(super) fn attribute(
        reader: &BlockReader,
        prefix: &str,
        key: &str,
        code: u8,
        count: usize,
    ) -> Result<Self, Damage> {
        let kind = TYPES
            .get(usize::from(code))
            .ok_or_else(|| damage("attribute type"))?;
        let name = format!("{prefix}.{kind}:{key}");
        let failed = |error: crate::block::BlockError| Damage(error.to_string());
        let source = match code {
            0 => reader.text(&name).map_err(failed)?.map(Source::Text),
            1 => reader.ints(&name).map_err(failed)?.map(Source::Ints),
            2 => reader.doubles(&name).map_err(failed)?.map(Source::Doubles),
            3 => reader.bools(&name).map_err(failed)?.map(Source::Bools),
            4..=6 => reader
                .bytes(&name)
                .map_err(failed)?
                .map(|list| Source::Bytes(Arc::new(list), code)),
            _ => Some(Source::Empty(count)),
        };
        let source = source.ok_or_else(|| Damage(format!("column {name} is missing")))?;
        if source.len() == count {
            Ok(source)
        } else {
            Err(Damage(format!("column {name}: count")))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Source::Text(list) => list.len(),
            Source::Bytes(list, _) => list.len(),
            Source::Ids(list) => list.len(),
            Source::Ints(list) | Source::Mapped(list, _) => list.len(),
            Source::Doubles(list) => list.len(),
            Source::Bools(list) => list.len(),
            Source::Ids8(list) => list.len(),
            Source::Ids16(list) => list.len(),
            Source::Shared(list) => list.len(),
            Source::Empty(count) => *count,
        }
    }

    /// The value at an index, which must be below [`Self::len`].
    pub(super) fn cell(&self, index: usize) -> Option<Cell<'_>> {
        Some(match self {
            Source::Text(list) => Cell::str(list.get(index)),
            Source::Bytes(list, code) => bytes_cell(list.get(index), *code),
            Source::Ids(list) => Cell::Id(list.get(index)),
            Source::Ints(list) => Cell::int(list[index]),
            Source::Mapped(list, map) => return map(list[index]),
            Source::Doubles(list) => Cell::Value(ValueRef::Double(list[index])),
            Source::Bools(list) => Cell::Value(ValueRef::Bool(list[index])),
            Source::Ids8(list) => Cell::Id(&list[index]),
            Source::Ids16(list) => {
                let id = list.at(index);
                if *id == [0; 16] {
                    return None;
                }
                Cell::Id(id)
            }
            Source::Shared(list) => Cell::Value(list[index].as_ref()?.value()),
            Source::Empty(_) => Cell::Value(ValueRef::Empty),
        })
    }
}

/// Which values a row has.
pub(super) enum At {
    /// Row `n` has value `n`.
    Rows,
    /// Row `n` has value `index[n]`, or none.
    Index(Vec<u32>),
    /// Row `n` has the values of units `starts[n]..starts[n + 1]`; unit `u` has value
    /// `index[u]`, or none.
    Nested { starts: Vec<u32>, index: Vec<u32> },
}

/// Where picks of a field put the groups of rows, one after the other.
pub(super) struct Grouping<'g> {
    pub grouped: &'g mut Grouped,
    /// Of which unit the text of each row is; empty until there are any.
    pub units: &'g mut Vec<u32>,
    pub texts: Texts,
}

/// Values of a field and which row has which.
pub(super) struct Pick {
    pub source: Source,
    pub at: At,
}

impl Pick {
    /// Refuses indices that lie outside of the values, so that reading needs no more checks.
    pub(super) fn checked(source: Source, at: At, rows: usize) -> Result<Self, Damage> {
        // One more than each index, so that none is zero and the largest says enough.
        let inside = |index: &[u32]| {
            let largest = index
                .iter()
                .fold(0, |most, index| most.max(index.wrapping_add(1)));
            largest as usize <= source.len()
        };
        let valid = match &at {
            At::Rows => source.len() == rows,
            At::Index(index) => index.len() == rows && inside(index),
            At::Nested { starts, index } => {
                starts.len() == rows + 1
                    && starts.is_sorted()
                    && starts
                        .last()
                        .is_some_and(|last| *last as usize <= index.len())
                    && inside(index)
            }
        };
        if valid {
            Ok(Self { source, at })
        } else {
            Err(damage("value indices"))
        }
    }

    fn each(&self, row: usize, see: &mut dyn FnMut(usize)) {
        match &self.at {
            At::Rows => see(row),
            At::Index(index) if index[row] != NONE => see(index[row] as usize),
            At::Index(_) => {}
            At::Nested { starts, index } => {
                for unit in &index[starts[row] as usize..starts[row + 1] as usize] {
                    if *unit != NONE {
                        see(*unit as usize);
                    }
                }
            }
        }
    }

    /// Calls `see` for the values of the rows.
    pub(super) fn visit(&self, among: &Mask, see: &mut dyn FnMut(usize, Cell<'_>)) {
        for row in among.iter() {
            self.each(row, &mut |index| {
                if let Some(cell) = self.source.cell(index) {
                    see(row, cell);
                }
            });
        }
    }

    /// The rows that have a value.
    pub(super) fn present(&self, among: &Mask) -> Mask {
        let always = !matches!(
            self.source,
            Source::Mapped(..) | Source::Ids16(_) | Source::Shared(_)
        );
        match &self.at {
            At::Rows if always => among.clone(),
            At::Index(index) if always => among.filter(|row| index[row] != NONE),
            _ => {
                let mut mask = among.filter(|_| false);
                self.visit(among, &mut |row, _| mask.set(row));
                mask
            }
        }
    }

    /// The rows by the texts of this alone, where that takes no look at single rows: values that
    /// are stored as codes, of which there are not many more than rows asked for.
    pub(super) fn groups(&self, among: &Mask, rows: usize, as_wanted: Texts) -> Option<Grouped> {
        let wanted = among.count();
        let (mut least, mut numbers) = (0, Vec::new());
        let (codes, distinct) = match &self.source {
            Source::Text(list) => (Some(list.codes()), list.distinct()),
            Source::Bytes(list, _) => (Some(list.codes()), list.distinct()),
            Source::Shared(list) => (None, list.len()),
            Source::Ints(list) | Source::Mapped(list, _) => {
                let (first, span) = narrow(list)?;
                least = first;
                numbers.extend(list.iter().map(|number| number.wrapping_sub(least) as u32));
                (Some(&numbers[..]), span)
            }
            _ => return None,
        };
        if distinct > wanted {
            return None;
        }
        let text = |code: usize| match &self.source {
            Source::Text(list) => list.value(index32(code)).into(),
            Source::Bytes(list, kind) => bytes_cell(list.value(index32(code)), *kind).text(),
            Source::Shared(list) => list[code]
                .as_ref()
                .map_or("".into(), |value| Cell::Value(value.value()).text()),
            Source::Ints(_) => Cell::int(least + code as i64).text(),
            Source::Mapped(_, map) => {
                map(least + code as i64).map_or("".into(), |cell| cell.text())
            }
            _ => "".into(),
        };
        // Code 0 is for rows without a text. Those of shared things often have the same few.
        let mut texts = vec![String::new()];
        let mut known: FxHashMap<String, u32> = FxHashMap::default();
        let mut group_of = Vec::with_capacity(distinct);
        let mut seen = vec![numbers.is_empty(); distinct];
        numbers
            .iter()
            .for_each(|number| seen[*number as usize] = true);
        for (code, seen) in seen.into_iter().enumerate() {
            // Between the least and the greatest number lie some that no row has.
            let text = if seen { text(code) } else { "".into() };
            if text.is_empty() {
                group_of.push(0);
                continue;
            }
            let text = as_wanted.of(text);
            let next = index32(texts.len());
            let group = match &self.source {
                Source::Text(_) | Source::Ints(_) => next,
                _ => *known.entry(text.clone()).or_insert(next),
            };
            if group == next {
                texts.push(text);
            }
            group_of.push(group);
        }
        let group_at = |at: usize| group_of[codes.map_or(at, |codes| codes[at] as usize)];
        let codes = match &self.at {
            At::Rows => (0..rows).map(group_at).collect(),
            At::Index(index) => index
                .iter()
                .map(|at| {
                    if *at == NONE {
                        0
                    } else {
                        group_at(*at as usize)
                    }
                })
                .collect(),
            At::Nested { .. } => return None,
        };
        Some(Grouped { codes, texts })
    }

    /// Gives each row without a code yet that of its first text that is not empty; the text of
    /// each distinct value is made once.
    pub(super) fn group(&self, among: &Mask, into: Grouping<'_>) {
        match &self.source {
            Source::Text(list) => {
                let codes = list.codes();
                self.group_by(among, into, list.distinct(), |at| codes[at] as usize);
            }
            Source::Bytes(list, _) => {
                let codes = list.codes();
                self.group_by(among, into, list.distinct(), |at| codes[at] as usize);
            }
            Source::Ints(list) | Source::Mapped(list, _) => {
                if let Some((least, span)) = narrow(list) {
                    let number = |at: usize| list[at].wrapping_sub(least) as usize;
                    return self.group_by(among, into, span, number);
                }
                let mut known: FxHashMap<i64, usize> = FxHashMap::default();
                let number = |int: &i64| {
                    let next = known.len();
                    *known.entry(*int).or_insert(next)
                };
                let numbers: Vec<usize> = list.iter().map(number).collect();
                self.group_by(among, into, known.len(), |at| numbers[at]);
            }
            Source::Bools(list) => {
                self.group_by(among, into, 2, |at| usize::from(list[at]));
            }
            Source::Empty(_) => self.group_by(among, into, 1, |_| 0),
            other => self.group_by(among, into, other.len(), |at| at),
        }
    }

    /// Groups by values of which there are `distinct`; `value` says which one stands at an index.
    fn group_by(
        &self,
        among: &Mask,
        into: Grouping<'_>,
        distinct: usize,
        value: impl Fn(usize) -> usize,
    ) {
        const UNKNOWN: u32 = u32::MAX;
        let Grouping {
            grouped,
            units,
            texts: as_wanted,
        } = into;
        let texts = (0u32..).zip(&grouped.texts);
        let mut by_text: FxHashMap<String, u32> =
            texts.map(|(code, text)| (text.clone(), code)).collect();
        let mut by_value = vec![UNKNOWN; distinct];
        let Grouped { codes, texts } = grouped;
        let mut code_of = |at: usize| {
            let code = &mut by_value[value(at)];
            if *code == UNKNOWN {
                let text = self.source.cell(at).map(|cell| cell.text());
                let text = as_wanted.of(text.unwrap_or_default());
                *code = *by_text.entry(text).or_insert_with_key(|text| {
                    texts.push(text.clone());
                    u32::try_from(texts.len() - 1).expect("a table has fewer than 2^32 rows")
                });
            }
            *code
        };
        match &self.at {
            At::Rows => {
                for row in among.iter() {
                    if codes[row] == 0 {
                        codes[row] = code_of(row);
                    }
                }
            }
            At::Index(index) => {
                for row in among.iter() {
                    if codes[row] == 0 && index[row] != NONE {
                        codes[row] = code_of(index[row] as usize);
                    }
                }
            }
            At::Nested { starts, index } => {
                units.resize(codes.len(), NONE);
                for row in among.iter() {
                    if codes[row] != 0 && units[row] == NONE {
                        continue;
                    }
                    // Another pick may have an earlier one.
                    for unit in starts[row]..starts[row + 1].min(units[row]) {
                        let at = index[unit as usize];
                        let code = if at == NONE { 0 } else { code_of(at as usize) };
                        if code != 0 {
                            (codes[row], units[row]) = (code, unit);
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Marks the rows with a value that passes; each distinct text or id is tested once.
    pub(super) fn matching(&self, among: &Mask, test: &dyn Fn(Cell<'_>) -> bool, mask: &mut Mask) {
        let memo_of = match &self.source {
            Source::Text(list) => Some((list.codes(), list.distinct())),
            Source::Bytes(list, _) => Some((list.codes(), list.distinct())),
            Source::Ids16(list) => list.codes().map(|codes| (codes, list.values().len())),
            _ => None,
        };
        let Some((codes, distinct)) = memo_of else {
            self.visit(among, &mut |row, cell| {
                if test(cell) {
                    mask.set(row);
                }
            });
            return;
        };
        let mut memo: Vec<Option<bool>> = vec![None; distinct];
        for row in among.iter() {
            self.each(row, &mut |index| {
                let passes = *memo[codes[index] as usize]
                    .get_or_insert_with(|| self.source.cell(index).is_some_and(test));
                if passes {
                    mask.set(row);
                }
            });
        }
    }
}

/// A value of bytes with the code of its type.
fn bytes_cell(bytes: &[u8], code: u8) -> Cell<'_> {
    Cell::Value(match code {
        5 => ValueRef::Array(bytes),
        6 => ValueRef::KvList(bytes),
        _ => ValueRef::Bytes(bytes),
    })
}

/// The least of the numbers and how many there are from it to the greatest, where that is few.
fn narrow(numbers: &[i64]) -> Option<(i64, usize)> {
    const FEW: i64 = 1 << 12;
    let (least, most) = numbers
        .iter()
        .fold((i64::MAX, i64::MIN), |(least, most), number| {
            (least.min(*number), most.max(*number))
        });
    let span = most
        .checked_sub(least)
        .filter(|span| (0..FEW).contains(span))?;
    Some((least, usize::try_from(span).ok()? + 1))
}

fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a block has fewer than 2^32 values")
}

pub(super) fn damage(what: &str) -> Damage {
    Damage(what.to_owned())
}
