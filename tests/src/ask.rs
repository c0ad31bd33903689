//! HTTP with the process under test.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::Value;

/// Longer than any limit of the program itself.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One port.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    /// The port at this address.
    pub fn new(address: &str) -> Self {
        // Fails where it was done before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build();
        Self {
            client: client.expect("a client without TLS settings"),
            base: format!("http://{address}"),
        }
    }

    /// `http://HOST:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to be completed by the caller.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Status and body of a `GET`; the body as a JSON string where it is not JSON.
    pub async fn get_any(&self, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.request("GET", path).query(parameters).send().await;
        read(answer.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))).await
    }

    /// The body of a `GET` that has to succeed.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let (status, body) = self.get_any(path, parameters).await;
        assert_eq!(status, 200, "GET {path} {parameters:?}: {body}");
        body
    }

    /// Sends an OTLP export in JSON; it has to be accepted whole.
    pub async fn export(&self, signal: &str, export: &Value) {
        if let Err(problem) = self.try_export(signal, export).await {
            panic!("export of {signal}: {problem}");
        }
    }

    /// Sends an OTLP export in JSON; an error says why it was not acknowledged whole.
    pub async fn try_export(&self, signal: &str, export: &Value) -> Result<(), String> {
        let request = self.request("POST", &format!("/v1/{signal}")).json(export);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        let rejected = body.contains("partialSuccess");
        if status != 200 || rejected {
            return Err(format!("HTTP {status}: {body}"));
        }
        Ok(())
    }

    /// Every record that a log query finds, page by page, oldest first.
    pub async fn all_logs(&self, query: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut parameters = vec![("q", query), ("limit", "5000"), ("order", "oldest")];
            if !cursor.is_empty() {
                parameters.push(("cursor", &cursor));
            }
            let answer = self.get("/api/v1/logs", &parameters).await;
            found.extend(answer["logs"].as_array().expect("a list").iter().cloned());
            match answer["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return found,
            }
        }
    }

    /// The spans of a trace that were sent, not inferred; none where there is no such trace.
    pub async fn trace_spans(&self, trace_id: &str) -> Vec<Value> {
        let (status, answer) = self
            .get_any(&format!("/api/v1/traces/{trace_id}"), &[])
            .await;
        if status == 404 {
            return Vec::new();
        }
        assert_eq!(status, 200, "{answer}");
        let spans = answer["spans"].as_array().expect("a list").iter();
        spans
            .filter(|span| span["inferred"] != true)
            .cloned()
            .collect()
    }

    /// The result of an instant PromQL query, at a time in unix seconds.
    pub async fn promql(&self, query: &str, time: &str) -> Vec<Value> {
        let answer = self
            .get(
                "/prometheus/api/v1/query",
                &[("query", query), ("time", time)],
            )
            .await;
        answer["data"]["result"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .clone()
    }

    /// The one value of an instant query.
    pub async fn promql_value(&self, query: &str, time: &str) -> f64 {
        let result = self.promql(query, time).await;
        assert_eq!(result.len(), 1, "{query}: {result:?}");
        let text = result[0]["value"][1].as_str().expect("a sample");
        text.parse().expect("a number")
    }
}

async fn read(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = answer.text().await.expect("a body in UTF-8");
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}
