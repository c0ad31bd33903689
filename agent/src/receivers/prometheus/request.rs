//! Samples as OTLP requests whose metrics are marked as Prometheus' own: see
//! [`model::prometheus::TYPE_KEY`].
//!
//! Each number is the point of a gauge, whatever the metric's type, as from remote write, so that
//! the same series is the same whichever way it comes; a native histogram is the point of an
//! exponential one, with [`otlp::native`] for what OTLP cannot say of it.

use std::sync::Arc;

use bytes::Bytes;
use model::metric::FLAG_NO_RECORDED_VALUE;
use model::native::NativeHistogram;
use model::prometheus::{FAMILY_NAME_KEY, NAME_LABEL, TARGET_KEY, TYPE_KEY, TargetRef};
use model::wire::{Reader, put_bytes, put_field, put_key, put_varint};

use super::labels::Labels;
use crate::encode::{self, put_envelope, put_fixed64, put_message, put_text_attribute};

/// A request of this size is closed, and another begun.
const REQUEST_BYTES: usize = 4 << 20;

/// The number of the attributes of a number's point.
const ATTRIBUTES: u32 = 7;
/// The temporality of histograms.
const CUMULATIVE: u64 = 2;

/// What is said of a metric beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// The type.
    pub(super) kind: String,
    /// The help text.
    pub(super) help: String,
    /// The unit.
    pub(super) unit: String,
    /// The name of the family, where that of the metric does not say it; or empty.
    pub(super) family: String,
    /// Where the target is, of what says whether it is up; or empty.
    pub(super) target: String,
}

/// What tells a series from others, in one piece: the target, the name, and the other labels as
/// attributes in protobuf.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SeriesId(Box<[u8]>);

impl SeriesId {
    /// The series of these labels; none without a name.
    pub(super) fn new(labels: &Labels) -> Option<Self> {
        let name = labels.get(NAME_LABEL);
        if name.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(256);
        for text in [labels.get("job"), labels.get("instance"), name] {
            let length = u32::try_from(text.len()).ok()?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        for (label, value) in labels.iter() {
            if label != NAME_LABEL && !TargetRef::has(label) {
                put_text_attribute(&mut out, ATTRIBUTES, label, value);
            }
        }
        Some(Self(out.into_boxed_slice()))
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        model::room::allocation(self.0.len())
    }

    /// Job, instance, name, attributes.
    fn parts(&self) -> ([&str; 3], &[u8]) {
        let mut rest = &self.0[..];
        let mut texts = [""; 3];
        for text in &mut texts {
            let Some((length, after)) = rest.split_first_chunk::<4>() else {
                break;
            };
            let length = u32::from_le_bytes(*length) as usize;
            let (bytes, after) = after.split_at(length.min(after.len()));
            *text = std::str::from_utf8(bytes).unwrap_or_default();
            rest = after;
        }
        (texts, rest)
    }
}

/// What the samples of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers.
    Number,
    /// Native histograms.
    Native,
}

/// The value of a point.
#[derive(Debug, Clone, Copy)]
pub(super) enum PointValue<'a> {
    /// A number.
    Number(f64),
    /// A native histogram.
    Native(&'a NativeHistogram),
    /// None: the series ends.
    End(Kind),
}

impl PointValue<'_> {
    /// Of which kind it is.
    pub(super) fn kind(self) -> Kind {
        match self {
            PointValue::Number(_) => Kind::Number,
            PointValue::Native(_) => Kind::Native,
            PointValue::End(kind) => kind,
        }
    }
}

/// A point about to be written.
#[derive(Debug, Clone)]
pub(super) struct Point<'a> {
    /// When.
    pub(super) time_unix_nano: u64,
    /// When its counter began; 0 where not said.
    pub(super) start_unix_nano: u64,
    /// The value.
    pub(super) value: PointValue<'a>,
    /// Exemplars, encoded.
    pub(super) exemplars: &'a [Vec<u8>],
}

/// Puts points together to requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    done: Vec<(Bytes, u64)>,
    out: Vec<u8>,
    rows: u64,
    /// Job and instance of `metrics`.
    target: Option<(String, String)>,
    metrics: Vec<u8>,
    /// Name, description and kind of `points`.
    metric: Option<(String, Arc<Info>, Kind)>,
    points: Vec<u8>,
}

impl Requests {
    /// Adds a point.
    pub(super) fn push(&mut self, series: &SeriesId, info: &Arc<Info>, point: &Point<'_>) {
        let ([job, instance, name], attributes) = series.parts();
        let kind = point.value.kind();
        let same_target = self
            .target
            .as_ref()
            .is_some_and(|target| target.0 == job && target.1 == instance);
        if !same_target {
            self.close_target();
            self.target = Some((job.to_owned(), instance.to_owned()));
        }
        let same_metric = self
            .metric
            .as_ref()
            .is_some_and(|metric| metric.0 == name && *metric.1 == **info && metric.2 == kind);
        if !same_metric {
            self.close_metric();
            self.metric = Some((name.to_owned(), Arc::clone(info), kind));
        }
        put_message(&mut self.points, 1, |out| put_point(out, attributes, point));
        self.rows += 1;
        if self.bytes() > REQUEST_BYTES {
            self.close();
        }
    }

    /// Bytes of the request that is being put together.
    fn bytes(&self) -> usize {
        self.out.len() + self.metrics.len() + self.points.len()
    }

    /// Bytes of all requests.
    pub(super) fn total_bytes(&self) -> usize {
        let done: usize = self.done.iter().map(|(request, _)| request.len()).sum();
        done + self.bytes()
    }

    fn close_metric(&mut self) {
        let Some((name, info, kind)) = self.metric.take() else {
            return;
        };
        let mut points = std::mem::take(&mut self.points);
        let data = match kind {
            Kind::Number => 5,
            Kind::Native => {
                put_key(&mut points, 2, 0);
                put_varint(&mut points, CUMULATIVE);
                10
            }
        };
        put_message(&mut self.metrics, 2, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, info.help.as_bytes());
            put_bytes(out, 3, info.unit.as_bytes());
            put_bytes(out, data, &points);
            put_text_attribute(out, 12, TYPE_KEY, &info.kind);
            if !info.family.is_empty() {
                put_text_attribute(out, 12, FAMILY_NAME_KEY, &info.family);
            }
            if !info.target.is_empty() {
                put_text_attribute(out, 12, TARGET_KEY, &info.target);
            }
        });
    }

    fn close_target(&mut self) {
        self.close_metric();
        let Some((job, instance)) = self.target.take() else {
            return;
        };
        let target = TargetRef {
            job: &job,
            instance: &instance,
        };
        let resource = encode::resource(&target.owned());
        let metrics = std::mem::take(&mut self.metrics);
        put_envelope(&mut self.out, &resource, &[], &metrics);
    }

    fn close(&mut self) {
        self.close_target();
        if self.rows > 0 {
            let request = Bytes::from(std::mem::take(&mut self.out));
            self.done.push((request, std::mem::take(&mut self.rows)));
        }
    }

    /// The requests, each with the number of its points.
    pub(super) fn finish(mut self) -> Vec<(Bytes, u64)> {
        self.close();
        self.done
    }
}

/// Appends the members of a point.
fn put_point(out: &mut Vec<u8>, attributes: &[u8], point: &Point<'_>) {
    put_fixed64(out, 2, point.start_unix_nano);
    put_fixed64(out, 3, point.time_unix_nano);
    let kind = point.value.kind();
    match point.value {
        PointValue::Number(value) => {
            put_key(out, 4, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        PointValue::Native(histogram) => otlp::native::put_value(out, histogram),
        PointValue::End(kind) => {
            // Flags have other numbers in each kind of point, as have exemplars and attributes.
            let flags = if kind == Kind::Number { 8 } else { 10 };
            put_key(out, flags, 0);
            put_varint(out, u64::from(FLAG_NO_RECORDED_VALUE));
        }
    }
    let (exemplars, of_attributes) = match kind {
        Kind::Number => (5, ATTRIBUTES),
        Kind::Native => (11, 1),
    };
    for exemplar in point.exemplars {
        put_bytes(out, exemplars, exemplar);
    }
    let mut reader = Reader::new(attributes);
    if of_attributes == ATTRIBUTES {
        out.extend_from_slice(attributes);
        return;
    }
    // They were written for a number, by ourselves.
    while let Ok(Some((_, field))) = reader.next() {
        put_field(out, of_attributes, field);
    }
}
