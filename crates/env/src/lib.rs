//! Clock, randomness and files behind small traits, with the real versions.
//!
//! Everything on the storage and queue paths that reads the time, rolls a die or touches the
//! disk does so through an [`Env`], so that a test can replay a crash, a full disk or a clock
//! jump from a seed. The traits are object-safe and free of policy: errors stay
//! [`std::io::Error`], and what to do about them is the caller's business.
//!
//! [`Failures`] is the way back: what cannot go on tells whoever runs the process.

mod clock;
mod failure;
mod files;
mod lock;
mod mapping;
mod priority;
mod processors;
mod random;
mod real_files;
mod strict_files;

use std::sync::Arc;

pub use clock::{Clock, RealClock};
pub use failure::{Failure, Failures, PanicGuard};
pub use files::{Entry, EntryKind, File, Files, Lock, Space, is_unreadable, read_patiently};
pub use lock::LockFile;
pub use priority::yield_to_other_threads;
pub use processors::processors;
pub use random::{Random, RealRandom, SeededRandom};
pub use real_files::RealFiles;
pub use strict_files::StrictFiles;

/// The outside world as the storage and queue paths see it.
#[derive(Clone, Debug)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub files: Arc<dyn Files>,
}

impl Env {
    /// The machine's own clock, entropy and file system.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(RealClock::new()),
            random: Arc::new(RealRandom),
            files: Arc::new(RealFiles),
        }
    }
}
