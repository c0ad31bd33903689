//! Waiting for another process, with a deadline.
//!
//! What a process does elsewhere cannot be awaited, only looked at again. Each wait names what it
//! waits for and fails loudly when it does not come; none is there to give something time.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// For what a loaded machine may take long to do.
pub const LONG: Duration = Duration::from_secs(120);

/// Looks until there is an answer.
///
/// # Panics
/// Past the deadline.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begin.elapsed() < deadline,
            "{what}: not within {deadline:?}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// Looks until there is an answer, without holding the thread.
///
/// # Panics
/// Past the deadline.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begin.elapsed() < deadline,
            "{what}: not within {deadline:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
