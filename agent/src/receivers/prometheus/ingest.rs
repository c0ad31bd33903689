//! From the text of an answer to requests: labels of the target, relabeling, limits, and what has
//! ended since the scrape before.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{NameValidation, ScrapeSettings};
use model::native::NativeHistogram;
use model::room::Room;
use model::wire::put_key;
use otlp::native::COARSEST_WRITTEN;
use tokio::sync::watch;

use super::convert::{Converter, Partial};
use super::fetch::{Answer, ScrapeError};
use super::labels::Labels;
use super::protobuf::{self, Wanted};
use super::protocols::{self, Format};
use super::relabel;
use super::request::{Info, Kind, Point, PointValue, Requests, SeriesId};
use super::sample::{Exemplar, Family, Pairs, Sample};
use super::text;
use crate::encode::{put_fixed64, put_text_attribute};

const NANOS_PER_MS: u64 = 1_000_000;
/// How many times the labels of a sample are in memory while it is put together.
const COPIES: usize = 3;
/// After so many samples it is asked whether to go on.
const SAMPLES_BETWEEN_LOOKS: u64 = 64;

/// The series of the last scrape that end when they are missing from the next, with what they take
/// of the memory of all scrapes.
#[derive(Debug)]
pub(super) struct Cache {
    series: HashMap<SeriesId, Known>,
    room: Room,
}

/// What is known of a series of a scrape.
#[derive(Debug)]
struct Known {
    info: Arc<Info>,
    kind: Kind,
    /// Its samples have times of their own, so that there may be several.
    timed: bool,
    /// Its end is said when it is missing.
    ends: bool,
    /// A hash of the exemplars that it had last; 0 where it had none.
    exemplars: u64,
}

impl Cache {
    /// Nothing was scraped yet.
    pub(super) fn new(room: Room) -> Self {
        Self {
            series: HashMap::new(),
            room,
        }
    }

    /// Ends all series.
    pub(super) fn end(&mut self, time_unix_nano: u64, requests: &mut Requests) {
        for (series, known) in self.series.drain().filter(|(_, known)| known.ends) {
            requests.push(&series, &known.info, &stale(known.kind, time_unix_nano));
        }
        // Nothing cannot be too much.
        let _ = self.room.resize(0);
    }
}

fn stale(kind: Kind, time_unix_nano: u64) -> Point<'static> {
    Point {
        time_unix_nano,
        value: PointValue::End(kind),
        start_unix_nano: 0,
        exemplars: &[],
    }
}

/// What became of an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Samples in the answer, of which a classic histogram that becomes a native one is one.
    pub(super) scraped: u64,
    /// Samples after relabeling.
    pub(super) kept: u64,
    /// Series that the scrape before did not have.
    pub(super) added: u64,
    /// Samples that came twice; the first counts.
    pub(super) repeated: u64,
    /// Samples at times that cannot be stored.
    pub(super) out_of_range: u64,
    /// Classic histograms that make no native ones.
    pub(super) malformed: u64,
}

/// How long an answer may be read. What it costs is not said by its length: a sample of a few bytes
/// may have thousands of labels.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    pub(super) began: Instant,
    pub(super) most: Duration,
    /// Turns true when the target is scraped no more.
    pub(super) stop: watch::Receiver<bool>,
}

impl Patience {
    fn check(&self) -> Result<(), ScrapeError> {
        if *self.stop.borrow() {
            return Err(ScrapeError::Stopped);
        }
        if self.began.elapsed() > self.most {
            return Err(ScrapeError::ReadTimeout(self.most));
        }
        Ok(())
    }
}

/// One answer on its way.
struct Ingest<'a> {
    patience: Patience,
    settings: &'a ScrapeSettings,
    target: &'a Labels,
    now_ms: u64,
    before: &'a Cache,
    room: Room,
    present: HashMap<SeriesId, Known>,
    /// Why nothing of the answer is taken, while the rest of it is counted.
    refused: Option<ScrapeError>,
    created: HashMap<String, u64>,
    converter: Converter,
    /// Samples as they are written in the answer.
    lines: u64,
    info: Arc<Info>,
    requests: Requests,
    counts: Counts,
    open_metrics: bool,
}

/// Puts the requests of an answer together. On an error there are none, and the cache is as it
/// was. What was counted is as far as the answer was read: all of it where it is over a limit.
pub(super) fn ingest(
    answer: Answer,
    settings: &ScrapeSettings,
    target: &Labels,
    now_ms: u64,
    cache: &mut Cache,
    room: Room,
    patience: Patience,
) -> (Result<Requests, ScrapeError>, Counts) {
    let mut work = Ingest {
        patience,
        settings,
        target,
        now_ms,
        before: cache,
        room,
        present: HashMap::with_capacity(cache.series.len()),
        refused: None,
        created: HashMap::new(),
        converter: Converter::default(),
        lines: 0,
        info: Arc::default(),
        requests: Requests::default(),
        counts: Counts::default(),
        open_metrics: answer.format == Format::OpenMetrics,
    };
    let read = work.read(&answer).and_then(|()| work.convert_last());
    let Ingest {
        present,
        mut requests,
        counts,
        mut room,
        refused,
        ..
    } = work;
    if let Err(error) = read.and(refused.map_or(Ok(()), Err)) {
        return (Err(error), counts);
    }
    let time = now_ms * NANOS_PER_MS;
    for (series, known) in cache.series.iter().filter(|(_, known)| known.ends) {
        if !present.contains_key(series) {
            requests.push(series, &known.info, &stale(known.kind, time));
        }
    }
    // What the requests take is let go with them; the list of series stays.
    room.give_back(requests.total_bytes());
    cache.series = present;
    cache.room = room;
    (Ok(requests), counts)
}

impl Ingest<'_> {
    fn read(&mut self, answer: &Answer) -> Result<(), ScrapeError> {
        if answer.format == Format::Protobuf {
            let wanted = Wanted {
                native: self.settings.scrape_native_histograms,
                classic: self.settings.always_scrape_classic_histograms,
            };
            let mut take = |family: &Family, sample: Sample<'_>| self.take(family, sample);
            return protobuf::read(&answer.body, wanted, &mut take);
        }
        let open_metrics = self.open_metrics;
        let text = std::str::from_utf8(&answer.body)
            .map_err(|_| ScrapeError::Malformed("it is not UTF-8 text".to_owned()))?;
        if open_metrics && text.contains("_created") {
            let mut note = |family: &Family, sample: Sample<'_>| self.note_created(family, &sample);
            text::read::<ScrapeError>(text, true, &mut note)?;
        }
        let mut take = |family: &Family, sample: Sample<'_>| self.take(family, sample);
        text::read::<ScrapeError>(text, open_metrics, &mut take)
    }

    fn note_created(&mut self, family: &Family, sample: &Sample<'_>) -> Result<(), ScrapeError> {
        if !sample.name.ends_with("_created") || sample.name.len() == family.name.len() {
            return Ok(());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        if sample.value > 0.0 && sample.value < 1e10 {
            let key = created_key(family, &sample.labels);
            self.room.take(model::room::allocation(key.len()) + 64)?;
            self.created.insert(key, (sample.value * 1e9) as u64);
        }
        Ok(())
    }

    fn take(&mut self, family: &Family, sample: Sample<'_>) -> Result<(), ScrapeError> {
        if self.lines.is_multiple_of(SAMPLES_BETWEEN_LOOKS) {
            self.patience.check()?;
        }
        self.lines += 1;
        if self.settings.convert_classic_histograms_to_nhcb {
            let (part, ended) = self.converter.take(family, &sample);
            if let Some(ended) = ended {
                self.put_converted(ended)?;
            }
            if part && !self.settings.always_scrape_classic_histograms {
                return Ok(());
            }
        }
        self.counts.scraped += 1;
        self.put_within(family, &sample)
    }

    /// Takes the histogram that the last series of the answer make.
    fn convert_last(&mut self) -> Result<(), ScrapeError> {
        match self.converter.finish() {
            Some(ended) => self.put_converted(ended),
            None => Ok(()),
        }
    }

    fn put_converted(&mut self, partial: Partial) -> Result<(), ScrapeError> {
        let (family, sample) = partial.finish();
        match sample {
            Some(sample) => {
                self.counts.scraped += 1;
                self.put_within(&family, &sample)
            }
            None => {
                self.counts.malformed += 1;
                Ok(())
            }
        }
    }

    /// Puts a sample within the memory that there is.
    fn put_within(&mut self, family: &Family, sample: &Sample<'_>) -> Result<(), ScrapeError> {
        // Its labels are there several times while it is put together, however long they are.
        let labels = sample.labels.iter();
        let text: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
        let bytes = text + sample.native.as_deref().map_or(0, native_bytes);
        self.room.take(bytes.saturating_mul(COPIES))?;
        let put = self.put(family, sample);
        self.room.give_back(bytes.saturating_mul(COPIES));
        put
    }

    fn put(&mut self, family: &Family, sample: &Sample<'_>) -> Result<(), ScrapeError> {
        let Some(labels) = self.labels(sample)? else {
            return Ok(());
        };
        self.counts.kept += 1;
        let limit = self.settings.sample_limit;
        if limit > 0 && self.counts.kept > limit as u64 {
            let problem = format!("the answer has more than {limit} samples");
            self.refused.get_or_insert(ScrapeError::TooLarge(problem));
        }
        if self.refused.is_some() {
            return Ok(());
        }
        let series = SeriesId::new(&labels).ok_or_else(|| {
            ScrapeError::Malformed("relabeling left a sample without a name".to_owned())
        })?;
        let time = sample.time_ms.filter(|_| self.settings.honor_timestamps);
        let time_ms = match time {
            None => self.now_ms,
            Some(time) => match u64::try_from(time).ok().filter(|time| *time > 0) {
                Some(time) if time < u64::MAX / NANOS_PER_MS => time,
                _ => {
                    self.counts.out_of_range += 1;
                    return Ok(());
                }
            },
        };
        // With times of its own a series may be there for several of them.
        let known = self.present.get(&series);
        if known.is_some_and(|known| !known.timed || time.is_none()) {
            self.counts.repeated += 1;
            return Ok(());
        }
        let is_new = known.is_none() && !self.before.series.contains_key(&series);
        let before = self.requests.total_bytes();
        let start_unix_nano = self.start(family, sample);
        let (exemplars, exemplars_hash) = self.new_exemplars(&series, sample);
        self.describe(family);
        let limited = match &sample.native {
            Some(histogram) => match limited(histogram, self.settings) {
                Ok(limited) => Some(limited),
                Err(refused) => {
                    self.refused = Some(refused);
                    return Ok(());
                }
            },
            None => None,
        };
        self.counts.added += u64::from(is_new);
        let value = match &limited {
            Some(histogram) => PointValue::Native(histogram),
            None => PointValue::Number(sample.value),
        };
        let kind = value.kind();
        let point = Point {
            time_unix_nano: time_ms * NANOS_PER_MS,
            start_unix_nano,
            value,
            exemplars: &exemplars,
        };
        self.requests.push(&series, &self.info, &point);
        let grown = self.requests.total_bytes().saturating_sub(before);
        // The list of series doubles as it grows.
        let entry = series.bytes() + 2 * size_of::<(SeriesId, Known)>();
        self.room.take(grown + entry)?;
        let known = Known {
            info: Arc::clone(&self.info),
            kind,
            timed: time.is_some(),
            ends: time.is_none() || self.settings.track_timestamps_staleness,
            exemplars: exemplars_hash,
        };
        self.present.insert(series, known);
        Ok(())
    }

    /// The exemplars of a sample, with a hash of what its series had last. A target says those that
    /// it has until there are others: without a time they would be new ones in each scrape.
    fn new_exemplars(&self, series: &SeriesId, sample: &Sample<'_>) -> (Vec<Vec<u8>>, u64) {
        let known = self.present.get(series);
        let known = known.or_else(|| self.before.series.get(series));
        let before = known.map_or(0, |known| known.exemplars);
        if sample.exemplars.is_empty() {
            return (Vec::new(), before);
        }
        let exemplars: Vec<Vec<u8>> = sample.exemplars.iter().map(encode_exemplar).collect();
        let mut hasher = DefaultHasher::new();
        exemplars.hash(&mut hasher);
        match hasher.finish() {
            same if same == before => (Vec::new(), before),
            other => (exemplars, other),
        }
    }

    /// The labels of a sample as it is stored; none where it is dropped.
    fn labels(&self, sample: &Sample<'_>) -> Result<Option<Labels>, ScrapeError> {
        let own = sample
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let mut labels: Labels = own.collect();
        for (name, value) in self.target.iter() {
            if self.settings.honor_labels {
                // One that is sent empty is honored, too: the target says that it has none.
                if !sample.labels.iter().any(|(sent, _)| sent == name) {
                    labels.set(name, value);
                }
                continue;
            }
            let sent = labels.get(name).to_owned();
            if !sent.is_empty() {
                let mut free = format!("exported_{name}");
                while !labels.get(&free).is_empty() {
                    free.insert_str(0, "exported_");
                }
                labels.set(&free, sent);
            }
            labels.set(name, value);
        }
        labels.set(model::prometheus::NAME_LABEL, &*sample.name);
        if !relabel::apply(&self.settings.metric_relabel_configs, &mut labels) || labels.len() == 0
        {
            return Ok(None);
        }
        self.check(&labels)?;
        Ok(Some(labels))
    }

    fn check(&self, labels: &Labels) -> Result<(), ScrapeError> {
        let settings = self.settings;
        if settings.metric_name_validation_scheme == NameValidation::Legacy {
            check_classic(labels)?;
        }
        let over = |limit: usize, length: usize| limit > 0 && length > limit;
        let problem = if over(settings.label_limit, labels.len()) {
            format!("a sample has {} labels", labels.len())
        } else {
            let long = labels.iter().find(|(name, value)| {
                over(settings.label_name_length_limit, name.len())
                    || over(settings.label_value_length_limit, value.len())
            });
            let Some((name, _)) = long else {
                return Ok(());
            };
            let short: String = name.chars().take(60).collect();
            format!("the label `{short}` of a sample is too long")
        };
        Err(ScrapeError::TooLarge(problem))
    }

    /// When the counter of a sample began.
    fn start(&self, family: &Family, sample: &Sample<'_>) -> u64 {
        if sample.start_unix_nano > 0 {
            return sample.start_unix_nano;
        }
        if self.created.is_empty() || sample.name.ends_with("_created") {
            return 0;
        }
        let key = created_key(family, &sample.labels);
        self.created.get(&key).copied().unwrap_or_default()
    }

    /// Makes what is said of the family that of the next point.
    fn describe(&mut self, family: &Family) {
        const KINDS: [&str; 7] = [
            "counter",
            "gauge",
            "histogram",
            "gaugehistogram",
            "summary",
            "info",
            "stateset",
        ];
        let known = KINDS.contains(&family.kind.as_str());
        let kind = if known { &family.kind } else { "unknown" };
        let other_name = self.open_metrics && matches!(kind, "counter" | "info");
        let named = if other_name { &family.name } else { "" };
        let same = self.info.kind == kind
            && self.info.family == named
            && self.info.help == family.help
            && self.info.unit == family.unit;
        if !same {
            self.info = Arc::new(Info {
                kind: kind.to_owned(),
                help: family.help.clone(),
                unit: family.unit.clone(),
                family: named.to_owned(),
                target: String::new(),
            });
        }
    }
}

/// An error where a name is one that only later versions of Prometheus take.
fn check_classic(labels: &Labels) -> Result<(), ScrapeError> {
    let wrong = labels.iter().find_map(|(label, value)| {
        let (name, metric) = match label {
            model::prometheus::NAME_LABEL => (value, true),
            label => (label, false),
        };
        (!protocols::is_classic(name, metric)).then_some(name)
    });
    let Some(name) = wrong else {
        return Ok(());
    };
    let short: String = name.chars().take(60).collect();
    Err(ScrapeError::Malformed(format!(
        "`{short}` is no name under `metric_name_validation_scheme: legacy`"
    )))
}

/// A native histogram no finer, and with no more buckets, than the job takes.
fn limited<'a>(
    histogram: &'a NativeHistogram,
    settings: &ScrapeSettings,
) -> Result<Cow<'a, NativeHistogram>, ScrapeError> {
    let mut limited = Cow::Borrowed(histogram);
    let finest = finest_schema(settings.native_histogram_min_bucket_factor.0);
    if histogram.schema > finest {
        limited = Cow::Owned(histogram.coarser(finest));
    }
    let limit = settings.native_histogram_bucket_limit;
    while limit > 0 && limited.buckets() > limit {
        if limited.schema <= COARSEST_WRITTEN {
            let problem = format!("a native histogram has more than {limit} buckets");
            return Err(ScrapeError::TooLarge(problem));
        }
        limited = Cow::Owned(limited.coarser(limited.schema - 1));
    }
    Ok(limited)
}

/// The finest schema whose bounds grow by at least this factor: by 2 to the power of 2^-schema.
#[allow(clippy::cast_possible_truncation)]
fn finest_schema(factor: f64) -> i32 {
    if factor <= 1.0 {
        return i32::MAX;
    }
    let finest = (-factor.log2().log2()).floor();
    // What a histogram of Prometheus can have.
    finest.clamp(f64::from(COARSEST_WRITTEN), 8.0) as i32
}

/// About how much memory a native histogram takes.
fn native_bytes(histogram: &NativeHistogram) -> usize {
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    size_of::<u64>() * (spans + histogram.counts.buckets())
}

/// What a counter and its `_created` have in common.
fn created_key(family: &Family, labels: &Pairs<'_>) -> String {
    let mut sorted: Vec<_> = labels
        .iter()
        .filter(|(name, _)| !matches!(&**name, "le" | "quantile"))
        .collect();
    sorted.sort();
    let mut key = family.name.clone();
    for (name, value) in sorted {
        for part in [name, value] {
            key.push('\u{0}');
            key.push_str(part);
        }
    }
    key
}

/// The fields of an OTLP exemplar.
fn encode_exemplar(exemplar: &Exemplar<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let time = exemplar.time_ms.and_then(|time| u64::try_from(time).ok());
    put_fixed64(
        &mut out,
        2,
        time.unwrap_or_default().saturating_mul(NANOS_PER_MS),
    );
    put_key(&mut out, 3, 1);
    out.extend_from_slice(&exemplar.value.to_le_bytes());
    for (number, names, length) in [
        (4, ["span_id", "spanID", "spanId"], 8),
        (5, ["trace_id", "traceID", "traceId"], 16),
    ] {
        let id = exemplar
            .labels
            .iter()
            .find(|(name, _)| names.contains(&&**name));
        if let Some(bytes) = id.and_then(|(_, value)| bytes_of(value, length)) {
            model::wire::put_bytes(&mut out, number, &bytes);
        }
    }
    for (name, value) in &exemplar.labels {
        put_text_attribute(&mut out, 7, name, value);
    }
    out
}

/// So many bytes in hex.
pub(super) fn bytes_of(text: &str, length: usize) -> Option<Vec<u8>> {
    let digits = Some(text).filter(|text| text.len() == 2 * length)?;
    otlp::json::hex(digits)
}
