//! Two collectors with their own folders and one query process over both.

use tests::otlp_json::{log, logs, now, span, traces};
use tests::{Setup, wait};

use crate::PROGRAM;

const TRACE: &str = "22222222222222222222222222222222";
/// Known to the second collector alone.
const BANK_TRACE: &str = "33333333333333333333333333333333";

#[tokio::test]
async fn a_lost_collector_is_named_and_the_rest_answers() {
    let first = Setup::new(PROGRAM, "collector").start();
    let second = Setup::new(PROGRAM, "collector").start();
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(first.address("internal"))
        .arg("--collector")
        .arg(second.address("internal"))
        .start();
    let time = now();
    let parent = span(TRACE, "0000000000000001", "", "buy", time, 1_000_000);
    let child = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "pay",
        time + 10,
        500_000,
    );
    first
        .otlp()
        .export("traces", &traces("shop", &[parent]))
        .await;
    first
        .otlp()
        .export("logs", &logs("shop", &[log(time, "bought", &[])]))
        .await;
    let alone = span(BANK_TRACE, "0000000000000003", "", "audit", time, 1_000);
    second
        .otlp()
        .export("traces", &traces("bank", &[child, alone]))
        .await;
    second
        .otlp()
        .export("logs", &logs("bank", &[log(time, "paid", &[])]))
        .await;

    let http = query.query();
    let whole = http.get(&format!("/api/v1/traces/{TRACE}"), &[]).await;
    assert_eq!(whole["spans"].as_array().unwrap().len(), 2, "{whole}");
    assert_eq!(whole["spans"][1]["depth"], 1, "{whole}");
    assert_eq!(http.all_logs("").await.len(), 2);
    let live = |answer: &serde_json::Value, state: &str| {
        let sources = answer["complete_to"].as_array().unwrap().iter();
        sources
            .filter(|source| source["kind"] == "collector" && source["state"] == state)
            .count()
    };
    assert_eq!(
        (live(&whole, "live"), live(&whole, "lost")),
        (2, 0),
        "{whole}"
    );

    let second_address = second.address("internal").to_owned();
    second.kill();
    let rest = wait::eventually("an answer that names the loss", wait::LONG, async || {
        let answer = http.get(&format!("/api/v1/traces/{TRACE}"), &[]).await;
        (live(&answer, "lost") == 1).then_some(answer)
    })
    .await;
    assert_eq!(live(&rest, "live"), 1, "{rest}");
    assert_eq!(rest["spans"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["spans"][0]["service"], "shop");
    // Nobody can say that what only the lost collector had does not exist.
    for path in [
        format!("/api/v1/traces/{BANK_TRACE}"),
        format!("/api/v1/story/{BANK_TRACE}"),
        format!("/jaeger/api/traces/{BANK_TRACE}"),
    ] {
        let answer = http.request("GET", &path).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 503, "{path}: {body}");
        assert!(body.contains(&second_address), "{path}: {body}");
    }
    let found = http.get("/api/v1/logs", &[]).await;
    assert_eq!(found["logs"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(live(&found, "lost"), 1, "{found}");
}
