//! Sums of floating point numbers that carry along what rounding lost.

/// Kahan's algorithm as improved by Neumaier, with Knuth's exact error of an addition, which needs
/// no branch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compensated {
    /// The sum as it is rounded.
    pub(crate) sum: f64,
    /// What rounding lost.
    pub(crate) rest: f64,
}

impl Compensated {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        let added = total - self.sum;
        let rest = self.rest + ((self.sum - (total - added)) + (value - added));
        // A choice and no branch, so that several sums can be made at once.
        self.rest = if total.abs() == f64::INFINITY {
            0.0
        } else {
            rest
        };
        self.sum = total;
    }

    /// Adds another sum.
    pub(crate) fn join(&mut self, other: Self) {
        self.add(other.sum);
        if !self.sum.is_infinite() {
            self.rest += other.rest;
        }
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.rest
        }
    }

    pub(crate) fn sum_and_rest(self) -> f64 {
        self.sum + self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(values: &[f64]) -> f64 {
        let mut sum = Compensated::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.total()
    }

    #[test]
    fn nothing_is_lost_but_to_infinity() {
        assert_eq!(total(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(total(&[0.1; 10]), 1.0);
        assert_eq!(total(&[-f64::MAX, f64::MAX, 3.0]), 3.0);
        assert_eq!(total(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(total(&[1.0, f64::NEG_INFINITY, 1e300]), f64::NEG_INFINITY);
        assert!(total(&[f64::INFINITY, f64::NEG_INFINITY, 1.0]).is_nan());
        assert!(total(&[1.0, f64::NAN]).is_nan());
    }
}
