//! What identifies a series.

use std::sync::{Arc, OnceLock};

use model::metric::Series;
use model::{KeyValue, Metric, Resource, Scope};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// What rows share, with its encoding.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub value: Arc<T>,
    pub encoded: Box<[u8]>,
    /// Tells it from others of its kind.
    pub hash: u64,
    /// About how much memory it takes.
    pub bytes: usize,
}

impl<T> Entry<T> {
    /// What was encoded before; how much memory it takes is estimated from that.
    pub(crate) fn of_encoded(value: Arc<T>, encoded: &[u8]) -> Self {
        Self {
            value,
            hash: xxh3_64(encoded),
            bytes: size_of::<Self>() + size_of::<T>() + 4 * encoded.len(),
            encoded: encoded.into(),
        }
    }
}

/// What a series shares with others.
pub(crate) type SharedParts<'a> = (
    &'a Arc<Entry<Resource>>,
    &'a Arc<Entry<Scope>>,
    &'a Arc<Entry<Metric>>,
);

/// A metric series: what identifies it, in full. Attributes are kept encoded, since most series
/// are never asked for.
#[derive(Debug)]
pub(crate) struct SeriesEntry {
    pub resource: Arc<Entry<Resource>>,
    pub scope: Arc<Entry<Scope>>,
    pub metric: Arc<Entry<Metric>>,
    /// The attributes, encoded.
    pub attributes: Box<[u8]>,
    /// Tells it from others.
    pub id: u128,
    /// About how much memory it takes without what it shares with others.
    pub bytes: usize,
    /// See [`SeriesEntry::share_hashes`].
    shares: OnceLock<(u32, u32)>,
}

/// What tells series apart: a hash of the encoded attributes and of what they belong to.
pub(crate) fn series_id(attributes: &[u8], resource: u64, scope: u64, metric: u64) -> u128 {
    let parts = [resource, scope, metric].map(u64::to_le_bytes);
    xxh3_128_with_seed(attributes, xxh3_64(parts.as_flattened()))
}

impl SeriesEntry {
    /// A series of these parts and encoded attributes.
    pub(crate) fn new(
        (resource, scope, metric): SharedParts<'_>,
        attributes: &[u8],
        id: u128,
        bytes: usize,
    ) -> Self {
        Self {
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
            metric: Arc::clone(metric),
            attributes: attributes.into(),
            id,
            bytes,
            shares: OnceLock::new(),
        }
    }

    /// Hashes by which series are shared out, made when they are first asked for.
    pub(crate) fn share_hashes(&self, make: impl FnOnce(&Series) -> (u32, u32)) -> (u32, u32) {
        *self.shares.get_or_init(|| make(&self.series()))
    }

    /// The attributes of its points. They were encoded here, or checked when they were read.
    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        postcard::from_bytes(&self.attributes).unwrap_or_default()
    }

    /// The series.
    pub(crate) fn series(&self) -> Series {
        Series {
            resource: Arc::clone(&self.resource.value),
            scope: Arc::clone(&self.scope.value),
            metric: Arc::clone(&self.metric.value),
            attributes: self.attributes(),
        }
    }

    /// The order of series in files: by name, then by what else identifies them.
    pub(crate) fn order(&self) -> (&str, [&[u8]; 4]) {
        let parts: [&[u8]; 4] = [
            &self.metric.encoded,
            &self.resource.encoded,
            &self.scope.encoded,
            &self.attributes,
        ];
        (&self.metric.value.name, parts)
    }
}
