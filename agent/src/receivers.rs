//! Where data comes from. Each receiver appends to the queue and to nothing else.

pub mod filelog;
pub mod hostmetrics;
pub mod otlp;
pub mod polling;
pub mod prometheus;
