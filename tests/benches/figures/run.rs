//! Loads a server and looks at it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use model::Signal;
use tests::{Server, Setup};
use throughline::load::{self, CorpusKind, LoadOptions, LoadReport};

use crate::process::{self, AnonPeak};
use crate::table::Row;
use crate::{disk, questions};

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) server: String,
    pub(crate) items: u64,
    pub(crate) points: u64,
    pub(crate) corpus: CorpusKind,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) keep: Option<PathBuf>,
    pub(crate) series: u64,
    pub(crate) seed: u64,
}

impl Plan {
    pub(crate) fn items_of(&self, signal: Signal) -> u64 {
        if signal == Signal::Metrics {
            self.points
        } else {
            self.items
        }
    }

    fn setup(&self, role: &str) -> Setup {
        match &self.keep {
            Some(folder) => Setup::kept_in(&self.server, role, folder),
            None => Setup::new(&self.server, role),
        }
    }

    pub(crate) fn load(&self, signal: Signal, server: &Server) -> LoadOptions {
        LoadOptions {
            endpoint: format!("http://{}", server.address("otlp_grpc")),
            http: false,
            remote_write: false,
            signal,
            corpus: self.corpus,
            files: self.files.clone(),
            rate: None,
            connections: CONNECTIONS,
            batch_items: if signal == Signal::Metrics {
                POINTS_PER_REQUEST
            } else {
                ITEMS_PER_REQUEST
            },
            items: Some(self.items_of(signal)),
            duration: LOAD_MAX,
            series: if signal == Signal::Metrics {
                self.series
            } else {
                load::SERIES
            },
            seed: self.seed,
            verify_file: None,
        }
    }
}

const CONNECTIONS: usize = 4;
const ITEMS_PER_REQUEST: usize = 1_000;
const POINTS_PER_REQUEST: usize = 10_000;
/// A load that takes longer has failed.
const LOAD_MAX: Duration = Duration::from_secs(3_600);
/// Items per second of the paced run.
const PACE: u64 = 10_000;
/// The paced run sends as many items as the other, for at most this long.
const PACED_MAX: Duration = Duration::from_secs(60);
const MIB: f64 = 1_048_576.0;

/// What a signal should cost.
struct Goals {
    cpu_seconds_per_million: f64,
    bytes: f64,
    /// Of requests of 1,000 items.
    ack: bool,
}

fn goals(signal: Signal) -> Goals {
    let (cpu_seconds_per_million, bytes) = match signal {
        Signal::Traces => (9.0, 65.0),
        Signal::Logs => (6.0, 35.0),
        Signal::Metrics => (3.0, 1.5),
    };
    Goals {
        cpu_seconds_per_million,
        bytes,
        ack: signal != Signal::Metrics,
    }
}

/// How long a start takes and what an idle process holds.
pub(crate) fn start_and_idle(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (role, memory) in [("collector", 20.0), ("up", 30.0)] {
        let setup = Setup::new(&plan.server, role);
        let begin = SystemTime::now();
        let server = setup.start();
        let ready = setup.data_dir().join("endpoints.json").metadata()?;
        // The kernel's clock for files may be a tick behind.
        let took = ready.modified()?.duration_since(begin).unwrap_or_default();
        let milliseconds = took.as_secs_f64() * 1e3;
        process::settled_cpu_seconds(server.pid())?;
        rows.push(Row::new(format!("{role}: start"), milliseconds, "ms").goal(50.0));
        let resident = mib(server.memory_bytes("VmRSS"));
        rows.push(Row::new(format!("{role}: idle memory (VmRSS)"), resident, "MiB").goal(memory));
        stop(server)?;
    }
    Ok(rows)
}

/// All figures of one signal.
pub(crate) async fn signal(plan: &Plan, signal: Signal) -> anyhow::Result<Vec<Row>> {
    let setup = plan.setup("collector");
    let server = setup.start();
    let mut rows = ingest(plan, signal, &server).await?;
    stop(server)?;
    if signal == Signal::Metrics {
        rows.push(settle(plan, &setup)?);
    }
    rows.extend(weigh(plan, signal, &setup)?);
    if signal != Signal::Metrics {
        rows.extend(paced(plan, signal).await?);
    }
    let server = setup.with_role("up").start();
    rows.extend(questions::ask(plan, signal, &server.query()).await?);
    stop(server)?;
    Ok(rows)
}

/// What the metrics cost when Prometheus writes them.
#[allow(clippy::cast_precision_loss)]
pub(crate) async fn remote_write(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let setup = plan.setup("collector");
    let server = setup.start();
    let pid = server.pid();
    let before = process::settled_cpu_seconds(pid)?;
    let report = load::run(LoadOptions {
        endpoint: format!("http://{}", server.address("otlp_http")),
        remote_write: true,
        ..plan.load(Signal::Metrics, &server)
    })
    .await?;
    whole(&report, plan.points)?;
    let cpu = process::settled_cpu_seconds(pid)? - before;
    let peak = mib(server.memory_bytes("VmHWM"));
    stop(server)?;
    let settled = settle(plan, &setup)?;
    let parts = disk::parts(&setup.data_dir())?;
    let bytes = parts.values().sum::<u64>() as f64 / plan.points as f64;
    let row =
        |name: &str, measured, unit| Row::new(format!("remote write: {name}"), measured, unit);
    Ok(vec![
        row("request", report.bytes_per_item, "bytes/item"),
        row("accepted, closed loop", report.items_per_second, "items/s"),
        row("CPU", cpu * 1e6 / report.accepted_items as f64, "s/million").goal(2.0),
        settled,
        row("peak memory (VmHWM)", peak, "MiB").goal(300.0),
        row("on disk", bytes, "bytes/item").goal(1.5),
    ])
}

#[allow(clippy::cast_precision_loss)]
async fn ingest(plan: &Plan, signal: Signal, server: &Server) -> anyhow::Result<Vec<Row>> {
    let pid = server.pid();
    let before = process::settled_cpu_seconds(pid)?;
    let anon = AnonPeak::follow(pid);
    let report = load::run(plan.load(signal, server)).await?;
    whole(&report, plan.items_of(signal))?;
    let cpu = process::settled_cpu_seconds(pid)? - before;
    let anon = anon.end();
    let goals = goals(signal);
    let goal = |limit: f64| goals.ack.then_some(limit);
    let row = |name: &str, measured, unit| Row::new(format!("{signal}: {name}"), measured, unit);
    Ok(vec![
        row("request", report.bytes_per_item, "bytes/item"),
        row("accepted, closed loop", report.items_per_second, "items/s"),
        row("CPU", cpu * 1e6 / report.accepted_items as f64, "s/million")
            .goal(goals.cpu_seconds_per_million),
        row("ack p50, closed loop", report.ack_ms.p50, "ms").goal(goal(30.0)),
        row("ack p99, closed loop", report.ack_ms.p99, "ms").goal(goal(100.0)),
        row(
            "peak memory (VmHWM)",
            mib(server.memory_bytes("VmHWM")),
            "MiB",
        )
        .goal(300.0),
        row("peak memory (RssAnon, sampled)", mib(anon), "MiB"),
    ])
}

/// Starts the server again, which merges what it wrote last with what it has, and stops it once it
/// has settled.
#[allow(clippy::cast_precision_loss)]
fn settle(plan: &Plan, setup: &Setup) -> anyhow::Result<Row> {
    let server = setup.start();
    let cpu = process::settled_cpu_seconds(server.pid())?;
    stop(server)?;
    let millions = plan.items_of(Signal::Metrics) as f64 / 1e6;
    Ok(Row::new(
        "metrics: CPU of a restart, which merges files".to_owned(),
        cpu / millions,
        "s/million",
    ))
}

/// Bytes per item of the stopped server's folder.
#[allow(clippy::cast_precision_loss)]
fn weigh(plan: &Plan, signal: Signal, setup: &Setup) -> anyhow::Result<Vec<Row>> {
    let parts = disk::parts(&setup.data_dir())?;
    let items = plan.items_of(signal) as f64;
    let whole = parts.values().sum::<u64>() as f64 / items;
    let mut rows =
        vec![Row::new(format!("{signal}: on disk"), whole, "bytes/item").goal(goals(signal).bytes)];
    for part in disk::PARTS {
        let bytes = parts.get(part).copied().unwrap_or_default() as f64 / items;
        rows.push(Row::new(
            format!("{signal}: on disk, {part}"),
            bytes,
            "bytes/item",
        ));
    }
    Ok(rows)
}

/// Acknowledgements at a rate far below what is possible, of a server of its own.
async fn paced(plan: &Plan, signal: Signal) -> anyhow::Result<Vec<Row>> {
    let server = Setup::new(&plan.server, "collector").start();
    let items = plan.items.min(PACE * PACED_MAX.as_secs());
    let report = load::run(LoadOptions {
        rate: Some(PACE),
        items: Some(items),
        ..plan.load(signal, &server)
    })
    .await?;
    whole(&report, items)?;
    stop(server)?;
    let name = |quantile| format!("{signal}: ack {quantile}, paced at {PACE} items/s");
    Ok(vec![
        Row::new(name("p50"), report.ack_ms.p50, "ms").goal(5.0),
        Row::new(name("p99"), report.ack_ms.p99, "ms").goal(30.0),
    ])
}

/// A figure of a run that lost something would be worth nothing.
fn whole(report: &LoadReport, items: u64) -> anyhow::Result<()> {
    ensure!(
        report.accepted_items == items,
        "not all of {items} items were accepted: {report}"
    );
    Ok(())
}

pub(crate) fn stop(server: Server) -> anyhow::Result<()> {
    let (status, _) = server.terminate();
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}
