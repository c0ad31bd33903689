//! SIGTERM: new work is refused, the rest is stored, and the process ends with 0 in time.

use std::time::Duration;

use tests::Setup;
use tests::otlp_json::{gauge, log, logs, metrics, now, span, traces};

use crate::{PROGRAM, up};

const DEADLINE: Duration = Duration::from_secs(25);
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

#[test]
fn two_processes_never_share_a_data_folder() {
    let setup = up();
    let server = setup.start();
    let second = tests::server::clean(PROGRAM)
        .args([
            "up",
            "--otlp-grpc",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
        ])
        .args([
            "--query",
            "127.0.0.1:0",
            "--internal",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(setup.data_dir())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(!second.stderr.is_empty());
    assert!(server.terminate().0.success());
}
