//! What an observer is shown of the spans that were stored.

use std::sync::Arc;

use model::{KeyValue, Link, Resource, Signal, Span, SpanId, TraceId, Value};
use parking_lot::Mutex;
use tempfile::tempdir;

use crate::testing::*;
use crate::write::{Mark, Observe, Show, StoredSpan};

struct Watch {
    attributes: Arc<[String]>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Observe for Watch {
    fn attributes(&self) -> Arc<[String]> {
        Arc::clone(&self.attributes)
    }

    fn spans(&mut self, _: Mark, show: &mut Show<'_>) {
        show(&mut |span| self.seen.lock().push(self.shown(span)));
    }
}

impl Watch {
    fn shown(&self, span: &StoredSpan<'_>) -> String {
        let places = 0..self.attributes.len();
        let own: Vec<_> = places
            .clone()
            .map(|at| span.details.attribute(at))
            .collect();
        let resource: Vec<_> = places
            .map(|at| span.details.resource_attribute(at))
            .collect();
        let mut links = Vec::new();
        span.details
            .links(&mut |trace_id, span_id| links.push(format!("{trace_id}/{span_id}")));
        let parent = span.parent_span_id.map(|id| id.to_string());
        format!(
            "{} {} {} {parent:?} {own:?} {resource:?} {links:?}",
            span.tenant, span.service, span.span_id
        )
    }
}

#[tokio::test]
async fn an_observer_sees_each_span_once_with_what_it_asks_for() {
    let dir = tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let names = ["peer.service", "port", "list", "service.name"];
    let watch = || Watch {
        attributes: names.map(str::to_owned).into(),
        seen: Arc::clone(&seen),
    };
    let store = open(dir.path());
    store.set_observer(Box::new(watch()));
    let link = |trace_id: Vec<u8>| Link {
        trace_id,
        span_id: vec![4; 8],
        ..Link::default()
    };
    let span = Span {
        resource: Arc::new(Resource {
            attributes: vec![KeyValue::new("service.name", "shop")],
            ..Resource::default()
        }),
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        parent_span_id: Some(SpanId([3; 8])),
        start_unix_nano: 5,
        end_unix_nano: 6,
        attributes: vec![
            KeyValue::new("peer.service", "first"),
            KeyValue::new("peer.service", "last"),
            KeyValue::new("port", 80i64),
            KeyValue::new("list", Value::Array(vec![Value::Bool(true)])),
        ],
        links: vec![link(vec![9; 16]), link(vec![9; 3])],
        ..Span::default()
    };
    write(&store, Signal::Traces, std::slice::from_ref(&span))
        .await
        .unwrap();
    store.observed().await;
    let expected = "default shop 0202020202020202 Some(\"0303030303030303\") \
         [Some(\"last\"), Some(\"80\"), None, None] [None, None, None, Some(\"shop\")] \
         [\"09090909090909090909090909090909/0404040404040404\"]";
    assert_eq!(*seen.lock(), [expected]);
    store.shutdown().await;
    drop(store);

    // What was replayed has been shown before.
    let store = open(dir.path());
    store.set_observer(Box::new(watch()));
    assert_eq!(seen.lock().len(), 1);
    write(&store, Signal::Traces, &[span]).await.unwrap();
    store.observed().await;
    assert_eq!(seen.lock().len(), 2);
    store.shutdown().await;
}
