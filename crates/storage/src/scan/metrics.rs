//! The metrics that there are, whatever series each has.

use std::sync::Arc;

use model::{Metric, Signal, Tenant, TimeRange};
use rustc_hash::FxHashSet;

use super::candidates::point_heads;
use super::{Scan, Stop};
use crate::message::Reply;
use crate::points::Entry;

/// Metrics in one reply.
const METRICS_PER_REPLY: usize = 500;

pub(super) fn run(scan: &Scan<'_>, tenant: &Tenant, limit: usize) -> Result<(), Stop> {
    let mut found = Found {
        seen: FxHashSet::default(),
        list: Vec::new(),
        limit,
    };
    for head in point_heads(&scan.view, tenant) {
        head.each_metric(|metric| found.add(metric));
    }
    scan.name_unread(tenant, Signal::Metrics, TimeRange::ALL);
    let partitions = scan.view.partitions.values();
    let own = partitions.filter(|partition| partition.key.signal == Signal::Metrics);
    let own = own.chain(scan.view.downsampled.values());
    let own = own.filter(|partition| partition.key.tenant == *tenant);
    for entry in own.flat_map(|partition| &partition.files) {
        let Some(file) = scan.open_file(entry) else {
            continue;
        };
        for ordinal in 0..file.blocks.len() {
            scan.check()?;
            let metrics = scan.core.blocks.metrics(entry, ordinal);
            let metrics = scan.undamaged_at(Some((entry, ordinal)), metrics);
            for metric in metrics.iter().flatten() {
                found.add(metric);
            }
        }
    }
    for part in found.list.chunks(METRICS_PER_REPLY) {
        scan.hold(part.iter().map(|metric| metric.bytes).sum())?;
        let part = part.iter().map(|metric| Arc::clone(&metric.value));
        scan.reply(Reply::Metrics(part.collect()))?;
    }
    if found.seen.len() > found.list.len() {
        scan.cut("metrics", limit, "there are more metrics than are listed");
    }
    Ok(())
}

struct Found {
    seen: FxHashSet<u64>,
    list: Vec<Arc<Entry<Metric>>>,
    limit: usize,
}

impl Found {
    fn add(&mut self, metric: &Arc<Entry<Metric>>) {
        // One more tells that there are more.
        if self.seen.len() <= self.limit
            && self.seen.insert(metric.hash)
            && self.list.len() < self.limit
        {
            self.list.push(Arc::clone(metric));
        }
    }
}
