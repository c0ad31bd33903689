//! Hosts whose clocks differ: agents measure by how much, and answers put that right.

use serde_json::{Value, json};
use tests::Http;
use tests::otlp_json::{SECOND, attributes, log, logs, now, span, traces};

use crate::{PROGRAM, up};

const TRACE: &str = "77777777777777777777777777777777";
const CALL: &str = "0000000000000001";
const ANSWER: &str = "0000000000000002";
const CLOSE: &str = "0000000000000003";
/// What agents measured, and how wrong that may be, in nanoseconds.
const OFFSETS: [(&str, i64, u64); 3] = [
    ("front", 0, 500_000),
    ("late", 3 * SECOND as i64, 400_000),
    ("close", 300_000, 400_000),
];

/// Sends what the agent of one host would send.
async fn export(otlp: &Http, host: &str, sequence: u64, signal: &str, body: &Value) {
    let (_, offset, error) = OFFSETS.iter().find(|(name, ..)| *name == host).unwrap();
    let answer = otlp
        .request("POST", &format!("/v1/{signal}"))
        .header("throughline-agent", host)
        .header("throughline-epoch", "1")
        .header("throughline-sequence", sequence.to_string())
        .header("throughline-clock-offset-nano", offset.to_string())
        .header("throughline-clock-error-nano", error.to_string())
        .json(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn by_id<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let spans = answer["spans"].as_array().unwrap();
    let found = spans.iter().find(|span| span["spanId"] == id);
    found.unwrap_or_else(|| panic!("no span {id}: {answer}"))
}

/// Start and end as sent, and what is to be added to them.
fn times(span: &Value) -> (u64, u64, i64) {
    let time = |name: &str| span[name].as_str().unwrap().parse().unwrap();
    let adjust = span["clock_adjust_nano"].as_i64().unwrap();
    (time("startTimeUnixNano"), time("endTimeUnixNano"), adjust)
}

#[tokio::test]
async fn the_span_of_a_host_whose_clock_is_late_lies_inside_its_parent() {
    let setup = up();
    let server = setup.start();
    let otlp = server.otlp();
    let begin = now();
    let late = begin - 3 * SECOND;
    let ms = 1_000_000;
    let mut call = span(TRACE, CALL, "", "POST /pay", begin, 50 * ms);
    call["kind"] = json!(3);
    call["attributes"] = attributes(&[("request_id", "pay-1")]);
    let answer = span(TRACE, ANSWER, CALL, "pay", late + 10 * ms, 20 * ms);
    let close = span(TRACE, CLOSE, CALL, "audit", begin + 5 * ms, ms);
    export(&otlp, "front", 1, "traces", &traces("shop", &[call])).await;
    export(&otlp, "late", 1, "traces", &traces("bank", &[answer])).await;
    export(&otlp, "close", 1, "traces", &traces("audit", &[close])).await;
    // The ledger sends no spans. Only when its times are corrected do they lie in the call.
    let line = log(late + 20 * ms, "booked", &[("request_id", "pay-1")]);
    export(&otlp, "late", 2, "logs", &logs("ledger", &[line])).await;

    check(&server.query(), begin).await;
    // From the log after a crash, then from files.
    server.kill();
    let server = setup.start();
    check(&server.query(), begin).await;
    assert!(server.terminate().0.success());
    let server = setup.start();
    check(&server.query(), begin).await;
}

async fn check(query: &Http, begin: u64) {
    let ms = 1_000_000;
    let late = begin - 3 * SECOND;
    let trace = query.get(&format!("/api/v1/traces/{TRACE}"), &[]).await;
    let story = query.get("/api/v1/story/pay-1", &[]).await;
    for answer in [&trace, &story] {
        assert_eq!(times(by_id(answer, CALL)), (begin, begin + 50 * ms, 0));
        let sent = (late + 10 * ms, late + 30 * ms, 3 * SECOND as i64);
        assert_eq!(times(by_id(answer, ANSWER)), sent);
        let near = (begin + 5 * ms, begin + 6 * ms, 0);
        assert_eq!(times(by_id(answer, CLOSE)), near, "within its error");
        let spans = answer["spans"].as_array().unwrap();
        let inferred = spans.iter().find(|span| span["inferred"] == true).unwrap();
        assert_eq!(inferred["service"], "ledger");
        let at = late + 20 * ms;
        assert_eq!(times(inferred), (at, at, 3 * SECOND as i64));
        // Siblings stand in the order of their corrected times.
        let order: Vec<&Value> = spans.iter().map(|span| &span["service"]).collect();
        assert_eq!(order[..3], ["shop", "audit", "bank"], "{order:?}");
    }
    // The records of a story and of a search have the times that were sent.
    let found = query.get("/api/v1/logs", &[("q", "service:ledger")]).await;
    for answer in [&story, &found] {
        let record = &answer["logs"][0];
        assert_eq!(record["time_unix_nano"], late + 20 * ms);
        assert_eq!(record["clock_adjust_nano"], 3 * SECOND);
    }
    // In the list the trace is as long as its call, not three seconds longer.
    let list = query.get("/api/v1/traces", &[("q", "service:bank")]).await;
    let summary = &list["traces"][0];
    assert_eq!(summary["start_unix_nano"], begin);
    assert_eq!(summary["duration_nano"], 50 * ms);

    let jaeger = query.get(&format!("/jaeger/api/traces/{TRACE}"), &[]).await;
    let spans = jaeger["data"][0]["spans"].as_array().unwrap();
    let shown = |id: &str| spans.iter().find(|span| span["spanID"] == id).unwrap();
    assert_eq!(shown(ANSWER)["startTime"], (begin + 10 * ms) / 1_000);
    let warning = shown(ANSWER)["warnings"][0].as_str().unwrap();
    assert!(warning.contains("corrected by 3s"), "{warning}");
    assert_eq!(shown(CLOSE)["warnings"], Value::Null);

    let text = tests::server::clean(PROGRAM)
        .args(["story", "pay-1", "--url", query.base()])
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let noted = text
        .lines()
        .filter(|line| line.contains("clock 3.00s behind"));
    assert_eq!(noted.count(), 3, "two spans and a log record: {text}");
}
