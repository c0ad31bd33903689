//! How far the clocks of a chunk's senders were off: one offset for all rows of a request.

use model::ClockOffset;

use super::sink::index32;

/// Runs of rows with the same offset. Without runs, no row has one: what most chunks hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// First row and offset of each run, in row order; neighbours differ. Rows before the first
    /// run have no offset.
    runs: Vec<(u32, Option<ClockOffset>)>,
}

impl Clocks {
    /// The same offset for all rows.
    pub(crate) fn all(clock: ClockOffset) -> Self {
        Self {
            runs: vec![(0, Some(clock))],
        }
    }

    /// Whether no row has an offset.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The offset of a row.
    pub(crate) fn of(&self, row: usize) -> Option<ClockOffset> {
        let after = self
            .runs
            .partition_point(|(first, _)| *first as usize <= row);
        self.runs[..after].last().and_then(|(_, clock)| *clock)
    }

    /// Takes in the offsets of rows that follow the first `rows` ones.
    pub(crate) fn append(&mut self, rows: usize, other: &Clocks) {
        let begins_without = other.runs.first().is_none_or(|(first, _)| *first > 0);
        if begins_without {
            self.begin(rows, None);
        }
        for (first, clock) in &other.runs {
            self.begin(rows + *first as usize, *clock);
        }
    }

    /// Begins a run, unless it would go on as the one before.
    pub(crate) fn begin(&mut self, row: usize, clock: Option<ClockOffset>) {
        if self.runs.last().and_then(|(_, last)| *last) != clock {
            self.runs.push((index32(row), clock));
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<(u32, Option<ClockOffset>)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_runs_keep_the_offset_of_each_row() {
        let clock = |offset_nano| ClockOffset {
            offset_nano,
            error_nano: 1,
        };
        let parts = [
            (2, None),
            (1, Some(clock(5))),
            (3, Some(clock(5))),
            (2, None),
            (1, Some(clock(-7))),
        ];
        let mut all = Clocks::default();
        let mut expected = Vec::new();
        for (rows, clock) in parts {
            let part = clock.map_or_else(Clocks::default, Clocks::all);
            all.append(expected.len(), &part);
            expected.extend(vec![clock; rows]);
        }
        // Joining what was joined before gives the same again behind it.
        let mut twice = Clocks::default();
        twice.append(0, &all);
        assert_eq!(twice, all);
        twice.append(expected.len(), &all);
        expected.extend_from_within(..);
        let found: Vec<_> = (0..expected.len()).map(|row| twice.of(row)).collect();
        assert_eq!(found, expected);
        assert_eq!(all.runs.len(), 3, "equal neighbours are one run");
        assert!(Clocks::default().is_empty() && !all.is_empty());
    }
}
