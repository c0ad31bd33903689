//! What a reader hands out for columns that are more than a list of numbers.

use bytes::Bytes;

use super::codes::Strings;
use super::text::Templates;
use super::{BlockError, ColumnId};

/// A text column: its distinct values, and for each value which of them it is.
///
/// A filter tests each distinct value once and then looks only at codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    buffer: String,
    offsets: Vec<u32>,
    codes: Vec<u32>,
}

impl TextColumn {
    /// None when the strings are not UTF-8.
    pub(crate) fn new(strings: Strings, codes: Vec<u32>) -> Option<Self> {
        let buffer = String::from_utf8(strings.buffer).ok()?;
        let boundaries = strings
            .offsets
            .iter()
            .all(|offset| buffer.is_char_boundary(*offset as usize));
        boundaries.then_some(TextColumn {
            buffer,
            offsets: strings.offsets,
            codes,
        })
    }

    /// How many distinct values there are. Codes are below this.
    pub fn distinct(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The distinct value that `code` names. Panics when it is not below [`distinct`](Self::distinct).
    pub fn value(&self, code: u32) -> &str {
        let code = code as usize;
        &self.buffer[self.offsets[code] as usize..self.offsets[code + 1] as usize]
    }

    /// The code of each value.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// How many values the column has.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether the column has no values.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Value `index`. Panics when it is not below [`len`](Self::len).
    pub fn get(&self, index: usize) -> &str {
        self.value(self.codes[index])
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.codes.iter().map(|code| self.value(*code))
    }

    /// All distinct values in the order of their codes.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.distinct()).map(|code| self.value(code as u32))
    }

    /// Bytes of memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + (self.offsets.capacity() + self.codes.capacity()) * 4
    }
}

/// A column of byte strings; otherwise as [`TextColumn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytesColumn {
    strings: Strings,
    codes: Vec<u32>,
}

impl BytesColumn {
    pub(crate) fn new(strings: Strings, codes: Vec<u32>) -> Self {
        BytesColumn { strings, codes }
    }

    /// How many distinct values there are. Codes are below this.
    pub fn distinct(&self) -> usize {
        self.strings.len()
    }

    /// The distinct value that `code` names. Panics when it is not below [`distinct`](Self::distinct).
    pub fn value(&self, code: u32) -> &[u8] {
        self.strings.get(code as usize)
    }

    /// The code of each value.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// How many values the column has.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether the column has no values.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Value `index`. Panics when it is not below [`len`](Self::len).
    pub fn get(&self, index: usize) -> &[u8] {
        self.value(self.codes[index])
    }

    /// All values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.codes.iter().map(|code| self.value(*code))
    }

    /// All distinct values in the order of their codes.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.distinct()).map(|code| self.value(code as u32))
    }

    /// Bytes of memory in use.
    pub fn memory_bytes(&self) -> usize {
        let Strings { buffer, offsets } = &self.strings;
        buffer.capacity() + (offsets.capacity() + self.codes.capacity()) * 4
    }
}

/// A column of ids of `N` bytes: distinct ids and codes where ids repeat, else the ids alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedColumn<const N: usize> {
    pub(crate) values: Vec<[u8; N]>,
    /// None when every value is stored by itself; then value i is `values[i]`.
    pub(crate) codes: Option<Vec<u32>>,
}

impl<const N: usize> FixedColumn<N> {
    /// The stored ids: the distinct ones when there are codes, else all of them.
    pub fn values(&self) -> &[[u8; N]] {
        &self.values
    }

    /// The code of each value, unless every value is stored by itself.
    pub fn codes(&self) -> Option<&[u32]> {
        self.codes.as_deref()
    }

    /// How many values the column has.
    pub fn len(&self) -> usize {
        self.codes.as_ref().map_or(self.values.len(), Vec::len)
    }

    /// Whether the column has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `index`. Panics when it is not below [`len`](Self::len).
    pub fn get(&self, index: usize) -> [u8; N] {
        *self.at(index)
    }

    /// The same where it lies.
    pub(crate) fn at(&self, index: usize) -> &[u8; N] {
        match &self.codes {
            Some(codes) => &self.values[codes[index] as usize],
            None => &self.values[index],
        }
    }

    /// All values in order.
    pub fn into_vec(self) -> Vec<[u8; N]> {
        match self.codes {
            Some(codes) => codes
                .iter()
                .map(|code| self.values[*code as usize])
                .collect(),
            None => self.values,
        }
    }
}

/// A text or bytes column that is stored as templates, before its values are built.
///
/// A template is literal text around variables. Text search tests the literals of each template once, which
/// settles most values; only the values of undecided templates need [`render`](Self::render).
#[derive(Debug)]
pub struct TemplateColumn {
    pub(crate) id: ColumnId,
    pub(crate) bytes: Bytes,
    pub(crate) templates: Templates,
    pub(crate) codes: Vec<u32>,
}

impl TemplateColumn {
    /// How many templates there are.
    pub fn templates(&self) -> usize {
        self.templates.texts.len()
    }

    /// A template as it is stored: its literal texts with a zero byte for each variable.
    pub fn template(&self, template: usize) -> &[u8] {
        self.templates.texts.get(template)
    }

    /// The literal texts of a template, in order; its variables stand between them, so it has one fewer.
    pub fn literals(&self, template: usize) -> impl Iterator<Item = &[u8]> {
        let text = self.templates.texts.get(template);
        text.split(|byte| *byte == super::tokens::PLACE)
    }

    /// The template of each distinct value.
    pub fn template_of(&self) -> &[u32] {
        &self.templates.template_of
    }

    /// The distinct value that each value of the column is.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The distinct values of one template, in rising order of their codes. Panics for a template out of range.
    pub fn render(&self, template: usize) -> Result<BytesColumn, BlockError> {
        let rendered = self.templates.render_one(&self.bytes, template);
        let strings = rendered.map_err(|error| BlockError::malformed(&self.id, error))?;
        let codes = (0..strings.len() as u32).collect();
        Ok(BytesColumn::new(strings, codes))
    }
}
