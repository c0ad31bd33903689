//! What tests of the store share: a decoder, seeded rows, and ways to write and to ask.

mod decoder;
mod generator;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use futures::StreamExt;
use model::metric::Series;
use model::room::Room;
use model::row::*;
use model::*;

use crate::chunk::{Chunk, Chunks, KeyNumbers, SeriesGate};
use crate::filter::Filter;
use crate::layout::RowRef;
use crate::message::*;
use crate::points::SeriesEntry;
use crate::read::{Read, ReadError};
use crate::terms::Collector;
use crate::write::{Ack, Batch, Stamp, WriteError};
use crate::{Options, Store};

pub(crate) use decoder::TestDecoder;
pub(crate) use generator::{BASE, Generator};

/// Lets every series in, and knows none.
pub(crate) struct OpenGate;

impl SeriesGate for OpenGate {
    fn known(&mut self, _: u128) -> Option<Arc<SeriesEntry>> {
        None
    }

    fn admit(
        &mut self,
        entry: SeriesEntry,
        _: &[value::KeyValueRef<'_>],
    ) -> Result<Arc<SeriesEntry>, Reject> {
        Ok(Arc::new(entry))
    }
}

/// The chunk that a request of these rows becomes.
pub(crate) fn chunk<T: serde::Serialize>(signal: Signal, rows: &[T]) -> crate::chunk::Chunk {
    let keys = model::correlation::CorrelationKeys::default();
    let mut gate = OpenGate;
    let mut room = Room::unlimited();
    let received = crate::chunk::Received::UNKNOWN;
    let mut sink = crate::chunk::ChunkSink::new(signal, &keys, &mut gate, &mut room, received);
    TestDecoder
        .decode(
            Format::Otlp,
            signal,
            &postcard::to_stdvec(rows).unwrap(),
            &mut sink,
        )
        .unwrap();
    sink.finish().unwrap()
}

/// The block that these rows become.
pub(crate) fn encoded(signal: Signal, list: &[Arc<Chunk>], rows: &[RowRef]) -> Vec<u8> {
    let keys = &KeyNumbers::of(list);
    let (chunks, mut terms) = (Chunks { list, keys }, Collector::new());
    crate::layout::encode(signal, chunks, rows, &mut terms).unwrap()
}

pub(crate) fn open(dir: &Path) -> Store {
    open_with(
        dir,
        Options {
            block_rows: 64,
            ..Options::default()
        },
    )
}

pub(crate) fn open_with(dir: &Path, options: Options) -> Store {
    Store::open(Env::real(), dir, options, Arc::new(TestDecoder)).unwrap()
}

pub(crate) async fn write<T: serde::Serialize>(
    store: &Store,
    signal: Signal,
    rows: &[T],
) -> Result<Ack, WriteError> {
    write_stamped(store, signal, rows, None).await
}

pub(crate) async fn write_stamped<T: serde::Serialize>(
    store: &Store,
    signal: Signal,
    rows: &[T],
    stamp: Option<Stamp>,
) -> Result<Ack, WriteError> {
    let request = Bytes::from(postcard::to_stdvec(rows).unwrap());
    store
        .write(Batch {
            tenant: Tenant::default(),
            signal,
            format: Format::Otlp,
            request,
            stamp,
        })
        .await
}

pub(crate) fn selection(signal: Signal, filter: Filter) -> Selection {
    Selection {
        tenant: Tenant::default(),
        signal,
        filter,
        range: TimeRange::ALL,
    }
}

pub(crate) async fn ask(
    store: &Store,
    request: Request,
) -> Result<(Vec<Reply>, crate::message::Summary), ReadError> {
    let mut stream = store.execute(request, Limits::default());
    let mut replies = Vec::new();
    while let Some(reply) = stream.next().await {
        match reply? {
            Reply::End(summary) => return Ok((replies, summary)),
            reply => replies.push(reply),
        }
    }
    panic!("the stream ended without a summary");
}

pub(crate) async fn spans(store: &Store, selection: Selection) -> Vec<Span> {
    let request = Request::Rows {
        selection,
        order: Order::Oldest,
        limit: 1_000_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    assert_eq!(summary.cuts, []);
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Spans(list) => list,
        other => panic!("{other:?}"),
    });
    lists.flatten().collect()
}

pub(crate) async fn logs(store: &Store, selection: Selection) -> Vec<LogRecord> {
    let request = Request::Rows {
        selection,
        order: Order::Oldest,
        limit: 1_000_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    assert_eq!(summary.cuts, []);
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Logs(list) => list,
        other => panic!("{other:?}"),
    });
    lists.flatten().collect()
}

pub(crate) async fn points(store: &Store) -> Vec<(Series, DataPoint)> {
    let request = Request::Series {
        tenant: Tenant::default(),
        range: TimeRange::ALL,
        matchers: vec![],
        points: true,
        limit: 1_000_000,
    };
    let (replies, _) = ask(store, request).await.unwrap();
    let lists = replies.into_iter().map(|reply| match reply {
        Reply::Series(list) => list,
        other => panic!("{other:?}"),
    });
    lists
        .flatten()
        .flat_map(|s| {
            s.points
                .into_iter()
                .map(move |point| (s.series.clone(), point))
        })
        .collect()
}

/// Rows in a form that compares and sorts, NaN included. Correlation is derived, so it is left
/// out.
pub(crate) fn sorted<T: serde::Serialize>(rows: Vec<T>) -> Vec<Vec<u8>> {
    let mut rows: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| postcard::to_stdvec(row).unwrap())
        .collect();
    rows.sort();
    rows
}

pub(crate) fn plain_spans(spans: Vec<Span>) -> Vec<Vec<u8>> {
    sorted(
        spans
            .into_iter()
            .map(|span| Span {
                correlation: vec![],
                ..span
            })
            .collect(),
    )
}

pub(crate) fn plain_logs(logs: Vec<LogRecord>) -> Vec<Vec<u8>> {
    sorted(
        logs.into_iter()
            .map(|log| LogRecord {
                correlation: vec![],
                ..log
            })
            .collect(),
    )
}
