use super::*;

const SECOND: u64 = 1_000_000_000;

fn timing(hold: u64, keep_firing: u64) -> Timing {
    Timing {
        hold: Duration::from_secs(hold),
        keep_firing: Duration::from_secs(keep_firing),
        limit: 0,
    }
}

fn yielded(name: &str) -> Yielded {
    Yielded {
        labels: [("alertname".to_owned(), name.to_owned())].into(),
        annotations: Labels::new(),
        value: 1.0,
    }
}

/// The states of one alert over evaluations 10 s apart: `x` where it is yielded, `.` where not.
fn states(pattern: &str, timing: Timing) -> String {
    let mut alerts = RuleAlerts::default();
    pattern
        .chars()
        .zip(1u64..)
        .map(|(c, n)| {
            let found = if c == 'x' {
                vec![yielded("a")]
            } else {
                Vec::new()
            };
            alerts.evaluate(found, n * 10 * SECOND, timing).unwrap();
            match alerts.all().next().map(|alert| alert.state) {
                None => '-',
                Some(State::Inactive) => 'r',
                Some(State::Pending) => 'p',
                Some(State::Firing) => 'F',
            }
        })
        .collect()
}

#[test]
fn alerts_go_through_their_states() {
    let cases = [
        // (for, keep_firing_for, yielded at, state after)
        (0, 0, "xx..x", "FFrrF"),
        (20, 0, "xxxx.", "ppFFr"),
        (20, 0, "xx.xx", "pp-pp"),
        (5, 0, "xx", "pF"),
        (0, 20, "x...x", "FFFrF"),
        (0, 20, "x.x...", "FFFFFr"),
        (20, 20, "xx..", "pp--"),
    ];
    for (hold, keep, pattern, want) in cases {
        assert_eq!(
            states(pattern, timing(hold, keep)),
            want,
            "for {hold}, {pattern}"
        );
    }
}

#[test]
fn a_resolved_alert_is_forgotten_after_a_while_and_returns_as_a_new_one() {
    let mut alerts = RuleAlerts::default();
    let timing = timing(0, 0);
    alerts.evaluate(vec![yielded("a")], SECOND, timing).unwrap();
    alerts.evaluate(Vec::new(), 2 * SECOND, timing).unwrap();
    assert_eq!(alerts.all().count(), 1);
    alerts
        .evaluate(vec![yielded("a")], 3 * SECOND, timing)
        .unwrap();
    assert_eq!(alerts.all().next().unwrap().active_at, 3 * SECOND);
    alerts.evaluate(Vec::new(), 4 * SECOND, timing).unwrap();
    alerts
        .evaluate(Vec::new(), (5 + 900) * SECOND, timing)
        .unwrap();
    assert_eq!(alerts.all().count(), 0);
}

#[test]
fn equal_labels_and_limits_are_errors() {
    let mut alerts = RuleAlerts::default();
    alerts
        .evaluate(vec![yielded("a")], SECOND, timing(0, 0))
        .unwrap();
    let twice = vec![yielded("b"), yielded("b")];
    assert!(alerts.evaluate(twice, 2 * SECOND, timing(0, 0)).is_err());
    assert_eq!(alerts.active().count(), 1, "the state is as it was");
    let limited = Timing {
        limit: 1,
        ..timing(0, 0)
    };
    let two = vec![yielded("a"), yielded("b")];
    assert_eq!(
        alerts.evaluate(two, 3 * SECOND, limited).unwrap_err(),
        "exceeded limit of 1 with 2 alerts"
    );
    assert_eq!(alerts.active().count(), 0);
    let ended: Vec<_> = alerts.all().map(|alert| alert.resolved_at).collect();
    assert_eq!(ended, [3 * SECOND], "the one that fired before");
}

#[test]
fn a_clock_that_is_set_back_costs_no_more_than_what_was_earned() {
    let mut alerts = RuleAlerts::default();
    let timing = timing(20, 20);
    let mut at = |second, found: &[&str]| {
        let found = found.iter().map(|name| yielded(name)).collect();
        alerts.evaluate(found, second * SECOND, timing).unwrap();
        alerts.all().next().map(|alert| alert.state)
    };
    assert_eq!(at(9_000, &["a"]), Some(State::Pending));
    assert_eq!(at(10, &["a"]), Some(State::Pending));
    assert_eq!(at(30, &["a"]), Some(State::Firing));
    assert_eq!(at(9_000, &[]), Some(State::Firing));
    assert_eq!(at(40, &[]), Some(State::Firing));
    assert_eq!(at(60, &[]), Some(State::Inactive));
}

#[test]
fn a_restart_keeps_what_was_earned() {
    let minute = 60 * SECOND;
    let alert = |state, active_at| Alert {
        labels: Labels::new(),
        annotations: Labels::new(),
        value_bits: 0,
        state,
        active_at,
        fired_at: 0,
        resolved_at: 0,
        keep_firing_since: 0,
    };
    // (for in minutes, active at, down at, now) -> active at afterwards
    let cases = [
        // 2 of 5 minutes were earned: 3 remain after 4 minutes of outage.
        (5, 100, 102, 106, Some(104)),
        // 10 of 60 minutes were earned: 50 remain.
        (60, 100, 110, 120, Some(110)),
        // 55 of 60 minutes were earned: the grace period is left instead of 5 minutes.
        (60, 100, 155, 157, Some(107)),
        // The condition held long enough before.
        (5, 100, 105, 120, Some(100)),
        // Nothing is known of so long a time.
        (5, 100, 102, 200, None),
    ];
    for (hold, active_at, down_at, now, want) in cases {
        let mut alerts = RuleAlerts::default();
        let pending = alert(State::Pending, active_at * minute);
        alerts.restore(
            pending,
            timing(hold * 60, 0),
            down_at * minute,
            now * minute,
        );
        let got = alerts.all().next().map(|alert| alert.active_at / minute);
        assert_eq!(got, want, "for {hold}m, {active_at} {down_at} {now}");
    }
    let mut alerts = RuleAlerts::default();
    alerts.restore(alert(State::Firing, 1), timing(0, 0), 2, 500 * minute);
    assert_eq!(
        alerts.active().count(),
        1,
        "a firing alert is resolved, not forgotten"
    );
}
