use bytes::Bytes;
use env::RealFiles;
use futures::future::BoxFuture;
use model::Signal;
use otlp::client::{Client, ClientLimits, Protocol};
use otlp::inflate::Encoding;
use otlp::rows::Rows;
use parking_lot::Mutex;
use testkit::{Failure as Broken, FaultFiles, Op, Plan};
use tokio::sync::{Notify, OnceCell};

use super::*;
use crate::encode::{Log, put_envelope, put_log};
use crate::exporters::{Outcome, Stamp};
use crate::metrics::{DROPPED_ROWS, EXPORTED_ROWS, QUEUED_ROWS, RECEIVED_ROWS, REFUSED_REQUESTS};
use crate::options::{FileOptions, HostOptions, RelayOptions};

/// A collector in memory.
#[derive(Default)]
struct Collector {
    bodies: Mutex<Vec<String>>,
    away: Mutex<bool>,
    changed: Notify,
}

impl Destination for Collector {
    fn send(&self, signal: Signal, request: Bytes, _: Stamp) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            if *self.away.lock() {
                return Outcome::Retryable {
                    after: None,
                    reason: "away".to_owned(),
                };
            }
            let rows = Rows::decode(signal, &request).unwrap();
            let bodies = rows.logs.iter().map(|log| log.body.to_text());
            self.bodies.lock().extend(bodies);
            self.changed.notify_waiters();
            Outcome::accepted()
        })
    }
}

impl Collector {
    async fn until(&self, text: &str) {
        loop {
            let changed = self.changed.notified();
            if self.bodies.lock().iter().any(|body| body == text) {
                return;
            }
            changed.await;
        }
    }
}

fn request(text: &str) -> Bytes {
    let mut rows = Vec::new();
    let log = Log {
        body: text.into(),
        ..Log::default()
    };
    put_log(&mut rows, &log);
    let mut request = Vec::new();
    put_envelope(&mut request, &[], &[], &rows);
    Bytes::from(request)
}

fn options() -> Options {
    let local: SocketAddr = ([127, 0, 0, 1], 0).into();
    Options {
        relay: Some(RelayOptions::new(local, local)),
        ..Options::default()
    }
}

async fn start(dir: &Path, options: Options, collector: &Arc<Collector>) -> Agent {
    let destination = Arc::clone(collector) as Arc<dyn Destination>;
    let destinations = vec![("collector".to_owned(), destination)];
    Agent::start(Env::real(), options, dir, destinations)
        .await
        .unwrap()
}

fn client(address: SocketAddr, protocol: Protocol) -> Client {
    let limits = ClientLimits::default();
    Client::new(&address.to_string(), protocol, Encoding::Gzip, limits).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_files_and_the_host_reach_the_collector_and_everything_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    std::fs::write(logs.path().join("a.log"), "from a file\n").unwrap();
    let mut options = options();
    options.files = vec![FileOptions::include(format!(
        "{}/*.log",
        logs.path().display()
    ))];
    options.host = Some(HostOptions::default());
    let collector = Arc::new(Collector::default());
    let agent = start(dir.path(), options, &collector).await;
    let addresses = agent.addresses().unwrap();
    for (address, protocol, text) in [
        (addresses.grpc, Protocol::Grpc, "over gRPC"),
        (addresses.http, Protocol::HttpProtobuf, "over HTTP"),
    ] {
        let sent = client(address, protocol)
            .send(Signal::Logs, request(text), None)
            .await;
        assert!(
            matches!(sent, otlp::client::Outcome::Success { rejected: 0, .. }),
            "{sent:?}"
        );
    }
    let broken = client(addresses.grpc, Protocol::Grpc);
    let sent = broken
        .send(Signal::Logs, Bytes::from_static(&[0x0a, 0xff]), None)
        .await;
    assert!(
        matches!(sent, otlp::client::Outcome::Permanent { .. }),
        "{sent:?}"
    );
    for text in ["over gRPC", "over HTTP", "from a file"] {
        collector.until(text).await;
    }
    let metrics = agent.live_metrics();
    let drained = agent.shutdown(Duration::from_secs(20)).await;
    assert_eq!(drained, Drained { left_in_queue: 0 });
    let total = |name| metrics.total(name, &[]);
    assert!(metrics.total(RECEIVED_ROWS, &[("source", "hostmetrics")]) > 10);
    assert_eq!(
        total(RECEIVED_ROWS),
        total(EXPORTED_ROWS) + total(DROPPED_ROWS) + total(QUEUED_ROWS)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_waits_for_the_collector_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Arc::new(Collector::default());
    *collector.away.lock() = true;
    let agent = start(dir.path(), options(), &collector).await;
    let id = agent.id();
    let address = agent.addresses().unwrap().grpc;
    let sent = client(address, Protocol::Grpc)
        .send(Signal::Logs, request("kept"), None)
        .await;
    assert!(
        matches!(sent, otlp::client::Outcome::Success { .. }),
        "{sent:?}"
    );
    let drained = agent.shutdown(Duration::from_millis(100)).await;
    assert_eq!(drained.left_in_queue, 1);
    *collector.away.lock() = false;
    let agent = start(dir.path(), options(), &collector).await;
    assert_eq!(agent.id(), id);
    collector.until("kept").await;
    let drained = agent.shutdown(Duration::from_secs(20)).await;
    assert_eq!(drained.left_in_queue, 0);
    assert_eq!(*collector.bodies.lock(), ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Arc::new(Collector::default());
    let agent = start(dir.path(), options(), &collector).await;
    let destination = Arc::clone(&collector) as Arc<dyn Destination>;
    let destinations = vec![("collector".to_owned(), destination)];
    let second = Agent::start(Env::real(), options(), dir.path(), destinations).await;
    let error = second.err().expect("the folder is in use").to_string();
    assert!(error.contains("in use"), "{error}");
    agent.shutdown(Duration::from_secs(1)).await;
    let none = Agent::start(Env::real(), options(), dir.path(), Vec::new()).await;
    assert!(matches!(none.err(), Some(AgentError::Destinations)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_made_durable_is_the_agents_failure() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultFiles::over(Arc::new(RealFiles));
    let (env, _) = testkit::env(5, Arc::new(files.clone()));
    let collector: Arc<dyn Destination> = Arc::new(Collector::default());
    let destinations = vec![("collector".to_owned(), collector)];
    let agent = Agent::start(env, options(), dir.path(), destinations)
        .await
        .unwrap();
    let mut failure = agent.failure();
    assert_eq!(failure.get(), None);
    files.plan(Plan {
        path_contains: "journal".to_owned(),
        ..Plan::always(Op::SyncData, Broken::Io)
    });
    let address = agent.addresses().unwrap().grpc;
    let sent = client(address, Protocol::Grpc)
        .send(Signal::Logs, request("lost by the disk"), None)
        .await;
    assert!(
        matches!(sent, otlp::client::Outcome::Retryable { .. }),
        "{sent:?}"
    );
    let reason = failure.reason().await;
    assert!(reason.contains("cannot be made durable"), "{reason}");
    agent.shutdown(Duration::from_secs(20)).await;
}

/// Breaks whoever sends to it.
struct Panics;

impl Destination for Panics {
    fn send(&self, _: Signal, _: Bytes, _: Stamp) -> BoxFuture<'_, Outcome> {
        panic!("for a test")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_panics_is_the_agents_failure() {
    let dir = tempfile::tempdir().unwrap();
    let destinations = vec![("collector".to_owned(), Arc::new(Panics) as _)];
    let agent = Agent::start(Env::real(), options(), dir.path(), destinations)
        .await
        .unwrap();
    let reason = agent.failure().reason().await;
    assert!(reason.starts_with("an exporter has panicked"), "{reason}");
    agent.shutdown(Duration::from_secs(20)).await;
}

/// A connection that is made once its address is known.
#[derive(Default)]
struct Late(OnceCell<Client>, Notify);

impl Destination for Late {
    fn send(&self, signal: Signal, request: Bytes, stamp: Stamp) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let known = self.1.notified();
            if self.0.get().is_none() {
                known.await;
            }
            let client = self.0.get().expect("the address is known");
            Destination::send(client, signal, request, stamp).await
        })
    }
}

/// Nothing goes in circles and nothing is thrown away: the row waits for somebody to correct the
/// address.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reaches_itself_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let late = Arc::new(Late::default());
    let destinations = vec![("collector".to_owned(), Arc::clone(&late) as _)];
    let agent = Agent::start(Env::real(), options(), dir.path(), destinations)
        .await
        .unwrap();
    let address = agent.addresses().unwrap().grpc;
    let sent = client(address, Protocol::Grpc)
        .send(Signal::Logs, request("once"), None)
        .await;
    assert!(
        matches!(sent, otlp::client::Outcome::Success { .. }),
        "{sent:?}"
    );
    late.0.set(client(address, Protocol::Grpc)).unwrap();
    late.1.notify_waiters();
    let metrics = agent.live_metrics();
    let refused = [("reason", "own_stamp")];
    while metrics.total(REFUSED_REQUESTS, &refused) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.total(RECEIVED_ROWS, &[]), 1);
    assert_eq!(metrics.total(DROPPED_ROWS, &[]), 0);
    let drained = agent.shutdown(Duration::from_secs(1)).await;
    assert_eq!(drained.left_in_queue, 1);
}
