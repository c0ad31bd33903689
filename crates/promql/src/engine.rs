//! The engine: options, limits, and the answer to a query.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::ast::{Expr, ValueType};
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::parse::{Features, ParseError, parse, parse_with};
use crate::plan::{Bounds, Grid, Plan};
use crate::source::{SeriesSource, SourceError, SourceErrorKind};

/// What is the same for all queries.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far back an instant selector looks for the last sample.
    pub lookback_ms: i64,
    /// The resolution of subqueries that give none.
    pub subquery_step_ms: i64,
    /// Whether metric names are dropped at the end instead of by each function, so that a query
    /// over several metrics does not fail halfway.
    pub delayed_name_removal: bool,
    /// What queries read by [`Engine::query`] may use.
    pub features: Features,
    /// How many threads a query may be evaluated on.
    pub threads: usize,
    /// Whether answers say how many samples each step looked at.
    pub count_samples: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            delayed_name_removal: true,
            features: Features::Experimental,
            threads: 4,
            count_samples: false,
        }
    }
}

/// Memory that evaluations share with others.
pub trait Memory: Send + Sync + std::fmt::Debug {
    /// Takes memory for so many more values; false where there is none at present.
    fn hold(&self, values: usize) -> bool;
}

/// What one query may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Samples held at once, and values in any one result on the way.
    pub max_samples: usize,
    /// Samples read in all, however few of them are held at once.
    pub max_read: usize,
    /// Steps of a range query.
    pub max_steps: usize,
    /// Series in the answer.
    pub max_series: usize,
    /// When the evaluation gives up.
    pub deadline: Option<Instant>,
    /// Set by the caller to stop the evaluation.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// Where values that are calculated are held.
    pub memory: Option<Arc<dyn Memory>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_samples: 50_000_000,
            max_read: 1_000_000_000,
            max_steps: 11_000,
            max_series: 100_000,
            deadline: None,
            cancelled: None,
            memory: None,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self
            .cancelled
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
        {
            return Err(Error::Cancelled);
        }
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(Error::Timeout);
        }
        Ok(())
    }

    pub(crate) fn check_samples(&self, samples: usize) -> Result<(), Error> {
        if samples <= self.max_samples {
            return Ok(());
        }
        let message = format!(
            "query processing would load too many samples into memory in query execution ({samples}, the limit is {}); narrow the selectors, the range or the step",
            self.max_samples
        );
        Err(Error::Limit {
            limit: "max_samples",
            value: self.max_samples,
            message,
        })
    }

    pub(crate) fn check_read(&self, samples: usize) -> Result<(), Error> {
        if samples <= self.max_read {
            return Ok(());
        }
        let message = format!(
            "the query would read too many samples ({samples}, the limit is {}); narrow the selectors or the range",
            self.max_read
        );
        Err(Error::Limit {
            limit: "max_read",
            value: self.max_read,
            message,
        })
    }
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: `bad_data` in Prometheus' API.
    BadData,
    /// The query failed on this data: `execution`.
    Execution,
    /// A limit was hit: `execution`.
    Limit,
    /// It took too long: `timeout`.
    Timeout,
    /// The caller went away: `canceled`.
    Cancelled,
    /// Try again later: `unavailable`.
    Unavailable,
    /// Something broke: `internal`.
    Internal,
}

/// A failed query.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The text is no query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The parameters do not fit.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be answered on this data.
    #[error("{0}")]
    Execution(String),
    /// A limit was hit.
    #[error("{message}")]
    Limit {
        /// Its name.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// What happened and what to do.
        message: String,
    },
    /// The deadline passed.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller stopped it.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// Others hold the memory that there is for values.
    #[error("other queries hold the memory that there is for samples; try again shortly")]
    Busy,
    /// The source failed.
    #[error("expanding series: {0}")]
    Source(#[from] SourceError),
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Parse(_) | Error::BadData(_) => ErrorKind::BadData,
            Error::Execution(_) => ErrorKind::Execution,
            Error::Limit { .. } => ErrorKind::Limit,
            Error::Timeout => ErrorKind::Timeout,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Busy => ErrorKind::Unavailable,
            Error::Source(error) => match error.kind {
                SourceErrorKind::Limit | SourceErrorKind::TooManySamples(_) => ErrorKind::Limit,
                SourceErrorKind::Timeout => ErrorKind::Timeout,
                SourceErrorKind::Cancelled => ErrorKind::Cancelled,
                SourceErrorKind::Unavailable => ErrorKind::Unavailable,
                SourceErrorKind::Internal => ErrorKind::Internal,
            },
        }
    }
}

/// A query that has been read.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its text; positions in messages refer to it.
    pub text: Arc<str>,
    /// Its tree.
    pub expr: Arc<Expr>,
}

impl Query {
    /// Reads a query of the whole language.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self {
            text: text.into(),
            expr: Arc::new(parse(text)?),
        })
    }

    /// Whether it can be asked over a range of times; otherwise why not.
    pub fn check_range(&self) -> Result<(), String> {
        match self.expr.value_type() {
            ValueType::Scalar | ValueType::Vector => Ok(()),
            other => Err(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                other.documented()
            )),
        }
    }

    /// A query from a tree that was built or changed by a program.
    pub fn from_expr(expr: &Expr) -> Result<Self, ParseError> {
        Self::parse(&expr.to_string())
    }
}

/// A sample's value.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// The number, which is 0 for a histogram: so Prometheus has it where only a number fits.
    pub fn number(&self) -> f64 {
        match self {
            SampleValue::Float(value) => *value,
            SampleValue::Histogram(_) => 0.0,
        }
    }

    /// The marker that ends a series whose samples are of this kind.
    pub fn stale_marker(&self) -> Self {
        let sum = crate::source::stale_nan();
        match self {
            SampleValue::Float(_) => SampleValue::Float(sum),
            SampleValue::Histogram(_) => SampleValue::Histogram(Arc::new(FloatHistogram {
                sum,
                ..FloatHistogram::default()
            })),
        }
    }

    /// Whether it is the marker that ends a series.
    pub fn is_stale(&self) -> bool {
        crate::source::is_stale(match self {
            SampleValue::Float(value) => *value,
            SampleValue::Histogram(histogram) => histogram.sum,
        })
    }
}

/// A value at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Value.
    pub value: SampleValue,
}

/// A series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Labels.
    pub labels: Labels,
    /// Value.
    pub point: Point,
}

/// A series of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Labels.
    pub labels: Labels,
    /// Points by time.
    pub points: Vec<Point>,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Scalar {
        /// Milliseconds since 1970.
        time_ms: i64,
        /// Value.
        value: f64,
    },
    /// A string.
    String {
        /// Milliseconds since 1970.
        time_ms: i64,
        /// Value.
        value: String,
    },
    /// One sample per series; in the order that the query asked for, if it did.
    Vector(Vec<VectorSample>),
    /// A range of samples per series, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What a query did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Samples read from the source.
    pub samples: usize,
    /// Series read from the source.
    pub series: usize,
}

/// How many samples a query looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those of each step, with its time in milliseconds since 1970.
    pub per_step: Vec<(i64, u64)>,
    /// Most values in any one result, or looked at by one step, on the way.
    pub peak: u64,
}

impl Counts {
    /// Those of all steps.
    pub fn total(&self) -> u64 {
        let steps = self.per_step.iter().map(|(_, samples)| samples);
        steps.fold(0, |sum, samples| sum.saturating_add(*samples))
    }
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its value.
    pub value: Value,
    /// Where it may be wrong or incomplete.
    pub warnings: Vec<String>,
    /// Where the query may not be what was meant.
    pub infos: Vec<String>,
    /// What it did.
    pub stats: Stats,
    /// What it looked at; nothing unless [`Options::count_samples`] is set.
    pub counts: Counts,
}

/// Times beyond this (about 285,000 years) are refused, so that adding ranges and offsets to them
/// cannot overflow.
const MAX_TIME_MS: i64 = 1 << 53;

fn check_time(time_ms: i64) -> Result<(), Error> {
    if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&time_ms) {
        return Ok(());
    }
    Err(Error::BadData(format!(
        "time {time_ms} is out of range, in milliseconds since 1970"
    )))
}

/// Evaluates queries.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: Options,
}

impl Engine {
    /// An engine with these options.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Reads a query, with the features that this engine allows.
    pub fn query(&self, text: &str) -> Result<Query, ParseError> {
        Ok(Query {
            text: text.into(),
            expr: Arc::new(parse_with(text, self.options.features)?),
        })
    }

    /// The plan of a query at one time.
    pub fn prepare_instant(
        &self,
        query: &Query,
        time_ms: i64,
        limits: Limits,
    ) -> Result<Plan, Error> {
        check_time(time_ms)?;
        let bounds = Bounds {
            start_ms: time_ms,
            end_ms: time_ms,
        };
        let times = (bounds, Grid::instant(time_ms), false);
        Plan::new(query.clone(), times, self.options.clone(), limits)
    }

    /// The plan of a query at each step from `start_ms` to `end_ms`, both inclusive.
    pub fn prepare_range(
        &self,
        query: &Query,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        limits: Limits,
    ) -> Result<Plan, Error> {
        check_time(start_ms)?;
        check_time(end_ms)?;
        if step_ms <= 0 {
            let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
            return Err(Error::BadData(message.to_owned()));
        }
        if end_ms < start_ms {
            return Err(Error::BadData(
                "end timestamp must not be before start time".to_owned(),
            ));
        }
        query.check_range().map_err(Error::BadData)?;
        let grid = Grid::range(start_ms, end_ms, step_ms);
        // The first point is on top of as many steps as there may be.
        if grid.count.saturating_sub(1) > limits.max_steps {
            let message = format!(
                "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
                crate::format::thousands(limits.max_steps)
            );
            // The request is wrong whatever the data: Prometheus answers so, too.
            return Err(Error::BadData(message));
        }
        let bounds = Bounds { start_ms, end_ms };
        Plan::new(
            query.clone(),
            (bounds, grid, true),
            self.options.clone(),
            limits,
        )
    }

    /// Answers a query at one time.
    pub async fn instant(
        &self,
        query: &Query,
        time_ms: i64,
        source: &dyn SeriesSource,
        limits: Limits,
    ) -> Result<Answer, Error> {
        answer(self.prepare_instant(query, time_ms, limits)?, source).await
    }

    /// Answers a query at each step from `start_ms` to `end_ms`, both inclusive.
    pub async fn range(
        &self,
        query: &Query,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        source: &dyn SeriesSource,
        limits: Limits,
    ) -> Result<Answer, Error> {
        let plan = self.prepare_range(query, start_ms, end_ms, step_ms, limits)?;
        answer(plan, source).await
    }
}

async fn answer(plan: Plan, source: &dyn SeriesSource) -> Result<Answer, Error> {
    let mut parts = plan.in_parts();
    while let Some(fetched) = parts.fetch(source).await? {
        parts.add(fetched.evaluate_steps()?)?;
    }
    parts.finish()
}

#[cfg(test)]
mod tests;
