//! How long acknowledgements take when many senders wait for the same disk: one sync is for all
//! that wait.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use model::Signal;
use tests::{Server, Setup};
use throughline::load::{self, LoadOptions};

use crate::run::{self, Plan};
use crate::table::Row;

/// Senders at once, each with one request under way.
const CONNECTIONS: [usize; 3] = [1, 16, 256];
/// Log records of a request: small, so that the sync is what a sender waits for.
const ITEMS_PER_REQUEST: usize = 50;
/// How long each run takes.
const RUN: Duration = Duration::from_secs(10);

/// The figures of each number of connections, each with a collector of its own.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let server = Setup::new(&plan.server, "collector").start();
        let before = syncs(&server).await?;
        let report = load::run(LoadOptions {
            connections,
            batch_items: ITEMS_PER_REQUEST,
            items: None,
            duration: RUN,
            ..plan.load(Signal::Logs, &server)
        })
        .await?;
        ensure!(
            report.unknown_items + report.rejected_items == 0,
            "not all was accepted: {report}"
        );
        let syncs = syncs(&server).await? - before;
        run::stop(server)?;
        let row = |name: &str, measured, unit| {
            Row::new(format!("{connections} connections: {name}"), measured, unit)
        };
        #[allow(clippy::cast_precision_loss)]
        let requests = report.requests as f64;
        rows.extend([
            row("ack p50", report.ack_ms.p50, "ms"),
            row("ack p99", report.ack_ms.p99, "ms"),
            row("requests", requests / report.elapsed_seconds, "/s"),
            row("requests per sync", requests / syncs.max(1.0), ""),
        ]);
    }
    Ok(rows)
}

/// How often the server's log was synced.
async fn syncs(server: &Server) -> anyhow::Result<f64> {
    let answer = server.otlp().request("GET", "/metrics").send().await?;
    let text = answer.text().await?;
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("throughline_storage_wal_syncs_total "));
    Ok(value.context("the metric of syncs")?.trim().parse()?)
}
