//! `throughline storage verify`.

use std::process::ExitCode;

use env::Env;
use storage::verify::{Finding, Report, Severity};

use super::data_dir;
use super::table::{count, size};
use crate::cli;
use crate::output::line;

pub(super) fn run(arguments: &cli::Verify) -> anyhow::Result<ExitCode> {
    let dir = data_dir(&arguments.folder)?;
    let report = storage::verify::verify(&Env::real(), &dir, &collector::Decoder::default())?;
    if arguments.json {
        line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        for text in text(&report) {
            line(&text)?;
        }
    }
    Ok(if report.damaged {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn text(report: &Report) -> Vec<String> {
    let checked = &report.checked;
    let mut lines: Vec<String> = report.findings.iter().flat_map(finding).collect();
    if report.more > 0 {
        lines.push(format!("{} more findings", count(report.more)));
    }
    lines.push(format!(
        "checked {} as of flush {}: {} partitions, {} files, {} blocks, {} columns, {} rows, {} \
         searches; log: {} records, {} rows",
        size(checked.bytes),
        checked.flush,
        count(checked.partitions),
        count(checked.files),
        count(checked.blocks),
        count(checked.columns),
        count(checked.rows),
        count(checked.searches),
        count(checked.wal_records),
        count(checked.wal_rows)
    ));
    lines.push(if report.damaged { "damaged" } else { "sound" }.to_owned());
    lines
}

fn finding(finding: &Finding) -> [String; 2] {
    let severity = match finding.severity {
        Severity::Loss => "loss",
        Severity::Damage => "damage",
        Severity::Note => "note",
    };
    let block = finding.block.map(|block| format!(", block {block}"));
    [
        format!(
            "{severity}: {}{}: {}",
            finding.file,
            block.unwrap_or_default(),
            finding.what
        ),
        format!("    costs {}", finding.costs),
    ]
}
