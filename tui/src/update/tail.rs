//! What a tail says, and how one that was broken comes back without a gap.
//!
//! A tail begins with what is stored from then on. After a broken one the new tail is opened
//! first; then the records since a little before the break are asked for, and those that are not
//! on the screen yet are brought in before what the new tail sent meanwhile. The same is done when
//! the tail goes on but one of the server's own sources was away.

#[cfg(test)]
mod tests;

use super::{answers, ask, outage};
use crate::message::{Answer, Effect, TailMessage};
use crate::model::load::Failure;
use crate::model::logs::{LogLine, LogStore};
use crate::model::{Follow, Gap, Logs, Model, Screen};

/// Most sources named as lost.
const LOST_MAX: usize = 100;
/// How much earlier than the newest record the missed ones may be: services are late.
const LATE_NANO: u64 = 10_000_000_000;
/// Most pages of missed records.
const PAGES_MAX: usize = 20;

/// Takes what a tail says.
pub(super) fn take(
    model: &mut Model,
    entry: u64,
    generation: u64,
    event: TailMessage,
    effects: &mut Vec<Effect>,
) {
    let is_top = model.top().id == entry;
    let now = model.now;
    let Some((logs, last)) = following(model, entry) else {
        return;
    };
    let Some(follow) = logs.follow.as_mut() else {
        return;
    };
    if follow.generation != generation {
        return;
    }
    match event {
        TailMessage::Opened => {
            let was_broken = follow.broken.take().is_some();
            if was_broken && logs.load.value.is_some() {
                follow.early = Some(LogStore::default());
                ask::ask_missed(entry, logs, None, last, effects);
            } else {
                // There is no first page yet that anything could be missing after.
                follow.gap = None;
                follow.early = is_top.then(LogStore::default);
                if is_top {
                    ask::ask(model, effects);
                }
            }
            outage::note(model, None);
        }
        TailMessage::Lines(lines, counts) => {
            follow.dropped = follow.dropped_before + counts.dropped;
            follow.lost = counts.lost;
            follow.lost.truncate(LOST_MAX);
            new_lines(logs, lines);
            let from = counts.gaps.iter().map(|gap| gap.from_unix_nano).min();
            if let Some(from) = from {
                came_back(entry, logs, from, last, effects);
            }
        }
        TailMessage::Broken(failure) => {
            follow.dropped_before = follow.dropped;
            follow.broken = Some(failure.clone());
            broken(logs, now);
            outage::note(model, Some(&failure));
        }
        TailMessage::Ended(failure) => follow.failure = Some(failure),
    }
}

/// The logs of an entry, with the number of the last request.
fn following(model: &mut Model, entry: u64) -> Option<(&mut Logs, &mut u64)> {
    let found = model
        .stack
        .iter_mut()
        .find(|candidate| candidate.id == entry)?;
    match &mut found.screen {
        Screen::Logs(logs) => Some((logs, &mut model.generation)),
        _ => None,
    }
}

/// Notes from when on records may be missing. One that is being caught up with is not over.
fn broken(logs: &mut Logs, now: u64) {
    let newest = logs.store.newest().unwrap_or(now);
    let Some(follow) = &mut logs.follow else {
        return;
    };
    let since = follow.gap.as_ref().map_or(u64::MAX, |gap| gap.since);
    follow.gap = Some(Gap {
        since: since.min(newest.min(now).saturating_sub(LATE_NANO)),
        ..Gap::default()
    });
    let early = follow.early.take().unwrap_or_default();
    merge(logs, early.into_lines());
}

/// Asks for what a source of the server acknowledged while it was away. What the tail sends
/// meanwhile waits.
fn came_back(entry: u64, logs: &mut Logs, from: u64, last: &mut u64, effects: &mut Vec<Effect>) {
    let Some(follow) = logs.follow.as_mut() else {
        return;
    };
    if logs.load.value.is_none() {
        return;
    }
    let since = follow.gap.as_ref().map_or(u64::MAX, |gap| gap.since);
    follow.gap = Some(Gap {
        since: since.min(from.saturating_sub(LATE_NANO)),
        ..Gap::default()
    });
    follow.early.get_or_insert_default();
    ask::ask_missed(entry, logs, None, last, effects);
}

/// Takes a page of the records that were missed.
pub(super) fn missed(
    model: &mut Model,
    entry: u64,
    generation: u64,
    answer: Result<Box<Answer>, Failure>,
    effects: &mut Vec<Effect>,
) {
    let Some((logs, last)) = following(model, entry) else {
        return;
    };
    let Some(follow) = &mut logs.follow else {
        return;
    };
    let Some(gap) = follow
        .gap
        .as_mut()
        .filter(|gap| gap.load.expects(generation))
    else {
        return;
    };
    let page = answer.and_then(|answer| match *answer {
        Answer::Logs(lines, cursor, completeness) => Ok((lines, cursor, completeness)),
        _ => Err(answers::misplaced()),
    });
    let (cursor, completeness) = match page {
        Ok((lines, cursor, completeness)) => {
            gap.pages.push(lines);
            (cursor, completeness)
        }
        // Away again: what is missing is asked for when the tail is back, if it breaks too, and after
        // a while if it goes on.
        Err(failure) if failure.away => return gap.load.finish(Err(failure)),
        Err(_refused) => {
            follow.lacks = true;
            return caught_up(logs);
        }
    };
    follow.lacks |= !completeness.cut.is_empty();
    gap.load.finish(Ok(((), completeness)));
    match cursor {
        Some(cursor) if gap.pages.len() < PAGES_MAX => {
            ask::ask_missed(entry, logs, Some(cursor), last, effects);
        }
        cursor => {
            follow.lacks |= cursor.is_some();
            caught_up(logs);
        }
    }
}

/// Asks once more for missed records that could not be had while the tail went on.
pub(super) fn ask_again(model: &mut Model, effects: &mut Vec<Effect>) {
    for entry in &mut model.stack {
        let Screen::Logs(logs) = &mut entry.screen else {
            continue;
        };
        let Some(follow) = logs
            .follow
            .as_mut()
            .filter(|follow| follow.has_failed_gap())
        else {
            continue;
        };
        // From the newest on: more may have come since.
        follow.gap.iter_mut().for_each(|gap| gap.pages.clear());
        ask::ask_missed(entry.id, logs, None, &mut model.generation, effects);
    }
}

/// Brings in what was missed, then what the new tail sent meanwhile.
fn caught_up(logs: &mut Logs) {
    let Some(follow) = &mut logs.follow else {
        return;
    };
    let pages = follow.gap.take().map(|gap| gap.pages).unwrap_or_default();
    let early = follow.early.take().unwrap_or_default();
    let lines: Vec<LogLine> = pages.into_iter().rev().flatten().collect();
    let added = merge(logs, lines);
    if let Some(follow) = &mut logs.follow {
        follow.caught_up += added as u64;
    }
    merge(logs, early.into_lines());
}

/// Puts lines where they belong in time, but for those that are there already. The mark stays
/// on its line, or at the end where new ones are shown. Gives how many were new.
fn merge(logs: &mut Logs, lines: Vec<LogLine>) -> usize {
    let marked = logs.store.get(logs.list.cursor).map(|line| line.time);
    let merged = logs.store.merge(lines);
    if let Some(follow) = logs.follow.as_mut().filter(|follow| follow.paused) {
        follow.unseen += merged.added as u64;
        let before = merged.before(marked.unwrap_or(0));
        let shift = |place: usize| (place + before).saturating_sub(merged.evicted);
        logs.list.cursor = shift(logs.list.cursor);
        logs.list.offset = shift(logs.list.offset);
    } else {
        logs.list.cursor = logs.store.len().saturating_sub(1);
    }
    merged.added
}

fn new_lines(logs: &mut Logs, lines: Vec<LogLine>) {
    let Some(follow) = &mut logs.follow else {
        return;
    };
    let added = lines.len();
    if let Some(early) = &mut follow.early {
        logs.store.evicted += early.append(lines) as u64;
        return;
    }
    let evicted = logs.store.append(lines);
    if follow.paused {
        follow.unseen += added as u64;
        logs.list.cursor = logs.list.cursor.saturating_sub(evicted);
        logs.list.offset = logs.list.offset.saturating_sub(evicted);
    } else {
        logs.list.cursor = logs.store.len().saturating_sub(1);
    }
}

impl Follow {
    /// Whether it waits for its connection.
    pub(crate) fn is_connecting(&self) -> bool {
        self.early.is_some() && self.gap.is_none()
    }
}
