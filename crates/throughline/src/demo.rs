//! The simulated shop behind `throughline demo`.
//!
//! Ten services, each with an OpenTelemetry SDK of its own, export traces, logs and metrics over
//! OTLP/gRPC; an eleventh, `legacy-billing`, knows nothing of tracing and only writes lines to a
//! log file, so that request ids alone tie it to the rest.
//!
//! ```text
//! frontend -> gateway -+-> catalog
//!                      +-> recommendation
//!                      +-> cart -> catalog
//!                      +-> checkout -+-> cart
//!                                    +-> inventory
//!                                    +-> payment -> legacy-billing (log file)
//!                                    +-> [queue "orders"] -> shipping -+-> inventory
//!                                                                     +-> notification
//! ```
//!
//! What happens follows from the seed alone: which requests come, what they do, their ids and
//! how long each step takes. Only the clock is real. The payment service fails on a
//! [`Schedule`], counted in the planned times of requests.

mod exemplars;
mod journey;
mod legacy;
mod orders;
mod random;
mod schedule;
mod service;
mod shop;
mod telemetry;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use schedule::Schedule;
pub(crate) use shop::RATE_MAX;

/// What the shop is told.
#[derive(Debug, Clone)]
pub struct ShopOptions {
    /// Where its services export to.
    pub otlp_grpc: SocketAddr,
    /// Where the untraced service writes its log file.
    pub log_dir: PathBuf,
    /// Decides everything but the time.
    pub seed: u64,
    /// Customers' requests per second.
    pub rate: f64,
}

/// What the shop did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShopReport {
    /// Customers' requests that were answered.
    pub requests: u64,
    /// Those among them that failed.
    pub failed: u64,
    /// Orders that were shipped.
    pub shipped: u64,
    /// Lines written by the untraced service.
    pub legacy_lines: u64,
    /// Exports of exemplars that were not taken; the SDKs log theirs themselves.
    pub failed_exports: u64,
}

impl fmt::Display for ShopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            failed,
            shipped,
            legacy_lines,
            failed_exports,
        } = self;
        write!(
            f,
            "{requests} requests, {failed} failed, {shipped} orders shipped, \
             {legacy_lines} lines from {}, {failed_exports} failed exports",
            legacy::SERVICE
        )
    }
}

/// Runs the shop until `shutdown`, then lets what was begun end, and flushes.
pub async fn run_shop(
    options: ShopOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<ShopReport> {
    shop::run(options, Schedule::DEMO, None, shutdown).await
}

/// The alert rules of the demo, as a Prometheus rule file.
pub fn rules() -> &'static str {
    include_str!("demo/rules.yml")
}

/// Where the configuration expects [`rules`]: beside itself, under this name.
pub const RULES_FILE: &str = "rules.yml";

/// The configuration with which `up` serves the shop.
pub fn config(data_dir: &Path, log_dir: &Path) -> String {
    let logs = path_pattern(&log_dir.join(legacy::FILE));
    format!(
        "data_dir: {data_dir}\n\
         rules:\n\
         \x20 files: [{RULES_FILE}]\n\
         \x20 interval: 5s\n\
         agent:\n\
         \x20 files:\n\
         \x20   - include: [{logs}]\n\
         \x20     service: {service}\n\
         \x20     format: auto\n\
         \x20 host: {{interval: 5s}}\n",
        data_dir = quoted(&data_dir.to_string_lossy()),
        service = legacy::SERVICE,
    )
}

/// A path as a quoted pattern that matches it alone.
fn path_pattern(path: &Path) -> String {
    let mut pattern = String::new();
    for letter in path.to_string_lossy().chars() {
        match letter {
            '*' | '?' | '[' | ']' => {
                pattern.push('[');
                pattern.push(letter);
                pattern.push(']');
            }
            other => pattern.push(other),
        }
    }
    quoted(&pattern)
}

/// A text in double quotes; JSON's escapes are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
