use super::*;
use crate::traces::fake::{Fake, log, span, span_id, trace};
use model::Link;
use model::SpanKind::{Consumer, Producer, Server};

fn correlated(mut span: Span, key: &str, value: &str) -> Span {
    span.correlation.push((key.into(), value.into()));
    span
}

async fn story(rows: &Fake, id: &str, bounds: Bounds) -> Closure {
    walk(rows, &Seed::Id(id.into()), TimeRange::ALL, bounds)
        .await
        .unwrap()
}

/// shop (1) produces for mail (2), which links back; a web trace (3) shares the order id.
fn shop() -> Fake {
    let mut mail = span((2, 1, 0), "mail", Consumer, (500, 600));
    mail.links.push(Link {
        trace_id: trace(1).0.into(),
        span_id: span_id(2).0.into(),
        ..Link::default()
    });
    Fake {
        spans: vec![
            correlated(
                span((1, 1, 0), "shop", Server, (0, 100)),
                "request_id",
                "r1",
            ),
            span((1, 2, 1), "shop", Producer, (50, 60)),
            mail,
            correlated(span((3, 1, 0), "web", Server, (0, 200)), "request_id", "r1"),
            span((9, 1, 0), "unrelated", Server, (0, 200)),
        ],
        logs: vec![
            log("stock", 55, "reserved", &[("request_id", "r1")]),
            log("stock", 55, "reserved", &[("request_id", "r1")]),
            log("noise", 55, "x", &[("request_id", "r2")]),
        ],
        ..Fake::default()
    }
}

#[tokio::test]
async fn every_id_of_a_story_finds_all_of_it() {
    let rows = shop();
    let ids = [
        trace(1).to_string(),
        trace(2).to_string(),
        trace(3).to_string(),
        "r1".into(),
    ];
    for id in ids {
        let found = story(&rows, &id, Bounds::default()).await;
        let mut traces = found.traces.clone();
        traces.sort_unstable();
        assert_eq!(traces, [trace(1), trace(2), trace(3)], "from {id}");
        assert_eq!(found.spans.len(), 4, "from {id}");
        assert_eq!(found.logs.len(), 2, "two equal records are two, from {id}");
        assert!(found.hubs.is_empty());
        assert!(
            found.joins.iter().any(|join| join.by == "link"),
            "from {id}"
        );
        assert!(
            found.joins.iter().all(|join| !join.reason.is_empty()),
            "{:?}",
            found.joins
        );
    }
    assert!(rows.cuts.lock().is_empty());
}

#[tokio::test]
async fn a_span_id_leads_to_its_trace() {
    let mut rows = shop();
    rows.spans[1].span_id = span_id(77);
    let found = story(&rows, &span_id(77).to_string(), Bounds::default()).await;
    assert!(found.traces.contains(&trace(1)));
    let join = found
        .joins
        .iter()
        .find(|join| join.by == "span_id")
        .unwrap();
    assert_eq!(join.to, trace(1).to_string());
}

#[tokio::test]
async fn hubs_are_named_and_not_followed() {
    let mut rows = shop();
    for n in 20..40 {
        let one = span((n, 1, 0), "batch", Server, (0, 10));
        rows.spans.push(correlated(one, "request_id", "everyone"));
    }
    rows.spans[0]
        .correlation
        .push(("request_id".into(), "everyone".into()));
    let bounds = Bounds {
        hub: 5,
        ..Bounds::default()
    };
    let found = story(&rows, &trace(1).to_string(), bounds).await;
    assert_eq!(found.traces.len(), 3);
    assert_eq!(
        found.hubs,
        [Hub {
            key: "request_id".into(),
            value: "everyone".into(),
            traces: 6
        }]
    );

    let asked = story(&rows, "everyone", bounds).await;
    assert_eq!(asked.hubs.len(), 1);
    assert!(asked.traces.is_empty());
    assert!(
        !asked.spans.is_empty(),
        "rows that carry the id asked for are shown"
    );
}

#[tokio::test]
async fn bounds_are_named_when_they_cut() {
    let rows = shop();
    let bounds = Bounds {
        traces: 1,
        ..Bounds::default()
    };
    let found = story(&rows, "r1", bounds).await;
    assert_eq!(found.traces.len(), 1);
    assert!(rows.cuts.lock().contains(&"story_traces=1".to_owned()));

    let rows = shop();
    let found = story(
        &rows,
        "r1",
        Bounds {
            depth: 0,
            ..Bounds::default()
        },
    )
    .await;
    assert!(found.traces.is_empty());
    assert!(rows.cuts.lock().contains(&"story_depth=0".to_owned()));
}

#[tokio::test]
async fn one_trace_does_not_pull_in_others() {
    let rows = shop();
    let found = walk(
        &rows,
        &Seed::Trace(trace(1)),
        TimeRange::ALL,
        Bounds::default(),
    )
    .await
    .unwrap();
    assert_eq!(found.traces, [trace(1)]);
    assert_eq!(found.logs.len(), 2);
    assert!(rows.cuts.lock().is_empty());
}

#[tokio::test]
async fn nothing_is_found_for_an_unknown_id() {
    let found = story(&shop(), "nobody", Bounds::default()).await;
    assert!(found.spans.is_empty() && found.logs.is_empty());
}

#[tokio::test]
async fn ids_in_text_are_found_in_either_case() {
    let mut rows = shop();
    let in_trace = trace(0xab);
    rows.spans
        .push(span((0xab, 0xcd, 0), "shop", Server, (0, 9)));
    let upper = in_trace.to_string().to_uppercase();
    let span = span_id(0xcd).to_string().to_uppercase();
    rows.logs
        .push(log("old", 5, "by trace", &[(TRACE_ID_KEY, &upper)]));
    rows.logs
        .push(log("old", 6, "by span", &[(SPAN_ID_KEY, &span)]));
    for id in [in_trace.to_string(), upper] {
        let found = story(&rows, &id, Bounds::default()).await;
        assert_eq!((found.spans.len(), found.logs.len()), (1, 1), "{id}");
    }
    for id in [span_id(0xcd).to_string(), span] {
        let found = story(&rows, &id, Bounds::default()).await;
        assert_eq!((found.spans.len(), found.logs.len()), (1, 2), "{id}");
    }
    let seed = Seed::Trace(in_trace);
    let alone = walk(&rows, &seed, TimeRange::ALL, Bounds::default());
    assert_eq!(alone.await.unwrap().logs.len(), 1);
}

#[tokio::test]
async fn a_span_id_of_many_traces_is_a_hub() {
    let mut rows = Fake::default();
    for n in 1..=20 {
        rows.spans
            .push(span((n, 7, 0), "batch", Server, (u64::from(n), 50)));
    }
    let bounds = Bounds {
        hub: 5,
        ..Bounds::default()
    };
    let found = story(&rows, &span_id(7).to_string(), bounds).await;
    assert_eq!(found.hubs[0].key, "span_id");
    assert!(found.hubs[0].traces > 5);
    assert!(found.traces.is_empty() && !found.spans.is_empty());
}
