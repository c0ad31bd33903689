//! Query parameters of the endpoints.
//!
//! Times are what the server reads: unix nanoseconds, RFC 3339 or `now-15m`. A parameter that is
//! not set is not sent, and then the server's default holds.

/// Name and value of each parameter sent.
pub(crate) type Pairs = [(&'static str, String)];

/// What can be written into a query string.
pub(crate) trait Parameters {
    /// Appends the parameters that are set.
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>);
}

/// A time range; a missing side is open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// Inclusive.
    pub start: Option<String>,
    /// Exclusive.
    pub end: Option<String>,
}

impl Range {
    /// From unix nanoseconds to unix nanoseconds.
    pub fn nanos(start: u64, end: u64) -> Self {
        Self {
            start: Some(start.to_string()),
            end: Some(end.to_string()),
        }
    }
}

/// Order of a list of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceOrder {
    /// By start, newest first.
    #[default]
    Newest,
    /// By duration, longest first.
    Slowest,
    /// By number of errors, most first.
    Errors,
}

impl TraceOrder {
    /// As it is written in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Slowest => "slowest",
            Self::Errors => "errors",
        }
    }
}

/// Order of log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogOrder {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

impl LogOrder {
    /// As it is written in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// Parameters of `GET traces`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracesParams {
    /// Native query; empty for all.
    pub q: String,
    /// Time range.
    pub range: Range,
    /// Traces on a page.
    pub limit: Option<u64>,
    /// Order.
    pub order: TraceOrder,
    /// Where the page begins: an earlier answer's cursor.
    pub cursor: Option<String>,
}

/// Parameters of `GET logs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogsParams {
    /// Native query; empty for all.
    pub q: String,
    /// Time range.
    pub range: Range,
    /// Records on a page.
    pub limit: Option<u64>,
    /// Order.
    pub order: LogOrder,
    /// Where the page begins: an earlier answer's cursor.
    pub cursor: Option<String>,
}

/// Parameters of `GET logs/histogram`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistogramParams {
    /// Native query; empty for all.
    pub q: String,
    /// Time range.
    pub range: Range,
    /// Width of a bucket, such as `15s`.
    pub step: Option<String>,
    /// Field to group by.
    pub by: Option<String>,
}

/// Parameters of `GET fields`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldsParams {
    /// `traces`, `logs` or `metrics`.
    pub signal: Option<String>,
    /// Native query; empty for all.
    pub q: String,
    /// Time range.
    pub range: Range,
}

/// Parameters of `GET fields/{field}/values`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValuesParams {
    /// `traces`, `logs` or `metrics`.
    pub signal: Option<String>,
    /// Native query; empty for all.
    pub q: String,
    /// What the values begin with.
    pub prefix: Option<String>,
    /// Most values.
    pub limit: Option<u64>,
    /// Time range.
    pub range: Range,
}

/// Parameters of `GET search/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompleteParams {
    /// The query as typed so far.
    pub q: String,
    /// Byte of the query at which the cursor stands; its end without.
    pub cursor: Option<usize>,
    /// `traces`, `logs` or `metrics`.
    pub signal: Option<String>,
    /// Time range.
    pub range: Range,
}

/// Parameters of `GET metrics/cardinality`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CardinalityParams {
    /// Series selector; empty for all.
    pub q: String,
    /// The label whose values are wanted.
    pub label: Option<String>,
    /// `series` or `samples`.
    pub by: Option<String>,
    /// Time range.
    pub range: Range,
    /// The length of each list.
    pub limit: Option<u64>,
}

/// Parameters of `GET metrics/points`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PointsParams {
    /// Series selector or native query; empty for all.
    pub q: String,
    /// Time range.
    pub range: Range,
    /// Most points.
    pub limit: Option<u64>,
}

fn text(pairs: &mut Vec<(&'static str, String)>, name: &'static str, value: &str) {
    if !value.is_empty() {
        pairs.push((name, value.to_owned()));
    }
}

fn optional(
    pairs: &mut Vec<(&'static str, String)>,
    name: &'static str,
    value: Option<impl ToString>,
) {
    pairs.extend(value.map(|value| (name, value.to_string())));
}

impl Parameters for Range {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        optional(pairs, "start", self.start.as_ref());
        optional(pairs, "end", self.end.as_ref());
    }
}

impl Parameters for TracesParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        self.range.pairs(pairs);
        optional(pairs, "limit", self.limit);
        text(pairs, "order", self.order.as_str());
        optional(pairs, "cursor", self.cursor.as_ref());
    }
}

impl Parameters for LogsParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        self.range.pairs(pairs);
        optional(pairs, "limit", self.limit);
        text(pairs, "order", self.order.as_str());
        optional(pairs, "cursor", self.cursor.as_ref());
    }
}

impl Parameters for HistogramParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        self.range.pairs(pairs);
        optional(pairs, "step", self.step.as_ref());
        optional(pairs, "by", self.by.as_ref());
    }
}

impl Parameters for FieldsParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        optional(pairs, "signal", self.signal.as_ref());
        text(pairs, "q", &self.q);
        self.range.pairs(pairs);
    }
}

impl Parameters for ValuesParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        optional(pairs, "signal", self.signal.as_ref());
        text(pairs, "q", &self.q);
        optional(pairs, "prefix", self.prefix.as_ref());
        optional(pairs, "limit", self.limit);
        self.range.pairs(pairs);
    }
}

impl Parameters for CompleteParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        optional(pairs, "cursor", self.cursor);
        optional(pairs, "signal", self.signal.as_ref());
        self.range.pairs(pairs);
    }
}

impl Parameters for PointsParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        self.range.pairs(pairs);
        optional(pairs, "limit", self.limit);
    }
}

impl Parameters for CardinalityParams {
    fn pairs(&self, pairs: &mut Vec<(&'static str, String)>) {
        text(pairs, "q", &self.q);
        optional(pairs, "label", self.label.as_ref());
        optional(pairs, "by", self.by.as_ref());
        self.range.pairs(pairs);
        optional(pairs, "limit", self.limit);
    }
}
