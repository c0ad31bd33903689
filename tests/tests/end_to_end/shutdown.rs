//! SIGTERM: new work is refused, the rest is stored, and the process ends with 0 in time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tests::otlp_json::{gauge, log, logs, metrics, now, span, traces};
use tests::{Server, Setup};

use crate::{PROGRAM, up};

const DEADLINE: Duration = Duration::from_secs(25);
/// How long a listener waits for what it has in work.
const DRAIN: Duration = Duration::from_secs(5);
const TRACE: &str = "11111111111111111111111111111111";

#[tokio::test]
async fn what_was_acknowledged_is_there_after_an_orderly_restart() {
    let setup = up();
    let server = setup.start();
    let otlp = server.otlp();
    let time = now();
    otlp.export(
        "traces",
        &traces(
            "shop",
            &[span(TRACE, "1111111111111111", "", "buy", time, 5)],
        ),
    )
    .await;
    otlp.export("logs", &logs("shop", &[log(time, "bought a lamp", &[])]))
        .await;
    otlp.export("metrics", &metrics("shop", &[gauge("lamps", time, 7.0)]))
        .await;
    // A connection that is kept open must not hold the process.
    let idle = std::net::TcpStream::connect(server.address("otlp_http")).unwrap();

    let (status, took) = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < DEADLINE, "{took:?}");
    drop(idle);

    let server = setup.start();
    let query = server.query();
    assert_eq!(query.trace_spans(TRACE).await.len(), 1);
    assert_eq!(query.all_logs("service:shop lamp").await.len(), 1);
    let seconds = (time / 1_000_000_000 + 1).to_string();
    assert_eq!(query.promql_value("lamps", &seconds).await, 7.0);
}

#[tokio::test]
async fn every_role_ends_when_it_is_asked_to() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let agent = Setup::new(PROGRAM, "agent")
        .arg("--collector")
        .arg(collector.address("otlp_grpc"))
        .start();
    for (role, server) in [("agent", agent), ("query", query), ("collector", collector)] {
        let (status, took) = server.terminate();
        assert_eq!(status.code(), Some(0), "{role}");
        assert!(took < DEADLINE, "{role}: {took:?}");
    }
}

/// A connection on which a request was begun and will never be completed.
fn half_sent(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The invitation to go on says that the request is in work.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream.write_all(b"{").unwrap();
    stream
}

/// A live tail that has begun.
async fn tail(
    server: Server,
) -> (
    Server,
    impl Stream<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin,
) {
    let request = server.query().request("GET", "/api/v1/logs/tail");
    let answer = request.send().await.unwrap();
    let mut stream = Box::pin(answer.bytes_stream());
    let begun = stream.next().await.unwrap().unwrap();
    assert!(begun.starts_with(b":"), "{begun:?}");
    (server, stream)
}

/// Open tails end at once, and what nobody completes holds every listener at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_requests_and_open_tails_do_not_hold_the_end() {
    let (server, mut tail) = tail(up().start()).await;
    let hanging = ["otlp_http", "otlp_grpc", "query"].map(|name| half_sent(&server.address(name)));
    let ending = tokio::task::spawn_blocking(|| server.terminate());
    while tail.next().await.is_some() {}
    assert!(
        !ending.is_finished(),
        "the tail ended before the hanging requests"
    );
    let (status, took) = ending.await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(hanging);
}

/// A collector does not wait for those who watch through a query service.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_over_the_network_does_not_hold_a_collector() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let (query, mut tail) = tail(query).await;
    let record = log(now(), "seen", &[]);
    collector
        .otlp()
        .export("logs", &logs("shop", &[record]))
        .await;
    let seen = tail.next().await.unwrap().unwrap();
    assert!(seen.as_ref().starts_with(b"event: logs"));
    let (status, took) = tokio::task::spawn_blocking(|| collector.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(took < DRAIN, "{took:?}");
    let (status, took) = tokio::task::spawn_blocking(|| query.terminate())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(took < DRAIN, "{took:?}");
}
