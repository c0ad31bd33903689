//! A native histogram as a message, laid out as in Prometheus' remote write: 1 count, 2 float count,
//! 3 sum, 4 schema, 5 zero threshold, 6 zero count, 7 float zero count, 8 negative spans {1 offset,
//! 2 length}, 9 negative deltas, 10 negative counts, 11 to 13 the same of the positive side, 14 reset
//! hint, 15 time, 16 custom bounds, 17 start.
//!
//! OTLP has no form for float counts, custom bounds, gaps between buckets and reset hints. Between
//! our own processes a point of an exponential histogram carries the whole in the field [`FIELD`],
//! beside its count and its sum; whoever does not know the field passes over it.

use model::native::{BucketSpan, CUSTOM_SCHEMA, NativeCounts, NativeHistogram, ResetHint};
use model::row::{DecodeError, Reject, RowSink, Undecoded};
use model::wire::{Field, Reader, put_key, put_varint};

use crate::decode::lists::{push, reserve};
use crate::proto::{
    fixed64, int32, message, packed_fixed64, packed_varint, put_double, varint, zigzag,
};

/// The number of the field in a data point of an exponential histogram: of those that Protocol
/// Buffers leave to the use within one organisation.
pub const FIELD: u32 = 50_001;

/// The finest schema that has a meaning; those above 8 are merged down when they are read.
const FINEST: i32 = 52;
/// The coarsest schema that Prometheus writes.
pub const COARSEST_WRITTEN: i32 = -4;
/// The coarsest schema that calculations yield, over histograms of OTLP.
pub const COARSEST_CALCULATED: i32 = -11;

/// A histogram with its times in milliseconds.
pub struct Sample {
    /// The histogram.
    pub histogram: NativeHistogram,
    /// When its counter began; 0 where not said.
    pub start_ms: i64,
    /// Its time.
    pub time_ms: i64,
}

/// Lists of the last histogram, for the next one.
#[derive(Default)]
pub struct Histograms {
    positive_spans: Vec<BucketSpan>,
    negative_spans: Vec<BucketSpan>,
    custom_bounds: Vec<f64>,
    positive: Vec<u64>,
    negative: Vec<u64>,
    positive_floats: Vec<f64>,
    negative_floats: Vec<f64>,
}

fn emptied<T>(mut list: Vec<T>) -> Vec<T> {
    list.clear();
    list
}

impl Histograms {
    /// Keeps the lists of a histogram that has been handed over.
    pub fn keep(&mut self, histogram: NativeHistogram) {
        self.positive_spans = emptied(histogram.positive_spans);
        self.negative_spans = emptied(histogram.negative_spans);
        self.custom_bounds = emptied(histogram.custom_bounds);
        match histogram.counts {
            NativeCounts::Integer {
                positive, negative, ..
            } => {
                self.positive = emptied(positive);
                self.negative = emptied(negative);
            }
            NativeCounts::Float {
                positive, negative, ..
            } => {
                self.positive_floats = emptied(positive);
                self.negative_floats = emptied(negative);
            }
        }
    }

    /// One histogram of a schema that is not coarser than `coarsest`, or why it is none.
    pub fn read<'a>(
        &mut self,
        parent: &Reader<'a>,
        field: Field<'a>,
        coarsest: i32,
        sink: &mut dyn RowSink,
    ) -> Result<Result<Sample, Reject>, Undecoded> {
        // One that is float may have had deltas too.
        self.positive.clear();
        self.negative.clear();
        self.positive_floats.clear();
        self.negative_floats.clear();
        let mut out = NativeHistogram {
            positive_spans: std::mem::take(&mut self.positive_spans),
            negative_spans: std::mem::take(&mut self.negative_spans),
            custom_bounds: std::mem::take(&mut self.custom_bounds),
            ..NativeHistogram::default()
        };
        let (mut time_ms, mut start_ms) = (0, 0);
        let (mut whole, mut whole_zero) = (None, 0);
        let (mut float, mut float_zero) = (None, 0.0);
        let mut negative_sum = false;
        let message = field.bytes(parent)?;
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => whole = Some(field.varint(&reader)?),
                2 => float = Some(field.double(&reader)?),
                3 => out.sum = field.double(&reader)?,
                4 => out.schema = sint32(field.varint(&reader)?),
                5 => out.zero_threshold = field.double(&reader)?,
                6 => whole_zero = field.varint(&reader)?,
                7 => float_zero = field.double(&reader)?,
                8 => push(&mut out.negative_spans, span(&reader, field)?, sink)?,
                9 => negative_sum |= deltas(&reader, field, &mut self.negative, sink)?,
                10 => doubles(&reader, field, &mut self.negative_floats, sink)?,
                11 => push(&mut out.positive_spans, span(&reader, field)?, sink)?,
                12 => negative_sum |= deltas(&reader, field, &mut self.positive, sink)?,
                13 => doubles(&reader, field, &mut self.positive_floats, sink)?,
                14 => out.reset = reset(field.varint(&reader)?),
                15 => time_ms = int64(&reader, field)?,
                16 => doubles(&reader, field, &mut out.custom_bounds, sink)?,
                17 => start_ms = int64(&reader, field)?,
                _ => {}
            }
        }
        out.counts = match float {
            Some(count) if whole.is_none() => NativeCounts::Float {
                count,
                zero_count: float_zero,
                positive: std::mem::take(&mut self.positive_floats),
                negative: std::mem::take(&mut self.negative_floats),
            },
            _ => NativeCounts::Integer {
                count: whole.unwrap_or_default(),
                zero_count: whole_zero,
                positive: std::mem::take(&mut self.positive),
                negative: std::mem::take(&mut self.negative),
            },
        };
        if negative_sum || !is_sound(&out, coarsest) {
            self.keep(out);
            return Ok(Err(Reject::MalformedHistogram));
        }
        Ok(Ok(Sample {
            histogram: out,
            start_ms,
            time_ms,
        }))
    }
}

/// Whether spans, counts and bounds fit each other, no count is negative, the zero bucket has a
/// width, and the schema is not coarser than `coarsest`. Whether the counts add up is not asked: what calculations yield often
/// does not, and nothing depends on it.
pub fn is_sound(histogram: &NativeHistogram, coarsest: i32) -> bool {
    let counts = match &histogram.counts {
        NativeCounts::Integer {
            positive, negative, ..
        } => (positive.len(), negative.len()),
        NativeCounts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let single = [count, zero_count].into_iter();
            if single
                .chain(positive)
                .chain(negative)
                .any(|count| *count < 0.0)
            {
                return false;
            }
            (positive.len(), negative.len())
        }
    };
    let sides = (&histogram.positive_spans[..], &histogram.negative_spans[..]);
    let custom = histogram.schema == CUSTOM_SCHEMA;
    let bounds = &histogram.custom_bounds;
    let rising = bounds.is_sorted_by(|a, b| a < b) && bounds.iter().all(|bound| !bound.is_nan());
    spans_fit(sides.0, counts.0)
        && spans_fit(sides.1, counts.1)
        && histogram.zero_threshold >= 0.0
        && if custom {
            let last = sides.0.iter().fold(0i64, |end, span| {
                end + i64::from(span.offset) + i64::from(span.length)
            });
            let first = sides.0.first().map_or(0, |span| span.offset);
            rising && sides.1.is_empty() && first >= 0 && last <= bounds.len() as i64 + 1
        } else {
            (coarsest..=FINEST).contains(&histogram.schema) && bounds.is_empty()
        }
}

/// Whether spans go up, stay within 32 bits, and have room for exactly so many counts.
fn spans_fit(spans: &[BucketSpan], counts: usize) -> bool {
    let mut end = 0i64;
    let mut buckets = 0u64;
    for (at, span) in spans.iter().enumerate() {
        if at > 0 && span.offset < 0 {
            return false;
        }
        end += i64::from(span.offset) + i64::from(span.length);
        buckets += u64::from(span.length);
        if i32::try_from(end).is_err() {
            return false;
        }
    }
    buckets == counts as u64
}

fn span<'a>(parent: &Reader<'a>, field: Field<'a>) -> Result<BucketSpan, DecodeError> {
    let mut span = BucketSpan::default();
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => span.offset = sint32(field.varint(&reader)?),
            #[allow(clippy::cast_possible_truncation)]
            2 => span.length = field.varint(&reader)? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Adds up differences onto `counts`; tells whether any count is negative.
fn deltas(
    reader: &Reader<'_>,
    field: Field<'_>,
    counts: &mut Vec<u64>,
    sink: &mut dyn RowSink,
) -> Result<bool, Undecoded> {
    let mut negative = false;
    let mut add = |coded: u64, counts: &mut Vec<u64>| {
        let before = counts.last().copied().unwrap_or_default();
        let sum = before.checked_add_signed(sint64(coded));
        negative |= sum.is_none();
        push(counts, sum.unwrap_or_default(), sink)
    };
    let Field::Bytes(packed) = field else {
        add(field.varint(reader)?, counts)?;
        return Ok(negative);
    };
    let mut inner = Reader::new(packed);
    while !inner.is_empty() {
        add(inner.varint()?, counts)?;
    }
    Ok(negative)
}

fn doubles(
    reader: &Reader<'_>,
    field: Field<'_>,
    list: &mut Vec<f64>,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let Field::Bytes(packed) = field else {
        return Ok(push(list, field.double(reader)?, sink)?);
    };
    let (values, rest) = packed.as_chunks::<8>();
    if !rest.is_empty() {
        let reason = "packed list of doubles with a part of one";
        return Err(reader.error(reason).into());
    }
    reserve(list, values.len(), sink)?;
    list.extend(values.iter().map(|value| f64::from_le_bytes(*value)));
    Ok(())
}

fn reset(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation)]
fn sint32(coded: u64) -> i32 {
    let coded = coded as u32;
    (coded >> 1) as i32 ^ -((coded & 1) as i32)
}

#[allow(clippy::cast_possible_wrap)]
fn sint64(coded: u64) -> i64 {
    (coded >> 1) as i64 ^ -((coded & 1) as i64)
}

#[allow(clippy::cast_possible_wrap)]
fn int64(reader: &Reader<'_>, field: Field<'_>) -> Result<i64, DecodeError> {
    Ok(field.varint(reader)? as i64)
}

/// Appends the value of a point of an exponential histogram: what OTLP can say of it, and the whole.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn put_value(out: &mut Vec<u8>, value: &NativeHistogram) {
    fixed64(out, 4, value.counts.count() as u64);
    put_double(out, 5, value.sum);
    message(out, FIELD, |out| put(out, value));
}

/// Appends the members of a histogram with its time.
#[allow(clippy::cast_sign_loss)]
pub fn put_sample(out: &mut Vec<u8>, value: &NativeHistogram, time_ms: i64) {
    put(out, value);
    varint(out, 15, time_ms as u64);
}

/// Appends the members of a histogram, without times.
fn put(out: &mut Vec<u8>, value: &NativeHistogram) {
    put_double(out, 3, value.sum);
    varint(out, 4, zigzag(value.schema));
    put_double(out, 5, value.zero_threshold);
    let sides = [(8, &value.negative_spans), (11, &value.positive_spans)];
    for (number, spans) in sides {
        for span in spans {
            message(out, number, |out| {
                varint(out, 1, zigzag(span.offset));
                varint(out, 2, u64::from(span.length));
            });
        }
    }
    match &value.counts {
        NativeCounts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            put_key(out, 1, 0);
            put_varint(out, *count);
            varint(out, 6, *zero_count);
            packed_varint(out, 9, &coded_deltas(negative));
            packed_varint(out, 12, &coded_deltas(positive));
        }
        NativeCounts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            put_double(out, 2, *count);
            put_double(out, 7, *zero_count);
            packed_fixed64(out, 10, negative.iter().map(|count| count.to_bits()));
            packed_fixed64(out, 13, positive.iter().map(|count| count.to_bits()));
        }
    }
    let hint = match value.reset {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    int32(out, 14, hint);
    packed_fixed64(
        out,
        16,
        value.custom_bounds.iter().map(|bound| bound.to_bits()),
    );
}

/// The differences between counts, the first one to zero, in zigzag code.
fn coded_deltas(counts: &[u64]) -> Vec<u64> {
    // A difference has 63 bits and a sign, so that a larger count cannot be written.
    let counts = counts
        .iter()
        .map(|count| (*count).min(1 << 62).cast_signed());
    let before = std::iter::once(0).chain(counts.clone());
    let coded = |delta: i64| ((delta << 1) ^ (delta >> 63)).cast_unsigned();
    counts
        .zip(before)
        .map(|(count, before)| coded(count - before))
        .collect()
}

#[cfg(test)]
mod tests;
