//! Who sends, and up to when what they sent is here.

use std::collections::BTreeMap;

use crate::message::{Source, SourceKind, SourceState};
use crate::write::Stamp;

/// An agent not heard of for this long lags.
const LAGGING_NANOS: u64 = 30 * model::time::NANOS_PER_SECOND;
/// An agent not heard of for this long is lost.
const LOST_NANOS: u64 = 300 * model::time::NANOS_PER_SECOND;
/// How many agents are listed; later ones are not.
const AGENTS_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Agent {
    heard_unix_nano: u64,
    complete_to_unix_nano: u64,
}

/// Agents, and the last acknowledgement to anyone.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    agents: BTreeMap<String, Agent>,
    last_ack_unix_nano: u64,
}

impl Sources {
    pub(super) fn acknowledged(&mut self, stamp: Option<&Stamp>, now_unix_nano: u64) {
        self.last_ack_unix_nano = self.last_ack_unix_nano.max(now_unix_nano);
        let Some(stamp) = stamp else { return };
        if !self.agents.contains_key(&stamp.agent) && self.agents.len() >= AGENTS_MAX {
            return;
        }
        let agent = self.agents.entry(stamp.agent.clone()).or_default();
        agent.heard_unix_nano = now_unix_nano;
        agent.complete_to_unix_nano = agent.complete_to_unix_nano.max(stamp.complete_to_unix_nano);
    }

    pub(crate) fn list(&self, collector: &str, now_unix_nano: u64) -> Vec<Source> {
        let mut out = vec![Source {
            name: collector.to_owned(),
            kind: SourceKind::Collector,
            unix_nano: self.last_ack_unix_nano,
            state: SourceState::Live,
        }];
        out.extend(self.agents.iter().map(|(name, agent)| {
            let silent = now_unix_nano.saturating_sub(agent.heard_unix_nano);
            Source {
                name: name.clone(),
                kind: SourceKind::Agent,
                unix_nano: agent.complete_to_unix_nano,
                state: if silent > LOST_NANOS {
                    SourceState::Lost
                } else if silent > LAGGING_NANOS {
                    SourceState::Lagging
                } else {
                    SourceState::Live
                },
            }
        }));
        out
    }
}
