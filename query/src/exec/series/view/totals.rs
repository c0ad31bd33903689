//! Totals of deltas that came by column.

use std::sync::Arc;

use model::DataPoint;
use model::metric::PointValue;
use promql::{Labels, Samples};
use storage::message::DeltaSamples;

use super::output::{Column, Output};

/// Makes totals, and has series with the same times share their list.
#[derive(Default)]
pub(super) struct Totals(Arc<Vec<i64>>);

impl Totals {
    /// Adds the totals of a series whose times rise.
    pub(super) fn add(&mut self, labels: &Labels, deltas: &DeltaSamples, output: &mut Output<'_>) {
        if !output.wants(labels) {
            return;
        }
        let mut column = Column::default();
        let mut total = 0.0;
        for (time, value) in deltas.times.iter().zip(&deltas.values) {
            total += value;
            if let Some(time_ms) = output.time(*time) {
                column.push(time_ms, total);
            }
        }
        if *self.0 != column.times {
            self.0 = Arc::new(column.times);
        }
        let samples = Samples {
            times: Arc::clone(&self.0),
            floats: column.values,
            ..Samples::default()
        };
        output.add(labels, samples);
    }
}

/// The points that they are.
pub(super) fn points(deltas: &DeltaSamples) -> impl Iterator<Item = DataPoint> + '_ {
    let rows = deltas.times.iter().zip(&deltas.starts).zip(&deltas.values);
    rows.map(|((time, start), value)| DataPoint {
        start_unix_nano: *start,
        time_unix_nano: *time,
        flags: 0,
        value: PointValue::Double(*value),
        exemplars: Vec::new(),
    })
}
