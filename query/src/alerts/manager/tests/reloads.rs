//! What is kept where the rules are exchanged while the service runs.

use super::*;
use crate::alerts::manager::Reading;

fn named(name: &str, rules: Vec<Rule>) -> Group {
    Group {
        name: name.into(),
        ..group(rules)
    }
}

/// Name and state of every active alert.
fn alerts(manager: &Manager) -> Vec<String> {
    let alerts = manager.alerts().alerts.into_iter();
    alerts
        .map(|alert| format!("{} {}", alert.name, alert.state))
        .collect()
}

/// Names of the series whose end is marked at this second.
fn ended(setup: &Setup, second: u64) -> Vec<String> {
    let written = setup.world.written.lock();
    let ended = written
        .iter()
        .filter(|one| one.value.is_stale() && one.unix_nano.unsigned_abs() == second * SECOND);
    ended.map(|one| one.labels["__name__"].clone()).collect()
}

#[tokio::test]
async fn alerts_of_rules_that_are_still_there_go_on() {
    let setup = Setup::new();
    for expr in ["x", "y", "z"] {
        setup.world.set(expr, &[("shop", 1.0)]);
    }
    let (stays, held) = (alerting("Stays", "x", 0), alerting("Held", "y", 60));
    let options = AlertsOptions {
        groups: vec![
            named("same", vec![alerting("Same", "z", 60)]),
            named(
                "other",
                vec![stays.clone(), held.clone(), alerting("Gone", "x", 0)],
            ),
        ],
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options.clone(), Env::real().files).unwrap();
    for second in [10, 20] {
        setup.at(&manager, second).await;
        manager.evaluate_group(1, second * SECOND).await;
    }
    let before = manager.rules().groups[1].clone();
    setup.clock.0.store(25 * SECOND, Ordering::Relaxed);
    // Rules change places, and one asks something else.
    let held = Rule {
        expr: "z".into(),
        ..held
    };
    let groups = vec![
        named("other", vec![held, recording("new", "x"), stays]),
        options.groups[0].clone(),
    ];
    manager.go_on_with(groups).await;
    assert_eq!(
        alerts(&manager),
        ["Stays firing", "Held pending", "Same pending"]
    );
    assert_eq!(
        manager.rules().groups[1],
        before,
        "a group that is the same"
    );
    // The alert of the rule that is gone, and its series.
    assert_eq!(ended(&setup, 25), ["ALERTS", "ALERTS_FOR_STATE"]);
    assert_eq!(manager.rules().groups[0].rules[0].health, "unknown");
    for second in [30, 40, 50, 60, 70] {
        setup.at(&manager, second).await;
    }
    assert_eq!(
        alerts(&manager)[0],
        "Held firing",
        "what it was pending before counts"
    );
    let text = manager.metrics_text();
    let counts = "prometheus_rule_evaluations_total{rule_group=\"rules.yml;other\"} 21";
    assert!(text.contains(counts), "counters go on: {text}");
}

#[tokio::test]
async fn series_that_no_rule_yields_any_more_end() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    setup.world.set("y", &[("cart", 1.0)]);
    let manager = setup.open(vec![
        recording("kept", "x"),
        recording("gone", "x"),
        recording("moved", "x"),
    ]);
    setup.at(&manager, 10).await;
    setup.clock.0.store(15 * SECOND, Ordering::Relaxed);
    let groups = vec![
        group(vec![recording("kept", "y")]),
        named("other", vec![recording("moved", "x")]),
    ];
    manager.go_on_with(groups).await;
    assert_eq!(ended(&setup, 15), ["gone", "moved"]);
    setup.at(&manager, 20).await;
    manager.evaluate_group(1, 20 * SECOND).await;
    assert_eq!(ended(&setup, 20), ["kept"], "it has another label now");
    manager.go_on_with(Vec::new()).await;
    assert_eq!(manager.rules().groups, []);
    assert_eq!(ended(&setup, 20).len(), 3);
}

#[tokio::test]
async fn an_alert_outlives_two_starts_without_an_evaluation() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let rules = || vec![alerting("Slow", "x", 60)];
    let manager = setup.open(rules());
    setup.at(&manager, 8000).await;
    for second in [8005, 8010] {
        setup.clock.0.store(second * SECOND, Ordering::Relaxed);
        let manager = setup.open(rules());
        manager.shutdown().await;
        assert_eq!(alerts(&manager), ["Slow pending"], "after {second} s");
    }
}

#[tokio::test]
async fn rules_that_cannot_be_read_leave_those_of_before() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let found: Arc<Mutex<Result<Vec<Group>, String>>> =
        Arc::new(Mutex::new(Err("rules.yml:3:1: no such key".into())));
    let read = found.clone();
    let options = AlertsOptions {
        groups: vec![Group {
            interval: Duration::from_millis(20),
            ..group(vec![recording("old", "x")])
        }],
        reading: Some(Reading::new(move || read.lock().clone())),
        ..AlertsOptions::default()
    };
    let (dir, world) = (setup.dir.path(), &setup.world);
    let manager = Manager::open(Env::real(), dir, options, world.clone(), world.clone()).unwrap();
    manager.run().await.unwrap();
    let error = manager.reload().await.unwrap_err();
    assert_eq!(error, "rules.yml:3:1: no such key");
    let metric = |value: u64| format!("throughline_rules_last_reload_successful {value}\n");
    assert!(manager.metrics_text().contains(&metric(0)));
    assert_eq!(manager.rules().groups[0].rules[0].name, "old");
    world.evaluated.notified().await;
    *found.lock() = Ok(vec![Group {
        interval: Duration::from_millis(20),
        ..group(vec![recording("new", "y")])
    }]);
    manager.reload().await.unwrap();
    assert!(manager.metrics_text().contains(&metric(1)));
    let evaluated = async {
        while manager.rules().groups[0].last_evaluation_unix_nano == 0 {
            world.evaluated.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), evaluated)
        .await
        .expect("the new rules are evaluated");
    manager.shutdown().await;
    assert_eq!(manager.rules().groups[0].rules[0].name, "new");
}

#[tokio::test]
async fn an_exchange_waits_for_one_rule_and_not_for_its_group() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = setup.open(vec![alerting("First", "x", 0), alerting("Second", "x", 0)]);
    let (stopper, turn) = stop();
    *setup.world.ends.lock() = Some(stopper);
    setup.clock.0.store(10 * SECOND, Ordering::Relaxed);
    assert!(!manager.evaluate_until(0, 10 * SECOND, &turn).await);
    assert_eq!(alerts(&manager), ["First firing"]);
    assert_eq!(manager.status.lock()[0].counts.iterations, 0);
    setup.at(&manager, 10).await;
    assert_eq!(alerts(&manager), ["First firing", "Second firing"]);
    assert_eq!(manager.status.lock()[0].counts.iterations, 1);
}

#[tokio::test]
async fn what_an_exchange_held_up_is_evaluated_or_counted_as_missed() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = setup.open(vec![alerting("Same", "x", 0)]);
    setup.clock.0.store(45 * SECOND, Ordering::Relaxed);
    manager.status.lock()[0].due = 10 * SECOND;
    manager
        .go_on_with(vec![group(vec![alerting("Same", "x", 0)])])
        .await;
    let mut evaluating = manager.evaluating.lock().await;
    manager.begin(&mut evaluating);
    setup.world.evaluated.notified().await;
    evaluating.end().await;
    assert_eq!(*setup.world.asked.lock(), [10]);
    let known = manager.status.lock()[0].clone();
    assert_eq!((known.counts.missed, known.counts.iterations), (3, 4));
    assert_eq!(known.due, known.group.next_evaluation(45 * SECOND));
}

#[tokio::test]
async fn no_more_than_one_exchange_waits_for_another() {
    let setup = Setup::new();
    let options = AlertsOptions {
        reading: Some(Reading::new(|| Ok(Vec::new()))),
        ..AlertsOptions::default()
    };
    let manager = setup.try_open(options, Env::real().files).unwrap();
    let held = manager.evaluating.lock().await;
    let first = tokio::spawn({
        let manager = manager.clone();
        async move { manager.reload().await }
    });
    let second = tokio::spawn({
        let manager = manager.clone();
        async move { manager.reload().await }
    });
    while manager.reloading.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(manager.reload().await.unwrap_err().contains("once more"));
    drop(held);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    manager.reload().await.unwrap();
}
