use super::*;
use crate::traces::fake::{log, span, span_id, trace};
use model::SpanKind::{Client, Producer, Server};

fn run(spans: &[Span], logs: &[LogRecord]) -> Vec<Inferred> {
    let spans: Vec<TraceSpan> = spans.iter().cloned().map(TraceSpan::from).collect();
    let hubs = HashSet::new();
    infer(Evidence {
        spans: &spans,
        logs,
        hubs: &hubs,
    })
}

/// `service parent confidence start..end lines` per inferred span.
fn lines(inferred: &[Inferred]) -> Vec<String> {
    inferred
        .iter()
        .map(|one| {
            let span = &one.span.span;
            let parent = span.parent_span_id.map_or(0, |id| id.0[7]);
            format!(
                "{} {parent} {} {}..{} {}",
                span.resource.service(),
                one.span.confidence,
                span.start_unix_nano,
                span.end_unix_nano,
                one.records.len()
            )
        })
        .collect()
}

fn correlated(mut span: Span, value: &str) -> Span {
    span.correlation = vec![("request_id".into(), value.into())];
    span
}

const KEY: &[(&str, &str)] = &[("request_id", "r1")];

#[test]
fn the_only_enclosing_call_is_the_parent() {
    let spans = [
        correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1"),
        span((1, 2, 1), "shop", Client, (10, 50)),
    ];
    let logs = [
        log("stock", 30, "reserved", KEY),
        log("stock", 20, "got it", KEY),
        log("shop", 25, "traced service", KEY),
        log("other", 25, "another request", &[("request_id", "r2")]),
    ];
    let made = run(&spans, &logs);
    assert_eq!(lines(&made), ["stock 2 0.8 20..30 2"]);
    let span = &made[0].span.span;
    assert_eq!(span.kind, Server as i32);
    assert_eq!(span.name, "op2");
    assert_eq!(
        model::value::last(&span.attributes, INFERRED),
        Some(&true.into())
    );
    assert_eq!(made[0].records, [1, 0]);
    assert_eq!(
        (made[0].by.as_str(), made[0].value.as_str()),
        ("request_id", "r1")
    );
    assert_eq!(
        run(&spans, &logs)[0].span.span.span_id,
        span.span_id,
        "ids are stable"
    );
}

#[test]
fn a_span_id_on_the_line_is_certain() {
    let spans = [
        correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1"),
        span((1, 2, 1), "shop", Client, (10, 90)),
        span((1, 3, 1), "shop", Producer, (10, 80)),
    ];
    let hex = span_id(3).to_string();
    let hint = [("request_id", "r1"), (SPAN_ID_KEY, hex.as_str())];
    let logs = [
        log("stock", 20, "first", &hint),
        log("stock", 30, "second", KEY),
    ];
    let made = run(&spans, &logs);
    assert_eq!(lines(&made), ["stock 3 1 20..30 2"]);
    assert_eq!(made[0].span.span.kind, SpanKind::Consumer as i32);
}

#[test]
fn concurrent_calls_are_a_guess_unless_one_names_its_peer() {
    let root = correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1");
    let wide = span((1, 2, 1), "shop", Client, (10, 90));
    let tight = span((1, 3, 1), "shop", Client, (20, 60));
    let logs = [log("stock", 30, "x", KEY)];
    let made = run(&[root.clone(), wide.clone(), tight.clone()], &logs);
    assert_eq!(lines(&made), ["stock 3 0.5 30..30 1"]);

    let mut named = wide.clone();
    named
        .attributes
        .push(KeyValue::new("peer.service", "stock"));
    assert_eq!(
        lines(&run(&[root.clone(), named, tight.clone()], &logs)),
        ["stock 2 0.8 30..30 1"]
    );

    // A call that a traced service answers is not open, whoever encloses what.
    let answer = span((1, 4, 3), "price", Server, (25, 55));
    assert_eq!(
        lines(&run(&[root, wide, tight, answer], &logs)),
        ["stock 2 0.8 30..30 1"]
    );
}

#[test]
fn lines_fall_into_runs_by_call() {
    let spans = [
        correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1"),
        span((1, 2, 1), "shop", Client, (10, 20)),
        span((1, 3, 1), "shop", Client, (30, 40)),
    ];
    let logs = [12, 15, 35, 200].map(|at| log("stock", at, "x", KEY));
    assert_eq!(
        lines(&run(&spans, &logs)),
        [
            "stock 2 0.8 12..15 2",
            "stock 3 0.8 35..35 1",
            "stock 3 0.5 200..200 1"
        ]
    );
    let ids: HashSet<_> = run(&spans, &logs)
        .iter()
        .map(|one| one.span.span.span_id)
        .collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_shared_value_goes_to_the_trace_that_encloses_the_line() {
    let spans = [
        correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1"),
        correlated(span((2, 1, 0), "shop", Server, (200, 300)), "r1"),
    ];
    let logs = [
        log("stock", 250, "x", KEY),
        log("stock", 150, "between", KEY),
    ];
    let made = run(&spans, &logs);
    assert_eq!(lines(&made), ["stock 1 0.5 250..250 1"]);
    assert_eq!(made[0].span.span.trace_id, trace(2));
}

#[test]
fn a_trace_of_logs_alone_has_inferred_roots() {
    let mut own = log("stock", 10, "x", &[]);
    own.trace_id = Some(trace(7));
    own.span_id = Some(span_id(9));
    let mut failed = log("mail", 20, "boom", &[]);
    failed.trace_id = Some(trace(7));
    failed.severity_number = 17;
    let made = run(&[], &[own, failed]);
    assert_eq!(
        lines(&made),
        ["stock 0 0.5 10..10 1", "mail 0 0.5 20..20 1"]
    );
    assert_eq!(
        made[0].span.span.span_id,
        span_id(9),
        "the id on the line is the span's own"
    );
    assert!(made[1].span.span.is_error());
}

#[test]
fn a_line_before_every_span_is_placed_at_the_first_and_says_so() {
    let first = correlated(span((1, 1, 0), "shop", Server, (50, 100)), "r1");
    let reason = |at| {
        let made = run(std::slice::from_ref(&first), &[log("stock", at, "x", KEY)]);
        assert_eq!(made[0].span.span.parent_span_id, Some(span_id(1)));
        let reason = model::value::last(&made[0].span.span.attributes, REASON);
        reason.unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(
        reason(20),
        "`op1` of shop is the first to begin after the lines of stock"
    );
    assert_eq!(
        reason(120),
        "`op1` of shop is the last to begin before the lines of stock"
    );
}

#[test]
fn lines_of_a_host_whose_clock_is_off_are_placed_by_corrected_times() {
    let spans = [
        correlated(span((1, 1, 0), "shop", Server, (0, 100)), "r1"),
        span((1, 2, 1), "shop", Client, (10, 50)),
    ];
    let logs = |error_nano| {
        [1_020, 1_030].map(|at| LogRecord {
            clock: Some(model::ClockOffset {
                offset_nano: -1_000,
                error_nano,
            }),
            ..log("stock", at, "x", KEY)
        })
    };
    let made = run(&spans, &logs(999));
    assert_eq!(lines(&made), ["stock 2 0.8 1020..1030 2"], "as sent");
    let placed = &made[0].span;
    assert_eq!((placed.start(), placed.end()), (20, 30));
    assert_eq!(placed.span.events[1].time_unix_nano, 1_030);
    let made = run(&spans, &logs(1_000));
    assert_eq!(lines(&made), ["stock 2 0.5 1020..1030 2"]);
    assert_eq!(
        made[0].span.clock_adjust_nano, 0,
        "it may be no offset at all"
    );
}
