mod receivers;
mod reloads;
mod restarts;

use super::*;
use crate::alerts::rule::RuleKind;
use crate::alerts::{Labels, Sample, Written};
use crate::traces::story::ActiveAlerts;
use env::Clock;
use futures::future::BoxFuture;
use model::TimeRange;
use promql::FloatHistogram;
use promql::engine::SampleValue;
use std::collections::HashMap;
use testkit::{Failure, FaultFiles, Op, Plan};
use tokio::sync::Notify;

const SECOND: u64 = 1_000_000_000;

/// A clock that stands where it is put.
#[derive(Debug, Default)]
struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn unix_nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.unix_nanos()
    }
}

/// Answers by expression; what was written can be asked for by name.
#[derive(Default)]
struct World {
    answers: Mutex<HashMap<String, Result<Vec<Sample>, String>>>,
    written: Mutex<Vec<Written>>,
    /// As of when expressions were evaluated, in seconds.
    asked: Mutex<Vec<u64>>,
    /// What every answer says of itself.
    seen: Mutex<Completeness>,
    /// Told of every evaluation.
    evaluated: Notify,
    /// How the sink takes what it is given.
    sink: Mutex<Taking>,
    /// Asked to stop by the next evaluation.
    ends: Mutex<Option<Stopper>>,
}

/// How a sink takes what it is given.
#[derive(Clone, Copy, Default)]
enum Taking {
    #[default]
    Stores,
    Refuses,
    /// It never answers.
    Hangs,
}

/// Evaluating this panics.
const PANICS: &str = "panics";

impl World {
    fn set(&self, expr: &str, values: &[(&str, f64)]) {
        let samples = values
            .iter()
            .map(|(service, value)| Sample {
                labels: [("__name__", "up"), ("service", *service)]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
                value: SampleValue::Float(*value),
            })
            .collect();
        self.answers.lock().insert(expr.to_owned(), Ok(samples));
    }
}

impl Evaluate for World {
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at: i64,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        self.asked.lock().push(at.unsigned_abs() / SECOND);
        self.evaluated.notify_one();
        if let Some(turn) = self.ends.lock().take() {
            turn.ask();
        }
        account.add(self.seen.lock().clone());
        assert_ne!(expr, PANICS, "an expression that panics");
        let written = self.written.lock();
        let latest = written
            .iter()
            .rev()
            .find(|one| one.labels["__name__"] == expr);
        let answer = match latest.filter(|one| !one.value.is_stale()) {
            Some(one) => Ok(vec![Sample {
                labels: one.labels.clone(),
                value: one.value.clone(),
            }]),
            None => self
                .answers
                .lock()
                .get(expr)
                .cloned()
                .unwrap_or(Ok(Vec::new())),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Sink for World {
    fn write(&self, samples: Vec<Written>) -> BoxFuture<'_, Result<(), String>> {
        match *self.sink.lock() {
            Taking::Stores => self.written.lock().extend(samples),
            Taking::Refuses => return Box::pin(std::future::ready(Err("the disk is full".into()))),
            Taking::Hangs => return Box::pin(std::future::pending()),
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn alerting(name: &str, expr: &str, hold: u64) -> Rule {
    Rule {
        name: name.into(),
        expr: expr.into(),
        labels: labels(&[("severity", "page"), ("of", "{{ $labels.service }}")]),
        kind: RuleKind::Alerting {
            hold: Duration::from_secs(hold),
            keep_firing: Duration::ZERO,
            annotations: labels(&[("summary", "{{ $labels.service }} at {{ $value }}")]),
        },
    }
}

fn group(rules: Vec<Rule>) -> Group {
    Group {
        name: "g".into(),
        file: "rules.yml".into(),
        interval: Duration::from_secs(10),
        limit: 0,
        query_offset: Duration::ZERO,
        labels: labels(&[("team", "ops")]),
        rules,
    }
}

struct Setup {
    world: Arc<World>,
    clock: Arc<Fixed>,
    dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self {
            world: Arc::default(),
            clock: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self, rules: Vec<Rule>) -> Arc<Manager> {
        let options = AlertsOptions {
            groups: vec![group(rules)],
            ..AlertsOptions::default()
        };
        self.try_open(options, Env::real().files).unwrap()
    }

    fn try_open(
        &self,
        options: AlertsOptions,
        files: Arc<dyn env::Files>,
    ) -> std::io::Result<Arc<Manager>> {
        let env = Env {
            clock: self.clock.clone(),
            files,
            ..Env::real()
        };
        let (dir, world) = (self.dir.path(), &self.world);
        Manager::open(env, dir, options, world.clone(), world.clone())
    }

    async fn at(&self, manager: &Manager, second: u64) {
        self.clock.0.store(second * SECOND, Ordering::Relaxed);
        manager.evaluate_group(0, second * SECOND).await;
    }
}

#[tokio::test]
async fn alerts_carry_their_labels_and_annotations() {
    let setup = Setup::new();
    setup.world.set("up == 0", &[("shop", 0.0)]);
    let manager = setup.open(vec![alerting("Down", "up == 0", 15)]);
    setup.at(&manager, 10).await;
    let alert = manager.alerts().alerts.remove(0);
    assert_eq!(
        (alert.name.as_str(), alert.state.as_str()),
        ("Down", "pending")
    );
    assert_eq!(
        alert.labels,
        labels(&[
            ("alertname", "Down"),
            ("of", "shop"),
            ("service", "shop"),
            ("severity", "page"),
            ("team", "ops"),
        ])
    );
    assert_eq!(alert.annotations, labels(&[("summary", "shop at 0")]));
    setup.at(&manager, 20).await;
    setup.at(&manager, 30).await;
    let rules = manager.rules();
    let rule = &rules.groups[0].rules[0];
    assert_eq!(
        (rule.state.as_str(), rule.health.as_str()),
        ("firing", "ok")
    );
    assert_eq!(rule.alerts[0].firing_since_unix_nano, 30 * SECOND);

    let services = |name: &str| [name.to_owned()].into();
    let when = TimeRange {
        start: 15 * SECOND,
        end: 16 * SECOND,
    };
    assert_eq!(manager.active(&services("shop"), when).len(), 1);
    assert_eq!(manager.active(&services("other"), when).len(), 0);
    assert_eq!(
        manager
            .active(
                &services("shop"),
                TimeRange {
                    start: 0,
                    end: SECOND
                }
            )
            .len(),
        0
    );

    let written = setup.world.written.lock();
    let states: Vec<String> = written
        .iter()
        .filter(|one| one.labels["__name__"] == "ALERTS")
        .map(|one| {
            let (at, state) = (
                one.unix_nano.unsigned_abs() / SECOND,
                &one.labels["alertstate"],
            );
            format!("{at} {state} {}", said(&one.value))
        })
        .collect();
    assert_eq!(
        states,
        [
            "10 pending 1",
            "20 pending 1",
            "30 pending end",
            "30 firing 1"
        ]
    );
}

#[tokio::test]
async fn later_rules_see_what_earlier_ones_stored() {
    let setup = Setup::new();
    setup.world.set("sum(up)", &[("shop", 7.0)]);
    let recording = Rule {
        name: "up:sum".into(),
        expr: "sum(up)".into(),
        labels: labels(&[("service", "")]),
        kind: RuleKind::Recording,
    };
    let manager = setup.open(vec![recording, alerting("Many", "up:sum", 0)]);
    setup.at(&manager, 10).await;
    let alerts = manager.alerts().alerts;
    assert_eq!(alerts[0].value, 7.0);
    assert!(
        !alerts[0].labels.contains_key("service"),
        "an empty label is none"
    );
    setup.world.set("sum(up)", &[]);
    setup.at(&manager, 20).await;
    let written = setup.world.written.lock();
    let last = written
        .iter()
        .rfind(|one| one.labels["__name__"] == "up:sum")
        .unwrap();
    assert!(last.value.is_stale(), "a series that ended is marked so");
}

#[tokio::test]
async fn histograms_are_recorded_and_end_as_histograms() {
    let setup = Setup::new();
    let histogram = |count| {
        let histogram = FloatHistogram {
            count,
            ..FloatHistogram::default()
        };
        SampleValue::Histogram(histogram.into())
    };
    let sample = Sample {
        labels: labels(&[("service", "shop")]),
        value: histogram(2.5),
    };
    let answer = |samples| {
        let mut answers = setup.world.answers.lock();
        answers.insert("sizes".to_owned(), Ok(samples));
    };
    answer(vec![sample]);
    let manager = setup.open(vec![recording("r", "sizes"), alerting("A", "r", 0)]);
    setup.at(&manager, 10).await;
    let alerts = manager.alerts().alerts;
    assert_eq!(alerts[0].value, 0.0, "the value of an alert is a number");
    assert_eq!(
        alerts[0].annotations["summary"],
        "shop at {count:2.5, sum:0}"
    );
    answer(vec![]);
    setup.at(&manager, 20).await;
    let written = setup.world.written.lock();
    let recorded: Vec<&Written> = written
        .iter()
        .filter(|one| one.labels["__name__"] == "r")
        .collect();
    assert_eq!(recorded[0].value, histogram(2.5));
    let SampleValue::Histogram(end) = &recorded[1].value else {
        panic!("{:?}", recorded[1]);
    };
    assert!(promql::source::is_stale(end.sum));
}

/// A value as a test compares it.
fn said(value: &SampleValue) -> String {
    if value.is_stale() {
        return "end".to_owned();
    }
    value.number().to_string()
}

fn recording(name: &str, expr: &str) -> Rule {
    Rule {
        name: name.into(),
        expr: expr.into(),
        labels: Labels::new(),
        kind: RuleKind::Recording,
    }
}

#[tokio::test]
async fn a_group_with_an_offset_asks_and_stores_as_of_then() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let options = AlertsOptions {
        groups: vec![Group {
            query_offset: Duration::from_secs(4),
            ..group(vec![recording("r", "x"), alerting("A", "x", 0)])
        }],
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options, Env::real().files).unwrap();
    setup.at(&manager, 10).await;
    setup.world.set("x", &[]);
    setup.at(&manager, 20).await;
    // The labels and annotations of the alert are expanded without a query.
    assert_eq!(*setup.world.asked.lock(), [6, 6, 16, 16]);
    let written = setup.world.written.lock();
    let written: Vec<String> = written
        .iter()
        .map(|one| {
            let name = &one.labels["__name__"];
            format!(
                "{} {name} {}",
                one.unix_nano.unsigned_abs() / SECOND,
                said(&one.value)
            )
        })
        .collect();
    assert_eq!(
        written,
        [
            "6 r 1",
            "6 ALERTS 1",
            "6 ALERTS_FOR_STATE 10",
            "16 r end",
            "16 ALERTS end",
            "16 ALERTS_FOR_STATE end"
        ],
        "an alert is active since the evaluation, not since the time that it looked at"
    );
}

#[tokio::test]
async fn rules_beyond_their_limit_store_nothing_and_forget_their_alerts() {
    let setup = Setup::new();
    let options = || AlertsOptions {
        groups: vec![Group {
            limit: 1,
            ..group(vec![recording("r", "x"), alerting("A", "x", 0)])
        }],
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options(), Env::real().files).unwrap();
    setup.world.set("x", &[("shop", 1.0)]);
    setup.at(&manager, 10).await;
    let stored = setup.world.written.lock().len();
    setup.world.set("x", &[("shop", 1.0), ("cart", 1.0)]);
    setup.at(&manager, 20).await;
    let rules = &manager.rules().groups[0].rules;
    assert_eq!(rules[0].last_error, "exceeded limit of 1 with 2 series");
    assert_eq!(rules[1].last_error, "exceeded limit of 1 with 2 alerts");
    assert!(rules[1].alerts.is_empty());
    assert_eq!(
        setup.world.written.lock().len(),
        stored,
        "not even that the series have ended"
    );
}

#[tokio::test]
async fn groups_are_counted_under_the_names_that_prometheus_has() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0), ("cart", 1.0)]);
    let failing = Err("no".to_owned());
    setup.world.answers.lock().insert("y".into(), failing);
    let options = AlertsOptions {
        groups: vec![Group {
            file: "a \"b\".yml".into(),
            ..group(vec![recording("r", "x"), recording("s", "y")])
        }],
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options, Env::real().files).unwrap();
    setup.at(&manager, 10).await;
    manager.missed(0, 3);
    setup.at(&manager, 50).await;
    let text = manager.metrics_text();
    for (name, value) in [
        ("evaluations_total", "4"),
        ("evaluation_failures_total", "2"),
        ("group_iterations_total", "5"),
        ("group_iterations_missed_total", "3"),
        ("group_interval_seconds", "10"),
        ("group_rules", "2"),
        ("group_last_evaluation_timestamp_seconds", "50"),
        ("group_last_duration_seconds", "0"),
        ("group_last_evaluation_samples", "2"),
    ] {
        let line = format!("prometheus_rule_{name}{{rule_group=\"a \\\"b\\\".yml;g\"}} {value}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(text.contains("throughline_rule_evaluations_missed_total 3\n"));
}

#[tokio::test]
async fn a_failed_evaluation_changes_no_alert() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = setup.open(vec![alerting("A", "x", 0)]);
    setup.at(&manager, 10).await;
    setup
        .world
        .answers
        .lock()
        .insert("x".into(), Err("the store is away".into()));
    setup.at(&manager, 20).await;
    let rule = &manager.rules().groups[0].rules[0];
    assert_eq!(
        (rule.health.as_str(), rule.state.as_str()),
        ("err", "firing")
    );
    assert_eq!(rule.last_error, "the store is away");
    setup.world.set("x", &[("shop", 1.0), ("shop", 2.0)]);
    setup.at(&manager, 30).await;
    assert!(
        manager.rules().groups[0].rules[0]
            .last_error
            .contains("same labelset")
    );
}

#[tokio::test]
async fn damaged_state_is_set_aside() {
    let setup = Setup::new();
    std::fs::write(setup.dir.path().join("rules.json"), b"{\"version\":1,").unwrap();
    let manager = setup.open(vec![alerting("A", "x", 0)]);
    assert!(manager.alerts().alerts.is_empty());
    assert!(setup.dir.path().join("rules.json.unreadable").exists());
}

#[tokio::test]
async fn state_that_cannot_be_read_is_never_overwritten() {
    let setup = Setup::new();
    let rules = || vec![alerting("A", "x", 0)];
    setup.world.set("x", &[("shop", 1.0)]);
    setup.at(&setup.open(rules()), 10).await;
    let file = setup.dir.path().join("rules.json");
    let state = std::fs::read(&file).unwrap();

    let files = FaultFiles::over(Env::real().files);
    let options = || AlertsOptions {
        groups: vec![group(rules())],
        ..AlertsOptions::default()
    };
    files.plan(Plan {
        path_contains: "rules.json".to_owned(),
        ..Plan::always(Op::Read, Failure::Io)
    });
    files.plan(Plan::always(Op::Rename, Failure::Denied));
    let refused = setup.try_open(options(), Arc::new(files.clone())).err();
    let refused = refused.expect("saving would replace it").to_string();
    assert!(refused.contains("cannot be set aside"), "{refused}");

    files.heal();
    files.plan(Plan {
        path_contains: "rules.json".to_owned(),
        ..Plan::always(Op::Read, Failure::Io)
    });
    let manager = setup.try_open(options(), Arc::new(files.clone())).unwrap();
    setup.world.set("x", &[("bank", 2.0)]);
    setup.at(&manager, 20).await;
    let aside = setup.dir.path().join("rules.json.unreadable");
    assert_eq!(std::fs::read(aside).unwrap(), state);
    assert_ne!(std::fs::read(&file).unwrap(), state);
    // The next one takes a name of its own.
    setup.try_open(options(), Arc::new(files)).unwrap();
    assert!(setup.dir.path().join("rules.json.unreadable-2").exists());
}

#[tokio::test]
async fn the_limit_of_alerts_does_not_concern_recording_rules() {
    let setup = Setup::new();
    let three = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    setup.world.set("x", &three);
    let recording = Rule {
        kind: RuleKind::Recording,
        name: "recorded".into(),
        ..alerting("", "x", 0)
    };
    let options = AlertsOptions {
        groups: vec![group(vec![recording, alerting("A", "x", 0)])],
        alerts_max: 2,
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options, Env::real().files).unwrap();
    setup.at(&manager, 10).await;
    let rules = &manager.rules().groups[0].rules;
    assert_eq!(rules[0].health, "ok", "{}", rules[0].last_error);
    assert_eq!(rules[1].health, "err");
    assert!(
        rules[1].last_error.contains("limit of 2 with 3 alerts"),
        "{}",
        rules[1].last_error
    );
}

/// The real clock, set by hand.
#[derive(Debug)]
struct Set {
    real: Arc<dyn Clock>,
    back_nano: AtomicU64,
}

impl Clock for Set {
    fn unix_nanos(&self) -> u64 {
        self.real.unix_nanos() - self.back_nano.load(Ordering::Relaxed)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.real.monotonic_nanos()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_no_rules() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let options = AlertsOptions {
        groups: vec![Group {
            interval: Duration::from_millis(20),
            ..group(vec![recording("r", "x")])
        }],
        ..AlertsOptions::default()
    };
    let clock = Arc::new(Set {
        real: Env::real().clock,
        back_nano: AtomicU64::new(0),
    });
    let env = Env {
        clock: clock.clone(),
        ..Env::real()
    };
    let (dir, world) = (setup.dir.path(), &setup.world);
    let manager = Manager::open(env, dir, options, world.clone(), world.clone()).unwrap();
    manager.run().await.unwrap();
    world.evaluated.notified().await;
    clock.back_nano.store(3600 * SECOND, Ordering::Relaxed);
    let latest = clock.unix_nanos() / SECOND + 1800;
    let goes_on = async {
        while world.asked.lock().iter().all(|second| *second > latest) {
            world.evaluated.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), goes_on)
        .await
        .expect("rules are evaluated as of what the clock says now");
    manager.shutdown().await;
}

#[tokio::test]
async fn running_groups_stop_when_asked() {
    let setup = Setup::new();
    let manager = setup.open(vec![alerting("A", "x", 0)]);
    manager.run().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), manager.shutdown())
        .await
        .unwrap();
}

#[tokio::test]
async fn prometheus_shape_is_served() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 2.5)]);
    let manager = setup.open(vec![alerting("A", "x", 0)]);
    setup.at(&manager, 10).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!(
        "http://{}/prometheus/api/v1",
        listener.local_addr().unwrap()
    );
    let router = crate::http::alerts::router(manager);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let get = async |path: &str| -> serde_json::Value {
        reqwest::get(format!("{base}/{path}"))
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let alerts = get("alerts").await;
    let alert = &alerts["data"]["alerts"][0];
    assert_eq!(alerts["status"], "success");
    assert_eq!(alert["value"], "2.5e+00");
    assert_eq!(alert["activeAt"], "1970-01-01T00:00:10.000Z");
    assert_eq!(alert["state"], "firing");
    let rules = get("rules").await;
    let group = &rules["data"]["groups"][0];
    assert_eq!(
        (&group["name"], &group["interval"]),
        (&"g".into(), &10.0.into())
    );
    let rule = &group["rules"][0];
    assert_eq!(rule["type"], "alerting");
    assert_eq!(rule["duration"], 0.0);
    assert_eq!(rule["health"], "ok");
    assert_eq!(rule["alerts"][0]["labels"]["alertname"], "A");
    assert!(rule.get("lastError").is_none());
}

#[tokio::test]
async fn metrics_tell_states_and_notifications() {
    let setup = Setup::new();
    let manager = setup.open(vec![
        alerting("Down", "up == 0", 0),
        alerting("Slow", "slow", 60),
    ]);
    setup.world.set("up == 0", &[("a", 0.0), ("b", 0.0)]);
    setup.world.set("slow", &[("a", 1.0)]);
    let before = manager.metrics_text();
    assert!(
        before.contains("throughline_rules{health=\"unknown\"} 2\n"),
        "{before}"
    );
    manager.evaluate_group(0, 10 * SECOND).await;
    manager
        .notifier
        .counters
        .sent
        .fetch_add(3, Ordering::Relaxed);
    let text = manager.metrics_text();
    for line in [
        "throughline_alerts{state=\"firing\"} 2",
        "throughline_alerts{state=\"pending\"} 1",
        "throughline_rules{health=\"ok\"} 2",
        "throughline_rules{health=\"unknown\"} 0",
        "throughline_alert_notifications_total{outcome=\"sent\"} 3",
        "throughline_alert_notifications_total{outcome=\"retried\"} 0",
        "throughline_alert_notifications_total{outcome=\"refused\"} 0",
        "throughline_alert_notifications_dropped_total 0",
        "throughline_alert_notifications_waiting 0",
        "throughline_rule_evaluations_missed_total 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn answers_say_how_complete_the_last_evaluation_was() {
    let setup = Setup::new();
    let manager = setup.open(vec![
        alerting("Down", "up == 0", 0),
        alerting("Slow", "x", 0),
    ]);
    // What is known of alerts before the first evaluation is from before the start.
    let before = manager.alerts().completeness;
    assert_eq!(before.cut.len(), 1);
    assert_eq!(
        (&*before.cut[0].limit, &*before.cut[0].value),
        ("evaluation", "g")
    );

    let source = |state| api::Source {
        source: "collector-1".into(),
        kind: api::SourceKind::Collector,
        unix_nano: 7,
        state,
    };
    let stats = api::Stats {
        blocks: 1,
        rows: 10,
        bytes: 100,
        elapsed_ms: 2,
    };
    let lost = api::Cut {
        limit: "source".into(),
        value: "collector-1".into(),
        hint: "gone".into(),
    };
    *setup.world.seen.lock() = Completeness {
        stats,
        cut: vec![lost.clone()],
        complete_to: vec![source(api::SourceState::Lost)],
        hints: Vec::new(),
    };
    setup.at(&manager, 10).await;
    for completeness in [manager.alerts().completeness, manager.rules().completeness] {
        assert_eq!(completeness.cut, std::slice::from_ref(&lost));
        assert_eq!(completeness.complete_to, [source(api::SourceState::Lost)]);
        assert_eq!(completeness.stats.rows, 20, "of both rules");
    }
    // The next evaluation counts alone.
    setup.world.seen.lock().cut.clear();
    setup.world.seen.lock().complete_to = vec![source(api::SourceState::Live)];
    setup.at(&manager, 20).await;
    let after = manager.alerts().completeness;
    assert_eq!((after.cut.len(), after.stats.rows), (0, 20));
    assert_eq!(after.complete_to, [source(api::SourceState::Live)]);
}

#[tokio::test]
async fn a_rule_that_panics_says_so_and_the_others_go_on() {
    let setup = Setup::new();
    setup.world.set("up == 0", &[("shop", 0.0)]);
    let manager = setup.open(vec![
        alerting("Broken", PANICS, 0),
        alerting("Down", "up == 0", 0),
    ]);
    setup.at(&manager, 10).await;
    setup.at(&manager, 20).await;
    let rules = &manager.rules().groups[0].rules;
    assert_eq!(rules[0].health, "err");
    assert!(
        rules[0].last_error.contains("an expression that panics"),
        "{}",
        rules[0].last_error
    );
    assert_eq!((&*rules[1].health, &*rules[1].state), ("ok", "firing"));
    let metrics = manager.metrics_text();
    assert!(
        metrics.contains("\nthroughline_alerting_panics_total 2\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_alert_that_is_kept_firing_says_since_when() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let mut rule = alerting("A", "x", 0);
    if let RuleKind::Alerting { keep_firing, .. } = &mut rule.kind {
        *keep_firing = Duration::from_secs(60);
    }
    let manager = setup.open(vec![rule]);
    let since = || manager.alerts().alerts[0].keep_firing_since_unix_nano;
    setup.at(&manager, 10).await;
    assert_eq!(since(), 0);
    setup.world.set("x", &[]);
    setup.at(&manager, 20).await;
    setup.at(&manager, 30).await;
    assert_eq!(since(), 20 * SECOND);
}
