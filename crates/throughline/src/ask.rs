//! Commands that ask a query service and print its answer: as text for people, as JSON for
//! pipes.

mod print;

use std::process::ExitCode;

use anyhow::{Context, bail};
use api::{CardinalityParams, Client, Completeness, LogsParams, Range};
use futures::StreamExt;

use crate::cli;
use crate::load::{self, CorpusKind, LoadOptions};
use crate::output::{self, line};

pub(crate) use print::print_trace;

/// How many log records are printed where nobody says how many.
const LOGS_LIMIT: u64 = 100;

fn client(ask: &cli::Ask) -> anyhow::Result<Client> {
    let url = ask.service.url();
    Client::new(&url).with_context(|| format!("--url {url}"))
}

fn json<T: serde::Serialize>(answer: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(answer)?)
}

pub(crate) async fn trace(arguments: &cli::AskId) -> anyhow::Result<ExitCode> {
    let answer = client(&arguments.ask)?
        .trace(&arguments.id, &arguments.range())
        .await?;
    if arguments.ask.json {
        json(&answer)?;
    } else {
        print_trace(&answer)?;
    }
    Ok(exit_code(&answer.completeness))
}

pub(crate) async fn story(arguments: &cli::AskId) -> anyhow::Result<ExitCode> {
    let answer = client(&arguments.ask)?
        .story(&arguments.id, &arguments.range())
        .await?;
    if arguments.ask.json {
        json(&answer)?;
    } else {
        print::story(&answer)?;
    }
    Ok(exit_code(&answer.completeness))
}

pub(crate) async fn promql(arguments: &cli::Query, expression: &str) -> anyhow::Result<()> {
    let answer = client(&arguments.ask)?
        .promql(expression, arguments.time.as_deref())
        .await?;
    if arguments.ask.json {
        json(&answer)
    } else {
        print::promql(&answer)
    }
}

pub(crate) async fn logs(arguments: &cli::Logs) -> anyhow::Result<ExitCode> {
    let client = client(&arguments.ask)?;
    if arguments.follow {
        return follow(&client, arguments).await;
    }
    let params = LogsParams {
        q: arguments.query.clone(),
        range: Range {
            start: arguments.start.clone(),
            end: arguments.end.clone(),
        },
        limit: Some(arguments.limit.unwrap_or(LOGS_LIMIT)),
        ..LogsParams::default()
    };
    let mut answer = client.logs(&params).await?;
    if arguments.ask.json {
        json(&answer)?;
    } else {
        // The newest were asked for; a terminal shows the newest last.
        answer.logs.reverse();
        answer.logs.iter().try_for_each(print::log)?;
        print::completeness(&answer.completeness)?;
    }
    Ok(exit_code(&answer.completeness))
}

pub(crate) async fn cardinality(arguments: &cli::Cardinality) -> anyhow::Result<ExitCode> {
    let params = CardinalityParams {
        q: arguments.selector.clone(),
        label: arguments.label.clone(),
        by: Some(arguments.by.clone()),
        range: Range {
            start: arguments.start.clone(),
            end: arguments.end.clone(),
        },
        limit: Some(arguments.limit),
    };
    let answer = client(&arguments.ask)?.cardinality(&params).await?;
    if arguments.ask.json {
        json(&answer)?;
    } else {
        print::cardinality(&answer)?;
    }
    Ok(exit_code(&answer.completeness))
}

/// How a command ends whose answer is there: a script must notice that a source is missing from it.
fn exit_code(completeness: &Completeness) -> ExitCode {
    let lost: Vec<&str> = completeness
        .lost()
        .map(|source| source.source.as_str())
        .collect();
    incomplete(&lost)
}

fn incomplete(lost: &[&str]) -> ExitCode {
    if lost.is_empty() {
        return ExitCode::SUCCESS;
    }
    output::warn(&format!(
        "the answer is incomplete, lost: {}",
        lost.join(", ")
    ));
    ExitCode::from(output::INCOMPLETE)
}

async fn follow(client: &Client, arguments: &cli::Logs) -> anyhow::Result<ExitCode> {
    let mut tail = client.tail(&arguments.query).await?;
    let mut dropped = 0;
    let mut lost: Vec<String> = Vec::new();
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = tail.next() => event,
            () = crate::stop::asked() => break,
        };
        let Some(event) = event.transpose()? else {
            bail!("the service ended the tail");
        };
        for log in &event.logs {
            let Some(rest) = left.checked_sub(1) else {
                break;
            };
            left = rest;
            if arguments.ask.json {
                line(&serde_json::to_string(log)?)?;
            } else {
                print::log(log)?;
            }
        }
        if event.dropped > dropped {
            line(&format!(
                "-- {} records dropped: too slow to follow",
                event.dropped - dropped
            ))?;
            dropped = event.dropped;
        }
        for source in event.lost.iter().filter(|source| !lost.contains(source)) {
            line(&format!("-- {source} is lost"))?;
        }
        lost = event.lost;
        for gap in &event.gaps {
            print::gap(gap)?;
        }
    }
    let lost: Vec<&str> = lost.iter().map(String::as_str).collect();
    Ok(incomplete(&lost))
}

pub(crate) async fn tui(arguments: cli::Tui) -> anyhow::Result<()> {
    Ok(tui::run(tui::Options {
        url: arguments.service.url(),
        no_color: arguments.no_color,
        utc: arguments.utc,
        open: arguments.open.join(" "),
    })
    .await?)
}

pub(crate) async fn load(arguments: &cli::Load) -> anyhow::Result<()> {
    let Some(signal) = model::Signal::from_name(&arguments.signal) else {
        bail!(
            "--signal {}: one of traces, logs, metrics",
            arguments.signal
        );
    };
    let corpus = CorpusKind::from_name(&arguments.corpus)?;
    let report = load::run(LoadOptions {
        endpoint: arguments.endpoint.clone(),
        http: arguments.http,
        remote_write: arguments.remote_write,
        signal,
        corpus,
        files: arguments.files.clone(),
        rate: arguments.rate,
        connections: arguments.connections,
        batch_items: arguments.batch,
        items: arguments.items,
        duration: arguments.duration,
        series: arguments.series,
        seed: arguments.seed,
        verify_file: arguments.verify_file.clone(),
    })
    .await?;
    if arguments.json {
        json(&report)
    } else {
        line(&report.to_string())
    }
}
