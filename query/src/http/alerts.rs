//! Rules and alerts, natively and as Prometheus serves them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::prometheus;
use crate::alerts::Manager;

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
        .route("/-/reload", post(reload).put(reload))
        .route("/prometheus/-/reload", post(reload).put(reload))
        .merge(prometheus::rules::router())
        .with_state(manager)
}

/// Reads the rule files anew.
async fn reload(State(manager): State<Arc<Manager>>) -> Result<(), (StatusCode, String)> {
    manager.reload().await.map_err(|error| {
        let text = format!("failed to reload config: {error}\n");
        (StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}
