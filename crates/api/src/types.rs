//! Request and response types of the native API, as JSON.
//!
//! 64-bit times and durations are JSON numbers; clients in languages whose numbers are doubles
//! lose nanoseconds unless they parse them as integers.

mod alerts;
mod completeness;
mod error;
mod logs;
mod metrics;
mod search;
mod services;
mod story;
mod traces;

pub use alerts::*;
pub use completeness::*;
pub use error::*;
pub use logs::*;
pub use metrics::*;
pub use search::*;
pub use services::*;
pub use story::*;
pub use traces::*;
