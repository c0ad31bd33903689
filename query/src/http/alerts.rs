//! Rules and alerts, natively and as Prometheus serves them.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
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
        .merge(prometheus::rules::router())
        .with_state(manager)
}
