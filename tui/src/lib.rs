//! The terminal UI: alerts, traces, logs and stories over the query API.
//!
//! Shape: a `model` of plain data; `update`, a pure function from a message to effects; `effect`,
//! which runs them and answers with messages; `view`, which draws the model and nothing else.
//! [`run`] ties them together. The parts are public so that tests and benchmarks can drive them
//! without a terminal.

pub mod action;
pub mod command;
pub mod effect;
mod help;
pub mod layout;
pub mod message;
pub mod model;
mod output;
pub mod range;
pub mod runtime;
pub mod term;
#[cfg(test)]
mod testdata;
mod text;
pub mod theme;
pub mod update;
pub mod view;
mod widgets;
pub mod zone;

pub use command::Command;
pub use runtime::{Options, TuiError, run};
