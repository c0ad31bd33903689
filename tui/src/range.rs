//! The time range that all screens share, as typed by the user.
//!
//! Written forms: `15m` (the last 15 minutes), `2h..1h` (from two hours ago to one hour ago),
//! `START..END` with a time on either side (a missing side is open), `START` (from then on),
//! `all`. A time is RFC 3339, unix nanoseconds, or one of the zone shown: `2026-11-24 14:05`,
//! `2026-11-24`, or `14:05`, which is the last one that was; as an END it is the first after START.

use api::Range;

use crate::zone::{DayOf, Zone};

/// What a new session looks at.
const DEFAULT: &str = "15m";
/// What the time prompt offers.
pub(crate) const CHOICES: &str =
    "5m 15m 1h 6h 24h 7d all · 2h..1h · 14:05..14:20 · 2026-11-24 14:05..";

/// A valid choice of a time range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeChoice {
    start: Option<Side>,
    end: Option<Side>,
}

impl Default for RangeChoice {
    fn default() -> Self {
        Self {
            start: ago(DEFAULT),
            end: None,
        }
    }
}

impl RangeChoice {
    /// Any time.
    pub(crate) fn all() -> Self {
        Self {
            start: None,
            end: None,
        }
    }

    /// Parses a written form; the error is one sentence for the user.
    pub fn parse(text: &str, zone: &Zone, now: u64) -> Result<Self, String> {
        let text = text.trim();
        if text == "all" {
            return Ok(Self::all());
        }
        let (start, end) = match text.split_once("..") {
            None if text.parse::<u64>().is_ok() => {
                return Err(format!(
                    "{text:?} has no unit, expected a duration such as 15m or START..END"
                ));
            }
            None => match side(text, zone, DayOf::LastUntil(now))? {
                None => {
                    return Err("expected a duration such as 15m, or START..END".to_owned());
                }
                start => (start, None),
            },
            Some((start, end)) => {
                let start = side(start, zone, DayOf::LastUntil(now))?;
                let day = match start {
                    Some(Side::At(time)) => DayOf::FirstAfter(time),
                    _ => DayOf::LastUntil(now),
                };
                (start, side(end, zone, day)?)
            }
        };
        let range = Self { start, end };
        let backwards = match (&range.start, &range.end) {
            (Some(Side::Ago { nanos: from, .. }), Some(Side::Ago { nanos: to, .. })) => from < to,
            (Some(Side::At(from)), Some(Side::At(to))) => from > to,
            _ => false,
        };
        if backwards {
            return Err("the range ends before it starts".to_owned());
        }
        if range.length_nano() == Some(0) {
            return Err("the range is empty".to_owned());
        }
        Ok(range)
    }

    /// As a user would write it in this zone.
    pub fn text(&self, zone: &Zone) -> String {
        match (&self.start, &self.end) {
            (None, None) => "all".to_owned(),
            (Some(Side::Ago { text, .. }), None) => text.clone(),
            (start, end) => {
                let written = |side: &Option<Side>| match side {
                    None => String::new(),
                    Some(Side::Ago { text, .. }) => text.clone(),
                    Some(Side::At(time)) => zone.civil(*time),
                };
                let (from, mut to) = (written(start), written(end));
                // An end without a date is of the day of its start.
                let dates = from.split_once(' ').zip(to.split_once(' '));
                if let Some(((first, _), (last, time))) = dates
                    && first == last
                {
                    to = time.to_owned();
                }
                format!("{from}..{to}")
            }
        }
    }

    /// That there is none of something in it, and what may help.
    pub(crate) fn without(&self, what: &str, zone: &Zone) -> String {
        if *self == Self::all() {
            format!("no {what} at any time")
        } else {
            format!("no {what} in {}; t widens the range", self.text(zone))
        }
    }

    /// As the server reads it.
    pub(crate) fn to_api(&self) -> Range {
        Range {
            start: self.start.as_ref().map(Side::sent),
            end: self.end.as_ref().map(Side::sent),
        }
    }

    /// Width of a histogram bucket for about so many buckets, where the length is known.
    pub(crate) fn step(&self, buckets: u64) -> Option<String> {
        const STEPS: [u64; 18] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
            86400,
        ];
        let seconds = self.length_nano()? / 1_000_000_000;
        let wanted = seconds.div_ceil(buckets.max(1)).max(1);
        let step = STEPS.iter().find(|&&step| step >= wanted).copied();
        Some(format!(
            "{}s",
            step.unwrap_or(wanted.div_ceil(86_400) * 86_400)
        ))
    }

    /// Its length, where both ends count from the same.
    fn length_nano(&self) -> Option<u64> {
        match (&self.start, &self.end) {
            (Some(Side::Ago { nanos, .. }), None) => Some(*nanos),
            (Some(Side::Ago { nanos: from, .. }), Some(Side::Ago { nanos: to, .. })) => {
                Some(from.saturating_sub(*to))
            }
            (Some(Side::At(from)), Some(Side::At(to))) => Some(to.saturating_sub(*from)),
            _ => None,
        }
    }
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// So long before now.
    Ago {
        /// `15m`.
        text: String,
        nanos: u64,
    },
    /// A time in unix nanoseconds.
    At(u64),
}

impl Side {
    fn sent(&self) -> String {
        match self {
            Self::Ago { text, .. } => format!("now-{text}"),
            Self::At(time) => time.to_string(),
        }
    }
}

fn side(text: &str, zone: &Zone, day: DayOf) -> Result<Option<Side>, String> {
    let text = text.trim();
    if text.is_empty() || text == "now" {
        return Ok(None);
    }
    if let Some(side) = ago(text.strip_prefix("now-").unwrap_or(text)) {
        return Ok(Some(side));
    }
    if let Ok(nanos) = text.parse::<u64>() {
        return Ok(Some(Side::At(nanos)));
    }
    let time: jiff::Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_not_rfc3339) => zone.parse(text, day).ok_or_else(|| {
            format!("{text:?} is no time; 15m, 14:05, 2026-11-24 14:05 and RFC 3339 are")
        })?,
    };
    let nanos = u64::try_from(time.as_nanosecond())
        .map_err(|_negative| format!("{text:?} lies before 1970"))?;
    Ok(Some(Side::At(nanos)))
}

/// `90s`, `15m`, `2h`, `7d`, `1w` before now; one unit, as the server reads it.
fn ago(text: &str) -> Option<Side> {
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
    Some(Side::Ago {
        text: text.to_owned(),
        nanos: number.checked_mul(unit)?.checked_mul(1_000_000_000)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14T22:13:20Z, which is 23:13:20 in Berlin.
    const NOW: u64 = 1_700_000_000_000_000_000;
    const MINUTE: u64 = 60_000_000_000;

    fn berlin() -> Zone {
        Zone::local(jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    fn parse(text: &str) -> Result<RangeChoice, String> {
        RangeChoice::parse(text, &berlin(), NOW)
    }

    fn sent(text: &str) -> (Option<String>, Option<String>) {
        let range = parse(text).unwrap().to_api();
        (range.start, range.end)
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
        assert_eq!(parse("15m").unwrap(), RangeChoice::default());
    }

    #[test]
    fn times_without_a_zone_are_of_the_zone_shown() {
        // 23:05 in Berlin, 8 minutes and 20 seconds before now.
        let five_past = (NOW - 8 * MINUTE - 20_000_000_000).to_string();
        let open = (Some(five_past.clone()), None);
        assert_eq!(sent("2023-11-14 23:05"), open);
        assert_eq!(sent("2023-11-14T23:05:00.."), open);
        assert_eq!(sent("23:05"), open);
        let end = |nanos: u64| Some(nanos.to_string());
        assert_eq!(
            sent("23:05..23:20"),
            (
                Some(five_past.clone()),
                end(NOW + 6 * MINUTE + 40_000_000_000)
            )
        );
        assert_eq!(
            sent("2023-11-14 23:05..00:05"),
            (Some(five_past), end(NOW + 51 * MINUTE + 40_000_000_000)),
            "past midnight"
        );
        // A day ago, since today's is still to come.
        let twenty_past = NOW + 6 * MINUTE + 40_000_000_000 - 24 * 60 * MINUTE;
        assert_eq!(sent("23:20"), (end(twenty_past), None));
        assert_eq!(
            sent("2023-11-14").0,
            end(NOW - 1_393 * MINUTE - 20_000_000_000)
        );
    }

    #[test]
    fn is_written_in_the_zone_shown() {
        let mut zone = berlin();
        for text in [
            "15m",
            "2h..1h",
            "all",
            "..2023-11-14 23:05",
            "2023-11-14 23:05:01.5..",
        ] {
            assert_eq!(parse(text).unwrap().text(&zone), text);
        }
        let range = parse("23:05..23:20").unwrap();
        assert_eq!(range.text(&zone), "2023-11-14 23:05..23:20");
        assert_eq!(parse(&range.text(&zone)).unwrap(), range);
        zone.toggle();
        assert_eq!(range.text(&zone), "2023-11-14 22:05..22:20");
        let night = parse("2023-11-14 23:05..00:05").unwrap();
        assert_eq!(night.text(&berlin()), "2023-11-14 23:05..2023-11-15 00:05");
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in [
            "",
            "now",
            "15",
            "m",
            "15x",
            "1h..2h",
            "5..5",
            "7..5",
            "yesterday",
            "99999999999w",
            "25:00",
            "2023-02-30 10:00",
            "14:05-02:00",
            "2023-11-14 10:00[Europe/Paris]",
            "2023-11-14 10:00..2023-11-14 09:00",
            "1969-12-31 12:00..",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn steps_are_round() {
        let step = |text: &str| parse(text).unwrap().step(60);
        assert_eq!(step("15m").as_deref(), Some("15s"));
        assert_eq!(step("24h").as_deref(), Some("1800s"));
        assert_eq!(step("52w").as_deref(), Some("604800s"));
        assert_eq!(step("all"), None);
    }
}
