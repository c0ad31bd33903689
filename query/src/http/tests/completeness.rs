//! Every answer says how complete it is.

use model::SpanKind;
use storage::message::{Source, SourceKind, SourceState};

use super::*;
use crate::alerts::{Group, Labels, Rule, RuleKind};
use crate::traces::fake::{span, trace};

const LOST: &str = "node-1";

/// Rows of every signal, and an agent that is lost.
fn memory() -> Arc<Memory> {
    let memory = Memory::new("collector-1");
    let one = span((1, 1, 0), "shop", SpanKind::Server, (1_000_000, 9_000_000));
    memory.spans.lock().push(one);
    memory.agents.lock().push(Source {
        name: LOST.to_owned(),
        kind: SourceKind::Agent,
        unix_nano: 7 * S,
        state: SourceState::Lost,
    });
    memory
}

fn rules() -> Vec<Group> {
    vec![Group {
        name: "g".into(),
        file: "rules.yml".into(),
        interval: Duration::from_secs(10),
        limit: 0,
        query_offset: Duration::ZERO,
        labels: Labels::new(),
        rules: vec![Rule {
            name: "r".into(),
            expr: "up".into(),
            labels: Labels::new(),
            kind: RuleKind::Recording,
        }],
    }]
}

/// The address of a route, with what it needs.
fn address(path: &str) -> String {
    let path = path
        .replace("{trace_id}", &trace(1).to_string())
        .replace("{id}", &trace(1).to_string())
        .replace("{service}", "shop")
        .replace("{field}", "service")
        .replace("{name}", "job");
    let query = match path.rsplit('/').next().unwrap() {
        "query" | "query_exemplars" => "?query=up",
        "query_range" => "?query=up&start=1&end=2&step=1",
        "series" => "?match[]=up",
        "operations" if path.ends_with("/api/operations") => "?service=shop",
        "traces" if path.starts_with("/jaeger") => "?service=shop&start=0",
        "dependencies" => "?endTs=1000&lookback=1000",
        _ => "",
    };
    format!("{path}{query}")
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_made_of_stored_rows_names_a_lost_agent_and_its_stats() {
    let (server, manager) = serve_all(&memory(), rules()).await;
    manager.evaluate_group(0, NOW).await;
    let document: Json = serde_json::from_str(crate::http::openapi::DOCUMENT).unwrap();
    let (mut native, mut foreign) = (0, 0);
    for (path, described) in document["paths"].as_object().unwrap() {
        let answer = &described["get"]["responses"]["200"];
        let has_headers = answer["headers"]["throughline-complete-to"].is_object();
        let without_rows = ["openapi.json", "highlight", "tail"];
        let is_native =
            path.starts_with("/api/v1/") && !without_rows.iter().any(|name| path.ends_with(name));
        if !is_native && !has_headers {
            continue;
        }
        let address = address(path);
        let url = format!("{}{address}", server.base);
        let response = server.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{address}");
        if is_native {
            native += 1;
            let body: Json = response.json().await.unwrap();
            let lost = serde_json::json!({
                "source": LOST, "kind": "agent", "unix_nano": 7 * S, "state": "lost",
            });
            let sources = body["complete_to"].as_array().unwrap();
            assert!(sources.contains(&lost), "{address}: {body}");
            assert!(body["stats"]["rows"].as_u64().unwrap() > 0, "{address}");
            continue;
        }
        foreign += 1;
        assert_eq!(
            header(&response, "throughline-complete-to"),
            r#""node-1";kind=agent;state=lost;unix_nano="7000000000", "collector-1";kind=collector;state=live;unix_nano="42""#,
            "{address}"
        );
        let stats = header(&response, "throughline-stats").to_owned();
        assert!(
            stats.starts_with("blocks=") && !stats.contains("rows=0,"),
            "{address}: {stats}"
        );
        assert_eq!(header(&response, "throughline-cut"), "", "{address}");
        let body: Json = response.json().await.unwrap();
        let said = match path.starts_with("/jaeger") {
            true => &body["errors"][0]["msg"],
            false => &body["warnings"][0],
        };
        let said = said.as_str().unwrap_or_else(|| panic!("{address}: {body}"));
        assert!(said.contains("agent node-1 is lost"), "{address}: {said}");
    }
    assert!(native >= 14 && foreign >= 16, "{native} and {foreign}");
}

#[tokio::test]
async fn rules_over_a_lost_collector_say_so() {
    let memory = memory();
    let (server, manager) = serve_all(&memory, rules()).await;
    let (_, body) = server.get("/api/v1/rules").await;
    assert_eq!(body["cut"][0]["limit"], "evaluation", "{body}");

    *memory.fault.lock() = crate::testing::Fault::Unavailable;
    manager.evaluate_group(0, NOW).await;
    for path in ["/api/v1/rules", "/api/v1/alerts"] {
        let (_, body) = server.get(path).await;
        let source = &body["complete_to"][0];
        assert_eq!(
            (&source["source"], &source["state"]),
            (&"collector-1".into(), &"lost".into()),
            "{path}: {body}"
        );
        assert_eq!(body["cut"][0]["limit"], "source", "{path}: {body}");
    }
    let url = format!("{}/prometheus/api/v1/rules", server.base);
    let response = server.client.get(url).send().await.unwrap();
    let cut = header(&response, "throughline-cut").to_owned();
    assert!(cut.starts_with("\"source collector-1\";hint="), "{cut}");
    let body: Json = response.json().await.unwrap();
    let warning = body["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("source collector-1: "), "{body}");
    assert_eq!(body["data"]["groups"][0]["rules"][0]["health"], "err");
}
