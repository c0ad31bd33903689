//! Deltas of one series by column.

use model::metric::{MetricKind, Temporality};

use crate::message::DeltaSamples;
use crate::points::{PointValues, Points, SeriesEntry};

/// Numbers of a series of deltas by time, if there is nothing else in these lists, which come in the
/// order in which they were stored; of the same time, those that were stored first come first.
pub(super) fn joined(entry: &SeriesEntry, lists: &[(usize, Box<Points>)]) -> Option<DeltaSamples> {
    let metric = &entry.metric.value;
    let is_number = |(_, points): &(usize, Box<Points>)| {
        let any = matches!(points.values, PointValues::Any(_));
        !any && points.flags.is_empty() && points.empty.is_empty()
    };
    if metric.temporality != Temporality::Delta
        || !matches!(metric.kind, MetricKind::Gauge | MetricKind::Sum)
        || lists.is_empty()
        || !lists.iter().all(is_number)
    {
        return None;
    }
    let rows = lists.iter().map(|(_, points)| points.len()).sum();
    let mut deltas = DeltaSamples {
        times: Vec::with_capacity(rows),
        starts: Vec::with_capacity(rows),
        values: Vec::with_capacity(rows),
    };
    for (_, points) in lists {
        deltas.times.extend_from_slice(&points.times);
        let starts = (0..points.len()).map(|row| points.starts.get(row));
        deltas.starts.extend(starts);
        add_numbers(&mut deltas.values, &points.values);
    }
    if !deltas.times.is_sorted() {
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| deltas.times[*row]);
        deltas = DeltaSamples {
            times: order.iter().map(|row| deltas.times[*row]).collect(),
            starts: order.iter().map(|row| deltas.starts[*row]).collect(),
            values: order.iter().map(|row| deltas.values[*row]).collect(),
        };
    }
    Some(deltas)
}

#[allow(clippy::cast_precision_loss)]
fn add_numbers(values: &mut Vec<f64>, numbers: &PointValues) {
    match numbers {
        PointValues::Int(list) => values.extend(list.iter().map(|int| *int as f64)),
        PointValues::Double(list) => values.extend_from_slice(list),
        PointValues::Any(_) => {}
    }
}
