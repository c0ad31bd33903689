use std::sync::Mutex;
use std::time::Duration;

use model::LogRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::client::{Client, ClientLimits, Outcome as Sent, Protocol};
use crate::encode;
use crate::inflate::{Encoding, Inflate};
use crate::response::{PartialSuccess, RpcStatus};
use crate::stamp::{self, StampHeaders};

mod grpc_rules;
mod http_rules;

/// Answers with what a test put in, else with success; keeps what came.
#[derive(Default)]
pub(crate) struct Fake {
    verdicts: Mutex<Vec<Verdict>>,
    exports: Mutex<Vec<Export>>,
    gate: Option<tokio::sync::Semaphore>,
}

impl Fake {
    pub(crate) fn saying(verdict: Verdict) -> Self {
        Self {
            verdicts: Mutex::new(vec![verdict]),
            ..Self::default()
        }
    }

    fn last(&self) -> Export {
        self.exports.lock().unwrap().last().unwrap().clone()
    }
}

impl Accept for Fake {
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict> {
        Box::pin(async move {
            self.exports.lock().unwrap().push(export);
            if let Some(gate) = &self.gate {
                drop(gate.acquire().await.unwrap());
            }
            let verdicts = self.verdicts.lock().unwrap();
            verdicts.last().cloned().unwrap_or(Verdict::STORED)
        })
    }
}

pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) fake: Arc<Fake>,
    pub(crate) receiver: Receiver,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(fake: Fake, limits: ServerLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Arc::new(fake);
        let receiver = Receiver::new(Arc::clone(&fake) as Arc<dyn Accept>, limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = receiver.clone();
        let task = tokio::spawn(async move {
            serving
                .serve_http(listener, async { drop(stopped.await) })
                .await;
        });
        Self {
            address,
            fake,
            receiver,
            stop: Some(stop),
            task,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn small() -> ServerLimits {
    ServerLimits {
        request_bytes: 64 << 10,
        ..ServerLimits::default()
    }
}

fn logs() -> Vec<u8> {
    encode::logs(&[LogRecord {
        severity_text: "INFO".to_owned(),
        ..LogRecord::default()
    }])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut inflate = Inflate::new(Encoding::Gzip, 1 << 20);
    inflate.push(bytes).unwrap();
    inflate.finish().unwrap()
}

pub(crate) fn http1() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .build()
        .unwrap()
}

fn http2() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .http2_prior_knowledge()
        .build()
        .unwrap()
}

#[tokio::test]
async fn both_protocols_and_all_compressions_arrive() {
    let server = Running::start(Fake::default(), small()).await;
    let stamp = StampHeaders {
        agent: "node-1".to_owned(),
        epoch: 3,
        sequence: 9,
        sent_unix_nano: 77,
        complete_to_unix_nano: 66,
        clock: Some(model::ClockOffset {
            offset_nano: -55,
            error_nano: 44,
        }),
    };
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            let client =
                Client::new(&server.address, protocol, encoding, ClientLimits::default()).unwrap();
            for signal in Signal::ALL {
                let sent = client.send(signal, logs().into(), Some(&stamp)).await;
                let Sent::Success {
                    rejected: 0,
                    message,
                    received_unix_nano,
                    replied_unix_nano,
                } = sent
                else {
                    panic!("{protocol:?} {encoding:?} {sent:?}");
                };
                assert_eq!(message, "");
                assert!(received_unix_nano.unwrap() <= replied_unix_nano.unwrap());
                let export = server.fake.last();
                assert_eq!((export.signal, &export.request[..]), (signal, &logs()[..]));
                assert_eq!(export.stamp.as_ref(), Some(&stamp));
                assert_eq!(export.tenant, model::Tenant::default());
                // An empty request succeeds.
                assert!(matches!(
                    client.send(signal, bytes::Bytes::new(), None).await,
                    Sent::Success { rejected: 0, .. }
                ));
                assert_eq!(server.fake.last().stamp, None);
            }
        }
    }
    assert_eq!(server.receiver.in_flight_bytes(), 0);
    assert_eq!(
        server
            .receiver
            .counters()
            .requests(Signal::Logs, Outcome::Accepted),
        12
    );
}

#[tokio::test]
async fn the_router_serves_on_another_port() {
    let receiver = Receiver::new(Arc::new(Fake::default()), ServerLimits::default());
    let router = receiver.http_router();
    let request = Request::post("/v1/logs")
        .header("content-type", "application/x-protobuf")
        .body(Body::from(logs()))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(receiver.counters().snapshot()[0].bytes, logs().len() as u64);
}

#[tokio::test]
async fn metrics_are_taken_where_prometheus_takes_them() {
    let receiver = Receiver::new(Arc::new(Fake::default()), ServerLimits::default());
    let send = async |path: &str| {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from("{}"))
            .unwrap();
        receiver
            .http_router()
            .oneshot(request)
            .await
            .unwrap()
            .status()
    };
    assert_eq!(send("/prometheus/api/v1/otlp/v1/metrics").await, 200);
    assert_eq!(send("/prometheus/api/v1/otlp/v1/logs").await, 404);
    let counted = receiver.counters().snapshot();
    assert!(counted.iter().all(|count| count.signal == Signal::Metrics));
}

#[tokio::test]
async fn the_budget_of_bytes_in_flight_is_kept() {
    let gate = tokio::sync::Semaphore::new(0);
    let limits = ServerLimits {
        in_flight_bytes: 15_000,
        ..small()
    };
    let server = Running::start(
        Fake {
            gate: Some(gate),
            ..Fake::default()
        },
        limits,
    )
    .await;
    let post = |client: &reqwest::Client| {
        client
            .post(server.url("/v1/logs"))
            .header("content-type", "application/x-protobuf")
            .body(vec![0; 10_000])
            .send()
    };
    let client = http1();
    let first = tokio::spawn(post(&client));
    while server.fake.exports.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.receiver.in_flight_bytes(), 10_000);
    let refused = post(&client).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    server.fake.gate.as_ref().unwrap().add_permits(9);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.receiver.in_flight_bytes(), 0);
    assert_eq!(post(&client).await.unwrap().status(), 200);
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_takes_nothing_new() {
    let gate = tokio::sync::Semaphore::new(0);
    let fake = Fake {
        gate: Some(gate),
        ..Fake::default()
    };
    let mut server = Running::start(fake, small()).await;
    let client = Client::new(
        &server.address,
        Protocol::Grpc,
        Encoding::Gzip,
        ClientLimits::default(),
    )
    .unwrap();
    let sending = client.clone();
    let first = tokio::spawn(async move { sending.send(Signal::Logs, logs().into(), None).await });
    while server.fake.exports.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    while TcpStream::connect(&server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished());
    server.fake.gate.as_ref().unwrap().add_permits(9);
    assert!(matches!(first.await.unwrap(), Sent::Success { .. }));
    server.task.await.unwrap();
    let refused = client.send(Signal::Logs, logs().into(), None).await;
    assert!(matches!(refused, Sent::Retryable { .. }), "{refused:?}");
}

#[tokio::test]
async fn shutdown_ends_although_a_sender_never_finishes() {
    let mut limits = small();
    limits.connections.drain_timeout = Duration::from_millis(50);
    let mut server = Running::start(Fake::default(), limits).await;
    let mut stuck = TcpStream::connect(&server.address).await.unwrap();
    stuck
        .write_all(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Le")
        .await
        .unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    server.task.await.unwrap();
}

#[tokio::test]
async fn over_the_limit_a_newcomer_replaces_the_longest_idle_connection() {
    let mut limits = small();
    limits.connections.connections = 2;
    let server = Running::start(Fake::default(), limits).await;
    let request = b"GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    silent.write_all(b"GET /v1/lo").await.unwrap();
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    idle.write_all(request).await.unwrap();
    assert_eq!(idle.read_u8().await.unwrap(), b'H');
    let mut newcomers = Vec::new();
    for mut longest in [silent, idle] {
        let mut newcomer = TcpStream::connect(&server.address).await.unwrap();
        newcomer.write_all(request).await.unwrap();
        assert_eq!(newcomer.read_u8().await.unwrap(), b'H');
        newcomers.push(newcomer);
        // Either a clean end or a reset; what counts is that it ends.
        drop(longest.read_to_end(&mut Vec::new()).await);
    }
}

#[tokio::test]
async fn a_newcomer_waits_while_every_connection_is_busy() {
    let mut limits = small();
    limits.connections.connections = 1;
    let fake = Fake {
        gate: Some(tokio::sync::Semaphore::new(0)),
        ..Fake::default()
    };
    let server = Running::start(fake, limits).await;
    let (client, url) = (http1(), server.url("/v1/logs"));
    let post = || {
        let request = client.post(&url);
        let request = request.header("content-type", "application/x-protobuf");
        request.body(logs()).send()
    };
    let first = tokio::spawn(post());
    while server.fake.exports.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut second = TcpStream::connect(&server.address).await.unwrap();
    let request = b"GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n";
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
    assert!(early.is_err());
    server.fake.gate.as_ref().unwrap().add_permits(9);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    // The first one's connection is kept alive, but idle.
    assert_eq!(second.read_u8().await.unwrap(), b'H');
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_whoever_does_not_read_its_answer() {
    let mut limits = small();
    limits.connections.connections = 1;
    limits.connections.answer_patience = Duration::from_millis(10);
    let server = Running::start(Fake::default(), limits).await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(0)
        .build()
        .unwrap();
    let answer = client.get(server.url("/nowhere")).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let mut newcomer = TcpStream::connect(&server.address).await.unwrap();
    let request = b"GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n";
    newcomer.write_all(request).await.unwrap();
    assert_eq!(newcomer.read_u8().await.unwrap(), b'H');
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let mut limits = small();
    limits.connections.header_timeout = Duration::from_millis(30);
    let server = Running::start(Fake::default(), limits).await;
    for start in [
        &b""[..],
        b"PRI * HT",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/lo",
    ] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        // Either a clean end or a reset; what counts is that it ends.
        drop(stream.read_to_end(&mut rest).await);
    }
}
