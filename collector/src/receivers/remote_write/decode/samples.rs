//! Samples, histograms and exemplars of one series, as data points.

use model::KeyValue;
use model::metric::{Exemplar, ExemplarValue, FLAG_NO_RECORDED_VALUE, MetricKind, PointValue};
use model::room::allocation;
use model::row::{PointRef, Reject, RowSink, Undecoded};
use model::value::KeyValueRef;
use model::wire::{Field, Reader};
use otlp::decode::lists::Peak;
use otlp::native::{self, COARSEST_WRITTEN, Histograms};

use super::{ExemplarLabels, Fields, Series, metric};

/// The bits of the NaN that says that a series has ended.
pub(super) const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
const NANOS_PER_MS: u64 = 1_000_000;

/// Hands the points of one series after the other over.
pub(super) struct Samples<'d, 'a> {
    fields: Fields,
    exemplar_labels: &'d dyn ExemplarLabels<'a>,
    /// The metric that the sink has: its place in the request and its kind.
    present: Option<(u32, MetricKind)>,
    histograms: Histograms,
    labels: Vec<(&'a str, &'a str)>,
    /// What an exemplar allocates.
    memory: Peak,
}

impl<'d, 'a> Samples<'d, 'a> {
    pub(super) fn new(fields: Fields, exemplar_labels: &'d dyn ExemplarLabels<'a>) -> Self {
        Self {
            fields,
            exemplar_labels,
            present: None,
            histograms: Histograms::default(),
            labels: Vec::new(),
            memory: Peak::default(),
        }
    }

    /// The sink has no metric any more.
    pub(super) fn restart(&mut self) {
        self.present = None;
    }

    /// How many rows a series would be.
    pub(super) fn count(&self, parent: &Reader<'a>, message: &'a [u8]) -> Result<u64, Undecoded> {
        let Fields {
            samples,
            histograms,
            exemplars,
        } = self.fields;
        let mut count = 0;
        let mut reader = parent.nested(message);
        while let Some((number, _)) = reader.next()? {
            count += u64::from([samples, histograms, exemplars].contains(&number));
        }
        Ok(count)
    }

    pub(super) fn emit(
        &mut self,
        parent: &Reader<'a>,
        series: &Series<'a>,
        labels: &[KeyValueRef<'a>],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let fields = self.fields;
        let mut reader = parent.nested(series.message);
        while let Some((number, field)) = reader.next()? {
            if number == fields.samples {
                self.enter(series, MetricKind::Gauge, sink)?;
                sample(&reader, field, series, labels, sink)?;
            } else if number == fields.histograms {
                self.enter(series, MetricKind::ExponentialHistogram, sink)?;
                let point = self
                    .histograms
                    .read(&reader, field, COARSEST_WRITTEN, sink)?;
                self.histogram(point, series, labels, sink)?;
            } else if number == fields.exemplars {
                if self
                    .present
                    .is_none_or(|(place, _)| place != series.group.1)
                {
                    self.enter(series, MetricKind::Gauge, sink)?;
                }
                self.exemplar(&reader, field, labels, sink)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn enter(
        &mut self,
        series: &Series<'a>,
        kind: MetricKind,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let wanted = (series.group.1, kind);
        if self.present != Some(wanted) {
            metric(&series.metric, kind, sink)?;
            self.present = Some(wanted);
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        read: Result<native::Sample, Reject>,
        series: &Series<'a>,
        labels: &[KeyValueRef<'a>],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let sample = match read {
            Ok(sample) => sample,
            Err(reason) => {
                sink.reject(reason, 1);
                return Ok(());
            }
        };
        let stale = sample.histogram.sum.to_bits() == STALE_NAN_BITS;
        let value = PointValue::Native(sample.histogram);
        let times = (sample.start_ms, sample.time_ms);
        point(times, stale, &value, series, labels, sink)?;
        if let PointValue::Native(histogram) = value {
            self.histograms.keep(histogram);
        }
        Ok(())
    }

    fn exemplar(
        &mut self,
        parent: &Reader<'a>,
        field: Field<'a>,
        labels: &[KeyValueRef<'a>],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        self.labels.clear();
        self.memory.restart();
        let (mut value, mut time_ms) = (0.0, 0);
        let message = field.bytes(parent)?;
        // Its labels take a few times their encoding, of which two bytes are an empty one.
        let entry = size_of::<(&str, &str)>() + size_of::<KeyValue>() + 2 * allocation(1);
        self.memory.add(message.len().saturating_mul(entry), sink)?;
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => self
                    .exemplar_labels
                    .field(&reader, field, &mut self.labels)?,
                2 => value = field.double(&reader)?,
                3 => time_ms = int64(&reader, field)?,
                _ => {}
            }
        }
        let Some(time_unix_nano) = nanos(time_ms) else {
            sink.reject(Reject::TimeOutOfRange, 1);
            return Ok(());
        };
        let exemplar = Exemplar {
            filtered_attributes: self
                .labels
                .iter()
                .map(|(k, v)| KeyValue::new(*k, *v))
                .collect(),
            time_unix_nano,
            value: ExemplarValue::Double(value),
            trace_id: id(&self.labels, &["trace_id", "traceID", "traceId"], 16),
            span_id: id(&self.labels, &["span_id", "spanID", "spanId"], 8),
        };
        Ok(sink.point(&PointRef {
            attributes: labels,
            start_unix_nano: 0,
            time_unix_nano,
            flags: 0,
            value: &PointValue::Empty,
            exemplars: &[exemplar],
        })?)
    }
}

#[inline]
fn sample<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    series: &Series<'a>,
    labels: &[KeyValueRef<'a>],
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let (mut value, mut time_ms, mut start_ms) = (0.0f64, 0, 0);
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => value = field.double(&reader)?,
            2 => time_ms = int64(&reader, field)?,
            3 => start_ms = int64(&reader, field)?,
            _ => {}
        }
    }
    let stale = value.to_bits() == STALE_NAN_BITS;
    let value = PointValue::Double(value);
    point((start_ms, time_ms), stale, &value, series, labels, sink)
}

#[inline]
fn point(
    (start_ms, time_ms): (i64, i64),
    stale: bool,
    value: &PointValue,
    series: &Series<'_>,
    labels: &[KeyValueRef<'_>],
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let Some(time_unix_nano) = nanos(time_ms) else {
        sink.reject(Reject::TimeOutOfRange, 1);
        return Ok(());
    };
    let start_ms = if start_ms == 0 {
        series.start_ms
    } else {
        start_ms
    };
    Ok(sink.point(&PointRef {
        attributes: labels,
        start_unix_nano: nanos(start_ms).unwrap_or_default(),
        time_unix_nano,
        flags: if stale { FLAG_NO_RECORDED_VALUE } else { 0 },
        value,
        exemplars: &[],
    })?)
}

/// Milliseconds as unix nanoseconds, of which the largest means something else.
#[inline]
fn nanos(milliseconds: i64) -> Option<u64> {
    u64::try_from(milliseconds).ok()?.checked_mul(NANOS_PER_MS)
}

#[inline]
#[allow(clippy::cast_possible_wrap)]
pub(super) fn int64(reader: &Reader<'_>, field: Field<'_>) -> Result<i64, Undecoded> {
    Ok(field.varint(reader)? as i64)
}

/// The id of so many bytes that one of these labels is in hex; empty for none.
fn id(labels: &[(&str, &str)], names: &[&str], length: usize) -> Vec<u8> {
    let mut values = labels.iter().filter(|(name, _)| names.contains(name));
    // What is of another length is not looked at, however long it is.
    let id = values.find_map(|(_, value)| {
        let digits = Some(*value).filter(|value| value.len() == 2 * length)?;
        otlp::json::hex(digits)
    });
    id.unwrap_or_default()
}
