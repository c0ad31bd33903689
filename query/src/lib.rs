//! The read side: languages, execution, traces and stories, alerts, and the HTTP API.

pub mod error;
pub mod exec;
mod fnv;
pub mod http;
pub mod lang;
pub mod nearest;
pub mod remote;
pub mod sources;

pub mod alerts;
pub mod traces;

pub use http::{Options, Query};

#[cfg(test)]
pub(crate) mod testing;
