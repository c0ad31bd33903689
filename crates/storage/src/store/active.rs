//! Which series were active before a start, as far as files tell.
//!
//! A file says when the points of a series were taken, not when they came: series whose last points
//! came late are not active after a start, unless the log has these.

use model::time::NANOS_PER_SECOND;
use model::{Signal, Tenant};

use super::Core;
use crate::block::BlockReader;
use crate::partition::FileEntry;
use crate::points::block::{Parts, PointBlock, has_chunks};
use crate::points::{ACTIVE_SECONDS, Known, SeriesEntry};
use crate::table::Damage;
use crate::write::Batch;

/// What a series is remembered by: it, and the second of its last point.
type Remember<'a> = &'a mut dyn FnMut(&SeriesEntry, u64);

impl Core {
    /// Whether files have to be read before a batch is decoded.
    pub(super) fn must_recall(&self, batch: &Batch) -> bool {
        let known = || self.known.find(&batch.tenant);
        batch.signal == Signal::Metrics && known().is_none_or(|known| !known.has_recalled())
    }

    /// Asks files once, before the first points of a tenant come: who sends nothing costs nothing.
    pub(super) fn recall(&self, tenant: &Tenant) {
        let known = self.known.of(tenant);
        if known.has_recalled() {
            return;
        }
        let now = self.env.clock.unix_nanos();
        let since = now.saturating_sub(ACTIVE_SECONDS * NANOS_PER_SECOND);
        let view = self.view.read().clone();
        let partitions = view.partitions.values();
        let own = partitions.filter(|partition| {
            partition.key.tenant == *tenant && partition.key.signal == Signal::Metrics
        });
        let files: Vec<_> = own
            .flat_map(|partition| &partition.files)
            .filter(|file| file.max_time > since)
            .collect();
        known.recall(|remember| {
            let parts = Parts::default();
            for file in files {
                if let Err(damage) = of_file(file, (since, now), (&parts, &known), remember) {
                    // Queries name it; here series of it may lose their places to others.
                    tracing::warn!(file = %file.id, reason = %damage.0,
                        "which series of a file are active is not known");
                }
            }
        });
    }
}

/// The series of a file with points since a time; what is dated after `now` counts as of now.
fn of_file(
    entry: &FileEntry,
    (since, now): (u64, u64),
    (parts, known): (&Parts, &Known),
    remember: Remember<'_>,
) -> Result<(), Damage> {
    let file = entry.open().map_err(|error| Damage(error.to_string()))?;
    let recent = |at: &usize| file.blocks[*at].max_time > since;
    let mut damage = None;
    for ordinal in (0..file.blocks.len()).filter(recent) {
        let block = entry.block(ordinal).and_then(|bytes| {
            let reader = BlockReader::open(bytes);
            let reader = reader.map_err(|error| Damage(error.to_string()))?;
            // Before, blocks had a row for each point.
            let chunked = has_chunks(&reader);
            chunked
                .then(|| PointBlock::open(&reader, parts, Some(known)))
                .transpose()
        });
        let seen = block.and_then(|block| {
            let Some(block) = block else { return Ok(()) };
            for (at, series) in (0..).zip(&block.series) {
                if let Some(last) = last_time(&block, at)?.filter(|last| *last > since) {
                    remember(series, last.min(now) / NANOS_PER_SECOND);
                }
            }
            Ok(())
        });
        damage = damage.or(seen.err());
    }
    damage.map_or(Ok(()), Err)
}

/// The last time of a series in a block, where its chunks are by time.
fn last_time(block: &PointBlock, series: u32) -> Result<Option<u64>, Damage> {
    let Some(chunk) = block.chunks_of(series).last() else {
        return Ok(None);
    };
    Ok(block.times(chunk)?.last().copied())
}
