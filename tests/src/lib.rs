//! What the end-to-end tests share: the program started as a process of its own, OTLP to send
//! to it, and questions to ask it.
//!
//! Nothing here looks inside the program. A test sees what a user sees: its ports, its exit code,
//! its files and what it prints.
#![allow(
    clippy::disallowed_methods,
    reason = "what the program under test sends is small"
)]

pub mod ask;
pub mod external;
pub mod otlp_json;
pub mod server;
pub mod tmux;
pub mod trainticket;
pub mod wait;
pub mod webhook;

pub use ask::Http;
pub use server::{Server, Setup};
