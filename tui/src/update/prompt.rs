//! Typing into the query bar, the palette, the time range and the search.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

use super::{ask, open};
use crate::command::Command;
use crate::message::Effect;
use crate::model::{HISTORY_MAX, Model, Prompt, PromptKind, Screen};
use crate::range::RangeChoice;

/// Longest text typed or pasted, in characters.
const INPUT_CHARS_MAX: usize = 4096;

/// Takes a key while something is being typed.
pub(super) fn press(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Esc => leave(model),
        KeyCode::Char('c') if control => leave(model),
        KeyCode::Enter => submit(model, effects),
        KeyCode::Up => recall(model, 1),
        KeyCode::Down => recall(model, -1),
        KeyCode::Tab => {
            accept(model);
            ask::complete(model, effects);
        }
        KeyCode::Char('n') if control => turn(model, true),
        KeyCode::Char('p') if control => turn(model, false),
        _ => {
            if let (Some(prompt), Some(request)) = (&mut model.prompt, request(key)) {
                type_in(prompt, request);
                ask::complete(model, effects);
            }
        }
    }
    narrow(model);
}

/// Leaves without doing what was typed for; a filter that was left shows everything.
fn leave(model: &mut Model) {
    let prompt = model.prompt.take();
    if let Screen::Home(home) = &mut model.top_mut().screen
        && prompt.is_some_and(|prompt| prompt.kind == PromptKind::Filter)
    {
        super::keys::narrow(home, String::new());
    }
}

/// A filter holds while it is typed.
fn narrow(model: &mut Model) {
    let Some(prompt) = &model.prompt else { return };
    if prompt.kind != PromptKind::Filter {
        return;
    }
    let text = prompt.input.value().to_owned();
    if let Screen::Home(home) = &mut model.top_mut().screen {
        super::keys::narrow(home, text);
    }
}

/// Puts the first suggestion where the server says that it belongs.
fn accept(model: &mut Model) {
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    // Suggestions for an older text would be put in the wrong place.
    if prompt.suggestions.pending {
        return;
    }
    let Some(found) = prompt.suggestions.value.take() else {
        return;
    };
    let query = prompt.input.value();
    let (Some(suggestion), Some(before), Some(after)) = (
        found.suggestions.first(),
        query.get(..found.start),
        query.get(found.end..),
    ) else {
        return;
    };
    let mut text = format!("{before}{}", suggestion.text);
    if found.context == "field" && !after.starts_with(':') {
        text.push(':');
    }
    let cursor = text.chars().count();
    text.push_str(after);
    let text: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(INPUT_CHARS_MAX)
        .collect();
    prompt.input = Input::new(text).with_cursor(cursor.min(INPUT_CHARS_MAX));
}

/// Brings the next or the previous suggestion to the front.
fn turn(model: &mut Model, forward: bool) {
    let Some(found) = model
        .prompt
        .as_mut()
        .and_then(|prompt| prompt.suggestions.value.as_mut())
    else {
        return;
    };
    if found.suggestions.is_empty() {
        return;
    }
    if forward {
        found.suggestions.rotate_left(1);
    } else {
        found.suggestions.rotate_right(1);
    }
}

fn type_in(prompt: &mut Prompt, request: InputRequest) {
    let inserts = matches!(request, InputRequest::InsertChar(_) | InputRequest::Yank);
    if inserts && prompt.input.value().chars().count() >= INPUT_CHARS_MAX {
        prompt.error = Some(format!("longer than {INPUT_CHARS_MAX} characters"));
        return;
    }
    prompt.input.handle(request);
    prompt.error = None;
}

/// Takes pasted text; outside a prompt it opens the palette with it, so that an id pasted
/// anywhere is one Enter away from its trace.
pub(super) fn paste(model: &mut Model, text: &str) {
    let prompt = model
        .prompt
        .get_or_insert_with(|| Prompt::new(PromptKind::Palette, ""));
    for character in text.trim().chars().take(INPUT_CHARS_MAX) {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        type_in(prompt, InputRequest::InsertChar(character));
    }
    narrow(model);
}

fn request(key: &KeyEvent) -> Option<InputRequest> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    Some(match key.code {
        KeyCode::Char('a') if control => InputRequest::GoToStart,
        KeyCode::Char('e') if control => InputRequest::GoToEnd,
        KeyCode::Char('u') if control => InputRequest::DeleteFromStart,
        KeyCode::Char('k') if control => InputRequest::DeleteTillEnd,
        KeyCode::Char('w') if control => InputRequest::DeletePrevWord,
        KeyCode::Char('h') if control => InputRequest::DeletePrevChar,
        KeyCode::Char('d') if control => InputRequest::DeleteNextChar,
        KeyCode::Char('y') if control => InputRequest::Yank,
        KeyCode::Char('b') if alt => InputRequest::GoToPrevWord,
        KeyCode::Char('f') if alt => InputRequest::GoToNextWord,
        KeyCode::Char('d') if alt => InputRequest::DeleteNextWord,
        KeyCode::Char(character) if !control && !alt => InputRequest::InsertChar(character),
        KeyCode::Backspace if alt || control => InputRequest::DeletePrevWord,
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left if control || alt => InputRequest::GoToPrevWord,
        KeyCode::Right if control || alt => InputRequest::GoToNextWord,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    })
}

/// Whether Alt with this key edits what is being typed.
pub(super) fn means_alt(key: &KeyEvent) -> bool {
    let letter = matches!(
        key.code,
        KeyCode::Char('b' | 'f' | 'd') | KeyCode::Backspace
    );
    letter && key.modifiers == KeyModifiers::ALT
}

/// Goes through what was typed before for the same purpose.
fn recall(model: &mut Model, by: isize) {
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    let earlier: Vec<&String> = model
        .history
        .iter()
        .rev()
        .filter(|(kind, _)| *kind == prompt.kind)
        .map(|(_, text)| text)
        .collect();
    prompt.recalled = prompt.recalled.saturating_add_signed(by).min(earlier.len());
    let text = prompt
        .recalled
        .checked_sub(1)
        .map_or("", |place| earlier[place]);
    prompt.input = Input::new(text.to_owned());
    prompt.error = None;
}

fn submit(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(prompt) = &mut model.prompt else {
        return;
    };
    let (kind, text) = (prompt.kind, prompt.input.value().trim().to_owned());
    let outcome = match kind {
        PromptKind::Palette => Command::parse(&text, &model.zone, model.now).map(Some),
        PromptKind::Time => RangeChoice::parse(&text, &model.zone, model.now)
            .map(|range| Some(Command::Time(range))),
        PromptKind::Query | PromptKind::Search | PromptKind::Filter => Ok(None),
    };
    let command = match outcome {
        Ok(command) => command,
        Err(reason) => {
            prompt.error = Some(reason);
            return;
        }
    };
    model.prompt = None;
    remember(model, kind, &text);
    match (kind, command) {
        (_, Some(command)) => open::run(model, command, effects),
        (PromptKind::Query, None) => open::set_query(model, text, effects),
        (PromptKind::Search, None) => super::keys::search_for(model, text),
        // A filter already holds.
        (_, None) => {}
    }
}

fn remember(model: &mut Model, kind: PromptKind, text: &str) {
    if text.is_empty() {
        return;
    }
    model
        .history
        .retain(|(known, line)| *known != kind || line != text);
    model.history.push((kind, text.to_owned()));
    let surplus = model.history.len().saturating_sub(HISTORY_MAX);
    model.history.drain(..surplus);
}
