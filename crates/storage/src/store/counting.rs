//! What the log has to keep of spans that are counted as they are stored ([`crate::write::Observe`]).
//!
//! Whoever counts spans writes the counts as metrics now and then, and says with each write up to
//! which place in the log it covers the spans of its tenant; the record of the log keeps that. So a
//! start finds the spans whose counts were not written, and shows them once more ([`super::recount`]),
//! as long as the log has them. It keeps them, also where they are in files already, up to a quarter
//! of what it may be long; beyond that, and where the disk has no room, it is freed all the same, and
//! counts that are written too late for it would be lost with the process. Before that whoever
//! counts is asked to write.

use journal::Position;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The part of the log that may be kept for counts, as a divisor.
const KEPT_SHARE: u64 = 4;

/// How far counts are written, and what of the log is kept until they are.
#[derive(Default)]
pub(crate) struct Counting {
    state: Mutex<State>,
    /// Told when counts are to be written before more of the log is kept.
    wanted: Notify,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Whether spans are counted at all.
    counts: bool,
    /// The counts of all spans before this position are written.
    covered: Position,
    /// After the last span.
    spans_end: Position,
    /// Everything before this position is in files.
    in_files: Position,
    /// Somebody was asked to write counts, and none were written since.
    asked: bool,
}

impl State {
    /// Before this position the log is not needed any more.
    fn free_to(&self) -> Position {
        if self.counts && self.covered < self.spans_end {
            self.in_files.min(self.covered)
        } else {
            self.in_files
        }
    }
}

impl Counting {
    /// Begins with a log that may hold spans whose counts are not written, before `end`.
    pub(super) fn begin(&self, end: Position) {
        let mut state = self.state.lock();
        state.counts = true;
        state.spans_end = end;
    }

    /// What was found of that: spans between these positions.
    pub(super) fn found(&self, covered: Position, spans_end: Position) {
        let mut state = self.state.lock();
        (state.covered, state.spans_end) = (covered, spans_end);
    }

    /// Spans are stored before this position.
    pub(super) fn stored(&self, end: Position) {
        self.state.lock().spans_end = end;
    }

    /// Everything before a position is in files. Says up to where the log may be freed.
    pub(super) fn in_files(&self, position: Position) -> Position {
        let mut state = self.state.lock();
        state.in_files = state.in_files.max(position);
        state.free_to()
    }

    /// The counts of all spans before a position are written. Says up to where the log may be freed.
    pub(super) fn written(&self, position: Position) -> Position {
        let mut state = self.state.lock();
        state.covered = state.covered.max(position);
        state.asked = false;
        state.free_to()
    }

    /// The counts of all spans before this are written.
    pub(super) fn covered(&self) -> Position {
        self.state.lock().covered
    }

    /// From where on the log is kept, and before which position all is in files.
    pub(super) fn kept(&self) -> (Position, Position) {
        let state = self.state.lock();
        (state.free_to(), state.in_files)
    }

    /// Looks at how much of a log that may have `most` bytes is kept for counts alone. True where that is
    /// more than may be: it is not kept any longer then.
    pub(super) fn is_too_much(&self, kept_bytes: u64, most: u64) -> bool {
        let share = most / KEPT_SHARE;
        let mut state = self.state.lock();
        if kept_bytes > share / 2 && !state.asked {
            state.asked = true;
            self.wanted.notify_one();
        }
        if kept_bytes <= share {
            return false;
        }
        state.covered = state.covered.max(state.in_files);
        true
    }

    /// Resolves when counts are to be written without delay.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    #[test]
    fn the_log_is_kept_for_spans_whose_counts_are_not_written() {
        let counting = Counting::default();
        // Where nobody counts nothing is kept.
        assert_eq!(counting.in_files(at(5)), at(5));
        let counting = Counting::default();
        counting.begin(at(10));
        assert_eq!(counting.in_files(at(8)), Position::START);
        counting.found(at(4), at(6));
        assert_eq!(counting.in_files(at(8)), at(4));
        assert_eq!(counting.written(at(6)), at(8));
        counting.stored(at(20));
        assert_eq!(counting.in_files(at(30)), at(6));
        assert_eq!(counting.written(at(19)), at(19));
        assert_eq!(counting.written(at(25)), at(30));
        assert_eq!(counting.written(at(3)), at(30), "never back");
    }

    #[test]
    fn no_more_than_a_share_of_the_log_is_kept() {
        let counting = Counting::default();
        counting.begin(at(10));
        counting.in_files(at(9));
        assert!(!counting.is_too_much(25, 100));
        assert_eq!(counting.in_files(at(9)), Position::START);
        assert!(counting.is_too_much(26, 100));
        assert_eq!(counting.in_files(at(9)), at(9));
    }
}
