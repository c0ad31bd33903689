//! `rules` and `alerts`.

use std::sync::Arc;

use api::types::{AlertView, RuleGroupView, RuleView};
use axum::Router;
use axum::extract::State as Extract;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use promql::{Labels, Matcher};
use serde_json::{Value as Json, json};

use super::answer::{Answer, Notes, Refused, bad_parameter, told};
use super::form::Form;
use crate::alerts::Manager;
use crate::alerts::manager::RuleTiming;
use crate::alerts::notifier::payload::rfc3339;
use crate::alerts::template::float_e;

/// The routes.
pub(crate) fn router() -> Router<Arc<Manager>> {
    Router::new()
        .route("/prometheus/api/v1/rules", get(rules))
        .route("/prometheus/api/v1/alerts", get(alerts))
}

async fn alerts(Extract(manager): Extract<Arc<Manager>>) -> Answer {
    let answer = manager.alerts();
    let alerts: Vec<Json> = answer.alerts.iter().map(alert).collect();
    told(
        &answer.completeness,
        json!({"alerts": alerts}),
        Notes::default(),
    )
}

async fn rules(Extract(manager): Extract<Arc<Manager>>, form: Form) -> Answer {
    let wanted = Wanted::read(&form)?;
    let page = Page::read(&form)?;
    let (answer, details) = manager.rules_in_detail();
    let mut groups: Vec<(String, Json)> = Vec::new();
    for (group, details) in answer.groups.iter().zip(details) {
        if !wanted.group(group) {
            continue;
        }
        let rules: Vec<Json> = group
            .rules
            .iter()
            .zip(details.rules)
            .filter(|(view, _)| wanted.rule(view))
            .map(|(view, timing)| rule(view, timing, wanted.alerts))
            .collect();
        // A group of which nothing is wanted is not there.
        if !rules.is_empty() {
            groups.push((token(group), group_json(group, rules, details.limit)));
        }
    }
    let (groups, next) = page.of(groups)?;
    let mut data = json!({"groups": groups});
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    told(&answer.completeness, data, Notes::default())
}

/// Which rules are asked for.
struct Wanted<'a> {
    /// `alerting` or `recording`; none for both.
    kind: Option<&'static str>,
    rules: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    /// Conditions on the labels of a rule: those of any set.
    matchers: Vec<Vec<Matcher>>,
    /// Whether the alerts of a rule are listed with it.
    alerts: bool,
}

impl<'a> Wanted<'a> {
    fn read(form: &'a Form) -> Result<Self, Refused> {
        let kind = match form.text("type").map(str::to_lowercase).as_deref() {
            None => None,
            Some("alert") => Some("alerting"),
            Some("record") => Some("recording"),
            Some(other) => {
                let problem = format!("not supported value {other:?}");
                return Err(bad_parameter("type", problem));
            }
        };
        Ok(Self {
            kind,
            rules: form.all("rule_name[]").collect(),
            groups: form.all("rule_group[]").collect(),
            files: form.all("file[]").collect(),
            matchers: form.selectors()?,
            alerts: !form.flag("exclude_alerts")?,
        })
    }

    fn group(&self, group: &RuleGroupView) -> bool {
        let any = |wanted: &[&str], name: &str| wanted.is_empty() || wanted.contains(&name);
        any(&self.groups, &group.name) && any(&self.files, &group.file)
    }

    fn rule(&self, rule: &RuleView) -> bool {
        let named = self.rules.is_empty() || self.rules.contains(&rule.name.as_str());
        let labels = || Labels::new(rule.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        named
            && self.kind.is_none_or(|kind| kind == rule.kind)
            && (self.matchers.is_empty() || {
                let labels = labels();
                let holds = |matchers: &Vec<Matcher>| {
                    matchers
                        .iter()
                        .all(|matcher| matcher.matches_labels(&labels))
                };
                self.matchers.iter().any(holds)
            })
    }
}

/// Which of the groups are asked for.
struct Page<'a> {
    limit: Option<usize>,
    from: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn read(form: &'a Form) -> Result<Self, Refused> {
        let limit = form.count("group_limit")?;
        if limit.is_none() && form.text("group_limit").is_some() {
            return Err(bad_parameter("group_limit", "it has to be greater than 0"));
        }
        let from = form.text("group_next_token");
        if from.is_some() && limit.is_none() {
            let problem = "group_limit needs to be present to go on from there";
            return Err(bad_parameter("group_next_token", problem));
        }
        Ok(Self { limit, from })
    }

    /// The groups of the page, and the token of the one after it.
    fn of(&self, groups: Vec<(String, Json)>) -> Result<(Vec<Json>, Option<String>), Refused> {
        let first = match self.from {
            None => 0,
            Some(from) => groups
                .iter()
                .position(|(token, _)| token == from)
                .ok_or_else(|| {
                    let problem = format!("{from:?} is no group; were rule groups changed?");
                    bad_parameter("group_next_token", problem)
                })?,
        };
        let most = self.limit.unwrap_or(usize::MAX);
        let next = groups
            .get(first.saturating_add(most))
            .map(|next| next.0.clone());
        let page = groups.into_iter().skip(first).take(most);
        Ok((page.map(|(_, group)| group).collect(), next))
    }
}

/// What names a group from one page to the next.
fn token(group: &RuleGroupView) -> String {
    URL_SAFE_NO_PAD.encode(format!("{};{}", group.file, group.name))
}

fn group_json(group: &RuleGroupView, rules: Vec<Json>, limit: usize) -> Json {
    json!({
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": group.interval_seconds,
        "limit": limit,
        "evaluationTime": seconds(group.evaluation_nano),
        "lastEvaluation": rfc3339(group.last_evaluation_unix_nano),
    })
}

#[allow(clippy::cast_precision_loss)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn rule(view: &RuleView, timing: RuleTiming, with_alerts: bool) -> Json {
    let mut rule = json!({
        "name": view.name,
        "query": view.query,
        "labels": view.labels,
        "health": view.health,
        "evaluationTime": seconds(timing.took_nano),
        "lastEvaluation": rfc3339(timing.evaluated_at),
        "type": view.kind,
    });
    if !view.last_error.is_empty() {
        rule["lastError"] = view.last_error.clone().into();
    }
    if !view.is_recording() {
        let alerts = view.alerts.iter().filter(|_| with_alerts);
        rule["state"] = view.state.clone().into();
        rule["duration"] = view.for_seconds.into();
        rule["keepFiringFor"] = timing.keep_firing_seconds.into();
        rule["annotations"] = json!(view.annotations);
        rule["alerts"] = alerts.map(alert).collect();
    }
    rule
}

fn alert(view: &AlertView) -> Json {
    let mut alert = json!({
        "labels": view.labels,
        "annotations": view.annotations,
        "state": view.state,
        "activeAt": rfc3339(view.active_since_unix_nano),
        "value": float_e(view.value),
    });
    if view.keep_firing_since_unix_nano > 0 {
        alert["keepFiringSince"] = rfc3339(view.keep_firing_since_unix_nano).into();
    }
    alert
}
