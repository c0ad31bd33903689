//! What the command line refuses, and in which words.

use std::process::{Command, Output};

use serde_json::Value;
use tests::otlp_json::{log, logs, now};
use tests::{Setup, wait};

use crate::{PROGRAM, up};

fn command(arguments: &[&str]) -> Command {
    let mut command = tests::server::clean(PROGRAM);
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// What it said when it ended with this code.
fn said(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn options_that_mean_nothing_together_are_refused() {
    for (arguments, word) in [
        (&["logs", "--follow", "--start", "now-1h"][..], "--start"),
        (&["logs", "--follow", "--end", "now"][..], "--end"),
        (&["demo", "--config", "x.yaml"][..], "--config"),
        (&["demo", "--rate", "0"][..], "above 0"),
        (&["demo", "--rate", "NaN"][..], "above 0"),
        (&["up", "--config", ""][..], "--config"),
    ] {
        let said = said(&run(arguments), 2);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let twice = ["agent", "--collector", "a:1", "--collector", "http://a:1"];
    let said = said(&run(&twice), 1);
    assert!(said.contains("twice"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    for role in [&["up"][..], &["query", "--collector", "127.0.0.1:1"][..]] {
        let output = run(&[role, &["--data-dir", "/proc/throughline"]].concat());
        let said = said(&output, 1);
        assert!(said.contains("/proc/throughline"), "{said}");
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["agent", "--data-dir"])
        .arg(folder.path())
        .env("THROUGHLINE_CONFIG", "")
        .output()
        .unwrap();
    let agent = said(&output, 1);
    assert!(agent.contains("an agent needs --collector"), "{agent}");
    let output = command(&["trace", "00000000000000000000000000000001"])
        .env("THROUGHLINE_URL", "")
        .output()
        .unwrap();
    assert!(!said(&output, 1).contains("--url"), "{output:?}");
}

#[tokio::test]
async fn a_followed_log_ends_after_as_many_records_as_were_asked_for() {
    let server = up().start();
    let mut follow = command(&["logs", "service:shop", "--follow", "--limit", "3", "--json"])
        .args(["--url", server.query().base()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // What comes before it follows is not for it: records are sent until it has enough.
    let otlp = server.otlp();
    let status = wait::eventually("three records", wait::LONG, async || {
        let record = log(now(), "one of many", &[]);
        otlp.export("logs", &logs("shop", &[record])).await;
        follow.try_wait().unwrap()
    })
    .await;
    assert!(status.success());
    let output = follow.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let bodies: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].clone())
        .collect();
    assert_eq!(bodies, ["one of many"; 3]);
}

#[test]
fn a_second_process_is_told_once_what_is_in_its_way() {
    let setup = up();
    let server = setup.start();
    let endpoints = setup.data_dir().join("endpoints.json");
    let before = std::fs::read(&endpoints).unwrap();
    for role in [
        &["up"][..],
        &["collector"][..],
        &["agent", "--collector", "127.0.0.1:1"][..],
        &["query", "--collector", "127.0.0.1:1"][..],
    ] {
        let output = command(role)
            .arg("--data-dir")
            .arg(setup.data_dir())
            .output()
            .unwrap();
        let said = said(&output, 1);
        assert_eq!(said.matches("in use by another").count(), 1, "{said}");
        assert_eq!(std::fs::read(&endpoints).unwrap(), before, "{role:?}");
    }
    assert!(server.terminate().0.success());
}

#[tokio::test]
async fn a_collector_and_a_query_service_share_a_folder() {
    let setup = Setup::new(PROGRAM, "collector");
    let collector = setup.start();
    let query = setup
        .clone()
        .with_role("query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let record = log(now(), "side by side", &[]);
    collector
        .otlp()
        .export("logs", &logs("shop", &[record]))
        .await;
    assert_eq!(query.query().all_logs("service:shop").await.len(), 1);
    assert!(query.terminate().0.success());
    assert!(collector.terminate().0.success());
}
