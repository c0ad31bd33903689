//! What a restart keeps, also where the rule files changed meanwhile.

use super::*;
use crate::alerts::notifier::Webhook;

#[tokio::test]
async fn a_restart_keeps_pending_and_firing_alerts() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    setup.world.set("y", &[("shop", 1.0)]);
    let rules = || vec![alerting("Slow", "x", 60), alerting("Fast", "y", 0)];
    let manager = setup.open(rules());
    for second in [10, 20, 30, 40, 50] {
        setup.at(&manager, second).await;
    }
    drop(manager);
    setup.clock.0.store(100 * SECOND, Ordering::Relaxed);
    let manager = setup.open(rules());
    let states: Vec<_> = manager
        .alerts()
        .alerts
        .iter()
        .map(|alert| (alert.name.clone(), alert.state.clone()))
        .collect();
    assert_eq!(
        states,
        [
            ("Fast".into(), "firing".into()),
            ("Slow".to_owned(), "pending".to_owned())
        ]
    );
    setup.at(&manager, 100).await;
    setup.at(&manager, 110).await;
    assert_eq!(manager.rules().groups[0].rules[0].state, "pending");
    setup.at(&manager, 120).await;
    assert_eq!(
        manager.rules().groups[0].rules[0].state,
        "firing",
        "40 s were earned before"
    );
}

/// An alerting rule with this severity.
fn with(severity: &str, rule: Rule) -> Rule {
    let labels = labels(&[("severity", severity)]);
    Rule { labels, ..rule }
}

/// Name, severity and state of every alert, ended ones included, rule by rule.
fn alerts(manager: &Manager) -> Vec<Vec<String>> {
    let status = manager.status.lock();
    let rules = manager.each(&status);
    rules
        .map(|(_, known)| {
            let alerts = known.alerts.all();
            alerts
                .map(|alert| format!("{} {:?}", alert.labels["severity"], alert.state))
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn rules_that_differ_in_their_labels_alone_keep_their_own_alerts() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let rules = || {
        vec![
            with("page", alerting("A", "x", 0)),
            with("warn", alerting("A", "x", 0)),
        ]
    };
    setup.at(&setup.open(rules()), 10).await;
    // A file of before rules were told apart by their labels.
    let file = setup.dir.path().join("rules.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for reads_labels in [true, false] {
        if !reads_labels {
            let saved = state["data"]["rules"].as_array_mut().unwrap();
            for rule in saved {
                let rule = rule.as_object_mut().unwrap();
                assert!(rule.remove("labels").is_some() && rule.remove("number").is_some());
            }
            std::fs::write(&file, state.to_string()).unwrap();
        }
        let manager = setup.open(rules());
        setup.at(&manager, 20).await;
        assert_eq!(alerts(&manager), [["page Firing"], ["warn Firing"]]);
    }
}

#[tokio::test]
async fn rules_that_equal_each_other_keep_their_own_times() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let keeps = |seconds| {
        let mut rule = with("page", alerting("A", "x", 0));
        if let RuleKind::Alerting { keep_firing, .. } = &mut rule.kind {
            *keep_firing = Duration::from_secs(seconds);
        }
        rule
    };
    let rules = || vec![keeps(0), keeps(3600)];
    let manager = setup.open(rules());
    setup.at(&manager, 10).await;
    setup.world.set("x", &[]);
    setup.at(&manager, 20).await;
    // What the first one remembers of its end goes, so that only the second is saved.
    setup.at(&manager, 2_000).await;
    assert_eq!(alerts(&manager), [vec![], vec!["page Firing"]]);
    assert_eq!(
        alerts(&setup.open(rules())),
        [vec![], vec!["page Firing"]],
        "the first must not take it"
    );
}

#[tokio::test]
async fn a_rule_that_was_changed_or_moved_keeps_its_alerts() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let rule = |severity, expr| with(severity, alerting("A", expr, 0));
    setup.at(&setup.open(vec![rule("page", "x")]), 10).await;
    let state = std::fs::read(setup.dir.path().join("rules.json")).unwrap();
    let reopen = |groups: Vec<Group>| {
        std::fs::write(setup.dir.path().join("rules.json"), &state).unwrap();
        let options = AlertsOptions {
            groups,
            ..AlertsOptions::default()
        };
        setup.try_open(options, Env::real().files).unwrap()
    };
    let kept = [["page Firing"]];
    let other_expr = reopen(vec![group(vec![rule("page", "x > 0")])]);
    assert_eq!(alerts(&other_expr), kept);
    let other_labels = reopen(vec![group(vec![rule("warn", "x")])]);
    assert_eq!(alerts(&other_labels), kept, "its next evaluation ends it");
    let moved = reopen(vec![Group {
        name: "elsewhere".into(),
        ..group(vec![rule("page", "x")])
    }]);
    assert_eq!(alerts(&moved), kept);
    // The best likeness takes it, in whatever order they stand.
    let both = reopen(vec![group(vec![
        rule("page", "x > 0"),
        rule("warn", "x"),
        rule("page", "x"),
    ])]);
    assert_eq!(alerts(&both), [vec![], vec![], vec!["page Firing"]]);
    let gone = reopen(vec![group(vec![rule("warn", "y")])]);
    assert_eq!(alerts(&gone), [vec![] as Vec<String>]);
}

#[tokio::test]
async fn receivers_are_told_that_the_alerts_of_a_rule_that_is_gone_are_over() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let open = |rules: Vec<Rule>| {
        let webhook = Webhook {
            url: "http://127.0.0.1:1/".into(),
            send_resolved: true,
            timeout: Duration::from_secs(1),
        };
        let options = AlertsOptions {
            groups: vec![group(rules)],
            notifier: NotifierOptions {
                webhooks: vec![webhook],
                ..NotifierOptions::default()
            },
            ..AlertsOptions::default()
        };
        setup.try_open(options, Env::real().files).unwrap()
    };
    setup.at(&open(vec![alerting("A", "x", 0)]), 10).await;
    let told = || {
        let file = setup.dir.path().join("notifications.json");
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let told = &state["data"][0]["alerts"][0];
        (told["ends_at"].clone(), told["is_told"].clone())
    };
    assert_eq!(told(), (0.into(), false.into()));
    setup.clock.0.store(20 * SECOND, Ordering::Relaxed);
    open(vec![alerting("A", "x", 0)]);
    assert_eq!(told(), (0.into(), false.into()), "the rule is there");
    open(vec![alerting("B", "x", 0)]);
    assert_eq!(told(), ((20 * SECOND).into(), false.into()));
}
