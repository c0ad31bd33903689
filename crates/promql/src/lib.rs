//! PromQL: parser, printer and evaluation over a series-source trait, with the semantics of
//! Prometheus 3.x. Knows nothing of storage.
//!
//! A query goes through three stages, so that only the middle one waits for anything:
//! [`Engine::prepare`] works out what every selector needs, [`Plan::fetch`] reads it (all
//! selectors at once), and [`Fetched::evaluate`] calculates, one node of the tree at a time over
//! all series and steps. [`Engine::instant`] and [`Engine::range`] do all three. A query that reads
//! more samples than should be held at once goes through the last two [part by part](Parts).

pub mod annotation;
pub mod ast;
mod by_series;
mod compensated;
mod date;
pub mod duration;
pub mod engine;
mod eval;
mod fetched;
pub mod format;
pub mod functions;
pub mod histogram;
mod json;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod notation;
mod parse;
mod parts;
mod plan;
mod print;
pub mod source;
mod stack;
mod tree;

pub use ast::Expr;
pub use engine::{
    Answer, Counts, Engine, Error, ErrorKind, Limits, MatrixSeries, Memory, Options, Point, Query,
    SampleValue, Stats, Value, VectorSample,
};
pub use fetched::{Evaluated, Fetched};
pub use histogram::FloatHistogram;
pub use labels::Labels;
pub use matcher::{MatchOp, Matcher};
pub use parse::{
    Features, MAX_DEPTH, MAX_QUERY_BYTES, MAX_REGEXES, ParseError, parse, parse_selector,
    parse_series, parse_with,
};
pub use parts::Parts;
pub use plan::Plan;
pub use source::{
    Samples, Selected, Selection, Series, SeriesSource, Share, SourceError, SourceErrorKind,
};
