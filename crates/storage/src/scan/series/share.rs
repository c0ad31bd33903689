//! Which share of the series that match a series is in.
//!
//! Series of the same labels in the Prometheus view are in the same share, whichever resource, source
//! or kind of metric they are from, so that who asks share by share can join what belongs together.
//! Bounds and quantiles are labels of the view that are in the points of one series and in the
//! attributes of another, so they do not count; neither do names, of whose suffixes this is true.

use model::metric::Series;
use model::prometheus;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::wire::put_varint;
use crate::message::{SeriesShare, SharedBy};
use crate::points::SeriesEntry;

impl SeriesShare {
    pub(super) fn holds(self, entry: &SeriesEntry) -> bool {
        if self.of <= 1 {
            return true;
        }
        let (by_labels, by_target) = entry.share_hashes(hashes);
        let hash = match self.by {
            SharedBy::Labels => by_labels,
            SharedBy::Target => by_target,
        };
        hash % self.of == self.index
    }
}

/// Hashes of all labels, and of those that say whose series it is.
fn hashes(series: &Series) -> (u32, u32) {
    let (mut labels, mut target) = (Vec::new(), Vec::new());
    let put = |list: &mut Vec<u8>, (name, value): &(String, String)| {
        for text in [name, value] {
            put_varint(list, text.len() as u64);
            list.extend_from_slice(text.as_bytes());
        }
    };
    for label in prometheus::base_labels(series) {
        if !matches!(label.0.as_str(), "le" | "quantile") {
            put(&mut labels, &label);
        }
        if matches!(label.0.as_str(), "job" | "instance") {
            put(&mut target, &label);
        }
    }
    let hash = |list: &[u8]| u32::try_from(xxh3_64(list) >> 32).unwrap_or(u32::MAX);
    (hash(&labels), hash(&target))
}
