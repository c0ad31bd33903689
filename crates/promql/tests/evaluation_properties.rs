//! Whatever query is evaluated, on numbers, gaps, stale markers and histograms: it ends without a
//! panic, and a step of a range gives what the query gives at that time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::executor::block_on;
use promql::notation::{SequenceValue, parse_sequence};
use promql::source::SelectFuture;
use promql::{
    Answer, Engine, Error, Limits, Plan, Query, SampleValue, Samples, Selected, Selection, Series,
    SeriesSource, SourceError, SourceErrorKind, Value,
};
use proptest::prelude::*;

const DATA: [&str; 9] = [
    "a{x=\"1\"} 0+1x20",
    "a{x=\"2\"} 5 3 _ stale 7 NaN 8 Inf 2-1x12",
    "b{x=\"1\", y=\"p\"} _x3 1+2x5 stale _x4 4x6",
    "b{x=\"2\", y=\"q\"} 3x20",
    "h{x=\"1\"} {{schema:1 count:3 sum:4 z_bucket:1 z_bucket_w:0.01 buckets:[1 1]}}+{{schema:1 count:2 sum:3 buckets:[1 1]}}x20",
    "h{x=\"2\"} 1 2 {{schema:0 count:3 sum:4 buckets:[3]}}x5 3 {{schema:-53 count:2 sum:3 custom_values:[1 2] buckets:[1 1]}}x9",
    "h_bucket{le=\"1\"} 0+1x20",
    "h_bucket{le=\"2\"} 1+2x9 0+1x10",
    "h_bucket{le=\"+Inf\"} 2+3x20",
];
const STEP_MS: i64 = 30_000;

struct Fixed(Vec<Series>);

impl Fixed {
    fn new() -> Self {
        let series = DATA.iter().map(|line| {
            let sequence = parse_sequence(line).expect("the data is well formed");
            let mut samples = Samples::default();
            for (value, index) in sequence.values.into_iter().zip(0i64..) {
                match value {
                    None => {}
                    Some(SequenceValue::Float(value)) => samples.push(index * STEP_MS, value),
                    Some(SequenceValue::Histogram(histogram, _)) => {
                        samples.push_histogram(index * STEP_MS, Arc::new(histogram));
                    }
                }
            }
            Series {
                labels: sequence.labels,
                samples,
            }
        });
        Self(series.collect())
    }
}

impl SeriesSource for Fixed {
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a> {
        let holds = |series: &&Series| {
            selection
                .matchers
                .iter()
                .all(|matcher| matcher.matches_labels(&series.labels))
        };
        let in_share = |series: &&Series| {
            let mut hasher = DefaultHasher::new();
            series.labels.hash(&mut hasher);
            selection.share.holds(hasher.finish())
        };
        let series = self.0.iter().filter(holds).filter(in_share);
        let series: Vec<Series> = series.cloned().collect();
        let samples = series.iter().map(|series| series.samples.len()).sum();
        let selected = if samples > selection.foreseen_max {
            Err(SourceError {
                kind: SourceErrorKind::TooManySamples(samples),
                message: format!("{samples} samples match"),
            })
        } else {
            Ok(Selected {
                series,
                ..Selected::default()
            })
        };
        Box::pin(std::future::ready(selected))
    }

    fn shares(&self, _: &Selection) -> bool {
        true
    }
}

fn pick(options: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    proptest::sample::select(options.to_vec())
}

fn query() -> impl Strategy<Value = String> {
    let series = [
        "a",
        "b",
        "h",
        "h_bucket",
        "{x=~\".+\"}",
        "a{x=\"1\"}",
        "none",
        "a offset 1m",
        "b @ 200",
        "a smoothed",
        "h smoothed offset 40s",
    ];
    let ranges = [
        "a[2m]",
        "b[5m]",
        "h[3m]",
        "h[10m]",
        "none[1m]",
        "{x=\"2\"}[4m] offset 1m",
        "a[3m] @ 300",
    ];
    let over = [
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "deriv",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "mad_over_time",
        "first_over_time",
        "last_over_time",
        "present_over_time",
        "absent_over_time",
        "ts_of_min_over_time",
        "ts_of_max_over_time",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
    ];
    let functions = [
        "abs",
        "ceil",
        "exp",
        "ln",
        "sgn",
        "deg",
        "atan",
        "absent",
        "timestamp",
        "day_of_week",
        "year",
        "days_in_month",
        "minute",
        "histogram_count",
        "histogram_avg",
        "histogram_stddev",
        "sqrt",
        "-",
    ];
    let aggregates = [
        "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
    ];
    let grouping = ["", "by (x)", "without (x)", "by (le, __name__)"];
    let operators = [
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "atan2",
        "==",
        "!= bool",
        ">",
        "< bool",
        "and",
        "or",
        "unless",
        "+ on (x) group_left (y)",
        "/ ignoring (y, le) group_right ()",
        "and on (x)",
        "- fill(1)",
        "or on ()",
        ">/",
        "</ on (x)",
        "+ on (x) group_left () fill_right (2)",
    ];
    // Which of equal values `topk` keeps depends on the order of the series, so it keeps all.
    let leaf = prop_oneof![
        pick(&series).prop_map(str::to_owned),
        (pick(&over), pick(&ranges)).prop_map(|(function, range)| format!("{function}({range})")),
        Just("vector(time())".to_owned()),
        Just("quantile_over_time(0.3, h[5m])".to_owned()),
        Just("predict_linear(a[5m], 60)".to_owned()),
        Just("double_exponential_smoothing(b[5m], 0.3, 0.6)".to_owned()),
        Just("increase(a[2m] smoothed)".to_owned()),
        Just("rate(b[3m] anchored)".to_owned()),
        Just("increase(h[3m] smoothed)".to_owned()),
        Just("delta(h[3m] anchored)".to_owned()),
        Just("changes({x=~'.+'}[4m] anchored)".to_owned()),
        Just("vector(max_of(time() / 100, scalar(b)))".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 2, move |inner| {
        prop_oneof![
            (pick(&functions), inner.clone()).prop_map(|(function, a)| format!("{function}({a})")),
            (pick(&aggregates), pick(&grouping), inner.clone())
                .prop_map(|(aggregate, by, a)| format!("{aggregate} {by} ({a})")),
            (inner.clone(), pick(&operators), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), pick(&operators[..11])).prop_map(|(a, op)| format!("({a}) {op} 2")),
            (inner.clone(), pick(&["</", ">/"])).prop_map(|(a, op)| format!("({a}) {op} 1.5")),
            (pick(&over), inner.clone()).prop_map(|(f, a)| format!("{f}(({a})[4m:1m])")),
            inner
                .clone()
                .prop_map(|a| format!("histogram_quantile(0.7, {a})")),
            inner
                .clone()
                .prop_map(|a| format!("histogram_fraction(0, 1.5, {a})")),
            inner
                .clone()
                .prop_map(|a| format!("quantile by (x) (0.4, {a})")),
            inner
                .clone()
                .prop_map(|a| format!("count_values(\"v\", {a})")),
            inner.clone().prop_map(|a| format!("topk by (x) (99, {a})")),
            inner.clone().prop_map(|a| format!("limit_ratio(0.5, {a})")),
            inner
                .clone()
                .prop_map(|a| format!("clamp({a}, 1, scalar(a))")),
            inner.clone().prop_map(|a| format!("round({a}, 0.3)")),
            inner.clone().prop_map(|a| format!("info({a})")),
            inner.clone().prop_map(|a| format!("sort_desc({a})")),
            inner.prop_map(|a| format!("label_replace({a}, \"z\", \"$1\", \"x\", \"(.*)\")")),
        ]
    })
}

/// Without the last digits, which depend on the order of the series.
fn text(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format!("{value:.9e}"),
        SampleValue::Histogram(histogram) => histogram.to_string(),
    }
}

/// The values at one time by labels.
fn at(answer: &Answer, time_ms: i64) -> Vec<(String, String)> {
    let mut values: Vec<(String, String)> = match &answer.value {
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| (sample.labels.to_string(), text(&sample.point.value)))
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .flat_map(|series| {
                let now = series
                    .points
                    .iter()
                    .filter(|point| point.time_ms == time_ms);
                now.map(|point| (series.labels.to_string(), text(&point.value)))
            })
            .collect(),
        other => panic!("{other:?}"),
    };
    values.sort();
    values
}

/// The answer in as many parts and shares of series as there may be.
fn in_parts(plan: Plan, source: &Fixed) -> Result<Answer, Error> {
    let mut parts = plan.in_parts_of(1);
    while let Some(fetched) = block_on(parts.fetch(source))? {
        parts.add(fetched.evaluate_steps()?)?;
    }
    parts.finish()
}

/// How many cases are tried; `PROPTEST_CASES` in the environment sets another number.
fn cases(usual: u32) -> u32 {
    let given = std::env::var("PROPTEST_CASES");
    given.map_or(usual, |text| text.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(400),
        failure_persistence: None,
        // The same cases every time.
        rng_seed: proptest::test_runner::RngSeed::Fixed(3),
        ..ProptestConfig::default()
    })]

    #[test]
    fn steps_of_a_range_are_instants(query in query()) {
        let source = Fixed::new();
        let engine = Engine::default();
        let text = query;
        let query = match Query::parse(&text) {
            Ok(query) => query,
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        };
        let (start_ms, end_ms, step_ms) = (0, 720_000, 45_000);
        let range = block_on(engine.range(&query, (start_ms, end_ms, step_ms), &source, Limits::default()));
        let mut time_ms = start_ms;
        let mut failed = false;
        while time_ms <= end_ms {
            match block_on(engine.instant(&query, time_ms, &source, Limits::default())) {
                Ok(instant) => {
                    let plan = engine.prepare_instant(&query, time_ms, Limits::default());
                    let parts = plan.and_then(|plan| in_parts(plan, &source));
                    let divided = parts.map(|answer| at(&answer, time_ms));
                    prop_assert_eq!(divided.ok(), Some(at(&instant, time_ms)), "{} at {}", text, time_ms);
                    if let Ok(range) = &range {
                        prop_assert_eq!(at(&instant, time_ms), at(range, time_ms), "{} at {}", text, time_ms);
                    }
                }
                Err(Error::Execution(_)) => failed = true,
                Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
            }
            time_ms += step_ms;
        }
        if let Ok(range) = &range {
            let plan = engine.prepare_range(&query, start_ms, end_ms, step_ms, Limits::default());
            let divided = plan.and_then(|plan| in_parts(plan, &source));
            for time_ms in (start_ms..=end_ms).step_by(45_000) {
                let divided = divided.as_ref().ok().map(|answer| at(answer, time_ms));
                prop_assert_eq!(divided, Some(at(range, time_ms)), "{} at {} in parts", text, time_ms);
            }
        }
        if !failed {
            prop_assert!(range.is_ok(), "{}: {:?}", text, range.err());
        }
    }
}
