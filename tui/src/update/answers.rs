//! Answers find the entry and the value that they are for; stale ones are passed over.

use crate::message::{Answer, Effect, Slot, SlotKind, TailMessage};
use crate::model::load::Failure;
use crate::model::logs::{LINES_MAX, LogLine};
use crate::model::{Logs, Model, Screen, Traces, Tree, TreeValue};

/// Most sources named as lost.
const LOST_MAX: usize = 100;

/// Takes an answer or a failure.
pub(super) fn answer(
    model: &mut Model,
    slot: Slot,
    generation: u64,
    answer: Result<Box<Answer>, Failure>,
) {
    if slot.kind == SlotKind::Complete {
        complete_answer(model, generation, answer);
        return;
    }
    let Some(entry) = model.stack.iter_mut().find(|entry| entry.id == slot.entry) else {
        return;
    };
    let answer = answer.map(|boxed| *boxed);
    match &mut entry.screen {
        Screen::Home(home) => match slot.kind {
            SlotKind::Alerts if home.alerts.expects(generation) => {
                home.alerts.finish(answer.and_then(alerts));
            }
            SlotKind::Services if home.services.expects(generation) => {
                home.services.finish(answer.and_then(|answer| match answer {
                    Answer::Services(services, completeness) => Ok((services, completeness)),
                    _ => Err(misplaced()),
                }));
            }
            _ => {}
        },
        Screen::Alerts(screen) => match slot.kind {
            SlotKind::Alerts if screen.alerts.expects(generation) => {
                screen.alerts.finish(answer.and_then(alerts));
            }
            SlotKind::Rules if screen.rules.expects(generation) => {
                screen.rules.finish(answer.and_then(|answer| match answer {
                    Answer::Rules(groups, completeness) => Ok((groups, completeness)),
                    _ => Err(misplaced()),
                }));
            }
            _ => {}
        },
        Screen::Traces(traces) => traces_answer(traces, slot.kind, generation, answer),
        Screen::Trace(tree) | Screen::Story(tree) => {
            if slot.kind == SlotKind::Main && tree.load.expects(generation) {
                tree_answer(tree, answer);
            }
        }
        Screen::Logs(logs) => logs_answer(logs, slot.kind, generation, answer),
        Screen::Help(_) => {}
    }
}

/// Suggestions are a help: where they fail, one types on without.
fn complete_answer(model: &mut Model, generation: u64, answer: Result<Box<Answer>, Failure>) {
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    if !prompt.suggestions.expects(generation) {
        return;
    }
    prompt
        .suggestions
        .finish(answer.and_then(|answer| match *answer {
            Answer::Complete(mut found) => {
                let completeness = std::mem::take(&mut found.completeness);
                Ok((found, completeness))
            }
            _ => Err(misplaced()),
        }));
}

/// An answer of another kind than its slot: a mistake of ours that must not end the session.
fn misplaced() -> Failure {
    Failure {
        message: "the answer belongs to another request".to_owned(),
        ..Failure::default()
    }
}

fn alerts(answer: Answer) -> Result<(Vec<api::AlertView>, api::Completeness), Failure> {
    match answer {
        Answer::Alerts(alerts, completeness) => Ok((alerts, completeness)),
        _ => Err(misplaced()),
    }
}

fn traces_answer(
    traces: &mut Traces,
    kind: SlotKind,
    generation: u64,
    answer: Result<Answer, Failure>,
) {
    let page = answer.and_then(|answer| match answer {
        Answer::Traces(page, cursor, completeness) => Ok((page, cursor, completeness)),
        _ => Err(misplaced()),
    });
    match kind {
        SlotKind::Main if traces.load.expects(generation) => {
            traces.load.finish(page.map(|(page, cursor, completeness)| {
                traces.cursor = cursor;
                (page, completeness)
            }));
        }
        SlotKind::More if traces.more.expects(generation) => {
            let known = &mut traces.load.value;
            let cursor = &mut traces.cursor;
            traces.more.finish(page.map(|(page, next, completeness)| {
                *cursor = next;
                known.get_or_insert_default().extend(page);
                ((), completeness)
            }));
        }
        _ => {}
    }
}

fn tree_answer(tree: &mut Tree, answer: Result<Answer, Failure>) {
    let before = tree
        .load
        .value
        .as_ref()
        .map(|value: &TreeValue| value.view.list.cursor);
    tree.load.finish(answer.and_then(|answer| match answer {
        Answer::Tree(value, completeness) => Ok((*value, completeness)),
        _ => Err(misplaced()),
    }));
    let Some(value) = &mut tree.load.value else {
        return;
    };
    if tree.load.failure.is_some() {
        return;
    }
    match (tree.focus.take(), before) {
        (Some(span_id), _) => {
            if let Some(row) = value.view.timeline.find_span(&span_id) {
                value.view.reveal(row);
            }
        }
        (None, Some(cursor)) => value.view.list.cursor = cursor,
        (None, None) => {}
    }
}

fn logs_answer(logs: &mut Logs, kind: SlotKind, generation: u64, answer: Result<Answer, Failure>) {
    if kind == SlotKind::Histogram {
        if logs.histogram.expects(generation) {
            logs.histogram
                .finish(answer.and_then(|answer| match answer {
                    Answer::Histogram(counts) => {
                        let completeness = counts.completeness.clone();
                        Ok((counts, completeness))
                    }
                    _ => Err(misplaced()),
                }));
        }
        return;
    }
    let page = answer.and_then(|answer| match answer {
        Answer::Logs(lines, cursor, completeness) => Ok((lines, cursor, completeness)),
        _ => Err(misplaced()),
    });
    match kind {
        SlotKind::Main if logs.load.expects(generation) => {
            let early = logs.follow.as_mut().and_then(|follow| follow.early.take());
            match page {
                Ok((lines, cursor, completeness)) => {
                    logs.store.replace(lines);
                    logs.cursor = cursor;
                    logs.load.finish(Ok(((), completeness)));
                }
                Err(failure) => logs.load.finish(Err(failure)),
            }
            logs.store.append_missing(early.unwrap_or_default());
            logs.list.cursor = logs.store.len().saturating_sub(1);
        }
        SlotKind::More if logs.older.expects(generation) => match page {
            Ok((lines, cursor, completeness)) => {
                let found = lines.len();
                let added = logs.store.prepend(lines);
                // Beyond the limit there is no use in asking for still older lines.
                logs.cursor = if added == found { cursor } else { None };
                logs.list.cursor += added;
                logs.list.offset += added;
                logs.older.finish(Ok(((), completeness)));
            }
            Err(failure) => logs.older.finish(Err(failure)),
        },
        _ => {}
    }
}

/// Takes what a tail says.
pub(super) fn tail(
    model: &mut Model,
    entry: u64,
    generation: u64,
    event: TailMessage,
    effects: &mut Vec<Effect>,
) {
    let is_top = model.top().id == entry;
    let Some(found) = model
        .stack
        .iter_mut()
        .find(|candidate| candidate.id == entry)
    else {
        return;
    };
    let Screen::Logs(logs) = &mut found.screen else {
        return;
    };
    let Some(follow) = &mut logs.follow else {
        return;
    };
    if follow.generation != generation {
        return;
    }
    match event {
        TailMessage::Opened if is_top => super::ask::ask(model, effects),
        TailMessage::Opened => follow.early = None,
        TailMessage::Lines(lines, counts) => {
            follow.dropped = counts.dropped;
            for source in counts.lost {
                if follow.lost.len() < LOST_MAX && !follow.lost.contains(&source) {
                    follow.lost.push(source);
                }
            }
            new_lines(logs, lines);
        }
        TailMessage::Ended(failure) => {
            let ended = || Failure {
                message: "the server ended the tail".to_owned(),
                hint: Some("F follows again".to_owned()),
                at: None,
            };
            follow.failure = Some(failure.unwrap_or_else(ended));
        }
    }
}

fn new_lines(logs: &mut Logs, lines: Vec<LogLine>) {
    let Some(follow) = &mut logs.follow else {
        return;
    };
    let added = lines.len();
    if let Some(early) = &mut follow.early {
        early.extend(lines);
        let surplus = early.len().saturating_sub(LINES_MAX);
        logs.store.evicted += surplus as u64;
        early.drain(..surplus);
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
