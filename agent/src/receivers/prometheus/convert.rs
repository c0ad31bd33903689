//! Classic histograms of an answer as native ones with custom bounds
//! (`convert_classic_histograms_to_nhcb`).
//!
//! The series of one histogram follow each other: buckets in any order, sum and count. They are put
//! together until a sample of something else comes.

use std::borrow::Cow;

use model::native::{BucketSpan, CUSTOM_SCHEMA, NativeCounts, NativeHistogram, ResetHint};

use super::sample::{Exemplar, Family, Pairs, Sample};

/// Buckets that one histogram may have.
const BUCKETS_MAX: usize = 1 << 16;
/// Exemplars that are kept of one histogram, and labels that one of them may have.
const EXEMPLARS_MAX: usize = 1 << 10;
const EXEMPLAR_LABELS_MAX: usize = 64;
/// Counts beyond this are no whole numbers any more.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What a series of a classic histogram says.
enum Part {
    /// Up to a bound there are so many.
    Bucket(f64),
    Sum,
    Count,
}

/// A histogram as far as its series have come.
#[derive(Debug)]
pub(super) struct Partial {
    family: Family,
    labels: Pairs<'static>,
    time_ms: Option<i64>,
    start_unix_nano: u64,
    /// Bounds with the counts up to them.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
    exemplars: Vec<Exemplar<'static>>,
}

/// Puts histograms together.
#[derive(Debug, Default)]
pub(super) struct Converter {
    present: Option<Partial>,
    /// Name and labels of the native histogram that came last: its classic series are none of another.
    native: Option<(String, Pairs<'static>)>,
}

impl Converter {
    /// Takes a sample that is a part of a classic histogram; tells whether it is one, and hands out
    /// the histogram that ends with it, if one does.
    pub(super) fn take(&mut self, family: &Family, sample: &Sample<'_>) -> (bool, Option<Partial>) {
        if sample.native.is_some() {
            let labels = sample.labels.iter().cloned().map(owned).collect();
            self.native = Some((family.name.clone(), labels));
        }
        let part = part_of(family, sample).filter(|(_, labels)| {
            let native = self.native.as_ref();
            !native.is_some_and(|(name, of)| *name == family.name && of == labels)
        });
        let Some((part, labels)) = part else {
            return (false, self.present.take());
        };
        let same = |present: &Partial| {
            present.family.name == family.name
                && present.labels == labels
                && present.time_ms == sample.time_ms
        };
        let ended = match &self.present {
            Some(present) if same(present) => None,
            _ => self.present.take(),
        };
        let present = self.present.get_or_insert_with(|| Partial {
            family: family.clone(),
            labels: labels.into_iter().map(owned).collect(),
            time_ms: sample.time_ms,
            start_unix_nano: 0,
            buckets: Vec::new(),
            sum: 0.0,
            count: None,
            exemplars: Vec::new(),
        });
        present.add(&part, sample);
        (true, ended)
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Option<Partial> {
        self.present.take()
    }
}

/// Which part of a classic histogram a sample is, and the labels of that.
fn part_of<'a>(family: &Family, sample: &Sample<'a>) -> Option<(Part, Pairs<'a>)> {
    if !matches!(family.kind.as_str(), "histogram" | "gaugehistogram") || sample.native.is_some() {
        return None;
    }
    let part = match sample.name.strip_prefix(family.name.as_str())? {
        "_bucket" => {
            let (_, bound) = sample.labels.iter().find(|(name, _)| name == "le")?;
            Part::Bucket(bound.parse().ok().filter(|bound: &f64| !bound.is_nan())?)
        }
        "_sum" | "_gsum" => Part::Sum,
        "_count" | "_gcount" => Part::Count,
        _ => return None,
    };
    let own = |(name, _): &&(Cow<'a, str>, Cow<'a, str>)| {
        name != "le" || !matches!(part, Part::Bucket(_))
    };
    let labels = sample.labels.iter().filter(own).cloned().collect();
    Some((part, labels))
}

fn owned((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (Cow<'static, str>, Cow<'static, str>) {
    (name.into_owned().into(), value.into_owned().into())
}

impl Partial {
    fn add(&mut self, part: &Part, sample: &Sample<'_>) {
        self.start_unix_nano = self.start_unix_nano.max(sample.start_unix_nano);
        match part {
            // One more than there may be is enough to know.
            Part::Bucket(bound) if self.buckets.len() <= BUCKETS_MAX => {
                self.buckets.push((*bound, sample.value));
            }
            Part::Bucket(_) => {}
            Part::Sum => self.sum = sample.value,
            Part::Count => self.count = Some(sample.value),
        }
        // Without a time one would be told again with every scrape.
        let few = |one: &&Exemplar<'_>| one.labels.len() <= EXEMPLAR_LABELS_MAX;
        let timed = sample.exemplars.iter().filter(|one| one.time_ms.is_some());
        let room = EXEMPLARS_MAX.saturating_sub(self.exemplars.len());
        self.exemplars
            .extend(timed.filter(few).take(room).map(|one| Exemplar {
                labels: one.labels.iter().cloned().map(owned).collect(),
                value: one.value,
                time_ms: one.time_ms,
            }));
    }

    /// The family and the histogram as one sample; nothing where the counts do not rise.
    pub(super) fn finish(self) -> (Family, Option<Sample<'static>>) {
        let histogram = self.histogram();
        let sample = histogram.map(|histogram| Sample {
            name: Cow::Owned(self.family.name.clone()),
            labels: self.labels,
            value: 0.0,
            native: Some(Box::new(histogram)),
            time_ms: self.time_ms,
            start_unix_nano: self.start_unix_nano,
            exemplars: self.exemplars,
        });
        (self.family, sample)
    }

    fn histogram(&self) -> Option<NativeHistogram> {
        let mut buckets = self.buckets.clone();
        if buckets.len() > BUCKETS_MAX {
            return None;
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets.dedup_by(|later, kept| later.0.total_cmp(&kept.0).is_eq());
        let infinite = buckets.pop_if(|(bound, _)| *bound == f64::INFINITY);
        let all = self.count.or(infinite.map(|(_, count)| count))?;
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(buckets.len() + 1);
        for count in buckets.iter().map(|(_, count)| *count).chain([all]) {
            // Not-a-number is above nothing.
            if count.is_nan() || count < before {
                return None;
            }
            counts.push(count - before);
            before = count;
        }
        let length = u32::try_from(counts.len()).ok()?;
        Some(NativeHistogram {
            schema: CUSTOM_SCHEMA,
            sum: self.sum,
            reset: match self.family.kind.as_str() {
                "gaugehistogram" => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
            positive_spans: vec![BucketSpan { offset: 0, length }],
            counts: counts_of(all, counts),
            custom_bounds: buckets.iter().map(|(bound, _)| *bound).collect(),
            ..NativeHistogram::default()
        })
    }
}

/// Counts as whole numbers where they are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn counts_of(all: f64, counts: Vec<f64>) -> NativeCounts {
    let whole = |count: &f64| count.fract() == 0.0 && *count <= WHOLE_MAX;
    if whole(&all) && counts.iter().all(whole) {
        return NativeCounts::Integer {
            count: all as u64,
            zero_count: 0,
            positive: counts.iter().map(|count| *count as u64).collect(),
            negative: Vec::new(),
        };
    }
    NativeCounts::Float {
        count: all,
        zero_count: 0.0,
        positive: counts,
        negative: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
