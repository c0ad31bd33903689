//! Work that may panic without taking its task along.
//!
//! A rule group that nobody evaluates any more looks like one whose rules are fine. So a panic
//! is caught where the work is repeated, shown where errors are, counted, and the work goes on at
//! its next turn.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// Waits for the work; the error is what it panicked with. What it shares with others it has to
/// leave whole at every point at which it may panic, as with a future that is dropped.
pub(super) async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
