//! `throughline storage export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use env::{Clock, Env, RealClock};
use model::{Signal, Tenant, TimeRange};
use otlp::encode::requests;
use query::http::params::parse_time;
use storage::export::{Exported, Rows};
use storage::filter::Filter;
use storage::folder::FolderError;
use storage::message::Selection;

use super::data_dir;
#[cfg(feature = "parquet")]
use super::parquet::ParquetRows;
use super::table::count;
use crate::cli::{self, Format};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

pub(super) fn run(arguments: &cli::Export) -> anyhow::Result<ExitCode> {
    let config = crate::options::load(&arguments.folder.role())?;
    let dir = data_dir(&arguments.folder)?;
    let selection = selection(arguments)?;
    let keys = config.correlation.to_model();
    if arguments.format == Format::Parquet && !cfg!(feature = "parquet") {
        bail!("this build does not write Parquet: it has to be built with `--features parquet`");
    }
    let to_terminal = arguments.output == Path::new("-");
    let output: Box<dyn Write + Send> = if to_terminal {
        Box::new(io::stdout())
    } else {
        let path = &arguments.output;
        let file = File::create_new(path);
        Box::new(file.with_context(|| format!("cannot create {}", path.display()))?)
    };
    let output = BufWriter::with_capacity(BUFFER_BYTES, output);
    let mut sink = Sink::new(arguments.format, selection.signal, output)?;
    let mut take = |rows: Rows| sink.write(&rows);
    let done = storage::export::export(
        &Env::real(),
        &dir,
        &collector::Decoder::default(),
        &keys,
        &selection,
        &mut take,
    );
    let done = done.and_then(|done| {
        sink.finish().map_err(FolderError::Output)?;
        Ok(done)
    });
    match done {
        // Whoever read (`| head`) has enough.
        Err(FolderError::Output(error))
            if to_terminal && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.into()),
        Ok(done) => Ok(report(&done)),
    }
}

fn selection(arguments: &cli::Export) -> anyhow::Result<Selection> {
    let Some(signal) = Signal::from_name(&arguments.signal) else {
        bail!(
            "--signal {}: one of traces, logs, metrics",
            arguments.signal
        );
    };
    let Some(tenant) = Tenant::new(&arguments.tenant) else {
        bail!("--tenant {}: not the name of a tenant", arguments.tenant);
    };
    let filter = if arguments.query.is_empty() {
        Filter::All
    } else {
        let parsed = query::lang::rows(&arguments.query, signal);
        parsed.map_err(|error| anyhow::anyhow!("--query: {error}"))?
    };
    let now = RealClock::new().unix_nanos();
    let time = |name: &str, text: &Option<String>, open: u64| match text {
        None => Ok(open),
        Some(text) => parse_time(text, now).with_context(|| {
            format!("--{name} {text}: use unix nanoseconds, RFC 3339, or now-15m")
        }),
    };
    let range = TimeRange {
        start: time("start", &arguments.start, TimeRange::ALL.start)?,
        end: time("end", &arguments.end, TimeRange::ALL.end)?,
    };
    Ok(Selection {
        tenant,
        signal,
        filter,
        range,
    })
}

/// Says on standard error how it went: standard output may be the rows.
fn report(done: &Exported) -> ExitCode {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "exported {} rows", count(done.rows));
    for damaged in &done.damaged {
        let _ = writeln!(out, "damaged, rows are missing: {damaged}");
    }
    if done.damaged.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Where rows go.
enum Sink<W: Write + Send> {
    Lines(W),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetRows<W>>),
}

impl<W: Write + Send> Sink<W> {
    fn new(format: Format, signal: Signal, output: W) -> anyhow::Result<Self> {
        Ok(match format {
            Format::OtlpJsonLines => Self::Lines(output),
            #[cfg(feature = "parquet")]
            Format::Parquet => Self::Parquet(Box::new(ParquetRows::new(signal, output)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => bail!("no Parquet of {signal} in this build"),
        })
    }

    fn write(&mut self, rows: &Rows) -> io::Result<()> {
        match self {
            Self::Lines(output) => {
                let request = match rows {
                    Rows::Spans(spans) => requests::traces_json(spans),
                    Rows::Logs(records) => requests::logs_json(records),
                    Rows::Points(series) => requests::metrics_json(series),
                };
                serde_json::to_writer(&mut *output, &request)?;
                output.write_all(b"\n")
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(rows_of) => rows_of.write(rows),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(output) => output.flush(),
            #[cfg(feature = "parquet")]
            Self::Parquet(rows) => rows.finish(),
        }
    }
}
