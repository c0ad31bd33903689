//! What the store counts, and shows as its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Signal;
use model::row::Reject;

use super::Core;
use super::refusal::Refusal;
use super::refused::Refused;
use crate::retention;

/// A counter or gauge: name, labels, value.
pub type Metric = (String, Vec<(String, String)>, f64);

/// Counts since the store was opened.
#[derive(Default)]
pub(crate) struct Counters {
    pub batches: AtomicU64,
    pub duplicate_batches: AtomicU64,
    pub rows: [AtomicU64; 3],
    pub rejected: [AtomicU64; Reject::ALL.len()],
    /// What the log says of them.
    pub refused: Refused,
    pub duplicate_keys: AtomicU64,
    pub undated: AtomicU64,
    pub ahead: AtomicU64,
    /// By [`Refusal`].
    retried: [AtomicU64; Refusal::ALL.len()],
    pub too_large_batches: AtomicU64,
    pub flushes: AtomicU64,
    pub flush_errors: AtomicU64,
    pub merges: AtomicU64,
    pub merge_errors: AtomicU64,
    pub merged_files: AtomicU64,
    pub merged_bytes: AtomicU64,
    pub merged_rows: AtomicU64,
    pub ordered_rows: AtomicU64,
    pub syncs: AtomicU64,
    pub tail_dropped: AtomicU64,
    pub wal_bytes: AtomicU64,
    /// Bytes of the log that were freed although the counts of their spans were not written.
    pub uncovered_bytes: AtomicU64,
    pub wal_lost_bytes: AtomicU64,
    pub wal_lost_segments: AtomicU64,
    pub wal_torn_bytes: AtomicU64,
    pub wal_malformed: AtomicU64,
    pub damaged_files: AtomicU64,
    pub rebuilt_checkpoints: AtomicU64,
    pub reread_files: AtomicU64,
    /// By signal: files that are due to be merged, and their bytes.
    pub waiting_files: [AtomicU64; 3],
    pub waiting_bytes: [AtomicU64; 3],
    pub damaged_blocks: AtomicU64,
    /// By [`retention::Reason`].
    pub dropped_partitions: [AtomicU64; retention::Reason::ALL.len()],
    /// Files of partitions that stay.
    pub dropped_files: [AtomicU64; retention::Reason::ALL.len()],
    pub dropped_rows: [AtomicU64; retention::Reason::ALL.len()],
    /// Days of buckets of one resolution.
    pub dropped_buckets: [AtomicU64; retention::Reason::ALL.len()],
    pub retention_errors: AtomicU64,
    pub downsampled_days: AtomicU64,
    pub downsampling_errors: AtomicU64,
    pub downsampling_lost: AtomicU64,
    pub head_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn retried(&self, refusal: Refusal) {
        add(&self.retried[refusal as usize], 1);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Where the counters of a signal are.
pub(super) fn signal_index(signal: Signal) -> usize {
    signal as usize - 1
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The metrics, as they are gathered.
struct Gathered(Vec<Metric>);

impl Gathered {
    #[allow(clippy::cast_precision_loss)]
    fn add(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let name = format!("throughline_storage_{name}");
        self.0.push((name, labels, value as f64));
    }
}

impl Core {
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let mut out = Gathered(Vec::new());
        self.counters.by_reason(&mut out);
        self.counters.plain(&mut out);
        self.counters.waiting(&mut out);
        for (tenant, count) in self.known.counts() {
            out.add(
                "active_series",
                &[("tenant", tenant.as_str())],
                count as u64,
            );
        }
        for (name, count) in self.sources.lock().counts() {
            out.add(name, &[], count);
        }
        self.partitions(&mut out);
        let (maps, opened) = self.open.counts();
        out.add("open_files", &[], maps);
        out.add("opened_files_total", &[], opened);
        out.add("removals_waiting", &[], self.removals.count());
        out.0
    }

    fn partitions(&self, out: &mut Gathered) {
        let view = self.view.read().clone();
        let (mut indexes, mut tables) = (0, 0);
        for partition in view.all() {
            indexes += u64::from(partition.lacks_index());
            tables += partition.lacking_tables();
            let labels = [
                ("signal", &*partition.key.folder_name()),
                ("tenant", partition.key.tenant.as_str()),
            ];
            out.add("partition_rows", &labels, partition.rows());
            out.add("partition_bytes", &labels, partition.size_bytes());
            out.add("partition_files", &labels, partition.files.len() as u64);
        }
        out.add("unreadable_indexes", &[], indexes);
        out.add("unreadable_tables", &[], tables);
    }
}

impl Counters {
    fn by_reason(&self, out: &mut Gathered) {
        for (signal, rows) in Signal::ALL.iter().zip(&self.rows) {
            out.add("rows_total", &[("signal", signal.name())], get(rows));
        }
        for (reason, count) in Reject::ALL.iter().zip(&self.rejected) {
            let labels = [("reason", reason.label())];
            out.add("rejected_rows_total", &labels, get(count));
        }
        for (refusal, count) in Refusal::ALL.iter().zip(&self.retried) {
            let labels = [("reason", refusal.label())];
            out.add("retried_batches_total", &labels, get(count));
        }
        for reason in retention::Reason::ALL {
            let (labels, at) = ([("reason", reason.label())], reason as usize);
            for (name, counters) in [
                ("dropped_partitions_total", &self.dropped_partitions),
                ("dropped_files_total", &self.dropped_files),
                ("dropped_rows_total", &self.dropped_rows),
                ("dropped_downsampled_days_total", &self.dropped_buckets),
            ] {
                out.add(name, &labels, get(&counters[at]));
            }
        }
    }

    fn plain(&self, out: &mut Gathered) {
        for (name, counter) in [
            ("batches_total", &self.batches),
            ("too_large_batches_total", &self.too_large_batches),
            ("duplicate_batches_total", &self.duplicate_batches),
            ("duplicate_attribute_keys_total", &self.duplicate_keys),
            ("undated_rows_total", &self.undated),
            ("ahead_rows_total", &self.ahead),
            ("reread_files_total", &self.reread_files),
            ("flushes_total", &self.flushes),
            ("flush_errors_total", &self.flush_errors),
            ("merges_total", &self.merges),
            ("merge_errors_total", &self.merge_errors),
            ("merged_files_total", &self.merged_files),
            ("merged_bytes_total", &self.merged_bytes),
            ("merged_rows_total", &self.merged_rows),
            ("reordered_rows_total", &self.ordered_rows),
            ("wal_syncs_total", &self.syncs),
            ("tail_dropped_rows_total", &self.tail_dropped),
            ("wal_bytes", &self.wal_bytes),
            ("wal_uncovered_bytes_total", &self.uncovered_bytes),
            ("wal_lost_bytes_total", &self.wal_lost_bytes),
            ("wal_lost_segments_total", &self.wal_lost_segments),
            ("wal_torn_bytes_total", &self.wal_torn_bytes),
            ("wal_malformed_records_total", &self.wal_malformed),
            ("damaged_files_total", &self.damaged_files),
            ("rebuilt_checkpoints_total", &self.rebuilt_checkpoints),
            ("damaged_blocks_total", &self.damaged_blocks),
            ("retention_errors_total", &self.retention_errors),
            ("downsampled_days_total", &self.downsampled_days),
            ("downsampling_errors_total", &self.downsampling_errors),
            ("downsampling_lost_parts_total", &self.downsampling_lost),
            ("head_bytes", &self.head_bytes),
        ] {
            out.add(name, &[], get(counter));
        }
    }

    fn waiting(&self, out: &mut Gathered) {
        for signal in Signal::ALL {
            let (labels, at) = ([("signal", signal.name())], signal_index(signal));
            out.add("merge_waiting_files", &labels, get(&self.waiting_files[at]));
            out.add("merge_waiting_bytes", &labels, get(&self.waiting_bytes[at]));
        }
    }
}
