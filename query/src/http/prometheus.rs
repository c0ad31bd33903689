//! Prometheus' HTTP API under `/prometheus`, as Grafana calls it.
//!
//! Parameters come in the address or as a form. Unknown ones are passed over, as Prometheus
//! does; errors have its shape and codes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use model::TimeRange;
use promql::metadata::Metadata;
use promql::{Engine, Labels, Limits, Matcher, Value};
use serde::Serialize;
use serde_json::{Value as Json_, json};

use super::params::parse_seconds;
use super::{Running, State};
use crate::error::{ErrorKind, QueryError};
use crate::exec::series::{SeriesReader, range_of_ms};

/// A refusal in Prometheus' shape.
pub struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        (self.status, Json(body)).into_response()
    }
}

/// An error of the query service in Prometheus' shape.
pub(super) fn failure(error: &QueryError) -> Response {
    Refused::from(error.clone()).into_response()
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidQuery | ErrorKind::InvalidParameter => "bad_data",
            ErrorKind::NotFound | ErrorKind::MethodNotAllowed => "not_found",
            ErrorKind::TooLarge => "execution",
            ErrorKind::Overloaded | ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        };
        Self {
            status: error.kind.status(),
            kind,
            message: error.to_string(),
        }
    }
}

impl From<promql::Error> for Refused {
    fn from(error: promql::Error) -> Self {
        use promql::engine::ErrorKind as Kind;
        let (status, kind) = match error.kind() {
            Kind::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            Kind::Execution | Kind::Limit => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            Kind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Kind::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self {
            status,
            kind,
            message: error.to_string(),
        }
    }
}

fn bad_data(message: impl Into<String>) -> Refused {
    Refused {
        status: StatusCode::BAD_REQUEST,
        kind: "bad_data",
        message: message.into(),
    }
}

type Answer = Result<Response, Refused>;

#[derive(Serialize)]
struct Success<T> {
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

/// What the answer lacks, as warnings that a dashboard shows.
fn cuts(running: &Running) -> Vec<String> {
    let cuts = running.work().completeness().cut;
    cuts.into_iter()
        .map(|cut| format!("{} {}: {}", cut.limit, cut.value, cut.hint))
        .collect()
}

fn success(data: impl Serialize, warnings: Vec<String>, infos: Vec<String>) -> Answer {
    Ok(Json(Success {
        status: "success",
        data,
        warnings,
        infos,
    })
    .into_response())
}

/// Parameters of the address and the form.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(uri: &Uri, body: &Bytes) -> Result<Self, Refused> {
        let read = |uri: &Uri| {
            Query::<Vec<(String, String)>>::try_from_uri(uri)
                .map(|Query(pairs)| pairs)
                .map_err(|problem| bad_data(format!("malformed parameters: {problem}")))
        };
        let mut pairs = read(uri)?;
        if !body.is_empty() {
            let text = std::str::from_utf8(body).map_err(|_| bad_data("the form is not UTF-8"))?;
            let form: Uri = format!("/?{text}")
                .parse()
                .map_err(|problem| bad_data(format!("malformed form: {problem}")))?;
            // What the form says comes first.
            let address = std::mem::replace(&mut pairs, read(&form)?);
            pairs.extend(address);
        }
        Ok(Self(pairs))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|p| p.1.as_str())
    }

    fn time(&self, name: &str) -> Result<Option<i64>, Refused> {
        let invalid = |text: &str| {
            bad_data(format!(
                "invalid parameter \"{name}\": cannot parse {text:?} to a valid timestamp"
            ))
        };
        self.text(name)
            .map(|text| parse_seconds(text).ok_or_else(|| invalid(text)))
            .transpose()
    }

    fn needed_time(&self, name: &str) -> Result<i64, Refused> {
        self.time(name)?
            .ok_or_else(|| bad_data(format!("invalid parameter \"{name}\": it is missing")))
    }

    #[allow(clippy::cast_possible_truncation)]
    fn duration_ms(&self, name: &str) -> Result<Option<i64>, Refused> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let seconds = text
            .parse::<f64>()
            .ok()
            .filter(|seconds| seconds.abs() < 9e12);
        let millis = seconds.map(|seconds| (seconds * 1e3) as i64);
        millis
            .or_else(|| promql::format::parse_duration(text))
            .map(Some)
            .ok_or_else(|| {
                bad_data(format!(
                    "invalid parameter \"{name}\": cannot parse {text:?} to a valid duration"
                ))
            })
    }

    fn limit(&self) -> Result<Option<usize>, Refused> {
        let Some(text) = self.text("limit") else {
            return Ok(None);
        };
        let limit: usize = text
            .parse()
            .map_err(|_| bad_data("invalid parameter \"limit\": it is not a whole number"))?;
        Ok(Some(limit).filter(|limit| *limit > 0))
    }

    /// The range of a question about labels; open where not given.
    fn range(&self) -> Result<TimeRange, Refused> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(bad_data(
                "invalid parameter \"end\": end timestamp must not be before start time",
            ));
        }
        let range = range_of_ms(start.unwrap_or(0), end.unwrap_or(0));
        let open_end = if end.is_some() { range.end } else { u64::MAX };
        Ok(TimeRange {
            start: range.start,
            end: open_end,
        })
    }

    fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        let given = self.0.iter().filter(|(name, _)| name == "match[]");
        given
            .map(|(_, text)| {
                let selector = promql::parse_selector(text).map_err(|problem| {
                    bad_data(format!("invalid parameter \"match[]\": {problem}"))
                })?;
                Ok(selector.matchers)
            })
            .collect()
    }
}

/// Stops an evaluation whose client went away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[allow(clippy::cast_possible_wrap)]
fn now_ms(state: &State) -> i64 {
    (state.now() / 1_000_000) as i64
}

/// Times of a query: one, or from, to and step.
enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

async fn evaluate(state: State, form: &Form, when: When) -> Answer {
    let text = form.text("query").unwrap_or_default();
    let options = state.options();
    let mut engine = options.promql.clone();
    if let Some(lookback) = form.duration_ms("lookback_delta")? {
        engine.lookback_ms = lookback;
    }
    let engine = Engine::new(engine);
    let query = engine
        .query(text)
        .map_err(|problem| bad_data(format!("invalid parameter \"query\": {problem}")))?;
    let running = state.begin().await?;
    let own = Duration::from_millis(options.limits.timeout_ms);
    let asked = form
        .duration_ms("timeout")?
        .and_then(|ms| u64::try_from(ms).ok());
    let timeout = asked.map_or(own, |ms| Duration::from_millis(ms).min(own));
    let cancel = CancelOnDrop(Arc::default());
    let limits = Limits {
        deadline: Some(std::time::Instant::now() + timeout),
        cancelled: Some(Arc::clone(&cancel.0)),
        ..options.promql_limits.clone()
    };
    let plan = match when {
        When::Instant(time) => engine.prepare_instant(&query, time, limits)?,
        When::Range(start, end, step) => engine.prepare_range(&query, start, end, step, limits)?,
    };
    let reader = SeriesReader(running.context());
    let fetched = tokio::time::timeout(timeout, plan.fetch(&reader))
        .await
        .map_err(|_| Refused::from(promql::Error::Timeout))??;
    let evaluated = tokio::task::spawn_blocking(move || fetched.evaluate()).await;
    let answer = evaluated.map_err(|problem| {
        Refused::from(QueryError::new(
            ErrorKind::Internal,
            format!("the evaluation failed: {problem}"),
        ))
    })??;
    let mut warnings = answer.warnings;
    warnings.extend(cuts(&running));
    let mut value = answer.value;
    if let Some(limit) = form.limit()? {
        truncate(&mut value, limit, &mut warnings);
    }
    success(value, warnings, answer.infos)
}

fn truncate(value: &mut Value, limit: usize, warnings: &mut Vec<String>) {
    let before = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => return,
    };
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    if before > limit {
        warnings.push("results truncated due to limit".to_owned());
    }
}

/// `GET|POST query`
pub async fn query(Extract(state): Extract<State>, uri: Uri, body: Bytes) -> Answer {
    let form = Form::parse(&uri, &body)?;
    let time = form.time("time")?.unwrap_or_else(|| now_ms(&state));
    evaluate(state, &form, When::Instant(time)).await
}

/// `GET|POST query_range`
pub async fn query_range(Extract(state): Extract<State>, uri: Uri, body: Bytes) -> Answer {
    let form = Form::parse(&uri, &body)?;
    let (start, end) = (form.needed_time("start")?, form.needed_time("end")?);
    let step = form
        .duration_ms("step")?
        .ok_or_else(|| bad_data("invalid parameter \"step\": it is missing"))?;
    evaluate(state, &form, When::Range(start, end, step)).await
}

/// `GET|POST query_exemplars`
pub async fn query_exemplars(Extract(state): Extract<State>, uri: Uri, body: Bytes) -> Answer {
    let form = Form::parse(&uri, &body)?;
    let text = form.text("query").unwrap_or_default();
    let expr = promql::parse_with(text, state.options().promql.features)
        .map_err(|problem| bad_data(format!("invalid parameter \"query\": {problem}")))?;
    let mut selectors: Vec<Vec<Matcher>> = Vec::new();
    expr.selectors(&mut |selector, _| {
        if !selectors.contains(&selector.matchers) {
            selectors.push(selector.matchers.clone());
        }
    });
    let range = form.range()?;
    let running = state.begin().await?;
    let reader = SeriesReader(running.context());
    let found = reader.exemplars(&selectors, range).await?;
    success(found, cuts(&running), Vec::new())
}

/// The label sets that the request is about.
async fn label_sets(running: &Running, form: &Form) -> Result<Vec<Labels>, Refused> {
    let selectors = form.selectors()?;
    if selectors.is_empty() {
        return Err(bad_data("no match[] parameter provided"));
    }
    let reader = SeriesReader(running.context());
    Ok(reader.label_sets(&selectors, form.range()?).await?)
}

/// Names of labels, or values of one; of all series where no selector is given.
async fn label_texts(
    running: &Running,
    form: &Form,
    label: Option<&str>,
) -> Result<BTreeSet<String>, Refused> {
    let mut selectors = form.selectors()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let reader = SeriesReader(running.context());
    Ok(reader.labels(&selectors, form.range()?, label).await?)
}

fn limited<T>(
    mut items: Vec<T>,
    form: &Form,
    warnings: &mut Vec<String>,
) -> Result<Vec<T>, Refused> {
    if let Some(limit) = form.limit()?
        && items.len() > limit
    {
        items.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    Ok(items)
}

/// `GET|POST labels`
pub async fn labels(Extract(state): Extract<State>, uri: Uri, body: Bytes) -> Answer {
    let form = Form::parse(&uri, &body)?;
    let running = state.begin().await?;
    let names = label_texts(&running, &form, None).await?;
    let mut warnings = cuts(&running);
    let names = limited(names.into_iter().collect(), &form, &mut warnings)?;
    success(names, warnings, Vec::new())
}

/// `GET label/{name}/values`
pub async fn label_values(
    Extract(state): Extract<State>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answer {
    let form = Form::parse(&uri, &Bytes::new())?;
    let running = state.begin().await?;
    let values = label_texts(&running, &form, Some(&name)).await?;
    let mut warnings = cuts(&running);
    let values = limited(values.into_iter().collect(), &form, &mut warnings)?;
    success(values, warnings, Vec::new())
}

/// `GET|POST series`
pub async fn series(Extract(state): Extract<State>, uri: Uri, body: Bytes) -> Answer {
    let form = Form::parse(&uri, &body)?;
    let running = state.begin().await?;
    let sets = label_sets(&running, &form).await?;
    let mut warnings = cuts(&running);
    let sets = limited(sets, &form, &mut warnings)?;
    success(sets, warnings, Vec::new())
}

/// `GET metadata`
pub async fn metadata(Extract(state): Extract<State>, uri: Uri) -> Answer {
    let form = Form::parse(&uri, &Bytes::new())?;
    let running = state.begin().await?;
    let reader = SeriesReader(running.context());
    let stored = reader.read(&[], TimeRange::ALL, false).await?;
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for part in &stored {
        let Some(family) = model::prometheus::family(&part.series) else {
            continue;
        };
        let name = family.name;
        if form.text("metric").is_some_and(|wanted| wanted != name) {
            continue;
        }
        let entry = Metadata {
            kind: family.kind,
            help: family.help,
            unit: family.unit,
        };
        let known = all.entry(name).or_default();
        if !known.contains(&entry) {
            known.push(entry);
        }
    }
    if let Some(most) = form
        .text("limit_per_metric")
        .and_then(|text| text.parse().ok())
    {
        all.values_mut().for_each(|entries| entries.truncate(most));
    }
    let mut warnings = cuts(&running);
    let entries = limited(all.into_iter().collect(), &form, &mut warnings)?;
    let data: BTreeMap<String, Vec<Metadata>> = entries.into_iter().collect();
    success(data, warnings, Vec::new())
}

/// `GET status/buildinfo`: Grafana picks features by the version of Prometheus that this API is
/// compatible with.
pub async fn buildinfo() -> Answer {
    let data: Json_ = json!({
        "version": "3.0.0",
        "revision": env!("CARGO_PKG_VERSION"),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "features": {},
    });
    success(data, Vec::new(), Vec::new())
}
