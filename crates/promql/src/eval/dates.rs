//! Calendar functions of Unix times, in UTC.

use crate::date::{Date, first_day};

/// The function of this name on seconds since 1970.
pub(super) fn find(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |seconds| of_day(seconds, 60, 60),
        "hour" => |seconds| of_day(seconds, 3600, 24),
        "day_of_week" => |seconds| float((days(seconds) + 4).rem_euclid(7)),
        "day_of_month" => |seconds| float(Date::of_day(days(seconds)).day),
        "day_of_year" => {
            |seconds| float(days(seconds) - first_day(Date::of_day(days(seconds)).year, 1) + 1)
        }
        "days_in_month" => |seconds| {
            let Date { year, month, .. } = Date::of_day(days(seconds));
            float(first_day(year, month + 1) - first_day(year, month))
        },
        "month" => |seconds| float(Date::of_day(days(seconds)).month),
        "year" => |seconds| float(Date::of_day(days(seconds)).year),
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss)]
fn float(value: i64) -> f64 {
    value as f64
}

/// Whole seconds. What no 64-bit number can hold, NaN included, is the last of all times, as in
/// Prometheus.
#[allow(clippy::cast_possible_truncation)]
fn whole(seconds: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&seconds) {
        seconds as i64
    } else {
        i64::MAX
    }
}

fn days(seconds: f64) -> i64 {
    whole(seconds).div_euclid(86_400)
}

fn of_day(seconds: f64, unit: i64, modulus: i64) -> f64 {
    float(whole(seconds).div_euclid(unit).rem_euclid(modulus))
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
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!(find("minute").unwrap()(none), 30.0, "{none}");
        }
    }
}
