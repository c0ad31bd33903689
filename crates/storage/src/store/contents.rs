//! Which requests without a stamp were stored of late, by a hash of what they hold.
//!
//! A sender that is not one of our agents repeats a request as it was when an answer was lost.
//! Within a span of time an equal request counts as such a repeat. Requests whose rows have no
//! time of their own are not looked at: two equal ones say that something happened twice.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::write::Batch;

/// How many requests are remembered; the oldest is forgotten first.
const CONTENTS_MAX: usize = 100_000;

/// 128 bits that stand for a request: two that differ do not share them.
pub(super) type Content = u128;

/// What a request holds, for whom and of which signal.
pub(super) fn content_of(batch: &Batch) -> Content {
    let tenant = batch.tenant.as_str().as_bytes();
    let seed = xxh3_64_with_seed(tenant, batch.signal as u64);
    xxh3_128_with_seed(&batch.request, seed)
}

/// Requests in the order in which they were stored; kept in the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Stored>", into = "Vec<Stored>")]
pub(super) struct Contents {
    order: VecDeque<(u64, Content)>,
    known: FxHashSet<Content>,
}

/// The clock when it was stored, then the upper and the lower half of its content.
type Stored = (u64, u64, u64);

impl Contents {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether an equal request was stored and is not forgotten.
    pub(super) fn contains(&self, content: Content) -> bool {
        self.known.contains(&content)
    }

    /// Forgets what was stored longer ago than `window_nano`.
    pub(super) fn forget(&mut self, now_unix_nano: u64, window_nano: u64) {
        while let Some((stored, content)) = self.order.front()
            && (stored.saturating_add(window_nano) <= now_unix_nano
                || self.order.len() >= CONTENTS_MAX)
        {
            self.known.remove(content);
            self.order.pop_front();
        }
    }

    /// Notes that a request is stored.
    pub(super) fn insert(&mut self, content: Content, now_unix_nano: u64) {
        if self.known.insert(content) {
            self.order.push_back((now_unix_nano, content));
        }
    }

    /// Takes back the last insertion, of this content.
    pub(super) fn undo(&mut self, content: Content) {
        if self.order.back().is_some_and(|(_, last)| *last == content) {
            self.order.pop_back();
            self.known.remove(&content);
        }
    }
}

impl From<Vec<Stored>> for Contents {
    fn from(stored: Vec<Stored>) -> Self {
        let mut out = Self::default();
        for (unix_nano, upper, lower) in stored {
            out.insert(u128::from(upper) << 64 | u128::from(lower), unix_nano);
        }
        out
    }
}

impl From<Contents> for Vec<Stored> {
    fn from(contents: Contents) -> Self {
        let halves = |content: Content| ((content >> 64) as u64, content as u64);
        let stored = contents.order.into_iter().map(|(unix_nano, content)| {
            let (upper, lower) = halves(content);
            (unix_nano, upper, lower)
        });
        stored.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_another_content_for_another_tenant_or_signal() {
        let content = |tenant: &str, signal| {
            content_of(&Batch {
                tenant: model::Tenant::new(tenant).unwrap(),
                signal,
                format: model::Format::Otlp,
                request: (&b"request"[..]).into(),
                stamp: None,
            })
        };
        use model::Signal::{Logs, Traces};
        let contents = [("a", Traces), ("a", Logs), ("b", Traces), ("b", Logs)];
        let distinct: FxHashSet<Content> = contents
            .map(|(tenant, signal)| content(tenant, signal))
            .into_iter()
            .collect();
        assert_eq!(distinct.len(), contents.len());
        assert_eq!(content("a", Logs), content("a", Logs));
    }

    #[test]
    fn contents_are_known_for_a_while_and_read_back() {
        let mut contents = Contents::default();
        for (content, now) in [(1_u128 << 100, 10), (2, 20), (2, 25), (3, 30)] {
            contents.insert(content, now);
        }
        let json = serde_json::to_string(&contents).unwrap();
        assert_eq!(serde_json::from_str::<Contents>(&json).unwrap(), contents);
        contents.forget(30, 20);
        assert!(!contents.contains(1 << 100));
        assert!(contents.contains(2) && contents.contains(3));
        contents.undo(3);
        assert!(contents.contains(2) && !contents.contains(3));
        contents.forget(40, 20);
        assert!(contents.is_empty(), "the first time counts: {contents:?}");
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let mut contents = Contents::default();
        for content in 0..CONTENTS_MAX as u128 + 5 {
            contents.forget(7, u64::MAX);
            contents.insert(content, 7);
        }
        assert_eq!(contents.order.len(), CONTENTS_MAX);
        assert_eq!(contents.known.len(), CONTENTS_MAX);
        assert!(!contents.contains(4) && contents.contains(5));
    }
}
