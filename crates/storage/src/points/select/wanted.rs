//! Terms of which no more are looked at than somebody waits for.

use std::cell::Cell;

use super::super::Set;
use super::{Each, TermSource};

/// Terms between two looks at whether to go on.
const BETWEEN_LOOKS: u32 = 1_024;

/// Terms for as long as they are wanted. After that there are none, and what was worked out over
/// them means nothing.
pub(crate) struct WhileWanted<'a> {
    terms: &'a dyn TermSource,
    wanted: &'a dyn Fn() -> bool,
    /// Since the last look.
    seen: Cell<u32>,
    over: Cell<bool>,
}

impl<'a> WhileWanted<'a> {
    pub(crate) fn new(terms: &'a dyn TermSource, wanted: &'a dyn Fn() -> bool) -> Self {
        Self {
            terms,
            wanted,
            seen: Cell::new(0),
            over: Cell::new(false),
        }
    }

    fn goes_on(&self) -> bool {
        let seen = self.seen.get() + 1;
        self.seen.set(seen % BETWEEN_LOOKS);
        if seen == BETWEEN_LOOKS && !(self.wanted)() {
            self.over.set(true);
        }
        !self.over.get()
    }
}

impl TermSource for WhileWanted<'_> {
    fn count(&self) -> u32 {
        self.terms.count()
    }

    fn find(&self, key: &[u8]) -> Set {
        if self.over.get() {
            return Set::default();
        }
        self.terms.find(key)
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) {
        if !self.over.get() {
            self.terms.scan(prefix, &mut |rest, series| {
                self.goes_on() && each(rest, series)
            });
        }
    }
}
