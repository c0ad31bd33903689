//! Says in the log that a limit refuses rows, whoever sent them: at once, and then every minute at most
//! for each limit.

use model::row::Reject;
use parking_lot::Mutex;

/// The least time between two lines about one limit.
const QUIET_NANOS: u64 = 60_000_000_000;

/// The limit that refuses rows for this reason; rows that are wrong in themselves are their sender's.
fn limit(reason: Reject) -> Option<&'static str> {
    Some(match reason {
        Reject::SeriesLimit => "limits.series",
        Reject::MetricSeriesLimit => "limits.metric_series",
        Reject::TooManyLabels => "limits.series_labels",
        Reject::LongLabelName => "limits.label_name_bytes",
        Reject::LongLabelValue => "limits.label_value_bytes",
        _ => return None,
    })
}

/// What was said of one limit.
#[derive(Debug, Default)]
struct Said {
    /// When, in monotonic nanoseconds.
    at: Option<u64>,
    /// Rows refused since.
    rows: u64,
}

/// What was said of each limit.
#[derive(Debug, Default)]
pub(crate) struct Refused([Mutex<Said>; Reject::ALL.len()]);

impl Refused {
    /// Notes that rows were refused.
    pub(super) fn note(&self, index: usize, rows: u64, now_nanos: u64) {
        let Some(limit) = Reject::ALL.get(index).and_then(|reason| limit(*reason)) else {
            return;
        };
        if let Some(points) = self.due(index, rows, now_nanos) {
            tracing::warn!(
                limit,
                points,
                "points are refused because a limit is reached; raise it, or find what has so many \
                 series with /api/v1/metrics/cardinality"
            );
        }
    }

    /// How many rows a line has to tell of, if it is time for one.
    fn due(&self, index: usize, rows: u64, now_nanos: u64) -> Option<u64> {
        let mut said = self.0.get(index)?.lock();
        said.rows = said.rows.saturating_add(rows);
        let quiet = said
            .at
            .is_some_and(|at| now_nanos.saturating_sub(at) < QUIET_NANOS);
        if quiet {
            return None;
        }
        said.at = Some(now_nanos);
        Some(std::mem::take(&mut said.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_at_once_and_then_every_minute() {
        let refused = Refused::default();
        let due = |reason, rows, second: u64| {
            let index = Reject::ALL.iter().position(|other| *other == reason);
            refused.due(index.unwrap(), rows, second * 1_000_000_000)
        };
        assert_eq!(due(Reject::SeriesLimit, 3, 5), Some(3));
        assert_eq!(due(Reject::SeriesLimit, 4, 6), None);
        assert_eq!(due(Reject::MetricSeriesLimit, 1, 6), Some(1), "another one");
        assert_eq!(due(Reject::SeriesLimit, 5, 64), None);
        assert_eq!(due(Reject::SeriesLimit, 6, 65), Some(15));
        assert_eq!(due(Reject::SeriesLimit, 1, 66), None);
    }

    #[test]
    fn limits_are_named_as_in_the_configuration() {
        let named: Vec<&str> = Reject::ALL.into_iter().filter_map(limit).collect();
        for name in &named {
            assert!(
                Reject::ALL
                    .iter()
                    .any(|reason| reason.message().contains(name)),
                "{name}"
            );
        }
        assert_eq!(named.len(), 5);
    }
}
