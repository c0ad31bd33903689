//! Metrics: points by series, in memory and in files.
//!
//! Points are kept by column from the moment at which they are committed: a head has one buffer
//! for each series ([`head`]), a block holds the points of each series as chunks of up to
//! [`block::CHUNK_ROWS_MAX`] points ([`block`], [`codec`]), and lists of times that series share
//! are stored once. Series are found through their Prometheus labels ([`index`], [`select`]).
//! Everything that OTLP carries comes back as it was sent. Of old points less can be kept beside
//! them, or alone ([`reduce`]).

pub(crate) mod block;
mod buffer;
mod cache;
pub(crate) mod codec;
mod columns;
mod entry;
mod exponentials;
mod fields;
pub(crate) mod file;
mod flush;
pub(crate) mod head;
mod histograms;
pub(crate) mod index;
mod known;
pub(crate) mod labels;
pub(crate) mod merge;
mod numbers;
pub(crate) mod reduce;
pub(crate) mod select;
mod set;
mod starts;
mod table;
mod values;

pub(crate) use cache::BlockCache;
pub(crate) use columns::{PointValues, Points, Starts};
pub(crate) use entry::{Entry, SeriesEntry, series_id};
pub(crate) use flush::{POINTS_PER_ROW, flush};
pub(crate) use head::Growth;
pub(crate) use histograms::{HistogramColumns, HistogramLists};
pub(crate) use known::{ACTIVE_SECONDS, Known, KnownSeries};
pub(crate) use set::Set;
