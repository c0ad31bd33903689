//! Histograms: classic series, and native ones as a whole.
//!
//! The message is {1 count, 2 sum, 3 bucket {1 cumulative count, 2 upper bound, 3 exemplar,
//! 4 cumulative count as a float}, 4 count as a float, 5 schema, 6 zero threshold, 7 zero count,
//! 8 zero count as a float, 9 negative span {1 offset, 2 length}, 10 negative differences,
//! 11 negative counts as floats, 12 to 14 the same of the positive side, 15 created, 16 exemplar}.
//! It is a native one if it has any span, a zero threshold or a zero count.

use model::native::{BucketSpan, NativeCounts, NativeHistogram, ResetHint};
use model::row::DecodeError;
use model::wire::{Field, Reader};
use otlp::native::{COARSEST_WRITTEN, is_sound};

use super::super::sample::{Exemplar, Family, Sample, plain};
use super::{Head, Kind, Metric, ProtobufError, Wanted, exemplar, time};

/// Buckets and spans that one native histogram may have: targets have some hundreds.
const BUCKETS_MAX: usize = 1 << 16;
/// Examples that one histogram may have.
const EXEMPLARS_MAX: usize = 1 << 10;

const TOO_MANY: &str = "more buckets than a histogram can have";

/// Hands over what is wanted of a histogram.
pub(super) fn emit<E: From<ProtobufError>>(
    metric: &Metric<'_>,
    head: &Head,
    wanted: Wanted,
    take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let parts = Parts::read(metric, head, wanted.native)?;
    let native = wanted.native && parts.is_native();
    if native {
        let sample = parts.native(metric, head)?;
        take(&head.family, sample)?;
        if !wanted.classic || !parts.has_buckets {
            return Ok(());
        }
    }
    parts.classic(metric, head, take)
}

/// What a histogram says, without its classic buckets.
#[derive(Default)]
struct Parts {
    count: u64,
    count_float: f64,
    sum: f64,
    start_unix_nano: u64,
    has_buckets: bool,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
}

/// One side of a native histogram.
#[derive(Default)]
struct Side {
    spans: Vec<BucketSpan>,
    counts: Vec<u64>,
    floats: Vec<f64>,
    /// Whether differences add up to less than nothing.
    negative: bool,
}

impl Parts {
    /// Reads the message; the sides only where they are wanted.
    fn read(metric: &Metric<'_>, head: &Head, sides: bool) -> Result<Self, ProtobufError> {
        let mut parts = Self::default();
        let mut reader = metric.value.clone();
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => parts.count = field.varint(&reader)?,
                2 => parts.sum = plain(field.double(&reader)?),
                3 => parts.has_buckets = true,
                4 => parts.count_float = field.double(&reader)?,
                5 => parts.schema = sint32(field.varint(&reader)?),
                6 => parts.zero_threshold = field.double(&reader)?,
                7 => parts.zero_count = field.varint(&reader)?,
                8 => parts.zero_count_float = field.double(&reader)?,
                15 => parts.start_unix_nano = time(&reader, field)?.unwrap_or_default(),
                9..=11 if sides => parts.negative.read(&reader, number - 9, field, head)?,
                12..=14 if sides => parts.positive.read(&reader, number - 12, field, head)?,
                _ => {}
            }
        }
        Ok(parts)
    }

    fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    fn native<'a>(&self, metric: &Metric<'a>, head: &Head) -> Result<Sample<'a>, ProtobufError> {
        let counts = if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            NativeCounts::Float {
                count: self.count_float,
                zero_count: self.zero_count_float,
                positive: self.positive.floats.clone(),
                negative: self.negative.floats.clone(),
            }
        } else {
            NativeCounts::Integer {
                count: self.count,
                zero_count: self.zero_count,
                positive: self.positive.counts.clone(),
                negative: self.negative.counts.clone(),
            }
        };
        let histogram = NativeHistogram {
            schema: self.schema,
            sum: self.sum,
            zero_threshold: self.zero_threshold,
            reset: match head.kind {
                Kind::GaugeHistogram => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
            positive_spans: self.positive.spans.clone(),
            negative_spans: self.negative.spans.clone(),
            counts,
            custom_bounds: Vec::new(),
        };
        let below_none = self.positive.negative || self.negative.negative;
        if below_none || !is_sound(&histogram, COARSEST_WRITTEN) {
            return Err(head.wrong("a native histogram whose schema, spans and counts do not fit"));
        }
        Ok(Sample {
            native: Some(Box::new(histogram)),
            start_unix_nano: self.start_unix_nano,
            exemplars: exemplars(metric, head)?,
            ..metric.sample(head, "")
        })
    }

    #[allow(clippy::cast_precision_loss)]
    fn classic<E: From<ProtobufError>>(
        &self,
        metric: &Metric<'_>,
        head: &Head,
        take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = either(self.count_float, self.count);
        for (suffix, value) in [("_count", count), ("_sum", self.sum)] {
            let sample = Sample {
                value,
                start_unix_nano: self.start_unix_nano,
                ..metric.sample(head, suffix)
            };
            take(&head.family, sample)?;
        }
        let mut infinite = false;
        let mut reader = metric.value.clone();
        while let Some((number, field)) = reader.next().map_err(ProtobufError::from)? {
            if number != 3 {
                continue;
            }
            let bucket = Bucket::read(&reader, field, head)?;
            infinite |= bucket.bound == f64::INFINITY;
            let mut sample = metric.bounded(head, "_bucket", "le", bucket.bound)?;
            sample.value = bucket.count;
            sample.start_unix_nano = self.start_unix_nano;
            sample.exemplars = bucket.exemplar.into_iter().collect();
            take(&head.family, sample)?;
        }
        if !infinite {
            let mut sample = metric.bounded(head, "_bucket", "le", f64::INFINITY)?;
            sample.value = count;
            sample.start_unix_nano = self.start_unix_nano;
            take(&head.family, sample)?;
        }
        Ok(())
    }
}

/// A count that is a float where it has one.
#[allow(clippy::cast_precision_loss)]
fn either(float: f64, whole: u64) -> f64 {
    if float == 0.0 { whole as f64 } else { float }
}

impl Side {
    /// Reads one of the three fields of a side: spans, differences, counts.
    fn read(
        &mut self,
        reader: &Reader<'_>,
        which: u32,
        field: Field<'_>,
        head: &Head,
    ) -> Result<(), ProtobufError> {
        match which {
            0 => {
                let Field::Bytes(message) = field else {
                    return Err(reader.error("expected a length-delimited field").into());
                };
                self.spans.push(span(message)?);
            }
            1 => self.differences(reader, field)?,
            _ => self.floats(reader, field)?,
        }
        let most = self
            .spans
            .len()
            .max(self.counts.len())
            .max(self.floats.len());
        if most > BUCKETS_MAX {
            return Err(head.wrong(TOO_MANY));
        }
        Ok(())
    }

    fn differences(&mut self, reader: &Reader<'_>, field: Field<'_>) -> Result<(), DecodeError> {
        let Field::Bytes(packed) = field else {
            self.add(field.varint(reader)?);
            return Ok(());
        };
        let mut inner = Reader::new(packed);
        // One more than there may be is enough to know.
        while !inner.is_empty() && self.counts.len() <= BUCKETS_MAX {
            self.add(inner.varint()?);
        }
        Ok(())
    }

    #[allow(clippy::cast_possible_wrap)]
    fn add(&mut self, coded: u64) {
        let difference = (coded >> 1) as i64 ^ -((coded & 1) as i64);
        let before = self.counts.last().copied().unwrap_or_default();
        let count = before.checked_add_signed(difference);
        self.negative |= count.is_none();
        self.counts.push(count.unwrap_or_default());
    }

    fn floats(&mut self, reader: &Reader<'_>, field: Field<'_>) -> Result<(), DecodeError> {
        let Field::Bytes(packed) = field else {
            self.floats.push(field.double(reader)?);
            return Ok(());
        };
        let (values, rest) = packed.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(reader.error("packed list of doubles with a part of one"));
        }
        let room = (BUCKETS_MAX + 1).saturating_sub(self.floats.len());
        let values = values.iter().take(room);
        self.floats
            .extend(values.map(|value| f64::from_le_bytes(*value)));
        Ok(())
    }
}

fn span(message: &[u8]) -> Result<BucketSpan, DecodeError> {
    let mut span = BucketSpan::default();
    let mut reader = Reader::new(message);
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

#[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation)]
fn sint32(coded: u64) -> i32 {
    let coded = coded as u32;
    (coded >> 1) as i32 ^ -((coded & 1) as i32)
}

/// A classic bucket.
struct Bucket<'a> {
    count: f64,
    bound: f64,
    exemplar: Option<Exemplar<'a>>,
}

impl<'a> Bucket<'a> {
    fn read(parent: &Reader<'a>, field: Field<'a>, head: &Head) -> Result<Self, ProtobufError> {
        let (mut whole, mut float, mut bound) = (0, 0.0, 0.0);
        let mut found = None;
        let mut reader = parent.nested(field.bytes(parent)?);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => whole = field.varint(&reader)?,
                2 => bound = field.double(&reader)?,
                3 => found = Some(exemplar(&reader, field, head)?),
                4 => float = field.double(&reader)?,
                _ => {}
            }
        }
        Ok(Self {
            count: either(float, whole),
            bound,
            exemplar: found,
        })
    }
}

/// The examples of a native histogram: its own, or else those of its classic buckets. Without a time
/// one could be told again with every scrape, and is left out.
fn exemplars<'a>(metric: &Metric<'a>, head: &Head) -> Result<Vec<Exemplar<'a>>, ProtobufError> {
    let (mut own, mut of_buckets) = (Vec::new(), Vec::new());
    let mut has_own = false;
    let mut reader = metric.value.clone();
    while let Some((number, field)) = reader.next()? {
        if own.len().max(of_buckets.len()) >= EXEMPLARS_MAX {
            break;
        }
        match number {
            3 => of_buckets.extend(Bucket::read(&reader, field, head)?.exemplar),
            16 => {
                has_own = true;
                own.push(exemplar(&reader, field, head)?);
            }
            _ => {}
        }
    }
    let mut found = if has_own { own } else { of_buckets };
    found.retain(|exemplar| exemplar.time_ms.is_some());
    Ok(found)
}
