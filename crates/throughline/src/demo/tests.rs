use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::metric::Series;
use model::{DataPoint, LogRecord, Signal, Span, SpanKind, Value, value};
use otlp::rows::Rows;
use otlp::server::{Accept, Export, Receiver, ServerLimits, Verdict};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::legacy::LegacyBilling;
use super::*;

/// Keeps all rows that come.
#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    logs: Mutex<Vec<LogRecord>>,
    points: Mutex<Vec<(Series, DataPoint)>>,
}

impl Accept for Kept {
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict> {
        Box::pin(async move {
            match Rows::decode(export.signal, &export.request) {
                Ok(rows) => {
                    assert!(rows.rejected.is_empty(), "{:?}", rows.rejected);
                    match export.signal {
                        Signal::Traces => self.spans.lock().extend(rows.spans),
                        Signal::Logs => self.logs.lock().extend(rows.logs),
                        Signal::Metrics => self.points.lock().extend(rows.points),
                    }
                    Verdict::STORED
                }
                Err(error) => Verdict::Malformed(error.to_string()),
            }
        })
    }
}

/// All times are bad.
const BAD: Schedule = Schedule {
    first: Duration::ZERO,
    length: Duration::from_secs(1),
    period: Duration::from_secs(1),
};
const REQUESTS: u64 = 60;

/// Runs a shop for some requests. When it has closed, it has flushed, so that all has arrived.
async fn run(seed: u64) -> (Arc<Kept>, ShopReport, String) {
    let kept = Arc::new(Kept::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp_grpc = listener.local_addr().unwrap();
    let receiver = Receiver::new(
        Arc::clone(&kept) as Arc<dyn Accept>,
        ServerLimits::default(),
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let stopped = stop.clone().cancelled_owned();
        async move { receiver.serve_grpc(listener, stopped).await }
    });
    let folder = tempfile::tempdir().unwrap();
    let options = ShopOptions {
        otlp_grpc,
        log_dir: folder.path().to_owned(),
        seed,
        rate: 200.0,
    };
    let report = shop::run(options, BAD, Some(REQUESTS), CancellationToken::new()).await;
    stop.cancel();
    serving.await.unwrap();
    let lines = std::fs::read_to_string(folder.path().join(legacy::FILE)).unwrap();
    (kept, report.unwrap(), lines)
}

fn attribute<'a>(attributes: &'a [model::KeyValue], key: &str) -> Option<&'a str> {
    value::last(attributes, key).and_then(Value::as_str)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_can_be_followed_through_all_services() {
    let (kept, report, lines) = run(7).await;
    let spans = kept.spans.lock();
    assert_eq!((report.requests, report.failed_exports), (REQUESTS, 0));
    assert!(report.failed > 0 && report.failed < REQUESTS, "{report}");
    assert_eq!(report.legacy_lines, lines.lines().count() as u64);

    let services: BTreeSet<_> = spans.iter().map(|span| span.resource.service()).collect();
    assert_eq!(services.len(), 10, "{services:?}");
    for key in ["service.version", "service.instance.id", "host.name"] {
        let attributes = |span: &Span| attribute(&span.resource.attributes, key).is_some();
        assert!(spans.iter().all(attributes), "{key}");
    }

    // Every parent has arrived, and most traces go through several services.
    let ids: HashSet<_> = spans
        .iter()
        .map(|span| (span.trace_id, span.span_id))
        .collect();
    assert_eq!(ids.len(), spans.len());
    let orphans = spans.iter().filter(|span| {
        span.parent_span_id
            .is_some_and(|parent| !ids.contains(&(span.trace_id, parent)))
    });
    assert_eq!(orphans.count(), 0);
    let mut by_trace = BTreeMap::<_, BTreeSet<&str>>::new();
    for span in spans.iter() {
        let services = by_trace.entry(span.trace_id).or_default();
        services.insert(span.resource.service());
    }
    assert!(by_trace.values().all(|services| services.len() >= 3));

    // Each shipped order is a trace of its own, linked to the message's sender.
    let of_kind = |kind: SpanKind| spans.iter().filter(move |span| span.kind == kind as i32);
    assert_eq!(of_kind(SpanKind::Consumer).count() as u64, report.shipped);
    assert!(report.shipped > 0);
    for consumer in of_kind(SpanKind::Consumer) {
        let link = &consumer.links[0];
        let sender = of_kind(SpanKind::Producer)
            .find(|span| span.span_id.0[..] == link.span_id[..])
            .unwrap();
        assert_eq!(sender.trace_id.0[..], link.trace_id[..]);
        assert_ne!(sender.trace_id, consumer.trace_id);
        let id =
            |span: &Span| attribute(&span.attributes, "messaging.message.id").map(str::to_owned);
        assert!(id(sender).is_some() && id(sender) == id(consumer));
    }

    // The untraced service shares request ids with the frontend, and nothing else.
    let requests: HashSet<_> = spans
        .iter()
        .filter_map(|span| attribute(&span.attributes, "request_id"))
        .collect();
    assert_eq!(requests.len() as u64, REQUESTS);
    assert!(!lines.is_empty());
    for line in lines.lines() {
        let id = line.split(['=', ' ']).find(|word| word.len() == 36);
        assert!(requests.contains(id.unwrap()), "{line}");
    }

    // Failures have their status, their exception and their log record.
    let declined = spans
        .iter()
        .find(|span| span.status_message.starts_with("card declined") && !span.events.is_empty())
        .unwrap();
    assert!(declined.is_error());
    assert_eq!(declined.events[0].name, "exception");
    let logs = kept.logs.lock();
    let about = logs
        .iter()
        .find(|log| log.span_id == Some(declined.span_id))
        .unwrap();
    assert_eq!(
        (about.severity_text.as_str(), about.severity_number),
        ("ERROR", 17)
    );
    assert!(requests.contains(attribute(&about.attributes, "request_id").unwrap()));
    let traced = logs
        .iter()
        .all(|log| ids.contains(&(log.trace_id.unwrap(), log.span_id.unwrap())));
    assert!(traced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_exemplars_arrive() {
    let (kept, report, _) = run(8).await;
    let points = kept.points.lock();
    let names: BTreeSet<_> = points
        .iter()
        .map(|(series, _)| &*series.metric.name)
        .collect();
    for name in [
        "http.server.request.duration",
        "shop.charge.duration",
        "shop.payments",
        "shop.queue.depth",
        "shop.requests",
    ] {
        assert!(names.contains(name), "{name} is missing among {names:?}");
    }
    let traces: HashSet<_> = kept
        .spans
        .lock()
        .iter()
        .map(|span| span.trace_id.0)
        .collect();
    let exemplars: Vec<_> = points
        .iter()
        .flat_map(|(_, point)| &point.exemplars)
        .collect();
    assert!(!exemplars.is_empty());
    for exemplar in exemplars {
        assert!(traces.contains(&exemplar.trace_id[..]), "{exemplar:?}");
    }
    assert!(report.failed > 0);
}

/// What does not depend on the clock, in an order of its own.
fn skeleton(kept: &Kept) -> BTreeSet<String> {
    let spans = kept.spans.lock();
    let spans = spans.iter().map(|span| {
        let Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            status_code,
            ..
        } = span;
        let service = span.resource.service();
        format!("{trace_id} {span_id} {parent_span_id:?} {service} {name} {status_code}")
    });
    spans.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seed_decides_what_happens() {
    let ((first, _, _), (second, _, _), (other, _, _)) = tokio::join!(run(9), run(9), run(10));
    assert_eq!(skeleton(&first), skeleton(&second));
    assert!(skeleton(&first).is_disjoint(&skeleton(&other)));
}

#[tokio::test]
async fn a_rate_must_be_positive() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = ShopOptions {
            otlp_grpc: "127.0.0.1:1".parse().unwrap(),
            log_dir: "/nowhere".into(),
            seed: 1,
            rate,
        };
        let error = run_shop(options, CancellationToken::new())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("rate"), "{error}");
    }
}

#[test]
fn bad_times_come_again() {
    let bad: Vec<u64> = (0..260)
        .filter(|second| Schedule::DEMO.is_bad(Duration::from_secs(*second)))
        .collect();
    let expected: Vec<u64> = (10..50).chain(130..170).chain(250..260).collect();
    assert_eq!(bad, expected);
}

#[test]
fn the_log_file_is_rotated_without_losing_lines() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = LegacyBilling::with_rotation(folder.path(), 310).unwrap();
    for number in 0..10 {
        let id = format!("request-{number}");
        legacy.info(&id, "invoice posted", "cents=1").unwrap();
    }
    legacy.error("request-x", "ledger is locked").unwrap();
    assert_eq!(legacy.lines(), 11);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let newest = read(legacy::FILE);
    assert!(
        newest.ends_with("ledger is locked correlation_id=request-x\n"),
        "{newest}"
    );
    let older = [
        "legacy-billing.log.3",
        "legacy-billing.log.2",
        "legacy-billing.log.1",
    ];
    let all: String = older.iter().map(|name| read(name)).collect::<String>() + &newest;
    assert_eq!(all.lines().count(), 11, "{all}");
}

#[test]
fn the_configuration_and_the_rules_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join("a \"b\" [c]*");
    let file = folder.path().join("throughline.yml");
    std::fs::write(&file, config(&strange, &strange)).unwrap();
    std::fs::write(folder.path().join(RULES_FILE), rules()).unwrap();
    let config = ::config::Config::load(Some(&file), std::iter::empty()).unwrap();
    let syntax = crate::check::RuleSyntax {
        experimental: false,
    };
    let files = config.load_rules(&syntax);
    let rules = files.unwrap();
    assert_eq!(rules.len(), 1);
    let kinds = rules[0].groups[0].rules.iter().map(|rule| &rule.kind);
    let alerts = kinds.filter(|kind| matches!(kind, ::config::RuleKind::Alert { .. }));
    assert_eq!(alerts.count(), 2);
}
