//! Which files an index covers.

use std::fmt;

use crate::partition::FileId;

/// The files that have their documents in the index, as the commit's payload
/// `1-7,9-12;17179869191,17179869196`.
///
/// Of flushes first and last of each run, in order: a flush between the two that is not in the
/// index has no file of several blocks in this partition, and never will. Then the numbers of
/// merged files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Covered {
    flushes: Vec<(u64, u64)>,
    merged: Vec<u64>,
}

impl Covered {
    pub(super) fn parse(payload: &str) -> Option<Self> {
        let run = |run: &str| {
            let (first, last) = run.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let (flushes, merged) = payload.split_once(';').unwrap_or((payload, ""));
        let list = |text: &str| -> Vec<String> {
            let parts = text.split(',').filter(|_| !text.is_empty());
            parts.map(str::to_owned).collect()
        };
        if payload.is_empty() {
            return None;
        }
        let flushes = list(flushes);
        let merged = list(merged);
        Some(Self {
            flushes: flushes
                .iter()
                .map(|text| run(text))
                .collect::<Option<_>>()?,
            merged: merged
                .iter()
                .map(|text| text.parse().ok())
                .collect::<Option<_>>()?,
        })
    }

    /// Whether the file of this number is covered.
    pub(super) fn contains(&self, file: u64) -> bool {
        if !FileId::is_flush(file) {
            return self.merged.binary_search(&file).is_ok();
        }
        let runs = self.flushes.iter();
        runs.into_iter()
            .any(|(first, last)| (*first..=*last).contains(&file))
    }

    /// With the file of `flush`, where `before` is the last flush before it whose file had to be
    /// covered.
    pub(super) fn with_flush(&self, flush: u64, before: Option<u64>) -> Self {
        let mut with = self.clone();
        let runs = &mut with.flushes;
        let whole = before.is_none_or(|before| runs.last().is_some_and(|run| run.1 >= before));
        match runs.last_mut() {
            Some(run) if whole => run.1 = run.1.max(flush),
            _ => runs.push((flush, flush)),
        }
        with
    }

    /// With a merged file, and without those that are not `needed` any more.
    pub(super) fn with_merged(&self, file: u64, needed: impl Fn(u64) -> bool) -> Self {
        let mut with = self.clone();
        with.merged.retain(|other| needed(*other));
        if let Err(at) = with.merged.binary_search(&file) {
            with.merged.insert(at, file);
        }
        with
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.flushes.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        for (at, file) in self.merged.iter().enumerate() {
            let separator = if at == 0 { ";" } else { "," };
            write!(f, "{separator}{file}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_covered_flushes_grow_and_remember_gaps() {
        let covered = Covered::default()
            .with_flush(3, None)
            .with_flush(9, Some(3));
        assert_eq!(covered.to_string(), "3-9");
        assert_eq!(Covered::parse("3-9").unwrap(), covered);
        // Flush 12 is missing.
        let covered = covered.with_flush(14, Some(12)).with_flush(15, Some(14));
        assert_eq!(covered.to_string(), "3-9,14-15");
        assert_eq!(Covered::parse("3-9,14-15").unwrap(), covered);
        assert!(covered.contains(9) && covered.contains(14) && !covered.contains(12));
        // A flush that was tried before.
        assert_eq!(covered.with_flush(15, Some(14)), covered);
        // An index that was lost begins anew, without what was before.
        let lost = Covered::default().with_flush(20, Some(15));
        assert_eq!(lost.to_string(), "20-20");
        for other in ["", "7", "3-", "3-9,", "a-b", "3-9;x", "3-9;7,"] {
            assert_eq!(Covered::parse(other), None, "{other}");
        }
    }

    #[test]
    fn merged_files_are_covered_while_they_are_needed() {
        let number = |last| {
            let files = [FileId::flush(1), FileId::flush(last)];
            FileId::merged(&files).unwrap().number()
        };
        let covered = Covered::default().with_merged(number(9), |_| true);
        assert_eq!(Covered::parse(&covered.to_string()).unwrap(), covered);
        let covered = covered
            .with_flush(12, None)
            .with_merged(number(5), |_| true);
        assert_eq!(Covered::parse(&covered.to_string()).unwrap(), covered);
        assert!(covered.contains(number(5)) && covered.contains(number(9)));
        assert!(covered.contains(12) && !covered.contains(9) && !covered.contains(number(12)));
        let later = covered.with_merged(number(12), |file| file == number(9));
        assert!(!later.contains(number(5)) && later.contains(number(9)));
        assert!(later.contains(number(12)) && later.contains(12));
    }
}
