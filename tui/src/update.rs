//! The only place where the model changes: a message in, effects out; no I/O, no clock.

mod answers;
mod ask;
mod jumps;
mod keys;
mod open;
mod outage;
mod prompt;
mod tail;

#[cfg(test)]
pub(crate) mod tests;

use crate::command::Command;
use crate::layout;
use crate::message::{Effect, Message};
use crate::model::Model;

/// Begins a session: asks for what the first screen shows.
pub fn start(model: &mut Model, initial: Option<Command>) -> Vec<Effect> {
    let mut effects = Vec::new();
    match initial {
        None | Some(Command::Home) => ask::ask(model, &mut effects),
        Some(command) => {
            ask::ask(model, &mut effects);
            open::run(model, command, &mut effects);
        }
    }
    layout::settle(model);
    effects
}

/// Takes one message.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(key) => keys::press(model, &key, &mut effects),
        Message::Paste(text) => prompt::paste(model, &text),
        Message::Resize(columns, rows) => model.size = (columns, rows),
        Message::Tick(now) => {
            model.now = now;
            ask::tick(model, &mut effects);
        }
        Message::Answer {
            slot,
            generation,
            now,
            answer,
        } => {
            model.now = now;
            outage::note(model, answer.as_ref().err());
            answers::answer(model, slot, generation, answer, &mut effects);
        }
        Message::Tail {
            entry,
            generation,
            now,
            event,
        } => {
            model.now = now;
            tail::take(model, entry, generation, event, &mut effects);
        }
        Message::Copied(Ok(characters)) => {
            model.notice = Some(format!("copied {characters} characters"));
        }
        Message::Copied(Err(reason)) => model.notice = Some(format!("not copied: {reason}")),
    }
    layout::settle(model);
    effects
}
