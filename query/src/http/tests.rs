//! The API over a real loopback server, with rows in memory.

mod completeness;
mod cors;
mod errors;
mod logs;
mod prometheus;
mod prometheus_rules;
mod prometheus_status;
mod tail;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use model::{KeyValue, LogRecord, Resource, Span, SpanId, TraceId};
use serde_json::Value as Json;
use storage::message::Limits;
use storage::read::Read;

use super::{Options, Query};
use crate::sources::Sources;
use crate::testing::Memory;

/// The clock of the tests: 1,000 seconds after the epoch.
#[derive(Debug)]
struct Fixed;

const S: u64 = 1_000_000_000;
const NOW: u64 = 1_000 * S;

impl Clock for Fixed {
    fn unix_nanos(&self) -> u64 {
        NOW
    }

    fn monotonic_nanos(&self) -> u64 {
        0
    }
}

/// A running server.
struct Server {
    base: String,
    client: reqwest::Client,
}

async fn serve(readers: &[&Arc<Memory>], adjust: impl FnOnce(&mut Options)) -> Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = Options::new(Arc::new(Fixed));
    options.limits = Limits {
        timeout_ms: 20_000,
        ..Limits::default()
    };
    adjust(&mut options);
    let readers = readers
        .iter()
        .map(|reader| Arc::clone(reader) as Arc<dyn Read>)
        .collect();
    let sources = Sources::new(readers).with_grace(Duration::from_millis(20));
    let router = Query::new(sources, options).router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server {
        base,
        client: reqwest::Client::new(),
    }
}

/// Stores nothing.
struct Nowhere;

impl crate::alerts::Sink for Nowhere {
    fn write(
        &self,
        _: Vec<crate::alerts::Written>,
    ) -> futures::future::BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A server with every route, and its rules.
async fn serve_all(
    memory: &Arc<Memory>,
    groups: Vec<crate::alerts::Group>,
) -> (Server, Arc<crate::alerts::Manager>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options::new(Arc::new(Fixed));
    let reader: Arc<dyn Read> = memory.clone();
    let query = Query::new(Sources::new(vec![reader]), options);
    let state = query.state().clone();
    let folder = tempfile::tempdir().unwrap();
    let manager = crate::alerts::Manager::open(
        env::Env::real(),
        folder.path(),
        crate::alerts::AlertsOptions {
            groups,
            ..crate::alerts::AlertsOptions::default()
        },
        Arc::new(crate::alerts::bind::OverSources(state.clone())),
        Arc::new(Nowhere),
    )
    .unwrap();
    let more = super::alerts::router(manager.clone())
        .merge(super::story::router(super::trace::Stories::new(state)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = query.router_with(more);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::new();
    (Server { base, client }, manager)
}

impl Server {
    async fn get(&self, path: &str) -> (u16, Json) {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    async fn ok(&self, path: &str, query: &[(&str, &str)]) -> Json {
        let request = self
            .client
            .get(format!("{}/api/v1/{path}", self.base))
            .query(query);
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Json = response.json().await.unwrap();
        assert!(status.is_success(), "{path} {query:?}: {body}");
        body
    }
}

fn resource(service: &str) -> Arc<Resource> {
    let attributes = vec![
        KeyValue::new("service.name", service),
        KeyValue::new("host.name", "h1"),
    ];
    Arc::new(Resource {
        attributes,
        ..Resource::default()
    })
}

fn trace_id(number: u8) -> TraceId {
    TraceId([number; 16])
}

/// A span of `length` seconds that starts `start` seconds after the epoch.
fn span(trace: u8, id: u8, parent: Option<u8>, service: &str, start: u64, length: u64) -> Span {
    Span {
        resource: resource(service),
        trace_id: trace_id(trace),
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|parent| SpanId([parent; 8])),
        name: format!("op-{id}"),
        kind: if parent.is_none() { 2 } else { 1 },
        start_unix_nano: start * S,
        end_unix_nano: (start + length) * S,
        ..Span::default()
    }
}

fn log(service: &str, time: u64, severity: i32, body: &str) -> LogRecord {
    LogRecord {
        resource: resource(service),
        time_unix_nano: time * S,
        severity_number: severity,
        body: body.into(),
        attributes: vec![KeyValue::new("user.id", i64::try_from(time).unwrap() % 3)],
        ..LogRecord::default()
    }
}

fn texts(list: &Json, member: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item[member].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_document_and_the_router_have_the_same_routes() {
    let document: Json = serde_json::from_str(super::openapi::DOCUMENT).unwrap();
    let mut described: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let own = super::routes::all().into_iter().map(|route| route.path);
    let mut served: Vec<&str> = own.chain(super::routes::MERGED).collect();
    described.sort_unstable();
    served.sort_unstable();
    assert_eq!(described, served);
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn merged_routes_share_refusals() {
    let memory = Memory::new("a");
    let sources = Sources::new(vec![memory as Arc<dyn Read>]);
    let query = Query::new(sources, Options::new(Arc::new(Fixed)));
    let more = axum::Router::new().route("/more", axum::routing::get(async || "\"more\""));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = query.router_with(more);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server {
        base,
        client: reqwest::Client::new(),
    };
    assert_eq!(server.get("/more").await, (200, Json::from("more")));
    let posted = server
        .client
        .post(format!("{}/more", server.base))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    let body: Json = posted.json().await.unwrap();
    assert_eq!(body["error"]["kind"], "method_not_allowed");
}

#[test]
fn times_are_read_in_every_form() {
    use super::params::parse_time;
    assert_eq!(
        parse_time("1700000000000000000", NOW),
        Some(1_700_000_000_000_000_000)
    );
    assert_eq!(
        parse_time("1970-01-01T00:00:01.5Z", NOW),
        Some(1_500_000_000)
    );
    assert_eq!(parse_time("1970-01-01T01:00:00+01:00", NOW), Some(0));
    assert_eq!(parse_time("1970-01-01T01:00:00 01:00", NOW), Some(0));
    assert_eq!(parse_time("now", NOW), Some(NOW));
    assert_eq!(parse_time("now-15m", NOW), Some(100 * S));
    assert_eq!(parse_time("now+1s", NOW), Some(1_001 * S));
    for wrong in [
        "",
        "yesterday",
        "now-5",
        "now*2",
        "-5",
        "1e9",
        "2026-13-01T00:00:00Z",
        "né",
    ] {
        assert_eq!(parse_time(wrong, NOW), None, "{wrong}");
    }
}
