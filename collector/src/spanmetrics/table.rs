//! Series by the values of their labels, as many as are allowed and one for the rest.
//!
//! What is to be written is taken out as a copy, so that it can be encoded while spans are counted
//! on. What could not be written is put back: it counts as changed, and what is written once (the
//! zero that a series begins with, examples) is written the next time.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::zero::Moment;

/// Longer values are counted in the overflow series, so that they cannot fill the memory.
pub(super) const VALUE_BYTES_MAX: usize = 1024;

/// The values of the labels of a series, in their order; empty where a label is missing. The series
/// of the rest has none at all.
pub(super) type Values = Arc<[Box<str>]>;

/// What a series counts.
pub(super) trait Counts {
    /// What is to be written: a copy of the counts, and what is written once. Zeros that were not
    /// written yet get the time `nothing_yet`.
    fn take(&mut self, nothing_yet: u64) -> Self;

    /// Has the zeros that were taken written once more, but for those before `since`.
    fn put_back_zeros(&mut self, taken: &Self, since: u64);

    /// Has everything that was taken written once more.
    fn put_back(&mut self, taken: Self);
}

/// A series as it is to be written.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub values: Values,
    /// Since when it counts.
    pub start_unix_nano: u64,
    pub counts: T,
}

/// One series.
#[derive(Debug)]
struct Series<T> {
    values: Values,
    start_unix_nano: u64,
    last_unix_nano: u64,
    /// Whether it counts something that is not written.
    changed: bool,
    counts: T,
}

impl<T: Counts> Series<T> {
    fn new(values: Values, now: u64, counts: T) -> Self {
        Self {
            values,
            start_unix_nano: now,
            last_unix_nano: now,
            changed: false,
            counts,
        }
    }

    fn touch(&mut self, now: u64) -> &mut T {
        self.last_unix_nano = now;
        self.changed = true;
        &mut self.counts
    }

    fn is_idle(&self, now: u64, idle: u64) -> bool {
        now.saturating_sub(self.last_unix_nano) >= idle
    }

    fn take(&mut self, at: Moment) -> Taken<T> {
        self.changed = false;
        Taken {
            values: Arc::clone(&self.values),
            start_unix_nano: self.start_unix_nano,
            counts: self.counts.take(at.nothing_yet(self.start_unix_nano)),
        }
    }
}

/// Series of one metric family and tenant.
#[derive(Debug)]
pub(super) struct Table<T> {
    series: HashTable<Series<T>>,
    hasher: DefaultHashBuilder,
    overflow: Option<Box<Series<T>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            series: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            overflow: None,
        }
    }
}

/// Which series counts something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One that was there.
    Known,
    /// One that begins.
    New,
    /// That of the rest.
    Overflow,
}

fn hash<S: AsRef<str>>(hasher: &DefaultHashBuilder, values: &[S]) -> u64 {
    let mut state = hasher.build_hasher();
    for value in values {
        value.as_ref().hash(&mut state);
    }
    state.finish()
}

fn is_of<T, S: AsRef<str>>(series: &Series<T>, values: &[S]) -> bool {
    let own = series.values.iter().map(|value| &**value);
    own.eq(values.iter().map(AsRef::as_ref))
}

impl<T: Counts> Table<T> {
    /// The counts of the series with these values. There are at most `most` beside that of the
    /// rest.
    pub(super) fn at<S: AsRef<str>>(
        &mut self,
        values: &[S],
        now: u64,
        most: usize,
        counts: impl FnOnce() -> T,
    ) -> (&mut T, Place) {
        let is_same = |series: &Series<T>| is_of(series, values);
        let rehash = |series: &Series<T>| hash(&self.hasher, &series.values);
        let known = self.series.len();
        match self
            .series
            .entry(hash(&self.hasher, values), is_same, rehash)
        {
            Entry::Occupied(entry) => (entry.into_mut().touch(now), Place::Known),
            Entry::Vacant(entry) if known < most && all_fit(values) => {
                let values = values.iter().map(|value| value.as_ref().into()).collect();
                let entry = entry.insert(Series::new(values, now, counts()));
                (entry.into_mut().touch(now), Place::New)
            }
            Entry::Vacant(_) => {
                let new = || Box::new(Series::new(Values::default(), now, counts()));
                let overflow = self.overflow.get_or_insert_with(new);
                (overflow.touch(now), Place::Overflow)
            }
        }
    }

    /// Takes out the series that have changed, or with `all` every one. Forgets those that have
    /// nothing left to be written and have not changed for `idle`, and says how many they were.
    pub(super) fn take(
        &mut self,
        at: Moment,
        idle: u64,
        all: bool,
        mut each: impl FnMut(Taken<T>),
    ) -> usize {
        let before = self.series.len();
        let mut see = |series: &mut Series<T>| {
            if !series.changed && series.is_idle(at.now, idle) {
                return false;
            }
            if series.changed || all {
                each(series.take(at));
            }
            true
        };
        self.series.retain(&mut see);
        self.overflow.take_if(|rest| !see(rest));
        before - self.series.len()
    }

    /// Has the zeros of a series that were not written, or may not have been, written once more, but
    /// for those before `since`.
    pub(super) fn put_back_zeros(&mut self, taken: &Taken<T>, since: u64) {
        if let Some(series) = self.find(&taken.values) {
            series.counts.put_back_zeros(&taken.counts, since);
        }
    }

    /// Has a series that could not be written, written the next time.
    pub(super) fn put_back(&mut self, taken: Taken<T>) {
        if let Some(series) = self.find(&taken.values) {
            series.changed = true;
            series.counts.put_back(taken.counts);
        }
    }

    fn find(&mut self, values: &[Box<str>]) -> Option<&mut Series<T>> {
        if values.is_empty() {
            return self.overflow.as_deref_mut();
        }
        let hash = hash(&self.hasher, values);
        self.series.find_mut(hash, |series| is_of(series, values))
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.overflow.is_none()
    }
}

fn all_fit<S: AsRef<str>>(values: &[S]) -> bool {
    values
        .iter()
        .all(|value| value.as_ref().len() <= VALUE_BYTES_MAX)
}
