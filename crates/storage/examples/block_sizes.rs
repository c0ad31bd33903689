//! Prints what blocks of generated spans and logs cost: bytes per value and nanoseconds per value to encode and to
//! decode, column by column, and the same for an id table. Run it with
//! `cargo run --release -p storage --example block_sizes`, after a change to an encoding and before.

#![allow(
    clippy::print_stdout,
    reason = "printing figures is all that this program does"
)]

use std::borrow::Cow;
use std::time::{Duration, Instant};

use storage::block::{BlockReader, BlockWriter, Kind, Values};
use storage::idtable::{self, IdTable};

const ROWS: usize = 4000;
const BLOCKS: usize = 25;

type Failure = Box<dyn std::error::Error>;

/// The values of one generated column.
enum Generated {
    Int(Vec<i64>),
    UInt(Vec<u64>),
    Double(Vec<f64>),
    Text(Vec<String>),
    Fixed8(Vec<[u8; 8]>),
    Fixed16(Vec<[u8; 16]>),
}

impl Generated {
    fn values(&self) -> Values<'_> {
        match self {
            Generated::Int(values) => Values::Int(Cow::Borrowed(values)),
            Generated::UInt(values) => Values::UInt(Cow::Borrowed(values)),
            Generated::Double(values) => Values::Double(Cow::Borrowed(values)),
            Generated::Text(values) => Values::Text(values.iter().map(String::as_str).collect()),
            Generated::Fixed8(values) => Values::Fixed8(Cow::Borrowed(values)),
            Generated::Fixed16(values) => Values::Fixed16(Cow::Borrowed(values)),
        }
    }
}

/// What one column cost over all blocks.
#[derive(Default)]
struct Cost {
    encodings: Vec<String>,
    values: usize,
    raw: usize,
    stored: usize,
    encode: Duration,
    decode: Duration,
}

fn main() -> Result<(), Failure> {
    let mut random = fastrand::Rng::with_seed(7);
    report("spans", |block| spans(&mut random, block))?;
    let mut random = fastrand::Rng::with_seed(8);
    report("logs", |block| logs(&mut random, block))?;
    id_table()
}

fn report(
    title: &str,
    mut generate: impl FnMut(usize) -> Vec<(&'static str, Generated)>,
) -> Result<(), Failure> {
    let mut names = Vec::new();
    let mut costs: Vec<Cost> = Vec::new();
    let (mut total, mut directory, mut open) = (0, 0, Duration::ZERO);
    for block in 0..BLOCKS {
        let columns = generate(block);
        let mut writer = BlockWriter::new(ROWS as u32);
        costs.resize_with(columns.len(), Cost::default);
        names = columns.iter().map(|(name, _)| *name).collect();
        for ((name, column), cost) in columns.iter().zip(&mut costs) {
            let values = column.values();
            cost.values += values.len();
            cost.raw += raw_bytes(&values);
            let start = Instant::now();
            writer.column(name, values);
            cost.encode += start.elapsed();
        }
        let bytes = writer.finish()?;
        let start = Instant::now();
        let reader = BlockReader::open(bytes.into())?;
        open += start.elapsed();
        total += reader.size_bytes();
        directory += reader.size_bytes()
            - reader
                .columns()
                .map(|column| column.bytes as usize)
                .sum::<usize>();
        for (name, cost) in names.iter().zip(&mut costs) {
            let column = &reader.named(name)[0];
            cost.stored += column.bytes as usize;
            let encoding = format!("{:?}", column.encoding);
            if !cost.encodings.contains(&encoding) {
                cost.encodings.push(encoding);
            }
            let kind = column.id.kind;
            let start = Instant::now();
            decode(&reader, name, kind)?;
            cost.decode += start.elapsed();
        }
    }
    let rows = (BLOCKS * ROWS) as f64;
    println!("\n{title}: {BLOCKS} blocks of {ROWS} rows");
    println!(
        "{:24} {:>8} {:>8} {:>9} {:>9}  encoding",
        "column", "raw B", "B/value", "enc ns", "dec ns"
    );
    for (name, cost) in names.iter().zip(&costs) {
        let values = cost.values as f64;
        println!(
            "{name:24} {:8.2} {:8.3} {:9.1} {:9.1}  {}",
            cost.raw as f64 / values,
            cost.stored as f64 / values,
            cost.encode.as_nanos() as f64 / values,
            cost.decode.as_nanos() as f64 / values,
            cost.encodings.join(", ")
        );
    }
    let encode: Duration = costs.iter().map(|cost| cost.encode).sum();
    let decode: Duration = costs.iter().map(|cost| cost.decode).sum();
    println!(
        "all: {:.2} B/row (directory {:.2}), encode {:.0} ns/row, decode {:.0} ns/row, open {:.1} us/block",
        total as f64 / rows,
        directory as f64 / rows,
        encode.as_nanos() as f64 / rows,
        decode.as_nanos() as f64 / rows,
        open.as_micros() as f64 / BLOCKS as f64
    );
    Ok(())
}

fn raw_bytes(values: &Values<'_>) -> usize {
    match values {
        Values::Text(values) => values.iter().map(|value| value.len()).sum(),
        Values::Bytes(values) => values.iter().map(|value| value.len()).sum(),
        Values::Bool(values) => values.len(),
        Values::Fixed16(values) => values.len() * 16,
        other => other.len() * 8,
    }
}

/// Decodes one column and throws it away.
fn decode(reader: &BlockReader, name: &str, kind: Kind) -> Result<(), Failure> {
    let length = match kind {
        Kind::Int => reader.ints(name)?.map(|values| values.len()),
        Kind::UInt => reader.uints(name)?.map(|values| values.len()),
        Kind::Double => reader.doubles(name)?.map(|values| values.len()),
        Kind::Bool => reader.bools(name)?.map(|values| values.len()),
        Kind::Text => reader.text(name)?.map(|values| values.len()),
        Kind::Bytes => reader.bytes(name)?.map(|values| values.len()),
        Kind::Fixed8 => reader.fixed8(name)?.map(|values| values.len()),
        Kind::Fixed16 => reader.fixed16(name)?.map(|values| values.len()),
    };
    std::hint::black_box(length);
    Ok(())
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let hex = format!("{:032x}", random.u128(..));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// A duration as services have them: most short, a few long.
fn duration(random: &mut fastrand::Rng) -> u64 {
    (50_000.0 * (1.0 / (1.0 - random.f64())).powf(1.3)) as u64
}

const SERVICES: [&str; 12] = [
    "frontend", "checkout", "cart", "payment", "shipping", "email", "currency", "catalog",
    "search", "ads", "users", "stock",
];

/// A block of spans in the order that traces are stored in: by trace, then by time.
fn spans(random: &mut fastrand::Rng, block: usize) -> Vec<(&'static str, Generated)> {
    let first = 1_763_600_000_000_000_000 + block as u64 * 4_000_000_000;
    let mut starts = Vec::with_capacity(ROWS);
    let mut traces = Vec::with_capacity(ROWS);
    let mut services = Vec::with_capacity(ROWS);
    let mut trace = [0u8; 16];
    let mut time = first;
    for row in 0..ROWS {
        if row % 12 == 0 {
            trace = random.u128(..).to_le_bytes();
            time = first + (row / 12) as u64 * 12_000_000 + random.u64(..9_000_000);
        }
        time += random.u64(1_000..900_000);
        starts.push(time);
        traces.push(trace);
        services.push((row % 12 + random.usize(..2)) % 12);
    }
    let per_row =
        |make: &mut dyn FnMut(usize) -> String| Generated::Text((0..ROWS).map(make).collect());
    let status: Vec<i64> = (0..ROWS)
        .map(|_| if random.u8(..) < 8 { 500 } else { 200 })
        .collect();
    let prices: Vec<f64> = (0..ROWS / 3)
        .map(|_| f64::from(random.u32(100..90_000)) / 100.0)
        .collect();
    vec![
        ("time", Generated::UInt(starts)),
        (
            "duration",
            Generated::UInt((0..ROWS).map(|_| duration(random)).collect()),
        ),
        ("trace_id", Generated::Fixed16(traces)),
        (
            "span_id",
            Generated::Fixed8((0..ROWS).map(|_| random.u64(..).to_le_bytes()).collect()),
        ),
        (
            "parent",
            Generated::Int(
                (0..ROWS)
                    .map(|row| (row % 12).min(1 + random.usize(..3)) as i64)
                    .collect(),
            ),
        ),
        (
            "kind",
            Generated::Int((0..ROWS).map(|row| (row % 3) as i64).collect()),
        ),
        (
            "name",
            per_row(&mut |row| {
                format!(
                    "{} /api/v1/{}",
                    ["GET", "POST"][row % 2],
                    SERVICES[services[row]]
                )
            }),
        ),
        (
            "resource",
            Generated::UInt(services.iter().map(|service| *service as u64).collect()),
        ),
        ("http.status_code", Generated::Int(status)),
        (
            "http.route",
            per_row(&mut |row| format!("/api/v1/{}/{{id}}", SERVICES[services[row]])),
        ),
        (
            "http.url",
            per_row(&mut |row| {
                format!(
                    "http://{}/api/v1/items/{}",
                    SERVICES[services[row]],
                    random.u32(..9000)
                )
            }),
        ),
        ("app.request_id", per_row(&mut |_| uuid(random))),
        (
            "user.id",
            per_row(&mut |row| format!("user-{}", (row / 12 * 7919) % 50_000)),
        ),
        ("price", Generated::Double(prices)),
        (
            "load",
            Generated::Double((0..ROWS).map(|_| random.f64()).collect()),
        ),
    ]
}

/// A block of log records, a few for each of many interleaved requests.
fn logs(random: &mut fastrand::Rng, block: usize) -> Vec<(&'static str, Generated)> {
    let first = 1_763_600_000_000_000_000 + block as u64 * 900_000_000;
    let mut time = first;
    let times: Vec<u64> = (0..ROWS)
        .map(|_| {
            time += random.u64(1_000..400_000);
            time
        })
        .collect();
    let traces: Vec<[u8; 16]> = (0..ROWS / 8)
        .map(|_| random.u128(..).to_le_bytes())
        .collect();
    let of_row: Vec<usize> = (0..ROWS)
        .map(|row| (row / 8 + random.usize(..6)).min(traces.len() - 1))
        .collect();
    let bodies: Vec<String> = (0..ROWS)
        .map(|row| match random.u32(..8) {
            0 => format!(
                "request completed in {:.2} ms status={}",
                random.f64() * 90.0,
                200 + random.u32(..4)
            ),
            1 => format!(
                "order {} confirmed for user-{} total {}.{:02} EUR",
                random.u32(..),
                random.u32(..50_000),
                random.u32(..900),
                random.u32(..100)
            ),
            2 => format!(
                "connection to 10.{}.{}.{}:5432 refused, retry {} of 5",
                random.u8(..4),
                random.u8(..),
                random.u8(..),
                random.u8(1..6)
            ),
            3 => format!(
                "cache miss key=cart:{:016x} shard={}",
                random.u64(..),
                random.u8(..16)
            ),
            4 => format!(
                "2026-11-20T10:{:02}:{:02}.{:03}Z INFO handled {} {}",
                row / 70,
                row % 60,
                random.u32(..1000),
                "GET /api/items",
                uuid(random)
            ),
            5 => format!(
                "payment {} declined: card ending {:04}",
                uuid(random),
                random.u32(..10_000)
            ),
            6 => format!(
                "worker-{} finished batch {} ({} rows, {}ms)",
                random.u8(..32),
                random.u32(..1_000_000),
                random.u32(..5000),
                random.u32(..3000)
            ),
            _ => format!(
                "stock level of item {} in warehouse {} is {}",
                random.u32(..9000),
                random.u8(..12),
                random.i32(-5..500)
            ),
        })
        .collect();
    let severity: Vec<i64> = (0..ROWS)
        .map(|_| [9, 9, 9, 9, 13, 17][random.usize(..6)])
        .collect();
    vec![
        ("time", Generated::UInt(times)),
        ("severity", Generated::Int(severity)),
        (
            "trace_id",
            Generated::Fixed16(of_row.iter().map(|trace| traces[*trace]).collect()),
        ),
        (
            "span_id",
            Generated::Fixed8((0..ROWS).map(|_| random.u64(..).to_le_bytes()).collect()),
        ),
        (
            "resource",
            Generated::UInt((0..ROWS).map(|_| random.u64(..12)).collect()),
        ),
        ("body", Generated::Text(bodies)),
        (
            "thread.name",
            Generated::Text(
                (0..ROWS)
                    .map(|_| format!("worker-{}", random.u8(..32)))
                    .collect(),
            ),
        ),
        (
            "correlation_id",
            Generated::Text(
                of_row
                    .iter()
                    .map(|trace| format!("req-{:08x}", *trace as u32 ^ 0x5bd1_e995))
                    .collect(),
            ),
        ),
    ]
}

fn id_table() -> Result<(), Failure> {
    const PAIRS: usize = 1_000_000;
    let mut random = fastrand::Rng::with_seed(9);
    let mut pairs: Vec<(u64, u32)> = (0..PAIRS)
        .map(|_| (random.u64(..), random.u32(..500)))
        .collect();
    let wanted: Vec<u64> = (0..10_000)
        .map(|_| pairs[random.usize(..PAIRS)].0)
        .collect();
    let start = Instant::now();
    let bytes = idtable::build(&mut pairs);
    let built = start.elapsed();
    let size = bytes.len();
    let table = IdTable::open(bytes.into())?;
    let start = Instant::now();
    for hash in &wanted {
        std::hint::black_box(table.lookup(*hash)?);
    }
    let looked_up = start.elapsed() / wanted.len() as u32;
    let places: Vec<u32> = (0..1_000).collect();
    let start = Instant::now();
    std::hint::black_box(idtable::merge(&[
        (&table, &places[..500]),
        (&table, &places[500..]),
    ])?);
    println!(
        "\nid table: {:.2} B/pair, build {:.3} s per million, lookup {} ns, merge {:.3} s per million",
        size as f64 / PAIRS as f64,
        built.as_secs_f64(),
        looked_up.as_nanos(),
        start.elapsed().as_secs_f64() / 2.0
    );
    Ok(())
}
