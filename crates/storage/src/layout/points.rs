//! Metric data points as earlier builds wrote them: a row each.
//!
//! `series.def` holds per series the indices of its resource, scope and metric as varints, then
//! its encoded attributes.

use std::sync::Arc;

use model::metric::{PointValue, Series};
use model::{DataPoint, KeyValue, Metric, Resource, Scope};

use super::Interned;
use crate::block::BlockReader;
use crate::chunk::{decode_exemplars, decode_point_value};
use crate::table::Damage;

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
