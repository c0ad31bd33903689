//! Calendar functions of Unix times, in UTC.

/// The function of this name on seconds since 1970.
pub(super) fn find(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |seconds| of_day(seconds, 60, 60),
        "hour" => |seconds| of_day(seconds, 3600, 24),
        "day_of_week" => |seconds| float((days(seconds) + 4).rem_euclid(7)),
        "day_of_month" => |seconds| float(Date::of(seconds).day),
        "day_of_year" => |seconds| float(days(seconds) - first_day(Date::of(seconds).year, 1) + 1),
        "days_in_month" => |seconds| {
            let Date { year, month, .. } = Date::of(seconds);
            float(first_day(year, month + 1) - first_day(year, month))
        },
        "month" => |seconds| float(Date::of(seconds).month),
        "year" => |seconds| float(Date::of(seconds).year),
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss)]
fn float(value: i64) -> f64 {
    value as f64
}

/// Seconds beyond this (about 30 million years) are not dates; they are held at the bound.
const MAX_SECONDS: f64 = 1e15;

#[allow(clippy::cast_possible_truncation)]
fn whole(seconds: f64) -> i64 {
    if seconds.is_nan() {
        0
    } else {
        seconds.clamp(-MAX_SECONDS, MAX_SECONDS) as i64
    }
}

fn days(seconds: f64) -> i64 {
    whole(seconds).div_euclid(86_400)
}

fn of_day(seconds: f64, unit: i64, modulus: i64) -> f64 {
    float(whole(seconds).div_euclid(unit).rem_euclid(modulus))
}

/// A date of the proleptic Gregorian calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    fn of(seconds: f64) -> Self {
        let days = days(seconds);
        // The first guess is off by a year at most.
        let mut year = 1970 + (days * 400).div_euclid(146_097);
        while first_day(year, 1) > days {
            year -= 1;
        }
        while first_day(year + 1, 1) <= days {
            year += 1;
        }
        let mut month = 1;
        while month < 12 && first_day(year, month + 1) <= days {
            month += 1;
        }
        Self {
            year,
            month,
            day: days - first_day(year, month) + 1,
        }
    }
}

/// The number of the first day of a month since 1970; month 13 is the next January.
fn first_day(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let index = usize::try_from(month - 1).unwrap_or(0).min(12);
    past * 365 + leap_days - 719_162 + BEFORE[index] + i64::from(is_leap && month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let cases: [(f64, [f64; 6]); 5] = [
            (0.0, [1970.0, 1.0, 1.0, 4.0, 1.0, 31.0]),
            (951_782_400.0, [2000.0, 2.0, 29.0, 2.0, 60.0, 29.0]),
            (1_735_689_599.0, [2024.0, 12.0, 31.0, 2.0, 366.0, 31.0]),
            (-1.0, [1969.0, 12.0, 31.0, 3.0, 365.0, 31.0]),
            (-2_203_891_200.0, [1900.0, 3.0, 1.0, 4.0, 60.0, 31.0]),
        ];
        let names = [
            "year",
            "month",
            "day_of_month",
            "day_of_week",
            "day_of_year",
            "days_in_month",
        ];
        for (seconds, want) in cases {
            for (name, want) in names.iter().zip(want) {
                assert_eq!(find(name).unwrap()(seconds), want, "{name} {seconds}");
            }
        }
        assert_eq!(find("hour").unwrap()(7_200.0 + 59.0), 2.0);
        assert_eq!(find("minute").unwrap()(-60.0), 59.0);
    }
}
