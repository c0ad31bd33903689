//! Which stamped batches were stored: per agent a window of sequence numbers of its epoch.
//!
//! A batch older than the window, or of an older epoch, counts as stored: an agent never has so
//! many exports under way, and starts a new epoch only after the old one is drained or lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::write::Stamp;

/// How many sequence numbers below the highest are told apart.
pub(super) const WINDOW: u64 = 1_024;
/// How many agents are remembered; the one longest unheard of is forgotten first.
const AGENTS_MAX: usize = 100_000;

/// Windows of all agents; kept in the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamps {
    agents: BTreeMap<String, Window>,
    /// Grows with each batch: tells which agent was heard of last.
    clock: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    epoch: u64,
    /// Highest sequence number stored.
    highest: u64,
    /// Those stored above `highest - WINDOW`.
    seen: BTreeSet<u64>,
    heard: u64,
}

impl Stamps {
    /// Whether the batch was stored before.
    pub(super) fn contains(&self, stamp: &Stamp) -> bool {
        let Some(window) = self.agents.get(&stamp.agent) else { return false };
        if stamp.epoch != window.epoch {
            return stamp.epoch < window.epoch;
        }
        window.seen.contains(&stamp.sequence)
            || stamp.sequence.saturating_add(WINDOW) <= window.highest
    }

    /// Notes that the batch is stored.
    pub(super) fn insert(&mut self, stamp: &Stamp) {
        self.clock += 1;
        let window = self.agents.entry(stamp.agent.clone()).or_default();
        window.heard = self.clock;
        if stamp.epoch > window.epoch {
            *window = Window { epoch: stamp.epoch, heard: self.clock, ..Window::default() };
        }
        if stamp.epoch == window.epoch {
            window.highest = window.highest.max(stamp.sequence);
            window.seen.insert(stamp.sequence);
            let floor = (window.highest + 1).saturating_sub(WINDOW);
            window.seen = window.seen.split_off(&floor);
        }
        if self.agents.len() > AGENTS_MAX {
            let oldest = self.agents.iter().min_by_key(|(_, window)| window.heard);
            if let Some(agent) = oldest.map(|(agent, _)| agent.clone()) {
                self.agents.remove(&agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: u64, sequence: u64) -> Stamp {
        Stamp {
            agent: "a".to_owned(),
            epoch,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: 0,
        }
    }

    #[test]
    fn repeats_are_known_and_gaps_are_not() {
        let mut stamps = Stamps::default();
        for sequence in [1, 2, 4, 3_000] {
            assert!(!stamps.contains(&stamp(1, sequence)), "{sequence}");
            stamps.insert(&stamp(1, sequence));
            assert!(stamps.contains(&stamp(1, sequence)), "{sequence}");
        }
        assert!(stamps.contains(&stamp(1, 3)), "below the window");
        assert!(!stamps.contains(&stamp(1, 2_999)));
        stamps.insert(&stamp(2, 1));
        assert!(stamps.contains(&stamp(1, 2_999)), "older epoch");
        assert!(!stamps.contains(&stamp(2, 2)));
    }
}
