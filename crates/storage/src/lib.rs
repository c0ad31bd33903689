//! The storage engine: WAL, head, blocks and their index.

pub mod block;
pub mod cardinality;
mod chunk;
pub mod digest;
pub mod downsampling;
mod eval;
pub mod export;
pub mod fields_table;
pub mod filter;
mod flush;
pub mod folder;
pub mod idtable;
mod index;
mod layout;
mod merge;
pub mod message;
mod order;
mod partition;
mod points;
pub mod read;
pub mod retention;
mod scan;
mod sealed;
mod series_view;
pub mod snapshot;
pub mod stat;
mod store;
mod table;
mod terms;
#[cfg(test)]
mod testing;
pub mod verify;
mod whole;
pub mod words;
pub mod write;

pub use store::{LabelLimits, Metric, OpenError, Options, Store};
