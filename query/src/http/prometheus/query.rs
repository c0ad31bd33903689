//! `query` and `query_range`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use promql::{Engine, Evaluated, Fetched, Limits, Value};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::super::State;
use super::answer::{Answer, Notes, Refused, bad_data, bad_parameter, success};
use super::form::Form;
use crate::error::{ErrorKind, QueryError};
use crate::exec::series::SeriesReader;

/// `GET|POST query`
pub(crate) async fn instant(Extract(state): Extract<State>, form: Form) -> Answer {
    let time = form.time("time")?.unwrap_or_else(|| now_ms(&state));
    evaluate(state, &form, When::Instant(time)).await
}

/// `GET|POST query_range`
pub(crate) async fn range(Extract(state): Extract<State>, form: Form) -> Answer {
    let (start, end) = (form.needed_time("start")?, form.needed_time("end")?);
    if end < start {
        let message = "end timestamp must not be before start time";
        return Err(bad_parameter("end", message));
    }
    let step = form.needed_duration_ms("step")?;
    if step <= 0 {
        let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(bad_parameter("step", message));
    }
    evaluate(state, &form, When::Range(start, end, step)).await
}

#[allow(clippy::cast_possible_wrap)]
fn now_ms(state: &State) -> i64 {
    (state.now() / 1_000_000) as i64
}

/// Times of a query: one, or from, to and step.
enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

/// Stops an evaluation whose client went away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where the time of a query went, in the order of its stages.
struct Timings {
    began: Instant,
    queued: Instant,
    /// What reading took.
    prepared: Duration,
    evaluated: Instant,
}

/// The value, and the statistics where they were asked for.
#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Json>,
}

async fn evaluate(state: State, form: &Form, when: When) -> Answer {
    let began = Instant::now();
    let limit = form.limit()?;
    let options = state.options();
    let engine = engine(&state, form)?;
    let query = engine
        .query(form.text("query").unwrap_or_default())
        .map_err(|problem| bad_parameter("query", problem))?;
    if matches!(when, When::Range(..)) {
        query
            .check_range()
            .map_err(|problem| bad_parameter("query", problem))?;
    }
    let timeout = timeout(options.promql_timeout, form)?;
    let running = state.begin_promql().await?;
    let queued = Instant::now();
    let cancel = CancelOnDrop(Arc::default());
    let limits = Limits {
        deadline: Some(queued + timeout),
        cancelled: Some(Arc::clone(&cancel.0)),
        memory: Some(running.work().sample_memory()),
        ..options.promql_limits.clone()
    };
    let plan = match when {
        When::Instant(time) => engine.prepare_instant(&query, time, limits)?,
        When::Range(start, end, step) => engine.prepare_range(&query, start, end, step, limits)?,
    };
    let reader = SeriesReader(running.context());
    let mut prepared = Duration::ZERO;
    let mut parts = plan.in_parts();
    loop {
        let begun = Instant::now();
        let left = timeout.saturating_sub(begun.duration_since(queued));
        let fetched = tokio::time::timeout(left, parts.fetch(&reader))
            .await
            .map_err(|_| Refused::from(promql::Error::Timeout))??;
        prepared += begun.elapsed();
        let Some(fetched) = fetched else { break };
        parts.add(steps(fetched).await?)?;
        running.work().keep_samples(parts.values());
    }
    let answer = parts.finish()?;
    let mut notes = Notes::of_evaluation(answer.warnings, answer.infos);
    let mut value = answer.value;
    match &mut value {
        Value::Vector(samples) => notes.limit(samples, limit),
        Value::Matrix(series) => notes.limit(series, limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    let timings = Timings {
        began,
        queued,
        prepared,
        evaluated: Instant::now(),
    };
    let stats = form
        .text("stats")
        .map(|asked| statistics(&answer.counts, asked == "all", &timings));
    success(&running, Data { value, stats }, notes).await
}

/// Evaluates what was read.
async fn steps(fetched: Fetched) -> Result<Evaluated, Refused> {
    let (done, evaluated) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        // Nobody may wait for it any more.
        let _ = done.send(fetched.evaluate_steps());
        // Millions of samples take a while to be let go of: the answer is on its way before.
        drop(fetched);
    });
    let evaluated = evaluated.await.map_err(|_| {
        let message = "the evaluation failed; see the log";
        Refused::from(QueryError::new(ErrorKind::Internal, message))
    })?;
    Ok(evaluated?)
}

/// How long the query may take: as long as is asked for, but no longer than any may.
fn timeout(most: Duration, form: &Form) -> Result<Duration, Refused> {
    let Some(ms) = form.duration_ms("timeout")? else {
        return Ok(most);
    };
    match u64::try_from(ms) {
        Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms).min(most)),
        _ => Err(bad_parameter("timeout", "it has to be longer than nothing")),
    }
}

/// The engine, with the lookback of this request. One that is not positive means the default.
fn engine(state: &State, form: &Form) -> Result<Engine, Refused> {
    let mut options = state.options().promql.clone();
    let lookback = form.duration_ms("lookback_delta").map_err(|_| {
        let text = form.text("lookback_delta").unwrap_or_default();
        let problem = format!("cannot parse {text:?} to a valid duration");
        bad_data(format!("error parsing lookback delta duration: {problem}"))
    })?;
    if let Some(lookback) = lookback
        && lookback > 0
    {
        options.lookback_ms = lookback;
    }
    options.count_samples = form.text("stats").is_some();
    Ok(Engine::new(options))
}

/// What Prometheus says of a query's cost, step by step where all of it is asked for.
#[allow(clippy::cast_precision_loss)]
fn statistics(counts: &promql::Counts, all: bool, timings: &Timings) -> Json {
    let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
    let Timings {
        began,
        queued,
        prepared,
        evaluated,
    } = *timings;
    let mut samples = json!({
        "totalQueryableSamples": counts.total(),
        "peakSamples": counts.peak,
    });
    if all {
        let steps = counts.per_step.iter();
        let step = |(time_ms, samples): &(i64, u64)| json!([*time_ms as f64 / 1000.0, samples]);
        samples["totalQueryableSamplesPerStep"] = steps.map(step).collect();
    }
    json!({
        "timings": {
            "evalTotalTime": seconds(queued, evaluated),
            "resultSortTime": 0.0,
            "queryPreparationTime": prepared.as_secs_f64(),
            "innerEvalTime": seconds(queued, evaluated) - prepared.as_secs_f64(),
            "execQueueTime": seconds(began, queued),
            "execTotalTime": seconds(began, evaluated),
        },
        "samples": samples,
    })
}
