//! Remote write requests, read by hand from their Snappy block straight into a [`RowSink`].
//!
//! Both versions carry the same things: series with labels, samples, exemplars and native
//! histograms, and type, help and unit of metrics. Version 1.0 has labels in full and metadata
//! apart ([`v1`]); version 2.0 refers to a table of symbols and has metadata with each series
//! ([`v2`]). Each reads the labels of all series first. Then they are handed over grouped by target
//! and metric, since a sink takes either once for the rows that follow.
//!
//! What becomes of them: `job` and `instance` make the resource, the other labels are attributes,
//! and the metric is marked as one whose name is Prometheus' own ([`model::prometheus::TYPE_KEY`]).
//! A sample is a gauge's point whatever the metric's type, so that a series stays one series when
//! its type becomes known. A stale marker is a point without a recorded value. Exemplars have a
//! point of their own without a value. Metadata of version 1.0 becomes an undated point of a
//! metric without samples ([`model::prometheus::FAMILY_KEY`]).

mod labels;
mod samples;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use model::metric::{MetricKind, Temporality};
use model::prometheus::{FAMILY_KEY, TYPE_KEY, TargetRef};
use model::row::{
    DecodeError, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, UNDATED, Undecoded,
};
use model::value::KeyValueRef;
use model::wire::Reader;
use model::{Format, ValueRef, metric::PointValue};
use otlp::decode::lists::push;
use rustc_hash::FxHashMap;

use samples::Samples;

/// Where the fields of a series lie in its message.
#[derive(Debug, Clone, Copy)]
struct Fields {
    samples: u32,
    histograms: u32,
    exemplars: u32,
}

/// The labels of an exemplar: pairs in full, or references to symbols.
trait ExemplarLabels<'a> {
    /// Reads one field of an exemplar that belongs to its labels, of which all are in `list`.
    fn field(
        &self,
        reader: &Reader<'a>,
        field: model::wire::Field<'a>,
        list: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<(), Undecoded>;
}

/// A series whose labels are read.
#[derive(Debug, Clone, Copy)]
struct Series<'a> {
    message: &'a [u8],
    /// The labels but name, job and instance: a range of [`Requests::labels`].
    labels: (u32, u32),
    target: TargetRef<'a>,
    metric: MetricInfo<'a>,
    /// When its counter began, in milliseconds; 0 where not said.
    start_ms: i64,
    /// Places among the distinct targets and metrics.
    group: (u32, u32),
    refused: Option<Reject>,
}

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct MetricInfo<'a> {
    name: &'a str,
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

/// A request whose series are read up to their samples.
#[derive(Debug, Default)]
struct Request<'a> {
    series: Vec<Series<'a>>,
    labels: Vec<KeyValueRef<'a>>,
    families: Vec<MetricInfo<'a>>,
}

/// Hands every row of a request to `sink`.
pub fn decode(format: Format, block: &[u8], sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    let length = length(block)?;
    sink.room(length)?;
    let message = snap::raw::Decoder::new()
        .decompress_vec(block)
        .map_err(|_| malformed("not a block of Snappy"))?;
    match format {
        Format::RemoteWrite2 => v2::decode(&message, sink),
        Format::RemoteWrite1 => v1::decode(&message, sink),
        Format::Otlp => Err(malformed("an OTLP request where remote write was expected").into()),
    }
}

/// How many bytes a block of Snappy says that it holds.
pub fn length(block: &[u8]) -> Result<usize, DecodeError> {
    snap::raw::decompress_len(block).map_err(|_| malformed("not a block of Snappy"))
}

fn malformed(reason: &'static str) -> DecodeError {
    DecodeError { offset: 0, reason }
}

impl<'a> Request<'a> {
    /// Puts series of one target and metric next to each other, otherwise in the order sent.
    fn group(&mut self, sink: &mut dyn RowSink) -> Result<(), Undecoded> {
        // Maps of references, which double and are a half empty at worst.
        let entry = size_of::<(TargetRef<'_>, u32)>() + size_of::<(MetricInfo<'_>, u32)>();
        sink.room(2 * entry * self.series.len())?;
        let mut targets: FxHashMap<TargetRef<'a>, u32> = FxHashMap::default();
        let mut metrics: FxHashMap<MetricInfo<'a>, u32> = FxHashMap::default();
        let mut sorted = true;
        let mut before = (0, 0);
        for series in &mut self.series {
            let next = place(targets.len());
            let target = *targets.entry(series.target).or_insert(next);
            let next = place(metrics.len());
            let metric = *metrics.entry(series.metric).or_insert(next);
            series.group = (target, metric);
            sorted &= before <= series.group;
            before = series.group;
        }
        if !sorted {
            sink.room(size_of_val(&self.series[..]))?;
            self.series.sort_by_key(|series| series.group);
        }
        Ok(())
    }

    /// Hands everything over.
    fn emit(
        mut self,
        root: &Reader<'a>,
        fields: Fields,
        exemplar_labels: &dyn ExemplarLabels<'a>,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        self.group(sink)?;
        let mut samples = Samples::new(fields, exemplar_labels);
        let mut target = None;
        for series in &self.series {
            if let Some(reason) = series.refused {
                let count = samples.count(root, series.message)?;
                sink.reject(reason, count);
                continue;
            }
            if target.replace(series.target) != Some(series.target) {
                resource(series.target, sink)?;
                samples.restart();
            }
            let labels = &self.labels[series.labels.0 as usize..series.labels.1 as usize];
            samples.emit(root, series, labels, sink)?;
        }
        if !self.families.is_empty() {
            resource(TargetRef::default(), sink)?;
        }
        for family in &self.families {
            describe(family, sink)?;
        }
        Ok(())
    }
}

/// A place in a list. A request holds at most 4 GiB, so that it fits.
fn place(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn resource(target: TargetRef<'_>, sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    let empty = KeyValueRef {
        key: "",
        value: ValueRef::Empty,
    };
    let (mut attributes, mut count) = ([empty; 3], 0);
    for pair in target.attributes() {
        attributes[count] = pair;
        count += 1;
    }
    sink.resource(&ResourceRef {
        attributes: &attributes[..count],
        ..ResourceRef::default()
    })?;
    Ok(sink.scope(&ScopeRef::default())?)
}

fn mark<'a>(info: &MetricInfo<'a>) -> KeyValueRef<'a> {
    KeyValueRef {
        key: TYPE_KEY,
        value: ValueRef::Str(info.kind),
    }
}

/// The metric of samples or of native histograms.
fn metric(
    info: &MetricInfo<'_>,
    kind: MetricKind,
    sink: &mut dyn RowSink,
) -> Result<(), Undecoded> {
    let temporality = match kind {
        MetricKind::Gauge => Temporality::None,
        _ => Temporality::Cumulative,
    };
    Ok(sink.metric(&MetricRef {
        name: info.name,
        description: info.help,
        unit: info.unit,
        kind,
        temporality,
        monotonic: false,
        metadata: &[mark(info)],
    })?)
}

/// A family without samples.
fn describe(info: &MetricInfo<'_>, sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    let family = KeyValueRef {
        key: FAMILY_KEY,
        value: ValueRef::Bool(true),
    };
    sink.metric(&MetricRef {
        name: info.name,
        description: info.help,
        unit: info.unit,
        kind: MetricKind::Gauge,
        temporality: Temporality::None,
        monotonic: false,
        metadata: &[mark(info), family],
    })?;
    Ok(sink.point(&PointRef {
        attributes: &[],
        start_unix_nano: 0,
        time_unix_nano: UNDATED,
        flags: 0,
        value: &PointValue::Empty,
        exemplars: &[],
    })?)
}

/// The name of a type by its number, which both versions share.
fn kind_name(number: u64) -> &'static str {
    match number {
        1 => "counter",
        2 => "gauge",
        3 => "histogram",
        4 => "gaugehistogram",
        5 => "summary",
        6 => "info",
        7 => "stateset",
        _ => "unknown",
    }
}
