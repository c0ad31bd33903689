//! The questions of the table, asked over HTTP on one connection that is kept.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use model::Signal;
use serde_json::Value;
use tests::Http;
use throughline::load::{COMMON_WORD, CorpusKind, PHRASE, RARE_WORD, TraceKeys, trace_keys};

use crate::run::Plan;
use crate::table::Row;

/// Asked before those that count.
const WARM_UP: u64 = 3;
const COUNTED: u64 = 21;
/// A step from one trace to another that shares no block with it.
const STRIDE: u64 = 7_919;
const SECONDS_OF_AN_HOUR: u64 = 3_600;

/// Of a URL.
type Parameters = Vec<(&'static str, String)>;

/// One question. Where it names an id, each time it is asked it is another's.
struct Question {
    name: &'static str,
    goal: Option<f64>,
    path: Box<dyn Fn(&TraceKeys) -> String>,
    parameters: Box<dyn Fn(&TraceKeys) -> Parameters>,
}

fn question(
    name: &'static str,
    goal: impl Into<Option<f64>>,
    path: &'static str,
    parameters: impl Fn(&TraceKeys) -> Parameters + 'static,
) -> Question {
    Question {
        name,
        goal: goal.into(),
        path: Box::new(move |_| path.to_owned()),
        parameters: Box::new(parameters),
    }
}

/// A search that names something of a trace.
fn search(q: impl Fn(&TraceKeys) -> String + 'static) -> impl Fn(&TraceKeys) -> Parameters {
    move |keys| vec![("q", q(keys)), ("limit", "20".to_owned())]
}

fn questions(signal: Signal, corpus: CorpusKind) -> Vec<Question> {
    match (signal, corpus) {
        (Signal::Traces, CorpusKind::Recorded) => Vec::new(),
        (Signal::Traces, _) => of_traces(corpus),
        (Signal::Logs, CorpusKind::Lines | CorpusKind::Recorded) => vec![per_minute()],
        (Signal::Logs, _) => of_logs(),
        (Signal::Metrics, _) => of_metrics(),
    }
}

fn of_traces(corpus: CorpusKind) -> Vec<Question> {
    let traces = "/api/v1/traces";
    let mut questions = vec![
        Question {
            name: "full trace by id",
            goal: Some(2.0),
            path: Box::new(move |keys| format!("{traces}/{}", keys.trace_id)),
            parameters: Box::new(|_| Vec::new()),
        },
        question(
            "traces of a correlation id",
            2.0,
            traces,
            search(|keys| format!("correlation_id:{}", keys.correlation_id)),
        ),
        question(
            "service + operation + min duration, 20 newest traces",
            12.0,
            traces,
            search(|_| {
                r#"service:order-service name:"POST /v2/orders" duration:>500ms"#.to_owned()
            }),
        ),
    ];
    if corpus != CorpusKind::Wide {
        questions.push(question(
            "traces of a user, newest 20",
            None,
            traces,
            search(|keys| format!("user.id:{}", keys.user_id)),
        ));
    }
    questions
}

fn of_logs() -> Vec<Question> {
    let (logs, histogram) = ("/api/v1/logs", "/api/v1/logs/histogram");
    let count = |text: String| move |_: &TraceKeys| vec![("q", text.clone())];
    vec![
        question(
            "logs of one trace",
            2.0,
            logs,
            search(|keys| format!("trace_id:{}", keys.trace_id)),
        ),
        question(
            "logs of one correlation id",
            2.0,
            logs,
            search(|keys| format!("correlation_id:{}", keys.correlation_id)),
        ),
        question(
            "rare word, newest 20",
            5.0,
            logs,
            search(|_| RARE_WORD.to_owned()),
        ),
        question(
            "count of a common word",
            10.0,
            histogram,
            count(COMMON_WORD.to_owned()),
        ),
        question(
            "count of a phrase",
            None,
            histogram,
            count(format!("\"{PHRASE}\"")),
        ),
        per_minute(),
    ]
}

fn per_minute() -> Question {
    question(
        "count by service per minute",
        5.0,
        "/api/v1/logs/histogram",
        |_| vec![("by", "service".to_owned()), ("step", "1m".to_owned())],
    )
}

fn of_metrics() -> Vec<Question> {
    let end = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let range = move |query: &'static str, step: &'static str| {
        move |_: &TraceKeys| {
            vec![
                ("query", query.to_owned()),
                ("start", (end - SECONDS_OF_AN_HOUR).to_string()),
                ("end", end.to_string()),
                ("step", step.to_owned()),
            ]
        }
    };
    let query_range = "/prometheus/api/v1/query_range";
    vec![
        question(
            "rate by job, one hour, step 15 s",
            40.0,
            query_range,
            range("sum by (job) (rate(load_requests_total[5m]))", "15"),
        ),
        question(
            "p99 by job over 24,000 bucket series, one hour, step 60 s",
            300.0,
            query_range,
            range(
                "histogram_quantile(0.99, sum by (le, job) (rate(load_request_duration_bucket_total[5m])))",
                "60",
            ),
        ),
        question(
            "one series, raw hour",
            2.0,
            "/prometheus/api/v1/query",
            move |_| {
                let query = r#"{__name__=~"load_.+",load_series="1000"}[1h]"#;
                vec![("query", query.to_owned()), ("time", end.to_string())]
            },
        ),
        question(
            "values of a label",
            1.0,
            "/prometheus/api/v1/label/job/values",
            |_| Vec::new(),
        ),
    ]
}

/// Asks all of a signal; each figure is the median in milliseconds.
pub(crate) async fn ask(plan: &Plan, signal: Signal, server: &Http) -> anyhow::Result<Vec<Row>> {
    let traces = (plan.items_of(signal) / 12).max(1);
    let mut rows = Vec::new();
    for question in questions(signal, plan.corpus) {
        let mut times = Vec::new();
        let mut most = 0;
        for number in 0..WARM_UP + COUNTED {
            let keys = trace_keys(plan.seed, number * STRIDE % traces);
            let (path, parameters) = ((question.path)(&keys), (question.parameters)(&keys));
            let request = server.request("GET", &path).query(&parameters);
            let begin = Instant::now();
            let answer = request.send().await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            let elapsed = begin.elapsed();
            ensure!(
                status == 200,
                "GET {path} {parameters:?}: {status} {}",
                String::from_utf8_lossy(&body)
            );
            most = most.max(found(&serde_json::from_slice(&body)?));
            if number >= WARM_UP {
                times.push(elapsed);
            }
        }
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64() * 1e3;
        rows.push(
            Row::new(format!("{signal}: {}", question.name), median, "ms")
                .goal(question.goal)
                .found(most),
        );
    }
    Ok(rows)
}

/// How much an answer holds: rows, what a histogram counts in all, or series and values.
fn found(answer: &Value) -> u64 {
    if let Some(series) = answer["series"].as_array() {
        return series.iter().filter_map(|one| one["total"].as_u64()).sum();
    }
    let lists = [
        &answer["spans"],
        &answer["traces"],
        &answer["logs"],
        &answer["data"]["result"],
        &answer["data"],
    ];
    let list = lists.into_iter().find_map(Value::as_array);
    list.map_or(0, |list| list.len() as u64)
}
