//! What merging costs a row, and what putting rows in order anew would save: the figures by which
//! [`super::policy`] is to be judged; `docs/benchmarks.md` has them.

use std::sync::Arc;
use std::time::Instant;

use model::{KeyValue, Resource, Signal, Span, SpanId, TraceId};
use testkit::MemoryFiles;

use super::write::{Task, write as merge};
use crate::partition::FileEntry;
use crate::testing::*;
use crate::{Options, Store};

/// Flushes of one partition, as a busy collector makes them.
const FLUSHES: usize = 8;
const SPANS_PER_FLUSH: usize = 40_000;
/// Spans of a trace, which come over so many flushes.
const SPANS: usize = 10;
const OVER: usize = 3;

/// Spans whose traces begin in one flush and end in the next but one.
struct Scattered {
    random: fastrand::Rng,
    resources: Vec<Arc<Resource>>,
    /// Spans that come later, by flush.
    later: Vec<Vec<Span>>,
    time: u64,
}

impl Scattered {
    fn new() -> Self {
        let resource = |n: usize| {
            let attributes = vec![
                KeyValue::new("service.name", format!("service-{n}")),
                KeyValue::new("host.name", format!("host-{}", n % 3)),
            ];
            Arc::new(Resource {
                attributes,
                ..Resource::default()
            })
        };
        Self {
            random: fastrand::Rng::with_seed(7),
            resources: (0..12).map(resource).collect(),
            later: vec![Vec::new(); FLUSHES + OVER],
            time: BASE,
        }
    }

    fn flush(&mut self, flush: usize) -> Vec<Span> {
        let mut out = std::mem::take(&mut self.later[flush]);
        while out.len() < SPANS_PER_FLUSH {
            let trace = TraceId(self.random.u128(..).to_le_bytes());
            let root = SpanId(self.random.u64(1..).to_le_bytes());
            for n in 0..SPANS {
                self.time += self.random.u64(..40_000);
                let span = self.span(trace, root, n);
                match n * OVER / SPANS {
                    0 => out.push(span),
                    later => self.later[flush + later].push(span),
                }
            }
        }
        out
    }

    fn span(&mut self, trace_id: TraceId, root: SpanId, n: usize) -> Span {
        const ROUTES: [&str; 4] = ["/cart", "/checkout", "/item/{id}", "/search"];
        let random = &mut self.random;
        let route = ROUTES[random.usize(..4)];
        Span {
            trace_id,
            span_id: if n == 0 {
                root
            } else {
                SpanId(random.u64(1..).to_le_bytes())
            },
            parent_span_id: (n > 0).then_some(root),
            name: format!("GET {route}"),
            kind: 2,
            start_unix_nano: self.time,
            end_unix_nano: self.time + random.u64(100_000..90_000_000),
            resource: self.resources[(n * 5 + random.usize(..2)) % 12].clone(),
            attributes: vec![
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("http.route", route),
                KeyValue::new("http.response.status_code", 200 + random.i64(..3)),
                KeyValue::new("user.id", format!("user-{}", random.u32(..50_000))),
                KeyValue::new("url.path", format!("{route}/{}", random.u32(..1_000_000))),
                KeyValue::new("net.peer.port", random.i64(30_000..60_000)),
            ],
            ..Span::default()
        }
    }
}

/// Merges the files, with blocks of fewer than so many rows counted as small; prints what it cost, and returns
/// the bytes of what was written.
fn measure(store: &Store, name: &str, files: &[Arc<FileEntry>], small_rows: usize) -> u64 {
    let core = store.core();
    let key = core.view.read().partitions.keys().next().cloned().unwrap();
    let dir = key.dir(&core.root);
    let opened: Vec<_> = files.iter().map(|file| file.open().unwrap()).collect();
    let task = Task {
        env: &core.env,
        dir: &dir,
        signal: Signal::Traces,
        files: &opened,
        block_rows: 4_096,
        small_rows,
        memory_bytes: 32 << 20,
        go_on: &|| true,
    };
    let start = Instant::now();
    let written = merge(&task).unwrap();
    let nanos = start.elapsed().as_nanos() as f64;
    let rows: u64 = files.iter().map(|file| file.rows()).sum();
    let names = ["blocks.tmp", "ids", "fields"].map(|extension| written.id.path(&dir, extension));
    let sizes = names.map(|path| core.env.files.stat(&path).unwrap().unwrap().bytes);
    let bytes: u64 = sizes.iter().sum();
    println!(
        "{name}: {:.2} us/row, {:.1} B/row, {} rows put in order",
        nanos / 1e3 / rows as f64,
        bytes as f64 / rows as f64,
        written.ordered_rows
    );
    bytes
}

#[tokio::test]
#[ignore = "takes figures: cargo test --release -p storage --lib merge::cost -- --ignored --nocapture"]
async fn copying_costs_a_fraction_of_putting_rows_in_order() {
    let (env, clock) = testkit::env(1, Arc::new(MemoryFiles::new()));
    clock.set_unix(BASE);
    let options = Options {
        background_merges: false,
        ..Options::default()
    };
    let dir = std::path::Path::new("/data");
    let store = Store::open(env, dir, options, Arc::new(TestDecoder)).unwrap();
    let mut scattered = Scattered::new();
    let (mut rows, mut flushed) = (0, 0.0);
    for flush in 0..FLUSHES {
        let spans = scattered.flush(flush);
        for batch in spans.chunks(1_000) {
            write(&store, Signal::Traces, batch).await.unwrap();
        }
        rows += spans.len();
        let start = Instant::now();
        store.flush().await;
        flushed += start.elapsed().as_secs_f64();
    }
    println!(
        "flushed: {:.2} us/row of {rows}",
        flushed * 1e6 / rows as f64
    );
    let files = {
        let view = store.core().view.read().clone();
        view.partitions.values().next().unwrap().files.clone()
    };
    let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    println!(
        "{} files of {:.1} B/row",
        files.len(),
        bytes as f64 / rows as f64
    );
    let copied = measure(&store, "full blocks copied", &files, 2_048);
    let ordered = measure(&store, "all put in order", &files, usize::MAX);
    assert!(copied <= bytes + bytes / 50);
    assert!(ordered <= copied + copied / 50);
}
