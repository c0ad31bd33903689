//! The registry of actions: one table from which keys, the help screen and the footer come.
//!
//! A key is written as it is read: `j`, `G`, `ctrl-d`, `enter`; a chord is two of them with a
//! space between.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Which screen has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScreenKind {
    /// Alerts and services.
    Home,
    /// List of traces.
    Traces,
    /// One trace.
    Trace,
    /// Log records.
    Logs,
    /// One story.
    Story,
    /// Alerts and rules.
    Alerts,
    /// Keys.
    Help,
}

#[cfg(test)]
impl ScreenKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Home,
        Self::Traces,
        Self::Trace,
        Self::Logs,
        Self::Story,
        Self::Alerts,
        Self::Help,
    ];
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Up,
    Down,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Open,
    Back,
    Focus,
    Home,
    Traces,
    Logs,
    Alerts,
    Help,
    Palette,
    Time,
    Zone,
    Refresh,
    Redraw,
    Copy,
    CopyCommand,
    EditQuery,
    Search,
    Filter,
    SearchNext,
    SearchPrevious,
    NextError,
    PreviousError,
    Fold,
    Unfold,
    ToggleFold,
    FoldAll,
    UnfoldAll,
    Joins,
    Order,
    Follow,
    Pause,
    Wrap,
    ToTrace,
    ToLogs,
    ToStory,
    ToAlerts,
    Suspend,
    Quit,
}

/// One row of the registry.
#[derive(Debug)]
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// Keys and chords; the first is the one shown.
    pub keys: &'static [&'static str],
    /// Screens that have it; empty for all.
    pub screens: &'static [ScreenKind],
    /// A word for the footer, or empty.
    pub footer: &'static str,
    /// A line for the help screen.
    pub help: &'static str,
}

const fn bind(
    action: Action,
    keys: &'static [&'static str],
    screens: &'static [ScreenKind],
    footer: &'static str,
    help: &'static str,
) -> Binding {
    Binding {
        action,
        keys,
        screens,
        footer,
        help,
    }
}

const TREE: &[ScreenKind] = &[ScreenKind::Trace, ScreenKind::Story];
const ERRORS: &[ScreenKind] = &[
    ScreenKind::Trace,
    ScreenKind::Story,
    ScreenKind::Traces,
    ScreenKind::Logs,
];
const SEARCH: &[ScreenKind] = &[ScreenKind::Trace, ScreenKind::Story, ScreenKind::Logs];
const HOME: &[ScreenKind] = &[ScreenKind::Home];
const QUERY: &[ScreenKind] = &[ScreenKind::Traces, ScreenKind::Logs];
const LOGS: &[ScreenKind] = &[ScreenKind::Logs];
const TRACES: &[ScreenKind] = &[ScreenKind::Traces];
const STORY: &[ScreenKind] = &[ScreenKind::Story];

/// Every action with its keys.
pub const BINDINGS: &[Binding] = &[
    bind(
        Action::EditQuery,
        &["/", "i"],
        QUERY,
        "query",
        "edit the query",
    ),
    bind(
        Action::Search,
        &["/"],
        TREE,
        "search",
        "search names, services and log lines",
    ),
    bind(
        Action::Search,
        &["f"],
        LOGS,
        "find",
        "find a text in the lines that are here",
    ),
    bind(Action::SearchNext, &["n"], SEARCH, "", "next match"),
    bind(Action::SearchPrevious, &["N"], SEARCH, "", "previous match"),
    bind(
        Action::Filter,
        &["/"],
        HOME,
        "filter",
        "show only what contains a text",
    ),
    bind(
        Action::Order,
        &["o"],
        HOME,
        "order",
        "order of services: name, errors, rate, p99",
    ),
    bind(Action::NextError, &["e"], ERRORS, "error", "next error"),
    bind(Action::PreviousError, &["E"], ERRORS, "", "previous error"),
    bind(
        Action::Order,
        &["o"],
        TRACES,
        "order",
        "order: newest, slowest, errors",
    ),
    bind(Action::Follow, &["F"], LOGS, "follow", "follow new records"),
    bind(
        Action::Pause,
        &["space"],
        LOGS,
        "",
        "pause and go on following",
    ),
    bind(Action::Wrap, &["w"], LOGS, "wrap", "wrap long records"),
    bind(
        Action::Joins,
        &["J"],
        STORY,
        "joins",
        "why each part belongs to the story",
    ),
    bind(
        Action::Fold,
        &["h", "left"],
        TREE,
        "",
        "fold, or go to the parent",
    ),
    bind(Action::Unfold, &["l", "right"], TREE, "", "unfold"),
    bind(
        Action::ToggleFold,
        &["space"],
        TREE,
        "fold",
        "fold or unfold",
    ),
    bind(
        Action::FoldAll,
        &["-"],
        TREE,
        "",
        "fold everything below the roots",
    ),
    bind(
        Action::UnfoldAll,
        &["+", "="],
        TREE,
        "",
        "unfold everything",
    ),
    bind(
        Action::Open,
        &["enter"],
        &[],
        "open",
        "open, or follow the marked line of the details",
    ),
    bind(
        Action::Focus,
        &["tab"],
        &[],
        "",
        "go between the list and the details",
    ),
    bind(
        Action::Back,
        &["esc", "q", "backspace"],
        &[],
        "back",
        "close the details, or go back",
    ),
    bind(
        Action::ToLogs,
        &["g l"],
        &[],
        "",
        "logs of the row: its span, trace or service",
    ),
    bind(
        Action::ToTrace,
        &["g t"],
        &[],
        "",
        "trace of the row, or traces of its service",
    ),
    bind(
        Action::ToStory,
        &["g s"],
        &[],
        "",
        "story of the row: its correlation value or trace",
    ),
    bind(Action::ToAlerts, &["g a"], &[], "", "alerts"),
    bind(Action::Down, &["j", "down", "ctrl-n"], &[], "", "down"),
    bind(Action::Up, &["k", "up"], &[], "", "up"),
    bind(Action::HalfDown, &["ctrl-d"], &[], "", "half a page down"),
    bind(Action::HalfUp, &["ctrl-u"], &[], "", "half a page up"),
    bind(
        Action::PageDown,
        &["pagedown", "ctrl-f"],
        &[],
        "",
        "a page down",
    ),
    bind(Action::PageUp, &["pageup", "ctrl-b"], &[], "", "a page up"),
    bind(Action::Top, &["g g", "home"], &[], "", "first row"),
    bind(
        Action::Bottom,
        &["G", "end"],
        &[],
        "",
        "last row; resumes following",
    ),
    bind(Action::Home, &["1"], &[], "", "home: alerts and services"),
    bind(Action::Traces, &["2"], &[], "", "traces"),
    bind(Action::Logs, &["3"], &[], "", "logs"),
    bind(Action::Alerts, &["4"], &[], "", "alerts and rules"),
    bind(
        Action::Palette,
        &[":", "ctrl-p"],
        &[],
        "command",
        "type a command, e.g. story ID",
    ),
    bind(Action::Time, &["t"], &[], "time", "change the time range"),
    bind(
        Action::Zone,
        &["z"],
        &[],
        "",
        "times in the local time zone, or in UTC",
    ),
    bind(Action::Refresh, &["r"], &[], "", "ask again"),
    bind(Action::Copy, &["y"], &[], "", "copy the id of the row"),
    bind(
        Action::CopyCommand,
        &["Y"],
        &[],
        "",
        "copy the command that opens this view",
    ),
    bind(Action::Help, &["?", "f1"], &[], "help", "keys"),
    bind(Action::Redraw, &["ctrl-l"], &[], "", "draw the screen anew"),
    bind(
        Action::Suspend,
        &["ctrl-z"],
        &[],
        "",
        "go to the shell; fg comes back",
    ),
    bind(Action::Quit, &["Q", "ctrl-c"], &[], "", "leave"),
];

impl Binding {
    /// Whether a screen has it.
    pub fn applies(&self, screen: ScreenKind) -> bool {
        self.screens.is_empty() || self.screens.contains(&screen)
    }
}

/// What a key means after the keys of an unfinished chord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// An action.
    Action(Action),
    /// The beginning of chords.
    Chord(String),
    /// Nothing.
    None,
}

/// Looks a key up.
pub(crate) fn lookup(screen: ScreenKind, pending: &str, key: &KeyEvent) -> Lookup {
    let Some(name) = key_name(key) else {
        return Lookup::None;
    };
    let typed = if pending.is_empty() {
        name
    } else {
        format!("{pending} {name}")
    };
    let mut begins = false;
    for binding in BINDINGS.iter().filter(|binding| binding.applies(screen)) {
        for key in binding.keys {
            if *key == typed {
                return Lookup::Action(binding.action);
            }
            begins |= key
                .strip_prefix(&typed)
                .is_some_and(|rest| rest.starts_with(' '));
        }
    }
    if begins {
        Lookup::Chord(typed)
    } else {
        Lookup::None
    }
}

/// What can follow an unfinished chord.
pub(crate) fn continuations(
    screen: ScreenKind,
    pending: &str,
) -> Vec<(&'static str, &'static str)> {
    BINDINGS
        .iter()
        .filter(|binding| binding.applies(screen))
        .flat_map(|binding| binding.keys.iter().map(|key| (*key, binding.help)))
        .filter(|(key, _)| {
            key.strip_prefix(pending)
                .is_some_and(|rest| rest.starts_with(' '))
        })
        .collect()
}

/// The name of a key as the registry writes it.
fn key_name(key: &KeyEvent) -> Option<String> {
    let base = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(character) => character.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab | KeyCode::BackTab => "tab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pageup".to_owned(),
        KeyCode::PageDown => "pagedown".to_owned(),
        KeyCode::F(number) => format!("f{number}"),
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        Some(format!("ctrl-{base}"))
    } else if key.modifiers.contains(KeyModifiers::ALT) {
        None
    } else {
        Some(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_on_one_screen() {
        for screen in ScreenKind::ALL {
            let keys: Vec<&str> = BINDINGS
                .iter()
                .filter(|binding| binding.applies(screen))
                .flat_map(|binding| binding.keys.iter().copied())
                .collect();
            for (position, key) in keys.iter().enumerate() {
                let clash = keys[position + 1..].iter().find(|other| {
                    *other == key
                        || other.starts_with(&format!("{key} "))
                        || key.starts_with(&format!("{other} "))
                });
                assert_eq!(clash, None, "{key} on {screen:?}");
            }
        }
    }

    #[test]
    fn chords_are_looked_up_key_by_key() {
        let g = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::NONE);
        let chord = lookup(ScreenKind::Logs, "", &g);
        assert_eq!(chord, Lookup::Chord("g".to_owned()));
        assert_eq!(
            lookup(ScreenKind::Logs, "g", &g),
            Lookup::Action(Action::Top)
        );
        let x = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        assert_eq!(lookup(ScreenKind::Logs, "g", &x), Lookup::None);
        assert_eq!(continuations(ScreenKind::Home, "g").len(), 5);
    }
}
