//! The terminal UI in a real terminal: what an on-call engineer does first.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use tests::otlp_json::{attributes, gauge, log, logs, metrics, now, span, traces};
use tests::tmux::{self, Terminal};
use tests::{Server, Setup, wait};

const PROGRAM: &str = env!("CARGO_BIN_EXE_throughline-under-test");
const TRACE: &str = "77777777777777777777777777777777";
const RULES: &str = "\
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: QueueTooLong
        expr: queue_depth > 5
        labels: {severity: page}
";

async fn server_with_data() -> Server {
    let config = "rules: {files: [rules.yml], interval: 1s}\nagent: {host: {enabled: false}}\n";
    let setup = Setup::new(PROGRAM, "up").config(config);
    std::fs::write(setup.folder().join("rules.yml"), RULES).unwrap();
    let server = setup.start();
    let otlp = server.otlp();
    let time = now();
    let mut buy = span(TRACE, "0000000000000001", "", "POST /buy", time, 40_000_000);
    buy["attributes"] = attributes(&[("request_id", "order-4711")]);
    let mut pay = span(
        TRACE,
        "0000000000000002",
        "0000000000000001",
        "charge card",
        time + 1_000_000,
        20_000_000,
    );
    pay["status"] = json!({"code": 2, "message": "declined"});
    otlp.export("traces", &traces("checkout", &[buy])).await;
    otlp.export("traces", &traces("payment", &[pay])).await;
    let mut declined = log(
        time + 2_000_000,
        "card declined by the bank",
        &[("request_id", "order-4711")],
    );
    declined["traceId"] = json!(TRACE);
    declined["spanId"] = json!("0000000000000002");
    otlp.export("logs", &logs("payment", &[declined])).await;
    let legacy = log(
        time + 3_000_000,
        "ledger request_id=order-4711 untouched",
        &[],
    );
    otlp.export("logs", &logs("legacy-ledger", &[legacy])).await;
    otlp.export(
        "metrics",
        &metrics("shop", &[gauge("queue.depth", time, 8.0)]),
    )
    .await;
    let query = server.query();
    wait::eventually("the alert", wait::LONG, async || {
        let answer = query.get("/api/v1/alerts", &[]).await;
        (answer["alerts"][0]["state"] == "firing").then_some(())
    })
    .await;
    server
}

fn walk(url: &str, columns: u16, rows: u16) {
    let terminal = Terminal::start(columns, rows, &[PROGRAM, "tui", "--url", url]);

    // Home: the alert that fires and the services.
    terminal.shows(&["QueueTooLong", "checkout", "payment"]);

    // Search a trace.
    terminal.press(&["2"]);
    terminal.shows(&["POST /buy"]);
    terminal.press(&["/"]);
    terminal.write("service:payment status:error");
    terminal.press(&["Enter"]);
    terminal.shows(&["service:payment status:error", "POST /buy"]);

    // Its waterfall.
    terminal.press(&["Enter"]);
    terminal.shows(&["POST /buy", "charge card", "✗"]);

    // From the span that failed to its logs.
    terminal.press(&["e"]);
    terminal.press(&["g"]);
    terminal.press(&["l"]);
    terminal.shows(&["card declined by the bank"]);

    // From the record to its story, with the service that only logs.
    terminal.press(&["g"]);
    terminal.press(&["s"]);
    terminal.shows(&["charge card", "legacy-ledger"]);

    // The story by id from the palette, the alerts, help, another size, and out.
    terminal.press(&[":"]);
    terminal.write("story order-4711");
    terminal.press(&["Enter"]);
    terminal.shows(&["order-4711", "POST /buy"]);
    terminal.press(&["4"]);
    terminal.shows(&["active alerts 1", "QueueTooLong"]);
    terminal.press(&["?"]);
    terminal.shows(&["keys of every screen"]);
    // Both at once, as one who types fast sends them.
    terminal.press(&["Escape", "1"]);
    terminal.resize(70, 20);
    terminal.shows(&["QueueTooLong", "checkout"]);
    terminal.press(&["Q"]);
    terminal.shows(&["ended with 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_finds_the_story_in_a_terminal() {
    if !tmux::available() {
        return;
    }
    let server = server_with_data().await;
    for (columns, rows) in [(80, 24), (120, 40)] {
        let url = server.query().base().to_owned();
        tokio::task::spawn_blocking(move || walk(&url, columns, rows))
            .await
            .unwrap();
    }
}

/// Sends a record whose body is said.
async fn say(server: &Server, body: &str) {
    let record = log(now(), body, &[]);
    server.otlp().export("logs", &logs("shop", &[record])).await;
}

fn count(screen: &str, text: &str) -> usize {
    screen.matches(text).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_followed_without_gap_or_repetition() {
    if !tmux::available() {
        return;
    }
    let config = "agent: {host: {enabled: false}}\n";
    let setup = Setup::new(PROGRAM, "up").config(config);
    let server = setup.start();
    let address = server.address("query");
    let url = server.query().base().to_owned();
    say(&server, "said-before").await;
    let terminal = Terminal::start(120, 30, &[PROGRAM, "tui", "--url", &url, "logs"]);
    terminal.shows(&["said-before"]);
    terminal.press(&["F"]);
    terminal.shows(&["● following"]);
    say(&server, "said-while-following").await;
    terminal.shows(&["said-while-following"]);

    // Away: the screen stays, says so, and goes on asking.
    server.kill();
    let screen = terminal.shows(&["reconnecting", "asking again", "said-while-following"]);
    assert!(screen.contains(&address), "{screen}");
    // Other screens say it too.
    terminal.press(&["4"]);
    terminal.shows(&["asking again", "waiting for the server"]);

    // Back, with records that were stored before the terminal could follow again.
    let server = setup.clone().listen("query", &address).start();
    for number in 0..3 {
        say(&server, &format!("said-after-{number}")).await;
    }
    let screen = terminal.shows(&["no alerts and no rules"]);
    assert!(!screen.contains("asking again"), "{screen}");
    terminal.press(&["Escape"]);
    terminal.shows(&["● following", "said-after-2"]);
    say(&server, "said-last").await;
    let screen = terminal.shows(&["said-last"]);
    let all = [
        "said-before",
        "said-while-following",
        "said-after-0",
        "said-after-1",
        "said-after-2",
        "said-last",
    ];
    for text in all {
        assert_eq!(count(&screen, text), 1, "{text}:\n{screen}");
    }
    terminal.press(&["Q"]);
    terminal.shows(&["ended with 0"]);
}
