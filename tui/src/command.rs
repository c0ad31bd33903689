//! Commands of the `:` palette, which are also what a session can begin with.

use crate::range::RangeChoice;
use crate::zone::Zone;

/// Something to open or change, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Alerts and services.
    Home,
    /// Traces that match a query.
    Traces(String),
    /// One trace.
    Trace(String),
    /// Log records that match a query.
    Logs(String),
    /// The story of a trace id, span id or correlation value.
    Story(String),
    /// Alerts and rules.
    Alerts,
    /// Keys.
    Help,
    /// Another time range.
    Time(RangeChoice),
    /// Leave.
    Quit,
}

/// The commands as the palette lists them.
pub(crate) const SYNTAX: [(&str, &str); 9] = [
    (
        "story ID",
        "all that belongs to a trace id, span id or correlation value",
    ),
    ("trace ID", "one trace"),
    ("logs [QUERY]", "log records"),
    ("traces [QUERY]", "traces"),
    ("alerts", "alerts and rules"),
    ("home", "alerts and services"),
    (
        "time RANGE",
        "15m, 2h..1h, 14:05..14:20, 2026-11-24 14:05.., all",
    ),
    ("help", "keys"),
    ("quit", "leave"),
];

impl Command {
    /// Parses a line of the palette. A lone word that is a trace id (32 hex digits) opens its
    /// trace; the error is one sentence for the user. Times are of the zone, and those without a
    /// date the last before now, in unix nanoseconds.
    pub fn parse(line: &str, zone: &Zone, now: u64) -> Result<Self, String> {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let id = |command: fn(String) -> Self| {
            if rest.is_empty() {
                Err(format!("{name} needs an id"))
            } else {
                Ok(command(rest.to_owned()))
            }
        };
        match name {
            "story" | "s" => id(Self::Story),
            "trace" => id(Self::Trace),
            "logs" | "l" => Ok(Self::Logs(rest.to_owned())),
            "traces" | "t" => Ok(Self::Traces(rest.to_owned())),
            "alerts" | "a" => Ok(Self::Alerts),
            "home" => Ok(Self::Home),
            "time" => RangeChoice::parse(rest, zone, now).map(Self::Time),
            "help" | "?" => Ok(Self::Help),
            "quit" | "q" => Ok(Self::Quit),
            "" => Err("type a command, or Esc".to_owned()),
            _ if rest.is_empty() && is_trace_id(name) => Ok(Self::Trace(name.to_owned())),
            _ => Err(unknown(name)),
        }
    }
}

fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = SYNTAX
        .iter()
        .map(|(syntax, _)| syntax.split_whitespace().next().unwrap_or(syntax))
        .collect();
    format!("no command {name:?}; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line, &Zone::utc(), 0)
    }

    #[test]
    fn parses_each_command() {
        let cases = [
            ("story ord-7", Command::Story("ord-7".into())),
            ("  s   a b ", Command::Story("a b".into())),
            ("trace 4f", Command::Trace("4f".into())),
            (
                "logs level:error \"x y\"",
                Command::Logs("level:error \"x y\"".into()),
            ),
            ("logs", Command::Logs(String::new())),
            ("traces service:a", Command::Traces("service:a".into())),
            ("alerts", Command::Alerts),
            ("home", Command::Home),
            ("time 15m", Command::Time(RangeChoice::default())),
            ("q", Command::Quit),
            (
                "0af7651916cd43dd8448eb211c80319c",
                Command::Trace("0af7651916cd43dd8448eb211c80319c".into()),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
        for line in ["", "story", "trace  ", "stroy x", "time soon"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
