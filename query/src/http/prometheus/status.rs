//! `status/{buildinfo,runtimeinfo,flags,config,walreplay}`, `notifications`, `features`, the health
//! pages of Prometheus, and what is refused as by a Prometheus that has not been told to allow it: what clients decide by what they can ask for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use promql::Features;
use promql::format::duration;
use serde_json::json;

use super::super::{State, plain};
use super::answer::{Answer, known, unavailable};
use crate::alerts::notifier::payload::rfc3339;

/// The version of Prometheus that this API is compatible with.
const COMPATIBLE_WITH: &str = "3.5.0";

/// `GET status/buildinfo`: Grafana picks features by the version. There are no `features`, by which it
/// would take this for Mimir.
pub(crate) async fn buildinfo() -> Answer {
    known(json!({
        "version": COMPATIBLE_WITH,
        "revision": env!("CARGO_PKG_VERSION"),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

/// `GET status/runtimeinfo`. What only a program in Go has says that nothing is set.
pub(crate) async fn runtimeinfo(Extract(state): Extract<State>) -> Answer {
    let started = rfc3339(state.started());
    let about = &state.options().about;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    known(json!({
        "startTime": started,
        "serverTime": rfc3339(state.now()),
        "CWD": about.data_dir,
        "hostname": about.host_name,
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": counted(&state, "throughline_storage_wal_malformed_records_total"),
        "goroutineCount": tasks,
        "GOMAXPROCS": processors,
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": about.retention.map(text).unwrap_or_default(),
    }))
}

/// What the parts of this process count under a name, in all.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn counted(state: &State, name: &str) -> u64 {
    let texts = state.options().metrics.iter().map(|source| source());
    let sums = texts.map(|text| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let lines = lines.filter(|rest| rest.starts_with([' ', '{']));
        let values = lines.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>()
    });
    sums.sum::<f64>() as u64
}

/// `GET status/walreplay`: whoever can ask finds it done.
pub(crate) async fn walreplay() -> Answer {
    known(json!({"min": 0, "max": 0, "current": 0}))
}

/// `GET notifications`: what Prometheus' own pages would show at their top.
pub(crate) async fn notifications() -> Answer {
    known(json!([]))
}

/// `GET status/flags`: what this service has in the place of Prometheus' flags.
pub(crate) async fn flags(Extract(state): Extract<State>) -> Answer {
    let options = state.options();
    let about = &options.about;
    let features = match options.promql.features {
        Features::Stable => "",
        _ => "promql-experimental-functions",
    };
    let flags = BTreeMap::from([
        ("enable-feature", features.to_owned()),
        ("query.lookback-delta", duration(options.promql.lookback_ms)),
        ("query.max-concurrency", options.concurrency.to_string()),
        (
            "query.max-samples",
            options.promql_limits.max_samples.to_string(),
        ),
        ("query.timeout", text(options.promql_timeout)),
        ("storage.tsdb.path", about.data_dir.clone()),
        (
            "storage.tsdb.retention.time",
            text(about.retention.unwrap_or_default()),
        ),
        (
            "web.cors.origin",
            options
                .cors_origin
                .as_ref()
                .map_or("", regex::Regex::as_str)
                .to_owned(),
        ),
        ("web.external-url", about.external_url.clone()),
    ]);
    known(flags)
}

/// `GET status/config`: the part of the configuration that Prometheus has, too, in its format.
pub(crate) async fn config(Extract(state): Extract<State>) -> Answer {
    let about = &state.options().about;
    let mut yaml = format!(
        "global:\n  evaluation_interval: {}\n",
        text(about.rule_interval)
    );
    if !about.rule_files.is_empty() {
        yaml.push_str("rule_files:\n");
    }
    for file in &about.rule_files {
        // A JSON string is a YAML string. Writing to a text cannot fail.
        let _ = writeln!(yaml, "- {}", json!(file));
    }
    known(json!({"yaml": yaml}))
}

/// A duration as Prometheus writes it.
fn text(length: Duration) -> String {
    duration(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}

/// `GET /-/healthy`
pub(crate) async fn healthy() -> &'static str {
    "Prometheus Server is Healthy.\n"
}

/// `GET /-/ready`: `/readyz` in the words that clients of Prometheus look for.
pub(crate) async fn ready(state: Extract<State>) -> Response {
    let ready = plain::readyz(state).await;
    if ready.status().is_success() {
        "Prometheus Server is Ready.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n").into_response()
    }
}

/// `POST|PUT /-/quit`: refused as by a Prometheus that has no flag for it, since whoever can query
/// would stop the service.
pub(crate) async fn quit() -> Response {
    let message = "Lifecycle API is not enabled. Stop the process instead.\n";
    (StatusCode::FORBIDDEN, message).into_response()
}

/// `POST|PUT admin/tsdb/...`: refused as by a Prometheus that has no flag for it.
pub(crate) async fn admin() -> Answer {
    let message =
        "admin APIs disabled: `throughline storage` takes snapshots, and retention removes";
    Err(unavailable(message))
}

/// `GET features`: what of Prometheus is there, by the names that it has there.
pub(crate) async fn features(Extract(state): Extract<State>) -> Answer {
    let experimental = state.options().promql.features == Features::Experimental;
    let functions = promql::functions::FUNCTIONS.iter();
    let functions = functions.map(|one| (one.name, experimental || !one.is_experimental()));
    let functions: BTreeMap<&str, bool> = functions.collect();
    let operators = promql::ast::AGGREGATES.iter().map(|(name, _)| {
        (
            *name,
            experimental || !matches!(*name, "limitk" | "limit_ratio"),
        )
    });
    let operators: BTreeMap<&str, bool> = operators.collect();
    known(json!({
        "api": {
            "admin": false,
            "label_values_match": true,
            "lifecycle": false,
            "otlp_write_receiver": true,
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": true,
        },
        "promql": {
            "anchored": experimental,
            "at_modifier": true,
            "bool": true,
            "by": true,
            "delayed_name_removal": state.options().promql.delayed_name_removal,
            "duration_expr": experimental,
            "fill": experimental,
            "group_left": true,
            "group_right": true,
            "ignoring": true,
            "negative_offset": true,
            "offset": true,
            "on": true,
            "per_query_lookback_delta": true,
            "smoothed": experimental,
            "subqueries": true,
            "without": true,
        },
        "promql_functions": functions,
        "promql_operators": operators,
    }))
}
