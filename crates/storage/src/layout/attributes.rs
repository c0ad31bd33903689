//! Attribute columns on the way in: shapes, and one column of values per key and type.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{TYPES, put_varint, type_code};
use crate::block::{BlockWriter, Values};
use crate::chunk::{Attr, Chunks, Val};
use crate::filter::Level;
use crate::terms::{self, Collector};

/// The values of one key and type.
enum Column<'a> {
    Text(Vec<&'a str>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<&'a [u8]>),
    /// How many.
    Empty(u32),
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Column::Text(list) => list.len(),
            Column::Int(list) => list.len(),
            Column::Double(list) => list.len(),
            Column::Bool(list) => list.len(),
            Column::Bytes(list) => list.len(),
            Column::Empty(count) => *count as usize,
        }
    }
}

/// A distinct list of columns that rows have.
struct Shape {
    columns: Box<[u32]>,
    /// The values of a row that queries do not see, because their key comes again further on, maybe
    /// with another type: the column, and how many values before its end after the row.
    overridden: Box<[(u32, u32)]>,
}

/// Collects the attributes of the rows (or events, or links) of one block.
pub(super) struct AttributeColumns<'a> {
    chunks: Chunks<'a>,
    /// Column index by the key's number and type; `u32::MAX` where there is none yet.
    known: Vec<[u32; 8]>,
    columns: Vec<(&'a str, u8, Column<'a>)>,
    shapes: FxHashMap<Box<[u32]>, u64>,
    shape_list: Vec<Shape>,
    /// One per row.
    codes: Vec<u64>,
    /// Column and position of each value that queries do not see, because its row names the key
    /// again.
    hidden: Vec<(u32, u32)>,
    scratch: Vec<u32>,
}

impl<'a> AttributeColumns<'a> {
    pub(super) fn new(chunks: Chunks<'a>) -> Self {
        Self {
            chunks,
            known: Vec::new(),
            columns: Vec::new(),
            shapes: FxHashMap::default(),
            shape_list: Vec::new(),
            codes: Vec::new(),
            hidden: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds the attributes of the next row.
    pub(super) fn row(&mut self, chunk_index: usize, attributes: &[Attr]) {
        let chunk = &*self.chunks.list[chunk_index];
        self.scratch.clear();
        for attr in attributes {
            let code = type_code(attr.value);
            let column = self.column(chunk_index, attr.key, code);
            self.scratch.push(column);
            match (&mut self.columns[column as usize].2, attr.value) {
                (Column::Text(list), Val::Str(text)) => list.push(chunk.str(text)),
                (Column::Int(list), Val::Int(int)) => list.push(int),
                (Column::Double(list), Val::Double(double)) => list.push(double),
                (Column::Bool(list), Val::Bool(flag)) => list.push(flag),
                (Column::Bytes(list), Val::Bytes(text) | Val::Array(text) | Val::KvList(text)) => {
                    list.push(chunk.bytes(text));
                }
                (Column::Empty(count), _) => *count += 1,
                _ => {}
            }
        }
        let code = match self.shapes.get(self.scratch.as_slice()) {
            Some(code) => *code,
            None => self.add_shape(),
        };
        self.codes.push(code);
        for (column, before_end) in &self.shape_list[code as usize].overridden {
            let end = index32(self.columns[*column as usize].2.len());
            self.hidden.push((*column, end - before_end));
        }
    }

    /// Remembers the list of columns in `scratch`.
    fn add_shape(&mut self) -> u64 {
        let code = self.shape_list.len() as u64;
        let columns: Box<[u32]> = self.scratch.as_slice().into();
        // From the end, since a row may have as many attributes as a request has room for.
        let mut keys = FxHashSet::default();
        let mut values: FxHashMap<u32, u32> = FxHashMap::default();
        let mut overridden = Vec::new();
        for column in columns.iter().rev() {
            let before_end = values.entry(*column).or_default();
            *before_end += 1;
            if !keys.insert(self.columns[*column as usize].0) {
                overridden.push((*column, *before_end));
            }
        }
        self.shape_list.push(Shape {
            overridden: overridden.into(),
            columns: columns.clone(),
        });
        self.shapes.insert(columns, code);
        code
    }

    fn column(&mut self, chunk: usize, key: u32, code: u8) -> u32 {
        let number = self.chunks.keys.get(chunk, key);
        if self.known.len() <= number {
            self.known.resize(number + 1, [u32::MAX; 8]);
        }
        let slot = &mut self.known[number][usize::from(code)];
        if *slot == u32::MAX {
            *slot = index32(self.columns.len());
            let key = self.chunks.list[chunk].keys.get(key);
            let column = match code {
                0 => Column::Text(Vec::new()),
                1 => Column::Int(Vec::new()),
                2 => Column::Double(Vec::new()),
                3 => Column::Bool(Vec::new()),
                4..=6 => Column::Bytes(Vec::new()),
                _ => Column::Empty(0),
            };
            self.columns.push((key, code, column));
        }
        *slot
    }

    /// Writes the columns under names that begin with `prefix` and shows them to the collector.
    pub(super) fn write(
        mut self,
        prefix: &str,
        level: Level,
        writer: &mut BlockWriter,
        terms: &mut Collector<'a>,
    ) {
        if self.columns.is_empty() {
            return;
        }
        let keys = self.columns.iter().map(|(key, _, _)| *key).collect();
        let kinds: Vec<u64> = self
            .columns
            .iter()
            .map(|(_, code, _)| u64::from(*code))
            .collect();
        let shapes: Vec<Vec<u8>> = self
            .shape_list
            .iter()
            .map(|shape| {
                let mut bytes = Vec::new();
                let columns = shape.columns.iter();
                columns.for_each(|column| put_varint(&mut bytes, u64::from(*column)));
                bytes
            })
            .collect();
        writer
            .column(&format!("{prefix}.keys"), Values::Text(keys))
            .column(&format!("{prefix}.kinds"), Values::UInt(kinds.into()))
            .column(
                &format!("{prefix}.shapes"),
                Values::Bytes(shapes.iter().map(Vec::as_slice).collect()),
            )
            .column(&format!("{prefix}.shape"), Values::UInt(self.codes.into()));
        self.hidden.sort_unstable();
        let mut hidden = self.hidden.chunk_by(|a, b| a.0 == b.0).peekable();
        for (index, (key, code, column)) in self.columns.into_iter().enumerate() {
            let of_this = hidden.next_if(|run| run[0].0 as usize == index);
            let hidden: Vec<u32> = of_this.into_iter().flatten().map(|(_, at)| *at).collect();
            let mut show = |column| terms.attribute(level, key, column, &hidden);
            let name = format!("{prefix}.{}:{key}", TYPES[usize::from(code)]);
            match column {
                Column::Text(list) => {
                    let found = writer.text(&name, &list);
                    show(terms::Column::Text(&list, &found));
                }
                Column::Int(list) => {
                    show(terms::Column::Int(&list));
                    writer.column(&name, Values::Int(list.into()));
                }
                Column::Double(list) => {
                    show(terms::Column::Double(list.len()));
                    writer.column(&name, Values::Double(list.into()));
                }
                Column::Bool(list) => {
                    show(terms::Column::Bool(&list));
                    writer.column(&name, Values::Bool(list.into()));
                }
                Column::Bytes(list) => {
                    show(terms::Column::Other(list.len()));
                    writer.column(&name, Values::Bytes(list));
                }
                Column::Empty(count) => show(terms::Column::Other(count as usize)),
            }
        }
    }
}

fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a block has fewer than 2^32 values")
}
