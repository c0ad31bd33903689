use super::*;
use model::{KeyValue, Link, Resource};
use proptest::prelude::*;
use std::sync::Arc;

fn trace(n: u8) -> TraceId {
    TraceId([n; 16])
}

fn id(n: u8) -> SpanId {
    SpanId([0, 0, 0, 0, 0, 0, 0, n])
}

fn span(own: u8, parent: u8, kind: SpanKind, service: &str, start: u64) -> TraceSpan {
    let attributes = vec![KeyValue::new("service.name", service)];
    Span {
        resource: Arc::new(Resource {
            attributes,
            ..Resource::default()
        }),
        trace_id: trace(1),
        span_id: id(own),
        parent_span_id: (parent != 0).then(|| id(parent)),
        kind: kind as i32,
        name: format!("op{own}"),
        start_unix_nano: start,
        end_unix_nano: start + 10,
        ..Span::default()
    }
    .into()
}

/// `depth service/id` per span, in order.
fn shape(forest: &Assembled) -> Vec<String> {
    forest
        .spans
        .iter()
        .map(|placed| {
            let span = &placed.span.span;
            format!(
                "{} {}/{}",
                placed.depth,
                span.resource.service(),
                span.span_id.0[7]
            )
        })
        .collect()
}

#[test]
fn parents_come_before_children_and_siblings_by_start() {
    use SpanKind::{Client, Internal, Server};
    let forest = assemble(
        vec![
            span(4, 2, Internal, "b", 30),
            span(3, 1, Internal, "a", 15),
            span(2, 1, Client, "a", 20),
            span(1, 0, Server, "a", 10),
            span(5, 9, Internal, "c", 5),
        ],
        Links::Ignore,
    );
    assert_eq!(
        shape(&forest),
        ["0 c/5", "0 a/1", "1 a/3", "1 a/2", "2 b/4"]
    );
    assert_eq!(forest.missing_parents, [id(9)]);
    assert_eq!(forest.spans[1].children, [2, 3]);
    assert_eq!(forest.spans[4].parent, Some(3));
}

#[test]
fn client_and_server_may_share_an_id() {
    use SpanKind::{Client, Internal, Server};
    let forest = assemble(
        vec![
            span(1, 0, Server, "front", 10),
            span(2, 1, Server, "back", 22),
            span(2, 1, Client, "front", 20),
            span(3, 2, Internal, "back", 25),
            span(4, 2, Internal, "front", 21),
        ],
        Links::Ignore,
    );
    assert_eq!(
        shape(&forest),
        [
            "0 front/1",
            "1 front/2",
            "2 front/4",
            "2 back/2",
            "3 back/3"
        ]
    );
}

#[test]
fn copies_become_one_span_and_the_fuller_one_stays() {
    let short = span(1, 0, SpanKind::Server, "a", 10);
    let mut full = short.clone();
    full.span.end_unix_nano = 99;
    let mut nameless = short.clone();
    nameless.span.span_id = SpanId::default();
    let mut other = nameless.clone();
    other.span.name = "other".into();
    let all = vec![
        short.clone(),
        nameless.clone(),
        full,
        short,
        nameless,
        other,
    ];
    let forest = assemble(all, Links::Ignore);
    assert_eq!(forest.spans.len(), 3);
    let kept = forest
        .spans
        .iter()
        .find(|placed| !placed.span.span.span_id.is_zero())
        .unwrap();
    assert_eq!(kept.span.span.end_unix_nano, 99);
}

#[test]
fn links_put_the_consumer_below_the_producer() {
    let producer = span(1, 0, SpanKind::Producer, "shop", 10);
    let mut consumer = span(2, 0, SpanKind::Consumer, "mail", 50);
    consumer.span.trace_id = trace(2);
    consumer.span.links = vec![
        Link {
            trace_id: vec![1, 2],
            span_id: vec![],
            ..Link::default()
        },
        Link {
            trace_id: trace(1).0.into(),
            span_id: id(1).0.into(),
            ..Link::default()
        },
    ];
    let both = vec![consumer, producer];
    assert_eq!(
        shape(&assemble(both.clone(), Links::Follow)),
        ["0 shop/1", "1 mail/2"]
    );
    assert_eq!(
        shape(&assemble(both, Links::Ignore)),
        ["0 shop/1", "0 mail/2"]
    );
}

#[test]
fn cycles_are_cut_at_their_earliest_span() {
    let kind = SpanKind::Internal;
    let forest = assemble(
        vec![
            span(1, 3, kind, "a", 10),
            span(2, 1, kind, "a", 20),
            span(3, 2, kind, "a", 30),
            span(4, 4, kind, "a", 40),
        ],
        Links::Ignore,
    );
    assert_eq!(shape(&forest), ["0 a/1", "1 a/2", "2 a/3", "0 a/4"]);
    assert_eq!(forest.cycles, [id(1)]);
    assert!(forest.missing_parents.is_empty());
}

#[test]
fn a_chain_of_a_hundred_thousand_spans_needs_no_stack() {
    let long = |n: u32| SpanId((u64::from(n) + 1).to_be_bytes());
    let spans: Vec<TraceSpan> = (0..100_000u32)
        .map(|n| {
            Span {
                trace_id: trace(1),
                span_id: long(n),
                parent_span_id: n.checked_sub(1).map(long),
                ..Span::default()
            }
            .into()
        })
        .collect();
    let forest = assemble(spans, Links::Follow);
    assert_eq!(forest.spans.last().unwrap().depth, 99_999);
}

prop_compose! {
    fn any_span()(
        own in 0u8..8, parent in 0u8..8, kind in 0i32..6, service in 0u8..3, start in 0u64..20,
        in_trace in 1u8..3, link in proptest::option::of((1u8..3, 0u8..8)),
    ) -> TraceSpan {
        let mut made = span(own, parent, SpanKind::Internal, &format!("s{service}"), start);
        made.span.kind = kind;
        made.span.trace_id = trace(in_trace);
        made.span.links = link
            .map(|(t, s)| Link { trace_id: trace(t).0.into(), span_id: id(s).0.into(), ..Link::default() })
            .into_iter()
            .collect();
        made
    }
}

proptest! {
    #[test]
    fn every_span_is_placed_once_whatever_the_order(
        spans in prop::collection::vec(any_span(), 0..40),
        seed in any::<u64>(),
        follow in any::<bool>(),
    ) {
        let links = if follow { Links::Follow } else { Links::Ignore };
        let forest = assemble(spans.clone(), links);

        let distinct: std::collections::BTreeSet<_> =
            spans.iter().filter(|span| !span.span.span_id.is_zero()).map(TraceSpan::key).collect();
        let placed: Vec<_> = forest
            .spans
            .iter()
            .filter(|placed| !placed.span.span.span_id.is_zero())
            .map(|placed| placed.span.key())
            .collect();
        prop_assert_eq!(placed.len(), distinct.len());
        prop_assert_eq!(placed.into_iter().collect::<std::collections::BTreeSet<_>>(), distinct);

        for (at, placed) in forest.spans.iter().enumerate() {
            match placed.parent {
                Some(parent) => {
                    prop_assert!(parent < at, "parents come first");
                    prop_assert_eq!(placed.depth, forest.spans[parent].depth + 1);
                    prop_assert!(forest.spans[parent].children.contains(&at));
                }
                None => prop_assert_eq!(placed.depth, 0),
            }
        }
        for placed in &forest.spans {
            let starts: Vec<_> =
                placed.children.iter().map(|at| forest.spans[*at].span.start()).collect();
            prop_assert!(starts.is_sorted());
        }

        let mut shuffled = spans;
        let mut state = seed | 1;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        prop_assert_eq!(assemble(shuffled, links), forest);
    }
}
