//! Sends what the queue holds.

mod attempt;
pub mod breaker;
pub mod client;
pub mod dead_letter;
pub mod destination;
mod heartbeat;
pub mod otlp;
mod read;
pub mod retry;
mod window;

pub use ::otlp::client::Outcome;
pub use destination::{Destination, Stamp};
