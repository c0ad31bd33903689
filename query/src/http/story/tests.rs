use super::*;
use crate::http::Options;
use crate::http::State;
use crate::sources::Sources;
use crate::testing::Memory;
use crate::traces::fake::{log, span, span_id, trace};
use model::SpanKind::{Client, Server};
use serde_json::Value as Body;
use std::sync::Arc;
use storage::read::Read;

struct Running {
    base: String,
    client: reqwest::Client,
}

impl Running {
    async fn get(&self, path: &str) -> (u16, Body) {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// Stores nothing.
struct Nowhere;

impl crate::alerts::Sink for Nowhere {
    fn write(
        &self,
        _samples: Vec<crate::alerts::Written>,
    ) -> futures::future::BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn serve() -> Running {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let memory = Memory::new("memory");
    let mut root = span((1, 1, 0), "shop", Server, (1_000_000, 9_000_000));
    root.correlation = vec![("request_id".into(), "r-1".into())];
    let call = span((1, 2, 1), "shop", Client, (2_000_000, 5_000_000));
    memory.spans.lock().extend([root, call]);
    memory.logs.lock().push(log(
        "stock",
        3_000_000,
        "reserved",
        &[("request_id", "r-1")],
    ));
    let clock = env::Env::real().clock;
    let readers: Vec<Arc<dyn Read>> = vec![memory];
    let state = State::new(Sources::new(readers), Options::new(clock));
    let dir = tempfile::tempdir().unwrap();
    let manager = crate::alerts::Manager::open(
        env::Env::real(),
        dir.path(),
        crate::alerts::AlertsOptions::default(),
        Arc::new(crate::alerts::bind::OverSources(state.clone())),
        Arc::new(Nowhere),
    )
    .unwrap();
    let more = router(Stories::new(state.clone())).merge(crate::http::alerts::router(manager));
    let app = crate::http::router(state, more);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Running {
        base,
        client: reqwest::Client::new(),
    }
}

#[tokio::test]
async fn one_trace_is_served_with_its_inferred_spans() {
    let server = serve().await;
    let (status, body) = server.get(&format!("/api/v1/traces/{}", trace(1))).await;
    assert_eq!(status, 200, "{body}");
    let services: Vec<_> = body["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| span["service"].clone())
        .collect();
    assert_eq!(services, ["shop", "shop", "stock"]);
    assert_eq!(body["spans"][2]["inferred"], true);
    assert_eq!(body["spans"][2]["confidence"], 0.8);
    assert_eq!(body["spans"][1]["children"][0], body["spans"][2]["spanId"]);
    assert!(body["stats"].is_object() && body["cut"].is_array());
}

#[tokio::test]
async fn a_story_is_found_by_any_id() {
    let server = serve().await;
    let span = crate::traces::fake::span_id(2);
    for id in ["r-1".to_owned(), trace(1).to_string(), span.to_string()] {
        let (status, body) = server.get(&format!("/api/v1/story/{id}")).await;
        assert_eq!(status, 200, "{id}: {body}");
        assert_eq!(body["spans"].as_array().unwrap().len(), 3, "{id}");
        assert_eq!(body["logs"][0]["body"], "reserved", "{id}");
        assert!(!body["joins"].as_array().unwrap().is_empty(), "{id}");
    }
}

#[tokio::test]
async fn wrong_and_unknown_ids_are_refused() {
    let server = serve().await;
    let cases = [
        ("/api/v1/traces/xyz".to_owned(), 400, "invalid_parameter"),
        (format!("/api/v1/traces/{}", trace(7)), 404, "not_found"),
        (
            format!("/api/v1/traces/{}?strat=1", trace(1)),
            400,
            "invalid_parameter",
        ),
        ("/api/v1/story/nobody".to_owned(), 404, "not_found"),
    ];
    for (path, want, kind) in cases {
        let (status, body) = server.get(&path).await;
        assert_eq!(
            (status, body["error"]["kind"].as_str()),
            (want, Some(kind)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_span_id_tells_the_story_of_its_trace() {
    let server = serve().await;
    for id in [
        span_id(2).to_string(),
        span_id(2).to_string().to_uppercase(),
    ] {
        let (status, body) = server.get(&format!("/api/v1/story/{id}")).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["spans"].as_array().unwrap().len(), 3, "{body}");
        assert_eq!(body["logs"].as_array().unwrap().len(), 1, "{body}");
        let joins = body["joins"].as_array().unwrap();
        assert!(joins.iter().any(|join| join["by"] == "span_id"), "{body}");
        assert_eq!(body["cut"], serde_json::json!([]), "{body}");
    }
    let (status, _) = server.get("/api/v1/story/a00000000000ffff").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn jaeger_is_served() {
    let server = serve().await;
    let (_, body) = server.get("/jaeger/api/services").await;
    assert_eq!(body["data"], serde_json::json!(["shop"]));
    let (_, body) = server.get("/jaeger/api/services/shop/operations").await;
    assert_eq!(body["data"], serde_json::json!(["op1", "op2"]));
    let (_, body) = server
        .get("/jaeger/api/operations?service=shop&spanKind=client")
        .await;
    assert_eq!(
        body["data"],
        serde_json::json!([{"name": "op2", "spanKind": "client"}])
    );
    let (status, body) = server
        .get("/jaeger/api/traces?service=shop&operation=op2&minDuration=1ms&limit=5")
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"][0]["traceID"], trace(1).to_string());
    assert_eq!(body["data"][0]["spans"].as_array().unwrap().len(), 3);
    let (status, body) = server
        .get(&format!("/jaeger/api/traces/{}", trace(1)))
        .await;
    assert_eq!((status, body["data"].as_array().unwrap().len()), (200, 1));
    let (status, body) = server
        .get(&format!("/jaeger/api/traces/{}", trace(9)))
        .await;
    assert_eq!(
        (status, body["errors"][0]["msg"].as_str()),
        (404, Some("trace not found"))
    );
    let (status, _) = server.get("/jaeger/api/traces").await;
    assert_eq!(status, 400);
    let (status, body) = server
        .get("/jaeger/api/dependencies?endTs=1000&lookback=1000")
        .await;
    assert_eq!((status, &body["data"]), (200, &serde_json::json!([])));
}

#[tokio::test]
async fn all_routers_become_one() {
    let server = serve().await;
    for (path, member) in [
        ("/api/v1/rules", "groups"),
        ("/api/v1/alerts", "alerts"),
        ("/prometheus/api/v1/rules", "data"),
        ("/prometheus/api/v1/alerts", "data"),
        ("/api/v1/traces", "traces"),
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.get(member).is_some(), "{path}: {body}");
    }
    let (status, body) = server.get("/nowhere").await;
    assert_eq!(
        (status, body["error"]["kind"].as_str()),
        (404, Some("not_found"))
    );
}
