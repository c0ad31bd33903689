//! Parts of the disk that do not read: a start is never refused, and what is lost is what lies there.

use std::path::Path;
use std::sync::Arc;

use env::Files;
use model::{Signal, Span};
use testkit::{FaultFiles, MemoryFiles};

use super::counted;
use crate::filter::Filter;
use crate::testing::*;
use crate::{Options, Store};

fn open(files: &Arc<dyn Files>) -> Store {
    let env = testkit::env(1, Arc::clone(files)).0;
    let options = Options {
        wal_bytes: 512 << 10,
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, Path::new("/data"), options, Arc::new(TestDecoder)).unwrap()
}

#[tokio::test]
async fn a_sector_of_the_log_costs_the_requests_in_it() {
    let memory = MemoryFiles::new();
    let healthy: Arc<dyn Files> = Arc::new(memory.clone());
    let store = open(&healthy);
    let mut generator = Generator::new(5);
    let mut sent: Vec<Vec<Span>> = Vec::new();
    while counted(&store, "wal_bytes") < 200_000.0 {
        sent.push((0..20).map(|_| generator.span()).collect());
        write(&store, Signal::Traces, sent.last().unwrap())
            .await
            .unwrap();
    }
    drop(store);
    let segments = memory.paths().into_iter();
    let segments: Vec<String> = segments
        .map(|path| path.display().to_string())
        .filter(|path| path.ends_with(".seg"))
        .collect();
    assert!(segments.len() > 2);
    for segment in [&segments[1], segments.last().unwrap()] {
        let memory = memory.fork();
        let faults = FaultFiles::over(Arc::new(memory.clone()));
        faults.lose(segment, 4_096..8_192);
        let failing: Arc<dyn Files> = Arc::new(faults);
        let store = open(&failing);
        let lost_bytes = counted(&store, "wal_lost_bytes_total");
        assert!((4_096.0..30_000.0).contains(&lost_bytes), "{lost_bytes}");
        let found = plain_spans(spans(&store, selection(Signal::Traces, Filter::All)).await);
        let is_there =
            |request: &&Vec<Span>| found.contains(&plain_spans(vec![request[0].clone()])[0]);
        let left: Vec<Span> = sent.iter().filter(is_there).flatten().cloned().collect();
        let lost = sent.len() - left.len() / 20;
        assert!((1..=4).contains(&lost), "{lost} requests");
        assert!(
            found == plain_spans(left.clone()),
            "whole requests, each once"
        );
        // It goes on, and the rows of what reads are in files from then on.
        let more: Vec<Span> = (0..20).map(|_| generator.span()).collect();
        write(&store, Signal::Traces, &more).await.unwrap();
        store.flush().await;
        drop(store);
        let healthy: Arc<dyn Files> = Arc::new(memory);
        let store = open(&healthy);
        let found = spans(&store, selection(Signal::Traces, Filter::All)).await;
        assert!(plain_spans(found) == plain_spans([left, more].concat()));
        assert_eq!(counted(&store, "wal_lost_bytes_total"), 0.0);
    }
}
