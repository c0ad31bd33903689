//! How long evaluation takes, without reading: series in memory, one hour at 15 s, as a scrape of
//! every target gives them. Prints for each query the best time of some rounds, and the CPU that
//! all of them took on average, which what else runs on the machine changes less, also for each
//! series and step.
//!
//! `cargo run --release -p promql --example evaluation [ROUNDS]`

#![allow(clippy::print_stdout)] // It is a program for people at a terminal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use promql::source::SelectFuture;
use promql::{Engine, Labels, Limits, Options, Samples, Selected, Selection, Series, SeriesSource};

const INTERVAL_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// Scrapes before the hour, for ranges that reach back.
const BEFORE_MS: i64 = 600_000;

struct Memory(Vec<Series>);

impl Memory {
    /// Counters of some jobs; with buckets, each of twelve series per histogram.
    fn new(name: &str, targets: usize, per_target: usize, bounds: &[&str]) -> Self {
        let mut series = Vec::new();
        for target in 0..targets {
            // The targets are scraped at different times, the series of one together.
            let shift = i64::try_from(target * 37 % 15_000).expect("a small number");
            let times: Vec<i64> = (0..(HOUR_MS + BEFORE_MS) / INTERVAL_MS)
                .map(|index| index * INTERVAL_MS + shift)
                .collect();
            let times = Arc::new(times);
            for index in 0..per_target {
                for (position, bound) in bounds.iter().enumerate() {
                    let mut pairs = vec![
                        ("__name__", name.to_owned()),
                        ("job", format!("job-{}", target % 10)),
                        ("instance", format!("host-{target}:9100")),
                        ("path", format!("/api/v1/resource/{index}")),
                        ("method", "GET".to_owned()),
                        ("region", "eu-central-1".to_owned()),
                    ];
                    if !bound.is_empty() {
                        pairs.push(("le", (*bound).to_owned()));
                    }
                    let slope = (1 + index % 7) as f64 * (position + 1) as f64;
                    let floats = (0..times.len()).map(|step| slope * step as f64).collect();
                    series.push(Series {
                        labels: Labels::new(pairs),
                        samples: Samples {
                            times: times.clone(),
                            floats,
                            ..Samples::default()
                        },
                    });
                }
            }
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(series)
    }
}

impl SeriesSource for Memory {
    fn select<'a>(&'a self, _: &'a Selection) -> SelectFuture<'a> {
        let series = self.0.clone();
        Box::pin(std::future::ready(Ok(Selected {
            series,
            ..Selected::default()
        })))
    }
}

/// CPU seconds of this process, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().expect("fields after the name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn measure(source: &Memory, text: &str, step_ms: i64, rounds: usize) {
    for threads in [1, 4] {
        let engine = Engine::new(Options {
            threads,
            ..Options::default()
        });
        let query = engine.query(text).expect("a query");
        let mut best = Duration::MAX;
        let mut size = 0;
        // What is fetched is held, so that only evaluation is between the two looks at the clock.
        let fetched: Vec<_> = (0..rounds)
            .map(|_| {
                let limits = Limits::default();
                let end_ms = BEFORE_MS + HOUR_MS;
                let plan = engine
                    .prepare_range(&query, BEFORE_MS, end_ms, step_ms, limits)
                    .expect("a plan");
                block_on(plan.fetch(source)).expect("series")
            })
            .collect();
        let cpu = cpu_seconds();
        for fetched in fetched {
            let begin = Instant::now();
            let answer = fetched.evaluate().expect("an answer");
            best = best.min(begin.elapsed());
            if let promql::Value::Matrix(series) = answer.value {
                size = series.len();
            }
        }
        let cpu = (cpu_seconds() - cpu) / rounds as f64;
        let steps = HOUR_MS / step_ms + 1;
        let cells = source.0.len() as f64 * steps as f64;
        println!(
            "{text}, {} series, {steps} steps, at most {threads} threads: best {:.1} ms, CPU {:.1} ms, {:.1} ns of it per series and step, {size} series out",
            source.0.len(),
            best.as_secs_f64() * 1e3,
            cpu * 1e3,
            cpu * 1e9 / cells,
        );
    }
}

fn main() {
    let rounds = std::env::args().nth(1);
    let rounds = rounds.map_or(11, |text| text.parse().expect("a number of rounds"));
    let counters = Memory::new("x", 80, 100, &[""]);
    for query in [
        "sum by (job) (rate(x[5m]))",
        "sum by (job) (x)",
        "avg by (job, method) (increase(x[1m]))",
        "max by (instance) (avg_over_time(x[5m]))",
        "rate(x[5m])",
        "topk(5, rate(x[5m]))",
    ] {
        measure(&counters, query, INTERVAL_MS, rounds);
    }
    drop(counters);
    let bounds = [
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
    ];
    let buckets = Memory::new("x_bucket", 80, 25, &bounds);
    let quantile = "histogram_quantile(0.99, sum by (le, job) (rate(x_bucket[5m])))";
    measure(&buckets, quantile, 60_000, rounds);
    measure(
        &buckets,
        "histogram_quantile(0.99, rate(x_bucket[5m]))",
        60_000,
        rounds,
    );
}
