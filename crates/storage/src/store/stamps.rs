//! Which batches were stored: per agent a window of sequence numbers of its epoch, and of batches
//! without a stamp, where that is wanted, their contents.
//!
//! A batch older than the window, or of an older epoch, counts as stored: an agent sends nothing
//! that far ahead of what is not finished, and nothing of a new epoch before the old one is drained
//! or lost.

use std::collections::BTreeMap;

use model::stamp::WINDOW;
use serde::{Deserialize, Serialize};

use super::contents::{Content, Contents};
use crate::write::Stamp;

/// How many agents are remembered; the one longest unheard of is forgotten first.
const AGENTS_MAX: usize = 100_000;

/// Windows of all agents; kept in the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamps {
    agents: BTreeMap<String, Window>,
    /// Grows with each batch: tells which agent was heard of last.
    clock: u64,
    /// Batches without a stamp.
    #[serde(default, skip_serializing_if = "Contents::is_empty")]
    pub contents: Contents,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    epoch: u64,
    /// Highest sequence number stored.
    highest: u64,
    /// Bit `n % WINDOW` says whether `n` is stored, for `n` in `highest - WINDOW + 1..=highest`.
    stored: [u64; WORDS],
    heard: u64,
}

const WORDS: usize = (WINDOW / 64) as usize;

impl Window {
    fn bit(sequence: u64) -> (usize, u64) {
        let at = sequence % WINDOW;
        (
            usize::try_from(at / 64).expect("below WORDS"),
            1 << (at % 64),
        )
    }

    fn contains(&self, sequence: u64) -> bool {
        if sequence > self.highest {
            return false;
        }
        let (word, bit) = Self::bit(sequence);
        self.highest - sequence >= WINDOW || self.stored[word] & bit != 0
    }

    fn insert(&mut self, sequence: u64) {
        if sequence > self.highest {
            // Numbers between the two become part of the window, and are not stored yet.
            if sequence - self.highest >= WINDOW {
                self.stored = [0; WORDS];
            } else {
                for skipped in self.highest + 1..sequence {
                    let (word, bit) = Self::bit(skipped);
                    self.stored[word] &= !bit;
                }
            }
            self.highest = sequence;
        }
        if self.highest - sequence < WINDOW {
            let (word, bit) = Self::bit(sequence);
            self.stored[word] |= bit;
        }
    }
}

/// What takes back that a batch is stored.
pub(super) enum Before {
    /// An agent's window as it was.
    Agent(String, Option<Window>),
    /// Its content was not known.
    Content(Content),
}

impl Stamps {
    /// Whether the batch was stored before.
    pub(super) fn contains(&self, stamp: &Stamp) -> bool {
        let Some(window) = self.agents.get(&stamp.agent) else {
            return false;
        };
        if stamp.epoch != window.epoch {
            return stamp.epoch < window.epoch;
        }
        window.contains(stamp.sequence)
    }

    /// Notes that the batch is stored. What it returns undoes that.
    pub(super) fn insert(&mut self, stamp: &Stamp) -> Before {
        let before = Before::Agent(stamp.agent.clone(), self.agents.get(&stamp.agent).cloned());
        self.clock += 1;
        let window = self.agents.entry(stamp.agent.clone()).or_default();
        window.heard = self.clock;
        if stamp.epoch > window.epoch {
            *window = Window {
                epoch: stamp.epoch,
                heard: self.clock,
                ..Window::default()
            };
        }
        if stamp.epoch == window.epoch {
            window.insert(stamp.sequence);
        }
        if self.agents.len() > AGENTS_MAX {
            let oldest = self.agents.iter().min_by_key(|(_, window)| window.heard);
            if let Some(agent) = oldest.map(|(agent, _)| agent.clone()) {
                self.agents.remove(&agent);
            }
        }
        before
    }

    /// Counts everything below the highest numbers as stored: for when nobody knows any more.
    pub(super) fn fill(&mut self) {
        for window in self.agents.values_mut() {
            window.stored = [u64::MAX; WORDS];
        }
    }

    /// Goes back to before the insertions, of which the last is undone first.
    pub(super) fn undo(&mut self, insertions: Vec<Before>) {
        for before in insertions.into_iter().rev() {
            match before {
                Before::Agent(agent, Some(window)) => drop(self.agents.insert(agent, window)),
                Before::Agent(agent, None) => drop(self.agents.remove(&agent)),
                Before::Content(content) => self.contents.undo(content),
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
            clock: None,
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
        let before = stamps.clone();
        let undo = vec![
            stamps.insert(&stamp(1, 2_999)),
            stamps.insert(&stamp(1, 9_000)),
        ];
        assert!(
            stamps.contains(&stamp(1, 2_998)),
            "far below the window now"
        );
        stamps.undo(undo);
        assert_eq!(stamps.agents, before.agents);
        stamps.insert(&stamp(2, 1));
        assert!(stamps.contains(&stamp(1, 2_999)), "older epoch");
        assert!(!stamps.contains(&stamp(2, 2)));
    }

    #[test]
    fn a_number_is_not_taken_for_an_older_one_that_had_its_place() {
        // Every place is taken, then some numbers are skipped, then more than there are places.
        for (next, skipped) in [
            (WINDOW + 6, WINDOW + 1..WINDOW + 6),
            (2 * WINDOW, WINDOW + 1..2 * WINDOW),
            (5 * WINDOW, 4 * WINDOW + 1..5 * WINDOW),
        ] {
            let mut stamps = Stamps::default();
            for sequence in 1..=WINDOW {
                stamps.insert(&stamp(1, sequence));
            }
            stamps.insert(&stamp(1, next));
            for sequence in skipped {
                assert!(!stamps.contains(&stamp(1, sequence)), "{sequence}");
            }
            assert!(stamps.contains(&stamp(1, next)));
        }
    }

    #[test]
    fn of_too_many_agents_the_one_longest_unheard_of_is_forgotten() {
        let of = |agent: usize, sequence| Stamp {
            agent: agent.to_string(),
            ..stamp(1, sequence)
        };
        let mut stamps = Stamps::default();
        for agent in 0..AGENTS_MAX {
            stamps.insert(&of(agent, 1));
        }
        stamps.insert(&of(0, 2));
        stamps.insert(&of(AGENTS_MAX, 1));
        assert_eq!(stamps.agents.len(), AGENTS_MAX);
        assert!(!stamps.contains(&of(1, 1)));
        assert!(stamps.contains(&of(0, 1)) && stamps.contains(&of(AGENTS_MAX, 1)));
    }
}
