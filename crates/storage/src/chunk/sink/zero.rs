//! Zeros where counters began.
//!
//! A counter that is first seen with some value shows no increase, since rates are differences of
//! samples. Its points may say when it began, and there it was zero: a point of zero at that time lets
//! rates see the first increase.

use model::Metric;
use model::metric::{
    ExponentialHistogram, Histogram, MetricKind, PointValue, Summary, Temporality,
};
use model::native::{NativeCounts, NativeHistogram, ResetHint};
use model::prometheus::{TYPE_KEY, is_verbatim};
use model::room::NoRoom;
use model::row::{PointRef, UNDATED};
use model::value::{Value, last};

use super::{ChunkSink, PointRow, PointVal, Text, index32, members, reserve};

impl ChunkSink<'_> {
    /// Whether a zero goes before a point that says when its counter began.
    pub(super) fn begins(&mut self, series: u32, metric: &Metric, point: &PointRef<'_>) -> bool {
        let (start, time) = (point.start_unix_nano, point.time_unix_nano);
        if point.flags != 0 || time == UNDATED || !counts(metric, point) {
            return false;
        }
        let id = self.chunk.series[series as usize].id;
        let place = index32(self.chunk.points.len());
        self.gate.begins(place, id, (start, time))
    }

    /// Adds the zero. It is no row that anyone sent, and not counted among those.
    pub(super) fn zero(&mut self, series: u32, point: &PointRef<'_>) -> Result<(), NoRoom> {
        let Some(zero) = zero_of(point.value) else {
            return Ok(());
        };
        reserve(&mut self.chunk.points, 1);
        self.grown()?;
        let value = match zero {
            PointValue::Int(int) => PointVal::Int(int),
            PointValue::Double(double) => PointVal::Double(double),
            other => PointVal::Encoded(self.encoded(&other, members(&other))?),
        };
        let time = point.start_unix_nano;
        self.note_time(time, time);
        self.chunk.points.push(PointRow {
            series,
            start: time,
            time,
            flags: 0,
            value,
            exemplars: Text::default(),
        });
        Ok(())
    }
}

/// Whether the points of a metric count up from a zero at their start.
fn counts(metric: &Metric, point: &PointRef<'_>) -> bool {
    // What came by a protocol of Prometheus is a gauge here, and says what it is.
    if is_verbatim(metric)
        && let Some(kind) = last(&metric.metadata, TYPE_KEY).and_then(Value::as_str)
    {
        let quantile = || point.attributes.iter().any(|pair| pair.key == "quantile");
        return match kind {
            "counter" | "histogram" => true,
            "summary" => !quantile(),
            _ => false,
        };
    }
    match metric.kind {
        MetricKind::Gauge => false,
        MetricKind::Sum => metric.monotonic && metric.temporality == Temporality::Cumulative,
        MetricKind::Histogram | MetricKind::ExponentialHistogram => {
            metric.temporality == Temporality::Cumulative
        }
        MetricKind::Summary => true,
    }
}

/// The value before anything was counted; none where that is not known.
fn zero_of(value: &PointValue) -> Option<PointValue> {
    Some(match value {
        PointValue::Empty => return None,
        PointValue::Int(_) => PointValue::Int(0),
        PointValue::Double(_) => PointValue::Double(0.0),
        PointValue::Histogram(sent) => PointValue::Histogram(Histogram {
            sum: sent.sum.map(|_| 0.0),
            bucket_counts: vec![0; sent.bucket_counts.len()],
            explicit_bounds: sent.explicit_bounds.clone(),
            ..Histogram::default()
        }),
        PointValue::Exponential(sent) => PointValue::Exponential(ExponentialHistogram {
            sum: sent.sum.map(|_| 0.0),
            scale: sent.scale,
            zero_threshold: sent.zero_threshold,
            ..ExponentialHistogram::default()
        }),
        PointValue::Summary(_) => PointValue::Summary(Summary::default()),
        PointValue::Native(sent) if sent.reset == ResetHint::Gauge => return None,
        PointValue::Native(sent) => PointValue::Native(NativeHistogram {
            schema: sent.schema,
            zero_threshold: sent.zero_threshold,
            custom_bounds: sent.custom_bounds.clone(),
            counts: match sent.counts {
                NativeCounts::Integer { .. } => NativeCounts::default(),
                NativeCounts::Float { .. } => NativeCounts::Float {
                    count: 0.0,
                    zero_count: 0.0,
                    positive: Vec::new(),
                    negative: Vec::new(),
                },
            },
            ..NativeHistogram::default()
        }),
    })
}
