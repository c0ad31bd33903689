//! What ends a process: a part of it that cannot go on says so, once, and whoever runs the process
//! waits for that.
//!
//! Without it a thread that panics would leave the rest of the process running: listening,
//! answering "come again" to everybody, and doing nothing.

use tokio::sync::watch;

/// Where the parts of something report that they cannot go on. Clones share it.
#[derive(Clone, Debug)]
pub struct Failures(watch::Sender<Option<String>>);

/// Learns of the first report.
#[derive(Clone, Debug)]
pub struct Failure(watch::Receiver<Option<String>>);

/// Reports when the thread or task that holds it panics.
#[derive(Debug)]
pub struct PanicGuard {
    part: &'static str,
    failures: Failures,
}

impl Default for Failures {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Failures {
    /// Says why it cannot go on. The first report stays: those after it follow from it.
    pub fn report(&self, reason: impl Into<String>) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(reason.into());
            }
            is_first
        });
    }

    /// The first report.
    pub fn first(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Somebody who waits for it.
    pub fn listen(&self) -> Failure {
        Failure(self.0.subscribe())
    }

    /// To be held by a thread or task for as long as it works; `part` names it to people.
    pub fn guard(&self, part: &'static str) -> PanicGuard {
        PanicGuard {
            part,
            failures: self.clone(),
        }
    }
}

impl Failure {
    /// The first report, if there is one.
    pub fn get(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits for the first report; for ever if none can come any more.
    pub async fn reason(&mut self) -> String {
        match self.0.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = format!(
                "{} has panicked, which is a defect of this program",
                self.part
            );
            self.failures.report(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_and_an_ordinary_end_is_not() {
        let failures = Failures::default();
        let failure = failures.listen();
        let guard = failures.guard("the quiet one");
        std::thread::spawn(move || drop(guard)).join().unwrap();
        assert_eq!(failure.get(), None);
        let guard = failures.guard("the loud one");
        let loud = std::thread::spawn(move || {
            let _guard = guard;
            panic!("for a test");
        });
        loud.join().unwrap_err();
        let reason = failure.get().unwrap();
        assert!(reason.starts_with("the loud one has panicked"), "{reason}");
        failures.report("a consequence");
        assert_eq!(failures.first(), Some(reason));
    }
}
