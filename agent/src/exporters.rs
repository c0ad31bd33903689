//! Sends what the queue holds.

pub mod breaker;
pub mod client;
pub mod dead_letter;
pub mod destination;
pub mod otlp;
mod read;
pub mod retry;
mod window;

pub use destination::{Destination, Outcome, Stamp};
