//! Hostile requests: a clear refusal, bounded memory, and a process that goes on.

mod grpc;
mod http;
mod swelling;

use std::io::Write;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use tests::Server;
use tests::otlp_json::{log, logs, now, span, traces};

const REQUESTS: usize = 1_000;
/// What the process may use at most, whatever is sent: the budget of requests in flight (256 MiB),
/// and as much again for what becomes of them.
const MEMORY_BYTES: u64 = 512 << 20;

/// 256 MiB of zeros in a few hundred KiB.
struct Bombs {
    gzip: Vec<u8>,
    zstd: Vec<u8>,
}

impl Bombs {
    fn new() -> Self {
        let zeros = vec![0; 1 << 20];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        for _ in 0..256 {
            gzip.write_all(&zeros).unwrap();
            zstd.write_all(&zeros).unwrap();
        }
        Self {
            gzip: gzip.finish().unwrap(),
            zstd: zstd.finish().unwrap(),
        }
    }
}

/// A request in protobuf that is cut somewhere: one field (`resourceSpans`, ...) of 200 bytes.
fn truncated(rng: &mut Rng) -> Vec<u8> {
    let mut body = vec![0x0a, 200, 1];
    body.extend(std::iter::repeat_with(|| rng.u8(..)).take(200));
    body.truncate(rng.usize(1..body.len()));
    body
}

fn random(rng: &mut Rng) -> Vec<u8> {
    // A first byte of a wire type that does not exist: no request begins so.
    let mut body = vec![0x0f];
    let length = rng.usize(1..4_000);
    body.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
    body
}

/// Honest requests are taken and found at once, whatever happened before.
async fn assert_healthy(server: &Server, round: u64) {
    let (otlp, query) = (server.otlp(), server.query());
    assert_eq!(query.get_any("/healthz", &[]).await.0, 200);
    let trace = format!("{round:032x}");
    let time = now();
    otlp.export(
        "traces",
        &traces(
            "honest",
            &[span(&trace, "00000000000000aa", "", "work", time, 9)],
        ),
    )
    .await;
    otlp.export(
        "logs",
        &logs("honest", &[log(time, &format!("round {round}"), &[])]),
    )
    .await;
    assert_eq!(query.trace_spans(&trace).await.len(), 1);
    let peak = server.memory_bytes("VmHWM");
    assert!(peak < MEMORY_BYTES, "{} MiB at the peak", peak >> 20);
}

/// Nothing but the honest records of these rounds.
async fn assert_nothing_left_behind(server: &Server, rounds: usize) {
    let stored = server.query().all_logs("").await;
    assert_eq!(
        stored.len(),
        rounds,
        "hostile requests left rows behind: {stored:?}"
    );
}
