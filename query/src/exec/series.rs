//! Metric series for PromQL: OTLP series of the sources as Prometheus sees them.
//!
//! Numbers and histograms of one kind come as columns; all other points come as they were sent, and
//! [`view`] turns them into samples. Delta points become running totals, which
//! begin for all selectors of a query at one midnight UTC, an hour at least before the first
//! instant that one of them asks for: sources send them from there on.

pub mod exemplars;
mod rollup;
pub mod seen;
pub mod selects;
pub mod view;

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use model::metric::MetricKind;
use model::time::NANOS_PER_SECOND;
use model::{Metric, TimeRange, prometheus};
use promql::source::SelectFuture;
use promql::{Labels, MatchOp, Matcher, Selected, Selection, Share, SourceError, SourceErrorKind};
use rustc_hash::FxBuildHasher;
use storage::message::{
    self, BucketStats, Request, Rollup, SeriesPoints, SeriesSamples, SeriesShare, SharedBy,
};

use super::Context;
use crate::error::{ErrorKind, QueryError};
use view::View;

const NANOS_PER_MS: i64 = 1_000_000;
/// Series that are listed in full, and names or values of labels: the answer says where there are
/// more.
const LISTED_MAX: usize = 50_000;
/// Between where totals of deltas begin and the first sample of one that is seen, at least: rates
/// suppose that a counter was 0 not long before its first sample if it is small as yet.
const TOTALS_BEFORE_MS: i64 = 3_600_000;

/// The sources as PromQL reads them.
pub struct SeriesReader<'a>(pub Context<'a>);

/// Milliseconds as unix nanoseconds; times before 1970 are 0.
fn nanos(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds.saturating_mul(NANOS_PER_MS)).unwrap_or(0)
}

/// The range from one millisecond to another, both inclusive.
pub fn range_of_ms(first: i64, last: i64) -> TimeRange {
    TimeRange {
        start: nanos(first),
        end: nanos(last.saturating_add(1)),
    }
}

/// Where totals begin in a query that needs no sample before this.
fn totals_since(earliest_ms: i64) -> u64 {
    let begin = nanos(earliest_ms.saturating_sub(TOTALS_BEFORE_MS));
    begin - begin % (86_400 * NANOS_PER_SECOND)
}

/// Matchers as the sources take them. Patterns are passed on as they were compiled, so that
/// PromQL's syntax is translated once.
pub(super) fn source_matchers(matchers: &[Matcher]) -> Vec<message::Matcher> {
    let one = |matcher: &Matcher| message::Matcher {
        name: matcher.name.clone(),
        op: match matcher.op {
            MatchOp::Eq => message::MatchOp::Equal,
            MatchOp::Ne => message::MatchOp::NotEqual,
            MatchOp::Re => message::MatchOp::Regex,
            MatchOp::Nre => message::MatchOp::NotRegex,
        },
        value: matcher
            .regex()
            .map_or_else(|| matcher.value.clone(), |regex| regex.as_str().to_owned()),
    };
    matchers.iter().map(one).collect()
}

impl SeriesReader<'_> {
    /// Stored series that may yield one that matches.
    pub async fn read(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        points: bool,
    ) -> Result<Vec<SeriesPoints>, QueryError> {
        let context = self.0;
        let limit = context.sizes.series.min(LISTED_MAX);
        let request = Request::Series {
            tenant: context.tenant.clone(),
            range,
            matchers: source_matchers(matchers),
            points,
            limit,
        };
        context.sources.series(request, context.work).await
    }

    /// The metrics that any series is of. One may come more than once.
    pub async fn metrics(&self) -> Result<Vec<Arc<Metric>>, QueryError> {
        let context = self.0;
        let request = Request::Metrics {
            tenant: context.tenant.clone(),
            limit: LISTED_MAX,
        };
        context.sources.metrics(request, context.work).await
    }

    /// Stored series with the labels that resource attributes become by configuration.
    async fn promoted(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        points: bool,
    ) -> Result<Vec<SeriesPoints>, QueryError> {
        let mut parts = self.read(matchers, range, points).await?;
        for part in &mut parts {
            self.0.promotion.apply(&mut part.series);
        }
        Ok(parts)
    }

    /// Prometheus series with their samples, for a query that needs none before `earliest_ms`.
    pub async fn samples(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        earliest_ms: i64,
    ) -> Result<Vec<promql::Series>, QueryError> {
        let (series, _) = self
            .rolled_up(
                matchers,
                (range, earliest_ms),
                Rollup::EVERYTHING,
                (usize::MAX, Share::ALL),
            )
            .await?;
        Ok(series)
    }

    /// The same, or what is wanted of buckets where samples are downsampled; and which are.
    async fn rolled_up(
        &self,
        matchers: &[Matcher],
        (range, earliest_ms): (TimeRange, i64),
        rollup: Rollup,
        (foreseen_max, share): (usize, Share),
    ) -> Result<(Vec<promql::Series>, BucketStats), QueryError> {
        let context = self.0;
        let request = Request::Samples {
            tenant: context.tenant.clone(),
            range,
            deltas_since: totals_since(earliest_ms),
            matchers: source_matchers(matchers),
            rollup,
            samples: context.sizes.samples,
            foreseen: foreseen_max,
            limit: context.sizes.series,
            share: SeriesShare {
                index: share.index,
                of: share.of,
                by: match context.promotion.is_none() {
                    true => SharedBy::Labels,
                    false => SharedBy::Target,
                },
            },
        };
        let mut view = View::new((context.sources.seen(), context.promotion), matchers);
        let take = |_, reply| {
            if let message::Reply::Samples(more) = reply {
                context.work.hold_samples(samples_in(&more))?;
                view.add(more);
            }
            Ok(())
        };
        let sources = context.sources;
        let stats = sources.fallible(request, context.work, take).await?;
        // Of buckets the last samples come that stand for the beginning of the range.
        let before = stats
            .buckets
            .longest_ms
            .saturating_mul(NANOS_PER_MS.unsigned_abs());
        let range = TimeRange {
            start: range.start.saturating_sub(before),
            ..range
        };
        Ok((view.finish(range), stats.buckets))
    }

    /// Names of labels of the series that match any of the selectors, or values of one label.
    pub async fn labels(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        label: Option<&str>,
    ) -> Result<BTreeSet<String>, QueryError> {
        // Bounds and quantiles are in the points.
        let in_points = |name: &str| matches!(name, "le" | "quantile");
        let matched = selectors.iter().flatten().any(|m| in_points(&m.name));
        if matched || label.is_some_and(in_points) {
            let sets = self.label_sets(selectors, range).await?;
            let labels = sets.iter().flat_map(Labels::iter);
            let mut found: BTreeSet<String> = match label {
                None => labels.map(|(name, _)| name.to_owned()).collect(),
                Some(wanted) => labels
                    .filter(|(name, _)| *name == wanted)
                    .map(|(_, value)| value.to_owned())
                    .collect(),
            };
            // Series of Prometheus have them as labels, which are found in all series, also where
            // there are more than are listed.
            if !matched && self.0.promotion.is_none() {
                let more = self.texts(selectors, range, label).await?;
                found.extend(more.into_iter().filter(|text| !text.is_empty()));
            }
            return Ok(found);
        }
        let context = self.0;
        let mut found = BTreeSet::new();
        // What is promoted is not known to sources.
        if !context.promotion.is_none() {
            for matchers in selectors {
                let parts = self.promoted(matchers, range, false).await?;
                view::labels_without_bounds(&parts, matchers, &mut |name, value| match label {
                    None => {
                        found.insert(name.to_owned());
                    }
                    Some(wanted) if wanted == name => found.extend(value.map(str::to_owned)),
                    Some(_) => {}
                });
            }
            return Ok(found);
        }
        self.texts(selectors, range, label).await
    }

    /// The same as sources know them.
    async fn texts(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        label: Option<&str>,
    ) -> Result<BTreeSet<String>, QueryError> {
        let context = self.0;
        let mut found = BTreeSet::new();
        for matchers in selectors {
            let request = Request::Labels {
                tenant: context.tenant.clone(),
                range,
                matchers: source_matchers(matchers),
                label: label.map(str::to_owned),
                limit: context.sizes.series.min(LISTED_MAX),
            };
            let take = |_, reply| {
                if let message::Reply::Labels(more) = reply {
                    found.extend(more);
                }
            };
            context.sources.each(request, context.work, take).await?;
        }
        Ok(found)
    }

    /// Label sets of the Prometheus series that match any of the selectors.
    pub async fn label_sets(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<Labels>, QueryError> {
        let mut all: Vec<Vec<Labels>> = Vec::new();
        for matchers in selectors {
            let parts = self.promoted(matchers, range, false).await?;
            let has_buckets = |part: &SeriesPoints| {
                matches!(
                    prometheus::view_kind(&part.series.metric),
                    MetricKind::Histogram | MetricKind::Summary
                )
            };
            // Bounds and quantiles are in the points.
            if parts.iter().any(has_buckets) {
                let first = range.start / NANOS_PER_MS.unsigned_abs();
                let first_ms = i64::try_from(first).unwrap_or(i64::MAX);
                // Each place where there are some has one at least, and bounds hardly change.
                let newest = Rollup {
                    newest: true,
                    ..Rollup::EVERYTHING
                };
                let (times, whole) = ((range, first_ms), (usize::MAX, Share::ALL));
                let (series, _) = self.rolled_up(matchers, times, newest, whole).await?;
                all.push(series.into_iter().map(|series| series.labels).collect());
            } else {
                let matchers = matchers.clone();
                all.push(aside(move || view::label_sets(&parts, &matchers)).await?);
            }
        }
        aside(move || {
            let mut all: Vec<Labels> = all.into_iter().flatten().collect();
            all.sort_unstable();
            all.dedup();
            all
        })
        .await
    }
}

impl promql::SeriesSource for SeriesReader<'_> {
    fn select<'a>(&'a self, selection: &'a Selection) -> SelectFuture<'a> {
        Box::pin(async move {
            let wanted = rollup::wanted(selection);
            let first = selection.start_ms.saturating_add(1);
            let range = range_of_ms(first, selection.end_ms);
            let (mut series, buckets) = self
                .rolled_up(
                    &selection.matchers,
                    (range, selection.earliest_ms),
                    wanted.rollup,
                    (selection.foreseen_max, selection.share),
                )
                .await
                .map_err(source_error)?;
            // Each source has an order, and none comes before another.
            if selection.unordered && self.0.sources.len() > 1 {
                series.sort_by_cached_key(|series| FxBuildHasher.hash_one(&series.labels));
            }
            Ok(Selected {
                series,
                sparse: rollup::sparse(buckets, wanted),
                warnings: rollup::warning(buckets, selection, wanted)
                    .into_iter()
                    .collect(),
            })
        })
    }

    /// What is known of targets is made of all of their series.
    fn shares(&self, selection: &Selection) -> bool {
        !view::wants_info(&selection.matchers)
    }
}

/// Does what takes a while where there are many series, without holding up other requests.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|problem| {
        let message = format!("the answer could not be made: {problem}");
        QueryError::new(ErrorKind::Internal, message)
    })
}

/// How many samples there are, as far as memory goes: series have names and a list of labels, and
/// points are not as small as numbers.
fn samples_in(parts: &[SeriesSamples]) -> usize {
    const OF_SERIES: usize = 16;
    const OF_POINT: usize = 20;
    let columns = |part: &SeriesSamples| {
        let histograms = part.histograms.as_ref();
        histograms.map_or(0, |all| {
            (OF_SERIES + all.counts.len()) * (all.buckets.len() + 3)
        })
    };
    let exponentials = |part: &SeriesSamples| {
        let histograms = part.exponentials.as_ref().map(|all| &all.columns);
        histograms.map_or(0, |all| {
            OF_POINT * all.counts.len() + all.positive.counts.len() + all.negative.counts.len()
        })
    };
    let of = |part: &SeriesSamples| {
        let deltas = part.deltas.as_ref().map_or(0, |all| 2 * all.times.len());
        let columns = columns(part) + exponentials(part) + deltas;
        OF_SERIES + part.values.len() + columns + OF_POINT * part.points.len()
    };
    parts.iter().map(of).sum()
}

fn source_error(error: QueryError) -> SourceError {
    let kind = match error.kind {
        ErrorKind::TooManySamples(samples) => SourceErrorKind::TooManySamples(samples),
        ErrorKind::Timeout => SourceErrorKind::Timeout,
        ErrorKind::Unavailable | ErrorKind::Overloaded => SourceErrorKind::Unavailable,
        ErrorKind::TooLarge => SourceErrorKind::Limit,
        _ => SourceErrorKind::Internal,
    };
    SourceError {
        kind,
        message: error.to_string(),
    }
}
