//! Rules and alerts, natively and as Prometheus serves them.

use std::sync::Arc;

use api::types::{AlertView, RuleView};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value as Json_, json};

use crate::alerts::Manager;
use crate::alerts::notifier::payload::rfc3339;
use crate::alerts::template::float_e;

/// The routes, to be merged into the service's router.
pub fn router(manager: Arc<Manager>) -> Router {
    Router::new()
        .route(
            "/api/v1/rules",
            get(async |State(m): State<Arc<Manager>>| Json(m.rules())),
        )
        .route(
            "/api/v1/alerts",
            get(async |State(m): State<Arc<Manager>>| Json(m.alerts())),
        )
        .route("/prometheus/api/v1/rules", get(prometheus_rules))
        .route("/prometheus/api/v1/alerts", get(prometheus_alerts))
        .with_state(manager)
}

async fn prometheus_alerts(State(manager): State<Arc<Manager>>) -> Json<Json_> {
    let alerts: Vec<Json_> = manager.alerts().alerts.iter().map(alert).collect();
    Json(json!({"status": "success", "data": {"alerts": alerts}}))
}

async fn prometheus_rules(State(manager): State<Arc<Manager>>) -> Json<Json_> {
    let answer = manager.rules();
    let groups: Vec<Json_> = answer
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let timings = manager.timings(index);
            let rules: Vec<Json_> = group
                .rules
                .iter()
                .zip(timings)
                .map(|(view, timing)| rule(view, timing))
                .collect();
            json!({
                "name": group.name,
                "file": group.file,
                "rules": rules,
                "interval": group.interval_seconds,
                "limit": manager.limit(index),
                "evaluationTime": seconds(group.evaluation_nano),
                "lastEvaluation": rfc3339(group.last_evaluation_unix_nano),
            })
        })
        .collect();
    Json(json!({"status": "success", "data": {"groups": groups}}))
}

#[allow(clippy::cast_precision_loss)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn rule(view: &RuleView, (evaluated_at, took_nano, keep_firing): (u64, u64, f64)) -> Json_ {
    let mut rule = json!({
        "name": view.name,
        "query": view.query,
        "labels": view.labels,
        "health": view.health,
        "evaluationTime": seconds(took_nano),
        "lastEvaluation": rfc3339(evaluated_at),
        "type": view.kind,
    });
    if !view.last_error.is_empty() {
        rule["lastError"] = view.last_error.clone().into();
    }
    if view.kind == "alerting" {
        rule["state"] = view.state.clone().into();
        rule["duration"] = view.for_seconds.into();
        rule["keepFiringFor"] = keep_firing.into();
        rule["annotations"] = json!(view.annotations);
        rule["alerts"] = view.alerts.iter().map(alert).collect();
    }
    rule
}

fn alert(view: &AlertView) -> Json_ {
    json!({
        "labels": view.labels,
        "annotations": view.annotations,
        "state": view.state,
        "activeAt": rfc3339(view.active_since_unix_nano),
        "value": float_e(view.value),
    })
}
