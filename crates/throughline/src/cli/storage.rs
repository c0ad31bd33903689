//! `throughline storage`: the arguments of its commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Place, Role};

#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    /// What a data folder holds: rows, files and bytes by partition, column and part of the index.
    #[command(
        after_help = "Examples:\n  throughline storage stat --data-dir /var/lib/throughline\n  throughline storage stat --json | jq '.partitions[] | {signal, day, bytes}'"
    )]
    Stat(Stat),
    /// Checks every checksum, column, row, index and record; fails where anything is damaged.
    #[command(
        after_help = "Reads only, and may run while a process has the folder open.\n\nExamples:\n  throughline storage verify --data-dir /var/lib/throughline\n  throughline storage verify --data-dir /backup/monday --json"
    )]
    Verify(Verify),
    /// Writes rows as OTLP JSON lines, which any OTLP endpoint takes again, or as Parquet.
    #[command(
        after_help = "Reads only, and may run while a process has the folder open.\n\nExamples:\n  throughline storage export --signal logs --query 'level:error' --start now-1d --output errors.jsonl\n  throughline storage export --signal traces --format parquet --output spans.parquet\n  throughline storage export --signal logs | while read -r line; do\n    printf %s \"$line\" | curl -sS -H 'content-type: application/json' --data-binary @- http://127.0.0.1:4318/v1/logs\n  done"
    )]
    Export(Export),
    /// Makes a folder that opens as a data folder, of one at rest or of a running process.
    #[command(
        after_help = "Where a process has the folder open, that process makes the snapshot: DIR is then a path on\nits machine. Files are linked where that is possible, so a snapshot takes little room at first.\n\nExamples:\n  throughline storage snapshot /var/lib/throughline-snapshots/monday --data-dir /var/lib/throughline\n  throughline storage verify --data-dir /var/lib/throughline-snapshots/monday"
    )]
    Snapshot(Snapshot),
}

/// Which data folder.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataFolder {
    /// Configuration file that names the data folder; without it the one that THROUGHLINE_CONFIG
    /// names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataFolder {
    /// As the roles are told of it.
    pub(crate) fn role(&self) -> Role {
        Role {
            config: self.config.clone(),
            place: Place {
                data_dir: self.data_dir.clone(),
                ..Place::default()
            },
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stat {
    #[command(flatten)]
    pub folder: DataFolder,
    /// Attributes that are listed for each signal, the largest first.
    #[arg(long, default_value_t = 20)]
    pub attributes: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub folder: DataFolder,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// In which form rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One OTLP export request in JSON a line, as OpenTelemetry's file exporter writes.
    OtlpJsonLines,
    /// Apache Parquet, one row for each span, record or point; in builds with that feature.
    Parquet,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub folder: DataFolder,
    /// traces, logs or metrics.
    #[arg(long)]
    pub signal: String,
    /// Whose rows.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Which rows, in the query language; all without it.
    #[arg(long, default_value = "")]
    pub query: String,
    /// Not before: unix nanoseconds, RFC 3339, or `now-15m`.
    #[arg(long)]
    pub start: Option<String>,
    /// Before.
    #[arg(long)]
    pub end: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::OtlpJsonLines)]
    pub format: Format,
    /// A new file, or - for standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Snapshot {
    /// The folder to make; it must not be there yet.
    #[arg(value_name = "DIR")]
    pub target: PathBuf,
    #[command(flatten)]
    pub folder: DataFolder,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
