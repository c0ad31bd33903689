//! `/prometheus/api/v1/rules` and its filters.

use super::*;
use crate::alerts::{Group, Labels, Rule, RuleKind};

fn rule(name: &str, team: &str) -> Rule {
    let is_alert = name.starts_with(char::is_uppercase);
    Rule {
        name: name.to_owned(),
        expr: "vector(1)".to_owned(),
        labels: Labels::from([("team".to_owned(), team.to_owned())]),
        kind: if is_alert {
            RuleKind::Alerting {
                hold: Duration::ZERO,
                keep_firing: Duration::from_secs(60),
                annotations: Labels::new(),
            }
        } else {
            RuleKind::Recording
        },
    }
}

fn group(file: &str, name: &str, rules: Vec<Rule>) -> Group {
    Group {
        name: name.to_owned(),
        file: file.to_owned(),
        interval: Duration::from_secs(30),
        limit: 0,
        query_offset: Duration::ZERO,
        labels: Labels::new(),
        rules,
    }
}

async fn server() -> Server {
    // They are listed by file and name.
    let groups = vec![
        group("b.yml", "one", vec![rule("up:max", "shop")]),
        group("a.yml", "two", vec![rule("Slow", "shop")]),
        group(
            "a.yml",
            "one",
            vec![rule("Down", "ops"), rule("up:sum", "ops")],
        ),
    ];
    let (server, manager) = serve_all(&Memory::new("a"), groups).await;
    for index in 0..3 {
        manager.evaluate_group(index, NOW).await;
    }
    server
}

/// The names of the rules of each group.
fn names(body: &Json) -> Vec<Vec<&str>> {
    let groups = body["data"]["groups"].as_array().unwrap();
    groups
        .iter()
        .map(|group| {
            let rules = group["rules"].as_array().unwrap().iter();
            rules.map(|rule| rule["name"].as_str().unwrap()).collect()
        })
        .collect()
}

#[tokio::test]
async fn every_filter_narrows_the_rules() {
    let server = server().await;
    let all: &[&[&str]] = &[&["Down", "up:sum"], &["Slow"], &["up:max"]];
    let cases: [(&str, &[&[&str]]); 12] = [
        ("", all),
        ("type=alert", &[&["Down"], &["Slow"]]),
        ("type=record", &[&["up:sum"], &["up:max"]]),
        (
            "rule_name[]=Slow&rule_name[]=up:max",
            &[&["Slow"], &["up:max"]],
        ),
        ("rule_group[]=one", &[&["Down", "up:sum"], &["up:max"]]),
        ("file[]=b.yml", &[&["up:max"]]),
        ("file[]=a.yml&rule_group[]=one&type=record", &[&["up:sum"]]),
        ("match[]={team=\"ops\"}", &[&["Down", "up:sum"]]),
        (
            "match[]={team=\"ops\"}&match[]={team=~\"sh.*\"}&type=alert",
            &[&["Down"], &["Slow"]],
        ),
        ("rule_name[]=nobody", &[]),
        ("exclude_alerts=true", all),
        ("unknown=parameter", all),
    ];
    for (query, expected) in cases {
        let (status, body) = server
            .get(&format!("/prometheus/api/v1/rules?{query}"))
            .await;
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(names(&body), expected, "{query}");
    }
}

#[tokio::test]
async fn alerts_are_listed_with_their_rule_unless_they_are_not_wanted() {
    let server = server().await;
    let (_, body) = server
        .get("/prometheus/api/v1/rules?rule_name[]=Down")
        .await;
    let group = &body["data"]["groups"][0];
    let rule = &group["rules"][0];
    assert_eq!(
        (&group["file"], &group["interval"]),
        (&"a.yml".into(), &30.0.into())
    );
    assert_eq!(
        (&rule["state"], &rule["type"], &rule["keepFiringFor"]),
        (&"firing".into(), &"alerting".into(), &60.0.into())
    );
    assert_eq!(rule["alerts"][0]["labels"]["alertname"], "Down");
    let (_, alerts) = server.get("/prometheus/api/v1/alerts").await;
    assert_eq!(alerts["data"]["alerts"].as_array().unwrap().len(), 2);
    let path = "/prometheus/api/v1/rules?rule_name[]=Down&exclude_alerts=1";
    let (_, body) = server.get(path).await;
    let rule = &body["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["alerts"], &rule["state"]),
        (&serde_json::json!([]), &"firing".into())
    );
}

#[tokio::test]
async fn groups_come_page_by_page() {
    let server = server().await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/prometheus/api/v1/rules?group_limit=2{token}");
        let (status, body) = server.get(&path).await;
        assert_eq!(status, 200, "{body}");
        let page = names(&body);
        assert!(page.len() <= 2, "{body}");
        seen.extend(page.concat().into_iter().map(str::to_owned));
        match body["data"]["groupNextToken"].as_str() {
            Some(next) => token = format!("&group_next_token={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["Down", "up:sum", "Slow", "up:max"]);
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let server = server().await;
    for query in [
        "type=both",
        "match[]={",
        "exclude_alerts=perhaps",
        "group_limit=0",
        "group_limit=-1",
        "group_next_token=abc",
        "group_limit=1&group_next_token=abc",
    ] {
        let (status, body) = server
            .get(&format!("/prometheus/api/v1/rules?{query}"))
            .await;
        assert_eq!(
            (status, &body["errorType"]),
            (400, &"bad_data".into()),
            "{query}: {body}"
        );
    }
}
