//! The corpora: what is sent, item by item.
//!
//! Item `n` of a seed is always the same: a span or a log record of trace `n / 12`, or a point of
//! series `n % 40,000`. All come from 36 resources, 12 services with three instances each. Ids
//! and other values are drawn from generators seeded with the item's number, so a request can
//! be made without those before it. The scattered corpus has the same items in another order
//! ([`arrival`](super::arrival)), the wide one other attributes ([`wide`]); the rows of the
//! others are made of files ([`lines`](super::lines), [`recorded`](super::recorded)).

use std::sync::Arc;

use fastrand::Rng;
use model::{KeyValue, Resource, Scope, Signal};

use super::lines::Lines;
use super::recorded::Recorded;
use super::{CorpusKind, LoadOptions, logs, metrics, traces, wide};

pub(super) const SERVICES: [&str; 12] = [
    "api-gateway",
    "web-frontend",
    "identity",
    "product-catalog",
    "search",
    "shopping-cart",
    "order-service",
    "payment-service",
    "inventory",
    "shipping",
    "email-sender",
    "fraud-check",
];
const INSTANCES: usize = 3;
/// How many resources there are.
pub(super) const RESOURCES: usize = SERVICES.len() * INSTANCES;

/// Unpaced runs are dated as if this many spans or logs had come per second, ending now: two
/// million are what a small shop leaves in half an hour.
const UNPACED_PER_SECOND: u64 = 1_000;
/// How many items an unpaced run of unknown length is taken to have per second of its duration,
/// more than receivers take, so that nothing is dated later than the present.
const TAKEN_PER_SECOND_MAX: u64 = 400_000;
/// Longer ago than this no such run begins.
pub(super) const UNPACED_PAST_SECONDS: u64 = 86_400;
/// Before the end of an unpaced run's times, for the longest traces to end in.
const TRACE_SECONDS_MAX: u64 = 3;
/// Keeps the generators of items apart from those of traces.
const OF_ITEM: u64 = 0x6974_656d;

/// Everything that the rows share.
pub(super) struct Corpus {
    signal: Signal,
    pub(super) kind: CorpusKind,
    pub(super) seed: u64,
    /// Items of one second, by their times.
    pub(super) items_per_second: u64,
    /// The time of item 0.
    first_unix_nano: u64,
    /// Time between two items.
    item_nanos: u64,
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) scope: Arc<Scope>,
    metrics: Option<metrics::SeriesTable>,
    lines: Option<Lines>,
    recorded: Option<Recorded>,
}

impl Corpus {
    /// An error tells what is wrong with the files.
    pub(super) fn new(options: &LoadOptions, start_unix_nano: u64) -> anyhow::Result<Self> {
        let items_per_second = options.rate.unwrap_or(UNPACED_PER_SECOND);
        let item_nanos = (1_000_000_000 / items_per_second).max(1);
        let resources: Vec<_> = (0..RESOURCES)
            .map(|index| Arc::new(resource(options.seed, index)))
            .collect();
        let scope = Arc::new(Scope {
            name: "throughline.load".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Scope::default()
        });
        let metrics = (options.signal == Signal::Metrics)
            .then(|| metrics::SeriesTable::new(options, start_unix_nano, &resources, &scope));
        let lines = (options.corpus == CorpusKind::Lines)
            .then(|| Lines::read(&options.files))
            .transpose()?;
        let recorded = (options.corpus == CorpusKind::Recorded)
            .then(|| Recorded::read(options, start_unix_nano))
            .transpose()?;
        Ok(Self {
            signal: options.signal,
            kind: options.corpus,
            seed: options.seed,
            items_per_second,
            first_unix_nano: start_unix_nano.saturating_sub(past_nanos(options)),
            item_nanos,
            resources,
            scope,
            metrics,
            lines,
            recorded,
        })
    }

    /// The request that holds these items.
    pub(super) fn request(&self, items: &[u64], batch: u64) -> Vec<u8> {
        if let Some(recorded) = &self.recorded {
            return recorded.request(items, batch);
        }
        match self.signal {
            Signal::Traces => traces::request(self, items, batch),
            Signal::Logs => match &self.lines {
                Some(lines) => lines.request(self, items, batch),
                None => logs::request(self, items, batch),
            },
            Signal::Metrics => match &self.metrics {
                Some(series) => series.request(items),
                None => Vec::new(),
            },
        }
    }

    /// The attributes of a row of the wide corpus, but for the batch.
    pub(super) fn wide_attributes(
        &self,
        resource: usize,
        correlation_id: &str,
        rng: &mut Rng,
    ) -> Vec<KeyValue> {
        let mut attributes = vec![KeyValue::new("correlation_id", correlation_id)];
        attributes.extend(wide::attributes(self.seed, resource / INSTANCES, rng));
        attributes
    }

    /// The generator of what this span or log record has of its own.
    pub(super) fn item_rng(&self, item: u64) -> Rng {
        rng(self.seed ^ OF_ITEM, item)
    }

    pub(super) fn time(&self, item: u64) -> u64 {
        self.first_unix_nano
            .saturating_add(item.saturating_mul(self.item_nanos))
    }
}

/// How far before its start a run's first span or log record is dated.
fn past_nanos(options: &LoadOptions) -> u64 {
    if options.rate.is_some() {
        return 0;
    }
    let seconds = options.items.map_or_else(
        || {
            let items = TAKEN_PER_SECOND_MAX.saturating_mul(options.duration.as_secs());
            (items / UNPACED_PER_SECOND).min(UNPACED_PAST_SECONDS)
        },
        |items| items / UNPACED_PER_SECOND,
    );
    (seconds + TRACE_SECONDS_MAX).saturating_mul(1_000_000_000)
}

/// A generator for one thing of a seed. The multiplications keep neighbours apart; fastrand's
/// own mixing does the rest.
pub(super) fn rng(seed: u64, number: u64) -> Rng {
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Rng::with_seed(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95))
}

fn resource(seed: u64, index: usize) -> Resource {
    let service = SERVICES[index / INSTANCES];
    let instance = index % INSTANCES;
    let mut rng = rng(seed ^ 0x7265_736f, index as u64);
    let attributes = vec![
        KeyValue::new("service.name", service),
        KeyValue::new("service.namespace", "shop"),
        KeyValue::new("service.version", format!("1.{}.{}", index % 7, index % 5)),
        KeyValue::new("service.instance.id", uuid(&mut rng)),
        KeyValue::new("host.name", format!("node-{:02}", index % 9)),
        KeyValue::new(
            "k8s.pod.name",
            format!("{service}-7d4b9c{:03x}-{instance}", rng.u32(..4096)),
        ),
        KeyValue::new("k8s.namespace.name", "production"),
        KeyValue::new("deployment.environment.name", "production"),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
    ];
    Resource {
        attributes,
        ..Resource::default()
    }
}

/// The text of a version-4 UUID.
pub(super) fn uuid(rng: &mut Rng) -> String {
    let bits = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The attribute by which a test finds the rows of one request.
pub(super) fn batch_attribute(batch: u64) -> KeyValue {
    KeyValue::new("load.batch", i64::try_from(batch).unwrap_or(i64::MAX))
}
