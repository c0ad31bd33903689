//! Every route of the query service in one table.

use axum::routing::{MethodRouter, get};

use super::{State, native, openapi, plain, prometheus, tail};

/// A route.
pub struct Route {
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// What answers it.
    pub handler: MethodRouter<State>,
}

/// Paths of the routers that are merged with this table's routes.
pub const MERGED: [&str; 12] = [
    "/api/v1/traces/{trace_id}",
    "/api/v1/story/{id}",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/prometheus/api/v1/rules",
    "/prometheus/api/v1/alerts",
    "/jaeger/api/services",
    "/jaeger/api/services/{service}/operations",
    "/jaeger/api/operations",
    "/jaeger/api/traces",
    "/jaeger/api/traces/{trace_id}",
    "/jaeger/api/dependencies",
];

/// The routes of this module.
pub fn all() -> Vec<Route> {
    let route = |path, handler| Route { path, handler };
    vec![
        route("/healthz", get(plain::healthz)),
        route("/readyz", get(plain::readyz)),
        route("/metrics", get(plain::metrics)),
        route("/api/v1/openapi.json", get(openapi::document)),
        route("/api/v1/traces", get(native::traces)),
        route("/api/v1/logs", get(native::logs)),
        route("/api/v1/logs/records", get(native::records)),
        route("/api/v1/logs/histogram", get(native::histogram)),
        route("/api/v1/logs/tail", get(tail::tail)),
        route("/api/v1/services", get(native::services)),
        route(
            "/api/v1/services/{service}/operations",
            get(native::operations),
        ),
        route("/api/v1/fields", get(native::fields)),
        route("/api/v1/fields/{field}/values", get(native::values)),
        route("/api/v1/metrics/points", get(native::points)),
        route("/api/v1/search/complete", get(native::complete)),
        route("/api/v1/search/highlight", get(native::highlight)),
        route(
            "/prometheus/api/v1/query",
            get(prometheus::query).post(prometheus::query),
        ),
        route(
            "/prometheus/api/v1/query_range",
            get(prometheus::query_range).post(prometheus::query_range),
        ),
        route(
            "/prometheus/api/v1/query_exemplars",
            get(prometheus::query_exemplars).post(prometheus::query_exemplars),
        ),
        route(
            "/prometheus/api/v1/labels",
            get(prometheus::labels).post(prometheus::labels),
        ),
        route(
            "/prometheus/api/v1/label/{name}/values",
            get(prometheus::label_values),
        ),
        route(
            "/prometheus/api/v1/series",
            get(prometheus::series).post(prometheus::series),
        ),
        route("/prometheus/api/v1/metadata", get(prometheus::metadata)),
        route(
            "/prometheus/api/v1/status/buildinfo",
            get(prometheus::buildinfo),
        ),
    ]
}
