//! Spans and log records of OTLP JSON lines: what `throughline storage export` and the file
//! exporter of the OpenTelemetry Collector write.
//!
//! Row `n` is row `n` of all files, which begin again after the last. Each round has trace and
//! span ids of its own, which belong together as those of the files do, and times that follow
//! those of the round before. The rows are kept in memory, so there is a limit to the files.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use model::room::Room;
use model::{LogRecord, Signal, Span, SpanId, TraceId};
use otlp::rows::Rows;

use super::LoadOptions;
use super::corpus::{UNPACED_PAST_SECONDS, batch_attribute, rng};

/// Bytes of all files.
const BYTES_MAX: u64 = 256 << 20;
/// Between the last row of a round and the first of the next one.
const PAUSE_NANOS: u64 = 1_000_000_000;
/// Keeps the generators of rounds apart from those of items.
const OF_ROUND: u64 = 0x726f_756e;

/// The rows of the files, of one signal.
pub(super) struct Recorded {
    seed: u64,
    rows: Rows,
    /// The earliest time.
    first_unix_nano: u64,
    /// From the beginning of a round to that of the next one.
    round_nanos: u64,
    /// When round 0 begins.
    begin_unix_nano: u64,
    /// As many nanoseconds of rounds lie before the start of the run; then they begin again.
    past_nanos: u64,
}

impl Recorded {
    /// Reads the files. Lines of other signals are left out.
    pub(super) fn read(options: &LoadOptions, start_unix_nano: u64) -> anyhow::Result<Self> {
        let rows = rows(&options.files, options.signal)?;
        let times = || {
            let spans = rows.spans.iter().map(|span| span.start_unix_nano);
            let logs = rows.logs.iter().map(time);
            spans.chain(logs).filter(|time| *time > 0)
        };
        let first_unix_nano = times().min().unwrap_or_default();
        let last_unix_nano = times().max().unwrap_or_default();
        let round_nanos = last_unix_nano - first_unix_nano + PAUSE_NANOS;
        let count = rows.spans.len().max(rows.logs.len()) as u64;
        ensure!(
            count > 0,
            "the files have no row of the signal {}",
            options.signal
        );
        let rounds = options.items.map(|items| items.div_ceil(count));
        let day = UNPACED_PAST_SECONDS * 1_000_000_000;
        let past_nanos = rounds.map_or(day, |rounds| rounds.saturating_mul(round_nanos));
        let past_nanos = past_nanos.clamp(round_nanos, day.max(round_nanos));
        Ok(Self {
            seed: options.seed,
            rows,
            first_unix_nano,
            round_nanos,
            begin_unix_nano: start_unix_nano.saturating_sub(past_nanos),
            past_nanos,
        })
    }

    /// A request of these rows.
    pub(super) fn request(&self, items: &[u64], batch: u64) -> Vec<u8> {
        if self.rows.spans.is_empty() {
            let logs: Vec<_> = items
                .iter()
                .map(|item| {
                    let (index, round) = self.place(*item, self.rows.logs.len());
                    round.log(&self.rows.logs[index], batch)
                })
                .collect();
            return otlp::encode::logs(&logs);
        }
        let spans: Vec<_> = items
            .iter()
            .map(|item| {
                let (index, round) = self.place(*item, self.rows.spans.len());
                round.span(&self.rows.spans[index], batch)
            })
            .collect();
        otlp::encode::traces(&spans)
    }

    #[allow(clippy::cast_possible_truncation, reason = "less than there are rows")]
    fn place(&self, item: u64, count: usize) -> (usize, Round) {
        let number = item / count as u64;
        let mut rng: Rng = rng(self.seed ^ OF_ROUND, number);
        let since_begin = number.wrapping_mul(self.round_nanos) % self.past_nanos;
        let begin = self.begin_unix_nano.wrapping_add(since_begin);
        let round = Round {
            trace_bits: rng.u128(..),
            span_bits: rng.u64(..),
            later_nanos: begin.wrapping_sub(self.first_unix_nano),
        };
        ((item % count as u64) as usize, round)
    }
}

/// What one round changes.
struct Round {
    trace_bits: u128,
    span_bits: u64,
    later_nanos: u64,
}

impl Round {
    fn span(&self, span: &Span, batch: u64) -> Span {
        let mut span = span.clone();
        span.trace_id = self.trace(span.trace_id);
        span.span_id = self.id(span.span_id);
        span.parent_span_id = span.parent_span_id.map(|id| self.id(id));
        span.start_unix_nano = self.time(span.start_unix_nano);
        span.end_unix_nano = self.time(span.end_unix_nano);
        for event in &mut span.events {
            event.time_unix_nano = self.time(event.time_unix_nano);
        }
        for link in &mut span.links {
            if let Ok(id) = <[u8; 16]>::try_from(&link.trace_id[..]) {
                link.trace_id = self.trace(TraceId(id)).0.to_vec();
            }
            if let Ok(id) = <[u8; 8]>::try_from(&link.span_id[..]) {
                link.span_id = self.id(SpanId(id)).0.to_vec();
            }
        }
        span.attributes.push(batch_attribute(batch));
        span
    }

    fn log(&self, log: &LogRecord, batch: u64) -> LogRecord {
        let mut log = log.clone();
        log.trace_id = log.trace_id.map(|id| self.trace(id));
        log.span_id = log.span_id.map(|id| self.id(id));
        log.time_unix_nano = self.time(log.time_unix_nano);
        log.observed_time_unix_nano = self.time(log.observed_time_unix_nano);
        log.attributes.push(batch_attribute(batch));
        log
    }

    fn trace(&self, id: TraceId) -> TraceId {
        TraceId((u128::from_be_bytes(id.0) ^ self.trace_bits).to_be_bytes())
    }

    /// An id that is not there stays away.
    fn id(&self, id: SpanId) -> SpanId {
        match u64::from_be_bytes(id.0) {
            0 => id,
            bits => SpanId((bits ^ self.span_bits).to_be_bytes()),
        }
    }

    /// A time that is not known stays so.
    fn time(&self, unix_nano: u64) -> u64 {
        match unix_nano {
            0 => 0,
            known => known.wrapping_add(self.later_nanos),
        }
    }
}

fn time(log: &LogRecord) -> u64 {
    match log.time_unix_nano {
        0 => log.observed_time_unix_nano,
        known => known,
    }
}

fn rows(paths: &[PathBuf], signal: Signal) -> anyhow::Result<Rows> {
    let mut all = Rows::default();
    let mut left = BYTES_MAX;
    for path in paths {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(left + 1).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read what was recorded in {}", path.display()))?;
        left = left.checked_sub(bytes.len() as u64).with_context(|| {
            format!("the recorded files have more than {BYTES_MAX} bytes together")
        })?;
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            let rows = decode(signal, line)
                .with_context(|| format!("line {} of {}", number + 1, path.display()))?;
            all.spans.extend(rows.spans);
            all.logs.extend(rows.logs);
        }
    }
    Ok(all)
}

fn decode(signal: Signal, line: &[u8]) -> anyhow::Result<Rows> {
    let request = otlp::json::to_protobuf(signal, line, usize::MAX, &mut Room::unlimited())?;
    Ok(Rows::decode(signal, &request)?)
}
