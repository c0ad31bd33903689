//! Values of one field in a decoded block: where they lie, and which row has which.

use model::ValueRef;
use rustc_hash::FxHashMap;

use super::TYPES;
use crate::block::{BlockReader, BytesColumn, TextColumn};
use crate::table::{Cell, Damage, Grouped, Mask, SharedValue};

/// No value.
pub(super) const NONE: u32 = u32::MAX;

/// Decoded values.
pub(super) enum Source {
    Text(TextColumn),
    /// With the code of their type: bytes, array or key-value list.
    Bytes(BytesColumn, u8),
    Ids(BytesColumn),
    Ints(Vec<i64>),
    /// Integers that stand for something else, or for nothing.
    Mapped(Vec<i64>, fn(i64) -> Option<Cell<'static>>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Ids8(Vec<[u8; 8]>),
    Ids16(Vec<[u8; 16]>),
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
                .map(|list| Source::Bytes(list, code)),
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
            Source::Bytes(list, _) | Source::Ids(list) => list.len(),
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
            Source::Bytes(list, code) => Cell::Value(match code {
                5 => ValueRef::Array(list.get(index)),
                6 => ValueRef::KvList(list.get(index)),
                _ => ValueRef::Bytes(list.get(index)),
            }),
            Source::Ids(list) => Cell::Id(list.get(index)),
            Source::Ints(list) => Cell::int(list[index]),
            Source::Mapped(list, map) => return map(list[index]),
            Source::Doubles(list) => Cell::Value(ValueRef::Double(list[index])),
            Source::Bools(list) => Cell::Value(ValueRef::Bool(list[index])),
            Source::Ids8(list) => Cell::Id(&list[index]),
            Source::Ids16(list) => {
                if list[index] == [0; 16] {
                    return None;
                }
                Cell::Id(&list[index])
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

/// Values of a field and which row has which.
pub(super) struct Pick {
    pub source: Source,
    pub at: At,
}

impl Pick {
    /// Refuses indices that lie outside of the values, so that reading needs no more checks.
    pub(super) fn checked(source: Source, at: At, rows: usize) -> Result<Self, Damage> {
        let inside = |index: &[u32]| {
            index
                .iter()
                .all(|index| *index == NONE || (*index as usize) < source.len())
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

    /// Gives each row without a code yet that of its first text that is not empty; the text of
    /// each distinct value is made once.
    pub(super) fn group(&self, among: &Mask, grouped: &mut Grouped) {
        match &self.source {
            Source::Text(list) => {
                let codes = list.codes();
                self.group_by(among, grouped, list.distinct(), |at| codes[at] as usize);
            }
            Source::Bytes(list, _) => {
                let codes = list.codes();
                self.group_by(among, grouped, list.distinct(), |at| codes[at] as usize);
            }
            Source::Ints(list) | Source::Mapped(list, _) => {
                let mut known: FxHashMap<i64, usize> = FxHashMap::default();
                let number = |int: &i64| {
                    let next = known.len();
                    *known.entry(*int).or_insert(next)
                };
                let numbers: Vec<usize> = list.iter().map(number).collect();
                self.group_by(among, grouped, known.len(), |at| numbers[at]);
            }
            Source::Bools(list) => {
                self.group_by(among, grouped, 2, |at| usize::from(list[at]));
            }
            Source::Empty(_) => self.group_by(among, grouped, 1, |_| 0),
            other => self.group_by(among, grouped, other.len(), |at| at),
        }
    }

    /// Groups by values of which there are `distinct`; `value` says which one stands at an index.
    fn group_by(
        &self,
        among: &Mask,
        grouped: &mut Grouped,
        distinct: usize,
        value: impl Fn(usize) -> usize,
    ) {
        const UNKNOWN: u32 = u32::MAX;
        let texts = (0u32..).zip(&grouped.texts);
        let mut by_text: FxHashMap<String, u32> =
            texts.map(|(code, text)| (text.clone(), code)).collect();
        let mut by_value = vec![UNKNOWN; distinct];
        let Grouped { codes, texts } = grouped;
        let mut code_of = |at: usize| {
            let code = &mut by_value[value(at)];
            if *code == UNKNOWN {
                let text = self.source.cell(at).map(|cell| cell.text());
                let text = text.unwrap_or_default().into_owned();
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
            At::Nested { .. } => {
                for row in among.iter() {
                    self.each(row, &mut |at| {
                        if codes[row] == 0 {
                            codes[row] = code_of(at);
                        }
                    });
                }
            }
        }
    }

    /// Marks the rows with a value that passes; each distinct text is tested once.
    pub(super) fn matching(&self, among: &Mask, test: &dyn Fn(Cell<'_>) -> bool, mask: &mut Mask) {
        let memo_of = match &self.source {
            Source::Text(list) => Some((list.codes(), list.distinct())),
            Source::Bytes(list, _) => Some((list.codes(), list.distinct())),
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

pub(super) fn damage(what: &str) -> Damage {
    Damage(what.to_owned())
}
