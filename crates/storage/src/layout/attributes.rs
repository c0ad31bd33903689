//! Attribute columns on the way in: shapes, and one column of values per key and type.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{TYPES, put_varint, type_code};
use crate::block::{BlockWriter, Values};
use crate::chunk::{Attr, Chunk, Val};

/// The values of one key and type.
enum Column<'a> {
    Text(Vec<&'a str>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<&'a [u8]>),
    Empty,
}

/// Collects the attributes of the rows (or events, or links) of one block.
pub(super) struct AttributeColumns<'a> {
    chunks: &'a [Arc<Chunk>],
    /// Column index by (chunk, key index, type); `u32::MAX` where not known yet.
    known: Vec<Vec<[u32; 8]>>,
    by_key: FxHashMap<(&'a str, u8), u32>,
    columns: Vec<(&'a str, u8, Column<'a>)>,
    shapes: FxHashMap<Box<[u32]>, u64>,
    shape_list: Vec<Box<[u32]>>,
    /// One per row.
    codes: Vec<u64>,
    scratch: Vec<u32>,
}

impl<'a> AttributeColumns<'a> {
    pub(super) fn new(chunks: &'a [Arc<Chunk>]) -> Self {
        Self {
            chunks,
            known: vec![Vec::new(); chunks.len()],
            by_key: FxHashMap::default(),
            columns: Vec::new(),
            shapes: FxHashMap::default(),
            shape_list: Vec::new(),
            codes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds the attributes of the next row.
    pub(super) fn row(&mut self, chunk_index: usize, attributes: &[Attr]) {
        let chunk = &*self.chunks[chunk_index];
        self.scratch.clear();
        for attr in attributes {
            let code = type_code(attr.value);
            let column = self.column(chunk_index, chunk, attr.key, code);
            self.scratch.push(column);
            match (&mut self.columns[column as usize].2, attr.value) {
                (Column::Text(list), Val::Str(text)) => list.push(chunk.str(text)),
                (Column::Int(list), Val::Int(int)) => list.push(int),
                (Column::Double(list), Val::Double(double)) => list.push(double),
                (Column::Bool(list), Val::Bool(flag)) => list.push(flag),
                (Column::Bytes(list), Val::Bytes(text) | Val::Array(text) | Val::KvList(text)) => {
                    list.push(chunk.bytes(text));
                }
                _ => {}
            }
        }
        let code = match self.shapes.get(self.scratch.as_slice()) {
            Some(code) => *code,
            None => {
                let code = self.shape_list.len() as u64;
                self.shape_list.push(self.scratch.as_slice().into());
                self.shapes.insert(self.scratch.as_slice().into(), code);
                code
            }
        };
        self.codes.push(code);
    }

    fn column(&mut self, chunk_index: usize, chunk: &'a Chunk, key: u32, code: u8) -> u32 {
        let known = &mut self.known[chunk_index];
        if known.len() <= key as usize {
            known.resize(key as usize + 1, [u32::MAX; 8]);
        }
        let slot = &mut known[key as usize][usize::from(code)];
        if *slot != u32::MAX {
            return *slot;
        }
        let key = chunk.keys.get(key);
        let next = u32::try_from(self.columns.len()).expect("a block has fewer than 2^32 columns");
        *slot = *self.by_key.entry((key, code)).or_insert(next);
        let index = *slot;
        if index == next {
            let column = match code {
                0 => Column::Text(Vec::new()),
                1 => Column::Int(Vec::new()),
                2 => Column::Double(Vec::new()),
                3 => Column::Bool(Vec::new()),
                4..=6 => Column::Bytes(Vec::new()),
                _ => Column::Empty,
            };
            self.columns.push((key, code, column));
        }
        index
    }

    /// Writes the columns under names that begin with `prefix`.
    pub(super) fn write(self, prefix: &str, writer: &mut BlockWriter) {
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
                shape
                    .iter()
                    .for_each(|column| put_varint(&mut bytes, u64::from(*column)));
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
        for (key, code, column) in self.columns {
            let name = format!("{prefix}.{}:{key}", TYPES[usize::from(code)]);
            match column {
                Column::Text(list) => writer.column(&name, Values::Text(list)),
                Column::Int(list) => writer.column(&name, Values::Int(list.into())),
                Column::Double(list) => writer.column(&name, Values::Double(list.into())),
                Column::Bool(list) => writer.column(&name, Values::Bool(list.into())),
                Column::Bytes(list) => writer.column(&name, Values::Bytes(list)),
                Column::Empty => continue,
            };
        }
    }
}
