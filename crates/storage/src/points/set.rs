//! Sets of series of one file or head, by ordinal, as runs.
//!
//! Files have their series in order of name and labels, so most labels are on few long runs of
//! them. Stored: varint number of runs, then for each the varint distance from the end of the one
//! before (from 0 for the first) and its varint length.

use std::ops::Range;

use crate::block::wire::{Cursor, Decoded, Malformed, put_varint};

/// Ordinals, as runs in rising order that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Set(Vec<Range<u32>>);

impl Set {
    /// All ordinals below this.
    pub(crate) fn all(count: u32) -> Self {
        if count == 0 {
            return Self::default();
        }
        Self(vec![Range {
            start: 0,
            end: count,
        }])
    }

    /// One alone.
    pub(crate) fn one(ordinal: u32) -> Self {
        Self(vec![Range {
            start: ordinal,
            end: ordinal.saturating_add(1),
        }])
    }

    /// These, in any order, in which they do not stay.
    pub(crate) fn of(list: &mut [u32]) -> Self {
        /// A bit for each number up to the largest takes less time than sorting, where one in so
        /// many is in the list.
        const DENSE: usize = 64;
        let mut set = Self::default();
        let words = list.iter().max().map_or(0, |most| *most as usize / 64 + 1);
        if list.is_sorted() || words * 64 > list.len() * DENSE {
            list.sort_unstable();
            list.iter().for_each(|ordinal| set.push(*ordinal));
            return set;
        }
        let mut bits = vec![0u64; words];
        for ordinal in list.iter() {
            bits[*ordinal as usize / 64] |= 1 << (ordinal % 64);
        }
        for (at, mut word) in (0u32..).zip(bits) {
            while word != 0 {
                let first = word.trailing_zeros();
                let length = (word >> first).trailing_ones();
                let start = at * 64 + first;
                set.push_run(start..start + length);
                word &= u64::MAX.checked_shl(first + length).unwrap_or(0);
            }
        }
        set
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that is in it, if there are no others.
    pub(super) fn only(&self) -> Option<u32> {
        match &self.0[..] {
            [run] if run.end - run.start == 1 => Some(run.start),
            _ => None,
        }
    }

    /// Adds an ordinal that is not below any that is there.
    pub(crate) fn push(&mut self, ordinal: u32) {
        match self.0.last_mut() {
            Some(last) if last.end > ordinal => {}
            Some(last) if last.end == ordinal => last.end += 1,
            _ => self.0.push(ordinal..ordinal + 1),
        }
    }

    fn push_run(&mut self, run: Range<u32>) {
        match self.0.last_mut() {
            Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
            _ => self.0.push(run),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Those in a range.
    pub(crate) fn within(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        self.runs_within(range).flatten()
    }

    /// How many are in a range.
    pub(crate) fn count_within(&self, range: Range<u32>) -> usize {
        self.runs_within(range).map(|run| run.len()).sum()
    }

    fn runs_within(&self, range: Range<u32>) -> impl Iterator<Item = Range<u32>> + '_ {
        let first = self.0.partition_point(|run| run.end <= range.start);
        self.0[first..]
            .iter()
            .take_while({
                let end = range.end;
                move |run| run.start < end
            })
            .map(move |run| run.start.max(range.start)..run.end.min(range.end))
    }

    /// Whether one is in it.
    pub(crate) fn contains(&self, ordinal: u32) -> bool {
        let at = self.0.partition_point(|run| run.end <= ordinal);
        self.0.get(at).is_some_and(|run| run.start <= ordinal)
    }

    /// Those of all the sets.
    pub(crate) fn union(sets: impl IntoIterator<Item = Set>) -> Set {
        let mut runs: Vec<Range<u32>> = sets.into_iter().flat_map(|set| set.0).collect();
        runs.sort_unstable_by_key(|run| run.start);
        let mut union = Set::default();
        runs.into_iter().for_each(|run| union.push_run(run));
        union
    }

    /// Whether any is in both.
    pub(crate) fn intersects(&self, other: &Set) -> bool {
        let few = self.0.len() <= other.0.len();
        let (few, many) = if few { (self, other) } else { (other, self) };
        few.0.iter().any(|run| {
            let at = many.0.partition_point(|other| other.end <= run.start);
            many.0.get(at).is_some_and(|other| other.start < run.end)
        })
    }

    /// Those below a number.
    pub(crate) fn below(mut self, count: u32) -> Set {
        let runs = self.0.partition_point(|run| run.start < count);
        self.0.truncate(runs);
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(count);
        }
        self
    }

    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let mut both = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(one), Some(two)) = (left.peek(), right.peek()) {
            let (start, end) = (one.start.max(two.start), one.end.min(two.end));
            if start < end {
                both.push(start..end);
            }
            if one.end <= two.end {
                left.next();
            } else {
                right.next();
            }
        }
        Set(both)
    }

    /// Those below `count` that are not in it.
    pub(crate) fn complement(&self, count: u32) -> Set {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let mut from = 0;
        for run in &self.0 {
            if from < run.start {
                rest.push(from..run.start);
            }
            from = run.end;
        }
        if from < count {
            rest.push(from..count);
        }
        Set(rest)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        let mut from = 0;
        for run in &self.0 {
            put_varint(out, u64::from(run.start - from));
            put_varint(out, u64::from(run.end - run.start));
            from = run.end;
        }
    }

    /// Reads a set of ordinals below `count`.
    pub(super) fn get(from: &mut Cursor<'_>, count: u32) -> Decoded<Set> {
        const WRONG: Malformed = Malformed("a set of series is not in order");
        let runs = from.bounded(count as usize, "a set has more runs than series")?;
        let mut set = Vec::with_capacity(runs.min(from.remaining()));
        let mut end = 0u32;
        for _ in 0..runs {
            let start = u32::try_from(from.varint()?).ok();
            let start = start.and_then(|gap| end.checked_add(gap)).ok_or(WRONG)?;
            let length = u32::try_from(from.varint()?)
                .ok()
                .filter(|length| *length > 0);
            end = length
                .and_then(|length| start.checked_add(length))
                .filter(|end| *end <= count)
                .ok_or(WRONG)?;
            set.push(start..end);
        }
        Ok(Set(set))
    }

    pub(super) fn runs(&self) -> usize {
        self.0.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Range<u32>>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(list: &BTreeSet<u32>) -> Set {
        let mut set = Set::default();
        list.iter().for_each(|ordinal| set.push(*ordinal));
        set
    }

    #[test]
    fn sets_agree_with_lists() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut make =
                || -> BTreeSet<u32> { (0..random.usize(..40)).map(|_| random.u32(..60)).collect() };
            let (a, b) = (make(), make());
            let (set_a, set_b) = (of(&a), of(&b));
            let list = |set: &Set| set.iter().collect::<BTreeSet<u32>>();
            assert_eq!(list(&set_a), a);
            assert_eq!(list(&set_a.intersection(&set_b)), &a & &b);
            assert_eq!(set_a.intersects(&set_b), !a.is_disjoint(&b));
            let below = a.range(..25).copied().collect();
            assert_eq!(list(&set_a.clone().below(25)), below);
            assert_eq!(list(&Set::union([set_a.clone(), set_b.clone()])), &a | &b);
            let rest: BTreeSet<u32> = (0..60).filter(|ordinal| !a.contains(ordinal)).collect();
            assert_eq!(list(&set_a.complement(60)), rest);
            let within: BTreeSet<u32> = set_a.within(10..30).collect();
            assert_eq!(set_a.count_within(10..30), within.len());
            assert_eq!(within, a.range(10..30).copied().collect());
            assert!((0..60).all(|ordinal| set_a.contains(ordinal) == a.contains(&ordinal)));
            let mut list: Vec<u32> = a.iter().copied().collect();
            random.shuffle(&mut list);
            assert_eq!(Set::of(&mut list), set_a);
            let mut sparse: Vec<u32> = a.iter().map(|one| one * 1_000_003).collect();
            let expected = of(&sparse.iter().copied().collect());
            random.shuffle(&mut sparse);
            assert_eq!(Set::of(&mut sparse), expected);
            let mut bytes = Vec::new();
            set_a.put(&mut bytes);
            assert_eq!(Set::get(&mut Cursor::new(&bytes), 60), Ok(set_a.clone()));
            if let Some(last) = a.last() {
                assert!(Set::get(&mut Cursor::new(&bytes), *last).is_err());
            }
        }
    }
}
