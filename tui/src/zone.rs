//! In which time zone times are shown: the system's own (`TZ`, else what the system is set to),
//! or UTC, and how a time is written in it.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

/// Columns of a time of day with milliseconds.
const TIME_COLUMNS: u16 = 12;
/// Columns of the same with month and day before it.
const DATED_COLUMNS: u16 = 18;

/// The time zone of the screen.
#[derive(Debug, Clone)]
pub struct Zone {
    local: TimeZone,
    utc: bool,
}

/// Which day a time of day without a date is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayOf {
    /// The last one at which it was that time, until this one in unix nanoseconds.
    LastUntil(u64),
    /// The first one at which it is that time after this one.
    FirstAfter(u64),
}

impl Zone {
    /// UTC alone.
    pub fn utc() -> Self {
        Self {
            local: TimeZone::UTC,
            utc: true,
        }
    }

    /// A zone of one's own, with UTC as the other choice.
    pub fn local(zone: TimeZone) -> Self {
        Self {
            local: zone,
            utc: false,
        }
    }

    /// The system's zone; UTC with the reason where the system has none that is known.
    pub fn system() -> (Self, Option<String>) {
        match TimeZone::try_system() {
            Ok(zone) if !zone.is_unknown() => (Self::local(zone), None),
            Ok(_) => (Self::utc(), None),
            Err(error) => (
                Self::utc(),
                Some(format!(
                    "times are UTC: the local time zone is not known ({error})"
                )),
            ),
        }
    }

    /// Changes between the local zone and UTC.
    pub(crate) fn toggle(&mut self) {
        self.utc = !self.utc;
    }

    /// Shows UTC from now on.
    pub(crate) fn set_utc(&mut self) {
        self.utc = true;
    }

    /// The zone's name at a time, with its distance from UTC: `CET +01:00`.
    pub(crate) fn name(&self, unix_nano: u64) -> String {
        let zone = self.shown();
        let info = zone.to_offset_info(timestamp(unix_nano));
        let minutes = info.offset().seconds() / 60;
        let name = info.abbreviation();
        if minutes == 0 && matches!(name, "UTC" | "GMT" | "Z") {
            return name.replace('Z', "UTC");
        }
        // Zones without a name of their own are called by their distance.
        let name = if name.starts_with(['+', '-']) {
            "UTC".to_owned()
        } else {
            format!("{name} ")
        };
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        format!("{name}{sign}{hours:02}:{minutes:02}")
    }

    /// Time of day with milliseconds: `12:03:04.512`.
    pub(crate) fn time_of_day(&self, unix_nano: u64) -> String {
        let seconds = self
            .shown()
            .to_offset(timestamp(unix_nano))
            .seconds()
            .rem_euclid(86_400);
        // Between 0 and a day.
        let ahead = u64::from(seconds.unsigned_abs()) * 1_000;
        let millis = (unix_nano / 1_000_000 + ahead) % 86_400_000;
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        format!(
            "{hours:02}:{minutes:02}:{:02}.{:03}",
            millis / 1_000 % 60,
            millis % 1_000
        )
    }

    /// A time for a list: with month and day where the list is `dated`.
    pub(crate) fn stamp(&self, unix_nano: u64, dated: bool) -> String {
        let time = self.time_of_day(unix_nano);
        if !dated {
            return time;
        }
        let date = self.shown().to_datetime(timestamp(unix_nano)).date();
        format!("{:02}-{:02} {time}", date.month(), date.day())
    }

    /// Columns of a [`Self::stamp`].
    pub(crate) fn stamp_columns(dated: bool) -> u16 {
        if dated { DATED_COLUMNS } else { TIME_COLUMNS }
    }

    /// Whether one of these times lies on another day than now, so that a list of them needs
    /// dates.
    pub(crate) fn dated(&self, now: u64, times: impl IntoIterator<Item = u64>) -> bool {
        let today = self.date(now);
        times.into_iter().any(|time| self.date(time) != today)
    }

    /// The day: `2023-11-14`.
    pub(crate) fn date(&self, unix_nano: u64) -> String {
        let day = self.shown().to_datetime(timestamp(unix_nano)).date();
        day.to_string()
    }

    /// Date and time as [`Self::parse`] reads it, with no more digits than it needs:
    /// `2023-11-14 23:05`.
    pub(crate) fn civil(&self, unix_nano: u64) -> String {
        let time = self.shown().to_datetime(timestamp(unix_nano));
        if time.second() == 0 && time.subsec_nanosecond() == 0 {
            return time.strftime("%Y-%m-%d %H:%M").to_string();
        }
        time.strftime("%Y-%m-%d %H:%M:%S%.f").to_string()
    }

    /// Reads a time that names no zone: `2023-11-14 23:05`, `2023-11-14` (its midnight) or
    /// `23:05`. One that the clocks skip is taken as late as they were put forward, the first of
    /// two that they repeat.
    pub(crate) fn parse(&self, text: &str, day: DayOf) -> Option<Timestamp> {
        // The parser would read past the zone of a time that names one.
        let unzoned = |byte: u8| byte.is_ascii_digit() || b"-:.T ".contains(&byte);
        if !text.bytes().all(unzoned) {
            return None;
        }
        let zone = self.shown();
        if let Ok(time) = text.parse::<DateTime>() {
            return zone.to_timestamp(time).ok();
        }
        let time: Time = text.parse().ok().filter(|_| !text.contains('-'))?;
        let (DayOf::LastUntil(near) | DayOf::FirstAfter(near)) = day;
        let near = timestamp(near);
        let today = zone.to_datetime(near).date();
        let days = [today.yesterday(), Ok(today), today.tomorrow()];
        let mut times = days
            .into_iter()
            .filter_map(|day| zone.to_timestamp(day.ok()?.to_datetime(time)).ok());
        match day {
            DayOf::LastUntil(_) => times.rfind(|time| *time <= near),
            DayOf::FirstAfter(_) => times.find(|time| *time > near),
        }
    }

    /// Date and time with nanoseconds and the distance from UTC.
    pub(crate) fn date_time(&self, unix_nano: u64) -> String {
        let time = timestamp(unix_nano);
        if self.utc {
            return time.to_string();
        }
        let offset = self.shown().to_offset(time);
        time.display_with_offset(offset).to_string()
    }

    fn shown(&self) -> TimeZone {
        if self.utc {
            TimeZone::UTC
        } else {
            self.local.clone()
        }
    }
}

/// Every time in unsigned nanoseconds (until 2554) is within jiff's range.
fn timestamp(unix_nano: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(unix_nano)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_700_000_000_123_456_789;

    fn berlin() -> Zone {
        // The rule instead of the name, so that no time zone database is needed.
        Zone::local(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    #[test]
    fn times_are_written_in_the_zone_and_the_zone_is_named() {
        let mut zone = berlin();
        assert_eq!(zone.name(TIME), "CET +01:00");
        assert_eq!(zone.time_of_day(TIME), "23:13:20.123");
        assert_eq!(zone.date_time(TIME), "2023-11-14T23:13:20.123456789+01:00");
        let july = TIME - 130 * 86_400_000_000_000;
        assert_eq!(zone.name(july), "CEST +02:00");
        assert_eq!(zone.time_of_day(july), "00:13:20.123");
        assert_eq!(zone.stamp(july, true), "07-08 00:13:20.123");
        zone.toggle();
        assert_eq!(zone.name(TIME), "UTC");
        assert_eq!(zone.time_of_day(TIME), "22:13:20.123");
        assert_eq!(zone.date_time(TIME), "2023-11-14T22:13:20.123456789Z");
    }

    #[test]
    fn zones_west_of_greenwich_and_without_a_name() {
        let zone = Zone::local(TimeZone::posix("<-0330>3:30").unwrap());
        assert_eq!(zone.name(TIME), "UTC-03:30");
        assert_eq!(zone.time_of_day(TIME), "18:43:20.123");
        assert_eq!(zone.time_of_day(0), "20:30:00.000");
    }

    #[test]
    fn a_list_is_dated_where_a_row_is_of_another_day() {
        let zone = berlin();
        let hour = 3_600_000_000_000;
        assert!(!zone.dated(TIME, [TIME - hour]));
        assert!(zone.dated(TIME, [TIME, TIME + hour]), "it is past midnight");
        assert!(!Zone::utc().dated(TIME, [TIME + hour]));
        assert_eq!(zone.stamp(TIME, true).len(), usize::from(DATED_COLUMNS));
        assert_eq!(zone.stamp(TIME, false).len(), usize::from(TIME_COLUMNS));
    }
}
