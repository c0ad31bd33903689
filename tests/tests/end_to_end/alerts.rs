//! Rules that fire, webhooks that are told, and state that survives a restart.

use std::time::Duration;

use serde_json::Value;
use tests::otlp_json::{SECOND, gauge, metrics, now};
use tests::webhook::Webhook;
use tests::{Http, Setup, wait};

use crate::PROGRAM;

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - record: shop:queue:double
        expr: queue_depth * 2
      - alert: QueueTooLong
        expr: shop:queue:double > 10
        labels: {severity: page}
        annotations:
          summary: "{{ $labels.job }} has {{ $value }} waiting"
          where: "{{ $externalLabels.region }}"
      - alert: QueueLongForAnHour
        expr: queue_depth > 5
        for: 1h
      - alert: Quiet
        expr: queue_depth > 1000
      - record: "queue of 1 é"
        expr: queue_depth
        labels: {"x y": z}
"#;

fn setup(webhook: &Webhook) -> Setup {
    let setup = Setup::new(PROGRAM, "up").config(&format!(
        "rules: {{files: [rules.yml], interval: 1s}}\nalerts: {{external_labels: {{region: north, severity: none}}, webhooks: [{{url: '{}'}}]}}\nagent: {{host: {{enabled: false}}}}\n",
        webhook.url()
    ));
    std::fs::write(setup.folder().join("rules.yml"), RULES).unwrap();
    setup
}

async fn alert(query: &Http, name: &str, state: &str) -> Option<Value> {
    let answer = query.get("/api/v1/alerts", &[]).await;
    let alerts = answer["alerts"].as_array().unwrap().clone();
    alerts
        .into_iter()
        .find(|alert| alert["name"] == name && alert["state"] == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_and_its_webhook_is_told_until_it_listens() {
    let webhook = Webhook::start(1);
    let server = setup(&webhook).start();
    server
        .otlp()
        .export(
            "metrics",
            &metrics("shop", &[gauge("queue.depth", now(), 8.0)]),
        )
        .await;
    let query = server.query();
    let firing = wait::eventually("the alert to fire", wait::LONG, async || {
        alert(&query, "QueueTooLong", "firing").await
    })
    .await;
    assert_eq!(firing["labels"]["severity"], "page");
    assert_eq!(firing["annotations"]["summary"], "shop has 16 waiting");
    assert_eq!(firing["value"], 16.0);

    // The first post was refused and comes again.
    let (refused, taken) = tokio::task::spawn_blocking(move || {
        let deadline = Duration::from_secs(90);
        (webhook.next(deadline), webhook.next(deadline))
    })
    .await
    .unwrap();
    for post in [&refused, &taken] {
        assert_eq!(post["version"], "4", "{post}");
        // Where the system chose the port, it is that port.
        assert_eq!(post["externalURL"], query.base(), "{post}");
        assert_eq!(post["status"], "firing", "{post}");
        assert_eq!(
            post["alerts"][0]["labels"]["alertname"], "QueueTooLong",
            "{post}"
        );
        assert_eq!(
            post["alerts"][0]["annotations"]["summary"], "shop has 16 waiting",
            "{post}"
        );
        assert!(post["groupKey"].is_string(), "{post}");
        let labels = &post["alerts"][0]["labels"];
        assert_eq!(
            (&labels["region"], &labels["severity"]),
            (&"north".into(), &"page".into())
        );
        assert_eq!(post["alerts"][0]["annotations"]["where"], "north", "{post}");
    }
    let rules = query.get("/api/v1/rules", &[]).await;
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let states: Vec<(&str, &str)> = rules
        .iter()
        .map(|rule| {
            (
                rule["name"].as_str().unwrap(),
                rule["health"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        "shop:queue:double",
        "QueueTooLong",
        "QueueLongForAnHour",
        "Quiet",
        "queue of 1 é",
    ];
    assert_eq!(states, expected.map(|name| (name, "ok")));
    assert!(alert(&query, "Quiet", "firing").await.is_none());
    let recorded = [("query", r#"{"queue of 1 é", "x y"="z"}"#)];
    let answer = query.get("/prometheus/api/v1/query", &recorded).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "8", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_how_long_a_condition_holds() {
    let webhook = Webhook::start(0);
    let setup = setup(&webhook);
    let server = setup.start();
    server
        .otlp()
        .export(
            "metrics",
            &metrics("shop", &[gauge("queue.depth", now(), 8.0)]),
        )
        .await;
    let query = server.query();
    // Long enough to be told from a condition that begins with the restart.
    let held = async |query: &Http| {
        let pending = alert(query, "QueueLongForAnHour", "pending").await?;
        let since = pending["active_since_unix_nano"].as_u64().unwrap();
        let rules = query.get("/api/v1/rules", &[]).await;
        let last = rules["groups"][0]["last_evaluation_unix_nano"].as_u64();
        (last.unwrap() >= since + 5 * SECOND).then_some(())
    };
    wait::eventually("a pending alert", wait::LONG, async || held(&query).await).await;
    assert!(alert(&query, "QueueTooLong", "firing").await.is_some());
    let _told = webhook.next(Duration::from_secs(90));
    assert!(server.terminate().0.success());

    let restarted = now();
    let server = setup.start();
    let query = server.query();
    let evaluated = async || {
        let rules = query.get("/api/v1/rules", &[]).await;
        let last = rules["groups"][0]["last_evaluation_unix_nano"].as_u64();
        (last.unwrap() > restarted + 2 * SECOND).then_some(())
    };
    wait::eventually("two more evaluations", wait::LONG, evaluated).await;
    // It was pending for five seconds and away for less: even without the time in between
    // it began before the restart.
    let pending = alert(&query, "QueueLongForAnHour", "pending")
        .await
        .unwrap();
    let since = pending["active_since_unix_nano"].as_u64().unwrap();
    assert!(since < restarted, "it began anew: {pending}");
    // It fired before and fires still: nobody is told a second time.
    assert!(alert(&query, "QueueTooLong", "firing").await.is_some());
    assert_eq!(webhook.rest(), Vec::<Value>::new());
}

/// Status and text of the answer to a request for reading the rules anew.
async fn reload(query: &Http) -> (u16, String) {
    let url = format!("{}/-/reload", query.base());
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_read_anew_when_asked() {
    let webhook = Webhook::start(0);
    let setup = setup(&webhook);
    let server = setup.start();
    let query = server.query();
    let gauge = gauge("queue.depth", now(), 8.0);
    let sent = metrics("shop", &[gauge]);
    server.otlp().export("metrics", &sent).await;
    wait::eventually("the alert to fire", wait::LONG, async || {
        alert(&query, "QueueTooLong", "firing").await
    })
    .await;
    let told = |state: &'static str| {
        let post = webhook.next(Duration::from_secs(90));
        assert_eq!(post["status"], state, "{post}");
    };
    tokio::task::block_in_place(|| told("firing"));

    // Without that alert, and with another one.
    let file = setup.folder().join("rules.yml");
    let rules = RULES.replace("- alert: QueueTooLong", "- alert: QueueOtherwise");
    std::fs::write(&file, &rules).unwrap();
    server.hang_up();
    wait::eventually("the other rule", wait::LONG, async || {
        alert(&query, "QueueOtherwise", "firing").await
    })
    .await;
    assert!(alert(&query, "QueueTooLong", "firing").await.is_none());

    // A mistake leaves the rules of before.
    std::fs::write(
        &file,
        rules.replace("expr: queue_depth > 5", "expr: queue_depth >"),
    )
    .unwrap();
    let (status, text) = reload(&query).await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("rules.yml:"), "{text}");
    assert!(alert(&query, "QueueOtherwise", "firing").await.is_some());

    std::fs::write(&file, rules.replace("QueueOtherwise", "QueueOnceMore")).unwrap();
    assert_eq!(reload(&query).await, (200, String::new()));
    wait::eventually("the last rule", wait::LONG, async || {
        alert(&query, "QueueOnceMore", "firing").await
    })
    .await;
    assert!(server.terminate().0.success());
}
