//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use model::correlation::CorrelationKeys;

use super::LabelLimits;
use crate::downsampling::Downsampling;
use crate::retention::Retention;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Under which name answers list this store.
    pub name: String,
    /// A head of this size is sealed and written to files.
    pub head_bytes: usize,
    /// Rows per block.
    pub block_rows: usize,
    /// The WAL may be so long; a batch that would make it longer is asked to come again.
    pub wal_bytes: u64,
    /// Active metric series of one tenant; points of further ones are refused.
    pub series: usize,
    /// The same of one metric.
    pub metric_series: usize,
    /// What the labels of a series may be.
    pub labels: LabelLimits,
    /// Whether files are merged as they become many. Otherwise that is for whoever opens the store.
    pub background_merges: bool,
    /// Memory that rows may take while a merge puts them in order.
    pub merge_bytes: usize,
    /// Between two tries of a flush that failed.
    pub flush_retry: Duration,
    /// Bytes of requests that may wait for the commit thread; more are asked to come again.
    pub pending_bytes: usize,
    /// A shorter request is decoded by who brings it, without a thread of its own.
    pub inline_bytes: usize,
    /// What all batches in work may take in memory once decoded, and the requests of whoever shares
    /// the store's budget; more are asked to come again.
    pub in_flight_bytes: usize,
    /// What one batch may take in memory once decoded; a larger one is refused for good.
    pub decoded_bytes: usize,
    /// By which keys rows are correlated.
    pub correlation: Arc<CorrelationKeys>,
    /// What is kept for how long.
    pub retention: Retention,
    /// Which metrics are downsampled.
    pub downsampling: Downsampling,
    /// Rows that are further ahead of the clock are filed under the day on which they came.
    pub time_ahead: Duration,
    /// Store a zero where a counter says that it began.
    pub start_zero_samples: bool,
    /// While more files than this are due to be merged, batches are asked to come again.
    pub unmerged_files: u64,
    /// How many files may be mapped at once, about, beside those that queries hold; by default as
    /// many as suit the system.
    pub open_files: Option<usize>,
    /// A batch without a stamp that equals one of this span of time is a repeat, and not stored
    /// again; zero to store it.
    pub repeat_window: Duration,
    /// Whether an observer counts spans: the log keeps those whose counts are not written, and they
    /// are shown to it when it is set.
    pub count_spans: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "collector".to_owned(),
            head_bytes: 64 << 20,
            block_rows: 4_096,
            wal_bytes: 1 << 30,
            series: 5_000_000,
            metric_series: 1_000_000,
            labels: LabelLimits::default(),
            background_merges: true,
            merge_bytes: 32 << 20,
            flush_retry: Duration::from_secs(1),
            pending_bytes: 128 << 20,
            inline_bytes: 64 << 10,
            in_flight_bytes: 256 << 20,
            decoded_bytes: 192 << 20,
            correlation: Arc::new(CorrelationKeys::default()),
            retention: Retention::default(),
            downsampling: Downsampling::default(),
            time_ahead: Duration::from_secs(86_400),
            start_zero_samples: false,
            unmerged_files: 20_000,
            open_files: None,
            repeat_window: Duration::ZERO,
            count_spans: false,
        }
    }
}
