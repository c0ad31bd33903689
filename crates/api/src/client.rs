//! Client of the native API: one method per endpoint of `/api/v1/`, typed both ways.
//!
//! Every request has a deadline and every answer a size limit, so that a stuck or confused server
//! can neither hang nor exhaust the program that asks. Errors tell apart what a caller handles
//! differently: the server refused (with its own `{error}` body), it cannot be reached, it took
//! too long, or what it sent is no answer of this API.

mod error;
mod params;
mod sse;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;

use crate::types::{
    AlertsAnswer, CardinalityAnswer, CompleteAnswer, ErrorBody, FieldsAnswer, HighlightAnswer,
    HistogramAnswer, LogsAnswer, OperationsAnswer, RecordsAnswer, RulesAnswer, ServicesAnswer,
    StoryAnswer, TailEvent, TraceAnswer, TracesAnswer, ValuesAnswer,
};

pub use error::ClientError;
pub use params::{
    CardinalityParams, CompleteParams, FieldsParams, HistogramParams, LogOrder, LogsParams,
    PointsParams, Range, TraceOrder, TracesParams, ValuesParams,
};
use params::{Pairs, Parameters};
use sse::SseParser;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: a little more than the server's own limit of 30 s, so that the
/// server's explanation arrives before the client gives up.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(35);
/// Largest answer, decompressed.
const DEFAULT_RESPONSE_LIMIT_BYTES: usize = 1 << 30;
/// Largest error body that is kept.
const ERROR_BODY_LIMIT_BYTES: usize = 64 * 1024;
/// A tail that is silent for so long is broken: the server says something every 10 s.
const TAIL_SILENCE: Duration = Duration::from_secs(35);
/// Largest line or event of a tail.
const TAIL_EVENT_LIMIT_BYTES: usize = 16 << 20;

/// Log records as they arrive. The stream ends when the server closes it; after an error it
/// yields nothing more.
pub type Tail = Pin<Box<dyn Stream<Item = Result<TailEvent, ClientError>> + Send>>;

/// Asks a query service. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
    response_limit_bytes: usize,
}

impl Client {
    /// A client of the query service at a base URL such as `http://127.0.0.1:4400`. A missing
    /// scheme means `http://`. Nothing is sent yet.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        let base = parse_base(base_url)?;
        // A process may have several clients; the first to install a provider wins, and any will do.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy cannot know this machine's loopback.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError::InvalidUrl {
            url: base_url.to_owned(),
            reason: error::chain(&error),
        })?;
        Ok(Self {
            http,
            base,
            timeout: DEFAULT_TIMEOUT,
            response_limit_bytes: DEFAULT_RESPONSE_LIMIT_BYTES,
        })
    }

    /// Replaces the deadline of a request (35 s); tails have none.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Replaces the limit of an answer's decompressed size (1 GiB).
    #[must_use]
    pub fn with_response_limit(mut self, bytes: usize) -> Self {
        self.response_limit_bytes = bytes;
        self
    }

    /// The base URL, normalised.
    pub fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `GET traces`: traces with a span that matches.
    pub async fn traces(&self, params: &TracesParams) -> Result<TracesAnswer, ClientError> {
        self.native(&["traces"], params).await
    }

    /// `GET traces/{trace_id}`: every span of a trace.
    pub async fn trace(&self, trace_id: &str, range: &Range) -> Result<TraceAnswer, ClientError> {
        self.native(&["traces", trace_id], range).await
    }

    /// `GET story/{id}`: all that belongs to a trace id, span id or correlation value.
    pub async fn story(&self, id: &str, range: &Range) -> Result<StoryAnswer, ClientError> {
        self.native(&["story", id], range).await
    }

    /// `GET logs`: log records that match.
    pub async fn logs(&self, params: &LogsParams) -> Result<LogsAnswer, ClientError> {
        self.native(&["logs"], params).await
    }

    /// `GET logs/records`: log records that match, as OTLP JSON.
    pub async fn log_records(&self, params: &LogsParams) -> Result<RecordsAnswer, ClientError> {
        self.native(&["logs", "records"], params).await
    }

    /// `GET logs/histogram`: counts of matching log records over time.
    pub async fn logs_histogram(
        &self,
        params: &HistogramParams,
    ) -> Result<HistogramAnswer, ClientError> {
        self.native(&["logs", "histogram"], params).await
    }

    /// `GET services`: services with their request figures.
    pub async fn services(&self, range: &Range) -> Result<ServicesAnswer, ClientError> {
        self.native(&["services"], range).await
    }

    /// `GET services/{service}/operations`: operations of a service.
    pub async fn operations(
        &self,
        service: &str,
        range: &Range,
    ) -> Result<OperationsAnswer, ClientError> {
        self.native(&["services", service, "operations"], range)
            .await
    }

    /// `GET fields`: what can be queried.
    pub async fn fields(&self, params: &FieldsParams) -> Result<FieldsAnswer, ClientError> {
        self.native(&["fields"], params).await
    }

    /// `GET fields/{field}/values`: values of a field by count.
    pub async fn field_values(
        &self,
        field: &str,
        params: &ValuesParams,
    ) -> Result<ValuesAnswer, ClientError> {
        self.native(&["fields", field, "values"], params).await
    }

    /// `GET search/complete`: what could stand at the cursor of a query.
    pub async fn complete(&self, params: &CompleteParams) -> Result<CompleteAnswer, ClientError> {
        self.native(&["search", "complete"], params).await
    }

    /// `GET search/highlight`: the parts of a query, and what is wrong with it.
    pub async fn highlight(&self, query: &str) -> Result<HighlightAnswer, ClientError> {
        let path = ["api", "v1", "search", "highlight"];
        self.get(&path, &[("q", query.to_owned())]).await
    }

    /// `GET rules`: rule groups with their state.
    pub async fn rules(&self) -> Result<RulesAnswer, ClientError> {
        self.native(&["rules"], &Range::default()).await
    }

    /// `GET alerts`: active alerts.
    pub async fn alerts(&self) -> Result<AlertsAnswer, ClientError> {
        self.native(&["alerts"], &Range::default()).await
    }

    /// `GET metrics/cardinality`: of what there are most series.
    pub async fn cardinality(
        &self,
        params: &CardinalityParams,
    ) -> Result<CardinalityAnswer, ClientError> {
        self.native(&["metrics", "cardinality"], params).await
    }

    /// `GET metrics/points`: stored data points as OTLP JSON.
    pub async fn metric_points(
        &self,
        params: &PointsParams,
    ) -> Result<serde_json::Value, ClientError> {
        self.native(&["metrics", "points"], params).await
    }

    /// Prometheus' `query`: a PromQL expression at an instant (now without `time`). The answer is
    /// the whole `{status, data}` object.
    pub async fn promql(
        &self,
        query: &str,
        time: Option<&str>,
    ) -> Result<serde_json::Value, ClientError> {
        let mut pairs = vec![("query", query.to_owned())];
        pairs.extend(time.map(|time| ("time", time.to_owned())));
        self.get(&["prometheus", "api", "v1", "query"], &pairs)
            .await
    }

    /// Prometheus' `query_range`: a PromQL expression over a range.
    pub async fn promql_range(
        &self,
        query: &str,
        start: &str,
        end: &str,
        step: &str,
    ) -> Result<serde_json::Value, ClientError> {
        let pairs = vec![
            ("query", query.to_owned()),
            ("start", start.to_owned()),
            ("end", end.to_owned()),
            ("step", step.to_owned()),
        ];
        self.get(&["prometheus", "api", "v1", "query_range"], &pairs)
            .await
    }

    /// `GET logs/tail`: log records as they arrive, from now on.
    pub async fn tail(&self, query: &str) -> Result<Tail, ClientError> {
        let mut pairs = Vec::new();
        if !query.is_empty() {
            pairs.push(("q", query.to_owned()));
        }
        let url = self.url(&["api", "v1", "logs", "tail"], &pairs)?;
        let request = self
            .http
            .get(url)
            .header("accept", "text/event-stream")
            .send();
        let response = tokio::time::timeout(self.timeout, request)
            .await
            .map_err(|_elapsed| ClientError::Timeout {
                after: self.timeout,
            })?
            .map_err(|error| self.transport(&error))?;
        let response = self.accept(response).await?;
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(ClientError::InvalidAnswer {
                endpoint: "/api/v1/logs/tail".to_owned(),
                reason: format!("content type is {kind:?} instead of text/event-stream"),
            });
        }
        Ok(events(response))
    }

    async fn native<T: DeserializeOwned>(
        &self,
        path: &[&str],
        params: &impl Parameters,
    ) -> Result<T, ClientError> {
        let full: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let mut pairs = Vec::new();
        params.pairs(&mut pairs);
        self.get(&full, &pairs).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        pairs: &[(&'static str, String)],
    ) -> Result<T, ClientError> {
        let url = self.url(path, pairs)?;
        let endpoint = url.path().to_owned();
        let exchange = async {
            let response = self
                .http
                .get(url)
                .send()
                .await
                .map_err(|error| self.transport(&error))?;
            let response = self.accept(response).await?;
            self.body(response, self.response_limit_bytes).await
        };
        let body = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_elapsed| ClientError::Timeout {
                after: self.timeout,
            })??;
        serde_json::from_slice(&body).map_err(|error| ClientError::InvalidAnswer {
            endpoint,
            reason: error.to_string(),
        })
    }

    fn url(&self, path: &[&str], pairs: &Pairs) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        {
            let mut segments = url
                .path_segments_mut()
                .map_err(|()| ClientError::InvalidUrl {
                    url: self.base.to_string(),
                    reason: "it cannot have a path".to_owned(),
                })?;
            segments.pop_if_empty().extend(path);
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }

    /// Turns 4xx and 5xx into errors, with the server's own body where it sent one.
    async fn accept(&self, response: Response) -> Result<Response, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body_start(response).await;
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(ClientError::Api {
                status: status.as_u16(),
                error: body.error,
            }),
            Err(_not_ours) => Err(ClientError::Status {
                status: status.as_u16(),
                body: error::excerpt(&body),
            }),
        }
    }

    async fn body(&self, response: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.transport(&error))?;
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLarge { limit_bytes: limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// As much of an error body as arrives and is worth keeping: the status alone already says
    /// that the request failed, so that a broken body changes nothing.
    async fn body_start(&self, response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            let room = ERROR_BODY_LIMIT_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
        body
    }

    fn transport(&self, error: &reqwest::Error) -> ClientError {
        if error.is_timeout() && !error.is_connect() {
            return ClientError::Timeout {
                after: self.timeout,
            };
        }
        if error.is_connect() {
            return ClientError::Unreachable {
                url: self.base_url().to_owned(),
                reason: error::root(error),
            };
        }
        ClientError::Interrupted {
            reason: error::chain(error),
        }
    }
}

fn parse_base(text: &str) -> Result<Url, ClientError> {
    let trimmed = text.trim();
    let with_scheme = if trimmed.contains("://") {
        trimmed.to_owned()
    } else {
        format!("http://{trimmed}")
    };
    let invalid = |reason: String| ClientError::InvalidUrl {
        url: text.to_owned(),
        reason,
    };
    let url = Url::parse(&with_scheme).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!(
            "the scheme is {:?}, expected http or https",
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it has no host".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(
            "a base URL has neither query nor fragment".to_owned(),
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

/// State of a tail between two of its events.
struct TailState {
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    parser: SseParser,
    ready: VecDeque<sse::SseEvent>,
    over: bool,
}

fn events(response: Response) -> Tail {
    let state = TailState {
        chunks: Box::pin(response.bytes_stream()),
        parser: SseParser::new(TAIL_EVENT_LIMIT_BYTES),
        ready: VecDeque::new(),
        over: false,
    };
    Box::pin(futures::stream::unfold(state, |mut state| async move {
        let item = next_event(&mut state).await?;
        state.over = item.is_err();
        Some((item, state))
    }))
}

async fn next_event(state: &mut TailState) -> Option<Result<TailEvent, ClientError>> {
    if state.over {
        return None;
    }
    loop {
        while let Some(event) = state.ready.pop_front() {
            if let Some(item) = decode_event(&event) {
                return Some(item);
            }
        }
        let Ok(chunk) = tokio::time::timeout(TAIL_SILENCE, state.chunks.next()).await else {
            return Some(Err(ClientError::Interrupted {
                reason: format!("nothing was heard for {} s", TAIL_SILENCE.as_secs()),
            }));
        };
        match chunk? {
            Ok(chunk) => {
                if let Err(error) = state.parser.feed(&chunk, &mut state.ready) {
                    return Some(Err(error));
                }
            }
            Err(error) => {
                return Some(Err(ClientError::Interrupted {
                    reason: error::chain(&error),
                }));
            }
        }
    }
}

/// `logs` events carry records and `error` events end the tail; other events are not for us.
fn decode_event(event: &sse::SseEvent) -> Option<Result<TailEvent, ClientError>> {
    let invalid = |error: serde_json::Error| ClientError::InvalidAnswer {
        endpoint: "/api/v1/logs/tail".to_owned(),
        reason: error.to_string(),
    };
    match event.name.as_str() {
        "logs" => Some(serde_json::from_slice(&event.data).map_err(invalid)),
        "error" => Some(Err(
            match serde_json::from_slice::<ErrorBody>(&event.data) {
                Ok(body) => ClientError::Api {
                    status: 200,
                    error: body.error,
                },
                Err(error) => invalid(error),
            },
        )),
        _ => None,
    }
}
