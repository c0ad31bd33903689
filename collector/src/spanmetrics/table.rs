//! Series by the values of their labels, as many as are allowed and one for the rest.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Longer values are counted in the overflow series, so that they cannot fill the memory.
pub(super) const VALUE_BYTES_MAX: usize = 1024;

/// One series.
#[derive(Debug)]
pub(super) struct Series<T> {
    /// In the order of the labels; empty where a label is missing.
    pub values: Box<[Box<str>]>,
    /// Since when it counts.
    pub start_unix_nano: u64,
    last_unix_nano: u64,
    /// Whether its points have begun to be written.
    pub begun: bool,
    changed: bool,
    pub counts: T,
}

impl<T> Series<T> {
    fn new(values: Box<[Box<str>]>, now: u64, counts: T) -> Self {
        Self {
            values,
            start_unix_nano: now,
            last_unix_nano: now,
            begun: false,
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

impl<T> Table<T> {
    /// The counts of the series with these values. There are at most `most` beside that of the
    /// rest.
    pub(super) fn at<S: AsRef<str>>(
        &mut self,
        values: &[S],
        now: u64,
        most: usize,
        counts: impl FnOnce() -> T,
    ) -> (&mut T, Place) {
        let is_same = |series: &Series<T>| {
            let own = series.values.iter().map(|value| &**value);
            own.eq(values.iter().map(AsRef::as_ref))
        };
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
                let new = || Box::new(Series::new(Box::default(), now, counts()));
                let overflow = self.overflow.get_or_insert_with(new);
                (overflow.touch(now), Place::Overflow)
            }
        }
    }

    /// Shows the series that have changed, or with `all` every one, and whether it is that of the
    /// rest. Then forgets those that have not changed for `idle`, and says how many they were.
    pub(super) fn show(
        &mut self,
        (now, idle): (u64, u64),
        all: bool,
        mut each: impl FnMut(&mut Series<T>, bool),
    ) -> usize {
        let before = self.series.len();
        let mut see = |series: &mut Series<T>, rest| {
            if series.changed || all {
                each(series, rest);
                series.changed = false;
                series.begun = true;
            }
            !series.is_idle(now, idle)
        };
        self.series.retain(|series| see(series, false));
        if let Some(rest) = &mut self.overflow
            && !see(rest, true)
        {
            self.overflow = None;
        }
        before - self.series.len()
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
