//! What the store holds.

use std::sync::atomic::Ordering;

use model::Tenant;

use super::{Scan, Stop};
use crate::message::{PartitionStatus, Reply, Status};

pub(super) fn run(scan: &Scan<'_>, tenant: &Tenant) -> Result<(), Stop> {
    let heads = [Some(&scan.view.active), scan.view.sealed.as_ref()];
    let head_rows = heads
        .into_iter()
        .flatten()
        .map(|heads| {
            let own = heads.rows.iter().filter(|((owner, _), _)| owner == tenant);
            let chunks = own.flat_map(|(_, chunks)| chunks);
            let rows: u64 = chunks.map(|chunk| chunk.rows() as u64).sum();
            rows + heads.points.get(tenant).map_or(0, |head| head.rows())
        })
        .sum();
    let partitions = scan
        .view
        .partitions
        .values()
        .filter(|partition| partition.key.tenant == *tenant)
        .map(|partition| PartitionStatus {
            signal: partition.key.signal,
            day: partition.key.day,
            rows: partition.rows(),
            bytes: partition.size_bytes(),
        })
        .collect();
    let wal_bytes = scan.core.counters.wal_bytes.load(Ordering::Relaxed);
    scan.reply(Reply::Status(Status {
        partitions,
        head_rows,
        wal_bytes,
    }))
}
