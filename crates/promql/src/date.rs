//! Dates of the proleptic Gregorian calendar, and days since 1970.

/// A date of the proleptic Gregorian calendar.
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Date {
    /// The date this many days after the first of January 1970.
    pub(crate) fn of_day(days: i64) -> Self {
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
pub(crate) fn first_day(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let index = usize::try_from(month - 1).unwrap_or(0).min(12);
    past * 365 + leap_days - 719_162 + BEFORE[index] + i64::from(is_leap && month > 2)
}
