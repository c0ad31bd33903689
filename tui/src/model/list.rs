//! Where a list stands: the marked row and the first row drawn.
//!
//! Rows may have different heights (wrapped logs, long attribute values); only those near the
//! viewport are ever measured, so that a list of a million rows costs what a screenful costs.

/// Marked row and scroll offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListState {
    /// The marked row.
    pub cursor: usize,
    /// The first row drawn.
    pub offset: usize,
}

impl ListState {
    /// Moves the mark by so many rows, within the list.
    pub fn step(&mut self, by: isize, len: usize) {
        self.cursor = self
            .cursor
            .saturating_add_signed(by)
            .min(len.saturating_sub(1));
    }

    /// Brings mark and offset into the list, and the mark into the viewport. `height_of` gives
    /// the height of a row, at least 1.
    pub fn settle(&mut self, len: usize, height: usize, height_of: impl Fn(usize) -> usize) {
        self.cursor = self.cursor.min(len.saturating_sub(1));
        self.offset = self.offset.min(self.cursor);
        if len == 0 || height == 0 {
            self.offset = self.cursor;
            return;
        }
        self.offset = self
            .offset
            .max(first_that_reaches(self.cursor, height, &height_of));
        // Rows above are pulled down where the end of the list would leave the viewport empty.
        self.offset = self
            .offset
            .min(first_that_reaches(len - 1, height, &height_of));
    }
}

/// The first row from which `last` still ends within the viewport; `last` itself if it is taller.
fn first_that_reaches(last: usize, height: usize, height_of: &impl Fn(usize) -> usize) -> usize {
    let mut used = 0;
    let mut first = last;
    for row in (0..=last).rev() {
        used += height_of(row).max(1);
        if used > height {
            break;
        }
        first = row;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_in_the_viewport() {
        let mut list = ListState::default();
        list.step(30, 100);
        list.settle(100, 10, |_| 1);
        assert_eq!(
            list,
            ListState {
                cursor: 30,
                offset: 21
            }
        );
        list.step(-25, 100);
        list.settle(100, 10, |_| 1);
        assert_eq!(
            list,
            ListState {
                cursor: 5,
                offset: 5
            }
        );
        list.step(1000, 100);
        list.settle(100, 10, |_| 1);
        assert_eq!(
            list,
            ListState {
                cursor: 99,
                offset: 90
            }
        );
        list.settle(3, 10, |_| 1);
        assert_eq!(
            list,
            ListState {
                cursor: 2,
                offset: 0
            }
        );
        list.settle(0, 10, |_| 1);
        assert_eq!(
            list,
            ListState {
                cursor: 0,
                offset: 0
            }
        );
    }

    #[test]
    fn tall_rows_scroll_as_a_whole() {
        let mut list = ListState {
            cursor: 3,
            offset: 0,
        };
        list.settle(10, 7, |_| 3);
        assert_eq!(list.offset, 2);
        list.settle(10, 2, |_| 3);
        assert_eq!(list.offset, 3);
    }
}
