//! What a reader is asked and what it answers: plain messages, so that the same calls work in
//! process and over the network.
//!
//! An answer is a stream of [`Reply`]s that ends with one [`Reply::End`]. Dropping the stream
//! cancels the work. A stream that ends without `End` was cut off.

mod reply;
mod request;
mod summary;

pub use reply::{
    BucketRuns, Cardinality, CountGroup, Counts, DeltaSamples, Durations, ExponentialColumns,
    ExponentialSamples, FieldCount, HistogramSamples, LabelWeight, PartitionStatus, Reply,
    STALE_NAN_BITS, SeriesPoints, SeriesSamples, Status, Tail, TraceSpans, ValueCount, ValueWeight,
    Weight,
};
pub use request::{
    Aggregate, CardinalityOf, Columns, Limits, MatchOp, Matcher, Order, Place, Request, Rollup,
    Selection, SeriesShare, SharedBy,
};
pub use summary::{BucketStats, Cut, Source, SourceKind, SourceState, Stats, Summary};
