//! Prometheus' protobuf format: messages `io.prometheus.client.MetricFamily`, each after its length.
//!
//! `MetricFamily` {1 name, 2 help, 3 type, 4 metric, 5 unit}, `Metric` {1 label {1 name, 2 value},
//! 2 gauge, 3 counter, 4 summary, 5 untyped, 6 time in milliseconds, 7 histogram}. A gauge and what
//! is untyped have {1 value}, a counter {1 value, 2 exemplar, 3 created}, a summary {1 count, 2 sum,
//! 3 quantile {1 quantile, 2 value}, 4 created}; for the histogram see [`histogram`]. An exemplar is
//! {1 label, 2 value, 3 time}, a time {1 seconds, 2 nanoseconds}.
//!
//! Histograms and summaries become the series that the text formats have; a native histogram is one
//! sample, with its classic series beside it where that is asked for.

mod histogram;

use std::borrow::Cow;

use model::row::DecodeError;
use model::wire::{Field, Reader};

use super::sample::{Exemplar, Family, Pairs, Sample, bound_text, check_labels, plain, push_label};

/// Labels that an exemplar may have: those that are meant have two or three.
const EXEMPLAR_LABELS_MAX: usize = 64;

/// Why an answer does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    /// It is no such message.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It says what cannot be.
    #[error("the metric `{metric}`: {reason}")]
    Wrong {
        /// Where.
        metric: String,
        /// What.
        reason: &'static str,
    },
}

/// What is wanted of histograms that are native ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The native histogram; without it there are its classic series alone.
    pub(super) native: bool,
    /// The classic series beside it.
    pub(super) classic: bool,
}

/// Reads an answer; `take` is given each sample with what was said of its family.
pub(super) fn read<E: From<ProtobufError>>(
    bytes: &[u8],
    wanted: Wanted,
    take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut stream = Reader::new(bytes);
    while !stream.is_empty() {
        let message = stream.delimited().map_err(ProtobufError::from)?;
        let reader = stream.nested(message);
        let head = Head::read(reader.clone())?;
        let mut metrics = reader;
        while let Some((number, field)) = metrics.next().map_err(ProtobufError::from)? {
            if number == 4 {
                let metric = Metric::read(&metrics, field, &head)?;
                metric.emit(&head, wanted, take)?;
            }
        }
    }
    Ok(())
}

/// The types of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn of(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Summary,
            3 => Self::Untyped,
            4 => Self::Histogram,
            5 => Self::GaugeHistogram,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Untyped => "unknown",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
        }
    }

    /// The field of a metric that has the value.
    fn field(self) -> u32 {
        match self {
            Self::Gauge => 2,
            Self::Counter => 3,
            Self::Summary => 4,
            Self::Untyped => 5,
            Self::Histogram | Self::GaugeHistogram => 7,
        }
    }
}

/// What is said of a family.
struct Head {
    kind: Kind,
    family: Family,
}

impl Head {
    fn read(mut reader: Reader<'_>) -> Result<Self, ProtobufError> {
        let (mut name, mut help, mut unit, mut kind) = ("", "", "", 0);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => name = field.text(&reader)?,
                2 => help = field.text(&reader)?,
                3 => kind = field.varint(&reader)?,
                5 => unit = field.text(&reader)?,
                _ => {}
            }
        }
        let wrong = |reason| ProtobufError::Wrong {
            metric: shortened(name),
            reason,
        };
        if name.is_empty() {
            return Err(wrong("it has no name"));
        }
        let kind = Kind::of(kind).ok_or_else(|| wrong("its type is none that is known"))?;
        Ok(Self {
            kind,
            family: Family {
                name: name.to_owned(),
                kind: kind.name().to_owned(),
                help: help.to_owned(),
                unit: unit.to_owned(),
            },
        })
    }

    fn wrong(&self, reason: &'static str) -> ProtobufError {
        ProtobufError::Wrong {
            metric: shortened(&self.family.name),
            reason,
        }
    }
}

/// Enough of a name to know it by.
fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}

/// One metric of a family: its labels, its time, and the message that has its value.
struct Metric<'a> {
    labels: Pairs<'a>,
    time_ms: Option<i64>,
    value: Reader<'a>,
}

impl<'a> Metric<'a> {
    fn read(parent: &Reader<'a>, field: Field<'a>, head: &Head) -> Result<Self, ProtobufError> {
        let mut labels = Pairs::new();
        let (mut time_ms, mut value) = (0, None);
        let mut reader = parent.nested(field.bytes(parent)?);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => label(&reader, field, &mut labels).map_err(|problem| problem.of(head))?,
                6 => time_ms = int64(&reader, field)?,
                number if number == head.kind.field() => {
                    value = Some(reader.nested(field.bytes(&reader)?));
                }
                _ => {}
            }
        }
        check_labels(&labels).map_err(|reason| head.wrong(reason))?;
        Ok(Self {
            labels,
            // Zero is what is not written at all.
            time_ms: (time_ms != 0).then_some(time_ms),
            value: value.ok_or_else(|| head.wrong("a value of its type is missing"))?,
        })
    }

    fn emit<E: From<ProtobufError>>(
        self,
        head: &Head,
        wanted: Wanted,
        take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match head.kind {
            Kind::Summary => self.summary(head, take),
            Kind::Histogram | Kind::GaugeHistogram => histogram::emit(&self, head, wanted, take),
            Kind::Counter | Kind::Gauge | Kind::Untyped => {
                let sample = self.number(head)?;
                take(&head.family, sample)
            }
        }
    }

    /// A sample of the metric whose name has this suffix.
    fn sample(&self, head: &Head, suffix: &str) -> Sample<'a> {
        Sample {
            name: Cow::Owned(format!("{}{suffix}", head.family.name)),
            labels: self.labels.clone(),
            time_ms: self.time_ms,
            ..Sample::default()
        }
    }

    /// The same with one label more, which has a number.
    fn bounded(
        &self,
        head: &Head,
        suffix: &str,
        label: &'static str,
        bound: f64,
    ) -> Result<Sample<'a>, ProtobufError> {
        let mut sample = self.sample(head, suffix);
        if sample.labels.iter().any(|(name, _)| name == label) {
            return Err(head.wrong("a label that only its parts can have"));
        }
        let text = Cow::Owned(bound_text(bound));
        push_label(&mut sample.labels, label.into(), text).map_err(|reason| head.wrong(reason))?;
        Ok(sample)
    }

    fn number(&self, head: &Head) -> Result<Sample<'a>, ProtobufError> {
        let mut sample = self.sample(head, "");
        let mut reader = self.value.clone();
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => sample.value = plain(field.double(&reader)?),
                2 if head.kind == Kind::Counter => {
                    let exemplar = exemplar(&reader, field, head)?;
                    sample.exemplars = vec![exemplar];
                }
                3 if head.kind == Kind::Counter => {
                    sample.start_unix_nano = time(&reader, field)?.unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(sample)
    }

    #[allow(clippy::cast_precision_loss)]
    fn summary<E: From<ProtobufError>>(
        &self,
        head: &Head,
        take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut count, mut sum, mut start) = (0, 0.0, 0);
        let mut read = || -> Result<(), ProtobufError> {
            let mut reader = self.value.clone();
            while let Some((number, field)) = reader.next()? {
                match number {
                    1 => count = field.varint(&reader)?,
                    2 => sum = plain(field.double(&reader)?),
                    4 => start = time(&reader, field)?.unwrap_or_default(),
                    _ => {}
                }
            }
            Ok(())
        };
        read()?;
        for (suffix, value) in [("_count", count as f64), ("_sum", sum)] {
            let sample = Sample {
                value,
                start_unix_nano: start,
                ..self.sample(head, suffix)
            };
            take(&head.family, sample)?;
        }
        let mut reader = self.value.clone();
        while let Some((number, field)) = reader.next().map_err(ProtobufError::from)? {
            if number == 3 {
                let (quantile, value) = pair(&reader, field)?;
                let mut sample = self.bounded(head, "", "quantile", quantile)?;
                sample.value = plain(value);
                sample.start_unix_nano = start;
                take(&head.family, sample)?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a label.
enum LabelProblem {
    Malformed(DecodeError),
    Wrong(&'static str),
}

impl From<DecodeError> for LabelProblem {
    fn from(error: DecodeError) -> Self {
        LabelProblem::Malformed(error)
    }
}

impl LabelProblem {
    fn of(self, head: &Head) -> ProtobufError {
        match self {
            LabelProblem::Malformed(error) => error.into(),
            LabelProblem::Wrong(reason) => head.wrong(reason),
        }
    }
}

fn label<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    list: &mut Pairs<'a>,
) -> Result<(), LabelProblem> {
    let (mut name, mut value) = ("", "");
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text(&reader)?,
            2 => value = field.text(&reader)?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(LabelProblem::Wrong("a label without a name"));
    }
    push_label(list, name.into(), value.into()).map_err(LabelProblem::Wrong)
}

fn exemplar<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    head: &Head,
) -> Result<Exemplar<'a>, ProtobufError> {
    let mut exemplar = Exemplar::default();
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => label(&reader, field, &mut exemplar.labels).map_err(|problem| problem.of(head))?,
            2 => exemplar.value = plain(field.double(&reader)?),
            3 => {
                let nanos = time(&reader, field)?;
                exemplar.time_ms = nanos.and_then(|nanos| i64::try_from(nanos / 1_000_000).ok());
            }
            _ => {}
        }
    }
    if exemplar.labels.len() > EXEMPLAR_LABELS_MAX {
        return Err(head.wrong("more labels than an exemplar can have"));
    }
    check_labels(&exemplar.labels).map_err(|reason| head.wrong(reason))?;
    Ok(exemplar)
}

/// A time in unix nanoseconds; none before 1970 or after all that 64 bits can say.
fn time(parent: &Reader<'_>, field: Field<'_>) -> Result<Option<u64>, DecodeError> {
    let (mut seconds, mut nanos) = (0, 0);
    let Field::Bytes(message) = field else {
        return Err(parent.error("expected a length-delimited field"));
    };
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => seconds = int64(&reader, field)?,
            2 => nanos = int64(&reader, field)?,
            _ => {}
        }
    }
    let whole = u64::try_from(seconds).ok();
    let whole = whole.and_then(|seconds| seconds.checked_mul(model::time::NANOS_PER_SECOND));
    Ok(whole.and_then(|whole| whole.checked_add_signed(nanos)))
}

/// A message of two doubles.
fn pair(parent: &Reader<'_>, field: Field<'_>) -> Result<(f64, f64), ProtobufError> {
    let Field::Bytes(message) = field else {
        return Err(parent.error("expected a length-delimited field").into());
    };
    let (mut first, mut second) = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => first = field.double(&reader)?,
            2 => second = field.double(&reader)?,
            _ => {}
        }
    }
    Ok((first, second))
}

#[allow(clippy::cast_possible_wrap)]
fn int64(reader: &Reader<'_>, field: Field<'_>) -> Result<i64, DecodeError> {
    Ok(field.varint(reader)? as i64)
}

#[cfg(test)]
mod tests;
