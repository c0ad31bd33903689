//! Answers as a small shop would give them, for tests.

use std::collections::BTreeMap;

use api::{
    AlertView, CompleteAnswer, Completeness, CompletionView, Cut, HistogramAnswer, HistogramSeries,
    Hub, Join, LogView, RuleGroupView, RuleView, ServiceCount, ServiceView, Source, SourceKind,
    SourceState, SpanView, Stats, StatusView, TraceSummary,
};
use serde_json::json;

use crate::message::{Answer, Effect, Message, Request};
use crate::model::load::Failure;
use crate::model::logs::lines;
use crate::model::timeline::{TimelineView, build};
use crate::model::{Model, TreeValue};
use crate::update::update;

/// 2023-11-14T22:13:20Z.
pub(crate) const T0: u64 = 1_700_000_000_000_000_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

pub(crate) fn whole() -> Completeness {
    Completeness {
        stats: Stats {
            blocks: 3,
            rows: 12_345,
            bytes: 1 << 20,
            elapsed_ms: 4,
        },
        cut: Vec::new(),
        complete_to: vec![source(
            "collector-a",
            SourceKind::Collector,
            SourceState::Live,
        )],
        hints: Vec::new(),
    }
}

pub(crate) fn partial() -> Completeness {
    Completeness {
        cut: vec![Cut {
            limit: "rows".to_owned(),
            value: "10000".to_owned(),
            hint: "narrow the time range".to_owned(),
        }],
        complete_to: vec![
            source("node-7", SourceKind::Agent, SourceState::Lagging),
            source("B", SourceKind::Collector, SourceState::Lost),
        ],
        ..whole()
    }
}

fn source(name: &str, kind: SourceKind, state: SourceState) -> Source {
    Source {
        source: name.to_owned(),
        kind,
        unix_nano: T0 - 12_000 * MS,
        state,
    }
}

pub(crate) fn span(
    id: u64,
    parent: u64,
    service: &str,
    name: &str,
    start: u64,
    end: u64,
) -> SpanView {
    let hex = |id: u64| {
        if id == 0 {
            String::new()
        } else {
            format!("{id:016x}")
        }
    };
    SpanView {
        trace_id: TRACE.to_owned(),
        span_id: hex(id),
        parent_span_id: hex(parent),
        name: name.to_owned(),
        service: service.to_owned(),
        kind: 2,
        start_time_unix_nano: T0 + start * MS,
        end_time_unix_nano: T0 + end * MS,
        confidence: 1.0,
        attributes: vec![
            json!({"key": "http.request.method", "value": {"stringValue": "POST"}}),
            json!({"key": "correlation.id", "value": {"stringValue": "ord-42"}}),
        ],
        resource: json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}),
        scope: json!({"name": "shop"}),
        correlation: json!({"correlation.id": "ord-42"}),
        ..SpanView::default()
    }
}

pub(crate) fn spans() -> Vec<SpanView> {
    let mut card = span(4, 3, "payment", "charge \u{1b}[31mcard\u{7}", 120, 480);
    card.status = StatusView {
        code: 2,
        message: "card declined".to_owned(),
    };
    card.events = vec![json!({
        "timeUnixNano": (T0 + 470 * MS).to_string(),
        "name": "exception",
        "attributes": [{"key": "exception.type", "value": {"stringValue": "Declined"}}],
    })];
    card.links = vec![json!({"traceId": "f".repeat(32), "spanId": "00000000000000aa"})];
    let mut legacy = span(5, 3, "legacy-billing", "写帐 book entry", 490, 640);
    legacy.inferred = true;
    legacy.confidence = 0.8;
    vec![
        span(1, 0, "gateway", "POST /pay", 0, 912),
        span(2, 1, "checkout", "reserve", 10, 100),
        span(3, 1, "checkout", "pay", 110, 900),
        card,
        legacy,
        span(6, 99, "email", "send receipt", 700, 880),
    ]
}

pub(crate) fn log(time: u64, severity: i32, service: &str, body: &str) -> LogView {
    LogView {
        time_unix_nano: T0 + time * MS,
        severity_number: severity,
        severity_text: "TEXT".to_owned(),
        service: service.to_owned(),
        body: json!(body),
        trace_id: TRACE.to_owned(),
        span_id: format!("{:016x}", 4),
        correlation: json!({"correlation.id": "ord-42"}),
        attributes: json!({"user.id": 42}),
        ..LogView::default()
    }
}

/// Oldest first.
pub(crate) fn logs() -> Vec<LogView> {
    let mut logs = vec![
        log(130, 9, "payment", "charging card for order ord-42"),
        log(300, 13, "payment", "gateway is slow, retrying"),
        log(
            470,
            17,
            "payment",
            "card declined\n\tat charge(\u{1b}]0;owned\u{7})",
        ),
        log(
            500,
            9,
            "legacy-billing",
            "帳簿に記入しました for order ord-42, and a tail that is long enough to be cut at eighty columns",
        ),
    ];
    logs[3].span_id = String::new();
    logs
}

pub(crate) fn tree(with_logs: bool) -> TreeValue {
    let logs = if with_logs { logs() } else { Vec::new() };
    TreeValue {
        view: TimelineView::new(build(&spans(), &logs)),
        joins: vec![Join {
            from: "ord-42".to_owned(),
            to: TRACE.to_owned(),
            by: "correlation.id".to_owned(),
            reason: "5 spans carry correlation.id=ord-42".to_owned(),
        }],
        hubs: vec![Hub {
            key: "x-request-id".to_owned(),
            value: "0".to_owned(),
            traces: 5_000,
        }],
        alerts: vec![alert("firing")],
        exemplars: 2,
    }
}

pub(crate) fn alert(state: &str) -> AlertView {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    AlertView {
        name: "PaymentErrors".to_owned(),
        state: state.to_owned(),
        labels: pairs(&[("alertname", "PaymentErrors"), ("service", "payment")]),
        annotations: pairs(&[("summary", "payment fails for 12 % of requests")]),
        value: 0.12,
        active_since_unix_nano: T0 - 65_000 * MS,
        firing_since_unix_nano: if state == "firing" {
            T0 - 5_000 * MS
        } else {
            0
        },
        keep_firing_since_unix_nano: 0,
        query: "errors / requests > 0.1".to_owned(),
    }
}

fn service(name: &str, errors: u64) -> ServiceView {
    ServiceView {
        name: name.to_owned(),
        spans: 123_456,
        logs: 10,
        errors,
        rate: 42.5,
        p50_nano: 12_300_000,
        p99_nano: 912_000_000,
    }
}

/// The answer that the shop gives to a request.
pub(crate) fn answer(request: &Request, completeness: Completeness) -> Answer {
    match request {
        Request::Services(_) => Answer::Services(
            vec![service("checkout", 0), service("payment", 17)],
            completeness,
        ),
        Request::Alerts => Answer::Alerts(vec![alert("firing"), alert("pending")], completeness),
        Request::Rules => {
            let rule = |name: &str, health: &str| RuleView {
                name: name.to_owned(),
                kind: "alerting".to_owned(),
                query: "errors / requests > 0.1".to_owned(),
                health: health.to_owned(),
                state: "firing".to_owned(),
                last_error: "unknown metric".to_owned(),
                ..RuleView::default()
            };
            let rules = vec![rule("PaymentErrors", "ok"), rule("Broken", "err")];
            let group = RuleGroupView {
                rules,
                ..RuleGroupView::default()
            };
            Answer::Rules(vec![group], completeness)
        }
        Request::Traces(params) => {
            let trace = |number: u64, errors: u64| TraceSummary {
                trace_id: format!("{number:032x}"),
                root_service: "gateway".to_owned(),
                root_name: "POST /pay".to_owned(),
                start_unix_nano: T0 + number * MS,
                duration_nano: number * 91 * MS,
                span_count: number * 100,
                error_count: errors,
                services: vec![ServiceCount::default(); 3],
            };
            let cursor = params.cursor.is_none().then(|| "page 2".to_owned());
            Answer::Traces(
                vec![trace(10, 3), trace(4, 0), trace(1, 1)],
                cursor,
                completeness,
            )
        }
        Request::Trace(_) => Answer::Tree(Box::new(tree(false)), completeness),
        Request::Story(_) => Answer::Tree(Box::new(tree(true)), completeness),
        Request::Logs(params) => {
            let cursor = params.cursor.is_none().then(|| "older".to_owned());
            Answer::Logs(lines(&logs()), cursor, completeness)
        }
        Request::Complete(params) => Answer::Complete(CompleteAnswer {
            context: "field".to_owned(),
            start: 0,
            end: params.q.len(),
            suggestions: ["service", "se\u{1b}rvice é"]
                .map(|text| CompletionView {
                    text: text.to_owned(),
                    count: 4_200,
                })
                .into(),
            completeness,
            ..CompleteAnswer::default()
        }),
        Request::Histogram(_) => {
            let series = |key: &str, buckets: Vec<(u64, u64)>| HistogramSeries {
                key: vec![key.to_owned()],
                total: 3,
                buckets,
            };
            Answer::Histogram(HistogramAnswer {
                step_nano: 15_000 * MS,
                by: vec!["level".to_owned()],
                series: vec![
                    series(
                        "info",
                        (0..40)
                            .map(|n| (T0 + n * 15_000 * MS, n * 7 % 31))
                            .collect(),
                    ),
                    series("error", vec![(T0 + 300_000 * MS, 9)]),
                ],
                total: 619,
                other: 0,
                completeness,
            })
        }
    }
}

/// How a server answers, for [`respond`].
pub(crate) enum Server {
    Whole,
    Partial,
    Empty,
    Failing,
}

/// Answers every request among the effects.
pub(crate) fn respond(model: &mut Model, effects: Vec<Effect>, server: &Server) {
    for effect in effects {
        let Effect::Fetch {
            slot,
            generation,
            request,
        } = effect
        else {
            continue;
        };
        let answer = match server {
            Server::Whole => Ok(Box::new(answer(&request, whole()))),
            Server::Partial => Ok(Box::new(answer(&request, partial()))),
            Server::Empty => Ok(Box::new(empty(&request))),
            Server::Failing => Err(Failure {
                message: "unknown field \"servce\"".to_owned(),
                hint: Some("did you mean service?".to_owned()),
                at: Some((0, 6)),
                away: false,
            }),
        };
        let more = update(
            model,
            Message::Answer {
                slot,
                generation,
                now: T0,
                answer,
            },
        );
        assert!(more.is_empty(), "answers ask nothing");
    }
}

/// What an answer without rows says about itself: a mistyped field is named.
fn nothing_for(query: &str) -> Completeness {
    let mistyped = query.starts_with("sevice:");
    let hint = "the rows of the time range have no field sevice; did you mean service?";
    Completeness {
        hints: mistyped.then(|| hint.to_owned()).into_iter().collect(),
        ..whole()
    }
}

fn empty(request: &Request) -> Answer {
    match request {
        Request::Services(_) => Answer::Services(Vec::new(), whole()),
        Request::Alerts => Answer::Alerts(Vec::new(), whole()),
        Request::Rules => Answer::Rules(Vec::new(), whole()),
        Request::Traces(params) => Answer::Traces(Vec::new(), None, nothing_for(&params.q)),
        Request::Trace(_) | Request::Story(_) => Answer::Tree(Box::default(), whole()),
        Request::Logs(params) => Answer::Logs(Vec::new(), None, nothing_for(&params.q)),
        Request::Histogram(_) => Answer::Histogram(HistogramAnswer::default()),
        Request::Complete(_) => Answer::Complete(CompleteAnswer::default()),
    }
}
