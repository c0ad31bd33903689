//! Keys become actions, and actions change the screen on top.

#[cfg(test)]
mod tests;

use api::TraceOrder;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{ask, jumps, open, prompt};
use crate::action::{Action, Lookup, ScreenKind, lookup};
use crate::command::Command;
use crate::layout::layout;
use crate::message::Effect;
use crate::model::detail::Detail;
use crate::model::home::Home;
use crate::model::{Help, Logs, Model, Prompt, PromptKind, Screen, TreeValue};

/// Takes a key.
pub(super) fn press(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    if let Some(second) = after_escape(model, key) {
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        press_one(model, &escape, effects);
        press_one(model, &second, effects);
        return;
    }
    press_one(model, key, effects);
}

/// The key that followed Esc so fast that the two arrived as one with Alt: a terminal sends the
/// same bytes for both. Where Alt with the key means something of its own there is none.
fn after_escape(model: &Model, key: &KeyEvent) -> Option<KeyEvent> {
    // Other keys have sequences that tell Alt from Esc.
    let alike = matches!(
        key.code,
        KeyCode::Char(_) | KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace
    );
    let meant = model.prompt.is_some() && prompt::means_alt(key);
    if !alike || meant || !key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    Some(KeyEvent {
        modifiers: key.modifiers - KeyModifiers::ALT,
        ..*key
    })
}

fn press_one(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    model.notice = None;
    if model.prompt.is_some() {
        prompt::press(model, key, effects);
        return;
    }
    let pending = std::mem::take(&mut model.pending_keys);
    match lookup(model.top().screen.kind(), &pending, key) {
        Lookup::Action(action) => act(model, action, effects),
        Lookup::Chord(keys) => model.pending_keys = keys,
        Lookup::None if !pending.is_empty() => {
            model.notice = Some(format!("no key continues {pending}"));
        }
        Lookup::None => {}
    }
}

fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Up
        | Action::Down
        | Action::HalfUp
        | Action::HalfDown
        | Action::PageUp
        | Action::PageDown
        | Action::Top
        | Action::Bottom => move_mark(model, action, effects),
        Action::Open => enter(model, effects),
        Action::Back => back(model, effects),
        Action::Focus => focus(model),
        Action::Home => open::run(model, Command::Home, effects),
        Action::Traces => open::run(model, Command::Traces(String::new()), effects),
        Action::Logs => open::run(model, Command::Logs(String::new()), effects),
        Action::Alerts | Action::ToAlerts => open::run(model, Command::Alerts, effects),
        Action::Help if model.top().screen.kind() == ScreenKind::Help => open::pop(model, effects),
        Action::Help => open::run(model, Command::Help, effects),
        Action::Palette => model.prompt = Some(Prompt::new(PromptKind::Palette, "")),
        Action::Time => model.prompt = Some(Prompt::new(PromptKind::Time, "")),
        Action::Zone => zone(model),
        Action::EditQuery => {
            let query = model.top().screen.query().unwrap_or_default();
            model.prompt = Some(Prompt::new(PromptKind::Query, query));
            ask::complete(model, effects);
        }
        Action::Search => model.prompt = Some(Prompt::new(PromptKind::Search, "")),
        Action::Filter => filter(model),
        Action::SearchNext => search(model, true),
        Action::SearchPrevious => search(model, false),
        Action::Refresh => ask::ask(model, effects),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::NextError => next_error(model, true),
        Action::PreviousError => next_error(model, false),
        Action::Fold => fold(model, true),
        Action::Unfold => fold(model, false),
        Action::ToggleFold | Action::FoldAll | Action::UnfoldAll => fold_more(model, action),
        Action::Joins => joins(model),
        Action::Order => order(model, effects),
        Action::Follow => follow(model, effects),
        Action::Pause => pause(model),
        Action::Wrap => {
            if let Screen::Logs(logs) = &mut model.top_mut().screen {
                logs.wrap = !logs.wrap;
            }
        }
        Action::ToTrace | Action::ToLogs | Action::ToStory => jumps::to(model, action, effects),
        Action::Copy => jumps::copy(model, effects),
        Action::CopyCommand => effects.push(Effect::Copy(jumps::command_line(model))),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Quit => effects.push(Effect::Quit),
    }
}

fn move_mark(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let areas = layout(model);
    let entry = model.top_mut();
    let in_detail = entry.detail_focused && entry.detail.is_some();
    let height = if in_detail {
        areas.detail.height
    } else {
        areas.list.height
    };
    let page = isize::from(i16::try_from(height).unwrap_or(i16::MAX)).max(1);
    let by = match action {
        Action::Up => -1,
        Action::Down => 1,
        Action::HalfUp => -(page / 2).max(1),
        Action::HalfDown => (page / 2).max(1),
        Action::PageUp => -(page - 1).max(1),
        Action::PageDown => (page - 1).max(1),
        Action::Top => isize::MIN,
        _ => isize::MAX,
    };
    if let Some(detail) = entry.detail.as_mut().filter(|_| in_detail) {
        detail.list.step(by, detail.items.len());
        return;
    }
    let len = entry.screen.len();
    if let Some(list) = entry.screen.list_mut() {
        list.step(by, len);
        if matches!(entry.screen, Screen::Help(_)) {
            // Help has no mark to be seen: the page itself moves.
            scroll_help(model, by, len, usize::from(height));
            return;
        }
    }
    if let Screen::Logs(logs) = &mut model.top_mut().screen {
        follow_after_motion(logs, by);
    }
    update_detail(model);
    ask::ask_more(model, effects);
}

fn scroll_help(model: &mut Model, by: isize, len: usize, height: usize) {
    if let Screen::Help(Help { list, .. }) = &mut model.top_mut().screen {
        let last = len.saturating_sub(height);
        list.offset = list.offset.saturating_add_signed(by).min(last);
        list.cursor = list.offset;
    }
}

/// Going up pauses, so that the line being read stays; going to the end resumes.
fn follow_after_motion(logs: &mut Logs, by: isize) {
    let at_end = logs.list.cursor + 1 >= logs.store.len();
    if let Some(follow) = &mut logs.follow {
        if by < 0 && !at_end {
            follow.paused = true;
        } else if at_end && by == isize::MAX {
            follow.paused = false;
            follow.unseen = 0;
        }
    }
}

/// Shows the details of the marked row in an open pane.
pub(super) fn update_detail(model: &mut Model) {
    if model.top().detail.is_some() {
        let detail = jumps::detail(model);
        let entry = model.top_mut();
        entry.detail_focused &= detail.is_some();
        entry.detail = detail;
    }
}

fn enter(model: &mut Model, effects: &mut Vec<Effect>) {
    let entry = model.top();
    if let Some(detail) = &entry.detail {
        if !entry.detail_focused {
            model.top_mut().detail_focused = true;
            return;
        }
        match detail
            .items
            .get(detail.list.cursor)
            .and_then(|item| item.jump.clone())
        {
            Some(jump) => open::jump(model, jump, effects),
            None => model.notice = Some("this line leads nowhere".to_owned()),
        }
        return;
    }
    if let Some(jump) = jumps::enter(model) {
        open::jump(model, jump, effects);
    } else if let Some(detail) = jumps::detail(model) {
        model.top_mut().detail = Some(detail);
    }
}

fn back(model: &mut Model, effects: &mut Vec<Effect>) {
    let entry = model.top_mut();
    entry.detail_focused = false;
    if entry.detail.take().is_some() {
        return;
    }
    match &mut entry.screen {
        Screen::Home(home) if !home.filter.is_empty() => narrow(home, String::new()),
        _ => open::pop(model, effects),
    }
}

fn focus(model: &mut Model) {
    let entry = model.top_mut();
    if entry.detail.is_some() {
        entry.detail_focused = !entry.detail_focused;
    } else if let Some(detail) = jumps::detail(model) {
        let entry = model.top_mut();
        entry.detail = Some(detail);
        entry.detail_focused = true;
    }
}

fn tree(model: &mut Model) -> Option<&mut TreeValue> {
    match &mut model.top_mut().screen {
        Screen::Trace(tree) | Screen::Story(tree) => tree.load.value.as_mut(),
        _ => None,
    }
}

/// Goes to the first row that contains a text typed just now: in logs to the newest one down to
/// the mark, since one reads them from the end. No text ends the search.
pub(super) fn search_for(model: &mut Model, text: String) {
    let ends = text.is_empty();
    match &mut model.top_mut().screen {
        Screen::Trace(tree) | Screen::Story(tree) => {
            tree.search = text;
            if !ends {
                search(model, true);
            }
        }
        Screen::Logs(logs) => {
            logs.search = text;
            let below = logs.list.cursor + 1;
            if !ends {
                search_logs(model, below, false);
            }
        }
        _ => {}
    }
}

/// Goes to the next row that contains the text searched for.
fn search(model: &mut Model, forward: bool) {
    match &mut model.top_mut().screen {
        Screen::Trace(tree) | Screen::Story(tree) => {
            let Some(value) = &mut tree.load.value else {
                return;
            };
            let from = value.view.marked().unwrap_or(0);
            let found = value.view.timeline.search_from(from, &tree.search, forward);
            if let Some(row) = found {
                value.view.reveal(row);
            }
            let sought = tree.search.clone();
            say_unfound(model, found.is_some(), &sought, "/");
        }
        Screen::Logs(logs) => {
            let from = logs.list.cursor;
            search_logs(model, from, forward);
        }
        _ => {}
    }
}

fn search_logs(model: &mut Model, from: usize, forward: bool) {
    let Screen::Logs(logs) = &mut model.top_mut().screen else {
        return;
    };
    let found = logs.store.search_from(from, &logs.search, forward);
    if let Some(line) = found {
        logs.go_to(line);
    }
    let sought = logs.search.clone();
    say_unfound(model, found.is_some(), &sought, "f");
}

fn say_unfound(model: &mut Model, found: bool, sought: &str, key: &str) {
    if sought.is_empty() {
        model.notice = Some(format!("nothing to search for; {key} asks"));
    } else if !found {
        model.notice = Some(format!("no match for {sought:?}"));
    }
    update_detail(model);
}

fn next_error(model: &mut Model, forward: bool) {
    let entry = model.top_mut();
    let found = match &mut entry.screen {
        Screen::Trace(tree) | Screen::Story(tree) => {
            let Some(value) = &mut tree.load.value else {
                return;
            };
            let from = value.view.marked().unwrap_or(0);
            let found = value.view.timeline.error_from(from, forward);
            if let Some(row) = found {
                value.view.reveal(row);
            }
            found.is_some()
        }
        Screen::Traces(traces) => {
            let known = traces.load.value.as_deref().unwrap_or_default();
            let failed = |place: &usize| known[*place].error_count > 0;
            let from = traces.list.cursor.min(known.len());
            let found = if forward {
                (from + 1..known.len()).find(failed)
            } else {
                (0..from).rev().find(failed)
            };
            traces.list.cursor = found.unwrap_or(traces.list.cursor);
            found.is_some()
        }
        Screen::Logs(logs) => {
            let found = logs.store.error_from(logs.list.cursor, forward);
            if let Some(line) = found {
                logs.go_to(line);
            }
            found.is_some()
        }
        _ => return,
    };
    if !found {
        let side = if forward { "below" } else { "above" };
        model.notice = Some(format!("no error {side}"));
    }
    update_detail(model);
}

fn fold(model: &mut Model, folded: bool) {
    let Some(value) = tree(model) else { return };
    let foldable = value.view.marked().is_some_and(|row| {
        value.view.timeline.rows()[row as usize].subtree > 1 && !value.view.is_folded(row)
    });
    if folded && !foldable {
        value.view.go_to_parent();
    } else {
        value.view.fold(folded);
    }
    update_detail(model);
}

fn fold_more(model: &mut Model, action: Action) {
    let Some(value) = tree(model) else { return };
    match action {
        Action::FoldAll => value.view.fold_all(true),
        Action::UnfoldAll => value.view.fold_all(false),
        _ => {
            if let Some(row) = value.view.marked() {
                let folded = value.view.is_folded(row);
                value.view.fold(!folded);
            }
        }
    }
    update_detail(model);
}

fn zone(model: &mut Model) {
    model.zone.toggle();
    model.notice = Some(format!("times are {}", model.zone.name(model.now)));
    update_detail(model);
}

fn joins(model: &mut Model) {
    let Some(value) = tree(model) else { return };
    let detail = Detail::of_joins(&value.joins, &value.hubs, &value.alerts);
    let entry = model.top_mut();
    entry.detail = Some(detail);
    entry.detail_focused = true;
}

fn order(model: &mut Model, effects: &mut Vec<Effect>) {
    match &mut model.top_mut().screen {
        Screen::Traces(traces) => {
            traces.order = match traces.order {
                TraceOrder::Newest => TraceOrder::Slowest,
                TraceOrder::Slowest => TraceOrder::Errors,
                TraceOrder::Errors => TraceOrder::Newest,
            };
            traces.list = crate::model::list::ListState::default();
            ask::ask(model, effects);
        }
        Screen::Home(home) => {
            home.order = home.order.next();
            let marked = home.marked_key();
            home.arrange(marked.as_ref());
            let order = home.order.name();
            model.notice = Some(format!("services by {order}"));
        }
        _ => {}
    }
}

/// Asks for the text that the rows of home must contain, beginning with the one there is.
fn filter(model: &mut Model) {
    if let Screen::Home(home) = &model.top().screen {
        let filter = home.filter.clone();
        model.prompt = Some(Prompt::new(PromptKind::Filter, &filter));
    }
}

/// Shows only the rows of home that contain a text.
pub(super) fn narrow(home: &mut Home, text: String) {
    let marked = home.marked_key();
    home.filter = text;
    home.arrange(marked.as_ref());
}

fn follow(model: &mut Model, effects: &mut Vec<Effect>) {
    let id = model.top().id;
    let Screen::Logs(logs) = &mut model.top_mut().screen else {
        return;
    };
    match logs.follow.take() {
        Some(follow) if follow.failure.is_none() => effects.push(Effect::StopTail(id)),
        _ => ask::follow(model, effects),
    }
}

fn pause(model: &mut Model) {
    let Screen::Logs(logs) = &mut model.top_mut().screen else {
        return;
    };
    match &mut logs.follow {
        Some(follow) if follow.paused => {
            follow.paused = false;
            follow.unseen = 0;
            logs.list.cursor = logs.store.len().saturating_sub(1);
        }
        Some(follow) => follow.paused = true,
        None => model.notice = Some("not following; F follows".to_owned()),
    }
}
