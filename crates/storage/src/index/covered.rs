//! Which flushes an index covers.

use std::fmt;

/// The flushes whose files have their documents in the index: first and last of each run, in
/// order, as the commit's payload `1-7,9-12`. A flush between the two that is not in the index
/// has no file of several blocks in this partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Covered(Vec<(u64, u64)>);

impl Covered {
    pub(super) fn parse(payload: &str) -> Option<Self> {
        let run = |run: &str| {
            let (first, last) = run.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        payload.split(',').map(run).collect::<Option<_>>().map(Self)
    }

    pub(super) fn contains(&self, flush: u64) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&flush))
    }

    /// With `flush`, where `before` is the last one before it that had to be covered.
    pub(super) fn with(&self, flush: u64, before: Option<u64>) -> Self {
        let mut runs = self.0.clone();
        let whole = before.is_none_or(|before| runs.last().is_some_and(|run| run.1 >= before));
        match runs.last_mut() {
            Some(run) if whole => run.1 = run.1.max(flush),
            _ => runs.push((flush, flush)),
        }
        Self(runs)
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_covered_flushes_grow_and_remember_gaps() {
        let covered = Covered::default().with(3, None).with(9, Some(3));
        assert_eq!(covered.to_string(), "3-9");
        assert_eq!(Covered::parse("3-9").unwrap(), covered);
        // Flush 12 is missing.
        let covered = covered.with(14, Some(12)).with(15, Some(14));
        assert_eq!(covered.to_string(), "3-9,14-15");
        assert_eq!(Covered::parse("3-9,14-15").unwrap(), covered);
        assert!(covered.contains(9) && covered.contains(14) && !covered.contains(12));
        // A flush that was tried before.
        assert_eq!(covered.with(15, Some(14)), covered);
        // An index that was lost begins anew, without what was before.
        assert_eq!(Covered::default().with(20, Some(15)).to_string(), "20-20");
        for other in ["", "7", "3-", "3-9,", "a-b"] {
            assert_eq!(Covered::parse(other), None, "{other}");
        }
    }
}
