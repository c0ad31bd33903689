//! Asks tasks to stop.

use tokio::sync::watch;

/// Resolves once the stop is asked for, or its owner is gone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Asks for the stop, also by being dropped.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A stop and the one who asks for it.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks for the stop.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the stop was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the stop.
    pub async fn asked(&mut self) {
        // A closed channel means that nobody is left to ask: that is a stop, too.
        let _closed = self.0.wait_for(|stop| *stop).await.is_err();
    }
}
