//! Answers find the entry and the value that they are for; stale ones are passed over.

use crate::message::{Answer, Effect, Slot, SlotKind};
use crate::model::home::Home;
use crate::model::load::Failure;
use crate::model::{Logs, Model, Screen, Traces, Tree, TreeValue};

/// Takes an answer or a failure.
pub(super) fn answer(
    model: &mut Model,
    slot: Slot,
    generation: u64,
    answer: Result<Box<Answer>, Failure>,
    effects: &mut Vec<Effect>,
) {
    match slot.kind {
        SlotKind::Complete => return complete_answer(model, generation, answer),
        SlotKind::Missed => {
            return super::tail::missed(model, slot.entry, generation, answer, effects);
        }
        // That there was an answer is all that was wanted.
        SlotKind::Probe => return,
        _ => {}
    }
    let Some(entry) = model.stack.iter_mut().find(|entry| entry.id == slot.entry) else {
        return;
    };
    let answer = answer.map(|boxed| *boxed);
    match &mut entry.screen {
        Screen::Home(home) => home_answer(home, slot.kind, generation, answer),
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

fn home_answer(home: &mut Home, kind: SlotKind, generation: u64, answer: Result<Answer, Failure>) {
    let marked = home.marked_key();
    match kind {
        SlotKind::Alerts if home.alerts.expects(generation) => {
            home.alerts.finish(answer.and_then(alerts));
        }
        SlotKind::Services if home.services.expects(generation) => {
            home.services.finish(answer.and_then(|answer| match answer {
                Answer::Services(services, completeness) => Ok((services, completeness)),
                _ => Err(misplaced()),
            }));
        }
        _ => return,
    }
    home.arrange(marked.as_ref());
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
pub(super) fn misplaced() -> Failure {
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
            let early = logs.follow.as_mut().and_then(|follow| {
                // While missed records are read, what the tail sends waits for those.
                if follow.gap.is_none() {
                    follow.early.take()
                } else {
                    None
                }
            });
            match page {
                Ok((lines, cursor, completeness)) => {
                    logs.store.replace(lines);
                    logs.cursor = cursor;
                    logs.load.finish(Ok(((), completeness)));
                    if let Some(follow) = &mut logs.follow {
                        follow.lacks = false;
                    }
                }
                Err(failure) => logs.load.finish(Err(failure)),
            }
            logs.store.merge(early.unwrap_or_default().into_lines());
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
