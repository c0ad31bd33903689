//! A request that is alone is in the log before it is decoded, and is none that anybody sees before
//! it is answered.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use model::row::{Decode, RowSink, Undecoded};
use model::{Format, Signal, Span};
use parking_lot::Mutex;
use testkit::{Failure, FaultFiles, MemoryFiles, Op, Plan};

use super::counted;
use crate::filter::Filter;
use crate::testing::*;
use crate::write::{Batch, WriteError};
use crate::{Options, Store};

/// Decodes once something was done to the log.
struct Later {
    done: Mutex<Receiver<()>>,
    /// Whether it waits at all.
    waits: bool,
}

impl Decode for Later {
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        if self.waits {
            let done = self.done.lock().recv_timeout(Duration::from_secs(60));
            done.expect("what is being decoded is written to the log");
        }
        TestDecoder.decode(format, signal, request, sink)
    }
}

/// A store over files; its decoder waits for this to be done to the log, if for anything.
fn open(files: &MemoryFiles, waits_for: Option<Op>) -> (Store, FaultFiles) {
    let faults = FaultFiles::over(Arc::new(files.clone()));
    let (env, _) = testkit::env(1, Arc::new(faults.clone()));
    let (sender, done) = channel();
    let decoder = Later {
        done: Mutex::new(done),
        waits: waits_for.is_some(),
    };
    let options = Options {
        inline_bytes: 0,
        repeat_window: Duration::from_secs(3_600),
        ..Options::default()
    };
    let store = Store::open(env, Path::new("/data"), options, Arc::new(decoder)).unwrap();
    faults.watch(move |change| {
        if Some(change.op) == waits_for && change.path.to_string_lossy().ends_with(".seg") {
            let _ = sender.send(());
        }
    });
    (store, faults)
}

fn rows(seed: u64) -> Vec<Span> {
    let mut generator = Generator::new(seed);
    (0..20).map(|_| generator.span()).collect()
}

async fn send(store: &Store, request: &[u8]) -> Result<crate::write::Ack, WriteError> {
    let batch = Batch {
        tenant: model::Tenant::default(),
        signal: Signal::Traces,
        format: Format::Otlp,
        request: Bytes::copy_from_slice(request),
        stamp: None,
    };
    store.write(batch).await
}

async fn holds(store: &Store, sent: &[Vec<Span>]) {
    let found = spans(store, selection(Signal::Traces, Filter::All)).await;
    assert!(plain_spans(found) == plain_spans(sent.concat()));
}

#[tokio::test]
async fn what_is_alone_is_in_the_log_while_it_is_decoded() {
    let files = MemoryFiles::new();
    let (store, faults) = open(&files, Some(Op::SyncData));
    let sent = [rows(1), rows(2)];
    let syncs = counted(&store, "wal_syncs_total");
    for rows in &sent {
        let ack = write(&store, Signal::Traces, rows).await.unwrap();
        assert_eq!((ack.accepted, ack.duplicate), (20, false));
    }
    assert_eq!(counted(&store, "wal_syncs_total") - syncs, 2.0);
    holds(&store, &sent).await;
    drop((store, faults));
    let (store, _) = open(&files, None);
    holds(&store, &sent).await;
}

#[tokio::test]
async fn what_turns_out_not_to_be_stored_is_taken_back() {
    let files = MemoryFiles::new();
    let (store, faults) = open(&files, Some(Op::SyncData));
    let sent = [rows(1), rows(2)];
    write(&store, Signal::Traces, &sent[0]).await.unwrap();
    let log = (store.core().wal_end(), counted(&store, "wal_bytes"));
    for _ in 0..3 {
        let refused = send(&store, b"\xff no request").await;
        assert!(
            matches!(refused, Err(WriteError::Malformed(_))),
            "{refused:?}"
        );
        let nothing = write::<Span>(&store, Signal::Traces, &[]).await.unwrap();
        assert_eq!(nothing.accepted, 0);
        assert_eq!((store.core().wal_end(), counted(&store, "wal_bytes")), log);
    }
    write(&store, Signal::Traces, &sent[1]).await.unwrap();
    holds(&store, &sent).await;
    drop((store, faults));
    let (store, _) = open(&files, None);
    holds(&store, &sent).await;
    assert_eq!(counted(&store, "wal_malformed_records_total"), 0.0);
}

#[tokio::test]
async fn what_looks_like_a_repeat_is_not_written_again() {
    let files = MemoryFiles::new();
    let (store, faults) = open(&files, None);
    let sent = rows(1);
    write(&store, Signal::Traces, &sent).await.unwrap();
    let changes = faults.changes();
    assert!(
        write(&store, Signal::Traces, &sent)
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!(faults.changes(), changes);
    holds(&store, &[sent]).await;
}

#[tokio::test]
async fn what_could_not_be_written_while_it_was_decoded_is_written_then() {
    let files = MemoryFiles::new();
    let (store, faults) = open(&files, Some(Op::Write));
    faults.plan(Plan {
        path_contains: ".seg".to_owned(),
        times: 1,
        ..Plan::always(Op::Write, Failure::Io)
    });
    let sent = [rows(1), rows(2)];
    for rows in &sent {
        write(&store, Signal::Traces, rows).await.unwrap();
    }
    holds(&store, &sent).await;
    drop((store, faults));
    let (store, _) = open(&files, None);
    holds(&store, &sent).await;
}
