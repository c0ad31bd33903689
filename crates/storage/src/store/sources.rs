//! Who sends, and up to when what they sent is here.
//!
//! An agent says with each export up to when it is complete, and with an empty one every ten
//! seconds where it has nothing else to say. A sender that never says so (a load generator) is no
//! source: nothing can be missing of it. An agent leaves the list by saying that it is complete for
//! ever, or when it has not been heard of for a day.
//!
//! The list outlives the process in `store/SOURCES`: JSON, sealed (see [`crate::sealed`]), replaced by rename about once a minute
//! and at the end. Agents read from there lag until they are heard of again.

use std::collections::BTreeMap;
use std::path::Path;

use env::Env;
use model::time::NANOS_PER_SECOND;
use serde::{Deserialize, Serialize};

use crate::message::{Source, SourceKind, SourceState};
use crate::sealed;
use crate::write::Stamp;

/// An agent not heard of, or behind, for this long lags.
const LAGGING_NANOS: u64 = 30 * NANOS_PER_SECOND;
/// An agent not heard of for this long is lost.
const LOST_NANOS: u64 = 300 * NANOS_PER_SECOND;
/// An agent not heard of for this long is forgotten.
const FORGOTTEN_NANOS: u64 = 24 * 3600 * NANOS_PER_SECOND;
/// How many agents are known; exports of further ones are stored and counted.
const AGENTS_MAX: usize = 10_000;
/// How many agents an answer lists by name; the rest is one entry.
const LISTED_MAX: usize = 100;
const VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Agent {
    heard_unix_nano: u64,
    complete_to_unix_nano: u64,
    /// By how much the agent was behind its own clock when it was last heard of.
    behind_nano: u64,
}

/// `store/SOURCES`.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    agents: BTreeMap<String, Agent>,
}

/// Agents, and the last acknowledgement to anyone.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    agents: BTreeMap<String, Agent>,
    last_ack_unix_nano: u64,
    /// When this process began to listen: before, nobody could be heard of.
    opened_unix_nano: u64,
    /// Exports of agents that are beyond the limit.
    unlisted: u64,
    forgotten: u64,
    changed: bool,
}

impl Sources {
    /// Takes up the list that an earlier process left, if there is one that reads.
    pub(super) fn open(&mut self, env: &Env, root: &Path) {
        self.opened_unix_nano = env.clock.unix_nanos();
        let path = root.join(NAME);
        let read = || -> std::io::Result<Option<Saved>> {
            if env.files.stat(&path)?.is_none() {
                return Ok(None);
            }
            self::read(&env.files.read(&path)?).map(Some)
        };
        match read() {
            Ok(Some(saved)) if saved.version == VERSION => self.agents = saved.agents,
            Ok(None) => {}
            Ok(Some(_)) => tracing::warn!("the list of agents is of another version, left aside"),
            // The agents that are there say so within ten seconds.
            Err(error) => tracing::warn!(%error, "the list of agents does not read, left aside"),
        }
    }

    /// The list as it is to be kept, where it is not what was kept last.
    pub(super) fn take_unsaved(&mut self, now_unix_nano: u64) -> Option<Vec<u8>> {
        self.forget(now_unix_nano);
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let saved = Saved {
            version: VERSION,
            agents: self.agents.clone(),
        };
        serde_json::to_vec(&saved).ok().map(sealed::seal)
    }

    /// Notes what an acknowledged export says of its sender.
    pub(super) fn acknowledged(&mut self, stamp: Option<&Stamp>, now_unix_nano: u64) {
        self.last_ack_unix_nano = self.last_ack_unix_nano.max(now_unix_nano);
        let Some(stamp) = stamp.filter(|stamp| stamp.complete_to_unix_nano > 0) else {
            return;
        };
        self.changed = true;
        if stamp.complete_to_unix_nano == Stamp::COMPLETE_FOR_EVER {
            self.agents.remove(&stamp.agent);
            return;
        }
        if !self.agents.contains_key(&stamp.agent) && self.agents.len() >= AGENTS_MAX {
            self.unlisted += 1;
            return;
        }
        let agent = self.agents.entry(stamp.agent.clone()).or_default();
        agent.heard_unix_nano = now_unix_nano;
        agent.complete_to_unix_nano = agent.complete_to_unix_nano.max(stamp.complete_to_unix_nano);
        agent.behind_nano = stamp
            .sent_unix_nano
            .saturating_sub(agent.complete_to_unix_nano);
    }

    fn forget(&mut self, now_unix_nano: u64) {
        let before = self.agents.len();
        self.agents.retain(|_, agent| {
            now_unix_nano.saturating_sub(agent.heard_unix_nano) < FORGOTTEN_NANOS
        });
        let forgotten = before - self.agents.len();
        self.forgotten += forgotten as u64;
        self.changed |= forgotten > 0;
    }

    fn state(&self, agent: &Agent, now_unix_nano: u64) -> SourceState {
        let heard = agent.heard_unix_nano.max(self.opened_unix_nano);
        let silent = now_unix_nano.saturating_sub(heard);
        let unheard = agent.heard_unix_nano < self.opened_unix_nano;
        if silent > LOST_NANOS {
            SourceState::Lost
        } else if unheard || silent > LAGGING_NANOS || agent.behind_nano > LAGGING_NANOS {
            SourceState::Lagging
        } else {
            SourceState::Live
        }
    }

    /// The collector, then its agents by name. Of many agents those that answers lack most of are
    /// named, and one entry speaks for the others.
    pub(crate) fn list(&self, collector: &str, now_unix_nano: u64) -> Vec<Source> {
        let mut agents: Vec<(SourceState, u64, &str)> = self
            .agents
            .iter()
            .map(|(name, agent)| {
                let state = self.state(agent, now_unix_nano);
                (state, agent.complete_to_unix_nano, name.as_str())
            })
            .collect();
        let mut others = None;
        if agents.len() > LISTED_MAX {
            agents.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            let rest = agents.split_off(LISTED_MAX - 1);
            others = rest.first().map(|(state, unix_nano, _)| {
                agent_source(format!("{} more agents", rest.len()), *unix_nano, *state)
            });
            agents.sort_unstable_by_key(|(_, _, name)| *name);
        }
        let collector = Source {
            name: collector.to_owned(),
            kind: SourceKind::Collector,
            unix_nano: self.last_ack_unix_nano,
            state: SourceState::Live,
        };
        let named = agents
            .into_iter()
            .map(|(state, unix_nano, name)| agent_source(name.to_owned(), unix_nano, state));
        std::iter::once(collector)
            .chain(named)
            .chain(others)
            .collect()
    }

    /// How many agents are known, exports of agents that are not listed, agents forgotten.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [
            ("agents", self.agents.len() as u64),
            ("unlisted_agent_exports_total", self.unlisted),
            ("forgotten_agents_total", self.forgotten),
        ]
    }
}

/// The file's name in the store's folder.
pub(crate) const NAME: &str = "SOURCES";

/// Why a list of agents would be left aside.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let saved = read(bytes).map_err(|error| error.to_string())?;
    if saved.version == VERSION {
        Ok(())
    } else {
        Err(format!("version {}", saved.version))
    }
}

fn read(bytes: &[u8]) -> std::io::Result<Saved> {
    let sealed = sealed::unseal(bytes).map_err(std::io::Error::other)?;
    Ok(serde_json::from_slice(sealed.unwrap_or(bytes))?)
}

fn agent_source(name: String, unix_nano: u64, state: SourceState) -> Source {
    Source {
        name,
        kind: SourceKind::Agent,
        unix_nano,
        state,
    }
}

#[cfg(test)]
mod tests;
