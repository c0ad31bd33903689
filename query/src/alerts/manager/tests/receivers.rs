//! What receivers are told, whatever becomes of the rest.

use super::*;
use crate::alerts::notifier::Webhook;
use futures::FutureExt;

/// A manager with one receiver that cannot be reached.
fn open(setup: &Setup, limit: usize) -> Arc<Manager> {
    let webhook = Webhook {
        url: "http://127.0.0.1:1/".into(),
        send_resolved: true,
        timeout: Duration::from_secs(1),
    };
    let options = AlertsOptions {
        groups: vec![Group {
            limit,
            ..group(vec![alerting("A", "x", 0)])
        }],
        notifier: NotifierOptions {
            webhooks: vec![webhook],
            ..NotifierOptions::default()
        },
        ..AlertsOptions::default()
    };
    setup.try_open(options, Env::real().files).unwrap()
}

/// Service and end, in seconds, of every alert that the receiver is or was told of, as saved.
fn told(setup: &Setup) -> Vec<String> {
    let file = setup.dir.path().join("notifications.json");
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let alerts = state["data"][0]["alerts"].as_array().unwrap();
    alerts
        .iter()
        .map(|told| {
            let service = told["labels"]["service"].as_str().unwrap();
            format!("{service} {}", told["ends_at"].as_u64().unwrap() / SECOND)
        })
        .collect()
}

#[tokio::test]
async fn receivers_are_told_although_nothing_can_be_stored() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = open(&setup, 0);
    *setup.world.sink.lock() = Taking::Refuses;
    setup.at(&manager, 10).await;
    assert_eq!(told(&setup), ["shop 0"]);
    let rule = &manager.rules().groups[0].rules[0];
    assert_eq!(
        (&*rule.state, &*rule.health, &*rule.last_error),
        ("firing", "err", "the disk is full")
    );
    setup.world.set("x", &[]);
    setup.at(&manager, 20).await;
    assert_eq!(told(&setup), ["shop 20"]);
}

#[tokio::test]
async fn alerts_that_become_too_many_are_over() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = open(&setup, 1);
    setup.at(&manager, 10).await;
    setup.world.set("x", &[("shop", 1.0), ("cart", 1.0)]);
    setup.at(&manager, 20).await;
    assert_eq!(told(&setup), ["shop 20"], "of the others nobody was told");
    setup.at(&manager, 30).await;
    assert_eq!(told(&setup), ["shop 20"]);
    setup.world.set("x", &[("cart", 1.0)]);
    setup.at(&manager, 40).await;
    assert_eq!(told(&setup), ["cart 0", "shop 20"]);
}

#[tokio::test]
async fn an_end_that_a_stop_interrupts_is_told() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = open(&setup, 0);
    setup.at(&manager, 10).await;
    setup.world.set("x", &[]);
    *setup.world.sink.lock() = Taking::Hangs;
    setup.clock.0.store(20 * SECOND, Ordering::Relaxed);
    // It goes as far as it does without waiting, and is dropped.
    let stopped = manager.evaluate_group(0, 20 * SECOND).now_or_never();
    assert!(stopped.is_none());
    manager.shutdown().await;
    assert_eq!(told(&setup), ["shop 20"]);
    // So it is after the time for which ends are remembered.
    drop(manager);
    setup.clock.0.store(5_000 * SECOND, Ordering::Relaxed);
    open(&setup, 0);
    assert_eq!(told(&setup), ["shop 20"]);
}

#[tokio::test]
async fn what_no_rule_remembers_is_over_at_the_next_start() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    setup.at(&open(&setup, 0), 10).await;
    setup.clock.0.store(20 * SECOND, Ordering::Relaxed);
    open(&setup, 0);
    assert_eq!(told(&setup), ["shop 0"]);
    std::fs::remove_file(setup.dir.path().join("rules.json")).unwrap();
    open(&setup, 0);
    assert_eq!(told(&setup), ["shop 20"]);
}

#[tokio::test]
async fn what_no_rule_has_any_more_is_over_within_a_minute() {
    let setup = Setup::new();
    setup.world.set("x", &[("shop", 1.0)]);
    let manager = open(&setup, 0);
    setup.at(&manager, 10).await;
    // As if its end had been lost on the way.
    manager.status.lock()[0].rules[0].alerts = RuleAlerts::default();
    setup.world.set("x", &[]);
    setup.at(&manager, 20).await;
    setup.at(&manager, 59).await;
    assert_eq!(told(&setup), ["shop 0"]);
    setup.at(&manager, 60).await;
    assert_eq!(told(&setup), ["shop 60"]);
}
