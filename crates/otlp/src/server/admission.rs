//! Who may write, and how many at once.
//!
//! A [`super::Receiver`] bounds the bytes in flight; this bounds the exports that wait to be
//! durable, and closes the door at shutdown. There is one tenant today, `default`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Tenant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Verdict;

/// When a sender is asked to come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets exports in.
#[derive(Debug)]
pub struct Admission {
    slots: Arc<Semaphore>,
    concurrent: u32,
    closed: AtomicBool,
}

/// An export that was let in; dropped when it is answered.
#[derive(Debug)]
pub struct Admitted {
    _slot: OwnedSemaphorePermit,
}

impl Admission {
    /// Lets at most `concurrent` exports in at once.
    pub fn new(concurrent: usize) -> Self {
        let concurrent = u32::try_from(concurrent.clamp(1, 1 << 20)).expect("at most 2^20");
        let slots = Arc::new(Semaphore::new(concurrent as usize));
        Self {
            slots,
            concurrent,
            closed: AtomicBool::new(false),
        }
    }

    /// Lets an export in, or says why not.
    pub fn enter(&self, tenant: &Tenant) -> Result<Admitted, Verdict> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Verdict::Unavailable {
                retry_after: RETRY_AFTER,
                reason: "shutting down, and no more is taken".to_owned(),
            });
        }
        if *tenant != Tenant::default() {
            return Err(Verdict::Unauthenticated(format!(
                "tenant {tenant} may not write here"
            )));
        }
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Ok(Admitted { _slot: slot }),
            Err(_) => Err(Verdict::Overloaded {
                retry_after: RETRY_AFTER,
                reason: format!(
                    "{} exports are in work, and no more are allowed",
                    self.concurrent
                ),
            }),
        }
    }

    /// Exports in work now.
    pub fn in_work(&self) -> usize {
        self.concurrent as usize - self.slots.available_permits()
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether nobody is let in any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until nobody is in work, or the time is up. Tells which.
    pub async fn drain(&self, timeout: Duration) -> bool {
        let all = self.slots.acquire_many(self.concurrent);
        tokio::time::timeout(timeout, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lets_in_so_many_and_then_nobody() {
        let admission = Admission::new(2);
        let tenant = Tenant::default();
        let first = admission.enter(&tenant).unwrap();
        let second = admission.enter(&tenant).unwrap();
        assert!(matches!(
            admission.enter(&tenant),
            Err(Verdict::Overloaded { .. })
        ));
        drop(first);
        let other = Tenant::new("other").unwrap();
        assert!(matches!(
            admission.enter(&other),
            Err(Verdict::Unauthenticated(_))
        ));
        admission.close();
        assert!(matches!(
            admission.enter(&tenant),
            Err(Verdict::Unavailable { .. })
        ));
        assert!(!admission.drain(Duration::from_millis(5)).await);
        drop(second);
        assert!(admission.drain(Duration::from_millis(5)).await);
    }
}
