//! Rows so large that few of them are a block: reading one takes no more memory than any other.

use std::path::PathBuf;
use std::sync::Arc;

use model::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use model::{LogRecord, Signal, Value};
use testkit::MemoryFiles;

use super::{counted, merge};
use crate::filter::Filter;
use crate::layout::BlockTable;
use crate::testing::*;
use crate::{Options, Store};

/// What a block may have decoded.
const BLOCK_BYTES: u64 = 8 << 20;

#[tokio::test]
async fn blocks_are_cut_by_bytes_and_not_joined_for_having_few_rows() {
    let (env, clock) = testkit::env(1, Arc::new(MemoryFiles::new()));
    clock.set_unix(BASE + NANOS_PER_DAY);
    let options = Options {
        background_merges: false,
        ..Options::default()
    };
    let dir = PathBuf::from("/data");
    let store = Store::open(env, &dir, options, Arc::new(TestDecoder)).unwrap();
    let mut generator = Generator::new(71);
    let mut sent = Vec::new();
    let mut row = |at: u64, bytes: usize| {
        let text: String = (0..bytes)
            .map(|_| generator.random.alphanumeric())
            .collect();
        LogRecord {
            time_unix_nano: BASE + at,
            body: Value::Str(text),
            ..LogRecord::default()
        }
    };
    // Most of the rows have 100 kB, and one is larger than a block may be.
    for (at, bytes) in (0..).zip([100_000; 160].into_iter().chain([9 << 20])) {
        let row = row(at, bytes);
        write(&store, Signal::Logs, &[&row]).await.unwrap();
        sent.push(row);
        if sent.len() % 80 == 0 {
            store.flush().await;
        }
    }
    store.flush().await;

    let decoded = || {
        let partitions = store.core().view.read().partitions.clone();
        let mut sizes = Vec::new();
        for file in partitions.values().flat_map(|partition| &partition.files) {
            for (ordinal, block) in file.open().unwrap().blocks.iter().enumerate() {
                let bytes = file.block(ordinal).unwrap();
                let table = BlockTable::open(Signal::Logs, bytes, Arc::default()).unwrap();
                sizes.push((block.rows, table.decoded_bytes()));
            }
        }
        sizes
    };
    let before = decoded();
    assert_eq!(before.len(), 3, "{before:?}");
    for (rows, bytes) in &before {
        assert!(*bytes <= BLOCK_BYTES || *rows == 1, "{before:?}");
    }
    clock.advance(2 * 3_600 * NANOS_PER_SECOND);
    merge(&store).await;
    assert_eq!(counted(&store, "merged_files_total"), 3.0);
    assert_eq!(counted(&store, "reordered_rows_total"), 0.0);
    assert_eq!(decoded(), before);
    let found = logs(&store, selection(Signal::Logs, Filter::All)).await;
    assert!(plain_logs(found) == plain_logs(sent));
}
