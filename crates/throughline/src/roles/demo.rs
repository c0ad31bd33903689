//! `demo`: everything that `up` runs in a scratch folder, and a simulated shop that uses it.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use tokio_util::sync::CancellationToken;

use super::up::Up;
use super::{failed, until};
use crate::cli;
use crate::demo::{self, ShopOptions};
use crate::output::line;

/// How long the shop may take to let what it began end.
const CLOSING_TIME: Duration = Duration::from_secs(5);

pub(crate) async fn run(arguments: &cli::Demo) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("no scratch folder")?;
    let log_dir = scratch.path().join("logs");
    std::fs::create_dir_all(&log_dir)?;
    let config = configuration(scratch.path(), &log_dir, &arguments.place)?;
    let up = Up::start(&config).await?;
    let url = format!("http://{}", up.query());
    let stop = CancellationToken::new();
    let options = ShopOptions {
        otlp_grpc: up.otlp_grpc(),
        log_dir,
        seed: arguments.seed,
        rate: arguments.rate,
    };
    let mut shop = tokio::spawn(demo::run_shop(options, stop.clone()));
    // A shop that ends by itself has failed, and without it there is nothing to show.
    let mut ended = None;
    let end = async {
        let duration = arguments.duration.unwrap_or(Duration::MAX);
        ended = tokio::time::timeout(duration, &mut shop).await.ok();
    };
    let shown = show(arguments, &url, end, &up).await;
    stop.cancel();
    let ended = match ended {
        Some(ended) => Some(ended),
        None => tokio::time::timeout(CLOSING_TIME, shop).await.ok(),
    };
    up.stop().await;
    shown?;
    match ended {
        Some(ended) => ended
            .context("the shop panicked")?
            .map(drop)
            .context("the shop failed"),
        None => Ok(()),
    }
}

/// Shows the demo until it ends: in the terminal UI, or by printing what to try.
async fn show(
    arguments: &cli::Demo,
    url: &str,
    end: impl Future<Output = ()>,
    up: &Up,
) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() || arguments.no_tui {
        print_hints(url)?;
        let first = async {
            match first_trace(url).await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        return tokio::select! {
            ended = until(end, up.failures()) => Ok(ended?),
            error = first => Err(error),
        };
    }
    let options = tui::Options {
        url: url.to_owned(),
        no_color: false,
        utc: false,
        open: String::new(),
    };
    tokio::select! {
        result = tui::run(options) => Ok(result?),
        () = end => Ok(()),
        failed = failed(up.failures()) => Err(failed.into()),
    }
}

/// The configuration of the demo, over which options of the command line win.
fn configuration(scratch: &Path, log_dir: &Path, place: &cli::Place) -> anyhow::Result<Config> {
    let dir = match &place.data_dir {
        Some(dir) => dir.clone(),
        None => scratch.join("data"),
    };
    std::fs::write(scratch.join(demo::RULES_FILE), demo::rules())?;
    let file = scratch.join("throughline.yaml");
    std::fs::write(&file, demo::config(&dir, log_dir))?;
    crate::options::load_file(Some(&file), place)
}

fn print_hints(url: &str) -> anyhow::Result<()> {
    line(&format!(
        "Throughline demo: a shop of simulated services reports to {url}"
    ))?;
    line("Try, in another terminal:")?;
    for command in [
        "tui",
        "logs 'level:error' --limit 5",
        "query 'sum by (service) (rate(traces_spanmetrics_calls_total[1m]))'",
    ] {
        line(&format!("  throughline {command} --url {url}"))?;
    }
    line("Ctrl-C ends it.")
}

/// Prints the first trace that goes through several services.
async fn first_trace(url: &str) -> anyhow::Result<()> {
    let client = api::Client::new(url)?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while tokio::time::Instant::now() < deadline {
        let params = api::TracesParams {
            limit: Some(50),
            ..api::TracesParams::default()
        };
        let answer = client.traces(&params).await?;
        let found = answer
            .traces
            .iter()
            .max_by_key(|trace| trace.services.len());
        if let Some(trace) = found.filter(|trace| trace.services.len() >= 4) {
            let whole = client
                .trace(&trace.trace_id, &api::Range::default())
                .await?;
            line("")?;
            crate::ask::print_trace(&whole)?;
            line(&format!(
                "  throughline story {} --url {url}",
                trace.trace_id
            ))?;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    line("No trace of several services yet; look again with the commands above.")
}
