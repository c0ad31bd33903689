//! Health, readiness and metrics.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;
use storage::message::Limits;

use super::State;
use crate::sources::Work;

/// How long a source may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: a source of data answers, or 503.
pub async fn readyz(Extract(state): Extract<State>) -> Response {
    let timeout_ms = u64::try_from(READY_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let work = Work::new(Limits {
        timeout_ms,
        ..Limits::default()
    });
    // Those that answer in time are told when it is over, whoever else hangs.
    let sources = state.sources().clone().with_grace(Duration::ZERO);
    let asked = sources.status(state.options().tenant.clone(), &work);
    match tokio::time::timeout(READY_TIMEOUT, asked).await {
        Ok(Ok(found)) => {
            let sources: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
            let completeness = work.completeness();
            let body = json!({"ready": true, "sources": sources, "cut": completeness.cut});
            Json(body).into_response()
        }
        Ok(Err(error)) => error.into_response(),
        Err(_) => {
            let body = json!({"ready": false, "reason": "no source of data answered in time"});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /metrics`: counters in Prometheus' text format.
pub async fn metrics(Extract(state): Extract<State>) -> Response {
    let shared = &state.0;
    let mut text = String::new();
    let (running, waiting) = shared.gate.load();
    let tails = shared
        .options
        .tails
        .saturating_sub(shared.tails.available_permits());
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let outcomes = [
        ("answered", load(&shared.answered)),
        ("refused", load(&shared.refused)),
        ("failed", load(&shared.failed)),
    ];
    text.push_str("# HELP throughline_query_requests_total HTTP requests by outcome.\n");
    text.push_str("# TYPE throughline_query_requests_total counter\n");
    for (outcome, count) in outcomes {
        let _ = writeln!(
            text,
            "throughline_query_requests_total{{outcome=\"{outcome}\"}} {count}"
        );
    }
    let name = "throughline_query_memory_refusals_total";
    let help = "Queries asked to come again, since others held the memory.";
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
    for (of, count) in shared.memory.refused() {
        let _ = writeln!(text, "{name}{{of=\"{of}\"}} {count}");
    }
    let name = "throughline_rule_evaluations_abandoned_total";
    let help = "Evaluations of rules that went on when their time was over.";
    let abandoned = load(&shared.rules_abandoned);
    let _ = writeln!(
        text,
        "# HELP {name} {help}\n# TYPE {name} counter\n{name} {abandoned}"
    );
    let gauges = [
        ("throughline_query_running", "Queries that run.", running),
        (
            "throughline_query_waiting",
            "Queries that wait for a place.",
            waiting,
        ),
        ("throughline_query_tails", "Live tails.", tails),
        (
            "throughline_query_sources",
            "Sources of data.",
            shared.sources.len(),
        ),
    ];
    for (name, help, value) in gauges {
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    for source in &shared.options.metrics {
        text.push_str(&source());
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}
