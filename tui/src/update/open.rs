//! Going from screen to screen: commands, jumps and the way back.

use super::ask;
use crate::command::Command;
use crate::message::Effect;
use crate::model::detail::Jump;
use crate::model::list::ListState;
use crate::model::{Alerts, Entry, Help, Logs, Model, STACK_MAX, Screen, Traces, Tree};
use crate::range::RangeChoice;

/// Puts a screen on top and asks for what it shows.
pub(super) fn push(model: &mut Model, screen: Screen, effects: &mut Vec<Effect>) {
    if model.stack.len() == STACK_MAX {
        let gone = model.stack.remove(1);
        effects.push(Effect::Abort(gone.id));
    }
    model.last_entry += 1;
    let id = model.last_entry;
    model.stack.push(Entry {
        id,
        screen,
        asked: None,
        detail: None,
        detail_focused: false,
    });
    ask::ask(model, effects);
}

/// Takes the top screen away; the first stays.
pub(super) fn pop(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.stack.len() > 1
        && let Some(gone) = model.stack.pop()
    {
        effects.push(Effect::Abort(gone.id));
        ask::returned(model, effects);
    } else {
        model.notice = Some("this is the first screen; Q leaves".to_owned());
    }
}

/// Goes to the first screen.
fn home(model: &mut Model, effects: &mut Vec<Effect>) {
    for gone in model.stack.drain(1..) {
        effects.push(Effect::Abort(gone.id));
    }
    ask::ask(model, effects);
}

/// Runs a command.
pub(super) fn run(model: &mut Model, command: Command, effects: &mut Vec<Effect>) {
    match command {
        Command::Home => home(model, effects),
        Command::Traces(query) => {
            let traces = Traces {
                range: range_for(&query),
                query,
                ..Traces::default()
            };
            push(model, Screen::Traces(traces), effects);
        }
        Command::Trace(id) => trace(model, id, None, effects),
        Command::Logs(query) => logs(model, query, effects),
        Command::Story(id) => {
            push(
                model,
                Screen::Story(Tree {
                    id,
                    ..Tree::default()
                }),
                effects,
            );
        }
        Command::Alerts => push(model, Screen::Alerts(Alerts::default()), effects),
        Command::Help => help(model, effects),
        Command::Time(range) => set_range(model, range, effects),
        Command::Quit => effects.push(Effect::Quit),
    }
}

fn help(model: &mut Model, effects: &mut Vec<Effect>) {
    let of = match &model.top().screen {
        Screen::Help(help) => help.of,
        other => other.kind(),
    };
    let list = ListState::default();
    push(model, Screen::Help(Help { of, list }), effects);
}

fn trace(model: &mut Model, id: String, focus: Option<String>, effects: &mut Vec<Effect>) {
    // Ids are lower-case hex on the wire, but people paste what they have.
    let id = id.to_ascii_lowercase();
    push(
        model,
        Screen::Trace(Tree {
            id,
            focus,
            ..Tree::default()
        }),
        effects,
    );
}

fn logs(model: &mut Model, query: String, effects: &mut Vec<Effect>) {
    let logs = Logs {
        range: range_for(&query),
        query,
        ..Logs::default()
    };
    push(model, Screen::Logs(Box::new(logs)), effects);
}

/// What carries an id is wanted whenever it was, not only in the last quarter of an hour.
fn range_for(query: &str) -> Option<RangeChoice> {
    let by_id = query.contains("trace_id:") || query.contains("correlation:");
    by_id.then(RangeChoice::all)
}

/// Follows a jump.
pub(super) fn jump(model: &mut Model, jump: Jump, effects: &mut Vec<Effect>) {
    match jump {
        Jump::Trace(id, span) => trace(model, id, span, effects),
        Jump::Story(id) => run(model, Command::Story(id), effects),
        Jump::Logs(query) => logs(model, query, effects),
        Jump::Traces(query) => run(model, Command::Traces(query), effects),
        Jump::Copy(text) => effects.push(Effect::Copy(text)),
    }
}

/// Changes the time range of all screens and asks anew.
pub(super) fn set_range(model: &mut Model, range: RangeChoice, effects: &mut Vec<Effect>) {
    model.range = range;
    match &mut model.top_mut().screen {
        Screen::Logs(logs) => logs.range = None,
        Screen::Traces(traces) => traces.range = None,
        _ => {}
    }
    ask::ask(model, effects);
}

/// Gives the top screen another query and asks anew.
pub(super) fn set_query(model: &mut Model, query: String, effects: &mut Vec<Effect>) {
    let id = model.top().id;
    let mut follows = false;
    match &mut model.top_mut().screen {
        Screen::Traces(traces) => {
            traces.query = query;
            // It names a place in the answer to the query before.
            traces.cursor = None;
            traces.list = ListState::default();
        }
        Screen::Logs(logs) => {
            logs.query = query;
            logs.cursor = None;
            follows = logs.follow.take().is_some();
        }
        _ => return,
    }
    if follows {
        effects.push(Effect::StopTail(id));
    }
    ask::ask(model, effects);
    if follows {
        ask::follow(model, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::set_query;
    use crate::command::Command;
    use crate::message::{Effect, SlotKind};
    use crate::model::{Model, Screen};
    use crate::testdata::{Server, T0, respond};
    use crate::update::start;
    use crate::update::tests::press;

    #[test]
    fn pages_of_a_query_that_failed_are_not_asked_for_by_the_cursor_of_another() {
        let mut model = Model::new("http://h:1", (120, 40), T0);
        let effects = start(&mut model, Some(Command::Logs(String::new())));
        respond(&mut model, effects, &Server::Whole);
        let Screen::Logs(logs) = &mut model.top_mut().screen else {
            panic!("no logs");
        };
        logs.cursor = Some("of the first query".to_owned());
        let mut effects = Vec::new();
        set_query(&mut model, "level:error".to_owned(), &mut effects);
        respond(&mut model, effects, &Server::Failing);
        let effects = press(&mut model, "home");
        let more = |effect: &Effect| matches!(effect, Effect::Fetch { slot, .. } if slot.kind == SlotKind::More);
        assert!(!effects.iter().any(more), "{effects:?}");
    }
}
