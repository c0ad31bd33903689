//! Rows as Apache Parquet. The columns are described in docs/operating.md.
//!
//! The rows of one row group are in memory, as columns; what Parquet has no type for (attributes,
//! events, links, buckets) is a text in JSON.

mod rows;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use model::Signal;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use storage::export::Rows;

/// A row group ends with this many rows, or bytes of text.
const GROUP_ROWS: usize = 50_000;
const GROUP_BYTES: usize = 32 << 20;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Nanoseconds since 1970-01-01 UTC.
    Time,
    Int,
    Int32,
    Double,
    Bool,
    Text,
    /// A text in JSON.
    Json,
}

impl Type {
    /// As the textual form of a schema has it.
    fn of(self, name: &str) -> String {
        match self {
            Self::Time => format!("int64 {name} (TIMESTAMP(NANOS,true))"),
            Self::Int => format!("int64 {name}"),
            Self::Int32 => format!("int32 {name}"),
            Self::Double => format!("double {name}"),
            Self::Bool => format!("boolean {name}"),
            Self::Text => format!("binary {name} (STRING)"),
            Self::Json => format!("binary {name} (JSON)"),
        }
    }
}

/// A column's name, type, and whether rows may have none of it.
type Column = (&'static str, Type, bool);

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    None,
    /// Of a time or an integer.
    Int(i64),
    Int32(i32),
    Double(f64),
    Bool(bool),
    /// Of a text, in JSON or not.
    Text(String),
}

/// The values of a column in the row group at hand.
struct Values {
    column: Column,
    /// 1 for each row with a value; unused where every row has one.
    levels: Vec<i16>,
    list: List,
}

enum List {
    Ints(Vec<i64>),
    Ints32(Vec<i32>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Texts(Vec<ByteArray>),
}

impl Values {
    fn new(column: Column) -> Self {
        let list = match column.1 {
            Type::Time | Type::Int => List::Ints(Vec::new()),
            Type::Int32 => List::Ints32(Vec::new()),
            Type::Double => List::Doubles(Vec::new()),
            Type::Bool => List::Bools(Vec::new()),
            Type::Text | Type::Json => List::Texts(Vec::new()),
        };
        let levels = Vec::new();
        Self {
            column,
            levels,
            list,
        }
    }

    /// Adds the value of a row; false where the column cannot have it.
    fn push(&mut self, cell: Cell) -> bool {
        let (_, _, optional) = self.column;
        self.levels.push(i16::from(cell != Cell::None));
        match (&mut self.list, cell) {
            (_, Cell::None) => return optional,
            (List::Ints(list), Cell::Int(int)) => list.push(int),
            (List::Ints32(list), Cell::Int32(int)) => list.push(int),
            (List::Doubles(list), Cell::Double(double)) => list.push(double),
            (List::Bools(list), Cell::Bool(flag)) => list.push(flag),
            (List::Texts(list), Cell::Text(text)) => list.push(text.into_bytes().into()),
            _ => return false,
        }
        true
    }

    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let (_, _, optional) = self.column;
        let levels = optional.then_some(&*self.levels);
        match &mut self.list {
            List::Ints(list) => {
                let typed = writer.typed::<Int64Type>();
                typed.write_batch(&std::mem::take(list), levels, None)?;
            }
            List::Ints32(list) => {
                let typed = writer.typed::<Int32Type>();
                typed.write_batch(&std::mem::take(list), levels, None)?;
            }
            List::Doubles(list) => {
                let typed = writer.typed::<DoubleType>();
                typed.write_batch(&std::mem::take(list), levels, None)?;
            }
            List::Bools(list) => {
                let typed = writer.typed::<BoolType>();
                typed.write_batch(&std::mem::take(list), levels, None)?;
            }
            List::Texts(list) => {
                let typed = writer.typed::<ByteArrayType>();
                typed.write_batch(&std::mem::take(list), levels, None)?;
            }
        }
        self.levels.clear();
        Ok(())
    }
}

/// Writes rows of one signal.
pub(super) struct ParquetRows<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> ParquetRows<W> {
    pub(super) fn new(signal: Signal, output: W) -> io::Result<Self> {
        let columns = rows::columns(signal);
        let mut schema = format!("message {} {{\n", signal.name());
        for (name, of_type, optional) in columns {
            let presence = if *optional { "optional" } else { "required" };
            schema.push_str(&format!("  {presence} {};\n", of_type.of(name)));
        }
        schema.push('}');
        let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("throughline ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(output, schema, Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(failed)?,
            columns: columns.iter().copied().map(Values::new).collect(),
            rows: 0,
            bytes: 0,
        })
    }

    pub(super) fn write(&mut self, rows: &Rows) -> io::Result<()> {
        match rows {
            Rows::Spans(spans) => spans.iter().try_for_each(|span| self.row(rows::span(span))),
            Rows::Logs(records) => records
                .iter()
                .try_for_each(|record| self.row(rows::log(record))),
            Rows::Points(series) => series.iter().try_for_each(|(series, points)| {
                let shared = rows::OfSeries::new(series);
                points
                    .iter()
                    .try_for_each(|point| self.row(shared.point(point)))
            }),
        }
    }

    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            if let Cell::Text(text) = &cell {
                self.bytes += text.len();
            }
            if !column.push(cell) {
                let name = column.column.0;
                return Err(io::Error::other(format!(
                    "column {name} cannot have this value"
                )));
            }
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.group()?;
        }
        Ok(())
    }

    /// Writes the rows at hand as a row group.
    fn group(&mut self) -> io::Result<()> {
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for values in &mut self.columns {
                if let Some(mut column) = group.next_column()? {
                    values.write(&mut column)?;
                    column.close()?;
                }
            }
            group.close().map(drop)
        };
        write().map_err(failed)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Writes what is left and the footer.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.group()?;
        }
        self.writer.finish().map(drop).map_err(failed)
    }
}

/// The error of the file below, where it is one.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}
