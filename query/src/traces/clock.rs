//! Clock correction: what to add to a host's times so that they fit the collector's clock.
//!
//! Offsets are measured, not guessed: the agent compares clocks with the collector on every
//! export. A span that lies outside its parent is left where its sender put it unless the
//! offset of its host is known, because moving it by guess would hide real asynchrony.

use model::{LogRecord, Resource};

use super::assemble::TraceSpan;

/// How far a host's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offset {
    /// What to add to the host's times to get the collector's.
    pub nano: i64,
    /// How wrong that may be: half of the round trip.
    pub error_nano: u64,
}

impl Offset {
    /// What to add: nothing while the offset lies within its own error.
    pub fn adjustment(self) -> i64 {
        if self.nano.unsigned_abs() > self.error_nano {
            self.nano
        } else {
            0
        }
    }
}

/// Measured offsets, by who sent a row. None where nothing was measured.
pub trait Offsets: Send + Sync {
    /// The offset of the host that this resource describes.
    fn of(&self, resource: &Resource) -> Option<Offset>;
}

/// No offset is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmeasured;

impl Offsets for Unmeasured {
    fn of(&self, _resource: &Resource) -> Option<Offset> {
        None
    }
}

/// What to add to the times of rows of this resource.
pub fn adjustment(offsets: &dyn Offsets, resource: &Resource) -> i64 {
    offsets.of(resource).map_or(0, Offset::adjustment)
}

/// Notes the correction on every span; the times as sent are kept.
pub fn adjust(spans: &mut [TraceSpan], offsets: &dyn Offsets) {
    for span in spans {
        span.clock_adjust_nano = adjustment(offsets, &span.span.resource);
    }
}

/// When a log record happened, after correction.
pub fn log_time(offsets: &dyn Offsets, record: &LogRecord) -> u64 {
    record
        .timestamp()
        .saturating_add_signed(adjustment(offsets, &record.resource))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{KeyValue, Span};
    use std::sync::Arc;

    struct ByHost;

    impl Offsets for ByHost {
        fn of(&self, resource: &Resource) -> Option<Offset> {
            match model::value::last(&resource.attributes, "host.name")?.as_str()? {
                "late" => Some(Offset {
                    nano: -500,
                    error_nano: 100,
                }),
                "close" => Some(Offset {
                    nano: 80,
                    error_nano: 100,
                }),
                _ => None,
            }
        }
    }

    fn span(host: &str) -> TraceSpan {
        let attributes = vec![KeyValue::new("host.name", host)];
        let resource = Arc::new(Resource {
            attributes,
            ..Resource::default()
        });
        Span {
            resource,
            start_unix_nano: 1000,
            end_unix_nano: 2000,
            ..Span::default()
        }
        .into()
    }

    #[test]
    fn offsets_apply_where_they_exceed_their_error() {
        let mut spans = [span("late"), span("close"), span("unknown")];
        adjust(&mut spans, &ByHost);
        let adjusted = spans.each_ref().map(|span| span.clock_adjust_nano);
        assert_eq!(adjusted, [-500, 0, 0]);
        assert_eq!((spans[0].start(), spans[0].end()), (500, 1500));
        assert_eq!(spans[0].span.start_unix_nano, 1000, "the raw time is kept");
        adjust(&mut spans, &Unmeasured);
        assert!(spans.iter().all(|span| span.clock_adjust_nano == 0));
    }
}
