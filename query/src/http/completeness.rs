//! How complete an answer is, where its body has no place for it: response headers, and sentences
//! for the places that the Prometheus and Jaeger APIs have for warnings.
//!
//! The headers are structured fields (RFC 9651):
//!
//! ```text
//! throughline-stats: blocks=12, rows=48211, bytes=1048576, elapsed_ms=7
//! throughline-complete-to: "shop-1";kind=agent;state=lost;unix_nano="1700000000000000000"
//! throughline-cut: "source collector-2";hint="the answer lacks the data of this source"
//! ```
//!
//! The list of sources names lost ones first, then the ones that lag, each by its time. Lists end
//! at [`SOURCES_MAX`] and [`CUTS_MAX`] members with one more that stands for the rest:
//! `others;count=40;state=live;unix_nano="..."` is as complete as the least complete of them.

use std::fmt::Write;

use api::{Completeness, Cut, Source, SourceKind, SourceState, Stats};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::alerts::notifier::payload::rfc3339;

/// Work done for the answer.
pub(crate) const STATS: HeaderName = HeaderName::from_static("throughline-stats");
/// Up to when each source is complete.
pub(crate) const COMPLETE_TO: HeaderName = HeaderName::from_static("throughline-complete-to");
/// What was left out; absent where nothing was.
pub(crate) const CUT: HeaderName = HeaderName::from_static("throughline-cut");

/// How many sources are named.
const SOURCES_MAX: usize = 20;
/// How many cuts are named.
const CUTS_MAX: usize = 10;
/// How much of one name or hint is given, in characters: clients limit what all headers take.
const TEXT_MAX: usize = 100;

/// Puts the headers on an answer.
pub(super) fn put(headers: &mut HeaderMap, completeness: &Completeness) {
    let Completeness {
        stats,
        cut,
        complete_to,
        hints: _,
    } = completeness;
    let fields = [
        (STATS, stats_field(*stats)),
        (COMPLETE_TO, sources_field(complete_to)),
        (CUT, cuts_field(cut)),
    ];
    for (name, value) in fields {
        if value.is_empty() {
            continue;
        }
        // Texts are escaped to visible ASCII, which every header may hold.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

fn stats_field(stats: Stats) -> String {
    let Stats {
        blocks,
        rows,
        bytes,
        elapsed_ms,
    } = stats;
    format!("blocks={blocks}, rows={rows}, bytes={bytes}, elapsed_ms={elapsed_ms}")
}

fn sources_field(sources: &[Source]) -> String {
    let mut sorted: Vec<&Source> = sources.iter().collect();
    sorted.sort_by(|a, b| {
        let worse_first = b.state.cmp(&a.state);
        worse_first
            .then(a.unix_nano.cmp(&b.unix_nano))
            .then(a.source.cmp(&b.source))
    });
    let (named, rest) = sorted.split_at(sorted.len().min(SOURCES_MAX));
    let one = |source: &&Source| {
        let kind = match source.kind {
            SourceKind::Agent => "agent",
            SourceKind::Collector => "collector",
        };
        let name = text(&source.source);
        let state = state(source.state);
        format!(
            "{name};kind={kind};state={state};unix_nano=\"{}\"",
            source.unix_nano
        )
    };
    let mut members: Vec<String> = named.iter().map(one).collect();
    if let (Some(worst), Some(earliest)) = (
        rest.iter().map(|source| source.state).max(),
        rest.iter().map(|source| source.unix_nano).min(),
    ) {
        let (count, state) = (rest.len(), state(worst));
        members.push(format!(
            "others;count={count};state={state};unix_nano=\"{earliest}\""
        ));
    }
    members.join(", ")
}

fn state(state: SourceState) -> &'static str {
    match state {
        SourceState::Live => "live",
        SourceState::Lagging => "lagging",
        SourceState::Lost => "lost",
    }
}

fn cuts_field(cuts: &[Cut]) -> String {
    let (named, rest) = cuts.split_at(cuts.len().min(CUTS_MAX));
    let one = |cut: &Cut| {
        let what = text(&format!("{} {}", cut.limit, cut.value));
        format!("{what};hint={}", text(&cut.hint))
    };
    let mut members: Vec<String> = named.iter().map(one).collect();
    if !rest.is_empty() {
        members.push(format!("others;count={}", rest.len()));
    }
    members.join(", ")
}

/// A string of the header: plain where it is visible ASCII, else a display string.
fn text(value: &str) -> String {
    let short: String = value.chars().take(TEXT_MAX).collect();
    let mut out = String::with_capacity(short.len() + 2);
    if short.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.push('"');
        for c in short.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
    } else {
        out.push_str("%\"");
        for byte in short.bytes() {
            match byte {
                b'%' | b'"' | ..=0x1f | 0x7f.. => {
                    // Writing to a text cannot fail.
                    let _ = write!(out, "%{byte:02x}");
                }
                _ => out.push(char::from(byte)),
            }
        }
    }
    out.push('"');
    out
}

/// What the answer lacks, a sentence each. A lost collector is among what was cut.
pub(super) fn lacks(completeness: &Completeness) -> Vec<String> {
    let cuts = completeness
        .cut
        .iter()
        .map(|cut| format!("{} {}: {}", cut.limit, cut.value, cut.hint));
    let lost = completeness
        .lost()
        .filter(|source| source.kind == SourceKind::Agent)
        .map(|agent| {
            let until = rfc3339(agent.unix_nano);
            let name = &agent.source;
            format!("agent {name} is lost: what it read after {until} is not in the answer")
        });
    cuts.chain(lost).collect()
}

#[cfg(test)]
mod tests;
