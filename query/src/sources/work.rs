//! What one query may use up, what it has used, and what its answer lacks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Completeness;
use parking_lot::Mutex;
use storage::message::{Cut, Limits, Source, SourceKind, SourceState, Summary};
use tokio::time::Instant;

use super::memory::{Holding, Memory};
use crate::error::{ErrorKind, QueryError};

/// The bytes that an answer may take, where nothing else is said.
pub const ANSWER_BYTES: u64 = 64 << 20;

/// The account of one query, which may consist of several requests to the sources.
#[derive(Debug)]
pub struct Work {
    limits: Limits,
    answer_bytes: u64,
    /// What is held for it, out of what all queries may take.
    memory: Arc<Holding>,
    started: Instant,
    summary: Mutex<Summary>,
    /// Sources that were lost, by their index, and why.
    lost: Mutex<BTreeMap<usize, String>>,
    hints: Mutex<Vec<String>>,
}

impl Work {
    /// A fresh account; time runs from now.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            answer_bytes: ANSWER_BYTES,
            memory: Arc::new(Holding::new(Arc::new(Memory::unlimited()))),
            started: Instant::now(),
            summary: Mutex::new(Summary::default()),
            lost: Mutex::default(),
            hints: Mutex::default(),
        }
    }

    /// The same, for an answer of at most so many bytes.
    #[must_use]
    pub fn with_answer_bytes(self, answer_bytes: u64) -> Self {
        Self {
            answer_bytes,
            ..self
        }
    }

    /// The same, with what it holds in memory that all queries share.
    #[must_use]
    pub fn with_memory(self, memory: Arc<Memory>) -> Self {
        Self {
            memory: Arc::new(Holding::new(memory)),
            ..self
        }
    }

    /// Takes memory for rows and groups until the query ends. Rows that it let go of meanwhile count
    /// as well, and each of its requests has a bound of its own.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        self.memory.rows(bytes)
    }

    /// Takes memory for samples of PromQL until the query ends or lets go of them.
    pub(crate) fn hold_samples(&self, samples: usize) -> Result<(), QueryError> {
        self.memory.samples(samples)
    }

    /// Lets go of all samples but these.
    pub(crate) fn keep_samples(&self, samples: usize) {
        self.memory.keep_samples(samples);
    }

    /// Where an evaluation takes memory for the values that it calculates.
    pub(crate) fn sample_memory(&self) -> Arc<dyn promql::Memory> {
        Arc::clone(&self.memory) as Arc<dyn promql::Memory>
    }

    /// How many bytes of rows may be held for the answer.
    pub fn answer_bytes(&self) -> u64 {
        self.answer_bytes
    }

    /// What the next request may use: four fifths of what is left, so that one which uses up its
    /// share leaves something for the request that turns its rows into an answer. The error says
    /// that nothing is left.
    pub fn remaining(&self) -> Result<Limits, QueryError> {
        let used = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let timeout_ms = self.limits.timeout_ms.saturating_sub(used);
        let scanned = self.summary.lock().stats.bytes;
        let scanned_bytes = self.limits.scanned_bytes.saturating_sub(scanned);
        if timeout_ms == 0 {
            let message = format!("the query took longer than {} ms", self.limits.timeout_ms);
            return Err(QueryError::new(ErrorKind::Timeout, message)
                .hint("narrow the time range or add conditions"));
        }
        if scanned_bytes == 0 {
            let message = format!(
                "the query scanned more than {} bytes",
                self.limits.scanned_bytes
            );
            return Err(QueryError::new(ErrorKind::Timeout, message)
                .hint("narrow the time range or add conditions"));
        }
        let share = |left: u64| left - left / 5;
        Ok(Limits {
            timeout_ms: share(timeout_ms),
            scanned_bytes: share(scanned_bytes),
            answer_bytes: self.answer_bytes,
        })
    }

    /// An account of its own for work that may be given up early: with at most these limits, and
    /// never more than is left here.
    pub fn aside(&self, limits: Limits) -> Result<Work, QueryError> {
        let left = self.remaining()?;
        let aside = Work::new(Limits {
            timeout_ms: left.timeout_ms.min(limits.timeout_ms),
            scanned_bytes: left.scanned_bytes.min(limits.scanned_bytes),
            answer_bytes: left.answer_bytes.min(limits.answer_bytes),
        });
        aside.lost.lock().clone_from(&self.lost.lock());
        Ok(aside)
    }

    /// Takes over what was done on an account aside, and who answered, but not what it lacks.
    pub fn take_over(&self, aside: Work) {
        self.add(Summary {
            cuts: Vec::new(),
            ..aside.summary.into_inner()
        });
    }

    /// Whether another request would still be granted.
    pub fn has_budget(&self) -> bool {
        self.remaining().is_ok()
    }

    /// What a further request found, or nothing where the limits of the query left nothing for it:
    /// the answer goes on with what there is, and the hint says what it lacks.
    pub fn further<T>(
        &self,
        found: Result<T, QueryError>,
        hint: &str,
    ) -> Result<Option<T>, QueryError> {
        match found {
            Err(error) if error.kind == ErrorKind::Timeout => {
                self.cut("time", "query limits", hint);
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// When the time limit is reached.
    pub fn deadline(&self) -> Instant {
        self.started + Duration::from_millis(self.limits.timeout_ms)
    }

    /// Adds the end of an answer. A source that is named again keeps its worse state and its
    /// earlier time: the whole answer is as complete as its least complete part.
    pub fn add(&self, other: Summary) {
        let mut summary = self.summary.lock();
        summary.stats.add(other.stats);
        for cut in other.cuts {
            push_cut(&mut summary, cut);
        }
        for source in other.sources {
            push_source(&mut summary, source);
        }
    }

    /// Notes that a limit cut the answer.
    pub fn cut(&self, limit: &str, value: impl ToString, hint: impl Into<String>) {
        let cut = Cut {
            limit: limit.to_owned(),
            value: value.to_string(),
            hint: hint.into(),
        };
        push_cut(&mut self.summary.lock(), cut);
    }

    /// Notes what may be wrong with the question.
    pub fn hint(&self, text: impl Into<String>) {
        self.hints.lock().push(text.into());
    }

    /// Notes that a source is missing from the answer. It is not asked again for this query: the
    /// answer lacks its data as it is, and one that hangs would use up the time of the others.
    pub(super) fn lost(&self, index: usize, name: &str, reason: &str) {
        self.lost.lock().insert(index, reason.to_owned());
        self.cut(
            "source",
            name,
            format!("the answer lacks the data of this source: {reason}"),
        );
        push_source(&mut self.summary.lock(), super::lost_source(name));
    }

    /// The sources that were lost, and why.
    pub(super) fn lost_sources(&self) -> BTreeMap<usize, String> {
        self.lost.lock().clone()
    }

    /// The error that nothing was found. Where something was left out of the search, nobody can
    /// say that there is nothing: the error then says what, and to ask again.
    pub fn not_found(&self, nothing: &str) -> QueryError {
        let summary = self.summary.lock();
        if summary.cuts.is_empty() {
            return QueryError::not_found(nothing);
        }
        let left_out: Vec<String> = summary
            .cuts
            .iter()
            .map(|cut| format!("{} {}: {}", cut.limit, cut.value, cut.hint))
            .collect();
        let message = format!("{nothing} in what could be searched");
        QueryError::new(ErrorKind::Unavailable, message).hint(left_out.join("; "))
    }

    /// Whether anything was cut so far.
    pub fn is_cut(&self) -> bool {
        !self.summary.lock().cuts.is_empty()
    }

    /// The account as it stands in an answer.
    pub fn completeness(&self) -> Completeness {
        let summary = self.summary.lock();
        Completeness {
            stats: api::Stats {
                blocks: summary.stats.blocks,
                rows: summary.stats.rows,
                bytes: summary.stats.bytes,
                elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            },
            cut: summary.cuts.iter().map(cut_view).collect(),
            complete_to: summary.sources.iter().map(source_view).collect(),
            hints: self.hints.lock().clone(),
        }
    }
}

fn push_cut(summary: &mut Summary, cut: Cut) {
    if !summary.cuts.contains(&cut) {
        summary.cuts.push(cut);
    }
}

fn push_source(summary: &mut Summary, source: Source) {
    let known = summary
        .sources
        .iter_mut()
        .find(|known| known.name == source.name && known.kind == source.kind);
    match known {
        Some(known) => {
            known.unix_nano = known.unix_nano.min(source.unix_nano);
            if rank(source.state) > rank(known.state) {
                known.state = source.state;
            }
        }
        None => summary.sources.push(source),
    }
}

fn rank(state: SourceState) -> u8 {
    match state {
        SourceState::Live => 0,
        SourceState::Lagging => 1,
        SourceState::Lost => 2,
    }
}

fn cut_view(cut: &Cut) -> api::Cut {
    api::Cut {
        limit: cut.limit.clone(),
        value: cut.value.clone(),
        hint: cut.hint.clone(),
    }
}

fn source_view(source: &Source) -> api::Source {
    api::Source {
        source: source.name.clone(),
        kind: match source.kind {
            SourceKind::Agent => api::SourceKind::Agent,
            SourceKind::Collector => api::SourceKind::Collector,
        },
        unix_nano: source.unix_nano,
        state: match source.state {
            SourceState::Live => api::SourceState::Live,
            SourceState::Lagging => api::SourceState::Lagging,
            SourceState::Lost => api::SourceState::Lost,
        },
    }
}
