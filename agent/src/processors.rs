//! What is added to data on its way into the queue.

pub mod correlation;
pub mod resource;
