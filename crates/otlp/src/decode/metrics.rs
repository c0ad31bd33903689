//! Metrics and their data points.

use model::metric::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Histogram, MetricKind, PointValue,
    Summary, Temporality,
};
use model::room::allocation;
use model::row::{DecodeError, MetricRef, PointRef, Reject, RowSink, Undecoded};
use model::value::{KeyValue, KeyValueRef};
use model::wire::{Field, Reader, key_value};

use super::lists::{Peak, push, reserve};
use super::{Rows, attribute, uint32};
use crate::native;

/// Lists of the present metric and point.
#[derive(Default)]
pub(super) struct Metrics<'a> {
    metadata: Vec<KeyValueRef<'a>>,
    attributes: Vec<KeyValueRef<'a>>,
    exemplars: Vec<Exemplar>,
    /// What the exemplars allocate beside their list.
    exemplar_bytes: Peak,
    spare: Spare,
}

/// Lists of the last values, for the next ones.
#[derive(Default)]
struct Spare {
    counts: Vec<u64>,
    bounds: Vec<f64>,
    positive: Vec<u64>,
    negative: Vec<u64>,
    quantiles: Vec<(f64, f64)>,
    native: native::Histograms,
}

impl Spare {
    /// Keeps the lists of a value that has been handed over.
    fn keep(&mut self, value: PointValue) {
        match value {
            PointValue::Histogram(histogram) => {
                self.counts = emptied(histogram.bucket_counts);
                self.bounds = emptied(histogram.explicit_bounds);
            }
            PointValue::Exponential(histogram) => {
                if let Some(buckets) = histogram.positive {
                    self.positive = emptied(buckets.bucket_counts);
                }
                if let Some(buckets) = histogram.negative {
                    self.negative = emptied(buckets.bucket_counts);
                }
            }
            PointValue::Summary(summary) => self.quantiles = emptied(summary.quantiles),
            PointValue::Native(histogram) => self.native.keep(histogram),
            PointValue::Empty | PointValue::Int(_) | PointValue::Double(_) => {}
        }
    }
}

fn emptied<T>(mut list: Vec<T>) -> Vec<T> {
    list.clear();
    list
}

/// The members of a point that all kinds share.
#[derive(Default)]
struct Head {
    start_unix_nano: u64,
    time_unix_nano: u64,
    flags: u32,
    /// Why the value is none.
    refused: Option<Reject>,
}

impl<'a> Rows<'a> for Metrics<'a> {
    fn row(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let Some(metric) = self.read(parent, message, sink)? else {
            return Ok(());
        };
        let Whole { data, more, .. } = &metric;
        // Parts of one kind add up; of several kinds the last counts.
        let parts = || std::iter::once(data).chain(more);
        let kind = more.last().unwrap_or(data).0;
        let last = parts().rev().take_while(|part| part.0 == kind).count();
        let replaced = more.len() + 1 - last;
        let reader = parent.nested(message);
        for (kind, data) in parts().take(replaced) {
            data_members(&reader, *kind, data, &mut Members::default())?;
            self.points(&reader, data, *kind, Some(Reject::SeveralKinds), sink)?;
        }
        let mut members = Members::default();
        for (_, data) in parts().skip(replaced) {
            data_members(&reader, kind, data, &mut members)?;
        }
        let temporality = match kind {
            MetricKind::Gauge | MetricKind::Summary => Some(Temporality::None),
            _ => members.temporality,
        };
        let reject = match temporality {
            _ if metric.name.is_empty() => Some(Reject::EmptyMetricName),
            None => Some(Reject::UnspecifiedTemporality),
            Some(_) => None,
        };
        if reject.is_none() {
            sink.metric(&MetricRef {
                name: metric.name,
                description: metric.description,
                unit: metric.unit,
                kind,
                temporality: temporality.unwrap_or(Temporality::None),
                monotonic: members.monotonic,
                metadata: &self.metadata,
            })?;
        }
        for (_, data) in parts().skip(replaced) {
            self.points(&reader, data, kind, reject, sink)?;
        }
        Ok(())
    }
}

/// A metric's members, but for its metadata.
struct Whole<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    data: (MetricKind, &'a [u8]),
    /// Data that follows, where a sender puts more than one into a metric.
    more: Vec<(MetricKind, &'a [u8])>,
}

/// What a metric's data says of all its points.
#[derive(Default)]
struct Members {
    /// None where it is unspecified.
    temporality: Option<Temporality>,
    monotonic: bool,
}

/// Reads the members of a metric's data that are not points.
fn data_members<'a>(
    parent: &Reader<'a>,
    kind: MetricKind,
    data: &'a [u8],
    members: &mut Members,
) -> Result<(), DecodeError> {
    if matches!(kind, MetricKind::Gauge | MetricKind::Summary) {
        return Ok(());
    }
    let mut reader = parent.nested(data);
    while let Some((number, field)) = reader.next()? {
        match number {
            2 => {
                members.temporality = match uint32(&reader, field)? {
                    1 => Some(Temporality::Delta),
                    2 => Some(Temporality::Cumulative),
                    _ => None,
                }
            }
            3 if kind == MetricKind::Sum => members.monotonic = field.varint(&reader)? != 0,
            _ => {}
        }
    }
    Ok(())
}

impl<'a> Metrics<'a> {
    /// Reads a metric; none where it has no data.
    fn read(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        sink: &mut dyn RowSink,
    ) -> Result<Option<Whole<'a>>, Undecoded> {
        self.metadata.clear();
        let (mut name, mut description, mut unit) = ("", "", "");
        let (mut data, mut more) = (None, Vec::new());
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            let kind = match number {
                1 => {
                    name = field.text(&reader)?;
                    continue;
                }
                2 => {
                    description = field.text(&reader)?;
                    continue;
                }
                3 => {
                    unit = field.text(&reader)?;
                    continue;
                }
                12 => {
                    attribute(&reader, field, &mut self.metadata, sink)?;
                    continue;
                }
                5 => MetricKind::Gauge,
                7 => MetricKind::Sum,
                9 => MetricKind::Histogram,
                10 => MetricKind::ExponentialHistogram,
                11 => MetricKind::Summary,
                _ => continue,
            };
            let part = (kind, field.bytes(&reader)?);
            match data {
                None => data = Some(part),
                Some(_) => push(&mut more, part, sink)?,
            }
        }
        Ok(data.map(|data| Whole {
            name,
            description,
            unit,
            data,
            more,
        }))
    }

    fn points(
        &mut self,
        parent: &Reader<'a>,
        data: &'a [u8],
        kind: MetricKind,
        reject: Option<Reject>,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let mut points = parent.nested(data);
        while let Some((number, field)) = points.next()? {
            if number == 1 {
                self.point(&points, field.bytes(&points)?, kind, reject, sink)?;
            }
        }
        Ok(())
    }

    fn point(
        &mut self,
        parent: &Reader<'a>,
        message: &'a [u8],
        kind: MetricKind,
        reject: Option<Reject>,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        self.attributes.clear();
        self.exemplars.clear();
        self.exemplar_bytes.restart();
        let mut head = Head::default();
        let reader = parent.nested(message);
        let value = match kind {
            MetricKind::Gauge | MetricKind::Sum => self.number(reader, &mut head, sink)?,
            MetricKind::Histogram => {
                PointValue::Histogram(self.histogram(reader, &mut head, sink)?)
            }
            MetricKind::ExponentialHistogram => self.exponential(reader, &mut head, sink)?,
            MetricKind::Summary => PointValue::Summary(self.summary(reader, &mut head, sink)?),
        };
        let reject = reject.or(head.refused).or(match &value {
            _ if head.time_unix_nano == 0 => Some(Reject::ZeroTime),
            PointValue::Histogram(histogram) if !counts_fit(histogram) => {
                Some(Reject::MalformedHistogram)
            }
            PointValue::Exponential(histogram)
                if histogram.zero_threshold.is_nan() || histogram.zero_threshold < 0.0 =>
            {
                Some(Reject::MalformedHistogram)
            }
            _ => None,
        });
        match reject {
            Some(reason) => sink.reject(reason, 1),
            None => sink.point(&PointRef {
                attributes: &self.attributes,
                start_unix_nano: head.start_unix_nano,
                time_unix_nano: head.time_unix_nano,
                flags: head.flags,
                value: &value,
                exemplars: &self.exemplars,
            })?,
        }
        self.spare.keep(value);
        Ok(())
    }

    fn number(
        &mut self,
        mut reader: Reader<'a>,
        head: &mut Head,
        sink: &mut dyn RowSink,
    ) -> Result<PointValue, Undecoded> {
        let mut value = PointValue::Empty;
        while let Some((number, field)) = reader.next()? {
            match number {
                2 => head.start_unix_nano = field.fixed64(&reader)?,
                3 => head.time_unix_nano = field.fixed64(&reader)?,
                4 => value = PointValue::Double(field.double(&reader)?),
                5 => self.exemplar(&reader, field, sink)?,
                #[allow(clippy::cast_possible_wrap)]
                6 => value = PointValue::Int(field.fixed64(&reader)? as i64),
                7 => attribute(&reader, field, &mut self.attributes, sink)?,
                8 => head.flags = uint32(&reader, field)?,
                _ => {}
            }
        }
        Ok(value)
    }

    fn histogram(
        &mut self,
        mut reader: Reader<'a>,
        head: &mut Head,
        sink: &mut dyn RowSink,
    ) -> Result<Histogram, Undecoded> {
        let mut value = Histogram {
            bucket_counts: std::mem::take(&mut self.spare.counts),
            explicit_bounds: std::mem::take(&mut self.spare.bounds),
            ..Histogram::default()
        };
        while let Some((number, field)) = reader.next()? {
            match number {
                2 => head.start_unix_nano = field.fixed64(&reader)?,
                3 => head.time_unix_nano = field.fixed64(&reader)?,
                4 => value.count = field.fixed64(&reader)?,
                5 => value.sum = Some(field.double(&reader)?),
                6 => {
                    let counts = &mut value.bucket_counts;
                    fixed64_list(&reader, field, counts, std::convert::identity, sink)?;
                }
                7 => {
                    let bounds = &mut value.explicit_bounds;
                    fixed64_list(&reader, field, bounds, f64::from_bits, sink)?;
                }
                8 => self.exemplar(&reader, field, sink)?,
                9 => attribute(&reader, field, &mut self.attributes, sink)?,
                10 => head.flags = uint32(&reader, field)?,
                11 => value.min = Some(field.double(&reader)?),
                12 => value.max = Some(field.double(&reader)?),
                _ => {}
            }
        }
        Ok(value)
    }

    fn exponential(
        &mut self,
        mut reader: Reader<'a>,
        head: &mut Head,
        sink: &mut dyn RowSink,
    ) -> Result<PointValue, Undecoded> {
        let mut value = ExponentialHistogram::default();
        let mut whole = None;
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => attribute(&reader, field, &mut self.attributes, sink)?,
                2 => head.start_unix_nano = field.fixed64(&reader)?,
                3 => head.time_unix_nano = field.fixed64(&reader)?,
                4 => value.count = field.fixed64(&reader)?,
                5 => value.sum = Some(field.double(&reader)?),
                6 => value.scale = sint32(&reader, field)?,
                7 => value.zero_count = field.fixed64(&reader)?,
                8 => {
                    let spare = &mut self.spare.positive;
                    let positive = value.positive.get_or_insert_with(|| reused(spare));
                    buckets(&reader, field, positive, sink)?;
                }
                9 => {
                    let spare = &mut self.spare.negative;
                    let negative = value.negative.get_or_insert_with(|| reused(spare));
                    buckets(&reader, field, negative, sink)?;
                }
                10 => head.flags = uint32(&reader, field)?,
                11 => self.exemplar(&reader, field, sink)?,
                12 => value.min = Some(field.double(&reader)?),
                13 => value.max = Some(field.double(&reader)?),
                14 => value.zero_threshold = field.double(&reader)?,
                native::FIELD => {
                    let coarsest = native::COARSEST_CALCULATED;
                    let spare = &mut self.spare.native;
                    match spare.read(&reader, field, coarsest, sink)? {
                        Ok(sample) => whole = Some(sample.histogram),
                        Err(reason) => head.refused = Some(reason),
                    }
                }
                _ => {}
            }
        }
        Ok(whole.map_or(PointValue::Exponential(value), PointValue::Native))
    }

    fn summary(
        &mut self,
        mut reader: Reader<'a>,
        head: &mut Head,
        sink: &mut dyn RowSink,
    ) -> Result<Summary, Undecoded> {
        let mut value = Summary {
            quantiles: std::mem::take(&mut self.spare.quantiles),
            ..Summary::default()
        };
        while let Some((number, field)) = reader.next()? {
            match number {
                2 => head.start_unix_nano = field.fixed64(&reader)?,
                3 => head.time_unix_nano = field.fixed64(&reader)?,
                4 => value.count = field.fixed64(&reader)?,
                5 => value.sum = field.double(&reader)?,
                6 => {
                    let mut pair = (0.0, 0.0);
                    let mut inner = reader.nested(field.bytes(&reader)?);
                    while let Some((number, field)) = inner.next()? {
                        match number {
                            1 => pair.0 = field.double(&inner)?,
                            2 => pair.1 = field.double(&inner)?,
                            _ => {}
                        }
                    }
                    push(&mut value.quantiles, pair, sink)?;
                }
                7 => attribute(&reader, field, &mut self.attributes, sink)?,
                8 => head.flags = uint32(&reader, field)?,
                _ => {}
            }
        }
        Ok(value)
    }

    fn exemplar(
        &mut self,
        parent: &Reader<'a>,
        field: Field<'a>,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        let mut exemplar = Exemplar::default();
        let memory = &mut self.exemplar_bytes;
        let mut reader = parent.nested(field.bytes(parent)?);
        while let Some((number, field)) = reader.next()? {
            match number {
                2 => exemplar.time_unix_nano = field.fixed64(&reader)?,
                3 => exemplar.value = ExemplarValue::Double(field.double(&reader)?),
                4 | 5 => {
                    let id = field.bytes(&reader)?;
                    memory.add(allocation(id.len()), sink)?;
                    let member = if number == 4 {
                        &mut exemplar.span_id
                    } else {
                        &mut exemplar.trace_id
                    };
                    *member = id.to_vec();
                }
                #[allow(clippy::cast_possible_wrap)]
                6 => exemplar.value = ExemplarValue::Int(field.fixed64(&reader)? as i64),
                7 => {
                    let pair = key_value(&reader, field.bytes(&reader)?)?;
                    // The list may have grown to twice what is in it.
                    let bytes = pair.owned_bytes().saturating_add(2 * size_of::<KeyValue>());
                    memory.add(bytes, sink)?;
                    exemplar.filtered_attributes.push(pair.to_key_value());
                }
                _ => {}
            }
        }
        Ok(push(&mut self.exemplars, exemplar, sink)?)
    }
}

/// A histogram has no buckets at all, or one more than it has bounds.
fn counts_fit(histogram: &Histogram) -> bool {
    let (counts, bounds) = (
        histogram.bucket_counts.len(),
        histogram.explicit_bounds.len(),
    );
    counts == bounds + 1 || (counts == 0 && bounds == 0)
}

/// Buckets with the list of earlier ones.
fn reused(spare: &mut Vec<u64>) -> Buckets {
    Buckets {
        offset: 0,
        bucket_counts: std::mem::take(spare),
    }
}

fn buckets<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    buckets: &mut Buckets,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, field) => buckets.offset = sint32(&reader, field)?,
            (2, Field::Bytes(packed)) => {
                let mut inner = reader.nested(packed);
                while !inner.is_empty() {
                    push(&mut buckets.bucket_counts, inner.varint()?, sink)?;
                }
            }
            (2, field) => push(&mut buckets.bucket_counts, field.varint(&reader)?, sink)?,
            _ => {}
        }
    }
    Ok(())
}

/// A repeated 64-bit field, packed or not.
fn fixed64_list<T>(
    reader: &Reader<'_>,
    field: Field<'_>,
    list: &mut Vec<T>,
    of: fn(u64) -> T,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let Field::Bytes(packed) = field else {
        return Ok(push(list, of(field.fixed64(reader)?), sink)?);
    };
    let (values, rest) = packed.as_chunks::<8>();
    if !rest.is_empty() {
        let reason = "packed list of 64-bit values with a part of one";
        return Err(reader.error(reason).into());
    }
    reserve(list, values.len(), sink)?;
    list.extend(values.iter().map(|value| of(u64::from_le_bytes(*value))));
    Ok(())
}

/// A zigzag-coded field.
#[allow(clippy::cast_possible_wrap)]
fn sint32(reader: &Reader<'_>, field: Field<'_>) -> Result<i32, DecodeError> {
    let coded = uint32(reader, field)?;
    Ok((coded >> 1) as i32 ^ -((coded & 1) as i32))
}
