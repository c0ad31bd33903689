//! The time range that all screens share, as typed by the user.
//!
//! Written forms: `15m` (the last 15 minutes), `2h..1h` (from two hours ago to one hour ago),
//! `START..END` with RFC 3339 or unix nanoseconds on either side (a missing side is open), `all`.

use api::Range;

/// What a new session looks at.
const DEFAULT: &str = "15m";
/// What the time prompt offers.
pub(crate) const CHOICES: &str = "5m 15m 1h 6h 24h 7d all · 2h..1h · RFC3339..RFC3339";

/// A valid choice of a time range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeChoice {
    text: String,
    start: Option<String>,
    end: Option<String>,
    span_nano: Option<u64>,
}

impl Default for RangeChoice {
    fn default() -> Self {
        Self {
            text: DEFAULT.to_owned(),
            start: Some(format!("now-{DEFAULT}")),
            end: None,
            span_nano: Some(15 * 60 * 1_000_000_000),
        }
    }
}

impl RangeChoice {
    /// Parses a written form; the error is one sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "all" {
            return Ok(Self {
                text: text.to_owned(),
                start: None,
                end: None,
                span_nano: None,
            });
        }
        let (start, end) = match text.split_once("..") {
            None => match side(text)? {
                Some(side @ Side::Ago { .. }) => (Some(side), None),
                Some(_) | None => {
                    return Err(format!(
                        "{text:?} is one time, expected a duration or START..END"
                    ));
                }
            },
            Some((start, end)) => (side(start)?, side(end)?),
        };
        let span_nano = match (&start, &end) {
            (Some(Side::Ago { nanos, .. }), None) => Some(*nanos),
            (Some(Side::Ago { nanos: from, .. }), Some(Side::Ago { nanos: to, .. })) => Some(
                from.checked_sub(*to)
                    .ok_or("the range ends before it starts")?,
            ),
            (Some(Side::At { nanos: from, .. }), Some(Side::At { nanos: to, .. })) => Some(
                to.checked_sub(*from)
                    .ok_or("the range ends before it starts")?,
            ),
            _ => None,
        };
        if span_nano == Some(0) {
            return Err("the range is empty".to_owned());
        }
        let text = text.to_owned();
        Ok(Self {
            text,
            start: start.map(Side::sent),
            end: end.map(Side::sent),
            span_nano,
        })
    }

    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As the server reads it.
    pub(crate) fn to_api(&self) -> Range {
        Range {
            start: self.start.clone(),
            end: self.end.clone(),
        }
    }

    /// Width of a histogram bucket for about so many buckets, where the length is known.
    pub(crate) fn step(&self, buckets: u64) -> Option<String> {
        const STEPS: [u64; 18] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
            86400,
        ];
        let seconds = self.span_nano? / 1_000_000_000;
        let wanted = seconds.div_ceil(buckets.max(1)).max(1);
        let step = STEPS.iter().find(|&&step| step >= wanted).copied();
        Some(format!(
            "{}s",
            step.unwrap_or(wanted.div_ceil(86_400) * 86_400)
        ))
    }

    /// Whether the range moves with the clock, so that asking again may bring something new.
    pub(crate) fn moves(&self) -> bool {
        self.end.is_none()
    }
}

/// One end of a range.
enum Side {
    Ago { sent: String, nanos: u64 },
    At { sent: String, nanos: u64 },
}

impl Side {
    fn sent(self) -> String {
        match self {
            Self::Ago { sent, .. } | Self::At { sent, .. } => sent,
        }
    }
}

fn side(text: &str) -> Result<Option<Side>, String> {
    let text = text.trim();
    if text.is_empty() || text == "now" {
        return Ok(None);
    }
    let relative = text.strip_prefix("now-").unwrap_or(text);
    if let Some(nanos) = duration_nanos(relative) {
        return Ok(Some(Side::Ago {
            sent: format!("now-{relative}"),
            nanos,
        }));
    }
    if let Ok(nanos) = text.parse::<u64>() {
        return Ok(Some(Side::At {
            sent: text.to_owned(),
            nanos,
        }));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_not_rfc3339| {
        format!("{text:?} is neither a duration such as 15m nor an RFC 3339 time")
    })?;
    let nanos = u64::try_from(time.as_nanosecond())
        .map_err(|_negative| format!("{text:?} lies before 1970"))?;
    Ok(Some(Side::At {
        sent: nanos.to_string(),
        nanos,
    }))
}

/// `90s`, `15m`, `2h`, `7d`, `1w`; one unit, as the server reads it.
fn duration_nanos(text: &str) -> Option<u64> {
    let unit_start = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_start].parse().ok()?;
    let unit: u64 = match &text[unit_start..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(unit)?.checked_mul(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> (Option<String>, Option<String>) {
        let choice = RangeChoice::parse(text).unwrap();
        (choice.start, choice.end)
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(sent("15m"), (Some("now-15m".into()), None));
        assert_eq!(
            sent(" 2h..1h "),
            (Some("now-2h".into()), Some("now-1h".into()))
        );
        assert_eq!(sent("now-2h..now"), (Some("now-2h".into()), None));
        assert_eq!(sent("all"), (None, None));
        assert_eq!(sent("..5"), (None, Some("5".into())));
        assert_eq!(
            sent("2023-11-14T22:13:20Z..2023-11-14T22:13:21Z"),
            (
                Some("1700000000000000000".into()),
                Some("1700000001000000000".into())
            )
        );
        assert_eq!(RangeChoice::parse("15m").unwrap(), RangeChoice::default());
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in [
            "",
            "15",
            "m",
            "15x",
            "1h..2h",
            "5..5",
            "7..5",
            "yesterday",
            "99999999999w",
        ] {
            assert!(RangeChoice::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn steps_are_round() {
        let step = |text: &str| RangeChoice::parse(text).unwrap().step(60);
        assert_eq!(step("15m").as_deref(), Some("15s"));
        assert_eq!(step("24h").as_deref(), Some("1800s"));
        assert_eq!(step("52w").as_deref(), Some("604800s"));
        assert_eq!(step("all"), None);
    }
}
