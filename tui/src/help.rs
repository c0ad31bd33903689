//! What the help screen lists: the keys of the screen that it was opened from, those of every
//! screen, then the commands of the palette. A key that means something else on another screen
//! is told there.

use crate::action::{BINDINGS, Binding, ScreenKind};
use crate::command::SYNTAX;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HelpRow {
    /// Names the rows below it.
    Heading(&'static str),
    /// Stands between two sections.
    Gap,
    /// A key.
    Key(&'static Binding),
    /// A command and what it does.
    Command(&'static str, &'static str),
}

/// The rows for a screen.
pub(crate) fn rows(screen: ScreenKind) -> Vec<HelpRow> {
    let mut rows = Vec::new();
    let own = |binding: &&Binding| binding.screens.contains(&screen);
    if BINDINGS.iter().any(|binding| own(&binding)) {
        rows.push(HelpRow::Heading(heading(screen)));
        rows.extend(BINDINGS.iter().filter(own).map(HelpRow::Key));
        rows.push(HelpRow::Gap);
    }
    rows.push(HelpRow::Heading("keys of every screen"));
    let every = BINDINGS.iter().filter(|binding| binding.screens.is_empty());
    rows.extend(every.map(HelpRow::Key));
    rows.push(HelpRow::Gap);
    rows.push(HelpRow::Heading("commands"));
    rows.extend(SYNTAX.map(|(syntax, help)| HelpRow::Command(syntax, help)));
    rows
}

fn heading(screen: ScreenKind) -> &'static str {
    match screen {
        ScreenKind::Home => "keys of home",
        ScreenKind::Traces => "keys of the list of traces",
        ScreenKind::Trace => "keys of a trace",
        ScreenKind::Logs => "keys of logs",
        ScreenKind::Story => "keys of a story",
        ScreenKind::Alerts => "keys of alerts",
        ScreenKind::Help => "keys of help",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(screen: ScreenKind) -> Vec<&'static str> {
        let rows = rows(screen).into_iter();
        rows.filter_map(|row| match row {
            HelpRow::Key(binding) => Some(binding.keys.iter().copied()),
            _ => None,
        })
        .flatten()
        .collect()
    }

    #[test]
    fn every_key_of_a_screen_is_listed_once() {
        for screen in ScreenKind::ALL {
            let mut listed = keys(screen);
            let mut all: Vec<&str> = BINDINGS
                .iter()
                .filter(|binding| binding.applies(screen))
                .flat_map(|binding| binding.keys.iter().copied())
                .collect();
            listed.sort_unstable();
            all.sort_unstable();
            assert_eq!(listed, all, "{screen:?}");
            listed.dedup();
            assert_eq!(listed.len(), all.len(), "{screen:?}");
        }
    }

    #[test]
    fn its_own_keys_come_first() {
        assert_eq!(keys(ScreenKind::Logs)[..2], ["/", "i"]);
        let first = rows(ScreenKind::Alerts)[0];
        assert!(matches!(first, HelpRow::Heading("keys of every screen")));
    }
}
