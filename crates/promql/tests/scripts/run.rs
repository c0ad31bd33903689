//! Runs the commands of a script.

use futures::executor::block_on;
use std::collections::BTreeSet;

use promql::engine::{MatrixSeries, Point, Query, SampleValue, VectorSample};
use promql::notation::{Sequence, SequenceValue};
use promql::{Answer, Engine, Error, Limits, Plan, Value};

use crate::expect::{close, same};
use crate::script::{Command, Eval, Time, parse};
use crate::store::Store;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) cases: usize,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn run(text: &str) -> Report {
    let mut store = Store::default();
    let engine = Engine::default();
    let mut report = Report::default();
    for command in parse(text) {
        match command {
            Command::Clear => store.clear(),
            Command::Load {
                step_ms,
                sequences,
                with_custom_buckets,
            } => {
                store.load(step_ms, &sequences, with_custom_buckets);
            }
            Command::Eval(eval) => {
                report.cases += 1;
                if let Err(message) = check(&engine, &store, &eval) {
                    report
                        .failures
                        .push(format!("{}: {}\n    {message}", eval.line, eval.query));
                }
            }
        }
    }
    report
}

fn answer(engine: &Engine, store: &Store, query: &str, time: Time) -> Result<Answer, String> {
    let query = Query::parse(query).map_err(|error| error.to_string())?;
    let whole = plan(engine, &query, time).and_then(|plan| block_on(plan.fetch(store))?.evaluate());
    let parts = in_parts(engine, store, &query, time);
    // Of wrong parameters the least and the greatest of each part are named.
    let without_number = |note: &String| match note.split_once(", got ") {
        Some((before, _)) => before.to_owned(),
        None => note.clone(),
    };
    let show = |answer: &Result<Answer, Error>| match answer {
        Ok(answer) => {
            let notes = answer.warnings.iter().chain(&answer.infos);
            let notes: BTreeSet<String> = notes.map(without_number).collect();
            format!("{:?} {notes:?}", answer.value)
        }
        Err(error) => error.to_string(),
    };
    let (one, other) = (show(&whole), show(&parts));
    if one != other {
        return Err(format!("in parts it gives {other}, whole {one}"));
    }
    whole.map_err(|error| error.to_string())
}

fn plan(engine: &Engine, query: &Query, time: Time) -> Result<Plan, Error> {
    let limits = Limits::default();
    match time {
        Time::Instant(time_ms) => engine.prepare_instant(query, time_ms, limits),
        Time::Range {
            start_ms,
            end_ms,
            step_ms,
        } => engine.prepare_range(query, start_ms, end_ms, step_ms, limits),
    }
}

/// The answer of as many parts as there may be.
fn in_parts(engine: &Engine, store: &Store, query: &Query, time: Time) -> Result<Answer, Error> {
    let mut parts = plan(engine, query, time)?.in_parts_of(1);
    while let Some(fetched) = block_on(parts.fetch(store))? {
        parts.add(fetched.evaluate_steps()?)?;
    }
    parts.finish()
}

fn check(engine: &Engine, store: &Store, eval: &Eval) -> Result<(), String> {
    let result = answer(engine, store, &eval.query, eval.time);
    if eval.expectations.expects_failure() {
        return match result {
            Ok(answer) => Err(format!("did not fail: {:?}", answer.value)),
            Err(message) => eval.expectations.check_failure(&message),
        };
    }
    let answer = result?;
    eval.expectations.check_notes(&answer)?;
    check_value(eval, &answer.value)?;
    if let Time::Instant(time_ms) = eval.time {
        check_as_range(engine, store, eval, time_ms)
            .map_err(|message| format!("as the middle step of a range: {message}"))?;
    }
    Ok(())
}

/// A query at one time must give what it gives as a step of a range.
fn check_as_range(engine: &Engine, store: &Store, eval: &Eval, time_ms: i64) -> Result<(), String> {
    let expectations = &eval.expectations;
    let depends_on_range = ["start()", "end()", "step()", "range()"]
        .iter()
        .any(|call| eval.query.contains(call));
    if depends_on_range
        || expectations.ordered
        || expectations.string.is_some()
        || expectations.range_vector.is_some()
    {
        return Ok(());
    }
    let step_ms = 60_000;
    let (start_ms, end_ms) = (time_ms - step_ms, time_ms + step_ms);
    let time = Time::Range {
        start_ms,
        end_ms,
        step_ms,
    };
    let Value::Matrix(series) = answer(engine, store, &eval.query, time)?.value else {
        return Err("no matrix".to_owned());
    };
    let middle = |series: MatrixSeries| {
        let point = series
            .points
            .into_iter()
            .find(|point| point.time_ms == time_ms)?;
        Some(VectorSample {
            labels: series.labels,
            point,
        })
    };
    let samples: Vec<VectorSample> = series.into_iter().filter_map(middle).collect();
    match eval.scalar {
        Some(value) => check_value(
            eval,
            &Value::Scalar {
                time_ms,
                value: scalar(&samples)?,
            },
        )
        .map_err(|message| format!("{message}, expected {value}")),
        None => check_value(eval, &Value::Vector(samples)),
    }
}

fn scalar(samples: &[VectorSample]) -> Result<f64, String> {
    match samples {
        [
            VectorSample {
                point:
                    Point {
                        value: SampleValue::Float(value),
                        ..
                    },
                ..
            },
        ] => Ok(*value),
        _ => Err(format!("no single number: {samples:?}")),
    }
}

fn check_value(eval: &Eval, value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("got {value:?}"));
    match value {
        Value::String { value: text, .. } => match &eval.expectations.string {
            Some(expected) if expected == text => Ok(()),
            _ => wrong(),
        },
        Value::Scalar { value: got, .. } => match eval.scalar {
            Some(expected) if close(expected, *got) => Ok(()),
            _ => wrong(),
        },
        Value::Vector(samples) => check_vector(eval, samples),
        Value::Matrix(series) => {
            let (start_ms, step_ms) = match (eval.expectations.range_vector, eval.time) {
                (Some(times), _) => times,
                (
                    None,
                    Time::Range {
                        start_ms, step_ms, ..
                    },
                ) => (start_ms, step_ms),
                (None, Time::Instant(time_ms)) => (time_ms, 1),
            };
            check_matrix(eval, series, start_ms, step_ms)
        }
    }
}

fn check_vector(eval: &Eval, samples: &[VectorSample]) -> Result<(), String> {
    if let Some(expected) = eval.scalar {
        return Err(format!("expected the scalar {expected}, got {samples:?}"));
    }
    for (index, sequence) in eval.series.iter().enumerate() {
        let [Some(expected)] = &sequence.values[..] else {
            return Err(format!("{} needs one value", sequence.labels));
        };
        let position = samples
            .iter()
            .position(|sample| sample.labels == sequence.labels)
            .ok_or_else(|| format!("{} is missing in {samples:?}", sequence.labels))?;
        if eval.expectations.ordered && position != index {
            return Err(format!(
                "{} is number {position}, not {index}",
                sequence.labels
            ));
        }
        let got = &samples[position].point.value;
        if !same(expected, got) {
            return Err(format!(
                "{}: expected {}, got {got:?}",
                sequence.labels,
                show(expected)
            ));
        }
    }
    let unexpected = |sample: &&VectorSample| {
        !eval
            .series
            .iter()
            .any(|sequence| sequence.labels == sample.labels)
    };
    match samples.iter().find(unexpected) {
        Some(sample) => Err(format!("unexpected {sample:?}")),
        None => Ok(()),
    }
}

fn show(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Float(value) => value.to_string(),
        SequenceValue::Histogram(histogram, _) => histogram.to_string(),
    }
}

fn check_matrix(
    eval: &Eval,
    series: &[MatrixSeries],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    let scalar = eval.scalar.map(|value| Sequence {
        labels: promql::Labels::empty(),
        values: vec![Some(SequenceValue::Float(value))],
    });
    let expected: Vec<&Sequence> = eval.series.iter().chain(&scalar).collect();
    for sequence in &expected {
        let points = series
            .iter()
            .find(|series| series.labels == sequence.labels)
            .map_or(&[][..], |series| &series.points);
        let wanted: Vec<(i64, &SequenceValue)> = sequence
            .values
            .iter()
            .zip(0i64..)
            .filter_map(|(value, index)| Some((start_ms + index * step_ms, value.as_ref()?)))
            .collect();
        let agree = wanted.len() == points.len()
            && wanted.iter().zip(points).all(|((time_ms, value), point)| {
                *time_ms == point.time_ms && same(value, &point.value)
            });
        if !agree {
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(time, value)| (time, show(value)))
                .collect();
            return Err(format!(
                "{}: expected {wanted:?}, got {points:?}",
                sequence.labels
            ));
        }
    }
    let unexpected = |series: &&MatrixSeries| {
        !expected
            .iter()
            .any(|sequence| sequence.labels == series.labels)
    };
    match series.iter().find(unexpected) {
        Some(series) => Err(format!("unexpected {series:?}")),
        None => Ok(()),
    }
}
