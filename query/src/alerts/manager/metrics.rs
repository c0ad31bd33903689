//! What the rules and their notifications say of themselves on `/metrics`.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use otlp::exposition::escape;

use super::{GroupStatus, Manager, State};
use crate::alerts::Group;

impl Manager {
    /// Counters and states in Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        let counters = &self.notifier.counters;
        let outcomes = [
            ("sent", &counters.sent),
            ("retried", &counters.retried),
            ("refused", &counters.refused),
        ];
        family(
            &mut text,
            ("throughline_alert_notifications_total", "counter"),
            "Attempts to tell webhooks by outcome; a retried one is attempted again.",
            outcomes.map(|(outcome, count)| {
                (
                    format!("{{outcome=\"{outcome}\"}}"),
                    count.load(Ordering::Relaxed),
                )
            }),
        );
        family(
            &mut text,
            ("throughline_alert_notifications_dropped_total", "counter"),
            "Alerts that a webhook was not told of because too many were remembered for it, each once.",
            [(String::new(), counters.dropped.load(Ordering::Relaxed))],
        );
        family(
            &mut text,
            ("throughline_alert_notifications_waiting", "gauge"),
            "Alerts that webhooks have yet to be told of.",
            [(String::new(), wide(self.notifier.waiting()))],
        );
        family(
            &mut text,
            ("throughline_rule_evaluations_missed_total", "counter"),
            "Evaluations of rule groups that were missed because one before took too long.",
            [(String::new(), self.missed_evaluations())],
        );
        family(
            &mut text,
            ("throughline_alerting_panics_total", "counter"),
            "Panics while rules were evaluated or webhooks told; the work goes on at its next turn.",
            [(String::new(), self.panics())],
        );
        self.states(&mut text);
        self.reloads(&mut text);
        self.groups(&mut text);
        text
    }

    /// How reading the rules anew went.
    fn reloads(&self, text: &mut String) {
        let reloads = *self.reloads.lock();
        family(
            text,
            ("throughline_rules_last_reload_successful", "gauge"),
            "Whether the rules that are evaluated are those of the rule files when they were last read.",
            [(String::new(), u64::from(reloads.successful))],
        );
        family(
            text,
            (
                "throughline_rules_last_reload_success_timestamp_seconds",
                "gauge",
            ),
            "When the rule files were last read without a mistake.",
            [(String::new(), as_f64(reloads.succeeded_at) / 1e9)],
        );
    }

    /// What is known of each group, under the names that dashboards for rules know.
    fn groups(&self, text: &mut String) {
        let status = self.status.lock();
        let mut each = |name: &str, kind, help, value: &dyn Fn(&Group, &GroupStatus) -> f64| {
            let samples = status.iter().map(|known| {
                let group = &known.group;
                let label = format!("{{rule_group=\"{}\"}}", escape(&group.key()));
                (label, value(group, known))
            });
            family(
                text,
                (&format!("prometheus_rule_{name}"), kind),
                help,
                samples,
            );
        };
        each(
            "evaluations_total",
            "counter",
            "Evaluations of the rules of a group.",
            &|_, known| as_f64(known.counts.evaluations),
        );
        each(
            "evaluation_failures_total",
            "counter",
            "Evaluations of rules that failed.",
            &|_, known| as_f64(known.counts.failures),
        );
        each(
            "group_iterations_total",
            "counter",
            "Evaluations of a group that were due, missed ones included.",
            &|_, known| as_f64(known.counts.iterations),
        );
        each(
            "group_iterations_missed_total",
            "counter",
            "Evaluations of a group that were missed because one before took too long.",
            &|_, known| as_f64(known.counts.missed),
        );
        each(
            "group_interval_seconds",
            "gauge",
            "Time between two evaluations of a group.",
            &|group, _| group.interval.as_secs_f64(),
        );
        each("group_rules", "gauge", "Rules of a group.", &|group, _| {
            as_f64(wide(group.rules.len()))
        });
        each(
            "group_last_evaluation_timestamp_seconds",
            "gauge",
            "As of when a group was last evaluated; 0 before.",
            &|_, known| as_f64(known.evaluated_at) / 1e9,
        );
        each(
            "group_last_duration_seconds",
            "gauge",
            "How long the last evaluation of a group took.",
            &|_, known| as_f64(known.took_nano) / 1e9,
        );
        each(
            "group_last_evaluation_samples",
            "gauge",
            "Samples that the last evaluation of a group stored.",
            &|_, known| {
                let series = known.rules.iter().map(|rule| wide(rule.series()));
                as_f64(series.sum())
            },
        );
    }

    fn states(&self, text: &mut String) {
        let status = self.status.lock();
        let (mut firing, mut pending) = (0u64, 0u64);
        let mut health = [("ok", 0u64), ("err", 0), ("unknown", 0)];
        for (_, known) in self.each(&status) {
            for alert in known.alerts.active() {
                match alert.state {
                    State::Firing => firing += 1,
                    _ => pending += 1,
                }
            }
            for (name, count) in &mut health {
                *count += u64::from(*name == known.health());
            }
        }
        drop(status);
        let states = [("firing", firing), ("pending", pending)];
        family(
            text,
            ("throughline_alerts", "gauge"),
            "Active alerts by state.",
            states.map(|(state, count)| (format!("{{state=\"{state}\"}}"), count)),
        );
        family(
            text,
            ("throughline_rules", "gauge"),
            "Rules by how their last evaluation went.",
            health.map(|(health, count)| (format!("{{health=\"{health}\"}}"), count)),
        );
    }
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn family<V: Display>(
    text: &mut String,
    (name, kind): (&str, &str),
    help: &str,
    samples: impl IntoIterator<Item = (String, V)>,
) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}
