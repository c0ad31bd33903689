//! Traces and stories: loose rows become trees that explain themselves.
//!
//! [`assemble`] orders spans, [`inferred`] makes spans of the logs of services that send none,
//! [`closure`] finds everything that belongs to an id, and [`story`] and [`trace`] turn the
//! result into the API's answers. What they read comes through [`rows`], so that all of it is
//! tested without a store.
//!
//! Times are compared after correction of the senders' clocks, by the offset that each row
//! carries. A row that lies outside its parent is left where its sender put it unless that offset
//! was measured, because moving it by guess would hide real asynchrony.

pub mod assemble;
pub mod closure;
pub mod inferred;
pub mod rows;
pub mod story;
pub mod trace;
pub mod view;

#[cfg(test)]
pub(crate) mod fake;
