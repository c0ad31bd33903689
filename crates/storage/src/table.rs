//! One way to look at rows, whether they lie in memory or in a block.
//!
//! Filters, counts and lists of values are written once, over [`Table`]. A chunk answers from
//! its rows, a block from the columns it decodes for the purpose.

use std::borrow::Cow;

use model::{LogRecord, Span, ValueRef};
use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_128;

use crate::filter::Field;
use crate::message::Columns;
use crate::words::Sought;

/// A set of rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    bits: Vec<u64>,
}

impl Mask {
    pub(crate) fn none(rows: usize) -> Self {
        Self {
            bits: vec![0; rows.div_ceil(64)],
        }
    }

    pub(crate) fn all(rows: usize) -> Self {
        let mut bits = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = bits.last_mut()
            && !rows.is_multiple_of(64)
        {
            *last = (1 << (rows % 64)) - 1;
        }
        Self { bits }
    }

    #[inline]
    pub(crate) fn set(&mut self, row: usize) {
        self.bits[row / 64] |= 1 << (row % 64);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Rows in `self` that are not in `other`.
    pub(crate) fn minus(mut self, other: &Mask) -> Self {
        for (word, out) in self.bits.iter_mut().zip(&other.bits) {
            *word &= !out;
        }
        self
    }

    pub(crate) fn union(&mut self, other: &Mask) {
        for (word, more) in self.bits.iter_mut().zip(&other.bits) {
            *word |= more;
        }
    }

    /// The rows of `self` that pass.
    pub(crate) fn intersect(&mut self, other: &Mask) {
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine &= theirs;
        }
    }

    pub(crate) fn has(&self, row: usize) -> bool {
        self.bits[row / 64] >> (row % 64) & 1 != 0
    }

    pub(crate) fn filter(&self, test: impl Fn(usize) -> bool) -> Self {
        let passing = |(index, word): (usize, &u64)| {
            let bit = |bit: usize| u64::from(test(index * 64 + bit)) << bit;
            if *word == u64::MAX {
                return (0..64).fold(0, |out, at| out | bit(at));
            }
            let (mut left, mut out) = (*word, 0);
            while left != 0 {
                out |= bit(left.trailing_zeros() as usize);
                left &= left - 1;
            }
            out
        };
        Self {
            bits: self.bits.iter().enumerate().map(passing).collect(),
        }
    }

    /// Whether all of a table's rows are in it.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        self.count() == rows
    }

    /// How many rows.
    pub(crate) fn count(&self) -> usize {
        self.bits
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Rows in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.bits.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                if word == 0 {
                    return None;
                }
                let bit = word.trailing_zeros() as usize;
                word &= word - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

/// A field's value in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    /// An attribute value, or an intrinsic of such a type.
    Value(ValueRef<'a>),
    /// A trace or span id.
    Id(&'a [u8]),
}

impl<'a> Cell<'a> {
    pub(crate) fn str(text: &'a str) -> Self {
        Cell::Value(ValueRef::Str(text))
    }

    pub(crate) fn int(int: i64) -> Self {
        Cell::Value(ValueRef::Int(int))
    }

    /// The value as text, as lists of values show it and regexes see it.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match self {
            Cell::Value(ValueRef::Str(text)) => Cow::Borrowed(text),
            Cell::Value(value) => Cow::Owned(value.to_text()),
            Cell::Id(bytes) => Cow::Owned(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

/// A block whose bytes do not read. Its rows are left out of the answer, and the answer says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged block: {0}")]
pub(crate) struct Damage(pub String);

/// Longer texts are shortened where rows are grouped to be counted.
pub(crate) const SHOWN_BYTES_MAX: usize = 1 << 10;

/// How the texts are wanted by which rows are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// As they are.
    Whole,
    /// Those of more than [`SHOWN_BYTES_MAX`] by their beginning, length and digest, which tell
    /// them apart wherever they lie: a group takes little memory, however long its text.
    Shown,
}

impl Texts {
    pub(crate) fn of(self, text: Cow<'_, str>) -> String {
        if self == Texts::Whole || text.len() <= SHOWN_BYTES_MAX {
            return text.into_owned();
        }
        shown(&text).into_owned()
    }
}

/// A text as [`Texts::Shown`].
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into();
    }
    // Whatever has this form is longer than any text that is whole, and so never the same.
    let beginning = &text[..text.ceil_char_boundary(SHOWN_BYTES_MAX)];
    let digest = xxh3_128(text.as_bytes());
    format!(
        "{beginning}... ({} bytes, digest {digest:032x})",
        text.len()
    )
    .into()
}

/// Rows of a table by a text of each.
pub(crate) struct Grouped {
    /// Per row the index of its text; meaningful for the rows that were asked for.
    pub codes: Vec<u32>,
    /// The texts; the first is empty and stands for rows without one.
    pub texts: Vec<String>,
}

impl Grouped {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            codes: vec![0; rows],
            texts: vec![String::new()],
        }
    }

    /// Adds a text and says which code it has.
    pub(crate) fn add(&mut self, text: String) -> u32 {
        let code = u32::try_from(self.texts.len()).expect("a table has fewer than 2^32 rows");
        self.texts.push(text);
        code
    }
}

/// Rows that can be filtered and read.
pub(crate) trait Table {
    fn rows(&self) -> usize;

    /// The time that orders each row: a span's start, a record's or point's time.
    fn times(&self) -> Result<Cow<'_, [u64]>, Damage>;

    /// When each row ends: a span's end (not before its start), otherwise its time.
    fn ends(&self) -> Result<Cow<'_, [u64]>, Damage>;

    /// Calls `see` for the rows of `among` that have the field, in ascending order per value
    /// list; a row with several values (events, links, correlation) is seen once for each.
    fn visit(
        &self,
        field: &Field,
        among: &Mask,
        see: &mut dyn FnMut(usize, Cell<'_>),
    ) -> Result<(), Damage>;

    /// The rows of `among` with any value of the field that passes the test.
    fn matching(
        &self,
        field: &Field,
        among: &Mask,
        test: &dyn Fn(Cell<'_>) -> bool,
    ) -> Result<Mask, Damage> {
        let mut mask = Mask::none(self.rows());
        self.visit(field, among, &mut |row, cell| {
            if test(cell) {
                mask.set(row);
            }
        })?;
        Ok(mask)
    }

    /// The rows of `among` with any value of the field that has the words.
    fn matching_words(&self, field: &Field, among: &Mask, sought: &Sought) -> Result<Mask, Damage> {
        self.matching(field, among, &|cell| sought.in_text(&cell.text()))
    }

    /// The rows of `among` by the text of a field.
    fn group(&self, field: &Field, among: &Mask, texts: Texts) -> Result<Grouped, Damage> {
        let mut grouped = Grouped::new(self.rows());
        let mut known: FxHashMap<String, u32> = FxHashMap::default();
        self.visit(field, among, &mut |row, cell| {
            let text = cell.text();
            // Of several values, the first that is not empty names the group.
            if grouped.codes[row] != 0 || text.is_empty() {
                return;
            }
            if let Some(code) = known.get(&*text) {
                grouped.codes[row] = *code;
                return;
            }
            let text = texts.of(text);
            grouped.codes[row] = match known.get(&text) {
                Some(code) => *code,
                None => {
                    let code = grouped.add(text.clone());
                    known.insert(text, code);
                    code
                }
            };
        })?;
        Ok(grouped)
    }

    /// About how much memory the bytes, arrays and key-value lists of these rows take as part of
    /// built rows, which may be many times what they take here.
    fn nested_bytes(&self, rows: &[usize]) -> Result<usize, Damage>;

    /// The spans in these rows, in their order.
    fn spans(&self, rows: &[usize], columns: Columns) -> Result<Vec<Span>, Damage>;

    /// The log records in these rows, in their order.
    fn logs(&self, rows: &[usize]) -> Result<Vec<LogRecord>, Damage>;

    /// Names of the attribute fields and in how many rows each occurs, with the value type. Where a
    /// row names a key more than once, its last value counts.
    fn fields(&self, among: &Mask) -> Result<Vec<(Field, &'static str, u64)>, Damage>;
}

/// The type of a value as lists of fields name it.
pub(crate) fn kind_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Empty => "empty",
        ValueRef::Str(_) => "string",
        ValueRef::Bool(_) => "bool",
        ValueRef::Int(_) => "int",
        ValueRef::Double(_) => "double",
        ValueRef::Bytes(_) => "bytes",
        ValueRef::Array(_) => "array",
        ValueRef::KvList(_) => "kvlist",
    }
}

/// Severity of a record as a number: the number sent, else what the text means.
pub(crate) fn severity(number: i32, text: &str) -> Option<i32> {
    if (1..=24).contains(&number) {
        return Some(number);
    }
    model::log::level_range(text.trim()).map(|(first, _)| first)
}

/// The name of a span kind, or its number where it has none.
pub(crate) fn kind_cell<'a>(kind: i32) -> Cell<'a> {
    model::SpanKind::from_code(kind)
        .map_or(Cell::int(i64::from(kind)), |kind| Cell::str(kind.name()))
}

/// The name of a status code, or its number where it has none.
pub(crate) fn status_cell<'a>(status: i32) -> Cell<'a> {
    model::StatusCode::from_code(status).map_or(Cell::int(i64::from(status)), |status| {
        Cell::str(status.name())
    })
}

/// `end - start` as a signed number, zero where the end lies before the start.
pub(crate) fn duration(start: u64, end: u64) -> i64 {
    i64::try_from(end.saturating_sub(start)).unwrap_or(i64::MAX)
}

/// So many keys are compared with each other; there may be as many as a request has room for.
const COMPARED_MAX: usize = 32;

/// The attributes that queries see: of those that share a key, the last.
pub(crate) fn visible(attributes: &[model::KeyValue]) -> Vec<&model::KeyValue> {
    if attributes.len() <= COMPARED_MAX {
        let last = |(at, attribute): &(usize, &model::KeyValue)| {
            let later = &attributes[at + 1..];
            later.iter().all(|later| later.key != attribute.key)
        };
        let list = attributes.iter().enumerate().filter(last);
        return list.map(|(_, attribute)| attribute).collect();
    }
    let mut keys = FxHashSet::default();
    let mut list: Vec<&model::KeyValue> = attributes
        .iter()
        .rev()
        .filter(|attribute| keys.insert(attribute.key.as_str()))
        .collect();
    list.reverse();
    list
}

/// A value of a shared thing (resource or scope), found once and used for all of its rows.
pub(crate) fn shared_value(attributes: &[model::KeyValue], key: &str) -> Option<SharedValue> {
    model::value::last(attributes, key).map(SharedValue::new)
}

/// An owned attribute value that lends itself as a cell.
#[derive(Debug, Clone)]
pub(crate) enum SharedValue {
    Plain(model::Value),
    Array(Vec<u8>),
    KvList(Vec<u8>),
}

impl SharedValue {
    pub(crate) fn new(value: &model::Value) -> Self {
        match value {
            model::Value::Array(list) => SharedValue::Array(model::wire::encode_array(list)),
            model::Value::KvList(list) => SharedValue::KvList(model::wire::encode_kvlist(list)),
            other => SharedValue::Plain(other.clone()),
        }
    }

    pub(crate) fn value(&self) -> ValueRef<'_> {
        match self {
            SharedValue::Array(list) => ValueRef::Array(list),
            SharedValue::KvList(list) => ValueRef::KvList(list),
            SharedValue::Plain(value) => match value {
                model::Value::Str(text) => ValueRef::Str(text),
                model::Value::Bool(flag) => ValueRef::Bool(*flag),
                model::Value::Int(int) => ValueRef::Int(*int),
                model::Value::Double(double) => ValueRef::Double(*double),
                model::Value::Bytes(bytes) => ValueRef::Bytes(bytes),
                model::Value::Empty | model::Value::Array(_) | model::Value::KvList(_) => {
                    ValueRef::Empty
                }
            },
        }
    }
}
