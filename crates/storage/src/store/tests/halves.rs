//! Requests whose halves are decoded by two threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::row::{Decode, Half, Reject, RowSink, Undecoded};
use model::{Format, KeyValue, Signal, Span, Value};
use tempfile::tempdir;

use crate::filter::Filter;
use crate::testing::*;
use crate::write::{Batch, WriteError};
use crate::{Options, Store};

/// Counts the halves that it is asked for.
#[derive(Default)]
struct Counting {
    halves: AtomicUsize,
}

impl Decode for Counting {
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        TestDecoder.decode(format, signal, request, sink)
    }

    fn decode_half(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        half: Half,
        sink: &mut dyn RowSink,
    ) -> Option<Result<(), Undecoded>> {
        self.halves.fetch_add(1, Ordering::Relaxed);
        TestDecoder.decode_half(format, signal, request, half, sink)
    }
}

#[tokio::test]
async fn halves_become_what_the_whole_does() {
    let dir = tempdir().unwrap();
    let decoder = Arc::new(Counting::default());
    let open = || {
        let decoder: Arc<dyn Decode> = decoder.clone();
        Store::open(env::Env::real(), dir.path(), Options::default(), decoder).unwrap()
    };
    let store = open();
    let mut generator = Generator::new(51);
    let sent: Vec<Span> = (0..3_000).map(|_| generator.span()).collect();
    // One of each half that no block can hold.
    let mut rows = sent.clone();
    for at in [2_900, 100] {
        let mut refused = generator.span();
        refused.attributes.push(KeyValue {
            key: "k".repeat(1 << 16),
            value: Value::Int(1),
        });
        rows.insert(at, refused);
    }
    let ack = write(&store, Signal::Traces, &rows).await.unwrap();
    assert_eq!(ack.accepted, 3_000);
    assert_eq!(ack.rejected, [(Reject::LongAttributeKey, 2)]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let halves = if cores > 1 { 2 } else { 0 };
    assert_eq!(decoder.halves.load(Ordering::Relaxed), halves);
    assert_eq!(super::counted(&store, "rows_total"), 3_000.0);

    // What does not read is refused in the words of whoever reads the whole.
    let broken = Batch {
        tenant: model::Tenant::default(),
        signal: Signal::Traces,
        format: Format::Otlp,
        request: vec![0xff; 1 << 18].into(),
        stamp: None,
    };
    let refused = store.write(broken).await;
    assert!(
        matches!(refused, Err(WriteError::Malformed(_))),
        "{refused:?}"
    );

    let sent = plain_spans(sent);
    let all = || selection(Signal::Traces, Filter::All);
    assert!(plain_spans(spans(&store, all()).await) == sent);
    // A replay decodes the whole.
    drop(store);
    let store = open();
    assert!(plain_spans(spans(&store, all()).await) == sent);
    store.flush().await;
    assert!(plain_spans(spans(&store, all()).await) == sent);
}
