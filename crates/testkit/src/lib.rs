//! What tests need to be deterministic: a clock that stands still until told otherwise, files
//! that forget what was not synced, faults at a chosen system call, and where test material of others
//! lies, second writers of remote write and of Prometheus' protobuf format, and a sink that keeps no rows. For dev-dependencies only.

mod clock;
pub mod exposition;
mod fault_files;
mod memory_files;
pub mod remote_write;
mod rows;
mod testdata;

use std::sync::Arc;

use env::{Env, Files, SeededRandom};

pub use clock::ManualClock;
pub use fault_files::{Change, CrashPoint, Failure, Fault, FaultFiles, Op, Plan};
pub use memory_files::{Loss, MemoryFiles};
pub use rows::NoRows;
pub use testdata::testdata;

/// An environment with a settable clock that starts at 2024-01-01T00:00:00Z, random numbers
/// from a seed, and the given files.
pub fn env(seed: u64, files: Arc<dyn Files>) -> (Env, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_704_067_200_000_000_000));
    let env = Env {
        clock: Arc::clone(&clock) as Arc<dyn env::Clock>,
        random: Arc::new(SeededRandom::new(seed)),
        files,
    };
    (env, clock)
}
