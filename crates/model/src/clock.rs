//! How far a sender's clock was off.

use serde::{Deserialize, Serialize};

/// The collector's clock minus the sender's, as the sender's agent measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ClockOffset {
    /// What to add to the sender's times to get the collector's.
    pub offset_nano: i64,
    /// How wrong that may be: half of the round trip.
    pub error_nano: u64,
}

impl ClockOffset {
    /// What to add to the sender's times: nothing while the offset lies within its own error,
    /// since the clocks may then agree.
    pub fn adjustment(self) -> i64 {
        if self.offset_nano.unsigned_abs() > self.error_nano {
            self.offset_nano
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_where_it_exceeds_its_error() {
        let adjustment = |offset_nano, error_nano| {
            ClockOffset {
                offset_nano,
                error_nano,
            }
            .adjustment()
        };
        assert_eq!(adjustment(-500, 100), -500);
        assert_eq!(adjustment(80, 100), 0);
        assert_eq!(adjustment(-100, 100), 0);
        assert_eq!(adjustment(1, 0), 1);
        assert_eq!(adjustment(i64::MIN, u64::MAX >> 1), i64::MIN);
    }
}
