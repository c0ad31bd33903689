//! Prometheus' HTTP API under `/prometheus`, for Grafana, promtool and whatever else asks
//! Prometheus. One file is one group of endpoints.
//!
//! Parameters come in the address or as a form. Unknown ones are passed over, as Prometheus
//! does; errors have its shape and codes. What an answer lacks is among its `warnings`, and the
//! headers of [`super::completeness`] say how complete it is.

mod answer;
pub(super) mod exemplars;
pub(super) mod expression;
pub(super) mod federate;
mod form;
pub(super) mod labels;
pub(super) mod metadata;
pub(super) mod query;
pub(super) mod read;
pub(super) mod rules;
pub(super) mod status;
pub(super) mod targets;
pub(super) mod tsdb;

pub(super) use answer::failure;
