//! When failed deliveries to one receiver are tried again.
//!
//! A receiver that cannot be reached, or that is asked too much of, is left alone as a whole. Any
//! other failure may be about the message: its group alone waits, and the others go on.

use std::collections::HashMap;
use std::time::Duration;

use crate::alerts::Labels;
use crate::alerts::rule::nanos;

/// How often something failed in a row, and until when it waits on the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    failures: u32,
    until: u64,
}

/// What waits of one receiver.
#[derive(Debug, Default)]
pub(super) struct Waits {
    whole: Wait,
    groups: HashMap<Labels, Wait>,
}

impl Waits {
    /// Until when a group waits; 0 for one that never failed.
    pub(super) fn until(&self, group: &Labels) -> u64 {
        let own = self.groups.get(group).map_or(0, |wait| wait.until);
        own.max(self.whole.until)
    }

    /// Notes a failure, of the whole receiver where no other group would do better. `wait` says
    /// for how long after so many failures in a row.
    pub(super) fn failed(
        &mut self,
        group: &Labels,
        whole: bool,
        now: u64,
        wait: impl FnOnce(u32) -> Duration,
    ) -> Duration {
        let one = if whole {
            &mut self.whole
        } else {
            self.groups.entry(group.clone()).or_default()
        };
        one.failures = one.failures.saturating_add(1);
        let wait = wait(one.failures);
        one.until = now.saturating_add(nanos(wait));
        if !whole {
            // It answers.
            self.whole = Wait::default();
        }
        wait
    }

    /// Notes that the receiver answered for a group.
    pub(super) fn answered(&mut self, group: &Labels) {
        self.whole = Wait::default();
        self.groups.remove(group);
    }

    /// Forgets the groups that are none any more.
    pub(super) fn keep(&mut self, is_group: impl Fn(&Labels) -> bool) {
        self.groups.retain(|group, _| is_group(group));
    }
}
