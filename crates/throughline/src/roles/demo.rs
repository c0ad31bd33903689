//! `demo`: everything that `up` runs in a scratch folder, and a simulated shop that uses it.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use tokio_util::sync::CancellationToken;

use super::until;
use super::up::Up;
use crate::cli;
use crate::demo::{self, ShopOptions};
use crate::output::line;

pub(crate) async fn run(arguments: &cli::Demo) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("no scratch folder")?;
    let dir = match &arguments.role.data_dir {
        Some(dir) => dir.clone(),
        None => scratch.path().join("data"),
    };
    let log_dir = scratch.path().join("logs");
    std::fs::create_dir_all(&log_dir)?;
    let rules = scratch.path().join("rules.yml");
    std::fs::write(&rules, demo::rules())?;
    let file = scratch.path().join("throughline.yaml");
    std::fs::write(&file, demo::config(&dir, &log_dir))?;
    let role = cli::Role {
        config: Some(file),
        data_dir: Some(dir.clone()),
        ..arguments.role.clone()
    };
    let config: Config = crate::options::load(&role)?;
    let up = Up::start(&config).await?;
    let url = format!("http://{}", up.query());
    let stop = CancellationToken::new();
    let shop = tokio::spawn(demo::run_shop(
        ShopOptions {
            otlp_grpc: up.otlp_grpc(),
            log_dir,
            seed: arguments.seed,
            rate: arguments.rate,
        },
        stop.clone(),
    ));
    let end = async {
        match arguments.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let result = if std::io::stdout().is_terminal() && !arguments.no_tui {
        let options = tui::Options {
            url,
            no_color: false,
            utc: false,
            open: String::new(),
        };
        tokio::select! {
            result = tui::run(options) => result.map_err(anyhow::Error::from),
            () = end => Ok(()),
        }
    } else {
        print_hints(&url)?;
        first_trace(&url).await?;
        until(end).await;
        Ok(())
    };
    stop.cancel();
    match tokio::time::timeout(Duration::from_secs(5), shop).await {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the shop failed"),
        Ok(Err(error)) => tracing::warn!(%error, "the shop panicked"),
        Ok(Ok(Ok(_))) | Err(_) => {}
    }
    up.stop().await;
    result
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
