use std::sync::Mutex;
use std::time::Duration;

use futures::executor::block_on;

use super::*;
use crate::source::{Samples, SelectFuture, Selected, Selection, Series, Sparse};

/// Some series of ones, and what was asked for.
struct Ones {
    series: usize,
    asked: Mutex<Vec<Selection>>,
}

impl Ones {
    fn new(series: usize) -> Self {
        Self {
            series,
            asked: Mutex::default(),
        }
    }
}

impl SeriesSource for Ones {
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a> {
        self.asked.lock().unwrap().push(selection.clone());
        let mut samples = Samples::default();
        for time_ms in (0..=600_000).step_by(10_000) {
            if time_ms > selection.start_ms && time_ms <= selection.end_ms {
                samples.push(time_ms, 1.0);
            }
        }
        let series = (0..self.series).map(|index| Series {
            labels: Labels::new([("__name__", "one".to_owned()), ("i", index.to_string())]),
            samples: samples.clone(),
        });
        let selected = Selected {
            series: series.collect(),
            warnings: vec!["half of it".into()],
            ..Selected::default()
        };
        Box::pin(std::future::ready(Ok(selected)))
    }
}

fn range(query: &str, source: &Ones, limits: Limits) -> Result<Answer, Error> {
    let query = Query::parse(query)?;
    block_on(Engine::default().range(&query, (0, 600_000, 60_000), source, limits))
}

#[test]
fn each_selection_is_read_once_and_says_what_it_needs() {
    let source = Ones::new(2);
    let query = "sum by (i) (rate(one[5m] offset 1m)) + one + one * max_over_time(one[1h:7s] @ 90)";
    let answer = range(query, &source, Limits::default()).unwrap();
    assert_eq!(answer.warnings, ["half of it"]);
    let asked = source.asked.into_inner().unwrap();
    assert_eq!(asked.len(), 3);
    let rate = &asked[0];
    assert_eq!((rate.start_ms, rate.end_ms), (-360_000, 540_000));
    assert_eq!(
        (rate.function, rate.range_ms, rate.step_ms),
        ("rate", 300_000, 60_000)
    );
    let plain = &asked[1];
    assert_eq!((plain.start_ms, plain.end_ms), (-300_000, 600_000));
    // The subquery's first step is the first multiple of its step after 90 s - 1 h.
    let inner = &asked[2];
    assert_eq!(
        (inner.start_ms, inner.end_ms),
        (-3_507_000 - 300_000, 84_000)
    );
    let earliest = |one: &Selection| one.earliest_ms == inner.start_ms;
    assert!(asked.iter().all(earliest), "{asked:?}");
}

#[test]
fn limits_end_queries_with_an_explanation() {
    // What one step needs is the least that has to be held at once.
    let limits = |max_samples| Limits {
        max_samples,
        ..Limits::default()
    };
    assert!(range("one", &Ones::new(3), limits(100)).is_ok());
    let error = range("one", &Ones::new(3), limits(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("too many samples"), "{error}");

    let limits = Limits {
        max_samples: 1000,
        ..Limits::default()
    };
    let error = range("max_over_time(one[1h:1ms])", &Ones::new(1), limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);

    // The first of the eleven points is no step.
    let limits = |max_steps| Limits {
        max_steps,
        ..Limits::default()
    };
    assert!(range("one", &Ones::new(1), limits(10)).is_ok());
    let error = range("one", &Ones::new(1), limits(9)).unwrap_err();
    assert!(
        error.to_string().contains("maximum resolution of 9 points"),
        "{error}"
    );

    let limits = Limits {
        max_series: 2,
        ..Limits::default()
    };
    let error = range("one", &Ones::new(3), limits.clone()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the answer has 3 series, the limit is 2"),
        "{error}"
    );
    assert!(range("sum(one)", &Ones::new(3), limits).is_ok());

    let limits = Limits {
        deadline: Some(Instant::now()),
        ..Limits::default()
    };
    assert_eq!(
        range("one", &Ones::new(1), limits).unwrap_err().kind(),
        ErrorKind::Timeout
    );

    let flag = Arc::new(AtomicBool::new(true));
    let deadline = Some(Instant::now() + Duration::from_secs(600));
    let limits = Limits {
        cancelled: Some(flag),
        deadline,
        ..Limits::default()
    };
    assert_eq!(
        range("one", &Ones::new(1), limits).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

#[test]
fn wrong_times_and_types_are_refused() {
    let engine = Engine::default();
    let prepare = |query: &str, start, end, step| {
        let query = Query::parse(query).unwrap();
        engine
            .prepare_range(&query, start, end, step, Limits::default())
            .map(|_| ())
    };
    for (query, start, end, step) in [
        ("1", 0, 1, 0),
        ("1", 1, 0, 1),
        ("one[5m]", 0, 1, 1),
        ("'text'", 0, 1, 1),
        ("1", i64::MIN, i64::MAX, 1),
    ] {
        let error = prepare(query, start, end, step).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData, "{query} {error}");
    }
    assert!(prepare("one offset 100y", -(1 << 53), -(1 << 53), 1).is_ok());
}

/// What Prometheus counts for the same samples.
#[test]
fn samples_are_counted_by_step() {
    let options = Options {
        count_samples: true,
        ..Options::default()
    };
    let engine = Engine::new(options);
    let source = Ones::new(2);
    let ranged = |text: &str| {
        let query = Query::parse(text).unwrap();
        let times = (300_000, 420_000, 60_000);
        let answer = engine.range(&query, times, &source, Limits::default());
        block_on(answer).unwrap().counts
    };
    for (query, each) in [
        ("1 + 1", 0),
        ("one", 2),
        ("one offset 1m", 2),
        ("one @ 60", 2),
        ("timestamp(one)", 2),
        ("absent(one)", 2),
        ("one + one", 4),
        ("rate(one[1m])", 12),
        ("absent_over_time(one[1m])", 12),
        ("sum(rate(one[1m])) + count(one)", 14),
        ("max_over_time(one[1m:20s])", 6),
        ("max_over_time(sum(one)[1m:20s])", 3),
        ("max_over_time(max_over_time(one[1m:1s])[1m:20s])", 6),
    ] {
        let counts = ranged(query);
        let steps = [(300_000, each), (360_000, each), (420_000, each)];
        assert_eq!(counts.per_step, steps, "{query}");
        assert_eq!(counts.total(), 3 * each, "{query}");
    }
    assert_eq!(ranged("one").peak, 6);
    assert_eq!(
        ranged("sum(rate(one[5m]))").peak,
        60,
        "the windows of a step"
    );
    let instant = |text: &str| {
        let query = Query::parse(text).unwrap();
        let answer = engine.instant(&query, 300_000, &source, Limits::default());
        block_on(answer).unwrap().counts.per_step
    };
    for (query, samples) in [
        ("one", 2),
        ("one[1m]", 12),
        ("one[1m:20s]", 6),
        ("max_over_time(one[30s])[1m:20s]", 18),
    ] {
        assert_eq!(instant(query), [(300_000, samples)], "{query}");
    }
    let silent = range("one", &source, Limits::default()).unwrap();
    assert!(silent.counts.per_step.is_empty());
}

#[test]
fn names_may_be_dropped_at_once() {
    let options = Options {
        delayed_name_removal: false,
        ..Options::default()
    };
    let query = Query::parse("sum(abs({i=~'0', __name__=~'one'})) by (__name__)").unwrap();
    let source = Ones::new(1);
    let answer = |engine: Engine| {
        block_on(engine.instant(&query, 0, &source, Limits::default()))
            .unwrap()
            .value
    };
    let labels = |value| match value {
        Value::Vector(samples) => samples[0].labels.clone(),
        other => panic!("{other:?}"),
    };
    assert!(labels(answer(Engine::new(options))).is_empty());
    assert!(labels(answer(Engine::default())).is_empty());
}

/// What is nested as deep as it can be, and chains as long as they can be.
#[test]
fn the_deepest_trees_are_evaluated() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}one{}", open.repeat(levels), close.repeat(levels))
    };
    let first = |query: &str| match range(query, &Ones::new(1), Limits::default())
        .unwrap()
        .value
    {
        Value::Matrix(series) => match &series[0].points[0].value {
            SampleValue::Float(value) => *value,
            SampleValue::Histogram(_) => panic!("a histogram"),
        },
        _ => panic!("not a matrix"),
    };
    for (query, want) in [
        (nested("abs(", ")", 4_000), 1.0),
        (nested("(", ")", 4_000), 1.0),
        (nested("-(", ")", 2_000), 1.0),
        (nested("max(max_over_time(", "[1m:1m]))", 500), 1.0),
        (nested("1 + (", ")", 2_000), 2_001.0),
        (format!("one{}", " ^ one".repeat(2_000)), 1.0),
        (format!("one{}", " + one".repeat(10_000)), 10_001.0),
        (format!("1{}", "+1".repeat(60_000)), 60_001.0),
        (format!("one{}", " or two * 2".repeat(2_000)), 1.0),
    ] {
        assert_eq!(first(&query), want, "{}...", &query[..20]);
    }
}

/// Counters with gaps, resets and a stale marker, a gauge, and histograms that become floats.
struct Varied {
    /// Those from the eighth on have histograms.
    series: u32,
}

impl SeriesSource for Varied {
    fn select<'a>(&'a self, _: &'a Selection) -> SelectFuture<'a> {
        let series = (0..self.series).map(|index| {
            let mut samples = Samples::default();
            for time_ms in (0..=600_000).step_by(10_000) {
                let step = i32::try_from(time_ms / 10_000).unwrap();
                match (index, step % 13) {
                    (0..5, 7) => {}
                    (2, 3) => samples.push(time_ms, crate::source::stale_nan()),
                    (3, _) => samples.push(time_ms, f64::from(step % 5)),
                    (8.., 0..8) => {
                        let text = format!("{{{{count:{step} sum:{step} buckets:[{step}]}}}}");
                        let histogram = crate::notation::parse_histogram(&text).unwrap();
                        samples.push_histogram(time_ms, Arc::new(histogram));
                    }
                    _ => samples.push(time_ms, f64::from(step) * f64::from(index)),
                }
            }
            let pairs = [
                ("__name__", "varied".to_owned()),
                ("i", index.to_string()),
                ("le", (index % 4).to_string()),
            ];
            Series {
                labels: Labels::new(pairs),
                samples,
            }
        });
        let selected = Selected {
            series: series.collect(),
            ..Selected::default()
        };
        Box::pin(std::future::ready(Ok(selected)))
    }
}

/// A source that keeps of each ten minutes the last sample, their sum and how many there were.
struct Buckets {
    sums: bool,
}

impl SeriesSource for Buckets {
    fn select<'a>(&'a self, _: &'a Selection) -> SelectFuture<'a> {
        let mut samples = Samples::default();
        for (time_ms, sum, count) in [(600_000, 30.0, 10.0), (1_200_000, 10.0, 2.0)] {
            samples.push(time_ms, if self.sums { sum } else { sum / count });
            samples.counts.extend(self.sums.then_some(count));
        }
        let series = Series {
            labels: Labels::new([("__name__", "kept")]),
            samples,
        };
        let selected = Selected {
            series: vec![series],
            sparse: Sparse {
                apart_ms: 600_000,
                until_ms: 1_200_001,
            },
            warnings: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(selected)))
    }
}

#[test]
fn sums_of_samples_count_as_many_as_they_are_of() {
    let value = |query: &str, sums: bool, time_ms: i64| {
        let query = Query::parse(query).unwrap();
        let (engine, source) = (Engine::default(), Buckets { sums });
        let answer = engine.instant(&query, time_ms, &source, Limits::default());
        match block_on(answer).unwrap().value {
            Value::Vector(samples) => samples.first().map(|sample| sample.point.value.clone()),
            other => panic!("{other:?}"),
        }
    };
    let float = |value: f64| Some(SampleValue::Float(value));
    assert_eq!(
        value("avg_over_time(kept[20m])", true, 1_200_000),
        float(40.0 / 12.0)
    );
    assert_eq!(
        value("avg_over_time(kept[10m])", true, 1_200_000),
        float(5.0)
    );
    assert_eq!(
        value("count_over_time(kept[20m])", true, 1_200_000),
        float(12.0)
    );
    assert_eq!(
        value("sum_over_time(kept[20m])", true, 1_200_000),
        float(40.0)
    );
    assert_eq!(
        value("count_over_time(kept[20m])", false, 1_200_000),
        float(2.0)
    );
    // The last sample may be as old as the usual and a bucket together.
    assert_eq!(value("kept", false, 2_099_999), float(5.0));
    assert_eq!(value("kept", false, 2_100_000), None);
}

#[test]
fn steps_in_parts_give_the_whole() {
    let evaluate = |query: &str, parts: usize| {
        let query = Query::parse(query).unwrap();
        let plan = Engine::default()
            .prepare_range(&query, 0, 600_000, 7_000, Limits::default())
            .unwrap();
        let fetched = block_on(plan.clone().fetch(&Varied { series: 12 })).unwrap();
        fetched.evaluate_on(parts)?.into_answer(&plan)
    };
    for query in [
        "varied",
        "rate(varied[1m])",
        "sum by (le) (rate(varied[1m]))",
        "avg without (i) (varied) > bool 3",
        "topk(3, varied) or bottomk(1, varied)",
        "count_values('v', varied)",
        "histogram_quantile(0.7, varied)",
        "varied / on (le) group_left sum by (le) (varied)",
        "max_over_time(sum by (le) (varied)[2m:9s] offset 20s)",
        "increase(varied[1m] smoothed)",
        "absent(varied offset 20m) * time()",
        "varied @ 90 + varied @ end()",
        "time()",
    ] {
        let whole = evaluate(query, 1).unwrap();
        assert!(
            matches!(&whole.value, Value::Matrix(series) if !series.is_empty()),
            "{query}"
        );
        for parts in [2, 3, 7] {
            let joined = evaluate(query, parts).unwrap();
            assert_eq!(
                format!("{joined:?}"),
                format!("{whole:?}"),
                "{query} in {parts}"
            );
        }
    }
    let failed = "varied + on (le) varied";
    let errors = [1, 3].map(|parts| evaluate(failed, parts).unwrap_err().to_string());
    assert_eq!(errors[0], errors[1]);
}

#[test]
fn shares_of_the_series_give_the_whole() {
    let fetched = |query: &str, series: u32| {
        let query = Query::parse(query).unwrap();
        let plan = Engine::default()
            .prepare_range(&query, 0, 600_000, 7_000, Limits::default())
            .unwrap();
        (
            block_on(plan.clone().fetch(&Varied { series })).unwrap(),
            plan,
        )
    };
    for query in [
        "sum(varied)",
        "count by (le) (varied)",
        "group without (i) (varied)",
        "min by (__name__, le) (varied)",
        "max(rate(varied[1m])) + 1",
        "avg by (le) (max_over_time(varied[1m]))",
        "sum by (le) (increase(varied[1m])) / sum by (le) (increase(varied[2m]))",
        "histogram_quantile(0.7, sum by (le) (rate(varied[1m])))",
        "topk(2, sum by (le) (quantile_over_time(0.5, varied[1m])))",
        "sum(varied offset 20m)",
        "sum(last_over_time(varied[1m] @ 90))",
    ] {
        let (fetched, plan) = fetched(query, 8);
        assert!(fetched.is_shared_by_series(), "{query}");
        let whole = fetched.evaluate_on(1).unwrap().into_answer(&plan).unwrap();
        for threads in [2, 3, 20] {
            let shared = fetched.evaluate_by_series(threads).unwrap();
            let shared = shared.into_answer(&plan).unwrap();
            assert_eq!(
                format!("{shared:?}"),
                format!("{whole:?}"),
                "{query} on {threads}"
            );
        }
    }
    for query in [
        "varied",
        "sum(varied) + on () group_right varied",
        "topk(2, varied)",
        "sum(abs(varied))",
        "sum(max_over_time(varied[2m:9s]))",
        "sum(rate(sum(varied)[2m:9s]))",
        "sum(varied smoothed)",
        "stddev(varied)",
        "sum(info(varied))",
        "time()",
    ] {
        assert!(!fetched(query, 8).0.is_shared_by_series(), "{query}");
    }
    let histograms = fetched("sum(varied)", 12).0;
    assert!(!histograms.is_shared_by_series());
}
