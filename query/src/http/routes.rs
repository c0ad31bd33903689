//! Every route of the query service in one table.

use axum::routing::{MethodRouter, get, post};

use super::prometheus::{
    exemplars, expression, federate, labels, metadata, query, read, status, targets, tsdb,
};
use super::{State, native, openapi, plain, tail};

/// A route.
pub struct Route {
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// What answers it.
    pub handler: MethodRouter<State>,
}

/// Paths of the routers that are merged with this table's routes.
pub const MERGED: [&str; 14] = [
    "/api/v1/traces/{trace_id}",
    "/api/v1/story/{id}",
    "/-/reload",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/prometheus/-/reload",
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
    let mut routes = vec![
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
        route("/api/v1/metrics/cardinality", get(native::cardinality)),
        route("/api/v1/search/complete", get(native::complete)),
        route("/api/v1/search/highlight", get(native::highlight)),
    ];
    routes.extend(prometheus());
    routes.extend(prometheus_status());
    routes
}

/// What Prometheus' API says of data.
fn prometheus() -> Vec<Route> {
    let route = |path, handler| Route { path, handler };
    vec![
        route(
            "/prometheus/api/v1/query",
            get(query::instant).post(query::instant),
        ),
        route(
            "/prometheus/api/v1/query_range",
            get(query::range).post(query::range),
        ),
        route(
            "/prometheus/api/v1/query_exemplars",
            get(exemplars::query).post(exemplars::query),
        ),
        route(
            "/prometheus/api/v1/format_query",
            get(expression::format).post(expression::format),
        ),
        route(
            "/prometheus/api/v1/parse_query",
            get(expression::parse).post(expression::parse),
        ),
        route(
            "/prometheus/api/v1/labels",
            get(labels::names).post(labels::names),
        ),
        route(
            "/prometheus/api/v1/label/{name}/values",
            get(labels::values),
        ),
        route(
            "/prometheus/api/v1/series",
            get(labels::series).post(labels::series),
        ),
        route("/prometheus/federate", get(federate::federate)),
    ]
}

/// What Prometheus' API says of the service and of what is scraped.
fn prometheus_status() -> Vec<Route> {
    let route = |path, handler| Route { path, handler };
    let admin = || post(status::admin).put(status::admin);
    vec![
        route("/prometheus/api/v1/metadata", get(metadata::metadata)),
        route("/prometheus/api/v1/targets", get(targets::targets)),
        route(
            "/prometheus/api/v1/targets/metadata",
            get(targets::targets_metadata),
        ),
        route(
            "/prometheus/api/v1/scrape_pools",
            get(targets::scrape_pools),
        ),
        route(
            "/prometheus/api/v1/alertmanagers",
            get(targets::alertmanagers),
        ),
        route(
            "/prometheus/api/v1/status/buildinfo",
            get(status::buildinfo),
        ),
        route(
            "/prometheus/api/v1/status/runtimeinfo",
            get(status::runtimeinfo),
        ),
        route("/prometheus/api/v1/status/flags", get(status::flags)),
        route("/prometheus/api/v1/status/config", get(status::config)),
        route("/prometheus/api/v1/status/tsdb", get(tsdb::tsdb)),
        route(
            "/prometheus/api/v1/status/walreplay",
            get(status::walreplay),
        ),
        route(
            "/prometheus/api/v1/notifications",
            get(status::notifications),
        ),
        route("/prometheus/-/healthy", get(status::healthy)),
        route("/prometheus/-/ready", get(status::ready)),
        route("/prometheus/-/quit", post(status::quit).put(status::quit)),
        route("/prometheus/api/v1/read", post(read::read)),
        route("/prometheus/api/v1/features", get(status::features)),
        route("/prometheus/api/v1/admin/tsdb/snapshot", admin()),
        route("/prometheus/api/v1/admin/tsdb/delete_series", admin()),
        route("/prometheus/api/v1/admin/tsdb/clean_tombstones", admin()),
    ]
}
