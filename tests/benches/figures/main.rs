//! Measures the server from outside and prints the table of `docs/benchmarks.md`.
//!
//! `cargo build --release && cargo bench -p tests --bench figures -- --items 2000000`
//!
//! Each signal is loaded into a fresh collector, which is stopped when its CPU use has settled;
//! its folder is weighed, `up` is started over it, and questions are asked on one connection.

mod commits;
mod disk;
mod process;
mod questions;
mod run;
mod table;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use model::Signal;
use throughline::load::CorpusKind;

use run::Plan;
use table::Row;

/// Measures ingest, disk, memory and queries of a server binary.
#[derive(Parser)]
struct Arguments {
    /// Spans and log records; of metrics as many points for each of these as the full run has.
    #[arg(long, default_value_t = 2_000_000)]
    items: u64,
    /// Data points; by default 9.6 million for 2 million items.
    #[arg(long)]
    points: Option<u64>,
    /// Which signals, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "traces,logs,metrics,remote-write"
    )]
    signals: Vec<String>,
    /// standard, scattered, wide, lines or recorded.
    #[arg(long, default_value = "standard")]
    corpus: String,
    /// The files of the corpora of lines and of what was recorded.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// The archive of the train-ticket system: its rows are the corpus.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["corpus", "files"])]
    train_ticket: Option<PathBuf>,
    /// The server; by default the release binary that cargo built beside this one.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Keep the data folders in this one.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Series of metrics.
    #[arg(long, default_value_t = throughline::load::SERIES)]
    series: u64,
    /// The items follow from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measure acknowledgements with 1, 16 and 256 connections, and nothing else.
    #[arg(long)]
    commits: bool,
    /// Print JSON instead of markdown.
    #[arg(long)]
    json: bool,
    /// What cargo tells a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Points of a full run for each of its spans, in tenths.
const POINT_TENTHS_PER_ITEM: u64 = 48;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "what it is for")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut plan = plan(&arguments)?;
    let folder = tempfile::tempdir()?;
    if let Some(archive) = &arguments.train_ticket {
        plan.corpus = CorpusKind::Recorded;
        plan.files = vec![train_ticket(archive, folder.path())?];
    }
    let rows = if arguments.commits {
        commits::measure(&plan).await?
    } else {
        all(&plan, &arguments.signals).await?
    };
    if arguments.json {
        println!("{}", table::json(&rows));
    } else {
        print!("{}", table::markdown(&rows));
    }
    Ok(())
}

async fn all(plan: &Plan, signals: &[String]) -> anyhow::Result<Vec<Row>> {
    let mut rows = run::start_and_idle(plan)?;
    for name in signals {
        if name == "remote-write" {
            rows.extend(run::remote_write(plan).await?);
            continue;
        }
        let Some(signal) = Signal::from_name(name) else {
            bail!("--signals {name}: of traces, logs, metrics, remote-write");
        };
        rows.extend(run::signal(plan, signal).await?);
    }
    Ok(rows)
}

fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let corpus = CorpusKind::from_name(&arguments.corpus)?;
    ensure!(arguments.items > 0, "--items must be at least 1");
    let server = match &arguments.server {
        Some(server) => server.clone(),
        None => beside_this()?,
    };
    ensure!(
        server.is_file(),
        "no server at {}: run `cargo build --release` or name one with --server",
        server.display()
    );
    Ok(Plan {
        server: server.display().to_string(),
        items: arguments.items,
        points: arguments
            .points
            .unwrap_or(arguments.items * POINT_TENTHS_PER_ITEM / 10),
        corpus,
        files: arguments.files.clone(),
        keep: arguments.keep.clone(),
        series: arguments.series,
        seed: arguments.seed,
    })
}

/// The rows of the train-ticket system as OTLP JSON lines.
fn train_ticket(archive: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let data = tests::trainticket::read(archive).context("no tar with xz to unpack it")?;
    let path = folder.join("train-ticket.jsonl");
    let mut file = BufWriter::new(File::create(&path)?);
    for export in data.trace_exports.iter().chain(&data.log_exports) {
        writeln!(file, "{export}")?;
    }
    file.flush()?;
    Ok(path)
}

/// `target/release/throughline`, from `target/release/deps/figures-HASH`.
fn beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(|deps| deps.parent());
    Ok(folder
        .context("no folder above this program")?
        .join("throughline"))
}
