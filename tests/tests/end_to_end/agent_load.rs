//! What it costs an agent to follow a file at ten thousand lines a second, and that no line is
//! lost. docs/benchmarks.md says how to run it.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use tests::{Server, Setup, wait};

use crate::PROGRAM;

const LINES_PER_SECOND: usize = 10_000;
/// Lines are written so many times a second, as programs do that write through a buffer.
const WRITES_PER_SECOND: usize = 20;
/// Not measured: the files and the connection are found in it.
const WARM_UP_SECONDS: usize = 5;
const MEASURED_SECONDS: usize = 60;
/// Clock ticks of a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// A line of one of three formats in turn, each with values of its own.
fn line(number: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(number as u64);
    let (request, path) = (format!("{:032x}", dice.u128(..)), dice.u32(1..10_000));
    let (took, user) = (dice.u32(1..900), dice.u32(..));
    match number % 3 {
        0 => format!(
            "{{\"level\":\"info\",\"msg\":\"request served\",\"request_id\":\"{request}\",\"path\":\"/cart/{path}\",\"status\":200,\"duration_ms\":{took}}}\n"
        ),
        1 => format!(
            "level=info msg=\"request served\" request_id={request} path=/cart/{path} status=200 duration_ms={took}\n"
        ),
        _ => format!(
            "2026-11-24T05:00:00.123Z INFO [worker-{}] shop.CartService - added item {path} to the cart of user {user} in {took} ms, request_id={request}\n",
            dice.u32(1..16)
        ),
    }
}

/// Processor time of a process so far, in seconds.
fn processor_seconds(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // The name before may hold anything but this.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / TICKS
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for a minute, see docs/benchmarks.md: cargo test --release --test end_to_end -- --ignored --nocapture ten_thousand_lines"]
#[allow(clippy::print_stdout, reason = "a measurement says what it measured")]
async fn ten_thousand_lines_a_second() {
    let collector = Setup::new(PROGRAM, "collector").start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let setup = Setup::new(PROGRAM, "agent")
        .arg("--collector")
        .arg(collector.address("otlp_grpc"));
    let path = setup.folder().join("shop.log");
    let mut file = File::create(&path).unwrap();
    let agent = setup
        .config(&format!(
            "agent:\n  host: {{enabled: false}}\n  files:\n    - include: ['{}']\n      service: shop\n",
            path.display()
        ))
        .start();

    let per_write = LINES_PER_SECOND / WRITES_PER_SECOND;
    let chunk = |write: usize| -> String {
        let first = write * per_write;
        (first..first + per_write).map(line).collect()
    };
    // Made ahead: what is measured has the machine to itself.
    let chunks: Vec<String> = (0..WRITES_PER_SECOND * 2).map(chunk).collect();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / WRITES_PER_SECOND as u32);
    let mut written = 0;
    let mut before = 0.0;
    for write in 0..(WARM_UP_SECONDS + MEASURED_SECONDS) * WRITES_PER_SECOND {
        if write == WARM_UP_SECONDS * WRITES_PER_SECOND {
            before = processor_seconds(&agent);
        }
        pace.tick().await;
        let chunk = &chunks[write % chunks.len()];
        file.write_all(chunk.as_bytes()).unwrap();
        written += per_write;
    }
    let cores = (processor_seconds(&agent) - before) / MEASURED_SECONDS as f64;
    let (peak, now) = (agent.memory_bytes("VmHWM"), agent.memory_bytes("VmRSS"));

    let http = query.query();
    wait::eventually("every line", wait::LONG, async || {
        let ask = [("q", "service:shop"), ("step", "3650d")];
        let answer = http.get("/api/v1/logs/histogram", &ask).await;
        let stored = usize::try_from(answer["total"].as_u64().unwrap()).unwrap();
        assert!(stored <= written, "{stored} records of {written} lines");
        (stored == written).then_some(())
    })
    .await;
    println!(
        "{cores:.4} cores, {} KiB resident, {} KiB at the peak, {written} lines, each once",
        now >> 10,
        peak >> 10
    );
    assert!(agent.terminate().0.success());
}
