//! Times as log lines write them. A time without a zone is taken as UTC.

const SECOND: u64 = 1_000_000_000;

/// Walks over text a field at a time; every step fails on text that does not fit.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    /// Exactly this many digits.
    fn digits(&mut self, count: usize) -> Option<u64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        )
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !bytes.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, byte: u8) -> bool {
        self.one_of(&[byte]).is_some()
    }

    /// `hh:mm:ss` and a fraction, in nanoseconds.
    fn time_of_day(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        // A leap second counts as the first of the next minute.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some((hour * 3600 + minute * 60 + second) * SECOND + self.fraction())
    }

    fn fraction(&mut self) -> u64 {
        let follows = self.rest.get(1).is_some_and(u8::is_ascii_digit);
        if !follows || self.one_of(b".,").is_none() {
            return 0;
        }
        let (mut nanos, mut unit) = (0, SECOND / 10);
        while let Some(digit) = self.one_of(b"0123456789") {
            nanos += u64::from(digit - b'0') * unit;
            unit /= 10;
        }
        nanos
    }

    /// `Z`, `+01:00`, `+0100` or nothing: seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.one_of(b"Zz").is_some() {
            return Some(0);
        }
        let Some(sign) = self.one_of(b"+-") else {
            return Some(0);
        };
        let hours = self.digits(2)?;
        self.skip(b':');
        let minutes = self.digits(2)?;
        let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
        (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds })
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year of a unix time.
fn year_of(unix_nanos: u64) -> i64 {
    let days = i64::try_from(unix_nanos / (86_400 * SECOND)).unwrap_or(0);
    let mut year = 1970 + days / 366;
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    year
}

fn unix_nanos(year: u64, month: u64, day: u64, time_of_day: u64, zone: i64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let [year, month, day] = [year, month, day].map(|field| i64::try_from(field).unwrap_or(0));
    let seconds = days_from_civil(year, month, day) * 86_400 - zone;
    let start = u64::try_from(seconds).ok()?.checked_mul(SECOND)?;
    start.checked_add(time_of_day)
}

/// `2026-01-02T03:04:05.678Z` and its relatives: a space or `T`, `-` or `/`, a comma for the
/// fraction, any zone or none.
fn date_time(scan: &mut Scan<'_>) -> Option<u64> {
    let year = scan.digits(4)?;
    let separator = scan.one_of(b"-/")?;
    let month = scan.digits(2)?;
    scan.one_of(&[separator])?;
    let day = scan.digits(2)?;
    scan.one_of(b"Tt _")?;
    let time_of_day = scan.time_of_day()?;
    let before_zone = scan.rest;
    if scan.skip(b' ') && !matches!(scan.rest.first(), Some(b'+')) {
        // What follows the space is the line's text, not a zone.
        scan.rest = before_zone;
        return unix_nanos(year, month, day, time_of_day, 0);
    }
    let zone = scan.zone().unwrap_or(0);
    unix_nanos(year, month, day, time_of_day, zone)
}

/// Reads RFC 3339, leniently; the whole text must be a time.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    let mut scan = Scan {
        rest: text.as_bytes(),
    };
    let time = date_time(&mut scan)?;
    scan.rest.is_empty().then_some(time)
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

fn month_name(scan: &mut Scan<'_>) -> Option<u64> {
    let (name, rest) = scan.rest.split_at_checked(3)?;
    let index = MONTHS.iter().position(|month| month[..] == *name)?;
    scan.rest = rest;
    Some(index as u64 + 1)
}

/// `10/Oct/2000:13:55:36 -0700`, as web servers write.
fn common_log(scan: &mut Scan<'_>) -> Option<u64> {
    let day = scan.digits(2)?;
    scan.one_of(b"/")?;
    let month = month_name(scan)?;
    scan.one_of(b"/")?;
    let year = scan.digits(4)?;
    scan.one_of(b":")?;
    let time_of_day = scan.time_of_day()?;
    scan.skip(b' ');
    unix_nanos(year, month, day, time_of_day, scan.zone()?)
}

/// `Jan  2 15:04:05`, as syslog writes: the year is the one that brings it closest to `now`.
fn syslog(scan: &mut Scan<'_>, now: u64) -> Option<u64> {
    let month = month_name(scan)?;
    scan.one_of(b" ")?;
    let day = if scan.skip(b' ') {
        scan.digits(1)?
    } else {
        scan.digits(2)?
    };
    scan.one_of(b" ")?;
    let time_of_day = scan.time_of_day()?;
    closest_year(month, day, time_of_day, now)
}

fn closest_year(month: u64, day: u64, time_of_day: u64, now: u64) -> Option<u64> {
    let year = u64::try_from(year_of(now)).ok()?;
    let candidates = [year.saturating_sub(1), year, year + 1];
    candidates
        .into_iter()
        .filter_map(|year| unix_nanos(year, month, day, time_of_day, 0))
        .min_by_key(|time| time.abs_diff(now))
}

/// `I0102 15:04:05.000000`, as klog writes.
fn klog(scan: &mut Scan<'_>, now: u64) -> Option<u64> {
    scan.one_of(b"IWEF")?;
    let (month, day) = (scan.digits(2)?, scan.digits(2)?);
    scan.one_of(b" ")?;
    let time_of_day = scan.time_of_day()?;
    closest_year(month, day, time_of_day, now)
}

/// The time that a line of plain text starts with, or has in square brackets near its start.
pub(super) fn in_line(line: &str, now: u64) -> Option<u64> {
    let bytes = line.as_bytes();
    let at = |from: usize| Scan {
        rest: &bytes[from..],
    };
    let start = usize::from(bytes.first() == Some(&b'['));
    let first = bytes.get(start)?;
    if first.is_ascii_digit() {
        if let Some(time) = date_time(&mut at(start)).or_else(|| common_log(&mut at(start))) {
            return Some(time);
        }
    } else if first.is_ascii_uppercase()
        && let Some(time) = syslog(&mut at(start), now).or_else(|| klog(&mut at(start), now))
    {
        return Some(time);
    }
    // `host - user [10/Oct/2000:13:55:36 -0700] "GET ..."`
    let near = &bytes[..bytes.len().min(128)];
    let bracket = memchr::memchr(b'[', near)?;
    common_log(&mut at(bracket + 1)).or_else(|| date_time(&mut at(bracket + 1)))
}

/// A unix time in a number of seconds, milliseconds, microseconds or nanoseconds, told apart by
/// magnitude: each covers the years 2001 to 2286 in its own unit.
pub(super) fn epoch(number: f64) -> Option<u64> {
    let exponent = match number {
        n if (1e9..1e10).contains(&n) => 9,
        n if (1e12..1e13).contains(&n) => 6,
        n if (1e15..1e16).contains(&n) => 3,
        n if (1e18..1e19).contains(&n) => 0,
        _ => return None,
    };
    // Whole part and fraction apart: together they need more bits than a double has.
    let unit = 10u64.pow(exponent);
    let whole = number.trunc();
    let fraction = ((number - whole) * unit as f64).round();
    (whole as u64)
        .checked_mul(unit)?
        .checked_add(fraction as u64)
}

/// The same for an integer, exact to the nanosecond.
pub(super) fn epoch_integer(number: u64) -> Option<u64> {
    let exponent = match number {
        1_000_000_000..10_000_000_000 => 9,
        1_000_000_000_000..10_000_000_000_000 => 6,
        1_000_000_000_000_000..10_000_000_000_000_000 => 3,
        1_000_000_000_000_000_000..10_000_000_000_000_000_000 => 0,
        _ => return None,
    };
    number.checked_mul(10u64.pow(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T03:04:05Z
    const T: u64 = 1_767_323_045 * SECOND;

    #[test]
    fn the_usual_forms_read() {
        for (line, nanos) in [
            ("2026-01-02T03:04:05Z hello", 0),
            ("2026-01-02T03:04:05.25Z", 250_000_000),
            ("2026-01-02 03:04:05,007 ERROR x", 7_000_000),
            ("2026-01-02 03:04:05 -- text", 0),
            ("2026/01/02 03:04:05 [error] 7#7: x", 0),
            ("[2026-01-02 04:04:05.123456789+0100] x", 123_456_789),
            (
                "2026-01-02 01:04:05 -0200 no zone after a space and a minus",
                u64::MAX,
            ),
            ("Jan  2 03:04:05 host sshd[7]: x", 0),
            ("I0102 03:04:05.000001 7 main.go:1] x", 1_000),
            (
                r#"10.0.0.1 - bob [02/Jan/2026:05:04:05 +0200] "GET / HTTP/1.1" 200"#,
                0,
            ),
        ] {
            let expected = if nanos == u64::MAX {
                T - 7_200 * SECOND
            } else {
                T + nanos
            };
            assert_eq!(in_line(line, T + 5 * SECOND), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_text_has_no_time() {
        for line in [
            "",
            "[",
            "hello",
            "12 monkeys",
            "2026-13-02 03:04:05",
            "Jan",
            "[x]",
            "é 12:",
        ] {
            assert_eq!(in_line(line, T), None, "{line}");
        }
        assert_eq!(rfc3339("2026-01-02T03:04:05Z "), None);
        assert_eq!(rfc3339("1960-01-02T03:04:05Z"), None);
    }

    #[test]
    fn a_line_from_december_read_in_january_is_last_years() {
        let read = in_line("Dec 31 23:59:59 host x: y", T).unwrap();
        assert_eq!(year_of(read), 2025);
        assert_eq!(
            year_of(days_from_civil(2024, 12, 31) as u64 * 86_400 * SECOND),
            2024
        );
    }

    #[test]
    fn epochs_are_told_apart_by_magnitude() {
        assert_eq!(epoch(1_767_323_045.25), Some(T + SECOND / 4));
        assert_eq!(epoch_integer(1_767_323_045), Some(T));
        assert_eq!(epoch_integer(1_767_323_045_001), Some(T + 1_000_000));
        assert_eq!(epoch_integer(1_767_323_045_000_000_001), Some(T + 1));
        assert_eq!(epoch_integer(42), None);
        assert_eq!(epoch(f64::NAN), None);
    }
}
