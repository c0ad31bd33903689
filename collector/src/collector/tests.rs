use futures::StreamExt;
use model::metric::PointValue;
use model::{LogRecord, Signal, Span, SpanId, TraceId};
use otlp::client::{Client, ClientLimits, Outcome, Protocol};
use otlp::inflate::Encoding;
use otlp::rows::Rows;
use storage::message::{Limits, Reply, Request, Summary};
use storage::read::Replies;

use super::*;
use crate::ingest::tests::FakeSink;

struct NoReader;

impl Read for NoReader {
    fn name(&self) -> &str {
        "none"
    }

    fn execute(&self, _request: Request, _limits: Limits) -> Replies {
        futures::stream::iter([Ok(Reply::End(Summary::default()))]).boxed()
    }
}

async fn start(sink: Arc<FakeSink>) -> Collector {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners {
        otlp_grpc: bind().await.unwrap(),
        otlp_http: bind().await.unwrap(),
        internal: Some(bind().await.unwrap()),
        admin: None,
    };
    let clock = Arc::new(env::RealClock::new());
    let options = Options::from_config(&config::Config::default());
    Collector::start("test", options, sink, Arc::new(NoReader), clock, listeners).unwrap()
}

fn client(address: SocketAddr, protocol: Protocol) -> Client {
    Client::new(
        &address.to_string(),
        protocol,
        Encoding::Zstd,
        ClientLimits::default(),
    )
    .unwrap()
}

#[tokio::test]
async fn exports_reach_the_store_and_spans_are_counted() {
    let sink = Arc::new(FakeSink::default());
    let collector = start(Arc::clone(&sink)).await;
    let addresses = collector.addresses();
    let logs = otlp::encode::logs(&[LogRecord::default(), LogRecord::default()]);
    let grpc = client(addresses.otlp_grpc, Protocol::Grpc);
    let sent = grpc.send(Signal::Logs, logs.into(), None).await;
    assert!(matches!(sent, Outcome::Success { rejected: 0, .. }));
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        ..Span::default()
    };
    let spans = otlp::encode::traces(&[span, Span::default()]);
    let http = client(addresses.otlp_http, Protocol::HttpProtobuf);
    let Outcome::Success {
        rejected: 1,
        message,
        ..
    } = http.send(Signal::Traces, spans.into(), None).await
    else {
        panic!("expected a partial success");
    };
    assert!(message.contains("trace id"), "{message}");
    let text = collector.metrics_handle()();
    for line in [
        "throughline_collector_accepted_rows_total{signal=\"logs\"} 2",
        "throughline_collector_accepted_rows_total{signal=\"traces\"} 1",
        "throughline_receiver_requests_total{signal=\"traces\",transport=\"http_protobuf\",outcome=\"partial\"} 1",
        "throughline_spanmetrics_spans_total 1",
        "throughline_storage_rows_total{signal=\"logs\"} 7",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    collector.shutdown().await;
    let batches = sink.batches.lock().clone();
    let last = batches.last().unwrap();
    assert_eq!((batches.len(), last.signal), (3, Signal::Metrics));
    let points = Rows::decode(Signal::Metrics, &last.request).unwrap().points;
    let counted = points.iter().map(|(_, point)| &point.value);
    let counted: Vec<_> = counted
        .filter(|value| matches!(value, PointValue::Int(_)))
        .collect();
    // Spans, and their bytes.
    let expected = [0, 1, 0, 100].map(PointValue::Int);
    assert_eq!(counted, expected.iter().collect::<Vec<_>>());
    let refused = http.send(Signal::Logs, bytes::Bytes::new(), None).await;
    assert!(matches!(refused, Outcome::Retryable { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_real_store_answers_through_the_collector() {
    let dir = tempfile::tempdir().unwrap();
    let env = env::Env::real();
    let store = storage::Store::open(
        env.clone(),
        dir.path(),
        storage::Options::default(),
        Arc::new(crate::Decoder::default()),
    )
    .unwrap();
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners {
        otlp_grpc: bind().await.unwrap(),
        otlp_http: bind().await.unwrap(),
        internal: None,
        admin: None,
    };
    let (sink, reader) = (Arc::new(store.clone()), Arc::new(store.clone()));
    let collector = Collector::start(
        "test",
        Options::default(),
        sink,
        reader,
        env.clock,
        listeners,
    )
    .unwrap();
    let logs = otlp::encode::logs(&[LogRecord {
        time_unix_nano: 5_000_000_000,
        body: "hello".into(),
        ..LogRecord::default()
    }]);
    let grpc = client(collector.addresses().otlp_grpc, Protocol::Grpc);
    let sent = grpc.send(Signal::Logs, logs.into(), None).await;
    assert!(
        matches!(sent, Outcome::Success { rejected: 0, .. }),
        "{sent:?}"
    );
    let selection = storage::message::Selection {
        tenant: model::Tenant::default(),
        signal: Signal::Logs,
        filter: storage::filter::Filter::All,
        range: model::TimeRange::ALL,
    };
    let request = Request::Rows {
        selection,
        order: storage::message::Order::Newest,
        limit: 10,
        traces: None,
        after: None,
        columns: storage::message::Columns::Full,
    };
    let replies: Vec<_> = store.execute(request, Limits::default()).collect().await;
    let rows = replies.iter().find_map(|reply| match reply {
        Ok(Reply::Logs(logs)) => Some(logs.len()),
        _ => None,
    });
    assert_eq!(rows, Some(1), "{replies:?}");
    collector.shutdown().await;
    store.shutdown().await;
}
