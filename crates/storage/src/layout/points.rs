//! Metric data points as columns.
//!
//! `series.def` holds per series the indices of its resource, scope and metric as varints, then
//! its encoded attributes.

use std::sync::Arc;

use model::metric::{PointValue, Series};
use model::{DataPoint, KeyValue, Metric, Resource, Scope};

use super::encode::{RowRef, Shared, ints, uints};
use super::{Interned, put_varint};
use crate::block::{BlockReader, BlockWriter, Values};
use crate::chunk::{Chunk, PointVal, SeriesEntry, decode_exemplars, decode_point_value};
use crate::table::Damage;
use crate::terms::Collector;

/// Rows must be ordered by series, so that each has one run.
#[allow(clippy::cast_possible_wrap)]
pub(super) fn encode<'a>(
    chunks: &'a [Arc<Chunk>],
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    let mut series = SeriesTable::default();
    let mut time = Vec::with_capacity(rows.len());
    let mut start = Vec::with_capacity(rows.len());
    let mut index = Vec::with_capacity(rows.len());
    let (mut flags, mut kinds) = (Vec::new(), Vec::new());
    let (mut int_values, mut doubles, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut exemplars = Vec::new();
    for at in rows {
        let (chunk, row) = at.of(chunks);
        let point = &chunk.points[row];
        index.push(series.index(at.chunk, point.series, &chunk.series[point.series as usize]));
        time.push(point.time);
        start.push(point.time.wrapping_sub(point.start) as i64);
        flags.push(u64::from(point.flags));
        exemplars.push(chunk.bytes(point.exemplars));
        kinds.push(match point.value {
            PointVal::Int(int) => {
                int_values.push(int);
                0
            }
            PointVal::Double(double) => {
                doubles.push(double);
                1
            }
            PointVal::Encoded(text) => {
                bytes.push(chunk.bytes(text));
                2
            }
        });
    }
    writer.column("time", Values::UInt(time.into()));
    ints(writer, "start", start);
    uints(writer, "series", index);
    uints(writer, "flags", flags);
    uints(writer, "value.kind", kinds);
    writer
        .column("value.int", Values::Int(int_values.into()))
        .column("value.double", Values::Double(doubles.into()))
        .column("value.bytes", Values::Bytes(bytes));
    if exemplars.iter().any(|list| !list.is_empty()) {
        writer.column("exemplars", Values::Bytes(exemplars));
    }
    for (series, rows) in &series.entries {
        terms.series(series, *rows);
    }
    series.write(writer);
}

/// The distinct series of a block with what they share.
#[derive(Default)]
struct SeriesTable<'a> {
    known: rustc_hash::FxHashMap<(u32, u32), u64>,
    by_hash: rustc_hash::FxHashMap<u64, u64>,
    resources: Shared<'a>,
    scopes: Shared<'a>,
    metrics: Shared<'a>,
    list: Vec<Vec<u8>>,
    /// Each series with the number of its rows.
    entries: Vec<(&'a Series, u64)>,
}

impl<'a> SeriesTable<'a> {
    #[allow(clippy::cast_possible_truncation)]
    fn index(&mut self, chunk: u32, series: u32, entry: &'a SeriesEntry) -> u64 {
        if let Some(index) = self.known.get(&(chunk, series)) {
            self.entries[*index as usize].1 += 1;
            return *index;
        }
        let next = self.list.len() as u64;
        let index = *self.by_hash.entry(entry.hash).or_insert(next);
        if index == next {
            let mut def = Vec::new();
            put_varint(
                &mut def,
                self.resources.by_encoding(&entry.resource.encoded),
            );
            put_varint(&mut def, self.scopes.by_encoding(&entry.scope.encoded));
            put_varint(&mut def, self.metrics.by_encoding(&entry.metric.encoded));
            def.extend_from_slice(&entry.attributes);
            self.list.push(def);
            self.entries.push((&entry.series, 0));
        }
        self.entries[index as usize].1 += 1;
        self.known.insert((chunk, series), index);
        index
    }

    fn write(self, writer: &mut BlockWriter) {
        self.resources.write("resources", writer);
        self.scopes.write("scopes", writer);
        self.metrics.write("metrics", writer);
        writer.column(
            "series.def",
            Values::Bytes(self.list.iter().map(Vec::as_slice).collect()),
        );
    }
}

/// The series of a block of metrics.
pub(crate) fn series(reader: &BlockReader, interned: &Interned) -> Result<Vec<Series>, Damage> {
    let resources = interned.resources(reader)?;
    let scopes = interned.scopes(reader)?;
    let metrics = interned.metrics(reader)?;
    let defs = reader
        .bytes("series.def")
        .map_err(|error| Damage(error.to_string()))?;
    let Some(defs) = defs else {
        return Ok(Vec::new());
    };
    defs.iter()
        .map(|def| one_series(def, &resources, &scopes, &metrics))
        .collect()
}

/// The indices of a series' resource, scope and metric, and its encoded attributes.
pub(super) fn definition(def: &[u8]) -> Result<([usize; 3], &[u8]), Damage> {
    let damage = || Damage("series definition".to_owned());
    let mut at = 0;
    let mut index = || {
        let mut value = 0usize;
        for shift in (0..35).step_by(7) {
            let byte = *def.get(at).ok_or_else(damage)?;
            at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damage())
    };
    Ok(([index()?, index()?, index()?], &def[at..]))
}

fn one_series(
    def: &[u8],
    resources: &[Arc<Resource>],
    scopes: &[Arc<Scope>],
    metrics: &[Arc<Metric>],
) -> Result<Series, Damage> {
    let damage = || Damage("series definition".to_owned());
    let ([resource, scope, metric], attributes) = definition(def)?;
    let attributes: Vec<KeyValue> = postcard::from_bytes(attributes).map_err(|_| damage())?;
    Ok(Series {
        resource: resources.get(resource).ok_or_else(damage)?.clone(),
        scope: scopes.get(scope).ok_or_else(damage)?.clone(),
        metric: metrics.get(metric).ok_or_else(damage)?.clone(),
        attributes,
    })
}

/// The points of a block in row order, each with the index of its series.
pub(crate) fn points(reader: &BlockReader) -> Result<Vec<(usize, DataPoint)>, Damage> {
    let damage = |error: crate::block::BlockError| Damage(error.to_string());
    let rows = reader.rows() as usize;
    let zeros = || vec![0u64; rows];
    let time = reader.uints("time").map_err(damage)?.unwrap_or_else(zeros);
    let start = reader
        .ints("start")
        .map_err(damage)?
        .unwrap_or_else(|| vec![0; rows]);
    let series = reader
        .uints("series")
        .map_err(damage)?
        .unwrap_or_else(zeros);
    let flags = reader.uints("flags").map_err(damage)?.unwrap_or_else(zeros);
    let kinds = reader
        .uints("value.kind")
        .map_err(damage)?
        .unwrap_or_else(zeros);
    let mut ints = reader
        .ints("value.int")
        .map_err(damage)?
        .unwrap_or_default()
        .into_iter();
    let mut doubles = reader
        .doubles("value.double")
        .map_err(damage)?
        .unwrap_or_default()
        .into_iter();
    let bytes = reader.bytes("value.bytes").map_err(damage)?;
    let mut bytes_at = 0;
    let exemplars = reader.bytes("exemplars").map_err(damage)?;
    let short = || Damage("fewer values than points".to_owned());
    if [
        time.len(),
        start.len(),
        series.len(),
        flags.len(),
        kinds.len(),
    ] != [rows; 5]
    {
        return Err(short());
    }
    let mut out = Vec::with_capacity(rows);
    for row in 0..rows {
        let value = match kinds[row] {
            0 => PointValue::Int(ints.next().ok_or_else(short)?),
            1 => PointValue::Double(doubles.next().ok_or_else(short)?),
            _ => {
                let column = bytes
                    .as_ref()
                    .filter(|list| bytes_at < list.len())
                    .ok_or_else(short)?;
                bytes_at += 1;
                decode_point_value(column.get(bytes_at - 1))
            }
        };
        #[allow(clippy::cast_sign_loss)]
        let point = DataPoint {
            start_unix_nano: time[row].wrapping_sub(start[row] as u64),
            time_unix_nano: time[row],
            flags: u32::try_from(flags[row]).map_err(|_| short())?,
            value,
            exemplars: exemplars
                .as_ref()
                .filter(|list| row < list.len())
                .map_or_else(Vec::new, |list| decode_exemplars(list.get(row))),
        };
        out.push((usize::try_from(series[row]).map_err(|_| short())?, point));
    }
    Ok(out)
}
