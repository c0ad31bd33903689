//! Which buckets of downsampled samples a selection may be answered from.
//!
//! Buckets stand in for samples where they make the same answer: where every range is made of whole
//! buckets, and the function needs of each no more than is kept of it. Where samples are gone
//! buckets are all there is, and the answer says what they cannot tell.

use promql::Selection;
use promql::source::Sparse;
use storage::downsampling::Resolution;
use storage::message::{Aggregate, BucketStats, Rollup};

const NANOS_PER_MS: u64 = 1_000_000;

/// What a selection wants of old samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) rollup: Rollup,
    /// Whether the function needs no more than buckets have.
    knows: bool,
}

/// What a selection wants of old samples.
pub(super) fn wanted(selection: &Selection) -> Wanted {
    let aggregate = match selection.range_ms {
        _ if selection.extended => None,
        0 => Some(Aggregate::Last),
        _ => aggregate(selection.function),
    };
    // One time sees no more than the last sample before it.
    let is_of_one_time = selection.range_ms == 0 && selection.step_ms == 0 && !selection.extended;
    let fits = |resolution: &Resolution| {
        let length = i64::try_from(resolution.milliseconds()).unwrap_or(i64::MAX);
        let times = [selection.first_ms, selection.step_ms, selection.range_ms];
        aggregate.is_some() && times.iter().all(|time| time % length == 0)
    };
    let longest = Resolution::ALL.into_iter().rev().find(fits);
    Wanted {
        rollup: Rollup {
            resolution_ms: longest.map_or(0, Resolution::milliseconds),
            aggregate: aggregate.unwrap_or(Aggregate::Last),
            newest: is_of_one_time,
        },
        knows: aggregate.is_some(),
    }
}

/// What a function of ranges needs of each bucket; nothing where buckets cannot tell.
fn aggregate(function: &str) -> Option<Aggregate> {
    Some(match function {
        "rate" | "increase" => Aggregate::Counter,
        "delta" | "first_over_time" => Aggregate::Ends,
        "min_over_time" => Aggregate::Min,
        "max_over_time" => Aggregate::Max,
        "sum_over_time" => Aggregate::Sum,
        "avg_over_time" | "count_over_time" => Aggregate::Average,
        "last_over_time" | "present_over_time" | "absent_over_time" => Aggregate::Last,
        _ => return None,
    })
}

/// Until when the samples of an answer are further apart than they were taken. Where buckets fit,
/// their last samples are those that an instant at their end would see.
pub(super) fn sparse(buckets: BucketStats, wanted: Wanted) -> Sparse {
    if buckets.longest_ms <= wanted.rollup.resolution_ms {
        return Sparse::default();
    }
    let end_ms = buckets.until_unix_nano / NANOS_PER_MS;
    Sparse {
        apart_ms: i64::try_from(buckets.longest_ms).unwrap_or(i64::MAX),
        until_ms: i64::try_from(end_ms).map_or(i64::MAX, |end_ms| end_ms.saturating_add(1)),
    }
}

/// What the user should know of an answer with buckets in it.
pub(super) fn warning(
    buckets: BucketStats,
    selection: &Selection,
    wanted: Wanted,
) -> Option<String> {
    if buckets.longest_ms == 0 {
        return None;
    }
    let length = match buckets.longest_ms / 60_000 {
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    };
    let of_some = matches!(
        wanted.rollup.aggregate,
        Aggregate::Min | Aggregate::Max | Aggregate::Sum | Aggregate::Average
    );
    let function = selection.function;
    let note = if !wanted.knows {
        match function {
            "" => "; what needs every sample has the last of each bucket".to_owned(),
            _ => format!("; {function} needs every sample and has the last of each bucket"),
        }
    } else if buckets.longest_ms > wanted.rollup.resolution_ms {
        "; times of this query do not fall on the ends of buckets, so it sees parts of them as a \
         whole or not at all"
            .to_owned()
    } else if buckets.points && of_some {
        format!("; {function} has few points of histograms, summaries and deltas of each bucket")
    } else {
        String::new()
    };
    Some(format!(
        "old samples are downsampled to buckets of {length}{note}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In minutes.
    fn selection(function: &'static str, [first, range, step]: [i64; 3]) -> Selection {
        Selection {
            matchers: Vec::new(),
            start_ms: 0,
            end_ms: 0,
            earliest_ms: 0,
            step_ms: step * 60_000,
            first_ms: first * 60_000,
            range_ms: range * 60_000,
            extended: false,
            function,
            grouping: Vec::new(),
            by: false,
            unordered: false,
            foreseen_max: usize::MAX,
            share: promql::Share::ALL,
        }
    }

    #[test]
    fn ranges_are_made_of_whole_buckets() {
        let of = |function, times| {
            let wanted = wanted(&selection(function, times));
            let resolution = wanted.rollup.resolution_ms / 60_000;
            (resolution, wanted.rollup.aggregate, wanted.knows)
        };
        assert_eq!(of("sum", [600, 0, 10]), (5, Aggregate::Last, true));
        assert_eq!(of("sum", [601, 0, 10]), (0, Aggregate::Last, true));
        assert_eq!(of("", [660, 0, 0]), (60, Aggregate::Last, true));
        assert_eq!(of("rate", [600, 5, 60]), (5, Aggregate::Counter, true));
        assert_eq!(of("rate", [605, 60, 60]), (5, Aggregate::Counter, true));
        assert_eq!(of("rate", [600, 60, 1]), (0, Aggregate::Counter, true));
        assert_eq!(of("increase", [600, 3, 60]), (0, Aggregate::Counter, true));
        let day = of("avg_over_time", [1_440, 1_440, 0]);
        assert_eq!(day, (60, Aggregate::Average, true));
        assert_eq!(of("irate", [600, 60, 60]), (0, Aggregate::Last, false));
        let mut anchored = selection("rate", [600, 60, 60]);
        anchored.extended = true;
        assert_eq!(wanted(&anchored).rollup, Rollup::EVERYTHING);
    }

    #[test]
    fn what_is_not_exact_is_said() {
        let said = |function, first, minutes: u64, points| {
            let selection = selection(function, [first, 60, 0]);
            let buckets = BucketStats {
                longest_ms: minutes * 60_000,
                until_unix_nano: 7 * NANOS_PER_MS,
                points,
            };
            let wanted = wanted(&selection);
            let sparse = sparse(buckets, wanted);
            let text = warning(buckets, &selection, wanted).unwrap_or_default();
            (text, (sparse.apart_ms, sparse.until_ms))
        };
        let (text, sparse) = said("quantile_over_time", 60, 60, false);
        assert_eq!(
            text,
            "old samples are downsampled to buckets of 1h; quantile_over_time needs every sample \
             and has the last of each bucket"
        );
        assert_eq!(sparse, (3_600_000, 8));
        let plain = "old samples are downsampled to buckets of 5m";
        let exact = (plain.to_owned(), (0, 0));
        assert_eq!(said("avg_over_time", 60, 5, false), exact);
        assert_eq!(said("rate", 60, 5, true), exact);
        assert_eq!(
            said("avg_over_time", 60, 5, true).0,
            format!(
                "{plain}; avg_over_time has few points of histograms, summaries and deltas of each \
                 bucket"
            )
        );
        assert_eq!(
            said("rate", 61, 5, false).0,
            format!(
                "{plain}; times of this query do not fall on the ends of buckets, so it sees parts \
                 of them as a whole or not at all"
            )
        );
        assert_eq!(said("rate", 60, 0, false).0, "");
    }
}
