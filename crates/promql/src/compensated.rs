//! Sums of floating point numbers that carry along what rounding lost.

/// Kahan's algorithm as improved by Neumaier.
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
        if total.is_infinite() {
            self.rest = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.rest += (self.sum - total) + value;
        } else {
            self.rest += (value - total) + self.sum;
        }
        self.sum = total;
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
