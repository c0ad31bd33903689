//! What the rules and their notifications say of themselves on `/metrics`.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::{Manager, State};

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
            "Alerts that a webhook will not be told of because too many are remembered for it.",
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
        text
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

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn family(
    text: &mut String,
    (name, kind): (&str, &str),
    help: &str,
    samples: impl IntoIterator<Item = (String, u64)>,
) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}
